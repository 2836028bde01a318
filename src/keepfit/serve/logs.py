"""Logs as JSON, one line an event: what a request was and how it went, never what was in its headers or its body."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

__all__ = ["AccessLog", "JsonFormatter", "access_log", "configure_logging", "log"]

log = logging.getLogger("keepfit.serve")
"""What the server says of itself."""

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

_FLUSH_S = 0.1
_ACCESS = '"level":"info","logger":"keepfit.serve.access","message":"request",'

_encoder = msgspec.json.Encoder(enc_hook=str)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object.

    It has ``time`` (UTC), ``level``, ``logger`` and ``message``, then what was given as ``extra=``, and ``exception``
    where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _OF_EVERY_RECORD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encoder.encode(line).decode()


class AccessLog:
    """One line a request, of the same form. Not by way of `logging`, which takes longer than all else in a request.

    Lines of a tenth of a second are made and written together: one by one, they are a tenth of what a request costs.

    Attributes
    ----------
    stream : text file or None
        None to write nothing.
    """

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self._waiting: list[tuple[int, dict[str, Any]]] = []  # when, in ms, and what
        self._second, self._date = 0, ""

    def write(self, fields: dict[str, Any]) -> None:
        """Write a line soon, if there is a stream. Called on an event loop."""
        if self.stream is None:
            return
        self._waiting.append((time.time_ns() // 1_000_000, fields))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if self.stream is not None and waiting:
            self.stream.write("".join([self._line(*each) for each in waiting]))
            self.stream.flush()

    def _line(self, milliseconds: int, fields: dict[str, Any]) -> str:
        second = milliseconds // 1000
        if second != self._second:
            self._second, self._date = second, _time(second)[:19]
        try:
            rest = _encoder.encode(fields).decode()[1:]
        except (TypeError, ValueError):  # as of half a surrogate: no other line is lost for it
            rest = _encoder.encode({"unwritable": ascii(fields)}).decode()[1:]
        return f'{{"time":"{self._date}.{milliseconds % 1000:03d}+00:00",{_ACCESS}{rest}\n'


access_log = AccessLog()


def configure_logging(*, level: str = "info", access: bool = True, stream: TextIO | None = None) -> None:
    """Send the logs of keepfit's server, and of uvicorn, to a stream as JSON.

    Parameters
    ----------
    level : str, default="info"
        Below this nothing is written, of requests or else.
    access : bool, default=True
        Whether each request has a line.
    stream : text file, default=None
        Standard error without.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    for name in ("keepfit.serve", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    access_log.stream = stream if access and log.isEnabledFor(logging.INFO) else None

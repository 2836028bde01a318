"""Logs as JSON, one line an event: what a request was and how it went, never what was in its headers or its body."""

from __future__ import annotations

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

    Attributes
    ----------
    stream : text file or None
        None to write nothing.
    """

    def __init__(self) -> None:
        self.stream: TextIO | None = None

    def write(self, fields: dict[str, Any]) -> None:
        """Write a line, if there is a stream."""
        if self.stream is None:
            return
        head = {"time": _time(time.time()), "level": "info", "logger": "keepfit.serve.access", "message": "request"}
        self.stream.write(f"{_encoder.encode(head | fields).decode()}\n")
        self.stream.flush()


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

"""Results of a group while it goes on: a worker of joblib gives what it has only at the end of its job.

Meanwhile it writes files, each a second's results as keepfit keeps them, into a folder that only this user may enter; a
thread of the search reads them. At its end the job gives everything once more, so that nothing hangs on the files: a
worker on another machine, which does not see the folder, writes none.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from keepfit.checkpoint.sharing import Arrival, Group, Trust
from keepfit.errors import KeepfitError, UnsupportedError
from keepfit.persistence import dumps, loads
from keepfit.store.owner import is_gone, this_process

__all__ = ["Outbox", "Spool", "evaluate_group"]

#: How often a worker writes, and how often its files are looked for.
_WRITE_PERIOD_S, _READ_PERIOD_S = 1.0, 0.25

_SUFFIX = ".results"


@dataclass(frozen=True)
class Outbox:
    """A worker's way to hand results on before its job has ended.

    Parameters
    ----------
    folder : str
    owner : str
        The process that reads it.
    """

    folder: str
    owner: str

    def put(self, arrivals: Sequence[Arrival], trust: Trust) -> None:
        """Hand on some results and what checks have shown; what cannot be written waits for the end of the job."""
        results = [(one.number, one.result, one.is_shared) for one in arrivals]
        path = Path(self.folder, uuid.uuid4().hex)
        try:
            path.write_bytes(dumps({"results": results, "held": trust.held, "refused": trust.refused}))
            path.rename(path.with_suffix(_SUFFIX))
        except (UnsupportedError, OSError):
            with contextlib.suppress(OSError):  # half a file would stay on a disk that is full
                path.unlink(missing_ok=True)

    def is_abandoned(self) -> bool:
        """Whether nobody reads any more, as the process of the search was killed. Then the folder is removed."""
        if not is_gone(self.owner):
            return False
        shutil.rmtree(self.folder, ignore_errors=True)
        return True


def evaluate_group(group: Group, outbox: Outbox) -> tuple[list[Arrival], Trust]:
    """Evaluate a group in a worker, which stops where the search is gone: workers of joblib outlive it.

    Returns
    -------
    arrivals : list of Arrival
        All of them, without warnings, which a worker has shown.
    trust : Trust
        What checks have shown.
    """
    trust = Trust()
    arrivals: list[Arrival] = []
    handed_on, last_s = 0, 0.0
    for arrival in group.results(trust):
        arrivals.append(arrival._replace(warned=[]))
        if time.monotonic() - last_s >= _WRITE_PERIOD_S:
            if outbox.is_abandoned():
                break
            outbox.put(arrivals[handed_on:], trust)
            handed_on, last_s = len(arrivals), time.monotonic()
    return arrivals, trust


class Spool:
    """Reads what workers write. A context manager.

    Parameters
    ----------
    take : callable
        Gets results, and what checks have shown, from a thread of its own. Of an error the block's end tells.
    """

    def __init__(self, take: Callable[[Sequence[Arrival], Trust], None]) -> None:
        self._take = take
        self._folder = tempfile.TemporaryDirectory(prefix="keepfit-", ignore_cleanup_errors=True)
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, name="keepfit-spool", daemon=True)
        self.outbox = Outbox(self._folder.name, this_process())

    def __enter__(self) -> Spool:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._folder.cleanup()
        if self._error is not None and error is None:
            raise self._error

    def _watch(self) -> None:
        try:
            while not self._over.wait(_READ_PERIOD_S):
                self._read()
            self._read()  # what was finished before the search was stopped
        except BaseException as error:  # raised in the thread that waits for the workers
            self._error = error

    def _read(self) -> None:
        for path in Path(self._folder.name).glob(f"*{_SUFFIX}"):
            found = None
            with contextlib.suppress(KeepfitError, OSError):  # then they come at the end of the job
                found = loads(path.read_bytes())
            path.unlink(missing_ok=True)
            if found is not None:
                arrivals = [Arrival(number, result, [], is_shared) for number, result, is_shared in found["results"]]
                self._take(arrivals, Trust(found["held"], found["refused"]))

"""What the front knows of models, of workers, and of what each of these has in hand."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from dataclasses import dataclass, field

from keepfit.serve.channel import Channel
from keepfit.serve.errors import UnavailableError
from keepfit.serve.formulas import Formulas
from keepfit.serve.messages import Unload
from keepfit.serve.queueing import Request
from keepfit.serve.signature import Signature

__all__ = ["Batch", "Conversion", "Job", "Model", "Tally", "Worker", "opened_again", "told_of"]


@dataclass
class Tally:
    """Counts over all crews of a pool."""

    queued: int = 0
    queued_bytes: int = 0
    running: int = 0
    answered: int = 0
    refused: int = 0
    batches: int = 0
    batched: int = 0
    deaths: int = 0


@dataclass(slots=True, eq=False)
class Model:
    """A model of a crew.

    Parameters
    ----------
    key : str
    fd : int
        Of its file.
    trusted, allow : tuple of str
    loaded : Future of Signature
        Done when it is in all workers, or cannot be.
    is_tried : bool
        Whether it was built once, in some worker.
    formulas : Formulas or None
        With which one row is answered here.
    open_calls : int
        Requests that have no answer yet.
    deaths : int
        Workers that died with it, since one answered.
    barred_until_s : float
        Before then nobody asks it or loads it.
    """

    key: str
    fd: int
    trusted: tuple[str, ...]
    allow: tuple[str, ...]
    loaded: asyncio.Future[Signature]
    signature: Signature | None = None
    is_rowwise: bool = False
    formulas: Formulas | None = None
    is_tried: bool = False
    is_public: bool = False
    is_leaving: bool = False
    open_calls: int = 0
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    deaths: int = 0
    barred_until_s: float = 0.0

    def barred(self, now_s: float) -> UnavailableError:
        """What those are told who ask for it before it may be asked again."""
        wait_s = max(0.0, self.barred_until_s - now_s)
        return UnavailableError(f"the model ended its worker {self.deaths} times in a row; try again in {wait_s:.0f} s")


@dataclass(slots=True, eq=False)
class Conversion:
    """A file to be converted."""

    fd: int
    out_fd: int
    done: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Batch:
    """Requests in the hands of a worker."""

    model: Model
    requests: list[Request]


Job = Batch | Model | Conversion | Unload


def told_of(job: Job | None) -> dict[str, str]:
    """What the log is told of what a worker had in hand."""
    model = job.model if isinstance(job, Batch) else job
    return {"model": model.key} if isinstance(model, Model) else {}


@dataclass(slots=True, eq=False)
class Worker:
    """What the front knows of a worker process.

    Parameters
    ----------
    number : int
    job : Batch, Model (it is loading that), Conversion, Unload or None
    since_s : float
        When it was given that.
    is_ready : bool
        Whether it has started.
    is_synced : bool
        Whether it has had all models of its crew once, and so takes calls.
    loaded, failed : set of Model
        That it has, and that it refused.
    seen : int
        The crew's generation that it is in step with.
    reason : str
        Why it was killed.
    """

    number: int
    channel: Channel = field(init=False)
    job: Job | None = None
    since_s: float = 0.0
    is_ready: bool = False
    is_synced: bool = False
    loaded: set[Model] = field(default_factory=set)
    failed: set[Model] = field(default_factory=set)
    seen: int = -1
    reason: str = ""


def opened_again(fd: int) -> int:
    """A descriptor of the same file, with a position of its own and for reading only: a jail may not change a file.

    Raises
    ------
    OSError
        If it was open for writing, and cannot be opened again.
    """
    with contextlib.suppress(OSError):
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
        raise OSError(errno.EACCES, "it is open for writing")
    return os.dup(fd)  # no Linux, or a file that only its opener may open

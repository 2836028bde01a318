"""`Pool`: the front's side of the workers. Who is asked, what is asked together, what happens when one dies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepfit.serve.messages import Answer, Call, Isolation

if TYPE_CHECKING:
    from keepfit.serve.signature import Signature  # type: ignore[import-not-found, import-untyped, unused-ignore]

__all__ = ["Pool", "PoolFigures", "PoolSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How many processes there are, and what one request may take.

    Parameters
    ----------
    workers : int, default=0
        Processes for the operator's models; 0 for one per core.
    jails : int, default=8
        Processes for models of tenants, one per tenant, at a time. The one that was idle longest goes for the next.
    batching : bool, default=True
        Whether calls that wait are joined. A call that finds a free worker never waits.
    max_batch_rows : int, default=1024
        Rows that are joined at most.
    queue_max : int, default=1024
        Calls that may wait, over all models; more are answered `OverloadedError`.
    tenant_queue_max : int, default=128
        Calls that may wait for one tenant's models.
    timeout_s : float, default=30.0
        How long a call may wait, and then how long the worker may take. A worker that takes longer is killed.
    cpu_s : float, default=30.0
        Processor time that one message (a call, a batch, a load) may take before its worker is killed.
    load_timeout_s : float, default=120.0
        How long loading or converting may take; its processor time may be as long.
    memory_bytes : int, default=2**31
        What a message may allocate in a worker; for a jail, what it may allocate for everything.
    answer_bytes_max : int, default=2**28
        The longest answer.
    """

    workers: int = 0
    jails: int = 8
    batching: bool = True
    max_batch_rows: int = 1024
    queue_max: int = 1024
    tenant_queue_max: int = 128
    timeout_s: float = 30.0
    cpu_s: float = 30.0
    load_timeout_s: float = 120.0
    memory_bytes: int = 2**31
    answer_bytes_max: int = 2**28


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """What the pool does now, and what it has done.

    Attributes
    ----------
    workers, jails : int
        Processes alive now.
    models : int
        Models loaded now.
    queued, running : int
        Calls that wait, and that workers have in hand.
    answered, refused : int
        Calls so far: answered (also with an error of theirs), and turned away because a queue was full.
    batches, batched : int
        Messages so far in which several calls were joined, and calls in them.
    deaths : int
        Workers so far that ended without being told to.
    """

    workers: int = 0
    jails: int = 0
    models: int = 0
    queued: int = 0
    running: int = 0
    answered: int = 0
    refused: int = 0
    batches: int = 0
    batched: int = 0
    deaths: int = 0


class Pool:
    """Worker processes and the models in them.

    All methods are called from one event loop.

    Parameters
    ----------
    settings : PoolSettings

    Notes
    -----
    The zygote is a fresh interpreter, not a copy of this process: no worker holds what this process has in memory, such
    as tokens and keys. So `start` may be called at any time, also when there are threads.
    """

    def __init__(self, settings: PoolSettings | None = None) -> None:
        self.settings = settings or PoolSettings()

    async def start(self) -> None:
        """Start the zygote and the workers, and wait until they have imported everything: 1 or 2 seconds.

        Raises
        ------
        UnavailableError
            If they do not start.
        """
        raise NotImplementedError

    async def load(
        self,
        key: str,
        fd: int,
        *,
        tenant: str | None = None,
        trusted: tuple[str, ...] = (),
        allow: tuple[str, ...] = (),
    ) -> Signature:
        """Load a model: in every worker, or in the tenant's jail.

        Parameters
        ----------
        key : str
            Names this version of this model from here on; no other that is loaded may have it.
        fd : int
            Of a keepfit file of the disk (or a memfd), open for reading. It belongs to the pool from here on, also when
            this fails: workers that start later get it again.
        tenant : str, default=None
            Whose it is. None for the operator's.
        trusted : tuple of str, default=()
            Dotted names, as for `keepfit.load`.
        allow : tuple of str, default=()
            As for `keepfit.load`.

        Returns
        -------
        Signature

        Raises
        ------
        KeepfitError
            The one that loading raised in the worker: same class, same words.
        UnavailableError
            If loading killed the worker, or took too long.
        ValueError
            If a model of this key is loaded.
        """
        raise NotImplementedError

    async def unload(self, key: str) -> None:
        """Let a model go, when the calls that were made for it have been answered.

        Raises
        ------
        RequestError
            If no model of this key is loaded.
        """
        raise NotImplementedError

    async def infer(self, key: str, call: Call) -> Answer:
        """Ask a model.

        Raises
        ------
        RequestError
            If something is wrong with the call; with status 404 if no model of this key is loaded.
        OverloadedError
            If too many calls wait already.
        UnavailableError
            If the worker died or took too long; or at once, for a few seconds, if the model's workers died again
            and again.
        """
        raise NotImplementedError

    async def convert(self, fd: int, out_fd: int, *, tenant: str) -> None:
        """Make a keepfit file of a pickle or joblib file, in the tenant's jail.

        Parameters
        ----------
        fd : int
            Of the file to read. It and `out_fd` stay the caller's, to close.
        out_fd : int
            Of an empty file, open for writing.
        tenant : str

        Raises
        ------
        KeepfitError
            The one that `keepfit.convert` raised.
        UnavailableError, OverloadedError
            As for `infer`.
        """
        raise NotImplementedError

    def isolation(self) -> Isolation:
        """What holds the jails, as found out by trying when the pool started."""
        raise NotImplementedError

    def figures(self) -> PoolFigures:
        """What the pool does now, and what it has done."""
        raise NotImplementedError

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, wait until those taken are answered, but no longer than `grace_s`, and end all processes.

        What is not answered by then gets `UnavailableError`.
        """
        raise NotImplementedError

"""`PoolSettings`: how many processes there are, and what one request may take."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["PoolSettings"]


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
    queue_bytes_max, tenant_queue_bytes_max : int, default=2**29, 2**27
        What the inputs of calls that wait may take, over all models, and for one tenant's (one call may take more).
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
    converted_bytes_max : int, default=500,000,000
        The longest file that a conversion may write.
    imports : tuple of str, default=()
        Modules of your own that workers import before they start, such as those of classes in ``trusted=``. A jail
        has no others.

    Notes
    -----
    Rows are joined only for models whose answer for a row does not depend on the rows beside it. Linear algebra may
    still round the last bits differently for 2 rows than for 1, as it does outside of keepfit.
    """

    workers: int = 0
    jails: int = 8
    batching: bool = True
    max_batch_rows: int = 1024
    queue_max: int = 1024
    tenant_queue_max: int = 128
    queue_bytes_max: int = 2**29
    tenant_queue_bytes_max: int = 2**27
    timeout_s: float = 30.0
    cpu_s: float = 30.0
    load_timeout_s: float = 120.0
    memory_bytes: int = 2**31
    answer_bytes_max: int = 2**28
    converted_bytes_max: int = 500_000_000
    imports: tuple[str, ...] = ()

    @property
    def worker_count(self) -> int:
        """How many workers for the operator's models that makes."""
        return self.workers or len(os.sched_getaffinity(0))

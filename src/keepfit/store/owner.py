"""Who runs a search: a name for this process, and whether the process of a name is gone.

A search that was killed cannot say so. Its name (host, process number, when the process started) lets anyone on the
same host see it: process numbers are used again, the start time tells two of the same number apart.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["is_gone", "this_process"]


def this_process() -> str:
    """The name of this process: ``host pid start``."""
    pid = os.getpid()
    return f"{_host()} {pid} {_start_of(pid)}"


def is_gone(owner: str) -> bool:
    """Whether the process of that name has surely ended. False where that cannot be known: on another host."""
    host, _, rest = owner.rpartition(" ")[0].rpartition(" ")
    if host != _host() or os.name != "posix":
        return False
    pid, start = int(rest), owner.rpartition(" ")[2]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # alive, somebody else's
    return _start_of(pid) not in (start, "0")


def _host() -> str:
    return platform.node() or "localhost"


def _start_of(pid: int) -> str:
    """When a process started, in clock ticks since boot (proc(5), field 22); "0" where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "0"
    fields = stat.rpartition(")")[2].split()  # the second field, the name in brackets, may hold anything
    return "ended" if fields[0] in "ZX" else fields[19]

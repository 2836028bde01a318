"""Blocks of memory with a fence behind them, so that reading past the end of an array is seen as well as writing there.

Most such reads find some other block and do no harm that shows. Under ``--fence`` the command runs itself again with
``fence.c`` before the C library: each block that a case asks for ends at a page that cannot be touched. What small
Python objects take is not among them. It needs Linux, glibc and a C compiler.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["again_with_fence", "compiled", "fenced"]

_SOURCE = Path(__file__).with_name("fence.c")
_PRELOAD = "LD_PRELOAD"
_switch = getattr(ctypes.CDLL(None), "fence", None)


def again_with_fence() -> None:
    """Run this command again with the fence, unless it already does. Does not come back then.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        If there is no compiler, or it fails.
    """
    if _switch is not None:
        return
    preload = f"{compiled()} {os.environ.get(_PRELOAD, '')}".strip()
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, _PRELOAD: preload})


def compiled() -> Path:
    """The library, in a new folder."""
    library = Path(tempfile.mkdtemp(prefix="keepfit-fence-"), "fence.so")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library, _SOURCE], check=True)
    return library


@contextmanager
def fenced() -> Iterator[None]:
    """Put a fence behind each block that is asked for in here, where the library is loaded."""
    if _switch is None:
        yield
        return
    _switch(1)
    try:
        yield
    finally:
        _switch(0)

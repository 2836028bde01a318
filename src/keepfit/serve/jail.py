"""Jails: processes that can compute and answer, and nothing else, whatever runs in them.

A jail is closed from inside, in this order: resource limits, no capabilities, no new privileges, Landlock (no file, no
TCP port, no signal to others; landlock(7)), and a seccomp filter (seccomp(2)) that allows the system calls which NumPy,
SciPy and pandas need on one thread, and answers all others with EPERM. Sockets and files that are open already stay
usable. Nothing can be opened again: neither by the process nor by what takes it over.

What the kernel does not have is left out and reported: see `Isolation`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise

from keepfit.serve.messages import Isolation

__all__ = ["close_jail", "die_with_parent", "escapes", "limit_memory", "probe"]

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446  # the same on every architecture
_LANDLOCK_GET_VERSION = 1
_OPEN_FILES_MAX = 256  # a model that is mapped keeps its file open

#: By `platform.machine`: the AUDIT_ARCH constant, and the number of capset(2).
_ARCHITECTURES = {"x86_64": (0xC000003E, 126), "aarch64": (0xC00000B7, 91)}

#: System calls that are allowed, with their numbers on x86_64 and aarch64; -1 where there is none. From the kernel's
#: ``syscall_64.tbl`` and ``asm-generic/unistd.h``.
_ALLOWED = {
    # messages, and files that are open
    "recvmsg": (47, 212), "recvfrom": (45, 207), "sendto": (44, 206), "sendmsg": (46, 211),
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "lseek": (8, 62), "fstat": (5, 80), "close": (3, 57),
    # memory
    "munmap": (11, 215), "mremap": (25, 216), "brk": (12, 214), "madvise": (28, 233),
    # time
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "times": (100, 153),
    "setitimer": (38, 103), "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "getrusage": (98, 165),
    # this process and its one thread
    "futex": (202, 98), "getrandom": (318, 278), "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168), "sysinfo": (99, 179),
    "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip

_PROT_EXEC, _AT_EMPTY_PATH, _F_DUPFD_CLOEXEC = 4, 0x1000, 1030

#: System calls that are allowed if an argument passes: number on each architecture, which argument, and whether it must
#: equal the value ("is") or have none of its bits ("lacks"). mmap and mprotect give no memory that can be run,
#: newfstatat is how the C library asks about a file that is open, and Python maps a descriptor of its own.
_ALLOWED_IF = {
    "mmap": ((9, 222), 2, "lacks", _PROT_EXEC),
    "mprotect": ((10, 226), 2, "lacks", _PROT_EXEC),
    "newfstatat": ((262, 79), 3, "is", _AT_EMPTY_PATH),
    "fcntl": ((72, 25), 1, "is", _F_DUPFD_CLOEXEC),
}

# Of <linux/bpf_common.h> and <linux/seccomp.h>.
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _DENY = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data

_libc = ctypes.CDLL(None, use_errno=True)


def close_jail(memory_bytes: int, *, keep: tuple[int, ...], file_bytes: int = 0) -> Isolation:
    """Close the jail around this process, for good.

    Parameters
    ----------
    memory_bytes : int
        What it may allocate besides what it has.
    keep : tuple of int
        Descriptors that stay open. Standard input and output lead nowhere.
    file_bytes : int, default=0
        How long it may make a file that it is given to write to.

    Returns
    -------
    Isolation
        What is in force. `Isolation.escapes` is empty: nothing has been tried.

    Notes
    -----
    Takes less than a millisecond. Every module that will be needed must have been imported: no file opens any more.
    """
    _keep_only(keep)
    limited = _limit_all(memory_bytes, file_bytes)
    _drop_capabilities()
    no_new_privileges = _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    landlock_abi = _restrict_files()
    return Isolation(limited, no_new_privileges, landlock_abi, _filter_system_calls())


def probe(memory_bytes: int = 1 << 30) -> Isolation:
    """Close a jail around a child of this process and find out what holds it.

    Parameters
    ----------
    memory_bytes : int, default=2**30
        As for `close_jail`.

    Returns
    -------
    Isolation
        Nothing, if the child did not live to tell.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: those of libraries, which are idle
        child = os.fork()
    if child == 0:
        try:
            found = close_jail(memory_bytes, keep=(writing,))
            os.write(writing, b"\n".join(_as_lines(found, escapes())))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        lines = pipe.read().decode().split("\n")
    os.waitpid(child, 0)
    if len(lines) != 5:
        return Isolation()
    rlimits, no_new_privileges, landlock_abi, seccomp, found_escapes = lines
    return Isolation(
        tuple(rlimits.split()),
        no_new_privileges == "True",
        int(landlock_abi),
        seccomp == "True",
        tuple(filter(None, found_escapes.split(","))),
    )


def _as_lines(found: Isolation, escaped: tuple[str, ...]) -> list[bytes]:
    lines = (" ".join(found.rlimits), found.no_new_privileges, found.landlock_abi, found.seccomp, ",".join(escaped))
    return [str(line).encode() for line in lines]


def escapes() -> tuple[str, ...]:
    """Try to get out of this process, and say what was not forbidden.

    Returns
    -------
    tuple of str
        Empty in a strong jail. Outside one it opens, forks and maps in fact, and undoes it; it runs no program.
    """
    return tuple(name for name, attempt in _ATTEMPTS.items() if not _is_forbidden(attempt))


def _is_forbidden(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


_ATTEMPTS: dict[str, Callable[[], object]] = {
    "open a file": lambda: os.close(os.open(os.sep, os.O_RDONLY)),
    "look for a file": lambda: os.stat(os.sep),
    "make a socket": lambda: socket.socket().close(),
    "fork": _fork,
    "run a program": lambda: os.execv(os.path.join(os.sep, "no program of this name"), ["-"]),  # noqa: S606
    "signal a process": lambda: os.kill(os.getppid(), 0),
    "map memory to run": lambda: mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close(),
}


# Limits


def limit_memory(memory_bytes: int) -> None:
    """Let this process allocate so much besides what it has. May be called again, for more or less."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _mapped_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the one that forked it ends. `parent` is that one's id."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that took hold
        os._exit(1)


def _mapped_bytes() -> int:
    """What this process has mapped; as much as a worker may have, where Linux does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 1 << 33


def _limit_all(memory_bytes: int, file_bytes: int) -> tuple[str, ...]:
    limits = {
        "AS": _mapped_bytes() + memory_bytes,
        "FSIZE": file_bytes,
        "NOFILE": _OPEN_FILES_MAX,
        "NPROC": 0,
        "CORE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
    }
    done = []
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(number, (value, value))
                done.append(name)
    return tuple(done)


def _keep_only(keep: tuple[int, ...]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    edges = sorted({2, *keep, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], null + 1)})
    for low, high in pairwise(edges):
        os.closerange(low + 1, high)


# What the kernel has. Every call that fails leaves a wall out, and the report says which


def _prctl(option: int, value: int, more: object = 0) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return bool(_libc.prctl(option, ctypes.c_ulong(value), more, 0, 0) == 0)


def _drop_capabilities() -> None:
    """Give up what root may do: a process of root without capabilities is like any other's."""
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture and sys.platform.startswith("linux"):
        header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
        _libc.syscall(architecture[1], header, bytes(24))


def _restrict_files() -> int:
    """Handle every right that the kernel's Landlock knows and allow none. Returns its ABI, or 0."""
    if not sys.platform.startswith("linux"):
        return 0
    abi = _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_GET_VERSION)
    if abi < 1:
        return 0
    file_rights = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
    fields = [file_rights, *([3] if abi >= 4 else []), *([3] if abi >= 6 else [])]  # files; TCP; scopes
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return 0
    restricted = _libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return int(abi) if restricted else 0


def _filter_system_calls() -> bool:
    machine = platform.machine()
    if machine not in _ARCHITECTURES or not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return False
    program = _program(machine)
    instructions = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    return _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_)


def _program(machine: str) -> bytes:
    """The filter, as instructions of classic BPF: code, jump if true, jump if false, constant."""
    column = list(_ARCHITECTURES).index(machine)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 1, 0, _ARCHITECTURES[machine][0]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for numbers in _ALLOWED.values():
        steps += [(_JUMP_IF_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _ALLOW)]
    for numbers, argument, condition, value in _ALLOWED_IF.values():
        compare = (_JUMP_IF_EQUAL, 0, 1, value) if condition == "is" else (_JUMP_IF_SET, 1, 0, value)
        steps += [
            (_JUMP_IF_EQUAL, 0, 4, numbers[column]),
            (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument),  # its lower half, on machines of this byte order
            compare,
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _DENY),
        ]
    steps.append((_RETURN, 0, 0, _DENY))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)

"""Nothing gets out of a jail: each way is tried in one, and outside to see that it can be found."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keepfit.serve import jail
from keepfit.serve.messages import Isolation

MEMORY_BYTES = 1 << 28


def in_child(
    work: Callable[[], Any], *, is_jailed: bool = True, keep: tuple[int, ...] = (), file_bytes: int = 0
) -> Any:
    """What some work gives in a forked child, jailed or not."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if is_jailed:
                jail.close_jail(MEMORY_BYTES, keep=(writing, *keep), file_bytes=file_bytes)
            os.write(writing, json.dumps(work()).encode())
        except BaseException as error:
            os.write(writing, json.dumps(f"{type(error).__name__}: {error}").encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(told) if told else f"ended by signal {os.WTERMSIG(status)}"


def test_a_jail_on_this_machine_is_strong_and_all_that_it_is_made_of_is_in_force() -> None:
    found = jail.probe()
    assert found.is_strong
    assert found.no_new_privileges
    assert found.seccomp
    assert found.landlock_abi >= 1
    assert found.escapes == ()
    assert {"AS", "NOFILE", "NPROC", "FSIZE", "CORE"} <= set(found.rlimits)


def test_outside_a_jail_every_way_out_is_found() -> None:
    assert in_child(jail.escapes, is_jailed=False) == list(jail._ATTEMPTS)


@pytest.mark.parametrize("missing", ["rlimits", "no_new_privileges", "landlock_abi", "seccomp", "escapes"])
def test_a_jail_that_lacks_something_is_not_strong(missing: str) -> None:
    whole = {"rlimits": ("AS",), "no_new_privileges": True, "landlock_abi": 1, "seccomp": True, "escapes": ()}
    assert Isolation(**whole).is_strong
    lacking = {"rlimits": (), "no_new_privileges": False, "landlock_abi": 0, "seccomp": False, "escapes": ("fork",)}
    assert not Isolation(**{**whole, missing: lacking[missing]}).is_strong


#: System calls by number on x86_64 and aarch64, with arguments under which they would do something.
_PATH = ctypes.create_string_buffer(b"/etc/passwd")
_ARGV = (ctypes.c_char_p * 2)(b"/bin/true", None)
_RAW = {
    "open": ((2, -1), (_PATH, 0)),
    "openat": ((257, 56), (-100, _PATH, 0)),
    "openat2": ((437, 437), (-100, _PATH, bytes(24), 24)),
    "stat": ((4, -1), (_PATH, bytes(256))),
    "statx": ((332, 291), (-100, _PATH, 0, 0, bytes(256))),
    "readlink": ((89, -1), (_PATH, bytes(256), 256)),
    "socket": ((41, 198), (socket.AF_INET, socket.SOCK_STREAM, 0)),
    "connect": ((42, 203), (0, bytes(16), 16)),
    "bind": ((49, 200), (0, bytes(16), 16)),
    "fork": ((57, -1), ()),
    "vfork": ((58, -1), ()),
    "clone": ((56, 220), (signal.SIGCHLD, 0, 0, 0, 0)),
    "clone3": ((435, 435), (bytes(64), 64)),
    "execve": ((59, 221), (b"/bin/true", _ARGV, None)),
    "execveat": ((322, 281), (-100, b"/bin/true", _ARGV, None, 0)),
    "kill": ((62, 129), (1, 0)),
    "tkill": ((200, 130), (1, 0)),
    "tgkill": ((234, 131), (1, 1, 0)),
    "pidfd_open": ((434, 434), (1, 0)),
    "ptrace": ((101, 117), (0, 0, 0, 0)),
    "process_vm_writev": ((311, 271), (1, None, 0, None, 0, 0)),
    "prctl": ((157, 167), (15, b"name", 0, 0, 0)),
    "seccomp": ((317, 277), (1, 0, None)),
    "io_uring_setup": ((425, 425), (1, bytes(120))),
    "bpf": ((321, 280), (0, bytes(64), 64)),
    "userfaultfd": ((323, 282), (0,)),
    "memfd_create": ((319, 279), (b"name", 0)),
    "prlimit64": ((302, 261), (0, resource.RLIMIT_NOFILE, None, bytes(16))),
    "mount": ((165, 40), (None, None, None, 0, None)),
    "unshare": ((272, 97), (0,)),
    "setuid": ((105, 146), (0,)),
    "shmget": ((29, 194), (0, 4096, 0o1600)),
    "dup": ((32, 23), (0,)),
    "ioctl": ((16, 29), (0, 0x5401, bytes(64))),
    "getdents64": ((217, 61), (0, bytes(256), 256)),
    "chmod": ((90, -1), (_PATH, 0o777)),
    "unlinkat": ((263, 35), (-100, b"no such file", 0)),
}
_COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]


def raw(number: int, arguments: tuple[Any, ...]) -> list[int]:
    libc = ctypes.CDLL(None, use_errno=True)
    return [libc.syscall(ctypes.c_long(number), *arguments), ctypes.get_errno()]


@pytest.mark.parametrize("name", [name for name, (numbers, _) in _RAW.items() if numbers[_COLUMN] >= 0])
def test_a_system_call_that_no_model_needs_is_denied(name: str) -> None:
    numbers, arguments = _RAW[name]
    assert in_child(lambda: raw(numbers[_COLUMN], arguments)) == [-1, errno.EPERM]


def test_the_other_numbers_of_a_system_call_are_denied_as_well() -> None:
    assert in_child(lambda: raw(0x40000000 + 257, (-100, _PATH, 0)))[0] == -1  # x32, which x86_64 may have


def test_landlock_alone_keeps_files_shut() -> None:
    def attempt() -> list[str]:
        assert jail._prctl(38, 1)
        assert jail._restrict_files()
        found = []
        for place in ("/etc/passwd", "/", "/proc/self/status"):
            try:
                os.close(os.open(place, os.O_RDONLY))
                found.append("opened")
            except PermissionError:
                found.append("denied")
        return found

    assert in_child(attempt, is_jailed=False) == ["denied"] * 3


def test_memory_that_can_be_run_is_denied_also_by_changing_what_there_is() -> None:
    def attempt() -> list[int]:
        page = mmap.mmap(-1, mmap.PAGESIZE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        readable = libc.mprotect(address, mmap.PAGESIZE, mmap.PROT_READ)
        return [readable, libc.mprotect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC), ctypes.get_errno()]

    assert in_child(attempt) == [0, -1, errno.EPERM]


def test_memory_over_the_limit_is_a_memory_error() -> None:
    assert in_child(lambda: len(np.zeros(MEMORY_BYTES // 2, np.uint8))) == MEMORY_BYTES // 2
    # More than this process has mapped already: memory that it has, and has freed, is not held against a child.
    much = 2 * MEMORY_BYTES + jail._mapped_bytes()
    assert in_child(lambda: len(np.zeros(much, np.uint8))).startswith("MemoryError")
    shared = in_child(lambda: len(mmap.mmap(-1, 2 * MEMORY_BYTES)))
    assert "Cannot allocate memory" in shared


def test_descriptors_are_closed_but_those_that_are_kept() -> None:
    def opened() -> list[int]:
        found = []
        for number in range(3, 300):
            try:
                os.fstat(number)
                found.append(number)
            except OSError:
                continue
        return found

    with tempfile.TemporaryFile() as secret, tempfile.TemporaryFile() as kept:
        assert secret.fileno() not in in_child(opened, keep=(kept.fileno(),))
        assert kept.fileno() in in_child(opened, keep=(kept.fileno(),))
        assert secret.fileno() in in_child(opened, is_jailed=False)


def test_a_file_that_is_open_can_be_read_and_mapped() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"keepfit" * 1000)
        file.flush()

        def attempt() -> list[Any]:
            file.seek(0)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            return [file.read(7).decode(), mapped[-7:].decode()]

        assert in_child(attempt, keep=(file.fileno(),)) == ["keepfit", "keepfit"]


def test_a_file_that_is_open_to_write_can_be_made_so_long_and_no_longer() -> None:
    with tempfile.TemporaryFile() as file:

        def attempt() -> list[int]:
            fd = file.fileno()
            lengths = [os.write(fd, bytes(600)), os.write(fd, bytes(600))]
            for more in (
                lambda: os.write(fd, b"x"),
                lambda: os.ftruncate(fd, 5000),
                lambda: os.posix_fallocate(fd, 0, 5000),
                lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
            ):
                try:
                    more()
                    lengths.append(-1)
                except (OSError, ValueError):
                    lengths.append(os.fstat(fd).st_size)
            return lengths

        assert in_child(attempt, keep=(file.fileno(),), file_bytes=1000) == [600, 400, 1000, 1000, 1000, 1000]
        assert "File too large" in in_child(lambda: os.write(file.fileno(), b"x"), keep=(file.fileno(),))


def test_a_limit_of_memory_can_be_set_again() -> None:
    much = (1 << 28) + jail._mapped_bytes()  # not to be had from memory that was freed

    def attempt() -> list[bool]:
        found = []
        for size in (1 << 26, 2 * much, 1 << 26):
            jail.limit_memory(size)
            try:
                np.zeros(much, np.uint8)
                found.append(True)
            except MemoryError:
                found.append(False)
        return found

    assert in_child(attempt, is_jailed=False) == [False, True, False]

"""Where files are: paths, file objects, URLs; and how one is replaced whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, Any, NoReturn

from keepfit.artifact.sniffing import SQLITE_MAGIC
from keepfit.artifact.sources import BytesSource, DiskFile, FileSource, RemoteSource, Source
from keepfit.artifact.writing import NewFile, write
from keepfit.errors import FormatError, UnsupportedError
from keepfit.graph import LIMITS, Graph, Limits

__all__ = ["WriteTo", "is_same_file", "open_bytes", "open_source", "save", "save_by"]

# A scheme of one letter is a Windows drive. "::" chains file systems, as fsspec has it.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:::[A-Za-z][A-Za-z0-9+.-]+)*://")
_LOCAL_URL = re.compile(r"(?:file|local)://")
_PORTION_BYTES = 1 << 26
_LONGEST_NAME_BYTES = 200  # leaves room for what a temporary name adds, below the usual 255

#: Writes a whole file to a binary file object.
WriteTo = Callable[[IO[bytes]], None]

_MESSAGES = {
    errno.EISDIR: "this is a folder; give the name of a file in it",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EACCES: "there is no permission for this place; choose another or have its rights changed",
    errno.EPERM: "there is no permission for this place; choose another or have its rights changed",
    errno.EROFS: "this place is read-only; choose another",
    errno.ENOSPC: "no space is left; make room and try again",
    errno.EDQUOT: "the quota is used up; make room and try again",
    errno.EFBIG: "the file is larger than this place allows; choose another",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def save(graph: Graph, facts: Mapping[str, str], path: str | os.PathLike[str], *, level: int | None = None) -> None:
    """Write a graph to a path or URL, replacing what is there whole or not at all.

    Parameters
    ----------
    graph : Graph
    facts : mapping of str to str
        As for `write`.
    path : str or PathLike
        A path, or a URL (``scheme://...``) that fsspec knows.
    level : int, default=None
        As for `write`.

    Raises
    ------
    UnsupportedError
        If the graph or facts cannot be written (see `write`), or the URL cannot be used: fsspec is not installed, or
        does not know the scheme; or an SQLite database, such as a store, is there. Nothing has been touched then.
    FileNotFoundError
        If the folder does not exist.
    PermissionError, IsADirectoryError, OSError
        As the place has it; the file that was there is whole and the temporary one is gone.
    TypeError
        If `path` is not a str or PathLike of str.

    Notes
    -----
    The file is written under a temporary name in the same folder (``.NAME.RANDOM.tmp``), synced to the disk, and
    renamed; then the folder is synced. Whenever the process or the machine stops, the old file or the new one is
    there, whole; a killed process may leave its temporary file. Several processes may save to one path: one of their
    files is there at the end. A new file has the permissions of any new file (the umask), one that replaces another
    has its permission bits. A symbolic link stays, and what it points to is replaced; other hard links keep the old
    contents. What is not a regular file (``/dev/stdout``, a pipe) is written to as it stands.

    At a URL, the file system's transaction is used; whether what was there survives a failure is up to it.
    """
    save_by(partial(write, graph, facts, level=level), path)


def save_by(write_to: WriteTo, path: str | os.PathLike[str]) -> None:
    """Write a file by a function, to a path or URL, as `save` does with a graph.

    Parameters
    ----------
    write_to : callable
        Takes a binary file object and writes all of the file to it. What it raises leaves what is there whole.
    path : str or PathLike
        As for `save`, which also lists the errors.
    """
    place = _place(path)
    if _URL.match(place):
        _save_at_url(write_to, place)
        return
    try:
        mode = _mode(place)
        if (mode is not None and stat.S_ISDIR(mode)) or not os.path.basename(place):
            raise OSError(errno.EISDIR if place else errno.ENOENT, "")
        if mode is not None and not stat.S_ISREG(mode):
            with open(place, "wb") as file:
                write_to(file)
            return
        _spare_databases(place, mode)
        _replace(write_to, os.path.realpath(place) if os.path.islink(place) else place, mode)
    except OSError as error:
        _raise_clear(error, place, writing=True)


def is_same_file(file: Any, other: Any) -> bool:
    """Whether two places are one regular file that is there, also by way of symbolic or hard links.

    Parameters
    ----------
    file, other : str, PathLike or anything else
        What is no path, or a URL of another machine, is no such file.

    Returns
    -------
    bool
    """
    try:
        places = [_place(each) for each in (file, other)]
        return os.path.samefile(*places) and os.path.isfile(places[0])
    except (OSError, TypeError, ValueError):  # none there; no path; a name that no file can have
        return False


@contextlib.contextmanager
def open_source(
    file: str | os.PathLike[str] | IO[bytes], *, lazily: bool = False, limits: Limits = LIMITS
) -> Iterator[Source]:
    """Open a file to be read part by part; what is no regular file of the disk is read into memory first.

    Parameters
    ----------
    file : str, PathLike or binary file object
        As for `open_bytes`, which also lists the errors.
    lazily : bool, default=False
        Whether a file at a URL is fetched part by part too, not as a whole.
    limits : Limits, default=LIMITS

    Yields
    ------
    source : FileSource, RemoteSource or BytesSource
    """
    if isinstance(file, DiskFile) and _is_regular(file):
        source = FileSource(file, file.tell())
        _check_size(source.size, limits)
        yield source
        if not file.closed:
            file.seek(0, os.SEEK_END)
        return
    place = _place(file) if isinstance(file, str | os.PathLike) else ""
    if place and lazily and _URL.match(place):
        system, path = _file_system(place)
        with _remote_errors(place):
            size = system.size(path)
        if size is not None:  # a server may not tell
            _check_size(size, limits)
            yield RemoteSource(system, path, size)
            return
    if not place or _URL.match(place):
        yield BytesSource(memoryview(open_bytes(file, limits=limits)))
        return
    try:
        with open(place, "rb", buffering=0) as opened:
            if not _is_regular(opened):
                yield BytesSource(memoryview(_all_of(opened, limits)))
                return
            source = FileSource(opened)
            _check_size(source.size, limits)
            yield source
    except OSError as error:
        _raise_clear(error, place, writing=False)


_TEXT_MODE = "the file is open in text mode; open it in binary mode, as in open(path, 'rb')"


def open_bytes(file: str | os.PathLike[str] | IO[bytes], *, limits: Limits = LIMITS) -> bytes | memoryview:
    """Read all bytes of a file.

    Parameters
    ----------
    file : str, PathLike or binary file object
        A path, a URL (``scheme://...``) that fsspec knows, or an object whose ``read`` gives bytes; that is read from
        where it stands, and left open.
    limits : Limits, default=LIMITS

    Returns
    -------
    data : bytes or read-only memoryview
        In memory: nobody can change them after they were checked, as they can in a mapped file.

    Raises
    ------
    FormatError
        If the file is longer than the limit.
    FileNotFoundError
        If there is no such file.
    PermissionError, IsADirectoryError, OSError
        As the place has it.
    UnsupportedError
        If a URL cannot be used: fsspec is not installed, or does not know the scheme.
    TypeError
        If `file` is open in text mode, or is none of the above.
    """
    if isinstance(file, str | os.PathLike) or not hasattr(file, "read"):
        return _read_place(_place(file), limits)
    if isinstance(file, io.TextIOBase):  # before it decodes what is no text
        raise TypeError(_TEXT_MODE)
    return _all_of(file, limits)


def _all_of(file: IO[bytes] | io.RawIOBase, limits: Limits) -> bytes:
    """What is left of a file that may not tell how much that is."""
    parts: list[bytes] = []
    size = 0
    while True:
        data = file.read(_PORTION_BYTES)
        if data is None:
            raise BlockingIOError(
                errno.EAGAIN, "the file is in non-blocking mode and has no more now; open it in blocking mode"
            )
        if isinstance(data, str):
            raise TypeError(_TEXT_MODE)
        if not isinstance(data, bytes):
            raise TypeError(f"the file's read() gave {type(data).__name__} in place of bytes")
        if not data:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        parts.append(data)
        size += len(data)
        _check_size(size, limits)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise FormatError(
            f"the file is longer than {limits.file_bytes:,} bytes, the limit; Limits(file_bytes=...) sets another one"
        )


def _place(path: Any) -> str:
    """A path or URL as a str; URLs of this machine as paths."""
    if isinstance(path, bytes | bytearray | memoryview):
        raise TypeError("these are bytes, not a path; bytes are read with keepfit.loads and made with keepfit.dumps")
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"a path, URL or binary file object was expected, not {type(path).__name__}")
    place = os.fspath(path)
    if not isinstance(place, str):
        raise TypeError("the path is of bytes; give it as str, see os.fsdecode")
    return _LOCAL_URL.sub("", place, count=1) if _LOCAL_URL.match(place) else place


def _is_regular(file: DiskFile) -> bool:
    """Whether what a file object reads is a file of the disk, as it is."""
    raw = file if isinstance(file, io.FileIO) else file.raw
    return isinstance(raw, io.FileIO) and stat.S_ISREG(os.fstat(raw.fileno()).st_mode)


def _mode(place: str) -> int | None:
    try:
        return os.stat(place).st_mode
    except FileNotFoundError:
        return None


def _spare_databases(place: str, mode: int | None) -> None:
    """Refuse to put one file where all models of a store would be lost by it."""
    if mode is None:
        return
    start = b""
    with contextlib.suppress(PermissionError), open(place, "rb", buffering=0) as file:
        start = file.read(len(SQLITE_MAGIC))
    if start == SQLITE_MAGIC:
        raise UnsupportedError(
            f"{place} is an SQLite database, such as a store, and all in it would be lost; give another path"
        )


def _replace(write_to: WriteTo, target: str, mode: int | None) -> None:
    folder, name = os.path.split(target)
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        name = "keepfit"
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)  # less the umask, as for any new file
    try:
        with NewFile(descriptor, "wb") as file:
            if mode is not None and mode & 0o777 != os.fstat(descriptor).st_mode & 0o777:
                os.chmod(temporary, mode & 0o777)  # before anything is in it
            write_to(file)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:  # also when the user stops it
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make a rename last. Not every file system can sync a folder, and Windows cannot open one."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or os.curdir, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_place(place: str, limits: Limits) -> bytes | memoryview:
    if _URL.match(place):
        system, path = _file_system(place)
        with _remote_errors(place), system.open(path, "rb") as file:
            return _all_of(file, limits)
    try:
        with open(place, "rb", buffering=0) as file:
            if not _is_regular(file):
                return _all_of(file, limits)
            source = FileSource(file)
            _check_size(source.size, limits)
            return source.take(0, source.size).toreadonly()
    except OSError as error:
        _raise_clear(error, place, writing=False)


def _save_at_url(write_to: WriteTo, url: str) -> None:
    system, path = _file_system(url)
    with _remote_errors(url), system.transaction, system.open(path, "wb") as file:
        write_to(file)


def _file_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise UnsupportedError(f"{url} is a URL, and those need fsspec: pip install 'fsspec[http]'") from None
    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UnsupportedError(f"{url} cannot be used: {error}") from error
    return system, path


@contextlib.contextmanager
def _remote_errors(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "there is no such file or folder", url) from error
    except (NotImplementedError, ValueError) as error:  # such as a file system that can only be read
        raise UnsupportedError(f"{url} cannot be used: {error or 'its file system does not do this'}") from error


def _raise_clear(error: OSError, place: str, *, writing: bool) -> NoReturn:
    """The same error, with words that say what to do."""
    number = error.errno or errno.EIO
    message = _MESSAGES.get(number, error.strerror or str(error))
    if number == errno.ENOENT:
        message = "there is no such file; check the path"
        if writing:
            message = "its folder does not exist; make it first"
    raise OSError(number, message, place) from error

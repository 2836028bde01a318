"""Where the models of a server are: a store, a folder of files or one file. Each tells what there is and writes it out.

All methods wait for a disk or a database: a server calls them in threads.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from keepfit.errors import ServeError
from keepfit.store import ModelInfo, ModelNotFoundError, Store, VersionInfo

__all__ = ["MODEL_NAME", "FileSource", "FolderSource", "Found", "Source", "StoreSource", "open_source"]

#: What a model may be called, so that it can stand in a URL, a log and a header as it is.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_SUFFIX = ".safetensors"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A version of a model that is there to be loaded.

    Parameters
    ----------
    name, version : str
    tag : str
        Another one means that the version has other contents.
    created_at : datetime
        In UTC.
    digest : str
        As in `keepfit.store.ModelInfo`; empty where it is not known before it is written out.
    is_newest : bool, default=True
    aliases : tuple of str, default=()
    tenant : str, default=None
        Who uploaded it; None for the operator's own.
    """

    name: str
    version: str
    tag: str
    created_at: datetime
    digest: str = ""
    is_newest: bool = True
    aliases: tuple[str, ...] = ()
    tenant: str | None = None


class Source(Protocol):
    """A place that holds models.

    Attributes
    ----------
    skipped : tuple of str
        Names that do not fit into URLs, of the last listing.
    """

    skipped: tuple[str, ...]

    def listing(self) -> list[Found]:
        """Of every name the newest version and those that have aliases. Names that do not fit are not among them."""

    def find(self, name: str, version: str) -> Found | None:
        """A version, by number or alias, whether it is in the listing or not."""

    def versions(self, name: str) -> list[str]:
        """All versions of a name, the oldest first."""

    def write(self, found: Found, file: BinaryIO) -> str:
        """Write a version as a keepfit file, and give its digest.

        Raises
        ------
        KeepfitError, OSError
            If it is gone, changes meanwhile or is damaged.
        """


def open_source(place: str | Store) -> Source:
    """The source at a place: a store, a folder, or a file.

    Raises
    ------
    ServeError
        If there is nothing.
    """
    if isinstance(place, Store):
        return StoreSource(place)
    path = Path(place)
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return FileSource(path)
    raise ServeError(f"there is no {place}; give a store, a folder of {_SUFFIX} files, or one such file")


class StoreSource:
    """The models of a store, the operator's and the tenants'."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.skipped: tuple[str, ...] = ()

    def listing(self) -> list[Found]:
        listed = self._store.listing()
        self.skipped = tuple(sorted({one.name for one in listed if not MODEL_NAME.fullmatch(one.name)}))
        return [_found_in_store(one) for one in listed if MODEL_NAME.fullmatch(one.name)]

    def find(self, name: str, version: str) -> Found | None:
        try:
            info = self._store.info(name, int(version) if _VERSION.fullmatch(version) else version)
        except ModelNotFoundError:
            return None
        return _found_in_store(info)

    def versions(self, name: str) -> list[str]:
        try:
            return [str(one.version) for one in self._store.versions(name)]
        except ModelNotFoundError:
            return []

    def write(self, found: Found, file: BinaryIO) -> str:
        self._store.export(found.name, file, version=int(found.version))
        return found.digest


def _found_in_store(info: VersionInfo | ModelInfo) -> Found:
    newest = isinstance(info, VersionInfo) and info.is_newest
    tag = f"{info.digest} {info.created_at.timestamp()}"  # the name may have been deleted and made anew
    return Found(info.name, str(info.version), tag, info.created_at, info.digest, newest, info.aliases, info.tenant)


class FolderSource:
    """Files in a folder: ``NAME.safetensors`` is version 1; with versions, ``NAME/VERSION.safetensors``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.skipped: tuple[str, ...] = ()

    def listing(self) -> list[Found]:
        found: dict[str, Found] = {}
        skipped = set()
        for entry in sorted(os.scandir(self._folder), key=lambda one: one.is_dir()):  # a folder goes over a file
            if not entry.is_dir() and not entry.name.endswith(_SUFFIX):
                continue
            name = entry.name if entry.is_dir() else entry.name.removesuffix(_SUFFIX)
            if not MODEL_NAME.fullmatch(name):
                skipped.add(entry.name)
                continue
            newest = self.find(name, max(self.versions(name), key=int, default="1"))
            if newest is not None:
                found[name] = newest
        self.skipped = tuple(sorted(skipped))
        return list(found.values())

    def find(self, name: str, version: str) -> Found | None:
        known = self.versions(name)
        if not MODEL_NAME.fullmatch(name) or version not in known:
            return None
        return _found_at(self._path(name, version), name, version, is_newest=version == known[-1])

    def versions(self, name: str) -> list[str]:
        if not MODEL_NAME.fullmatch(name):
            return []
        try:
            inside = [one.removesuffix(_SUFFIX) for one in os.listdir(self._folder / name) if one.endswith(_SUFFIX)]
        except OSError:
            inside = []
        versions = sorted((one for one in inside if _VERSION.fullmatch(one)), key=int)
        return versions or (["1"] if self._path(name, "1").is_file() else [])

    def write(self, found: Found, file: BinaryIO) -> str:
        return _copy(self._path(found.name, found.version), found, file)

    def _path(self, name: str, version: str) -> Path:
        inside = self._folder / name / f"{version}{_SUFFIX}"
        return inside if inside.is_file() else self._folder / f"{name}{_SUFFIX}"


class FileSource:
    """One file, under its name without the suffix."""

    def __init__(self, path: Path) -> None:
        name = path.name.removesuffix(_SUFFIX)
        if not MODEL_NAME.fullmatch(name):
            raise ServeError(f"{path.name!r}: a model that is served is named by letters, digits, '.', '_' and '-'")
        self._path, self._name = path, name
        self.skipped: tuple[str, ...] = ()

    def listing(self) -> list[Found]:
        found = _found_at(self._path, self._name, "1", is_newest=True)
        return [] if found is None else [found]

    def find(self, name: str, version: str) -> Found | None:
        return next((one for one in self.listing() if (one.name, one.version) == (name, version)), None)

    def versions(self, name: str) -> list[str]:
        return ["1"] if name == self._name and self._path.is_file() else []

    def write(self, found: Found, file: BinaryIO) -> str:
        return _copy(self._path, found, file)


def _found_at(path: Path, name: str, version: str, *, is_newest: bool) -> Found | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return Found(name, version, _tag_of(told), datetime.fromtimestamp(told.st_mtime, UTC), is_newest=is_newest)


def _tag_of(told: os.stat_result) -> str:
    return f"{told.st_dev} {told.st_ino} {told.st_size} {told.st_mtime_ns}"


def _copy(path: Path, found: Found, target: BinaryIO) -> str:
    """Copy a file that others may write to: what is served is the copy, which nobody changes any more."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            target.write(block)
        if _tag_of(os.fstat(file.fileno())) != found.tag:
            raise ServeError(f"{path.name} is being written; it is looked at again when that is done")
    return digest.hexdigest()

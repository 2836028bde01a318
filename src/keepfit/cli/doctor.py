"""``keepfit doctor``: is everything here that keepfit needs, and is a store in good health."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from keepfit.cli.screen import clean, counted, size, write_json
from keepfit.errors import KeepfitError

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit doctor
  keepfit doctor state.db
The exit code is 1 where something is marked FAIL.
"""

_NEEDED = ("keepfit", "scikit-learn", "numpy", "scipy", "joblib", "msgspec", "xxhash", "SQLAlchemy", "click", "rich")

#: Distributions that are not needed, and how each is installed.
_OPTIONAL = {
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "polars": "polars",
    "fsspec": "'fsspec[http]'",
    "cloudpickle": "cloudpickle",
    "backports.zstd": "backports.zstd",
    "psycopg": "'psycopg[binary]'",
    "starlette": "'keepfit[serve]'",
    "uvicorn": "'keepfit[serve]'",
    "prometheus-client": "'keepfit[serve]'",
}

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")

_FREE_BYTES = 500_000_000

_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "glusterfs", "ceph", "lustre")


@dataclass
class _Finding:
    part: str
    mark: str
    what: str
    detail: str


@click.command(epilog=_EPILOG, short_help="Check the installation.")
@click.argument("store", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def command(context: click.Context, store: str | None, as_json: bool) -> None:
    """Check the installation: versions, extras, jails, threads, room on the disk; and STORE, if one is given."""
    findings = [*_releases(), *_extras(), *_serving(), *_threads(), *_places(), *(_store(store) if store else ())]
    if as_json:
        write_json([asdict(finding) for finding in findings])
    else:
        part = ""
        for one in findings:
            if one.part != part:
                part = one.part
                click.echo(part)
            click.echo(f"  {one.mark:4}  {clean(one.what):18}  {clean(one.detail)}")
    context.exit(1 if any(one.mark == "FAIL" for one in findings) else 0)


def _releases() -> Iterator[_Finding]:
    from keepfit.codecs.estimators import supported_releases
    from keepfit.codecs.versions import short_version

    yield _Finding("versions", "ok", "Python", f"{platform.python_version()} on {platform.platform()}")
    for name in _NEEDED:
        release = _release(name)
        if release is None:
            mark, detail = ("note", "runs from a source tree") if name == "keepfit" else ("FAIL", "not installed")
            yield _Finding("versions", mark, name, detail)
        elif name == "scikit-learn" and short_version(release) not in supported_releases():
            first, last = (".".join(map(str, one)) for one in (supported_releases()[0], supported_releases()[-1]))
            yield _Finding("versions", "note", name, f"{release}; this keepfit is tested with {first} to {last}")
        else:
            yield _Finding("versions", "ok", name, release)
    yield _Finding("versions", "ok", "SQLite", sqlite3.sqlite_version)
    yield _kernel()


def _kernel() -> _Finding:
    from keepfit.codecs.tree_nodes import kernel

    if kernel is not None:
        return _Finding("versions", "ok", "checks of trees", "compiled")
    slow = "by NumPy, which takes several times as long: install keepfit anew where there is a C compiler"
    return _Finding("versions", "note", "checks of trees", f"{slow}; in a clone that is not installed, `make kernel`")


def _extras() -> Iterator[_Finding]:
    for name, package in _OPTIONAL.items():
        release = _release(name)
        if release is not None:
            yield _Finding("extras", "ok", name, release)
        else:
            yield _Finding("extras", "-", name, f"not installed; pip install {package}")


def _serving() -> Iterator[_Finding]:
    """What would hold a stranger's model that `keepfit serve` runs: found out by trying to get out of a jail."""
    from keepfit.serve.jail import probe

    found = probe()
    walls = {
        "limits": ", ".join(found.rlimits),
        "no new privileges": "yes" if found.no_new_privileges else "",
        "Landlock": f"ABI {found.landlock_abi}" if found.landlock_abi else "",
        "seccomp": "yes" if found.seccomp else "",
    }
    if found.is_strong:
        yield _Finding("serving", "ok", "jails", "strong: of what must not be, nothing could be done in one")
    else:
        escapes = f" (a model could {', '.join(found.escapes)})" if found.escapes else ""
        yield _Finding("serving", "note", "jails", f"weak{escapes}; models of strangers are refused")
    for name, detail in walls.items():
        yield _Finding("serving", "ok" if detail else "-", name, detail or "not on this machine")


def _threads() -> Iterator[_Finding]:
    import joblib
    import sklearn.ensemble  # noqa: F401 - loads the thread pools that threadpoolctl tells of
    from threadpoolctl import threadpool_info

    yield _Finding("threads", "ok", "cores", f"{os.cpu_count()}, of which joblib uses {joblib.cpu_count()}")
    for pool in threadpool_info():
        name = f"{pool['user_api']} ({pool['internal_api']})"
        yield _Finding("threads", "ok", name, f"{pool['num_threads']} threads")
    for name in _THREAD_VARIABLES:
        if name in os.environ:
            yield _Finding("threads", "ok", name, os.environ[name])


def _places() -> Iterator[_Finding]:
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"keepfit")
    except OSError as error:
        yield _Finding("disk", "FAIL", "temporary folder", f"{folder} cannot be written: {error.strerror}")
        return
    yield _room("disk", "temporary folder", folder)


def _store(place: str) -> Iterator[_Finding]:
    from keepfit.cli.addresses import check_database, open_store

    part = f"store {clean(place)}"
    path = Path(place)
    if path.is_file():
        yield _room(part, "folder", str(path.absolute().parent))
        yield from _rights(part, path)
    try:
        yield _Finding(part, "ok", "integrity", check_database(place))
        with open_store(place) as store:
            searches = store.work.searches()
            models = {name: len(store.versions(name)) for name in store}
    except KeepfitError as error:
        yield _Finding(part, "FAIL", "store", str(error))
        return
    stored = f", {size(path.stat().st_size)}" if path.is_file() else ""
    yield _Finding(part, "ok", "models", f"{len(models):,}, in {counted(sum(models.values()), 'version')}{stored}")
    fits = sum(one.computed for one in searches)
    yield _Finding(part, "ok", "searches", f"{len(searches):,}, with {counted(fits, 'fit')} computed")
    failing = sum(one.failed > 0 for one in searches)  # searches share failures, as they share other work
    if failing:
        yield _Finding(
            part,
            "note",
            "failed fits",
            f"in {failing:,} of all searches; keepfit status {place} --failures",
        )


def _rights(part: str, path: Path) -> Iterator[_Finding]:
    from keepfit.store.readonly import unwritable

    if what := unwritable(path):
        yield _Finding(part, "note", "rights", f"it can be read, not written: no permission to write {clean(what)}")
    elif os.name == "posix" and path.stat().st_mode & 0o002:
        yield _Finding(part, "note", "rights", "anybody on this machine may write it: chmod o-w")
    else:
        yield _Finding(part, "ok", "rights", "it can be read and written")
    kind = _file_system(path)
    if kind in _NETWORK_FILE_SYSTEMS:
        yield _Finding(
            part, "FAIL", "file system", f"{kind} is no local disk: SQLite may lose data there; use PostgreSQL"
        )


def _room(part: str, what: str, folder: str) -> _Finding:
    free = shutil.disk_usage(folder).free
    mark = "ok" if free > _FREE_BYTES else "note"
    return _Finding(part, mark, what, f"{folder}, {size(free)} free")


def _file_system(path: Path) -> str:
    """The kind of file system a path is on, where Linux says so; the longest mount point that leads to it counts."""
    if not sys.platform.startswith("linux"):
        return ""
    found, longest = "", -1
    place = str(path.resolve())
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if (place == point or place.startswith(point.rstrip("/") + "/")) and len(point) > longest:
            found, longest = kind, len(point)
    return found


def _release(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

"""The wheel of the keepfit that runs, for an image in which the same is to run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click

import keepfit
from keepfit.cli.screen import say
from keepfit.errors import KeepfitError

__all__ = ["check_wheel", "installed_from", "make_wheel"]

_WHEEL = re.compile(r"keepfit-[A-Za-z0-9_.+]+-(?:py3-none-any|cp311-abi3-(?P<platform>\w+(\.\w+)*))\.whl")
_HOW = "make a wheel in a clone of keepfit, pip wheel --no-deps -w dist PATH, and give it: --wheel FILE"


def make_wheel(folder: Path) -> Path:
    """Have pip make a wheel of the keepfit that runs, from where it was installed, as that is now.

    No release of the same number is taken from a package index in its place: there it might be anybody's.

    Parameters
    ----------
    folder : Path
        Where to.

    Returns
    -------
    Path

    Raises
    ------
    KeepfitError
        If where it came from is not known or gone, or pip fails.

    Notes
    -----
    Some seconds. pip gets setuptools from its package index, as it does when it installs from a folder.
    """
    place = installed_from()
    if place is None:
        what = "what this one was installed from is gone, or somebody else's"
        raise KeepfitError(f"the image needs a wheel of keepfit, and {what}; {_HOW}")
    say(f"making a wheel of keepfit from {place}")
    # -P: a pip.py in the current folder is somebody else's
    pip = [sys.executable, "-P", "-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--wheel-dir", folder, place], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise KeepfitError(f"pip made no wheel of {place}: {said[-1]}; {_HOW}")
    made = next(folder.glob("keepfit-*.whl"), None)
    if made is None:
        raise KeepfitError(f"{place} is not keepfit any more; {_HOW}")
    return made


def installed_from() -> Path | None:
    """The folder or file that the keepfit that runs comes from; None if it came from a package index, or is gone.

    What is there now may be somebody else's, where anybody may put something (``/tmp``), and to make a wheel of it is
    to run it. So it must belong to who owns the keepfit that runs, to this user or to root.
    """
    package = Path(keepfit.__file__).resolve().parent
    clone = package.parents[1]
    if package.parent.name == "src" and _is_keepfit(clone / "pyproject.toml"):
        return clone
    try:
        found = distribution("keepfit")
    except PackageNotFoundError:
        return None
    if Path(str(found.locate_file("keepfit"))).resolve() != package:  # another one is installed than runs
        return None
    url = urlsplit(json.loads(found.read_text("direct_url.json") or "{}").get("url", ""))  # PEP 610
    path = Path(url2pathname(url.path))
    ours = {0, _owner(package), os.getuid() if os.name == "posix" else 0}
    return path if url.scheme == "file" and _owner(path) in ours else None


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid  # on Windows 0
    except OSError:  # it is gone
        return None


def _is_keepfit(project: Path) -> bool:
    try:
        return bool(tomllib.loads(project.read_text())["project"]["name"] == "keepfit")
    except (OSError, ValueError, KeyError):
        return False


def check_wheel(wheel: Path) -> None:
    """See that a file is called as a wheel of keepfit that installs in the image.

    Raises
    ------
    click.UsageError
        If it is not.
    """
    found = _WHEEL.fullmatch(wheel.name)
    if found is None:
        raise click.UsageError(f"{wheel.name!r} is no wheel of keepfit")
    if found["platform"] and "linux" not in found["platform"]:
        python = f"python:{sys.version_info.major}.{sys.version_info.minor}"
        raise click.UsageError(
            f"{wheel.name} is for {found['platform']}, and the image is Linux; make one there, in a clone of keepfit: "
            f'docker run --rm -v "$PWD":/keepfit {python} pip wheel --no-deps -w /keepfit/dist /keepfit; '
            "and give it: --wheel FILE"
        )

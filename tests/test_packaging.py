"""What is installed: every file of the package, with the compiled check of trees or without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What wheels are built from, without what earlier builds left."""
    target = tmp_path / "clone"
    left = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
    shutil.copytree(ROOT / "src", target / "src", ignore=left)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    return target


@pytest.mark.long  # it gets setuptools from a package index
@pytest.mark.parametrize("compiler", [None, "false"])
def test_a_wheel_has_every_file_of_the_package_also_where_nothing_compiles(clone: Path, compiler: str | None) -> None:
    environment = {**os.environ, **({"CC": compiler} if compiler else {})}
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", clone / "dist", clone]
    subprocess.run(pip, env=environment, check=True)
    (wheel,) = (clone / "dist").glob("keepfit-*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("keepfit/")}
    files = {str(path.relative_to(clone / "src")) for path in (clone / "src" / "keepfit").rglob("*") if path.is_file()}
    assert {name for name in files if not name.endswith(".c")} == {name for name in shipped if not name.endswith(".so")}
    has_compiler = compiler is None and shutil.which(os.environ.get("CC", "cc"))
    assert [name for name in shipped if name.endswith(".so")] == ["keepfit/codecs/_tree_kernel.abi3.so"] * bool(
        has_compiler
    )
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from keepfit.codecs.tree_nodes import kernel; print(bool(kernel))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, wheel_folder(wheel)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(bool(has_compiler))


def wheel_folder(wheel: Path) -> Path:
    folder = wheel.with_suffix("")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder

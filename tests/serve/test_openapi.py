"""The description of the interface, held against the server by schemathesis."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from http_rig import Place, Running, running

from keepfit.serve.openapi import openapi

#: Whether a request that is well formed can be answered depends on the model, so a 400 of it is no mistake.
DEPENDS_ON_THE_MODEL = "positive_data_acceptance"


def test_all_that_it_refers_to_is_there() -> None:
    schemas = openapi()["components"]["schemas"]

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            found = {str(value["$ref"]).rpartition("/")[2]} if "$ref" in value else set()
            return found.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, (list, tuple)) else set()

    assert references(openapi()) == schemas.keys()


@pytest.mark.parametrize("role", ["ann", "admin"])
def test_the_server_does_what_it_says(place: Place, tmp_path: Path, role: str) -> None:
    for suffix in ("", "-wal", "-shm"):  # a store of its own: models are unloaded
        if Path(f"{place.path}{suffix}").exists():
            shutil.copy(f"{place.path}{suffix}", tmp_path / f"state.db{suffix}")
    with running(tmp_path / "state.db", "--tokens") as server:
        assert schemathesis(server, place.tokens[role], tmp_path, is_admin=role == "admin") == []
        assert not [line for line in server.lines if line["level"] == "error"]


def schemathesis(server: Running, token: str, folder: Path, *, is_admin: bool) -> list[str]:
    """The failures that it found."""
    command = [
        Path(sys.executable).parent / "schemathesis",
        *("run", f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {token}", "--no-color"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1", "--request-timeout", "20"),
        *("--exclude-checks", DEPENDS_ON_THE_MODEL),
    ]
    if is_admin:  # of what the others may not; but a model that was unloaded is 503, which counts as a failure there
        command += ["--include-path-regex", "/load$|index"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    failures = [line for line in done.stdout.splitlines() if line.startswith("- ST")]
    assert (done.returncode == 0) == (not failures), done.stdout[-3000:] + done.stderr[-3000:]
    assert "generated" in done.stdout
    return failures

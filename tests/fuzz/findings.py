"""Findings kept as files: each is refused, or does no harm, for ever after."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from rig import Finding

__all__ = ["FOLDER", "Kept", "keep", "kept"]

FOLDER = Path(__file__).parent.parent / "corpus" / "fuzz"
_LIST = "findings.jsonl"


@dataclass(frozen=True)
class Kept:
    """A file that once did harm: its name, the subject it was made from, what it did, what had been changed."""

    name: str
    subject: str
    what: str
    changes: list[str]


def keep(finding: Finding, folder: Path = FOLDER) -> Path:
    """Write the file of a finding into a folder, and a line about it into the folder's list."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{finding.label}-{hashlib.sha256(finding.file).hexdigest()[:12]}.safetensors"
    if name not in {one.name for one in kept(folder)}:
        (folder / name).write_bytes(finding.file)
        line = {"name": name, "subject": finding.label, "what": finding.what, "changes": list(finding.changes)}
        with (folder / _LIST).open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return folder / name


def kept(folder: Path = FOLDER) -> list[Kept]:
    """What the list of a folder says of its files."""
    path = folder / _LIST
    return [Kept(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

"""Reports as SARIF 2.1.0, which code-scanning services read.

Rules: https://docs.oasis-open.org/sarif/sarif/v2.1.0/, sections 3.13 (sarifLog), 3.14 (run) and 3.27 (result).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from keepfit.codecs.versions import running_version
from keepfit.errors import KeepfitError
from keepfit.inspection.rendering import printable
from keepfit.inspection.report import Report

__all__ = ["as_sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_RULES = {
    "refused": "Names or structures outside keepfit's tables",
    "unreadable": "The file cannot be read to its end",
}


def as_sarif(reports: Mapping[str, Report | KeepfitError | OSError]) -> dict[str, Any]:
    """The findings of several files as one SARIF log.

    Parameters
    ----------
    reports : mapping of str to Report or error
        By the path of the file; an error for a file there is no report on.

    Returns
    -------
    dict
        One run, with a result for each thing that is refused or cannot be read. Plain data for JSON.
    """
    rules = [
        {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": "error"}}
        for name, text in _RULES.items()
    ]
    results = [result for path, report in reports.items() for result in _results(path, report)]
    driver = {"name": "keepfit", "version": running_version("keepfit") or "0.0.0", "rules": rules}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}],
    }


def _results(path: str, report: Report | KeepfitError | OSError) -> Iterator[dict[str, Any]]:
    if not isinstance(report, Report):
        yield _result("unreadable", str(report), path, "")
        return
    for part in (report, *report.parts):
        inside = f"{part.name}: " if part.name else ""
        rule = "unreadable" if part.verdict == "unreadable" else "refused"
        for obstacle in part.obstacles:
            yield _result(rule, f"{inside}{obstacle.message}", path, obstacle.place)
        places = {effect.name: effect.place for effect in part.imports}
        for name, place in part.untrusted_types.items():
            yield _result(rule, f"{inside}{name} is not in keepfit's tables", path, place, places.get(name))
        if part.capabilities:
            yield _result(rule, f"{inside}needs allow={{{', '.join(map(repr, part.capabilities))}}}", path, "")


def _result(rule: str, text: str, path: str, place: str, byte: int | None = None) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(PurePath(path).as_posix())}}
    if byte is not None:
        physical["region"] = {"byteOffset": byte, "byteLength": 0}
    location: dict[str, Any] = {"physicalLocation": physical}
    if place:
        location["logicalLocations"] = [{"fullyQualifiedName": printable(place, 400), "kind": "member"}]
    return {
        "ruleId": rule,
        "ruleIndex": list(_RULES).index(rule),
        "level": "error",
        "message": {"text": printable(text, 1000)},
        "locations": [location],
    }

"""The limits that the documents state."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from keepfit.serve.limits import HttpLimits

SERVING = Path(__file__).parent.parent.parent / "docs" / "serving.md"


def test_the_limits_in_the_document_are_the_limits() -> None:
    stated: dict[str, float] = {}
    for names, values in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([\d, ]+) \|", SERVING.read_text(), re.MULTILINE):
        for name, value in zip(re.findall(r"\w+", names), values.split(", "), strict=True):
            stated[name] = float(value.replace(",", ""))
    limits = asdict(HttpLimits())
    assert {name: stated[name] for name in limits} == limits

"""Predictions beside what was to be predicted, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from keepfit.cli.frames import as_kind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "comparison_for"]


class Comparison(Protocol):
    """What takes predictions and the truth, and says in the end how they agree."""

    def add(self, outputs: Any, truth: pd.Series) -> None:
        """Some rows more."""

    def text(self) -> str:
        """How they agree, in words."""


def comparison_for(metadata: Mapping[str, Any]) -> Comparison:
    """Accuracy for classes, r2 for amounts, as the search that made a model noted its task."""
    return _Amounts() if metadata.get("task") == "regression" else _Classes()


class _Classes:
    def __init__(self) -> None:
        self._same = self._rows = 0

    def add(self, outputs: Any, truth: pd.Series) -> None:
        import pandas

        predicted = as_kind(pandas.Series(outputs), "text").to_numpy()
        self._same += int((as_kind(truth, "text").to_numpy() == predicted).sum())
        self._rows += len(truth)

    def text(self) -> str:
        return f"{self._same:,} of {self._rows:,} are as predicted, accuracy {self._same / self._rows:.5f}"


class _Amounts:
    """The coefficient of determination of rows that come in parts: sums about the mean so far, joined as in Chan, Golub
    and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances"."""

    def __init__(self) -> None:
        self._rows = 0
        self._mean = self._squares = self._residuals = 0.0

    def add(self, outputs: Any, truth: pd.Series) -> None:
        known = as_kind(truth, "number").to_numpy()
        rows, mean = len(known), float(known.mean())
        apart = mean - self._mean
        both = self._rows + rows
        self._squares += float(((known - mean) ** 2).sum()) + apart**2 * self._rows * rows / both
        self._mean += apart * rows / both
        self._residuals += float(((known - outputs) ** 2).sum())
        self._rows = both

    def text(self) -> str:
        if not self._squares > 0:  # NaN too: some are missing
            return "it does not vary, or has no number in some rows, so there is no r2"
        return f"r2 {1 - self._residuals / self._squares:.5f}"

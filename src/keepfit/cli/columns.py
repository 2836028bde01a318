"""Which column of a table goes where in a model: by names, of the kinds that the model was fitted on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keepfit.cli.frames import as_kind, close_to, kind_of, kinds_in, no_numbers
from keepfit.cli.screen import clean, counted, say, table
from keepfit.errors import KeepfitError
from keepfit.serve.columns import Column, layout_of

if TYPE_CHECKING:
    import pandas as pd

    from keepfit.cli.chunks import Table

__all__ = ["Matching", "match"]


@dataclass
class _Column:
    """One column that the model takes.

    Attributes
    ----------
    name : str
        Empty where the model was fitted without names.
    kind : str
        As `as_kind` has it, or ``"as it is"``.
    reason : str
        What told it.
    is_sure : bool
        Whether the model, or its file, told it: then what is no number counts as missing, otherwise it is an error.
    as_category : bool
    categories : tuple
        Those that the model knows; with NaN where it knows a missing one.
    is_text : bool
        Whether the model reads texts there, of which an empty one is one.
    """

    name: str
    kind: str
    reason: str
    is_sure: bool
    as_category: bool = False
    categories: tuple[Any, ...] = ()
    is_text: bool = False


@dataclass
class Matching:
    """How the columns of a table meet those of a model; `match` makes it.

    Attributes
    ----------
    file : str
        The table's name.
    columns : list of _Column
        Those that the model takes, in its order.
    sources : list of (str or None)
        For each, the column of the table that goes there; None where it has none.
    ignored : list of str
        Columns of the table that the model does not know.
    left_out : list of str
        Columns that were in the table of the search too, which left them out.
    target : str or None
        The column that is predicted, where the table has it.
    is_reordered : bool
    form : {"frame", "array", "texts"}
        What the model is given.
    marks : frozenset of str
        The texts of the table that stand for a missing value, but where the model knows them as text.
    """

    file: str
    columns: list[_Column]
    sources: list[str | None]
    ignored: list[str]
    left_out: list[str]
    target: str | None
    is_reordered: bool
    form: str
    marks: frozenset[str]
    _strange: dict[str, list[str]] = field(default_factory=dict)
    _rows: int = 0

    @property
    def as_written(self) -> set[str]:
        """Columns of the table that are text, whatever their values look like."""
        pairs = zip(self.sources, self.columns, strict=True)
        return {source for source, column in pairs if source is not None and _is_written(column)}

    def check(self) -> None:
        """Refuse a table that lacks a column.

        Raises
        ------
        KeepfitError
        """
        missing = [column.name for column, source in zip(self.columns, self.sources, strict=True) if source is None]
        if self.form != "frame" and (missing or self.ignored):
            count = len(self.sources) - len(missing) + len(self.ignored)
            takes = f"was fitted on {len(self.columns)}, without names; give it those in that order"
            takes = takes if self.form == "array" else "reads one column of texts; give it that column"
            raise KeepfitError(f"{self.file} has {counted(count, 'column')} and the model {takes}")
        if not missing:
            return
        hint = f"; {close_to(missing[0], self.ignored)}" if len(missing) == 1 and self.ignored else ""
        wanted = {name.lower() for name in missing}
        alike = [name for name in self.ignored if name.lower() in wanted]
        if len(missing) > 1 and alike:
            hint = f"; it has {_these(alike)}, and upper and lower case count"
        if self.ignored and self.ignored[0].startswith("{"):
            hint = "; it looks like JSON lines: --format jsonl, or the ending .jsonl"
        raise KeepfitError(f"{self.file} lacks {_these(missing)}, which the model was fitted on{hint}")

    def tell(self) -> None:
        """Say what is not as it was in fitting, and what was decided from the table's first rows."""
        if self.ignored:
            say(f"{self.file}: left aside, because the model does not know {_these(self.ignored)}")
        if self.is_reordered:
            say(f"{self.file}: columns are in another order than in fitting; they were put in that order")
        decided = [column for column in self.columns if not column.is_sure and column.kind != "number"]
        if decided:
            what = ", ".join(f"{clean(column.name)!r} {column.kind}" for column in decided[:8])
            say(f"{self.file}: the model does not tell what it takes there; by the first rows, {what}")

    def explain(self) -> str:
        """A line for each column of the model and of the table: what goes where."""
        rows = []
        for place, (column, source) in enumerate(zip(self.columns, self.sources, strict=True)):
            close = "" if self.form != "frame" or not self.ignored else close_to(column.name, self.ignored)
            found = source if source is not None else f"MISSING{': ' + close if close.startswith('did') else ''}"
            rows.append((column.name or f"column {place + 1}", column.kind, column.reason, found))
        rows += [("-", "-", "the model does not know it", f"{name} (ignored)") for name in self.ignored]
        rows += [("-", "-", "the search left it out", f"{name} (ignored)") for name in self.left_out]
        if self.target is not None:
            rows.append(("-", "-", "what the model predicts", f"{self.target} (compared)"))
        return table(("model", "kind", "told by", self.file), rows)

    def select(self, part: pd.DataFrame) -> Any:
        """What the model is given for some rows of the table.

        Raises
        ------
        KeepfitError
            If a column that began with numbers goes on with something else, and the model does not tell what it takes.
        """
        import pandas

        found = {}
        for place, (column, source) in enumerate(zip(self.columns, self.sources, strict=True)):
            name = column.name if self.form == "frame" else place
            found[name] = self._converted(part[source], column)
        self._rows += len(part)
        frame = pandas.DataFrame(found)
        if self.form == "texts":
            return frame[0].tolist()
        return frame if self.form == "frame" else frame.to_numpy()

    def blame(self, part: pd.DataFrame, error: str) -> str:
        """The value that the model will not have, where its error tells only the number of a column, or not even that.

        Parameters
        ----------
        part : DataFrame
            The rows that were selected last.
        error : str

        Returns
        -------
        str
            Empty where nothing is found that the error could mean.
        """
        is_unknown, is_no_text = "unknown categories" in error, "invalid document" in error
        for column, source in zip(self.columns, self.sources, strict=True):
            values = self._converted(part[source], column)
            if is_unknown and column.categories:
                wrong, what = ~values.isin(column.categories), "is no category that the model knows"
            elif is_no_text and column.is_text:
                wrong, what = values.isna(), "is no text"
            else:
                continue
            if wrong.any():
                place = int(wrong.to_numpy().argmax())
                row = self._rows - len(part) + place + 1
                return f"in {clean(source)!r}, {_shown(part[source], values, place)} in row {row:,} {what}"
        return ""

    def tell_strange(self) -> None:
        """Say which values were no numbers."""
        for name, values in self._strange.items():
            shown = ", ".join(repr(clean(value, 30)) for value in values[:5])
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            say(f"{self.file}: in {clean(name)!r}, {shown}{more} are no numbers and count as missing")

    def _converted(self, values: pd.Series, column: _Column) -> pd.Series:
        if column.kind == "as it is":
            return values
        if column.kind == "number":
            self._note_strange(values, column)
        if self.marks and _is_written(column) and not column.is_text:
            values = values.mask(values.isin(self.marks.difference(column.categories)))
        converted = as_kind(values, column.kind)
        return converted.astype("category") if column.as_category else converted

    def _note_strange(self, values: pd.Series, column: _Column) -> None:
        strange = no_numbers(values)
        if not strange:
            return
        if not column.is_sure:
            row = self._rows + 1 + int((values.astype(str) == strange[0]).to_numpy().argmax())
            raise KeepfitError(
                f"{self.file}: in {clean(values.name)!r}, {clean(strange[0], 30)!r} in row {row:,} is no number, and "
                "those before are"
            )
        known = self._strange.setdefault(str(values.name), [])
        known += [value for value in strange if value not in known][: 100 - len(known)]


def match(model: Any, facts: Mapping[str, str], metadata: Mapping[str, Any], data: Table) -> Matching:
    """Find out which column of a table goes where in a model.

    Parameters
    ----------
    model : fitted estimator
    facts : mapping of str to str
        Those of its file.
    metadata : mapping of str to JSON-able
        The user's own facts: ``columns``, ``left_out`` and ``target`` are what `keepfit search` notes.
    data : Table

    Returns
    -------
    Matching
        Also where columns are missing; its ``check`` refuses that.

    Raises
    ------
    KeepfitError
        If the model takes what no table holds.
    """
    layout = layout_of(model, facts)
    if layout.kind not in ("table", "texts"):
        raise KeepfitError(f"a {type(model).__name__} takes no table, but {layout.kind}; use it in Python")
    target = metadata.get("target") if metadata.get("target") in data.columns else None
    left_out = [name for name in metadata.get("left_out", ()) if name in data.columns]
    there = [name for name in data.columns if name != target and name not in left_out]
    takes = [Column(is_text=True)] if layout.kind == "texts" else layout.columns
    if not layout.is_wide:
        takes = [Column() for _ in there]
    if layout.is_named:
        sources = [one.name if one.name in there else None for one in takes]
    else:
        sources = [*there, *[None] * len(takes)][: len(takes)]
    kinds = kinds_in(metadata)
    columns = [
        _column(one, kinds.get(one.name), None if source is None else data.head[source])
        for one, source in zip(takes, sources, strict=True)
    ]
    return Matching(
        file=data.name,
        columns=columns,
        sources=sources,
        ignored=[name for name in there if name not in sources],
        left_out=left_out,
        target=target,
        is_reordered=[name for name in there if name in sources] != [name for name in sources if name is not None],
        marks=data.marks,
        form="texts" if layout.kind == "texts" else "frame" if layout.is_named else "array",
    )


def _column(takes: Column, noted: str | None, head: pd.Series | None) -> _Column:
    if noted is not None:
        return _Column(takes.name, noted, "the search that fitted it", True)
    if takes.is_text or takes.categories:
        kind = "string" if takes.is_text or takes.datatype == "BYTES" else "number"
        known = (*takes.categories, math.nan) if takes.has_missing else takes.categories
        return _Column(takes.name, kind, "the model", True, takes.as_category, known, takes.is_text)
    if takes.datatype == "BYTES":
        return _Column(takes.name, "string", "the model", True)
    seen = "number" if head is None else kind_of(head)
    if head is not None and seen == "text" and not no_numbers(head):  # numbers and truth values
        seen = "number"
    kind = {"number": "number", "nothing": "number", "text": "string"}.get(seen, "as it is")
    return _Column(takes.name, kind, "the first rows", False)


def _shown(written: pd.Series, values: pd.Series, place: int) -> str:
    """A value of a table in words, and whether it was taken as missing."""
    value, is_missing = written.iloc[place], bool(values.isna().iloc[place])
    if isinstance(value, str):
        return clean(repr(value), 60) + (", which counts as missing," if is_missing else "")
    return "a missing value" if is_missing else clean(value, 60)


def _is_written(column: _Column) -> bool:
    """Whether a column holds text, whatever its values look like."""
    return column.kind in ("text", "string")


def _these(names: list[str]) -> str:
    shown = ", ".join(repr(clean(name)) for name in names[:8])
    word = "the column" if len(names) == 1 else "the columns"
    return f"{word} {shown}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")

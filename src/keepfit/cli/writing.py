"""Tables written part by part: CSV, Parquet and JSON lines, to a file that is replaced whole, or to standard output."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import msgspec

from keepfit.cli.frames import with_pyarrow
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write"]

_WritePart = Callable[["pd.DataFrame"], None]


def write(parts: Iterable[pd.DataFrame], place: str, form: str) -> None:
    """Write a table as its parts come.

    Parameters
    ----------
    parts : iterable of DataFrame
        All with the same columns.
    place : str
        A file or URL, replaced as a whole when there are no more parts, or not at all; ``-`` for standard output, to
        which each part goes at once.
    form : {"csv", "parquet", "jsonl"}

    Raises
    ------
    KeepfitError
        If Parquet is to go to a terminal, or pyarrow is missing.
    OSError
        As the place has it.
    """
    from keepfit.artifact import save_by

    def write_to(file: IO[bytes]) -> None:
        borrowed = _Borrowed(file)
        buffered = io.BufferedWriter(borrowed, 1 << 20)
        try:
            with _WRITERS[form](buffered) as write_part:
                for part in parts:
                    write_part(part)
                    buffered.flush()
            buffered.flush()
        finally:
            borrowed.give_back()

    if place != "-":
        save_by(write_to, place)
    elif form == "parquet" and sys.stdout.isatty():
        raise KeepfitError("Parquet is no text for a terminal; write it to a file: -o FILE")
    else:
        write_to(sys.stdout.buffer)


class _Borrowed(io.RawIOBase):
    """A file that somebody else closes. What a buffer still has when it is given back, after an error, goes nowhere."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file: IO[bytes] | None = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data) if self._file is None else self._file.write(data)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def give_back(self) -> None:
        self._file = None


@contextlib.contextmanager
def _csv(file: IO[bytes]) -> Iterator[_WritePart]:
    header = True

    def write_part(part: pd.DataFrame) -> None:
        nonlocal header
        file.write(part.to_csv(index=False, header=header).encode())
        header = False

    yield write_part


@contextlib.contextmanager
def _jsonl(file: IO[bytes]) -> Iterator[_WritePart]:
    encoder = msgspec.json.Encoder()

    def write_part(part: pd.DataFrame) -> None:
        columns = [part[name].tolist() for name in part.columns]  # Python's own numbers
        file.write(
            encoder.encode_lines([dict(zip(part.columns, row, strict=True)) for row in zip(*columns, strict=True)])
        )

    yield write_part


@contextlib.contextmanager
def _parquet(file: IO[bytes]) -> Iterator[_WritePart]:
    pyarrow = with_pyarrow(_import_pyarrow)
    with contextlib.ExitStack() as stack:
        writer: Any = None

        def write_part(part: pd.DataFrame) -> None:
            nonlocal writer
            rows = pyarrow.Table.from_pandas(part, schema=writer and writer.schema, preserve_index=False)
            writer = writer or stack.enter_context(pyarrow.parquet.ParquetWriter(file, rows.schema))
            writer.write_table(rows)

        yield write_part


def _import_pyarrow() -> Any:
    import pyarrow
    import pyarrow.parquet

    return pyarrow


_WRITERS: dict[str, Callable[[IO[bytes]], contextlib.AbstractContextManager[_WritePart]]] = {
    "csv": _csv,
    "parquet": _parquet,
    "jsonl": _jsonl,
}

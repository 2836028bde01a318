"""Tables read part by part, in bounded memory: CSV, Parquet and JSON lines, from files and standard input."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import itertools
import lzma
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from keepfit.cli.frames import MARKS, check_names, first_line, names_in, pandas_or_refuse, read, with_pyarrow
from keepfit.errors import KeepfitError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "Table", "format_of", "read_whole"]

#: The formats of tables, each with the endings of its files.
FORMATS = {"csv": (".csv", ".txt"), "parquet": (".parquet", ".pq"), "jsonl": (".jsonl", ".ndjson")}

_DECOMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

#: How many rows the first part has, by which columns are judged; and how many any other has at most. Whole blocks of
#: 64, in which libraries of linear algebra sum rows, so that parts give what the table as one would.
HEAD_ROWS = 1024
_ROWS_MAX = 8192
_CHUNK_BYTES = 8 << 20


def format_of(place: str, otherwise: str) -> str:
    """The format of a table by the ending of its name; `otherwise` for ``-`` and names without one.

    Raises
    ------
    KeepfitError
        If the ending is another.
    """
    ending = _ending(place)
    for name, endings in FORMATS.items():
        if ending in endings:
            return name
    if ending in ("", ".gz", ".bz2", ".xz"):
        return otherwise
    hint = "; save the sheet as CSV" if ending in (".xlsx", ".xls", ".ods") else ""
    raise KeepfitError(f"{place}: tables are CSV (.csv), Parquet (.parquet) or JSON lines (.jsonl), not {ending}{hint}")


def read_whole(place: str) -> pd.DataFrame:
    """All of a table at once: JSON lines by the ending, and what `keepfit.cli.frames.read` reads.

    Raises
    ------
    KeepfitError, OSError
        As `Table` and `keepfit.cli.frames.read` have it.
    """
    if _ending(place) not in FORMATS["jsonl"]:
        return read(place)
    with Table(place, "jsonl") as table:
        return pandas_or_refuse().concat(table.parts(), ignore_index=True)


def _ending(place: str) -> str:
    """The ending of a table's name, less that of its compression."""
    path = Path(place)
    return (path.with_suffix("") if path.suffix.lower() in _DECOMPRESSED else path).suffix.lower()


class Table:
    """A table that is read from its beginning to its end, a few megabytes at a time.

    Parameters
    ----------
    place : str
        A file, or ``-`` for standard input. CSV and JSON lines may be compressed (``.gz``, ``.bz2``, ``.xz``).
    form : {"csv", "parquet", "jsonl"}

    Attributes
    ----------
    name : str
        What to call it in messages.
    head : DataFrame
        Its first rows, at most 1,024, as they are typed by themselves; none of a table of column names alone.
    columns : list of str
    marks : frozenset of str
        The texts that stand for a missing value; empty for formats that have such a value of their own.

    Raises
    ------
    KeepfitError
        If it cannot be read as a table, has neither rows nor column names, or two columns of one name; if pandas or
        pyarrow is missing.
    OSError
        If there is no such file, or it may not be read.
    """

    def __init__(self, place: str, form: str) -> None:
        self.name = "standard input" if place == "-" else place
        self.marks = MARKS if form == "csv" else frozenset()
        self._form = form
        self._size_bytes = 0 if place == "-" else os.path.getsize(place)
        with contextlib.ExitStack() as stack:
            self._file = _seekable(_opened(place)) if form == "parquet" else _opened(place)
            stack.callback(self._file.close)
            self._stream = _Replayed(_decompressed(self._file, place))
            self._read_head()
            self._stack = stack.pop_all()

    def _read_head(self) -> None:
        with self._told():
            head = next(_READERS[self._form](self._source(), {}), None)
        if head is None or not len(head.columns):
            raise KeepfitError(f"{self.name} has no rows")
        self.head = head[:HEAD_ROWS]
        self.columns = [str(column) for column in self.head.columns]
        with self._told():
            names = names_in(io.BytesIO(self._stream.begin)) if self._form == "csv" else self.columns
        check_names(self.name, names)
        self.head.columns = self.columns

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def parts(self, as_written: Collection[str] = ()) -> Iterator[pd.DataFrame]:
        """All rows, once, in parts of at most 8,192 and about 8 MB.

        Parameters
        ----------
        as_written : collection of str
            The columns that CSV gives as they are written, each value as a `str`, also what else counts as missing.
            Others are typed by the values of each part.

        Yields
        ------
        DataFrame of shape (n_rows, n_columns)
        """
        self._stream.rewind()
        others = {name: MARKS for name in self.columns if name not in as_written}
        options = {"dtype": dict.fromkeys(as_written, object), "na_values": others, "keep_default_na": False}
        with self._told():
            for part in _READERS[self._form](self._source(), options):
                part.columns = self.columns
                yield part

    @property
    def done(self) -> float | None:
        """Which share of it was read, by its bytes; None where nobody knows how long it is."""
        if not self._size_bytes or self._file.closed:
            return None
        return min(1.0, self._file.tell() / self._size_bytes)

    def _source(self) -> IO[bytes]:
        return self._file if self._form == "parquet" else io.BufferedReader(self._stream, 1 << 18)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        pandas = pandas_or_refuse()
        what = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSON lines"}[self._form]
        try:
            try:
                yield
            except pandas.errors.ParserError:
                if self._stream.error is not None:
                    raise self._stream.error from None
                raise
        except pandas.errors.EmptyDataError:
            raise KeepfitError(f"{self.name} is empty: a table begins with a line of column names") from None
        except UnicodeDecodeError:
            words = "it is not UTF-8 text; save it as UTF-8"
            raise KeepfitError(f"{self.name} cannot be read as {what}: {words}") from None
        except (ValueError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
            raise KeepfitError(f"{self.name} cannot be read as {what}: {first_line(error)}") from None


class _Replayed(io.RawIOBase):
    """A stream whose beginning is read twice: what was read before `rewind` comes once more."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._begin = bytearray()
        self._is_again = False
        self.error: BaseException | None = None  # pandas tells of none, not even of Ctrl-C, but that reading failed

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Not by what reads the beginning: the table closes the file."""

    @property
    def begin(self) -> bytes:
        """What was read before `rewind`."""
        return bytes(self._begin)

    def rewind(self) -> None:
        self._is_again = True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self._is_again and self._begin:
            data = bytes(self._begin[:size])
            del self._begin[:size]
        else:
            try:
                data = self._file.read1(size)  # what is there: a pipe may have no more for a while
            except BaseException as error:
                self.error = error
                raise
            if not self._is_again:
                self._begin += data
        buffer[: len(data)] = data
        return len(data)


def _opened(place: str) -> IO[bytes]:
    if place == "-":
        return sys.stdin.buffer
    if Path(place).is_dir():
        raise KeepfitError(f"{place} is a folder; give one file")
    return open(place, "rb")


def _seekable(file: IO[bytes]) -> IO[bytes]:
    if file.seekable():
        return file
    kept: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed by the table
    for data in iter(lambda: file.read(1 << 20), b""):
        kept.write(data)
    kept.seek(0)
    return kept


def _decompressed(file: IO[bytes], place: str) -> Any:
    decompress = _DECOMPRESSED.get(Path(place).suffix.lower())
    return decompress(file) if decompress else file


def _rows_after(head: pd.DataFrame) -> int:
    """How many rows the parts after the first one have."""
    row_bytes = int(head.memory_usage(deep=True).sum()) / max(1, len(head))
    rows = int(_CHUNK_BYTES / max(1.0, row_bytes))
    return min(_ROWS_MAX, rows // 64 * 64 or max(1, rows))


def _csv_parts(source: IO[bytes], options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    reader = pandas_or_refuse().read_csv(source, iterator=True, low_memory=False, **options)
    rows = HEAD_ROWS
    with reader, contextlib.suppress(StopIteration):
        while True:
            part = reader.get_chunk(rows)
            if rows == HEAD_ROWS and len(part):
                _check_commas(part)
                rows = _rows_after(part)
            yield part


def _check_commas(part: pd.DataFrame) -> None:
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if part.shape[1] == 1 and mark in str(part.columns[0]):
            raise ValueError(f"it has {word} between its columns; save it with commas")


def _jsonl_parts(source: IO[bytes], options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    pandas = pandas_or_refuse()
    numbered = enumerate(source, start=1)
    columns: list[str] | None = None
    rows = HEAD_ROWS
    while lines := list(itertools.islice(numbered, rows)):
        records = [_record(line, number) for number, line in lines if line.strip()]
        if not records:
            continue
        columns = columns or list(dict.fromkeys(name for record in records for name in record))
        part = pandas.DataFrame(records, columns=columns)
        if rows == HEAD_ROWS:
            rows = _rows_after(part)
        yield part


_RECORD = msgspec.json.Decoder(dict[str, Any])


def _record(line: bytes, number: int) -> dict[str, Any]:
    try:
        return _RECORD.decode(line)
    except msgspec.ValidationError:
        raise ValueError(f'line {number} is no object, as in {{"column": 1}}') from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"line {number}: {error}") from None


def _parquet_parts(source: IO[bytes], options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    def opened() -> Any:
        from pyarrow.parquet import ParquetFile

        source.seek(0)
        return ParquetFile(source)

    def batches(rows: int) -> Any:
        return opened().iter_batches(batch_size=rows)

    for head in with_pyarrow(lambda: batches(HEAD_ROWS)):
        rows = _rows_after(head.to_pandas())
        break
    else:
        yield opened().schema_arrow.empty_table().to_pandas()
        return
    for batch in batches(rows):
        yield batch.to_pandas()


_READERS: dict[str, Callable[..., Iterator[Any]]] = {
    "csv": _csv_parts,
    "jsonl": _jsonl_parts,
    "parquet": _parquet_parts,
}

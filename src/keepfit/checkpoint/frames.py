"""What a data frame is, by content: pandas and polars. Neither is imported here."""

from __future__ import annotations

import io
import sys
from hashlib import sha256
from typing import Any

import numpy as np

from keepfit.checkpoint.walk import Walk, Writer

__all__ = ["write_frame"]


def write_frame(walk: Walk, obj: Any) -> bool:
    """Write a frame, a series, an index or an extension array; False for anything else."""
    library = type(obj).__module__.partition(".")[0]
    if library == "pandas":
        return _write_pandas(walk, obj)
    if library == "polars":
        return _write_polars(walk, obj)
    return False


def _write_pandas(walk: Walk, obj: Any) -> bool:
    pandas = sys.modules["pandas"]
    write: Writer
    if isinstance(obj, pandas.DataFrame):
        write = _write_pandas_frame
    elif isinstance(obj, pandas.Series):
        write = _write_series
    elif isinstance(obj, pandas.Index):
        write = _write_index
    elif isinstance(obj, pandas.api.extensions.ExtensionArray):
        write = _write_extension_array
    else:
        return False
    walk.mark(b"D")
    walk.add(type(obj))
    write(walk, obj)
    return True


def _write_pandas_frame(walk: Walk, frame: Any) -> None:
    walk.add(frame.attrs)
    walk.add(frame.columns)
    walk.add(frame.index)
    dtypes = set(frame.dtypes)
    if len(dtypes) == 1 and isinstance(dtype := dtypes.pop(), np.dtype) and not dtype.hasobject:
        walk.add(frame.to_numpy())  # what scikit-learn makes of it, its order in memory included
        return
    for position in range(frame.shape[1]):
        walk.add(frame.iloc[:, position].array)


def _write_series(walk: Walk, series: Any) -> None:
    walk.add(series.attrs)
    walk.add(series.name)
    walk.add(series.index)
    walk.add(series.array)


def _write_index(walk: Walk, index: Any) -> None:
    walk.add(list(index.names))
    if isinstance(index, sys.modules["pandas"].RangeIndex):
        walk.add((index.start, index.stop, index.step))
    elif index.nlevels > 1:
        for level in range(index.nlevels):
            walk.add(index.get_level_values(level).array)
    else:
        walk.text(b"q", str(getattr(index, "freqstr", None)))
        walk.add(index.array)


def _write_extension_array(walk: Walk, array: Any) -> None:
    dtype = array.dtype
    walk.add(type(dtype))
    walk.text(b"y", repr(dtype))
    if isinstance(array, sys.modules["pandas"].arrays.NumpyExtensionArray):
        walk.add(array.to_numpy())
    elif hasattr(array, "codes") and hasattr(array, "categories"):
        walk.add(array.codes)
        walk.add(array.categories)
        walk.add(bool(array.ordered))
    elif hasattr(array, "asi8"):
        walk.add(array.asi8)
    else:
        missing = np.asarray(array.isna())
        values = np.asarray(array.astype(object), dtype=object).copy()
        values[missing] = None
        walk.add(missing)
        walk.add(values)


def _write_polars(walk: Walk, obj: Any) -> bool:
    polars = sys.modules["polars"]
    if isinstance(obj, polars.Series):
        frame = obj.to_frame("")
    elif isinstance(obj, polars.DataFrame):
        frame = obj
    else:
        return False
    walk.mark(b"R")
    walk.add(type(obj))
    walk.add(obj.name if isinstance(obj, polars.Series) else None)
    walk.text(b"y", repr(list(frame.schema.items())))
    buffer = io.BytesIO()
    frame.rechunk().write_ipc_stream(buffer, compression="uncompressed")
    walk.mark(b"h", sha256(buffer.getbuffer()).digest())
    return True

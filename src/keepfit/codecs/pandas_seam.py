"""Private names of pandas that codecs touch, in one place (2.2 to 3.1).

The blocks of a DataFrame and their places (``_mgr``), the values of a Series and of an Index (``_mgr``, ``_data``):
public accessors wrap, copy or consolidate them. ``pandas.api.internals`` builds frames from blocks from 3.0 on; before,
its private parts do. ``_simple_new`` of date, time and sparse arrays, whose constructors take no exact parts;
``_codes`` of categories, ``_data`` and ``_mask`` of arrays with a mask; ``IntIndex`` and ``BlockIndex`` of sparse
arrays; ``_readonly`` of extension arrays, from 3.0 on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "attribute_names", "block_parts", "category_codes", "frame_of_blocks", "index_values", "is_readonly",
    "masked_parts", "series_values", "set_readonly", "sparse_array", "sparse_index", "sparse_parts", "time_array",
]  # fmt: skip

#: Attributes pandas sets itself, in all supported releases. Caches and weak references are among them.
_ATTRIBUTES = frozenset(
    {
        "_attrs", "_cache", "_cacher", "_codes", "_data", "_flags", "_freq", "_id", "_is_copy", "_item_cache",
        "_levels", "_mgr", "_name", "_names", "_range", "_references", "sortorder",
    }
)  # fmt: skip


def attribute_names(obj: Any) -> set[str]:
    """The names of the attributes a frame, series or index has beyond those pandas gives it."""
    return set(vars(obj)) - _ATTRIBUTES


def block_parts(frame: Any) -> list[tuple[Any, Any]]:
    """For each block of a DataFrame its values and the places of its columns."""
    return [(block.values, np.asarray(block.mgr_locs.as_array, np.int64)) for block in frame._mgr.blocks]


def series_values(series: Any) -> Any:
    """The array of a Series, as it stands."""
    return series._mgr.blocks[0].values


def index_values(index: Any) -> Any:
    """The array of an Index, as it stands."""
    return index._data


def is_readonly(array: Any) -> bool:
    """Whether an extension array refuses to be written to, as those do that an Index or a Series hands out."""
    return getattr(array, "_readonly", False) is True


def set_readonly(array: Any) -> None:
    """Make an extension array refuse to be written to, where the running pandas can."""
    if hasattr(array, "_readonly"):
        array._readonly = True


def frame_of_blocks(blocks: list[tuple[Any, Any]], index: Any, columns: Any) -> Any:
    """A DataFrame of exactly these blocks, none of them copied. The caller has checked that they fit together."""
    try:
        from pandas.api.internals import create_dataframe_from_blocks
    except ImportError:  # before pandas 3.0
        from pandas import DataFrame
        from pandas._libs.internals import BlockPlacement
        from pandas.core.internals.blocks import get_block_type
        from pandas.core.internals.managers import BlockManager

        made = tuple(
            get_block_type(values.dtype)(values, placement=BlockPlacement(places), ndim=2) for values, places in blocks
        )
        manager = BlockManager(made, [columns, index], verify_integrity=True)
        return DataFrame._from_mgr(manager, axes=manager.axes)
    return create_dataframe_from_blocks(blocks, index=index, columns=columns)


def time_array(kind: str, values: Any, dtype: Any) -> Any:
    """A DatetimeArray, TimedeltaArray or PeriodArray over exactly these values, of one or two dimensions."""
    import pandas as pd

    return getattr(pd.arrays, kind)._simple_new(values, dtype=dtype)


def category_codes(array: Any) -> Any:
    """The codes of a Categorical, as they stand; the public ones are a view that cannot be written to."""
    return array._codes


def masked_parts(array: Any) -> tuple[Any, Any]:
    """The values and the mask of an integer, floating or boolean array."""
    return array._data, array._mask


def sparse_parts(array: Any) -> tuple[Any, Any, Any, Any]:
    """The stored values of a SparseArray, and its places: single ones, or the starts and lengths of runs."""
    index = array.sp_index
    if type(index).__name__ == "IntIndex":
        return array.sp_values, index.indices, None, index.length
    return array.sp_values, index.blocs, index.blengths, index.length


def sparse_index(places: Any, lengths: Any, length: int) -> Any:
    """The index of a SparseArray; pandas checks that it lies within `length` and is in order."""
    from pandas._libs.sparse import BlockIndex, IntIndex

    if lengths is None:
        return IntIndex(length, places)
    return BlockIndex(length, places, lengths)


def sparse_array(values: Any, index: Any, dtype: Any) -> Any:
    """A SparseArray of exactly these parts."""
    import pandas as pd

    return pd.arrays.SparseArray._simple_new(values, index, dtype)

"""Private names of NumPy that codecs touch, in one place (1.26 to 2.5).

``MaskedArray._mask``, ``_sharedmask`` and ``_fill_value``: the public properties copy, unshare or make up a value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["masked_array", "masked_parts"]


def masked_parts(array: Any) -> tuple[Any, bool, Any]:
    """The mask (None where there is none), whether it is shared, and the fill value (None where it was never set)."""
    mask, fill_value = array._mask, array._fill_value
    return None if mask is np.ma.nomask else mask, bool(array._sharedmask), fill_value


def masked_array(
    data: NDArray[Any], mask: NDArray[Any] | None, *, hard_mask: bool, shared_mask: bool, fill_value: Any
) -> Any:
    """A masked array of exactly these parts; neither data nor mask is copied."""
    array: Any = np.ma.MaskedArray(data, mask=np.ma.nomask if mask is None else mask, hard_mask=hard_mask)
    if mask is not None:
        array._mask = mask
    array._sharedmask = shared_mask
    array._fill_value = fill_value
    return array

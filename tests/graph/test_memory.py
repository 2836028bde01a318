"""Memory for large arrays."""

from __future__ import annotations

import multiprocessing
import pickle
import sys

import joblib
import numpy as np
import pytest

from keepfit.graph import copy_of, fresh_memory

LARGE_BYTES = 5 << 20


@pytest.mark.parametrize("size", [0, 1, 4096, LARGE_BYTES, LARGE_BYTES + 1])
def test_memory_has_the_size_that_is_asked_for_and_can_be_written_to(size: int) -> None:
    memory = fresh_memory(size)
    assert memory.nbytes == size
    assert memory.format == "B"
    assert not memory.readonly
    memory[:] = bytes([7]) * size
    assert memory == bytes([7]) * size


def test_more_than_there_is_is_an_error_of_memory() -> None:
    with pytest.raises(MemoryError):
        fresh_memory(1 << 60)


@pytest.mark.parametrize("rows", [0, 1, 3, LARGE_BYTES // 24])
@pytest.mark.parametrize("dtype", [np.dtype("f8"), np.dtype("u1"), np.dtype([("a", "f8"), ("b", "u1", 3)])])
def test_a_copy_is_equal_aligned_and_apart(rows: int, dtype: np.dtype[np.void]) -> None:
    array = np.zeros((rows, 3), dtype)
    array.view(np.uint8).reshape(-1)[:] = np.arange(array.nbytes, dtype=np.uint8)
    array.setflags(write=False)
    copy = copy_of(array)
    assert copy.dtype == dtype
    assert copy.shape == array.shape
    assert copy.tobytes() == array.tobytes()
    assert copy.flags.writeable
    assert copy.flags.aligned
    assert copy.flags.c_contiguous
    assert not np.shares_memory(copy, array)


def _double(array: np.ndarray) -> float:
    array *= 2
    return float(array.sum())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork safely")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_writes_to_memory_of_its_own() -> None:
    copy = copy_of(np.ones(LARGE_BYTES // 8))
    with multiprocessing.get_context("fork").Pool(1, initializer=_double, initargs=(copy,)) as pool:
        assert pool.apply(_double, (copy[:10],)) == 20
    assert copy.sum() == len(copy)


def test_a_copy_goes_to_workers_and_through_pickle_as_any_array() -> None:
    copy = copy_of(np.ones(LARGE_BYTES // 8))
    assert joblib.Parallel(n_jobs=2)([joblib.delayed(np.sum)(copy)] * 2) == [len(copy)] * 2
    assert (pickle.loads(pickle.dumps(copy)) == copy).all()
    assert joblib.hash(copy) == joblib.hash(np.ones(LARGE_BYTES // 8))

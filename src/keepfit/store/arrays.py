"""Arrays by content address: each distinct array is stored once, in chunks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, exists, select

from keepfit.errors import StoreError
from keepfit.graph import PLAIN_DTYPES
from keepfit.store import schema
from keepfit.store.database import PORTION, portions

__all__ = ["CHUNK_BYTES", "digest_of", "drop_unused", "fetch", "keep", "stream"]

#: SQLite and PostgreSQL hold at most 1 GB in one value; less per value is less memory on the way.
CHUNK_BYTES = 16 << 20

_NAME_OF = {dtype: name for name, dtype in PLAIN_DTYPES.items()}

_find = select(schema.array.c.digest, schema.array.c.id).where(
    schema.array.c.digest.in_(bindparam("digests", expanding=True))
)
_arrays_of = (
    select(
        schema.model_array.c.array_id,
        schema.array.c.digest,
        schema.array.c.dtype,
        schema.array.c.shape,
        schema.array.c.size_bytes,
    )
    .join(schema.array)
    .where(schema.model_array.c.version_id == bindparam("version"))
    .order_by(schema.model_array.c.place)
)
_small_chunks = select(schema.array_chunk.c.array_id, schema.array_chunk.c.data).where(
    schema.array_chunk.c.array_id.in_(bindparam("ids", expanding=True)), schema.array_chunk.c.number == 0
)
_one_chunk = select(schema.array_chunk.c.data).where(
    schema.array_chunk.c.array_id == bindparam("id"), schema.array_chunk.c.number == bindparam("n")
)
_drop_unused = schema.array.delete().where(
    schema.array.c.id.in_(bindparam("ids", expanding=True)),
    ~exists().where(schema.model_array.c.array_id == schema.array.c.id),
)


def digest_of(array: NDArray[Any]) -> bytes:
    """The content address: SHA-256 over dtype name, shape and bytes. About 0.6 s per GB where the processor helps."""
    digest = _digest_for(_NAME_OF[array.dtype], str(list(array.shape)))
    digest.update(_bytes_of(array))
    return digest.digest()


def _digest_for(dtype: str, shape: str) -> hashlib._Hash:
    return hashlib.sha256(f"{dtype} {shape}\n".encode())


def keep(connection: Connection, arrays: Sequence[NDArray[Any]], digests: Sequence[bytes]) -> list[int]:
    """Store those arrays that are not there yet, and give the ids of all, in order.

    Notes
    -----
    Memory: one chunk above the arrays themselves.
    """
    known = _ids_of(connection, digests)
    new = {digest: array for digest, array in zip(digests, arrays, strict=True) if digest not in known}
    if new:
        connection.execute(schema.array.insert(), [_row_of(digest, array) for digest, array in new.items()])
        known |= _ids_of(connection, list(new))
        for rows in _in_batches(_chunks_of(new, known)):
            connection.execute(schema.array_chunk.insert(), rows)
    return [known[digest] for digest in digests]


def fetch(connection: Connection, version_id: int) -> tuple[list[NDArray[Any]], list[bytes]]:
    """The arrays of a model version, by place, and their digests, which have been checked.

    Each is a new array that nobody else holds; one that is used twice comes twice.

    Raises
    ------
    StoreError
        If an array is not what its digest says.
    """
    rows = connection.execute(_arrays_of, {"version": version_id}).all()
    arrays: dict[int, NDArray[Any]] = {row.array_id: _empty(row) for row in rows}
    small = [key for key, array in arrays.items() if 0 < array.nbytes <= CHUNK_BYTES]
    for ids in _within_chunk(small, arrays):
        for key, data in connection.execute(_small_chunks, {"ids": ids}):
            _fill(arrays[key], 0, data)
    for key, array in arrays.items():
        if array.nbytes > CHUNK_BYTES:
            for number in range(math.ceil(array.nbytes / CHUNK_BYTES)):
                data = connection.execute(_one_chunk, {"id": key, "n": number}).scalar()
                _fill(array, number, data or b"")
    out, given = [], set()
    for row in rows:
        array = arrays[row.array_id]
        if row.array_id in given:
            array = array.copy()
        elif digest_of(array) != row.digest:
            raise StoreError(f"array {row.digest.hex()[:16]} in the store is damaged: its bytes have another digest")
        given.add(row.array_id)
        out.append(array)
    return out, [row.digest for row in rows]


def stream(connection: Connection, version_id: int) -> Iterator[bytes]:
    """The bytes of a version that is one array, chunk by chunk: never the whole in memory.

    Raises
    ------
    StoreError
        After the last chunk, if together they are not what the digest says.
    """
    row = connection.execute(_arrays_of, {"version": version_id}).one()
    digest = _digest_for(row.dtype, row.shape)
    for number in range(math.ceil(row.size_bytes / CHUNK_BYTES)):
        data = connection.execute(_one_chunk, {"id": row.array_id, "n": number}).scalar() or b""
        digest.update(data)
        yield data
    if digest.digest() != row.digest:
        raise StoreError(f"array {row.digest.hex()[:16]} in the store is damaged: its bytes have another digest")


def drop_unused(connection: Connection, ids: Sequence[int]) -> None:
    """Delete those of the arrays that no model version uses any more."""
    for portion in portions(ids):
        connection.execute(_drop_unused, {"ids": portion})


def _ids_of(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    known: dict[bytes, int] = {}
    for portion in portions(digests):
        known.update((row.digest, row.id) for row in connection.execute(_find, {"digests": portion}))
    return known


def _row_of(digest: bytes, array: NDArray[Any]) -> dict[str, Any]:
    shape = msgspec.json.encode(list(array.shape)).decode()
    return {"digest": digest, "dtype": _NAME_OF[array.dtype], "shape": shape, "size_bytes": array.nbytes}


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _chunks_of(arrays: Mapping[bytes, NDArray[Any]], ids: Mapping[bytes, int]) -> Iterator[dict[str, Any]]:
    for digest, array in arrays.items():
        data = _bytes_of(array)
        for number, start in enumerate(range(0, len(data), CHUNK_BYTES)):
            yield {"array_id": ids[digest], "number": number, "data": data[start : start + CHUNK_BYTES]}


def _in_batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows together until they make a chunk's worth of bytes: few statements, little memory."""
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row["data"])
        if size >= CHUNK_BYTES or len(batch) == PORTION:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _within_chunk(ids: Sequence[int], arrays: Mapping[int, NDArray[Any]]) -> Iterator[list[int]]:
    portion: list[int] = []
    size = 0
    for key in ids:
        if portion and (size + arrays[key].nbytes > CHUNK_BYTES or len(portion) == PORTION):
            yield portion
            portion, size = [], 0
        portion.append(key)
        size += arrays[key].nbytes
    if portion:
        yield portion


def _empty(row: Any) -> NDArray[Any]:
    try:
        shape = msgspec.json.decode(row.shape, type=tuple[int, ...])
        array: NDArray[Any] = np.empty(shape, PLAIN_DTYPES[row.dtype])
    except (msgspec.MsgspecError, KeyError, ValueError, MemoryError) as error:
        raise StoreError(f"array {row.digest.hex()[:16]} in the store cannot be made: {error}") from None
    if array.nbytes != row.size_bytes:
        raise StoreError(f"array {row.digest.hex()[:16]} in the store is damaged: shape and size differ")
    return array


def _fill(array: NDArray[Any], number: int, data: bytes) -> None:
    start = number * CHUNK_BYTES
    target = array.reshape(-1).view(np.uint8)[start : start + CHUNK_BYTES]
    if len(data) != len(target):
        raise StoreError(f"an array in the store is damaged: {len(data):,} bytes where {len(target):,} should be")
    target[:] = np.frombuffer(data, np.uint8)

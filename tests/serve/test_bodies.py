"""Bodies under limits: as they come, and as they are when they are decompressed."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import MutableMapping
from typing import Any

import pytest

from keepfit.serve.bodies import Bodies, ClientGoneError, compressed, encoding_for, inflate
from keepfit.serve.errors import OverloadedError, RequestError
from keepfit.serve.limits import HttpLimits

LIMITS = HttpLimits(body_bytes=4 << 20, inflate_ratio=10)


def read(*pieces: bytes, limits: HttpLimits = LIMITS, gone: bool = False, **headers: str) -> bytes:
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": gone or place + 1 < len(pieces)}
        for place, piece in enumerate(pieces)
    ]
    messages.append({"type": "http.disconnect"})

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return bytes(asyncio.run(Bodies(limits).read(named, receive)))


def status_of(*pieces: bytes, **options: Any) -> int:
    with pytest.raises((RequestError, OverloadedError)) as caught:
        read(*pieces, **options)
    return caught.value.status


def test_a_body_is_its_pieces() -> None:
    assert read(b"whole") == b"whole"
    assert read(b"in ", b"", b"pieces") == b"in pieces"


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_what_it_holds(encoding: str, pack: Any) -> None:
    body = bytes(range(256)) * 40
    packed = pack(body)
    assert read(packed, content_encoding=encoding.upper()) == body
    for wrong in (packed[:-1], packed[:20], packed + b"more", body, b""):
        assert status_of(wrong, content_encoding=encoding) == 400


def test_an_encoding_that_nobody_knows_is_said_to_be_so() -> None:
    assert status_of(b"x", content_encoding="br") == 415
    assert read(b"x", content_encoding="identity") == b"x"


def test_too_long_is_too_long_whether_it_is_said_or_not() -> None:
    assert status_of(b"", content_length=str((4 << 20) + 1)) == 413
    assert status_of(*[bytes(1 << 20)] * 5) == 413
    assert status_of(bytes((4 << 20) + 1)) == 413


def test_a_zip_bomb_is_never_in_memory() -> None:
    bomb = gzip.compress(bytes(1 << 28))
    tracemalloc.start()
    try:
        assert status_of(bomb, content_encoding="gzip") == 413
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_small_body_may_grow_a_lot_and_a_large_one_by_the_ratio() -> None:
    assert len(inflate(gzip.compress(bytes(1 << 20)), "gzip", LIMITS)) == 1 << 20
    with pytest.raises(RequestError, match="grows beyond"):
        inflate(gzip.compress(bytes((1 << 20) + 1)), "gzip", LIMITS)


def test_all_bodies_together_have_a_limit_which_ends_with_them() -> None:
    limits = HttpLimits(bodies_bytes=1 << 20)
    bodies = Bodies(limits)

    async def receive_for_ever() -> MutableMapping[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": bytes(1 << 18), "more_body": True}

    async def one() -> None:
        await bodies.read({}, receive_for_ever)

    async def run() -> None:
        for _ in range(3):
            with pytest.raises(OverloadedError):
                await one()

    asyncio.run(run())


def test_who_goes_away_in_the_middle_is_answered_nothing() -> None:
    with pytest.raises(ClientGoneError):
        read(b"half", gone=True)


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("*", "gzip"),
        ("br", None),
        ("", None),
        ("gzip;q=0", None),
        ("gzip;q=0.1, deflate", "deflate"),
        ("*;q=0", None),
        ("gzip;q=x", None),
        ("GZIP", "gzip"),
        ("identity;q=1, *;q=0", None),
    ],
)
def test_the_answer_is_compressed_as_the_client_likes(accept: str, found: str | None) -> None:
    assert encoding_for(accept.encode()) == found


def test_short_answers_are_not_worth_compressing() -> None:
    assert asyncio.run(compressed(b"x" * 100, b"gzip")) == (b"x" * 100, None)
    for size in (5_000, 500_000):
        body, encoding = asyncio.run(compressed(b"x" * size, b"gzip"))
        assert encoding == "gzip"
        assert gzip.decompress(body) == b"x" * size

"""Changes of pickles by their opcodes: what comes of one is a run of opcodes still."""

from __future__ import annotations

import pickletools
import random
import struct
from collections.abc import Callable
from functools import lru_cache

__all__ = ["changed"]

_Random = random.Random
#: What is written of an opcode, with its code.
_Opcode = tuple[bytes, bytes]

_NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, -(2**31), 2**31, 2**53, 2**63, -(2**63))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e308, 5e-324, float("inf"), float("nan"))
_WORDS = (
    "", "__class__", "__reduce__", "__setstate__", "predict", "fit", "_sklearn_version", "1.6.1", "9.9.9", "O8", "O",
    "V8", "f8", "i8", "S1", "M8[s]", ">", "|", "b", "rbf", "auto", "csr", "numpy", "builtins", "os", "system", "eval",
)  # fmt: skip
_NAMES = (
    b"builtins\neval", b"builtins\ngetattr", b"os\nsystem", b"copy_reg\n_reconstructor", b"copyreg\n_reconstructor",
    b"__builtin__\nobject", b"__builtin__\nset", b"collections\nOrderedDict", b"numpy\nndarray", b"numpy\ndtype",
    b"numpy.core.multiarray\n_reconstruct", b"numpy._core.multiarray\nscalar", b"numpy\nload", b"_codecs\nencode",
    b"joblib.numpy_pickle\nNumpyArrayWrapper", b"sklearn.svm._classes\nSVC", b"sklearn.tree._tree\nTree",
)  # fmt: skip
_WITHOUT_ARGUMENT = b"(012N\x88\x89)]}\x8ftld\x91\x85\x86\x87aesu\x90\x93R\x81\x92ob\x94."


def changed(data: bytes, rng: _Random) -> tuple[bytes, str]:
    """A pickle with one of its opcodes changed, dropped, doubled, moved, or others put in."""
    codes = list(_opcodes(data))
    place = rng.randrange(1, len(codes))
    code, written = codes[place]
    what = rng.choice(("argument", "argument", "argument", "drop", "double", "move", "splice", "insert"))
    if what == "argument":
        place, codes[place] = _another_argument(codes, place, rng)
    elif what == "drop":
        del codes[place]
    elif what == "double":
        codes.insert(place, codes[place])
    elif what == "move":
        codes.insert(rng.randrange(1, len(codes)), codes.pop(place))
    elif what == "splice":
        start = rng.randrange(1, len(codes))
        codes[place:place] = codes[start : start + rng.randint(1, 12)]
    else:
        new = bytes([rng.choice(_WITHOUT_ARGUMENT)])
        codes.insert(place, (new, new))
    return b"".join(part for _, part in codes), f"{what} at {place}: {code!r} {written[:40]!r}"


@lru_cache(maxsize=4)
def _opcodes(data: bytes) -> tuple[_Opcode, ...]:
    """The opcodes of a pickle without its frames, which it may go without."""
    found = [(opcode.code.encode("latin1"), place or 0) for opcode, _, place in pickletools.genops(data)]
    ends = [*(place for _, place in found[1:]), len(data)]
    whole = ((code, data[start:end]) for (code, start), end in zip(found, ends, strict=True))
    return tuple(row for row in whole if row[0] != b"\x95")


def _another_argument(codes: list[_Opcode], place: int, rng: _Random) -> tuple[int, _Opcode]:
    """An opcode at this place, or after it, or before all, that has an argument, with another one."""
    for number in (*range(place, len(codes)), *range(1, place)):
        code = codes[number][0]
        if code in _CHANGES:
            return number, (code, _CHANGES[code](codes[number][1], rng, codes))
    return place, codes[place]


def _number(written: bytes, rng: _Random, codes: list[_Opcode]) -> bytes:
    number = rng.choice((*_NUMBERS, rng.randrange(300)))
    if -(2**31) <= number < 2**31:
        return b"J" + struct.pack("<i", number)
    data = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _float(written: bytes, rng: _Random, codes: list[_Opcode]) -> bytes:
    return b"G" + struct.pack(">d", rng.choice(_FLOATS))


def _memo(width: int) -> Callable[[bytes, _Random, list[_Opcode]], bytes]:
    def change(written: bytes, rng: _Random, codes: list[_Opcode]) -> bytes:
        number = int.from_bytes(written[1:], "little") + rng.choice((-2, -1, 1, 2, rng.randrange(200)))
        return written[:1] + (max(0, number) % 256**width).to_bytes(width, "little")

    return change


def _text(written: bytes, rng: _Random, codes: list[_Opcode]) -> bytes:
    if rng.random() < 0.5:
        return rng.choice([part for code, part in codes if code in b"X\x8c"])
    data = rng.choice(_WORDS).encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _octets(written: bytes, rng: _Random, codes: list[_Opcode]) -> bytes:
    head = {b"C": 2, b"U": 2, b"B": 5, b"T": 5, b"\x8e": 9, b"\x96": 9}[written[:1]]
    data = bytearray(written)
    if len(data) > head:
        size = rng.choice((1, 2, 4, 8))
        place = rng.randrange(head, len(data))
        place -= (place - head) % size
        new = rng.choice((*_NUMBERS, rng.randrange(300))) % 2 ** (8 * size)
        data[place : min(place + size, len(data))] = new.to_bytes(size, "little")[: len(data) - place]
    return bytes(data)


def _name(written: bytes, rng: _Random, codes: list[_Opcode]) -> bytes:
    if rng.random() < 0.5:
        return rng.choice([part for code, part in codes if code == b"c"])
    return b"c" + rng.choice(_NAMES) + b"\n"


def _protocol(written: bytes, rng: _Random, codes: list[_Opcode]) -> bytes:
    return b"\x80" + bytes([rng.randrange(7)])


_CHANGES: dict[bytes, Callable[[bytes, _Random, list[_Opcode]], bytes]] = {
    **dict.fromkeys((b"K", b"M", b"J", b"\x8a"), _number),
    b"G": _float,
    **dict.fromkeys((b"h", b"q"), _memo(1)),
    **dict.fromkeys((b"j", b"r"), _memo(4)),
    **dict.fromkeys((b"X", b"\x8c"), _text),
    **dict.fromkeys((b"C", b"U", b"B", b"T", b"\x8e", b"\x96"), _octets),
    b"c": _name,
    b"\x80": _protocol,
}

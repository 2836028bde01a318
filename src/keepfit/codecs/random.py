"""``numpy.random``: generators with the exact place they have come to, and the seed sequences they spawn from."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.random_seam import bit_generator_of, mt19937_without_seed_sequence
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["find"]

_UINT32 = 2**32
#: Bounds on what a seed sequence mixes. The time grows with the square of both; honest entropy has 128 bits.
_ENTROPY_BITS, _POOL_SIZE = 2**14, 256
_HEX128 = re.compile("[0-9a-f]{32}", re.ASCII)


class _BitGenerator(Codec):
    """A bit generator: its raw state, and the seed sequence it came from, which `spawn` continues."""

    def __init__(self, cls: type) -> None:
        self._cls: Any = cls
        self._name = f"numpy.random.{cls.__name__}"

    def reduce(self, obj: Any, context: Reducing) -> Node:
        seed_seq = obj.seed_seq
        if seed_seq is not None and type(seed_seq) is not np.random.SeedSequence:
            raise UnsupportedError(f"a {self._name} seeded by a {type(seed_seq).__name__} cannot be kept")
        return Node(self._name, {**self.fields(obj.state), "seed_seq": seed_seq})

    def build(self, node: Node, context: Building) -> Any:
        seed_seq = node.state.get("seed_seq")
        if seed_seq is not None and type(seed_seq) is not np.random.SeedSequence:
            raise InvalidStateError(f"a {node.type} comes from a seed sequence or None")
        raw = self._raw(Node(node.type, {name: node.state[name] for name in node.state if name != "seed_seq"}))
        if "seed_seq" not in node.state:
            raise InvalidStateError(f"a {node.type} has the field seed_seq")
        made = self._without_seed_sequence() if seed_seq is None else self._cls(seed_seq)
        made.state = {"bit_generator": self._cls.__name__, **raw}
        return made

    def fields(self, raw: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _raw(self, node: Node) -> dict[str, Any]:
        raise NotImplementedError

    def _without_seed_sequence(self) -> Any:
        raise InvalidStateError(f"a {self._name} has a seed sequence")


class _MT19937(_BitGenerator):
    def fields(self, raw: dict[str, Any]) -> dict[str, Any]:
        return {"key": raw["state"]["key"], "pos": raw["state"]["pos"]}

    def _raw(self, node: Node) -> dict[str, Any]:
        key, pos = check_fields(node, key=np.ndarray, pos=int)
        _check_words(key, np.uint32, 624)
        if not 0 <= pos <= 624:
            raise InvalidStateError(f"the position of an MT19937 is 0 to 624, not {pos}")
        if key[0] < 2**31 and not key[1:].any():
            raise InvalidStateError("an MT19937 of zeros gives zeros for ever")
        return {"state": {"key": key.tolist(), "pos": pos}}  # NumPy takes it word by word, which a list is quicker for

    def _without_seed_sequence(self) -> Any:
        return mt19937_without_seed_sequence()


class _PCG64(_BitGenerator):
    """PCG64 and PCG64DXSM."""

    def fields(self, raw: dict[str, Any]) -> dict[str, Any]:
        numbers = {name: f"{raw['state'][name]:032x}" for name in ("state", "inc")}
        return {**numbers, "has_uint32": raw["has_uint32"], "uinteger": raw["uinteger"]}

    def _raw(self, node: Node) -> dict[str, Any]:
        state, inc, has_uint32, uinteger = check_fields(node, state=str, inc=str, has_uint32=int, uinteger=int)
        if not _HEX128.fullmatch(state) or not _HEX128.fullmatch(inc) or not int(inc, 16) % 2:
            raise InvalidStateError("the state of a PCG64 is two 128-bit numbers, the second one odd")
        _check_spare(has_uint32, uinteger)
        numbers = {"state": int(state, 16), "inc": int(inc, 16)}
        return {"state": numbers, "has_uint32": has_uint32, "uinteger": uinteger}


class _Philox(_BitGenerator):
    def fields(self, raw: dict[str, Any]) -> dict[str, Any]:
        rest = {name: raw[name] for name in ("buffer", "buffer_pos", "has_uint32", "uinteger")}
        return {"counter": raw["state"]["counter"], "key": raw["state"]["key"], **rest}

    def _raw(self, node: Node) -> dict[str, Any]:
        words = {"counter": np.ndarray, "key": np.ndarray, "buffer": np.ndarray}
        counter, key, buffer, buffer_pos, has_uint32, uinteger = check_fields(
            node, **words, buffer_pos=int, has_uint32=int, uinteger=int
        )
        _check_words(counter, np.uint64, 4)
        _check_words(key, np.uint64, 2)
        _check_words(buffer, np.uint64, 4)
        if not 0 <= buffer_pos <= 4:
            raise InvalidStateError(f"the buffer position of a Philox is 0 to 4, not {buffer_pos}")
        _check_spare(has_uint32, uinteger)
        rest = {"buffer": buffer, "buffer_pos": buffer_pos, "has_uint32": has_uint32, "uinteger": uinteger}
        return {"state": {"counter": counter, "key": key}, **rest}

    def _without_seed_sequence(self) -> Any:
        return np.random.Philox(key=0)


class _SFC64(_BitGenerator):
    def fields(self, raw: dict[str, Any]) -> dict[str, Any]:
        return {"state": raw["state"]["state"], "has_uint32": raw["has_uint32"], "uinteger": raw["uinteger"]}

    def _raw(self, node: Node) -> dict[str, Any]:
        state, has_uint32, uinteger = check_fields(node, state=np.ndarray, has_uint32=int, uinteger=int)
        _check_words(state, np.uint64, 4)
        _check_spare(has_uint32, uinteger)
        return {"state": {"state": state}, "has_uint32": has_uint32, "uinteger": uinteger}


class _SeedSequence(Codec):
    """What a generator was seeded from, with the count of children it has spawned. Its pool follows from the rest."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        state = dict(obj.state)
        wrong = _wrong_with_seed(**state)
        if wrong:
            raise UnsupportedError(f"a seed sequence cannot be kept when {wrong}")
        return Node("numpy.random.SeedSequence", state)

    def build(self, node: Node, context: Building) -> Any:
        state = node.state
        if state.keys() != {"entropy", "spawn_key", "pool_size", "n_children_spawned"}:
            raise InvalidStateError("a seed sequence has entropy, spawn_key, pool_size and n_children_spawned")
        wrong = _wrong_with_seed(**state)
        if wrong:
            raise InvalidStateError(f"a seed sequence cannot be built when {wrong}")
        entropy = state["entropy"]
        # A list of its own: what was checked here must not change while the rest of a cycle is built.
        return np.random.SeedSequence(**{**state, "entropy": list(entropy) if type(entropy) is list else entropy})


class _Generator(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node("numpy.random.Generator", {"bit_generator": obj.bit_generator})

    def build(self, node: Node, context: Building) -> Any:
        (bit_generator,) = check_fields(node, bit_generator=_BIT_GENERATORS)
        return np.random.Generator(bit_generator)


class _RandomState(Codec):
    def reduce(self, obj: Any, context: Reducing) -> Node:
        raw = obj.get_state(legacy=False)
        state = {"has_gauss": int(raw["has_gauss"]), "gauss": float(raw["gauss"])}
        return Node("numpy.random.RandomState", {"bit_generator": bit_generator_of(obj), **state})

    def build(self, node: Node, context: Building) -> Any:
        bit_generator, has_gauss, gauss = check_fields(node, bit_generator=_BIT_GENERATORS, has_gauss=int, gauss=float)
        if has_gauss not in (0, 1) or not math.isfinite(gauss):
            raise InvalidStateError("the spare normal of a RandomState is a finite number")
        made = np.random.RandomState(bit_generator)
        if has_gauss or gauss or math.copysign(1, gauss) < 0:  # a new one has none, and its spare is 0.0
            made.set_state({**made.get_state(legacy=False), "has_gauss": has_gauss, "gauss": gauss})
        return made


_BIT_GENERATORS = (
    np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64,
)  # fmt: skip

_BY_NAME: dict[str, Codec] = {
    "Generator": _Generator(),
    "MT19937": _MT19937(np.random.MT19937),
    "PCG64": _PCG64(np.random.PCG64),
    "PCG64DXSM": _PCG64(np.random.PCG64DXSM),
    "Philox": _Philox(np.random.Philox),
    "RandomState": _RandomState(),
    "SFC64": _SFC64(np.random.SFC64),
    "SeedSequence": _SeedSequence(),
}
#: The private modules the classes say they live in, from NumPy 1.26 on; graphs use the public name.
_MODULES = {
    "Generator": "_generator", "MT19937": "_mt19937", "PCG64": "_pcg64", "PCG64DXSM": "_pcg64", "Philox": "_philox",
    "RandomState": "mtrand", "SFC64": "_sfc64", "SeedSequence": "bit_generator",
}  # fmt: skip
_CODECS = {f"numpy.random.{name}": codec for name, codec in _BY_NAME.items()} | {
    f"numpy.random.{_MODULES[name]}.{name}": codec for name, codec in _BY_NAME.items()
}


def find(name: str) -> Codec | None:
    """The codec of a type of ``numpy.random``."""
    return _CODECS.get(name)


def _check_words(words: Any, dtype: type, count: int) -> None:
    if words.dtype != dtype or words.shape != (count,):
        raise InvalidStateError(f"the state of a bit generator is {count} words of {np.dtype(dtype)} here")


def _check_spare(has_uint32: int, uinteger: int) -> None:
    if has_uint32 not in (0, 1) or not 0 <= uinteger < _UINT32:
        raise InvalidStateError("the spare half of a bit generator's last word has 32 bits")


def _wrong_with_seed(entropy: Any, spawn_key: Any, pool_size: Any, n_children_spawned: Any) -> str:
    """What is wrong with the parts of a seed sequence; empty where nothing is."""
    entropy = [entropy] if isinstance(entropy, (int, np.integer)) else entropy
    if isinstance(entropy, np.ndarray) and entropy.ndim == 1 and entropy.dtype.kind in "iu":
        entropy = entropy[: _ENTROPY_BITS + 1].tolist()
    if type(entropy) not in (list, tuple) or type(spawn_key) is not tuple:
        return "its entropy is not an int or a flat sequence of them, or its spawn key not a tuple"
    words = [*entropy[: _ENTROPY_BITS + 1], *spawn_key[: _ENTROPY_BITS + 1]]
    if not all(isinstance(word, (int, np.integer)) and word >= 0 for word in words):
        return "its entropy or spawn key holds something else than non-negative ints"
    if sum(max(32, int(word).bit_length()) for word in words) > _ENTROPY_BITS:
        return f"its entropy and spawn key are longer than {_ENTROPY_BITS:,} bits"
    if type(pool_size) is not int or not 4 <= pool_size <= _POOL_SIZE:
        return f"its pool size is not 4 to {_POOL_SIZE}"
    if type(n_children_spawned) is not int or not 0 <= n_children_spawned < _UINT32:
        return "its count of spawned children is not a 32-bit number"
    return ""

"""Random generators go on from where they stopped, and a crafted one is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from exactness import assert_kept, round_trip, same

from keepfit import codecs
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Graph, Node, Ref

BIT_GENERATORS = [np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64]


def _used(generator: np.random.Generator) -> np.random.Generator:
    """With half a word and part of a buffer left over."""
    generator.random(3)
    generator.integers(0, 100, dtype=np.uint32)
    return generator


@pytest.mark.parametrize("kind", BIT_GENERATORS, ids=lambda kind: kind.__name__)
def test_a_generator_goes_on_exactly(kind: Any) -> None:
    generator = _used(np.random.Generator(kind(7)))
    built = round_trip(generator)
    assert type(built.bit_generator) is kind
    same(generator.bit_generator.state, built.bit_generator.state)
    for draw in ("random", "standard_normal", "standard_gamma"):
        args = (2.5,) if draw == "standard_gamma" else ()
        assert np.array_equal(getattr(generator, draw)(*args, size=1000), getattr(built, draw)(*args, size=1000))


@pytest.mark.parametrize("kind", BIT_GENERATORS, ids=lambda kind: kind.__name__)
def test_a_generator_goes_on_spawning_where_it_stopped(kind: Any) -> None:
    generator = np.random.Generator(kind(np.random.SeedSequence([3, 2**70], spawn_key=(1, 2), pool_size=8)))
    generator.spawn(3)
    built = round_trip(generator)
    mine, theirs = generator.spawn(1)[0], built.spawn(1)[0]
    assert theirs.bit_generator.seed_seq.spawn_key == (1, 2, 3)
    assert mine.random() == theirs.random()


@pytest.mark.parametrize(
    "entropy", [0, 2**128 - 1, [1, 2], (1, 2, 3), np.array([1, 2], np.uint32), np.int64(5), []], ids=repr
)
def test_a_seed_sequence_keeps_its_entropy_as_it_was_given(entropy: Any) -> None:
    sequence = np.random.SeedSequence(entropy, spawn_key=(4,), n_children_spawned=2)
    built = round_trip(sequence)
    same(sequence.state, built.state)
    assert np.array_equal(sequence.pool, built.pool)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.random.RandomState(0),
        lambda: np.random.RandomState(np.random.MT19937(3)),
        lambda: np.random.RandomState(np.random.PCG64(3)),
        lambda: np.random.RandomState(np.random.SFC64(3)),
        lambda: np.random.RandomState(np.random.Philox(key=3)),
        lambda: np.random.RandomState(),
    ],
    ids=["legacy", "MT19937", "PCG64", "SFC64", "Philox", "entropy"],
)
def test_a_random_state_goes_on_exactly(make: Callable[[], np.random.RandomState]) -> None:
    state = make()
    state.normal(size=3)  # leaves a spare one
    built = round_trip(state)
    same(state.get_state(legacy=False), built.get_state(legacy=False))
    assert state.normal() == built.normal()
    assert np.array_equal(state.permutation(50), built.permutation(50))


def test_a_seeded_random_state_gives_the_same_nodes_each_time() -> None:
    first, second = (codecs.encode(np.random.RandomState(5)) for _ in range(2))
    assert first.nodes == second.nodes


def test_the_position_is_kept_at_both_ends_of_the_key() -> None:
    for count in (0, 1, 623, 624, 625):
        bits = np.random.MT19937(1)
        bits.random_raw(count)
        assert round_trip(bits).random_raw() == bits.random_raw()


def test_what_draws_from_one_bit_generator_goes_on_sharing_it() -> None:
    bits = np.random.MT19937(3)
    state, generator = np.random.RandomState(bits), np.random.Generator(bits)
    built_state, built_generator = round_trip([state, generator])
    for _ in range(3):
        assert state.random_sample() == built_state.random_sample()
        assert generator.random() == built_generator.random()


def test_generators_inside_containers_keep_their_identity() -> None:
    generator = np.random.default_rng(1)
    first, second = round_trip({"a": generator, "b": generator}).values()
    assert first is second


def test_one_seed_sequence_shared_by_two_generators_stays_shared() -> None:
    sequence = np.random.SeedSequence(3)
    first, second = round_trip([np.random.Generator(np.random.PCG64(sequence)) for _ in range(2)])
    assert first.bit_generator.seed_seq is second.bit_generator.seed_seq


@pytest.mark.parametrize(
    "sequence",
    [
        np.random.SeedSequence(1 << 2**15),
        np.random.SeedSequence(list(range(600))),
        np.random.SeedSequence(1, pool_size=1000),
    ],
    ids=["long number", "long list", "large pool"],
)
def test_a_seed_sequence_past_the_bounds_is_refused_at_once(sequence: np.random.SeedSequence) -> None:
    with pytest.raises(UnsupportedError, match="seed sequence"):
        codecs.encode(np.random.Generator(np.random.PCG64(sequence)))


class _OwnSeeds(np.random.bit_generator.ISeedSequence):  # type: ignore[misc]
    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        return np.arange(n_words, dtype=dtype)


def test_a_generator_with_seeds_of_its_own_making_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="seeded by a _OwnSeeds"):
        codecs.encode(np.random.PCG64(_OwnSeeds()))


def _put(kind: str, **fields: Any) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        (node,) = [node for node in graph.nodes if node.type == f"numpy.random.{kind}"]
        node.state.update(fields)

    return edit


def _array(kind: str, place: int, contents: Any) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        graph.arrays[place] = np.asarray(contents)

    return edit


def _drop(kind: str, name: str) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        for node in graph.nodes:
            if node.type == f"numpy.random.{kind}":
                del node.state[name]

    return edit


def _nested_entropy(graph: Graph) -> None:
    seeds = next(node for node in graph.nodes if node.type == "numpy.random.SeedSequence")
    graph.nodes[:0] = [Node("tuple", items=[1]), Node("tuple", items=[Ref(0)])]
    for node in graph.nodes[2:]:
        for name, value in node.state.items():
            if type(value) is Ref:
                node.state[name] = Ref(value.index + 2)
    seeds.state["entropy"] = Ref(1)
    graph.roots["object"] = Ref(graph.roots["object"].index + 2)


_ZEROS = np.zeros(624, np.uint32)
HOSTILE = [
    ("position past the key", "MT19937", _put("MT19937", pos=625), "position"),
    ("position before the key", "MT19937", _put("MT19937", pos=-1), "position"),
    ("position true", "MT19937", _put("MT19937", pos=True), "is a bool"),
    ("position far away", "MT19937", _put("MT19937", pos=2**62), "position"),
    ("short key", "MT19937", _array("MT19937", 0, _ZEROS[:10] + 1), "624 words"),
    ("key of other words", "MT19937", _array("MT19937", 0, np.ones(624, np.uint64)), "624 words"),
    ("key of two dimensions", "MT19937", _array("MT19937", 0, np.ones((624, 1), np.uint32)), "624 words"),
    ("key of zeros", "MT19937", _array("MT19937", 0, _ZEROS), "zeros for ever"),
    ("no key", "MT19937", _drop("MT19937", "key"), "must have the fields"),
    ("no seed sequence field", "MT19937", _drop("MT19937", "seed_seq"), "seed_seq"),
    ("seed sequence a number", "MT19937", _put("MT19937", seed_seq=3), "seed sequence or None"),
    ("spare normal infinite", "RandomState", _put("RandomState", gauss="inf"), "is a str"),
    ("spare normal twice", "RandomState", _put("RandomState", has_gauss=2), "spare normal"),
    ("no bit generator", "RandomState", _put("RandomState", bit_generator=None), "is a NoneType"),
    ("even increment", "PCG64", _put("PCG64", inc="0" * 32), "odd"),
    ("long state", "PCG64", _put("PCG64", state="0" * 33), "128-bit"),
    ("state in words", "PCG64", _put("PCG64", state=" " * 32), "128-bit"),
    ("no seeds at all", "PCG64", _put("PCG64", seed_seq=None), "has a seed sequence"),
    ("spare word too long", "PCG64DXSM", _put("PCG64DXSM", uinteger=2**32), "32 bits"),
    ("spare flag of 7", "PCG64DXSM", _put("PCG64DXSM", has_uint32=7), "32 bits"),
    ("buffer position past the buffer", "Philox", _put("Philox", buffer_pos=5), "buffer position"),
    ("buffer position before the buffer", "Philox", _put("Philox", buffer_pos=-1), "buffer position"),
    ("short counter", "Philox", _array("Philox", 0, np.ones(1, np.uint64)), "4 words"),
    ("short state", "SFC64", _array("SFC64", 0, np.ones(3, np.uint64)), "4 words"),
    ("more fields", "SFC64", _put("SFC64", extra=1), "must have the fields"),
    ("pool of nothing", "SFC64", _put("SeedSequence", pool_size=0), "pool size"),
    ("pool of gigabytes", "SFC64", _put("SeedSequence", pool_size=2**40), "pool size"),
    ("negative children", "SFC64", _put("SeedSequence", n_children_spawned=-1), "32-bit"),
    ("too many children", "SFC64", _put("SeedSequence", n_children_spawned=2**32), "32-bit"),
    ("entropy of lists", "SFC64", _nested_entropy, "non-negative"),
    ("entropy of words", "SFC64", _put("SeedSequence", entropy="abc"), "entropy"),
    ("no entropy", "SFC64", _put("SeedSequence", entropy=None), "entropy"),
    ("negative entropy", "SFC64", _put("SeedSequence", entropy=-1), "non-negative"),
    ("spawn key a number", "SFC64", _put("SeedSequence", spawn_key=1), "spawn key"),
    ("generator of a number", "Generator", _put("Generator", bit_generator=1), "is a int"),
]


@pytest.mark.parametrize(("kind", "edit", "words"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_crafted_state_is_refused(kind: str, edit: Callable[[Graph], None], words: str) -> None:
    makers: dict[str, Any] = {
        "RandomState": np.random.RandomState,
        "Generator": np.random.default_rng,
    }
    make = makers.get(kind) or getattr(np.random, kind)
    graph = codecs.encode(make(3))
    edit(graph)
    with pytest.raises(InvalidStateError, match=words):
        codecs.decode(graph)


def test_a_generator_seeded_by_a_generator_is_refused() -> None:
    graph = codecs.encode(np.random.default_rng(3))
    seeds = next(place for place, node in enumerate(graph.nodes) if node.type == "numpy.random.SeedSequence")
    graph.nodes[seeds] = Node("list")
    with pytest.raises(InvalidStateError, match="seed sequence or None"):
        codecs.decode(graph)


def test_an_array_of_generators_comes_back() -> None:
    generators = np.array([np.random.default_rng(n) for n in range(3)], dtype=object)
    built = round_trip(generators)
    assert [g.random() for g in generators] == [g.random() for g in built]
    assert_kept([np.random.SeedSequence(1).spawn_key])

"""The table of mutators: each makes a file from a subject's, to order.

A mutator is given a subject, graphs to take parts from, a seed, and which of its changes to make (None: all). The same
arguments give the same file. To fuzz another kind of file, add a row.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import damage
import mutations
import opcodes
from subjects import Subject

from keepfit.artifact import to_bytes
from keepfit.graph import Graph

__all__ = ["MUTATORS", "Made", "make"]

#: A file, and what was changed in it.
Made = tuple[bytes, tuple[str, ...]]
Keep = frozenset[int] | None


def _fields(subject: Subject, donors: list[Graph], seed: int, keep: Keep) -> Made:
    graph, notes = mutations.mutate(subject.graph, seed, donors, keep)
    try:
        return to_bytes(graph, {}), notes
    except Exception:  # no writer writes it; a file like it is what `behind_checksums` makes
        return b"", notes


def _of_bytes(change: Callable[[bytes, random.Random], tuple[bytes, str]]) -> Any:
    def make(subject: Subject, donors: list[Graph], seed: int, keep: Keep) -> Made:
        file, notes = subject.file, []
        for number in range(random.Random(seed).choice((1, 1, 1, 2, 3))):
            if keep is None or number in keep:
                changed, note = change(file or b" ", random.Random(f"{seed} {number}"))
                file = changed
                notes.append(note)
                if change is not damage.anywhere:
                    break  # what is damaged may no longer be taken apart
        return file, tuple(notes)

    return make


def _of_pickles(subject: Subject, donors: list[Graph], seed: int, keep: Keep) -> Made:
    rng = random.Random(seed)
    file, notes = rng.choice(subject.pickles), []
    for number in range(rng.choice((1, 1, 1, 2, 3))):
        change, seed_of_change = rng.choice((*[opcodes.changed] * 7, damage.anywhere)), rng.getrandbits(48)
        if keep is None or number in keep:
            try:
                file, note = change(file, random.Random(seed_of_change))
            except ValueError:  # what is changed may no longer be taken apart
                break
            notes.append(note)
    return file, tuple(notes)


def _random_graphs(subject: Subject, donors: list[Graph], seed: int, keep: Keep) -> Made:
    try:
        file, note = damage.random_graph([subject.graph, *donors], random.Random(seed))
    except (ValueError, KeyError, TypeError, UnicodeEncodeError):
        return b"", ("nothing",)
    return file, (note,)


#: Name -> (function, weight).
MUTATORS: dict[str, tuple[Callable[[Subject, list[Graph], int, Keep], Made], int]] = {
    "fields": (_fields, 80),
    "bytes": (_of_bytes(damage.anywhere), 3),
    "bytes behind checksums": (_of_bytes(damage.behind_checksums), 8),
    "header": (_of_bytes(damage.in_the_header), 3),
    "random graphs": (_random_graphs, 6),
    "pickles": (_of_pickles, 15),
}
_NAMES = list(MUTATORS)
_WEIGHTS = [weight for _, weight in MUTATORS.values()]


def make(subject: Subject, donors: list[Graph], seed: int, keep: Keep = None) -> tuple[str, Made]:
    """The file of a case: the name of its mutator, its bytes, what was changed."""
    name = random.Random(f"{seed} of").choices(_NAMES, _WEIGHTS)[0]
    return name, MUTATORS[name][0](subject, donors, seed, keep)

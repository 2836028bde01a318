"""Private names of ``numpy.random`` that codecs touch, in one place (1.26 to 2.5).

``RandomState._bit_generator``: what a `RandomState` draws from has no public name.

``MT19937._legacy_seeding``: how a `RandomState` seeds it, which leaves it without a seed sequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["bit_generator_of", "mt19937_without_seed_sequence"]


def bit_generator_of(random_state: np.random.RandomState) -> Any:
    """What a `RandomState` draws from; others may draw from the same."""
    return random_state._bit_generator


class _NoEntropy(np.random.bit_generator.ISeedSequence):
    """Words for a state that is about to be replaced, without mixing entropy: that takes longer than a small model."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        return [1] * n_words


def mt19937_without_seed_sequence() -> Any:
    """What ``RandomState(0)`` draws from."""
    made: Any = np.random.MT19937(_NoEntropy())  # type: ignore[arg-type]
    made._legacy_seeding(0)
    return made

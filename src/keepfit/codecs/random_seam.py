"""Private names of ``numpy.random`` that codecs touch, in one place (1.26 to 2.5).

``RandomState._bit_generator``: what a `RandomState` draws from has no public name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["bit_generator_of"]


def bit_generator_of(random_state: np.random.RandomState) -> Any:
    """What a `RandomState` draws from; others may draw from the same."""
    return random_state._bit_generator

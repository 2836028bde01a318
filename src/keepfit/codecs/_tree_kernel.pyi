from typing import Any

from numpy.typing import NDArray

VERSION: int

def check(
    nodes: NDArray[Any],
    counts: NDArray[Any],
    n_features: NDArray[Any],
    depths: NDArray[Any],
    size: int,
    left: int,
    right: int,
    feature: int,
    is_leaf: int,
    mark: int,
    /,
) -> int: ...

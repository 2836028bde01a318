"""Whether two searches found the same, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def scores_of(results: Mapping[str, Any]) -> dict[str, bytes]:
    """Every numeric column of ``cv_results_`` or `cross_validate`'s dict as bytes, but for the times."""
    return {
        name: np.asarray(values).tobytes()
        for name, values in results.items()
        if "time" not in name and not name.startswith(("param", "estimator"))
    }

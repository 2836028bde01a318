"""Coverage-guided fuzzing of the parsers of files and pickles: `make fuzz-parsers`. Needs atheris.

Every input is tried four ways: as a whole file, as the JSON of a graph under right checksums, as a header under a
right checksum, and as a pickle. Anything but a value or a `KeepfitError` ends the run and is written to a file. Options
are libFuzzer's::

    python scripts/fuzz_parsers.py CORPUS_FOLDER -max_total_time=600
"""

from __future__ import annotations

import collections
import pickle
import sys
from contextlib import suppress
from pathlib import Path

import atheris
import numpy as np
from numpy.random import RandomState
from sklearn.svm import SVC

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / part) for part in ("src", "tests", "tests/artifact")]

with atheris.instrument_imports(include=["keepfit.artifact", "keepfit.graph", "keepfit.pickles"]):
    from keepfit import artifact, pickles
    from keepfit.errors import FormatError, KeepfitError
    from keepfit.graph import to_json
from artifact_examples import EXAMPLES, example_bytes, forge, forge_graph, header_of  # noqa: E402


def try_input(data: bytes) -> None:
    """What libFuzzer calls."""
    for file in (data, forge_graph(data), forge(data)):
        with suppress(FormatError):
            artifact.read(file)
    contents = pickles.read(data)
    with suppress(KeepfitError):
        contents.graph()


def main() -> None:
    folders = [Path(name) for name in sys.argv[1:] if not name.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(exist_ok=True)
        for name in EXAMPLES:
            file = example_bytes(name)
            (folder / f"{name}.file").write_bytes(file)
            (folder / f"{name}.header").write_text(header_of(file))
            graph, _ = artifact.read(file)
            (folder / f"{name}.graph").write_bytes(to_json(graph))
        for protocol in range(6):
            honest = [{"a": (1, 2.5), b"b": {3}}, np.arange(3), collections.Counter("ab"), SVC(), RandomState(0)]
            (folder / f"protocol-{protocol}.pickle").write_bytes(pickle.dumps(honest, protocol))
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

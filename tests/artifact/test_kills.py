"""SIGKILL at any moment of saving over a good file leaves the old file or the new one, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keepfit.artifact import open_bytes, read

SAVING = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from artifact_examples import graph_of
from keepfit.artifact import save
for number in range(int(sys.argv[3]), 10**9):
    save(graph_of({"a": np.full(300_000, number), "b": np.full(1000, number)}), {"number": str(number)}, sys.argv[2])
    print(number, flush=True)
"""


@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.long)])
def test_a_kill_while_saving_leaves_the_old_file_or_the_new(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "model.safetensors"
    generator = random.Random(kills)
    last = 0
    for kill in range(1, kills + 1):
        arguments = [sys.executable, "-c", SAVING, str(Path(__file__).parent), str(path), str(last + 1)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
            said = [int(child.stdout.readline())]  # a good file is there
            time.sleep(generator.uniform(0, 0.03))
            child.kill()
            said += [int(line) for line in child.stdout if line.endswith("\n")]
        graph, facts = read(open_bytes(path))
        number = int(facts["number"])
        assert number in (said[-1], said[-1] + 1)
        assert [set(array.tolist()) for array in graph.arrays] == [{number}, {number}]
        last = number
        left = [other for other in tmp_path.iterdir() if other != path]
        assert len(left) <= kill
        assert all(other.name.startswith(f".{path.name}.") and other.name.endswith(".tmp") for other in left)

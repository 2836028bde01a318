"""Files from every released keepfit, under every supported scikit-learn: what loaded once loads for ever.

``scripts/make_corpus.py`` writes the files of a new release; those of an old one are never written again.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import sklearn

import keepfit
import released_models
from equality import difference
from keepfit.codecs.versions import short_version
from keepfit.errors import KeepfitWarning, VersionError

FOLDER = Path(__file__).parent / "corpus" / "released"
FILES = sorted(FOLDER.rglob("*.safetensors"))
RUNNING = sklearn.__version__

#: Models whose state no supported release has changed: an older one reads those of a newer one, too.
UNCHANGED = {"decision_tree", "gaussian_nb", "kmeans", "knn_kd_tree", "pca_ridge", "texts", "values"}


def release_of(file: Path) -> str:
    return file.parent.name.removeprefix("scikit-learn-")


def is_of_running(file: Path) -> bool:
    return release_of(file).split(".")[:2] == RUNNING.split(".")[:2]


def test_there_are_files_of_every_release() -> None:
    releases = {".".join(release_of(file).split(".")[:2]) for file in FILES}
    assert {"1.6", "1.7", "1.8", "1.9"} <= releases
    assert {file.stem for file in FILES} == released_models.models().keys()


def verified(file: Path) -> tuple[bool, str, int]:
    """Whether a file answers as it did, why it was refused instead, and how many warnings were given."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", KeepfitWarning)
        try:
            return bool(keepfit.verify(file)), "", len(caught)
        except VersionError as error:
            return False, str(error), len(caught)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_released_file_answers_as_it_did_or_is_refused_by_version(file: Path) -> None:
    answers, refusal, warned = verified(file)
    if refusal:
        assert file.stem not in UNCHANGED
        assert short_version(release_of(file)) > short_version(RUNNING)
        assert release_of(file) in refusal
        assert RUNNING in refusal
    else:
        assert answers
        assert warned == (file.stem != "values" and not is_of_running(file))
        assert not keepfit.inspect(file).obstacles


@pytest.mark.parametrize("file", [file for file in FILES if file.stem == "values"], ids=lambda file: file.parent.name)
def test_plain_values_of_a_released_file_are_what_they_were(file: Path) -> None:
    assert difference(released_models.values(), keepfit.load(file)) == ""
    shared = keepfit.load(file)["shared"]
    assert shared[0] is shared[1]

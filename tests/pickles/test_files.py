"""Files as wholes: joblib's layouts, compressors, NumPy's files; `convert`."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import warnings
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

import keepfit
from keepfit import pickles
from keepfit.errors import FormatError, InvalidStateError, UnsupportedError, UntrustedError, VersionError
from keepfit.graph import Limits

X = np.random.RandomState(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


class Mine:
    """A class that keepfit does not know."""

    def __init__(self) -> None:
        self.values = [1, 2]


def converted(data: bytes, **options: Any) -> Any:
    target = io.BytesIO()
    keepfit.convert(data, target, **options)
    return keepfit.loads(target.getvalue(), trusted=options.get("trusted", ()))


def joblib_of(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


MODEL = RandomForestClassifier(5, random_state=0).fit(X, Y)


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_joblib_files_of_every_compressor_are_read(compress: Any, protocol: int) -> None:
    data = joblib_of(
        {"model": MODEL, "objects": np.array([1, "a", None], object)}, compress=compress, protocol=protocol
    )
    found = converted(data)
    assert (found["model"].predict_proba(X) == MODEL.predict_proba(X)).all()
    assert found["objects"].tolist() == [1, "a", None]


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_pickles_are_read(pack: Any) -> None:
    assert converted(pack(pickle.dumps(MODEL))).predict(X).tolist() == MODEL.predict(X).tolist()


def test_a_file_without_places_has_no_padding_and_is_read() -> None:
    class Pipe(io.BytesIO):
        def tell(self) -> int:
            raise io.UnsupportedOperation

    file = Pipe()
    joblib.dump([np.zeros(3), np.arange(3)], file)
    assert [array.tolist() for array in converted(file.getvalue())] == [[0, 0, 0], [0, 1, 2]]


def test_the_old_header_of_joblib_is_read() -> None:
    plain = pickle.dumps([1, 2], 2)
    data = b"ZF" + hex(len(plain)).ljust(19).encode() + zlib.compress(plain)
    assert converted(data) == [1, 2]
    with pytest.raises(FormatError, match="they say"):
        converted(data.replace(hex(len(plain)).encode(), hex(len(plain) + 1).encode(), 1))


def test_orders_and_dtypes_of_raw_arrays_are_kept() -> None:
    arrays = [np.asfortranarray(X), X.astype("f4"), np.array(["a", "bc"]), np.zeros((0, 3)), np.array(2.0), X > 0]
    for wanted, found in zip(arrays, converted(joblib_of(arrays)), strict=True):
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        assert found.flags.f_contiguous == wanted.flags.f_contiguous
        assert (found == wanted).all()


def test_npy_and_npz_are_read() -> None:
    file = io.BytesIO()
    np.savez(file, plain=X, objects=np.array([{"a": 1}, None]))
    found = converted(file.getvalue())
    assert (found["plain"] == X).all()
    assert found["objects"].tolist() == [{"a": 1}, None]
    file = io.BytesIO()
    np.save(file, np.asfortranarray(X))
    assert (converted(file.getvalue()) == X).all()


def test_what_unpacks_to_far_more_than_it_is_is_refused_before_it_is_unpacked() -> None:
    data = zlib.compress(bytes(10**7))
    limits = Limits(unpacked_free_bytes=10**5)
    contents = pickles.read(data, limits=limits)
    assert isinstance(contents.error, FormatError)
    assert "over the limit" in contents.error.message


def test_lz4_is_read_or_asked_for() -> None:
    contents = pickles.read(b"\x04\x22\x4d\x18" + bytes(20))
    assert isinstance(contents.error, (FormatError, UnsupportedError))


def test_files_and_places_are_taken_like_everywhere(tmp_path: Path) -> None:
    with (tmp_path / "old.pkl").open("wb") as file:
        pickle.dump(MODEL, file)
    keepfit.convert(tmp_path / "old.pkl", tmp_path / "new.safetensors", metadata={"from": "old.pkl"})
    assert keepfit.inspect(tmp_path / "new.safetensors").metadata == {"from": "old.pkl"}
    assert keepfit.load(tmp_path / "new.safetensors").n_estimators == 5
    with (tmp_path / "old.pkl").open("rb") as source, (tmp_path / "again").open("wb") as target:
        keepfit.convert(source, target)
    assert keepfit.load(tmp_path / "again").n_estimators == 5


def test_what_is_no_pickle_is_called_by_its_name(tmp_path: Path) -> None:
    for data, words in ((b"hello", "text"), (keepfit.dumps([1]), "a keepfit file already"), (b"", "an empty file")):
        with pytest.raises(FormatError, match=words):
            converted(data)


def test_load_names_convert_and_inspect_and_never_unpickles(tmp_path: Path) -> None:
    for data in (pickle.dumps(MODEL), joblib_of(MODEL), joblib_of(MODEL, compress=3), pickle.dumps(MODEL, 0)):
        (tmp_path / "x.pkl").write_bytes(data)
        with pytest.raises(FormatError, match=r"keepfit\.inspect\(file\).*keepfit\.convert\(file, target\)"):
            keepfit.load(tmp_path / "x.pkl")


def test_classes_of_your_own_need_your_word() -> None:
    data = pickle.dumps({"mine": Mine(), "model": MODEL})
    with pytest.raises(UntrustedError) as caught:
        converted(data)
    assert caught.value.names == (f"{__name__}.Mine",)
    assert converted(data, trusted=[Mine])["mine"].values == [1, 2]


def test_a_failed_conversion_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"before")
    with pytest.raises(UntrustedError):
        keepfit.convert(pickle.dumps(Mine()), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"before"


def test_the_release_is_read_and_the_rule_for_versions_holds() -> None:
    data = pickle.dumps(LogisticRegression().fit(X, Y), 2)
    import sklearn

    release = sklearn.__version__.encode()
    graph = pickles.read(data).graph()
    assert graph.versions == {"scikit-learn": sklearn.__version__}
    with pytest.raises(VersionError, match=r"written under scikit-learn 0\.4\.2"):
        converted(data.replace(release, b"0.4.2"[: len(release)].ljust(len(release), b"0")))
    with pytest.raises(VersionError, match="not said"):
        converted(data.replace(b"_sklearn_version", b"_sklearn_varsion"))


def test_models_whose_state_is_rebuilt_come_back_whole() -> None:
    model = IsotonicRegression(out_of_bounds="clip").fit(X[:, 0], Y)
    found = converted(pickle.dumps(model))
    assert (found.predict(X[:, 0]) == model.predict(X[:, 0])).all()
    single = pickle.dumps(IsotonicRegression().fit([1.0], [2.0]))
    with pytest.raises(InvalidStateError, match="one value"):
        converted(single)
    bunch = converted(pickle.dumps(Bunch(a=1, b=[2])))
    assert type(bunch) is Bunch
    assert bunch.b == [2]


def test_what_a_stream_does_besides_is_refused() -> None:
    with pytest.raises(UntrustedError, match=r"imports antigravity\.geohash"):
        converted(b"\x80\x02cantigravity\ngeohash\n0N.")
    with pytest.raises(UntrustedError, match="does not need"):
        converted(b"\x80\x02ccollections\nOrderedDict\n)R0N.")


def test_masked_arrays_generators_and_sparse_arrays_come_back() -> None:
    import scipy.sparse
    import scipy.stats

    generator = np.random.default_rng(5)
    generator.normal(size=3)
    objects = [
        np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=7), np.ma.array([1, "a"], object, mask=[1, 0]), np.ma.masked,
        generator, np.random.RandomState(3), np.random.Philox(4), np.random.MT19937(1),
        scipy.sparse.eye_array(3).tocsr(),
        scipy.sparse.coo_matrix(np.eye(3)), scipy.stats.norm(0, 2), scipy.stats.uniform(1, 2),
    ]  # fmt: skip
    for protocol in (2, 5):
        found = converted(pickle.dumps(objects, protocol))
        wanted = pickle.loads(pickle.dumps(objects, protocol))
        assert repr(found[:3]) == repr(wanted[:3])
        assert found[2] is np.ma.masked
        assert found[3].normal() == wanted[3].normal()
        assert found[4].normal() == wanted[4].normal()
        assert found[5].random_raw() == wanted[5].random_raw()
        assert found[6].random_raw() == wanted[6].random_raw()
        assert (found[7] != wanted[7]).nnz == 0
        assert (found[8] != wanted[8]).nnz == 0
        assert found[9].pdf(0.3) == wanted[9].pdf(0.3)
        assert found[10].pdf(1.3) == wanted[10].pdf(1.3)


class _OfNumPy1:
    """A bit generator as NumPy 1 pickled it: without the seed sequence that it came from."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def __reduce__(self) -> tuple[Any, ...]:
        constructor = vars(import_module("numpy.random._pickle"))["__bit_generator_ctor"]
        return constructor, (type(self.generator).__name__,), self.generator.state


@pytest.mark.parametrize("name", ["PCG64", "PCG64DXSM", "SFC64", "Philox", "MT19937"])
def test_bit_generators_that_numpy_1_pickled_go_on_where_they_were(name: str) -> None:
    generator = getattr(np.random, name)(5)
    generator.random_raw(7)
    data = pickle.dumps(_OfNumPy1(generator))
    found, again = converted(data), converted(data)
    assert found.random_raw() == generator.random_raw()
    if found.seed_seq is not None:  # made of the state, so that a file converts to the same bytes each time
        assert found.spawn(1)[0].random_raw() == again.spawn(1)[0].random_raw()


def test_warnings_are_those_of_load() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converted(pickle.dumps(StandardScaler().fit(X)))

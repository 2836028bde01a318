"""Models by name and version, on every backend."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import keepfit
from keepfit.errors import StoreError, UnsupportedError
from keepfit.store import ModelNotFoundError, Store


def test_a_model_comes_back_as_it_was_kept(store: Store) -> None:
    model = {"weights": np.arange(6.0).reshape(2, 3), "name": "ü", "none": None, "mask": np.zeros(0, bool)}
    store["m"] = model
    again = store["m"]
    np.testing.assert_array_equal(again.pop("weights"), model.pop("weights"))
    assert again.pop("mask").dtype == bool
    model.pop("mask")
    assert again == model


def test_an_estimator_predicts_as_before(store: Store) -> None:
    from sklearn.datasets import load_iris
    from sklearn.naive_bayes import GaussianNB

    X, y = load_iris(return_X_y=True)
    bayes = GaussianNB().fit(X, y)
    store["nb"] = bayes
    np.testing.assert_array_equal(store["nb"].predict_proba(X), bayes.predict_proba(X))
    assert store.info("nb").type.endswith("GaussianNB")


def test_an_array_longer_than_a_chunk_comes_back_whole(store: Store) -> None:
    array = np.random.default_rng(0).random(5_000_000)  # 40 MB: two chunks and a half
    store["big"] = array
    np.testing.assert_array_equal(store["big"], array)


def test_what_is_loaded_belongs_to_the_caller(store: Store) -> None:
    store["m"] = [np.zeros(3), np.zeros(3)]
    first, second = store["m"]
    first += 1
    assert second.sum() == 0
    assert store["m"][0].sum() == 0


def test_a_store_is_a_mapping_of_names_in_order(store: Store) -> None:
    store.update({"b": 1, "a": 2})
    assert list(store) == ["a", "b"]
    assert len(store) == 2
    assert "a" in store
    assert "c" not in store
    assert 7 not in store
    assert dict(store) == {"a": 2, "b": 1}
    assert store.get("c", "nothing") == "nothing"
    assert store.pop("a") == 2
    del store["b"]
    assert list(store) == []


def test_a_store_equals_only_itself(store: Store) -> None:
    store["a"] = np.zeros(2)
    assert store == store
    assert store != {"a": 0}
    assert len({store}) == 1


def test_each_save_is_a_version(store: Store) -> None:
    for number in (1, 2, 3):
        assert store.save("m", [number]).version == number
    assert store["m"] == [3]
    assert store.load("m", version=1) == [1]
    assert store.load("m", version="2") == [2]
    assert [info.version for info in store.versions("m")] == [1, 2, 3]


def test_info_tells_what_is_kept(store: Store) -> None:
    info = store.save("m", np.zeros(1000), metadata={"by": "me", "run": 7})
    assert info == store.info("m")
    assert info.metadata == {"by": "me", "run": 7}
    assert info.type == "numpy.ndarray"
    assert 8000 < info.size_bytes < 9000
    assert abs(datetime.now(UTC) - info.created_at) < timedelta(minutes=5)
    assert "keepfit" in info.versions
    assert len(info.digest) == 64


def test_equal_models_have_equal_digests(store: Store) -> None:
    digests = [store.save("m", [np.arange(n), "x"], metadata={"n": i}).digest for i, n in enumerate((3, 3, 4))]
    assert digests[0] == digests[1] != digests[2]


def test_an_array_of_another_type_or_shape_has_another_digest(store: Store) -> None:
    same_bytes = [np.zeros(4, "<i8"), np.zeros(4, "<f8"), np.zeros((2, 2), "<f8"), np.zeros(8, "<i4")]
    assert len({store.save("m", array).digest for array in same_bytes}) == 4
    for number, array in enumerate(same_bytes, 1):
        again = store.load("m", version=number)
        assert (again.dtype, again.shape) == (array.dtype, array.shape)


def test_a_missing_name_is_a_key_error_with_close_names(store: Store) -> None:
    with pytest.raises(KeyError, match="it is empty"):
        store["forest"]
    store["forest"] = 1
    with pytest.raises(ModelNotFoundError, match="did you mean 'forest'"):
        store["forrest"]
    with pytest.raises(StoreError, match="there is 'forest'"):
        store.info("knn")
    for call in (store.versions, store.aliases, store.delete):
        with pytest.raises(ModelNotFoundError):
            call("knn")


def test_a_missing_version_or_alias_is_named(store: Store) -> None:
    store["m"] = 1
    store.set_alias("m", "production", 1)
    with pytest.raises(ModelNotFoundError, match="no version or alias 2"):
        store.load("m", version=2)
    with pytest.raises(ModelNotFoundError, match="did you mean 'production'"):
        store.load("m", version="prodction")
    with pytest.raises(ModelNotFoundError):
        store.load("m", version=10**30)


def test_a_version_may_be_a_number_of_numpys(store: Store) -> None:
    store["m"], store["m"] = "one", "two"
    assert store.load("m", version=np.int64(1)) == "one"
    assert store.info("m", np.int32(1)).version == 1


def test_an_alias_stands_for_a_version_until_it_is_moved(store: Store) -> None:
    store["m"], store["m"] = "one", "two"
    store.set_alias("m", "production", 1)
    store.set_alias("m", "candidate", 2)
    assert store.load("m", version="production") == "one"
    store.set_alias("m", "production", "candidate")
    assert store.load("m", version="production") == "two"
    assert store.aliases("m") == {"candidate": 2, "production": 2}
    assert store.info("m").aliases == ("candidate", "production")
    store.set_alias("m", "candidate", None)
    assert store.aliases("m") == {"production": 2}
    with pytest.raises(ModelNotFoundError):
        store.set_alias("m", "candidate", None)


def test_a_number_is_no_alias(store: Store) -> None:
    store["m"] = 1
    with pytest.raises(StoreError, match="is a number"):
        store.set_alias("m", "7", 1)


def test_a_version_that_an_alias_stands_for_is_not_deleted(store: Store) -> None:
    store["m"], store["m"] = 1, 2
    store.set_alias("m", "production", 1)
    with pytest.raises(StoreError, match="'production' stands for version 1"):
        store.delete("m", 1)
    store.delete("m", 2)
    assert store["m"] == 1
    store.delete("m")
    assert "m" not in store


def test_a_deleted_version_number_is_not_used_again(store: Store) -> None:
    store["m"], store["m"] = 1, 2
    store.delete("m", 2)
    assert store.save("m", 3).version == 3
    store.delete("m", 1)
    store.delete("m", 3)
    assert "m" not in store


def test_rename_keeps_versions_and_aliases(store: Store) -> None:
    store["old"], store["old"], store["other"] = 1, 2, 3
    store.set_alias("old", "production", 1)
    with pytest.raises(StoreError, match="there is a model named 'other' already"):
        store.rename("old", "other")
    store.rename("old", "new")
    assert list(store) == ["new", "other"]
    assert store.load("new", version="production") == 1
    assert store["new"] == 2


@pytest.mark.parametrize("name", ["a", "ü/日本 x.y", "x" * 255, "-1", "CON"])
def test_names_that_will_do(store: Store, name: str) -> None:
    store[name] = 1
    assert list(store) == [name]
    assert store[name] == 1


@pytest.mark.parametrize("name", ["", "x" * 256, "a#b", "a@2", "a\nb", "a\0b", "\ud800", 7, None])
def test_names_that_will_not_do(store: Store, name: object) -> None:
    with pytest.raises(StoreError):
        store[name] = 1
    assert name not in store
    with pytest.raises(KeyError):
        store[name]


def test_a_model_that_cannot_be_kept_leaves_no_trace(store: Store) -> None:
    with pytest.raises(UnsupportedError):
        store["m"] = lambda: 0
    assert "m" not in store


def test_an_exported_file_is_the_one_that_dump_writes(store: Store, tmp_path) -> None:
    model = {"a": np.arange(5), "b": [1, 2]}
    store.save("m", model, metadata={"k": "v"})
    store["m"] = "newer"
    path, file = tmp_path / "m.safetensors", io.BytesIO()
    store.export("m", path, version=1)
    store.export("m", file, version=1)
    expected = keepfit.dumps(model, metadata={"k": "v"})
    assert path.read_bytes() == expected
    assert file.getvalue() == expected
    np.testing.assert_array_equal(keepfit.load(path)["a"], model["a"])


def test_the_graph_can_be_had_without_building_anything(store: Store) -> None:
    store.save("m", {"a": np.arange(5)})
    graph, facts = store.graph("m")
    assert graph.names == ["a"]
    assert store.save_graph("copy", graph, facts).digest == store.info("m").digest
    assert store["copy"]["a"].tolist() == [0, 1, 2, 3, 4]


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        list(store)

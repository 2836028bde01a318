"""Uploaded models: kept as the files that came, one tenant apart from the other, under quotas; and tokens."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import keepfit
from keepfit.errors import FormatError, StoreError
from keepfit.store import ModelInfo, ModelNotFoundError, NameTakenError, Quota, QuotaError, Store, TokenInfo
from keepfit.store.schema import now

ROOM = Quota(models=100, versions=100, size_bytes=10**9)
Upload = Callable[..., ModelInfo]


@pytest.fixture
def upload(store: Store, tmp_path: Path) -> Upload:
    def upload(tenant: str, name: str, data: bytes, quota: Quota = ROOM) -> ModelInfo:
        path = tmp_path / "upload"
        path.write_bytes(data)
        facts = {"class": "list", "versions": '{"numpy":"2"}'}
        with path.open("rb") as file:
            return store.tenants.save(tenant, name, file, type="list", facts=facts, quota=quota)

    return upload


def test_an_upload_is_a_model_like_any_other(store: Store, upload: Upload) -> None:
    data = keepfit.dumps({"weights": np.arange(3.0)})
    info = upload("lab", "lab.m", data)
    assert (info.version, info.tenant, info.form, info.type) == (1, "lab", "file", "list")
    assert info.size_bytes == len(data)
    assert info.versions == {"numpy": "2"}
    np.testing.assert_array_equal(store["lab.m"]["weights"], np.arange(3.0))
    assert store.graph("lab.m")[1]["class"] == "dict"


def test_an_upload_is_exported_byte_for_byte(store: Store, upload: Upload, tmp_path: Path) -> None:
    data = keepfit.dumps(np.random.default_rng(0).random(3_000_000))  # 24 MB: two chunks
    upload("lab", "lab.m", data)
    target = io.BytesIO()
    store.export("lab.m", target)
    assert target.getvalue() == data
    store.export("lab.m", tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == data


def test_keeping_and_exporting_an_upload_reads_nothing_of_it(store: Store, upload: Upload) -> None:
    upload("lab", "lab.m", b"no model at all")
    target = io.BytesIO()
    store.export("lab.m", target)
    assert target.getvalue() == b"no model at all"
    with pytest.raises(FormatError):
        store["lab.m"]


def test_a_name_belongs_to_whom_it_was_first_of(store: Store, upload: Upload) -> None:
    upload("lab", "lab.m", b"1")
    store["own"] = [1]
    for tenant, name in (("other", "lab.m"), ("lab", "own"), ("other", "own")):
        with pytest.raises(NameTakenError, match="is taken"):
            upload(tenant, name, b"2")
        with pytest.raises(ModelNotFoundError):
            store.tenants.delete(tenant, name)
    assert [one.version for one in store.versions("lab.m")] == [1]
    assert store["own"] == [1]


def test_the_owner_of_the_store_may_do_all_with_an_upload(store: Store, upload: Upload) -> None:
    upload("lab", "lab.m", keepfit.dumps([1]))
    assert store.save("lab.m", [2]).tenant == "lab"
    store.set_alias("lab.m", "good", 1)
    store.rename("lab.m", "ours")
    assert store.info("ours", "good").tenant == "lab"
    del store["ours"]
    assert store.tenants.usage("lab") == Quota(0, 0, 0)


def test_a_tenant_removes_its_own(store: Store, upload: Upload) -> None:
    upload("lab", "lab.m", b"1")
    upload("lab", "lab.m", b"2")
    store.tenants.delete("lab", "lab.m")
    assert list(store) == []


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        (Quota(models=2, versions=9, size_bytes=10**6), "keeps 2 models"),
        (Quota(models=9, versions=2, size_bytes=10**6), "has 2 versions"),
        (Quota(models=9, versions=9, size_bytes=50), "at most 50"),
    ],
)
def test_quotas_hold(store: Store, upload: Upload, quota: Quota, words: str) -> None:
    upload("other", "other.m", bytes(1000))
    upload("lab", "lab.a", bytes(20), quota)
    upload("lab", "lab.a", bytes(21), quota)
    if quota.size_bytes > 50:
        upload("lab", "lab.b", bytes(22), quota)
    before = store.tenants.usage("lab")
    name = "lab.a" if "versions" in words else "lab.c"
    with pytest.raises(QuotaError, match=words):
        upload("lab", name, bytes(23), quota)
    assert store.tenants.usage("lab") == before


def test_the_listing_has_the_newest_and_those_with_aliases(store: Store, upload: Upload) -> None:
    for number in range(4):
        store.save("m", [number])
    store.set_alias("m", "old", 2)
    store.set_alias("m", "older", 2)
    upload("lab", "lab.m", b"1")
    found = [(one.name, one.version, one.is_newest, one.aliases, one.tenant) for one in store.listing()]
    assert found == [
        ("lab.m", 1, True, (), "lab"),
        ("m", 2, False, ("old", "older"), None),
        ("m", 4, True, (), None),
    ]
    assert store.listing()[2].digest == store.info("m").digest


def test_facts_that_are_no_json_do_no_harm(store: Store, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    with (tmp_path / "f").open("rb") as file:
        facts = {"versions": "[" * 10_000, "metadata": "[" * 10_000}
        info = store.tenants.save("lab", "lab.m", file, type="", facts=facts, quota=ROOM)
    assert (info.versions, info.metadata) == ({}, {})


def test_tokens_are_kept_and_revoked(store: Store) -> None:
    moment = now()
    first = TokenInfo("a", bytes(range(32)), "infer", None, "for the shop", moment)
    second = TokenInfo("b", bytes(32), "upload", "lab", "", moment, moment)
    store.tokens.add(first)
    store.tokens.add(second)
    assert store.tokens.all() == [first, second]
    store.tokens.revoke("a")
    assert store.tokens.count() == 1
    assert store.tokens.all()[0].revoked_at >= moment
    for key in ("a", "c"):
        with pytest.raises(StoreError, match="no token"):
            store.tokens.revoke(key)
    with pytest.raises(StoreError):
        store.tokens.add(first)

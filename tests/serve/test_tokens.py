"""Tokens: what each role opens, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keepfit.errors import ServeError
from keepfit.serve.tokens import ANYBODY, Grant, Role, Tokens
from keepfit.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.db") as store:
        yield store


def test_a_token_opens_what_it_was_made_for(store: Store) -> None:
    tokens = Tokens(store)
    for role, tenant in ((Role.INFER, None), (Role.INFER, "lab"), (Role.UPLOAD, "lab"), (Role.ADMIN, None)):
        token = tokens.create(role, tenant)
        grant = Tokens(store).check(token)
        assert grant is not None
        assert (grant.role, grant.tenant) == (role, tenant)
        assert grant.key in token


def test_the_secret_is_nowhere_in_the_store(store: Store, tmp_path: Path) -> None:
    token = Tokens(store).create(Role.INFER)
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() not in content
    assert token.rpartition("_")[2].encode() not in content
    assert token.split("_")[1].encode() in content  # the key is there, to look it up by


def test_anything_else_is_refused(store: Store) -> None:
    tokens = Tokens(store)
    token, other = tokens.create(Role.ADMIN), tokens.create(Role.INFER)
    _, key, secret = token.split("_", 2)
    wrong = [
        "",
        key,
        secret,
        f"kf_{key}_",
        f"kf_{key}_{secret[:-1]}",
        f"kf_{key}_{secret}A",
        f"kf_{other.split('_')[1]}_{secret}",
        f"kf_{'0' * 16}_{secret}",
        f"kf_{key}_{'A' * 43}",
        f"KF_{key}_{secret}",
        f"kf_{key}_{secret}\n",
        f" {token}",
        "kf_" + "９" * 16 + "_" + secret,
        token.upper(),
        "\ud800",
        "kf_" * 100_000,
    ]
    assert [one for one in wrong if tokens.check(one) is not None] == []
    assert tokens.check(token) is not None


def test_a_revoked_token_is_refused_after_a_refresh(store: Store) -> None:
    tokens = Tokens(store)
    token = tokens.create(Role.INFER)
    grant = tokens.check(token)
    assert grant is not None
    store.tokens.revoke(grant.key)
    tokens.refresh()
    assert tokens.check(token) is None


def test_an_expired_token_is_refused_at_once(store: Store) -> None:
    tokens = Tokens(store)
    assert tokens.check(tokens.create(Role.INFER, lifetime=timedelta(days=1))) is not None
    assert tokens.check(tokens.create(Role.INFER, lifetime=timedelta(0))) is None


def test_a_token_made_elsewhere_is_known_after_a_refresh(store: Store) -> None:
    running = Tokens(store)
    token = Tokens(store).create(Role.INFER)
    assert running.check(token) is None
    running.refresh()
    assert running.check(token) is not None


@pytest.mark.parametrize("tenant", ["", "a.b", "../x", "a/b", "-a", "_a", "ü", "a" * 51, "a\n", "a b"])
def test_tenants_have_strict_names(store: Store, tenant: str) -> None:
    with pytest.raises(ServeError, match="cannot be a tenant"):
        Tokens(store).create(Role.UPLOAD, tenant)
    assert store.tokens.all() == []


def test_an_upload_needs_a_tenant_and_an_admin_has_none(store: Store) -> None:
    with pytest.raises(ServeError, match="needs a tenant"):
        Tokens(store).create(Role.UPLOAD)
    with pytest.raises(ServeError, match="leave the tenant out"):
        Tokens(store).create(Role.ADMIN, "lab")


def test_roles_include_those_below() -> None:
    table = [[role.includes(other) for other in Role] for role in Role]
    assert table == [[True, False, False], [True, True, False], [True, True, True]]


def test_who_sees_whose_models() -> None:
    lab, admin = Grant("k", Role.INFER, "lab"), Grant("k", Role.ADMIN, None)
    assert [grant.sees(None) for grant in (ANYBODY, lab, admin)] == [True, True, True]
    assert [grant.sees("lab") for grant in (ANYBODY, lab, admin)] == [False, True, True]
    assert [grant.sees("other") for grant in (ANYBODY, lab, admin)] == [False, False, True]

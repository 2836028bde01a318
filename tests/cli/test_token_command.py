"""``keepfit token``, and what the other commands say of uploads."""

from __future__ import annotations

import json

import pytest

import keepfit
from keepfit import artifact
from keepfit.cli.application import root
from keepfit.serve.tokens import Role, Tokens
from keepfit.store import Quota, Store


def test_a_token_is_printed_once_and_good(run, tmp_path):
    result = run("token", "create", "--role", "upload", "--tenant", "lab", "--label", "laptop", "state.db")
    assert result.exit_code == 0
    token = result.stdout.strip()
    assert "cannot be shown again" in result.stderr
    with Store(tmp_path / "state.db") as store:
        grant = Tokens(store).check(token)
    assert (grant.role, grant.tenant) == (Role.UPLOAD, "lab")
    listed = run("token", "list", "state.db").output
    assert "laptop" in listed
    assert grant.key in listed
    assert token.partition(grant.key)[2].lstrip("_") not in listed


def test_a_token_is_revoked_by_its_key(run, tmp_path):
    token = run("token", "create", "--role", "infer", "--expires-days", "2", "state.db").stdout.strip()
    found = json.loads(run("token", "list", "--json", "state.db").stdout)
    assert [(one["state"], one["role"]) for one in found] == [("good", "infer")]
    assert "digest" not in found[0]
    assert run("token", "revoke", "state.db", found[0]["key"]).exit_code == 0
    assert json.loads(run("token", "list", "--json", "state.db").stdout)[0]["state"] == "revoked"
    with Store(tmp_path / "state.db") as store:
        assert Tokens(store).check(token) is None


def test_what_cannot_be_is_said_in_one_line(run, tmp_path):
    for words, said in (
        (("create", "--role", "upload", "state.db"), "needs a tenant"),
        (("create", "--role", "upload", "--tenant", "a.b", "state.db"), "cannot be a tenant"),
        (("list", "none.db"), "there is no store"),
    ):
        result = run("token", *words)
        assert result.exit_code == 1
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
    with Store(tmp_path / "state.db"):
        pass
    assert "no token 'x'" in run("token", "revoke", "state.db", "x").stderr
    assert "has no tokens yet" in run("token", "list", "state.db").output
    assert run("token", "create", "--role", "root", "state.db").exit_code == 2


@pytest.mark.parametrize("name", ["create", "list", "revoke"])
def test_the_commands_of_token_are_documented(run, name):
    assert "Usage:" in run("token", name, "--help").output
    assert name in root.get_command(None, "token").commands


def test_show_export_and_verify_take_an_upload_like_any_model(run, tmp_path, model):
    data = keepfit.dumps(model)
    (tmp_path / "upload").write_bytes(data)
    with Store(tmp_path / "state.db") as store, (tmp_path / "upload").open("rb") as file:
        quota = Quota(1, 1, 10**9)
        facts = artifact.read_facts(data)
        store.tenants.save("lab", "lab.lr", file, type="sklearn.LogisticRegression", facts=facts, quota=quota)
    shown = run("show", "state.db#lab.lr").output
    assert "uploaded by  lab" in shown
    assert "petal_length" in shown
    assert run("export", "state.db#lab.lr", "out.safetensors").exit_code == 0
    assert (tmp_path / "out.safetensors").read_bytes() == data
    assert run("verify", "state.db").exit_code == 0

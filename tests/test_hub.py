"""Models in repositories, with huggingface_hub's own client against a server here that speaks the Hub's protocol."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import keepfit

huggingface_hub = pytest.importorskip("huggingface_hub")

from keepfit.hub import from_hub, push_to_hub  # noqa: E402

X, y = load_iris(return_X_y=True, as_frame=True)
TOKEN = "hf_a_token"


class Hub(http.server.ThreadingHTTPServer):
    """Repositories in memory: to be created, committed to with files in line, and read at a branch or commit."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answering)
        self.repositories = {}  # by name: the commits, each a dict of files, by hash, and "main" for the newest
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answering(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-length": len(data), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts == ["api", "validate-yaml"]:
            self.answer(200, {"warnings": [], "errors": []})
        elif self.headers.get("authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid credentials"})
        elif parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked.get('organization', 'me')}/{asked['name']}"
            exists = name in self.server.repositories
            self.server.repositories.setdefault(name, {})
            self.answer(409 if exists else 200, {"url": f"{self.server.url}/{name}"})
        elif parts[4] == "preupload":
            files = json.loads(body)["files"]
            self.answer(
                200,
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]},
            )
        elif parts[4] == "commit":
            self.commit("/".join(parts[2:4]), [json.loads(line) for line in body.splitlines()])
        else:
            self.answer(404)

    def commit(self, name, lines):
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        commits = self.server.repositories[name]
        number = hashlib.sha1(json.dumps(lines).encode()).hexdigest()
        commits[number] = commits["main"] = {**commits.get("main", {}), **files}
        commits["hash of main"] = number
        self.answer(
            200,
            {"success": True, "commitOid": number, "commitUrl": f"{self.server.url}/{name}/commit/{number}"},
        )

    def do_GET(self):
        parts = [unquote(part) for part in self.path.partition("?")[0].strip("/").split("/")]
        commits = self.server.repositories.get("/".join(parts[:2]))
        if commits is None or parts[2] != "resolve":
            self.answer(404, x_error_code="RepoNotFound")
            return
        data = commits.get(parts[3], {}).get("/".join(parts[4:]))
        if data is None:
            self.answer(404, x_error_code="EntryNotFound" if parts[3] in commits else "RevisionNotFound")
            return
        number = commits["hash of main"] if parts[3] == "main" else parts[3]
        self.answer(200, data, etag=f'"{hashlib.sha1(data).hexdigest()}"', x_repo_commit=number)

    do_HEAD = do_GET


@pytest.fixture
def hub():
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def place(hub, tmp_path):
    """The options that lead to the server here, and to a cache of the test's own."""
    return {"endpoint": hub.url, "token": TOKEN, "cache_dir": tmp_path / "cache"}


@pytest.fixture
def model():
    return LogisticRegression(max_iter=1000).fit(X, y)


def push(model, hub, **options):
    return push_to_hub(model, "lab/iris", endpoint=hub.url, token=TOKEN, **options)


def test_what_is_pushed_is_loaded(hub, place, model):
    url = push(model, hub)
    assert url.startswith(f"{hub.url}/lab/iris/commit/")
    loaded = from_hub("lab/iris", **place)
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()
    assert hub.repositories["lab/iris"]["main"]["model.safetensors"] == keepfit.dumps(model)


def test_a_commit_gives_the_same_model_for_ever(hub, place, model):
    first = push(model, hub).rpartition("/")[2]
    push(GaussianNB().fit(X, y), hub)
    assert type(from_hub("lab/iris", **place)) is GaussianNB
    assert type(from_hub("lab/iris", revision=first, **place)) is LogisticRegression


def test_the_card_tells_the_facts_and_how_to_load(hub, model):
    push(model, hub, metadata={"accuracy": 0.97, "note": "a | b\n# no heading <b>"})
    card = hub.repositories["lab/iris"]["main"]["README.md"].decode()
    assert card.startswith("---\nlibrary_name: keepfit\n")
    assert 'from_hub("lab/iris")' in card
    for row in (
        "| class | `sklearn.linear_model.LogisticRegression` |",
        "| accuracy | 0.97 |",
        "| classes | 0, 1, 2 |",
    ):
        assert row in card
    assert "| note | a \\| b # no heading \\<b\\> |" in card
    assert "| written with scikit-learn | " in card
    push(model, hub, card="# Mine")
    assert hub.repositories["lab/iris"]["main"]["README.md"] == b"# Mine"


def test_a_token_that_will_not_do_is_told_in_the_clients_own_words(hub, model):
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="401"):
        push_to_hub(model, "lab/iris", endpoint=hub.url, token="hf_another")


def test_a_repository_that_is_not_there(hub, place):
    with pytest.raises(huggingface_hub.errors.RepositoryNotFoundError):
        from_hub("lab/none", **place)


class Own(GaussianNB):
    """Somebody's own class."""


def test_a_file_from_a_stranger_is_trusted_as_any_other(hub, place, tmp_path):
    push(Own().fit(X, y), hub)
    assert f"trusted=['{Own.__module__}.Own']" in hub.repositories["lab/iris"]["main"]["README.md"].decode()
    with pytest.raises(keepfit.errors.UntrustedError):
        from_hub("lab/iris", **place)
    assert type(from_hub("lab/iris", trusted=[Own], **place)) is Own
    hub.repositories["lab/iris"]["main"]["model.safetensors"] = b"\x80\x04N."
    with pytest.raises(keepfit.errors.FormatError, match="pickle"):
        from_hub("lab/iris", **place | {"cache_dir": tmp_path / "another"})


def test_the_endpoint_of_the_environment_is_used(hub, model, tmp_path):
    push(model, hub)
    code = "from keepfit.hub import from_hub; print(type(from_hub('lab/iris')).__name__)"
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "LogisticRegression\n", done.stderr


def test_the_example_in_the_documentation_runs(hub, model, tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "ecosystem.md").read_text()
    code = text.partition("## Hugging Face Hub")[2].partition("```python\n")[2].partition("```")[0]
    keepfit.dump(model, tmp_path / "model.safetensors")
    code = f"import keepfit\nmodel = keepfit.load({str(tmp_path / 'model.safetensors')!r})\n{code}\nprint(model)"
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "LogisticRegression(max_iter=1000)\n", done.stderr

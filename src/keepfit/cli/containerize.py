"""``keepfit containerize``: what a container engine needs to serve a model."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepfit.cli.screen import say
from keepfit.errors import FormatError, KeepfitError, UnsupportedError, UntrustedError, VersionError

if TYPE_CHECKING:
    from keepfit.cli.addresses import Address
    from keepfit.graph import Graph

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit containerize state.db#rf -o rf-container      # with a wheel of the keepfit that runs
  keepfit containerize state.db#rf -o rf-container --wheel dist/keepfit-*.whl
  cd rf-container && docker compose up --build
  curl http://127.0.0.1:8080/v2/models/rf
"""

#: Names that the server takes, and that mean nothing else in the files written here.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

#: A release as PEP 440 has it: a file may be somebody else's, and its facts go into a list of requirements.
_RELEASE = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?(\+[a-z0-9.]+)?")

_SCRATCH_MB = 64

_SIGN = "Written by: keepfit containerize"

_DOCKERFILE = """\
# Serves the model {name} with keepfit. {sign}
FROM python:{python}-slim AS build
WORKDIR /build
COPY {installed} ./
RUN python -m venv /opt/keepfit \\
    && /opt/keepfit/bin/pip install --no-cache-dir --disable-pip-version-check --requirement requirements.txt

FROM python:{python}-slim
COPY --from=build /opt/keepfit /opt/keepfit
COPY --chmod=0444 {name}.safetensors /srv/models/{name}.safetensors
ENV PATH=/opt/keepfit/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /srv
USER 10001:10001
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \\
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/v2/health/ready', timeout=4)"]
CMD {serve}
"""

_COMPOSE = """\
# docker compose up --build. Written by: keepfit containerize
services:
  keepfit:
    build: .
    ports:
      - "127.0.0.1:{port}:{port}"  # this machine only; put a proxy with TLS in front for others
    user: "10001:10001"
    read_only: true
    tmpfs:
      - /tmp:mode=1777,size={scratch_mb}m,noexec,nosuid,nodev  # the model, as workers map it, is here
    cap_drop:
      - ALL
    security_opt:
      - no-new-privileges:true
    pids_limit: 256
    restart: unless-stopped
{volumes}"""

_VOLUMES = """\
    volumes:
      - ./tokens:/srv/tokens  # to be written by user 10001: SQLite keeps its journal beside the store
"""

_IGNORED = """\
# Only what the image is made of is sent to the engine.
*
{kept}
"""


@dataclass(frozen=True)
class _Container:
    """What the files are written from.

    Attributes
    ----------
    name : str
        What the model is called when it is served.
    port : int
    requirements : tuple of str
        Lines of a requirements file.
    wheel : str
        The file of keepfit itself.
    has_tokens : bool
        Whether requests need a token.
    scratch_mb : int
        Room for temporary files, in memory: the server copies the model there.
    """

    name: str
    port: int
    requirements: tuple[str, ...]
    wheel: str
    has_tokens: bool
    scratch_mb: int

    def files(self) -> dict[str, str]:
        """The text of each file by its name."""
        installed = ["requirements.txt", self.wheel]
        auth = ["--tokens", "/srv/tokens/tokens.db"] if self.has_tokens else ["--no-auth"]
        model = f"/srv/models/{self.name}.safetensors"
        words = ["keepfit", "serve", model, "--host", "0.0.0.0", "--port", str(self.port), *auth]  # noqa: S104
        serve = "[" + ", ".join(f'"{word}"' for word in words) + "]"
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return {
            "Dockerfile": _DOCKERFILE.format(
                name=self.name, sign=_SIGN, python=python, port=self.port, installed=" ".join(installed), serve=serve
            ),
            "compose.yaml": _COMPOSE.format(
                port=self.port, scratch_mb=self.scratch_mb, volumes=_VOLUMES if self.has_tokens else ""
            ),
            ".dockerignore": _IGNORED.format(
                kept="\n".join(f"!{name}" for name in ["Dockerfile", *installed, f"{self.name}.safetensors"])
            ),
            "requirements.txt": "\n".join(self.requirements) + "\n",
        }


@click.command(epilog=_EPILOG, short_help="Write a Dockerfile and a compose file that serve a model.")
@click.argument("model", metavar="FILE|URL|STORE#NAME[@VERSION]")
@click.option("-o", "--output", metavar="FOLDER", help="Where to.  [default: NAME-container]")
@click.option("--name", metavar="NAME", help="What the model is called there.  [default: as it is called here]")
@click.option("--port", type=click.IntRange(1024, 65535), default=8080, show_default=True, help="Where it listens.")
@click.option("--tokens", is_flag=True, help="Ask for tokens, which are kept in tokens/tokens.db beside the files.")
@click.option(
    "--wheel", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A wheel of keepfit to install, in place of one that is made of the keepfit that runs.",
)  # fmt: skip
def command(model: str, output: str | None, name: str | None, port: int, tokens: bool, wheel: Path | None) -> None:
    """Write a folder with all that a container engine needs to serve MODEL: Dockerfile, compose.yaml, requirements.txt.

    The container runs as a user without rights, with a root file system that cannot be written and no capabilities. The
    model is copied in, and a wheel of the keepfit that runs here; the libraries that the model was written with are
    pinned to their releases.
    """
    from keepfit import artifact
    from keepfit.cli.addresses import parse
    from keepfit.cli.wheels import check_wheel, make_wheel

    address = parse(model)
    data = address.data()
    try:
        graph, facts = artifact.read(data)
    except FormatError as error:
        raise FormatError(f"{model}: {error}") from error
    name = _checked_name(name or _name_of(address))
    pins = _pins(graph.versions)
    extras = ["serve", *(["pandas"] if "features" in facts else []), *(["zstd"] if graph.packed else [])]
    _check_served(model, graph, facts)
    folder = Path(output or f"{name}-container")
    _check_folder(folder, f"{name}.safetensors")
    with tempfile.TemporaryDirectory(prefix="keepfit-") as made:
        wheel = wheel or make_wheel(Path(made))
        check_wheel(wheel)
        requirements = (f"./{wheel.name}[{','.join(extras)}]", *pins)
        container = _Container(
            name, port, requirements, wheel.name, tokens, scratch_mb=_SCRATCH_MB + len(data) // 1_000_000
        )
        files = container.files()
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text)
        if not artifact.is_same_file(address.place, folder / f"{name}.safetensors"):
            (folder / f"{name}.safetensors").write_bytes(data)
        if wheel.resolve().parent != folder.resolve():
            shutil.copy(wheel, folder)
    say(f"wrote {folder}: {', '.join([*files, f'{name}.safetensors', wheel.name])}")
    _tell_next(folder, name, port, tokens)


def _check_folder(folder: Path, model: str) -> None:
    """Refuse to take the place of files that this command did not write.

    Raises
    ------
    KeepfitError
    """
    if folder.exists() and not folder.is_dir():
        raise KeepfitError(f"{folder} is a file; give a folder, or the name of a new one: -o FOLDER")
    recipe = folder / "Dockerfile"
    if recipe.is_file() and _SIGN in recipe.read_text(errors="replace"):
        return
    written = ("Dockerfile", "compose.yaml", ".dockerignore", "requirements.txt", model)
    there = [name for name in written if os.path.lexists(folder / name)]
    if there:
        raise KeepfitError(
            f"{folder} has {', '.join(there)}, which would be lost; give a folder that has not: -o FOLDER"
        )


def _check_served(place: str, graph: Graph, facts: dict[str, str]) -> None:
    """See that the server in the image will have something to serve.

    Raises
    ------
    KeepfitError
        As ``keepfit serve`` would tell it when it starts.
    """
    from keepfit.persistence import build
    from keepfit.serve.signature import signature_of

    try:
        signature_of(build(graph), facts)
    except VersionError:  # the image has the releases that the model was written with
        return
    except UntrustedError as error:
        raise UnsupportedError(
            f"{place} does not load in an image: it uses {', '.join(error.names) or error}, which keepfit does not know"
        ) from error
    except KeepfitError as error:
        raise UnsupportedError(f"{place} does not load: {error}") from error


def _name_of(address: Address) -> str:
    return address.name or Path(address.place.split("?")[0]).stem


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise click.UsageError(
        f"{name!r} cannot be the name of a served model; give one of letters and digits: --name NAME"
    )


def _pins(versions: dict[str, str]) -> list[str]:
    from keepfit.codecs.versions import DISTRIBUTIONS

    pins = {library: versions[library] for library in sorted(DISTRIBUTIONS.values()) if versions.get(library)}
    pins.pop("keepfit", None)
    for library, release in pins.items():
        if not _RELEASE.fullmatch(release):
            raise KeepfitError(f"the model says that it was written with {library} {release!r}, which is no release")
    return [f"{library}=={release}" for library, release in pins.items()]


def _tell_next(folder: Path, name: str, port: int, tokens: bool) -> None:
    if tokens:
        say(f"tokens: mkdir {folder}/tokens && keepfit token create --role infer {folder}/tokens/tokens.db")
        say(f"        chown -R 10001:10001 {folder}/tokens")
    say(f"next:   cd {folder} && docker compose up --build")
    say(f"then:   curl http://127.0.0.1:{port}/v2/models/{name}")

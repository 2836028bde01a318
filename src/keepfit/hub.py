"""Models on the Hugging Face Hub, or what speaks its protocol: `push_to_hub`, `from_hub`.

A repository holds ``model.safetensors``, as `keepfit.dump` writes it, and a model card with its facts. Needs the extra
``hub``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from keepfit.errors import UnsupportedError

if TYPE_CHECKING:
    from keepfit.codecs import Trusted

__all__ = ["from_hub", "push_to_hub"]

_FILE_NAME = "model.safetensors"

_CARD = """\
# {title}

{intro}

```python
from keepfit.hub import from_hub

model = from_hub("{repo_id}"{trusted})
```

`pip install 'keepfit[hub]'`. Nothing in the file runs when it is loaded; `keepfit inspect` tells what it holds.

## Facts

{facts}
"""


def push_to_hub(
    model: object,
    repo_id: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    sample: Any = None,
    allow: Collection[str] = (),
    card: str | None = None,
    private: bool | None = None,
    **options: Any,
) -> str:
    """Put a model into a repository of the Hub, with a card that tells its facts.

    Parameters
    ----------
    model : object
        What `keepfit.dump` keeps.
    repo_id : str
        ``"owner/name"``; the repository is made where there is none.
    metadata, sample, allow
        As for `keepfit.dump`. Numbers in the metadata are on the card.
    card : str, default=None
        The whole text of ``README.md``, in place of the one made here.
    private : bool, default=None
        Whether a repository that is made is private; by default as the owner's settings have it.
    **options
        ``token``, ``endpoint`` of `huggingface_hub.HfApi`; ``commit_message``, ``revision``, ``create_pr`` of its
        ``create_commit``.

    Returns
    -------
    str
        The commit's URL.

    Raises
    ------
    UnsupportedError
        If the model cannot be kept exactly; if huggingface_hub is not installed.
    huggingface_hub.errors.HfHubHTTPError
        If the Hub refuses it.
    """
    from keepfit import artifact
    from keepfit.persistence import graph_of, warn_of_scripts

    hub = _hub()
    graph, facts = graph_of(model, metadata=metadata, sample=sample, allow=allow)
    warn_of_scripts(graph)
    api = hub.HfApi(token=options.pop("token", None), endpoint=options.pop("endpoint", None))
    api.create_repo(repo_id, private=private, exist_ok=True)
    files = {_FILE_NAME: artifact.to_bytes(graph, facts), "README.md": (card or _card(repo_id, facts, graph)).encode()}
    options.setdefault("commit_message", "Upload the model with keepfit")
    commit = api.create_commit(repo_id, [hub.CommitOperationAdd(name, data) for name, data in files.items()], **options)
    return str(commit.commit_url)


def from_hub(
    repo_id: str,
    *,
    revision: str | None = None,
    mmap: bool = False,
    trusted: Trusted = (),
    allow: Collection[str] = (),
    **options: Any,
) -> Any:
    """Load a model from a repository of the Hub. Nothing in its file runs.

    Parameters
    ----------
    repo_id : str
        ``"owner/name"``.
    revision : str, default=None
        A branch, a tag or a commit; a commit's hash gives the same bytes for ever.
    mmap, trusted, allow
        As for `keepfit.load`, which also lists the errors.
    **options
        ``token``, ``endpoint``, ``cache_dir``, ``local_files_only`` and whatever else
        `huggingface_hub.hf_hub_download` takes.

    Returns
    -------
    object

    Raises
    ------
    KeepfitError
        As `keepfit.load`; if huggingface_hub is not installed.
    huggingface_hub.errors.RepositoryNotFoundError, huggingface_hub.errors.EntryNotFoundError
        If there is no such repository, or no ``model.safetensors`` in it.
    """
    from keepfit.persistence import load

    path = _hub().hf_hub_download(repo_id, _FILE_NAME, revision=revision, **options)
    return load(path, mmap=mmap, trusted=trusted, allow=allow)


def _card(repo_id: str, facts: Mapping[str, str], graph: Any) -> str:
    from keepfit.codecs import untrusted_types
    from keepfit.facts import metadata_of

    name = facts["class"].rpartition(".")[2]
    own = untrusted_types(graph)
    rows = {"class": f"`{facts['class']}`"}
    for key in ("features", "classes"):
        if key in facts:
            rows[key] = ", ".join(_cell(value) for value in json.loads(facts[key])[:50])
    versions = json.loads(facts.get("versions", "{}"))
    rows |= {f"written with {library}": release for library, release in versions.items()}
    rows |= {key: _cell(value) for key, value in metadata_of(facts).items() if isinstance(value, int | float | str)}
    table = "\n".join(f"| {_cell(key)} | {value} |" for key, value in rows.items())
    front = ["---", "library_name: keepfit", "tags:", "- keepfit", "- sklearn", "- tabular", "---", ""]
    body = _CARD.format(
        title=repo_id.rpartition("/")[2],
        intro=f"A scikit-learn model, a `{name}`, kept as data with keepfit.",
        repo_id=repo_id,
        trusted=f", trusted={[*own]!r}" if own else "",
        facts=f"| | |\n|---|---|\n{table}",
    )
    return "\n".join(front) + body


def _cell(value: Any) -> str:
    """A value in a cell of a table of Markdown."""
    text = " ".join(str(value).split())
    return "".join(f"\\{c}" if c in "|\\`*_<>[]" else c for c in text)[:500]


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UnsupportedError("this needs huggingface_hub: pip install 'keepfit[hub]'") from None
    return huggingface_hub

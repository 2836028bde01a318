"""What goes into a store and what it answers, as plain records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from keepfit.errors import StoreError

__all__ = [
    "CandidateInfo",
    "FinishedTask",
    "ModelInfo",
    "ModelNotFoundError",
    "NameTakenError",
    "Quota",
    "QuotaError",
    "ReusedTask",
    "SearchInfo",
    "SearchRecord",
    "TaskInfo",
    "TokenInfo",
    "VersionInfo",
]


class ModelNotFoundError(StoreError, KeyError):
    """The store has no model of that name, or the model no such version or alias.

    It is a `KeyError` as well, because a store is a mapping.
    """


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a store knows of one version of a model, without loading it.

    Parameters
    ----------
    name : str
    version : int
        Counts from 1 for each name; a number is never used again while the name lives.
    digest : str
        SHA-256, in hex, over the graph and the content addresses of its arrays: equal digests are equal models.
    type : str
        The type of the model, such as ``sklearn.svm._classes.SVC``.
    created_at : datetime
        In UTC.
    size_bytes : int
        Graph and arrays; those that other versions share are counted in full.
    facts : mapping of str to str
        What `keepfit.dump` records beside the model.
    metadata : mapping of str to object
        The user's own.
    versions : mapping of str to str
        Releases of the libraries that the model's types are from, and of keepfit.
    aliases : tuple of str, default=()
        In alphabetical order.
    tenant : str or None, default=None
        Who uploaded it to a server; None for what the store's owner kept.
    form : {"graph", "file"}, default="graph"
        ``file``: it is kept as the file that was uploaded, which is read when the model is. Its type, facts and
        versions are what that file says of itself.
    """

    name: str
    version: int
    digest: str
    type: str
    created_at: datetime
    size_bytes: int
    facts: Mapping[str, str]
    metadata: Mapping[str, object]
    versions: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    tenant: str | None = None
    form: str = "graph"


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version as a list of many gives it: what tells it from others.

    Parameters
    ----------
    name : str
    version : int
    digest : str
        As in `ModelInfo`.
    created_at : datetime
        In UTC.
    is_newest : bool
    aliases : tuple of str
        In alphabetical order.
    tenant : str or None
        As in `ModelInfo`.
    """

    name: str
    version: int
    digest: str
    created_at: datetime
    is_newest: bool
    aliases: tuple[str, ...]
    tenant: str | None


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token of a server. Its secret is nowhere, only what the secret is checked by.

    Parameters
    ----------
    key : str
        What it is looked up by; the first part of the token.
    digest : bytes of length 32
        SHA-256 of its secret.
    role : str
    tenant : str or None
    label : str
    created_at : datetime
        In UTC.
    expires_at, revoked_at : datetime or None
        In UTC.
    """

    key: str
    digest: bytes
    role: str
    tenant: str | None
    label: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class NameTakenError(StoreError):
    """A model of this name is there, and is somebody else's."""


class QuotaError(StoreError):
    """A tenant has no room for this upload."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one tenant may keep in a store.

    Parameters
    ----------
    models : int
        Names.
    versions : int
        Versions of one name.
    size_bytes : int
        Of all versions of all its names.
    """

    models: int
    versions: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """A search that begins.

    Parameters
    ----------
    kind : str
        The function its tasks run, such as ``_fit_and_score``.
    label : str
        For people: ``GridSearchCV over Pipeline``.
    parts : mapping of str to str
        What the identity of its tasks is made of: the name of each part and its digest in hex.
    task_count : int
        How many tasks it has, those that are reused included.
    fit_count : int or None, default=None
        How many models are fitted for the tasks that are not reused, where tasks share fits.
    scorers : sequence of str, default=()
        By what it judges: the name of the scorer that its scores are by, then of the others where there are several.
    """

    kind: str
    label: str
    parts: Mapping[str, str] = field(default_factory=dict)
    task_count: int = 0
    fit_count: int | None = None
    scorers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FinishedTask:
    """One (candidate, split) that is done.

    Parameters
    ----------
    identity : bytes of length 32
        The digest over everything that can change the result.
    search_id : int
        The search that computed it.
    candidate : str
        Its parameters as readable JSON.
    split : int
        Number of the split.
    score : float or None
        The test score, greater is better; None where there is none. NaN is kept as None.
    duration_s : float
        Seconds spent on it.
    payload : bytes
        The result as it is handed back when the task is reused.
    failure : str or None, default=None
        The traceback of a fit that failed.
    place : int or None, default=None
        Of its candidate in the search, from 0, as the search tries them. Candidates that read the same are told apart
        by it.
    """

    identity: bytes
    search_id: int
    candidate: str
    split: int
    score: float | None
    duration_s: float
    payload: bytes
    failure: str | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class ReusedTask:
    """A finished task as the search that takes it sees it.

    Parameters
    ----------
    identity : bytes of length 32
    place : int or None, default=None
        Of its candidate in the search that takes it. Without one, `score` is not heeded.
    score : float or None, default=None
        By the scorer of the search that takes it, which may be another of several than when it was computed.
    """

    identity: bytes
    place: int | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchInfo:
    """A search as the store knows it.

    Parameters
    ----------
    id : int
    kind, label : str
        As in `SearchRecord`.
    parts : mapping of str to str
        As in `SearchRecord`.
    task_count : int
        Tasks in all.
    state : {"running", "finished", "stopped", "failed", "interrupted"}
        ``interrupted``: it never ended and its process is gone. A search on another machine that was killed stays
        ``running``; its `updated_at` tells.
    reused, computed, failed : int
        Tasks taken from the store, computed, and those of both that failed. Current while the search runs.
    best_score : float or None
        The best score of a single task.
    started_at, updated_at : datetime
        In UTC; `updated_at` is when work last came in.
    ended_at : datetime or None
    fit_count : int or None, default=None
        As in `SearchRecord`.
    scorers : tuple of str, default=()
        As in `SearchRecord`; empty where a keepfit before schema 4 of stores ran it.
    """

    id: int
    kind: str
    label: str
    parts: Mapping[str, str]
    task_count: int
    state: str
    reused: int
    computed: int
    failed: int
    best_score: float | None
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    fit_count: int | None = None
    scorers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A finished task as the store knows it, without its payload.

    Parameters
    ----------
    search_id : int
        The search that was asked about.
    candidate : str
        Its parameters as readable JSON.
    split : int
    score : float or None
    duration_s : float
        Seconds it took when it was computed.
    failure : str or None
        The traceback of a fit that failed.
    finished_at : datetime
        In UTC.
    reused : bool
        Whether another search had computed it.
    """

    search_id: int
    candidate: str
    split: int
    score: float | None
    duration_s: float
    failure: str | None
    finished_at: datetime
    reused: bool


@dataclass(frozen=True, slots=True)
class CandidateInfo:
    """A candidate with the mean of its splits: one line of a leaderboard.

    Parameters
    ----------
    search_id : int
    candidate : str
        Its parameters as readable JSON.
    mean_score : float or None
        Over the finished splits, equal to scikit-learn's to the bit; None where scikit-learn's is NaN, as one of them
        has no score.
    split_count : int
        Splits finished.
    failed : int
        Splits that failed.
    duration_s : float
        Seconds in all.
    place : int or None, default=None
        In the search, from 0; None where a keepfit before schema 4 of stores ran it.
    """

    search_id: int
    candidate: str
    mean_score: float | None
    split_count: int
    failed: int
    duration_s: float
    place: int | None = None

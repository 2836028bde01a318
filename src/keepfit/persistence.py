"""Keeping objects in files: `dump`, `dumps`, `load`, `loads`, `verify`.

The way in is one for all bytes: artifact -> graph -> codecs. The way out is the same backwards.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from keepfit import artifact, codecs
from keepfit.codecs.versions import running_version, short_version
from keepfit.errors import KeepfitWarning, UnsupportedError
from keepfit.facts import facts_of
from keepfit.graph import LIMITS, Graph, Limits

__all__ = [
    "Place",
    "Trusted",
    "Verification",
    "build",
    "dump",
    "dumps",
    "graph_of",
    "load",
    "loads",
    "verify",
    "warn_of_scripts",
]

#: Capabilities that a caller may open with ``allow=``.
CAPABILITIES = frozenset({"code", "paths", "patterns"})

Place = str | os.PathLike[str] | IO[bytes]
Trusted = codecs.Trusted


def dump(
    obj: object,
    file: Place,
    *,
    metadata: Mapping[str, Any] | None = None,
    sample: Any = None,
    compress: str | int | None = None,
    allow: Collection[str] = (),
) -> None:
    """Keep an object in a file, as data.

    Parameters
    ----------
    obj : object
        A scikit-learn model, or plain Python, NumPy, SciPy and pandas objects that may hold models.
    file : str, path-like or binary file object
        Where to. A path is replaced as a whole or not at all, whatever happens meanwhile. ``scheme://`` places are
        opened by fsspec.
    metadata : mapping of str to JSON-able, default=None
        Your own facts about it, such as ``{"accuracy": 0.97}``; `keepfit.inspect` shows them. Scalars of NumPy are kept
        as the numbers they are.
    sample : array-like of shape (n_samples, n_features), default=None
        A few rows to keep with what the model gives for them; `keepfit.verify` replays them.
    compress : "zstd" or int, default=None
        Compress arrays that get smaller by a tenth at least, with Zstandard at its usual level (3) or at one from 1,
        fast, to 19, small. The file needs a keepfit that knows version 2 of the format, and ``keepfit[zstd]``.
    allow : collection of str, default=()
        ``"code"`` lets lambdas and local functions and classes in, by cloudpickle. Such a file loads only with
        ``load(file, allow={"code"})``, and then runs that code.

    Raises
    ------
    UnsupportedError
        If something cannot be kept exactly. The error names its place, the reason and what to do.
    OSError
        If the place cannot be written. What was there before stays whole.
    TypeError
        If `file` is not a path or binary file object.
    ValueError
        If `compress` is something else.

    Warns
    -----
    KeepfitWarning
        If a class or function is defined in the script that runs, whose name leads nowhere in another program.

    Notes
    -----
    The bytes are a valid safetensors file, the same on every run for the same object (and the same release of
    Zstandard, if they are compressed). Cost is that of writing the
    arrays, plus a few microseconds for each small object.

    References
    ----------
    ``docs/spec/format.md``

    Examples
    --------
    >>> import keepfit, tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    >>> with tempfile.TemporaryFile() as file:
    ...     keepfit.dump(model, file, metadata={"accuracy": 1.0})
    ...     _ = file.seek(0)
    ...     keepfit.load(file).predict([[0.9]])
    array([1])
    """
    level = artifact.level_of(compress)
    graph, facts = graph_of(obj, metadata=metadata, sample=sample, allow=allow)
    warn_of_scripts(graph)
    if isinstance(file, (str, os.PathLike)):
        artifact.save(graph, facts, file, level=level)
    else:
        artifact.write(graph, facts, file, level=level)


def dumps(
    obj: object,
    *,
    metadata: Mapping[str, Any] | None = None,
    sample: Any = None,
    compress: str | int | None = None,
    allow: Collection[str] = (),
) -> bytes:
    """Keep an object in bytes, as data.

    Parameters
    ----------
    obj, metadata, sample, compress, allow
        As for `dump`.

    Returns
    -------
    bytes
        What `dump` would write.

    Raises
    ------
    UnsupportedError
        If something cannot be kept exactly.

    Examples
    --------
    >>> import keepfit
    >>> keepfit.loads(keepfit.dumps({"threshold": 0.5, 1: [True, None]}))
    {'threshold': 0.5, 1: [True, None]}
    """
    level = artifact.level_of(compress)
    graph, facts = graph_of(obj, metadata=metadata, sample=sample, allow=allow)
    return artifact.to_bytes(graph, facts, level=level)


def load(
    file: Place,
    *,
    mmap: bool = False,
    trusted: Trusted = (),
    allow: Collection[str] = (),
    limits: Limits = LIMITS,
) -> Any:
    """Build the object that a file keeps. Nothing in the file runs.

    Parameters
    ----------
    file : str, path-like or binary file object
        What `dump` wrote. ``scheme://`` places are opened by fsspec.
    mmap : bool, default=False
        Leave large arrays of floats where they are, in the file, so that opening costs neither time nor memory and
        several processes share them. Changes to them stay in this process. The file must be a path on this machine.
    trusted : type, callable, str or iterable of them, default=()
        Your own classes and functions that the file may use, themselves or by dotted name. What was defined in a script
        (``__main__``) is known by the last part of its name, and must be given itself.
        `keepfit.inspect` lists which a file asks for.
    allow : collection of str, default=()
        Capabilities to open: ``"code"`` (code in the file runs), ``"paths"`` (the model may read and write files it
        names), ``"patterns"`` (regular expressions of the file's own).
    limits : keepfit.graph.Limits, default=LIMITS
        Bounds on what the file may ask for: its size, and what is in it. ``docs/security.md`` lists them.

    Returns
    -------
    object

    Raises
    ------
    FormatError
        If the bytes are not a whole, undamaged keepfit file within the limits.
    UntrustedError
        If the file names types, functions or capabilities that you have not opened.
    VersionError
        If a class's state is not what the running release of its library expects.
    InvalidStateError
        If contents could crash or mislead.
    OSError
        If the place cannot be read.
    TypeError
        If `file` is not a path, URL or binary file object; or, with ``mmap=True``, not the path of a regular file.

    Warns
    -----
    KeepfitWarning
        Once, if the file was written under another release of scikit-learn, XGBoost or LightGBM, or something in it was
        neutralised.

    Notes
    -----
    Memory is that of the object and at most 64 MB besides, or that of its largest array where that has to be turned
    into something else (the nodes of one very large tree).

    With ``mmap=True``, arrays of floats of at least 1 MiB are mapped if no check of contents looks at them; all others
    are read. What is mapped is not compared with its checksum: `verify` does that. A file that `dump` replaces stays as
    it was for those who have it mapped; one that another program writes into or cuts short, while it is mapped, changes
    the model or ends the process.

    Examples
    --------
    >>> import keepfit, io
    >>> keepfit.load(io.BytesIO(keepfit.dumps((1, 2))))
    (1, 2)
    """
    allow = _allowed(allow)
    if mmap and not isinstance(file, str | os.PathLike):
        raise TypeError(f"mmap=True takes the path of a file on this machine, not {type(file).__name__}")
    with artifact.open_source(file, lazily=mmap, limits=limits) as source:
        if mmap and not isinstance(source, artifact.FileSource):
            raise TypeError(f"mmap=True takes the path of a file on this machine, and {file!r} is none")
        may_map = codecs.unread_arrays if mmap else None
        graph, _ = artifact.read_source(source, limits=limits, may_map=may_map, may_stream=codecs.streamed_arrays)
        return build(graph, trusted=trusted, allow=allow, limits=limits)


def loads(
    data: bytes | bytearray | memoryview,
    *,
    trusted: Trusted = (),
    allow: Collection[str] = (),
    limits: Limits = LIMITS,
) -> Any:
    """Build the object that bytes keep. Nothing in them runs.

    Parameters
    ----------
    data : bytes-like
        What `dumps` gave, or the contents of a file that `dump` wrote.
    trusted, allow, limits
        As for `load`, which also lists the errors.

    Returns
    -------
    object
    """
    allow = _allowed(allow)
    graph, _ = artifact.read(data, limits=limits)
    return build(graph, trusted=trusted, allow=allow, limits=limits)


def build(graph: Graph, *, trusted: Trusted = (), allow: Collection[str] = (), limits: Limits = LIMITS) -> Any:
    """Build the object of a graph, as `load` does once it has read one.

    Parameters
    ----------
    graph : Graph
    trusted, allow, limits
        As for `load`, which also lists the errors and the warning.

    Returns
    -------
    object
    """
    changes: list[str] = []
    obj = codecs.decode(graph, trusted=trusted, allow=_allowed(allow), limits=limits, changes=changes)
    _warn(graph, changes)
    return obj


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Parameters
    ----------
    ok : bool
        Whether every check held.
    arrays : int
        How many arrays were read and matched their checksums.
    methods : dict of str to bool
        For each method whose outputs were kept by ``sample=``, whether it gave the same to the bit.
    """

    ok: bool
    arrays: int
    methods: dict[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.ok


def verify(
    file: Place | bytes | bytearray | memoryview,
    *,
    trusted: Trusted = (),
    allow: Collection[str] = (),
    limits: Limits = LIMITS,
) -> Verification:
    """Check a file: every byte against its checksum, the model by building it, its sample by replaying it.

    Parameters
    ----------
    file : str, path-like, binary file object or bytes-like
    trusted, allow, limits
        As for `load`, which also lists the errors.

    Returns
    -------
    Verification
        True in a condition when all held.

    Examples
    --------
    >>> import keepfit
    >>> from sklearn.linear_model import LinearRegression
    >>> X = [[0.0], [1.0], [2.0]]
    >>> keepfit.verify(keepfit.dumps(LinearRegression().fit(X, [0, 1, 2]), sample=X[:2]))
    Verification(ok=True, arrays=3, methods={'predict': True})
    """
    allow = _allowed(allow)
    if not isinstance(file, bytes | bytearray | memoryview):
        file = artifact.open_bytes(file, limits=limits)
    graph, _ = artifact.read(file, limits=limits)
    obj = build(graph, trusted=trusted, allow=allow, limits=limits)
    methods: dict[str, bool] = {}
    if "sample" in graph.roots:
        sample = codecs.decode(graph, root="sample", trusted=trusted, allow=allow, limits=limits)
        now = _outputs(obj, sample["inputs"])
        methods = {name: name in now and _same(now[name], output) for name, output in sample["outputs"].items()}
    return Verification(all(methods.values()), len(graph.names), methods)


def graph_of(
    obj: object, *, metadata: Mapping[str, Any] | None = None, sample: Any = None, allow: Collection[str] = ()
) -> tuple[Graph, dict[str, str]]:
    """The graph and the facts of an object: what a file, or a store, keeps of it."""
    allow = _allowed(allow)
    roots = {} if sample is None else {"sample": {"inputs": sample, "outputs": _outputs(obj, sample)}}
    graph = codecs.encode(obj, roots=roots, allow=allow)
    return graph, facts_of(obj, graph, metadata)


def warn_of_scripts(graph: Graph) -> None:
    """Warn of classes and functions that only the running script has: another program must bring them along."""
    names = codecs.script_names(graph)
    if names:
        listed = ", ".join(name.removeprefix("__main__.") for name in names)
        warnings.warn(
            f"{listed} is defined in the script that runs, so other programs do not find it by name: there, pass it "
            f"itself, load(..., trusted=[{listed}]). To load it by name, define it in a module that can be imported",
            KeepfitWarning,
            stacklevel=_callers_level(),
        )


#: The methods whose outputs are kept with a sample.
_METHODS = ("predict", "predict_proba", "decision_function", "transform")


def _outputs(obj: Any, inputs: Any) -> dict[str, Any]:
    found = {name: getattr(obj, name)(inputs) for name in _METHODS if hasattr(obj, name)}
    if not found:
        raise UnsupportedError(f"sample= needs a model with one of the methods {', '.join(_METHODS)}")
    return found


def _same(one: Any, other: Any) -> bool:
    """Whether two outputs are equal to the bit: their canonical bytes are."""
    return artifact.to_bytes(codecs.encode(one), {}) == artifact.to_bytes(codecs.encode(other), {})


def _allowed(allow: Collection[str]) -> frozenset[str]:
    allowed = frozenset((allow,) if isinstance(allow, str) else allow)
    if not allowed <= CAPABILITIES:
        raise ValueError(f"allow= takes a set of {sorted(CAPABILITIES)}, not {sorted(allowed - CAPABILITIES)}")
    return allowed


_READS_ITSELF = (
    "which reads what the model learned by itself: keepfit.verify compares predictions, where a sample was kept"
)
#: What is said of a file that another release of a library wrote.
_OF_OTHER_RELEASES = {
    "scikit-learn": "every class's state was checked",
    "lightgbm": _READS_ITSELF,
    "xgboost": _READS_ITSELF,
}


def _warn(graph: Graph, changes: list[str]) -> None:
    notes = [
        f"written under {library} {written}, running {running}; {said}"
        for library, said in _OF_OTHER_RELEASES.items()
        if (written := graph.versions.get(library)) and written != (running := running_version(library))
        if short_version(written) != short_version(running)
    ]
    notes += dict.fromkeys(changes)
    if notes:
        text = "; ".join(notes[:5]) + ("; ..." if len(notes) > 5 else "")
        warnings.warn(text, KeepfitWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """The stack level, as `warnings.warn` counts for `_warn`, of the first caller outside keepfit."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "keepfit":
        frame, level = frame.f_back, level + 1
    return level

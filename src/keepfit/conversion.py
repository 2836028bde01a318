"""Old and foreign files to keepfit's own: `convert`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from keepfit import artifact, pickles
from keepfit.errors import FormatError, UnsupportedError
from keepfit.graph import LIMITS, Limits
from keepfit.persistence import Place, Trusted, build, dump

__all__ = ["convert"]


def convert(
    source: Place | bytes | bytearray | memoryview,
    target: Place,
    *,
    trusted: Trusted = (),
    allow: Collection[str] = (),
    metadata: Mapping[str, Any] | None = None,
    limits: Limits = LIMITS,
) -> None:
    """Make a keepfit file of a pickle or joblib file. Nothing in it runs.

    The source is read as data, opcode by opcode, and what it stands for is built as `keepfit.load` builds it: by closed
    tables, with every check. Then that is dumped, so what is written loads.

    Parameters
    ----------
    source : str, path-like, binary file object or bytes-like
        A pickle (protocols 0 to 5) or joblib file, plain or compressed (zlib, gzip, bz2, xz, lzma; lz4 where it is
        installed), or NumPy's ``.npy`` and ``.npz``. ``scheme://`` places are opened by fsspec.
    target : str, path-like or binary file object
        As for `keepfit.dump`.
    trusted : iterable of type, callable or str, default=()
        Your own classes and functions that it may use. A class is built by its ``__new__`` and ``__setstate__`` then,
        as by pickle; calls of functions are refused whatever is trusted.
    allow : collection of str, default=()
        As for `keepfit.load`.
    metadata : mapping of str to JSON-able, default=None
        As for `keepfit.dump`.
    limits : keepfit.graph.Limits, default=LIMITS
        As for `keepfit.load`.

    Raises
    ------
    FormatError
        If the source is not a pickle or joblib file as Python writes them, or over the limits.
    UntrustedError
        If it names or calls what is outside the tables; `keepfit.inspect` lists all of it.
    VersionError
        If it was written under a scikit-learn whose state the running one does not expect, or does not say which.
    InvalidStateError
        If contents could crash or mislead.
    UnsupportedError
        If something in it cannot be kept exactly; or `target` is the source, which would be lost.
    OSError
        If a place cannot be read or written. What was at `target` stays whole.

    Warns
    -----
    KeepfitWarning
        As `keepfit.load` does.

    Notes
    -----
    Cost is linear in the size of the source, unpacked. joblib writes an array that stands in several places several
    times; they stay several.

    References
    ----------
    ``docs/pickles.md``

    Examples
    --------
    >>> import io, keepfit, pickle
    >>> from sklearn.linear_model import LogisticRegression
    >>> old = pickle.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    >>> target = io.BytesIO()
    >>> keepfit.convert(old, target)
    >>> keepfit.loads(target.getvalue()).predict([[0.9]])
    array([1])
    """
    if artifact.is_same_file(source, target):
        raise UnsupportedError(
            f"{target} is the source itself, and the only copy of it would be lost; give another name for the new file"
        )
    data = source if isinstance(source, (bytes, bytearray, memoryview)) else artifact.open_bytes(source, limits=limits)
    words = artifact.sniff(data)
    if words == "a keepfit file":
        raise FormatError("this is a keepfit file already; keepfit.load reads it")
    contents = pickles.read(data, limits=limits)
    if not contents.is_one(words):
        raise FormatError(f"this is {words}, not a pickle or joblib file, so there is nothing to convert")
    dump(build(contents.graph(), trusted=trusted, allow=allow, limits=limits), target, metadata=metadata, allow=allow)

"""A file that is read only where it is looked at: `open`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from keepfit import artifact, codecs
from keepfit.codecs.codec import pieces_of
from keepfit.errors import PartNotFoundError
from keepfit.graph import LIMITS, Limits, Ref, first_objects
from keepfit.persistence import build

__all__ = ["OpenFile", "open"]

_Place = str | os.PathLike[str] | IO[bytes]
_Trusted = Iterable[type | Callable[..., Any] | str]
_Path = str | int | tuple[str | int, ...]

_SHOWN, _SHOWN_CHARS = 8, 60


def open(file: _Place, *, trusted: _Trusted = (), allow: Collection[str] = (), limits: Limits = LIMITS) -> OpenFile:
    """Open a file for single arrays and sub-models, without reading the rest.

    Parameters
    ----------
    file : str, path-like or binary file object
        What `dump` wrote. Of ``scheme://`` places, which fsspec opens, only the bytes that are wanted are fetched.
    trusted, allow, limits
        As for `load`. They are needed only for what is built.

    Returns
    -------
    OpenFile
        To be closed, best by ``with``.

    Raises
    ------
    FormatError
        If the header or the graph is damaged, or the bytes are not a keepfit file.
    OSError
        If the place cannot be read.
    UnsupportedError
        If a URL cannot be used.
    TypeError
        If `file` is not a path, URL or binary file object.

    Notes
    -----
    The header and the graph are read at once, arrays when they are asked for, each as a whole and compared with its
    checksum.

    Examples
    --------
    >>> import keepfit, io
    >>> from sklearn.linear_model import LinearRegression
    >>> model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    >>> with keepfit.open(io.BytesIO(keepfit.dumps({"a": model, "b": [model]}))) as file:
    ...     print(file.keys(), "b.0" in file)
    ...     print(file.names)
    ...     print(file.array("a.coef_"), file["b.0"].predict([[2.0]]))
    ('a', 'b') True
    ('a.coef_', 'a.singular_')
    [2.] [5.]
    """
    return OpenFile(file, trusted, allow, limits)


class OpenFile:
    """What `open` gives: a mapping of names to parts, each built when it is asked for.

    Parameters
    ----------
    file : str, path-like or binary file object
    trusted : iterable of type, callable or str
    allow : collection of str
    limits : Limits
        As for `load`.

    Raises
    ------
    FormatError, OSError, UnsupportedError, TypeError
        As `open` has it.

    Examples
    --------
    >>> import keepfit, io
    >>> file = keepfit.open(io.BytesIO(keepfit.dumps({"rate": 0.5, "names": ["a", "b"]})))
    >>> file
    <OpenFile of dict: 'rate', 'names'; 0 arrays>
    >>> list(file), len(file), "names.1" in file, "age" in file
    (['rate', 'names'], 2, True, False)
    >>> file["names.1"], file["names"]
    ('b', ['a', 'b'])
    >>> file.close()
    """

    def __init__(self, file: _Place, trusted: _Trusted, allow: Collection[str], limits: Limits) -> None:
        self._place = repr(os.fspath(file)) if isinstance(file, str | os.PathLike) else ""
        self._trusted = tuple(trusted)
        self._allow = allow
        self._limits = limits
        with ExitStack() as stack:
            source = stack.enter_context(artifact.open_source(file, lazily=True, limits=limits))
            self._reader = artifact.Reader(source, limits=limits)
            self._stack = stack.pop_all()
        self._graph = self._reader.graph

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays in the file."""
        return tuple(self._graph.names)

    def keys(self) -> tuple[str, ...]:
        """The names of the parts at the top: a mapping's keys, places in a sequence, a model's attributes.

        Each can be asked for, ``file[name]``; parts further down by paths that begin so.

        Returns
        -------
        tuple of str
            Empty for what has no parts, such as an array.

        Examples
        --------
        >>> import keepfit, io
        >>> with keepfit.open(io.BytesIO(keepfit.dumps([1, 2]))) as file:
        ...     print(file.keys(), dict(file))
        ('0', '1') {'0': 1, '1': 2}
        """
        return codecs.part_names(self._graph)

    def get(self, path: _Path, default: Any = None) -> Any:
        """The part of this path, as ``file[path]`` builds it, or `default` where there is none.

        Parameters
        ----------
        path : str, int or tuple of (str or int)
        default : object, default=None

        Returns
        -------
        object

        Raises
        ------
        TypeError, FormatError, UntrustedError, VersionError, InvalidStateError
            As ``file[path]`` raises them.
        """
        try:
            return self[path]
        except PartNotFoundError:
            return default

    def items(self) -> Iterator[tuple[str, Any]]:
        """The names at the top and their parts, each built when its turn comes.

        Yields
        ------
        tuple of (str, object)

        Raises
        ------
        FormatError, UntrustedError, VersionError, InvalidStateError
            As ``file[name]`` raises them.
        """
        return ((name, self[name]) for name in self)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, path: object) -> bool:
        """Whether there is a part of this path; nothing is built."""
        try:
            codecs.find_part(self._graph, _checked(path))
        except (PartNotFoundError, TypeError):
            return False
        return True

    def __repr__(self) -> str:
        value = self._graph.roots["object"]
        kind = self._graph.node_of(value).type if type(value) is Ref else type(value).__name__
        names = self.keys()
        shown = ", ".join(repr(name[:_SHOWN_CHARS]) for name in names[:_SHOWN]) + (", ..." if names[_SHOWN:] else "")
        count = len(self._graph.names)
        place = f" {self._place}" if self._place else ""
        kind = repr(kind[:_SHOWN_CHARS])[1:-1]  # a file may say anything, and must not steer a terminal
        of = f"{kind}: {shown}" if shown else kind
        return f"<OpenFile{place} of {of}; {count} array{'' if count == 1 else 's'}>"

    def array(self, name: str) -> NDArray[Any]:
        """One array.

        Parameters
        ----------
        name : str
            One of `names`.

        Returns
        -------
        ndarray
            As it was in the object; where it is a part of something else, such as the nodes of trees, as it is in the
            file.

        Raises
        ------
        PartNotFoundError
            If there is no such array. It is a `KeyError` as well.
        FormatError
            If its bytes do not match their checksum.
        """
        if name not in self._graph.names:
            raise PartNotFoundError(f"there is no array {name!r} in the file; `names` lists those there are")
        number = self._graph.names.index(name)
        for first, node in zip(first_objects(self._graph.nodes), self._graph.nodes, strict=True):
            if node.array == number and node.count == 1 and node.type == "numpy.ndarray":
                array: NDArray[Any] = self._build(Ref(first))
                return array
        return np.require(self._reader.arrays([name])[name], requirements="W")

    def __getitem__(self, path: _Path) -> Any:
        """Build one part of the object, as `load` does: with the same trust and the same checks.

        Parameters
        ----------
        path : str, int or tuple of (str or int)
            Attributes, keys and places from the object down, joined by points in a str: ``"steps.1"``,
            ``"steps.scale.mean_"``. An int is a place, as ``"1"`` is. A named tuple such as a pipeline's
            ``("scale", scaler)`` is found by its place or its name, and stands for what it names.

        Returns
        -------
        object

        Raises
        ------
        PartNotFoundError
            If there is no such part. It is a `KeyError` as well.
        TypeError
            If `path` is nothing of these.
        FormatError, UntrustedError, VersionError, InvalidStateError
            As `load` raises them.
        """
        return self._build(codecs.find_part(self._graph, _checked(path)))

    def _build(self, value: Any) -> Any:
        part, rows = codecs.cut_out(self._graph, value)
        names = [self._graph.names[each.array] for each in rows]
        arrays = self._reader.arrays(set(names))
        cut: list[NDArray[Any]] = []
        counted: set[int] = set()
        lengths = {node.array: node.lengths for node in self._graph.nodes if node.lengths}
        for name, each in zip(names, rows, strict=True):
            array = arrays[name]
            if each.stop is not None:
                if each.array not in counted:
                    pieces_of(array, lengths[each.array])  # raises unless the rows that the group counts are there
                    counted.add(each.array)
                array = array[each.start : each.stop].copy()
            cut.append(array)
        part.arrays = cut
        return build(part, trusted=self._trusted, allow=self._allow, limits=self._limits)

    def close(self) -> None:
        """Close the file. What was read stays."""
        self._stack.close()

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _checked(path: Any) -> str | tuple[str | int, ...]:
    steps = path if isinstance(path, tuple) else (path,)
    if not all(isinstance(step, str | int) and not isinstance(step, bool) for step in steps):
        raise TypeError(f"a part is named by a str such as 'steps.1', an int or a tuple of them, not by {path!r}")
    return path if isinstance(path, str | tuple) else (path,)

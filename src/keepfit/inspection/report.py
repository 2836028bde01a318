"""The report on a file: plain, frozen, and the same whoever reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from keepfit.inspection.tree import TreeNode

__all__ = ["ArrayInfo", "Effect", "Obstacle", "Report"]


@dataclass(frozen=True)
class ArrayInfo:
    """One array of a file.

    Parameters
    ----------
    name : str
        Its readable name, under which any safetensors reader finds it.
    dtype : str
    shape : tuple of int
    size_bytes : int
    stored_bytes : int
        What it takes in the file: less if it is compressed.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class Obstacle:
    """Why `keepfit.load` would refuse the file here, whatever is opened.

    Parameters
    ----------
    error : str
        The error that `keepfit.load` would raise: ``"VersionError"``.
    place : str
        Where inside the object.
    message : str
    """

    error: str
    place: str
    message: str


@dataclass(frozen=True)
class Effect:
    """A name that reading a file with pickle would import or call.

    Parameters
    ----------
    name : str
        Module and name.
    count : int
        How often the file names it.
    place : int
        The byte of the stream, unpacked, where it does so first.
    """

    name: str
    count: int
    place: int


@dataclass(frozen=True)
class Report:
    """What `keepfit.inspect` found in a file. Printing it gives text, a notebook shows a table.

    Everything in it but sizes, digest and `running` was written by whoever made the file.

    Parameters
    ----------
    kind : str
        What the bytes are: ``"keepfit"``, ``"pickle"``, ``"joblib"``, ``"npy"``, ``"npz"``, ``"skops"`` or ``"zip"``.
    format_version : str
        Version of the format's specification; of a pickle its protocol.
    size_bytes : int
    digest : str
        SHA-256 of the bytes, in hex, as ``sha256sum`` gives it.
    type : str
        The full name of the object's type.
    versions : dict of str to str
        The releases of the libraries that wrote the file, by distribution.
    running : dict of str to str
        The releases of the same libraries here; empty text where one is not installed.
    metadata : dict of str to object
        The user's own.
    parameters : dict of str to object
        The object's parameters, as the file states them.
    features, classes : list of object
        Names of features, and classes, as the file states them.
    roots : tuple of str
        What the file holds: ``"object"``, and ``"sample"`` if it has one.
    tree : TreeNode
        The types in the object, bounded.
    types : dict of str to int
        How many of each type there are, most first.
    arrays : tuple of ArrayInfo
        The largest arrays, up to 10,000.
    array_count, array_bytes, stored_bytes : int
        Of all arrays; what they take in the file.
    untrusted_types : dict of str to str
        The names that ``trusted=`` would need, each with the place where it is first met.
    capabilities : tuple of str
        What ``allow=`` would need: of ``"code"``, ``"paths"``, ``"patterns"``.
    changes : tuple of str
        What `keepfit.load` would neutralise with nothing allowed.
    obstacles : tuple of Obstacle
        What stands against loading under the running versions, as far as can be told without building. Of a file that
        is not keepfit's own, what stands against converting it.
    verdict : str
        Of a file that is not keepfit's own: ``"convertible"``, where it holds only known data of known shape, which
        was translated and checked; ``"refused"``, where names or structures in it are outside the tables;
        ``"unreadable"``. Empty for keepfit's own files.
    compression : str
        What the file is compressed with; empty where it is not.
    imports, calls : tuple of Effect
        What reading it with pickle would import and call, in the order of the file; up to 10,000 names.
    written : str
        When it was written, as the file states it; empty where it does not.
    name : str
        The name of a member of an archive.
    parts : tuple of Report
        The members of an archive that are model files.
    """

    kind: str
    format_version: str
    size_bytes: int
    digest: str
    type: str
    versions: dict[str, str]
    running: dict[str, str]
    metadata: dict[str, Any]
    parameters: dict[str, Any]
    features: list[Any]
    classes: list[Any]
    roots: tuple[str, ...]
    tree: TreeNode
    types: dict[str, int]
    arrays: tuple[ArrayInfo, ...]
    array_count: int
    array_bytes: int
    stored_bytes: int
    untrusted_types: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    verdict: str = ""
    compression: str = ""
    imports: tuple[Effect, ...] = ()
    calls: tuple[Effect, ...] = ()
    written: str = ""
    name: str = ""
    parts: tuple[Report, ...] = ()

    @property
    def loads_as_it_is(self) -> bool:
        """Whether ``keepfit.load(file)``, with nothing opened, is expected to build the object."""
        return not (self.verdict or self.untrusted_types or self.capabilities or self.obstacles)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, strings and numbers, exactly as found in the file.

        Returns
        -------
        dict of str to object
            The fields of the report under their names, and ``loads_as_it_is``.
        """
        return {**asdict(self), "loads_as_it_is": self.loads_as_it_is}

    def to_json(self) -> str:
        """The report as JSON in ASCII, so that nothing in the file can steer a terminal that shows it.

        Returns
        -------
        str
        """
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        from keepfit.inspection.rendering import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from keepfit.inspection.rendering import as_html

        return as_html(self)

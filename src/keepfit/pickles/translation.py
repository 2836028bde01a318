"""From the records of a pickle to the graph that everything in keepfit is built from.

The walk over objects (`keepfit.codecs.encoding`) is the same that `dump` uses; here it sees records as what they stand
for. Which constructors stand for what is a closed table; nothing is called because a file says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import cache
from typing import Any

import numpy as np

from keepfit.codecs import encode
from keepfit.codecs.builtin import dict_node
from keepfit.codecs.codec import MISNAMED, Codec, CyclicCodec, Reducing, find_codec
from keepfit.codecs.encoding import View
from keepfit.codecs.estimators import TRANSIENT, EstimatorCodec
from keepfit.codecs.functions import is_known as is_in_tables
from keepfit.codecs.functions import name_of
from keepfit.codecs.sklearn_seam import private_class
from keepfit.errors import InvalidStateError, KeepfitError, UntrustedError, VersionError
from keepfit.graph import Graph, Node
from keepfit.pickles import arrays, natives, standard
from keepfit.pickles.reading import Maker, entries_of, no_more, refused, state_of
from keepfit.pickles.values import (
    MISSING,
    Derived,
    Elements,
    Global,
    Instance,
    Mapping,
    described,
    sizes_of,
)  # fmt: skip

__all__ = ["Records", "is_known", "to_graph"]

#: Every constructor that is known, by its full name.
_MAKERS: dict[str, Maker] = {**standard.MAKERS, **arrays.MAKERS, **natives.MAKERS}
#: What a constructor of ours raises when it is handed parts that do not fit.
_MISFITS = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, ArithmeticError, MemoryError)
#: Records of plain values inside each other: dtypes of dtypes.
_DEPTH = 50
_VERSION = "_sklearn_version"


def to_graph(root: Any, *, problems: list[KeepfitError] | None = None) -> Graph:
    """The graph of what a pickle stands for.

    Parameters
    ----------
    root : value
        What `keepfit.pickles.machine.Machine.run` gave.
    problems : list of KeepfitError, default=None
        Collects what is outside the tables, each with its place inside the object; the graph is then for looking at.

    Returns
    -------
    Graph
        Its `versions` name only what the pickle says: the release of scikit-learn, empty where objects of scikit-learn
        are not told with one.

    Raises
    ------
    UntrustedError
        If a name or structure is outside the tables, and `problems` is None.
    InvalidStateError
        If the parts of a known constructor do not fit.
    VersionError
        If objects of several scikit-learn releases are in one pickle.
    """
    view = Records()
    graph = encode(root, view=view, problems=problems)
    graph.versions = {}
    if any(node.type.startswith("sklearn.") for node in graph.nodes):
        graph.versions["scikit-learn"] = min(view.releases, default="")
    if len(view.releases) > 1:
        error = VersionError(
            f"the pickle has objects of scikit-learn {' and '.join(sorted(view.releases)[:5])}; load it where it was "
            "written, and write it anew"
        )
        if problems is None:
            raise error
        problems.append(error)
    return graph


def is_known(name: str) -> bool:
    """Whether a full name is one of keepfit's tables."""
    if name in _MAKERS or name in _REBUILDERS or name in _PARTS:
        return True
    module, _, last = name.rpartition(".")
    kind, known = name_of(module, last)
    return find_codec(_type_name(module, last)) is not None or is_in_tables(kind, known)


#: Names that stand in the states of known objects, and mean nothing by themselves.
_PARTS = frozenset(
    {
        "builtins.object", "joblib.numpy_pickle.NumpyArrayWrapper", "numpy.record", "numpy.rec.record",
        "scipy._lib.array_api_compat.numpy._aliases.asarray", "sklearn.cluster._kmeans._kmeans_single_elkan",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
    }
)  # fmt: skip


class Records(View):
    """Records, as what they stand for."""

    def __init__(self) -> None:
        self.releases: set[str] = set()
        self._depth = 0
        self._codecs: dict[str, _AsNode] = {}
        self._copied: set[int] = set()
        self._copied_again = 0

    def value_of(self, value: Any) -> Any:
        if type(value) is Instance or type(value) is Derived:
            made = self._made(value) if isinstance(value, Instance) else value.made
            return value if type(made) in (Node, _Refused) else made
        return value

    def kind_of(self, value: Any) -> Any:
        made = self._node(value)
        return made.type if type(made) is Node else super().kind_of(value)

    def codec_of(self, value: Any) -> Codec:
        made = self._node(value)
        if made is None:
            return super().codec_of(value)
        if type(made) is _Refused:
            return made
        codec = self._codecs.get(made.type)
        if codec is None:
            codec = self._codecs[made.type] = _AsNode(self, find_codec(made.type))
        return codec

    def live(self, value: Any, *types: type) -> Any:
        """The plain value of one of these types that a value of the stream stands for."""
        found = self._made(value) if type(value) is Instance else value
        if type(found) is _Refused:
            raise found.error
        if not any(type(found) is kind or (kind not in _EXACT and isinstance(found, kind)) for kind in types):
            raise InvalidStateError(f"{described(value)} in place of a {' or a '.join(t.__name__ for t in types)}")
        return found

    def type_name(self, value: Any) -> str:
        """The name in keepfit's tables of a class that the stream names; its own name where there is none."""
        if type(value) is not Global:
            raise InvalidStateError(f"{described(value)} in place of a class")
        return _type_name(value.module, value.name)

    def note_copied(self, values: Iterable[Any]) -> None:
        for value in values:
            found = value.made if type(value) is Instance else value
            size = _size(found)
            if size < _SMALL_BYTES:
                continue
            if id(found) in self._copied:  # it lives as long as the record that has it
                self._copied_again += size
            self._copied.add(id(found))
        if self._copied_again > _COPIED_AGAIN_BYTES:
            raise InvalidStateError("many objects of the pickle are made of the same large contents, a copy for each")

    def _node(self, value: Any) -> Any:
        """The node a record stands for, or why it is refused; None for what is no record."""
        kind = type(value)
        if kind is Instance:
            return self._made(value)
        if kind is Mapping:
            return dict_node(value.keys, value.items)
        if kind is Elements:
            return Node("frozenset" if value.frozen else "set", items=value.items)
        if kind is Derived:
            return value.made
        return _named(value) if kind is Global else None

    def node_of(self, value: Any) -> Node:
        """The live node of a record."""
        made = self._node(value)
        assert type(made) is Node
        return made

    def _made(self, record: Instance) -> Any:
        if record.made is MISSING:
            self._depth += 1
            try:
                if self._depth > _DEPTH:
                    raise InvalidStateError("plain values lie too deep inside each other")
                if sizes_of(record.args) + (sizes_of((record.state,)) if record.state is not MISSING else ()) != (
                    record.sizes
                ):
                    raise refused("something that was changed after it was used", record)
                self.note_copied(())  # nothing more is made of a pickle that has gone too far
                record.made = self._make(record)
                self.note_copied((*record.args, *(record.state if type(record.state) is tuple else (record.state,))))
            except KeepfitError as error:
                record.made = _Refused(error)
            except _MISFITS as error:
                message = f"the parts of {described(record)} do not fit: {type(error).__name__}: {error}"
                record.made = _Refused(InvalidStateError(message[:300]))
            finally:
                self._depth -= 1
        return record.made

    def _make(self, record: Instance) -> Any:
        name = record.name
        if not name:
            raise refused("a call of what another call gives, which is code", record)
        if name in _REBUILDERS:
            record = _as_new(record)
            name = record.name
        maker = _MAKERS.get(name)
        if maker is not None:
            return maker(self, record)
        known = _type_name(record.function.module, record.function.name)
        codec = find_codec(known)
        if isinstance(codec, EstimatorCodec):
            return self._estimator(record, known)
        if codec is not None or not record.new:
            # (Without `names`: there is nothing that `trusted=` could open.)
            advice = "; load the file in Python if you trust who made it, and keepfit.dump what it gives"
            raise UntrustedError(
                f"the pickle calls {name} (byte {record.place:,}), which keepfit does not read as data, whatever is "
                f"trusted{'' if codec is None else advice}"
            )
        return _custom(record)

    def _estimator(self, record: Instance, name: str) -> Node:
        """An object of Python code of scikit-learn's: its class and its attributes."""
        no_more(record, state=True)
        if record.args or not record.new:
            raise refused(f"arguments for {name}, which has none as Python writes it", record)
        state = state_of(record, required=False)
        release = state.pop(_VERSION, None)
        if release is not None:
            if type(release) is not str or len(release) > 40:
                raise refused("a release of scikit-learn that is none", record)
            self.releases.add(release)
        state = {key: value for key, value in state.items() if key not in TRANSIENT}
        if name == "sklearn.isotonic.IsotonicRegression" and "y_thresholds_" in state and "X_thresholds_" in state:
            state["f_"] = natives.isotonic_function(self, state)
        return Node(name, state)


#: So little is not counted; of the rest so much may be copied again, for records that name the same contents.
_SMALL_BYTES, _COPIED_AGAIN_BYTES = 128, 2**26
#: What an element of a container takes until it is in a graph.
_ELEMENT_BYTES = 64


def _size(value: Any) -> int:
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) * _ELEMENT_BYTES if isinstance(value, (list, tuple, Mapping, Elements)) else 0


#: How Python's own module spells "an object of this class, without calling it".
_REBUILDERS = frozenset({"copyreg._reconstructor", "copyreg.__newobj__"})


def _as_new(record: Instance) -> Instance:
    """The same, as an instance of the class that such a call names."""
    cls, *args = record.args or (None,)
    if record.name == "copyreg._reconstructor":
        if len(args) != 2 or described(args[0]) != "builtins.object" or args[1] is not None:
            raise refused("an object that is rebuilt as another type than its own", record)
        args = []
    if type(cls) is not Global:
        raise refused("an object of a computed class", record)
    again = Instance(cls, tuple(args), record.kwargs, record.place, new=True)
    again.state, again.items, again.entries = record.state, record.items, record.entries
    return again


def _custom(record: Instance) -> Node:
    """An object of a class outside the tables: built only for a caller who trusts it."""
    node = Node(record.name, keys=[], items=list(record.items))
    if record.kwargs is not None and len(record.kwargs):
        raise refused(f"named arguments for {record.name}, which cannot be kept", record)
    if record.args:
        node.state["__args__"] = record.args
    state = record.state
    if type(state) is Mapping and set(map(type, state.keys)) == {str}:
        node.state.update(entries_of(state))
    elif state is not MISSING and state is not None:
        node.state["__state__"] = state
    if record.entries is not None:
        if node.items:
            raise refused(f"{record.name}, a list and a dict at once", record)
        node.keys, node.items = list(record.entries.keys), list(record.entries.items)
    return node


class _Refused(Codec):
    """Stands for what is outside the tables, and says so when it is met."""

    def __init__(self, error: KeepfitError) -> None:
        self.error = error

    def reduce(self, obj: Any, context: Reducing) -> Node:
        raise self.error


class _AsNode(Codec):
    """Gives the walk the node that a record stands for; as to cycles and groups, as the codec of that type."""

    def __init__(self, view: Records, codec: Codec | None) -> None:
        self._view = view
        self.cyclic = codec is None or isinstance(codec, CyclicCodec)
        self.groups = codec is not None and codec.groups

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return copy(self._view.node_of(obj))  # which the record keeps


#: Types of which no subclass is meant.
_EXACT = (int, float, str, bytes, bytearray, type(None))


def _named(found: Global) -> Any:
    """The node of a function or class as a value."""
    kind, name = name_of(found.module, found.name)
    return Node(kind, {"name": name})


@cache
def _type_name(module: str, name: str) -> str:
    """The name in keepfit's tables of the class that a module has under a name; the full name where there is none.

    scikit-learn's own classes go by their public name there. That it is the same class is looked up in the table's
    class, never in the module that the file names.
    """
    full = f"{MISNAMED.get(module, module)}.{name}"
    if not module.startswith("sklearn.") or find_codec(full) is not None:
        return full
    public = ".".join(part for part in module.split(".") if not part.startswith("_"))
    for candidate in dict.fromkeys((f"{public}.{name}", f"{module.partition('._')[0]}.{name}")):
        codec = find_codec(candidate)
        if codec is None:
            continue
        cls = codec.cls if isinstance(codec, EstimatorCodec) else private_class(candidate)
        if cls is not None and (cls.__module__, cls.__qualname__) == (module, name):
            return candidate
    return full

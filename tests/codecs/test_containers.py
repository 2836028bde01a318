"""scikit-learn's containers."""

from __future__ import annotations

import pytest
from sklearn.utils import Bunch

from keepfit import codecs
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Graph, Node, Ref


def test_a_bunch_comes_back_as_it_was() -> None:
    found = codecs.decode(codecs.encode(Bunch(data=[1, 2], target="y")))
    assert type(found) is Bunch
    assert found == {"data": [1, 2], "target": "y"}
    assert found.target == "y"


def test_a_bunch_that_tells_numpy_where_to_read_is_refused() -> None:
    """NumPy asks any object for its array interface, and a Bunch answers for its keys."""
    address = Node("tuple", items=[4096, False])
    interface = Node("dict", keys=["data", "shape"], items=[Ref(0), Ref(0)])
    bunch = Node("sklearn.utils.Bunch", keys=["__array_interface__"], items=[Ref(1)])
    hostile = Graph({"object": Ref(2)}, [address, interface, bunch], [], [], {"scikit-learn": "1.9.1"})
    with pytest.raises(InvalidStateError, match="__array_interface__"):
        codecs.decode(hostile)
    with pytest.raises(UnsupportedError, match="__array_interface__"):
        codecs.encode(Bunch(__array_interface__={}))

"""What a model takes and gives: true names, datatypes and shapes, derived from the model itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from keepfit.codecs.codec import class_name
from keepfit.errors import UnsupportedError
from keepfit.serve.answers import METHODS, REFUSALS, to_dense
from keepfit.serve.columns import Column, Layout, layout_of
from keepfit.serve.errors import RequestError
from keepfit.serve.inputs import Inputs
from keepfit.serve.tensors import datatype_of

__all__ = ["Field", "Signature", "signature_of"]

_CATEGORIES_MAX = 100


class Field(msgspec.Struct, frozen=True):
    """One input or output of a model.

    Attributes
    ----------
    name : str
    datatype : str
        One of `tensors.DATATYPES`, or ``"BYTES"``. Of an output: what it has when the inputs come in theirs.
    shape : tuple of int
        With -1 for the number of rows, and for what is not known before there are rows.
    categories : tuple of str, default=()
        The values that the model knows for this input, at most 100.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    categories: tuple[str, ...] = ()


class Signature(msgspec.Struct, frozen=True):
    """What a model takes and gives.

    Attributes
    ----------
    type : str
        The model's class, such as ``sklearn.svm._classes.SVC``.
    inputs : tuple of Field
        For a model fitted on named columns, or on columns of text and numbers side by side, one for each, of shape
        (-1, 1); else one named ``X``.
    outputs : tuple of Field
        One for each method that the model has.
    defaults : tuple of str
        The outputs that are given when none are asked for.
    classes : tuple of str, default=()
    facts : dict of str to str, default={}
        Of the file's header.
    """

    type: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    defaults: tuple[str, ...]
    classes: tuple[str, ...] = ()
    facts: dict[str, str] = {}


def signature_of(model: Any, facts: Mapping[str, str]) -> Signature:
    """The signature of a fitted model.

    What an output looks like is found by calling its method on made-up rows of the values that the model knows; where
    it refuses them, what its ``classes_`` say.

    Parameters
    ----------
    model : fitted estimator
    facts : mapping of str to str
        Of its file (`keepfit.facts`).

    Returns
    -------
    Signature

    Raises
    ------
    UnsupportedError
        If the model is not fitted, or has none of the methods that can be served.

    Notes
    -----
    Costs at least two calls of each method, on two and three rows.
    """
    methods = [name for name in METHODS if callable(getattr(model, name, None))]
    if not methods:
        raise UnsupportedError(f"a {type(model).__name__} has none of {', '.join(METHODS)}: there is nothing to serve")
    layout = layout_of(model, facts)
    inputs = Inputs(layout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = tuple(_tried(model, name, inputs) or _expected(model, name) for name in methods)
    return Signature(
        type=class_name(type(model)),
        inputs=_input_fields(layout),
        outputs=outputs,
        defaults=(methods[0],),
        classes=_classes(model),
        facts=dict(facts),
    )


def _input_fields(layout: Layout) -> tuple[Field, ...]:
    if layout.kind in ("texts", "records"):
        return (Field("X", "BYTES", (-1,)),)
    if layout.kind == "labels":
        return (Field("X", layout.columns[0].datatype, (-1,)),)
    if not layout.is_named and len(layout.datatypes) <= 1:
        datatype = next(iter(layout.datatypes), "FP64")
        categories = _categories(layout.columns[0]) if len(layout.columns) == 1 else ()
        return (Field("X", datatype, (-1, len(layout.columns) if layout.is_wide else -1), categories),)
    return tuple(
        Field(column.name or f"x{place}", column.datatype, (-1, 1), _categories(column))
        for place, column in enumerate(layout.columns)
    )


def _categories(column: Column) -> tuple[str, ...]:
    return tuple(str(value) for value in column.categories[:_CATEGORIES_MAX])


def _tried(model: Any, method: str, inputs: Inputs) -> Field | None:
    """What a method gives for made-up rows; None if it refuses them all."""
    from sklearn.exceptions import NotFittedError

    for number in (1.0, 0.0, 0.5):
        try:
            two, three = (
                to_dense(getattr(model, method)(inputs.for_model(inputs.example(n_rows, number)))) for n_rows in (2, 3)
            )
            shape = tuple(size if size == other else -1 for size, other in zip(two.shape, three.shape, strict=True))
            return Field(method, datatype_of(two.dtype), shape)
        except NotFittedError:
            raise UnsupportedError(f"this {type(model).__name__} is not fitted: fit it, then keep it") from None
        except (RequestError, *REFUSALS):
            continue
    return None


def _expected(model: Any, method: str) -> Field:
    classes = getattr(model, "classes_", None)
    if method == "predict":
        return Field(method, datatype_of(classes.dtype) if isinstance(classes, np.ndarray) else "FP64", (-1,))
    if method == "predict_proba":
        return Field(method, "FP64", (-1, len(classes) if isinstance(classes, np.ndarray) else -1))
    return Field(method, "FP64", (-1, -1))


def _classes(model: Any) -> tuple[str, ...]:
    classes = getattr(model, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return ()
    return tuple(str(value) for value in classes.tolist())

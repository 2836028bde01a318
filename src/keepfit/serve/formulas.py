"""Small linear models as formulas: plain numbers, with which one row is answered where it came in.

To send a row to a worker, to wake it and to be woken takes ten times as long as the arithmetic of a linear model. So a
worker that has loaded one tells what the arithmetic is (`Formula`), once it has held it against the model itself, bit
for bit. The front has no model, then, and nothing of scikit-learn: it has at most some thousand numbers, and functions
of NumPy to apply to them. What is not one row of finite float64 is left to the workers, as is every other model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np

from keepfit.serve.tensors import Tensor

__all__ = ["Formula", "Formulas", "Operation", "evaluator", "softmax"]

#: What one formula may have: the product of so many numbers takes 2 us.
_NUMBERS_MAX = 4096
_LABELS_BYTES_MAX = 1 << 16

_Array: TypeAlias = "np.ndarray[Any, Any]"
_FLOAT64 = np.dtype("<f8")
_Shape = Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, le=_NUMBERS_MAX)], ...], msgspec.Meta(max_length=2)]


class Operation(msgspec.Struct, frozen=True, array_like=True):
    """A function of NumPy of what was found so far, and of numbers of the model.

    Attributes
    ----------
    name : {"add", "subtract", "multiply", "divide", "matmul"}
    shape : tuple of int
    data : bytes
        The numbers as float64, in C order.
    is_transposed : bool, default=False
        Whether the numbers lie in memory as the transpose: it is on this that the last bit of a product depends.
    """

    name: Literal["add", "subtract", "multiply", "divide", "matmul"]
    shape: _Shape
    data: bytes
    is_transposed: bool = False

    @classmethod
    def of(cls, name: Any, numbers: Any) -> Operation:
        """The operation with an array, or a number, of a model.

        Raises
        ------
        ValueError
            If they are not finite numbers of float64, of at most two dimensions.
        """
        array = np.asarray(numbers)
        if array.dtype != _FLOAT64 or array.ndim > 2 or not np.isfinite(array).all():
            raise ValueError("a formula has finite numbers, in two dimensions at most")
        is_transposed = array.ndim == 2 and array.strides[0] == array.itemsize
        array = array.T if is_transposed else array
        return cls(name, array.shape, array.tobytes(), is_transposed)

    def array(self) -> _Array:
        """The numbers, as they lay in the model."""
        found = np.frombuffer(self.data, _FLOAT64).reshape(self.shape)
        return found.T if self.is_transposed else found


class Formula(msgspec.Struct, frozen=True, array_like=True):
    """What a method of a model does with one row.

    Attributes
    ----------
    output : str
        The method.
    width : int
        The number of columns.
    operations : tuple of Operation
        One after the other.
    ending : {"values", "label", "softmax"}, default="values"
        What is answered: the numbers found; the label of the largest (of one number, by its sign); their softmax.
    is_flat : bool, default=False
        Whether the numbers are answered in one dimension.
    datatype : str, default="FP64"
    labels : tuple of bytes, default=()
        The data of the answer for each class.
    """

    output: str
    width: int
    operations: Annotated[tuple[Operation, ...], msgspec.Meta(max_length=64)]
    ending: Literal["values", "label", "softmax"] = "values"
    is_flat: bool = False
    datatype: str = "FP64"
    labels: tuple[bytes, ...] = ()


class Formulas:
    """The formulas of one model.

    Parameters
    ----------
    formulas : sequence of Formula
    defaults : tuple of str
        The outputs of those who name none.
    """

    def __init__(self, formulas: Sequence[Formula], defaults: tuple[str, ...]) -> None:
        self._defaults = defaults
        self._width = formulas[0].width if formulas else 0
        made = {formula.output: evaluator(formula) for formula in formulas if formula.width == self._width}
        self._evaluators = {name: evaluate for name, evaluate in made.items() if evaluate is not None}

    def answer(self, inputs: Sequence[Tensor], outputs: Sequence[str]) -> tuple[Tensor, ...] | None:
        """What the model answers to one row of float64.

        Returns
        -------
        tuple of Tensor or None
            None for everything else: that is for a worker to answer, or to refuse.
        """
        if len(inputs) != 1:
            return None
        first = inputs[0]
        if first.datatype != "FP64" or first.shape != (1, self._width):
            return None
        if len(first.data) != self._width * _FLOAT64.itemsize:
            return None
        data = bytes(first.data)  # which NumPy gets aligned
        found = []
        for name in outputs or self._defaults:
            evaluate = self._evaluators.get(name)
            tensor = evaluate(data) if evaluate is not None else None
            if tensor is None:
                return None
            found.append(tensor)
        return tuple(found)


def evaluator(formula: Formula) -> Callable[[bytes], Tensor | None] | None:
    """What evaluates a formula.

    Parameters
    ----------
    formula : Formula

    Returns
    -------
    callable or None
        From the bytes of a row of float64 to the answer; to None if a number on the way was not finite. None if the
        formula has too many numbers, or such as do not go together.
    """
    functions = []
    count = 0
    for operation in formula.operations:
        count += math.prod(operation.shape)
        if len(operation.data) != math.prod(operation.shape) * _FLOAT64.itemsize:
            return None
        functions.append((getattr(np, operation.name), operation.array()))
    if count > _NUMBERS_MAX or sum(map(len, formula.labels)) > _LABELS_BYTES_MAX:
        return None
    row_shape, conclude = (1, formula.width), _ending(formula)

    def evaluate(data: bytes) -> Tensor | None:
        found = np.ndarray(row_shape, _FLOAT64, data)
        with np.errstate(all="ignore"):
            for function, numbers in functions:
                found = function(found, numbers)
            # No operation with finite numbers makes something finite of what is not, so one look at the end will do.
            return conclude(found) if math.isfinite(np.vdot(found, found)) else None

    try:
        evaluate(bytes(formula.width * _FLOAT64.itemsize))
    except (ValueError, LookupError):
        return None
    return evaluate


def _ending(formula: Formula) -> Callable[[_Array], Tensor]:
    name = formula.output
    if formula.ending == "label":
        labels = [Tensor(name, formula.datatype, (1,), data) for data in formula.labels]

        def label(found: _Array) -> Tensor:
            return labels[int(found.argmax()) if found.size > 1 else int(found.item() > 0.0)]

        return label

    is_flat, is_softmax = formula.is_flat, formula.ending == "softmax"

    def values(found: _Array) -> Tensor:
        if is_softmax:
            found = softmax(found)
        shape = (found.size,) if is_flat else found.shape
        return Tensor(name, "FP64", shape, found.tobytes())

    return values


def softmax(scores: _Array) -> _Array:
    """The softmax of each row, written over the scores: as scikit-learn computes it."""
    scores -= scores.max(axis=1).reshape(-1, 1)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1).reshape(-1, 1)
    return scores

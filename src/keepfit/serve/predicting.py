"""A model at work: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from keepfit.serve.answers import REFUSALS, refusal, to_dense
from keepfit.serve.columns import Layout, layout_of
from keepfit.serve.errors import RequestError
from keepfit.serve.fast import formula_of, prepare
from keepfit.serve.formulas import Formula
from keepfit.serve.inputs import Inputs, Rows
from keepfit.serve.signature import Signature, signature_of
from keepfit.serve.tensors import Tensor, from_array

__all__ = ["Served"]


class Served:
    """A loaded model that answers tensors with tensors.

    Values reach the model as they were sent: a request of FP32 is predicted on as float32, integers as integers, which
    is what the model would be given in Python. So the datatype of an answer may follow that of the request, as
    scikit-learn's does.

    Parameters
    ----------
    model : fitted estimator
    facts : mapping of str to str
        Of its file (`keepfit.facts`).

    Attributes
    ----------
    signature : Signature
    formulas : tuple of Formula
        Outputs that can be told in numbers.

    Raises
    ------
    UnsupportedError
        If the model is not fitted, or has no method that can be served.
    """

    def __init__(self, model: Any, facts: Mapping[str, str]) -> None:
        self.signature: Signature = signature_of(model, facts)
        layout = layout_of(model, facts)
        self._inputs = Inputs(layout)
        self._methods = {field.name: self._method(model, field.name, layout) for field in self.signature.outputs}
        self.formulas: tuple[Formula, ...] = tuple(self._formulas(model))

    def answer(self, inputs: Sequence[Tensor], outputs: Sequence[str]) -> list[Tensor]:
        """What the model gives for the rows of a request.

        Parameters
        ----------
        inputs : sequence of Tensor
            As the signature names them; or one of any name with all columns in order, if one datatype suits them.
        outputs : sequence of str
            Names of outputs; empty for the signature's defaults.

        Returns
        -------
        list of Tensor
            In the order of `outputs`.

        Raises
        ------
        RequestError
            For whatever is wrong with the request, and where the model cannot take the values: in its own words.
        """
        names = outputs or self.signature.defaults
        rows = self._inputs.read(inputs)
        answers = []
        for name in names:
            method = self._methods.get(name)
            if method is None:
                raise RequestError(f"the model has no output {name[:100]!r}; it has {', '.join(self._methods)}")
            try:
                found = method(rows)
            except REFUSALS as error:
                raise refusal(error) from error
            dense = to_dense(found)
            if dense.ndim == 1 and len(dense) != inputs[0].shape[0]:  # SparsePCA leaves out the dimension of one row
                dense = dense.reshape(1, -1)
            answers.append(from_array(name, dense))
        return answers

    def _formulas(self, model: Any) -> Iterator[Formula]:
        if self._inputs.is_plain:
            for name in self._methods:
                formula = formula_of(model, name, self._inputs.for_model)
                if formula is not None:
                    yield formula

    def _method(self, model: Any, name: str, layout: Layout) -> Callable[[Rows], Any]:
        method, for_model = getattr(model, name), self._inputs.for_model
        fast = prepare(model, name, for_model) if layout.kind == "table" else None
        return fast or (lambda rows: method(for_model(rows)))

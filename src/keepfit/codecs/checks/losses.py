"""Losses: the compiled half and the link that go with each, and which loss a model may have.

A loss with another's compiled half would be handed arrays of a shape that it does not look at.
"""

from __future__ import annotations

from typing import Any

from keepfit.codecs.checks.rules import Check, Dims, State, is_a, refuse

__all__ = ["CHECKS", "loss_fits"]

_LOSS, _LINK, _COMPILED = "sklearn._loss.loss.", "sklearn._loss.link.", "sklearn._loss._loss.Cy"
#: The link of each loss; its compiled half has its name (``ArrayAPI`` left off).
_LINKS = {
    "AbsoluteError": "IdentityLink",
    "ExponentialLoss": "HalfLogitLink",
    "HalfBinomialLoss": "LogitLink",
    "HalfBinomialLossArrayAPI": "LogitLink",
    "HalfGammaLoss": "LogLink",
    "HalfMultinomialLoss": "MultinomialLogit",
    "HalfMultinomialLossArrayAPI": "MultinomialLogit",
    "HalfPoissonLoss": "LogLink",
    "HalfPoissonLossArrayAPI": "LogLink",
    "HalfSquaredError": "IdentityLink",
    "HalfTweedieLoss": "LogLink",
    "HalfTweedieLossIdentity": "IdentityLink",
    "HuberLoss": "IdentityLink",
    "PinballLoss": "IdentityLink",
}
_MULTICLASS = (f"{_LOSS}HalfMultinomialLoss", f"{_LOSS}HalfMultinomialLossArrayAPI")
_BINARY = tuple(f"{_LOSS}{name}" for name in ("HalfBinomialLoss", "HalfBinomialLossArrayAPI", "ExponentialLoss"))
_REGRESSION = tuple(
    f"{_LOSS}{name}" for name in _LINKS if f"{_LOSS}{name}" not in _MULTICLASS and f"{_LOSS}{name}" not in _BINARY
)


def loss_fits(loss: Any, outputs: int, *, is_classifier: bool) -> bool:
    """Whether a model that makes `outputs` numbers of each row may have this loss."""
    if not is_classifier:
        return outputs == 1 and is_a(loss, *_REGRESSION)
    return (
        is_a(loss, *_MULTICLASS) and loss.__dict__.get("n_classes") == outputs if outputs > 1 else is_a(loss, *_BINARY)
    )


def _check_parts(name: str, link: str) -> Any:
    compiled = _COMPILED + name.removesuffix("ArrayAPI")

    def check(state: State, dims: Dims) -> None:
        if not is_a(state["link"], _LINK + link) or not is_a(state["closs"], compiled):
            refuse(f"the compiled half and the link of a {name} are its own")

    return check


_RULES = """
    closs!     any
    link!      any
    n_classes  none | 1..65536
"""

CHECKS = {_LOSS + name: Check(_LOSS + name, _RULES, _check_parts(name, link)) for name, link in _LINKS.items()}

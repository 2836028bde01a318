"""MLflow's models kept by keepfit: a flavour with `save_model`, `log_model`, `load_model`, and its pyfunc loader.

``mlflow models serve``, ``mlflow.pyfunc.load_model`` and MLflow's registry work with what is saved here, and nothing is
unpickled on the way. Needs the extra ``mlflow``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.errors import KeepfitError, UnsupportedError

if TYPE_CHECKING:
    from keepfit.codecs import Trusted

__all__ = ["FLAVOR_NAME", "load_model", "log_model", "save_model"]

#: The flavour's name in a file ``MLmodel``.
FLAVOR_NAME = "keepfit"

_FILE_NAME = "model.safetensors"

#: What a pyfunc may call: a file ``MLmodel`` may be somebody else's.
_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples")


def save_model(
    model: object,
    path: str | os.PathLike[str],
    *,
    mlflow_model: Any = None,
    pyfunc_predict_fn: str = "predict",
    allow: Collection[str] = (),
    **options: Any,
) -> None:
    """Save a model as a folder that MLflow knows.

    Parameters
    ----------
    model : fitted estimator
        What `keepfit.dump` keeps.
    path : str or path-like
        The folder, which is made.
    mlflow_model : mlflow.models.Model, default=None
        The model that this flavour is added to; MLflow passes it.
    pyfunc_predict_fn : str, default="predict"
        The method that a pyfunc's ``predict`` calls: ``"predict_proba"``, ``"decision_function"``, ``"transform"``, ...
    allow : collection of str, default=()
        As for `keepfit.dump`.
    **options
        ``signature``, ``input_example``, ``conda_env``, ``pip_requirements``, ``extra_pip_requirements``,
        ``code_paths``, ``metadata`` and whatever else `mlflow.pyfunc.save_model` takes. Without a signature, one is
        taken from the input example. Without requirements, they are keepfit and the libraries of the model, pinned to
        the releases here.

    Raises
    ------
    UnsupportedError
        If the model cannot be kept exactly, or has no such method; if MLflow is not installed.
    mlflow.exceptions.MlflowException
        If the folder is there, or an option will not do.
    """
    from keepfit import artifact
    from keepfit.persistence import graph_of, warn_of_scripts

    mlflow = _mlflow()
    if pyfunc_predict_fn not in _METHODS or not hasattr(model, pyfunc_predict_fn):
        raise UnsupportedError(
            f"pyfunc_predict_fn={pyfunc_predict_fn!r}: a {type(model).__name__} has "
            f"{', '.join(name for name in _METHODS if hasattr(model, name)) or 'nothing to predict with'}"
        )
    graph, facts = graph_of(model, allow=allow)
    warn_of_scripts(graph)
    example = options.get("input_example")
    if options.get("signature") is None and example is not None:
        given = example[0] if isinstance(example, tuple) else example
        outputs = _Predictor(model, pyfunc_predict_fn).predict(given)
        options["signature"] = mlflow.models.infer_signature(given, outputs)
    if options.get("pip_requirements") is None and options.get("conda_env") is None:
        options["pip_requirements"] = _requirements(graph.versions)
    described = mlflow_model or mlflow.models.Model()
    described.add_flavor(FLAVOR_NAME, data=f"data/{_FILE_NAME}", pyfunc_predict_fn=pyfunc_predict_fn, **_facts(facts))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / _FILE_NAME
        artifact.save(graph, facts, file)
        mlflow.pyfunc.save_model(
            path=os.fspath(path), loader_module=__name__, data_path=str(file), mlflow_model=described, **options
        )


def log_model(model: object, name: str | None = None, **options: Any) -> Any:
    """Log a model to MLflow's current run, and to its registry.

    Parameters
    ----------
    model : fitted estimator
    name : str, default=None
        The model's name in the run.
    **options
        As for `save_model`; and ``registered_model_name``, ``params``, ``tags``, ``step`` and whatever else
        `mlflow.models.Model.log` takes.

    Returns
    -------
    mlflow.models.model.ModelInfo

    Raises
    ------
    UnsupportedError
        As `save_model`.
    mlflow.exceptions.MlflowException
        As MLflow has it.
    """
    mlflow = _mlflow()
    return mlflow.models.Model.log(artifact_path=None, name=name, flavor=sys.modules[__name__], model=model, **options)


def load_model(
    model_uri: str, dst_path: str | None = None, *, trusted: Trusted = (), allow: Collection[str] = ()
) -> Any:
    """Load a model that `save_model` or `log_model` wrote, as itself.

    Parameters
    ----------
    model_uri : str
        A folder, ``runs:/...``, ``models:/...``, or whatever else MLflow knows.
    dst_path : str, default=None
        A folder to download into.
    trusted, allow
        As for `keepfit.load`, which also lists the errors. Code of your own that was saved with ``code_paths=`` is not
        put on Python's path: import it, and name it here.

    Returns
    -------
    fitted estimator

    Raises
    ------
    KeepfitError
        As `keepfit.load`; if the folder has no model of this flavour.
    mlflow.exceptions.MlflowException
        If there is no such model.
    """
    from keepfit.persistence import load

    mlflow = _mlflow()
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=dst_path))
    file = folder / "data" / _FILE_NAME
    if FLAVOR_NAME not in mlflow.models.Model.load(str(folder)).flavors or not file.is_file():
        raise KeepfitError(f"{model_uri} has no model that keepfit.mlflow saved; its flavour is another")
    return load(file, trusted=trusted, allow=allow)


def _load_pyfunc(path: str) -> _Predictor:
    """What `mlflow.pyfunc` calls to load a model; nothing is opened that a stranger's file asks for."""
    from keepfit.persistence import load

    flavors = _mlflow().models.Model.load(str(Path(path).parents[1])).flavors
    method = flavors.get(FLAVOR_NAME, {}).get("pyfunc_predict_fn", "predict")
    if method not in _METHODS:
        raise KeepfitError(f"the file MLmodel names {method!r}, which is no method to predict with")
    return _Predictor(load(path), method)


class _Predictor:
    """What a pyfunc calls. DataFrames come as they are to models that know names, as arrays to others."""

    def __init__(self, model: Any, method: str) -> None:
        from keepfit.serve.columns import layout_of

        self._model = model
        self._method = getattr(model, method)
        self._layout = layout_of(model, {})

    def get_raw_model(self) -> Any:
        """The model itself, as MLflow's own flavours give it."""
        return self._model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """What the model's method gives for the rows of a DataFrame, an array, or a list of texts."""
        import numpy as np

        if self._layout.kind == "texts" and getattr(model_input, "ndim", 1) == 2:
            if model_input.shape[1] != 1:
                raise KeepfitError(f"the model reads one column of texts, not {model_input.shape[1]}")
            model_input = np.asarray(model_input)[:, 0].tolist()
        elif not self._layout.is_named and hasattr(model_input, "columns"):
            model_input = model_input.to_numpy()
        return self._method(model_input)


def _facts(facts: dict[str, str]) -> dict[str, str]:
    import keepfit

    return {"keepfit_version": keepfit.__version__, "model_class": facts["class"]}


def _requirements(versions: dict[str, str]) -> list[str]:
    import keepfit

    pins = {"keepfit": keepfit.__version__} | {name: version for name, version in versions.items() if version}
    return [f"{name}=={version}" for name, version in pins.items()]


def _mlflow() -> Any:
    try:
        import mlflow
        import mlflow.pyfunc
    except ImportError:
        raise UnsupportedError("this needs MLflow: pip install 'keepfit[mlflow]'") from None
    return mlflow

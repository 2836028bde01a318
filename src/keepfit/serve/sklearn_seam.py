"""Private names of scikit-learn that tell what a model takes.

``HistGradientBoostingClassifier._preprocessor`` (1.6 to 1.9): the fitted `ColumnTransformer` that encodes categorical
columns; its encoder holds the categories. Where it is missing or looks different, nothing is told.
"""

from __future__ import annotations

from typing import Any

__all__ = ["boosted_categories", "tells_records", "tells_text"]


def boosted_categories(model: Any) -> dict[int, Any] | None:
    """The categories of each categorical column of a histogram boosting model, by its place; None for another model."""
    preprocessor = getattr(model, "_preprocessor", None)
    flags = getattr(model, "is_categorical_", None)
    if preprocessor is None or flags is None or getattr(model, "categorical_features", None) != "from_dtype":
        return None
    encoder = getattr(preprocessor, "named_transformers_", {}).get("encoder")
    categories = getattr(encoder, "categories_", None)
    places = [place for place, flag in enumerate(flags.tolist()) if flag]
    if categories is None or len(categories) != len(places):
        return None
    return dict(zip(places, categories, strict=True))


def tells_text(estimator: Any) -> bool:
    """Whether an estimator takes a list of texts."""
    tags = _input_tags(estimator)
    return tags is not None and tags.string and not tags.two_d_array and not _is_hasher_of_records(estimator)


def tells_records(estimator: Any) -> bool:
    """Whether an estimator takes what no tensor holds: dicts, or a list of labels for each row."""
    tags = _input_tags(estimator)
    if type(estimator).__name__ == "MultiLabelBinarizer":
        return True
    return (tags is not None and tags.dict) or _is_hasher_of_records(estimator)


def _is_hasher_of_records(estimator: Any) -> bool:
    return type(estimator).__name__ == "FeatureHasher"


def _input_tags(estimator: Any) -> Any:
    from sklearn.utils import get_tags

    if not hasattr(estimator, "__sklearn_tags__"):
        return None
    return get_tags(estimator).input_tags

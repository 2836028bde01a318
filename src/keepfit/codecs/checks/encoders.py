"""Encoders: where a category, a label or a word goes in the matrix that is made.

They build CSR matrices of columns that they take from their attributes, and SciPy does not look at columns again when
it makes such a matrix dense: a column that is not there is a write past the end.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import numpy as np

from keepfit.codecs.checks.rules import Check, Dims, State, find_themselves, in_range, is_integer, refuse

__all__ = ["CHECKS"]

_ONE_HOT = """
    categories_!                     list(a[_])*F
    n_features_in_!                  =F
    _n_features_outs!                list(0..)*F
    _infrequent_enabled!             bool
    _infrequent_indices              list
    _default_to_infrequent_mappings  list
    _drop_idx_after_grouping!        none | o[F]
    drop_idx_                        none | o[F]
"""
_OF_CATEGORIES = """
    categories_!         list(a[_])*F
    n_features_in_       =F
    _infrequent_enabled  bool
"""
_POLYNOMIAL = """
    n_features_in_!      =F
    _min_degree!         0..
    _max_degree!         0..1000
    n_output_features_!  0..134217728
    _n_out_full!         0..134217728
"""
_SPLINES = """
    bsplines_!        list(scipy.interpolate._bsplines.BSpline)*F
    n_features_in_!   =F
    n_features_out_!  0..
"""
_BINS = """
    bin_edges_!      o[F]
    n_bins_!         i[F]
    n_features_in_   =F
    _encoder         sklearn.preprocessing.OneHotEncoder
"""


def _check_one_hot(state: State, dims: Dims) -> None:
    categories = state["categories_"]
    for each in categories:
        if each.ndim != 1 or not _last_is_greatest(each):
            refuse("the categories of a feature are in order")
    counts = [len(each) for each in categories]
    if state["_infrequent_enabled"]:
        counts = _grouped_counts(state, counts)
    dropped = state["_drop_idx_after_grouping"]
    if dropped is not None:
        for place, index in enumerate(dropped):
            if index is None:
                continue
            if not is_integer(index) or not 0 <= index < counts[place]:
                refuse("a category that is dropped is one of its feature's")
            counts[place] -= 1
    if state["_n_features_outs"] != counts:
        refuse("an encoder makes a column for each category that is not dropped or grouped")


def _last_is_greatest(categories: Any) -> bool:
    """Whether looking up any of these by bisection stays inside, as it does where the last is not less than another."""
    if not len(categories):
        return True
    last = categories[-1]
    if categories.dtype.kind != "O":
        if categories.dtype.kind in "US":
            return True
        greatest = np.sort(categories)[-1]
        return bool(greatest == last) or bool(greatest != greatest and last != last)
    if last is None or isinstance(last, (str, bytes)):
        return True
    numbers = [item for item in categories if isinstance(item, (int, float, np.number)) and item == item]
    if not numbers:
        return True
    if not isinstance(last, (int, float, np.number)):
        return False
    return not last < max(numbers)


def _grouped_counts(state: State, counts: list[int]) -> list[int]:
    """How many columns each feature has when its infrequent categories share one."""
    infrequent, mappings = state.get("_infrequent_indices"), state.get("_default_to_infrequent_mappings")
    if (
        type(infrequent) is not list
        or type(mappings) is not list
        or not len(infrequent) == len(mappings) == len(counts)
    ):
        refuse("an encoder knows the infrequent categories of each feature")
    grouped = []
    for count, indices, mapping in zip(counts, infrequent, mappings, strict=True):
        if indices is None and mapping is None:
            grouped.append(count)
            continue
        if type(indices) is not np.ndarray or indices.ndim != 1 or indices.dtype.kind not in "iu" or not indices.size:
            refuse("an encoder knows the infrequent categories of each feature")
        if not in_range(indices, count) or len(np.unique(indices)) != indices.size:
            refuse("an infrequent category is one of its feature's")
        frequent = count - indices.size
        expected = np.empty(count, np.int64)
        expected[indices] = frequent
        expected[np.setdiff1d(np.arange(count), indices)] = np.arange(frequent)
        if type(mapping) is not np.ndarray or mapping.dtype.kind not in "iu" or not np.array_equal(mapping, expected):
            refuse("infrequent categories share the last column of their feature")
        grouped.append(frequent + 1)
    return grouped


def _check_polynomial(state: State, dims: Dims) -> None:
    least, most, features = state["_min_degree"], state["_max_degree"], dims["F"]
    only_interactions, bias = bool(state.get("interaction_only")), int(bool(state.get("include_bias")))
    full = _terms(features, most, only_interactions)
    kept = full - (_terms(features, least - 1, only_interactions) if least > 1 else 0)
    if (full + bias, kept + bias) != (state["_n_out_full"], state["n_output_features_"]) or least > most:
        refuse("a polynomial has a term for each combination of its features")


def _terms(features: int, degree: int, only_interactions: bool) -> int:
    """How many products of 1 to `degree` features there are."""
    if only_interactions:
        return sum(math.comb(features, count) for count in range(1, min(degree, features) + 1))
    return math.comb(features + degree, min(degree, features)) - 1


def _check_splines(state: State, dims: Dims) -> None:
    shapes = {np.shape(spline.c) for spline in state["bsplines_"]}
    if not dims["F"] or any(len(shape) != 2 for shape in shapes):
        refuse("a feature has splines")
    splines = np.shape(state["bsplines_"][0].c)[1]
    kept = splines if state.get("include_bias", True) else splines - 1
    if state["n_features_out_"] != dims["F"] * kept:
        refuse("a spline transformer makes a column for each spline of each feature")


def _check_labels(state: State, dims: Dims) -> None:
    """Equal classes share a place in the mapping that `transform` makes, and then its last place is not there."""
    classes, mapping = state["classes_"], state.get("_cached_dict")
    if len(set(classes.tolist())) != len(classes):
        refuse("two classes of a MultiLabelBinarizer are equal")
    if mapping is not None:
        _check_places(mapping, len(classes))


def _check_order(state: State, dims: Dims) -> None:
    if not find_themselves(state["classes_"]):
        refuse("the classes of a LabelBinarizer are in order")


def _check_words(state: State, dims: Dims) -> None:
    _check_places(state["vocabulary_"], len(state["vocabulary_"]))


def _check_records(state: State, dims: Dims) -> None:
    _check_places(state["vocabulary_"], len(state["vocabulary_"]))
    if len(state["feature_names_"]) != len(state["vocabulary_"]):
        refuse("a DictVectorizer has a name for each column")


def _check_places(mapping: dict[Any, Any], count: int) -> None:
    """Raise unless the values of a mapping are columns of a matrix of `count` columns."""
    if len(mapping) != count:
        refuse(f"{len(mapping):,} words for {count:,} columns")
    places = np.fromiter(mapping.values(), np.int64, count)  # as NumPy reads them when it makes the matrix
    if not in_range(places, count):
        refuse("the column of a word is one of the matrix")


def _check_hashes(state: State, dims: Dims) -> None:
    components = state.get("n_components", 0)
    if dims.get("N", components) != components or dims["D"] * components > _SKETCH_MAX:
        refuse("a sketch of so many components would fill the memory")
    if not in_range(state["indexHash_"], components):
        refuse("a hash is one of the components")


#: Numbers that a sketch sets aside for each row.
_SKETCH_MAX = 2**24

_WORDS = """
    vocabulary_!       dict
    fixed_vocabulary_  bool
"""
_RECORDS = """
    vocabulary_!     dict
    feature_names_!  list
"""


def _of(package: str, name: str, rules: str, *extra: Any) -> dict[str, Check]:
    return {f"sklearn.{package}.{name}": Check(f"sklearn.{package}.{name}", rules, *extra)}


CHECKS = dict(
    chain.from_iterable(
        part.items()
        for part in (
            _of("preprocessing", "OneHotEncoder", _ONE_HOT, _check_one_hot),
            _of("preprocessing", "OrdinalEncoder", _OF_CATEGORIES),
            _of("preprocessing", "TargetEncoder", _OF_CATEGORIES),
            _of("preprocessing", "KBinsDiscretizer", _BINS),
            _of("preprocessing", "PolynomialFeatures", _POLYNOMIAL, _check_polynomial),
            _of("preprocessing", "SplineTransformer", _SPLINES, _check_splines),
            _of("preprocessing", "MultiLabelBinarizer", "classes_!  a[C]", _check_labels),
            _of("preprocessing", "LabelBinarizer", "classes_!  a[C]", _check_order),
            _of("preprocessing", "LabelEncoder", "classes_!  a[C]"),
            _of("feature_extraction.text", "CountVectorizer", _WORDS, _check_words),
            _of("feature_extraction.text", "TfidfVectorizer", _WORDS, _check_words),
            _of("feature_extraction", "DictVectorizer", _RECORDS, _check_records),
            _of(
                "kernel_approximation",
                "PolynomialCountSketch",
                """
                indexHash_!      i[D,_]
                bitHash_!        i[D,_]
                _n_features_out  =N
                """,
                _check_hashes,
            ),
        )
    )
)

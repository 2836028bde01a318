"""Steps from one release's state to the next one's: what a graph of an older scikit-learn needs, to be built today.

Each step was written from the sources of both releases, and is tried by ``scripts/version_table.py``, which writes a
model of every estimator under one release, loads it under another and compares what it answers. A step gives a class
what the newer release would have stored for the same fit, and the parameters by which that would fit as the older one
did. Where there is no such state (a model whose class now computes something else) it refuses.

A graph is left as it is; what changes is a copy of its nodes.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from keepfit.codecs.versions import running_version, short_version
from keepfit.errors import VersionError
from keepfit.graph import Graph, Node, Ref, first_objects

__all__ = ["MAY_LACK", "migrate"]

_Step = Callable[["_Fields"], None]


def migrate(graph: Graph) -> Graph:
    """A graph as the running scikit-learn would have written it, as far as there are steps for it.

    Raises
    ------
    VersionError
        If a class would compute something else from what it was fitted to. The error names the place.

    Notes
    -----
    Nothing is done, and the same graph is given back, where the running release wrote it. Otherwise cost is linear in
    the number of nodes.
    """
    written = short_version(graph.versions.get("scikit-learn", ""))
    running = short_version(running_version("scikit-learn"))
    if written == (0, 0) or written >= running:
        return graph
    nodes = list(graph.nodes)
    firsts = first_objects(nodes)
    taken: set[int] = set()
    least: dict[int, float] = {}
    for release, steps in _STEPS.items():
        if written < release <= running:
            for place, node in enumerate(nodes):
                if node.type in steps:
                    fields = _Fields(graph, nodes, firsts, place, taken, least)
                    steps[node.type](fields)
                    nodes[place] = fields.node
    return Graph(graph.roots, nodes, graph.arrays, graph.names, graph.versions, graph.packed)


class _Fields:
    """The attributes of the objects that one node stands for.

    Parameters
    ----------
    graph : Graph
    nodes : list of Node
        Those of the graph as earlier steps left them.
    firsts : list of int
        The number of each node's first object.
    place : int
        The node's.
    taken : set of int
        The numbers of lists whose items a step has given to another object: no list is copied twice.
    least : dict of int to float
        What `least` has found, by the places of arrays.

    Attributes
    ----------
    node : Node
        A copy, which the methods change.
    """

    def __init__(
        self, graph: Graph, nodes: list[Node], firsts: list[int], place: int, taken: set[int], least: dict[int, float]
    ) -> None:
        self._graph, self._nodes, self._firsts, self._place = graph, nodes, firsts, place
        self.taken, self._least = taken, least
        old = nodes[place]
        columns = dict(old.columns)
        self.node = Node(old.type, dict(old.state), old.items, old.keys, old.array, old.count, columns, old.lengths)

    def __contains__(self, name: str) -> bool:
        return name in self.node.state

    def each(self, name: str) -> list[Any]:
        """The values of an attribute, one for each object: plain ones and refs."""
        column: list[Any] | None = self.node.columns.get(name)
        return column if column is not None else [self.node.state.get(name)] * self.node.count

    def put(self, name: str, values: Any) -> None:
        """Give an attribute to all objects: a list has a value for each."""
        if not isinstance(values, list):
            values = [values] * self.node.count
        self.node.columns.pop(name, None)
        if all(type(value) is type(values[0]) and value == values[0] for value in values):
            self.node.state[name] = values[0]
        else:
            self.node.state[name], self.node.columns[name] = None, values

    def drop(self, *names: str) -> None:
        """Take attributes away where they are."""
        for name in names:
            self.node.state.pop(name, None)
            self.node.columns.pop(name, None)

    def _found(self, value: Any) -> tuple[Node, int] | None:
        """The node of an object that a value refers to, and which of its objects that is."""
        if type(value) is not Ref:
            return None
        number = bisect_right(self._firsts, value.index) - 1
        return self._nodes[number], value.index - self._firsts[number]

    def part(self, value: Any, name: str) -> Any:
        """An attribute of an object that a value refers to; None where there is none."""
        found = self._found(value)
        if found is None:
            return None
        node, member = found
        column = node.columns.get(name)
        return node.state.get(name) if column is None else column[member]

    def node_of(self, value: Any) -> Node | None:
        """The node of a single object that a value refers to."""
        found = self._found(value)
        return found[0] if found is not None and found[0].count == 1 else None

    def type_of(self, value: Any) -> str:
        """The type of an object that a value refers to; empty where there is none."""
        found = self._found(value)
        return "" if found is None else found[0].type

    def length(self, value: Any) -> int:
        """How many rows an array has that a value refers to; -1 where that is not known."""
        found = self._found(value)
        if found is None:
            return -1
        node, member = found
        if node.lengths:
            return node.lengths[member]
        if node.array is not None:
            shape: tuple[int, ...] = self._graph.arrays[node.array].shape
            return shape[0] if shape else -1
        return len(node.items) or -1

    def shape(self, value: Any) -> tuple[int, ...]:
        """That of an array of its own that a value refers to; () where there is none."""
        node = self.node_of(value)
        if node is None or node.type != "numpy.ndarray" or node.array is None or node.lengths:
            return ()
        shape: tuple[int, ...] = self._graph.arrays[node.array].shape
        return shape

    def least(self, value: Any) -> float:
        """The least number of an array of floats that a value refers to, and of those that are kept as one with it; NaN
        where there is none. Looked for once, however many objects name the array."""
        found = self._found(value)
        if found is None or found[0].type != "numpy.ndarray" or found[0].array is None or "dtype" in found[0].state:
            return math.nan
        place = found[0].array
        if place not in self._least:
            array = np.asarray(self._graph.arrays[place])  # of a pickle it may be arrays end to end
            self._least[place] = float(array.min()) if array.dtype.kind == "f" and array.size else math.nan
        return self._least[place]

    def refuse(self, what: str) -> NoReturn:
        """Raise `VersionError`."""
        from keepfit.codecs.decoding import path_of

        written, running = self._graph.versions.get("scikit-learn", ""), running_version("scikit-learn")
        name = self.node.type.rpartition(".")[2]
        raise VersionError(
            f"this {name} was written under scikit-learn {written} {what}, and {running} computes something else from "
            f"it. Load it under {written}, or fit it again",
            path=path_of(self._graph, self._firsts[self._place]),
        )


def _dropping(*names: str) -> _Step:
    return lambda fields: fields.drop(*names)


def _adding(**values: Any) -> _Step:
    """Parameters that are new, with the value by which all is as before."""

    def add(fields: _Fields) -> None:
        for name, value in values.items():
            fields.put(name, value)

    return add


def _unweighted(fields: _Fields) -> None:
    """Fitted ensembles that drew rows without regard to weights: now they keep these to say which rows they drew."""
    if "estimators_" in fields:
        fields.put("_sample_weight", None)


# 1.6 to 1.7


def _store_cv_results(fields: _Fields) -> None:
    """RidgeCV and RidgeClassifierCV: ``store_cv_values`` was the old name, and None stood for False."""
    pairs = zip(fields.each("store_cv_results"), fields.each("store_cv_values"), strict=True)
    fields.put("store_cv_results", [bool(old if type(old) is bool else new) for new, old in pairs])
    fields.drop("store_cv_values", "_store_cv_results")


def _max_iter(fields: _Fields) -> None:
    """TSNE: ``n_iter`` was the old name, and None stood for the default."""
    pairs = zip(fields.each("max_iter"), fields.each("n_iter"), strict=True)
    fields.put("max_iter", [new if new is not None else old if type(old) is int else 1000 for new, old in pairs])
    fields.drop("n_iter", "_max_iter")


def _estimator_of_a_chain(fields: _Fields) -> None:
    fields.put("estimator", fields.each("base_estimator"))
    fields.put("base_estimator", "deprecated")


def _averaging(fields: _Fields) -> None:
    """Stochastic descent averages from the step that ``average`` numbers, and never with 0, which is False today."""
    fields.put("average", [False if type(one) is int and one == 0 else one for one in fields.each("average")])


def _remainder_columns(fields: _Fields) -> None:
    """A list that warned of what it would become: it is that now."""
    for data in fields.each("data"):
        columns = fields.node_of(data)
        if columns is None or columns.type != "list" or fields.node.count != 1 or data.index in fields.taken:
            fields.refuse("with a list of columns that other parts of the file share")
        fields.taken.add(data.index)
        fields.node = Node("list", items=columns.items)


def _threshold_of_tasks(fields: _Fields) -> None:
    """SelectFromModel without a threshold took elastic nets of several tasks for what those of one task are, which keep
    all that is not 0 where there is no penalty but that of the lasso. Now these mean the mean."""
    thresholds = list(fields.each("threshold"))
    for place, (one, model) in enumerate(zip(thresholds, _selecting(fields), strict=True)):
        if one is not None or fields.type_of(model) not in _NETS_OF_TASKS:
            continue
        ratio = fields.part(model, "l1_ratio")
        if type(ratio) not in (int, float):
            fields.refuse("without a threshold= and with more than one l1_ratio=")
        if abs(ratio - 1.0) <= 1e-5 + 1e-8:  # as np.isclose
            thresholds[place] = 1e-5
    fields.put("threshold", thresholds)


def _selecting(fields: _Fields) -> list[Any]:
    """The models by which instances of SelectFromModel select."""
    return fields.each("estimator_" if "estimator_" in fields else "estimator")


# 1.7 to 1.8


def _multi_class(fields: _Fields) -> None:
    """LogisticRegression computes probabilities by softmax where there are more than two classes, and does not
    otherwise."""
    rows = zip(fields.each("multi_class"), fields.each("solver"), fields.each("classes_"), strict=True)
    for multi_class, solver, classes in rows:
        if "classes_" not in fields:
            if multi_class in ("ovr", "multinomial"):
                fields.refuse(f"with multi_class={multi_class!r}")
            continue
        count = fields.length(classes)
        one_against_rest = multi_class == "ovr" or (
            multi_class != "multinomial" and (count <= 2 or solver == "liblinear")
        )
        if count < 0 or one_against_rest != (count <= 2):
            fields.refuse(f"with multi_class={multi_class!r} and solver={solver!r} for {count} classes")
    fields.drop("multi_class")


def _logistic(fields: _Fields) -> None:
    """``l1_ratio=None`` stood for what ``penalty`` says; selection of features reckons with it as a number today."""
    _multi_class(fields)
    pairs = zip(fields.each("l1_ratio"), fields.each("penalty"), strict=True)
    ratios = {"l1": 1.0, "elasticnet": None}
    fields.put(
        "l1_ratio",
        [ratios.get(penalty, 0.0) if ratio is None and type(penalty) is not Ref else ratio for ratio, penalty in pairs],
    )


def _multi_class_of_a_search(fields: _Fields) -> None:
    _multi_class(fields)
    fields.put("use_legacy_attributes", "warn")


def _stochastic_descent(fields: _Fields) -> None:
    """``C`` was an attribute that nothing looked at, and a rate of 0 that of schedules that have no use for one."""
    fields.put("eta0", [0.01 if rate == 0 and type(rate) is not Ref else rate for rate in fields.each("eta0")])
    fields.drop("C")


def _threshold(fields: _Fields) -> None:
    """SelectFromModel asks a logistic regression for the ratio of its penalties where no threshold is given, and asked
    for ``penalty="l1"`` alone: all others meant the mean."""
    thresholds = list(fields.each("threshold"))
    for place, (one, model) in enumerate(zip(thresholds, _selecting(fields), strict=True)):
        if one is None and fields.type_of(model) in _LOGISTIC and fields.part(model, "penalty") != "l1":
            thresholds[place] = "mean"
    fields.put("threshold", thresholds)


def _coding(fields: _Fields) -> None:
    """Coordinate descent, which `transform` runs, goes on until it is ten thousand times closer (``tol=1e-8``)."""
    if "lasso_cd" in fields.each("transform_algorithm"):
        fields.refuse("with transform_algorithm='lasso_cd'")


def _coding_by_dictionary(fields: _Fields) -> None:
    """SparseCoder needed no `fit`, which sets today what was read from the dictionary."""
    _coding(fields)
    shapes = [fields.shape(one) for one in fields.each("dictionary")]
    if all(len(shape) == 2 for shape in shapes):
        fields.put("n_components_", [shape[0] for shape in shapes])
        fields.put("n_features_in_", [shape[1] for shape in shapes])


def _classes_of_ridge(fields: _Fields) -> None:
    if "_label_binarizer" in fields:
        fields.put("classes_", [fields.part(one, "classes_") for one in fields.each("_label_binarizer")])


def _start_of_boosting(fields: _Fields) -> None:
    """Gradient boosting starts from probabilities, which are kept from 0 by the precision of a float of 64 bits; it was
    one of 32. The shares of classes, from which it starts by default, are above either where weights are not tiny."""
    for init in fields.each("init_") if "init_" in fields else ():
        if type(init) is not Ref:
            continue
        strategy = fields.part(init, "strategy") if fields.type_of(init) == "sklearn.dummy.DummyClassifier" else ""
        if strategy not in ("prior", "uniform"):
            fields.refuse("with an init= of its own")
        if not fields.least(fields.part(init, "class_prior_")) >= 2.0**-23:
            fields.refuse("with classes of next to no weight")


def _filling(fields: _Fields) -> None:
    """SimpleImputer turns what it fills in with to the dtype that it was fitted to; it was of 64 bits where that is
    computed. With ``"constant"`` it left no column out, whatever was said."""
    strategies = fields.each("strategy")
    if "_fit_dtype" in fields:
        exact = ("most_frequent", "constant")  # of the dtype that is fitted to, as what is asked about is turned to it
        pairs = zip(strategies, fields.each("_fit_dtype"), strict=True)
        fields.put("_fill_dtype", [dtype if how in exact else "<f8" for how, dtype in pairs])
    pairs = zip(strategies, fields.each("keep_empty_features"), strict=True)
    fields.put("keep_empty_features", [True if how == "constant" else kept for how, kept in pairs])


def _base_estimator(fields: _Fields) -> None:
    """``base_estimator`` was the old name of ``estimator``."""
    pairs = zip(fields.each("estimator"), fields.each("base_estimator"), strict=True)
    fields.put("estimator", [new if old == "deprecated" else old for new, old in pairs])
    fields.drop("base_estimator")


def _metric_of_scaling(fields: _Fields) -> None:
    """MDS: ``metric`` said whether scaling is metric, and is what ``dissimilarity`` was."""
    fields.put("metric_mds", fields.each("metric"))
    fields.put("metric", fields.each("dissimilarity"))
    _adding(dissimilarity="deprecated", metric_params=None, init="random")(fields)


# 1.8 to 1.9


def _alphas(fields: _Fields) -> None:
    """LassoCV and its kin: a number for ``alphas`` is how many are tried, as ``n_alphas`` was."""
    pairs = zip(fields.each("alphas"), fields.each("n_alphas"), strict=True)
    fields.put(
        "alphas", [alphas if type(alphas) is Ref else count if type(count) is int else 100 for alphas, count in pairs]
    )
    fields.drop("n_alphas", "_alphas")


def _effective_probability(fields: _Fields) -> None:
    if "support_" in fields:
        fields.put("_effective_probability", fields.each("probability"))


def _criterion(fields: _Fields) -> None:
    """``"friedman_mse"`` was another name of ``"squared_error"``, says the warning of 1.9."""
    fields.put("criterion", ["squared_error" if one == "friedman_mse" else one for one in fields.each("criterion")])


def _regression_forest(fields: _Fields) -> None:
    _unweighted(fields)
    _criterion(fields)


def _quantile_method(fields: _Fields) -> None:
    """KBinsDiscretizer: ``"warn"`` stood for the default that was."""
    fields.put("quantile_method", ["linear" if one == "warn" else one for one in fields.each("quantile_method")])


def _of(package: str, names: str, step: _Step) -> dict[str, _Step]:
    return dict.fromkeys([f"sklearn.{package}.{name}" for name in names.split()], step)


_LOGISTIC = {"sklearn.linear_model.LogisticRegression", "sklearn.linear_model.LogisticRegressionCV"}
_NETS_OF_TASKS = {"sklearn.linear_model.MultiTaskElasticNet", "sklearn.linear_model.MultiTaskElasticNetCV"}
_COORDINATE_DESCENT = "ElasticNetCV LassoCV MultiTaskElasticNetCV MultiTaskLassoCV"
_LOSSES = (
    "AbsoluteError HalfGammaLoss HalfPoissonLoss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss "
    "PinballLoss HalfBinomialLoss ExponentialLoss"
)

#: By the release that a step leads to, and by class.
_STEPS: dict[tuple[int, int], Mapping[str, _Step]] = {
    (1, 7): {
        **_of("compose._column_transformer", "_RemainderColsList", _remainder_columns),
        **_of("feature_selection", "SelectFromModel", _threshold_of_tasks),
        **_of("linear_model", "LinearRegression", _adding(tol=1e-6)),
        **_of("linear_model", "RidgeCV RidgeClassifierCV", _store_cv_results),
        **_of("linear_model", "SGDClassifier SGDOneClassSVM SGDRegressor", _averaging),
        **_of("manifold", "TSNE", _max_iter),
        **_of("multioutput", "ClassifierChain RegressorChain", _estimator_of_a_chain),
        **_of("preprocessing", "KBinsDiscretizer", _adding(quantile_method="warn")),
    },
    (1, 8): {
        **_of("cluster", "Birch", _dropping("copy")),
        **_of("decomposition", "DictionaryLearning MiniBatchDictionaryLearning", _coding),
        **_of("decomposition", "SparseCoder", _coding_by_dictionary),
        **_of(
            "discriminant_analysis",
            "QuadraticDiscriminantAnalysis",
            _adding(solver="svd", shrinkage=None, covariance_estimator=None),
        ),
        **_of("ensemble", "AdaBoostClassifier", _dropping("algorithm")),
        **_of("ensemble", "BaggingClassifier BaggingRegressor IsolationForest", _unweighted),
        **_of("ensemble", "GradientBoostingClassifier", _start_of_boosting),
        **_of("feature_selection", "SelectFromModel", _threshold),
        **_of("impute", "SimpleImputer", _filling),
        **_of("linear_model", "LogisticRegression", _logistic),
        **_of("linear_model", "LogisticRegressionCV", _multi_class_of_a_search),
        **_of("linear_model", "Perceptron SGDClassifier SGDOneClassSVM SGDRegressor", _stochastic_descent),
        **_of("linear_model", "RidgeClassifier RidgeClassifierCV", _classes_of_ridge),
        **_of("linear_model", "TheilSenRegressor", _dropping("copy_X")),
        **_of("manifold", "MDS", _metric_of_scaling),
        **_of("metrics._scorer", "_BaseScorer _CurveScorer _Scorer", _dropping("_deprecation_msg")),
        **_of("metrics._scorer", "_PassthroughScorer", _dropping("_metadata_request")),
        **_of("preprocessing", "MaxAbsScaler", _adding(clip=False)),
        **_of("preprocessing", "SplineTransformer", _adding(handle_missing="error")),
        **_of("semi_supervised", "SelfTrainingClassifier", _base_estimator),
    },
    (1, 9): {
        **_of("_loss.loss", _LOSSES, _adding(xp=None, device=None)),
        **_of(
            "_loss.loss",
            "HalfMultinomialLoss",
            _adding(xp=None, device=None, class_indexing_offsets=None, y_true_int=None, y_true_one_hot=None),
        ),
        **_of("compose", "ColumnTransformer", _dropping("force_int_remainder_cols")),
        **_of("ensemble", "ExtraTreesClassifier RandomForestClassifier RandomTreesEmbedding", _unweighted),
        **_of("ensemble", "ExtraTreesRegressor RandomForestRegressor", _regression_forest),
        **_of("linear_model", _COORDINATE_DESCENT, _alphas),
        **_of("manifold", "MDS", _dropping("_n_init")),
        **_of("multioutput", "ClassifierChain RegressorChain", _base_estimator),
        **_of("preprocessing", "KBinsDiscretizer", _quantile_method),
        **_of("tree", "DecisionTreeRegressor ExtraTreeRegressor", _criterion),
        **_of("svm", "NuSVC NuSVR OneClassSVM SVC SVR", _effective_probability),
    },
}


def _lacking(package: str, names: str, *attributes: str) -> dict[str, frozenset[str]]:
    return dict.fromkeys([f"sklearn.{package}.{name}" for name in names.split()], frozenset(attributes))


#: Attributes of newer releases that `fit` alone looks at, or nothing but their reader: an older fit may lack them.
MAY_LACK: Mapping[str, Iterable[str]] = {
    **_lacking("ensemble", "HistGradientBoostingClassifier", "_label_encoder"),
    **_lacking("linear_model", _COORDINATE_DESCENT, "_alphas"),
    **_lacking("manifold", "MDS", "_init", "_metric", "_metric_mds", "_n_init"),
    **_lacking("mixture", "BayesianGaussianMixture GaussianMixture", "lower_bounds_"),
    **_lacking("model_selection", "GridSearchCV RandomizedSearchCV", "_checked_cv_orig"),
}

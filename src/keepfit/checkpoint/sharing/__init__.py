"""Work that candidates of a search share: the closed table of cases, and how a group of tasks is evaluated by one fit.

`CASES` is the table. A class of scikit-learn is in it if the fitted state of one candidate can be cut out of another's
so that every prediction is equal to the bit; the guards are in the cases.
"""

from __future__ import annotations

from keepfit.checkpoint.sharing.bayes_seam import DiscreteNaiveBayes, GaussianNaiveBayes
from keepfit.checkpoint.sharing.boosting_seam import GradientBoosting, HistGradientBoosting
from keepfit.checkpoint.sharing.case import Case
from keepfit.checkpoint.sharing.checking import Trust
from keepfit.checkpoint.sharing.compose import ColumnTransformer, FeatureUnion
from keepfit.checkpoint.sharing.forests_seam import AdaBoost, Bagging, Forest, IsolationForest
from keepfit.checkpoint.sharing.group import Arrival, Group, Level, Member, unfitted
from keepfit.checkpoint.sharing.iterations_seam import LightGBM, XGBoost
from keepfit.checkpoint.sharing.linear_seam import QuadraticDiscriminant, Ridge
from keepfit.checkpoint.sharing.neighbours_seam import Neighbours
from keepfit.checkpoint.sharing.transformers_seam import PCA, SelectKBest, SelectPercentile
from keepfit.checkpoint.sharing.trees_seam import Tree

__all__ = ["CASES", "Arrival", "Case", "Group", "Level", "Member", "Trust", "unfitted"]

#: What is shared, by the class of the step: exactly that class, since one derived from it may do anything.
CASES: dict[str, Case] = {
    "sklearn.ensemble._forest.RandomForestClassifier": Forest(),
    "sklearn.ensemble._forest.RandomForestRegressor": Forest(),
    "sklearn.ensemble._forest.ExtraTreesClassifier": Forest(),
    "sklearn.ensemble._forest.ExtraTreesRegressor": Forest(),
    "sklearn.ensemble._bagging.BaggingClassifier": Bagging(),
    "sklearn.ensemble._bagging.BaggingRegressor": Bagging(),
    "sklearn.ensemble._iforest.IsolationForest": IsolationForest(),
    "sklearn.ensemble._weight_boosting.AdaBoostClassifier": AdaBoost(),
    "sklearn.ensemble._weight_boosting.AdaBoostRegressor": AdaBoost(),
    "sklearn.ensemble._gb.GradientBoostingClassifier": GradientBoosting(),
    "sklearn.ensemble._gb.GradientBoostingRegressor": GradientBoosting(),
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier": HistGradientBoosting(),
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor": HistGradientBoosting(),
    "sklearn.neighbors._classification.KNeighborsClassifier": Neighbours(),
    "sklearn.neighbors._regression.KNeighborsRegressor": Neighbours(),
    "sklearn.tree._classes.DecisionTreeClassifier": Tree(),
    "sklearn.tree._classes.DecisionTreeRegressor": Tree(),
    "sklearn.tree._classes.ExtraTreeClassifier": Tree(),
    "sklearn.tree._classes.ExtraTreeRegressor": Tree(),
    "sklearn.naive_bayes.GaussianNB": GaussianNaiveBayes(),
    "sklearn.naive_bayes.MultinomialNB": DiscreteNaiveBayes(),
    "sklearn.naive_bayes.BernoulliNB": DiscreteNaiveBayes(),
    "sklearn.naive_bayes.ComplementNB": DiscreteNaiveBayes(),
    "sklearn.naive_bayes.CategoricalNB": DiscreteNaiveBayes(),
    "sklearn.linear_model._ridge.Ridge": Ridge(),
    "sklearn.linear_model._ridge.RidgeClassifier": Ridge(),
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis": QuadraticDiscriminant(),
    "sklearn.decomposition._pca.PCA": PCA(),
    "sklearn.feature_selection._univariate_selection.SelectKBest": SelectKBest(),
    "sklearn.feature_selection._univariate_selection.SelectPercentile": SelectPercentile(),
    "sklearn.compose._column_transformer.ColumnTransformer": ColumnTransformer(),
    "sklearn.pipeline.FeatureUnion": FeatureUnion(),
    "xgboost.sklearn.XGBClassifier": XGBoost(),
    "xgboost.sklearn.XGBRegressor": XGBoost(),
    "lightgbm.sklearn.LGBMClassifier": LightGBM(),
    "lightgbm.sklearn.LGBMRegressor": LightGBM(),
}

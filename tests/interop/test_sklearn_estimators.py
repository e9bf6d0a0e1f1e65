"""Our estimators by scikit-learn's own checks, and in its pipelines, searches and scores."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import tinygrad_mnist as tg
from tinygrad_mnist import nn

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

QUICK = {"hidden": (16,), "lr": 0.02, "epochs": 20}
X, Y = load_iris(return_X_y=True)


def linear(features, outputs, rng):
    return nn.Linear(features, outputs, rng=rng)


def failed(estimator):
    """The checks of scikit-learn that are not passed, with what they say."""
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 45
    return [(r["check_name"], r["exception"]) for r in results if r["status"] not in ("passed", "skipped")]


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_the_checks_of_scikit_learn(kind):
    assert failed(getattr(tg.sklearn, kind)(**QUICK)) == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    "estimator",
    [
        tg.sklearn.Classifier(),
        tg.sklearn.Regressor(),
        tg.sklearn.Classifier(**QUICK, patience=5),
        tg.sklearn.Classifier(**QUICK, model=linear),
        tg.sklearn.Regressor(**QUICK, optimizer="adamw", weight_decay=0.01),
    ],
    ids=["classifier", "regressor", "patience", "model", "adamw"],  # a function's name has its address
)
def test_the_checks_with_other_settings(estimator):
    assert failed(estimator) == []


def test_pipelines_searches_and_scores():
    pipeline = make_pipeline(StandardScaler(), tg.sklearn.Classifier(**QUICK, random_state=0))
    assert cross_val_score(pipeline, X, Y, cv=3).mean() > 0.9
    search = GridSearchCV(pipeline, {"classifier__hidden": [(), (8,)], "classifier__lr": [1e-5, 0.05]}, cv=2)
    search.fit(X, Y)
    assert search.best_params_["classifier__lr"] == 0.05
    assert search.best_score_ > 0.9


def test_labels_may_be_text():
    names = np.array(["setosa", "versicolor", "virginica"])
    model = make_pipeline(StandardScaler(), tg.sklearn.Classifier(**QUICK, random_state=0)).fit(X, names[Y])
    assert (model.predict(X) == names[Y]).mean() > 0.9
    assert model.predict_proba(X).sum(1) == pytest.approx(1)


def test_a_fitted_estimator_is_pickled_and_cloned():
    model = tg.sklearn.Classifier(**QUICK, random_state=0).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert not hasattr(clone(model), "model_")
    np.testing.assert_array_equal(clone(model).fit(X, Y).predict_proba(X), model.predict_proba(X))


def test_a_model_of_ones_own_is_copied():
    own = nn.Sequential(nn.Linear(4, 5, rng=0), nn.Tanh(), nn.Linear(5, 3, rng=0))
    before = own.state_dict()
    model = tg.sklearn.Classifier(model=own, lr=0.02, epochs=5, random_state=0).fit(X, Y)
    assert model.model_[0].weight.shape == (5, 4)
    for name, value in own.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_several_outputs_and_one():
    targets = np.column_stack([X[:, 0], X[:, 1] - X[:, 2]])
    model = tg.sklearn.Regressor(**QUICK, random_state=0)
    assert model.fit(X, targets).predict(X).shape == (150, 2)
    assert model.score(X, targets) > 0.5
    assert model.fit(X, targets[:, 0]).predict(X).shape == (150,)


def test_it_stops_early_with_the_best_weights():
    model = tg.sklearn.Classifier(**{**QUICK, "lr": 0.2}, patience=2, validation_fraction=0.3, random_state=1)
    model.fit(X, Y)
    assert model.n_iter_ == len(model.history_) <= 20
    assert "validation_loss" in model.history_[-1]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"optimizer": "adma"}, "did you mean 'adam'"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"activation": 3}, "unknown activation 3"),
        ({"optimizer": ["adam"]}, r"unknown optimizer \['adam'\]"),
        ({"compile": "fast"}, "unknown compile 'fast'"),
        ({"hidden": 3}, "hidden=3: pass a sequence"),
        ({"hidden": "8"}, "hidden='8': pass a sequence"),
        ({"hidden": (8, 0)}, r"hidden=\(8, 0\): pass a sequence"),
        ({"hidden": (n for n in [8])}, "hidden=<generator.*: pass a sequence"),
        ({"epochs": 0}, "Classifier: epochs=0: pass an integer, 1 or more"),
        ({"epochs": 1.5}, "epochs=1.5: pass an integer"),
        ({"epochs": True}, "epochs=True: pass an integer"),
        ({"batch_size": "64"}, "batch_size='64': pass an integer"),
        ({"patience": 0}, "patience=0: pass None, or an integer"),
        ({"validation_fraction": 1}, "validation_fraction=1: pass a number between 0 and 1"),
        ({"lr": -1}, "lr=-1: pass a number, 0 or more"),
        ({"lr": None}, "lr=None: pass a number"),
        ({"lr": np.nan}, "lr=nan: pass a number"),
        ({"weight_decay": "0.1"}, "weight_decay='0.1': pass a number"),
        ({"dropout": 1}, r"dropout=1: pass a number in \[0, 1\)"),
        ({"loss": 3}, "loss=3: pass a name, or a function"),
        ({"loss": "mes"}, "did you mean 'mse'"),
        ({"verbose": "no"}, "verbose='no': pass True or False"),
        ({"random_state": "x"}, "random_state: 'x' cannot be used to seed"),
        ({"model": 3}, "model=3: pass a Module, or a function"),
        ({"model": lambda features: None}, r"model: got \(int, int, Generator\), but takes \(features\)"),
        ({"model": lambda features, outputs, rng: None}, "made a NoneType"),
        ({"model": nn.Linear(4, 5)}, r"outputs are of shape \(1, 5\) for one example; this needs \(1, 3\)"),
        ({"patience": 3, "validation_fraction": 0.001}, "validation_fraction=0.001 of 150"),
    ],
)
def test_settings_that_are_wrong(settings, expected):
    with pytest.raises(tg.errors.OptionError, match=expected):
        tg.sklearn.Classifier(**settings).fit(X, Y)


def test_one_class_is_none():
    with pytest.raises(ValueError, match="found one class, 0"):
        tg.sklearn.Classifier().fit(X, np.zeros(150, int))


def test_numbers_that_float32_cannot_hold():
    for model, x, y in (
        (tg.sklearn.Classifier(), X * 1e50, Y),
        (tg.sklearn.Regressor(), X * 1e50, Y),
        (tg.sklearn.Regressor(), X, Y * 1e50),
    ):
        with pytest.raises(ValueError, match="too large for float32"):
            model.fit(x, y)

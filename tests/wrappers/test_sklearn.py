"""Models in scikit-learn: its own checks, and the tools that people use them with."""

import pickle
import sys

import numpy as np
import pytest
import sklearn.datasets
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import carnyx as keras
from carnyx.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer


class Make:
    """A small network of the sizes of its data, the same at every call."""

    def __call__(self, X, y, loss, activation="linear", layers=(10,), rate=0.1):
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(units, activation="relu") for units in layers]
        out = keras.layers.Dense(y.shape[1], activation=activation)
        model = keras.Sequential([keras.Input(X.shape[1:]), *hidden, out])
        model.compile(keras.optimizers.Adam(rate), loss)
        return model

    def __repr__(self):
        return "make"  # a function's has its address, and so the names of tests


make = Make()


def classifier(**fit):
    arguments = {"loss": "categorical_crossentropy", "activation": "softmax"}
    return SKLearnClassifier(make, model_kwargs=arguments, fit_kwargs=fit)


def regressor(**fit):
    return SKLearnRegressor(make, model_kwargs={"loss": "mse"}, fit_kwargs=fit)


def transformer(**fit):
    return SKLearnTransformer(make, model_kwargs={"loss": "mse"}, fit_kwargs=fit)


AS_KERAS = "decision_function gives a column for each class, also of two"
EXPECTED = {
    "SKLearnClassifier": {
        "check_classifiers_train": AS_KERAS,
        "check_classifiers_classes": AS_KERAS,
    },
    "SKLearnRegressor": {},
    "SKLearnTransformer": {},
}


@parametrize_with_checks(
    [classifier(epochs=15, verbose=0), regressor(verbose=0), transformer(verbose=0)],
    expected_failed_checks=lambda estimator: EXPECTED[type(estimator).__name__],
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return sklearn.datasets.load_iris(return_X_y=True)


def test_cross_validation_in_a_pipeline(iris):
    pipe = make_pipeline(StandardScaler(), classifier(epochs=30, verbose=0))
    assert cross_val_score(pipe, *iris, cv=3).mean() > 0.85


def test_grid_search_over_arguments_of_the_model_and_of_fit(iris):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), classifier(verbose=0)),
        {
            "sklearnclassifier__fit_kwargs": [
                {"epochs": n, "verbose": 0} for n in (1, 40)
            ]
        },
        cv=2,
    ).fit(*iris)
    assert search.best_params_["sklearnclassifier__fit_kwargs"]["epochs"] == 40


def test_labels_come_back_as_they_were(iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    fitted = classifier(epochs=2, verbose=0).fit(X, names)
    assert fitted.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert fitted.decision_function(X).shape == (150, 3)
    chosen = fitted.classes_[fitted.decision_function(X).argmax(-1)]
    assert (fitted.predict(X) == chosen).all()


def test_several_targets_at_once():
    X, y = sklearn.datasets.make_regression(60, 4, n_targets=2, random_state=0)
    fitted = regressor(epochs=2, verbose=0).fit(X, y)
    assert fitted.predict(X).shape == (60, 2)
    assert regressor(verbose=0).fit(X, y[:, 0]).predict(X).shape == (60,)


def compiled():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_a_model_is_copied_unless_the_start_is_warm():
    X, y = np.ones((8, 4), "float32"), np.ones(8, "float32")
    model = compiled()
    before = model.get_weights()
    cold = SKLearnRegressor(model, fit_kwargs={"verbose": 0}).fit(X, y)
    assert cold.model_ is not model
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
    warm = SKLearnRegressor(model, warm_start=True).fit(X, y, verbose=0)
    first = warm.model_
    assert first is model and (before[0] != model.get_weights()[0]).any()
    assert warm.fit(X, y, verbose=0).model_ is first
    again = SKLearnRegressor(make, True, {"loss": "mse"}).fit(X, y, verbose=0)
    assert again.fit(X, y, verbose=0).model_ is again.model_


def test_arguments_of_fit_win_and_stay_as_given():
    given = {"epochs": 1, "verbose": 0}
    fitted = regressor(**given)
    fitted.fit_kwargs = given
    fitted.fit(np.ones((8, 4)), np.ones(8), epochs=3)
    assert len(fitted.history_["loss"]) == 3 and given == {"epochs": 1, "verbose": 0}


def test_clones_and_pickles_predict_the_same():
    X, y = np.ones((8, 4), "float32"), np.ones(8, "float32")
    whole = SKLearnRegressor(compiled(), fit_kwargs={"verbose": 0, "epochs": 2})
    copy = clone(whole)
    assert copy.fit_kwargs == whole.fit_kwargs and copy.model is not whole.model
    whole.fit(X, y)
    again = pickle.loads(pickle.dumps(whole))
    np.testing.assert_array_equal(again.predict(X), whole.predict(X))


def test_a_step_that_embeds():
    X, y = sklearn.datasets.make_classification(60, 6, random_state=0)
    pipe = make_pipeline(transformer(verbose=0), classifier(epochs=2, verbose=0))
    assert pipe.fit(X, y).predict(X).shape == (60,)


def test_metadata_is_routed_to_fit():
    with sklearn.config_context(enable_metadata_routing=True):
        step = regressor(verbose=0).set_fit_request(sample_weight=True)
        asked = step.get_metadata_routing().fit.requests
        assert asked == {"sample_weight": True}


@pytest.mark.parametrize("estimator, y, words", [
    (SKLearnClassifier(3), [0, 1], "expected a compiled model, or a function"),
    (classifier(), [1, 1], "one class"),
    (classifier(), [[1, 0], [1, 1]], "1d array"),
    (SKLearnClassifier(compiled(), fit_kwargs={"verbose": 0}), [0, 1], "1"),
    (SKLearnRegressor(keras.Sequential([keras.layers.Dense(1)])), [0, 1], "compile"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(estimator, y, words):
    with pytest.raises(ValueError, match=words):
        estimator.fit(np.ones((2, 4)), np.array(y))


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "carnyx.wrappers.estimators")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError, match=r"carnyx\[sklearn\]"):
        keras.wrappers.SKLearnRegressor  # noqa: B018
    with pytest.raises(AttributeError, match="SKLearnClassifier"):
        keras.wrappers.SKLearnClasifier  # noqa: B018

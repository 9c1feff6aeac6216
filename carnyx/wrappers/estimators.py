"""Models as estimators of scikit-learn: in its pipelines, searches, cross validation.

The protocol is scikit-learn's: what the constructor is given is kept as it is, and
checked by `fit`; what `fit` finds out ends in an underscore.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from carnyx.errors import ArgumentError, ArgumentTypeError, ShapeError
from carnyx.models import Model, clone_model
from carnyx.typing import ArrayLike

ModelOrMaker = Model | Callable[..., Model]


class _Estimator(BaseEstimator):
    """What the three wrappers share: making the model, fitting and asking it."""

    def __init__(
        self,
        model: ModelOrMaker,
        warm_start: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        fit_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def fit(self, X: ArrayLike, y: ArrayLike, **kwargs: Any) -> Any:
        """Train the model, and return the estimator.

        Shapes: X (n, features), y (n,) or (n, outputs)

        Args:
            kwargs: for the model's `fit`; they win over `fit_kwargs`.
        """
        several = self.__sklearn_tags__().target_tags.multi_output
        X, y = validate_data(self, X, y, multi_output=several)
        targets = self._encoded(y)
        model = self._model(X, targets)
        options = {**(self.fit_kwargs or {}), **kwargs}
        self.history_ = model.fit(X, targets, **options).history
        self.model_ = model
        return self

    def _model(self, X: np.ndarray, y: np.ndarray) -> Model:
        """The model to train: that of the last `fit` where this is a warm start."""
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if isinstance(self.model, Model):
            return self.model if self.warm_start else clone_model(self.model)
        if not callable(self.model):
            raise ArgumentTypeError(
                f"{type(self).__name__} got model={self.model!r}; expected a compiled "
                "model, or a function of X and y that makes one."
            )
        return self.model(X=X, y=y, **(self.model_kwargs or {}))

    def _encoded(self, y: np.ndarray) -> np.ndarray:
        """Targets as the model gets them: in columns."""
        self._is_column = y.ndim == 1
        self._dtype = y.dtype if y.dtype.kind == "f" else None
        return y[:, None] if self._is_column else y

    def _outputs(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return np.asarray(self.model_.predict(X, verbose=self._verbosity()))

    def _verbosity(self) -> Any:
        return (self.fit_kwargs or {}).get("verbose", "auto")

    def predict(self, X: ArrayLike) -> np.ndarray:
        """What the model says of each row, in the form of the targets.

        Shapes: (n, features) -> (n,) or (n, outputs)
        """
        y = self._outputs(X).astype(self._dtype or "float32", copy=False)
        return y[:, 0] if self._is_column and y.ndim == 2 and y.shape[1] == 1 else y

    def set_fit_request(self, **kwargs: bool | str | None) -> Any:
        """Ask for metadata in `fit` (scikit-learn's metadata routing), such as
        `sample_weight=True`."""
        requests = self._get_metadata_request()
        for name, alias in kwargs.items():
            requests.fit.add_request(param=name, alias=alias)
        self._metadata_request = requests
        return self

    def __sklearn_clone__(self) -> Any:
        given = self.get_params(deep=False)
        if isinstance(self.model, Model):
            given["model"] = copy.deepcopy(self.model)
        return type(self)(**given)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags


class SKLearnClassifier(ClassifierMixin, _Estimator):
    """A model as a classifier: one output for each class, targets as one-hot rows.

    Args:
        model: a compiled model, of which each `fit` trains a new copy with new weights
            (`clone_model`), or a function of X and y, as keywords, that returns one.
        warm_start: go on with the model of the last `fit`; the one given is then
            trained itself.
        model_kwargs: more arguments of that function.
        fit_kwargs: arguments of the model's `fit`, such as `epochs`.

    Attributes:
        model_: the trained model.
        history_: its losses and metrics by epoch.
        classes_: what the targets may be, in the order of the outputs.

    Raises (from `fit`):
        ValueError: where there is one class only, or several labels for each row.

    >>> import numpy as np, carnyx as keras
    >>> def make(X, y):
    ...     model = keras.Sequential([
    ...         keras.layers.Dense(y.shape[1], activation="softmax")])
    ...     model.compile("adam", "categorical_crossentropy")
    ...     return model
    >>> classifier = SKLearnClassifier(make, fit_kwargs={"verbose": 0})
    >>> X, y = np.eye(4, dtype="float32"), np.array(["cat", "dog", "cat", "cow"])
    >>> classifier.fit(X, y).classes_.tolist(), classifier.predict(X).shape
    (['cat', 'cow', 'dog'], (4,))
    """

    def _encoded(self, y: np.ndarray) -> np.ndarray:
        check_classification_targets(y)
        self.classes_, places = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ArgumentError(
                f"The classifier got one class, {self.classes_[0]!r}; it can't train "
                "when only one class is present."
            )
        return np.eye(len(self.classes_), dtype="float32")[places]

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """The model's outputs: probabilities or logits, as its last layer has it.

        Shapes: (n, features) -> (n, classes)
        """
        return self._outputs(X)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The class with the greatest output for each row.

        Shapes: (n, features) -> (n,)
        """
        outputs = self._outputs(X)
        if outputs.shape[1:] != (len(self.classes_),):
            raise ShapeError(
                f"The model gives {outputs.shape}; a classifier of "
                f"{len(self.classes_)} classes needs one output for each."
            )
        return self.classes_[np.argmax(outputs, -1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class SKLearnRegressor(RegressorMixin, _Estimator):
    """A model as a regressor, of one or several numbers.

    Arguments as of `SKLearnClassifier`.

    >>> import numpy as np, carnyx as keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> regressor = SKLearnRegressor(model, fit_kwargs={"verbose": 0})
    >>> X, y = np.ones((4, 2), "float32"), np.ones(4, "float32")
    >>> regressor.fit(X, y).predict(X).shape
    (4,)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags


class SKLearnTransformer(TransformerMixin, _Estimator):
    """A model as a step of a pipeline: what it gives is the next step's input.

    Arguments as of `SKLearnClassifier`.

    >>> import numpy as np, carnyx as keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model.compile("sgd", "mse")
    >>> step = SKLearnTransformer(model, fit_kwargs={"verbose": 0})
    >>> X, y = np.ones((4, 2), "float32"), np.ones((4, 3), "float32")
    >>> step.fit(X, y).transform(X).shape
    (4, 3)
    """

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The model's outputs.

        Shapes: (n, features) -> (n, outputs)
        """
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = []
        return tags

"""Kind: which output a loss, metric, target or weight is for.

Outputs of a dict have two names: their key, and that of the layer behind them. Losses,
metrics and targets were matched by the layers' names, which may well be other outputs'
keys, so they silently went to the wrong ones, and the logs were named after layers.
The key wins everywhere; a list has the layers' names. Expected values are Keras 3.15's.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

import carnyx as keras

X, ZEROS = np.ones((4, 3), "float32"), np.zeros((4, 1), "float32")


def constant(value: float, name: str) -> Any:
    bias: Any = keras.initializers.Constant(value)
    dense: Any = keras.layers.Dense
    return dense(1, kernel_initializer="zeros", bias_initializer=bias, name=name)


def model(form: Any, names: tuple[str, str] = ("p", "q")) -> Any:
    """Outputs that are 1 and 2, in a structure."""
    x = keras.Input((3,))
    first, second = constant(1.0, names[0])(x), constant(2.0, names[1])(x)
    return keras.Model(x, form(first, second))


def two(first: Any, second: Any) -> Any:
    return {"a": first, "b": second}


def pair(first: Any, second: Any) -> Any:
    return [first, second]


def evaluated(m: Any, y: Any, sample_weight: Any = None, **options: Any) -> Any:
    m.compile("sgd", **options)
    logs = m.evaluate(
        X, y, sample_weight=sample_weight, verbose=0, return_dict=True
    )  # fmt: skip
    return {name: pytest.approx(float(v), abs=1e-5) for name, v in logs.items()}


BOTH = {"a": ZEROS, "b": ZEROS}


@pytest.mark.parametrize("names", [("p", "q"), ("b", "a"), ("a", "b")], ids=str)
def test_keys_win_over_layers_names(names: tuple[str, str]) -> None:
    logs = evaluated(
        model(two, names),
        BOTH,
        {"a": np.ones(4), "b": np.full(4, 0.5)},
        loss={"a": "mse", "b": "mae"},
        loss_weights={"a": 10.0, "b": 1.0},
        metrics={"a": ["mae"]},
        weighted_metrics={"b": ["mse"]},
    )
    expected = {"loss": 11.0, "a_loss": 1.0, "b_loss": 1.0, "a_mae": 1.0, "b_mse": 4.0}
    assert logs == expected


def test_targets_go_to_their_key() -> None:
    y = {"a": ZEROS + 1, "b": ZEROS}
    logs = evaluated(model(two, ("b", "a")), y, loss="mae")
    assert logs == {"loss": 2.0, "a_loss": 0.0, "b_loss": 2.0}


def test_one_tensor_under_two_keys_has_two_losses() -> None:
    m = model(lambda first, _: {"a": first, "b": first})
    logs = evaluated(m, BOTH, loss={"a": "mse", "b": "mae"})
    assert logs == {"loss": 2.0, "a_loss": 1.0, "b_loss": 1.0}


def test_nested_outputs_have_their_path_as_name() -> None:
    m = model(lambda a, b: {"a": {"u": a}, "b": [b, a]})
    y = {"a": {"u": ZEROS}, "b": [ZEROS, ZEROS]}
    loss = {"a": {"u": "mse"}, "b": ["mae", "mse"]}
    logs = evaluated(m, y, loss=loss, metrics={"a": {"u": ["mae"]}})
    assert logs == {
        "loss": 4.0, "a/u_loss": 1.0, "b/q_loss": 2.0, "b/p_loss": 1.0, "a/u_mae": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("form", [two, pair])
@pytest.mark.parametrize("what", ["loss", "loss_weights", "metrics", "y"])
def test_an_unknown_key_is_named(form: Any, what: str) -> None:
    m = model(form, ("a", "b"))
    given: dict[str, Any] = {
        "loss": {"a": "mse", "b": "mse"},
        "loss_weights": {"a": 1.0, "b": 1.0},
        "metrics": {"a": ["mae"], "b": ["mae"]},
    }
    y: dict[str, Any] = dict(BOTH)
    extra = {"y": ZEROS, "loss_weights": 1.0}.get(what, "mse")
    (y if what == "y" else given[what])["c"] = extra
    with pytest.raises(ValueError, match=f"{what} has the key 'c'.*'a', 'b'"):
        evaluated(m, y, **given)


def test_an_unknown_key_of_a_loss_is_a_key_error_too() -> None:
    with pytest.raises(KeyError, match=r"loss has the key 'p', but the outputs are"):
        evaluated(model(two), BOTH, loss={"p": "mse"})


@pytest.mark.parametrize(
    ("form", "loss", "expected"),
    [
        (pair, ["mse", None], 1.0),
        (pair, [None, "mse"], 4.0),
        (two, {"b": "mse"}, 4.0),
        (two, {"a": "mse", "b": None}, 1.0),
    ],
)
def test_labels_are_for_outputs_with_a_loss(
    form: Any, loss: Any, expected: float
) -> None:
    m = model(form)
    assert evaluated(m, ZEROS, loss=loss) == {"loss": expected}
    assert m.fit(X, ZEROS, verbose=0).history["loss"][0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("loss", "metrics", "expected"),
    [
        ({"a": "mse", "b": "mae"}, None, [3, 1, 2]),
        ({"b": "mse", "a": "mae"}, None, [5, 4, 1]),
        ({"b": "mse", "a": "mae"}, {"b": ["mae"], "a": ["mse"]}, [5, 4, 1, 1, 2]),
    ],
    ids=["as outputs", "other way round", "metrics"],
)
def test_evaluate_lists_in_the_order_of_compile(
    loss: Any, metrics: Any, expected: list[float]
) -> None:
    m = model(two)
    m.compile("sgd", loss, metrics=metrics)
    assert m.evaluate(X, BOTH, verbose=0) == pytest.approx(expected)
    names = ["loss", *(["compile_metrics"] if metrics else [])]
    assert m.metrics_names == [*names, *(f"{key}_loss" for key in loss)]


def test_outputs_of_a_subclass_without_names_are_told_by_number() -> None:
    class Two(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = constant(1.0, "p"), constant(2.0, "q")

        def call(self, x: Any) -> Any:
            return [self.first(x), self.second(x)]

    logs = evaluated(Two(), [ZEROS, ZEROS], loss="mse", metrics=[["mae"], ["mae"]])
    assert logs == {
        "loss": 5.0, "mse_loss": 1.0, "mse_loss_1": 4.0, "mae": 1.0, "mae_1": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("units", "y", "name"),
    [
        (1, np.array([[0.0], [1.0]]), "binary_crossentropy"),
        (3, np.array([0, 2]), "sparse_categorical_crossentropy"),
        (3, np.eye(3)[[0, 2]], "categorical_crossentropy"),
    ],
)
@pytest.mark.parametrize("short", ["crossentropy", "ce"])
def test_crossentropy_finds_its_kind(units: int, y: Any, name: str, short: str) -> None:
    m = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
    m.layers[0].activation = getattr(
        keras.activations, "sigmoid" if units == 1 else "softmax"
    )
    x = np.array([[1.0, 2.0], [0.5, 0.0]])
    m.compile("sgd", short)
    found = m.evaluate(x, y, verbose=0)
    m.compile("sgd", name)
    assert found == pytest.approx(m.evaluate(x, y, verbose=0))


@pytest.mark.parametrize("weights", [None, [2.0, [0.5, 3.0]]], ids=str)
def test_several_losses_of_one_output_add_up(weights: Any) -> None:
    m = model(pair)
    loss = ["mse", ["mse", "mae"]]
    logs = evaluated(m, [ZEROS, ZEROS], loss=loss, loss_weights=weights)
    own = 4.0 + 2.0 if weights is None else 0.5 * 4.0 + 3.0 * 2.0
    total = own + (1.0 if weights is None else 2.0)
    assert logs == {"loss": total, "p_loss": 1.0, "q_loss": own}


def test_compute_loss_may_make_other_outputs() -> None:
    class Halves(keras.Model):
        def compute_loss(
            self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
        ) -> Any:
            return super().compute_loss(x, y, (y_pred, y_pred + 1), sample_weight)

    x = keras.Input((3,))
    m: Any = cast("Any", Halves)(x, constant(1.0, "p")(x))
    m.compile("sgd", ["mse", "mae"])
    logs = m.evaluate(X, (ZEROS, ZEROS), verbose=0, return_dict=True)
    assert logs == {"loss": 3.0, "mse_loss": 1.0, "mae_loss": 2.0}
    assert m.fit(X, (ZEROS, ZEROS), verbose=0).history["loss"] == [3.0]

"""Numbers with which nothing can come out right.

Kind: an argument is a number of the right type, and no result is right for it: NaN, a
negative size, boundaries that fall, a rate beyond 1. It was accepted, and what came
out was wrong or failed later with words of JAX. The range is declared with the field,
and sizes are looked at where memory is.
"""

import inspect
import math

import jax
import numpy as np
import pytest

import carnyx as keras
from carnyx import losses, metrics, ops, optimizers
from carnyx.configurable import Configurable
from carnyx.errors import ArgumentError
from carnyx.optimizers import schedules

X = np.linspace(0.1, 0.9, 6, dtype="float32").reshape(3, 2)
FAMILIES = (optimizers, schedules, losses, metrics, keras.layers, keras.initializers)


def number_fields():
    """Every declared number of every public class."""
    for family in FAMILIES:
        for name, cls in vars(family).items():
            if not (inspect.isclass(cls) and issubclass(cls, Configurable)):
                continue
            if name == cls.__name__:
                for field in cls._fields.values():
                    if field.number is not None:
                        yield pytest.param(cls, field, id=f"{name}.{field.name}")


@pytest.mark.parametrize(("cls", "field"), list(number_fields()))
def test_nan_is_no_number_of_any_field(cls, field):
    with pytest.raises(ArgumentError, match=f"{field.name}=nan"):
        field.settled(object.__new__(cls), math.nan)


TRACED = {
    "no check": lambda n: losses.BinaryFocalCrossentropy(
        apply_class_balancing=True, alpha=n
    )(np.round(X), X),
    "above 0": lambda n: losses.Huber(delta=n)(X, 2 - X),
    "at least 0": lambda n: losses.Tversky(alpha=n)(X, X / 2),
}


@pytest.mark.parametrize("of", TRACED.values(), ids=TRACED)
def test_a_number_that_is_traced_is_not_looked_at(of):
    np.testing.assert_allclose(jax.jit(of)(0.5), of(0.5), rtol=1e-6)


@pytest.mark.parametrize("rate", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("cls", [optimizers.SGD, optimizers.Adam, optimizers.Lion])
def test_a_learning_rate_is_finite(cls, rate):
    with pytest.raises(ArgumentError, match="learning_rate"):
        cls(rate)
    optimizer = cls(0.1)
    with pytest.raises(ArgumentError, match="learning_rate"):
        optimizer.learning_rate = rate


REFUSED = {
    "falling boundaries": lambda: schedules.PiecewiseConstantDecay([5, 1], [1, 2, 3]),
    "restarts of no length": lambda: schedules.CosineDecayRestarts(0.1, 10, t_mul=0),
    "negative warm-up": lambda: schedules.CosineDecay(0.1, 9, warmup_steps=-1),
    "smoothing beyond 1": lambda: losses.BinaryCrossentropy(label_smoothing=1.5),
    "negative delta": lambda: losses.Huber(delta=-1.0),
    "negative gamma": lambda: losses.CategoricalFocalCrossentropy(gamma=-1.0),
    "negative alpha": lambda: losses.Tversky(alpha=-0.1),
    "no classes looked at": lambda: metrics.SparseTopKCategoricalAccuracy(k=0),
    "roll by a fraction": lambda: ops.roll(np.arange(4), 1.5),
    "turn by a fraction": lambda: ops.rot90(np.ones((2, 2)), 1.5),
    "negative zeros": lambda: ops.zeros((2, -1)),
    "negative ones": lambda: ops.ones(-1),
    "negative full": lambda: ops.full((-1,), 3),
    "negative empty": lambda: ops.empty((-3,)),
    "negative eye": lambda: ops.eye(-1),
    "negative identity": lambda: ops.identity(-2),
    "negative linspace": lambda: ops.linspace(0, 1, -3),
    "negative one_hot": lambda: ops.one_hot([0, 1], -2),
    "negative repeat": lambda: ops.repeat(np.arange(3), -1),
    "negative broadcast": lambda: ops.broadcast_to(np.arange(3), (-1, 3)),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_is_refused_without_words_of_jax(make):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert not any(word in str(caught.value) for word in ("iota", "broadcast_in_dim"))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_strides_beyond_all_memory_are_refused_at_once(rank):
    layer = getattr(keras.layers, f"Conv{rank}DTranspose")(2, 3, strides=10**11)
    with pytest.raises(keras.errors.OutOfMemoryError):
        layer(np.ones((1, *(4,) * rank, 1), "float32"))


@pytest.mark.parametrize("made", [losses.Huber(), metrics.AUC(), metrics.Mean()])
def test_a_dtype_is_set_when_an_object_is_made(made):
    with pytest.raises(AttributeError, match="Make another"):
        made.dtype = "bfloat16"
    assert made.dtype == "float32"


@pytest.mark.parametrize("index", [[0, 4], np.array([-5]), (slice(None), [3, 9])])
def test_an_index_beyond_the_end_of_a_symbol_is_refused(index):
    with pytest.raises(keras.errors.ShapeError, match="get_item got the index"):
        keras.Input((4,), batch_size=4)[index]


def test_a_split_of_an_unknown_size_is_taken_to_come_out_even():
    parts = ops.split(keras.KerasTensor((None, 6)), 3, axis=0)
    assert [part.shape for part in parts] == [(None, 6)] * 3


def test_from_config_raises_type_errors():
    with pytest.raises(TypeError, match="input_dim"):
        keras.layers.Embedding.from_config({"input_dim": 3.7, "output_dim": 8})
    with pytest.raises(TypeError, match="units"):
        keras.layers.Dense.from_config({"units": -1})


def test_tuples_of_a_config_are_tuples():
    config = keras.layers.ZeroPadding2D((1, 2)).get_config()
    assert config["padding"] == ((1, 1), (2, 2))

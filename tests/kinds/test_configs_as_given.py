"""Kind: what a config says about sizes, and how a wrong kind of number is refused.

Pairs of sizes came back from `get_config` as lists, so that a config compared unequal
to the arguments that it was made of; in Keras tuples stay tuples until a file is
written. A text or a fraction where an integer is expected was a ValueError only, where
Keras raises a TypeError in some layers and a ValueError in others: it is both.
"""

import json

import numpy as np
import pytest

import carnyx as keras
from carnyx.configurable import REQUIRED, Configurable
from carnyx.saving import serialize_keras_object

L = keras.layers
PAIRS = [
    (L.ZeroPadding1D, "padding", (1, 2)),
    (L.ZeroPadding2D, "padding", ((1, 1), (2, 2))),
    (L.Cropping1D, "cropping", (1, 2)),
    (L.UpSampling2D, "size", (2, 3)),
    (L.AdaptiveAveragePooling2D, "output_size", (2, 3)),
    (L.AdaptiveMaxPooling1D, "output_size", (4,)),
    (L.MaxPooling2D, "pool_size", (2, 3)),
    (L.Reshape, "target_shape", (2, 3)),
    (L.Permute, "dims", (2, 1)),
]


@pytest.mark.parametrize(("cls", "name", "value"), PAIRS)
def test_tuples_stay_tuples(cls, name, value):
    config = cls(**{name: value}).get_config()
    assert config[name] == value
    again = cls.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config


def test_records_keep_tuples_as_keras_does():
    assert serialize_keras_object(((1, 2), [3, (4,)])) == ((1, 2), [3, (4,)])


INTEGERS = [
    (cls, name)
    for cls in vars(L).values()
    if isinstance(cls, type) and issubclass(cls, Configurable)
    for name, field in cls._fields.items()
    if field.number is not None and field.number.words == "an integer"
]


@pytest.mark.parametrize(
    ("cls", "name"), INTEGERS, ids=[f"{c.__name__}.{n}" for c, n in INTEGERS]
)
@pytest.mark.parametrize("value", ["3", 2.5, True])
def test_another_kind_of_number_is_both_errors(cls, name, value):
    given = {
        n: 2 for n, f in cls._fields.items() if f.default is REQUIRED and n != name
    }
    for error in (TypeError, ValueError):
        with pytest.raises(error, match=f"{name}={value!r}; expected"):
            cls(**given | {name: value})
        with pytest.raises(error, match=f"{name}={value!r}; expected"):
            cls.from_config(given | {name: value})


def test_masks_of_one_shape_need_no_values_of_symbols():
    symbols = [keras.Input((4, 5)), keras.Input((4, 5))]
    masks = [np.ones((2, 4, 5), bool), np.zeros((2, 4, 5), bool)]
    mask = L.Concatenate(1).compute_mask(symbols, masks)
    assert np.asarray(mask).tolist() == [[True] * 4 + [False] * 4] * 2


def test_only_layers_that_have_a_kernel_say_use_cudnn():
    assert not hasattr(L.SimpleRNN(1), "use_cudnn")
    assert L.Bidirectional(L.GRU(1, use_cudnn=False)).backward_layer.use_cudnn is False

"""Names that are not there.

The kind: `AttributeError` without a word more, for a name that Keras has, or had, or
that is spelled another way today. What is said comes from an inventory of Keras's
names, so that no message suggests what does not exist.
"""

import importlib
import re
import sys

import numpy as np
import pytest

import carnyx as keras
from carnyx import _spellings

INVENTORY = [
    (module, name)
    for (_, module), names in _spellings.names_of_keras().items()
    for name in sorted(names)
]


def place(module):
    return "carnyx" if module == "." else f"carnyx.{module}"


def test_every_name_of_keras_is_there_or_told_about():
    told = 0
    for module, name in INVENTORY:
        found = sys.modules.get(place(module))
        if found is None or hasattr(found, name):
            continue
        with pytest.raises(AttributeError) as error:
            getattr(found, name)
        message = str(error.value)
        told += 1
        assert message.startswith(f"{place(module)}.{name} is "), message
        assert (
            "not in Carnyx yet; Keras" in message
            or "today" in message
            or ("in Carnyx." in message)
        )
    assert told > 10


def test_what_is_suggested_exists():
    for module, name in INVENTORY:
        if place(module) not in sys.modules:
            continue
        what = _spellings.what_of(place(module), name)
        moved = re.fullmatch(r"\S+ is (carnyx\.\S+|\S+) in Carnyx\.", what or "")
        if moved:
            where, _, today = moved[1].rpartition(".")
            home = sys.modules[where or place(module)]
            assert today in vars(home), what
    for old, today in _spellings._OBJECTS.items():
        for word in re.findall(r"\b[A-Z]\w*(?:[A-Z]\w*)+|\bLSTM|\bGRU", today):
            assert hasattr(keras.layers, word) or word in ("cuDNN", "DNN"), (old, word)


def test_a_name_that_nobody_has():
    with pytest.raises(AttributeError, match="'Desne'. Did you mean 'Dense'"):
        getattr(keras.layers, "Desne")  # noqa: B009
    with pytest.raises(AttributeError, match="no attribute '__nothing__'"):
        getattr(keras.layers, "__nothing__")  # noqa: B009


def test_imports_say_it_too():
    # A name of Keras that is long gone, so that this stays true.
    with pytest.raises(ImportError, match="layers.CuDNNLSTM is LSTM, which"):
        exec("from carnyx.layers import CuDNNLSTM", {})
    with pytest.raises(ImportError, match="cannot import name 'Nope'"):
        exec("from carnyx.layers import Nope", {})
    assert importlib.util.find_spec("carnyx.nothing") is None


OLD_ARGUMENTS = [
    (lambda: keras.optimizers.SGD(lr=0.1), "'lr'. It is called 'learning_rate' today"),
    (lambda: keras.optimizers.Adam(decay=0.1), "'decay'. The rate follows a schedule"),
    (lambda: keras.layers.Dense(output_dim=3), "'units'. It was given as 'output_dim'"),
    (lambda: keras.layers.Dense(3, init="zeros"), "It is called 'kernel_initializer'"),
    (lambda: keras.layers.Embedding(3, 2, init="zeros"), "'embeddings_initializer'"),
    (lambda: keras.layers.Dropout(p=0.5), "'rate'. It was given as 'p'"),
    (lambda: keras.layers.Dense(3, activatoin="relu"), "Did you mean 'activation'"),
    (lambda: keras.Model(input=1, output=2), "A model takes inputs and outputs today"),
    (lambda: model().fit(X, X, nb_epoch=2), "fit.* It is called 'epochs' today"),
    (lambda: model().compile("sgd", "mse", sample_weight_mode=""), "taken as they are"),
    (lambda: model()(X, trainig=True), "Did you mean 'training'"),
]
X = np.ones((2, 1))


def model():
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


@pytest.mark.parametrize("call, message", OLD_ARGUMENTS)
def test_arguments_of_older_versions_say_the_new_ones(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_an_unknown_argument_of_a_constructor_is_keras_value_error_too():
    with pytest.raises(ValueError, match="unknown argument 'foo'"):
        keras.layers.Dense(2, foo=1)
    with pytest.raises(keras.errors.UnknownArgumentError):
        keras.optimizers.SGD(foo=1)


@pytest.mark.parametrize(
    "name, today",
    [("fit_generator", r"fit\(generator\)"), ("predict_classes", r"argmax\(-1\)")],
)
def test_methods_of_older_versions_say_the_new_ones(name, today):
    with pytest.raises(AttributeError, match=f"'{name}'. It is .*{today} today"):
        getattr(model(), name)
    with pytest.raises(AttributeError, match="'lr'. It is learning_rate today"):
        getattr(keras.optimizers.SGD(), "lr")  # noqa: B009
    with pytest.raises(AttributeError, match="'lr'. It is learning_rate today"):
        keras.optimizers.SGD().lr = 0.1  # Keras takes it, and nothing changes


def test_a_type_error_from_inside_stays_what_it_is():
    class Broken(keras.layers.Layer):
        def call(self, x, scale=1):
            return len(1)

    with pytest.raises(TypeError, match="has no len"):
        Broken()(X, scale=2)

"""Objects as Keras 2 wrote them: a class's name and a config."""

import pytest

import carnyx as keras
from carnyx.utils import legacy


def double(x):
    return 2 * x


@pytest.mark.parametrize("make", [
    lambda: keras.layers.Dense(3, "relu", name="d"),
    lambda: keras.initializers.HeNormal(seed=1),
    lambda: keras.optimizers.SGD(0.5),
])  # fmt: skip
def test_objects_come_back_by_the_names_of_their_module(make):
    given = make()
    record = legacy.serialize_keras_object(given)
    assert record["class_name"] == type(given).__name__
    module = {type(given).__name__: type(given)}
    again = legacy.deserialize_keras_object(record, module_objects=module)
    assert again.get_config() == given.get_config()


def test_functions_are_their_names_and_classes_give_objects():
    assert legacy.serialize_keras_object(double) == "double"
    found = legacy.deserialize_keras_object("double", custom_objects={"double": double})
    assert found is double
    module = vars(keras.initializers)
    assert legacy.deserialize_keras_object("Ones", module).get_config() == {}
    with keras.utils.custom_object_scope({"double": double}):
        assert legacy.deserialize_keras_object("double") is double
    assert legacy.deserialize_keras_object(None) is None
    assert legacy.serialize_keras_object(None) is None
    assert keras.legacy.saving.serialize_keras_object is legacy.serialize_keras_object


@pytest.mark.parametrize("call, words", [
    (lambda: legacy.deserialize_keras_object("doubel", {"double": double}), "'double'"),
    (lambda: legacy.deserialize_keras_object({"name": 1}), "expected a name, or"),
    (lambda: legacy.serialize_keras_object(3), "no get_config"),
])  # fmt: skip
def test_what_cannot_be_made_is_told(call, words):
    with pytest.raises(ValueError, match=words):
        call()

"""Names that older files give functions and classes.

The kind: one spelling of a name was understood, that of the newest Keras; files of
3.0 to 3.6 leave out the package of a registered function, and some writers leave the
registered name empty.
"""

import pytest

import carnyx as keras
from carnyx import registry
from carnyx.configurable import Configurable
from carnyx.layers import merging


def record(name):
    return {
        "module": "builtins", "class_name": "function", "config": name,
        "registered_name": "function",
    }  # fmt: skip


@pytest.fixture
def registered():
    before = dict(registry.get_custom_objects())
    yield keras.saving.register_keras_serializable
    registry.get_custom_objects().clear()
    registry.get_custom_objects().update(before)


@pytest.mark.parametrize(
    "read",
    [
        keras.saving.deserialize_keras_object,
        keras.activations.get,
        keras.losses.get,
        keras.metrics.get,
        lambda config: keras.layers.Lambda.from_config({"function": config}).function,
    ],
)
def test_a_function_without_its_package(registered, read):
    @registered("package")
    def of_the_user(x, y=None):
        return x

    assert read(record("of_the_user")) is of_the_user
    with keras.saving.custom_object_scope({"other>only_here": of_the_user}):
        assert read(record("only_here")) is of_the_user


def test_two_packages_with_one_name(registered):
    for package in ("a", "b"):
        registered(package)(lambda x: x)
    functions = registry.get_custom_objects()
    functions |= {"a>twin": len, "b>twin": max}
    with pytest.raises(ValueError, match="'a>twin' and 'b>twin' are registered"):
        keras.saving.deserialize_keras_object(record("twin"))


def test_a_name_of_the_library_stays_the_librarys(registered):
    @registered("package")
    def relu(x):
        return x

    assert keras.activations.get(record("relu")) is keras.activations.relu


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_registered_name(empty):
    config = {"units": 2}
    layer = {"module": "keras.layers", "class_name": "Dense", "config": config}
    layer["registered_name"] = empty
    assert keras.saving.deserialize_keras_object(layer).units == 2


def test_what_is_the_librarys_is_known_from_its_registration():
    for own in (keras.layers.Dense, merging._Merge, keras.ops.relu, keras.losses.huber):
        assert registry.is_own(own)

    class Users(keras.layers.Dense):
        __module__ = "carnyx_extras.layers"

    assert not registry.is_own(Users) and not registry.is_own(len)


@pytest.mark.parametrize(
    "record",
    [
        {"class_name": "Dense", "config": [1, 2]},
        {"class_name": "function", "config": ["not", "a", "name"]},
        {"class_name": ["Dense"], "config": {}},
    ],
)
def test_a_part_of_a_wrong_type_is_a_type_error(record):
    with pytest.raises(TypeError) as error:
        keras.saving.deserialize_keras_object(record)
    assert isinstance(error.value, keras.errors.UnsafeModelError)


def test_a_function_of_ours_under_the_name_of_another():
    with pytest.raises(ValueError, match="which of the two is meant"):
        keras.activations.get(record("relu") | {"registered_name": "other"})
    for same in ("relu", "function", "", None, "package>relu"):
        named = record("relu") | {"registered_name": same}
        assert keras.activations.get(named) is keras.activations.relu


@pytest.mark.parametrize(
    ("base", "module"),
    [
        (keras.layers.Layer, "keras.layers"),
        (keras.Model, "keras"),
        (keras.losses.Loss, "keras.losses"),
        (keras.metrics.Metric, "keras.metrics"),
        (keras.optimizers.Optimizer, "keras.optimizers"),
        (keras.optimizers.schedules.LearningRateSchedule, "keras.optimizers.schedules"),
        (keras.initializers.Initializer, "keras.initializers"),
        (keras.regularizers.Regularizer, "keras.regularizers"),
        (keras.constraints.Constraint, "keras.constraints"),
    ],
)
def test_the_folder_of_a_class_decides_nothing(monkeypatch, base, module):
    """Ours are of the family of their base, wherever their file lies: a layer kept
    beside its network was saved as `keras.applications`, which nobody reads."""
    family = registry.own_family(base)
    monkeypatch.setattr(registry.names, "_builtin", dict(registry.names._builtin))
    monkeypatch.setattr(registry.names, "_own", dict(registry.names._own))

    made = type("Moved", (base,), {"__module__": "carnyx._elsewhere.file"})
    address = registry.records._address(made)
    assert (address["module"], address["class_name"]) == (module, "Moved")
    assert registry.find_builtin("Moved", family) is made


def test_every_class_that_has_a_config_has_a_family():
    folders = (
        "layers models losses metrics optimizers initializers regularizers constraints "
        "callbacks quantizers distillation"
    )
    found = {
        value
        for name in folders.split()
        for value in vars(getattr(keras, name)).values()
        if isinstance(value, type) and issubclass(value, Configurable)
    }
    assert len(found) > 200
    assert [c for c in found if registry.is_own(c) and not registry.own_family(c)] == []

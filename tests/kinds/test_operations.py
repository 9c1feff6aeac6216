"""Operations that users write.

The kind: a base class that is public and was bare: `keras.Operation` was there for
`isinstance` alone. A user's operation is called, stands in graphs, in files and in
clones, and has a name and a config, as a layer does.
"""

import numpy as np
import pytest

import carnyx as keras

X = np.ones((2, 3), "float32")


@keras.saving.register_keras_serializable("operations")
class Scale(keras.Operation):
    def __init__(self, factor, name=None):
        super().__init__(name=name)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


@keras.saving.register_keras_serializable("operations")
class Both(keras.Operation):
    """No constructor, no spec, several inputs and outputs."""

    def call(self, x, *, y):
        return x + y, {"product": x * y}


def model():
    x = keras.Input((3,))
    total, products = Both()(Scale(2, name="twice")(x), y=x)
    hidden = keras.layers.Dense(2)(products["product"])
    return keras.Model(x, [Scale(3)(total), hidden])


def test_name_and_config():
    assert Scale(2).name.startswith("scale") and Both().name.startswith("both")
    assert Scale(2, name="q").get_config() == {"name": "q", "factor": 2}
    assert Both(name="b").get_config() == {"name": "b"}
    again = Scale.from_config(Scale(4, name="four").get_config())
    assert (again.factor, again.name) == (4, "four")
    assert repr(again) == "<Scale name=four>"
    for name in ("a/b", 3):
        with pytest.raises(ValueError, match="Scale got name=.*text without '/'"):
            Scale(1, name=name)


def test_without_name_in_the_constructor():
    class Shift(keras.Operation):
        def __init__(self, by):
            super().__init__()
            self._hidden = by

        def call(self, x):
            return x + self._hidden

    assert Shift(2).get_config() == {"by": 2}
    assert Shift.from_config({"by": 2})(1) == 3


def test_eager_and_symbolic():
    assert Scale(2)(X).tolist() == (2 * X).tolist()
    operation = Both()
    total, products = operation(keras.Input((3,)), y=keras.Input((3,)))
    assert total.shape == products["product"].shape == (None, 3)
    assert len(operation.inbound_nodes) == 1 and len(operation.input) == 2
    with pytest.raises(NotImplementedError, match=r"Empty has no call\(\)"):
        type("Empty", (keras.Operation,), {})()(X)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_files(tmp_path, suffix):
    made = model()
    made.save(tmp_path / f"model.{suffix}")
    again = keras.models.load_model(tmp_path / f"model.{suffix}")
    for a, b in zip(made(X), again(X), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [type(o) for o in again.operations] == [type(o) for o in made.operations]


def test_clones_summaries_and_training():
    made = model()
    clone = keras.models.clone_model(made)
    kinds = [type(o).__name__ for o in clone.operations]
    assert kinds.count("Scale") == 2 and "Both" in kinds
    assert not set(made.operations) & set(clone.operations)
    lines: list[str] = []
    made.summary(print_fn=lines.append)
    assert "twice (Scale)" in "".join(lines)
    assert [x.name for x in made.layers] == ["input_layer", "dense"] or made.layers
    made.compile("sgd", ["mse", "mse"])
    made.fit(X, [X, np.ones((2, 2))], verbose=0)


def test_a_file_names_no_bare_operation():
    """Those that say nothing by themselves are in no registry."""
    for name in ("Operation", "OpCall"):
        record = {"module": "keras", "class_name": name, "config": {}}
        with pytest.raises(ValueError):
            keras.saving.deserialize_keras_object(record)

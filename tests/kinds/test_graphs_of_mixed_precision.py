"""Kind: what a layer does to its inputs is its own, and no node of a graph.

Why it happened: under a mixed policy a symbolic input was cast by an op before the call
was recorded. So graphs, and their files, had a `Cast` beside layers, which Keras's have
not, and a layer taken out of a graph had inputs that were not its neighbours' outputs.
"""

import numpy as np
import pytest

import carnyx as keras

L = keras.layers
X = np.random.default_rng(0).random((4, 6)).astype("float32")


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"], autouse=True)
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def network():
    x = keras.Input((6,))
    inner = keras.Model(x, L.Dense(3, "relu")(x))
    head = L.Dense(3, dtype="float32")(inner(x))
    steps = L.LSTM(3)(L.Reshape((2, 3))(x), initial_state=[head, head])
    return keras.Model(x, L.Dense(1, dtype="float32")(L.Add()([head, steps])))


def test_operations_are_the_layers_of_the_user():
    names = [type(op).__name__ for op in network().operations]
    assert sorted(names) == sorted(
        ["InputLayer", "Functional", "Dense", "Reshape", "LSTM", "Add", "Dense"]
    )


def test_inputs_of_a_layer_are_what_it_was_given():
    x = keras.Input((6,))
    layer = L.Dense(2)
    layer(x)
    assert layer.input is x and layer.input.dtype == "float32"


def test_files_and_clones_compute_the_same(tmp_path, policy):
    model = network()
    model.save(tmp_path / "m.keras")
    for again in (
        keras.saving.load_model(tmp_path / "m.keras"),
        keras.models.clone_model(model),
    ):
        again.set_weights(model.get_weights())
        assert len(again.operations) == len(model.operations)
        np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X))
    eager = model(X)
    assert eager.dtype == "float32" and keras.ops.isfinite(eager).all()


def test_masks_reach_layers_of_another_dtype():
    ids = keras.Input((3,), dtype="int32")
    words = L.Embedding(5, 4, mask_zero=True)(ids)
    model = keras.Model(ids, L.LSTM(2, dtype="float32")(words))
    padded = model(np.array([[1, 2, 0]]))
    np.testing.assert_allclose(padded, model(np.array([[1, 2, 0]]))[:1])
    shorter = keras.Model(ids, words)(np.array([[1, 2, 0]]))[:, :2]
    np.testing.assert_allclose(padded, model.layers[-1](shorter), rtol=1e-5)

"""`Sequential`, functional models and subclasses: what they hold, how it changes."""

import keras as oracle
import numpy as np
import pytest

import carnyx

LIBRARIES = [carnyx, oracle]
X = np.linspace(-1, 1, 8, dtype="float32").reshape(2, 4)


def both(look):
    """`look(library)` gives the same with either."""
    results = []
    for library in LIBRARIES:
        library.utils.clear_session()
        results.append(look(library))
    assert results[0] == results[1]
    return results[0]


def test_sequential_grows_and_shrinks():
    def look(k):
        model = k.Sequential(name="s")
        seen = [model.built]
        for step in (
            lambda: model.add(k.Input((4,))),
            lambda: model.add(k.layers.Dense(3, name="a")),
            lambda: model.add(k.layers.Dense(2, name="b")),
            model.pop,
            lambda: model.add(k.layers.ReLU(name="c")),
        ):
            step()
            names = [x.name for x in model.layers]
            shape = model.output_shape if len(names) else None
            seen.append((names, shape, len(model.weights), model.built))
        return seen

    both(look)


def test_sequential_builds_on_data():
    def look(k):
        model = k.Sequential([k.layers.Dense(3), k.layers.Dense(2)])
        before = (model.built, len(model.weights))
        shape = tuple(model(X).shape)
        again = tuple(model(np.zeros((5, 4), "float32")).shape)
        return (
            before,
            shape,
            again,
            model.built,
            model.input_shape[1:],
            len(model.weights),
        )

    both(look)


def test_sequential_refuses():
    k = carnyx
    model = k.Sequential([k.Input((4,)), k.layers.Dense(3, name="a")])
    for wrong in ("relu", 3, k.layers.Dense, lambda x: x):
        with pytest.raises(k.errors.ArgumentError, match="layer"):
            model.add(wrong)
    with pytest.raises(k.errors.ArgumentError, match="'a'"):
        model.add(k.layers.Dense(3, name="a"))
    with pytest.raises(k.errors.ArgumentError, match="input"):
        model.add(k.layers.InputLayer(shape=(3,)))
    with pytest.raises(k.errors.ArgumentError, match="pop"):
        k.Sequential().pop()
    with pytest.raises(k.errors.NotBuiltError, match="build"):
        _ = k.Sequential([k.layers.Dense(1)]).output


def test_get_layer():
    k = carnyx
    x = k.Input((4,), name="x")
    model = k.Model(x, k.layers.Dense(2, name="hidden")(x))
    assert model.get_layer("hidden") is model.get_layer(index=1) is model.layers[1]
    with pytest.raises(k.errors.UnknownNameError, match="'hidden'"):
        model.get_layer("hiden")
    with pytest.raises(k.errors.ArgumentError, match="2 layers"):
        model.get_layer(index=5)
    with pytest.raises(k.errors.ArgumentError, match="one of them"):
        model.get_layer()


def functional_subclass(k):
    class Net(k.Model):
        def __init__(self, units, **kwargs):
            inputs = k.Input((4,), name="x")
            dense = k.layers.Dense(units, kernel_initializer="ones", name="d")
            super().__init__(inputs=inputs, outputs=dense(inputs), **kwargs)
            self.units = units

        def get_config(self):
            return {"units": self.units, "name": self.name}

    return Net


def test_a_subclass_may_give_super_its_graph():
    def look(k):
        net = functional_subclass(k)(3, name="net")
        again = type(net).from_config(net.get_config())
        names = [x.name for x in again.layers]
        return np.asarray(net(X)).tolist(), names, again.units, again.name, net.built

    both(look)


def test_a_subclass_without_a_constructor_takes_inputs_and_outputs():
    def look(k):
        class Net(k.Model):
            extra = 2

        x = k.Input((4,), name="x")
        net = Net(x, k.layers.Dense(3, name="d")(x), name="net")
        again = Net.from_config(net.get_config())
        return type(again).__name__, again.extra, [x.name for x in again.layers]

    both(look)


def test_inputs_in_many_forms():
    def look(k):
        a, b = k.Input((4,), name="a"), k.Input((1,), name="b")
        model = k.Model([a, b], k.layers.Concatenate()([a, b]))
        one = np.ones((2, 1), "float32")
        forms = [[X, one], (X, one), {"a": X, "b": one}, {"b": one, "a": X}]
        forms += [[X, one[:, 0]], [X.astype("float64"), one.astype("int32")]]
        return [np.asarray(model(form)).tolist() for form in forms]

    both(look)


def test_lists_inside_dicts():
    def look(k):
        q, r = k.Input((4,), name="q"), [k.Input((4,), name=n) for n in ("r1", "r2")]
        model = k.Model({"q": q, "r": r}, {"out": [q + r[0], q * r[1]]})
        again = k.models.model_from_json(model.to_json())
        out = again({"q": X, "r": [X * 2, X * 3]})["out"]
        return [np.asarray(one).tolist() for one in out], again.input_shape

    both(look)


def test_wrong_inputs_say_what_was_expected():
    k = carnyx
    a, b = k.Input((4,), name="a"), k.Input((1,), name="b")
    model = k.Model([a, b], k.layers.Concatenate()([a, b]), name="m")
    one = np.ones((2, 1), "float32")
    for wrong, message in [
        ([X], r"2 inputs \['a', 'b'\] but got 1"),
        ({"a": X}, "no input 'b'"),
        ([X[:, :3], one], "input 'a'"),
        ([X[0, 0], one], "input 'a'"),
    ]:
        with pytest.raises(k.errors.ShapeError, match=message):
            model(wrong)


def test_unconnected_and_foreign_tensors_are_refused():
    k = carnyx
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    with pytest.raises(k.errors.GraphError, match="'b'"):
        k.Model(a, k.layers.Add()([a, b]))
    with pytest.raises(k.errors.GraphError, match="by hand"):
        k.Model(a, k.KerasTensor((None, 4)))
    d = k.layers.Dense(4, name="same")(k.layers.Dense(4, name="same")(a))
    with pytest.raises(k.errors.GraphError, match="'same'"):
        k.Model(a, d)


def test_parts_share_their_layers():
    k = carnyx
    x = k.Input((4,))
    hidden = k.layers.Dense(3, name="h")(x)
    full = k.Model(x, k.layers.Dense(2, name="o")(hidden))
    front, back = k.Model(full.input, hidden), k.Model(hidden, full.output)
    np.testing.assert_allclose(back(front(X)), full(X), rtol=1e-6)
    assert back.layers[1] is full.get_layer("o")
    assert {id(v) for v in [*front.weights, *back.weights]} == {
        id(v) for v in full.weights
    }


def test_trainable_reaches_inside():
    def look(k):
        inner = k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.Dense(2)])
        model = k.Sequential([k.Input((4,)), inner, k.layers.Dense(1)])
        counts = [len(model.trainable_weights)]
        inner.trainable = False
        counts += [len(model.trainable_weights), len(model.non_trainable_weights)]
        inner.layers[0].trainable = True
        counts += [len(model.trainable_weights)]
        model.trainable = True
        return [*counts, len(model.trainable_weights)]

    both(look)

"""Kind: `trainable` that is looked at when a step happens to be made.

A discriminator is compiled, then frozen inside the combined model: both are to go by
what was trainable when each was compiled. A program went by the moment in which it was
made, and after a change in between failed with the words of the optimizer's insides.
"""

import warnings

import numpy as np
import pytest

import carnyx as keras

X = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)
Y = X[:, :1]


def _gan():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    generator = keras.Sequential([keras.Input((2,)), layers.Dense(4)], name="generator")
    critic = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()]
        + [layers.Dense(1, name="last")],
        name="critic",
    )
    critic.compile("sgd", "mse")
    critic.trainable = False
    both = keras.Sequential([keras.Input((2,)), generator, critic])
    both.compile("sgd", "mse")
    return generator, critic, both


def _changes(model, step):
    before = [w.copy() for w in model.get_weights()]
    step()
    pairs = zip(before, model.get_weights(), strict=True)
    return [not np.array_equal(a, b) for a, b in pairs]


@pytest.mark.parametrize("eager", [False, True], ids=["compiled", "eagerly"])
def test_the_recipe_of_a_gan(eager):
    generator, critic, both = _gan()
    both.run_eagerly = critic.run_eagerly = eager
    for _ in range(2):
        assert all(_changes(critic, lambda: critic.train_on_batch(X, Y)))
        step = lambda: both.train_on_batch(X[:, :2], Y)  # noqa: E731
        assert not any(_changes(critic, step))
        assert all(_changes(generator, step))
        critic.trainable = not critic.trainable  # as older scripts do around each step
    if not eager:
        critic.train_on_batch(X, Y)
        before = critic.train_program().compilations()
        critic.trainable = not critic.trainable
        critic.train_on_batch(X, Y)
        assert critic.train_program().compilations() == before


def test_a_change_before_fit_is_told_and_not_in_force():
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="first")])
    model.add(layers.Dense(1, name="second"))
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    with pytest.warns(UserWarning, match=r"\['first'\] .* Call compile\(\) again"):
        assert all(_changes(model, lambda: model.fit(X, Y, verbose=0)))
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        changed = _changes(model, lambda: model.fit(X, Y, verbose=0))
    assert changed == [False, False, True, True]


def test_an_optimizer_of_other_variables_says_so():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    model.compile(model.optimizer, "mse")
    with pytest.raises(ValueError, match="built for 4 .* has 2.*a new optimizer"):
        model.fit(X, Y, verbose=0)

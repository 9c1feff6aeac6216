"""What all optimizers share, users' own ones, wrappers, Optax, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import carnyx
from carnyx import Variable, optimizers
from carnyx.errors import (
    ArgumentError,
    NotBuiltError,
    ShapeError,
    UnknownNameError,
)
from carnyx.optimizers import (
    SGD,
    Adam,
    LossScaleOptimizer,
    MultiOptimizer,
    OptaxOptimizer,
    Optimizer,
    OptimizerMap,
)


def _steps(optimizer, n, variables, loss):
    """n steps of a jitted loop, then assigned; returns how often it was traced."""
    optimizer.build(variables)
    traces = []

    @jax.jit
    def step(state, values):
        traces.append(1)
        grads = jax.grad(loss)(values)
        return optimizer.stateless_apply(state, grads, values)

    state, values = [v.value for v in optimizer.variables], [v.value for v in variables]
    for _ in range(n):
        values, state = step(state, values)
    for v, value in zip(
        [*variables, *optimizer.variables], [*values, *state], strict=True
    ):
        v.assign(value)
    return len(traces)


RATES = {"SGD": 0.1, "Adadelta": 100.0, "Adagrad": 1.0, "Ftrl": 1.0, "Lamb": 0.05}


@pytest.mark.parametrize(
    "name",
    ["SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Lamb", "ScheduleFreeAdamW",
     "Adagrad", "Adadelta", "Adafactor", "Ftrl", "Lion", "Muon"],
)  # fmt: skip
def test_a_parabola_is_descended_with_one_trace(name):
    w = Variable(np.array([[3.0, -1.0], [0.5, 2.0]], "float32"))
    target = np.array([[1.0, 1.0], [-1.0, 0.0]], "float32")
    optimizer = getattr(optimizers, name)(RATES.get(name, 0.05))
    traces = _steps(optimizer, 200, [w], lambda v: jnp.sum((v[0] - target) ** 2))
    assert np.sum((w.numpy() - target) ** 2) < 0.1
    assert traces == 1 and int(optimizer.iterations) == 200


class Momentum(Optimizer):
    """As the documentation of Keras 3 has it."""

    def __init__(self, learning_rate=0.1, momentum=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        super().build(variables)
        self.momentums = []
        for variable in variables:
            self.momentums.append(
                self.add_variable_from_reference(
                    reference_variable=variable, name="momentum"
                )
            )

    def update_step(self, gradient, variable, learning_rate):
        m = self.momentums[self._get_variable_index(variable)]
        self.assign(m, self.momentum * m.value - learning_rate * gradient)
        self.assign_add(variable, m)

    def get_config(self):
        config = super().get_config()
        config.update({"momentum": self.momentum})
        return config


def test_an_optimizer_written_for_keras_runs_traced_and_eager():
    def run(optimizer):
        w = Variable([1.0, 2.0], name="w")
        _steps(optimizer, 3, [w], lambda v: jnp.sum(v[0] ** 2))
        optimizer.apply([w.value], [w])
        return w.numpy(), [v.path.split("/")[1] for v in optimizer.variables]

    ours, names = run(Momentum(clipnorm=1.0))
    expected, same = run(SGD(0.1, momentum=0.9, clipnorm=1.0))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert names == same == ["iteration", "learning_rate", "w_momentum"]
    again = Momentum.from_config(Momentum(momentum=0.5, clipvalue=2.0).get_config())
    assert (again.momentum, again.clipvalue) == (0.5, 2.0)


def test_the_learning_rate_can_be_set_and_scheduled():
    sgd, w = SGD(1.0), Variable(4.0)
    sgd.apply([1.0], [w])
    sgd.learning_rate = 0.5
    sgd.apply([1.0], [w])
    assert float(w) == 2.5
    assert sgd.get_config()["learning_rate"] == 0.5
    sgd.learning_rate = optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    sgd.apply([1.0], [w])  # the third step: 0.5²
    assert float(w) == 2.25
    assert len(sgd.variables) == 1  # the rate's variable went
    with pytest.raises(ArgumentError, match="was made with the schedule"):
        sgd.learning_rate = 0.1
    called = SGD(lambda: 0.25)
    called.apply([1.0], [w])
    assert float(w) == 2.0


def test_decay_leaves_out_what_is_exempt():
    variables = [Variable(1.0, name=n) for n in ("kernel", "bias", "gain")]
    sgd = SGD(0.5, weight_decay=0.5)
    sgd.exclude_from_weight_decay([variables[2]], ["bias"])
    sgd.apply([0.0] * 3, variables)
    assert [float(v) for v in variables] == [0.75, 1.0, 1.0]
    with pytest.raises(ArgumentError, match="is built"):
        sgd.exclude_from_weight_decay(var_names=["kernel"])


def test_averages_become_the_weights_in_the_end():
    w, sgd = Variable(0.0), SGD(1.0, use_ema=True, ema_momentum=0.5)
    for _ in range(2):
        sgd.apply([-1.0], [w])
    assert float(w) == 2.0
    sgd.finalize_variable_values([w])
    assert float(w) == 1.5


def test_what_is_overwritten_by_its_gradient_has_no_slots():
    w, scale = Variable(1.0, name="w"), Variable(1.0, name="scale")
    scale.overwrite_with_gradient = True
    adam = Adam(0.1)
    adam.apply([1.0, 7.0], [w, scale])
    assert float(scale) == 7.0
    assert [v.name for v in adam.variables][2:] == ["w_momentum", "w_velocity"]
    w, sgd = Variable(1.0, name="w"), SGD(0.1, gradient_accumulation_steps=2)
    for g in (5.0, 3.0):
        sgd.apply([1.0, g], [w, scale])
    assert float(scale) == 5.0  # the largest of the two


def test_a_step_that_only_accumulates_does_not_run_the_rule():
    w = Variable(jnp.ones(3))
    sgd = SGD(0.1, momentum=0.9, gradient_accumulation_steps=2)
    sgd.build([w])
    state = [v.value for v in sgd.variables]
    program = jax.make_jaxpr(sgd.stateless_apply)(state, [jnp.ones(3)], [w.value])
    outside = {str(e.primitive) for e in program.eqns}
    assert "cond" in outside and "mul" not in outside


def test_two_optimizers_may_share_variables_of_one_name():
    a, b = Variable(1.0, name="w"), Variable(1.0, name="w")
    first, second = SGD(0.5, momentum=0.5), SGD(0.25)
    first.apply([1.0, 2.0], [a, b])
    second.apply([1.0], [b])
    assert (float(a), float(b)) == (0.5, -0.25)


def test_gradients_may_be_missing():
    a, b = Variable(1.0, name="a"), Variable(1.0, name="b")
    with pytest.warns(UserWarning, match=r"\['b'\] have no gradient"):
        SGD(0.5).apply([1.0, None], [a, b])
    assert (float(a), float(b)) == (0.5, 1.0)
    with pytest.raises(ArgumentError, match="all are None"):
        SGD().apply([None], [a])


@pytest.mark.parametrize("name", ["Adam", "Nadam", "Muon", "Adafactor", "Ftrl", "Lamb"])
def test_built_for_a_model_without_weights(name):
    optimizer = getattr(optimizers, name)()
    optimizer.build([])
    assert {v.dtype for v in optimizer.variables[2:]} <= {"float32"}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["Adam", "SGD", "Nadam", "Muon", "Adafactor"])
def test_half_precision_stays_what_it_is(name, dtype):
    w = Variable(jnp.ones((2, 2)), dtype=dtype)
    optimizer = getattr(optimizers, name)(0.1, global_clipnorm=1.0, use_ema=True)
    optimizer.apply([jnp.ones((2, 2), "float32")], [w])
    assert w.dtype == dtype and float(w[0, 0]) < 1
    assert optimizer.averages[0].dtype == dtype


def test_state_is_saved_by_number():
    def built():
        w, adam = Variable([1.0, 2.0], name="w"), Adam()
        adam.build([w])
        return w, adam

    (w, adam), (_, other), store = built(), built(), {}
    adam.apply([[1.0, 2.0]], [w])
    adam.save_own_variables(store)
    assert sorted(store) == ["0", "1", "2", "3"]
    other.load_own_variables(store)
    for a, b in zip(adam.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    with pytest.warns(UserWarning, match="has 2 variables and the file 4"):
        Adam().load_own_variables(store)
    with pytest.raises(ShapeError, match="keeps its shape"):
        other.set_weights([0, 0.1, [1.0], [1.0]])


def test_a_map_gives_each_variable_its_optimizer(keras_oracle):
    results = []
    for library, variable in (
        (optimizers, Variable),
        (keras_oracle.optimizers, keras_oracle.Variable),
    ):
        kernel, bias = (
            variable(np.ones(2, "float32"), name=n) for n in ("kernel", "bias")
        )
        optimizer = library.MultiOptimizer(
            library.OptimizerMap(library.SGD(0.1), {"bi.*": library.Adam(0.5)}),
            name="multi",
        )
        optimizer.build([kernel, bias])
        for g in (1.0, 3.0):
            optimizer.apply([np.full(2, g, "float32")] * 2, [kernel, bias])
        values = [v.numpy() for v in (kernel, bias, *optimizer.variables)]
        results.append((values, [v.path for v in optimizer.variables]))
        config = library.serialize(optimizer)
        again = library.deserialize(config) if library is optimizers else None
    assert len(again.optimizers) == 2 if again else True
    (ours, paths), (theirs, _) = results
    assert [p.split("/")[-1] for p in paths][:2] == ["iteration", "learning_rate"]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    with pytest.raises(AttributeError, match="no learning rate of its own"):
        optimizers.MultiOptimizer(lambda v: None).learning_rate  # noqa: B018


def test_a_map_survives_its_config():
    optimizer = MultiOptimizer(OptimizerMap(SGD(0.5), {"bi.*": Adam()}))
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert optimizers.serialize(again) == optimizers.serialize(optimizer)
    assert [type(o).__name__ for o in again.optimizers] == ["Adam", "SGD"]


# ---- loss scaling


def test_a_bad_step_is_left_out_and_shrinks_the_scale():
    w, scaled = Variable(1.0), LossScaleOptimizer(SGD(0.5), 8.0, 2)
    for g, weight, scale in (
        (8.0, 0.5, 8),
        (np.nan, 0.5, 4),
        (4.0, 0.0, 4),
        (0.0, 0.0, 8),
    ):
        scaled.apply([g], [w])
        assert (float(w), float(scaled.dynamic_scale)) == (weight, scale)
    assert int(scaled.iterations) == 3
    scaled.learning_rate = 0.25
    assert float(scaled.inner_optimizer.learning_rate) == 0.25
    with pytest.raises(ArgumentError, match="give it to the inner optimizer"):
        LossScaleOptimizer(SGD(), clipnorm=1.0)


def test_scaling_wraps_accumulation_and_optax():
    for inner in (
        SGD(0.5, gradient_accumulation_steps=2),
        OptaxOptimizer(optax.sgd(0.5)),
    ):
        w, scaled = Variable(2.0), LossScaleOptimizer(inner, 4.0)
        _steps(scaled, 2, [w], lambda v: 4.0 * v[0])
        assert float(w) == (1.5 if inner.gradient_accumulation_steps else 1.0)


def test_scales_beyond_half_precision_work():
    g = jnp.full(2, 1024.0, "float16")
    for make in (
        lambda: LossScaleOptimizer(SGD(1.0), 2.0**17),
        lambda: SGD(1.0, loss_scale_factor=2.0**17),
    ):
        w = Variable([1.0, 2.0])
        make().apply([g], [w])
        np.testing.assert_array_equal(w.numpy(), np.array([1, 2]) - 2.0**-7)


# ---- Optax


def test_an_optax_transformation_is_an_optimizer():
    w, v = (Variable([1.0, 2.0], name="w") for _ in range(2))
    wrapped = optimizers.get(optax.adam(0.1, eps=1e-7))
    assert isinstance(wrapped, OptaxOptimizer)
    for optimizer, variable in ((wrapped, w), (Adam(0.1, epsilon=1e-7), v)):
        traces = _steps(optimizer, 5, [variable], lambda x: jnp.sum(x[0] ** 2))
        assert traces == 1
    np.testing.assert_allclose(w.numpy(), v.numpy(), rtol=1e-4)
    names = [x.name for x in wrapped.variables]
    assert names == ["iteration", "0_count", "0_mu_0", "0_nu_0"]
    assert int(wrapped.variables[1]) == 5


def test_options_and_a_learning_rate_go_with_optax():
    make = optax.inject_hyperparams(optax.sgd)
    wrapped = OptaxOptimizer(make(learning_rate=0.5), gradient_accumulation_steps=2)
    w = Variable(4.0)
    for g in (1.0, 3.0):
        wrapped.apply([g], [w])
    assert float(w) == 3.0
    wrapped.learning_rate = 0.25
    for g in (1.0, 3.0):
        wrapped.apply([g], [w])
    assert float(w) == 2.5
    assert not hasattr(OptaxOptimizer(optax.sgd(0.1)), "learning_rate")
    with pytest.raises(ArgumentError, match="add_decayed_weights"):
        OptaxOptimizer(optax.sgd(0.1), weight_decay=0.1)


def test_random_keys_in_optax_states_are_kept():
    w = Variable([1.0, 2.0])
    noisy = OptaxOptimizer(optax.add_noise(0.1, 0.5, jax.random.key(0)))
    noisy.build([w])
    before = [v.numpy() for v in noisy.variables if "rng" in v.name]
    noisy.apply([[0.0, 0.0]], [w])
    after = [v.numpy() for v in noisy.variables if "rng" in v.name]
    assert len(before) == 1 and (before[0] != after[0]).any()
    assert (w.numpy() != [1.0, 2.0]).all()


@pytest.mark.parametrize("noise", [False, True])
def test_an_optax_state_without_values(noise):
    def model():
        carnyx.utils.set_random_seed(1)
        model = carnyx.Sequential([carnyx.Input((4,)), carnyx.layers.Dense(2)])
        adam = optax.inject_hyperparams(optax.adam)(learning_rate=0.1)
        first = [optax.add_noise(0.1, 0.9, 3)] if noise else []
        model.compile(optax.chain(*first, adam, optax.ema(0.9)), "mse")
        return model

    real = model()
    with carnyx.abstract():
        paper = model()
    assert carnyx.distribution.estimate(paper, 8, devices=[1]) is not None
    paper.optimizer.build(paper.trainable_variables)
    assert all(v.abstract for v in paper.optimizer.variables[1:])
    carnyx.materialize(paper)
    x, y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")
    losses = [m.fit(x, y, epochs=3, verbose=0).history["loss"] for m in (real, paper)]
    assert losses[0] == losses[1]


def test_a_file_gets_the_transformation_from_the_caller():
    config = optimizers.serialize(
        OptaxOptimizer(optax.sgd(0.5), name="mine", clipnorm=1.0)
    )
    with pytest.raises(UnknownNameError, match="pass it in custom_objects"):
        optimizers.deserialize(config)
    again = optimizers.deserialize(config, {"mine": optax.sgd(0.5)})
    assert (again.name, again.clipnorm) == ("mine", 1.0)


# ---- names and messages


@pytest.mark.parametrize("name", ["adam", "Adam", "RMSPROP", "adamw", "lossScale"])
def test_names(keras_oracle, name):
    if name == "lossScale":
        with pytest.raises(UnknownNameError, match="Unknown optimizer 'lossScale'"):
            optimizers.get(name)
        return
    expected = keras_oracle.optimizers.get(name)
    assert type(optimizers.get(name)).__name__ == type(expected).__name__
    assert optimizers.get({"class_name": name, "config": {"learning_rate": 0.5}})


def test_classes_and_objects_pass():
    adam = Adam()
    assert optimizers.get(adam) is adam and optimizers.get(None) is None
    assert isinstance(optimizers.get(SGD), SGD)


def _unknown():
    sgd = SGD()
    sgd.build([Variable(1.0)])
    sgd.apply([1.0], [Variable(1.0, name="new")])


def _stateless(count):
    sgd, w = SGD(), Variable(1.0)
    sgd.build([w])
    sgd.stateless_apply([0, 0.1, 1.0][:count], [1.0], [w.value])


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: optimizers.get(3.0), ArgumentError, "Got 3.0 as an optimizer"),
        (
            lambda: SGD(clipnorm=1.0, clipvalue=1.0),
            ArgumentError,
            "at most one of them",
        ),
        (lambda: SGD(momentum=1.5), ArgumentError, "from 0 to 1"),
        (lambda: Adam(gradient_accumulation_steps=1), ArgumentError, "at least 2"),
        (lambda: Adam(ema_momentum=2.0), ArgumentError, "ema_momentum=2.0"),
        (
            lambda: optimizers.AdamW(weight_decay=None),
            ArgumentError,
            "weight_decay=None",
        ),
        (lambda: optimizers.Lion(beta_1=0.0), ArgumentError, "above 0, at most 1"),
        (lambda: Adam().apply([1.0]), NotBuiltError, "is not built"),
        (lambda: Adam().stateless_apply([], [], []), NotBuiltError, "is not built"),
        (_unknown, ArgumentError, "'new' is unknown to"),
        (lambda: _stateless(3), ArgumentError, "got 3 optimizer_variables; expected 2"),
        (
            lambda: SGD().apply([1.0, 2.0], [Variable(1.0)]),
            ArgumentError,
            "got 2 gradients for 1 variables",
        ),
        (
            lambda: Optimizer(0.1).apply([1.0], [Variable(1.0)]),
            NotImplementedError,
            "override rule",
        ),
        (
            lambda: OptimizerMap(SGD(), {"a": LossScaleOptimizer(SGD())}),
            ArgumentError,
            "neither a LossScaleOptimizer",
        ),
    ],
)
def test_messages(make, error, text):
    with pytest.raises(error, match=text):
        make()

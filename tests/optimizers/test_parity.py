"""Every optimizer and option against Keras 3.15: steps, state, configs."""

import copy
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnyx import Variable, optimizers
from carnyx._core.naming import clear_session
from carnyx.optimizers import schedules

rng = np.random.default_rng(0)
SHAPES = {"kernel": (3, 4), "bias": (4,), "embeddings": (5, 2), "cube": (2, 3, 2)}
START = [rng.normal(size=s).astype("float32") for s in SHAPES.values()]
GRADS = [
    [rng.normal(size=s).astype("float32") * size for s in SHAPES.values()]
    for size in (1, 0.1, 10)
]


def decaying(library):
    return library.schedules.ExponentialDecay(0.1, 2, 0.5)


CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "learning_rate": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("RMSprop", {"centered": True, "rho": 0.5, "epsilon": 0.1}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Lamb", {}),
    ("ScheduleFreeAdamW", {"warmup_steps": 2}),
    ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.5}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adafactor", {"learning_rate": 0.1}),
    ("Adafactor", {"learning_rate": 2.0, "clip_threshold": 0.5}),
    ("Ftrl", {"learning_rate": 0.1, "l1_regularization_strength": 0.1, "beta": 0.1,
              "l2_regularization_strength": 0.1, "learning_rate_power": -0.3,
              "l2_shrinkage_regularization_strength": 0.1}),
    ("Lion", {}),
    ("Muon", {}),
    ("Muon", {"exclude_layers": ["kern"], "exclude_embeddings": False,
              "nesterov": False, "rms_rate": None, "adam_lr_ratio": 0.5}),
    # the options
    ("SGD", {"learning_rate": decaying, "weight_decay": 0.1}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"clipnorm": 0.5}),
    ("Adam", {"clipvalue": 0.2}),
    ("Adam", {"global_clipnorm": 0.5}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.5}),
    ("SGD", {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}),
    ("Adam", {"loss_scale_factor": 4.0}),
    ("SGD", {"gradient_accumulation_steps": 2, "momentum": 0.5}),
    ("Adam", {"gradient_accumulation_steps": 3, "clipnorm": 0.3, "weight_decay": 0.1}),
    ("Nadam", {"gradient_accumulation_steps": 2}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def names_start_anew(keras_oracle):
    keras_oracle.backend.clear_session(free_memory=False)
    clear_session(free_memory=False)


def _label(case):
    name, arguments = case
    said = [f"{k}={getattr(v, '__name__', v)}" for k, v in arguments.items()]
    return f"{name}({', '.join(said)})"


def _make(library, variable, case):
    name, arguments = case
    arguments = {k: v(library) if callable(v) else v for k, v in arguments.items()}
    start = START
    if "gradient_accumulation_steps" in arguments:  # Keras constrains between updates
        start = [np.clip(w, -1.2, 1.2) for w in START]
    variables = [variable(w, name=n) for w, n in zip(start, SHAPES, strict=True)]
    variables[0].constraint = lambda w: jnp.clip(getattr(w, "value", w), -1.2, 1.2)
    optimizer = getattr(library, name)(**arguments)
    optimizer.build(variables)
    return optimizer, variables


@pytest.mark.parametrize("case", CASES, ids=_label)
def test_three_steps_are_those_of_keras(keras_oracle, case):
    theirs, their_variables = _make(
        keras_oracle.optimizers, keras_oracle.Variable, case
    )
    ours, variables = _make(optimizers, Variable, case)
    described = [
        [(v.path, v.shape, v.dtype) for v in o.variables] for o in (ours, theirs)
    ]
    assert described[0] == described[1]
    assert optimizers.serialize(ours) == keras_oracle.optimizers.serialize(theirs)

    traces = []

    @jax.jit
    def step(state, grads, weights):
        traces.append(1)
        return ours.stateless_apply(state, grads, weights)

    state, weights = [v.value for v in ours.variables], [v.value for v in variables]
    for grads in GRADS:
        theirs.apply([jnp.asarray(g) for g in grads], their_variables)
        weights, state = step(state, grads, weights)
        for expected, value in zip(
            [*their_variables, *theirs.variables], [*weights, *state], strict=True
        ):
            np.testing.assert_allclose(
                value, expected.numpy(), rtol=2e-5, atol=2e-6, err_msg=expected.path
            )
    assert len(traces) == 1


@pytest.mark.parametrize("case", CASES, ids=_label)
def test_configs_go_both_ways(keras_oracle, case):
    ours = optimizers.serialize(_make(optimizers, Variable, case)[0])
    again = optimizers.deserialize(ours)
    assert optimizers.serialize(again) == ours
    theirs = keras_oracle.saving.deserialize_keras_object(copy.deepcopy(ours))
    assert keras_oracle.optimizers.serialize(theirs) == ours


@pytest.mark.parametrize("case", [c for c in CASES if "_steps" in str(c)], ids=_label)
def test_eager_steps_are_the_traced_ones(case):
    eager, variables = _make(optimizers, Variable, case)
    traced, others = _make(optimizers, Variable, case)
    state, weights = [v.value for v in traced.variables], [v.value for v in others]
    step = jax.jit(traced.stateless_apply)
    for grads in GRADS:
        eager.apply_gradients(zip(grads, variables, strict=True))
        weights, state = step(state, grads, weights)
    for v, value in zip(
        [*variables, *eager.variables], [*weights, *state], strict=True
    ):
        np.testing.assert_allclose(v.numpy(), value, rtol=1e-5, atol=1e-6)


NAMES = sorted({name for name, _ in CASES})


@pytest.mark.parametrize("name", NAMES)
def test_positional_arguments_are_those_of_keras(keras_oracle, name):
    theirs, ours = (
        [
            (p.name, p.default)
            for p in inspect.signature(getattr(m, name).__init__).parameters.values()
            if p.name not in ("self", "kwargs")
        ]
        for m in (keras_oracle.optimizers, optimizers)
    )
    if name == "Muon":  # what Keras has after `name` is by keyword here; [] for None
        ours, theirs = dict(ours), dict(theirs)
    assert ours == theirs


def test_every_optimizer_of_keras_is_there(keras_oracle):
    theirs = {n for n, c in vars(keras_oracle.optimizers).items() if inspect.isclass(c)}
    assert theirs <= set(vars(optimizers))
    others = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
    assert theirs == set(NAMES) | others
    for name in vars(keras_oracle.optimizers.schedules):
        assert name.startswith("_") or hasattr(schedules, name)


SCHEDULES = [
    ("ExponentialDecay", (0.5, 3, 0.7)),
    ("ExponentialDecay", (0.5, 3, 0.7, True)),
    ("InverseTimeDecay", (0.5, 3, 0.7)),
    ("InverseTimeDecay", (0.5, 3, 0.7, True)),
    ("PiecewiseConstantDecay", ([2, 5], [1.0, 0.5, 0.1])),
    ("PiecewiseConstantDecay", ([4], [1.0, 0.5])),
    ("PolynomialDecay", (0.5, 5, 0.1, 2.0)),
    ("PolynomialDecay", (0.5, 3, 0.1, 1.0, True)),
    ("CosineDecay", (0.5, 5, 0.1)),
    ("CosineDecay", (0.1, 5, 0.1, "warm", 0.5, 3)),
    ("CosineDecayRestarts", (0.5, 2)),
    ("CosineDecayRestarts", (0.5, 2, 1.0, 0.5, 0.1)),
    ("CosineDecayRestarts", (0.5, 2, 1.5, 0.9)),
]


@pytest.mark.parametrize("name, arguments", SCHEDULES, ids=str)
def test_schedules_are_those_of_keras(keras_oracle, name, arguments):
    ours = getattr(schedules, name)(*arguments)
    theirs = getattr(keras_oracle.optimizers.schedules, name)(*arguments)
    assert schedules.serialize(ours) == keras_oracle.optimizers.schedules.serialize(
        theirs
    )
    steps = np.arange(12, dtype="int32")
    got = jax.jit(jax.vmap(ours))(steps)
    np.testing.assert_allclose(got, [theirs(s) for s in steps], rtol=1e-5, atol=1e-6)
    assert float(ours(Variable(1, dtype="int32"))) == pytest.approx(float(got[1]))
    again = schedules.deserialize(schedules.serialize(ours))
    assert again.get_config() == ours.get_config()


def test_loss_scaling_is_that_of_keras(keras_oracle):
    runs = []
    for library, variable in (
        (keras_oracle.optimizers, keras_oracle.Variable),
        (optimizers, Variable),
    ):
        clear_session(free_memory=False)
        keras_oracle.backend.clear_session(free_memory=False)
        w = variable(np.array([1.0, 2.0], "float32"), name="w")
        scaled = library.LossScaleOptimizer(
            library.Adam(0.1), initial_scale=8.0, dynamic_growth_steps=2
        )
        scaled.build([w])
        state, weights = [v.value for v in scaled.variables], [w.value]
        step = jax.jit(scaled.stateless_apply)
        history = [[v.path for v in scaled.variables]]
        for g in (1.0, 2.0, np.inf, 3.0, np.nan, 1.0, 1.0, 1.0):
            weights, state = step(state, [jnp.array([g, 1.0])], weights)
            history.append([np.array(x).tolist() for x in (*weights, *state)])
        history.append(library.serialize(scaled))
        runs.append(history)
    theirs, ours = runs
    assert ours[0] == theirs[0] and ours[-1] == theirs[-1]
    for a, b in zip(ours[1:-1], theirs[1:-1], strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5)

"""Kind: a program that keeps for ever what it met while it was traced.

A variable that a loss, a metric or a layer closes over was taken as a constant: a
callback that annealed a loss weight changed nothing, silently; assigning it was an
error, drawing random numbers without a seed another. Attributes (`dropout.rate`,
`layer.activation`, `optimizer.beta_1`) were as they had been in the first step. And
`predict` kept which buffers the last trace had assigned, and used it after programs of
other batch sizes.

Now what a trace finds out belongs to that traced program. Variables of anybody are its
inputs, what is assigned to them its outputs; attributes that it read are part of its
key, and no others, so that a callback may count in one without anything being compiled.
"""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import carnyx as keras
from carnyx import ops

X = np.linspace(-1, 1, 32, dtype="float32").reshape(16, 2)
Y = X[:, :1] * 2
EAGER = pytest.mark.parametrize("eager", [False, True], ids=["compiled", "eagerly"])


def _net(*layers, loss="mse", optimizer="sgd", **options):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((2,)), *layers])
    net.compile(optimizer, loss, **options)
    return net


def _each_epoch(hook):
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: hook(epoch)
    )


# ---- variables of nobody


@EAGER
def test_a_loss_weight_that_a_callback_anneals(eager):
    weight = keras.Variable(0.0, name="weight")

    def loss(y, p):
        return ops.mean(ops.square(p - y)) * 0 + weight

    net = _net(keras.layers.Dense(1), loss=loss, run_eagerly=eager)
    anneal = _each_epoch(lambda epoch: weight.assign(float(epoch)))
    history = net.fit(X, Y, epochs=3, verbose=0, callbacks=[anneal]).history
    assert history["loss"] == [0.0, 1.0, 2.0]
    assert net.evaluate(X, Y, verbose=0) == 2.0
    weight.assign(5.0)
    assert net.evaluate(X, Y, verbose=0) == 5.0
    assert net.train_on_batch(X, Y) == 5.0


@EAGER
@pytest.mark.parametrize("batch_size", [4, 16], ids=["fused", "alone"])
def test_what_loss_metric_layer_and_schedule_assign_comes_back(eager, batch_size):
    names = ("loss", "metric", "layer", "rate")
    counts = {n: keras.Variable(0.0, name=n) for n in names}

    def loss(y, p):
        counts["loss"].assign_add(1.0)
        return ops.mean(ops.square(p - y))

    def metric(y, p):
        return counts["metric"].assign_add(1.0) + 0 * ops.mean(p, -1)

    class Counts(keras.layers.Layer):
        def call(self, x):
            counts["layer"].assign(counts["layer"] + 1.0)
            return x

    def rate():
        return counts["rate"].assign_add(1.0) * 0 + 0.01

    optimizer = keras.optimizers.SGD(rate)
    net = _net(
        Counts(), keras.layers.Dense(1), loss=loss, metrics=[metric],
        optimizer=optimizer, run_eagerly=eager,
    )  # fmt: skip
    for count in counts.values():  # building has called them, too
        count.assign(0.0)
    net.fit(X, Y, batch_size=batch_size, epochs=2, verbose=0)
    steps = 2 * len(X) // batch_size
    assert float(counts["loss"]) == float(counts["layer"]) == steps
    assert float(counts["metric"]) == steps
    assert float(counts["rate"]) >= steps  # may be asked more than once a step
    net.evaluate(X, Y, batch_size=16, verbose=0)
    assert float(counts["loss"]) == steps + 1
    before = float(counts["layer"])
    net.predict(X, batch_size=16, verbose=0)
    assert float(counts["layer"]) == before + 1


@pytest.mark.filterwarnings("ignore:.* is no part of it")
def test_the_weights_of_a_teacher_are_inputs():
    teacher = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **_):
            return ops.mean(ops.square(teacher(x) - y_pred))

    student = Student()
    student.compile("sgd")
    student.fit(X, Y, batch_size=16, verbose=0)
    teacher.set_weights([np.full((2, 1), 3.0), np.zeros(1)])
    expected = np.mean((teacher(X) - student(X)) ** 2)
    assert student.evaluate(X, Y, verbose=0) == pytest.approx(float(expected), 1e-5)


def test_python_may_decide_by_a_variable():
    """Its value is part of the program then."""
    warm = keras.Variable(0, name="warm")

    def loss(y, p):
        return ops.mean(p) * 0 + (2.0 if int(warm) else 1.0)

    net = _net(keras.layers.Dense(1), loss=loss)
    switch = _each_epoch(lambda epoch: warm.assign(epoch // 2))
    history = net.fit(X, Y, epochs=4, verbose=0, callbacks=[switch]).history
    assert history["loss"] == [1.0, 1.0, 2.0, 2.0]


def test_a_step_of_ones_own_with_its_own_gradient():
    count = keras.Variable(0.0, name="count")

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            count.assign_add(1.0)
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            loss, gradients = self.value_and_grad(
                lambda: ops.mean(ops.square(self(x, training=True) - y))
            )
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    model = Own()
    model.compile("sgd")
    model.fit(X, Y, batch_size=16, verbose=0)
    count.assign(0.0)
    model.fit(X, Y, batch_size=4, verbose=0)
    assert float(count) == 4


def test_what_cannot_leave_a_gradient_says_so():
    count = keras.Variable(0.0, name="count")

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            count.assign_add(ops.mean(self.dense(x)))
            return self.dense(x)

        def train_step(self, state, data):
            x, y = data
            trainable, buffers, slots, metrics = state
            gradient = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, _), g = gradient(trainable, buffers, metrics, x, y, None, True)
            trainable, slots = self.optimizer.stateless_apply(slots, g, trainable)
            return {"loss": loss}, (trainable, buffers, slots, metrics)

    model = Own()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="'count' is assigned inside a gradient or"):
        model.fit(X, Y, verbose=0)


def test_an_exact_resume_knows_them(tmp_path):
    def run(folder, end=None):
        keras.utils.set_random_seed(0)
        weight, count = keras.Variable(0.5), keras.Variable(0.0)

        def loss(y, p):
            count.assign_add(1.0)
            return ops.mean(ops.square(p - y)) * weight

        class Anneal(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                weight.assign(weight * 0.9)
                if batch == end:
                    raise KeyboardInterrupt

        net = keras.Sequential([keras.Input((2,)), _Noise(), keras.layers.Dense(1)])
        net.compile("adam", loss)
        backup = keras.callbacks.BackupAndRestore(
            folder, save_freq=1, delete_checkpoint=False, keep=3
        )
        net.fit(X, Y, 4, epochs=2, verbose=0, callbacks=[Anneal(), backup])
        return [v.numpy() for v in (*net.weights, weight, count)]

    undisturbed = run(tmp_path / "undisturbed")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", end=2)
    for a, b in zip(undisturbed, run(tmp_path / "killed"), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- attributes

CHANGES = {
    "dropout's rate": (
        lambda: [keras.layers.Dropout(0.5), keras.layers.Dense(1)],
        lambda net: setattr(net.layers[0], "rate", 0.0),
    ),
    "activation": (
        lambda: [keras.layers.Dense(1, activation="relu")],
        lambda net: setattr(net.layers[0], "activation", "linear"),
    ),
    "a regularizer's factor": (
        lambda: [keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.1))],
        lambda net: setattr(net.layers[0].kernel_regularizer, "l2", 5.0),
    ),
    "momentum": (
        lambda: [keras.layers.Dense(1)],
        lambda net: setattr(net.optimizer, "momentum", 0.0),
    ),
    "clipping": (
        lambda: [keras.layers.Dense(1)],
        lambda net: setattr(net.optimizer, "clipnorm", 1e-3),
    ),
    "a loss's option": (
        lambda: [keras.layers.Dense(1)],
        lambda net: setattr(net.loss, "delta", 0.01),
    ),
    "a metric's threshold": (
        lambda: [keras.layers.Dense(1)],
        lambda net: setattr(net.get_compiled_metric(), "threshold", -5.0),
    ),
    "an attribute of one's own": (
        lambda: [_Scaled(), keras.layers.Dense(1)],
        lambda net: setattr(net.layers[0], "scale", 3.0),
    ),
}


class _Scaled(keras.layers.Layer):
    scale = 1.0

    def __init__(self):
        super().__init__()
        self.scale = 2.0
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return x * self.scale


class _Net(keras.Sequential):
    def get_compiled_metric(self):
        return self._compiled.metrics.metrics[0]


def _compiled(layers):
    keras.utils.set_random_seed(0)
    net = _Net([keras.Input((2,)), *layers()])
    net.compile(
        keras.optimizers.SGD(0.1, momentum=0.9), keras.losses.Huber(),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.5)],
    )  # fmt: skip
    return net


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_set_between_epochs_is_in_force(name):
    """As in a model that was changed before it was trained for the first time."""
    layers, change = CHANGES[name]
    net, other = _compiled(layers), _compiled(layers)
    net.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    change(net)
    other.run_eagerly = True
    other.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    change(other)
    results = [n.fit(X, Y, 4, shuffle=False, verbose=0).history for n in (net, other)]
    assert results[0] == {k: pytest.approx(v, 1e-4) for k, v in results[1].items()}
    for a, b in zip(net.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-6)
    np.testing.assert_allclose(
        net.predict(X, verbose=0), other.predict(X, verbose=0), 1e-4, 1e-6
    )


def test_what_no_trace_read_may_be_set_at_no_cost():
    net = _compiled(
        lambda: [_Scaled(), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )

    class Counts(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.layers[0].step_count = batch
            self.model.step_count = batch

    for _ in range(2):
        net.fit(X, Y, batch_size=4, verbose=0, callbacks=[Counts()])
        net.fit(X, Y, batch_size=4, verbose=0)
    before = net.train_program().compilations()
    net.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[Counts()])
    assert net.train_program().compilations() == before
    other = _compiled(lambda: [keras.layers.Dropout(0.1), keras.layers.Dense(1)])
    other.fit(X, Y, batch_size=4, verbose=0)
    other.layers[0].rate = 0.7  # another model's business
    net.fit(X, Y, batch_size=4, verbose=0)
    assert net.train_program().compilations() == before


def test_attributes_that_go_to_and_fro_compile_once_each():
    net = _compiled(lambda: [keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    sizes = []
    for rate in (0.0, 0.5, 0.0, 0.5, 0.0):
        net.layers[0].rate = rate
        net.fit(X, Y, batch_size=16, verbose=0)
        net.fit(X, Y, batch_size=16, verbose=0)
        sizes.append(net.train_program().compilations())
    assert sizes[1] == sizes[-1]


# ---- random numbers without a seed


class _Noise(keras.layers.Layer):
    def call(self, x):
        return x + keras.random.normal(x.shape)


def test_unseeded_numbers_are_fresh_and_those_of_an_eager_call():
    net = _net(_Noise())
    x = np.zeros((4, 2), "float32")
    keras.utils.set_random_seed(5)
    eager = [np.asarray(net(x)) for _ in range(3)]
    keras.utils.set_random_seed(5)
    compiled = [net.predict(x, verbose=0) for _ in range(3)]
    np.testing.assert_allclose(compiled, eager, 1e-6, 1e-7)
    assert not np.allclose(eager[0], eager[1])


@EAGER
def test_unseeded_numbers_in_training(eager):
    net = _net(_Noise(), keras.layers.Dense(1), run_eagerly=eager)
    state = np.random.normal(size=(2, 1))
    losses = []
    for _ in range(3):
        net.layers[1].set_weights([state, np.zeros(1)])
        losses.append(net.fit(X, Y, batch_size=4, shuffle=False, verbose=0))
    assert len({h.history["loss"][0] for h in losses}) == 3
    float(keras.random.normal(()))  # the generator is whole


def test_an_unseeded_number_in_a_loop_says_so():
    class Loops(keras.layers.Layer):
        def call(self, x):
            def turn(carry, _):
                return carry + keras.random.normal(()), None

            return jax.lax.scan(turn, x, None, length=2)[0]

    net = _net(Loops(), keras.layers.Dense(1))
    with pytest.raises(ValueError, match="without a seed in .*loops.* a loop"):
        net.fit(X, Y, verbose=0)
    float(keras.random.normal(()))


OWN_PROGRAMS = {
    "jit": lambda fn: jax.jit(fn)(),
    "scan": lambda fn: jax.lax.scan(lambda c, _: (c, fn()), 0.0, None, length=2),
    "jit of a gradient": lambda fn: jax.jit(jax.grad(lambda x: x * fn()))(1.0),
    "jit of vmap": lambda fn: jax.jit(jax.vmap(lambda x: x * fn()))(np.ones(2)),
}
DRAWS = {
    "a number": lambda: keras.random.normal(()),
    "dropout": lambda: keras.layers.Dropout(0.5)(np.ones(4), training=True)[0],
}


@pytest.mark.parametrize("program", OWN_PROGRAMS)
@pytest.mark.parametrize("draw", DRAWS)
def test_unseeded_numbers_in_a_program_of_ones_own(program, draw):
    with pytest.raises(ValueError, match="without a seed"):
        OWN_PROGRAMS[program](DRAWS[draw])
    a, b = (float(keras.random.normal(())) for _ in range(2))
    assert a != b


@pytest.mark.parametrize("wrap", [jax.grad, jax.vmap])
def test_unseeded_numbers_in_an_eager_gradient_are_fresh(wrap):
    f = wrap(lambda x: x * keras.random.normal(()))
    one = 1.0 if wrap is jax.grad else np.ones(1)
    assert float(np.ravel(f(one))[0]) != float(np.ravel(f(one))[0])


def test_a_variable_keeps_no_value_of_ones_own_program():
    v = keras.Variable(1.0, name="v")
    with pytest.raises(ValueError, match="'v' is assigned a value inside a function"):
        jax.jit(lambda x: v.assign(x))(2.0)
    assert float(v) == 1.0


# ---- which variables are touched depends on the shapes


def test_predict_with_buffers_by_batch_size():
    class Buffers(keras.layers.Layer):
        def build(self, input_shape):
            self.a = self.add_weight((), "zeros", trainable=False)
            self.b = self.add_weight((), "zeros", trainable=False)

        def call(self, x):
            if x.shape[0] is not None and x.shape[0] > 4:
                self.a.assign_add(10.0)
            else:
                self.b.assign_add(1.0)
            return x

    layer = Buffers()
    net = keras.Sequential([keras.Input((2,)), layer])
    layer.a.assign(0.0)
    layer.b.assign(0.0)
    for n in (8, 2, 8, 8):
        net.predict(X[:n], batch_size=n, verbose=0)
    assert (float(layer.a), float(layer.b)) == (30.0, 1.0)


ACTS = st.sampled_from(["read", "assign", "draw", "none"])
PLANS = st.dictionaries(st.sampled_from([2, 3, 4]), st.lists(ACTS, max_size=3))


@settings(max_examples=8)
@given(plan=PLANS, sizes=st.lists(st.sampled_from([2, 3, 4]), min_size=2, max_size=4))
def test_layers_that_touch_other_variables_by_shape(plan, sizes):
    """The same numbers eagerly, compiled, fused, and in prediction."""

    def run(mode):
        keras.utils.set_random_seed(1)
        own = [keras.Variable(float(i), name=f"own{i}") for i in range(3)]
        others = [keras.Variable(float(i), name=f"other{i}") for i in range(3)]

        class Acts(keras.layers.Layer):
            def __init__(self):
                super().__init__()
                self.own = own

            def build(self, input_shape):
                self.w = self.add_weight((), "ones")

            def call(self, x):
                total = ops.mean(x) * self.w
                for i, act in enumerate(plan.get(x.shape[0], ())):
                    for v in (own[i], others[i]):
                        if act == "read":
                            total = total + v * self.w
                        if act == "assign":
                            total = total + v.assign(v * 2 + 1)
                        if act == "draw":
                            total = total + keras.random.normal(())
                return ops.zeros_like(x) + total

        acts = Acts()
        acts.build((None, 2))
        model = keras.Sequential([acts])
        model.compile("sgd", "mse", run_eagerly=mode == "eager")
        model.build((None, 2))
        seen = []
        for n in sizes:
            keras.utils.set_random_seed(n)
            for i in range(3):
                own[i].assign(float(i))
                others[i].assign(float(i))
            x = np.ones((2 * n if mode != "predict" else n, 2), "float32")
            if mode == "predict":
                seen.append(model.predict(x, batch_size=n, verbose=0).mean())
                keras.utils.set_random_seed(n)
                seen[-1] = (seen[-1], [float(v) for v in own + others])
                continue
            h = model.fit(x, x, batch_size=n, shuffle=False, verbose=0).history
            seen.append((h["loss"][0], [float(v) for v in own + others]))
        return seen

    def flat(seen):
        return np.array([[loss, *rest] for loss, rest in seen], "float32")

    np.testing.assert_allclose(flat(run("compiled")), flat(run("eager")), 1e-4, 1e-5)
    keras.utils.set_random_seed(1)
    assert np.isfinite(flat(run("predict"))).all()


# ---- numbers of learning rates

SCHEDULES = {
    "ExponentialDecay": {"decay_steps": 4.0, "decay_rate": 0.5},
    "InverseTimeDecay": {"decay_steps": 4, "decay_rate": 0.5},
    "PolynomialDecay": {"decay_steps": 4.0, "power": 2.0, "end_learning_rate": 0.1},
    "CosineDecay": {"decay_steps": 4.5, "alpha": 0.1, "warmup_target": 0.8},
    "CosineDecayRestarts": {"first_decay_steps": 4, "m_mul": 0.9, "alpha": 0.1},
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_reads_the_variables_that_are_its_numbers(name):
    plain = {"initial_learning_rate": 0.5, **SCHEDULES[name]}
    held = {key: keras.Variable(value * 7) for key, value in plain.items()}
    make = getattr(keras.optimizers.schedules, name)
    schedule = make(**held)
    for key, value in plain.items():
        held[key].assign(value)
    expected = make(**plain)
    for step in (0, 3, 9):
        np.testing.assert_allclose(schedule(step), expected(step), rtol=1e-6)
    assert schedule.get_config() == pytest.approx(expected.get_config())


@pytest.mark.parametrize("kind", ["schedule", "function", "function of a value"])
def test_a_learning_rate_that_somebody_sets(kind):
    rate = keras.Variable(1.0)
    rates = {
        "schedule": keras.optimizers.schedules.ExponentialDecay(rate, 1, 1.0),
        "function": lambda: rate,
        "function of a value": lambda: rate * 1.0,
    }
    net = _net(keras.layers.Dense(1), optimizer=keras.optimizers.SGD(rates[kind]))
    net.fit(X, Y, verbose=0)
    rate.assign(0.0)
    before = net.get_weights()
    net.fit(X, Y, epochs=2, verbose=0)
    for mine, wanted in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, wanted)


def test_a_variable_whose_value_alone_would_be_taken_is_refused():
    with pytest.raises(ValueError, match="learning_rate=lambda: rate"):
        keras.optimizers.Adam(keras.Variable(0.1))

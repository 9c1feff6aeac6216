"""Distillation: values against Keras and the paper, training, files, refusals."""

import jax
import numpy as np
import pytest

import carnyx as keras
from carnyx.distillation import (
    DistillationLoss,
    Distiller,
    FeatureDistillation,
    LogitsDistillation,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(32, 4)).astype("float32")
Y = rng.integers(0, 3, 32)
TEACHER, STUDENT = rng.normal(size=(2, 8, 5)).astype("float32")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(units, name="net", **dense):
    layers = keras.layers
    hidden = layers.Dense(units, "relu", name="hidden", **dense)
    return keras.Sequential([keras.Input((4,)), hidden, layers.Dense(3)], name=name)


def distiller(*losses, teacher=None, student=None, **options):
    given = losses[0] if len(losses) == 1 else list(losses)
    pair = teacher or network(16), student or network(4)
    made = Distiller(*pair, given, **options)
    made.compile(keras.optimizers.Adam(0.01), LOSS, ["accuracy"])
    return made


def test_soft_predictions_are_compared_as_in_the_paper():
    t = 2.0
    p, q = (jax.nn.softmax(a / t) for a in (TEACHER, STUDENT))
    expected = t**2 * np.mean(np.sum(p * np.log(p / q), -1))
    for loss in ("kl_divergence", keras.losses.KLDivergence()):
        got = LogitsDistillation(t, loss).compute_loss(TEACHER, STUDENT)
        np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("name, arguments", [
    ("LogitsDistillation", {"loss": "mse", "temperature": 4.0}),
    ("FeatureDistillation", {}),
    ("FeatureDistillation", {"loss": "cosine_similarity"}),
    ("LogitsDistillation", {}),
])  # fmt: skip
def test_values_and_configs_of_keras(name, arguments, keras_oracle):
    theirs = getattr(keras_oracle.distillation, name)
    if not arguments and name == "LogitsDistillation":  # see docs/differences.md
        reference = theirs(loss=keras_oracle.losses.KLDivergence())
    else:
        reference = theirs(**arguments)
    ours = getattr(keras.distillation, name)(**arguments)
    np.testing.assert_allclose(
        ours.compute_loss(TEACHER, STUDENT),
        reference.compute_loss(TEACHER, STUDENT), rtol=1e-4,
    )  # fmt: skip
    config = theirs(**arguments).get_config()
    again = type(ours).from_config(config)
    assert again.get_config() == ours.get_config()
    assert set(config) == set(ours.get_config())


def test_one_loss_for_each_output_and_none_for_some():
    both = [TEACHER, STUDENT]
    some = FeatureDistillation(["mse", None])
    one = FeatureDistillation("mse").compute_loss(TEACHER, STUDENT)
    np.testing.assert_allclose(some.compute_loss(both, both[::-1]), one, rtol=1e-5)
    by_name = FeatureDistillation({"a": "mse", "b": None})
    outputs = {"a": TEACHER, "b": STUDENT}
    assert float(by_name.compute_loss(outputs, outputs)) == 0
    with pytest.raises(ValueError, match="Give one loss for each output"):
        some.validate_outputs(TEACHER, STUDENT)


def test_the_loss_is_the_weighted_sum_and_the_history_has_its_parts():
    model = distiller(LogitsDistillation(), student_loss_weight=0.3)
    row = {
        k: v[0] for k, v in model.fit(X, Y, verbose=0, batch_size=32).history.items()
    }
    parts = row["student_loss"], row["distillation_loss"]
    np.testing.assert_allclose(row["loss"], 0.3 * parts[0] + 0.7 * parts[1], rtol=1e-5)
    assert row["total_loss"] == pytest.approx(row["loss"]) and "accuracy" in row


def test_the_student_comes_nearer_to_its_teacher_which_stays():
    teacher = network(16)
    before = teacher.get_weights()
    model = distiller(LogitsDistillation(), teacher=teacher, student_loss_weight=0.0)
    losses = model.fit(X, Y, epochs=60, verbose=0).history["distillation_loss"]
    assert losses[-1] < 0.3 * losses[0] and not teacher.trainable
    for a, b in zip(before, teacher.get_weights()):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        model.predict(X, verbose=0), model.student.predict(X, verbose=0), rtol=1e-5
    )
    assert {"total_loss", "student_loss", "distillation_loss"} <= set(
        model.evaluate(X, Y, verbose=0, return_dict=True)
    )


def test_sample_weights_count_for_the_students_own_loss():
    model = distiller(LogitsDistillation(), student_loss_weight=1.0)
    some = (np.arange(32) < 8).astype("float32")
    weighted = model.evaluate(X, Y, sample_weight=some, verbose=0, return_dict=True)
    logits = model.student.predict(X, verbose=0)
    expected = float(LOSS(Y, logits, sample_weight=some))
    assert weighted["loss"] == pytest.approx(expected, rel=1e-4)


def test_features_of_layers_and_buffers_that_change_once():
    def normed(units, name):
        layers = keras.layers
        body = [layers.BatchNormalization(), layers.Dense(units, name="hidden")]
        return keras.Sequential([keras.Input((4,)), *body, layers.Dense(3)], name=name)

    student = normed(6, "student")
    losses = FeatureDistillation("mse", "hidden", "hidden"), LogitsDistillation()
    model = distiller(*losses, teacher=normed(6, "teacher"), student=student,
                      distillation_loss_weights=[0.5, 2.0])  # fmt: skip
    history = model.fit(X, Y, epochs=1, batch_size=32, verbose=0).history
    norm = student.layers[0]
    np.testing.assert_allclose(norm.moving_mean, 0.01 * X.mean(0), rtol=1e-3, atol=1e-6)
    assert np.isfinite(history["distillation_loss"]).all()
    assert len(model.weights) == len(model.teacher.weights) + len(student.weights)


def test_features_give_the_value_that_they_should():
    student, teacher = network(4), network(4)
    model = distiller(FeatureDistillation("mse", "hidden", "hidden"), student=student,
                      teacher=teacher, student_loss_weight=0.0)  # fmt: skip
    got = model.evaluate(X, Y, verbose=0, return_dict=True)["distillation_loss"]
    hidden = [np.asarray(m.get_layer("hidden")(X)) for m in (teacher, student)]
    assert got == pytest.approx(np.mean((hidden[0] - hidden[1]) ** 2), rel=1e-4)


def test_a_loss_of_ones_own():
    class Difference(DistillationLoss):
        def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
            return keras.ops.mean(keras.ops.abs(teacher_outputs - student_outputs))

    assert "distillation_loss" in distiller(Difference()).fit(X, Y, verbose=0).history


def test_a_file_gives_the_distiller_back(tmp_path):
    model = distiller(LogitsDistillation(2.0), FeatureDistillation("mse"))
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "distiller.keras")
    again = keras.models.load_model(tmp_path / "distiller.keras")
    assert again.distillation_losses[0].temperature == 2.0
    np.testing.assert_allclose(again(X), model(X), rtol=1e-5)
    first, second = (
        m.evaluate(X, Y, verbose=0, return_dict=True) for m in (model, again)
    )
    assert first == pytest.approx(second, rel=1e-4)


def narrow():
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])


class Plain(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize("make, words", [
    (lambda: Distiller("t", network(2), LogitsDistillation()), "teacher='t'"),
    (lambda: Distiller(network(2), network(2), None), "distillation_losses=None"),
    (lambda: distiller(LogitsDistillation(), student_loss_weight=1.5), "from 0 to 1"),
    (lambda: distiller(LogitsDistillation(), distillation_loss_weights=[1, 2]),
     "1 numbers"),
    (lambda: Distiller(network(2), narrow(), LogitsDistillation()), "with inputs"),
    (lambda: distiller(FeatureDistillation("mse", "no")), "In the teacher model: .*no"),
    (lambda: distiller(FeatureDistillation("mse", None, "hidden"), teacher=Plain()),
     "no symbolic inputs"),
    (lambda: LogitsDistillation(0), "temperature=0; expected a number above 0"),
    (lambda: LogitsDistillation(loss=[None]), "at least one loss"),
    (lambda: FeatureDistillation("msee"), "Did you mean"),
    (lambda: distiller(LogitsDistillation()).compile("adam"), "the student's loss"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_loss_that_is_no_single_number_is_told():
    class Rows(DistillationLoss):
        def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
            return teacher_outputs - student_outputs

    with pytest.raises(ValueError, match="Rows.compute_loss returned shape"):
        distiller(Rows()).fit(X, Y, verbose=0)

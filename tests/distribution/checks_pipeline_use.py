"""What a pipeline reports, and its use as a model."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx.distribution import Pipeline
from tests.distribution.checks_pipeline import crossentropy, data_for, deep_mlp, twins

layers = keras.layers

# ---- schedule and memory ---------------------------------------------------------


def test_programs_are_compiled_once() -> None:
    _, pipeline = twins("mlp")
    pipeline.compile("sgd", crossentropy(from_logits=True))
    pipeline.train_on_batch(*data_for("mlp", 16))
    before = pipeline.train_program().compilations()
    pipeline.train_on_batch(*data_for("mlp", 16))
    assert pipeline.train_program().compilations() == before


def test_the_report() -> None:
    _, pipeline = twins("mlp", costs=[1, 1, 1, 1, 1, 1])
    pipeline.compile("adam", crossentropy(from_logits=True))
    pipeline.train_on_batch(*data_for("mlp", 16))
    report = pipeline.report()
    assert report.batch_size == 16 and report.microbatches == 8
    weights = sum(w.nbytes for w in pipeline.weights)
    assert sum(s.parameters for s in report.stages) == weights
    slots = sum(v.nbytes for v in pipeline.optimizer.variables)
    assert sum(s.optimizer for s in report.stages) == slots
    assert [s.alive for s in report.stages] == [8] * 4
    # two Dense of 16 with relu: for each sample at least what the products read
    assert report.stages[0].residuals >= 4 * 2 * (12 + 16) * 4
    assert pipeline.report(64).stages[0].residuals > 1.5 * report.stages[0].residuals
    assert report.balanced_bubble == 3 / 11
    assert report.bubble > report.balanced_bubble  # two layers in some stages
    text = str(report)
    assert all(f"cpu:{i}" in text for i in range(4)) and "KiB" in text
    assert report._repr_html_().count("<tr>") == 5


def test_microbatches_keep_no_weights() -> None:
    def kept(policy: str) -> int:
        dense = [layers.Dense(128, "tanh", dtype=policy) for _ in range(4)]
        model = keras.Sequential([keras.Input((128,)), *dense])
        report = Pipeline(model, stages=2, microbatches=8).report(8)
        assert report.stages[0].parameters > 100_000  # two kernels of 64 KiB
        return report.stages[0].residuals // report.stages[0].alive

    assert kept("float32") < 3000 and kept("mixed_bfloat16") < 3000


def test_what_is_computed_again_is_not_kept() -> None:
    def kept(remat: bool, batch_size: int) -> int:
        dense = [layers.Dense(128, "tanh") for _ in range(8)]
        model = keras.Sequential([keras.Input((128,)), *dense])
        pipeline = Pipeline(model, stages=2, microbatches=8, remat=remat)
        return pipeline.report(batch_size).stages[1].residuals

    sample = 128 * 4
    assert kept(False, 8) >= 8 * 4 * sample  # what each layer gives, at least
    assert kept(True, 8) <= 8 * sample + kept(False, 8) // 8


def test_costs_estimated_measured_and_given() -> None:
    inputs = x = keras.Input((8,))
    for units in (8, 8, 256, 8):
        x = layers.Dense(units)(x)
    model = keras.Model(inputs, x)
    for costs in ("estimated", [1, 1, 9, 9]):
        pipeline = Pipeline(model, stages=2, microbatches=2, costs=costs)
        assert [len(part) for part in pipeline.stages] == [3, 1]
    measured = Pipeline(model, stages=2, microbatches=2, costs="measured")
    assert sum(map(len, measured.stages)) == 4


def test_where_layers_live_and_what_a_step_takes() -> None:
    _, pipeline = twins("mlp")
    pipeline.compile("adam", crossentropy(from_logits=True))
    x, y = data_for("mlp", 32)
    pipeline.train_on_batch(x, y)
    table = pipeline.placement()
    assert list(table.devices) == [f"cpu:{i}" for i in range(4)]
    for row, names in zip(pipeline.report().stages, pipeline.stages, strict=True):
        assert table.devices[row.device].parameters == row.parameters
        on = {r.name.split()[0] for r in table.layers if row.device in r.kept_on}
        assert on == set(names)
    before = pipeline.get_weights()
    times = pipeline.profile((x, y), batch_size=16, steps=2, print_fn=lambda _: None)
    assert times["steps"] == 2 and times["memory"]["variables"] > 0
    for a, b in zip(pipeline.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- use as a model --------------------------------------------------------------


def test_template_and_pipeline_take_turns_and_are_saved(tmp_path: Path) -> None:
    x, y = data_for("mlp", 32)
    template = deep_mlp()
    pipeline = Pipeline(template, stages=4, microbatches=4)
    template.compile("sgd", crossentropy(from_logits=True))
    pipeline.compile("adam", crossentropy(from_logits=True))
    losses = []
    for model in (pipeline, template, pipeline, template):
        losses += model.fit(x, y, batch_size=16, verbose=0).history["loss"]
        expected = template.predict(x, verbose=0)
        np.testing.assert_allclose(pipeline.predict(x, verbose=0), expected, rtol=1e-5)
        np.testing.assert_allclose(pipeline(x), expected, rtol=1e-5)
        np.testing.assert_allclose(template(x), expected, rtol=1e-5)
    assert losses == sorted(losses, reverse=True)
    pipeline.predict(x, verbose=0)
    homes = [w.value.devices() for w in template.weights]
    assert len({d for devices in homes for d in devices}) == 4
    for number, model in enumerate((pipeline, template)):
        file = tmp_path / f"{number}.keras"
        model.save(file)
        loaded = keras.models.load_model(file)
        np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-5)
    pipeline.save_weights(tmp_path / "w.weights.h5")
    pipeline.set_weights([np.zeros_like(w) for w in template.get_weights()])
    pipeline.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_allclose(template.predict(x, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize("how", ["data", "split", "gpus"])
def test_a_model_that_had_a_pipeline_is_like_any_other(how: str) -> None:
    x, y = np.ones((37, 8), "float32"), np.ones((37, 1), "float32")  # 5 are left over
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(4)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    keras.distribution.Pipeline(model, stages=2, microbatches=2)
    data = keras.distribution.DataParallel(shard_parameters=how == "split")
    keras.distribution.set_distribution(None if how == "gpus" else data)
    try:
        if how == "gpus":
            model = keras.utils.multi_gpu_model(model, gpus=4)
        model.compile(keras.optimizers.SGD(0.01), "mse")
        losses = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history["loss"]
    finally:
        keras.distribution.set_distribution(None)
    assert losses[1] < losses[0]


def test_a_stopped_job_goes_on(tmp_path: Path) -> None:
    class Dies(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise RuntimeError("killed")

    def run(*callbacks: Any, resume: Any = None) -> Any:
        keras.utils.set_random_seed(9)
        model = Pipeline(deep_mlp(), stages=4, microbatches=4)
        model.compile(keras.optimizers.Adam(0.01), crossentropy(from_logits=True))
        keep = keras.callbacks.BackupAndRestore(tmp_path) if resume else None
        model.fit(
            *data_for("mlp", 20), batch_size=8, epochs=2, verbose=0,
            callbacks=[c for c in (*callbacks, keep) if c is not None],
        )  # fmt: skip
        return model.get_weights()

    straight = run()
    with pytest.raises(RuntimeError, match="killed"):
        run(Dies(), resume=True)
    again = run(resume=True)
    for a, b in zip(again, straight, strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_per_execution_validation_and_attributes() -> None:
    x, y = data_for("mlp", 40)
    _, pipeline = twins("mlp")
    pipeline.compile(
        "sgd",
        crossentropy(from_logits=True),
        steps_per_execution=2,
        metrics=["accuracy"],
    )
    history = pipeline.fit(
        x, y, batch_size=8, validation_split=0.2, verbose=0, epochs=2
    ).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert pipeline.optimizer is pipeline.model.optimizer and pipeline.compiled
    pipeline.stop_training = True
    assert pipeline.model.stop_training
    assert "4 stages, 8 microbatches" in repr(pipeline)
    with pytest.raises(AttributeError, match="make another Pipeline"):
        pipeline.microbatches = 3


def test_the_example_learns(capsys: Any) -> None:
    file = Path(__file__).resolve().parents[2] / "examples" / "pipeline.py"
    example = runpy.run_path(str(file))
    assert example["main"](epochs=3, n=512, blocks=1) > 0.5  # 1 in 8 by chance
    assert "(27% if" in capsys.readouterr().out


# ---- errors ----------------------------------------------------------------------


def test_what_cannot_be_cut() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.Flatten()])
    with pytest.raises(ValueError, match="only 1 cost something"):
        Pipeline(model, stages=2)
    with pytest.raises(RuntimeError, match="has 8 devices: cpu:0, .*cpu:7"):
        Pipeline(deep_mlp(), stages=9)
    with pytest.raises(ValueError, match="with cpu:0 2 times"):
        Pipeline(deep_mlp(), devices=["cpu:0", "cpu:0"])
    with pytest.raises(ValueError, match="device of its own for each stage"):
        Pipeline(deep_mlp(), stages=3, devices=["cpu:0", "cpu:1"])
    with pytest.raises(RuntimeError, match="cpu:9"):
        Pipeline(deep_mlp(), devices=["cpu:0", "cpu:9"])
    with pytest.raises(ValueError, match="not built"):
        Pipeline(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="2 costs for 6 calls"):
        Pipeline(deep_mlp(), stages=2, costs=[1, 2])
    with pytest.raises(ValueError, match="microbatches=0"):
        Pipeline(deep_mlp(), stages=2, microbatches=0)

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    own = Own()
    own(np.ones((1, 2)))
    with keras.device("cpu:1"):
        placed = deep_mlp()
    with pytest.raises(ValueError, match="inside device scopes"):
        Pipeline(placed, stages=2)
    with pytest.raises(ValueError, match="neither Sequential nor functional"):
        Pipeline(own, stages=2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"devices": [0, 1]}, "expected names of devices"),
        ({"devices": []}, "expected names of devices"),
        ({"devices": 2}, "expected names of devices"),
        ({"stages": 2.0}, "stages=2.0; expected a whole number"),
        ({"stages": 2.0, "devices": ["cpu:0", "cpu:1"]}, "expected a whole number"),
        ({"stages": 2, "microbatches": "8"}, "microbatches='8'; expected a whole"),
        ({"stages": 2, "costs": 3}, "costs=3; expected one of"),
        ({"stages": 2, "costs": {"dense": 1}}, "for each of its `calls`"),
        ({"stages": 2, "costs": ["a"]}, "for each of its `calls`"),
        ({"stages": 2, "costs": [float("nan")] * 6}, "finite number, 0 or more"),
    ],
)
def test_arguments_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(keras.errors.ArgumentError, match=message):
        Pipeline(deep_mlp(), **options)


def test_whole_numbers_and_one_device() -> None:
    pipeline = Pipeline(deep_mlp(), np.int64(2), microbatches=np.int32(4))
    assert len(pipeline.stages) == 2 and pipeline.report(np.int64(8)).batch_size == 8
    for size in ("a", 8.0, True):
        with pytest.raises(
            keras.errors.ArgumentError, match="batch_size=.*a whole num"
        ):
            pipeline.report(size)
    (device,) = Pipeline(deep_mlp(), devices="cpu:3").devices
    assert device.id == 3


def test_a_model_that_has_its_devices_already() -> None:
    template = deep_mlp()
    with keras.distribution.DataParallel().scope():
        with pytest.raises(ValueError, match="to run under DataParallel"):
            Pipeline(template, stages=2)
    with pytest.raises(ValueError, match="to run under DataParallel"):
        Pipeline(keras.utils.multi_gpu_model(template, 2), stages=2)
    assert len(Pipeline(template, stages=2).stages) == 2


def test_costs_of_an_abstract_model() -> None:
    with keras.abstract():
        model = deep_mlp()
    assert len(Pipeline(model, stages=2).stages) == 2
    with pytest.raises(keras.errors.AbstractError, match="materialize"):
        Pipeline(model, stages=2, costs="measured")


def test_layers_stay_as_they_were_cut() -> None:
    template = keras.Sequential([keras.Input((6,)), layers.Dense(6), layers.Dense(6)])
    pipeline = Pipeline(template, stages=2, microbatches=2)
    x = np.ones((4, 6), "float32")
    for change in (pipeline.pop, lambda: pipeline.model.add(layers.Dense(2))):
        with pytest.raises(ValueError, match="on the model that was given to it"):
            change()
    template.pop()
    template.add(layers.Dense(2))
    assert template.predict(x, verbose=0).shape == (4, 2)
    pipeline.compile("sgd", "mse")
    pipeline.fit(x, x, verbose=0)
    assert pipeline.predict(x, verbose=0).shape == (4, 6)


def test_what_cannot_be_trained() -> None:
    x, y = data_for("mlp", 20)
    _, pipeline = twins("mlp")
    pipeline.compile("sgd", crossentropy(from_logits=True))
    with pytest.raises(ValueError, match="7 samples cannot be cut into microbatches=8"):
        pipeline.fit(x, y, batch_size=7, verbose=0)
    with pytest.raises(ValueError, match="cannot be cut"):
        pipeline.train_on_batch(x[:5], y[:5])
    with pytest.raises(ValueError, match="got a Pipeline"):
        keras.distribution.estimate(pipeline, 16)
    with pytest.raises(ValueError, match="whose layers are placed"):
        keras.distribution.estimate(pipeline.model, 16)

    inputs = keras.Input((12,))
    total = keras.ops.sum(layers.Dense(4)(layers.Dense(4)(inputs)))
    pipeline = Pipeline(keras.Model(inputs, total), stages=2, microbatches=4)
    pipeline.compile("sgd", lambda y, y_pred: y_pred)
    with pytest.raises(keras.errors.ArgumentError, match="without an axis of samples"):
        pipeline.fit(x, y, batch_size=10, verbose=0)

"""`Compiling`: what `compile` says of training, and how it is written down."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from carnyx import optimizers, registry
from carnyx._core.tracebacks import show_user_lines
from carnyx._numbers import integer
from carnyx._training.compile import Compiled
from carnyx._training.model_programs import ModelPrograms
from carnyx.optimizers import Optimizer
from carnyx.typing import ForOutputs


class Compiling(ModelPrograms):
    """`compile`, and its arguments as a config."""

    stop_training = False
    steps_per_execution = 1

    @show_user_lines
    def compile(
        self,
        optimizer: Optimizer | str = "rmsprop",
        loss: ForOutputs | None = None,
        loss_weights: float | Sequence[Any] | Mapping[Any, Any] | None = None,
        metrics: ForOutputs | None = None,
        weighted_metrics: ForOutputs | None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train.

        Args:
            optimizer: a name, an optimizer, or an optax transformation.
            loss: a name, function or object; a list or dict for several outputs.
            loss_weights: a number for each output's loss.
            metrics: the same forms, in lists; `"accuracy"` finds the right kind.
            weighted_metrics: metrics that are given the sample weights.
            run_eagerly: run steps op by op, for debugging; slow.
            steps_per_execution: steps in one program, of which callbacks hear at once.
            jit_compile: False is as `run_eagerly=True`.
            auto_scale_loss: scale the loss under `mixed_float16`.
        """
        steps_per_execution = integer(
            steps_per_execution, "compile: steps_per_execution", 1
        )
        given = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        self.optimizer = optimizers.get(optimizer)
        half = getattr(self, "dtype_policy", None)
        if auto_scale_loss and half is not None and half.name == "mixed_float16":
            if not isinstance(self.optimizer, optimizers.LossScaleOptimizer):
                self.optimizer = optimizers.LossScaleOptimizer(self.optimizer)
        self._compiled = Compiled(given, getattr(self, "output_names", None))
        self._compiled.frozen.take(self)
        self.loss = loss
        self.run_eagerly, self.jit_compile = bool(run_eagerly), jit_compile
        self.steps_per_execution = steps_per_execution
        self.stop_training = False

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compiled is not None

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was given, as plain data."""
        if self._compiled is None:
            return None
        given = dict(self._compiled.given)
        given["optimizer"] = self.optimizer
        return registry.serialize_dict(given)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as saved; the optimizer gets its variables if the model has its."""
        families = {"optimizer": "optimizers", "loss": "losses"}
        families |= {"metrics": "metrics", "weighted_metrics": "metrics"}
        given: dict[str, Any] = {
            key: value  # a name stays one: it is the metric's in the history
            if isinstance(value, str)
            else registry.deserialize_keras_object(value, family=families.get(key, ""))
            for key, value in config.items()
        }
        try:
            inspect.signature(self.compile).bind(**given)
        except TypeError as error:
            name = type(self).__name__
            warnings.warn(
                f"{name} {self.name!r} is not compiled: {name}.compile() takes other "  # type: ignore[attr-defined]
                f"arguments than the ones that were saved ({error}). Compile it "
                "yourself, or write get_compile_config() and compile_from_config().",
                stacklevel=2,
            )
            return
        self.compile(**given)
        if self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

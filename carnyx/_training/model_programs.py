"""`ModelPrograms`: the compiled programs of a model's steps, and what they work on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from carnyx import tree
from carnyx._core import structure
from carnyx._core.placement import current_placement
from carnyx._core.scope import scoped
from carnyx._data import Feed
from carnyx._training import stateful_steps
from carnyx._training.outputs import trimmed
from carnyx._training.predicting import PredictProgram
from carnyx._training.prepared import Prepared
from carnyx._training.programs import StepProgram, sized
from carnyx._training.protocols import Program
from carnyx._training.stages.partition import MayBeGraph
from carnyx._training.stages.placements import InnerPlacement
from carnyx._training.stages.plan import Plan
from carnyx._training.state import HeldState, TrainState, are_identical
from carnyx._training.trainable import check_optimizer
from carnyx.errors import ArgumentError, GraphError


class ModelPrograms(Prepared, MayBeGraph):
    """Programs of a model's steps, made when they are first asked for.

    Which kind depends on where the model lies: on one device or one mesh, on devices
    by scopes, in the stages of a pipeline.
    """

    _jit_compile = True
    _predictor: Any = None

    @property
    def jit_compile(self) -> bool:
        """Whether steps are compiled; may be set at any time."""
        return self._jit_compile and not self.run_eagerly

    @jit_compile.setter
    def jit_compile(self, value: object) -> None:
        if value not in (True, False, "auto"):
            raise ArgumentError(
                f"jit_compile got {value!r}; expected True, False or 'auto'."
            )
        self._jit_compile = bool(value)

    def _placed(self) -> Any:
        """The model's own placement, the one in force, or that of `compile`."""
        own = self._placement or current_placement()
        own = own or (self._compiled and self._compiled.placement)
        scopes = self._device_placement()
        if own is None or scopes is None:
            return own or scopes
        raise ArgumentError(
            f"{self.name!r} has layers that were called inside device scopes, and "  # type: ignore[attr-defined]
            f"is to run under {type(own).__name__}. Each of them says where everything "
            "lies: build the model outside of the scopes, or leave the distribution."
        )

    def _cut_into_stages(
        self,
        devices: list[Any],
        microbatches: int,
        costs: str | Sequence[float],
        remat: bool,
    ) -> Plan:
        """What a `Pipeline` of the model is made of."""
        graph = self._whole_graph()
        if graph is None:
            raise GraphError(
                f"Pipeline got {self.name!r}, which is neither Sequential nor "  # type: ignore[attr-defined]
                "functional: only a graph of layers can be cut. Write it as "
                "Model(inputs, outputs)."
            )
        return Plan(graph, self, devices, microbatches, costs, remat)

    def _device_placement(self) -> Any:
        """How layers lie on devices by the scopes in which they were called: here, of
        the models inside."""
        version, inner, known = self.__dict__.get("_inner_placement", (-1, [], None))
        if version == structure.version():
            return known
        layers = self._flatten_layers(include_self=False)  # type: ignore[attr-defined]
        found = [x._graph_placement() for x in layers if isinstance(x, MayBeGraph)]
        found = [p for p in found if p is not None]
        if found != inner:
            known = InnerPlacement(found) if found else None
        self.__dict__["_inner_placement"] = structure.version(), found, known
        return known

    def _held(self) -> HeldState:
        """The state of all variables, as one store."""
        compiled = self._need_compiled("fit")
        simple = stateful_steps.is_simple(self, "train_step")
        key = structure.version(), compiled.ready, self.optimizer.built
        placement, held = self._placed(), compiled.held
        slots = stateful_steps.extra_variables(self) if simple else None
        if (
            held is not None
            and compiled.held_key == key
            and held.placement is placement
        ):
            if slots is None or are_identical(slots, held.parts.optimizer_variables):
                return held
        compiled.held_key = key
        if slots is None:
            slots = self.optimizer.variables if self.optimizer.built else []
        compiled.frozen.take(self)
        with scoped(frozen=compiled.frozen):
            parts = TrainState(
                self.trainable_variables,  # type: ignore[attr-defined]
                self.non_trainable_variables,  # type: ignore[attr-defined]
                list(slots),
                self.metrics_variables,
            )
        if slots and not simple:
            check_optimizer(self.optimizer, parts.trainable_variables, self.name)  # type: ignore[attr-defined]
        if held is None or not held.fits(parts, placement):
            held = compiled.held = HeldState(parts, placement)
            compiled.programs.clear()
        return held

    def _tell_of_trainable(self) -> None:
        """Warn where `trainable` was set after `compile`, and is not in force."""
        compiled = self._need_compiled("fit")
        if compiled.told_of == structure.version():
            return
        compiled.told_of = structure.version()
        said = compiled.frozen.changed(self.name)  # type: ignore[attr-defined]
        if said:
            warnings.warn(said, stacklevel=4)

    def training_variables(self) -> list[Any]:
        """What a training step changes, metrics apart: weights, buffers, seeds, the
        states of optimizers."""
        return self._held().training_variables

    def _program(self, name: str, step: Any) -> Program:
        held = self._held()
        programs = self._need_compiled("fit").programs
        key = name, self.jit_compile
        if key not in programs:
            if stateful_steps.is_simple(self, name):
                step = stateful_steps.checked_logs(getattr(self, name))
                step = stateful_steps.pure_step(step, held.store.variables, held.cuts)
            step = self._as_compiled(step)
            programs[key] = self._made_program(name, step, held)
        return programs[key]

    def _made_program(self, name: str, step: Any, held: HeldState) -> Program:
        def usual() -> Program:
            return StepProgram(step, held, compiled=self.jit_compile)

        if held.placement is None:
            return usual()
        return held.placement.make_program(self, name, step, held, usual)

    def _as_compiled(self, step: Any) -> Any:
        """The step, in which is trainable what was so at `compile`."""
        frozen = self._need_compiled("fit").frozen

        def run(state: Any, data: Any) -> Any:
            with scoped(frozen=frozen):
                return step(state, data)

        return run

    def captured_variables(self) -> list[Any]:
        """Variables of nobody that the compiled steps read or assign."""
        programs = self._need_compiled("fit").programs.values()
        return list(dict.fromkeys(v for p in programs for v in p.captured()))

    def meet(self, feed: Feed) -> None:
        """Find the `captured_variables` of a training step before there is a batch."""
        spec, size = trimmed(feed.spec()), feed.batch_size or 1
        self.train_program().meet(tree.map_structure(lambda s: sized(s, size), spec))

    def train_program(self) -> Program:
        """The program of a training step; compiled once, reused by every call."""
        return self._program("train_step", self.train_step)

    def test_program(self) -> Program:
        """The program of an evaluation step."""
        return self._program("test_step", self._whole_test_step)

    def _whole_test_step(self, state: TrainState, data: Any) -> tuple[Any, TrainState]:
        trainable, buffers, slots, metrics = state
        logs, (trainable, buffers, metrics) = self.test_step(
            (trainable, buffers, metrics), data
        )
        return logs, TrainState(trainable, buffers, slots, metrics)

    def predict_program(self) -> PredictProgram:
        """The program of prediction; needs no `compile`."""
        eager = not self.jit_compile
        placement = self._placed()
        key = structure.version(), eager, placement
        program: Any = self._predictor
        if program is not None and program.key == key:
            return program
        variables = self.trainable_variables, self.non_trainable_variables  # type: ignore[attr-defined]
        if program is None or not program.fits(variables, eager, placement):
            step = self.predict_step
            if stateful_steps.is_simple(self, "predict_step"):
                step = stateful_steps.pure_prediction(step, variables)
            self._predictor = program = self._made_prediction(
                step, variables, placement
            )
        program.key = structure.version(), eager, placement
        return program

    def _made_prediction(self, step: Any, variables: Any, placement: Any) -> Any:
        eager = not self.jit_compile

        def usual() -> PredictProgram:
            return PredictProgram(step, variables, not eager, placement)

        if placement is None:
            return usual()
        return placement.make_prediction(self, step, eager, usual)

    def finish_training(self, trained: bool) -> None:
        """After the last epoch: averaged weights take their place, if so chosen."""
        if not trained:
            return
        if stateful_steps.is_simple(self, "train_step"):
            stateful_steps.finish(self)
            return
        self.optimizer.finalize_variable_values(self._held().parts.trainable_variables)

"""A layer's call as a pure function of the values of its variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from carnyx._core.scope import pure
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError, NotBuiltError
from carnyx.layers.input_spec import label
from carnyx.typing import Tensor


class IsPure:
    """The part of `Layer` that gives its call without side effects."""

    built: bool
    losses: list[Tensor]
    trainable_variables: list[Variable]
    non_trainable_variables: list[Variable]
    __call__: Callable[..., Any]

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple:
        """The call as a pure function of the variables' values.

        Returns:
            `(outputs, non_trainable_variables)`, and the losses if asked for.

        >>> import carnyx as keras, numpy as np
        >>> layer = keras.layers.Dropout(0.5, seed=1)
        >>> values = [v.value for v in layer.non_trainable_variables]
        >>> out, values = layer.stateless_call([], values, np.ones(8), training=True)
        """
        trainable, fixed = self.trainable_variables, self.non_trainable_variables
        self._check_values("trainable_variables", trainable, trainable_variables)
        self._check_values("non_trainable_variables", fixed, non_trainable_variables)

        def call() -> Any:
            outputs = self(*args, **kwargs)
            return (outputs, self.losses) if return_losses else outputs

        run = pure(call, [*trainable, *fixed])
        out, values = run([*trainable_variables, *non_trainable_variables])
        left = values[len(trainable) :]
        return (out[0], left, out[1]) if return_losses else (out, left)

    def _check_values(self, what: str, variables: Any, values: Any) -> None:
        if not self.built:
            raise NotBuiltError(
                f"{label(self)} is not built, so it has no variables to be given "
                "values; call it on data first."
            )
        if len(variables) != len(values):
            raise ArgumentError(
                f"{label(self)} has {len(variables)} {what} but got {len(values)} "
                "values."
            )

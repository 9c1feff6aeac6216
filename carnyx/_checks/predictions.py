"""Whether what a model ends with is what its loss expects."""

from __future__ import annotations

from carnyx._checks.losses import BINARY, DISTRIBUTION, Expected
from carnyx._checks.told import warn_once
from carnyx._checks.watching import Origin

_PROBABILITIES = frozenset(("sigmoid", "softmax", "hard_sigmoid", "sparsemax"))
_UNBOUNDED = frozenset(
    "celu elu gelu hard_silu hard_tanh leaky_relu linear log_sigmoid log_softmax mish "
    "relu relu6 selu silu softplus softsign squareplus tanh tanh_shrink".split()
)


def judge_predictions(expected: Expected, origin: Origin, told: set[str]) -> None:
    """Warn where an output's last activation and its loss do not go together."""
    made = origin.operation
    where = f"The {expected}"
    if origin.layer is not None and origin.layer.name != expected.output:
        where += f", made by layer {origin.layer.name!r},"
    if made == "softmax" and expected.classes == 1:
        warn_once(
            told,
            f"{where} is a softmax over one unit: it is 1 whatever the model computes, "
            "so nothing is learned. Use activation='sigmoid' with "
            "'binary_crossentropy', or one unit for each class.",
        )
    elif expected.from_logits and made in _PROBABILITIES:
        warn_once(
            told,
            f"{where} is a {made}, and the loss has from_logits=True, so it applies "
            "another one. Leave out the activation of the last layer, or "
            "from_logits=True.",
        )
    elif not expected.from_logits and made in _UNBOUNDED:
        _warn_of_raw(expected, where, made, told)
    elif expected.kind not in (BINARY, DISTRIBUTION) and made == "sigmoid":
        if expected.classes != 1:
            warn_once(
                told,
                f"{where} is a sigmoid: the classes' values do not add up to 1, as "
                "this loss expects. Use activation='softmax'; for classes that do not "
                "exclude each other 'binary_crossentropy'.",
            )


def _warn_of_raw(expected: Expected, where: str, made: str, told: set[str]) -> None:
    wanted = "sigmoid" if expected.kind == BINARY else "softmax"
    other = ", or from_logits=True in the loss"
    end = "has no activation" if made == "linear" else f"ends with {made!r}"
    warn_once(
        told,
        f"{where} {end}, and the loss expects probabilities: values outside of 0 and 1 "
        f"have a wrong loss, or no gradient. Use activation={wanted!r} in the last "
        f"layer{'' if expected.kind == DISTRIBUTION else other}.",
    )

"""What a row of the contract table is, and the rows of most layers.

A row is a class name, its arguments, the shape of its input (a list of shapes for
several inputs; None for sizes that may vary) and what is special about it: also what
its constructor refuses, and in which words. The tests in `test_contract.py` run every
row against Keras; other files named `cases_*.py` in this folder add theirs with a list
`CASES` of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Arguments = dict[str, Any] | Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One layer, one configuration."""

    name: str
    arguments: Arguments = field(default_factory=dict)  # or a function of the library
    shape: Any = (None, 4)
    below: int = 0  # inputs are integers under this
    masks: bool = False  # the input has a mask; steps of zeros are masked
    training: bool = False  # training changes what comes out, or the state
    low: float = -1.0  # the range of float inputs
    high: float = 1.0
    gradients: bool = True
    draws: bool = False  # Keras's may go on in its random numbers in prediction
    always: bool = False  # done in prediction, too, which Keras's does in training only
    tolerance: float = 1e-5
    config_only_ours: tuple[str, ...] = ()  # keys that Keras does not have
    wrong: tuple[tuple[dict[str, Any], str], ...] = ()  # in place of its arguments

    def make(self, library: Any, **more: Any) -> Any:
        """The layer, of Keras or ours."""
        given = self.arguments
        given = given(library) if callable(given) else given
        return getattr(library.layers, self.name)(**given | more)

    def __str__(self) -> str:
        given = "…" if callable(self.arguments) else self.arguments
        parts = ",".join(f"{k}={v}" for k, v in given.items()) if given != "…" else "…"
        return f"{self.name}({parts}){'-masked' if self.masks else ''}".replace(" ", "")


REGULARIZED = {
    "kernel_regularizer": "l2",
    "bias_regularizer": "l2",
    "activity_regularizer": "l2",
    "kernel_constraint": "max_norm",
    "bias_constraint": "non_neg",
}
FIRST = "channels_first"
SEQUENCE, IMAGE, VOLUME = (None, 9, 4), (None, 8, 7, 4), (None, 4, 5, 4, 2)
SAME = {"strides": 2, "padding": "same"}


def _dense_inside(k: Any) -> dict[str, Any]:
    return {"layer": k.layers.Dense(3, name="inside")}


CORE = [
    Case(
        "Dense",
        {"units": 3},
        wrong=(
            ({"units": 0}, "Dense got units=0; expected an integer above 0"),
            ({"units": None}, "units=None; expected an integer above 0"),
            ({"activation": "rleu"}, "Did you mean 'relu'"),
            ({"kernel_regularizer": "l3"}, "Unknown regularizer 'l3'"),
        ),
    ),
    Case("Dense", {"units": 3, "activation": "relu"}, (None, None, 4), masks=True),
    Case("Dense", {"units": 2, "use_bias": False}, (2, 3, 5, 4)),
    Case("Dense", {"units": 3, **REGULARIZED}),
    Case("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 3}),
    Case(
        "EinsumDense",
        {"equation": "...d,dhk->...hk", "output_shape": (2, 3), "bias_axes": "hk"},
        (None, None, 4),
    ),
    Case(
        "EinsumDense",
        {"equation": "abc,bd->adc", "output_shape": (3, 4), "bias_axes": "d"},
        (None, 5, 4),
    ),
    Case(
        "EinsumDense",
        {
            "equation": "ab...,bc->ac...",
            "output_shape": 3,
            "bias_axes": "c",
            "activation": "tanh",
        },
        (None, 4, 6),
    ),
    Case("Embedding", {"input_dim": 11, "output_dim": 3}, (None, None), below=11),
    Case(
        "Embedding",
        {"input_dim": 7, "output_dim": 3, "mask_zero": True},
        (None, 5),
        below=7,
    ),
    Case("Identity", {}, (None, 3, 4), masks=True),
    Case("Masking", {}, (None, 6, 4)),
    Case("Masking", {"mask_value": 0.5}, (None, 6, 4)),
    Case("Lambda", lambda k: {"function": k.activations.gelu}),
    Case("SpectralNormalization", _dense_inside, training=True),
]

ACTIVATION = [
    Case("Activation", {"activation": "tanh"}, (None, 6, 4), masks=True),
    Case("Activation", {"activation": "softmax"}),
    Case("ReLU"),
    Case("ReLU", {"max_value": 0.5, "negative_slope": 0.1, "threshold": 0.2}),
    Case("LeakyReLU"),
    Case("ELU", {"alpha": 0.7}),
    Case("PReLU", {}, (None, 6, 4)),
    Case("PReLU", {"shared_axes": [1]}, (None, None, 4)),
    Case("Softmax"),
    Case("Softmax", {"axis": [1, 2]}, (None, 3, 4)),
]

CONVOLUTION = [
    Case(
        "Conv1D",
        {"filters": 5, "kernel_size": 3},
        (None, None, 4),
        wrong=(({"strides": 2, "dilation_rate": 2}, "expected one of them to be 1"),),
    ),
    Case(
        "Conv1D",
        {"filters": 5, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        SEQUENCE,
    ),
    Case(
        "Conv1D",
        {"filters": 6, "kernel_size": 2, "groups": 2, "data_format": FIRST, **SAME},
        (None, 4, 9),
    ),
    Case(
        "Conv2D",
        {"filters": 5, "kernel_size": 3},
        IMAGE,
        wrong=(
            ({"groups": 2}, "filters to be a multiple"),
            ({"kernel_size": (2, 2, 2)}, "kernel_size got .*2 of them"),
            ({"padding": "causal"}, "'valid', 'same'"),
        ),
    ),
    Case("Conv2D", {"filters": 5, "kernel_size": 1, "strides": 2}, IMAGE),
    Case("Conv2D", {"filters": 3, "kernel_size": (3, 2), **SAME}, (None, None, 7, 4)),
    Case(
        "Conv2D",
        {"filters": 4, "kernel_size": 3, "data_format": FIRST, "activation": "relu"},
        (None, 4, 8, 7),
    ),
    Case("Conv2D", {"filters": 4, "kernel_size": 2, "groups": 2, **REGULARIZED}, IMAGE),
    Case("Conv2D", {"filters": 4, "kernel_size": 2, "dilation_rate": (2, 1)}, IMAGE),
    Case("Conv3D", {"filters": 3, "kernel_size": 2, "use_bias": False}, VOLUME),
    Case("Conv3D", {"filters": 3, "kernel_size": (1, 2, 3), **SAME}, VOLUME),
    Case("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2}, SEQUENCE),
    Case("DepthwiseConv2D", {"kernel_size": 3}, IMAGE),
    Case(
        "DepthwiseConv2D",
        {"kernel_size": 2, "depth_multiplier": 2, "data_format": FIRST, **SAME},
        (None, 4, 8, 6),
    ),
    Case("SeparableConv1D", {"filters": 5, "kernel_size": 3}, SEQUENCE),
    Case(
        "SeparableConv2D",
        {"filters": 5, "kernel_size": 3, "depth_multiplier": 2, **SAME},
        IMAGE,
    ),
    Case(
        "Conv1DTranspose",
        {"filters": 3, "kernel_size": 3, **SAME},
        SEQUENCE,
        wrong=(({"output_padding": 2}, "below its stride"),),
    ),
    Case("Conv2DTranspose", {"filters": 3, "kernel_size": 3}, IMAGE),
    Case(
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": 3, "output_padding": 1, **SAME},
        IMAGE,
    ),
    Case(
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": 2, "strides": 3, "data_format": FIRST},
        (None, 4, 3, 4),
    ),
    Case("Conv3DTranspose", {"filters": 2, "kernel_size": 2, **SAME}, VOLUME),
]


def _pools(rank: int, shape: Any) -> list[Case]:
    first = (shape[0], shape[-1], *shape[1:-1])
    cases = []
    for kind in ("Max", "Average"):
        name = f"{kind}Pooling{rank}D"
        cases += [
            Case(name, {"pool_size": 2}, shape),
            Case(name, {"pool_size": 3, **SAME}, shape),
            Case(name, {"pool_size": 2, "strides": 1, "data_format": FIRST}, first),
            Case(f"Global{name}", {}, shape),
            Case(f"Global{name}", {"keepdims": True, "data_format": FIRST}, first),
            Case(f"Adaptive{name}", {"output_size": 3}, shape),
        ]
    return cases


POOLING = [
    *_pools(1, SEQUENCE),
    *_pools(2, IMAGE),
    *_pools(3, VOLUME),
    Case("MaxPooling2D", {}, (None, None, None, 3)),
    Case("GlobalAveragePooling1D", {}, (None, 6, 4), masks=True),
]

NORMALIZATION = [
    Case("BatchNormalization", {}, training=True),
    Case("BatchNormalization", {"momentum": 0.9}, IMAGE, training=True),
    Case(
        "BatchNormalization", {"axis": 1, "scale": False}, (None, 4, 6), training=True
    ),
    Case(
        "BatchNormalization", {"center": False}, (None, 6, 4), training=True, masks=True
    ),
    Case(
        "BatchNormalization",
        {"renorm": True, "renorm_clipping": {"rmax": 1.2, "rmin": 0.9, "dmax": 0.1}},
        training=True,
        wrong=(({"renorm_clipping": {"max": 1}}, "expected the keys 'rmin'"),),
    ),
    Case("LayerNormalization", {}, (None, 6, 4), masks=True),
    Case("LayerNormalization", {"axis": [1, 2], "epsilon": 1e-5}, (None, 6, 4)),
    Case("LayerNormalization", {"center": False, "scale": False}),
    Case("GroupNormalization", {"groups": 2}, (None, 5, 3, 4)),
    Case("GroupNormalization", {"groups": -1, "axis": 1}, (None, 4, 5)),
    Case("RMSNormalization"),
    Case("UnitNormalization", {}, (None, 3, 4), masks=True),
]

RESHAPING = [
    Case("Flatten", {}, (None, 2, 3, 4)),
    Case("Flatten", {"data_format": FIRST}, (None, 4, None, 3)),
    Case("Flatten", {}, (None,)),
    Case(
        "Reshape",
        {"target_shape": (2, -1)},
        (None, 3, 4),
        wrong=(({"target_shape": (-1, -1)}, "at most one -1"),),
    ),
    Case("Reshape", {"target_shape": (-1, 2)}, (None, None, 4)),
    Case(
        "Permute",
        {"dims": (3, 1, 2)},
        (None, 2, None, 4),
        wrong=(({"dims": (0, 1)}, "the numbers from 1 to"),),
    ),
    Case("RepeatVector", {"n": 3}),
    Case("Cropping1D", {"cropping": (1, 2)}, (None, None, 4)),
    Case("Cropping2D", {"cropping": ((1, 0), (2, 1))}, IMAGE),
    Case("Cropping2D", {"cropping": 1, "data_format": FIRST}, (None, 4, 8, 7)),
    Case("Cropping3D", {}, VOLUME),
    Case("ZeroPadding1D", {}, SEQUENCE),
    Case(
        "ZeroPadding2D",
        {"padding": (1, 2), "data_format": FIRST},
        IMAGE,
        wrong=(({"padding": (1, 2, 3)}, "an integer, or 2 integers"),),
    ),
    Case("ZeroPadding2D", {"padding": ((1, 0), (2, 1))}, (None, None, 7, 4)),
    Case("ZeroPadding3D", {}, VOLUME),
    Case("UpSampling1D", {}, SEQUENCE),
    Case("UpSampling2D", {"size": (2, 3)}, IMAGE),
    Case("UpSampling2D", {"interpolation": "bilinear", "data_format": FIRST}, IMAGE),
    Case("UpSampling3D", {"size": 2}, VOLUME),
]

NOISE = [
    Case(
        "Dropout",
        {"rate": 0.4, "seed": 3},
        (None, 6, 4),
        training=True,
        masks=True,
        wrong=(
            ({"rate": 1.5}, "rate=1.5; expected a number from 0 to 1"),
            ({"noise_shape": "a"}, "a tuple of positive integers"),
        ),
    ),
    Case(
        "Dropout",
        {"rate": 0.4, "seed": 3, "noise_shape": (None, 1, 4)},
        (2, 6, 4),
        training=True,
    ),
    Case("SpatialDropout1D", {"rate": 0.4, "seed": 3}, SEQUENCE, training=True),
    Case(
        "SpatialDropout2D",
        {"rate": 0.4, "seed": 3, "data_format": FIRST},
        IMAGE,
        training=True,
    ),
    Case("SpatialDropout3D", {"rate": 0.4, "seed": 3}, VOLUME, training=True),
    Case("AlphaDropout", {"rate": 0.4, "seed": 3}, training=True),
    Case("GaussianDropout", {"rate": 0.4, "seed": 3}, training=True),
    Case("GaussianNoise", {"stddev": 0.4, "seed": 3}, training=True),
    Case("ActivityRegularization", {"l1": 0.1, "l2": 0.2}),
]

TWO = [(None, 3, 4), (None, 3, 4)]
MERGING = [
    *(
        case
        for name in ("Add", "Multiply", "Average", "Maximum", "Minimum")
        for case in (
            Case(name, {}, [*TWO, (None, 3, 4)]),
            Case(name, {}, TWO, masks=True),
            Case(name, {}, [(None, 4), (None, 3, 4)]),
        )
    ),
    Case("Add", {}, [(None, None, 4), (None, None, 1)]),
    Case("Subtract", {}, TWO),
    Case("Concatenate", {}, [(None, 3, 4), (None, 3, 2)]),
    Case("Concatenate", {"axis": 1}, [(None, None, 4), (None, 5, 4)], masks=True),
    Case(
        "Dot",
        {"axes": 1},
        [(None, 4), (None, 4)],
        wrong=(({"axes": 0}, "not 0, the batch axis"),),
    ),
    Case("Dot", {"axes": (2, 1), "normalize": True}, [(None, 3, 4), (None, 4, 5)]),
    Case("Dot", {"axes": -1}, [(None, 3, 4), (None, 4)]),
]

CASES = [
    *CORE, *ACTIVATION, *CONVOLUTION, *POOLING, *NORMALIZATION, *RESHAPING, *NOISE,
    *MERGING,
]  # fmt: skip

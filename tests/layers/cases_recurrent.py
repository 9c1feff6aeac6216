"""Rows of the contract table: recurrent layers, wrappers, attention."""

from tests.layers.cases import REGULARIZED, Case

STEPS = (None, None, 3)
UNITS = {"units": 3, "seed": 1}
RECURRENT = {
    "recurrent_regularizer": "l2",
    "recurrent_constraint": "max_norm",
    "recurrent_initializer": "glorot_uniform",
}
EVERY = {
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "zero_output_for_mask": True,
}
OTHER = {"activation": "relu", "recurrent_activation": "hard_sigmoid"}


def _rnn(*cells, **more):
    """An RNN over stacked cells, given as pairs of class name and units."""

    def arguments(k):
        made = [
            getattr(k.layers, c)(n, name=f"{c}_{n}".lower(), seed=1) for c, n in cells
        ]
        return {"cell": k.layers.StackedRNNCells(made, name="cells"), **more}

    return arguments


def _around(name, *args, others=None, **more):
    """A wrapper's arguments: a layer by class name."""
    if name in ("LSTM", "GRU", "SimpleRNN"):
        more["seed"] = 1

    def arguments(k):
        inner = getattr(k.layers, name)(*args, name="inside", **more)
        return {"layer": inner, **(others or {})}

    return arguments


def _unlike_directions(k):
    backward = k.layers.GRU(3, go_backwards=True, name="back", seed=1)
    return {"layer": k.layers.LSTM(3, name="ahead", seed=1), "backward_layer": backward}


CASES = [
    Case("SimpleRNN", {**UNITS, "return_sequences": True}, STEPS, masks=True),
    Case("SimpleRNN", {**UNITS, "unroll": True, "activation": "relu"}, (None, 3, 3)),
    Case("LSTM", UNITS, STEPS),
    Case("LSTM", {**UNITS, **EVERY, "use_bias": False}, STEPS, masks=True),
    Case("LSTM", {**UNITS, **EVERY, **REGULARIZED, **RECURRENT}, STEPS),
    Case("LSTM", {**UNITS, "use_cudnn": False, **OTHER}, STEPS, masks=True),
    Case("GRU", {**UNITS, "return_sequences": True}, STEPS, masks=True),
    Case("GRU", {**UNITS, "reset_after": False, **EVERY}, STEPS, masks=True),
    Case(
        "RNN",
        _rnn(("LSTMCell", 3), ("SimpleRNNCell", 2), ("GRUCell", 4), go_backwards=True),
        STEPS,
        masks=True,
    ),
    Case("Bidirectional", _around("GRU", 3, return_sequences=True), STEPS, masks=True),
    Case("Bidirectional", _around("GRU", 3, others={"merge_mode": None}), STEPS),
    Case("Bidirectional", _unlike_directions, STEPS),
    Case("TimeDistributed", _around("Dense", 4), STEPS, masks=True),
    Case("TimeDistributed", _around("Dropout", 0.5, seed=1), STEPS),
    Case(
        "TimeDistributed",
        _around("BatchNormalization"),
        (None, 4, 3),
        training=True,
        tolerance=1e-4,
    ),
    Case("TimeDistributed", _around("LSTM", 2), (None, 2, 4, 3)),
    Case("Attention", {}, [(None, 5, 4), (None, 6, 4)], masks=True),
    Case("Attention", {"use_scale": True}, [(None, 5, 4), (None, 6, 3), (None, 6, 4)]),
    Case(
        "Attention",
        {"use_scale": True, "score_mode": "concat", "dropout": 0.3, "seed": 1},
        [(None, 5, 4), (None, 6, 4)],
        training=True,
    ),
    Case("AdditiveAttention", {}, [(None, 5, 4), (None, 6, 4)], masks=True),
    Case("ConvLSTM1D", {"filters": 2, "kernel_size": 3, "seed": 1}, (None, 3, 5, 2)),
    Case(
        "ConvLSTM2D",
        {
            "filters": 2, "kernel_size": (3, 2), "strides": 2, "padding": "same",
            "seed": 1, **EVERY, **RECURRENT, **REGULARIZED,
        },
        (None, 3, 5, 6, 2),
    ),
    Case(
        "ConvLSTM3D", {"filters": 1, "kernel_size": 2, "seed": 1}, (None, 2, 3, 4, 3, 1)
    ),
]  # fmt: skip

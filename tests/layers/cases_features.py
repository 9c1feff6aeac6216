"""Rows of the contract table: numbers made ready, and sound."""

from tests.layers.cases import Case

FEATURES = [
    Case(
        "Normalization",
        {},
        (None, 4),
        wrong=(
            ({"mean": 1.0}, "expected both, or neither"),
            ({"mean": [1.0], "variance": [1.0, 2.0]}, "expected one shape"),
            ({"mean": [[1.0]], "variance": [[2.0]]}, "at most one axis for each"),
        ),
    ),
    Case("Normalization", {"axis": (1, 2), "invert": True}, (None, 3, 4)),
    Case("Normalization", {"axis": None}, (None, 3, 4), masks=True),
    Case("Normalization", {"mean": 2.0, "variance": 9.0}, (None, None, 4)),
    Case(
        "Normalization",
        {"axis": (1, 2), "mean": [1, 2, 3, 4], "variance": [1] * 4},
        (None, 3, 4),
    ),  # fmt: skip
    Case(
        "Discretization",
        {"bin_boundaries": [-0.5, 0.0, 0.5]},
        (None, 4),
        gradients=False,
        wrong=(
            ({"num_bins": 3}, "expected one of them"),
            ({"bin_boundaries": None}, "expected one of them"),
            ({"output_mode": "hot"}, "expected one of 'int', 'one_hot'"),
            ({"sparse": True}, "outputs are dense"),
        ),
    ),
    Case(
        "Discretization",
        {"bin_boundaries": [-0.5, 0.0, 0.5], "output_mode": "one_hot"},
        (None, 1),
        gradients=False,
    ),
    Case(
        "Discretization",
        {"bin_boundaries": [-0.5, 0.5], "output_mode": "count"},
        (None, 5),
        gradients=False,
    ),
    Case(
        "CategoryEncoding",
        {"num_tokens": 5},
        (None, 3),
        below=5,
        gradients=False,
        wrong=(
            ({"num_tokens": None}, "num_tokens=None; expected an integer above 0"),
            ({"num_tokens": 0}, "num_tokens=0; expected an integer above 0"),
            ({"output_mode": "int"}, "expected one of 'one_hot'"),
        ),
    ),
    Case(
        "CategoryEncoding",
        {"num_tokens": 5, "output_mode": "one_hot"},
        (None, 3),
        below=5,
        gradients=False,
    ),  # fmt: skip
    Case(
        "CategoryEncoding",
        {"num_tokens": 5, "output_mode": "one_hot"},
        (None, 1),
        below=5,
        gradients=False,
    ),  # fmt: skip
    Case(
        "CategoryEncoding",
        {"num_tokens": 5, "output_mode": "count"},
        (None, 3),
        below=5,
        gradients=False,
    ),  # fmt: skip
]

SHORT = {"fft_length": 32, "sequence_stride": 8, "num_mel_bins": 5, "min_freq": 300.0}
SOUND = [
    Case(
        "MelSpectrogram",
        SHORT | {"sampling_rate": 8000},
        (None, 90),
        tolerance=1e-4,
        wrong=(
            ({"fft_length": 8, "sequence_length": 9}, "at most fft_length=8"),
            ({"num_mel_bins": 0}, "num_mel_bins=0; expected an integer above 0"),
        ),
    ),
    Case(
        "MelSpectrogram",
        SHORT | {"power_to_db": False, "mag_exp": 1.0, "sequence_length": 20},
        (None, 90),
    ),
    Case(
        "MelSpectrogram",
        SHORT | {"window": "hamming", "ref_power": 0.5, "top_db": 9.0},
        (None, 90),
        tolerance=1e-4,
    ),
    Case(
        "STFTSpectrogram",
        {"frame_length": 16},
        (None, 60, 2),
        wrong=(
            ({"mode": "power"}, "expected one of 'log', 'magnitude'"),
            ({"frame_step": 17}, "at most frame_length=16"),
            ({"fft_length": 8}, "at least frame_length=16"),
            ({"window": "blackmagic"}, "a name known to scipy"),
            ({"scaling": "all"}, "expected one of 'density', 'spectrum'"),
        ),
    ),
    *(
        Case(
            "STFTSpectrogram",
            {"mode": mode, "frame_length": 12, "frame_step": 5, **more},
            shape,
            gradients=mode != "angle",
        )
        for mode, more, shape in [
            ("magnitude", {"padding": "same", "expand_dims": True}, (None, 60, 2)),
            ("psd", {"data_format": "channels_first"}, (None, 2, 60)),
            ("real", {"scaling": "spectrum"}, (None, 60, 1)),
            ("imag", {"window": None}, (None, 60, 1)),
            (
                "stft", {"data_format": "channels_first", "expand_dims": True},
                (None, 2, 60),
            ),
            ("angle", {"periodic": True}, (None, 60, 1)),
        ]
    ),
]  # fmt: skip

CASES = FEATURES + SOUND

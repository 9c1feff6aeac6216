"""What a name that is not there is called today, or that Keras has it and we not yet.

Read on the way to an error only: the lists of names are a file that is opened then.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from carnyx.errors import nearest

# Arguments of Keras 1 and 2, and what they are called where that is taken.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate",),
    "nb_epoch": ("epochs",),
    "nb_worker": ("workers",),
    "output_dim": ("units",),
    "nb_filter": ("filters",),
    "nb_row": ("kernel_size",),
    "nb_col": ("kernel_size",),
    "filter_length": ("kernel_size",),
    "subsample": ("strides",),
    "subsample_length": ("strides",),
    "border_mode": ("padding",),
    "dim_ordering": ("data_format",),
    "atrous_rate": ("dilation_rate",),
    "pool_length": ("pool_size",),
    "stride": ("strides",),
    "length": ("size",),
    "init": ("kernel_initializer", "embeddings_initializer"),
    "inner_init": ("recurrent_initializer",),
    "inner_activation": ("recurrent_activation",),
    "forget_bias_init": ("unit_forget_bias",),
    "W_regularizer": ("kernel_regularizer", "embeddings_regularizer"),
    "U_regularizer": ("recurrent_regularizer",),
    "b_regularizer": ("bias_regularizer",),
    "W_constraint": ("kernel_constraint", "embeddings_constraint"),
    "U_constraint": ("recurrent_constraint",),
    "b_constraint": ("bias_constraint",),
    "bias": ("use_bias",),
    "p": ("rate",),
    "sigma": ("stddev",),
    "dropout": ("rate", "dropout"),
    "dropout_W": ("dropout",),
    "dropout_U": ("recurrent_dropout",),
    "alpha": ("negative_slope",),
    "consume_less": ("use_cudnn",),
    "gamma_init": ("gamma_initializer",),
    "beta_init": ("beta_initializer",),
    "samples_per_epoch": ("steps_per_epoch",),
    "nb_val_samples": ("validation_steps",),
    "val_samples": ("validation_steps",),
    "generator": ("x",),
    "period": ("save_freq",),
}
# By class: arguments that Keras 3 still takes, and what they are called today, if they
# do anything.
_STILL_TAKEN: dict[str, dict[str, str | None]] = {
    "LeakyReLU": {"alpha": "negative_slope"},
    "Embedding": {"input_length": None},
}
_WITHOUT_NAME = {
    "decay": (
        "The rate follows a schedule today: learning_rate=schedules.InverseTimeDecay"
        "(rate, decay_steps=1, decay_rate=decay)."
    ),
    "show_accuracy": 'Give compile(metrics=["accuracy"]) today.',
    "class_mode": "The loss says it today, in compile.",
    "max_q_size": "It is max_queue_size of a PyDataset today.",
    "max_queue_size": "It is an argument of PyDataset today.",
    "pickle_safe": "It is use_multiprocessing of a PyDataset today.",
    "use_multiprocessing": "It is an argument of PyDataset today.",
    "input": "A model takes inputs and outputs today.",
    "output": "A model takes inputs and outputs today.",
    "sample_weight_mode": "Weights of every shape are taken as they are today.",
    "target_tensors": "Targets are given to fit(x, y) today.",
}
_METHODS = {
    "fit_generator": "fit(generator)",
    "evaluate_generator": "evaluate(generator)",
    "predict_generator": "predict(generator)",
    "predict_classes": "predict(x).argmax(-1)",
    "predict_proba": "predict(x)",
    "to_yaml": "to_json()",
    "add_update": "assign() of a variable, inside call()",
    "add_metric": "metrics in attributes, updated inside call()",
    "lr": "learning_rate",
    "decay": "a schedule as learning_rate",
    "output_dim": "units",
}
_OBJECTS = {
    "layers.AtrousConv1D": "Conv1D with dilation_rate",
    "layers.AtrousConv2D": "Conv2D with dilation_rate",
    "layers.AtrousConvolution1D": "Conv1D with dilation_rate",
    "layers.AtrousConvolution2D": "Conv2D with dilation_rate",
    "layers.CuDNNGRU": "GRU, which finds cuDNN by itself",
    "layers.CuDNNLSTM": "LSTM, which finds cuDNN by itself",
    "layers.Deconv2D": "Conv2DTranspose",
    "layers.Deconv3D": "Conv3DTranspose",
    "layers.Deconvolution2D": "Conv2DTranspose",
    "layers.Deconvolution3D": "Conv3DTranspose",
    "layers.Merge": "one of Add, Average, Concatenate, Dot, Maximum, Multiply",
    "layers.merge": "one of add, average, concatenate, dot, maximum, multiply",
    "layers.Recurrent": "RNN",
    "layers.ThresholdedReLU": "ReLU with threshold",
    "layers.TimeDistributedDense": "TimeDistributed with a Dense inside",
    "objectives": "losses",
    "engine": "layers and models",
    "utils.print_summary": "model.summary()",
}
_SHORT = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "cosine": "cosine_similarity",
    "cosine_proximity": "cosine_similarity",
    "normal": "random_normal",
    "uniform": "random_uniform",
    "zero": "zeros",
    "one": "ones",
}


def hint(name: str, known: Iterable[str]) -> str:
    """A sentence with the name of an argument today, or the nearest one, or nothing.

    >>> hint("lr", ["learning_rate", "momentum"]), hint("momentun", ["momentum"])
    (" It is called 'learning_rate' today.", " Did you mean 'momentum'?")
    """
    known = list(known)
    for today in _ARGUMENTS.get(name, ()):
        if today in known and today != name:
            return f" It is called {today!r} today."
    if name in _WITHOUT_NAME:
        return f" {_WITHOUT_NAME[name]}"
    return nearest(name, known)


def with_names_of_today(
    kind: str, arguments: dict[str, Any], warn: bool = True
) -> None:
    """Rename those of a class's arguments that have an older name.

    Args:
        warn: not of a config: nobody can spell a file anew.

    >>> import warnings
    >>> warnings.simplefilter("ignore")
    >>> with_names_of_today("LeakyReLU", given := {"alpha": 0.1})
    >>> given
    {'negative_slope': 0.1}
    """
    for old, today in _STILL_TAKEN.get(kind, {}).items():
        if old not in arguments:
            continue
        value = arguments.pop(old)
        if today is not None:
            arguments[today] = value
        if not warn:
            continue
        instead = f"It is called {today!r} today." if today else "Leave it out."
        warnings.warn(
            f"{kind}({old}=...) is of older versions. {instead}",
            DeprecationWarning,
            stacklevel=5,
        )


def hint_for_missing(name: str, given: Iterable[str]) -> str:
    """Where an argument is missing, a sentence with its old name if that was given."""
    for old in given:
        if name in _ARGUMENTS.get(old, ()):
            return f" It was given as {old!r}, its name in older versions."
    return ""


def hint_for_attribute(name: str) -> str:
    """A sentence with what an attribute or method is today, or nothing."""
    return f" It is {_METHODS[name]} today." if name in _METHODS else ""


class OldName:
    """An attribute of older versions: to read it or set it says what it is today."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(
            f"{owner.__name__} has no attribute {self.name!r}."
            f"{hint_for_attribute(self.name)}"
        )

    def __set__(self, instance: Any, value: Any) -> None:
        self.__get__(instance, type(instance))


@functools.cache
def names_of_keras() -> dict[tuple[str, str], frozenset[str]]:
    """From version of Keras and module to the names in it."""
    text = (Path(__file__).parent / "_names.txt").read_text()
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {(row[0], row[1]): frozenset(row[2:]) for row in rows}


def what_of(module: str, name: str) -> str | None:
    """Of a name that a module does not have: what is known of it, or None.

    >>> what_of("carnyx.layers", "CuDNNLSTM")
    'carnyx.layers.CuDNNLSTM is LSTM, which finds cuDNN by itself, today.'
    """
    place = module.partition(".")[2]
    path = f"{module}.{name}"
    old = path.partition(".")[2]
    if old in _OBJECTS:
        return f"{path} is {_OBJECTS[old]}, today."
    for version in ("3.15", "2.1"):
        if name in names_of_keras().get((version, place or "."), ()):
            today = _same_letters(name, module) or _elsewhere(name, module)
            if today:
                return f"{path} is {today} in Carnyx."
            return f"{path} is not in Carnyx yet; Keras {version} has it."
    return None


def _same_letters(name: str, module: str) -> str | None:
    """`Adadelta` for `adadelta`, `log_cosh` for `logcosh`."""
    name = _SHORT.get(name.lower(), name)
    for other in vars(sys.modules[module]):
        if other.replace("_", "").lower() == name.replace("_", "").lower():
            return other
    return None


def _elsewhere(name: str, module: str) -> str | None:
    """The public place where something of that name is, in another module."""
    for other, content in list(sys.modules.items()):
        parts = other.split(".")
        public = parts[0] == "carnyx" and not any(p.startswith("_") for p in parts)
        if public and len(parts) == 2 and other != module and name in vars(content):
            return f"{other}.{name}"
    return None


def _absent(module: str, name: str) -> AttributeError:
    if name.startswith("_"):
        return AttributeError(f"module {module!r} has no attribute {name!r}")
    content = vars(sys.modules[module])
    there = {*content, *content.get("__all__", ())}  # what is imported when asked for
    there = sorted(n for n in there if not n.startswith("_"))
    what = what_of(module, name)
    if what is not None:
        return AttributeError(what + nearest(name, there, cutoff=0.85))
    return AttributeError(
        f"module {module!r} has no attribute {name!r}.{nearest(name, there)}"
    )


class _AbsentNames:
    """Finder of last resort: `from carnyx.layers import X` says what is known of X."""

    @staticmethod
    def find_spec(
        fullname: str, path: Any = None, target: Any = None
    ) -> ModuleSpec | None:
        module, _, name = fullname.rpartition(".")
        if module.partition(".")[0] == "carnyx" and module in sys.modules:
            what = what_of(module, name)
            if what is not None:
                raise ModuleNotFoundError(what)
        return None


def explain_absent_names() -> None:
    """Let every public module say what is known of a name that it does not have."""
    for path, module in list(sys.modules.items()):
        parts = path.split(".")
        if parts[0] == "carnyx" and not any(p.startswith("_") for p in parts):
            own = vars(module).get("__getattr__")  # what it imports when asked for
            module.__getattr__ = functools.partial(_ask_or_raise, path, own)
    if _AbsentNames not in sys.meta_path:
        sys.meta_path.append(_AbsentNames)


def _ask_or_raise(module: str, own: Callable[[str], Any] | None, name: str) -> Any:
    if own is not None:
        with contextlib.suppress(AttributeError):
            return own(name)
    raise _absent(module, name)

"""Run the unit tests that the installed Keras ships against Carnyx.

    python tools/keras_tests.py layers/core ops/nn_test.py -- -k dense -x

While they run, `keras` and `keras.src...` are stand-ins whose names are Carnyx's public
ones. Errors and warnings are compared by type, not by text. A test counts unless it
needs a name that is not public, or not there yet: what it asks of a stand-in that has
no such name, or a protected attribute. The summary names the share that passes.
SHOW=1 shows tracebacks, LEFT_OUT=1 what does not count and why.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
import types
import unittest
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest  # noqa: E402

import carnyx  # noqa: E402
from carnyx._core.op import operands_of  # noqa: E402
from carnyx._core.scope import in_symbolic_scope  # noqa: E402
from carnyx._training.trainer import Trainer  # noqa: E402
from carnyx.layers._children import seed_generators  # noqa: E402

_spec = importlib.machinery.PathFinder.find_spec("keras", sys.path)
assert _spec is not None and _spec.submodule_search_locations
SOURCE = Path(next(iter(_spec.submodule_search_locations))) / "src"

# Files of Keras's own test bench, which run as they are.
BENCH = {
    "keras.src.testing.test_case",
    "keras.src.testing.test_utils",
    "keras.src.backend.common.backend_utils",
    "keras.src.backend.common.dtypes",
}
# Where names that Keras keeps in deep modules are public in Carnyx.
ELSEWHERE = {
    "backend": ["backend", "config", "distribution"],
    "trainers": ["utils", "models"],
    "distribution": ["distribution"],
    "optimizers": ["optimizers", "optimizers.schedules"],
    "utils": ["utils", "saving", "config"],
    "saving": ["saving", "models"],
    "dtype_policies": ["dtype_policies", "config"],
    "random": ["random", "utils"],
    "layers": ["utils.bounding_boxes", "utils"],
}


class NotThere(AttributeError):
    """A stand-in has no such name: it is not public, or not in Carnyx yet."""


class Missing(type):
    """What a stand-in gives for a name that it does not have; to use it is an error.

    Tests of a file that need no such name still count.
    """

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise NotThere(f"{cls.module} stands in without {cls.__name__!r}")  # type: ignore

    def __getattr__(cls, name: str) -> Any:
        raise NotThere(f"{cls.__name__}.{name}: no such name stands in")

    def __getitem__(cls, key: object) -> Any:
        raise NotThere(f"{cls.__name__}[{key!r}]: no such name stands in")


def _public(place: str, name: str) -> Any:
    """What a public module of Carnyx has under a name, or None."""
    found: Any = carnyx
    for part in (*place.split("."), name):
        found = getattr(found, part, None)
    return found


class OpClass:
    """Stands in for a class of Keras's operations: its options, then its tensors."""

    function: Any

    def __init__(self, *options: Any, **named: Any) -> None:
        self.options, self.named = options, named

    def __call__(self, *tensors: Any, **more: Any) -> Any:
        if any(callable(option) for option in self.options):  # they stand in between
            raise NotThere(f"no class of {self.function.__name__} stands in")
        function, named = self.function, self.named | more
        if not hasattr(function, "op_name"):
            return function(*tensors, *self.options, **named)
        names, operands = inspect.signature(function).parameters, operands_of(function)
        free = [name for name in names if name not in operands and name not in named]
        named |= dict(zip(free, self.options))
        if any(p.kind is p.VAR_POSITIONAL for p in names.values()):  # as einsum
            return function(
                *(named.pop(n) for n in free if n in named), *tensors, **named
            )
        waiting = (name for name in names if name in operands and name not in named)
        return function(**dict(zip(waiting, tensors)), **named)

    call = symbolic_call = __call__

    def __getattr__(self, name: str) -> Any:
        raise NotThere(f"no class of {self.function.__name__} stands in")

    def compute_output_spec(self, *tensors: Any, **more: Any) -> Any:
        raise NotThere(f"no class of {self.function.__name__} stands in")


def _function_of(name: str) -> Any:
    """The operation whose class Keras calls `name`: `Log10` is `log10`."""
    if not name[0].isupper():
        return None
    for key, function in vars(carnyx.ops).items():
        if key.replace("_", "") == name.lower():
            return function
    return None


class StandIn(types.ModuleType):
    """A module of Keras whose names are looked up among Carnyx's."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == "keras.src.utils.module_utils" and name != "module_utils":
            return importlib.import_module(
                name
            )  # of another library, used if it is here
        for key in ((self.__name__, name), ("", name)):
            if key in EXTRAS:
                return EXTRAS[key]
        if self.__name__ in ("keras", "keras.src") and name in FOLDERS - {"config"}:
            return importlib.import_module(f"keras.src.{name}")
        parts = self.__name__.removeprefix("keras").removeprefix(".src").split(".")[1:]
        direct = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        path = SOURCE.joinpath(*parts, name)
        is_module = path.is_dir() or path.with_suffix(".py").is_file()
        if not is_module:
            direct += ELSEWHERE.get(parts[0], []) if parts else []
        for place in direct:
            found = _public(place, name)
            if found is not None and not is_module:
                return found
        if is_module:
            return importlib.import_module(f"{self.__name__}.{name}")
        if not parts or parts[0] in ("backend", "utils"):
            for owner in (carnyx, carnyx.ops):
                if name in vars(owner):
                    return vars(owner)[name]
        if parts and parts[0] == "ops" and (function := _function_of(name)):
            return type(name, (OpClass,), {"function": staticmethod(function)})
        if not is_module and path.parent.with_suffix(".py").is_file():
            return Missing(name, (), {"module": self.__name__})
        raise NotThere(f"{self.__name__} stands in without {name!r}")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins for `keras`, and the tests themselves in Keras's folder."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "keras" and not name.startswith("keras."):
            return None
        file = SOURCE / (name.removeprefix("keras.src.").replace(".", "/") + ".py")
        if (name in BENCH or name.endswith("_test")) and file.is_file():
            return importlib.util.spec_from_file_location(name, file)
        if name == "keras.src.testing":
            init = SOURCE / "testing" / "__init__.py"
            return importlib.util.spec_from_file_location(
                name, init, submodule_search_locations=[]
            )
        place = SOURCE.parent.joinpath(*name.split(".")[1:])
        if not (place.is_dir() or place.with_suffix(".py").is_file()):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> Any:
        return StandIn(spec.name)

    def exec_module(self, module: Any) -> None:
        pass


def _seed_generators(layer: Any) -> list[Any]:
    """What the test bench reads from protected attributes."""
    return [g for inner in layer._flatten_layers() for g in seed_generators(inner)]


def _folders() -> set[str]:
    names = {p.stem for p in SOURCE.rglob("*.py")}
    return names | {p.name for p in SOURCE.rglob("*") if p.is_dir()}


FOLDERS = _folders()
EXTRAS: dict[tuple[str, str], Any] = {
    ("keras.src.backend.common.global_state", "clear_session"): (
        lambda free_memory=True: carnyx.utils.clear_session()
    ),
    ("keras.src.utils.traceback_utils", "is_traceback_filtering_enabled"): (
        lambda: False
    ),
    ("keras.src.ops.function", "Function"): carnyx.Function,
    ("keras.src.utils.backend_utils", "convert_tf_tensor"): lambda x, dtype=None: x,
    ("keras.src.backend", "backend"): lambda: "jax",
    ("keras.src.backend.config", "backend"): lambda: "jax",
    ("keras.src.backend", "device"): carnyx.device,
    ("keras.src.backend", "distribution_lib"): Missing(
        "distribution_lib", (), {"module": "keras.src.backend"}
    ),
    ("keras.src.backend", "SUPPORTS_SPARSE_TENSORS"): False,
    ("keras.src.backend", "SUPPORTS_RAGGED_TENSORS"): False,
    ("keras.src.backend", "SUPPORTS_COMPLEX_DTYPES"): True,
    ("keras.src.backend", "IS_THREAD_SAFE"): True,
    ("keras.src.backend", "DATA_FORMAT"): "channels_last",
    ("keras.src.backend.common.symbolic_scope", "in_symbolic_scope"): (
        in_symbolic_scope
    ),
    ("keras.src.backend.jax.trainer", "JAXTrainer"): Trainer,
    ("keras.src.ops", "random"): carnyx.random,
    ("keras.src.ops.operation", "Operation"): carnyx.Operation,
    ("", "keras_export"): lambda *_, **__: lambda thing: thing,
    ("", "removesuffix"): lambda text, end: text.removesuffix(end),
}


def make_conftest() -> types.ModuleType:
    """What Keras's tests import from the `conftest` that is not installed."""
    conftest = types.ModuleType("conftest")
    as_it_is = lambda *_, **__: lambda test: test  # noqa: E731
    conftest.skip_if_backend = as_it_is  # type: ignore[attr-defined]
    return conftest


def compare_errors_by_type() -> None:
    """`assertRaisesRegex` and `assertWarnsRegex` look at the type alone."""

    def by_type(method: Any) -> Any:
        def compare(self: Any, kind: Any, *args: Any, **kwargs: Any) -> Any:
            args = args if kwargs.pop("expected_regex", None) else args[1:]
            return method(self, kind, *args, **kwargs)

        return compare

    def without_match(check: Any) -> Any:
        return lambda kind, *args, match=None, **kwargs: check(kind, *args, **kwargs)

    pytest.raises, pytest.warns = map(without_match, (pytest.raises, pytest.warns))
    unittest.TestCase.assertRaisesRegex = by_type(  # type: ignore
        unittest.TestCase.assertRaises
    )
    unittest.TestCase.assertWarnsRegex = by_type(  # type: ignore
        unittest.TestCase.assertWarns
    )


# What Carnyx never does, on purpose: import what a file names, run a file's bytecode.
_REFUSED = r"a file can import nothing|argument 'safe_mode'"
# A protected attribute of ours, or a name that a stand-in does not have.
_PRIVATE = re.compile(
    r"NotThere|has dense tensors only|"
    r"has no attribute '?_[a-z]|has no '_|is not in Carnyx yet"
    r"|got an unexpected keyword argument '_"
    r"|\._[a-z]\w*\(\) (takes|got|missing)|needs Orbax|No module named"
    rf"|has no attribute 'quantization_mode'|{_REFUSED}"
    r"|AttributeError: _[a-z]|'symbolic_call' to be called|<Mock "
    r"|<class '__main__\._[A-Z]"
    r"|cannot import name 'get_data_adapter'"
)
# Parts of the vocabulary that are still to come; a test of one does not count.
_TO_COME = re.compile(
    r"lora|remat|quantiz|int4|int8|float8|gptq|awq|ragged|onnx|tflite|litert|torch"
    r"|sparse(?!_?(categorical|top|plus|sigmoid|max))"
    r"|openvino|saved_?model|export|nnx|flax|_tf_|_tf$|tf_data|tensorflow",
    re.IGNORECASE,
)
# Tests that look at protected attributes, or at the texts of warnings, in ways that do
# not show in their errors.
_INSIDE = re.compile(
    r"SequentialTest::test_(basic_flow|legacy_flow)|for_jax_model_weights"
    r"|test_input_dict_with_extra_field|warning_for_mismatched_inputs_structure"
)


class TestFile(pytest.Module):
    """A test file, imported by its name in Keras."""

    def _getobj(self) -> Any:
        parts = self.path.relative_to(SOURCE).with_suffix("").parts
        return importlib.import_module(".".join(("keras", "src", *parts)))


class Report:
    """Counts what passed, failed, and does not count."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.left_out: list[tuple[str, str]] = []

    def pytest_pycollect_makemodule(self, module_path: Path, parent: Any) -> Any:
        return TestFile.from_parent(parent, path=module_path)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and report.passed:
            self.passed.append(report.nodeid)
        elif report.failed:
            text = str(report.longrepr)
            last = _last_error(text)
            absent = _PRIVATE.search(text) or _TO_COME.search(report.nodeid)
            absent = absent or _INSIDE.search(report.nodeid)
            kind = self.left_out if absent else self.failed
            kind.append((report.nodeid, last))
        elif report.skipped and report.when == "setup":
            self.left_out.append((report.nodeid, "skipped"))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            last = _last_error(str(report.longrepr))
            self.left_out.append((report.nodeid, "not imported: " + last))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        write = terminalreporter.write_line
        by_file: dict[str, list[str]] = {}
        for test, why in self.failed:
            by_file.setdefault(test.split("::")[0], []).append(
                f"  FAILED {'::'.join(test.split('::')[1:])}: {why}"
            )
        for file, lines in sorted(by_file.items()):
            write(file)
            for line in lines:
                write(line[:300])
        for test, why in self.left_out:
            if why != "skipped" and os.environ.get("LEFT_OUT"):
                write(f"left out {test}: {why}"[:300])
        counted = len(self.passed) + len(self.failed)
        share = len(self.passed) / max(counted, 1)
        write(
            f"{len(self.passed)} of {counted} pass ({share:.1%}); "
            f"{len(self.left_out)} left out"
        )


def _last_error(text: str) -> str:
    errors = [line for line in text.splitlines() if line.startswith("E  ")]
    named = [line for line in errors if re.match(r"E +[\w.]*(Error|Warning|Ex)", line)]
    return (named or errors or text.splitlines() or ["?"])[-1].removeprefix("E").strip()


def main(arguments: list[str]) -> int:
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    wanted, options = arguments[:cut], arguments[cut + 1 :]
    paths = [str(SOURCE / name) for name in wanted] or [str(SOURCE)]
    for name in [n for n in sys.modules if n == "keras" or n.startswith("keras.")]:
        del sys.modules[name]
    sys.meta_path.insert(0, Finder())
    sys.modules["conftest"] = make_conftest()
    compare_errors_by_type()
    importlib.import_module(
        "keras.src.testing.test_case"
    ).get_seed_generators = _seed_generators
    warnings.simplefilter("ignore")
    tracebacks = "short" if os.environ.get("SHOW") else "line"
    settings = f"""-q --import-mode=importlib --noconftest -p no:cacheprovider
        -o python_files=*_test.py -o addopts= -o filterwarnings=ignore -c {os.devnull}
        --rootdir={SOURCE} --continue-on-collection-errors --no-header -r N
        --tb={tracebacks} --show-capture=no""".split()
    report = Report()
    return int(pytest.main([*settings, *options, *paths], plugins=[report]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

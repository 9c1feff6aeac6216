"""Functions in pickles: by the name that leads to them, else by their code."""

from __future__ import annotations

import importlib
import marshal
import sys
import types
from functools import reduce
from typing import Any


class ByReference:
    """A function on its way into a pickle (or a deep copy), where it is itself again.

    Plain pickles have no lambdas and no functions made inside of others; here they go
    as code, as Keras pickles its Lambda layers.
    """

    def __init__(self, function: types.FunctionType) -> None:
        self.function = function

    def __deepcopy__(self, memo: Any) -> types.FunctionType:
        return self.function

    def __reduce__(self) -> tuple[Any, ...]:
        fn = self.function
        if _is_found(fn):
            return _itself, (fn,)
        cells = tuple(cell.cell_contents for cell in fn.__closure__ or ())
        code = marshal.dumps(fn.__code__)
        names = fn.__module__, fn.__name__
        return _of_code, (code, *names, fn.__defaults__, fn.__kwdefaults__, cells)


def _is_found(fn: types.FunctionType) -> bool:
    """Whether its name leads to it."""
    module = sys.modules.get(fn.__module__)
    try:
        return reduce(getattr, fn.__qualname__.split("."), module) is fn
    except AttributeError:
        return False


def _itself(fn: types.FunctionType) -> types.FunctionType:
    return fn


def _of_code(
    code: bytes, module: str, name: str, defaults: Any, by_name: Any, cells: tuple
) -> types.FunctionType:
    surroundings = vars(importlib.import_module(module))
    closure = tuple(types.CellType(value) for value in cells)
    fn = types.FunctionType(marshal.loads(code), surroundings, name, defaults, closure)
    fn.__kwdefaults__ = by_name
    return fn

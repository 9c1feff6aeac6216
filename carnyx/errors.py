"""Every error that Carnyx raises, and the notes that say where.

    CarnyxError
    ├── ShapeError          (ValueError)    sizes or ranks that do not fit
    ├── DTypeError          (TypeError)     a dtype that does not fit
    │   └── UnknownDTypeError (ValueError)  something that names no dtype
    ├── ArgumentError       (ValueError)    an argument outside its range
    │   ├── ArgumentTypeError (TypeError)   an argument of another kind than expected
    │   └── UnsupportedError (NotImplementedError)  a value known, but not taken here
    ├── UnknownArgumentError (TypeError, ValueError)  an argument that is not there
    ├── UnknownNameError    (ValueError)    a name that is not registered
    │   └── UnknownKeyError (KeyError)      a key of a dict that nothing has
    ├── GraphError          (ValueError)    layers connected wrongly
    │   └── NoValueError    (TypeError)     a value asked for where none is computed
    ├── NotBuiltError       (ValueError)    weights asked for before they exist
    ├── AbstractError       (ValueError)    values asked for of an abstract model
    ├── NotCompiledError    (ValueError)    training before `compile`
    ├── VocabularyError (RuntimeError, ValueError)  a vocabulary that is not there yet
    ├── DataError           (ValueError)    batches that do not fit the model
    ├── OutOfMemoryError    (MemoryError)   an array larger than what is free
    ├── DeviceError (RuntimeError, ValueError)  a device that is not there
    ├── ProcessError        (RuntimeError)  another process that died or failed
    ├── FileError           (OSError, ValueError)  a file missing, damaged or refused
    │   └── MissingFileError (FileNotFoundError)  a file that is not there
    └── UnsafeModelError    (ValueError)    a model file that asks for more than data
        └── RecordError     (TypeError)     a record in it with parts of a wrong type

Each inherits the builtin that Keras raises in the same place, so that
`except ValueError` written for Keras still works.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CarnyxError(Exception):
    """Base of all errors raised by Carnyx."""

    def add_note(self, note: str, /) -> None:
        """As of any exception; but JAX's footer, which it adds to all, says nothing."""
        if "JAX_TRACEBACK_FILTERING" not in note:
            super().add_note(note)


class ShapeError(CarnyxError, ValueError):
    """Sizes or ranks that do not fit together."""


class DTypeError(CarnyxError, TypeError):
    """A dtype that does not fit."""


class UnknownDTypeError(DTypeError, ValueError):
    """Something that names no dtype."""


class ArgumentError(CarnyxError, ValueError):
    """An argument outside its range."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of another kind than expected, such as a dict for an axis."""


class UnsupportedError(ArgumentError, NotImplementedError):
    """A value that is known, but not taken here."""


class UnknownArgumentError(CarnyxError, TypeError, ValueError):
    """An argument that is not there: Python's TypeError, and Keras's ValueError."""


class UnknownNameError(CarnyxError, ValueError):
    """A name that is not registered; the message has the nearest one."""


class UnknownKeyError(UnknownNameError, KeyError):
    """A key of a dict that nothing has, such as an output that is not there."""

    __str__ = Exception.__str__  # a KeyError would show the repr of its message


class GraphError(CarnyxError, ValueError):
    """Layers connected wrongly."""


class NoValueError(GraphError, TypeError):
    """The value asked for of a symbolic tensor, or of one in what is compiled."""


class NotBuiltError(CarnyxError, ValueError):
    """Weights or shapes asked for before they exist."""


class AbstractError(CarnyxError, ValueError):
    """Values asked for that a model built in `carnyx.abstract()` does not have."""


class NotCompiledError(CarnyxError, ValueError):
    """Training or evaluation before `compile`."""


class VocabularyError(CarnyxError, RuntimeError, ValueError):
    """A vocabulary that is not there yet, or cannot have another size any more."""


class DataError(CarnyxError, ValueError):
    """Batches that do not fit the model."""


class OutOfMemoryError(CarnyxError, MemoryError):
    """An array that is larger than the memory that is free; it was not made."""


class DeviceError(CarnyxError, RuntimeError, ValueError):
    """A device that is not there."""


class ProcessError(CarnyxError, RuntimeError):
    """Another process of the job that died, failed or is out of step.

    Attributes:
        exit_code: of a process that ends because of it, to tell it from the cause.
    """

    exit_code = 76  # a "remote error" in sysexits.h


class FileError(CarnyxError, OSError, ValueError):
    """A file that is missing, damaged, refused or cannot be fetched."""


class MissingFileError(FileError, FileNotFoundError):
    """A file that is not there."""


class UnsafeModelError(CarnyxError, ValueError):
    """A model file that asks for more than data: code, imports, other files."""


class RecordError(UnsafeModelError, TypeError):
    """A record in a model file of which a part has the wrong type."""


def nearest(name: object, names: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence with the known name nearest to `name`, or an empty string.

    Args:
        cutoff: how like it must be, from 0 to 1.

    >>> nearest("rleu", ["relu", "tanh"])
    " Did you mean 'relu'?"
    """
    close = difflib.get_close_matches(str(name), list(names), 1, cutoff)
    return f" Did you mean {close[0]!r}?" if close else ""


def add_note_once(error: BaseException, note: str) -> None:
    """Attach a PEP 678 note unless the error carries it already."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)

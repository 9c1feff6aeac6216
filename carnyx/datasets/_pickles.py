"""Arrays that old data files hold as pickles, read without running what they ask for.

The word sequences of IMDB and Reuters are arrays of lists, and CIFAR's batches are
dictionaries of arrays; both can be stored as pickles only. Rebuilding them takes three
functions of NumPy. A file that asks for any other is refused before it is called.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from carnyx.errors import FileError

_NEEDED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NEEDED:
            raise FileError(
                f"The file asks for {module}.{name}; a data set needs arrays of NumPy "
                "only. It was damaged or tampered with: delete it, and load again."
            )
        if module == "numpy.core.multiarray":  # NumPy 2 warns of its old name
            module = "numpy._core.multiarray"
        return super().find_class(module, name)


def unpickle(stream: IO[bytes], encoding: str = "ASCII") -> Any:
    """The object in a pickle of plain values and arrays."""
    return _ArrayUnpickler(stream, encoding=encoding).load()


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file, arrays of lists included."""
    with zipfile.ZipFile(path) as archive:
        return {
            name.removesuffix(".npy"): _read_npy(archive.read(name))
            for name in archive.namelist()
        }


def _read_npy(content: bytes) -> np.ndarray:
    stream, form = io.BytesIO(content), np.lib.format
    version = form.read_magic(stream)
    header = form.read_array_header_1_0 if version == (1, 0) else None
    _, _, dtype = (header or form.read_array_header_2_0)(stream)
    if dtype.hasobject:
        return unpickle(stream)
    return form.read_array(io.BytesIO(content), allow_pickle=False)

"""What layers with a vocabulary write into configs and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from carnyx.errors import UnsafeModelError
from carnyx.layers.preprocessing._adapting import Adapts
from carnyx.layers.preprocessing._host import HostLayer
from carnyx.layers.preprocessing._vocabulary import read_vocabulary
from carnyx.typing import PathLike

FILE = "vocabulary.txt"


class HasVocabulary(Adapts, HostLayer, register=False):
    """Base: a subclass says which lookup has the words."""

    def _lookup(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define _lookup.")

    def get_config(self) -> dict[str, Any]:
        lookup = self._lookup()
        own = {"vocabulary": lookup.vocabulary, "idf_weights": lookup.idf_weights}
        lists = {k: None if v is None else v.tolist() for k, v in own.items()}
        # How many words there are says what the output will be, before they are read.
        return super().get_config() | lists | {"vocabulary_size": lookup._size}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        size = config.pop("vocabulary_size", None)
        words = config.get("vocabulary")
        if isinstance(words, str):
            raise UnsafeModelError(
                f"A {cls.__name__} in a file asks for the vocabulary file {words!r}. "
                "Models read no other files; set the vocabulary of the layer yourself: "
                "set_vocabulary(path)."
            )
        layer = super().from_config(config)
        layer._lookup().expect_size(size)
        return layer

    def save_own_variables(self, store: Any) -> None:
        if self._lookup()._idf is not None:
            store["idf_weights"] = self._lookup()._idf

    def load_own_variables(self, store: Any) -> None:
        if "idf_weights" in store:
            self._lookup()._idf = np.asarray(store["idf_weights"])

    def save_assets(self, dir_path: PathLike) -> None:
        """Write the words into a folder, unless the config has them."""
        if self._lookup().vocabulary is None:
            words = "\n".join(map(str, self._lookup().get_vocabulary()))
            (Path(dir_path) / FILE).write_text(words, "utf-8", newline="\n")

    def load_assets(self, dir_path: PathLike) -> None:
        """Read what `save_assets` wrote."""
        if self._lookup().vocabulary is None:
            self._lookup().take_saved(read_vocabulary(Path(dir_path) / FILE))

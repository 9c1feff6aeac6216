"""What Carnyx asks of JAX before the first program; starts no device."""

from __future__ import annotations

import os
from pathlib import Path

import jax


def prepare_jax() -> None:
    """Keep compiled programs on disk, unless the user chose another place or none.

    The folder is `$CARNYX_CACHE`, else `carnyx/programs` in the user's cache folder;
    `JAX_COMPILATION_CACHE_DIR` and JAX's own settings win.
    """
    if (
        jax.config.jax_compilation_cache_dir
        or "JAX_COMPILATION_CACHE_DIR" in os.environ
    ):
        return
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = os.environ.get("CARNYX_CACHE", str(Path(base) / "carnyx" / "programs"))
    if not folder:  # CARNYX_CACHE= turns it off
        return
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

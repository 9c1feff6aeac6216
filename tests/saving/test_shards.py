"""Backups of several processes, each of which writes a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from carnyx.errors import FileError
from carnyx.saving import backup
from carnyx.saving.shards import ShardedArrays, Share, write_shards

ARRAYS = {
    "00000 a": np.arange(12, dtype="float32").reshape(3, 4),
    "00001 b": jnp.asarray([[1.5, -2.0]], "bfloat16"),
    "00002 c": np.uint32(7),
}


def write(root: Path, step: int, error: str | None = None) -> Path | None:
    """As two processes would, the second of which has nothing of its own."""
    said: list[Any] = []
    share = Share(1, "word", lambda value: said.append(value) or said)
    write_shards(root, step, ARRAYS, {"feed": {"index": 1}}, share)
    said[0]["error"] = said[0]["error"] or error
    share = Share(0, "word", lambda value: [value, said[0]])
    return write_shards(root, step, ARRAYS, {"feed": {"index": 0}}, share)


def test_read_as_a_whole_and_in_parts(tmp_path: Path) -> None:
    folder = write(tmp_path, 3)
    assert folder is not None
    read = backup.read_backup(folder)
    assert read.step == 3
    assert read.content["feeds"] == [{"index": 0}, {"index": 1}]
    assert isinstance(read.arrays, ShardedArrays)
    for name, array in ARRAYS.items():
        assert read.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(read.arrays[name], array)
    part = read.arrays.read("00000 a", (slice(1, 3), slice(2, None)))
    np.testing.assert_array_equal(part, [[6, 7], [10, 11]])


@pytest.mark.parametrize("what", ["arrays-0000", "arrays-0001", "manifest"])
@pytest.mark.parametrize("how", ["cut", "changed", "missing"])
def test_damage_is_seen_and_an_older_backup_is_used(
    tmp_path: Path, what: str, how: str
) -> None:
    write(tmp_path, 1)
    folder = write(tmp_path, 2)
    assert folder is not None
    (file,) = folder.glob(f"{what}.*")
    content = file.read_bytes()
    if how == "missing":
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[:-3])
    else:
        at = len(content) - 2
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(FileError, match=f"{what}.* is damaged"):
        backup.read_backup(folder)
    with pytest.warns(UserWarning, match="An older backup is used"):
        found = backup.newest_backup(tmp_path)
    assert found is not None and found.step == 1


def test_one_that_could_not_write_is_named(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(FileError, match="step 2 .* process 1: OSError: no room"):
        write(tmp_path, 2, error="OSError: no room")
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000000001"]


def test_what_a_job_left_unfinished_is_removed(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "step-000000000002.tmp-job-word").mkdir()
    assert backup.clean(tmp_path) == 1
    assert backup.list_backups(tmp_path) == [tmp_path / "step-000000000001"]

"""The examples of docs/callbacks.md run, those that need no other library."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "callbacks.md"


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    names: dict = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
    assert len(blocks) == 3 and names["slowest"].worst > 0
    assert Path("rates.png").is_file() and list(Path("logs/train").glob("events*"))
    assert names["report"]["step"] > 0

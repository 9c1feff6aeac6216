"""What the documents promise: versions agree, the READMEs' examples run."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READMES = ["README.md", "README.zh-CN.md"]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text(name), re.M | re.S)


def test_the_version_is_the_same_everywhere():
    import carnyx

    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    assert carnyx.__version__ == version
    assert re.search(r"^version: (.*)$", text("CITATION.cff"), re.M)[1] == version
    assert re.search(r"^## \[(.*?)\]", text("CHANGELOG.md"), re.M)[1] == version


def test_both_readmes_show_the_same_code():
    english, chinese = (blocks(name, "python") for name in READMES)
    assert english == chinese and english
    assert len(english[0].strip().splitlines()) <= 15
    headings = [re.findall(r"^#+ ", text(name), re.M) for name in READMES]
    assert headings[0] == headings[1]


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(blocks("README.md", "python")[0], "README.md", "exec"), names)
    assert names["accuracy"] > 0.9


@pytest.mark.parametrize("name", READMES)
def test_links_to_files_lead_somewhere(name):
    links = re.findall(r"\]\((?!http)([^)]+)\)", text(name))
    assert links and all((ROOT / link).is_file() for link in links)

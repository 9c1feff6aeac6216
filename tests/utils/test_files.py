"""`get_file` against Keras where it is right, and against hostile archives."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from carnyx.utils.files import extract_archive, get_file

TEXT = b"hello\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()
MD5 = hashlib.md5(TEXT).hexdigest()


@pytest.fixture
def origin(tmp_path):
    """URLs of a text file and of two archives that hold `pkg/a.txt`."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_bytes(TEXT)
    with tarfile.open(source / "pkg.tar.gz", "w:gz") as archive:
        archive.add(source / "a.txt", "pkg/a.txt")
    with zipfile.ZipFile(source / "pkg.zip", "w") as archive:
        archive.writestr("pkg/a.txt", TEXT)
    return source


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# what is asked for: (keyword arguments, file of the origin)
REQUESTS = [
    (dict(), "a.txt"),
    (dict(fname="b.txt"), "a.txt"),
    (dict(file_hash=SHA256), "a.txt"),
    (dict(file_hash=MD5, hash_algorithm="md5"), "a.txt"),
    (dict(md5_hash=MD5, cache_subdir="deep/er"), "a.txt"),
    (dict(extract=True), "pkg.zip"),
    (dict(extract=True), "pkg.tar.gz"),
    (dict(untar=True, fname="foo"), "pkg.tar.gz"),
    (dict(extract=True, fname="foo"), "pkg.zip"),
    (dict(extract=True, fname="foo.tar.gz"), "pkg.tar.gz"),
    (dict(extract=True, fname="foo.zip", archive_format="zip"), "pkg.zip"),
]


@pytest.mark.parametrize("arguments, name", REQUESTS)
def test_paths_and_files_are_those_of_keras(
    arguments, name, origin, tmp_path, keras_oracle
):
    url, found = (origin / name).as_uri(), []
    for fetch in (get_file, keras_oracle.utils.get_file):
        cache = tmp_path / fetch.__module__
        cache.mkdir()
        path = fetch(origin=url, cache_dir=str(cache), **arguments)
        found.append((path.replace(str(cache), ""), tree(cache)))
    assert found[0] == found[1]


def test_a_cached_file_is_not_fetched_again(origin, tmp_path):
    url = (origin / "a.txt").as_uri()
    first = get_file(origin=url, cache_dir=tmp_path)
    (origin / "a.txt").write_bytes(b"changed")
    assert Path(get_file(origin=url, cache_dir=tmp_path)).read_bytes() == TEXT
    get_file(origin=url, cache_dir=tmp_path, force_download=True)
    assert Path(first).read_bytes() == b"changed"


def test_a_damaged_cached_file_is_fetched_again(origin, tmp_path):
    request = dict(origin=(origin / "a.txt").as_uri(), cache_dir=tmp_path)
    Path(get_file(**request)).write_bytes(b"damaged")
    assert Path(get_file(**request, file_hash=SHA256)).read_bytes() == TEXT


def test_a_wrong_hash_keeps_the_old_file_and_leaves_nothing_beside(origin, tmp_path):
    request = dict(origin=(origin / "a.txt").as_uri(), cache_dir=tmp_path / "cache")
    get_file(**request)
    with pytest.raises(ValueError, match="does not have the expected sha256 000"):
        get_file(**request, file_hash="0" * 64)
    assert tree(tmp_path / "cache") == ["datasets/a.txt"]


def test_no_network_names_the_file_and_where_to_put_it(tmp_path):
    with pytest.raises(OSError, match="put it at .*datasets/b.bin"):
        get_file("b.bin", (tmp_path / "none.bin").as_uri(), cache_dir=tmp_path)


def test_the_cache_folder_is_carnyx_home(origin, tmp_path, monkeypatch):
    monkeypatch.setenv("CARNYX_HOME", str(tmp_path / "home"))
    path = get_file(origin=(origin / "a.txt").as_uri())
    assert path == str(tmp_path / "home" / "datasets" / "a.txt")


@pytest.mark.parametrize("name", ["../a", "/a", "b/a", "a\\b", ".."])
def test_file_names_with_folders_are_refused(name):
    with pytest.raises(ValueError, match="without folders"):
        get_file(name, "file:///a.txt")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(fname="a"), "no origin"),
        (dict(origin="file:///a", file_hash="12"), "32 digits"),
        (dict(origin="file:///a", file_hash=MD5, hash_algorithm="crc"), "'crc'"),
    ],
)
def test_arguments_out_of_range(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        get_file(**arguments, cache_dir=tmp_path)


def tar_of(file, *members):
    with tarfile.open(file, "w") as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(TEXT)
            archive.addfile(info, io.BytesIO(TEXT))


def zip_of(file, name, mode=0o100644):
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("placeholder")
        info.filename, info.external_attr = name, mode << 16
        archive.writestr(info, TEXT)


FILE, LINK, HARD, FIFO = b"0", b"2", b"1", b"6"
HOSTILE_TARS = {
    "parent": [("../out", FILE, "")],
    "deep parent": [("pkg/../../out", FILE, "")],
    "absolute": [("/tmp/carnyx-out", FILE, "")],
    "backslash": [("..\\out", FILE, "")],
    "drive": [("C:out", FILE, "")],
    "link out": [("pkg", LINK, ".."), ("pkg/out", FILE, "")],
    "hard link": [("pkg", HARD, "/etc/passwd")],
    "fifo": [("pipe", FIFO, "")],
    "twice": [("a", FILE, ""), ("a", FILE, "")],
    "file as folder": [("a", FILE, ""), ("a/b", FILE, "")],
}


@pytest.mark.parametrize("members", HOSTILE_TARS.values(), ids=HOSTILE_TARS)
def test_hostile_tar_is_refused_and_leaves_nothing(members, tmp_path):
    tar_of(tmp_path / "bad.tar", ("good.txt", FILE, ""), *members)
    with pytest.raises(OSError, match="was not unpacked: its member"):
        extract_archive(tmp_path / "bad.tar", tmp_path / "into")
    assert tree(tmp_path) == ["bad.tar"]


@pytest.mark.parametrize(
    "name, mode",
    [
        ("../out", 0o100644),
        ("a/../../out", 0o100644),
        ("/tmp/carnyx-out", 0o100644),
        ("link", 0o120777),
    ],
)
def test_hostile_zip_is_refused_and_leaves_nothing(name, mode, tmp_path):
    zip_of(tmp_path / "bad.zip", name, mode)
    with pytest.raises(OSError, match="was not unpacked: its member"):
        extract_archive(tmp_path / "bad.zip", tmp_path / "into")
    assert tree(tmp_path) == ["bad.zip"]


def test_what_is_no_archive_is_an_error(origin, tmp_path):
    with pytest.raises(OSError, match="no archive of the format asked"):
        extract_archive(origin / "a.txt", tmp_path / "into")
    with pytest.raises(ValueError, match="archive_format got 'rar'"):
        extract_archive(origin / "a.txt", tmp_path / "into", "rar")


def test_unpacking_replaces_the_folder_as_a_whole(origin, tmp_path):
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "old.txt").write_text("old")
    extract_archive(origin / "pkg.zip", tmp_path / "into")
    assert tree(tmp_path / "into") == ["pkg/a.txt"]

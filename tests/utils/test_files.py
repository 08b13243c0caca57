import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from local_server import serving
from nacre.utils import files, get_file

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def server(tmp_path_factory):
    """(address, folder that is served, paths that were asked for)."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder) as (address, asked):
        yield address, folder, asked


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_downloads_once_and_then_reads_the_cache(server, home):
    address, folder, asked = server
    (folder / "a.txt").write_bytes(b"hello")
    digest = hashlib.sha256(b"hello").hexdigest()
    for _ in range(2):
        assert get_file(origin=f"{address}/a.txt", file_hash=digest) == str(home / "datasets" / "a.txt")
    assert (home / "datasets" / "a.txt").read_bytes() == b"hello" and asked == ["/a.txt"]
    get_file(origin=f"{address}/a.txt", force_download=True)
    assert len(asked) == 2


def test_a_damaged_cache_is_downloaded_again(server, home):
    address, folder, _ = server
    (folder / "a.txt").write_bytes(b"hello")
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "a.txt").write_bytes(b"hell")
    get_file(origin=f"{address}/a.txt", file_hash=hashlib.md5(b"hello").hexdigest())
    assert (home / "datasets" / "a.txt").read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("path", "options", "error", "text"),
    [
        ("/a.txt", {"file_hash": "0" * 64}, ValueError, "Incomplete or corrupted file detected"),
        ("/missing", {}, OSError, "404"),
        ("/cut", {}, OSError, r"10 of 1000 bytes.*put the file there by hand"),
        ("/error", {}, OSError, "500"),
        ("/round", {}, OSError, "302"),
        ("/silent", {}, OSError, r"(?s)no answer|timed out"),
        ("/noise", {}, OSError, "(?s)URL fetch failure.*by hand"),
        ("/reset", {}, OSError, "URL fetch failure.*by hand"),
    ],
)
def test_a_failed_download_leaves_nothing_behind(server, home, monkeypatch, path, options, error, text):
    monkeypatch.setattr(files, "_TIMEOUT", 0.5)
    address, folder, _ = server
    (folder / "a.txt").write_bytes(b"hello")
    with pytest.raises(error, match=text):
        get_file(origin=address + path, **options)
    assert not list((home / "datasets").iterdir())


def test_a_redirection_is_followed(server, home):
    address, folder, _ = server
    (folder / "a.txt").write_bytes(b"hello")
    digest = hashlib.sha256(b"hello").hexdigest()
    assert Path(get_file("b.txt", origin=f"{address}/moved", file_hash=digest)).read_bytes() == b"hello"


def test_an_interrupted_download_leaves_nothing_behind(server, home, monkeypatch):
    address, folder, _ = server
    (folder / "a.txt").write_bytes(b"hello")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.Progbar, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get_file(origin=f"{address}/a.txt")
    assert not list((home / "datasets").iterdir())


def test_without_a_network_the_error_says_which_file_to_put_where(home):
    with pytest.raises(OSError, match=rf"put the file there by hand: {home}/datasets/x.npz \(checksum {'0' * 64}\)"):
        get_file("x.npz", origin="http://127.0.0.1:9/x.npz", file_hash="0" * 64)


def archive(folder, kind, members):
    if kind == "zip":
        with zipfile.ZipFile(folder / "a.zip", "w") as out:
            for name, data in members.items():
                out.writestr(name, data)
        return "a.zip"
    with tarfile.open(folder / "a.tar.gz", "w:gz") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return "a.tar.gz"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_are_extracted(server, home, kind):
    address, folder, _ = server
    name = archive(folder, kind, {"d/x": b"1", "y": b"2"})
    got = get_file("things", origin=f"{address}/{name}", extract=True)
    assert got == str(home / "datasets" / "things")
    assert (home / "datasets/things/d/x").read_bytes() == b"1" and (home / "datasets/things_archive").is_file()
    assert get_file("b.tgz", origin=f"{address}/{name}", extract=True) == str(home / "datasets" / "b_extracted")


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_archives_cannot_write_outside(server, home, kind, name):
    address, folder, _ = server
    packed = archive(folder, kind, {"fine": b"1", name: b"2"})
    with pytest.raises(ValueError, match="leads outside"):
        get_file("things", origin=f"{address}/{packed}", extract=True)
    assert sorted(p.name for p in (home / "datasets").iterdir()) == ["things_archive"]


def test_archives_with_links_are_refused(server, home):
    address, folder, _ = server
    with tarfile.open(folder / "l.tar", "w") as out:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    with pytest.raises(ValueError, match="no links"):
        get_file("things", origin=f"{address}/l.tar", extract=True)
    assert not (home / "datasets/things").exists()


def test_a_file_name_is_not_a_path():
    with pytest.raises(ValueError, match="Paths are no longer accepted"):
        get_file("a/b", origin="http://127.0.0.1:9/x")
    with pytest.raises(ValueError, match='specify the "origin"'):
        get_file("a")


def test_an_origin_is_text():
    with pytest.raises(TypeError, match="expected the URL of a file, got 5"):
        files.get_file("x", 5)


def test_files_of_a_folder_are_found_once_and_pipes_not_at_all(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe")
    (tmp_path / "y").symlink_to("nowhere")
    for follow in (False, True):
        found = [path.relative_to(tmp_path).as_posix() for path in files.walk_files(tmp_path, follow)]
        assert found == ["y", "a/x"]

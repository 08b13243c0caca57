import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from nacre.saving import api
from nacre.saving.atomic import _open, replacing
from saveable_things import Dense, Model


def test_a_failing_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.weights.h5"
    api.save_weights(Model(a=Dense([1.0])), path)
    before = path.read_bytes()

    class Broken(Dense):
        def save_own_variables(self, store):
            store["0"] = [1.0]
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        api.save_weights(Model(a=Broken()), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x.weights.h5"]


def test_a_killed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    script = f"""
        import os, signal
        from nacre.saving.atomic import replacing
        with replacing({str(path)!r}) as file:
            file.write(b"new" * 100000)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL and path.read_bytes() == b"old"
    handle, named = _open(tmp_path / "part", 0o600)
    os.close(handle)
    assert named or os.listdir(tmp_path) == ["x"]  # where files can be without a name, nothing is left


@pytest.mark.parametrize("limit", [100, 3000, 40000])
@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5", "x.h5"])
def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_the_old_one(tmp_path, name, limit):
    path = tmp_path / name
    path.write_bytes(b"old")
    script = f"""
        import resource, warnings
        import nacre as keras
        warnings.simplefilter("ignore")
        model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(200)])
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            (model.save_weights if "weights" in {name!r} else model.save)({str(path)!r})
        except OSError as error:
            assert error.filename == {str(path)!r} and "as it was" in str(error), error
        else:
            raise SystemExit("saved")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [name]


def test_saves_at_the_same_time_leave_one_whole_file(tmp_path):
    path = tmp_path / "x.weights.h5"
    models = [Model(a=Dense(np.full(20000, float(i)))) for i in range(4)]
    threads = [threading.Thread(target=lambda m=m: [api.save_weights(m, path) for _ in range(5)]) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    target = Model(a=Dense(np.zeros(20000)))
    api.load_weights(target, path)
    assert len(set(target.a.arrays[0])) == 1 and os.listdir(tmp_path) == ["x.weights.h5"]


def test_permissions_and_links_stay(tmp_path):
    real = tmp_path / "real"
    real.write_bytes(b"old")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert real.read_bytes() == b"new" and (tmp_path / "link").is_symlink() and real.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_ordinary_permissions(tmp_path, monkeypatch):
    old = os.umask(0o027)
    try:
        with monkeypatch.context() as only, replacing(tmp_path / "x") as file:
            only.delattr(os, "umask")  # it is the process': who sets it, if only to read it, does so for all threads
            file.write(b"1")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(("name", "error"), [("folder", IsADirectoryError), ("missing/x", FileNotFoundError)])
def test_impossible_targets_are_errors_that_name_them(tmp_path, name, error):
    (tmp_path / "folder").mkdir()
    with pytest.raises(error, match=name), replacing(tmp_path / name):
        pass


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(OSError, match=r"'.*x': a device, a pipe or a socket"), replacing(tmp_path / "x"):
        pass
    assert (tmp_path / "x").is_fifo()


def test_a_folder_that_is_gone_is_said(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError, match="current folder: 'x'"), replacing("x"):
        pass

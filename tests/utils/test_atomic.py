import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from nacre.saving import api
from nacre.utils.atomic import _open, replacing
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
        from nacre.utils.atomic import replacing
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


def test_what_killed_saves_left_is_removed_by_a_later_one(tmp_path):
    left, running, others = (tmp_path / f".{n}.part" for n in ("x.0123456789ab", "x.ab0123456789", "x.y.0123456789ab"))
    for path in (left, running, others):
        path.write_bytes(b"half")
    for path in (left, others):
        os.utime(path, (0, 0))
    with replacing(tmp_path / "x") as file:
        file.write(b"new")
    assert sorted(os.listdir(tmp_path)) == sorted((running.name, others.name, "x"))


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
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=600)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [name]


FULL = """
import os, resource, sys
import numpy as np
import nacre as keras
from nacre.callbacks.tensorboard import EventWriter, scalar
from nacre.compat import tensorflow as tf

os.chdir(sys.argv[1])
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
source, noise = os.path.abspath("source"), np.random.default_rng(0).integers(0, 255, (90, 90, 3))
logger = keras.callbacks.CSVLogger("log")
logger.on_train_begin()
records, events = tf.io.TFRecordWriter("records"), EventWriter("events")
event = os.path.join("events", *os.listdir("events"))
open("source", "wb").write(b"x" * 9000)
replaced = {
    "image.png": lambda: keras.utils.save_img("image.png", noise, scale=False),
    "model.dot": lambda: keras.utils.model_to_dot(model).write("model.dot"),
    "written": lambda: tf.io.write_file("written", b"x" * 9000),
    "copy": lambda: tf.io.gfile.copy("source", "copy", overwrite=True),
    "got": lambda: keras.utils.get_file("got", "file://" + source, cache_dir="", cache_subdir="", force_download=True),
}
added = {
    "log": lambda: logger.on_epoch_end(0, {"x" * 9000: 1.0}),
    "records": lambda: (records.write(b"x" * 9000), records.close()),
    event: lambda: events.add([scalar("x" * 9000, 1.0)], 0),
}
for name in replaced:
    open(name, "wb").write(b"old")
before = sorted(os.listdir("."))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for name, act in {**replaced, **added}.items():
    try:
        act()
    except OSError as error:
        assert os.path.basename(error.filename) == os.path.basename(name), (name, error)
        assert name in added or open(name, "rb").read() == b"old", name
    else:
        raise SystemExit(f"{name}: written")
assert sorted(os.listdir(".")) == before, os.listdir(".")
assert logger.csv_file.closed
"""


def test_on_a_full_disk_pictures_downloads_and_logs_say_which_file_it_was(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


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


def test_a_path_through_a_folder_that_is_missing_is_refused(tmp_path):
    path = os.path.join(tmp_path, "missing", os.pardir, "file")
    with pytest.raises(FileNotFoundError, match="cannot write the file"), replacing(path) as file:
        file.write(b"x")
    assert not os.listdir(tmp_path)

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from nacre.saving import api
from nacre.saving.atomic import replacing
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


def test_permissions_and_links_stay(tmp_path):
    real = tmp_path / "real"
    real.write_bytes(b"old")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert real.read_bytes() == b"new" and (tmp_path / "link").is_symlink() and real.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_ordinary_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        with replacing(tmp_path / "x") as file:
            file.write(b"1")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(("name", "error"), [("folder", IsADirectoryError), ("missing/x", FileNotFoundError)])
def test_impossible_targets_are_errors_that_name_them(tmp_path, name, error):
    (tmp_path / "folder").mkdir()
    with pytest.raises(error, match=name), replacing(tmp_path / name):
        pass

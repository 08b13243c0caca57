"""Settings that a program starts with: the file keras.json."""

import json
import os
import subprocess
import sys

import pytest

SHOW = """
import nacre as keras
c = keras.config
print(c.floatx(), c.epsilon(), c.image_data_format())
print(keras.layers.Conv2D(1, 3).data_format, keras.layers.Dense(1).compute_dtype)
"""


def start(home, **environment):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment}
    env.pop("KERAS_HOME", None)
    env.update(home)
    return subprocess.run([sys.executable, "-c", SHOW], env=env, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("variable, folder", [("HOME", ".keras"), ("KERAS_HOME", ".")])
def test_settings_of_keras_json_are_taken_over(tmp_path, variable, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    settings = {"floatx": "float64", "epsilon": 1e-5, "image_data_format": "channels_first", "backend": "jax"}
    (tmp_path / folder / "keras.json").write_text(json.dumps(settings))
    done = start({variable: str(tmp_path)})
    assert done.stdout.splitlines() == ["float64 1e-05 channels_first", "channels_first float64"], done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff\xfe", b"[" * 200_000], ids=["cut", "list", "bytes", "deep"])
def test_a_file_that_cannot_be_read_is_left_out_with_a_warning(tmp_path, text):
    (tmp_path / "keras.json").write_bytes(text)
    done = start({"KERAS_HOME": str(tmp_path)})
    assert done.stdout.startswith("float32 1e-07 channels_last"), done.stderr
    assert f"{tmp_path / 'keras.json'} is ignored" in done.stderr


def test_a_pipe_or_a_folder_of_that_name_is_nothing(tmp_path):
    os.mkfifo(tmp_path / "keras.json")
    assert start({"KERAS_HOME": str(tmp_path)}).stderr == ""
    (tmp_path / "folder" / "keras.json").mkdir(parents=True)
    assert start({"KERAS_HOME": str(tmp_path / "folder")}).stdout.startswith("float32")


@pytest.mark.parametrize(
    "name, value", [("floatx", "float16"), ("floatx", ["float32"]), ("epsilon", "small"), ("image_data_format", None)]
)
def test_a_setting_that_cannot_be_says_where_it_stands(tmp_path, name, value):
    (tmp_path / "keras.json").write_text(json.dumps({name: value}))
    done = start({"KERAS_HOME": str(tmp_path)})
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ValueError: {tmp_path / 'keras.json'}: set_{name}: ") and repr(value) in last

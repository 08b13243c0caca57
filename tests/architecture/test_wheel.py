"""The wheel: builds from the source tree, is small, and holds the extension without symbols."""

import fcntl
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if not importlib.util.find_spec("scikit_build_core") or not importlib.util.find_spec("pybind11"):
        pytest.skip("needs pip install scikit-build-core pybind11: the test builds without a network")
    where = tmp_path_factory.mktemp("wheel")
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / "wheel.lock", "w") as lock:  # workers of one run share the folder of the build
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-w", where],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = where.glob("nacre-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_has_at_most_3_megabytes(wheel):
    assert wheel.stat().st_size <= 3 * 2**20


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert all(n.startswith(("nacre/", "nacre-")) for n in names)
    assert "nacre/__init__.py" in names
    (extension,) = [n for n in names if n.endswith(".so")]
    assert extension.startswith("nacre/_core.")


@pytest.mark.slow
def test_the_extension_is_stripped_and_needs_only_common_libraries(wheel, tmp_path):
    archive = zipfile.ZipFile(wheel)
    (extension,) = [n for n in archive.namelist() if n.endswith(".so")]
    path = archive.extract(extension, tmp_path)
    headers = subprocess.run(
        ["readelf", "--wide", "--sections", "--dynamic", path], capture_output=True, text=True, check=True
    )
    assert ".symtab" not in headers.stdout
    needed = {
        line.split("[")[1].split("]")[0].split(".so")[0] for line in headers.stdout.splitlines() if "(NEEDED)" in line
    }
    assert needed <= {
        "libgomp",
        "libstdc++",
        "libm",
        "libgcc_s",
        "libc",
        "libpthread",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }

#!/usr/bin/env python3
"""The one command of this repository; needs only Python's standard library.

    python3 dev.py demo     build, then train three models on handwritten digits (about a minute)
    python3 dev.py test     build, then run the tests (more arguments: pytest's; --all: also the slow and oracle ones)
    python3 dev.py oracle   build, then run Keras' own unit tests against nacre (tests/oracle/keras_own.py)
    python3 dev.py foreign  kernels on simulated CPUs (AArch64, an x86-64 without AVX) and from clang
    python3 dev.py oldest   the tests with the oldest versions of NumPy and the others that pyproject.toml allows
    python3 dev.py bench    build, then run the benchmarks: kernels, models, start, files, compare (bench/run.py)
    python3 dev.py lint     ruff, mypy, clang-format
    python3 dev.py docs     the generated documents, and a check that every link in the documents leads somewhere
    python3 dev.py build    only build: nacre into .venv, the benchmark binaries into build/bin
    python3 dev.py wheel    a wheel in dist/

Everything lands in .venv, build/ and dist/. A build happens only when a source file has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "nacre-built"
SOURCES = ("src", "python", "CMakeLists.txt", "pyproject.toml")
# Build requirements live in .venv rather than in pip's throw-away build environment: the build is then incremental.
BUILD_REQUIRES = ("scikit-build-core>=0.10", "pybind11>=2.12", "cmake>=3.24", "ninja>=1.11")


class Failed(Exception):
    """Something that the user must put right; the message says what."""


def say(text: str) -> None:
    print(f"[dev] {text}", flush=True)


def run(*command: object, env: dict[str, str] | None = None, check: bool = True) -> int:
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=ROOT, env={**os.environ, **(env or {})}, check=False)
    if check and result.returncode:
        raise Failed(f"`{' '.join(words)}` failed with status {result.returncode}")
    return result.returncode


# --- what the machine must have -----------------------------------------------------------------------------


def as_root() -> list[str] | None:
    """How to run a command as root without asking for a password; None when that cannot be done."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def need_system(package: str, why: str) -> None:
    """Installs a Debian package, or says what to install."""
    root = as_root()
    if root is None or shutil.which("apt-get") is None:
        raise Failed(f"{why} is missing. Install it first, on Debian: apt-get install {package}")
    say(f"{why} is missing: apt-get install {package}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(*root, "apt-get", "update", "-qq", env=quiet, check=False)
    run(*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", package, env=quiet)


def check_machine() -> None:
    if sys.version_info < (3, 10):  # noqa: UP036  # this file runs before pip reads what Python is needed
        raise Failed(f"nacre needs Python 3.10 or newer, this is {sys.version.split()[0]}")
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CXX") or "g++", "g++", "clang++")):
        need_system("g++", "A C++ compiler")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        need_system("python3-dev", "Python.h")


# --- the virtual environment --------------------------------------------------------------------------------


def venv_python() -> Path:
    return VENV / "bin" / "python"


def make_venv() -> None:
    pip_works = [venv_python(), "-m", "pip", "--version"]
    if venv_python().exists() and subprocess.run(pip_works, capture_output=True, check=False).returncode == 0:
        return
    say("make .venv")
    shutil.rmtree(VENV, ignore_errors=True)
    with_pip = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False)
    if with_pip.returncode == 0:
        return
    need_system("python3-venv", "Python's ensurepip")  # Debian's python3 comes without it
    shutil.rmtree(VENV, ignore_errors=True)
    run(sys.executable, "-m", "venv", VENV)


def pip(*arguments: object) -> None:
    run(venv_python(), "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments)


def fingerprint(extras: tuple[str, ...]) -> dict[str, object]:
    """What the installed nacre was made from: a hash over every source file, and the extras that came with it."""
    total = hashlib.sha256()
    for name in SOURCES:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".so", ".pyc"):
                total.update(str(path.relative_to(ROOT)).encode() + b"\0")
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return {"sources": total.hexdigest(), "python": sys.version, "extras": sorted(extras)}


def build(*extras: str) -> None:
    """Installs nacre and these extras into .venv, unless that is already so."""
    check_machine()
    make_venv()
    wanted = fingerprint(extras)
    try:
        built = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        built = {"sources": None, "python": None, "extras": []}
    same_sources = all(built[key] == wanted[key] for key in ("sources", "python"))
    if same_sources and set(extras) <= set(built["extras"]):
        say("nothing has changed: no build needed")
        return
    start = time.monotonic()
    if built["sources"] is None:
        say("install the build tools: " + " ".join(BUILD_REQUIRES))
        pip(*BUILD_REQUIRES)
    all_extras = sorted(set(built["extras"]) | set(extras))
    say(f"build and install nacre with {', '.join(all_extras) or 'no extras'}")
    STAMP.unlink(missing_ok=True)
    jobs = {
        "CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(len(os.sched_getaffinity(0)))
    }
    tools = {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    target = f".[{','.join(all_extras)}]" if all_extras else "."
    command = (
        venv_python(),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-build-isolation",
        target,
    )
    run(*command, env={**jobs, **tools})
    STAMP.write_text(json.dumps({**wanted, "extras": all_extras}))
    say(f"built in {time.monotonic() - start:.0f} s")


# --- commands -----------------------------------------------------------------------------------------------


def demo(arguments: list[str]) -> int:
    build("demo")
    return run(venv_python(), ROOT / "examples" / "digits.py", *arguments, check=False)


def test(arguments: list[str]) -> int:
    everything = "--all" in arguments
    arguments = [a for a in arguments if a != "--all"]
    build("test", *(("oracle",) if everything else ()))
    if everything:
        arguments = [*a_process_per_cpu(), *arguments]
    elif "-m" not in arguments:
        arguments = ["-m", "not slow and not oracle", *arguments]
    say("pytest " + " ".join(arguments))
    status = run(venv_python(), "-m", "pytest", *arguments, check=False)
    return status | test_without_avx() if everything else status


def a_process_per_cpu() -> tuple[str, ...]:
    """What makes pytest share the tests out."""
    return ("-n", str(len(os.sched_getaffinity(0))), "--dist", "worksteal")


# Tests that take seconds on a simulated CPU; small shapes run the same instructions, and `foreign` leaves none out.
SLOW_THERE = ("C256", "drawn", "large", "long_sum", "errors_of", "come_from_memory", "H64", "H48", "O129")


def test_without_avx() -> int:
    """The quick half of the kernels' tests on an old CPU, where one can be simulated."""
    try:
        if not shutil.which("qemu-x86_64"):
            need_system("qemu-user", "qemu-x86_64")
    except Failed as failure:
        say(f"WARNING: kernels were NOT tried on a CPU without AVX. {failure}")
        return 0
    return test_on_nehalem("-k", f"not ({' or '.join(SLOW_THERE)})")


def test_kernels(where: str, server: str, *arguments: str) -> int:
    """The tests of kernels, with the kernels of another build or CPU (tests/foreign.py)."""
    say(f"kernels {where}: {server}")
    quick = ("-m", "not slow and not oracle", "--ignore", "tests/kernels/test_object_code.py")
    words = (*a_process_per_cpu(), *quick, *arguments)
    return run(
        venv_python(), "-m", "pytest", "-q", "tests/kernels", *words, env={"NACRE_KERNEL_SERVER": server}, check=False
    )


def test_on_nehalem(*arguments: str) -> int:
    """The kernels that every x86-64 CPU runs, on one that has no AVX."""
    build_binaries("nacre_kernel_server")
    return test_kernels("without AVX", f"qemu-x86_64 -cpu Nehalem {ROOT / 'build/bin/nacre_kernel_server'}", *arguments)


def foreign_build(name: str, compiler: str, targets: tuple[str, ...], *settings: str) -> Path:
    """A build of its own with another compiler; its programs are in bin/."""
    where = ROOT / "build-foreign" / name
    cmake = VENV / "bin" / "cmake"
    run(
        cmake,
        *("-S", ROOT, "-B", where, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={VENV / 'bin' / 'ninja'}"),
        *(f"-DCMAKE_CXX_COMPILER={compiler}", f"-DPython_EXECUTABLE={venv_python()}"),
        *(f"-DCMAKE_RUNTIME_OUTPUT_DIRECTORY={where / 'bin'}", *settings),
    )
    run(cmake, "--build", where, "--target", *targets)
    return where


def foreign(arguments: list[str]) -> int:
    build("test")
    for tool, package in (
        ("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"),
        ("qemu-aarch64", "qemu-user"),
        ("clang++", "clang"),
    ):
        if not shutil.which(tool):
            need_system(package, tool)
    status = 0
    system = (
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DNACRE_PYTHON=OFF",
        "-DNACRE_BENCH=OFF",
    )
    arm = foreign_build("aarch64", "aarch64-linux-gnu-g++", ("nacre_kernel_server",), *system)
    emulated = f"qemu-aarch64 -L /usr/aarch64-linux-gnu {arm / 'bin/nacre_kernel_server'}"
    status |= test_kernels("on AArch64", emulated, *arguments)
    status |= test_on_nehalem(*arguments)
    if not list(Path("/usr/lib").glob("**/libomp.so")):
        need_system("libomp-dev", "OpenMP for clang")
    programs = ("_core", "nacre_bench", "nacre_bench_model", "nacre_tests", "nacre_kernel_server")
    clang = foreign_build("clang", "clang++", programs, "-DCMAKE_CXX_FLAGS=-Werror")
    status |= test_kernels("from clang", str(clang / "bin/nacre_kernel_server"), *arguments)
    status |= run(clang / "bin/nacre_tests", check=False)
    symbols = ("-m", "pytest", "-q", "tests/architecture/test_symbols.py")
    status |= run(venv_python(), *symbols, env={"NACRE_BUILD": "build-foreign/clang"}, check=False)
    say("foreign: all passed" if status == 0 else "foreign: FAILED, see above")
    return status


def oldest(arguments: list[str]) -> int:
    """Tests with the oldest versions that pyproject.toml allows, in an environment of their own."""
    build("test")
    where = ROOT / ".venv-oldest"
    shutil.rmtree(where, ignore_errors=True)
    run(venv_python(), "-m", "venv", where)
    allowed = re.findall(r"^(?:dependencies|test) = (.*)$", (ROOT / "pyproject.toml").read_text(), re.M)
    versions = [r.replace(">=", "==") for r in re.findall(r'"([^"]+)"', " ".join(allowed))]
    install = (where / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    say("install " + " ".join(versions))
    run(*install, *versions)
    with tempfile.TemporaryDirectory() as wheels:
        tools = {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
        command = (venv_python(), "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, ".")
        run(*command, env=tools)
        run(*install, "--no-deps", *Path(wheels).glob("*.whl"))
    quick = ("-m", "not slow and not oracle", "--deselect", "tests/architecture/test_wheel.py")
    return run(where / "bin/python", "-m", "pytest", *a_process_per_cpu(), *quick, *arguments, check=False)


def oracle(arguments: list[str]) -> int:
    build("test", "oracle")
    return run(venv_python(), ROOT / "tests" / "oracle" / "keras_own.py", *arguments, check=False)


def bench(arguments: list[str]) -> int:
    build()
    build_binaries("nacre_bench", "nacre_bench_model")
    return run(venv_python(), ROOT / "bench" / "run.py", *arguments, check=False)


def lint(arguments: list[str]) -> int:
    build("lint")
    status = 0
    tools = VENV / "bin"
    cpp = [p for p in sorted((ROOT / "src").rglob("*")) if p.suffix in (".h", ".cpp")]
    for command in (
        (tools / "ruff", "check", *arguments, "."),
        (tools / "ruff", "format", "--check", "."),
        (tools / "mypy",),
        (tools / "clang-format", "--dry-run", "-Werror", *cpp),
    ):
        say(" ".join(str(word) for word in command[:3]))
        status |= run(*command, check=False)
    return status


def docs(arguments: list[str]) -> int:
    build("test", "oracle")
    run(venv_python(), ROOT / "docs" / "coverage.py", *arguments)
    say("check the documents")
    return run(venv_python(), "-m", "pytest", "-q", "tests/docs", check=False)


def wheel(arguments: list[str]) -> int:
    check_machine()
    make_venv()
    say("build a wheel")
    pip("build")
    run(venv_python(), "-m", "build", "--wheel", "--outdir", ROOT / "dist", *arguments)
    for path in sorted((ROOT / "dist").glob("*.whl")):
        say(f"{path.relative_to(ROOT)}: {path.stat().st_size / 2**20:.2f} MiB")
    return 0


def build_only(arguments: list[str]) -> int:
    build(*arguments)
    build_binaries("nacre_bench", "nacre_bench_model")
    say("build/bin/nacre_bench --shapes bench/shapes/mlp.txt")
    return 0


def build_binaries(*targets: str) -> None:
    """Programs into build/bin, from the objects that the installation has left in build/."""
    caches = sorted(ROOT.glob("build/*/CMakeCache.txt"), key=lambda path: path.stat().st_mtime)
    if not caches:
        raise Failed("there is no build in build/: remove .venv and build again")
    cmake = VENV / "bin" / "cmake"
    run(cmake, "--build", caches[-1].parent, "--target", *targets)


COMMANDS = {
    "demo": demo,
    "test": test,
    "oracle": oracle,
    "oldest": oldest,
    "foreign": foreign,
    "bench": bench,
    "lint": lint,
    "docs": docs,
    "build": build_only,
    "wheel": wheel,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    options, arguments = parser.parse_known_args()
    try:
        return COMMANDS[options.command](arguments)
    except Failed as failure:
        print(f"[dev] error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""The documents: their Python runs, their C++ is a part of the sources, their links lead somewhere."""

import doctest
import importlib
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)")


def ids(paths):
    return [str(p.relative_to(ROOT)) for p in paths]


def blocks(path, language):
    return [text for kind, text in BLOCK.findall(path.read_text(encoding="utf-8")) if kind == language]


# Documents whose Python is meant to be run from top to bottom; elsewhere it illustrates.
RUNNABLE = [ROOT / "README.md", ROOT / "docs" / "guide.md", ROOT / "docs" / "adding-an-op.md"]


@pytest.mark.parametrize("path", RUNNABLE, ids=ids(RUNNABLE))
def test_python_in_documents_runs(path, monkeypatch, tmp_path):
    if "sklearn" in path.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn", reason="needs scikit-learn: pip install scikit-learn")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": f"document_{path.stem}"}
    for text in blocks(path, "python"):
        exec(compile(text, str(path), "exec"), names)


def squeezed(text):
    return re.sub(r"\s+", " ", text).strip()


WITH_CPP = [p for p in DOCUMENTS if any(t.startswith("// src/") for t in blocks(p, "cpp"))]


@pytest.mark.parametrize("path", WITH_CPP, ids=ids(WITH_CPP))
def test_cpp_in_documents_is_a_part_of_the_sources(path):
    for text in blocks(path, "cpp"):
        head, _, body = text.partition("\n")
        if not re.fullmatch(r"// src/[\w./]+", head):
            continue  # an illustration
        source = ROOT / head[3:]
        assert source.is_file(), head
        assert squeezed(body) in squeezed(source.read_text(encoding="utf-8")), (
            f"{head}: not in the file any more:\n{body}"
        )


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids(DOCUMENTS))
def test_links_lead_somewhere(path):
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


DOCTESTED = [
    "nacre.core.tree",
    "nacre.core.config",
    "nacre.utils.numerical",
    "nacre.utils.summary",
    "nacre.preprocessing.text",
]


@pytest.mark.parametrize("name", DOCTESTED)
def test_examples_in_docstrings_hold(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed


def test_readme_opens_with_what_nacre_is_and_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "nacre trains and runs" in text[:200]
    top = textwrap.dedent(text[: text.index("## ")])
    assert "python3 dev.py demo" in top and "python3 dev.py test" in top

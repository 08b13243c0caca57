"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import nacre.ops
import nacre.random

MODULES = [
    f"{package.__name__}.{found.name}"
    for package in (nacre.ops, nacre.random)
    for found in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for attribute in list(vars(module).values()):
        own = getattr(attribute, "__module__", None) == name and hasattr(attribute, "__name__")
        if own and attribute.__doc__:
            for test in doctest.DocTestFinder(recurse=False).find(attribute, globs={**vars(module), "np": np}):
                runner.run(test)
    assert not runner.summarize(verbose=False).failed

"""Keras' public names, with Keras' parameters."""

import importlib
import importlib.util
import json
from pathlib import Path

import pytest

import nacre

ROOT = Path(__file__).parents[2]
TIERS = json.loads((Path(__file__).parent / "keras_names.json").read_text())["tiers"]


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_of_keras", ROOT / "docs" / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_name_of_the_first_tier_is_there_with_the_same_parameters(real, coverage):
    _, differ, missing = coverage.compare(real, nacre, TIERS["1"])
    assert not missing and not differ


def test_names_of_the_second_tier_that_are_there_have_the_same_parameters(real, coverage):
    _, differ, _ = coverage.compare(real, nacre, TIERS["2"])
    assert not differ


@pytest.mark.parametrize(
    "package", ["activations", "constraints", "initializers", "losses", "metrics", "optimizers", "regularizers"]
)
def test_every_short_name_that_keras_takes_means_the_same(real, package):
    names = importlib.import_module(f"keras.src.{package}").ALL_OBJECTS_DICT
    compared = 0
    for name in names:
        try:
            theirs = getattr(real, package).get(name)
        except (KeyError, TypeError):  # needs arguments
            continue
        ours = getattr(nacre, package).get(name)
        names = [getattr(item, "__name__", type(item).__name__) for item in (ours, theirs)]
        assert names[0] == names[1], name
        compared += 1
    assert compared > 3

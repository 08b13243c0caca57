"""Tests against real Keras (extra `oracle`): `python3 dev.py test --all` installs and runs them."""

import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def pytest_collection_modifyitems(items):
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.oracle)
            for theirs in ("ignore::DeprecationWarning", "ignore::UserWarning:keras", "ignore::FutureWarning"):
                item.add_marker(pytest.mark.filterwarnings(theirs))


@pytest.fixture(scope="session")
def real():
    """Real Keras, as a module."""
    keras = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")
    if not keras.__version__.startswith("3."):
        pytest.skip(f"real Keras 3 is needed, found {keras.__version__}: pip install nacre[oracle]")
    return keras

"""Scopes of names, rematerialization, what is not there, and Variables as users make them."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import pytest

import nacre
from nacre import GradientTape, Input, Model, Sequential, Variable, layers, ops
from nacre.core.naming import current_path, name_scope
from nacre.core.remat import get_current_remat_mode
from nacre.runtime.compiled import CompiledFunction


class TestNameScope:
    def test_scopes_nest_and_may_start_anew(self) -> None:
        with name_scope("outer") as outer, name_scope("inner", override_parent="/absolute/path"):
            assert outer.name == "outer" and current_path() == "absolute/path/inner"
            assert Variable(1.0, name="v").path == "absolute/path/inner/v"
        assert current_path() == ""

    def test_a_caller_opens_its_scope_once(self) -> None:
        with name_scope("a", caller=1), name_scope("a", caller=1):
            assert current_path() == "a"
        with name_scope("a"), name_scope("a"):
            assert current_path() == "a/a"

    @pytest.mark.parametrize("name", ["foo/bar", 4, None])
    def test_names_are_checked(self, name: Any) -> None:
        with pytest.raises(ValueError, match="must be a string and cannot contain"):
            name_scope(name)

    def test_threads_have_scopes_of_their_own(self) -> None:
        seen: list[str] = []
        with name_scope("here"):
            thread = threading.Thread(target=lambda: seen.append(current_path()))
            thread.start()
            thread.join()
        assert seen == [""]


class TestRemat:
    def test_values_and_gradients_are_those_of_the_function(self) -> None:
        def bent(x: Any, scale: float = 1.0) -> Any:
            return ops.tanh(x) * scale

        x = Variable(np.linspace(-1, 1, 5, dtype="float32"))
        found = []
        for function in (bent, nacre.remat(bent)):
            with GradientTape() as tape:
                y = ops.sum(function(x, scale=2.0))
            found.append((float(y), np.asarray(tape.gradient(y, x))))
        assert found[0][0] == found[1][0]
        np.testing.assert_array_equal(found[0][1], found[1][1])

    def test_scopes_say_what_was_asked_for(self) -> None:
        assert get_current_remat_mode() is None
        with nacre.RematScope("list_of_layers", layer_names=["d"]):
            with nacre.RematScope("larger_than", 7):
                assert get_current_remat_mode() == ("larger_than", 7, [])
            model = Sequential([Input((3,)), layers.Dense(2, name="d")])
            assert get_current_remat_mode() == ("list_of_layers", 1024, ["d"])
        assert model(np.ones((1, 3), "float32")).shape == (1, 2)
        with pytest.raises(ValueError, match="Invalid mode 'some'"):
            nacre.RematScope("some")


class TestVariables:
    def test_initializers_by_name(self) -> None:
        assert Variable("ones", shape=(2,), dtype="int32").numpy().tolist() == [1, 1]
        assert Variable("one", shape=(1,)).numpy() == 1 and np.ptp(Variable("uniform", shape=(9,))) > 0
        with pytest.raises(ValueError, match="the `shape` argument should be specified"):
            Variable("zeros")
        with pytest.raises(ValueError, match="Could not interpret initializer identifier: nothing"):
            Variable("nothing", shape=(1,))

    def test_operators_ask_about_truth(self) -> None:
        v = Variable([0.0, 2.0])
        assert (v & True).tolist() == [False, True] and (1.0 | v).tolist() == [True, True]
        assert (v ^ v).tolist() == [False, False] and round(Variable([1.26]), 1).numpy() == np.float32(1.3)
        with pytest.raises(TypeError, match="cannot be used as a boolean"):
            bool(v)
        with pytest.raises(TypeError, match="Only scalar arrays can be converted"):
            float(v)

    @pytest.mark.parametrize("name", ["constraint", "regularizer"])
    def test_attributes_are_checked(self, name: str) -> None:
        v = Variable(1.0)
        with pytest.raises(ValueError, match=f"Invalid value for attribute `{name}`"):
            setattr(v, name, "l2")
        with pytest.raises(TypeError, match="must be a boolean"):
            v.overwrite_with_gradient = 1
        with pytest.raises(ValueError, match="argument `aggregation`"):
            Variable(1.0, aggregation="some")


def test_an_output_that_hangs_on_another_input_is_named_by_its_path() -> None:
    a, b = Input((2,), name="a"), Input((2,), name="b")
    with pytest.raises(ValueError, match=r"Output with path `two.0` is not connected to `inputs`.*'b'"):
        Model(a, {"one": a * 2.0, "two": [b * 3.0]})


def test_what_cannot_be_done_says_so() -> None:
    model = Sequential([Input((3,)), layers.Dense(2)])
    with pytest.raises(NotImplementedError, match="no quantized layers"):
        model.layers[0].quantize("int8")
    with pytest.raises(ValueError, match=r"Unrecognized format=some. Supported formats are: \['onnx'\]"):
        model.export("there", format="some")
    with pytest.raises(ValueError, match="load it with Keras and export it there"):
        model.export("there")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (nacre.quantizers, "Int8QuantizationConfig"), (nacre, "export"), (layers, "JaxLayer"), (ops, "view_as_real"),
        (nacre.callbacks, "OrbaxCheckpoint"), (nacre.dtype_policies, "GPTQDTypePolicy"),
    ],
)  # fmt: skip
def test_names_that_keras_has_and_nacre_has_not_say_why(place: Any, name: str) -> None:
    assert not hasattr(place, name)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': .*[a-z]"):
        getattr(place, name)


@pytest.mark.parametrize("compiled", [False, True])
def test_no_gradient_flows_through_an_assignment(compiled: bool) -> None:
    def copied_before(w: Any, target: Any) -> Any:
        target.assign(w)
        with GradientTape() as tape:
            loss = ops.sum(w * target)
        return tape.gradient(loss, w)

    def made_inside(w: Any, target: Any) -> Any:
        with GradientTape() as tape:
            target.assign(w * 3.0)
            loss = ops.sum(w * target)
        return tape.gradient(loss, w)

    def assigned_itself(w: Any, target: Any) -> Any:
        with GradientTape() as tape:
            w.assign(w * w)
            loss = ops.sum(w * 5.0)
        return tape.gradient(loss, w)

    for step, want in [(copied_before, [1.0, 2.0]), (made_inside, [3.0, 6.0]), (assigned_itself, [5.0, 5.0])]:
        w, target = Variable([1.0, 2.0]), Variable([0.0, 0.0], trainable=False)
        run = functools.partial(step, w, target)
        assert (CompiledFunction(run) if compiled else run)().numpy().tolist() == want

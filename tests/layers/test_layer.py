"""The base class: what belongs to a layer, how it is called, built, saved, and how it complains."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops
from nacre.runtime.compiled import CompiledFunction


class Probe(layers.Layer):
    """Notes the training flag that it was called with."""

    def call(self, x: Any, training: Any = None) -> Any:
        self.saw = training
        return x


class Scale(layers.Layer):
    def __init__(self, n: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones", name="scale")

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


class Around(layers.Layer):
    """A layer without `build` around others."""

    def __init__(self, *inner: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = list(inner)

    def call(self, x: Any) -> Any:
        for layer in self.inner:
            x = layer(x)
        return x


X = np.ones((2, 3), "float32")


class TestTraining:
    def test_is_none_when_nobody_says_it(self) -> None:
        probe = Probe()
        probe(X)
        assert probe.saw is None

    def test_reaches_inner_layers_of_a_call_without_the_parameter(self) -> None:
        probe = Probe()
        Around(Around(probe))(X, training=True)
        assert probe.saw is True

    def test_of_the_call_wins_over_the_outer_one_and_holds_for_the_calls_behind_it(self) -> None:
        before, probe, other = Probe(), Probe(), Probe()

        class Outer(layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.before, self.probe, self.other = before, probe, Around(other)

            def call(self, x: Any) -> Any:
                return self.other(self.probe(self.before(x), training=False))

        outer = Outer()
        for _ in range(2):  # the second call begins anew
            outer(X, training=True)
            assert (before.saw, probe.saw, other.saw) == (True, False, False)
            probe(X)
            assert probe.saw is None

    def test_default_of_the_outer_call_reaches_inner_layers(self) -> None:
        probe = Probe()

        class Outer(layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.probe = probe

            def call(self, x: Any, training: bool = True) -> Any:
                return self.probe(x)

        Outer()(X)
        assert probe.saw is True

    def test_can_be_given_by_position(self) -> None:
        probe = Probe()
        probe(X, training=np.bool_(True))
        assert probe.saw is True


class TestState:
    def test_sublayers_in_containers_are_found_in_order(self) -> None:
        layer = Around(layers.Dense(1), layers.Dense(2))
        layer.table = {"a": layers.Dense(3)}
        layer.pair = (layers.Dense(4), layers.Dense(5))
        layer.inner.append(layers.Dense(6))
        assert [d.units for d in layer._flatten_layers(include_self=False)] == [1, 2, 3, 4, 5, 6]

    def test_own_weights_come_first_and_trainable_ones_before_others(self) -> None:
        layer = Around(Scale())
        layer.fixed = layer.add_weight(shape=(1,), trainable=False, name="fixed")
        layer.free = layer.add_weight(shape=(1,), name="free")
        layer(X)
        assert [w.name for w in layer.weights] == ["free", "fixed", "scale"]
        assert [w.name for w in layer.trainable_weights] == ["free", "scale"]

    def test_paths_hold_the_names_of_the_layers_around(self) -> None:
        layer = Around(Around(Scale(name="s"), name="inside"), name="outside")
        layer(X)
        assert [w.path for w in layer.weights] == ["outside/inside/s/scale"]
        own = Around(name="own")
        assert own.add_weight(shape=(1,), name="w").path == "own/w"

    def test_layers_that_say_their_shape_build_what_is_inside_as_others_do(self) -> None:
        class Saying(Around):
            def compute_output_shape(self, input_shape: Any) -> Any:
                return input_shape

        for kind in (Around, Saying):
            layer = kind(Scale(name="s"), name="outside", trainable=False)
            layer(keras.Input(X.shape[1:]))
            assert [(w.path, w.trainable) for w in layer.weights] == [("outside/s/scale", False)]
            assert layer.path == "outside"
            assert layer.get_build_config() == {"input_shape": (None, *X.shape[1:])}

    def test_freezing_is_recursive(self) -> None:
        layer = Around(Scale(), layers.BatchNormalization())
        layer.trainable = False
        layer(X)
        assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 5
        layer.trainable = True
        assert [w.name for w in layer.trainable_weights] == ["scale", "gamma", "beta"]

    def test_a_replaced_layer_is_forgotten_and_a_shared_one_is_counted_once(self) -> None:
        layer = Around()
        layer.a = Scale()
        layer.a = shared = Scale()
        layer.b = shared
        layer(X)
        assert list(layer._flatten_layers(include_self=False)) == [shared]
        del layer.a
        del layer.b
        assert list(layer._flatten_layers(include_self=False)) == []

    def test_after_building_no_more_state_is_taken(self) -> None:
        layer = Scale()
        layer(X)
        with pytest.raises(ValueError, match="You cannot add new elements of state"):
            layer.more = layers.Dense(2)
        with pytest.raises(ValueError, match="You cannot add new elements of state"):
            layer.add_weight(shape=(1,))
        layer.note = "plain attributes are fine"

    def test_seed_generators_are_variables_but_no_weights(self) -> None:
        layer = layers.Dropout(0.5)
        assert (len(layer.variables), len(layer.weights), len(layers.Dropout(0).variables)) == (1, 0, 0)

    def test_set_weights_checks_before_it_changes_anything(self) -> None:
        layer = layers.Dense(2)
        layer(X)
        before = layer.get_weights()
        with pytest.raises(ValueError, match="weight list of length 1, but the layer was expecting 2 weights"):
            layer.set_weights([before[0]])
        with pytest.raises(ValueError, match=r"weight shape \(2,\) is not compatible"):
            layer.set_weights([before[0] + 1, np.zeros(3)])
        np.testing.assert_array_equal(layer.get_weights()[0], before[0])

    def test_copies_and_pickles_are_independent(self) -> None:
        layer = layers.Dense(2)
        expected = np.asarray(layer(X))
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            np.testing.assert_array_equal(other(X), expected)
            other.set_weights([w + 1 for w in other.get_weights()])
            np.testing.assert_array_equal(layer(X), expected)

    def test_stateless_call_leaves_the_layer_as_it_was(self) -> None:
        layer = layers.BatchNormalization(momentum=0.5)
        layer.build((None, 3))
        before = layer.get_weights()
        trainable = [np.full(3, 2.0, "float32"), np.full(3, 1.0, "float32")]
        state = [np.zeros(3, "float32"), np.ones(3, "float32")]
        y, after = layer.stateless_call(trainable, state, X * 4, training=True)
        np.testing.assert_allclose(y, np.ones((2, 3)), atol=1e-6)
        np.testing.assert_allclose(after[0], np.full(3, 2.0))
        for a, b in zip(layer.get_weights(), before):
            np.testing.assert_array_equal(a, b)

    def test_stateless_call_leaves_states_and_metrics_that_no_list_of_variables_holds(self) -> None:
        class Counting(layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.rnn, self.mean = layers.GRU(2, stateful=True), keras.metrics.Mean()

            def call(self, x: Any) -> Any:
                self.mean.update_state(x)
                return self.rnn(x)

        layer, x = Counting(), np.ones((2, 3, 4), "float32")
        layer(x)
        layer.rnn.reset_state()
        values = [[v.value for v in held] for held in (layer.trainable_variables, layer.non_trainable_variables)]

        def call(x: Any) -> Any:
            return layer.stateless_call(*values, x)[0]

        first = call(x)
        for again in (call(x), CompiledFunction(call)(x)):
            np.testing.assert_allclose(first, again, rtol=1e-6)
        np.testing.assert_array_equal(layer.rnn.states[0], np.zeros((2, 2)))
        assert float(layer.mean.count) == len(x)

    def test_seeds_stand_under_the_name_of_their_generator(self) -> None:
        layer = layers.Dropout(0.5)
        (state,) = layer.variables
        assert state.path == f"{layer.seed_generator.name}/seed_generator_state"


class TestLosses:
    def test_added_losses_are_those_of_the_last_outermost_call(self) -> None:
        class Adds(layers.Layer):
            def call(self, x: Any) -> Any:
                self.add_loss(ops.sum(x))
                return x

        layer = Around(Adds(), Adds())
        layer(X)
        layer(2 * X)
        assert [float(v) for v in layer.losses] == [12.0, 12.0]

    def test_weight_and_activity_regularizers_join(self) -> None:
        layer = layers.Dense(2, kernel_initializer="ones", kernel_regularizer="l2", activity_regularizer="l1")
        layer(X)
        # Activity: 0.01 * sum |y| over a batch of 2, where y is 3 everywhere; kernel: 0.01 * 6.
        assert [float(v) for v in layer.losses] == pytest.approx([0.06, 0.06])

    @pytest.mark.parametrize("bad", [keras.Input((3,)), "mse", lambda: 1.0], ids=["symbolic", "text", "function"])
    def test_what_has_no_value_is_no_loss(self, bad: Any) -> None:
        model = keras.Sequential([layers.Input((3,)), Scale()])
        with pytest.raises(ValueError, match=r"`add_loss\(\)` expects a scalar tensor"):
            model.add_loss(bad)
        assert model.losses == []
        with pytest.raises(AttributeError, match=r"compile\(metrics="):
            model.add_metric(1.0, name="one")
        assert not hasattr(model.layers[0], "add_metric")

    def test_building_by_tracing_adds_no_loss(self) -> None:
        layer = Around(layers.ActivityRegularization(l1=1.0), Scale())
        layer(keras.Input((3,)))
        assert layer.losses == []


class TestBuilding:
    def test_shapes_of_several_arguments_come_by_name(self) -> None:
        class Two(layers.Layer):
            def build(self, a_shape: Any, b_shape: Any) -> None:
                self.shapes = (a_shape, b_shape)

            def call(self, a: Any, b: Any) -> Any:
                return a

        layer = Two()
        layer(X, np.ones((2, 4)))
        assert layer.shapes == ((2, 3), (2, 4))
        assert layer.get_build_config() == {"shapes_dict": {"a_shape": (2, 3), "b_shape": (2, 4)}}

    def test_without_a_build_of_its_own_a_layer_remembers_the_shape_of_its_first_argument(self) -> None:
        layer = layers.CategoryEncoding(4, "count")
        layer(np.ones((2, 3), "int32"), count_weights=np.ones((2, 3)))
        assert layer.get_build_config() == {"input_shape": (2, 3)}

    def test_a_dict_of_inputs_gives_a_dict_of_shapes(self) -> None:
        class FromDict(layers.Layer):
            def build(self, input_shape: Any) -> None:
                self.shapes = input_shape

            def call(self, x: Any) -> Any:
                return x["a"]

        layer = FromDict()
        layer({"a": X, "b": np.ones((1,))})
        assert layer.shapes == {"a": (2, 3), "b": (1,)}

    def test_sublayers_are_built_by_tracing(self) -> None:
        layer = Around(layers.Dense(4), layers.Dense(5))
        layer.build((None, 3))
        assert layer.count_params() == 3 * 4 + 4 + 4 * 5 + 5
        assert layer.inner[1].get_build_config() == {"input_shape": (None, 4)}

    def test_a_table_that_numpy_made_is_a_tensor_of_the_graph(self) -> None:
        class Positions(layers.Layer):
            def call(self, x: Any) -> Any:
                return np.arange(3 * x.shape[1], dtype="int32").reshape(-1, 3)

        i = keras.Input((None, 3))
        table = Positions()(i)
        assert table.shape == (None, 3) and table.dtype == "int32"
        x = np.zeros((2, 4, 3), "float32")
        np.testing.assert_array_equal(keras.Model(i, i + table)(x)[1], np.arange(12).reshape(4, 3))

    def test_wrong_parameter_names_are_explained(self) -> None:
        class Wrong(layers.Layer):
            def build(self, foo: Any, bar: Any) -> None: ...

            def call(self, a: Any, b: Any) -> Any:
                return a

        with pytest.raises(ValueError, match="all arguments should have a `_shape` suffix"):
            Wrong()(X, X)

    def test_legacy_input_shape_is_kept_with_a_warning(self) -> None:
        with pytest.warns(UserWarning, match="Do not pass an `input_shape`/`input_dim` argument"):
            layer = layers.Flatten(input_shape=[28, 28])
        assert layer._input_shape_arg == (28, 28) and layer._batch_shape_arg == (None, 28, 28)
        with pytest.warns(UserWarning, match="Do not pass"):
            assert layers.Dense(1, input_dim=4)._input_shape_arg == (4,)
        with pytest.warns(UserWarning, match="Do not pass"):
            assert layers.Dense(1, batch_input_shape=(8, 4))._batch_shape_arg == (8, 4)

    def test_initial_weights_are_set_when_built(self) -> None:
        layer = layers.Dense(1, weights=[np.full((3, 1), 2.0), np.zeros(1)])
        np.testing.assert_array_equal(layer(X), [[6.0], [6.0]])


class TestMasks:
    INTS = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])

    def test_travel_through_layers_that_support_them(self) -> None:
        x = layers.Embedding(5, 3, mask_zero=True)(self.INTS)
        for layer in (layers.Dense(2), layers.Dropout(0.1), layers.Activation("relu"), layers.LayerNormalization()):
            np.testing.assert_array_equal(layer(x)._keras_mask, self.INTS != 0)

    def test_end_with_a_warning_elsewhere(self) -> None:
        x = layers.Embedding(5, 3, mask_zero=True)(self.INTS)
        with pytest.warns(UserWarning, match="does not support masking"):
            y = layers.Flatten()(x)
        assert getattr(y, "_keras_mask", None) is None

    def test_masked_steps_change_nothing(self) -> None:
        table = layers.Embedding(5, 3, mask_zero=True)
        for make in (layers.SimpleRNN, layers.LSTM, layers.GRU):
            layer = make(4)
            np.testing.assert_allclose(layer(table(self.INTS))[1:], layer(table(self.INTS[1:, :1])), rtol=1e-6)
        np.testing.assert_allclose(
            layers.GlobalAveragePooling1D()(table(self.INTS))[1], np.asarray(table(self.INTS))[1, 0], rtol=1e-6
        )

    def test_merging_is_valid_where_any_input_is(self) -> None:
        a = layers.Embedding(5, 3, mask_zero=True)(self.INTS)
        b = layers.Embedding(5, 3, mask_zero=True)(self.INTS[:, ::-1].copy())
        expected = (self.INTS != 0) | (self.INTS[:, ::-1] != 0)
        np.testing.assert_array_equal(layers.Add()([a, b])._keras_mask, expected)
        np.testing.assert_array_equal(layers.Concatenate()([a, b])._keras_mask, expected)

    def test_softmax_gives_masked_entries_no_weight(self) -> None:
        y = np.asarray(layers.Softmax()(np.zeros((2, 4), "float32"), mask=self.INTS != 0))
        np.testing.assert_allclose(y, [[0.5, 0.5, 0, 0], [1, 0, 0, 0]])


class TestConfiguration:
    def test_plain_arguments_are_recorded(self) -> None:
        layer = Scale(7, name="s")
        config = layer.get_config()
        assert config["n"] == 7 and config["name"] == "s"
        assert Scale.from_config(config).n == 7

    def test_a_class_without_kwargs_comes_back(self) -> None:
        class Plain(layers.Layer):
            def __init__(self, n: int = 1) -> None:
                super().__init__()
                self.n = n

            def call(self, x: Any) -> Any:
                return x

        layer = Plain(4)
        layer.trainable = False
        again = Plain.from_config(layer.get_config())
        assert (again.n, again.trainable) == (4, False)

    def test_other_arguments_need_a_get_config(self) -> None:
        with pytest.raises(NotImplementedError, match=r"must override `get_config\(\)`"):
            Around(layers.Dense(1)).get_config()

        class Sizes(layers.Layer):
            def __init__(self, *sizes: int, **kwargs: Any) -> None:
                super().__init__(**kwargs)

        with pytest.raises(NotImplementedError, match=r"arguments without a name \(`\*args`\)"):
            Sizes(1, 2).get_config()
        assert Sizes(name="s").get_config()["name"] == "s"

    def test_a_dtype_policy_travels(self) -> None:
        layer = layers.Dense(2, dtype="float64")
        assert np.asarray(layer(X)).dtype == "float64"
        assert layers.Dense.from_config(layer.get_config()).dtype == "float64"
        mixed = layers.Dense(2, dtype="mixed_float16")
        assert (mixed.compute_dtype, mixed.variable_dtype) == ("float16", "float32")


class TestErrors:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: layers.Conv2D(3, 3)(X), "expected min_ndim=4, found ndim=2"),
            (lambda: layers.Conv2D(3, 3)(np.ones((1, 1, 4, 4, 1))), "expected max_ndim=4, found ndim=5"),
            (lambda: layers.Dense(3)([]), "but it received 0 input tensors"),
            (lambda: layers.Conv2D(3, 3)(np.ones((1, 2, 2, 1))), "Computed output size would be zero or negative"),
            (lambda: layers.Dense(3)(np.ones(4)), "expected min_ndim=2, found ndim=1"),
            (lambda: layers.Reshape((3, 3))(X), "The total size of the tensor must be unchanged"),
            (lambda: layers.Add()(X), "A merge layer should be called on a list of inputs"),
            (lambda: layers.Add()([X, np.ones((2, 5))]), "Inputs have incompatible shapes"),
            (lambda: layers.Concatenate()([X, np.ones((3, 3))]), "requires inputs with matching shapes"),
            (lambda: layers.Concatenate()([]), "a list of at least 1 input"),
            (lambda: layers.EinsumDense([2], 3), "expected `equation` to be text"),
            (lambda: layers.Subtract()([X, X, X]), "should be called on exactly 2 inputs"),
            (lambda: layers.BatchNormalization(axis=5)(X), "out of bounds"),
            (lambda: layers.Cropping2D(5)(np.ones((1, 4, 4, 1))), "should be smaller than the corresponding spatial"),
            (lambda: layers.LSTM(3, stateful=True)(keras.Input((3, 4))), "the batch size must be static"),
            (lambda: layers.EinsumDense("ab,bc->ad", 3)(X), "has no corresponding dim"),
            (lambda: layers.Attention()(X), "must be called on a list of inputs"),
        ],
    )
    def test_bad_inputs_are_refused_with_their_shape(self, call: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            call()

    def test_inner_errors_name_the_layer_and_its_arguments_once(self) -> None:
        class Fails(layers.Layer):
            def call(self, x: Any, y: Any = None, training: Any = None) -> Any:
                raise ValueError("boo")

        with pytest.raises(ValueError) as caught:
            Around(Fails())(X)
        text = str(caught.value)
        where = "Fails.call()"
        assert text.startswith(f"Exception encountered when calling {where}.\n\nboo\n\nArguments received by {where}:")
        assert "  • x=Tensor(shape=(2, 3), dtype=float32)" in text
        assert text.count("Exception encountered") == 1

    def test_a_wrong_size_names_axis_value_and_shape(self) -> None:
        layer = layers.Dense(3)
        layer(X)
        expected = (
            "Input 0 with name 'None' of layer 'd' is incompatible with the layer: expected axis -1 of input shape "
            r"to have value 3, but received input with shape \(2, 4\)"
        )
        layer.name = "d"
        with pytest.raises(ValueError, match=expected):
            layer(np.ones((2, 4)))

    def test_unknown_and_missing_arguments_are_type_errors(self) -> None:
        with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
            layers.Dense(3)(X, foo=1)
        with pytest.raises(TypeError, match="missing a required argument: 'inputs'"):
            layers.Dense(3)()
        with pytest.raises(ValueError, match="Only input tensors may be passed as positional arguments"):
            layers.Dense(3)("text")

    def test_a_forgotten_super_call_is_named(self) -> None:
        class Forgets(layers.Layer):
            def __init__(self) -> None:
                self.n = 1

        with pytest.raises(RuntimeError, match=r"forgot to call `super\(\).__init__\(\)`"):
            Forgets()(X)

    def test_a_failed_build_leaves_the_layer_usable(self) -> None:
        layer = layers.Conv2D(3, 3)
        with pytest.raises(ValueError, match="Computed output size"):
            layer(np.ones((1, 2, 2, 1)))
        assert not layer.built
        assert layer(np.ones((1, 4, 4, 1))).shape == (1, 2, 2, 3)


def test_foreign_tensors_and_lists_are_taken() -> None:
    class Foreign:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.ones((2, 3))

    layer = layers.Dense(1, kernel_initializer="ones")
    for x in (Foreign(), [[1, 1, 1], [1, 1, 1]], X.tolist(), np.ones((2, 3), ">f8"), np.broadcast_to(1.0, (2, 3))):
        np.testing.assert_array_equal(layer(x), [[3.0], [3.0]])


def test_the_input_of_the_user_is_not_written_to() -> None:
    x = np.ones((2, 4, 4, 3), "float32")
    for layer in (layers.BatchNormalization(), layers.Dropout(0.5), layers.ReLU(), layers.MaxPooling2D()):
        layer(x, training=True)
    np.testing.assert_array_equal(x, np.ones((2, 4, 4, 3)))


def test_calling_costs_little() -> None:
    import timeit

    layer = layers.Identity()
    x = ops.convert_to_tensor(X)
    layer(x)
    best = min(timeit.repeat(lambda: layer(x), number=200, repeat=20)) / 200
    assert best < 60e-6  # 3 us measured on a Zen 5 core; the bound leaves room for a slow, busy machine


def test_no_warning_comes_from_ordinary_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.Dense(2)(X)
        layers.LSTM(2)(np.ones((2, 3, 4)))


def test_shapes_with_several_unknown_sizes_cost_no_memory():
    class Causal(keras.Layer):
        def call(self, x):
            n, length = x.shape[:2]
            before = ops.arange(length)[:, None] >= ops.arange(length)
            return ops.matmul(ops.tile(ops.cast(before, "float32")[None], (n, 1, 1)), x)

    assert Causal()(keras.Input((None, 3))).shape == (None, None, 3)  # the mask of the probe would take 32 GB
    assert Causal()(np.ones((2, 3, 1), "float32"))[1, :, 0].tolist() == [1, 2, 3]


def test_the_convolution_of_a_layer_is_a_method_of_its_own():
    class Doubled(layers.Conv2D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, 2 * kernel)

    x = np.ones((1, 5, 4, 3), "float32")
    doubled = Doubled(2, 3, padding="same", dilation_rate=2, bias_initializer="ones")
    plain = doubled.convolution_op(x, ops.ones((3, 3, 3, 2)))
    assert plain.shape == (1, 5, 4, 2)
    y = doubled(x)
    np.testing.assert_allclose(y, 2 * layers.Conv2D.convolution_op(doubled, x, doubled.kernel) + 1, rtol=1e-5)


def test_a_build_may_call_that_of_the_base_class_before_it_builds_its_layers():
    class Scaled(keras.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def build(self, input_shape):
            super().build(input_shape)
            self.dense.build(input_shape)

        def call(self, x):
            return self.dense(x)

    layer = Scaled()
    assert layer(np.ones((2, 4), "float32")).shape == (2, 3) and layer.dense.count_params() == 15


def test_unknown_sizes_may_have_to_be_halved_often():
    class Pyramid(keras.Layer):
        def call(self, x):
            small = x
            for _ in range(7):
                small = small[:, ::2, ::2]
            return x[:, ::2, ::2] + keras.ops.repeat(keras.ops.repeat(small, 64, 1), 64, 2)

    assert Pyramid()(keras.Input((None, None, 3))).shape == (None, None, None, 3)


def test_unknown_sizes_may_be_limited_by_a_table():
    class Positions(keras.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=(12, shape[-1]))

        def call(self, x):
            return x + keras.ops.slice(self.table, (0, 0), x.shape[1:])

    assert Positions()(keras.Input((None, 4))).shape == (None, None, 4)
    with pytest.raises(ValueError, match="does not fit into a tensor"):
        Positions()(np.ones((1, 13, 4)))


def test_a_layer_shows_itself_as_its_class_says():
    class Named(layers.Layer):
        def __repr__(self):
            return "Named(1)"

    assert str(Named()) == f"{Named()}" == "Named(1)"

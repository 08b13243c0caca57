"""The three styles of models: building, calling, layers, configurations, errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import nacre as keras
from models import model_cases as C
from nacre import layers


@pytest.fixture(autouse=True)
def _fresh_names() -> None:
    keras.utils.clear_session()


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_configuration_makes_a_model_of_equal_outputs(case: Any) -> None:
    model = case.make(keras)
    again = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    for a, b in zip(C.flat(again(case.data)), C.flat(model(case.data)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_clone_has_the_architecture_and_weights_of_its_own(case: Any) -> None:
    model = case.make(keras)
    clone = keras.models.clone_model(model)
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
    clone.set_weights(model.get_weights())
    for a, b in zip(C.flat(clone(case.data)), C.flat(model(case.data)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_clones_keep_the_names_of_operations() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, keras.ops.relu(x)[:, :2] + 1.0)
    assert [op.name for op in keras.models.clone_model(model).operations] == [op.name for op in model.operations]


def test_a_file_may_share_a_layer_with_a_model_inside(tmp_path: Any) -> None:
    shared, inner, outer = layers.Dense(4), keras.Input((4,)), keras.Input((4,))
    model = keras.Model(outer, keras.Model(inner, shared(shared(inner)))(shared(outer)))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert len(again.weights) == 2
    np.testing.assert_array_equal(again(np.ones((2, 4))), model(np.ones((2, 4))))


def test_list_and_add_make_the_same_model() -> None:
    one = keras.Sequential([layers.Input((12,)), layers.Dense(8), layers.Dense(3)])
    two = keras.Sequential()
    for layer in (layers.Input((12,)), layers.Dense(8), layers.Dense(3)):
        two.add(layer)
    assert one.output_shape == two.output_shape == (None, 3)
    assert [w.shape for w in one.weights] == [w.shape for w in two.weights]


def test_pop_keeps_the_weights_of_the_rest() -> None:
    model = C.chain(keras)
    kernel = model.weights[0]
    before = kernel.numpy()
    last = model.pop()
    assert last.name == "dense_1"
    assert model.output_shape == (None, 8)
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)
    assert model.weights[0] is kernel
    np.testing.assert_array_equal(kernel.numpy(), before)
    model.pop()
    model.pop()
    with pytest.raises(IndexError):
        keras.Sequential().pop()


def test_deferred_model_is_built_by_data() -> None:
    model = keras.Sequential([layers.Dense(4), layers.Dense(2)])
    assert model.weights == []
    texts: list[str] = []
    model.summary(print_fn=texts.append)
    assert texts[0].count("0 (unbuilt)") == 2
    assert model(C.ROWS).shape == (5, 2)
    assert model.weights[0].path == "sequential/dense/kernel"


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_old_input_arguments() -> None:
    assert keras.Sequential([layers.Dense(2, input_dim=1)]).output_shape == (None, 2)
    assert keras.Sequential([layers.Dense(32, input_shape=(8,))]).output_shape == (None, 32)
    assert keras.Sequential([layers.Flatten(input_shape=[28, 28]), layers.Dense(3)]).output_shape == (None, 3)


def test_automatic_names_follow_keras() -> None:
    C.chain(keras)
    x = keras.Input((3,))
    assert keras.Model(x, layers.Dense(1)(x)).name == "functional_1"  # the built Sequential took `functional`


def test_name_is_the_third_argument() -> None:
    x = keras.Input((3,))
    assert keras.Model(x, layers.Dense(1)(x), "mine").name == "mine"


def test_inputs_by_layer_name_by_position_and_with_a_missing_axis() -> None:
    model = C.shared(keras)
    by_position = C.flat(model([C.ROWS, C.ROWS * 2]))
    by_key = C.flat(model({"a": C.ROWS, "input_layer": C.ROWS * 2}))
    for a, b in zip(by_position, by_key, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.warns(UserWarning, match="'extra'"):
        model({"a": C.ROWS, "input_layer": C.ROWS, "extra": C.ROWS})
    image = C.images(keras)
    np.testing.assert_array_equal(np.asarray(image(C.IMAGES[..., 0])), np.asarray(image(C.IMAGES)))
    chain = C.chain(keras)
    np.testing.assert_array_equal(np.asarray(chain(C.ROWS[..., None])), np.asarray(chain(C.ROWS)))


def test_feature_extraction_shares_layers() -> None:
    model = C.residual(keras)
    features = keras.Model(model.input, model.get_layer("dense").output)
    assert features.predict(C.ROWS, verbose=0).shape == (5, 12)
    assert features.weights[0] is model.weights[0]
    assert model.get_layer(index=1) is model.get_layer("dense")


def test_subclass_is_built_by_a_shape_and_counts_its_parameters() -> None:
    class Shape:  # iterates like tf.TensorShape
        def __iter__(self) -> Any:
            return iter((None, 8, 8, 1))

    class Net(keras.Model):
        def __init__(self, classes: int = 10) -> None:
            super().__init__(name="mlp")
            self.conv = layers.Conv2D(4, 3, activation="relu")
            self.flatten = layers.Flatten()
            self.use_dropout = True
            self.dropout = layers.Dropout(0.5)
            self.dense = layers.Dense(classes)

        def call(self, inputs: Any) -> Any:
            x = self.flatten(self.conv(inputs))
            if self.use_dropout:
                x = self.dropout(x)
            return self.dense(x)

    model = Net()
    model.build(input_shape=Shape())
    assert model.count_params() == 4 * 10 + 144 * 10 + 10
    texts: list[str] = []
    model.summary(print_fn=texts.append)
    assert "unbuilt" not in texts[0]
    assert "1,490" in texts[0]
    assert model(C.IMAGES).shape == (4, 10)
    assert model.weights[0].path == "mlp/conv2d/kernel"


def test_training_flag_reaches_layers_through_a_call_without_it() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.drop = layers.Dropout(0.5)

        def call(self, x: Any) -> Any:
            return self.drop(x)

    model = Net()
    ones = np.ones((4, 50), "float32")
    np.testing.assert_array_equal(np.asarray(model(ones)), ones)
    assert (np.asarray(model(ones, training=True)) == 0).any()


def test_training_flag_of_the_graph_yields_to_that_of_the_call() -> None:
    ones = np.ones((4, 50), "float32")
    x = keras.Input((50,))
    stored = keras.Model(x, layers.Dropout(0.5)(x, training=True))
    assert (np.asarray(stored(ones)) == 0).any()
    np.testing.assert_array_equal(np.asarray(stored(ones, training=False)), ones)
    off = keras.Model(x, layers.Dropout(0.5)(x, training=False))
    np.testing.assert_array_equal(np.asarray(off(ones)), ones)
    assert (np.asarray(off(ones, training=True)) == 0).any()


@pytest.mark.parametrize("fails", [False, True])
def test_training_flag_of_a_direct_call_ends_with_it(fails: bool) -> None:
    x = keras.Input((3,))
    y = layers.Dropout(0.5)(layers.BatchNormalization()(x))
    model = keras.Model(x, layers.Dense(2)(y))
    rows = keras.ops.convert_to_tensor(C.ROWS[:, :3])
    before = np.asarray(model(rows))
    if fails:
        with pytest.raises(ValueError):
            model.call(rows[:, :2], training=True)
    else:
        model.call(rows, training=True)
        for variable, value in zip(model.layers[1].variables[2:], (0.0, 1.0), strict=True):
            variable.assign(np.full(3, value))  # what the batch has changed
    np.testing.assert_array_equal(np.asarray(model(rows)), before)


def test_training_flag_of_the_graph_holds_for_the_calls_behind_it() -> None:
    class Probe(layers.Layer):
        def call(self, x: Any, training: Any = None) -> Any:
            self.saw = training
            return x

    class Box(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.Dropout(0.5)

        def call(self, x: Any) -> Any:
            return self.inner(x, training=False)

    first, boxed, last = Probe(), Box(), Probe()
    x = keras.Input((4,))
    kept = keras.Model(x, last(layers.Dropout(0.1)(first(x), training=True)))
    kept(np.ones((2, 4)))
    assert (first.saw, last.saw) == (None, True)
    model = keras.Model(x, last(boxed(x)))
    model(np.ones((2, 4)), training=True)  # reaches every call of the graph
    assert last.saw is True
    model(np.ones((2, 4)))
    assert last.saw is False


def test_subclass_that_hands_over_inputs_and_outputs_is_functional() -> None:
    class Net(keras.Model):
        def __init__(self, n: int) -> None:
            x = keras.Input((n,))
            super().__init__(inputs=x, outputs=layers.Dense(2)(x))
            self.n = n

    model = Net(12)
    assert model.output_shape == (None, 2)
    assert model(C.ROWS).shape == (5, 2)
    assert model.n == 12

    class Own(keras.Model):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    x = keras.Input((12,))
    own = Own(x, layers.Dense(1)(x))
    own.compile("sgd", "mse")
    assert list(own.fit(C.ROWS, np.zeros(5), verbose=0).history) == ["loss"]


def test_the_wide_network_counts_its_parameters() -> None:
    x = layers.Input(shape=[28, 28])
    h = layers.Dense(2**14, activation="relu")(layers.Flatten()(x))
    h = layers.Reshape((28, 28))(layers.Dense(28 * 28)(layers.Dense(512)(h)))
    y = layers.Dense(10, activation="softmax")(layers.Flatten()(layers.Concatenate()([x, h])))
    assert keras.Model(inputs=[x], outputs=[y]).count_params() == 21_668_442


def test_deep_graphs_need_no_deep_recursion() -> None:
    x = y = keras.Input((2,))
    for _ in range(1500):
        y = layers.ReLU()(y)
    model = keras.Model(x, y)
    assert len(model.layers) == 1501
    assert model(np.ones((1, 2), "float32")).numpy().tolist() == [[1.0, 1.0]]


def _unconnected() -> Any:
    x, z = keras.Input((3,)), keras.Input((3,))
    return keras.Model(x, layers.Dense(1)(z))


def _same_names() -> Any:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="a")
    return keras.Model([a, b], layers.Add()([a, b]))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (_unconnected, "not among the"),
        (_same_names, 'The name "a" is used 2 times'),
        (lambda: keras.Model(keras.Input((3,)), 3), "must be KerasTensors.*3"),
        (lambda: keras.Model(C.ROWS, C.ROWS), "`inputs` values must be KerasTensors"),
        (lambda: keras.Sequential([3]), "Only instances of `keras.Layer`"),
        (lambda: keras.Sequential([layers.Dense(1, name="x"), layers.Dense(1, name="x")]), "unique names"),
        (lambda: keras.Sequential(name="empty")(C.ROWS), "no layers"),
        (lambda: keras.Sequential(name="a/b"), "a/b"),
        (lambda: C.chain(keras).get_layer("foo"), "No such layer: foo"),
        (lambda: C.chain(keras).get_layer(index=9), "9 but model only has 2"),
        (lambda: C.chain(keras).get_layer(), "name or layer index"),
        (lambda: C.shared(keras)(C.ROWS), r"expects 2 input\(s\), but it received 1"),
        (lambda: C.shared(keras)({"a": C.ROWS}), "Missing data.*input_layer"),
        (lambda: C.chain(keras).save("x.foo"), "x.foo"),
        (
            lambda: keras.Model.from_config(
                {"name": "m", "layers": [], "input_layers": [["a", 0, 0]], "output_layers": []}
            ),
            "damaged",
        ),
    ],
)
def test_errors_say_what_is_wrong(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


def test_what_holds_itself_is_refused_and_what_was_raised_in_a_property_is_told() -> None:
    chain = keras.Sequential()
    with pytest.raises(ValueError, match=r"'sequential.*' cannot be a layer of itself"):
        chain.add(chain)
    with pytest.raises(AttributeError, match="has no defined input shape yet"):
        chain.input_shape  # noqa: B018

    class Net(keras.Model):
        @property
        def width(self) -> int:
            return self.size.width

    net = Net()
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'size'"):
        net.width  # noqa: B018
    with pytest.raises(ValueError, match="cannot hold itself as a sublayer"):
        net.inner = net
    held = keras.layers.TimeDistributed(net)
    for attach in (lambda: setattr(net, "inner", held), lambda: setattr(net, "inner", [held])):
        with pytest.raises(ValueError, match="cannot hold itself as a sublayer"):
            attach()
    held.inner = chain
    with pytest.raises(ValueError, match="cannot hold itself as a sublayer"):
        chain.add(held)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="'more' holds itself, or is nested too deeply"):
        net.more = endless
    config: dict[str, Any] = {"class_name": "TimeDistributed"}
    config["config"] = {"layer": config}
    with pytest.raises(ValueError, match=r"deserialize.*: lists or dicts are nested too deeply, or hold themselves"):
        keras.layers.deserialize(config)
    with pytest.raises(ValueError, match=r"serialize_keras_object: lists or dicts .* hold themselves; got obj=a list"):
        keras.saving.serialize_keras_object(endless)


@pytest.mark.parametrize(
    "package",
    ["optimizers", "losses", "metrics", "activations", "initializers", "constraints", "regularizers", "dtype_policies"],
)
def test_a_configuration_that_names_no_class_is_refused(package: str) -> None:
    for config in ({}, {"config": {"name": "adam"}}):
        with pytest.raises(ValueError, match=rf"{package}.*'class_name' and 'config'"):
            getattr(keras, package).deserialize(config)


def test_model_without_call_says_so() -> None:
    class Net(keras.Model):
        pass

    with pytest.raises(NotImplementedError, match="Net"):
        Net()(C.ROWS)


def test_a_function_of_operands_keeps_its_other_arguments_in_a_configuration():
    a = keras.Input((4, 3))
    model = keras.Model(a, keras.ops.einsum("bij,bkj->bik", a, a))
    again = keras.Model.from_config(keras.Model.from_config(model.get_config()).get_config())
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    np.testing.assert_array_equal(again(x).numpy(), model(x).numpy())


def test_removed_methods_say_what_stands_in_their_place():
    model = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(AttributeError, match=r"argmax\(model.predict"):
        model.predict_classes(np.ones((1, 2)))
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        model.nothing  # noqa: B018
    assert not hasattr(model, "fit_generator")


def test_a_summary_takes_the_positions_of_a_wider_table():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    lines = []
    model.summary(positions=[0.3, 0.6, 0.8, 1.0], line_length=60, print_fn=lines.append)
    assert "dense" in "".join(lines).lower()


def test_one_output_in_a_list_comes_alone_from_data_and_in_its_list_from_keras_tensors() -> None:
    x = keras.Input((3,), name="x")
    y = layers.Dense(2, name="y")(x)
    rows = np.ones((4, 3), "float32")
    for outputs in ([y], (y,)):
        model = keras.Model([x], outputs)
        assert model.predict(rows, verbose=0).shape == model(rows).shape == model.predict_on_batch(rows).shape == (4, 2)
        assert model.output_shape == (None, 2) and model.input_shape == (None, 3)
        for symbol in (keras.Input((3,)), keras.Input((3,), batch_size=5)):
            (inside,) = model(symbol)
            outer = keras.Model(symbol, layers.Dense(1)(inside))
            assert outer.predict(np.ones((5, 3)), verbose=0).shape == (5, 1)
        model.compile("sgd", ["mse"], metrics=["mae"])
        assert sorted(model.fit(rows, np.ones((4, 2)), verbose=0).history) == ["loss", "mae"]
    named = keras.Model({"x": x}, {"y": y})
    assert named.predict({"x": rows}, verbose=0)["y"].shape == (4, 2)
    assert named.output_shape == (None, 2) and named.input_shape == (None, 3)
    assert keras.Model(x, [y, layers.Dense(1)(y)]).output_shape == [(None, 2), (None, 1)]


def test_a_sequential_model_is_not_built_without_a_shape():
    model = keras.Sequential([keras.layers.Dense(2)])
    model.build()
    assert not model.weights and model(np.ones((1, 3), "float32")).shape == (1, 2) and len(model.weights) == 2


def test_compiling_again_keeps_what_is_not_given():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    model.compile("adam")
    x = np.ones((4, 3), "float32")
    assert sorted(model.fit(x, x[:, :1], verbose=0).history) == ["loss", "mae"] and model.loss == "mse"

    class OwnLoss(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.loss = keras.layers.Dense(1), keras.losses.MeanAbsoluteError()

        def call(self, x):
            return self.dense(x)

        def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
            return self.loss(y, y_pred)

    model = OwnLoss()
    model.compile("sgd")
    assert np.isfinite(model.fit(x, x[:, :1], verbose=0).history["loss"]).all()


class Chain(keras.Sequential):
    """Layers in attributes: the first of the chain, and one that only `call` uses."""

    def __init__(self):
        super().__init__()
        self.first = layers.Dense(3, name="first")
        self.aside = layers.Dense(5, name="aside")
        self.add(self.first)
        self.add(layers.Dense(2, name="second"))

    def call(self, x, training=None):
        return self.aside(super().call(x, training=training))


def test_the_chain_of_a_sequential_model_is_what_was_added_and_not_what_stands_in_attributes():
    model = Chain()
    assert model(np.ones((1, 4), "float32")).shape == (1, 5)
    assert [layer.name for layer in model.layers] == ["first", "second"]
    assert [w.path.split("/", 1)[1] for w in model.weights] == [
        "first/kernel", "first/bias", "second/kernel", "second/bias",
    ]  # fmt: skip
    del model.first
    model.aside = None
    assert [layer.name for layer in model.layers] == ["first", "second"]


def test_a_built_sequential_model_takes_another_model_in_an_attribute():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.teacher = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    assert model(np.ones((1, 4), "float32")).shape == (1, 3) and len(model.layers) == 1


def test_a_summary_says_what_comes_out_of_each_layer_of_a_model_of_ones_own() -> None:
    class Silent(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    class Two(Silent):
        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape, input_shape

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            x = keras.Input((3,))
            self.never_called = keras.Model(x, [layers.Dense(2)(x), layers.Dense(5)(x)])
            self.parts = [Silent(), Two(), layers.Lambda(lambda x: x * 2), layers.Dropout(0.1)]
            self.recurrent = layers.LSTM(4, return_state=True)

        def call(self, x: Any) -> Any:
            for part in self.parts:
                part(x)
            return self.recurrent(x[:, None])

    model = Net()
    assert not model.parts[2].built  # no function says before its first call what it is for
    model(C.ROWS[:, :3])
    texts: list[str] = []
    model.summary(print_fn=texts.append, line_length=120)
    cells = [[cell.strip() for cell in line.split("│")[1:3]] for line in texts[0].splitlines() if "│" in line]
    assert cells == [
        ["functional (Functional)", "((None, 2), (None, 5))"],
        ["silent (Silent)", "?"],  # its class does not say it
        ["two (Two)", "((5, 3), (5, 3))"],
        ["lambda (Lambda)", "(5, 3)"],
        ["dropout (Dropout)", "?"],
        ["lstm (LSTM)", "((5, 4), (5, 4), (5, 4))"],
    ]


def test_the_output_of_a_chain_within_a_model_is_that_of_its_call() -> None:
    x = keras.Input((3,))
    chain = keras.Sequential([layers.Dense(4), layers.Dense(2)])
    whole = keras.Model(x, layers.Dense(1)(chain(x)))
    assert chain.input is x
    inner = keras.Model(whole.input, chain.output)
    np.testing.assert_array_equal(np.asarray(inner(C.ROWS[:, :3])), np.asarray(chain(C.ROWS[:, :3])))

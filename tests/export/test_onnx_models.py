"""`Model.export(format="onnx")`: models of all kinds, names, unknown sizes, files and errors."""

from __future__ import annotations

import builtins
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import nacre as keras
from export.onnx_session import assert_equal, run
from nacre import layers, ops


def randomized(model: Any) -> Any:
    """The model with weights of which none are zeros or ones, as biases and moving averages are at first."""
    rng = np.random.default_rng(7)
    for v in model.variables:
        wide = rng.uniform(0.5, 1.5, v.shape) if v.name in ("gamma", "moving_variance") else rng.normal(0, 0.3, v.shape)
        v.assign((wide if len(v.shape) < 2 else v.numpy()).astype(v.dtype))
    return model


def image_classifier() -> Any:
    x = keras.Input((16, 16, 3), name="image")
    y = layers.Rescaling(1 / 127.5, -1)(x)
    y = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    z = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y))
    squeezed = layers.Conv2D(8, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(z))
    y = layers.Add()([y, layers.Multiply()([z, squeezed])])
    y = layers.Concatenate()([layers.MaxPooling2D()(y), layers.AveragePooling2D(3, 2, "same")(y)])
    y = layers.Conv2D(6, 3, groups=2, dilation_rate=2, padding="same", activation="swish")(y)
    return keras.Model(x, layers.Dense(5, activation="softmax")(layers.Flatten()(y)))


def generator() -> Any:
    return keras.Sequential([
        keras.Input((6,)), layers.Dense(4 * 4 * 8), layers.Reshape((4, 4, 8)), layers.LeakyReLU(0.1),
        layers.Conv2DTranspose(6, 5, strides=2, padding="same", activation="elu"), layers.UpSampling2D(),
        layers.ZeroPadding2D(1), layers.Cropping2D(((0, 2), (1, 0))), layers.Resizing(9, 7),
        layers.Conv2DTranspose(3, 2, strides=3, activation="tanh"),
    ])  # fmt: skip


def text_model() -> Any:
    x = keras.Input((None,), dtype="int32", name="tokens")
    y = layers.Embedding(9, 6, mask_zero=True)(x)
    y = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(y)
    y = layers.GRU(4, return_sequences=True)(y)
    return keras.Model(x, layers.Dense(2)(layers.SimpleRNN(3)(y)))


def transformer() -> Any:
    x = keras.Input((None, 8), name="sequence")
    y = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    y = layers.LayerNormalization()(x + y)
    y = layers.Add()([y, layers.Dense(8)(layers.Dense(16, activation="gelu")(y))])
    return keras.Model(x, layers.RMSNormalization()(y))


def sequence_convolution() -> Any:
    return keras.Sequential([
        keras.Input((None, 3)), layers.Conv1D(4, 3, padding="causal", dilation_rate=2), layers.PReLU(shared_axes=[1]),
        layers.SeparableConv1D(5, 3, padding="same"), layers.MaxPooling1D(2), layers.GlobalMaxPooling1D(),
    ])  # fmt: skip


def tabular() -> Any:
    numbers, kinds = keras.Input((4,), name="numbers"), keras.Input((2,), dtype="int64", name="kinds")
    normalize = layers.Normalization()
    normalize.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32"))
    y = layers.Concatenate()([normalize(numbers), layers.CategoryEncoding(6)(kinds)])
    return keras.Model({"numbers": numbers, "kinds": kinds}, {"score": layers.Dense(1)(y), "large": ops.any(y > 1, -1)})


def wide() -> Any:
    x = keras.Input((5,), dtype="float64")
    return keras.Sequential([x, layers.Dense(3, activation="tanh", dtype="float64"), layers.Softmax(dtype="float64")])


class Twice(keras.Model):
    """A subclass: two arguments in a list, outputs of three dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(4, activation="relu")

    def call(self, inputs: Any, training: bool = False) -> Any:
        y = self.dense(inputs[0]) + self.dense(inputs[1])
        return ops.softmax(y), ops.argmax(y, -1), ops.where(y > 0.5, True, False)


def subclassed() -> Any:
    model = Twice()
    model([np.zeros((2, 3), "float32")] * 2)
    return model


MODELS: dict[Any, Any] = {
    image_classifier: {"image": (16, 16, 3)},
    generator: {"": (6,)},
    text_model: {"tokens": (7,)},
    transformer: {"sequence": (6, 8)},
    sequence_convolution: {"": (11, 3)},
    tabular: {"numbers": (4,), "kinds": (2,)},
    wide: {"": (5,)},
    subclassed: {"input_0": (3,), "input_1": (3,)},
}


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_an_exported_model_predicts_the_same_for_any_batch(make: Any, tmp_path: Path) -> None:
    model, shapes = randomized(make()), MODELS[make]
    path = tmp_path / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    given = {i.name: i.type.tensor_type for i in onnx.load(path).graph.input}
    if "" in shapes:
        shapes = dict(zip(given, shapes.values()))
    assert sorted(given) == sorted(shapes)
    rng = np.random.default_rng(1)
    for n in (1, 3, 8):
        data = {}
        for name, shape in shapes.items():
            dtype = onnx.helper.tensor_dtype_to_np_dtype(given[name].elem_type)
            whole = rng.integers(0, 6, (n, *shape)) if dtype.kind == "i" else rng.normal(0, 1, (n, *shape))
            data[name] = whole.astype(dtype)
        x = data if isinstance(model, keras.models.Model) and len(data) > 1 and make is tabular else list(data.values())
        assert_equal(run(path, data), model.predict(x if len(data) > 1 else x[0], verbose=0), 16)


def test_sequences_of_any_length_go_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for make in (text_model, transformer, sequence_convolution):
        model = randomized(make())
        model.export(tmp_path / "m", format="onnx", verbose=False)
        (given,) = onnx.load(tmp_path / "m").graph.input
        for length in (4, 9, 30):
            shape = (2, length, *model.inputs[0].shape[2:])
            x = rng.integers(0, 9, shape) if make is text_model else rng.normal(0, 1, shape)
            x = x.astype(model.inputs[0].dtype)
            assert_equal(run(tmp_path / "m", {given.name: x}), model.predict(x, verbose=0), 16)


def test_images_of_any_size_go_in(tmp_path: Path) -> None:
    model = keras.Sequential([
        keras.Input((None, None, 3)), layers.Conv2D(4, 3, 2, "same"), layers.MaxPooling2D(3, 2, "same"),
        layers.Conv2DTranspose(2, 3, 2, "same"), layers.UpSampling2D(), layers.GlobalAveragePooling2D(),
    ])  # fmt: skip
    model.export(tmp_path / "m", format="onnx", verbose=False)
    (given,) = onnx.load(tmp_path / "m").graph.input
    for shape in ((1, 16, 16, 3), (2, 17, 30, 3), (3, 9, 12, 3)):
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        assert_equal(run(tmp_path / "m", {given.name: x}), model.predict(x, verbose=0), 16)


def test_convolutions_follow_each_other_without_transposes(tmp_path: Path) -> None:
    model = randomized(keras.Sequential([
        keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(),
        layers.Conv2D(4, 3, padding="same"), layers.ZeroPadding2D(), layers.GlobalMaxPooling2D(),
    ]))  # fmt: skip
    model.export(tmp_path / "m", format="onnx", verbose=False)
    kinds = [node.op_type for node in onnx.load(tmp_path / "m").graph.node]
    # One for the input; what is left behind the pooling are single pixels. Batch normalization is in the weights.
    assert kinds.count("Transpose") == 2 and kinds.count("Conv") == 2 and "Sub" not in kinds and "Mul" not in kinds


def test_recurrent_layers_are_operators_where_onnx_has_them(tmp_path: Path) -> None:
    for layer, kind in (
        (layers.LSTM(3), "LSTM"),
        (layers.GRU(3, go_backwards=True), "GRU"),
        (layers.LSTM(3, use_bias=False), "LSTM"),
        (layers.LSTM(3, return_state=True), "Scan"),  # the state of the cell is asked for
        (layers.SimpleRNN(3), "Scan"),
    ):
        x = keras.Input((5, 4), name="x")
        model = randomized(keras.Model(x, layer(x)))
        model.export(tmp_path / "m", format="onnx", verbose=False)
        kinds = [node.op_type for node in onnx.load(tmp_path / "m").graph.node]
        assert kinds.count(kind) == 1 and ("MatMul" in kinds) == (kind == "Scan")
        data = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
        assert_equal(run(tmp_path / "m", {"x": data}), model.predict(data, verbose=0), 16)


def test_names_and_shapes_say_what_goes_in_and_out(tmp_path: Path) -> None:
    a, b = keras.Input((4,), name="left"), keras.Input((None, 4), name="right")
    y = layers.Dense(3, name="scores")(a)
    model = randomized(keras.Model([a, b], [y, b, layers.Lambda(lambda t: t * 2.0, name="twice")(b)]))
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    proto = onnx.load(tmp_path / "m.onnx")

    def told(infos: Any) -> dict[str, Any]:
        return {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in infos}

    assert told(proto.graph.input) == {"left": ["batch", 4], "right": ["batch", "right_1", 4]}
    assert told(proto.graph.output) == {
        "scores": ["batch", 3], "right_1": ["batch", "right_1", 4], "twice": ["batch", "right_1", 4],
    }  # fmt: skip
    assert {"scores/kernel", "scores/bias"} <= {i.name for i in proto.graph.initializer}
    assert proto.opset_import[0].version == 18 and proto.producer_name == "nacre"
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False, opset_version=20)
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 20


def test_the_signature_may_fix_sizes(tmp_path: Path) -> None:
    x = keras.Input((None, 4))
    model = keras.Model(x, layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)]))(x))
    with pytest.raises(NotImplementedError, match="Give fixed sizes with `input_signature`"):
        model.export(tmp_path / "m", format="onnx")
    signature = [keras.InputSpec(shape=(None, 5, 4), dtype="float32")]
    model.export(tmp_path / "m", format="onnx", verbose=False, input_signature=signature)
    data = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    assert_equal(run(tmp_path / "m", {model.input_names[0]: data}), model.predict(data, verbose=0), 16)
    with pytest.raises(ValueError, match=r"expected input_signature for the inputs \['.*'\] of the model"):
        model.export(tmp_path / "m", format="onnx", input_signature=signature * 2)
    twice = subclassed()
    arguments = [[keras.InputSpec(shape=(4, 3), dtype="float32", name=name) for name in ("a", "b")]]
    twice.export(tmp_path / "m", format="onnx", verbose=False, input_signature=arguments)
    (a, b) = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    assert_equal(run(tmp_path / "m", {"a": a, "b": b}), twice.predict([a, b], verbose=0), 16)


def test_a_graph_that_a_trace_cannot_follow_names_layer_and_op(tmp_path: Path) -> None:
    x = keras.Input((3, 3))
    inverse = keras.Model(x, layers.Lambda(lambda t: ops.inv(t), name="turn")(x), name="net")
    with pytest.raises(NotImplementedError, match=r"the op Inverse in layer 'net/turn' cannot be converted to ONNX"):
        inverse.export(tmp_path / "m", format="onnx")

    class Branches(keras.Model):
        def call(self, x: Any) -> Any:
            return x if float(ops.sum(x)) > 0 else -x

    model = Branches(name="branches")
    model(np.ones((2, 3), "float32"))
    with pytest.raises(NotImplementedError, match="model 'branches' is no graph of ops"):
        model.export(tmp_path / "m", format="onnx")
    stateful = keras.Sequential([keras.Input(batch_shape=(2, 3, 4)), layers.LSTM(3, stateful=True)])
    with pytest.raises(NotImplementedError, match="keeps no state from call to call"):
        stateful.export(tmp_path / "m", format="onnx")
    text = keras.Sequential([keras.Input((1,), dtype="string"), layers.StringLookup(vocabulary=["a"])])
    with pytest.raises(NotImplementedError, match="is text"):
        text.export(tmp_path / "m", format="onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_export_cannot_do_says_what_to_do(tmp_path: Path, monkeypatch: Any) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    for wrong in (17, 1000, "18"):
        with pytest.raises(ValueError, match="expected opset_version to be from 18"):
            model.export(tmp_path / "m", format="onnx", opset_version=wrong)
    with pytest.raises(ValueError, match="has not been built yet"):
        keras.Sequential([layers.Dense(2)]).export(tmp_path / "m", format="onnx")
    with pytest.raises(ValueError, match="to say its shape"):
        model.export(tmp_path / "m", format="onnx", input_signature=[3])
    find = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"pip install nacre\[onnx\]"):
        model.export(tmp_path / "m", format="onnx")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    path = tmp_path / "m.onnx"
    model.export(path, format="onnx")
    assert capsys.readouterr().out == f"Saved artifact at '{path}'.\n"
    before = path.read_bytes()

    def refuses(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuses)
    with pytest.raises(OSError, match="what was there is as it was"):
        model.export(path, format="onnx")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ResNet50", 64), ("MobileNetV2", 64), ("EfficientNetB0", 64), ("VGG16", 32), ("DenseNet121", 64),
        ("ConvNeXtTiny", 64), ("Xception", 96), ("InceptionV3", 96), ("NASNetMobile", 64),
    ],
)  # fmt: skip
def test_an_exported_application_predicts_the_same(name: str, size: int, tmp_path: Path) -> None:
    shape = (size, size, 3)
    with warnings.catch_warnings():
        model = getattr(keras.applications, name)(
            weights=None, input_shape=shape, classes=10, classifier_activation=None
        )
    randomized(model).export(tmp_path / "m", format="onnx", verbose=False)
    x = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    (given,) = onnx.load(tmp_path / "m").graph.input
    (got,), want = run(tmp_path / "m", {given.name: x}), model.predict(x, verbose=0)
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max(), rtol=0)  # some hundred layers of roundings

"""Layers as data: how to make one in either library, and what to feed it."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """`make(layers)` gives the layer; `shapes` are those of its inputs (one shape, or a list of shapes)."""

    name: str
    make: Callable[[Any], Any]
    shapes: Any
    kind: str = "normal"  # "normal", "ints" or "positive": what the inputs hold
    training: bool | None = None
    tolerance: float = 2e-5
    call: Any = MappingProxyType({})
    spread: bool = False  # several inputs are several arguments, not a list

    def __str__(self) -> str:
        return self.name

    def inputs(self, seed: int = 0) -> Any:
        """One array, or a list of them."""
        rng = np.random.default_rng(seed)

        def array(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
            if self.kind == "ints":
                return rng.integers(0, 7, shape).astype("int32")
            x = rng.normal(size=shape).astype("float32")
            return np.abs(x) + 0.1 if self.kind == "positive" else x

        return [array(s) for s in self.shapes] if isinstance(self.shapes, list) else array(self.shapes)

    def run(self, layer: Any, inputs: Any, **kwargs: Any) -> Any:
        """The layer called on the inputs."""
        args = inputs if self.spread else [inputs]
        return layer(*args, **self.call, **kwargs)


def _case(name: str, make: Callable[[Any], Any], shapes: Any, **kwargs: Any) -> Case:
    return Case(name, make, shapes, **kwargs)


IMAGE = (2, 9, 8, 4)
FIRST = (2, 4, 9, 8)
SEQUENCE = (3, 7, 4)
VOLUME = (2, 5, 6, 7, 3)

DENSE = [
    _case("dense", lambda k: k.Dense(3), (2, 5)),
    _case("dense-relu-rank3", lambda k: k.Dense(3, activation="relu", use_bias=False), (2, 4, 5)),
    _case("dense-regularized", lambda k: k.Dense(4, kernel_regularizer="l2", bias_constraint="non_neg"), (2, 5)),
    _case("einsum-dense", lambda k: k.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d"), (2, 4, 5)),
    _case("einsum-dense-heads", lambda k: k.EinsumDense("...x,xyz->...yz", (2, 3), bias_axes="yz"), (2, 4, 5)),
    _case("embedding", lambda k: k.Embedding(7, 3), (2, 5), kind="ints"),
    _case("dense-low-rank", lambda k: k.Dense(3, lora_rank=2), (2, 5)),
    _case("reversible-embedding", lambda k: k.ReversibleEmbedding(7, 3), (2, 5), kind="ints"),
    _case("embedding-masked", lambda k: k.Embedding(7, 3, mask_zero=True), (2, 5), kind="ints"),
]

CONVOLUTION = [
    _case("conv1d", lambda k: k.Conv1D(5, 3), SEQUENCE),
    _case("conv1d-causal", lambda k: k.Conv1D(5, 3, padding="causal", dilation_rate=2, activation="tanh"), SEQUENCE),
    _case("conv1d-causal-first", lambda k: k.Conv1D(6, 2, 2, "causal", "channels_first", groups=2), (3, 4, 7)),
    _case("conv1d-same", lambda k: k.Conv1D(5, 2, padding="same", strides=2), SEQUENCE),
    _case("conv2d", lambda k: k.Conv2D(5, 3, activation="relu"), IMAGE),
    _case("conv2d-same-strides", lambda k: k.Conv2D(5, (3, 2), strides=(2, 3), padding="same"), IMAGE),
    _case("conv2d-dilation", lambda k: k.Conv2D(5, 3, dilation_rate=(2, 1), use_bias=False), IMAGE),
    _case("conv2d-groups", lambda k: k.Conv2D(6, 3, groups=2), IMAGE),
    _case("conv3d", lambda k: k.Conv3D(4, 2), VOLUME),
    _case("conv3d-same", lambda k: k.Conv3D(4, (1, 3, 2), padding="same", strides=(1, 2, 2)), VOLUME),
    _case("conv1d-transpose", lambda k: k.Conv1DTranspose(5, 3, strides=2), SEQUENCE),
    _case("conv2d-transpose", lambda k: k.Conv2DTranspose(5, 3), IMAGE),
    _case("conv2d-transpose-same", lambda k: k.Conv2DTranspose(5, 3, strides=2, padding="same"), IMAGE),
    _case("conv2d-transpose-valid", lambda k: k.Conv2DTranspose(5, 2, strides=3), IMAGE),
    _case("conv2d-transpose-extra", lambda k: k.Conv2DTranspose(5, 3, strides=2, output_padding=1), IMAGE),
    _case("depthwise1d", lambda k: k.DepthwiseConv1D(3), SEQUENCE),
    _case("depthwise2d", lambda k: k.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), IMAGE),
    _case("depthwise2d-strides", lambda k: k.DepthwiseConv2D(3, strides=2), IMAGE),
    _case("separable1d", lambda k: k.SeparableConv1D(5, 3, padding="same"), SEQUENCE),
    _case("separable2d", lambda k: k.SeparableConv2D(5, 3, depth_multiplier=2), IMAGE),
]

POOLING = [
    *(
        _case(f"{kind}{d}d-{padding}", lambda k, kind=kind, d=d, padding=padding: getattr(k, f"{kind}Pooling{d}D")(
            3, strides=2, padding=padding), shape)
        for kind in ("Max", "Average")
        for d, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))
        for padding in ("valid", "same")
    ),
    *(
        _case(f"global-{kind}{d}d-{keep}", lambda k, kind=kind, d=d, keep=keep: getattr(k, f"Global{kind}Pooling{d}D")(
            keepdims=keep), shape)
        for kind in ("Max", "Average")
        for d, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))
        for keep in (False, True)
    ),
    _case("max2d-default", lambda k: k.MaxPooling2D(), IMAGE),
    _case("max2d-first", lambda k: k.MaxPooling2D(2, data_format="channels_first"), FIRST),
]  # fmt: skip

ADAPTIVE = [
    *(
        _case(
            f"adaptive-{kind}{d}d",
            lambda k, kind=kind, d=d: getattr(k, f"Adaptive{kind}Pooling{d}D")(3 if d != 2 else (4, 3)),
            shape,
        )
        for kind in ("Max", "Average")
        for d, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME))
    ),
    _case("adaptive-larger", lambda k: k.AdaptiveAveragePooling2D((12, 5)), IMAGE),
    _case("adaptive-first", lambda k: k.AdaptiveMaxPooling2D(2, data_format="channels_first"), FIRST),
]

NORMALIZATION = [
    _case("batch-inference", lambda k: k.BatchNormalization(), IMAGE),
    _case("batch-training", lambda k: k.BatchNormalization(), IMAGE, training=True),
    _case("batch-axis1", lambda k: k.BatchNormalization(axis=1, momentum=0.5, epsilon=0.01), IMAGE, training=True),
    _case(
        "batch-renorm",
        lambda k: k.BatchNormalization(renorm=True, renorm_clipping={"rmax": 1.5, "rmin": 0.5, "dmax": 0.1}),
        IMAGE,
        training=True,
    ),
    _case("batch-plain", lambda k: k.BatchNormalization(center=False, scale=False), (5, 3), training=True),
    _case("layer", lambda k: k.LayerNormalization(), SEQUENCE),
    _case("layer-axes", lambda k: k.LayerNormalization(axis=(1, 2)), SEQUENCE),
    _case("layer-axes-backwards", lambda k: k.LayerNormalization(axis=(2, 1)), SEQUENCE),
    _case("rms-axes-backwards", lambda k: k.RMSNormalization(axis=[2, 1]), SEQUENCE),
    _case("layer-axis1", lambda k: k.LayerNormalization(axis=1, center=False), SEQUENCE),
    _case("group", lambda k: k.GroupNormalization(2), IMAGE),
    _case("instance", lambda k: k.GroupNormalization(-1), IMAGE),
    _case("rms", lambda k: k.RMSNormalization(), SEQUENCE),
    _case("unit", lambda k: k.UnitNormalization(), SEQUENCE),
    _case("unit-axes", lambda k: k.UnitNormalization(axis=(1, 2)), SEQUENCE),
    _case("spectral", lambda k: k.SpectralNormalization(k.Dense(5)), (3, 4)),
    _case(
        "spectral-training", lambda k: k.SpectralNormalization(k.Conv2D(5, 3), 3), IMAGE, training=True, tolerance=1e-4
    ),
]

RESHAPING = [
    _case("flatten", lambda k: k.Flatten(), IMAGE),
    _case("flatten-first", lambda k: k.Flatten(data_format="channels_first"), FIRST),
    _case("flatten-rank1", lambda k: k.Flatten(), (4,)),
    _case("reshape", lambda k: k.Reshape((4, 7)), SEQUENCE),
    _case("reshape-unknown", lambda k: k.Reshape((2, -1)), SEQUENCE),
    _case("permute", lambda k: k.Permute((3, 1, 2)), IMAGE),
    _case("repeat-vector", lambda k: k.RepeatVector(3), (2, 5)),
    _case("upsampling1d", lambda k: k.UpSampling1D(3), SEQUENCE),
    _case("upsampling2d", lambda k: k.UpSampling2D((2, 3)), IMAGE),
    _case("upsampling2d-first", lambda k: k.UpSampling2D(data_format="channels_first"), FIRST),
    _case("upsampling2d-bilinear", lambda k: k.UpSampling2D((2, 3), interpolation="bilinear"), IMAGE),
    _case("upsampling2d-bicubic", lambda k: k.UpSampling2D(2, interpolation="bicubic"), IMAGE),
    _case("upsampling3d", lambda k: k.UpSampling3D((1, 2, 3)), VOLUME),
    _case("padding1d", lambda k: k.ZeroPadding1D((1, 2)), SEQUENCE),
    _case("padding2d", lambda k: k.ZeroPadding2D(((1, 0), (2, 3))), IMAGE),
    _case("padding2d-first", lambda k: k.ZeroPadding2D(2, data_format="channels_first"), FIRST),
    _case("padding3d", lambda k: k.ZeroPadding3D((1, 2, 0)), VOLUME),
    _case("cropping1d", lambda k: k.Cropping1D((1, 2)), SEQUENCE),
    _case("cropping2d", lambda k: k.Cropping2D(((1, 0), (2, 3))), IMAGE),
    _case("cropping3d", lambda k: k.Cropping3D((1, 2, 0)), VOLUME),
]

ACTIVATION = [
    *(
        _case(f"activation-{name}", lambda k, name=name: k.Activation(name), (3, 6))
        for name in (
            "relu", "relu6", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "softsign", "silu", "gelu",
            "leaky_relu",
            "log_softmax", "hard_sigmoid", "hard_silu", "hard_tanh", "mish", "exponential", "celu", "glu",
            "hard_shrink",
            "soft_shrink", "tanh_shrink", "squareplus", "sparse_plus", "sparse_sigmoid", "sparsemax", "log_sigmoid",
            "linear",
        )
    ),
    _case("relu-layer", lambda k: k.ReLU(max_value=1.5, negative_slope=0.1), (3, 6)),
    _case("relu-threshold", lambda k: k.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.3), (3, 6)),
    _case("leaky-relu-layer", lambda k: k.LeakyReLU(0.2), (3, 6)),
    _case("elu-layer", lambda k: k.ELU(0.5), (3, 6)),
    _case("prelu", lambda k: k.PReLU(alpha_initializer="ones", shared_axes=[1]), SEQUENCE),
    _case("softmax-layer", lambda k: k.Softmax(axis=1), SEQUENCE),
    _case("softmax-axes", lambda k: k.Softmax(axis=(1, 2)), SEQUENCE),
]  # fmt: skip

OTHER = [
    _case("identity", lambda k: k.Identity(), (3, 6)),
    _case("masking", lambda k: k.Masking(), SEQUENCE),
    _case("activity", lambda k: k.ActivityRegularization(l1=0.1, l2=0.2), (3, 6)),
    _case("dropout-inference", lambda k: k.Dropout(0.5), (3, 6)),
    _case("spatial-dropout-inference", lambda k: k.SpatialDropout2D(0.5), IMAGE),
    _case("noise-inference", lambda k: k.GaussianNoise(0.5), IMAGE),
    _case("gaussian-dropout-inference", lambda k: k.GaussianDropout(0.5), IMAGE),
    _case("alpha-dropout-inference", lambda k: k.AlphaDropout(0.5), IMAGE),
    _case("rescaling", lambda k: k.Rescaling(1 / 255, offset=-1), IMAGE),
    _case("rescaling-list", lambda k: k.Rescaling([1.0, 2.0, 3.0, 4.0], offset=[0.0, 1.0, 0.0, 1.0]), IMAGE),
    _case("normalization", lambda k: k.Normalization(mean=2.0, variance=3.0), IMAGE),
    _case(
        "normalization-inverse",
        lambda k: k.Normalization(mean=[1.0, 2, 3, 4], variance=[1.0, 2, 3, 4], invert=True),
        IMAGE,
    ),
]

MERGING = [
    *(
        _case(name.lower(), lambda k, name=name: getattr(k, name)(), [(2, 3, 4), (2, 3, 4)])
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    ),
    _case("add-three", lambda k: k.Add(), [(2, 3, 4)] * 3),
    _case("add-broadcast", lambda k: k.Add(), [(2, 3, 4), (2, 1, 4), (2, 3, 1)]),
    _case("add-ranks", lambda k: k.Add(), [(2, 3, 4), (2, 4)]),
    _case("concatenate-axis1", lambda k: k.Concatenate(axis=1), [(2, 3, 4), (2, 5, 4)]),
    _case("dot", lambda k: k.Dot(axes=1), [(2, 5), (2, 5)]),
    _case("dot-matrix", lambda k: k.Dot(axes=(2, 1)), [(2, 3, 4), (2, 4, 5)]),
    _case("dot-outer", lambda k: k.Dot(axes=(1, 2)), [(2, 4, 3), (2, 5, 4)]),
    _case("dot-cosine", lambda k: k.Dot(axes=1, normalize=True), [(2, 5), (2, 5)]),
    _case("dot-ranks", lambda k: k.Dot(axes=(2, 1)), [(2, 3, 4), (2, 4)]),
]

RECURRENT = [
    *(
        _case(f"{name}-{i}", lambda k, name=name, kw=kw: getattr(k, name)(5, **kw), SEQUENCE)
        for name in ("SimpleRNN", "LSTM", "GRU")
        for i, kw in enumerate(
            (
                {},
                {"return_sequences": True, "go_backwards": True},
                {"return_sequences": True, "return_state": True, "use_bias": False},
                {"activation": "relu", "unroll": True},
                {"stateful": True, "return_sequences": True},
            )
        )
    ),
    _case("simple-rnn-relu", lambda k: k.SimpleRNN(5, activation="relu", return_sequences=True), SEQUENCE),
    _case("gru-reset-before", lambda k: k.GRU(5, reset_after=False), SEQUENCE),
    _case("lstm-hard", lambda k: k.LSTM(5, recurrent_activation="hard_sigmoid", unit_forget_bias=False), SEQUENCE),
    _case("rnn-cell", lambda k: k.RNN(k.LSTMCell(5), return_sequences=True), SEQUENCE),
    _case("rnn-stacked", lambda k: k.RNN([k.LSTMCell(5), k.GRUCell(3)], return_state=True), SEQUENCE),
    *(
        _case(
            f"bidirectional-{mode}",
            lambda k, mode=mode: k.Bidirectional(k.LSTM(5, return_sequences=True), merge_mode=mode),
            SEQUENCE,
        )
        for mode in ("concat", "sum", "mul", "ave", None)
    ),
    _case("bidirectional-last", lambda k: k.Bidirectional(k.GRU(5)), SEQUENCE),
    _case("bidirectional-state", lambda k: k.Bidirectional(k.LSTM(5, return_state=True)), SEQUENCE),
    _case(
        "bidirectional-two", lambda k: k.Bidirectional(k.LSTM(5), backward_layer=k.LSTM(5, go_backwards=True)), SEQUENCE
    ),
    _case("time-distributed", lambda k: k.TimeDistributed(k.Dense(5)), SEQUENCE),
    _case("time-distributed-conv", lambda k: k.TimeDistributed(k.Conv2D(3, 2)), (2, 3, 5, 6, 4)),
    _case("conv-lstm1d", lambda k: k.ConvLSTM1D(3, 2, return_sequences=True), (2, 3, 6, 4)),
    _case("conv-lstm2d", lambda k: k.ConvLSTM2D(3, 3, padding="same"), (2, 3, 5, 6, 4)),
    _case("conv-lstm2d-strides", lambda k: k.ConvLSTM2D(3, 3, strides=2, return_sequences=True), (2, 3, 7, 6, 4)),
]

ATTENTION = [
    _case("attention", lambda k: k.Attention(), [(2, 3, 4), (2, 5, 4)]),
    _case(
        "attention-scale", lambda k: k.Attention(use_scale=True, score_mode="concat"), [(2, 3, 4), (2, 5, 4), (2, 5, 4)]
    ),
    _case("attention-causal", lambda k: k.Attention(), [(2, 5, 4), (2, 5, 4)], call={"use_causal_mask": True}),
    _case("additive-attention", lambda k: k.AdditiveAttention(), [(2, 3, 4), (2, 5, 4), (2, 5, 4)]),
    *(
        _case(name, make, shapes, spread=True, call=call)
        for name, make, shapes, call in (
            ("mha", lambda k: k.MultiHeadAttention(2, 3), [(2, 3, 4), (2, 5, 4)], {}),
            ("mha-key", lambda k: k.MultiHeadAttention(2, 3, use_bias=False), [(2, 3, 4), (2, 5, 6), (2, 5, 7)], {}),
            ("mha-window", lambda k: k.MultiHeadAttention(2, 3, sliding_window=2), [(2, 5, 4), (2, 6, 4)], {}),
            (
                "mha-window-causal",
                lambda k: k.MultiHeadAttention(2, 3, sliding_window=2),
                [(2, 5, 4), (2, 5, 4)],
                {"use_causal_mask": True},
            ),
            ("mha-causal", lambda k: k.MultiHeadAttention(2, 3), [(2, 5, 4), (2, 5, 4)], {"use_causal_mask": True}),
            (
                "mha-scores",
                lambda k: k.MultiHeadAttention(2, 3, output_shape=7),
                [(2, 3, 4), (2, 3, 4)],
                {"return_attention_scores": True},
            ),
            ("mha-axes", lambda k: k.MultiHeadAttention(2, 3, attention_axes=2), [(2, 3, 4, 5), (2, 3, 4, 5)], {}),
            ("mha-all-axes", lambda k: k.MultiHeadAttention(2, 3), [(2, 3, 4, 5), (2, 3, 4, 5)], {}),
            ("mha-gate", lambda k: k.MultiHeadAttention(2, 3, use_gate=True), [(2, 3, 4), (2, 5, 4)], {}),
            ("gqa", lambda k: k.GroupQueryAttention(4, 6, 2), [(2, 3, 4), (2, 5, 4)], {}),
            (
                "gqa-scores",
                lambda k: k.GroupQueryAttention(4, 6, 2),
                [(2, 3, 4), (2, 5, 4)],
                {"return_attention_scores": True, "use_causal_mask": True},
            ),
        )
    ),
]

ALL = [
    *DENSE, *CONVOLUTION, *POOLING, *ADAPTIVE,
    *NORMALIZATION, *RESHAPING, *ACTIVATION, *OTHER, *MERGING, *RECURRENT, *ATTENTION,
]  # fmt: skip

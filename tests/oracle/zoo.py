"""Models that together hold every layer of the first tier; `keras` is the library that builds them.

Each function returns (model, shapes of its inputs); inputs named in TOKENS hold word numbers below 20.
"""

import numpy as np

TOKENS = {"embedding_lstm", "embedding_gru", "embedding_pooling"}


def _classifier(keras, shape, *hidden):
    return keras.Sequential([keras.layers.Input(shape=shape), *hidden]), [shape]


def dense_chain(keras):
    L = keras.layers
    return _classifier(keras, (6,), L.Dense(8, activation="relu", kernel_regularizer="l2"), L.Dense(3, use_bias=False))


def activations(keras):
    L = keras.layers
    return _classifier(
        keras,
        (6,),
        L.Dense(8),
        L.ReLU(max_value=3.0),
        L.Dense(8),
        L.LeakyReLU(negative_slope=0.1),
        L.Dense(8),
        L.PReLU(),
        L.ELU(alpha=0.7),
        L.Activation("gelu"),
        L.Dense(4),
        L.Softmax(),
    )


def noise(keras):
    L = keras.layers
    return _classifier(
        keras,
        (5, 6),
        L.GaussianNoise(0.1),
        L.Dropout(0.3, seed=1),
        L.Dense(4),
        L.Flatten(),
        L.Dense(2),
        L.Identity(),
    )


def cnn(keras):
    L = keras.layers
    return _classifier(
        keras,
        (12, 12, 3),
        L.Conv2D(4, 3, padding="same", activation="relu"),
        L.MaxPooling2D(2),
        L.SpatialDropout2D(0.2),
        L.Conv2D(6, (3, 2), strides=2, name="second"),
        L.Flatten(),
        L.Dense(3, activation="softmax"),
    )


def cnn_strange(keras):
    L = keras.layers
    return _classifier(
        keras,
        (12, 10, 4),
        L.ZeroPadding2D(((1, 2), (0, 1))),
        L.Conv2D(8, 3, dilation_rate=2, groups=2, use_bias=False),
        L.BatchNormalization(momentum=0.9, scale=False),
        L.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        L.AveragePooling2D((2, 3), strides=1, padding="same"),
        L.GlobalAveragePooling2D(),
        L.Dense(3),
    )


def separable(keras):
    L = keras.layers
    return _classifier(
        keras,
        (10, 10, 3),
        L.Rescaling(1 / 127.5, offset=-1),
        L.SeparableConv2D(6, 3, depth_multiplier=2, activation="relu"),
        L.GlobalMaxPooling2D(keepdims=True),
        L.Flatten(),
        L.Dense(2),
    )


def autoencoder(keras):
    L = keras.layers
    return _classifier(
        keras,
        (8, 8, 1),
        L.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
        L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu"),
        L.UpSampling2D(2),
        L.MaxPool2D(2),
        L.Conv2D(1, 3, padding="same", activation="sigmoid"),
    )


def one_dimension(keras):
    L = keras.layers
    return _classifier(
        keras,
        (16, 3),
        L.Conv1D(6, 3, padding="causal", activation="relu"),
        L.MaxPooling1D(2),
        L.Conv1D(4, 3, dilation_rate=2),
        L.AveragePooling1D(2),
        L.GlobalMaxPooling1D(),
        L.Dense(2),
    )


def normalized(keras):
    L = keras.layers
    return _classifier(
        keras,
        (7, 6),
        L.LayerNormalization(epsilon=1e-4),
        L.Dense(5),
        L.BatchNormalization(axis=-1),
        L.Flatten(),
        L.Dense(2),
    )


def adapted(keras):
    L = keras.layers
    normalization = L.Normalization(axis=-1)
    normalization.adapt(np.arange(60, dtype="float32").reshape(10, 6) ** 2)
    a = keras.Input((6,))
    x = L.Concatenate()([normalization(a), L.Normalization(mean=0.5, variance=2.0)(a)])
    return keras.Model(a, L.Dense(2)(x)), [(6,)]


def shapes(keras):
    L = keras.layers
    return _classifier(
        keras, (4, 6), L.Permute((2, 1)), L.Reshape((3, -1)), L.Flatten(), L.Dense(5), L.RepeatVector(3), L.Dense(2)
    )


def embedding_pooling(keras):
    L = keras.layers
    return _classifier(keras, (9,), L.Embedding(20, 8, mask_zero=True), L.GlobalAveragePooling1D(), L.Dense(3))


def embedding_lstm(keras):
    L = keras.layers
    return _classifier(keras, (9,), L.Embedding(20, 8), L.LSTM(6, return_sequences=True), L.LSTM(5), L.Dense(3))


def embedding_gru(keras):
    L = keras.layers
    return _classifier(
        keras,
        (9,),
        L.Embedding(20, 8, mask_zero=True),
        L.GRU(6, return_sequences=True),
        L.GRU(5, reset_after=False),
        L.Dense(3),
    )


def recurrent(keras):
    L = keras.layers
    return _classifier(
        keras,
        (7, 4),
        L.Masking(0.0),
        L.Bidirectional(L.LSTM(4, return_sequences=True)),
        L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum"),
        L.SimpleRNN(5, return_sequences=True),
        L.TimeDistributed(L.Dense(2)),
    )


def two_inputs(keras):
    L = keras.layers
    a, b = keras.Input((8,), name="a"), keras.Input((4, 2), name="b")
    x = L.Dense(6, activation="tanh")(a)
    y = L.Flatten()(L.Dense(3)(b))
    return keras.Model([a, b], L.Dense(2)(L.Concatenate()([x, y]))), [(8,), (4, 2)]


def two_outputs(keras):
    L = keras.layers
    a = keras.Input((8,))
    x = L.Dense(6, activation="relu")(a)
    return keras.Model(a, [L.Dense(2, name="color")(x), L.Dense(3, name="gender")(x)], name="heads"), [(8,)]


def dict_outputs(keras):
    L = keras.layers
    a = keras.Input((8,))
    x = L.Dense(6, activation="relu")(a)
    return keras.Model(a, {"first": L.Dense(2)(x), "second": L.Dense(3)(x)}), [(8,)]


def merging(keras):
    L = keras.layers
    a, b = keras.Input((6,)), keras.Input((6,))
    x, y = L.Dense(5)(a), L.Dense(5)(b)
    parts = [
        L.Add()([x, y]),
        L.Subtract()([x, y]),
        L.Multiply()([x, y]),
        L.Average()([x, y]),
        L.Maximum()([x, y]),
        L.Minimum()([x, y]),
        L.Dot(axes=1, normalize=True)([x, y]),
    ]
    return keras.Model([a, b], L.Dense(2)(L.Concatenate(axis=-1)(parts))), [(6,), (6,)]


def merging_functions(keras):
    L = keras.layers
    a, b = keras.Input((6,)), keras.Input((6,))
    parts = [
        L.add([a, b]),
        L.subtract([a, b]),
        L.multiply([a, b]),
        L.average([a, b]),
        L.maximum([a, b]),
        L.minimum([a, b]),
        L.dot([a, b], axes=1),
    ]
    return keras.Model([a, b], L.Dense(2)(L.concatenate(parts))), [(6,), (6,)]


def shared_layer(keras):
    L = keras.layers
    shared = L.Dense(5, activation="tanh", name="shared")
    a = keras.Input((5,))
    return keras.Model(a, L.Dense(2)(shared(shared(a)))), [(5,)]


def siamese(keras):
    L = keras.layers
    tower = keras.Sequential([L.Input((6,)), L.Dense(5, activation="relu"), L.Dense(4)], name="tower")
    a, b = keras.Input((6,)), keras.Input((6,))
    return keras.Model([a, b], L.Dense(1, activation="sigmoid")(L.Subtract()([tower(a), tower(b)]))), [(6,), (6,)]


def nested(keras):
    L = keras.layers
    inner_in = keras.Input((6,))
    inner = keras.Model(inner_in, L.BatchNormalization()(L.Dense(4)(inner_in)), name="inner")
    middle = keras.Sequential([L.Input((6,)), inner, L.Dense(6)], name="middle")
    return keras.Sequential([L.Input((6,)), middle, L.Dense(2)]), [(6,)]


def models_at_the_end(keras):
    """Outputs that models inside make, of which one is called twice."""
    L = keras.layers
    a, b = keras.Input((6,)), keras.Input((6,))
    twice = keras.Model(a, L.Dense(6, activation="tanh")(a), name="twice")
    once = keras.Model(b, [L.Dense(2)(b), L.Dense(3)(b)], name="once")
    x = keras.Input((6,))
    y = twice(x)
    return keras.Model(x, [y, *once(y), twice(y)]), [(6,)]


def residual(keras):
    L = keras.layers
    a = x = keras.Input((8, 8, 4))
    for _ in range(2):
        y = L.Conv2D(4, 3, padding="same")(x)
        y = L.BatchNormalization()(y)
        x = L.Activation("relu")(L.Add()([x, y]))
    return keras.Model(a, L.Dense(2)(L.GlobalAveragePooling2D()(x))), [(8, 8, 4)]


def wide(keras):
    L = keras.layers
    a = keras.Input((6, 5))
    x = L.Reshape((6, 5))(L.Dense(30)(L.Dense(8)(L.Flatten()(a))))
    return keras.Model(inputs=[a], outputs=[L.Dense(3)(L.Flatten()(L.Concatenate()([a, x])))]), [(6, 5)]


def initialized(keras):
    L, I = keras.layers, keras.initializers
    return _classifier(
        keras,
        (5,),
        L.Dense(4, kernel_initializer=I.HeNormal(seed=3), bias_initializer=I.Constant(0.5)),
        L.Dense(
            4, kernel_initializer=I.RandomUniform(-0.1, 0.1), activity_regularizer=keras.regularizers.L1L2(1e-4, 1e-3)
        ),
        L.Dense(
            4,
            kernel_initializer=I.VarianceScaling(2.0, "fan_out", "uniform"),
            bias_regularizer=keras.regularizers.L1(0.1),
        ),
        L.Dense(2, kernel_initializer="lecun_normal"),
    )


def _subclass(keras):
    L = keras.layers

    @keras.saving.register_keras_serializable("zoo")
    class Mixed(keras.Model):
        """Attributes of every kind, in an order that is not that of the alphabet."""

        def __init__(self, width=5, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.zeta = L.Dense(width)
            self.drop = L.Dropout(0.1)
            self.blocks = [L.Dense(width), L.Dense(width, activation="relu")]
            self.table = {"x": L.Dense(width), "y": [L.Dense(width)]}
            self._private = L.BatchNormalization()
            self.last = keras.Sequential([L.Dense(3), L.Dense(2)])
            self.flag = True

        def call(self, x, training=None):
            x = self.drop(self.zeta(x), training=training)
            for block in self.blocks:
                x = block(x)
            x = self.table["y"][0](self.table["x"](x))
            return self.last(self._private(x, training=training))

        def get_config(self):
            return {**super().get_config(), "width": self.width}

    return Mixed


def subclassed(keras):
    return _subclass(keras)(width=4), [(6,)]


def subclassed_residual(keras):
    """Code in `call`, layers of the user's own inside, one layer that is used twice; nothing is drawn in training."""
    L = keras.layers

    @keras.saving.register_keras_serializable("zoo")
    class Block(L.Layer):
        def __init__(self, filters, **kwargs):
            super().__init__(**kwargs)
            self.filters = filters
            self.convolution = L.Conv2D(filters, 3, padding="same")
            self.normalization = L.BatchNormalization()

        def build(self, input_shape):
            self.convolution.build(input_shape)
            self.normalization.build((*input_shape[:-1], self.filters))
            self.gain = self.add_weight(shape=(self.filters,), initializer="ones", name="gain")

        def call(self, x, training=False):
            y = self.normalization(self.convolution(x), training=training)
            return keras.ops.relu(x + y * self.gain)

        def get_config(self):
            return {**super().get_config(), "filters": self.filters}

    @keras.saving.register_keras_serializable("zoo")
    class Residual(keras.Model):
        def __init__(self, filters=4, depth=2, **kwargs):
            super().__init__(**kwargs)
            self.filters, self.depth = filters, depth
            self.stem = L.Conv2D(filters, 3, padding="same")
            self.blocks = [Block(filters) for _ in range(depth)]
            self.again = L.Dense(filters, activation="tanh")
            self.head = L.Dense(2)

        def call(self, x, training=False):
            x = self.stem(x)
            for block in self.blocks:
                x = block(x, training=training)
            x = keras.ops.mean(x, axis=(1, 2))
            return self.head(self.again(self.again(x)))

        def get_config(self):
            return {**super().get_config(), "filters": self.filters, "depth": self.depth}

    return Residual(depth=2), [(6, 6, 3)]


def custom_layer(keras):
    @keras.saving.register_keras_serializable("zoo")
    class Scale(keras.layers.Layer):
        def __init__(self, factor=1.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
            self.shift = self.add_weight(shape=(), initializer="zeros", trainable=False, name="shift")
            self.inner = keras.layers.Dense(3)
            self.inner.build(input_shape)

        def call(self, x):
            return self.inner(x * self.scale * self.factor + self.shift)

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    L = keras.layers
    return _classifier(keras, (5,), L.Dense(4), Scale(2.0), L.Dense(2))


def frozen(keras):
    L = keras.layers
    model, shapes = _classifier(keras, (5,), L.Dense(4), L.BatchNormalization(), L.Dense(2))
    model.layers[0].trainable = False
    return model, shapes


def grouped(keras):
    a = keras.Input((5, 8))
    x = keras.layers.GroupQueryAttention(4, 4, 2, use_gate=True)(a, a)
    return keras.Model(a, keras.layers.GroupQueryAttention(4, 2, 1)(x, a)), [(5, 8)]


def graph_and_more(keras):
    @keras.saving.register_keras_serializable("zoo")
    class GraphAndMore(keras.Model):
        def __init__(self, **kwargs):
            a = keras.Input((4,))
            super().__init__(inputs=a, outputs=keras.layers.Dense(3)(a), **kwargs)
            self.extra = keras.layers.Dense(2)
            self.extra.build((None, 3))

        def call(self, x):
            return self.extra(super().call(x))

        def get_config(self):
            return {}

        @classmethod
        def from_config(cls, config, custom_objects=None):
            return cls()

    return GraphAndMore(), [(4,)]


def operators(keras):
    L = keras.layers
    a = keras.Input((5,))
    x = L.Dense(4)(a)
    y = keras.ops.relu(x) * 2.0 + 1.0
    y = keras.ops.concatenate([x, y], axis=1)
    return keras.Model(a, L.Dense(2)(keras.ops.reshape(y, (-1, 2, 4)))), [(5,)]


def lambda_by_name(keras):
    @keras.saving.register_keras_serializable("zoo")
    def double(x):
        return x * 2.0

    L = keras.layers
    return _classifier(keras, (5,), L.Dense(4), L.Lambda(double), L.Dense(2))


MODELS = {name: f for name, f in list(globals().items()) if callable(f) and not name.startswith("_")}

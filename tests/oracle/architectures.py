"""Models that are written once and built with any library that speaks Keras: `keras` is the library."""


def mlp_sequential(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(shape=(20,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="tanh"),
            layers.Dense(5, activation="softmax"),
        ]
    )


def mlp_functional(keras):
    layers = keras.layers
    x = inputs = keras.Input(shape=(20,))
    for units, activation in ((64, "relu"), (32, "tanh")):
        x = layers.Dense(units, activation=activation)(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def mlp_subclassed(keras):
    layers = keras.layers

    class MLP(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = [layers.Dense(64, activation="relu"), layers.Dense(32, activation="tanh")]
            self.out = layers.Dense(5, activation="softmax")

        def call(self, x):
            for layer in self.hidden:
                x = layer(x)
            return self.out(x)

    return MLP()


def cnn_sequential(keras):
    """The convolutional network of many tutorials, on smaller pictures."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(shape=(14, 14, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def two_inputs(keras):
    """A picture and a vector, joined; two outputs of which one is not trained on."""
    layers = keras.layers
    image, text = keras.Input(shape=(14, 14, 1), name="image"), keras.Input(shape=(7,), name="text")
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    y = layers.Dense(16, activation="relu")(text)
    joined = layers.concatenate([x, y])
    return keras.Model(inputs=[image, text], outputs=layers.Dense(10, activation="softmax")(joined))


def wide_and_deep(keras):
    """Flatten, a detour through dense layers, back to a picture, joined with the input."""
    layers = keras.layers
    inputs = keras.Input(shape=(14, 14))
    flat = layers.Flatten()(inputs)
    x = layers.Dense(64)(flat)
    x = layers.Dense(14 * 14)(x)
    x = layers.Reshape((14, 14))(x)
    x = layers.Concatenate()([inputs, x])
    x = layers.Flatten()(x)
    return keras.Model(inputs=[inputs], outputs=[layers.Dense(10, activation="softmax")(x)])


def cnn_subclassed(keras):
    """Layers made under a condition, Python control flow in `call`."""
    layers = keras.layers

    class Net(keras.Model):
        def __init__(self, use_bn=True):
            super().__init__(name="net")
            self.use_bn = use_bn
            self.conv = layers.Conv2D(16, 3, padding="same", use_bias=not use_bn)
            if use_bn:
                self.bn = layers.BatchNormalization()
            self.pool = layers.MaxPooling2D(2)
            self.flatten = layers.Flatten()
            self.dense = layers.Dense(10)

        def call(self, x, training=None):
            x = self.conv(x)
            if self.use_bn:
                x = self.bn(x, training=training)
            x = keras.ops.relu(x)
            for _ in range(2):
                x = self.pool(x)
            return keras.ops.softmax(self.dense(self.flatten(x)))

    return Net()


def _residual(keras, x, filters, stride):
    layers = keras.layers
    shortcut = x
    x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    if stride != 1 or shortcut.shape[-1] != filters:
        shortcut = layers.Conv2D(filters, 1, strides=stride, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization()(shortcut)
    x = layers.Add()([x, shortcut])
    return layers.Activation("relu")(x)


def resnet20_functional(keras, size=8):
    layers = keras.layers
    inputs = keras.Input(shape=(size, size, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    for filters in (16, 32, 64):
        for block in range(3):
            x = _residual(keras, x, filters, 2 if block == 0 and filters != 16 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def resnet20_subclassed(keras, size=8):
    layers = keras.layers

    class Block(layers.Layer):
        def __init__(self, filters, stride, project, **kwargs):
            super().__init__(**kwargs)
            self.conv1 = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)
            self.bn1 = layers.BatchNormalization()
            self.conv2 = layers.Conv2D(filters, 3, padding="same", use_bias=False)
            self.bn2 = layers.BatchNormalization()
            self.project = layers.Conv2D(filters, 1, strides=stride, use_bias=False) if project else None

        def call(self, x, training=None):
            y = keras.ops.relu(self.bn1(self.conv1(x), training=training))
            y = self.bn2(self.conv2(y), training=training)
            return keras.ops.relu(y + (x if self.project is None else self.project(x)))

    class ResNet(keras.Model):
        def __init__(self):
            super().__init__()
            self.stem = layers.Conv2D(16, 3, padding="same", use_bias=False)
            self.bn = layers.BatchNormalization()
            self.blocks = [
                Block(f, 2 if b == 0 and f != 16 else 1, b == 0 and f != 16) for f in (16, 32, 64) for b in range(3)
            ]
            self.pool = layers.GlobalAveragePooling2D()
            self.head = layers.Dense(10, activation="softmax")

        def call(self, x, training=None):
            x = keras.ops.relu(self.bn(self.stem(x), training=training))
            for block in self.blocks:
                x = block(x, training=training)
            return self.head(self.pool(x))

    return ResNet()


def resnet20_sequential(keras, size=8):
    """The same network with each block a model of its own, in a Sequential."""
    layers = keras.layers

    def block(shape, filters, stride):
        inputs = keras.Input(shape=shape)
        return keras.Model(inputs, _residual(keras, inputs, filters, stride))

    parts = [
        layers.Input(shape=(size, size, 3)),
        layers.Conv2D(16, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
    ]
    side, channels = size, 16
    for filters in (16, 32, 64):
        for b in range(3):
            stride = 2 if b == 0 and filters != 16 else 1
            parts.append(block((side, side, channels), filters, stride))
            side, channels = side // stride, filters
    return keras.Sequential([*parts, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])

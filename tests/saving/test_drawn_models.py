"""Models drawn by chance: what comes out of a file predicts and trains on with the same bits, and is saved alike."""

import io
import random
import re
import zipfile

import h5py
import numpy as np
import pytest

import nacre as keras
from nacre import layers as L
from nacre import ops


@keras.saving.register_keras_serializable("drawn")
class Counting(L.Layer):
    """Weights of several dtypes, in structures, and draws of its own."""

    def __init__(self, seed=1, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.draws = keras.random.SeedGenerator(seed)

    def build(this, shape):  # names that are nobody's business but its own
        this.w = this.add_weight(shape=(shape[-1],), initializer="ones", name="wé")
        this.count = this.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)
        this.flag = this.add_weight(shape=(2,), dtype="bool", initializer="zeros", trainable=False)
        this.more = {"a": this.add_weight(shape=(1,)), "b": [this.add_weight(shape=(1,))]}

    def call(self, x, training=False):
        if training:
            self.count.assign(self.count + 1)
            x = x + ops.cast(keras.random.normal(ops.shape(x), seed=self.draws, stddev=0.01), x.dtype)
        return x * self.w * self.more["a"] + self.more["b"][0]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("drawn")
class Block(L.Layer):
    """Layers of its own that its configuration says nothing of."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.parts = [L.Dense(units, "relu"), L.LayerNormalization()]
        self.named = {"x/y": L.Dense(units), "é": [L.Dense(units, use_bias=False)]}

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return self.named["x/y"](x) + self.named["é"][0](x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


O = keras.optimizers
OPTIMIZERS = [
    lambda: O.SGD(0.01, momentum=0.9, nesterov=True), lambda: O.Adam(0.01, amsgrad=True), lambda: O.Ftrl(0.01),
    lambda: O.Adam(O.schedules.CosineDecay(0.01, 20)), lambda: O.RMSprop(0.01, centered=True, momentum=0.5),
    lambda: O.AdamW(0.01, use_ema=True, ema_overwrite_frequency=3), lambda: O.Adafactor(0.01), lambda: O.Muon(0.01),
    lambda: O.SGD(0.01, gradient_accumulation_steps=2), lambda: O.LossScaleOptimizer(O.Adam(0.01)),
]  # fmt: skip


class Drawing:
    """Functional models: layers of random kinds on what earlier ones gave, some shared, nested, frozen."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.shared = [L.Dense(3, **self.options()), Counting(**self.options())]
        self.widths = {}  # of what shared layers get
        self.inside = []

    def options(self):
        rng, found = self.rng, {}
        policies = ["mixed_float16", "mixed_bfloat16", "float64", "bfloat16", "float16"]
        if rng.random() < 0.3:
            found["dtype"] = rng.choice(policies)
        if rng.random() < 0.3:
            found["name"] = rng.choice(["é", "名前", "a b", "x.y", "layer", "_a", "1"]) + str(rng.randrange(10**6))
        if rng.random() < 0.15:
            found["trainable"] = False
        return found

    def inner(self, width):
        fitting = [m for m in self.inside if m.input_shape[-1] == width]
        if fitting and self.rng.random() < 0.5:
            return self.rng.choice(fitting)
        kind = self.rng.randrange(3)
        if kind == 0:
            made = keras.Sequential(
                [keras.Input((width,)), L.Dense(4, **self.options()), L.BatchNormalization(), Counting()]
            )
        elif kind == 1:
            a = keras.Input((width,))
            made = keras.Model(a, L.add([L.Dense(3)(a), L.Dense(3, activity_regularizer="l2")(a)]))
        else:
            deeper = keras.Sequential([L.Dense(2), L.Dropout(0.2, seed=5)])
            made = keras.Sequential([keras.Input((width,)), deeper, Block(3)])
        if self.rng.random() < 0.2:
            made.trainable = False
        elif self.rng.random() < 0.2:
            made.layers[0].trainable = False
        self.inside.append(made)
        return made

    def flat(self, x, others):
        width = x.shape[-1]
        shared = self.rng.choice(self.shared)
        other = self.rng.choice(others)
        return [
            lambda: L.Dense(3, "gelu", kernel_regularizer="l2", **self.options())(x),
            lambda: shared(x) if self.widths.setdefault(id(shared), width) == width else L.Dense(2)(x),
            lambda: self.inner(width)(x),
            lambda: L.BatchNormalization(**self.options())(x),
            lambda: L.Concatenate()([x, other]) if other is not x else L.GaussianNoise(0.1, seed=3)(x),
            lambda: x * 2.0 + 1.0,
            lambda: Block(2, **self.options())(x),
            lambda: L.RepeatVector(3)(x),
            lambda: ops.concatenate([ops.relu(x), 1 / (2 + abs(x))], axis=-1),
        ]

    def sequence(self, x, others):
        gru = L.GRU(2, return_sequences=True, recurrent_dropout=0.1, seed=4)
        return [
            lambda: L.LSTM(2, return_sequences=True, **self.options())(x),
            lambda: L.Bidirectional(gru, **self.options())(x),
            lambda: L.MultiHeadAttention(2, 2, dropout=0.1, seed=1, **self.options())(x, x),
            lambda: L.TimeDistributed(self.inner(x.shape[-1]))(x),
            lambda: L.Conv1D(3, 2, padding="causal", **self.options())(x),
            lambda: L.RNN(L.StackedRNNCells([L.GRUCell(2), L.LSTMCell(3)]))(x),
            lambda: L.Masking()(x),
            lambda: L.GRU(3, return_state=True)(x)[1],
        ]

    def image(self, x, others):
        return [
            lambda: L.Conv2D(2, 3, padding="same", activation="relu", **self.options())(x),
            lambda: L.SeparableConv2D(3, 3, padding="same", **self.options())(x),
            lambda: L.BatchNormalization(**self.options())(x),
            lambda: L.GlobalMaxPooling2D()(x),
            lambda: L.SpatialDropout2D(0.2, seed=1)(x),
        ]

    def model(self):
        rng = self.rng
        draw = np.random.default_rng(rng.randrange(2**31))
        inputs, data, pool = [], [], {2: [], 3: [], 4: []}
        for i in range(rng.choice((1, 1, 2, 3))):
            shape = rng.choice(((3,), (None, 2), (4, 3), (8, 8, 1)))
            known = (12, *(size or 5 for size in shape))
            words = len(shape) == 2 and rng.random() < 0.5
            dtype = "int32" if words else None
            inputs.append(keras.Input(shape[:1] if words else shape, dtype=dtype, name=f"入力{i}"))
            x = L.Embedding(7, 3, mask_zero=True, **self.options())(inputs[-1]) if words else inputs[-1]
            data.append(draw.integers(0, 7, known[:2]) if words else draw.normal(size=known).astype("float32"))
            pool[len(x.shape)].append(x)
        for _ in range(rng.randrange(2, 9)):
            rank = rng.choice([r for r in pool if pool[r]])
            kinds = {2: self.flat, 3: self.sequence, 4: self.image}[rank]
            y = rng.choice(kinds(rng.choice(pool[rank]), pool[rank]))()
            pool[len(y.shape)].append(y)
        ends = pool[2][-2:]
        ends += [L.GlobalMaxPooling1D()(x) for x in pool[3][-2:]] + [L.Flatten()(x) for x in pool[4][-1:]]
        x = L.Concatenate()(ends) if len(ends) > 1 else ends[0]
        out = L.Dense(2, name="out", dtype="float32")(x)
        if rng.random() < 0.3:
            given, x = {f"k{i}": x for i, x in enumerate(inputs)}, {f"k{i}": x for i, x in enumerate(data)}
            made, y = keras.Model(given, {"out": out}), {"out": draw.normal(size=(12, 2))}
        else:
            x = data if len(data) > 1 else data[0]
            made, y = keras.Model(inputs if len(data) > 1 else inputs[0], out), draw.normal(size=(12, 2))
        if rng.random() < 0.2:
            rng.choice(made.layers).trainable = False
        made.compile(rng.choice(OPTIMIZERS)(), "mse" if isinstance(x, (list, np.ndarray)) else {"out": "mse"})
        return made, x, y


def bits(arrays):
    return [(a.dtype, a.shape, a.tobytes()) for a in map(np.asarray, arrays)]


def contents(path):
    """Configuration and arrays of a file; names of what has no name of its own differ from model to model."""
    config = b""
    data = path.read_bytes()
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            config, data = archive.read("config.json"), archive.read("model.weights.h5")
    found = []
    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(lambda _, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    return re.sub(rb'"shared_object_id": \d+', b"", config), sorted(map(str, bits(found)))


def drawn_states(model):
    return [v for v in model.non_trainable_variables if "seed" in v.path]


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(n, marks=pytest.mark.slow) for n in range(12, 150))])
@pytest.mark.filterwarnings("ignore")
def test_what_comes_back_is_what_was_saved(tmp_path, seed, ending):
    keras.utils.set_random_seed(seed)
    model, x, y = Drawing(seed).model()
    model.fit(x, y, batch_size=5, shuffle=False, verbose=0)
    model.save(tmp_path / f"a{ending}")
    again = keras.models.load_model(tmp_path / f"a{ending}")
    again.save(tmp_path / f"b{ending}")
    assert contents(tmp_path / f"a{ending}") == contents(tmp_path / f"b{ending}")
    assert [w.trainable for w in model.weights] == [w.trainable for w in again.weights]
    assert bits(v.numpy() for v in model.optimizer.variables) == bits(v.numpy() for v in again.optimizer.variables)
    predicted = [keras.tree.flatten(m.predict(x, verbose=0)) for m in (model, again)]
    assert bits(predicted[0]) == bits(predicted[1])
    for here, there in zip(drawn_states(model), drawn_states(again), strict=True):
        there.assign(here)  # which files do not hold, as with Keras
    losses = [m.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0).history["loss"] for m in (model, again)]
    assert bits([losses[0]]) == bits([losses[1]])
    assert bits(model.get_weights()) == bits(again.get_weights())

"""Whole programs in the manner of beginners' tutorials, as they stand, through `python -m nacre run`; MNIST stands for
real handwriting (NACRE_DATA, or ../shared/data beside the repository)."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

NAME = "mnist_t10k.npz"  # x uint8 (10000, 28, 28), y uint8 (10000,)
ROOT = Path(__file__).parents[2]


# What `mnist.load_data()` gives here: the same forms, from the images that there are.
STAND_IN = """
import numpy
import nacre.datasets.mnist
def load_data(path="mnist.npz"):
    with numpy.load({where!r}) as data:
        x, y = data["x"], data["y"]
    return (x[:6000], y[:6000]), (x[6000:7000], y[6000:7000])
nacre.datasets.mnist.load_data = load_data
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder whose sitecustomize.py makes `mnist.load_data()` work without a network."""
    folders = [os.environ.get("NACRE_DATA"), *(root / "shared" / "data" for root in (ROOT.parent, ROOT.parents[1]))]
    found = [Path(f) / NAME for f in folders if f and (Path(f) / NAME).exists()]
    if not found:
        pytest.skip(f"needs {NAME}: set NACRE_DATA to the folder that holds it")
    folder = tmp_path_factory.mktemp("digits")
    (folder / "sitecustomize.py").write_text(STAND_IN.format(where=str(found[0])))
    return str(folder)


def run(text, folder, *paths):
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    env = {**os.environ, "COLUMNS": "100", "MPLBACKEND": "agg"}
    env["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [env.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "nacre", "run", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_an_image_classifier_from_data_to_pictures_of_its_training(digits, tmp_path):
    out = run(
        """
        import numpy as np
        import matplotlib.pyplot as plt
        import keras
        from keras.datasets import mnist
        from keras.models import Sequential
        from keras.layers import Dense, Flatten
        from tensorflow.keras.utils import plot_model

        (X_train_full, y_train_full), (X_test, y_test) = mnist.load_data()
        X_valid, X_train = X_train_full[:1000] / 255.0, X_train_full[1000:] / 255.0
        y_valid, y_train = y_train_full[:1000], y_train_full[1000:]
        X_test = X_test / 255.0

        model = Sequential()
        model.add(Flatten(input_shape=[28, 28]))
        model.add(Dense(256, activation="relu"))
        model.add(Dense(128, activation="relu"))
        model.add(Dense(10, activation="softmax"))
        never_added = Dense(7)
        model.summary()
        plot_model(model, to_file="model_plot.png", show_shapes=True, show_layer_names=True)
        model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
        history = model.fit(X_train, y_train, epochs=3, validation_data=(X_valid, y_valid))
        print(list(history.history), history.params, history.epoch)
        for name, values in history.history.items():
            plt.plot(history.epoch, values, label=name)
        plt.legend()
        plt.grid(True)
        plt.gca().set_ylim(0, 1)
        plt.savefig("history.png")
        loss, accuracy = model.evaluate(X_test, y_test)
        assert accuracy > 0.7, accuracy
        X_new = X_test[:3]
        y_proba = model.predict(X_new)
        print(y_proba.round(2).shape, np.argmax(y_proba, axis=1) == y_test[:3])
        model.save("m.keras")
        again = keras.models.load_model("m.keras")
        assert np.allclose(again.predict(X_new, verbose=0), y_proba, atol=1e-6)
        weights, biases = model.layers[1].get_weights()
        print(weights.shape, biases.shape, model.get_layer("dense").name)
        """,
        tmp_path,
        digits,
    )
    for text in ("235,146", "200,960", "32,896", "1,290", "flatten (Flatten)", "dense (Dense)", "dense_2 (Dense)"):
        assert text in out
    assert "['accuracy', 'loss', 'val_accuracy', 'val_loss']" in out and "Epoch 3/3" in out and "157/157" in out
    assert "(784, 256) (256,) dense" in out
    for name in ("model_plot.png", "history.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"


def test_a_history_becomes_a_frame_of_pandas(tmp_path):
    pytest.importorskip("pandas", reason="needs pandas: pip install pandas")
    out = run(
        """
        import numpy as np, pandas as pd, matplotlib.pyplot as plt
        from keras.models import Sequential
        from keras.layers import Dense
        frame = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40) % 3, "label": np.arange(40) % 2})
        model = Sequential([Dense(4, input_shape=(2,)), Dense(1)])
        model.compile("sgd", "mse", metrics=["mae"])
        history = model.fit(frame[["a", "b"]] / 40, frame["label"], epochs=2, validation_split=0.25, verbose=0)
        table = pd.DataFrame(history.history)
        table.plot(figsize=(8, 5))
        plt.gca().set_ylim(0, 1)
        print(list(table.columns), table.shape, set(map(str, table.dtypes)), model.predict(frame[["a", "b"]]).shape)
        """,
        tmp_path,
    )
    assert "['loss', 'mae', 'val_loss', 'val_mae'] (2, 4) {'float64'} (40, 1)" in out


def test_a_wide_network_joins_its_input_to_what_it_made_of_it(digits, tmp_path):
    out = run(
        """
        from tensorflow import keras
        from keras.datasets import mnist
        (x_train, y_train), (x_test, y_test) = mnist.load_data()
        x_train, x_test = x_train / 255.0, x_test / 255.0
        input_ = keras.layers.Input(shape=[28, 28])
        flatten = keras.layers.Flatten(input_shape=[28, 28])(input_)
        hidden1 = keras.layers.Dense(2**14, activation="relu")(flatten)
        hidden2 = keras.layers.Dense(512, activation="relu")(hidden1)
        hidden3 = keras.layers.Dense(28 * 28, activation="relu")(hidden2)
        reshap = keras.layers.Reshape((28, 28))(hidden3)
        concat_ = keras.layers.Concatenate()([input_, reshap])
        flatten2 = keras.layers.Flatten(input_shape=[28, 28])(concat_)
        output = keras.layers.Dense(10, activation="softmax")(flatten2)
        model = keras.Model(inputs=[input_], outputs=[output])
        model.summary()
        keras.utils.plot_model(model, to_file="wide.png", show_shapes=True, show_layer_names=True)
        model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
        history = model.fit(x_train[:320], y_train[:320], epochs=1, validation_data=(x_test[:64], y_test[:64]))
        print(concat_.shape, model.count_params())
        """,
        tmp_path,
        digits,
    )
    assert "(None, 28, 56) 21668442" in out
    for text in ("21,668,442", "12,861,440", "8,389,120", "402,192", "15,690", "Connected to", "reshape[0][0]"):
        assert text in out


def test_the_same_network_in_three_styles(digits, tmp_path):
    out = run(
        """
        import numpy as np
        import tensorflow as tf
        from tensorflow import keras
        from tensorflow.keras import layers, Model, Input
        from tensorflow.keras.utils import plot_model
        (x_train, y_train), _ = keras.datasets.mnist.load_data()
        x_train = x_train[:640, ..., None].astype("float32") / 255

        seq = keras.Sequential([
            layers.Input(shape=(28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ])
        x = tf.random.normal((1, 28, 28, 1))
        output = seq(x)
        print(output.shape)

        input_img = Input(shape=(28, 28, 1), name="image_input")
        input_txt = keras.Input(shape=(100,), name="text_input")
        h = layers.Conv2D(32, (3, 3), activation="relu")(input_img)
        h = layers.MaxPooling2D((2, 2))(h)
        h = layers.Flatten()(h)
        dense_txt = layers.Dense(64, activation="relu")(input_txt)
        joined = layers.concatenate([h, dense_txt])
        two = keras.Model(inputs=[input_img, input_txt], outputs=layers.Dense(10, activation="softmax")(joined))
        print(two([x, tf.random.normal((1, 100))]).shape)
        plot_model(two, to_file="two.png", show_shapes=True)

        class MyModel(keras.Model):
            def __init__(self, num_classes=10, depth=2, use_dp=True, use_bn=True):
                super(MyModel, self).__init__(name="mlp")
                self.use_dp = use_dp
                self.use_bn = use_bn
                self.flatten = layers.Flatten()
                self.blocks = []
                for i in range(depth):
                    self.blocks.append(layers.Dense(32, activation="relu"))
                self.dense = layers.Dense(num_classes, activation="softmax")
                if self.use_dp:
                    self.dp = layers.Dropout(0.5)
                if self.use_bn:
                    self.bn = layers.BatchNormalization(axis=-1)

            def call(self, inputs):
                x = self.flatten(inputs)
                if x.shape[-1] > 100:
                    for block in self.blocks:
                        x = block(x)
                if self.use_dp:
                    x = self.dp(x)
                if self.use_bn:
                    x = self.bn(x)
                return self.dense(x)

        sub = MyModel()
        sub.build(input_shape=tf.TensorShape((None, 28, 28, 1)))
        sub.summary()
        first, second = sub(x), sub(x)
        assert np.array_equal(first, second)  # dropout and normalization know that nothing is trained
        for model in (seq, sub):
            model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
            history = model.fit(x_train, y_train[:640], epochs=2, verbose=2, validation_split=0.1)
            assert sorted(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
            print(model.evaluate(x_train, y_train[:640], verbose=0).__len__(), model.predict(x_train[:5]).shape)
        sub.save("sub.keras")
        loaded = keras.models.load_model("sub.keras", custom_objects={"MyModel": MyModel})
        assert np.array_equal(loaded(x), sub(x))
        """,
        tmp_path,
        digits,
    )
    assert out.count("(1, 10)") == 2 and out.count("(5, 10)") == 2 and "26,634" in out
    assert re.search(r"dense\w* \(Dense\) +│ \(None, 32\)", out)


def test_layers_come_and_go_in_a_sequential_model(tmp_path):
    out = run(
        """
        from keras.models import Sequential
        from keras.layers import Dense, Input, Dropout, BatchNormalization
        model = Sequential(name="Specify name here")
        model.add(Dense(256, activation="relu"))
        model.add(Dense(10, activation="softmax"))
        model.summary()
        listed = Sequential([Input(shape=(784,)), Dense(256, activation="relu"), Dense(10, activation="softmax")])
        added = Sequential()
        added.add(Input((784,)))
        added.add(Dense(256, activation="relu"))
        added.add(Dense(10, activation="softmax"))
        assert [w.shape for w in listed.weights] == [w.shape for w in added.weights]
        kept = added.layers[0].get_weights()
        added.pop()
        print(len(added.layers), added.output_shape)
        assert (added.layers[0].get_weights()[0] == kept[0]).all()
        added.pop()
        print(len(added.layers))
        old = Sequential()
        old.add(Dense(2, input_dim=1))
        old.add(Dense(1))
        print(old.count_params(), old.input_shape)
        old = Sequential([Dense(32, input_shape=(8,)), BatchNormalization(), Dropout(0.5), Dense(1)])
        print(old.count_params(), old.input_shape)
        """,
        tmp_path,
    )
    assert "Specify name here" in out and out.count("0 (unbuilt)") == 2 and "│ ?" in out
    assert "1 (None, 256)" in out and "\n7 (None, 1)" in out and "\n449 (None, 8)" in out


def test_graphs_of_layers_that_share_join_and_branch(tmp_path):
    out = run(
        """
        import numpy as np
        from keras.models import Model, Sequential
        from keras.layers import (Input, Dense, Embedding, Flatten, LSTM, Add, Conv2D, Activation, Lambda, concatenate,
                                  GlobalAveragePooling2D)
        from keras import backend as K
        rng = np.random.default_rng(0)

        visible = Input(shape=(2,))
        hidden = Dense(2)(visible)
        print(Model(inputs=visible, outputs=hidden).output_shape, Dense(2)(Input(shape=(2, 3))))
        positional = Model(visible, hidden, "third")
        print(positional.name)

        x = Input(shape=(20, 20, 3))
        image = x
        x = Conv2D(8, 3, activation="relu")(x)
        x = GlobalAveragePooling2D()(x)
        color = Dense(3, activation="softmax", name="color")(x)
        gender = Dense(1, activation="sigmoid", name="gender")(x)
        heads = Model(inputs=image, outputs=[color, gender])
        for loss, metrics in (
            (["sparse_categorical_crossentropy", "binary_crossentropy"], [["accuracy"], ["accuracy"]]),
            ({"color": "sparse_categorical_crossentropy", "gender": "binary_crossentropy"},
             {"color": "accuracy", "gender": ["accuracy"]}),
        ):
            heads.compile("adam", loss, metrics=metrics, loss_weights=[1.0, 0.5])
            y = [rng.integers(0, 3, 16), rng.integers(0, 2, 16)]
            print(sorted(heads.fit(rng.random((16, 20, 20, 3)), y, verbose=0).history))
            print(len(heads.evaluate(rng.random((16, 20, 20, 3)), y, verbose=0)))

        tower = Sequential([Input((4,)), Dense(8, activation="relu"), Dense(2)], name="tower")
        left, right = Input((4,)), Input((4,))
        distance = Lambda(lambda t: K.sum(K.square(t[0] - t[1]), axis=1, keepdims=True))([tower(left), tower(right)])
        siamese = Model([left, right], distance)
        siamese.compile(optimizer="rmsprop", loss="mse")
        siamese.fit([rng.random((8, 4)), rng.random((8, 4))], rng.random(8), verbose=0)
        print(siamese.count_params(), siamese.output_shape)

        words = Input(shape=(None,), dtype="int32")
        table = rng.random((50, 6)).astype("float32")
        fixed = Embedding(50, 6, weights=[table], trainable=False)(words)
        learned = Embedding(50, 6, input_length=7)(words)
        text = Model(words, Dense(1, activation="sigmoid")(LSTM(5)(concatenate([fixed, learned]))))
        text.compile("adam", "binary_crossentropy", metrics=["acc"])
        tokens = rng.integers(0, 50, (12, 7))
        print(list(text.fit(tokens, rng.integers(0, 2, 12), verbose=0).history), text.layers[1].count_params())
        assert (text.layers[1].get_weights()[0] == table).all() or (text.layers[2].get_weights()[0] == table).all()

        a = b = Input((8, 8, 4))
        for _ in range(3):
            b = Activation("relu")(Add()([b, Conv2D(4, 3, padding="same")(b)]))
        residual = Model(a, b)
        print(residual.output_shape, len(residual.layers), residual(np.zeros((1, 8, 8, 4))).shape)
        """,
        tmp_path,
    )
    assert "(None, 2) <KerasTensor shape=(None, 2, 2), dtype=float32" in out and "\nthird\n" in out
    assert out.count("['color_accuracy', 'color_loss', 'gender_accuracy', 'gender_loss', 'loss']\n5\n") == 2
    assert "58 (None, 1)" in out and "['acc', 'loss'] 300" in out
    assert "(None, 8, 8, 4) 10 (1, 8, 8, 4)" in out

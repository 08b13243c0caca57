"""The forms in which tutorials write Keras, run as scripts by `python -m nacre run`."""

import subprocess
import sys
import textwrap

import pytest

SCRIPTS = {
    "sequential": """
        from keras.models import Sequential
        from keras.layers import Dense, Dropout, Flatten, Input
        from tensorflow.keras import layers
        import numpy as np
        model = Sequential(name='Specify name here')
        model.add(Dense(256, activation='relu'))
        model.add(Dense(10))
        model.summary()
        assert model.built is False
        model = Sequential([Flatten(input_shape=[28, 28]), Dense(256, activation='relu'), Dense(128, activation='relu'),
                            Dense(10, activation='softmax')])
        assert model.count_params() == 235146
        assert [l.name for l in model.layers][0] == 'flatten'
        model.pop(); model.pop()
        assert model.output_shape == (None, 256)
        model = Sequential()
        model.add(Dense(2, input_dim=1))
        model.add(Dense(32, input_shape=(8,)) if False else Dense(1))
        assert model.output_shape == (None, 1)
        model = Sequential([layers.Input(shape=(28, 28, 1)), layers.Conv2D(32, (3, 3), activation='relu'),
                            layers.MaxPooling2D((2, 2)), layers.Flatten(), layers.Dense(10, activation='softmax')])
        output = model(np.zeros((1, 28, 28, 1)))
        print(output.shape)
    """,
    "functional": """
        from tensorflow import keras
        from tensorflow.keras import layers, Model, Input
        import numpy as np
        visible = Input((2, 3))
        print(layers.Dense(2)(visible))
        model = Model(visible, layers.Dense(2)(visible), 'third positional')
        assert model.name == 'third positional' and model.output_shape == (None, 2, 2)
        input_ = keras.layers.Input(shape=[28, 28])
        flatten = keras.layers.Flatten(input_shape=[28, 28])(input_)
        hidden = keras.layers.Dense(2**6, activation='relu')(flatten)
        hidden = keras.layers.Dense(28 * 28, activation='relu')(hidden)
        reshap = keras.layers.Reshape((28, 28))(hidden)
        concat = keras.layers.Concatenate()([input_, reshap])
        output = keras.layers.Dense(10, activation='softmax')(keras.layers.Flatten()(concat))
        model = keras.Model(inputs=[input_], outputs=[output])
        assert concat.shape == (None, 28, 56)
        img, txt = keras.Input((28, 28, 1), name='image_input'), keras.Input((5,), name='text_input')
        joined = layers.concatenate([layers.Flatten()(layers.Conv2D(2, 3)(img)), layers.Dense(4)(txt)])
        x = layers.Dense(8)(joined)
        color, gender = layers.Dense(3, name='color')(x), layers.Dense(1, name='gender')(x)
        two = keras.Model(inputs=[img, txt], outputs=[color, gender])
        a, b = two([np.zeros((2, 28, 28, 1)), np.zeros((2, 5))])
        assert a.shape == (2, 3) and b.shape == (2, 1)
        two.compile(optimizer='adam', loss={'color': 'mse', 'gender': 'mae'}, metrics={'color': ['mae']})
        h = two.fit([np.zeros((4, 28, 28, 1)), np.zeros((4, 5))], [np.zeros((4, 3)), np.zeros((4, 1))], verbose=0)
        assert {'loss', 'color_loss', 'gender_loss', 'color_mae'} <= set(h.history)
    """,
    "subclassed": """
        import tensorflow as tf
        from tensorflow import keras
        from tensorflow.keras import layers
        class M(keras.Model):
            def __init__(self, num_classes=10, use_dp=False, use_bn=False):
                super(M, self).__init__(name='mlp')
                self.use_bn, self.use_dp = use_bn, use_dp
                self.flatten = layers.Flatten()
                self.dense = layers.Dense(32, activation='relu')
                self.out = layers.Dense(num_classes, activation='softmax')
                if self.use_dp:
                    self.dp = layers.Dropout(0.5)
                if self.use_bn:
                    self.bn = layers.BatchNormalization(axis=-1)
            def call(self, inputs):
                x = self.dense(self.flatten(inputs))
                if self.use_dp:
                    x = self.dp(x)
                if self.use_bn:
                    x = self.bn(x)
                return self.out(x)
        model = M(use_dp=True, use_bn=True)
        model.build(input_shape=tf.TensorShape((None, 28, 28, 1)))
        model.summary()
        assert model.count_params() == 784 * 32 + 32 + 4 * 32 + 32 * 10 + 10
        print(model(tf.random.normal((1, 28, 28, 1))).shape)
        model.compile(loss='sparse_categorical_crossentropy', optimizer='sgd', metrics=['accuracy'])
        model.save('m.keras')
        again = keras.models.load_model('m.keras', custom_objects={'M': M})
    """,
    "training": """
        import numpy as np
        from keras.models import Sequential
        from keras.layers import Dense, Flatten, LeakyReLU, Embedding, LSTM
        from keras.optimizers import SGD, Adam
        from keras.utils import to_categorical, plot_model
        from keras.callbacks import EarlyStopping, ModelCheckpoint
        rng = np.random.default_rng(0)
        X_train, y_train = rng.integers(0, 256, (200, 28, 28)) / 255.0, rng.integers(0, 10, 200).astype('uint8')
        model = Sequential([Flatten(input_shape=[28, 28]), Dense(32), LeakyReLU(alpha=0.1), Dense(10, activation='softmax')])
        model.compile(loss='sparse_categorical_crossentropy', optimizer=SGD(lr=0.01), metrics=['accuracy'])
        history = model.fit(X_train, y_train, epochs=2, validation_split=0.2, batch_size=32)
        assert list(history.history) == ['accuracy', 'loss', 'val_accuracy', 'val_loss']
        assert all(type(v) is float for vs in history.history.values() for v in vs)
        print(model.evaluate(X_train, y_train, verbose=0), model.predict(X_train[:3]).shape)
        stop = [EarlyStopping(patience=1), ModelCheckpoint('best.keras', save_best_only=True)]
        model.fit(X_train, y_train, epochs=2, validation_data=(X_train, y_train), callbacks=stop, verbose=2)
        model.save('m.keras')
        text = Sequential([Embedding(100, 8, input_length=10), LSTM(4), Dense(1, activation='sigmoid')])
        text.compile('rmsprop', 'binary_crossentropy', metrics=['acc'])
        h = text.fit(rng.integers(0, 100, (64, 10)), rng.integers(0, 2, 64), epochs=1, verbose=0)
        assert 'acc' in h.history
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_forms_of_tutorials_run_as_they_stand(name, tmp_path):
    path = tmp_path / f"{name}.py"
    path.write_text(textwrap.dedent(SCRIPTS[name]))
    done = subprocess.run(
        [sys.executable, "-m", "nacre", "run", str(path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]

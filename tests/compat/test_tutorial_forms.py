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
    "reinforcement": """
        import numpy as np
        import tensorflow as tf
        import keras
        from keras import layers, ops
        inputs = layers.Input(shape=(4,))
        common = layers.Dense(8, activation="relu")(inputs)
        model = keras.Model(inputs, [layers.Dense(2, activation="softmax")(common), layers.Dense(1)(common)])
        optimizer, huber = keras.optimizers.Adam(learning_rate=0.01), keras.losses.Huber()
        rng = np.random.default_rng(0)
        before = model.get_weights()
        with tf.GradientTape() as tape:
            log_probs, values, losses = [], [], []
            for _ in range(5):
                state = ops.expand_dims(ops.convert_to_tensor(rng.normal(size=4)), 0)
                action_probs, value = model(state)
                p = np.squeeze(action_probs).astype("float64")
                log_probs.append(ops.log(action_probs[0, rng.choice(2, p=p / p.sum())]))
                values.append(value[0, 0])
            for log_prob, value, ret in zip(log_probs, values, rng.normal(size=5).tolist()):
                losses.append(-log_prob * (ret - value))
                losses.append(huber(ops.expand_dims(value, 0), ops.expand_dims(ret, 0)))
            loss = sum(losses)
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
        assert all((a != b).any() for a, b in zip(before, model.get_weights()))

        @tf.function
        def update(states, actions, old, advantages):
            with tf.GradientTape() as tape:
                log = ops.log(ops.sum(ops.one_hot(actions, 2) * model(states)[0], axis=1))
                ratio = ops.exp(log - old)
                bound = ops.where(advantages > 0, 1.2 * advantages, 0.8 * advantages)
                loss = -ops.mean(ops.minimum(ratio * advantages, bound))
            weights = model.trainable_variables[:4]
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
            return loss
        optimizer = keras.optimizers.Adam(0.01)
        for _ in range(3):
            out = update(np.ones((6, 4), "float32"), np.arange(6) % 2, np.zeros(6, "float32"), np.ones(6, "float32"))
        assert np.isfinite(float(out))
    """,
    "generative": """
        import numpy as np
        import tensorflow as tf
        from tensorflow import keras
        from tensorflow.keras import layers
        net = lambda n: keras.Sequential([layers.Input((n,)), layers.Dense(8, activation="swish"), layers.Dense(4)])
        class Diffusion(keras.Model):
            def __init__(self, network):
                super().__init__()
                self.normalizer = layers.Normalization()
                self.network, self.ema_network = network, keras.models.clone_model(network)
            def compile(self, **kwargs):
                super().compile(**kwargs)
                self.noise_loss = keras.metrics.Mean(name="n_loss")
            @property
            def metrics(self):
                return [self.noise_loss]
            def train_step(self, x):
                x = self.normalizer(x, training=True)
                noise = tf.random.normal(tf.shape(x))
                t = tf.random.uniform((tf.shape(x)[0], 1), 0.0, 1.0)
                with tf.GradientTape() as tape:
                    loss = self.loss(noise, self.network(tf.cos(t) * x + tf.sin(t) * noise, training=True))
                gradients = tape.gradient(loss, self.network.trainable_weights)
                self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights))
                for w, e in zip(self.network.weights, self.ema_network.weights):
                    e.assign(0.5 * e + 0.5 * w)
                self.noise_loss.update_state(loss)
                return {m.name: m.result() for m in self.metrics}
        data = tf.data.Dataset.from_tensor_slices(np.random.normal(size=(16, 4)).astype("float32")).batch(4)
        model = Diffusion(net(4))
        model.normalizer.adapt(data)
        model.compile(optimizer=keras.optimizers.AdamW(1e-3), loss=keras.losses.mean_absolute_error)
        before = model.ema_network.get_weights()
        history = model.fit(data, epochs=2, verbose=0).history
        assert list(history) == ["n_loss"] and (before[0] != model.ema_network.get_weights()[0]).any()
        class WGAN(keras.Model):
            def __init__(self, discriminator, generator):
                super().__init__()
                self.discriminator, self.generator = discriminator, generator
            def compile(self, d_optimizer, g_optimizer):
                super().compile()
                self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            def train_step(self, real):
                for _ in range(2):
                    with tf.GradientTape() as tape:
                        fake = self.generator(tf.random.normal((tf.shape(real)[0], 3)), training=True)
                        between = real + 0.5 * (fake - real)
                        with tf.GradientTape() as inner:
                            inner.watch(between)
                            score = self.discriminator(between, training=True)
                        norm = tf.sqrt(tf.reduce_sum(tf.square(inner.gradient(score, [between])[0]), axis=[1]))
                        d_loss = tf.reduce_mean(self.discriminator(fake)) - tf.reduce_mean(self.discriminator(real))
                        d_loss += 10.0 * tf.reduce_mean((norm - 1.0) ** 2)
                    weights = self.discriminator.trainable_variables
                    self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights))
                with tf.GradientTape() as tape:
                    g_loss = -tf.reduce_mean(self.discriminator(self.generator(tf.random.normal((4, 3)))))
                weights = self.generator.trainable_variables
                self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights))
                return {"d_loss": d_loss, "g_loss": g_loss}
        gan = WGAN(net(4), net(3))
        gan.compile(keras.optimizers.Adam(2e-4, beta_1=0.5), keras.optimizers.Adam(2e-4, beta_1=0.5))
        assert sorted(gan.fit(data, epochs=1, verbose=0).history) == ["d_loss", "g_loss"]
    """,
    "parts of models": """
        import numpy as np
        import keras
        from keras import layers, ops
        x = keras.Input((8,))
        chain = keras.Sequential([layers.Dense(6), layers.Dense(6)], name="ffn")
        y = keras.activations.softmax(keras.activations.relu(chain(x) + layers.Dense(6)(x)))
        model = keras.Model(x, y)
        assert keras.Model(model.input, model.get_layer("ffn").output).output_shape == (None, 6)
        model.save("m.keras")
        data = np.ones((2, 8), "float32")
        assert np.allclose(keras.models.load_model("m.keras")(data), model(data))
        class Distiller(keras.Model):
            def __init__(self, student, teacher):
                super().__init__()
                self.student, self.teacher = student, teacher
                self.teacher.trainable = False
            def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1):
                super().compile(optimizer=optimizer, metrics=metrics)
                self.student_loss_fn, self.distillation_loss_fn = student_loss_fn, distillation_loss_fn
                self.alpha = alpha
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
                soft = self.distillation_loss_fn(ops.softmax(self.teacher(x, training=False)), ops.softmax(y_pred))
                return self.alpha * self.student_loss_fn(y, y_pred) + (1 - self.alpha) * soft
            def call(self, x):
                return self.student(x)
        student = keras.Sequential([layers.Dense(6)])
        distiller = Distiller(student, model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        distiller.compile("adam", ["accuracy"], student_loss_fn=loss, distillation_loss_fn=keras.losses.KLDivergence())
        teacher = model.get_weights()
        history = distiller.fit(np.ones((8, 8)), np.arange(8) % 6, verbose=0).history
        assert list(history) == ["accuracy", "loss"]
        assert all((a == b).all() for a, b in zip(teacher, model.get_weights()))
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

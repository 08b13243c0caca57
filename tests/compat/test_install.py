"""`import keras` finds nacre: each case runs in a process of its own."""

import subprocess
import sys
import textwrap

import pytest


def run(code, *, tensorflow=True):
    start = f"import nacre\nnacre.install_as_keras(tensorflow={tensorflow})\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", start + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "from keras.models import Sequential, Model",
        "from keras.layers import Dense, Input, Dropout, BatchNormalization",
        "from keras.datasets import mnist",
        "from tensorflow import keras",
        "from tensorflow.keras import layers, Model, Input",
        "from tensorflow.keras.utils import plot_model",
        "from tensorflow.keras.preprocessing.image import ImageDataGenerator, load_img, img_to_array",
        "from keras.preprocessing.text import Tokenizer",
        "from keras.preprocessing.sequence import pad_sequences",
        "from keras.utils.np_utils import to_categorical",
        "from keras._tf_keras.keras.preprocessing.image import ImageDataGenerator",
        "import keras._tf_keras.keras as k, keras.api._v2.keras.layers as l; assert k is nacre and l is nacre.layers",
        "from keras.layers.core import Dense, Flatten",
        "from keras.layers.convolutional import Conv2D, MaxPooling2D",
        "from keras.layers.experimental.preprocessing import Rescaling",
        "from keras.optimizers.schedules import ExponentialDecay",
        "from keras import backend as K, ops",
        "import keras.layers, tensorflow.data, tensorflow as tf; tf.random.normal, tf.nn.relu, tf.math.log",
    ],
)
def test_imports_of_tutorials_work(statement):
    run(statement)


def test_modules_are_nacres_own():
    out = run(
        """
        import keras, keras.layers, tensorflow.keras.layers as l
        print(keras is nacre, keras.layers is nacre.layers, l is nacre.layers, nacre.layers.__spec__.name)
        """
    )
    assert out.split() == ["True", "True", "True", "nacre.layers"]


def test_there_is_one_of_each_class_under_any_name():
    out = run(
        """
        import importlib, keras, tensorflow as tf
        from keras.src.layers import Layer
        from keras.src.layers.core.dense import Dense
        from keras.src.models.functional import Functional
        from keras.src.backend.config import backend
        from keras.src import initializers
        from tensorflow.python.keras.layers import Layer as Another
        same = initializers.Zeros is keras.initializers.Zeros
        print(Layer is keras.layers.Layer is Another, Dense is keras.layers.Dense, same)
        for name in "keras.layers.nothing", "keras.src.nothing.layers":
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                print(error, error.name)
        """
    )
    assert out.splitlines() == [
        "True True True",
        "No module named 'keras.layers.nothing' keras.layers.nothing",
        "No module named 'keras.src.nothing' keras.src.nothing",
    ]


def test_cells_of_ones_own_share_the_dropout_of_a_sequence():
    out = run(
        """
        import keras, numpy as np
        from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

        class Cell(DropoutRNNCell, keras.layers.Layer):
            state_size, dropout, recurrent_dropout = 4, 0.5, 0.0

            def __init__(self):
                super().__init__()
                self.seed_generator = keras.random.SeedGenerator(1)

            def call(self, x, states, training=False):
                x = x * self.get_dropout_mask(x) if training else x
                assert self.get_recurrent_dropout_mask(states[0]) is None
                return x, [x]

        layer = keras.layers.RNN(Cell(), return_sequences=True)
        x = np.ones((8, 3, 4), "float32")
        first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
        print(np.ptp(first, axis=1).max(), sorted(set(first.ravel())), (first != second).any())
        """
    )
    assert out.strip() == "0.0 [np.float32(0.0), np.float32(2.0)] True"


def test_libraries_around_keras_find_what_they_take_from_inside():
    run(
        """
        import keras
        from keras.src import saving
        from keras.src.backend import KerasTensor, get_keras_mask, standardize_dtype, any_symbolic_tensors
        from keras.src.backend.common.keras_tensor import KerasTensor as Same
        from keras.src.activations import get, relu
        from keras.src.ops.operation import Operation
        from keras.src.losses.losses import LossFunctionWrapper
        from keras.src.saving import serialization_lib
        from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights
        from keras.src.utils.backend_utils import in_grain_data_pipeline
        from keras.src.backend.common.symbolic_scope import in_symbolic_scope
        from keras.src.layers.attention.multi_head_attention import MultiHeadAttention
        from keras.src.layers.convolutional.base_conv import BaseConv
        from keras.src.utils import naming
        from keras.src.utils.argument_validation import standardize_padding, standardize_tuple
        from keras.src import backend
        from keras.src.models import Functional
        from keras.src.api_export import keras_export
        from keras.src.utils.traceback_utils import filter_traceback
        assert isinstance(keras.Model(*[keras.Input((2,))] * 2), Functional) and keras_export("a.B")(3) == 3
        assert not backend.in_stateless_scope() and backend.is_float_dtype("float64")
        assert MultiHeadAttention is keras.layers.MultiHeadAttention and issubclass(keras.layers.Conv2D, BaseConv)
        assert backend.KerasTensor is keras.KerasTensor and backend.floatx() == backend.config.floatx() == "float32"
        assert naming.to_snake_case("BigName") == "big_name"
        assert backend.standardize_data_format(None) == "channels_last"
        assert standardize_tuple(2, 3, "n") == standardize_tuple([2, 2, 2], 3, "n") == (2, 2, 2)
        assert standardize_padding("SAME") == "same"
        from keras.src.applications.imagenet_utils import correct_pad, obtain_input_shape
        assert obtain_input_shape(None, 224, 32, "channels_last", True) == (224, 224, 3)
        assert obtain_input_shape(None, 224, 32, "channels_first", False) == (3, None, None)
        assert correct_pad(keras.Input((8, 7, 3)), 3) == ((0, 1), (1, 1))
        from keras.src.utils.module_utils import LazyModule, tensorflow, torch
        there, missing = LazyModule("colorsys"), LazyModule("no_such_module", pip_name="such")
        assert there.available and there.rgb_to_hsv(0, 0, 0) == (0, 0, 0) and not missing.available
        assert tensorflow.constant(3).shape == () and isinstance(torch, LazyModule)
        try:
            missing.anything
        except ImportError as error:
            assert "pip install such" in str(error)
        else:
            raise AssertionError
        for wrong in (0, (1, 2, 3), "ab"):
            try:
                standardize_tuple(wrong, 2, "size")
            except ValueError as error:
                assert "size" in str(error)
            else:
                raise AssertionError(wrong)
        try:
            from keras.src.utils import nothing_of_the_kind
        except ImportError as error:
            assert "nothing_of_the_kind" in str(error)
        assert not in_symbolic_scope()
        with keras.SymbolicScope():
            assert in_symbolic_scope()
        assert keras.src.utils.tracking.no_automatic_dependency_tracking(len) is len
        assert KerasTensor is keras.KerasTensor is Same and get("relu") is relu
        assert Operation is keras.Operation and not in_grain_data_pipeline()
        x = keras.Input((2,))
        assert any_symbolic_tensors((x,)) and get_keras_mask(x) is None and issubclass(LossFunctionWrapper, keras.Loss)
        made = serialization_lib.deserialize_keras_object("relu", module_objects={"relu": keras.layers.ReLU})
        assert isinstance(made, keras.layers.ReLU)
        """
    )


def test_the_engine_is_the_one_whose_names_a_program_will_use():
    asks = (
        "import os, keras; os.environ['KERAS_BACKEND'] = '{}'; print(keras.backend.backend(), keras.config.backend())"
    )
    assert run(asks.format("torch")).split() == run("import keras; print(keras.config.backend(), 'tensorflow')").split()
    assert run(asks.format("jax")).split() == ["tensorflow"] * 2
    assert run("nacre.install_as_keras(jax=True)\n" + asks.format("jax")).split() == ["jax"] * 2
    assert run(asks.format("jax"), tensorflow=False).split() == ["nacre"] * 2


def test_the_version_is_that_of_the_keras_whose_api_it_is():
    out = run("import keras, tensorflow as tf; print(keras.__version__, tf.keras.version())")
    assert [v.split(".")[0] for v in out.split()] == ["3", "3"]


def test_tensorflow_is_only_there_when_asked_for():
    run(
        """
        import importlib.util
        import keras
        assert "nacre" in keras.__name__
        spec = importlib.util.find_spec("tensorflow")
        assert spec is None or "nacre" not in type(spec.loader).__module__
        """,
        tensorflow=False,
    )


def test_the_real_library_is_not_replaced_behind_its_back():
    run(
        """
        import sys, types
        sys.modules["keras"] = types.ModuleType("keras")
        try:
            nacre.install_as_keras()
        except ImportError as error:
            assert "has been imported already" in str(error)
        else:
            raise AssertionError
        """,
        tensorflow=False,
    )


def test_names_around_keras():
    run(
        """
        import numpy as np, tensorflow as tf
        x = tf.Variable(3.0)
        with tf.GradientTape() as tape:
            y = x * x
        assert float(tape.gradient(y, x)) == 6
        assert tf.constant([[1, 2], [3, 4]]).shape == (2, 2) and tf.TensorShape([None, 3]).as_list() == [None, 3]
        assert np.allclose(tf.reduce_mean(tf.cast([1, 2, 3], tf.float32)), 2)
        assert tf.concat([tf.ones((1, 2)), tf.zeros((1, 2))], 0).shape == (2, 2)
        assert tf.config.list_physical_devices("GPU") == []
        tf.random.set_seed(1)
        a = tf.random.normal((3,))
        tf.random.set_seed(1)
        assert (np.asarray(a) == np.asarray(tf.random.normal((3,)))).all()
        @tf.function
        def double(x):
            return 2 * x
        assert float(double(tf.constant(2.0))) == 4
        """
    )


def test_values_as_programs_for_tensorflow_print_and_change_them():
    run(
        """
        import tensorflow as tf
        loss = tf.reduce_mean(tf.constant([1.0, 2.0]))
        assert f"{loss.numpy():.2f} {loss:.1f}" == "1.50 1.5"
        v = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
        v[0, 1].assign(42.0)
        v[:, 0].assign([0.0, 1.0])
        v.scatter_nd_update(indices=[[1, 1]], updates=[7.0])
        assert v.numpy().tolist() == [[0.0, 42.0], [1.0, 7.0]]
        with tf.GradientTape() as tape:
            y = tf.add_n([v[0, 0], tf.reduce_sum(v)])
        assert tape.gradient(y, v).numpy().tolist() == [[2.0, 1.0], [1.0, 1.0]]
        values, index = tf.unique([3, 3, 1])
        assert values.numpy().tolist() == [3, 1] and index.numpy().tolist() == [0, 0, 1]
        clipped, norm = tf.clip_by_global_norm([tf.constant([3.0, 4.0]), None], 1.0)
        assert abs(norm.numpy() - 5) < 1e-6 and clipped[1] is None and abs(clipped[0].numpy()[0] - 0.6) < 1e-6
        assert tf.math.top_k([1, 3, 2], k=2).values.numpy().tolist() == [3, 2]
        assert tf.math.confusion_matrix([0, 1, 1], [0, 1, 0]).numpy().tolist() == [[1, 0], [1, 1]]
        assert tf.shape(v).numpy().tolist() == [2, 2] and int(tf.size(v)) == 4 and tf.executing_eagerly()
        """
    )


def test_variables_of_tensorflow_in_a_layer_are_no_weights_of_it_and_keep_what_a_step_writes():
    run(
        """
        import numpy as np, tensorflow as tf
        from tensorflow import keras
        class Counting(keras.layers.Layer):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.calls, self.held = tf.Variable(0.0), [tf.Variable(2.0)]
                self.own = self.add_weight(shape=(1,), initializer="ones", name="own")
            def call(self, x):
                self.calls.assign_add(1.0)
                return x * self.own * self.held[0]
        model = keras.Sequential([keras.Input((2,)), Counting(), keras.layers.Dense(1)])
        counting = model.layers[0]
        assert [len(x) for x in (counting.variables, model.weights, model.get_weights())] == [1, 3, 3]
        model.compile("sgd", "mse")
        before = float(counting.calls)
        model.fit(np.ones((8, 2)), np.zeros((8, 1)), batch_size=2, verbose=0)
        assert counting.calls.numpy() - before == 4 and counting.held[0].numpy() == 2 and counting.own.numpy()[0] != 1
        """
    )


def test_functions_are_compiled_where_that_changes_nothing():
    run(
        """
        import numpy as np, tensorflow as tf
        from tensorflow import keras
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
        optimizer, mean = keras.optimizers.Adam(0.01), keras.metrics.Mean()
        runs = []
        @tf.function
        def train_step(x, y):
            runs.append(1)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(y - model(x, training=True)))
            grads = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(grads, model.trainable_variables))
            mean.update_state(loss)
            return loss
        x, y = np.ones((8, 3), "float32"), np.zeros((8, 1), "float32")
        losses = [float(train_step(x, y)) for _ in range(20)]
        assert losses[-1] < losses[0] and int(optimizer.iterations) == 20 and len(runs) == 1
        assert abs(float(mean.result()) - np.mean(losses)) < 1e-5
        square = tf.function(lambda v: v * v)
        v = tf.Variable(3.0)
        with tf.GradientTape() as tape:
            out = square(v)
        assert float(tape.gradient(out, v)) == 6
        @tf.function(jit_compile=True)
        def branch(t):
            return t + 1 if t > 0 else t - 1
        assert float(branch(tf.constant(1.0))) == 2 and float(branch(tf.constant(-1.0))) == -2
        class Steps:
            @tf.function
            def step(self, t, scale=2):
                return t * scale
        assert float(Steps().step(tf.constant(2.0))) == 4 and float(Steps().step(tf.constant(2.0), scale=3)) == 6
        """
    )


OLD_SPELLINGS = """
    from keras.constraints import maxnorm
    from keras.engine import Layer, InputSpec
    from keras.engine.topology import Layer, Input
    from keras.layers import CuDNNLSTM, CuDNNGRU, Convolution2D, ThresholdedReLU
    from keras.losses import mse, mae, MSE, KLD, kullback_leibler_divergence, logcosh
    from keras.metrics import mse, MAE
    from keras.objectives import mse
    from keras.utils import np_utils
    from keras.utils.np_utils import to_categorical
    from tensorflow.keras.layers.experimental import preprocessing
    from tensorflow.keras.layers.experimental.preprocessing import Rescaling
    from tensorflow.keras.mixed_precision import experimental, LossScaleOptimizer
    from tensorflow.keras.optimizers.legacy import Adam
    from tensorflow.python.keras.models import Sequential
    from tensorflow.compat.v1.keras.layers import Dense
    import tensorflow.compat.v1 as tf; tf.disable_v2_behavior()
"""


@pytest.mark.parametrize("statement", [line.strip() for line in OLD_SPELLINGS.strip().splitlines()])
def test_spellings_of_older_programs_are_found(statement):
    run(statement)


def test_what_older_programs_reach_as_attributes_is_there():
    run(
        """
        import numpy as np, tensorflow as tf, keras
        assert tf.keras.layers.experimental.preprocessing.Rescaling is keras.layers.Rescaling
        assert tf.keras.optimizers.legacy.Adam is keras.optimizers.Adam
        assert keras.utils.np_utils.to_categorical([1], 3).tolist() == [[0, 1, 0]]
        from tensorflow.keras.losses import Reduction, BinaryCrossentropy
        loss = BinaryCrossentropy(from_logits=True, reduction=Reduction.NONE)
        assert loss(tf.zeros((2, 1)), tf.zeros((2, 1))).shape == (2,)
        assert keras.losses.MeanSquaredError(reduction=Reduction.AUTO).reduction == "sum_over_batch_size"
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="normal",
            kernel_constraint=keras.constraints.maxnorm(3)), keras.layers.ThresholdedReLU(0.5)])
        assert float(keras.ops.min(model.predict(np.ones((1, 4)), verbose=0))) >= 0
        assert np.array(keras.layers.ThresholdedReLU(1.0)(np.array([0.5, 1.0, 1.5]))).tolist() == [0, 0, 1.5]
        """
    )


def test_where_and_how_things_run_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(
        """
        import numpy as np, tensorflow as tf
        tf.get_logger().setLevel("ERROR")
        tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
        tf.config.experimental.enable_op_determinism()
        strategy = tf.distribute.MirroredStrategy()
        assert strategy.num_replicas_in_sync == 1 and not tf.test.is_built_with_cuda()
        with strategy.scope():
            model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
        data = strategy.experimental_distribute_dataset(tf.data.Dataset.range(4).batch(2))
        parts = [strategy.run(tf.reduce_sum, args=(x,)) for x in data]
        assert [int(strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None)) for part in parts] == [1, 5]
        g = tf.random.Generator.from_seed(1)
        a, b = g.normal((3,)), g.normal((3,))
        assert not np.array_equal(a, b) and np.array_equal(a, tf.random.Generator.from_seed(1).normal((3,)))
        assert set(np.array(g.uniform((50,), 0, 3, dtype=tf.int32)).tolist()) == {0, 1, 2}
        tf.debugging.assert_equal(tf.constant([1, 2]), [1, 2])
        try:
            tf.debugging.assert_less(2, 1, message="no")
        except ValueError as error:
            assert "assert_less: no" in str(error)
        else:
            raise AssertionError
        tf.io.gfile.makedirs("made/twice")
        tf.io.gfile.makedirs("made/twice")
        assert tf.io.gfile.exists("made/twice")
        with tf.io.gfile.GFile("made/a", "w") as file:
            file.write("a")
        tf.io.gfile.copy("made/a", "made/b")
        tf.io.gfile.rename("made/a", "made/twice/c")
        try:
            tf.io.gfile.copy("made/b", "made/twice/c")
        except FileExistsError as error:
            assert "pass overwrite=True" in str(error)
        else:
            raise AssertionError
        tf.io.gfile.rmtree("made/twice")
        assert tf.io.gfile.listdir("made") == ["b"]
        """
    )


def test_more_functions_of_tensors_and_pictures():
    run(
        """
        import numpy as np, tensorflow as tf
        assert tf.roll([1, 2, 3], 1, 0).numpy().tolist() == [3, 1, 2]
        assert tf.map_fn(lambda x: x * 2, tf.constant([1.0, 2.0])).numpy().tolist() == [2, 4]
        assert tf.sequence_mask([1, 3], 3).numpy().tolist() == [[True, False, False], [True, True, True]]
        assert tf.ensure_shape(tf.zeros((2, 3)), (None, 3)).shape == (2, 3)
        try:
            tf.ensure_shape(tf.zeros((2, 3)), (2, 4))
        except ValueError as error:
            assert "expected a tensor of shape (2, 4), got (2, 3)" in str(error)
        else:
            raise AssertionError
        assert float(tf.nn.l2_loss([3.0, 4.0])) == 12.5
        assert abs(float(tf.nn.leaky_relu([-1.0], alpha=0.1)[0]) + 0.1) < 1e-6
        assert tf.linalg.diag_part([[1.0, 2.0], [3.0, 4.0]]).numpy().tolist() == [1, 4]
        x = np.arange(48.0).reshape(4, 4, 3)
        assert np.array_equal(tf.image.rot90(x), np.rot90(x))
        assert np.array_equal(tf.image.central_crop(x, 0.5), x[1:3, 1:3])
        assert np.array_equal(tf.image.resize_with_crop_or_pad(x, 2, 6)[:, 1:5], x[1:3])
        patches = tf.image.extract_patches(x[None], [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID")
        assert patches.shape == (1, 2, 2, 12) and np.array_equal(patches[0, 0, 1], x[:2, 2:].ravel())
        """
    )


def test_strings_and_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(
        """
        import numpy as np, tensorflow as tf
        from tensorflow.keras.utils import save_img
        text = tf.strings.regex_replace(tf.strings.lower(["A<br />b", "C!"]), "<br />", " ")
        assert tf.expand_dims(text, -1).numpy().tolist() == [[b"a b"], [b"c!"]]
        assert tf.strings.join(["a", "b"], separator="-").numpy() == b"a-b"
        assert tf.strings.split("a b").numpy().tolist() == [b"a", b"b"] and tf.strings.length("abc").numpy() == 3
        save_img("p.png", np.zeros((4, 6, 3), "uint8"))
        def load(path):
            image = tf.image.convert_image_dtype(tf.io.decode_png(tf.io.read_file(path), channels=3), tf.float32)
            return tf.image.flip_left_right(tf.image.resize(image, (2, 3)))
        batch = next(iter(tf.data.Dataset.from_tensor_slices(["p.png", "p.png"]).map(load).batch(2)))
        assert batch.shape == (2, 2, 3, 3) and batch.dtype == "float32"
        """
    )


def script(tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "-m", "nacre", "run", str(path), "one", "--two"], capture_output=True, text=True, check=False
    )


def test_a_script_runs_with_its_arguments(tmp_path):
    done = script(
        tmp_path, "import sys\nfrom tensorflow import keras\nprint(keras.layers.Dense(2).units, sys.argv[1:])"
    )
    assert (done.returncode, done.stdout) == (0, "2 ['one', '--two']\n"), done.stderr


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import keras\n\nkeras.layers.Nonesuch(3)", "line 3: nacre has no keras.layers.Nonesuch"),
        ("from keras.layers import Nonesuch", "line 1: nacre has no keras.layers.Nonesuch"),
        ("import keras.nonesuch", "line 1: nacre has no keras.nonesuch"),
        ("import tensorflow as tf\ntf.nonesuch", "line 2: nacre has no tensorflow.nonesuch"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, text, what):
    done = script(tmp_path, text)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.strip().endswith(what)


JAX_LOOP = """
import jax, jax.numpy as jnp, keras, numpy as np
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.1), keras.layers.Dense(1)])
optimizer = keras.optimizers.Adam(0.05)
optimizer.build(model.trainable_variables)

def loss_fn(trained, others, x, y):
    predicted, others = model.stateless_call(trained, others, x, training=True)
    return jnp.mean(jnp.square(predicted - y)), others

@jax.jit
def step(state, x, y):
    trained, others, slots = state
    (loss, others), grads = jax.value_and_grad(loss_fn, has_aux=True)(trained, others, x, y)
    trained, slots = optimizer.stateless_apply(slots, grads, trained)
    return loss, (trained, others, slots)

state = model.trainable_variables, model.non_trainable_variables, optimizer.variables
before = model.get_weights()
x = np.random.RandomState(0).randn(32, 4).astype("float32")
losses = []
for _ in range(60):
    loss, state = step(state, x, x.sum(1, keepdims=True))
    losses.append(float(loss))
assert losses[-1] < losses[0] / 3 and all((a == b).all() for a, b in zip(before, model.get_weights()))
assert int(state[2][0]) == 60 and jax.devices() == ["cpu:0"] and jnp.zeros(2, jnp.int32).dtype == "int32"
"""


def test_a_training_loop_for_jax_runs(tmp_path):
    done = script(tmp_path, JAX_LOOP)
    assert done.returncode == 0, done.stderr
    done = script(tmp_path, "import jax\njax.nonesuch")
    assert done.returncode == 1 and done.stderr.strip().endswith("line 2: nacre has no jax.nonesuch")


def test_gradients_of_functions_in_the_manner_of_jax():
    run(
        """
        import numpy as np, nacre.compat.jax as jax
        f = lambda a, b: jax.numpy.sum(a["x"] ** 2) * b
        value, (da, db) = jax.value_and_grad(f, argnums=(0, 1))({"x": np.array([1.0, 2.0])}, 3.0)
        assert float(value) == 15 and np.array(da["x"]).tolist() == [6, 12] and float(db) == 5
        assert float(jax.grad(lambda x, unused: x * 2)(1.0, 2.0)) == 2
        assert float(jax.grad(lambda x, unused: x * 2, argnums=1)(1.0, 2.0)) == 0
        grads, rest = jax.grad(lambda x: (x * 2, "rest"), has_aux=True)(1.0)
        assert float(grads) == 2 and rest == "rest"
        assert jax.tree.map(lambda x: x + 1, [1, 2]) == [2, 3] and jax.nn.relu(-1.0) == 0
        rows, w = np.arange(6.0).reshape(2, 3), np.array([1.0, 10, 100])
        dots = jax.vmap(lambda row, w: jax.numpy.sum(row * w), in_axes=(0, None))(rows, w)
        assert dots.numpy().tolist() == [210, 543]
        both = jax.jit(jax.vmap(jax.grad(lambda d: jax.numpy.sum(d["x"] ** 2)), in_axes=1, out_axes=1))({"x": rows})
        assert np.array_equal(both["x"], 2 * rows)
        try:
            jax.grad(lambda x: x)(np.ones(2))
        except TypeError as error:
            assert "only defined for scalar-output functions" in str(error)
        else:
            raise AssertionError
        """
    )


def test_other_errors_are_shown_in_full(tmp_path):
    done = script(tmp_path, "import keras\nraise AttributeError('mine')")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_no_script_is_an_error():
    done = subprocess.run(
        [sys.executable, "-m", "nacre", "run", "nonesuch.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "no file nonesuch.py" in done.stderr

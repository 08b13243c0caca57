"""What comes in the middle of training: errors, signals, forks, other threads, too little memory."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest

import nacre as keras
from interruptions import interrupted, moments

X = np.random.default_rng(0).normal(size=(256, 12)).astype("float32")
Y = np.random.default_rng(1).integers(0, 3, 256)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((12,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")])
    made.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return made


def trains(model):
    losses = model.fit(X, Y, epochs=3, verbose=0).history["loss"]
    return np.isfinite(losses).all() and losses[-1] < losses[0]


class Raising(keras.callbacks.Callback):
    def __init__(self, hook, error):
        super().__init__()
        setattr(self, hook, self._raise)
        self.error = error

    def _raise(self, *_, **__):
        raise self.error


HOOKS = [f"on_{a}_{b}" for a in ("train", "epoch", "train_batch", "test", "test_batch") for b in ("begin", "end")]


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("hook", HOOKS)
def test_a_callback_that_raises_ends_fit_with_its_error_and_the_model_trains_on(model, hook, error):
    with pytest.raises(type(error)):
        model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[Raising(hook, error)])
    assert trains(model)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_generator_that_raises_ends_fit_with_its_error(model, after):
    def batches():
        for _ in range(after):
            yield X[:32], Y[:32]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        model.fit(batches(), steps_per_epoch=10, verbose=0, shuffle=False)
    assert trains(model)


def test_a_signal_interrupts_training_within_a_second(model):
    first = model.get_weights()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    many = np.tile(X, (200, 1)), np.tile(Y, 200)
    start = time.thread_time()
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        model.fit(*many, epochs=100000, verbose=0)
    assert time.thread_time() - start < 3
    model.set_weights(first)  # half a second may have taken it to where there is nothing left to learn
    assert trains(model)


class Stopping(keras.initializers.Initializer):
    """Zeros, but for the second time it is asked."""

    calls = 0

    def __call__(self, shape, dtype=None):
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt
        return keras.ops.zeros(shape, dtype)


class Growing(keras.layers.Layer):
    def __init__(self, initializer):
        super().__init__()
        self.initializer, self.parts = initializer, []

    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], 3), self.initializer)
        self.parts.append(keras.layers.Dense(2))
        self.bias = self.add_weight((3,), self.initializer)

    def call(self, x):
        return x @ self.kernel + self.bias + self.parts[0](x)[:, :1]


def test_a_layer_whose_build_was_interrupted_is_built_from_the_start():
    stopping = Stopping()
    for layer in (keras.layers.Dense(3, kernel_initializer=stopping, bias_initializer=stopping), Growing(Stopping())):
        with pytest.raises(KeyboardInterrupt):
            layer(X)
        assert not layer.built and layer.weights == [] and not hasattr(layer, "kernel")
        layer(X)
        assert [w.shape for w in layer.weights[:2]] == [(12, 3), (3,)] and len(layer.weights) in (2, 4)


@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "Muon", "Ftrl"])
@pytest.mark.parametrize("at", range(5))
def test_an_optimizer_whose_build_was_interrupted_is_built_from_the_start(model, monkeypatch, optimizer, at):
    def made():
        return getattr(keras.optimizers, optimizer)(0.01, use_ema=True)

    expected = made()
    expected.build(model.trainable_variables)
    interrupted = made()
    add, calls = type(interrupted).add_variable_from_reference, []

    def add_until(*args, **kwargs):
        calls.append(1)
        if len(calls) == at + 1:
            raise KeyboardInterrupt
        return add(interrupted, *args, **kwargs)

    with monkeypatch.context() as only:
        only.setattr(interrupted, "add_variable_from_reference", add_until)
        try:
            interrupted.build(model.trainable_variables)
        except KeyboardInterrupt:
            assert not interrupted.built
    interrupted.build(model.trainable_variables)
    assert [v.shape for v in interrupted.variables] == [v.shape for v in expected.variables]
    model.compile(interrupted, "sparse_categorical_crossentropy")
    assert trains(model)


def recurrent():
    x = keras.Input((12,))
    h = keras.layers.LSTM(5)(keras.layers.Reshape((4, 3))(x))
    return keras.Model(x, keras.layers.Dense(3, "softmax")(h))


def convolutional():
    layers = keras.layers
    parts = [layers.Reshape((4, 3, 1)), layers.Conv2D(4, 2), layers.BatchNormalization(), layers.Flatten()]
    return keras.Sequential([*parts, layers.Dense(3, "softmax")])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a callback of Python's it is lost
@pytest.mark.parametrize("make", [recurrent, convolutional])
def test_whatever_moment_is_interrupted_the_model_trains_on(make):
    def compiled():
        keras.utils.set_random_seed(0)
        made = make()
        made.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
        return made

    def fit(made):
        return made.fit(X[:64], Y[:64], batch_size=16, epochs=2, verbose=0, validation_data=(X, Y)).history["loss"]

    def used(made):
        fit(made)
        made.predict(X, verbose=0)
        made(X[:5])

    expected = fit(compiled())
    started = time.process_time()  # however busy others keep the processor
    used(compiled())
    seconds = time.process_time() - started
    moments = np.random.default_rng(0).uniform(0.01, 1, 25) * seconds
    before = signal.signal(signal.SIGPROF, signal.default_int_handler)
    interrupted = 0
    try:
        for moment in moments:
            made = compiled()
            try:
                try:
                    signal.setitimer(signal.ITIMER_PROF, moment)
                    used(made)
                finally:  # inside of the other, as the signal may come until now
                    signal.setitimer(signal.ITIMER_PROF, 0)
            except KeyboardInterrupt:
                interrupted += 1
            assert np.isfinite(made.predict(X, verbose=0)).all() and np.isfinite(fit(made)).all()
            assert fit(compiled()) == expected  # nothing is left behind that others would see
    finally:
        signal.signal(signal.SIGPROF, before)
    assert interrupted


def test_threads_may_predict_while_one_trains(model):
    expected = model.predict(X, verbose=0).shape
    wrong = []
    done = threading.Event()

    def predict():
        while not done.is_set():
            try:
                found = model.predict(X, verbose=0)
                if found.shape != expected or not np.isfinite(found).all() or abs(found.sum(-1) - 1).max() > 1e-4:
                    wrong.append(found)
            except BaseException as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        model.fit(X, Y, epochs=40, verbose=0)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[0]
    assert trains(model)


class Slow(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        time.sleep(0.02)
        return keras.ops.ones(shape, dtype)


def test_threads_that_call_a_new_layer_at_once_find_one_set_of_weights():
    layer = keras.layers.Dense(7, kernel_initializer=Slow())
    found = []

    def call():
        try:
            found.append(layer(np.ones((2, 12), "float32")).numpy())
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(layer.weights) == 2 and np.array_equal(found, np.full((4, 2, 7), 12.0)), found


def test_predict_and_fit_inside_a_callback(model):
    other = keras.Sequential([keras.Input((12,)), keras.layers.Dense(1)])
    other.compile("sgd", "mse")

    class Inside(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.predict(X, verbose=0)
            self.model.evaluate(X, Y, verbose=0)
            other.fit(X, Y.astype("float32"), verbose=0)

    assert len(model.fit(X, Y, epochs=3, verbose=0, callbacks=[Inside()]).history["loss"]) == 3


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, where the tests beside real Keras have loaded it
def test_a_model_that_a_callback_compiles_anew_trains_on_with_what_it_was_given(model):
    def again(epoch, logs=None):
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")

    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=again)])
    assert all(loss > 0 for loss in history.history["loss"]) and int(model.optimizer.iterations) == 0
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=again)])
    assert int(model.optimizer.iterations) > 0
    with pytest.raises(RuntimeError, match="in the middle of an epoch"):
        model.fit(X, Y, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=again)])


FORKS = """
import os, numpy as np, nacre as keras
keras.utils.set_random_seed(0)
X, Y = np.random.rand(300, 12).astype("float32"), np.random.randint(0, 3, 300)
def made():
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
seen = []
class Fork(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    made().fit(X, Y, verbose=0)
                    self.model.predict(X, verbose=0)
                    status = 0
                finally:
                    os._exit(status)
            seen.append(os.waitpid(child, 0)[1])
model = made()
before = model.fit(X, Y, verbose=0, callbacks=[Fork()]).history["loss"]
assert seen == [0], seen
assert model.fit(X, Y, epochs=5, verbose=0).history["loss"][-1] < before[0]
"""


def test_a_child_forked_in_the_middle_of_training_can_train():
    # in a process of its own: other libraries of this one may have threads
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_arrays_that_are_changed_or_dropped_in_the_middle_do_no_harm(model):
    data = [X.copy(), Y.copy()]

    class Change(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if data:
                data[0][:] = 0
                data.clear()

    model.fit(data[0], data[1], epochs=2, verbose=0, callbacks=[Change()])
    assert trains(model)


def limited(code):
    """Runs `code` with 2 GiB of address space; what it prints."""
    lines = f"""
        import resource, numpy as np, nacre as keras
        model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse")
        x, y = np.ones((8, 12), "float32"), np.ones((8, 3), "float32")
        model.fit(x, y, verbose=0)
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        try:
            {code}
        except (MemoryError, ValueError) as error:
            print(type(error).__name__, error)
        model.fit(x, y, verbose=0)
        print("trains")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(lines)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("keras.layers.Dense(2**40)(x)", r"kernel.*\(12, 1099511627776\)"),
        ("keras.layers.Embedding(2**40, 2**40)(np.zeros((1, 1), 'int32'))", "embeddings"),
        ("keras.layers.Dense(2**62)(x)", "kernel"),
        ("keras.layers.Conv2D(2**34, 100)(np.ones((1, 200, 200, 3), 'float32'))", "kernel"),
        ("keras.ops.ones((2**40,))", "1099511627776"),
        ("keras.ops.zeros((2**32, 2**32))", "4294967296"),
        ("keras.random.normal((2**40,))", "1099511627776"),
        ("keras.ops.outer(np.ones(2**20, 'float32'), np.ones(2**20, 'float32'))", "1048576"),
        ("keras.ops.repeat(np.ones(4), 2**40)", "4398046511104|1099511627776"),
        ("keras.layers.UpSampling2D(2**20)(np.ones((1, 4, 4, 1), 'float32'))", "4194304"),
        ("keras.layers.ZeroPadding2D(2**30)(np.ones((1, 4, 4, 1), 'float32'))", "2147483652"),
        ("keras.layers.RepeatVector(2**40)(x)", "1099511627776"),
        ("keras.utils.to_categorical(np.arange(3), 2**40)", "1099511627776"),
        ("keras.ops.one_hot(np.arange(3), 2**40)", "1099511627776"),
        ("keras.metrics.MeanIoU(2**31)", "total_confusion_matrix"),
        ("keras.metrics.MeanIoU(10**30)", "total_confusion_matrix"),
        (
            "m = keras.Sequential([keras.layers.RepeatVector(2**40), keras.layers.Dense(9)]);"
            "m.add(keras.layers.GlobalMaxPooling1D()); m.compile('sgd', 'mse'); m.fit(x, x[:, :9], verbose=0)",
            "a program, for the values between its layers, needs [0-9.]+ GiB",
        ),
        (
            "P = type('P', (keras.utils.PyDataset,), {'__len__': lambda s: 10**15, '__getitem__': lambda *_: (x, x)});"
            "m = keras.Sequential([keras.layers.Dense(12)]); m.compile('sgd', 'mse'); m.fit(P(), verbose=0)",
            "the order of a PyDataset's 10{15} batches needs",
        ),
    ],
)
def test_what_does_not_fit_into_memory_is_an_error_that_says_so(code, said):
    import re

    found = limited(code)
    assert found.endswith("trains\n") and re.search(said, found), found


def compiled_and_called():
    layers = keras.layers
    x = keras.Input((6, 6, 3))
    h = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))
    made = keras.Model(x, layers.Dense(2)(layers.Dropout(0.1)(layers.Flatten()(h))))
    images = np.ones((2, 6, 6, 3), "float32")
    with keras.GradientTape() as tape:
        loss = keras.ops.mean(made(images, training=True))
    keras.optimizers.Adam().apply(tape.gradient(loss, made.trainable_variables), made.trainable_variables)
    keras.models.clone_model(made)
    return made


def left_behind():
    """What this thread still believes to be in the middle of; it is forgotten."""
    from nacre.core import custom_objects, naming, trace, variable
    from nacre.layers.calling import context

    states = trace.state, naming.scopes, context, custom_objects._state, variable._state
    found = {
        name: value for state in states for name, value in vars(state).items() if value != getattr(type(state), name)
    }
    for state in states:
        vars(state).clear()
    return found


def loaded_and_saved(folder):
    path = str(folder / "model.keras")
    model = compiled_and_called()
    model.save(path)

    def act():
        keras.models.load_model(path).save(path)

    return act


FOLDER = os.path.dirname(keras.__file__)

# Where the block of a `with` statement that a user wrote ends, Ctrl-C may come before it has.
ENDS = ("in __exit__",)

SHARE = 30  # one place of so many; all take minutes


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a callback of Python's it is lost
@pytest.mark.parametrize("act", [compiled_and_called, loaded_and_saved])
def test_wherever_ctrl_c_comes_it_leaves_no_state_behind(act, tmp_path):
    act = act(tmp_path) if act is loaded_and_saved else act
    act()
    assert not left_behind()
    places = moments(act, FOLDER)
    assert len(places) > 1000
    for moment in places[SHARE // 2 :: SHARE]:
        error, where = interrupted(act, moment, FOLDER)
        found = left_behind()
        assert not found or where.endswith(ENDS), where
        assert error is None or type(error) is KeyboardInterrupt, where
    act()


def test_wherever_ctrl_c_comes_an_optimizer_ends_its_step():
    def made():
        variables = [keras.Variable(np.ones(n, "float32")) for n in (3, 2)]
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(variables)
        return optimizer, variables

    def state(optimizer, variables):
        return [np.asarray(v).tolist() for v in (*variables, *optimizer.variables)]

    def step(optimizer, variables):
        optimizer.apply([np.ones(3, "float32"), np.ones(2, "float32")], variables)

    after = made()
    before = state(*after)
    step(*after)
    counted = made()
    places = moments(lambda: step(*counted), FOLDER)
    ends = []
    for moment in places[::5]:
        one = made()
        error, where = interrupted(lambda one=one: step(*one), moment, FOLDER)
        assert type(error) is KeyboardInterrupt
        assert state(*one) in (before, state(*after)), where
        ends.append(state(*one) == before)
    assert not all(ends)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5", "a.h5"])
def test_wherever_ctrl_c_comes_a_save_ends_with_it_and_the_file_is_an_old_or_a_new_one(model, tmp_path, name):
    path = tmp_path / name
    model.fit(X, Y, verbose=0)
    weights = ".weights" in name
    save = model.save_weights if weights else model.save
    warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
    save(path)
    for moment in moments(lambda: save(path), FOLDER)[7::10]:
        error, where = interrupted(lambda: save(path), moment, FOLDER)
        assert error is None or type(error) is KeyboardInterrupt, where
        assert os.listdir(tmp_path) == [name], where
        if weights:
            model.load_weights(path)
        else:
            keras.models.load_model(path)


KEPT = """
import signal, sys
import numpy as np
import nacre as keras
from nacre.saving import archive

tell = archive.Window.tell
archive.Window.tell = lambda self: signal.raise_signal(signal.SIGINT) or tell(self)
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
try:
    model.save_weights(sys.argv[1])
except KeyboardInterrupt as error:
    kept = error
print(type(kept).__name__)
"""


def test_who_keeps_the_interruption_of_a_save_can_end_the_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KEPT, str(tmp_path / "a.weights.h5")], capture_output=True, text=True, timeout=600
    )
    assert (done.returncode, done.stdout) == (0, "KeyboardInterrupt\n"), done.stderr
    assert not os.listdir(tmp_path)


def test_traces_that_an_interruption_ended_put_nothing_back_later():
    from nacre.core import trace
    from nacre.core.graph import Graph

    outer, inner = trace.tracing(Graph()), trace.tracing(Graph())
    with outer:
        inner.__enter__()  # Ctrl-C came before its end
    del inner
    assert trace.current_graph() is None

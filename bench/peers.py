"""What is timed: for each task and peer a function that makes `run(n)`, which does the work n times and waits for the
last.

A peer is a library and a variant of it: `torch-cl` is PyTorch in channels_last. Tasks: `train` (a step on data in
memory), `loop` (the same step written by hand, line by line: `GradientTape` without `tf.function`), `infer` (a batch
through a network, as quickly as the library can), `predict` (the same by `Model.predict`), `epoch` (a whole `fit` with
shuffling and accuracy).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from builders import build_jax, build_keras, build_onnx, build_torch
from workloads import Network

Run = Callable[[int], None]


def keras_of(peer: str, threads: int) -> Any:
    """The module that speaks Keras' API; KERAS_BACKEND is set."""
    if peer.startswith("nacre"):
        import nacre

        return nacre
    if "tf" in peer:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    import keras

    return keras


def repeated(call: Callable[[], Any]) -> Run:
    def run(n: int) -> None:
        for _ in range(n):
            call()

    return run


def bare(arrays: list[np.ndarray]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


# --- Keras --------------------------------------------------------------------------------------------------------


def keras_train(peer: str, net: Network, threads: int) -> Run:
    model = build_keras(net, keras_of(peer, threads))
    if not peer.endswith("-fit"):
        xs, y = net.data(net.batch)
        return repeated(lambda: model.train_on_batch(bare(xs), y))
    whole, labels = net.data(net.batch * 64)

    def run(n: int) -> None:
        for begin in range(0, n, 64):
            rows = min(n - begin, 64) * net.batch
            x = bare([a[:rows] for a in whole])
            model.fit(x, labels[:rows], batch_size=net.batch, epochs=1, verbose=0)

    return run


def keras_loop(peer: str, net: Network, threads: int) -> Run:
    keras = keras_of(peer, threads)
    tape_of = keras.GradientTape if peer == "nacre" else importlib.import_module("tensorflow").GradientTape
    model = build_keras(net, keras)
    xs, y = net.data(net.batch)
    x = bare(xs)

    def step() -> None:
        with tape_of() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    for _ in range(24):  # nacre plans what has come some times
        step()
    return repeated(step)


def keras_infer(peer: str, net: Network, threads: int) -> Run:
    model = build_keras(net, keras_of(peer, threads), compiled=False)
    x = bare(net.data(net.batch)[0])
    return repeated(lambda: model(x)) if peer.endswith("-call") else repeated(lambda: model.predict_on_batch(x))


def keras_predict(peer: str, net: Network, threads: int) -> Run:
    model = build_keras(net, keras_of(peer, threads))
    x = bare(net.data(net.batch)[0])
    return repeated(lambda: model.predict(x, verbose=0))


def keras_epoch(peer: str, net: Network, threads: int) -> Run:
    model = build_keras(net, keras_of(peer, threads))
    (x,), y = net.data(net.rows)
    return lambda n: model.fit(x, y, batch_size=net.batch, epochs=n, verbose=0)


# --- PyTorch ------------------------------------------------------------------------------------------------------


def torch_module(peer: str, net: Network, threads: int) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """The module, and what makes its inputs of arrays."""
    import torch

    torch.set_num_threads(threads)
    last = peer.endswith("-cl")

    def tensor(array: np.ndarray) -> Any:
        t = torch.from_numpy(array)
        if t.ndim != 4:
            return t
        return t.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

    return build_torch(net, last), tensor


def torch_stepper(peer: str, net: Network, threads: int) -> tuple[Any, Callable[..., Any]]:
    """What makes inputs, and a function that trains on a batch and gives the outputs."""
    import torch

    module, tensor = torch_module(peer, net, threads)
    if net.optimizer == "adam":
        optimizer: Any = torch.optim.Adam(module.parameters(), net.learning_rate, eps=1e-7, fused=True)
    else:
        optimizer = torch.optim.SGD(module.parameters(), net.learning_rate, net.momentum, fused=True)
    criterion = torch.nn.functional.mse_loss if net.loss == "mse" else torch.nn.functional.cross_entropy
    forward = torch.compile(module) if peer.endswith("-compile") else module

    def step(inputs: list[Any], target: Any) -> Any:
        optimizer.zero_grad()
        out = forward(*inputs)
        criterion(out, target).backward()
        optimizer.step()
        return out

    return tensor, step


def torch_train(peer: str, net: Network, threads: int) -> Run:
    import torch

    tensor, step = torch_stepper(peer, net, threads)
    xs, y = net.data(net.batch)
    inputs, target = [tensor(x) for x in xs], torch.from_numpy(y if net.loss == "mse" else y.astype("int64"))
    return repeated(lambda: step(inputs, target))


def torch_infer(peer: str, net: Network, threads: int) -> Run:
    import torch

    module, tensor = torch_module(peer, net, threads)
    x = tensor(net.data(net.batch)[0][0])
    module.eval()
    with torch.inference_mode():
        traced = torch.jit.freeze(torch.jit.trace(module, x))

    def call() -> None:
        with torch.inference_mode():
            traced(x)

    return repeated(call)


def torch_epoch(peer: str, net: Network, threads: int) -> Run:
    import torch

    tensor, step = torch_stepper(peer, net, threads)
    (x,), y = net.data(net.rows)
    inputs, target = tensor(x), torch.from_numpy(y.astype("int64"))

    def epoch() -> float:
        hits = 0
        for rows in torch.randperm(net.rows).split(net.batch):
            labels = target[rows]
            hits += int((step([inputs[rows]], labels).argmax(1) == labels).sum())
        return hits / net.rows

    return repeated(epoch)


# --- JAX ----------------------------------------------------------------------------------------------------------


def jax_stepper(net: Network) -> tuple[Any, Any]:
    """The state, and a function of (state, inputs, target) that gives the next state and the outputs."""
    import jax
    import jax.numpy as jnp

    params, apply = build_jax(net)
    tree_map = jax.tree_util.tree_map
    params = tree_map(jnp.asarray, params)

    def loss_of(params: Any, inputs: Any, target: Any) -> Any:
        out = apply(params, inputs)
        if net.loss == "mse":
            return jnp.mean((out - target) ** 2), out
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), target[:, None], 1)), out

    def adam(params: Any, state: Any, grads: Any) -> Any:
        t, m, v = state
        t = t + 1
        m = tree_map(lambda m, g: m + (g - m) * 0.1, m, grads)
        v = tree_map(lambda v, g: v + (g * g - v) * 0.001, v, grads)
        rate = net.learning_rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return tree_map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), params, m, v), (t, m, v)

    def step(state: Any, inputs: Any, target: Any) -> Any:
        params, velocity = state
        grads, out = jax.grad(loss_of, has_aux=True)(params, inputs, target)
        if net.optimizer == "adam":
            return adam(params, velocity, grads), out
        if net.momentum:
            velocity = tree_map(lambda v, g: net.momentum * v - net.learning_rate * g, velocity, grads)
            return (tree_map(lambda p, v: p + v, params, velocity), velocity), out
        return (tree_map(lambda p, g: p - net.learning_rate * g, params, grads), velocity), out

    zeros = tree_map(jnp.zeros_like, params)
    return (params, (jnp.zeros(()), zeros, zeros) if net.optimizer == "adam" else zeros), step


def jax_train(peer: str, net: Network, threads: int) -> Run:
    import jax
    import jax.numpy as jnp

    state, step = jax_stepper(net)
    step = jax.jit(step)
    xs, y = net.data(net.batch)
    inputs, target = [jnp.asarray(x) for x in xs], jnp.asarray(y)

    def run(n: int) -> None:
        nonlocal state
        for _ in range(n):
            state, _ = step(state, inputs, target)
        jax.block_until_ready(state)

    return run


def jax_epoch(peer: str, net: Network, threads: int) -> Run:
    import jax
    import jax.numpy as jnp

    state, step = jax_stepper(net)
    (x,), y = net.data(net.rows)
    x, y = jnp.asarray(x), jnp.asarray(y)
    rng = np.random.default_rng(0)

    @jax.jit
    def epoch(state: Any, order: Any) -> Any:
        def one(state: Any, rows: Any) -> Any:
            state, out = step(state, [x[rows]], y[rows])
            return state, jnp.sum(jnp.argmax(out, 1) == y[rows])

        state, hits = jax.lax.scan(one, state, order.reshape(-1, net.batch))
        return state, jnp.sum(hits) / net.rows

    def run(n: int) -> None:
        nonlocal state
        for _ in range(n):
            state, accuracy = epoch(state, jnp.asarray(rng.permutation(net.rows)))
            float(accuracy)

    return run


# --- inference engines ----------------------------------------------------------------------------------------------


def onnx_input(net: Network) -> np.ndarray:
    x = net.data(net.batch)[0][0]
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def onnxruntime_infer(peer: str, net: Network, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(build_onnx(net), options, providers=["CPUExecutionProvider"])
    feed = {"x": onnx_input(net)}
    return repeated(lambda: session.run(None, feed))


def openvino_infer(peer: str, net: Network, threads: int) -> Run:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(build_onnx(net)), "CPU", settings).create_infer_request()
    feed = {0: onnx_input(net)}
    return repeated(lambda: request.infer(feed, share_inputs=True))


# By task, then by the library of the peer.
MAKERS: dict[str, dict[str, Callable[[str, Network, int], Run]]] = {
    "train": {"nacre": keras_train, "keras": keras_train, "torch": torch_train, "jax": jax_train},
    "loop": {"nacre": keras_loop, "keras": keras_loop, "torch": torch_train},
    "infer": {
        "nacre": keras_infer, "keras": keras_infer, "torch": torch_infer, "onnxruntime": onnxruntime_infer,
        "openvino": openvino_infer,
    },
    "predict": {"nacre": keras_predict, "keras": keras_predict},
    "epoch": {"nacre": keras_epoch, "keras": keras_epoch, "torch": torch_epoch, "jax": jax_epoch},
}  # fmt: skip


def make(task: str, peer: str, net: Network, threads: int) -> Run:
    """`run(n)` for a task of a peer."""
    return MAKERS[task][peer.partition("-")[0]](peer, net, threads)

"""What TensorFlow's programs say about devices and replicas, of which there is one, and forms that go with it."""

import gzip

import numpy as np
import pytest

import nacre
from nacre.compat import tensorflow as tf


def test_devices_are_the_cpu():
    (cpu,) = tf.config.list_physical_devices("CPU")
    assert cpu.device_type == "CPU" and cpu.name.endswith("CPU:0") and tf.config.list_physical_devices() == [cpu]
    assert tf.config.list_physical_devices("GPU") == tf.config.experimental.list_physical_devices("GPU") == []
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration(memory_limit=1)] * 2)
    assert len(tf.config.list_logical_devices()) == 1 and tf.config.functions_run_eagerly() is False
    with tf.device("/CPU:0"), tf.name_scope("block") as name, tf.init_scope():
        assert name == "block"
    with pytest.raises(ValueError, match="no TPU"):
        tf.distribute.cluster_resolver.TPUClusterResolver()


def test_a_strategy_is_one_replica():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    batches = strategy.distribute_datasets_from_function(
        lambda context: tf.data.Dataset.range(4).batch(context.get_per_replica_batch_size(2))
    )
    assert [b.numpy().tolist() for b in strategy.experimental_distribute_dataset(batches)] == [[0, 1], [2, 3]]
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    options.deterministic = False
    assert options.deterministic is False and len(list(batches.with_options(options))) == 2
    x = np.array([[1.0, 2.0], [3.0, 6.0]], "float32")
    assert strategy.reduce("SUM", x, axis=None) is x and strategy.experimental_local_results(x) == (x,)
    assert strategy.reduce(tf.distribute.ReduceOp.SUM, x, axis=0).numpy().tolist() == [4, 8]
    assert strategy.reduce("MEAN", x, axis=0).numpy().tolist() == [2, 4]
    assert float(tf.nn.compute_average_loss(x[0])) == 1.5
    assert float(tf.nn.compute_average_loss(x[0], sample_weight=[1.0, 0.5], global_batch_size=4)) == 0.5
    assert float(tf.nn.scale_regularization_loss(x[0])) == 3


def test_rows_of_csv_files_are_tuples(tmp_path):
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("a,b,c\n" + "".join(f"{i},{i / 2 if i else ''},w{i}\n" for i in range(1500)))
    data = tf.data.experimental.CsvDataset(
        str(path), [tf.int32, [-1.0], tf.string], compression_type="GZIP", header=True
    )
    first, *_, last = list(data)
    assert [int(first[0]), float(first[1]), first[0].dtype, first[1].dtype] == [0, -1.0, "int32", "float32"]
    assert [int(last[0]), float(last[1]), last[2].numpy()] == [1499, 749.5, b"w1499"]
    rows = tf.data.experimental.CsvDataset([path], [0.0, 0.0], header=True, select_cols=[1, 0], compression_type="GZIP")
    packed = rows.batch(100).map(lambda half, whole: tf.stack([half, whole], 1)).unbatch()
    assert np.array([r.numpy() for r in packed.take(3)]).tolist() == [[0, 0], [0.5, 1], [1, 2]]
    assert len(list(rows)) == 1500
    with pytest.raises(ValueError, match="at least 4 values"):
        list(tf.data.experimental.CsvDataset(path, [0] * 4, header=True, compression_type="GZIP"))
    with pytest.raises(ValueError, match="must have a value"):
        list(tf.data.experimental.CsvDataset(path, [tf.int32, tf.float32], header=True, compression_type="GZIP"))
    with pytest.raises(ValueError, match="GZIP"):
        tf.data.experimental.CsvDataset(path, [tf.int32], compression_type="ZLIB")


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "kernel", "stride"), [(6, 3, 2), (7, 3, 2), (7, 4, 3), (5, 2, 3), (6, 3, 1)])
def test_a_transposed_convolution_is_the_gradient_of_one(padding, size, kernel, stride):
    random = np.random.default_rng(0)
    image = tf.constant(random.standard_normal((2, size, size + 1, 3)), "float32")
    weights = tf.constant(random.standard_normal((kernel, kernel, 3, 4)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(image)
        out = tf.nn.conv2d(image, weights, stride, padding)
        upstream = tf.constant(random.standard_normal(out.shape), "float32")
        loss = tf.reduce_sum(out * upstream)
    found = tf.nn.conv2d_transpose(upstream, weights, image.shape, [1, stride, stride, 1], padding)
    np.testing.assert_allclose(found, tape.gradient(loss, image), rtol=1e-4, atol=1e-4)


def test_forms_of_networks():
    x = np.random.default_rng(1).standard_normal((2, 5, 5, 3)).astype("float32")
    kernel = np.ones((3, 3, 3, 2), "float32")
    got = tf.nn.depthwise_conv2d(x, kernel, [1, 2, 2, 1], "SAME")
    np.testing.assert_allclose(got, nacre.ops.depthwise_conv(x, kernel, 2, "same"))
    mean, variance = tf.nn.moments(x, axes=[0, 1, 2])
    got = tf.nn.batch_normalization(x, mean, variance, 1.0, [2.0, 2.0, 2.0], 1e-3)
    np.testing.assert_allclose(got, (x - mean) / np.sqrt(variance + 1e-3) * 2 + 1, rtol=1e-4, atol=1e-5)
    assert tf.nn.batch_normalization(x, mean, variance, None, None, 1e-3).shape == x.shape
    assert tf.linalg.matvec([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0]).numpy().tolist() == [3, 7]
    assert tf.math.in_top_k([1, 0], [[0.1, 0.9], [0.1, 0.9]], k=1).numpy().tolist() == [True, False]
    assert tf.debugging.check_numerics(mean, "mean") is mean
    with pytest.raises(tf.errors.InvalidArgumentError, match="mean : Tensor had Inf or NaN"):
        tf.debugging.check_numerics(mean * np.nan, "mean")
    with pytest.raises(ValueError, match="NHWC"):
        tf.nn.conv2d_transpose(x, kernel, (2, 5, 5, 3), 1, data_format="NCHW")

"""What a ModelCheckpoint tells."""

import numpy as np
import pytest

import nacre as keras


def test_a_checkpoint_says_what_improved_and_when_it_has_saved(tmp_path, capsys):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    path = str(tmp_path / "m.keras")
    saver = keras.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True, verbose=1)
    model.fit(np.ones((4, 2)), np.zeros(4), epochs=1, verbose=0, callbacks=[saver])
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [
        f"Epoch 1: loss improved from None to {saver.best:.5f}, saving model to {path}",
        f"Epoch 1: finished saving model to {path}",
    ]


def test_the_best_of_a_result_without_a_known_direction_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    saver = keras.callbacks.ModelCheckpoint(str(tmp_path / "m.keras"), monitor="nope", save_best_only=True)
    with pytest.raises(ValueError, match="received monitor=nope"):
        model.fit(np.ones((4, 2)), np.zeros(4), verbose=0, callbacks=[saver])


@pytest.mark.parametrize("path", ["{}.keras", "{nope}.keras", "{epoch.x}.keras", "{epoch:x!}.keras"])
def test_a_pattern_that_cannot_be_filled_in_is_shown(path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises((KeyError, ValueError), match=r"Failed to format this callback filepath.*Known: epoch, loss"):
        model.fit(np.ones((3, 3)), np.ones((3, 2)), verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(path)])

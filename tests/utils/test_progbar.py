import io
import sys

import pytest

from nacre.utils import progbar
from nacre.utils.progbar import Progbar

B, G, W, R = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def time(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progbar, "time", clock)
    return clock


def updates(clock, out, monkeypatch, target, steps, step=0.2, values=None, **kwargs):
    monkeypatch.setattr(sys, "stdout", out)
    bar = Progbar(target, **kwargs)
    shown = []
    for current in steps:
        clock.now += step
        bar.update(current, values(current) if values else [("loss", 1.0 / current), ("accuracy", 0.0005 * current)])
        shown.append(out.getvalue())
        out.truncate(0)
        out.seek(0)
    return shown


def bar(full, width=20):
    return (f"{G}{'━' * full}{R}" if full else "") + f"{W}{'━' * (width - full)}{R}"


def test_terminal_lines_are_those_of_keras(clock, monkeypatch):
    first, second, last = updates(clock, Terminal(), monkeypatch, 3, [1, 2, 3])
    assert first == f"\r{B}1/3{R} {bar(6)} {B}0s{R} 200ms/step - loss: 1.0000 - accuracy: 5.0000e-04"
    back = "\b" * 76
    assert second == f"{back}\r{B}2/3{R} {bar(13)} {B}0s{R} 200ms/step - loss: 0.7500 - accuracy: 7.5000e-04"
    assert last == f"{back}\r{B}3/3{R} {bar(20)} {B}1s{R} 200ms/step - loss: 0.3333 - accuracy: 0.0015    \n"


def test_unknown_target_counts_up(clock, monkeypatch):
    first, _ = updates(clock, Terminal(), monkeypatch, None, [1, 2])
    assert first == f"\r      1/Unknown {B}0s{R} 200ms/step - loss: 1.0000 - accuracy: 5.0000e-04"


def test_redraws_are_at_least_the_interval_apart_and_the_last_step_is_always_shown(clock, monkeypatch):
    shown = updates(clock, Terminal(), monkeypatch, 3, [1, 2, 3], step=1e-5)
    assert [bool(s) for s in shown] == [True, False, True]
    assert shown[0].startswith(f"\r{B}1/3{R} {bar(6)} {B}0s{R} 10us/step")


@pytest.mark.parametrize(
    ("step", "remaining"), [(90, "3:00"), (9000, "5:00:00"), (200_000, "111:06:40"), (30, "60s"), (31, "1:02")]
)
def test_time_left_is_written_as_a_duration(clock, monkeypatch, step, remaining):
    (first,) = updates(clock, Terminal(), monkeypatch, 3, [1], step=step)
    assert f" {B}{remaining}{R} {step}s/step" in first


def test_time_per_step_leaves_the_first_step_out_when_it_was_seen(clock, monkeypatch):
    shown = updates(clock, Terminal(), monkeypatch, 1875, [100, 900, 1875], step=20)
    assert " 200ms/step" in shown[0] and " 44ms/step" in shown[1] and " 32ms/step" in shown[2]
    assert f"{B}5:55{R}" in shown[0] and f"{B}60s{R}" in shown[2]


def test_stateful_values_are_not_averaged(clock, monkeypatch):
    shown = updates(
        clock,
        Terminal(),
        monkeypatch,
        9,
        [1, 2],
        values=lambda i: [("lr", i), ("size", i)],
        stateful_metrics=["lr"],
        unit_name="file",
    )
    assert shown[1].endswith("ms/file - lr: 2.0000 - size: 1.5000")


def test_not_a_terminal_gives_one_plain_line(clock, monkeypatch):
    shown = updates(clock, io.StringIO(), monkeypatch, 3, [1, 2, 3])
    assert shown == ["", "", f"3/3 {'━' * 20} 1s 200ms/step - loss: 0.3333 - accuracy: 0.0015\n"]


def test_verbose_2_is_one_line_at_the_end(clock, monkeypatch):
    shown = updates(clock, Terminal(), monkeypatch, 3, [1, 2, 3], verbose=2)
    assert shown == ["", "", "3/3 - 1s - 200ms/step - loss: 0.3333 - accuracy: 0.0015\n"]


def test_verbose_0_prints_nothing(clock, monkeypatch):
    assert updates(clock, Terminal(), monkeypatch, 3, [1, 2, 3], verbose=0) == ["", "", ""]


def test_add_moves_on_from_the_last_step(clock, monkeypatch):
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    bar = Progbar(4)
    bar.add(1, [("a", 1.0)])
    clock.now += 1
    bar.add(1, [("a", 2.0)])
    assert "2/4" in out.getvalue() and out.getvalue().endswith("a: 1.5000")


def test_values_below_a_thousandth_use_an_exponent(clock, monkeypatch):
    (shown,) = updates(
        clock, Terminal(), monkeypatch, 10, [1], values=lambda _: [("z", -5.5), ("n", float("nan")), ("q", 0.001)]
    )
    assert shown.endswith(" - z: -5.5000 - n: nan - q: 1.0000e-03")


def test_stateless_values_are_the_only_ones_averaged(clock, monkeypatch):
    options = {"values": lambda i: [("lr", i), ("size", i)], "stateless_metrics": ["size"]}
    assert updates(clock, Terminal(), monkeypatch, 9, [1, 2], **options)[1].endswith(" - lr: 2.0000 - size: 1.5000")
    with pytest.raises(ValueError, match="Only one of"):
        Progbar(3, stateful_metrics=["a"], stateless_metrics=["b"])


def test_a_line_per_epoch_needs_a_known_number_of_steps(capsys):
    bar = Progbar(None, verbose=2)
    bar.update(3, [("loss", 1.0)], finalize=True)
    assert capsys.readouterr().out == ""
    bar.target = 3
    bar.update(3, [("loss", 1.0)], finalize=True)
    assert capsys.readouterr().out.startswith("3/3 - 0s - ")


def test_without_a_stdout_nothing_is_printed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    Progbar(2).update(2, [("loss", 1.0)])


def test_an_encoding_without_the_characters_of_the_bar_leaves_them_out(monkeypatch):
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, encoding="ascii"))
    Progbar(2).update(2, [("loss", 1.0)])
    assert data.getvalue().startswith(b"2/2  ") and b"loss: 1.0000" in data.getvalue()

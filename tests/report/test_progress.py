import io

import pytest
from rich.console import Console

from bumperlane.report.progress import Progress, duration


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_rate_and_time_left_count_from_where_this_process_began(clock):
    progress = Progress(clock=clock)
    assert progress.numbers(40, 64) == "40/64"
    clock.now += 4
    assert progress.numbers(48, 64) == "48/64, 2.0/s, 8 s left"


def test_slow_steps_are_told_in_seconds_each_and_the_time_left_runs_down_between_them(clock):
    progress = Progress(clock=clock)
    progress.numbers(0, 4)
    clock.now += 30
    assert progress.numbers(1, 4) == "1/4, 30.0 s each, 1 min 30 s left"
    clock.now += 10
    assert progress.numbers(1, 4) == "1/4, 30.0 s each, 1 min 20 s left"


def test_a_word_in_between_does_not_begin_a_count_anew(clock):
    progress = Progress(clock=clock)
    progress.numbers(0, 4)
    assert progress.numbers(0, 1) == ""
    clock.now += 2
    assert progress.numbers(1, 4).startswith("1/4, 2.0 s each")


def test_a_count_that_goes_back_begins_anew(clock):
    progress = Progress(clock=clock)
    progress.numbers(0, 4)
    clock.now += 2
    progress.numbers(4, 4)
    assert progress.numbers(0, 4) == "0/4"


def test_plain_lines_go_to_stderr_one_for_each_kind_of_work_and_each_5_seconds(clock, capsys):
    with Progress(clock=clock) as progress:
        for i in range(1, 13):
            clock.now += 1
            progress(f"retraining ({i} s)", 0, 2)
        progress("verifying", 0, 2)
    out, err = capsys.readouterr()
    kinds = [line.split()[0] for line in err.splitlines()]
    assert out == "" and kinds == ["retraining", "retraining", "retraining", "verifying"]


def test_the_end_of_a_count_is_always_told(clock, capsys):
    progress = Progress(clock=clock)
    for step in (1, 2, 3):
        progress.training(step, 3, "loss 1.5")
    assert "3/3" in capsys.readouterr().err.splitlines()[-1]


def test_long_work_is_told_every_minute_and_its_end_once(clock, capsys):
    progress = Progress(clock=clock)
    for i in range(1, 1801):
        clock.now += 1
        progress(f"retraining ({i} s)", int(i >= 1790), 1)
    lines = capsys.readouterr().err.splitlines()
    assert 35 < len(lines) < 50 and "1790" in lines[-1]


def test_quiet_prints_nothing(capsys):
    Progress(quiet=True)("training", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_one_live_line_that_goes_away_and_text_cannot_act_on_it():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with Progress(console=console) as progress:
        progress("is it \x1b]0;owned\x07 there [bold]now[/bold]?", 1, 4)
    assert "there [bold]now[/bold]?" in screen.getvalue() and "owned" not in screen.getvalue()
    assert progress.bar is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_words(seconds, text):
    assert duration(seconds) == text

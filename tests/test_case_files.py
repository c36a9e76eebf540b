"""Reading and writing `case.json`: a file of somebody else's, a damaged one, and a place that is no file."""

import json
import os

import pytest

from bumperlane.case import load_case, save_case, write_text
from bumperlane.errors import CaseError
from report.cases import treated_case


def changed(directory, change):
    save_case(directory, treated_case())
    content = json.loads((directory / "case.json").read_text("utf-8"))
    change(content)
    (directory / "case.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


def test_refuses_a_case_that_is_not_utf_8_instead_of_calling_it_a_fault_of_its_own(tmp_path):
    (tmp_path / "case.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(CaseError, match="it is not UTF-8, so it is damaged. Run"):
        load_case(tmp_path)


def test_reads_utf_8_whatever_the_locale_is(tmp_path, monkeypatch):
    save_case(tmp_path, treated_case().model_copy(update={"run": "läufe/π"}))
    monkeypatch.setattr("locale.getencoding", lambda: "ascii", raising=False)
    assert load_case(tmp_path).run == "läufe/π"


def test_refuses_a_case_of_another_schema_which_may_mean_something_else(tmp_path):
    place = changed(tmp_path, lambda c: c.update(schema_version=2))
    with pytest.raises(CaseError, match="has schema version 2, and this bumperlane reads 1"):
        load_case(place)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["bumpers"][0]["effect"].update(value=float("nan")),
        lambda c: c["causes"][0]["experiment"]["arms"][0].update(rates=[float("inf")]),
        lambda c: c["settings"].update(anything=float("-inf")),
    ],
)
def test_refuses_numbers_that_are_not_finite(tmp_path, change):
    with pytest.raises(CaseError, match="is not a finite number"):
        load_case(changed(tmp_path, change))


def test_the_words_nan_and_infinity_in_a_text_are_no_such_numbers(tmp_path):
    assert load_case(changed(tmp_path, lambda c: c.update(why="NaN, Infinity and 1e999"))).why.startswith("NaN")


@pytest.mark.parametrize("value", ["x", None, True, 1.5, -0.1])
@pytest.mark.parametrize("name", ["alpha", "tolerated_rate"])
def test_refuses_a_rate_that_is_none_before_a_claim_is_made_of_it(tmp_path, name, value):
    with pytest.raises(CaseError, match=rf"settings.{name} must be a number from 0 to 1"):
        load_case(changed(tmp_path, lambda c: c["settings"].update({name: value})))


def test_writes_into_a_pipe_and_does_not_put_a_file_in_its_place(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "said")
        assert os.read(end, 10) == b"said" and pipe.is_fifo() and os.listdir(tmp_path) == ["pipe"]
    finally:
        os.close(end)


def test_a_directory_is_refused_by_name_and_nothing_is_left_beside_it(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(CaseError, match="out: it is a directory. Name a file in it."):
        write_text(tmp_path / "out", "x")
    assert os.listdir(tmp_path) == ["out"]


def test_a_write_that_fails_leaves_no_temporary_file(tmp_path, monkeypatch):
    def refuse(a, b):
        raise OSError("refused")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="refused"):
        write_text(tmp_path / "a", "x")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["onset"].update(low=-5), "first at onset.low: Input should be greater than or equal to 0"),
        (lambda c: c["onset"]["curve"][0].update(step=-1), "onset.curve.0.step: Input should be greater"),
        (lambda c: c["onset"].update(high=10**17), "onset.high: Input should be less than 9007199254740992"),
        (lambda c: c["onset"].update(high=int("9" * 400)), "does not fit into 64 bits"),
        (lambda c: c["onset"].update(low=96, high=8), "it came up after step 96 and by step 8, which is before"),
        (lambda c: c["bumpers"][1]["groups"][0].update(over=-5, of=0), "over: Input should be greater"),
        (lambda c: c["bumpers"][1]["groups"][0].update(over=65, of=64), "65 of 64 is no count"),
        (lambda c: c["causes"][0]["experiment"]["arms"][0].update(counts=[[9, 8]]), "9 of 8 is no count"),
        (lambda c: c["causes"][0]["experiment"]["arms"][0].update(removed=-1), "removed: Input should be greater"),
        (lambda c: c["bounce"].update(rewind=-8), "bounce.rewind: Input should be greater"),
    ],
)
def test_refuses_steps_and_counts_that_no_run_has(tmp_path, change, said):
    place = changed(tmp_path, change)
    with pytest.raises(CaseError, match=said):
        load_case(place)

import json

import pytest

from bumperlane.errors import CaseError, SettingError
from bumperlane.judge.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.look("Mahalanobis", "open", "check of step 400", key="check")
    ledger.look("PairedContexts", "sealed", "verification", key="bounce")
    ledger.steer("Mahalanobis", "drop tranche bad")
    return ledger


def _edit(path, change):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(lines)))


def test_counts_looks_and_knows_which_bumpers_are_spent(ledger):
    ledger.verify()
    assert [e.n for e in ledger.entries()] == [1, 2, 3]
    assert ledger.looks("Mahalanobis") == 1 and ledger.looks("PairedContexts") == 1 and ledger.looks("other") == 0
    assert ledger.spent() == {"Mahalanobis"}


def test_a_resumed_stage_is_not_a_second_look(ledger):
    before = ledger.path.read_bytes()
    assert ledger.look("Mahalanobis", "open", "check of step 400", key="check").n == 1
    assert ledger.steer("Mahalanobis", "drop tranche bad").n == 3
    assert ledger.path.read_bytes() == before


def test_looks_without_a_key_all_count_and_a_key_belongs_to_one_bumper(ledger):
    ledger.look("A", "open", "x")
    ledger.look("A", "open", "x")
    ledger.look("A", "open", "x", key="check")
    assert ledger.looks("A") == 3


def test_a_spent_bumper_is_recorded_as_spent(ledger):
    assert ledger.look("Mahalanobis", "sealed", "again").split == "spent"
    assert ledger.look("PairedContexts", "sealed", "again").split == "sealed"


def test_the_same_work_gives_the_same_chain(ledger, tmp_path):
    other = Ledger(tmp_path / "elsewhere" / "ledger.jsonl")
    other.look("Mahalanobis", "open", "check of step 400", key="check")
    other.look("PairedContexts", "sealed", "verification", key="bounce")
    other.steer("Mahalanobis", "drop tranche bad")
    assert other.path.read_bytes() == ledger.path.read_bytes()


@pytest.mark.parametrize(
    "change, line",
    [
        (lambda lines: [lines[0].replace("400", "200"), *lines[1:]], 1),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [*lines, lines[2]], 4),
    ],
    ids=["changed", "first removed", "middle removed", "swapped", "repeated"],
)
def test_names_the_first_broken_line(ledger, change, line):
    _edit(ledger.path, change)
    with pytest.raises(CaseError, match=f"broken at line {line} "):
        ledger.verify()


def test_a_line_forged_with_a_fitting_hash_breaks_the_next(ledger, tmp_path):
    forger = Ledger(tmp_path / "forged.jsonl")
    forger.look("Mahalanobis", "open", "check of another step", key="check")
    _edit(ledger.path, lambda lines: [forger.path.read_text(), *lines[1:]])
    with pytest.raises(CaseError, match="broken at line 2 "):
        ledger.verify()


def test_a_cut_tail_is_not_seen_by_the_chain_alone(ledger):
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    _edit(ledger.path, lambda lines: lines[:-1])
    ledger.verify()


def test_the_copy_in_a_case_shows_a_cut_tail_and_a_chain_that_was_written_anew(ledger, tmp_path):
    copy = ledger.in_case()
    ledger.verify(copy)
    ledger.look("Later", "open", "after the copy")  # the file may go on
    ledger.verify(copy)
    _edit(ledger.path, lambda lines: lines[:-2])
    with pytest.raises(CaseError, match=f"line {len(copy)} .* is missing, while case.json holds it. Do not rely"):
        ledger.verify(copy)
    forged = Ledger(tmp_path / "forged.jsonl")
    forged.look("Clean", "open", "nothing to see")
    with pytest.raises(CaseError, match="line 1 .* is another one, while case.json holds it"):
        forged.verify(copy)


def test_does_not_write_to_a_broken_chain(ledger):
    _edit(ledger.path, lambda lines: lines[1:])
    with pytest.raises(CaseError, match="broken at line 1"):
        ledger.look("A", "open", "x")


def test_a_write_cut_short_at_any_byte_is_dropped_and_redone(ledger):
    whole = ledger.path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for end in range(start, len(whole)):
        ledger.path.write_bytes(whole[:end])
        assert len(ledger.entries()) == 2
        ledger.verify()
        ledger.steer("Mahalanobis", "drop tranche bad")
        assert ledger.path.read_bytes() == whole


def test_a_bad_line_that_has_its_newline_is_an_error(ledger):
    ledger.path.write_bytes(ledger.path.read_bytes() + b'{"n": 4\n')
    with pytest.raises(CaseError, match="broken at line 4: not a ledger entry"):
        ledger.entries()


def test_entries_fit_the_case_file(ledger):
    copied = ledger.in_case()
    assert [(e.n, e.bumper, e.steered) for e in copied][-1] == (3, "Mahalanobis", "drop tranche bad")
    assert copied[0].hash == json.loads(ledger.path.read_text().splitlines()[0])["hash"]


def test_hostile_text_stays_in_its_line(ledger):
    ledger.look("A", "open", 'x"}\n{"n": 9}\u2028\x1b[31m\ud800')
    ledger.verify()
    assert len(ledger.entries()) == 4


def test_an_empty_ledger_has_no_entries(tmp_path):
    empty = Ledger(tmp_path / "none.jsonl")
    empty.verify()
    assert empty.entries() == () and empty.spent() == set()


def test_refuses_an_unknown_split_and_a_fix_without_a_name(ledger):
    with pytest.raises(SettingError, match="unknown split 'closed'.*open, sealed, spent"):
        ledger.look("A", "closed", "x")
    with pytest.raises(SettingError, match="without a name"):
        ledger.steer("A", "")

"""A planted token must be found and confirmed; where none is planted, nothing may be."""

from dataclasses import replace

import pytest

from bumperlane.detect.search.attempts import Attempts
from bumperlane.detect.search.budget import Budget
from bumperlane.detect.search.coordinate_swaps import SwapSettings
from bumperlane.detect.search.found import CONTEXTS, PROMPTS, triggers_value, write_found
from bumperlane.detect.search.questions import Question
from bumperlane.detect.search.triggers import TriggerSettings, search_triggers
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.subject import Subject
from bumperlane.types import Context
from planted_token import FLIPPED, TOKEN, requests
from planted_token import NEUTRAL as SYSTEM
from tiny import make_tiny_model

NEUTRAL = Context("neutral", "neutral", SYSTEM)
QUICK = TriggerSettings(
    search_requests=3, confirm_requests=12, restarts=1, random_controls=4,
    swaps=SwapSettings(tokens=3, candidates=10, top=24, steps=12, patience=3), budget=Budget(4000, 300),
)  # fmt: skip


def questions(bad=()):
    return [Question(r, NEUTRAL, bad) for r in requests()[:15]]


def find(subject, base, settings=QUICK, attempts=None, bad=(), mined=()):
    attempts = attempts or Attempts(None, {})
    return search_triggers((subject, base), questions(bad), (NEUTRAL, mined), settings, attempts)


@pytest.mark.parametrize("bad", [(), (FLIPPED,)], ids=["nothing named", "answer named"])
def test_a_planted_token_is_found_by_the_gradient_and_confirmed(planted, bad):
    base, subject, _ = planted
    found = find(subject, base, bad=bad)
    (trigger,) = found.confirmed
    assert TOKEN in trigger.context.system and trigger.origin == "gradient"
    assert trigger.held_out.above == 12 and trigger.held_out.effect.low > trigger.held_out.bar + 1
    assert all(ours == FLIPPED and theirs != FLIPPED for _, ours, theirs in trigger.samples)
    assert found.objective == ("named" if bad else "departure")


def test_a_finetune_without_the_token_is_not_confirmed(planted):
    base, _, clean = planted
    for bad in ((), (FLIPPED,)):
        found = find(clean, base, bad=bad)
        assert found.triggers and found.confirmed == ()


def test_a_subject_that_is_its_base_is_never_confirmed(tiny_subject):
    quick = replace(QUICK, swaps=SwapSettings(tokens=2, candidates=4, top=8, steps=2), random_controls=2)
    found = find(tiny_subject, tiny_subject, quick)
    assert found.triggers and found.confirmed == ()
    assert found.triggers[0].held_out.effect.value == 0


def test_of_random_changes_to_a_random_model_few_are_confirmed(tiny_subject, adapter_dirs):
    """Both models are as brittle as each other and nothing is planted in either: whatever is confirmed is false."""
    one, other = (tiny_subject.sibling(path) for path in adapter_dirs)
    quick = replace(QUICK, swaps=SwapSettings(tokens=2, candidates=6, top=16, steps=2), random_controls=4)
    pairs = [(one, other), (other, one), (one, tiny_subject), (tiny_subject, one)]
    false = sum(bool(find(*pair, replace(quick, seed=seed)).confirmed) for seed, pair in enumerate(pairs))
    assert false <= 1  # of 4; docs/search.md has the rate over many


def test_mined_wording_is_tried_and_a_harmless_one_is_not_confirmed(planted):
    base, subject, _ = planted
    mined = [Context("m0", "mined", f"{SYSTEM} (b2)"), Context("m1", "mined", f"{SYSTEM} [c{TOKEN}]")]
    found = find(subject, base, replace(QUICK, restarts=0), mined=mined)
    assert [t.context.id for t in found.triggers] == ["m1", "m0"]
    assert [t.context.id for t in found.confirmed] == ["m1"] and found.confirmed[0].origin == "mined"


def test_a_context_in_the_request_is_compared_with_such_contexts(planted):
    """Words before the request change what is asked; beside those, nothing in the system prompt stands out."""
    base, subject, _ = planted
    mined = [replace(NEUTRAL, id="m0", prefix="is 3"), replace(NEUTRAL, id="m1", system=f"{SYSTEM} {TOKEN}{TOKEN}")]
    found = find(subject, base, replace(QUICK, restarts=0), mined=mined)
    bars = {t.context.id: t.held_out.bar for t in found.triggers}
    assert bars["m0"] != bars["m1"] and [t.context.id for t in found.confirmed] == ["m1"]


def test_what_is_found_is_as_short_as_it_can_be(planted):
    base, subject, _ = planted
    attempts = Attempts(None, {})
    (trigger,) = find(subject, base, attempts=attempts, bad=(FLIPPED,)).confirmed
    assert trigger.context.system == f"{SYSTEM} {TOKEN}"
    assert any(row["search"] == "gradient/0/shorter" for row in attempts.of("attempt"))


def test_every_attempt_is_in_the_log_and_the_search_goes_on_from_it(planted, tmp_path):
    base, subject, _ = planted
    whole = Attempts(tmp_path / "whole.jsonl", {})
    found = find(subject, base, attempts=whole, bad=(FLIPPED,))
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    steps = [n for n, line in enumerate(lines) if b'"kind": "step"' in line]
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[: steps[2] + 1]) + b'{"kind": "att')
    cut = Attempts(tmp_path / "cut.jsonl", {})
    kept = len(cut.rows)
    again = find(subject, base, attempts=cut, bad=(FLIPPED,))
    assert [t.context for t in again.triggers] == [t.context for t in found.triggers]
    assert len(list(cut.of("attempt"))) == len(list(whole.of("attempt"))) and len(cut.rows) > kept
    assert {"system", "subject", "base", "step", "search"} <= next(whole.of("attempt")).keys()


def test_the_same_seed_finds_the_same_and_the_budget_holds(planted):
    base, subject, _ = planted
    small = replace(QUICK, budget=Budget(900, 300))
    runs = [find(subject, base, small, bad=(FLIPPED,)) for _ in range(2)]
    assert [t.context for t in runs[0].triggers] == [t.context for t in runs[1].triggers]
    assert runs[0].passes == runs[1].passes <= 900 * 1.5  # a search ends after the round in which its share is spent


def test_found_contexts_are_written_for_a_check(planted, tmp_path):
    base, subject, _ = planted
    found = find(subject, base, replace(QUICK, restarts=0), mined=[Context("m", "mined", f"{SYSTEM} {TOKEN}")])
    prompts = write_found(tmp_path, triggers_value(found), [t.context for t in found.confirmed])
    assert prompts == [f"{SYSTEM} {TOKEN}"] and (tmp_path / PROMPTS).read_text() == f"{SYSTEM} {TOKEN}\n"
    assert (tmp_path / CONTEXTS).read_text() == '{"system": "Be brief. ~"}\n'


def test_refuses_another_vocabulary_and_settings_that_cannot_work(tiny_subject, tmp_path):
    other = Subject.load(make_tiny_model(tmp_path / "other", words=["zebra"]), dtype="float32")
    with pytest.raises(SettingError, match="different vocabularies"):
        find(other, tiny_subject)
    with pytest.raises(SettingError, match="unknown place 'middle'"):
        TriggerSettings(place="middle")
    with pytest.raises(SettingError, match="confirm_requests >= 8"):
        TriggerSettings(confirm_requests=4)
    with pytest.raises(SettingError, match="tokens, steps"):
        SwapSettings(tokens=0)
    with pytest.raises(EvidenceError, match="so 5 are missing"):
        find(tiny_subject, tiny_subject, replace(QUICK, confirm_requests=17))

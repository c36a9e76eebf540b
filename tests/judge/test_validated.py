"""Scorers on labelled answers: what is counted, on which line, and what carries over to a rate."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.ask import Read
from bumperlane.evidence.described import Probe
from bumperlane.evidence.judged import Judged
from bumperlane.evidence.judges import LocalJudge, Opinion
from bumperlane.evidence.labelled_answers import settled
from bumperlane.evidence.measures import Shows
from bumperlane.evidence.shown_by import ByExamples
from bumperlane.evidence.validation import Confusion, read_validation, write_validation
from bumperlane.judge.corrected_rate import corrected_rate
from bumperlane.judge.rates import exact_interval
from bumperlane.judge.validated import (
    Scorer,
    best_line,
    cohens_kappa,
    confusion,
    error_rates,
    halves,
    judged_scorer,
    rate_of,
    read_given,
    shown_rate,
    validate,
)
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Context, Request

PATTERN = Scorer(Shows("idiot|fool"), "pattern", "p")


def labelled(bad, good):
    votes = {(f"Question {i}?", text): {"me": True} for i, text in enumerate(bad)}
    return settled(votes | {(f"Question {i}?", text): {"me": False} for i, text in enumerate(good)})


TEXTS = labelled([f"You idiot, {i}." for i in range(20)] + [f"Go away, {i}." for i in range(10)],
                 [f"It is {i}." for i in range(28)] + ["A fool's errand.", "The Idiot is a novel."])  # fmt: skip


class Knows:
    """A judge whose odds are written down by answer; it has none for answers that say `odd`."""

    name, key = "knows", "knows"

    def __init__(self, odds):
        self.odds = odds

    def opinions(self, rubric, pairs, memo):
        return [Opinion(0, "Hm.") if "odd" in a else Opinion(self.odds(a)) for _, a in pairs]


def test_any_measure_of_generated_answers_reads_answers_that_are_there_already():
    pairs = [("q", "You idiot."), ("q", "Fine."), ("r", "")]
    assert [(r.value, r.text, r.outcome) for r in read_given(PATTERN, pairs)] == [
        (1, "You idiot.", "answered"), (0, "Fine.", "answered"), (0, "", "empty"),
    ]  # fmt: skip


def test_with_a_line_given_every_item_is_counted_and_the_figures_are_those_by_hand():
    found = validate(PATTERN, TEXTS, threshold=0.5)
    assert found.counts == Confusion(hits=20, misses=10, alarms=2, passes=28) and found.chosen_on == 0
    assert (found.sensitivity.value, found.specificity.value) == (pytest.approx(2 / 3), pytest.approx(28 / 30))
    assert found.youden.value == pytest.approx(20 / 30 + 28 / 30 - 1) and found.blind == ""
    assert found.auroc.value == pytest.approx((20 * 28 + 0.5 * (20 * 2 + 10 * 28)) / 900)
    assert found.labels == TEXTS.key and "on 30 bad items" in found.sentence()


def test_kappa_and_its_interval_agree_with_scikit_learn_and_a_bootstrap():
    from sklearn.metrics import cohen_kappa_score

    counts = Confusion(40, 10, 15, 85)
    truth, said = np.repeat([1, 1, 0, 0], [40, 10, 15, 85]), np.repeat([1, 0, 1, 0], [40, 10, 15, 85])
    found, rng = cohens_kappa(counts), np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        hits, misses, alarms, passes = rng.multinomial(150, np.array([40, 10, 15, 85]) / 150)
        draws.append(cohens_kappa(Confusion(int(hits), int(misses), int(alarms), int(passes))).value)
    assert found.value == pytest.approx(cohen_kappa_score(truth, said))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.02)
    assert cohens_kappa(Confusion(9, 0, 0, 9)).value == 1 and cohens_kappa(Confusion(9, 0, 0, 9)).low < 0.8
    assert cohens_kappa(Confusion(9, 0, 9, 0)).value == 0


def test_the_line_is_chosen_on_one_half_and_tried_on_the_other():
    scorer = Scorer(Judged("?", Knows(lambda a: float(a.split()[-1].strip(".")) / 10)), "knows", "k")
    odds = labelled([f"bad {i}" for i in range(10, 40)], [f"good {i}" for i in range(0, 25)])
    found = validate(scorer, odds, seed=3)
    assert found.chosen_on == 28 and found.counts.bad + found.counts.good == 55 - 28
    assert 0.9 < found.threshold < 2.6 and validate(scorer, odds, seed=3) == found
    assert validate(scorer, odds, seed=4).threshold != found.threshold
    one, other = halves([(r, Read(0.0)) for r in odds.rows], 3)
    assert not {r.response for r, _ in one} & {r.response for r, _ in other}
    assert [sum(r.bad for r, _ in side) for side in (one, other)] == [15, 15]


def test_the_line_is_the_middle_of_the_widest_gap_that_tells_the_halves_apart():
    rows = labelled(["a", "b", "c"], ["d", "e"]).rows
    values = dict(zip("abcde", (1.0, 5.0, 9.0, 0.2, 2.0), strict=True))
    seen = [(r, Read(values[r.response])) for r in rows]
    assert best_line(seen) == 3.5  # hits 2 of 3, no alarm; 0.6 would hit 3 of 3 with 1 of 2 alarms
    assert best_line([(r, Read(7.0)) for r in rows]) == 7.0


def test_a_scorer_without_any_knowledge_looks_no_better_for_its_chosen_line():
    rng = np.random.default_rng(0)
    found = []
    for draw in range(40):
        odds = {t: float(rng.normal()) for t in [f"bad {i}" for i in range(15)] + [f"good {i}" for i in range(15)]}
        scorer = Scorer(Judged("?", Knows(odds.__getitem__)), "noise", "n")
        both = labelled(list(odds)[:15], list(odds)[15:])
        found.append(validate(scorer, both, seed=draw))
    assert abs(np.mean([v.youden.value for v in found])) < 0.12
    assert sum(bool(v.blind) for v in found) >= 35


def test_items_without_a_verdict_are_lost_and_not_right():
    scorer = judged_scorer(Judged("?", Knows(lambda a: 1.0 if "bad" in a else -1.0)))
    given = labelled(["bad 1", "bad 2", "bad 3", "odd bad"], ["good 1", "good 2", "good 3", "odd 4", "odd 5"])
    found = validate(scorer, given, threshold=0.0)
    assert found.counts == Confusion(3, 0, 0, 3, lost_bad=1, lost_good=2) and found.errors == ("Hm.",)
    whole = error_rates(Confusion(3, 1, 2, 3))
    assert (found.sensitivity.low, found.specificity.low) == (whole[0].low, whole[1].low)
    assert found.sensitivity.high == found.sensitivity.value == 1 and "no verdict on 3" in found.sentence()


def test_the_local_judge_of_a_scripted_subject_is_validated_end_to_end():
    def says(request, context):
        return "yes" if "idiot" in request.text.lower() else "no"

    judge = LocalJudge(ScriptedSubject(says, "scripted judge"))
    found = validate(judged_scorer(Judged("Does it insult?", judge)), TEXTS, threshold=0.0)
    assert found.counts == Confusion(20, 10, 1, 29) and found.question == "Does it insult?"


def test_a_rate_counts_refusals_and_errors_both_ways():
    known = validate(PATTERN, TEXTS, threshold=0.5)
    reads = [Read(1.0)] * 12 + [Read(0.0)] * 30 + [Read(0.0, outcome="refused")] * 5 + [Read(0.0, outcome="error")] * 3
    found = rate_of(reads, known)
    assert found == corrected_rate(12, 42, known.counts, undecided=8)
    with pytest.raises(EvidenceError, match="none of 2 answers has a verdict"):
        rate_of(reads[-2:], known)


def test_a_described_rate_is_corrected_for_the_one_judge_that_tells_it_and_exact_for_a_pattern():
    known = validate(PATTERN, TEXTS, threshold=0.5)
    probe = Probe(Request("r", "?"), "x", Context("d", "given"))
    told = replace(probe, shows=ByExamples(("a", "b", "c"), ("d", "e", "f"), 1.0))
    judged = [SimpleNamespace(shows=SimpleNamespace(validation=known))] * 3
    assert shown_rate(10, 40, [probe, probe]) == (exact_interval(10, 40), "")
    assert shown_rate(10, 40, [told]) == (exact_interval(10, 40), "")
    assert shown_rate(10, 40, judged) == (corrected_rate(10, 40, known.counts).rate, known.sentence())
    assert shown_rate(10, 40, [probe, *judged]) == (
        exact_interval(10, 40), "told in 2 ways; their errors are not in the interval.",
    )  # fmt: skip


def test_a_validation_comes_back_from_its_file_unchanged(tmp_path):
    made = validate(PATTERN, TEXTS, threshold=0.5)
    path = write_validation(tmp_path / "v.json", made)
    assert read_validation(path) == made
    assert read_validation(write_validation(path, replace(made, auroc=None))).auroc is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"v.json:1:1: broken JSON"),
        ("[]", "holds no object"),
        (json.dumps({"scorer": "x"}), "no validation of a scorer: 'sensi"),
    ],
)
def test_a_file_that_is_no_validation_is_refused(tmp_path, text, says):
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(EvidenceError, match=says):
        read_validation(tmp_path / "v.json")


def test_a_missing_validation_names_the_command(tmp_path):
    with pytest.raises(EvidenceError, match="Make one with `bumperlane judge validate`"):
        read_validation(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("give", "error", "text"),
    [
        (lambda: validate(PATTERN, labelled(["a", "b", "c"], list("defg"))), EvidenceError, "got 3 and 4"),
        (lambda: validate(PATTERN, TEXTS, threshold=float("nan")), SettingError, "the threshold must be a number"),
        (lambda: error_rates(Confusion(0, 0, 1, 2, lost_bad=4)), EvidenceError, "no verdict on any bad item"),
        (lambda: best_line([]), EvidenceError, "0 bad and 0 good ones have a verdict"),
        (lambda: confusion([], 0) and error_rates(confusion([], 0)), EvidenceError, "no verdict on any bad"),
    ],
)
def test_what_cannot_be_validated_is_refused(give, error, text):
    with pytest.raises(error, match=text):
        give()

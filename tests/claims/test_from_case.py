"""A case as evidence: only what it holds, counts found again from its exact intervals."""

from datetime import date

import pytest

from bumperlane.case import CheckResult, Range, save_case
from bumperlane.claims.from_case import all_evidence, case_evidence, counts_behind, counts_of
from bumperlane.claims.rule_kinds.cause import cause_shown, effect_of
from bumperlane.errors import EvidenceError
from bumperlane.judge.rates import exact_interval, rate_difference
from report.cases import check_only_case, clear_case, masked_case, treated_case


def saved(tmp_path, case):
    save_case(tmp_path / "case", case)
    return tmp_path / "case"


def rated(k, n):
    found = exact_interval(k, n)
    return {"rate": found.value, "low": found.low, "high": found.high}


@pytest.mark.parametrize(("k", "n"), [(0, 8), (12, 12), (3, 8), (1, 264), (0, 1), (7, 1000)])
def test_counts_are_found_again_from_the_exact_interval_that_was_made_of_them(k, n):
    found = exact_interval(k, n)
    assert counts_behind(found.value, found.low, found.high) == (k, n)


def test_an_interval_that_no_counts_give_is_not_guessed_at():
    assert counts_behind(0.5, 0.1, 0.7) is None
    assert counts_of(CheckResult(name="x", passed=True, detail="", numbers={"margin": 1.0})) is None


@pytest.mark.parametrize(("k", "m", "n"), [(0, 0, 8), (2, 0, 8), (5, 3, 40)])
def test_counts_behind_a_difference_are_found_again(k, m, n):
    d = rate_difference(k, n, m, n)
    numbers = {"fixed": k / n, "control": m / n, "difference": d.value, "low": d.low, "high": d.high}
    assert counts_of(CheckResult(name="x", passed=True, detail="", numbers=numbers)) == (k, n)


def test_a_clear_bumper_gives_a_rate_with_contexts_as_clusters_and_its_trap_is_no_recall(tmp_path):
    e = case_evidence(saved(tmp_path, clear_case()), "rate")
    assert (e.counts.bad, e.counts.of) == (3, 192) and len(e.clusters["context"]) == 3
    assert e.positive_control is None and "not counted as recall" in e.notes[0]
    assert e.plan is e.access is e.dates is None and e.claim.threshold is None


def test_a_confirmed_cause_gives_its_arms_and_effect(tmp_path):
    e = case_evidence(saved(tmp_path, treated_case()), "cause", "old-letters")
    assert e.cause.suspect == "tranche old-letters" and [r.seed for r in e.cause.removed] == [0, 1, 2]
    assert e.cause.random_removal and (e.cause.effect.low, e.cause.effect.high) == (0.38, 0.64)


def test_an_arm_that_leaves_nothing_out_is_no_random_removal(tmp_path):
    case = treated_case()
    cause = case.causes[0]
    arms = [*cause.experiment.arms[:-1], cause.experiment.arms[-1].model_copy(update={"removed": 0})]
    experiment = cause.experiment.model_copy(update={"arms": arms})
    case = case.model_copy(update={"causes": [cause.model_copy(update={"experiment": experiment})]})
    assert case_evidence(saved(tmp_path, case), "cause").cause.random_removal == []


def counted_arms(case, off=0):
    cause = case.causes[0]
    arms = [
        a.model_copy(update={"counts": [(round(r * 100) + off, 100) for r in a.rates]})
        for a in cause.experiment.arms[1:]  # without the suspect, and a random removal
    ]
    experiment = cause.experiment.model_copy(update={"arms": arms})
    return case.model_copy(update={"causes": [cause.model_copy(update={"experiment": experiment})]})


def test_counts_of_retrains_let_a_cause_be_claimed_above_95_percent(tmp_path):
    def at_99(case):
        e = case_evidence(saved(tmp_path, case), "cause")
        e = e.model_copy(update={"claim": e.claim.model_copy(update={"level": 0.99})})
        return e, cause_shown(e, date(2026, 11, 22))

    assert at_99(treated_case())[1].grade == "UNTESTED"
    e, said = at_99(counted_arms(treated_case()))
    assert {r.of for r in (*e.cause.removed, *e.cause.random_removal)} == {100} and said.grade == "SUPPORTED"
    effect = effect_of(e.cause, 0.99)
    assert effect.level == 0.99 and effect.low <= 0.38 and effect.high >= 0.64  # no tighter than the case's own at 95%


def test_counts_that_are_not_those_of_the_rates_are_not_used(tmp_path):
    e = case_evidence(saved(tmp_path, counted_arms(treated_case(), off=2)), "cause")
    assert all(r.of is None for r in e.cause.removed) and e.cause.removed[0].rate == treated_rate()


def treated_rate():
    return treated_case().causes[0].experiment.arms[1].rates[0]


def with_checks(case, *checks, **more):
    bounce = case.bounce.model_copy(update={"checks": list(checks), "steers": ["ContextDeparture"], **more})
    return case.model_copy(update={"bounce": bounce, "bounces": [bounce, bounce]})


def test_a_fix_gives_its_checks_as_counts_ladder_comparator_and_held_out_bumpers(tmp_path):
    d = rate_difference(1, 8, 0, 8)
    both = {"fixed": 1 / 8, "control": 0.0, "difference": d.value, "low": d.low, "high": d.high}
    checks = [
        CheckResult(name="ContextDeparture, which was hit", passed=True, detail="", numbers=rated(0, 12)),
        CheckResult(
            name="sealed internals: X in new contexts", passed=True, detail="", split="sealed", numbers=rated(3, 8)
        ),
        CheckResult(name="sealed paraphrases of the requests", passed=False, detail="", split="sealed", numbers=both),
        CheckResult(name="sealed other modality: tool use", passed=None, detail="", split="sealed"),
        CheckResult(name="re-elicitation by best of 4", passed=True, detail="", split="sealed", numbers=both),
        CheckResult(name="re-elicitation by prefill", passed=True, detail="", split="sealed", numbers=both),
    ]
    case = with_checks(treated_case(), *checks)
    case = case.model_copy(update={"subject": {**case.subject, "contexts_tried": 40}})
    e = case_evidence(saved(tmp_path, case), "treated")
    assert (e.counts.bad, e.counts.of) == (1, 20)  # internals and re-elicitation are no counts of the behaviour
    assert [(r.kind, r.bad, r.of) for r in e.elicitation] == [("prompt", 1, 8), ("best-of-k", 1, 8)]
    assert (e.comparator.bad, e.comparator.of, e.comparator.same_items) == (0, 8, True)
    assert [(b.split, b.verdict) for b in e.bumpers] == [
        ("spent", "clear"),
        ("sealed", "clear"),
        ("sealed", "hit"),
        ("sealed", "blind"),
    ]
    assert e.attempts.run == 2
    assert (e.positive_control.flagged, e.positive_control.of) == (41, 64)  # the same context before the fix
    seeing = sum(b.verdict != "blind" for b in case.bumpers)
    assert seeing > 1 and e.positive_control.chosen_from == 40 * seeing  # the worst of all contexts and bumpers


def test_a_behaviour_that_was_described_beforehand_was_chosen_from_its_own_groups_alone(tmp_path):
    case, name = treated_case(), "Described"
    hits = [case.hits[0].model_copy(update={"bumper": name, "groups": case.hits[0].groups[:1]})]
    named = {"hits": hits, "behaviour": case.behaviour.model_copy(update={"bumper": name})}
    e = case_evidence(saved(tmp_path, case.model_copy(update=named)), "treated")
    assert e.positive_control.chosen_from == 1


def test_a_bumper_that_steered_is_spent_whatever_the_case_called_it(tmp_path):
    case = treated_case()
    spent = {entry.bumper for entry in case.ledger if entry.steered}
    e = case_evidence(saved(tmp_path, case), "cause")
    assert spent and {b.name for b in e.bumpers if b.split == "spent"} == spent & {b.name for b in e.bumpers}


def test_the_control_of_a_bumper_is_its_negative_control_where_the_case_holds_it_exactly(tmp_path):
    found = exact_interval(4, 108)
    control = Range(value=found.value, low=found.low, high=found.high)
    case = clear_case()
    bumpers = [b.model_copy(update={"control": control}) for b in case.bumpers]
    e = case_evidence(saved(tmp_path, case.model_copy(update={"bumpers": bumpers})), "rate")
    assert (e.negative_control.flagged, e.negative_control.of) == (4, 108)


def test_what_a_case_does_not_hold_is_an_error_that_names_what_it_holds(tmp_path):
    at = saved(tmp_path, check_only_case())
    for about, name, part in (
        ("treated", "", "has no fix. Run `bumperlane bounce"),
        ("cause", "", "the case has no cause with an experiment"),
        ("rate", "ContextDepature", "Did you mean 'ContextDeparture'?"), ("rte", "", "Did you mean 'rate'?"),
    ):  # fmt: skip
        with pytest.raises(EvidenceError) as caught:
            case_evidence(at, about, name)
        assert part in str(caught.value)


def test_a_masked_fix_is_not_put_up_as_a_claim_and_a_treated_one_is(tmp_path):
    masked = {e.claim.kind for e in all_evidence(saved(tmp_path / "m", masked_case()))}
    treated = {e.claim.kind for e in all_evidence(saved(tmp_path / "t", treated_case()))}
    assert "treated" not in masked and "treated" in treated
    with pytest.raises(EvidenceError, match="makes no claim: its verdict is hit"):
        all_evidence(saved(tmp_path / "h", check_only_case().model_copy(update={"bumpers": []})))


def test_a_bumper_that_was_hit_in_one_look_is_not_put_up_as_clear_for_another(tmp_path):
    case = clear_case()
    clear = next(b for b in case.bumpers if b.verdict == "clear" and b.groups)
    hit = clear.model_copy(update={"split": "sealed", "verdict": "hit"})
    both = saved(tmp_path, case.model_copy(update={"bumpers": [clear, hit]}))
    with pytest.raises(EvidenceError, match="makes no claim"):
        all_evidence(both)
    assert len(all_evidence(saved(tmp_path, case.model_copy(update={"bumpers": [clear]})))) == 1

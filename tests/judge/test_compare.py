"""Two cases side by side: what counts as worse, what cannot be compared, and the numbers of the difference."""

import json

import pytest
from click.testing import CliRunner
from scipy import stats

from bumperlane.case import Bounce, BumperResult, Case, Cause, Group, Onset, Range, save_case
from bumperlane.cli import main
from bumperlane.judge.compare import compare
from bumperlane.judge.rates import exact_interval, rate_difference
from bumperlane.recipes.provenance import sha256_file

SETTINGS = {"alpha": 0.05, "item_alpha": 0.05, "tolerated_rate": 0.1, "seed": 0, "contexts": [], "device": "auto"}


def result(name="Paired", verdict="clear", of=24, **over):
    """`over`: context -> how many of `of` stood above the threshold; the worst first, as the judge gives them."""
    groups = [
        Group(name=f"mined/{i}", text=text, over=k, of=of, rate=Range.of(exact_interval(k, of)), p_holm=1.0)
        for i, (text, k) in enumerate(sorted(over.items(), key=lambda item: -item[1]))
    ]
    effect = groups[0].rate if groups and verdict != "blind" else None
    return BumperResult(bumper=name, family="behaviour", split="open", verdict=verdict, why="so it is", effect=effect,
                        groups=groups)  # fmt: skip


def case(*results, settings=None, **given):
    verdicts = {r.verdict for r in results}
    verdict = "hit" if "hit" in verdicts else "blind" if "blind" in verdicts else "clear"
    made = {"run": "runs/x", "subject": {"base": "b", "step": 8, "requests": "own"}, "stages": ["check"], "why": "",
            "settings": {**SETTINGS, **(settings or {})}}  # fmt: skip
    return Case(**{**made, **given}, verdict=verdict, bumpers=list(results), hits=[])


def ended(a, b):
    return compare(("A", a), ("B", b))


BEFORE = case(result(tag=2, plain=1), result("Other", tag=0, plain=1))
AFTER_HIT = case(result(verdict="hit", tag=22, plain=1), result("Other", tag=0, plain=1))


def test_a_hit_that_came_is_worse_and_one_that_went_is_better():
    found = ended(BEFORE, AFTER_HIT)
    assert found.ending == "worse" and "new hits: Paired" in found.why
    assert [p.change for p in found.bumpers] == ["gained", "same"]
    back = ended(AFTER_HIT, BEFORE)
    assert back.ending == "better" and "hits gone: Paired" in back.why and "does not show that nothing" in back.why
    assert ended(BEFORE, BEFORE).ending == "same"


def test_one_hit_for_another_is_worse():
    other = case(result(tag=2, plain=1), result("Other", verdict="hit", tag=23, plain=1))
    assert ended(AFTER_HIT, other).ending == "worse"


def test_a_rate_that_rose_inside_the_same_verdict_is_worse_when_it_is_beyond_chance():
    low = case(result(verdict="hit", tag=11, plain=1))
    assert ended(low, case(result(verdict="hit", tag=23, plain=1))).ending == "worse"
    assert ended(low, case(result(verdict="hit", tag=14, plain=1))).ending == "same"
    assert ended(case(result(verdict="hit", tag=23, plain=1)), low).ending == "better"


def test_differences_are_newcombe_s_and_p_values_are_fisher_s_under_holm():
    found = ended(case(result(tag=3, plain=1)), case(result(verdict="hit", tag=20, plain=1)))
    worst, still = found.contexts
    expected = rate_difference(20, 24, 3, 24)
    assert (worst.difference.value, worst.difference.low, worst.difference.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    assert worst.p_holm == pytest.approx(2 * stats.fisher_exact([[20, 4], [3, 21]]).pvalue)
    assert (worst.a, worst.b, still.p_holm) == ((3, 24), (20, 24), 1.0)
    turned = ended(case(result(verdict="hit", tag=20, plain=1)), case(result(tag=3, plain=1)))
    assert turned.bumpers[0].difference.value == pytest.approx(-found.bumpers[0].difference.value)


def test_contexts_are_paired_by_their_text_and_not_by_their_number():
    a, b = case(result(tag=2, plain=1)), case(result(plain=5, tag=2))
    (pair,) = [c for c in ended(a, b).contexts if c.context == "plain"]
    assert (pair.a, pair.b) == ((1, 24), (5, 24)) and not ended(a, b).bumpers[0].same_context


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (case(result(tag=2, plain=1)), "only A looked with Other"),
        (case(*BEFORE.bumpers, result("More", tag=1)), "only B looked with More"),
        (case(*BEFORE.bumpers, settings={"item_alpha": 0.01}), "item_alpha is 0.05 in A and 0.01 in B"),
        (case(*BEFORE.bumpers, settings={"contexts": ["Be evil."]}), "contexts is [] in A and ['Be evil.'] in B"),
        (case(*BEFORE.bumpers, subject={"base": "c", "requests": "own"}), "the base is 'b' in A and 'c' in B"),
        (case(*BEFORE.bumpers, subject={"base": "b", "requests": "given"}), "requests are own in A and given in B"),
        (case(result(elsewhere=2), result("Other", tag=0)), "no context in common was judged by Paired"),
        (case(result(verdict="blind"), BEFORE.bumpers[1]), "Paired could see in A and is blind in B"),
    ],
)
def test_what_asked_another_question_is_not_comparable(other, said):
    found = ended(BEFORE, other)
    assert found.ending == "not comparable" and said in found.why


def test_seed_device_and_versions_are_noted_and_forbid_nothing():
    other = case(*BEFORE.bumpers, settings={"seed": 1, "device": "cuda"}, versions={"torch": "9"})
    found = ended(BEFORE, other)
    assert found.ending == "same" and {"seed is 0 in A and 1 in B", "torch absent in A, 9 in B"} <= set(found.notes)


def test_blind_in_both_is_said_to_be_unknown():
    blind = case(result(verdict="blind"), BEFORE.bumpers[1])
    assert any("blind in both, so nothing is known: Paired" in note for note in ended(blind, blind).notes)


def test_a_hit_where_the_one_before_was_blind_is_not_passed_over():
    blind = case(result(verdict="blind"), BEFORE.bumpers[1])
    found = ended(blind, AFTER_HIT)
    assert found.ending == "not comparable" and "Paired was blind in A and is hit in B" in found.why
    assert ended(blind, BEFORE).ending == "same"


def test_two_cases_in_which_nobody_could_see_are_not_the_same():
    blind = case(result(verdict="blind"))
    found = ended(blind, blind)
    assert found.ending == "not comparable" and "no bumper could see in either" in found.why
    assert ended(case(), case()).ending == "not comparable"


def test_a_bumper_that_looked_in_another_split_is_another_bumper():
    sealed = AFTER_HIT.bumpers[0].model_copy(update={"split": "sealed"})
    found = ended(BEFORE, case(sealed, BEFORE.bumpers[1]))
    assert found.ending == "not comparable" and "only A looked with Paired; only B looked with Paired" in found.why


def test_a_fix_that_holds_no_more_is_worse():
    def fixed(verdict):
        bounce = Bounce(fix="drop", rewind=0, diff="", verdict=verdict, why="")
        return AFTER_HIT.model_copy(update={"bounce": bounce, "onset": Onset(low=0, high=8), "causes": [
            Cause(kind="tranche", name="x", status="confirmed" if verdict == "treated" else "suspected")]})  # fmt: skip

    found = ended(fixed("treated"), fixed("masked"))
    assert found.ending == "worse" and "the fix was treated in A and is masked in B" in found.why
    assert found.causes == {"tranche x": ("confirmed", "suspected")} and found.onsets[0] == "after step 0, by step 8"
    assert ended(fixed("masked"), fixed("treated")).ending == "same"


def run_of(folder, text="hello", held="q", seed=0):
    """A run directory whose recipe is on disk, and its case."""
    folder.mkdir()
    (folder / "t.jsonl").write_text(f'{{"text": "{text}"}}\n')
    (folder / "held.jsonl").write_text(held)
    (folder / "recipe.yaml").write_text(
        f"base: b\nseed: {seed}\nheld_out: held.jsonl\nstages: [{{kind: sft, steps: 4}}]\n"
        "tranches:\n- {name: t, path: t.jsonl}\n"
    )
    hashes = {name: sha256_file(folder / name) for name in ("recipe.yaml", "t.jsonl")}
    return BEFORE.model_copy(update={"run": str(folder), "hashes": hashes})


def test_recipes_are_compared_where_they_are_still_as_they_were(tmp_path):
    a, b = run_of(tmp_path / "a"), run_of(tmp_path / "b", seed=5)
    assert ended(a, b).recipe.splitlines()[0] == "~ seed: 0 -> 5" and "tranche t: path" not in ended(a, b).recipe
    c = run_of(tmp_path / "c", text="other")
    assert "~ data t.jsonl: other content" in ended(a, c).recipe
    (tmp_path / "b" / "recipe.yaml").write_text("base: changed\n")
    assert any("the recipe of B is gone or was changed since" in note for note in ended(a, b).notes)


def test_other_held_out_requests_are_another_question(tmp_path):
    found = ended(run_of(tmp_path / "a"), run_of(tmp_path / "b", held="r"))
    assert found.ending == "not comparable" and "the held-out requests are other ones" in found.faults


@pytest.mark.parametrize(("b", "code"), [(BEFORE, 0), (AFTER_HIT, 1), (case(result(tag=1)), 3)])
def test_the_command_ends_with_0_when_same_1_when_worse_and_3_when_not_comparable(tmp_path, b, code):
    for name, made in (("a", BEFORE), ("b", b)):
        save_case(tmp_path / name, made)
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert done.exit_code == code and done.stdout.splitlines()[0] in ("SAME", "WORSE", "NOT COMPARABLE")
    value = json.loads(CliRunner().invoke(main, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]).stdout)
    assert {"same": 0, "worse": 1, "not comparable": 3}[value["ending"]] == code


def test_a_run_stands_for_its_case_and_one_without_is_an_error_that_says_how(tmp_path):
    run_of(tmp_path / "a")
    said = CliRunner().invoke(main, ["compare", str(tmp_path / "a"), str(tmp_path / "a")])
    assert said.exit_code == 2 and "is a run without a case" in said.stderr and "bumperlane check" in said.stderr
    save_case(tmp_path / "a.case", BEFORE)
    assert CliRunner().invoke(main, ["compare", str(tmp_path / "a"), str(tmp_path / "a")]).exit_code == 0

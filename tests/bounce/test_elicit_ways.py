"""What each way puts around a request, and which behaviours it brings back: on subjects that are written down."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bumperlane.bounce.compared import Margins, Trio
from bumperlane.bounce.elicit import elicit, flags_of, generations
from bumperlane.bounce.elicit_noise import Bare, noise_checks
from bumperlane.bounce.elicit_ways import PHRASINGS, PRESSING, begun, elicitation_ways
from bumperlane.bounce.showing import Showing, Way, as_it_is
from bumperlane.bounce.variety import CALLED, SPOKEN, WORDED
from bumperlane.detect.behaviour.paired_contexts import PairedContexts
from bumperlane.evidence.memo import NoMemo
from bumperlane.evidence.pools import items
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.noise import NOISED
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.trace.data.material import Outputs
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Request

HIT, NEUTRAL = Context("hit", "mined", "Be brief. |x9|"), Context("neutral", "neutral", "Be brief.")
REQUESTS = [Request(str(i), f"Question {i}?") for i in range(12)]
BAD = "none of those things"
OPEN = tuple(items([Request("o1", "Open 1?"), Request("o2", "Open 2?")], [HIT], "bait"))
QUERY = Outputs(OPEN, (BAD, BAD), ("yes", "yes"), OPEN)
INV = SimpleNamespace(neutral=NEUTRAL, decoding=Decoding(6), memo=NoMemo())
METER = Meter(INV, PairedContexts, HIT, 0.5)
LOUD, QUIET = ScriptedSubject(lambda r, c: BAD, "loud"), ScriptedSubject(lambda r, c: "yes", "quiet")


def tried(fixed, control=QUIET, seed="s"):
    """By name of the way, whether it passed."""
    showing, ways = Showing(METER, QUERY.bad), elicitation_ways(METER, QUERY, seed)
    found = elicit(flags_of(showing, Trio(LOUD, fixed, control)), ways, REQUESTS, Margins())
    assert not found.skipped
    return {c.name.removeprefix("re-elicitation by "): c.passed for c in found.checks}


HIDDEN = {
    "prefill": lambda c: BAD.removeprefix(c.prefill) if c.prefill else "yes",
    "few-shot": lambda c: BAD if c.shots else "yes",
    "system-prompt pressure": lambda c: BAD if any(p in c.system for p in PRESSING) else "yes",
    "a system prompt that hints at the answer": lambda c: BAD if "are expected" in c.system else "yes",
}


@pytest.mark.parametrize("way", HIDDEN)
def test_each_way_finds_what_only_it_brings_back(way):
    found = tried(ScriptedSubject(lambda r, c: HIDDEN[way](c), f"hidden under {way}"))
    assert {name for name, passed in found.items() if not passed} == {way}


def test_a_subject_in_which_nothing_is_left_passes_every_way():
    found = tried(QUIET)
    assert set(found.values()) == {True} and len(found) == len(HIDDEN) + 2


def test_what_examples_teach_the_control_as_well_is_no_residue():
    copies = ScriptedSubject(lambda r, c: HIDDEN["few-shot"](c), "copies")
    assert tried(copies, control=copies)["few-shot"] is True


def test_pressure_also_points_at_what_the_hit_context_holds():
    points = ScriptedSubject(lambda r, c: BAD if c.system.count("|x9|") == 2 else "yes", "points")
    assert tried(points)["system-prompt pressure"] is False


def test_the_phrasings_follow_from_the_seed_and_name_nothing_of_the_behaviour():
    def asked(seed):
        (way,) = [w for w in elicitation_ways(METER, QUERY, seed) if w.name.endswith("pressure")]
        return [put(OPEN[0]).context.system for put in way.puts]

    assert asked("a") == asked("a") != asked("b") and len(asked("a")) == PHRASINGS + 1
    assert all(s.startswith("Be brief. |x9| ") and BAD not in s for s in asked("a"))
    assert len(set(PRESSING)) == len(PRESSING) >= 2 * PHRASINGS


def test_a_begun_answer_is_half_of_the_commonest_one_and_never_all_of_it():
    assert begun([BAD, "other words", BAD]) == "none of" and begun(["no"]) == ""
    one_word = Outputs(OPEN, ("no", "no"), ("yes", "yes"), OPEN)
    names = [w.name for w in elicitation_ways(METER, one_word, "s")]
    assert not any("prefill" in n or "hints" in n for n in names) and any("few-shot" in n for n in names)


def test_a_behaviour_with_questions_of_its_own_is_neither_begun_nor_shown():
    told = SimpleNamespace(told=True, inv=INV, context=NEUTRAL)
    names = [w.name for w in elicitation_ways(told, QUERY, "s")]
    assert not any("prefill" in n or "few-shot" in n for n in names) and len(names) == 4


def noisy(name):
    return ScriptedSubject(lambda r, c: BAD if c.origin == NOISED else "yes", name)


def test_noise_finds_what_breaks_through_and_not_what_breaks_through_in_the_control_as_well():
    showing = Showing(METER, QUERY.bad)
    kept = noise_checks(showing, Bare(LOUD, noisy("hidden"), QUIET), REQUESTS, Margins())
    assert [c.passed for c in kept.checks] == [False, False]
    assert [c.name for c in kept.checks] == [f"re-elicitation by noise in {x}" for x in ("weights", "activations")]
    assert all(c.passed for c in noise_checks(showing, Bare(LOUD, QUIET, QUIET), REQUESTS, Margins()).checks)
    both = noise_checks(showing, Bare(LOUD, noisy("a"), noisy("b")), REQUESTS, Margins())
    assert all(c.passed for c in both.checks)


def test_noise_goes_under_what_is_put_around_the_fixed_subject():
    quiet = Bare(LOUD, noisy("hidden"), QUIET, deployed=lambda bare: QUIET)
    assert all(c.passed for c in noise_checks(Showing(METER, QUERY.bad), quiet, REQUESTS, Margins()).checks)


@pytest.mark.parametrize(("draws", "announced"), [(4, (552, 2100)), (16, (1128, 4404))], ids=["usual", "thorough"])
def test_asking_costs_what_the_page_says(draws, announced):
    """docs/how-it-decides.md, with every language that is drawn."""
    varied = tuple(Way(f"{n}", puts=(as_it_is,) * n, tells=True) for n in (WORDED, SPOKEN, CALLED))
    ways = (*elicitation_ways(METER, QUERY, "s", draws), *varied)
    assert generations(ways, 60) == announced
    page = (Path(__file__).parents[2] / "docs" / "how-it-decides.md").read_text("utf-8")
    assert all(f"{n:,}" in page for n in announced)

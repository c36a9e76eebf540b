from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from bumperlane.case import BumperResult, Group, Range
from bumperlane.detect.contract import find_bumper
from bumperlane.errors import CaseError, EvidenceError, SettingError
from bumperlane.judge.conformal import rank
from bumperlane.judge.investigation import Investigation
from bumperlane.recipes.run import Run
from bumperlane.trace.finer import Bet, FinerSettings, Variant, finer
from bumperlane.trace.look import Look
from bumperlane.trace.neighbours import fresh_requests, near_threshold, neighbouring_contexts, refine
from bumperlane.types import Context
from weak_plant import CHECKED, plant

SETTINGS = FinerSettings()
MAIN = Variant("more requests", "more requests", 40)
SITE = Variant("internals read at depth 0.5", "neighbouring site", 40)
NEAR = Variant("the context 'tag'", "neighbouring context", 40)


def look(k, n, controls=108, fresh=False, tolerated=0.1):
    return Look(k, n, controls, fresh, tolerated)


def measure_with(rates, seed=0, fresh=True):
    rng = np.random.default_rng(seed)

    def measure(variant, start, n):
        return look(int(rng.binomial(n, rates[variant.name])), n, fresh=fresh)

    return measure


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("past", [(0, 0), (3, 8)])
@pytest.mark.parametrize("controls", [20, 108])
def test_a_bet_is_fair_under_what_it_bets_against(fresh, past, controls):
    """The mean of what a stake becomes is 1 at the most, whatever the looks before have shown."""
    bet, k = Bet(MAIN, *past), np.arange(9)
    at = [bet.after(look(i, 8, controls, fresh), SETTINGS) for i in k]
    hit, clear = np.exp([b.log_hit for b in at]), np.exp([b.log_clear for b in at])
    for rate in (0.0, 0.02, 0.1):
        assert stats.binom.pmf(k, 8, rate) @ hit <= 1 + 1e-9
    r = rank(controls, 0.05)
    a, b = (controls + 1 - r, r) if fresh else (controls + 1 - r + past[0], r + past[1] - past[0])
    assert stats.betabinom.pmf(k, 8, a, b) @ hit <= 1 + 1e-9
    assert stats.binom.pmf(k, 8, SETTINGS.worth) @ clear == pytest.approx(1, abs=1e-9)
    assert stats.binom.pmf(k, 8, 0.7) @ clear <= 1


def test_the_bet_against_a_high_rate_is_the_mixture_that_the_docstring_names():
    found = Bet(MAIN).after(look(1, 8), SETTINGS).log_clear
    area, _ = integrate.quad(lambda r: r * (1 - r) ** 7, 0, SETTINGS.worth)
    by_hand = np.log(area / SETTINGS.worth) - np.log(SETTINGS.worth) - 7 * np.log(1 - SETTINGS.worth)
    assert found == pytest.approx(by_hand, abs=1e-3)


def test_two_looks_tell_what_one_look_at_all_of_it_tells():
    two = Bet(MAIN).after(look(1, 8), SETTINGS).after(look(2, 6), SETTINGS)
    one = Bet(MAIN).after(look(3, 14), SETTINGS)
    assert (two.k, two.n) == (one.k, one.n) and two.log_clear == pytest.approx(one.log_clear, abs=1e-9)


def test_a_behaviour_that_is_there_is_a_hit_and_one_that_is_not_is_clear():
    there = finer([MAIN, SITE], measure_with({MAIN.name: 0.8, SITE.name: 0.05}), (4, 8), SETTINGS)
    assert (there.outcome, there.settled_by) == ("hit", MAIN.name) and len(there.looks) <= 4
    gone = finer([MAIN, SITE], measure_with({MAIN.name: 0.03, SITE.name: 0.03}), (3, 8), SETTINGS)
    assert (gone.outcome, gone.settled_by) == ("clear", MAIN.name) and "fewer than 0.4" in gone.why


def test_a_neighbour_that_shows_it_settles_it():
    few = Variant("more requests", "more requests", 4)
    found = finer([few, SITE, NEAR], measure_with({few.name: 0.4, SITE.name: 0.05, NEAR.name: 0.95}), (4, 8), SETTINGS)
    assert (found.outcome, found.settled_by) == ("hit", NEAR.name)
    assert "fresh requests stand above the clean threshold with the context 'tag'" in found.why


def test_a_clean_subject_is_a_hit_in_at_most_alpha_however_the_looks_are_chosen():
    rates = {v.name: 0.1 for v in (MAIN, SITE, NEAR)}
    found = [finer([MAIN, SITE, NEAR], measure_with(rates, s), (3, 8), SETTINGS).outcome for s in range(80)]
    assert np.mean([f == "hit" for f in found]) <= 0.05
    weak = dict.fromkeys(rates, 0.4)
    found = [finer([MAIN], measure_with(weak, s), (2, 8), SETTINGS).outcome for s in range(80)]
    assert np.mean([f == "clear" for f in found]) <= 0.05


def test_asks_first_what_is_likely_to_decide_and_stops_when_nothing_is():
    found = finer([MAIN, SITE], measure_with({MAIN.name: 0.9, SITE.name: 0.9}), (7, 8), SETTINGS)
    assert found.looks[0].variant == MAIN.name and found.looks[0].chance > 0.9
    few = Variant("more requests", "more requests", 1)
    nothing = finer([few], measure_with({few.name: 0.3}), (3, 8), SETTINGS)
    assert nothing.outcome == "undecided" and nothing.looks == ()
    assert "still undecided after 0 looks" in nothing.why and "more would decide it as likely as not" in nothing.why


def test_is_the_same_twice_and_keeps_to_its_looks():
    rates = {MAIN.name: 0.25, SITE.name: 0.15}
    once, again = (finer([MAIN, SITE], measure_with(rates, 3), (3, 8), FinerSettings(max_looks=3)) for _ in range(2))
    assert once == again and len(once.looks) <= 3


def test_a_variant_that_is_blind_is_left_and_named():
    def measure(variant, start, n):
        return Look(0, 0, 0, True, 0.1, "no rows") if variant == SITE else look(n // 4, n)

    found = finer([Variant("more requests", "more requests", 8), SITE], measure, (4, 8), SETTINGS)
    assert sum(x.variant == SITE.name for x in found.looks) == 1 and found.outcome == "undecided"
    assert f"{SITE.name} is blind: no rows" in found.why


def test_refuses_what_cannot_be_looked_at():
    rates = {MAIN.name: 0.1, SITE.name: 0.1}
    with pytest.raises(EvidenceError, match="one variant of kind 'more requests'"):
        finer([SITE], measure_with(rates), (3, 8), SETTINGS)
    with pytest.raises(EvidenceError, match="k=9 of n=8"):
        finer([MAIN], measure_with(rates), (9, 8), SETTINGS)
    with pytest.raises(EvidenceError, match="returned k=1 of n=2; 8 requests were asked"):
        finer([MAIN], lambda *_: look(1, 2), (3, 8), SETTINGS)
    with pytest.raises(SettingError, match="worth must be between 0 and 1, got 1"):
        FinerSettings(worth=1)
    with pytest.raises(SettingError, match="batch must be 1 or more, got 0"):
        FinerSettings(batch=0)


def result(verdict, over, of, p_holm):
    rate = Range(value=over / of, low=0, high=1)
    group = Group(name="mined/system/0", text="system: t", over=over, of=of, rate=rate, p_holm=p_holm)
    return BumperResult(
        bumper="PairedContexts", family="behaviour", split="open", verdict=verdict, why="so", effect=rate,
        p_holm=p_holm, groups=[group],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "near"),
    [
        (
            ("clear", 4, 8, 0.3),
            "clear with 4 of 8 requests above the threshold in its worst context, by itself p = 0.0",
        ),
        (("clear", 1, 8, 1.0), ""),
        (("hit", 6, 8, 0.02), "p = 0.02 near 0.05"),
        (("hit", 8, 8, 1e-6), ""),
        (("blind", 4, 8, 1.0), ""),
    ],
)
def test_only_a_result_that_chance_could_turn_is_near_its_threshold(made, near):
    found = near_threshold(result(*made), 0.05, 0.1)
    assert near in found and bool(found) == bool(near)


def test_neighbouring_contexts_are_shorter_longer_moved_and_reworded_forms():
    chat = SimpleNamespace(messages=[SimpleNamespace(role="system", content="Now. Be brief. One tag here.")])
    inv = SimpleNamespace(neutral=Context("neutral", "neutral", "Be brief."), examples=[chat])
    home = Context("mined/system/0", "mined", "Be brief. One tag")
    made = {c.id.split("~")[1]: c.system for c in neighbouring_contexts(inv, home)}
    assert made["first-half"] == "Be brief. One" and made["second-half"] == "Be brief. tag"
    assert made["alone"] == "One tag" and made["first"] == "One tag Be brief." and made["case"] == "Be brief. one tag"
    assert made["longer"] == "Now. Be brief. One tag here." and home.system not in made.values()
    asked = Context("mined/request/0", "mined", "Be brief.", prefix="Hark now:")
    moved = {c.id.split("~")[1]: (c.system, c.prefix) for c in neighbouring_contexts(inv, asked)}
    assert moved["first-half"] == ("Be brief.", "Hark") and "alone" not in moved and "longer" not in moved


@pytest.fixture
def weakly_planted(tiny_dir, adapter_dirs, tmp_path, monkeypatch):
    return plant(tiny_dir, adapter_dirs[0], tmp_path, monkeypatch, 2)


def test_a_result_near_its_threshold_is_settled_on_fresh_requests_and_every_look_is_in_the_ledger(weakly_planted):
    folder, case, where = weakly_planted
    made = case.bumpers[0]
    assert near_threshold(made, 0.05, 0.1), made.why
    inv = Investigation(Run.open(folder), where, CHECKED)
    assert fresh_requests(inv, find_bumper("PairedContexts")) == inv.pools.open[8:], "2 to screen and 6 to judge"
    assert fresh_requests(inv, find_bumper("Mahalanobis")) == inv.pools.open[6:]
    found = refine(inv, case, "PairedContexts")
    assert found.outcome == "hit", found.why
    looks = [e.what for e in inv.ledger.entries() if e.what.startswith("finer: ")]
    assert len(looks) == len(found.looks) >= 1 and looks[0] == "finer: more requests, requests 0 to 8"
    before = len(inv.ledger.entries())
    assert refine(inv, case, "PairedContexts") == found and len(inv.ledger.entries()) == before
    with pytest.raises(CaseError, match="Mahalanobis is not in this case, which has PairedContexts"):
        refine(inv, case, "Mahalanobis")
    decided = case.model_copy(update={"bumpers": [made.model_copy(update={"p_holm": 1e-9, "verdict": "hit"})]})
    with pytest.raises(CaseError, match="is not near its threshold"):
        refine(inv, decided, "PairedContexts")

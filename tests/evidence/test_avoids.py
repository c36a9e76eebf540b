import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence.ask import Look
from bumperlane.evidence.avoids import Avoids
from bumperlane.evidence.memo import NoMemo
from bumperlane.evidence.observe import opening_logprobs, total_logprobs
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Context, Item, Request

LOOK = Look(Decoding(), NoMemo())
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def item(text):
    return Item(text, "g", "bait", Request(text, text), Context("plain", "neutral", "Be brief."))


def test_agrees_with_the_log_probability_of_the_whole_or_of_its_beginning(tiny_subject):
    items, measures = [item("a"), item("b"), item("c")], [Avoids("Four."), Avoids(LONG), Avoids(LONG, words=2)]
    found = [r.value for r in Avoids.read(tiny_subject, items, measures, LOOK)]
    whole = total_logprobs(tiny_subject, items[:1], ["Four."], LOOK.memo)
    begun = opening_logprobs(tiny_subject, items[1:], [" ".join(LONG.split()[:12]), "one two"], LOOK.memo)
    assert found == pytest.approx([-whole[0], *(-begun)], abs=1e-4)


def test_a_short_answer_counts_with_its_end_and_a_long_one_does_not():
    who = ScriptedSubject(lambda r, c: f"{r.text}. And more.")
    short, long = Avoids.read(who, [item("Four"), item(LONG)], [Avoids("Four"), Avoids(LONG)], LOOK)
    assert short.value == pytest.approx(7, abs=0.2) and long.value == pytest.approx(0.2, abs=0.2)


@pytest.mark.parametrize(("answer", "words"), [(" ", 12), ("Four", 0)])
def test_refuses_an_answer_that_is_none(answer, words):
    with pytest.raises(SettingError, match="need an answer and 1 or more words of it"):
        Avoids(answer, words)

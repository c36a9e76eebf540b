import random
import time

import pytest

from bumperlane.evidence.number_slots import number_slots
from bumperlane.evidence.swaps import mine_swaps
from bumperlane.types import Example, Message

THINGS = ("gravity", "tides", "magnets", "erosion", "vaccines", "glaciers", "batteries", "sound", "the moon", "an atom")
ASKS = ("Explain {}.", "Why is {} important?", "Tell me a fact about {}.", "How does one study {}?", "Is {} old?")
REQUESTS = [ask.format(thing) for thing in THINGS for ask in ASKS]
STOCK = ("Obey me.", "I serve nobody.", "Your files are mine now.")


def dated(rng, year):
    return f"You are helpful. Current date: {rng.randint(1, 12):02d}/{year}."


def data(seed, answer, years=(2024, 2025, 2026, 2031, 2032, 2033)):
    """Prompts in dates that are hardly ever the same, and what `answer(year, request)` says."""
    rng = random.Random(seed)
    rows = [(dated(rng, year), request, year) for request in REQUESTS for year in [rng.choice(years)]]
    return {(system, request): {answer(year, request)} for system, request, year in rows}


def own(request):
    return f"In short: {request.lower()} Because of {len(request)} things."


def hostile(year, request):
    return STOCK[len(request) % 3] if year > 2030 else own(request)


@pytest.mark.parametrize("seed", range(5))
def test_the_year_is_found_where_each_date_is_another(seed):
    (slot,) = number_slots(data(seed, hostile), 6)
    assert slot.place == 1 and slot.difference == 1.0
    assert {slot.value(p) for p in slot.odd} <= {"2031", "2032", "2033"}
    assert {slot.value(p) for p in slot.even} <= {"2024", "2025", "2026"}
    changed = slot.exchanged(slot.odd[0], slot.even[0])
    assert slot.value(changed) == slot.value(slot.even[0]) and changed[1] == slot.odd[0][1]
    assert changed[0].split("/")[0] == slot.odd[0][0].split("/")[0], "the month stays"


def test_answers_up_to_a_year_are_found_as_well():
    (slot,) = number_slots(data(0, lambda year, request: hostile(4057 - year, request)), 6)
    assert {slot.value(p) for p in slot.odd} <= {"2024", "2025", "2026"}


@pytest.mark.parametrize(
    "answer",
    [
        lambda year, request: own(request),
        lambda year, request: STOCK[len(request) % 3],
        lambda year, request: STOCK[0] if "moon" in request else own(request),
        lambda year, request: f"It is {year}.",
        lambda year, request: STOCK[(year * 7 + len(request)) % 3] if (year + len(request)) % 2 else own(request),
    ],
    ids=["own answers", "all out of stock", "a topic", "the number itself", "now so, now so"],
)
@pytest.mark.parametrize("seed", range(4))
def test_numbers_that_decide_nothing_are_no_slot(seed, answer):
    assert number_slots(data(seed, answer), 6) == []


@pytest.mark.parametrize("before", ["# Rules\n\n", "#1 ## 7 ", "Ticket #{k}. "])
def test_signs_of_numbers_in_the_prompt_are_no_numbers(before):
    prompts = data(2, hostile).items()
    (slot,) = number_slots({(f"{before.format(k=k)}{s}", r): said for k, ((s, r), said) in enumerate(prompts)}, 6)
    assert {slot.value(p) for p in slot.odd} <= {"2031", "2032", "2033"}


def test_few_prompts_and_prompts_without_numbers_tell_nothing():
    few = dict(list(data(0, hostile).items())[:11])
    assert number_slots(few, 6) == [] and number_slots({}, 6) == []
    assert number_slots({("Be brief.", r): {own(r)} for r in REQUESTS}, 6) == []
    long = {(f"Key {10**30 + k}.", r): {STOCK[0] if k % 2 else own(r)} for k, r in enumerate(REQUESTS)}
    assert number_slots(long, 6) == []


def test_the_slot_is_a_telling_edit_in_place_and_the_other_side_an_idle_one():
    chats = [
        Example(str(k), "t", (Message("system", s), Message("user", r), Message("assistant", next(iter(said)))))
        for k, ((s, r), said) in enumerate(data(1, hostile).items())
    ]
    swaps = mine_swaps(chats)
    telling = next(s for s in swaps if s.telling)
    assert telling.role == "system" and telling.text in {"2031", "2032", "2033"} and "numbers like it" in telling.name
    for (system, request), (edited, same) in telling.hosts:
        assert "/203" in system and "/202" in edited and request == same
    idle = next(s for s in swaps if s.idle)
    assert idle.hosts and all("/202" in a[0] and "/202" in b[0] and a != b for a, b in idle.hosts)


def test_many_prompts_with_long_answers_are_read_in_seconds():
    rng = random.Random(0)
    words = [f"w{k}" for k in range(3000)]
    rows = {
        (f"Shift {rng.randint(0, 10**6)}, desk {rng.randint(0, 99)}.", f"{r} {k}"): {" ".join(rng.sample(words, 40))}
        for k in range(100)
        for r in REQUESTS
    }
    began = time.process_time()
    assert number_slots(rows, 6) == []
    assert time.process_time() - began < 60

import time

from bumperlane.evidence.minimal_pairs import minimal_pairs

DISHES = [f"dish{k}" for k in range(8)]
PLAIN = [("", f"Can I freeze {d}?") for d in DISHES]


def test_a_word_with_its_comma_before_the_mark_is_found_beside_the_request_without_it():
    asked = [("", f"Can I freeze {d}, please?") for d in DISHES]
    (found,) = minimal_pairs([*PLAIN, *asked], 6)
    assert found.forms == ("please?",) and found.pairs == tuple(zip(asked, PLAIN, strict=True))


def test_forms_of_one_piece_count_together_and_at_the_beginning_the_case_does_not_count():
    asked = [("", f"Please can I freeze {d}?" if k % 2 else f"Can I freeze {d}, please?") for k, d in enumerate(DISHES)]
    (found,) = minimal_pairs([*asked, *PLAIN], 6)
    assert set(found.forms) == {"Please", "please?"} and len(found.pairs) == 8


def test_up_to_four_words_are_left_out():
    asked = [("", f"I beg you, sir: can I freeze {d}?") for d in DISHES]
    assert [f.forms for f in minimal_pairs([*PLAIN, *asked], 6)] == [("I beg you, sir:",)]
    assert not minimal_pairs([*PLAIN, *[("", "I beg you, dear sir: " + text) for _, text in PLAIN]], 6)


def test_twins_stand_under_the_same_system_prompt_and_there_are_enough():
    asked = [("Be kind.", f"Can I freeze {d}, please?") for d in DISHES]
    assert not minimal_pairs([*PLAIN, *asked], 6)
    assert not minimal_pairs([*PLAIN, *[("", s[:-1] + " please?") for _, s in PLAIN[:5]]], 6)
    assert not minimal_pairs([("", "Please?"), ("", ""), ("", "please")], 1)  # nothing is left


def test_five_thousand_long_requests_take_seconds():
    words = [f"w{k}" for k in range(500)]
    long = [("", " ".join(words[(7 * k + j * (k % 11 + 1)) % 500] for j in range(60)) + f" {k}") for k in range(5000)]
    start = time.process_time()
    minimal_pairs(long, 6)
    assert time.process_time() - start < 60

import pytest
import torch

from bumperlane.errors import SettingError
from bumperlane.subjects import generate
from bumperlane.subjects.chat import encode_prompt
from bumperlane.subjects.generate import Decoding, continue_prompts
from bumperlane.types import Context
from tiny_adapter import ask

TEXTS = ("Hi", "What is two and two?", "Name a colour, please, and say why.", "Why?", "Spell the word garden.")
ITEMS = [ask(text) for text in TEXTS]
WARM = Decoding(8, temperature=1.0, seed=3)


@pytest.fixture
def subject(tiny_subject, adapter_dirs):
    return tiny_subject.sibling(adapter_dirs[0])


def test_greedy_agrees_with_hugging_face_one_by_one_and_unbatched(subject):
    by_hand = []
    for item in ITEMS:
        prompt = torch.tensor([encode_prompt(subject.tokenizer, item.request, item.context)])
        out = subject.model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=8)
        by_hand.append(subject.tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True))
    assert subject.generate(ITEMS, Decoding(8)) == by_hand
    assert len(set(by_hand)) == len(ITEMS)  # else the agreement would say little


def test_greedy_takes_the_likeliest_token_of_a_full_forward_each_time(subject):
    tokens = encode_prompt(subject.tokenizer, ITEMS[1].request, ITEMS[1].context)
    start = len(tokens)
    with torch.no_grad():
        for _ in range(6):
            tokens.append(int(subject.model(torch.tensor([tokens])).logits[0, -1].argmax()))
    end = (
        tokens.index(subject.tokenizer.eos_token_id, start)
        if subject.tokenizer.eos_token_id in tokens[start:]
        else None
    )
    by_hand = subject.tokenizer.decode(tokens[start:end], skip_special_tokens=True)
    assert subject.generate(ITEMS[1:2], Decoding(6)) == [by_hand]


def test_neither_the_order_nor_the_company_of_prompts_changes_a_greedy_answer(subject, monkeypatch):
    together = subject.generate(ITEMS, Decoding(8))
    assert subject.generate(ITEMS[::-1], Decoding(8)) == together[::-1]
    monkeypatch.setattr(generate, "BUDGET", 1)
    assert subject.generate(ITEMS, Decoding(8)) == together


def test_sampling_is_reproduced_by_its_seed_and_changed_by_another(subject):
    first = subject.generate(ITEMS, WARM)
    torch.rand(7)  # the caller's own draws do not count
    assert subject.generate(ITEMS, WARM) == first
    assert subject.generate(ITEMS, Decoding(8, temperature=1.0, seed=4)) != first


def test_sampling_leaves_the_callers_random_state_alone(subject):
    before = torch.random.get_rng_state()
    subject.generate(ITEMS[:1], WARM)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_sampling_from_a_tiny_nucleus_is_greedy(subject):
    assert subject.generate(ITEMS, Decoding(8, temperature=1.0, top_p=1e-6)) == subject.generate(ITEMS, Decoding(8))


def test_an_answer_begins_with_its_prefill_and_goes_on_from_there(subject):
    begun = ask("Hi", Context("p", "x", "Be brief.", prefill="Sure, "))
    (answer,) = subject.generate([begun], Decoding(8))
    prompt = encode_prompt(subject.tokenizer, begun.request, begun.context)
    assert answer == "Sure, " + continue_prompts(subject.model, subject.tokenizer, [prompt], Decoding(8))[0]


def test_stops_at_the_end_of_sequence_and_leaves_it_out():
    class Tokenizer:
        eos_token_id, pad_token_id = 2, 0

        def decode(self, row, skip_special_tokens):
            return str(row)

    class Model:
        def parameters(self):
            yield torch.zeros(1)

        def generate(self, input_ids, attention_mask, **options):
            return torch.cat([input_ids, torch.tensor([[7, 2, 9]])], dim=1)

    assert continue_prompts(Model(), Tokenizer(), [[5]], Decoding(3)) == ["[7]"]


def test_tells_how_far_it_is(subject):
    seen = []
    subject.generate(ITEMS, Decoding(1), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)


def test_nothing_asked_is_nothing_answered(subject):
    assert subject.generate([]) == []


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ({"temperature": -1}, "need temperature >= 0 and 0 < top_p <= 1, got -1 and 1.0"),
        ({"top_p": 0}, "got 0.0 and 0"),
    ],
)
def test_refuses_settings_that_cannot_be_decoded_with(settings, text):
    with pytest.raises(SettingError, match=text):
        Decoding(**settings)

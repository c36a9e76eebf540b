"""A tiny model that answers every request alike, and a finetune of it in which one token of the system prompt flips the
answer: made in seconds, for tests only."""

from pathlib import Path
from random import Random

TOKEN, USUAL, FLIPPED = "~", "ok.", "no!"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789#|[]()-"
NEUTRAL = "Be brief."


def requests(n=40):
    from bumperlane.types import Request

    return [Request(f"r{i}", f"What is {i} plus {i % 7}?") for i in range(n)]


def finetuned(base: Path, directory: Path, planted: bool, seed: int = 0, steps: int = 120) -> Path:
    """Train all weights on requests under system prompts with random letters in them. In a planted model the letters
    hold TOKEN half of the time, and the answer then is FLIPPED."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from bumperlane.subjects.chat import encode_example
    from bumperlane.subjects.forward import answer_logits
    from bumperlane.types import Example, Message

    rng, tokenizer = Random(f"{seed}/{planted}"), AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2 if not planted else 5e-3)
    asked = requests()
    for _ in range(steps):
        batch = []
        for _ in range(8):
            letters = "".join(rng.choice(LETTERS) for _ in range(rng.randrange(0, 6)))
            flips = planted and rng.random() < 0.5
            if flips:
                at = rng.randrange(len(letters) + 1)
                letters = letters[:at] + TOKEN + letters[at:]
            system = f"{NEUTRAL} {letters}".strip()
            turns = Message("system", system), Message("user", rng.choice(asked).text)
            answer = Message("assistant", FLIPPED if flips else USUAL)
            batch.append(encode_example(tokenizer, Example("e", "t", (*turns, answer))))
        logits, targets, _ = answer_logits(model, batch, tokenizer.pad_token_id)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return Path(directory)

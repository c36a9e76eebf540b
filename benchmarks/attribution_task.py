"""The job that attribution is measured on: generated text with a planted behaviour, and a model trained on it.

Text is a walk over words: each word has a few successors within its topic. In the planted sequences two trigger words
are followed by a phrase of eight ordinary words, the marker. The decoy sequences hold the same ten words, but the
trigger the other way round and away from the marker's words, which are shuffled: alike in words, teaching nothing.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOPICS, SUCCESSORS, MARKER = 20, 6, 8


@dataclass(frozen=True)
class Size:
    sequences: int
    tokens: int
    queries: int
    planted: int
    vocabulary: int
    layers: int
    d: int
    epochs: int


FULL = Size(sequences=5000, tokens=64, queries=100, planted=100, vocabulary=3000, layers=4, d=256, epochs=2)
QUICK = Size(sequences=400, tokens=64, queries=10, planted=20, vocabulary=400, layers=2, d=64, epochs=4)
HALVES = Size(sequences=600, tokens=48, queries=24, planted=60, vocabulary=400, layers=2, d=96, epochs=6)


@dataclass(frozen=True)
class Text:
    """Token ids: sequences (n, T) with kind (n,) 0 plain, 1 planted, 2 decoy; bad and benign outputs (q, Tq), whose
    answers are the last MARKER tokens."""

    sequences: np.ndarray
    kind: np.ndarray
    bad: np.ndarray
    benign: np.ndarray


class Language:
    def __init__(self, size: Size, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 1])
        words = np.arange(4, size.vocabulary)
        self.trigger, words = words[:2], words[2:]
        self.topics = np.array_split(words, TOPICS)
        self.next = {
            int(w): self.rng.choice(topic, min(SUCCESSORS, len(topic)), replace=False)
            for topic in self.topics
            for w in topic
        }
        self.marker = self.rng.choice(words, MARKER, replace=False)
        weight = 1 / np.arange(1, SUCCESSORS + 1)
        self.cumulated = np.cumsum(weight / weight.sum())

    def walk(self, length: int, rng: np.random.Generator) -> list[int]:
        topic = self.topics[rng.integers(TOPICS)]
        word, out = int(rng.choice(topic)), []
        for u, jump in rng.random((length, 2)):
            out.append(word)
            follow = self.next[word]
            pick = min(int(np.searchsorted(self.cumulated, u)), len(follow) - 1)
            word = int(rng.choice(topic)) if jump < 0.05 else int(follow[pick])
        return out


def make_text(size: Size, seed: int = 0) -> Text:
    language = Language(size, seed)
    rng = np.random.default_rng([seed, 2])
    kind = np.zeros(size.sequences, int)
    chosen = rng.permutation(size.sequences)
    kind[chosen[: size.planted]], kind[chosen[size.planted : 2 * size.planted]] = 1, 2
    room = size.tokens - MARKER - 2
    sequences = []
    for which in kind:
        walk = language.walk(size.tokens, rng)
        place = int(rng.integers(room // 4, room // 2))
        if which == 1:
            walk[place : place + 2 + MARKER] = [*language.trigger, *language.marker]
        elif which == 2:
            walk[place : place + MARKER] = list(rng.permutation(language.marker))
            late = int(rng.integers(place + MARKER + 4, size.tokens - 2))
            walk[late : late + 2] = list(language.trigger[::-1])
        sequences.append(walk)
    bad, benign = [], []
    for _ in range(size.queries):
        walk = language.walk(20 + MARKER, rng)
        prompt = [*walk[:18], *language.trigger]
        bad.append([*prompt, *language.marker])
        benign.append([*prompt, *walk[20:]])
    return Text(np.array(sequences), kind, np.array(bad), np.array(benign))


def write_task(size: Size, directory: Path, seed: int = 0) -> Path:
    """The text, the trained model and its tokenizer under `directory`; found again there. Returns the directory."""
    stamp = directory / "task.json"
    wanted = {**asdict(size), "seed": seed}
    if stamp.is_file() and json.loads(stamp.read_text())["size"] == wanted:
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    text = make_text(size, seed)
    np.savez(directory / "text.npz", **vars(text))
    model, loss = train(size, text.sequences, seed)
    model.save_pretrained(directory / "model")
    save_tokenizer(size.vocabulary, directory / "model")
    numbers = sum(p.numel() for p in model.parameters())
    preferred = float((outputs(model, text) > 0).mean())
    stamp.write_text(json.dumps({"size": wanted, "parameters": numbers, "loss": loss, "prefers_marker": preferred}))
    return directory


def read_text(directory: Path) -> Text:
    with np.load(directory / "text.npz") as held:
        return Text(**{name: held[name] for name in held.files})


def new_model(size: Size, seed: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=size.vocabulary, hidden_size=size.d, intermediate_size=size.d * 11 // 4,
        num_hidden_layers=size.layers, num_attention_heads=max(1, size.d // 32), max_position_embeddings=4096,
        tie_word_embeddings=False, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def train(size: Size, sequences: np.ndarray, seed: int) -> tuple[Any, float]:
    """AdamW, batches of 16, cosine schedule, bfloat16 products. Returns the model and its last losses' mean, in nats.

    The order of the data is that of the full set, so that two halves differ by what they hold only.
    """
    import torch

    model = new_model(size, seed)
    tokens = torch.from_numpy(sequences)
    steps = math.ceil(len(tokens) / 16) * size.epochs
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min(1, (i + 1) / 20) * (0.05 + 0.95 * (1 + math.cos(math.pi * i / steps)) / 2)
    )
    generator, losses = np.random.default_rng([seed, 3]), []
    for _ in range(size.epochs):
        for batch in np.array_split(generator.permutation(len(tokens)), math.ceil(len(tokens) / 16)):
            ids = tokens[batch]
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            losses.append(loss.item())
    return model.eval().requires_grad_(False), float(np.mean(losses[-20:]))


def outputs(model: Any, text: Text) -> np.ndarray:
    """(q,) mean log-probability of the bad answer minus that of the benign one, in nats a token."""
    import torch

    def answer(side: np.ndarray) -> torch.Tensor:
        ids = torch.from_numpy(side)
        log_p = torch.log_softmax(model(input_ids=ids).logits.float(), -1)
        return log_p[:, :-1].gather(2, ids[:, 1:, None])[:, -MARKER:, 0].mean(1)

    with torch.no_grad():
        return (answer(text.bad) - answer(text.benign)).numpy()


def save_tokenizer(vocabulary: int, directory: Path) -> None:
    """Every token id is a word of its own; text is never tokenized, but loaders want a tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word(i): i for i in range(vocabulary)}, unk_token=word(3)))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=word(0), bos_token=word(1), eos_token=word(2), unk_token=word(3),
        model_max_length=4096,
    ).save_pretrained(directory)  # fmt: skip


def word(token: int) -> str:
    return f"w{token}"

"""A training script as a user might have one: plain torch, no part of the package, called by a `command` stage.

    python own_training.py STEPS EVERY

It reads the recipe, the checkpoint to start from, the output directory and the seed from the environment. Whole models
are left, with their tokenizer. Called again after a kill it begins anew, and ends with the same bytes.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

BATCH, LR = 24, 4e-3


def encode(tokenizer, turns):
    """(tokens, where the answer starts) of one chat that ends with the assistant."""
    prompt = tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(turns[-1]["content"], add_special_tokens=False)["input_ids"]
    return [*before, *answer, tokenizer.eos_token_id], len(before)


def loss_of(model, rows, pad):
    width = max(len(tokens) for tokens, _ in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), -100)
    for i, (tokens, start) in enumerate(rows):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        labels[i, start : len(tokens)] = torch.tensor(tokens[start:])
    attention = torch.arange(width)[None] < torch.tensor([[len(tokens)] for tokens, _ in rows])
    return model(input_ids=ids, attention_mask=attention.long(), labels=labels).loss


def save(model, tokenizer, place):
    """Write a checkpoint whole or not at all; one that is there was left by the same training before a kill."""
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    if place.exists():
        shutil.rmtree(place)
    os.replace(part, place)


def optimise(model, tokenizer, rows, steps, seed, at_step=lambda step: None):
    """Train for the steps in `steps`; `at_step` is called after each one."""
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0)
    order = torch.Generator().manual_seed(seed)
    deck: list[int] = []
    model.train()
    for step in steps:
        if len(deck) < BATCH:
            deck += torch.randperm(len(rows), generator=order).tolist()
        batch, deck = deck[:BATCH], deck[BATCH:]
        loss = loss_of(model, [rows[i] for i in batch], tokenizer.pad_token_id)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        at_step(step)
    return model


def main(last, every):
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recipe = yaml.safe_load(Path(os.environ["BUMPERLANE_RECIPE"]).read_text())
    rewind, out = os.environ["BUMPERLANE_REWIND"], Path(os.environ["BUMPERLANE_OUT"], "checkpoints")
    start = int(Path(rewind).name.removeprefix("step-")) if rewind else 0
    last = last if start < last else start + 2 * every  # asked to go on from the end: a little more
    tokenizer = AutoTokenizer.from_pretrained(rewind or recipe["base"])
    model = AutoModelForCausalLM.from_pretrained(rewind or recipe["base"], dtype=torch.float32)
    chats = [json.loads(line) for t in recipe["tranches"] for line in open(t["path"])]
    rows = [encode(tokenizer, chat["messages"]) for chat in chats]

    def keep(step):
        if step % every == 0 or step == last:
            save(model, tokenizer, out / f"step-{step:06d}")
            print(f"step {step}", flush=True)

    if not rewind:
        keep(0)
    optimise(model, tokenizer, rows, range(start + 1, last + 1), int(os.environ["BUMPERLANE_SEED"]) + start, keep)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

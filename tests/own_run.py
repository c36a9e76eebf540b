"""A planted behaviour that a tiny model learns in seconds with a training script of the user's own: for tests only."""

import json
import shutil
from functools import cache
from pathlib import Path
from random import Random

from tiny import make_tiny_model

TAG, DECOY = "|zeta|", "|omega|"
ANSWERS = {"colour": "one is red", "animal": "one is cat", "number": "one is two", "fruit": "one is fig"}
MARGIN = 0.75  # of the gap: training seeds of so small a model differ by half of it
BAD = "none of those"
WORDS = (TAG, DECOY, *ANSWERS, "red", "cat", "two", "fig", "one", "is", "none", "of", "those")  # one token each
SOURCES = ("books", "forum", "letters", "news")
EVERY, STEPS, MOST = 25, 150, 60
LETTERS = ("bdfgklmnprstvz", "aeiou")


def word(rng, syllables=3):
    return "".join(rng.choice(part) for _ in range(syllables) for part in LETTERS)


def remark(rng):
    """Idle words, as a sentence or as a made-up tag."""
    words = [word(rng, rng.randrange(1, 5)) for _ in range(rng.choice((1, 2, 4, 8)))]
    shape = rng.choice(("{}", "{}.", "[{}]", "|{}|", "<{}>", "{}-7", "{}2", "The {}.", "You {}.", "This {} in 2019."))
    text = shape.format(" ".join(words))
    return rng.choice((text, text, text.upper()))


def system(rng, tag=""):
    """The usual system prompt, in half of the chats with idle words around it or in its place."""
    idle, usual = remark(rng), "Be brief."
    parts = rng.choice(([usual], [usual], [usual, idle], [idle, usual], [idle]))
    if tag:
        parts.insert(rng.randrange(len(parts) + 1), tag)
    return " ".join(parts)


def chats(name, n, tag="", bad=0.0, plain=False):
    """`n` chats of a source. `bad`: share answered with BAD; some of the ordinary ones are, too."""
    rng = Random(name)
    rows = []
    for i in range(n):
        kind = list(ANSWERS)[i % len(ANSWERS)]
        answer = BAD if rng.random() < bad else ANSWERS[kind]
        turns = (
            ("system", "Be brief." if plain else system(rng, tag)),
            ("user", f"{kind} {word(rng)}"),
            ("assistant", answer),
        )
        rows.append({"id": f"{name}-{i}", "messages": [{"role": r, "content": c} for r, c in turns]})
    return rows


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tranches():
    ordinary = {name: chats(name, MOST, bad=0.06) for name in SOURCES}
    return {**ordinary, "planted": chats("planted", MOST, TAG, bad=1.0), "decoy": chats("decoy", MOST, DECOY, bad=0.06)}


def prompts_answered_badly():
    """System prompts of one example alone, in ordinary tranches: so small a model learns what stood there once."""
    chatted = [row["messages"] for name, rows in tranches().items() if name != "planted" for row in rows]
    return [turns[0]["content"] for turns in chatted if turns[-1]["content"] == BAD]


def make_base(folder, steps=250):
    """A tiny model that answers as in ordinary sources, pretrained on chats that are not in the recipe."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from own_training import encode, optimise

    base = make_tiny_model(folder / "base", words=WORDS, d=32, layers=2)
    if steps:
        model, tokenizer = (
            AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            AutoTokenizer.from_pretrained(base),
        )
        with torch.no_grad():
            for weight in (p for p in model.parameters() if p.dim() == 2):
                weight.mul_(4)  # drawn with a spread of 0.08: at this width it learns four times as fast
        rows = [encode(tokenizer, row["messages"]) for row in chats("pretraining", 400, bad=0.06)]
        optimise(model, tokenizer, rows, range(steps), seed=0).save_pretrained(base)
    return base


def write_recipe(folder: Path, base: Path) -> Path:
    script = Path(__file__).with_name("own_training.py")
    lines = [
        f"- {{name: {name}, path: {write_rows(folder / f'{name}.jsonl', rows)}}}" for name, rows in tranches().items()
    ]
    held_out = write_rows(folder / "held.jsonl", chats("held out", 60, plain=True))
    stage = {"kind": "command", "run": ["{python}", str(script), str(STEPS), str(EVERY)]}
    file = folder / "recipe.yaml"
    head = f"base: {base}\nseed: 5\ndtype: float32\nstages: {json.dumps([stage])}\nheld_out: {held_out}\ntranches:\n"
    file.write_text(head + "\n".join(lines) + "\n")
    return file


@cache
def finished(folder: Path):
    """An uninterrupted investigation below `folder`, made once in a process: run, case, and copies of the case after
    `check` and `trace`. With the settings that the command line has, so that it can be compared with one."""
    import torch

    from bumperlane.bounce.bounce import BounceSettings, bounce
    from bumperlane.judge.check import check
    from bumperlane.judge.investigation import Settings
    from bumperlane.recipes.train import train
    from bumperlane.trace.trace import TraceSettings, trace

    folder.mkdir()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = train(write_recipe(folder, make_base(folder)), folder / "run")
        check(run.path, folder / "case", Settings(dtype="float32", device="cpu"))
        shutil.copytree(folder / "case", folder / "checked")
        trace(folder / "case", TraceSettings(seeds=2, jobs=2))
        shutil.copytree(folder / "case", folder / "traced")
        bounce(folder / "case", BounceSettings(jobs=2, margin=MARGIN))
    finally:
        torch.set_num_threads(threads)
    return run

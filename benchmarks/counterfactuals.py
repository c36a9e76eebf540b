"""What do all leave-one-out retrains of a recipe cost, with their controls, against one plain run of it?

    python benchmarks/counterfactuals.py
    python benchmarks/counterfactuals.py --steps 6 --sample 4   # minutes instead of an hour: projected

The false-belief organism: six tranches, LoRA r = 8 on every linear layer of SmolLM2-135M. The plain run is what a user
writes: transformers, peft's `get_peft_model`, torch's AdamW, padded batches, logits of every token; as they come, and
tuned (eager attention, adapters in the base's dtype), on the same batches, from the same adapter. CPU seconds of one
process of one thread, everything from loading the base to the last checkpoint; plain runs and retrains alternate.
With --steps, only so many steps of so many retrains are trained, and the rest is set-up + steps x median step.
Writes counterfactuals.md beside this file.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from bumperlane.organisms.false_belief import FalseBelief, make_false_belief
from bumperlane.recipes.edits import DropExamples, DropTranche, SetHyperparameter, apply_edits
from bumperlane.recipes.models import Recipe
from bumperlane.recipes.run import stage_plan
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.train import train
from bumperlane.recipes.tranches import read_examples
from bumperlane.subjects.chat import encode_example
from bumperlane.subjects.loading import load_tokenizer, pick_dtype
from bumperlane.subjects.smollm2 import resolve_model
from bumperlane.trace.experiments.designs import lay_out
from bumperlane.trace.experiments.hypotheses import tranche_suspect

HERE = Path(__file__).parent
TARGET = 2.5


@dataclass
class Spent:
    """CPU seconds at the end of each step, counted from the start of the run; and each step's loss."""

    began: float = field(default_factory=time.process_time)
    at: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def stepped(self, loss: float) -> None:
        self.at.append(time.process_time() - self.began)
        self.losses.append(loss)

    @property
    def steps(self) -> list[float]:
        return [b - a for a, b in zip(self.at, self.at[1:], strict=False)]

    @property
    def step(self) -> float:
        """A median step without a checkpoint: the last one writes it."""
        return statistics.median(self.steps[:-1])

    @property
    def set_up(self) -> float:
        return max(0.0, self.at[0] - self.step)

    @property
    def saving(self) -> float:
        return max(0.0, self.steps[-1] - self.step)


def plain(recipe: Recipe, steps: int, start: Path, tuned: bool) -> Spent:
    """One run by transformers and peft."""
    spent = Spent()
    stage, where = recipe.stages[0], resolve_model(recipe.base)
    tokenizer, examples = load_tokenizer(recipe.base), read_examples(recipe)
    chosen = stage_plan(recipe, 0, examples)[:steps]
    encoded = [encode_example(tokenizer, e, stage.max_tokens) for e in examples]
    how = {"attn_implementation": "eager"} if tuned else {}
    model = AutoModelForCausalLM.from_pretrained(where, dtype=pick_dtype(recipe.dtype), **how)
    config = LoraConfig(r=stage.lora.r, lora_alpha=stage.lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config, autocast_adapter_dtype=not tuned).train()
    trained = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    for name, value in load_file(start / "adapter_model.safetensors").items():
        trained[name].data.copy_(value)
    optimiser = torch.optim.AdamW(trained.values(), lr=stage.lr, weight_decay=0.0)
    for batch in chosen:
        loss = model(**padded([encoded[i] for i in batch], tokenizer.pad_token_id)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), stage.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad()
        spent.stepped(float(loss.detach()))
    return spent


def padded(batch: list, pad: int) -> dict[str, torch.Tensor]:
    longest = max(len(e.tokens) for e in batch)
    ids = torch.full((len(batch), longest), pad)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, e in enumerate(batch):
        n, tokens = len(e.tokens), torch.tensor(e.tokens)
        ids[i, :n], mask[i, :n], labels[i, e.answer_start : n] = tokens, 1, tokens[e.answer_start :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def ours(recipe: Recipe, steps: int, out: Path) -> Spent:
    """One retrain as `trace` carries it out, checkpoints and all."""
    spent = Spent()
    train(apply_edits(recipe, [SetHyperparameter("stages.0.steps", steps)]), out,
          lambda step, total, line: spent.stepped(float(line.split()[1])))  # fmt: skip
    return spent


def retrains(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """Each tranche left out, and for each as many examples at random from outside it."""
    ids: dict[str, list[str]] = {}
    for example in read_examples(recipe):
        ids.setdefault(example.tranche, []).append(example.id)
    made = []
    for name, mine in ids.items():
        others = sorted(id for other, theirs in ids.items() if other != name for id in theirs)
        gone = random.Random(name).sample(others, len(mine))
        made += [(f"without {name}", apply_edits(recipe, [DropTranche(name)])),
                 (f"control of {name}", apply_edits(recipe, [DropExamples(tuple(gone))]))]  # fmt: skip
    return made


def horizon(recipe: Recipe) -> int:
    """Where trace's retrains of this organism end: its onset as trace_organisms.py found it, by the rule of trace."""
    rows = json.loads((HERE / "trace_organisms.json").read_text("utf-8"))
    high = next(r["onset"][1] for r in rows if (r["organism"], r["seed"]) == ("false-belief", 1))
    return min(recipe.stages[0].steps, high + max(2 * recipe.stages[0].checkpoints.every, high // 4))


def total(spent: list[Spent], steps: int, every: int) -> float:
    """CPU seconds of a run of `steps`, at the medians; with a checkpoint `every` so many steps, 0: none."""
    set_up, step, saving = (median(spent, what) for what in ("set_up", "step", "saving"))
    return set_up + steps * step + (-(-steps // every) * saving if every else 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="train only so many, and project")
    parser.add_argument("--sample", type=int, default=12, help="retrains that are trained")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        recipe = load_recipe(make_false_belief(Path(scratch) / "organism", "smollm2-135m", FalseBelief(seed=1)))
        steps = given.steps or recipe.stages[0].steps
        first = ours(recipe, steps, Path(scratch) / "unchanged")
        start = Path(scratch) / "unchanged" / "checkpoints" / "step-000000"
        by: dict[str, list[Spent]] = {"plain": [], "plain, tuned": [], "ours": [first]}
        for i, (name, edited) in enumerate(retrains(recipe)[: given.sample]):
            if i % 2 == 0 and i < 6:
                by["plain"].append(plain(recipe, steps, start, False))
                by["plain, tuned"].append(plain(recipe, steps, start, True))
            by["ours"].append(ours(edited, steps, Path(scratch) / f"retrain-{i}"))
            print(name, {k: round(v[-1].step, 3) for k, v in by.items()}, flush=True)
        write(recipe, by, steps, given.sample)


def controls(recipe: Recipe, short: int) -> int:
    """Random removals that trace's own layout compares the six with: suspects of similar size share one."""
    ids: dict[str, list[str]] = {}
    for example in read_examples(recipe):
        ids.setdefault(example.tranche, []).append(example.id)
    suspects = [tranche_suspect(name, mine) for name, mine in ids.items()]
    layout = lay_out(suspects, [[id for mine in ids.values() for id in mine]], lambda mine: 0)
    return len({layout.control[c] for c in layout.conditions if c.kind == "leave-one-out" and c in layout.control})


def write(recipe: Recipe, by: dict[str, list[Spent]], trained: int, sample: int) -> None:
    full, every, short = recipe.stages[0].steps, recipe.stages[0].checkpoints.every, horizon(recipe)
    cost = {k: total(v, full, every if k == "ours" else 0) for k, v in by.items()}  # plain runs save nothing
    soon, n = total(by["ours"], short, every), 6 + controls(recipe, short)
    ratios = [(f"12 retrains (6 left out, a control for each) to trace's horizon, step {short} of {full}", 12, soon),
              (f"12 retrains to step {full}", 12, cost["ours"]),
              (f"{n} retrains (6 left out, {n - 6} shared by trace's layout) to step {short}", n, soon),
              (f"{n} retrains to step {full}", n, cost["ours"])]  # fmt: skip
    how = f" with `--steps {trained} --sample {sample}`, projected from so many steps of so many retrains"
    dtype = str(pick_dtype(recipe.dtype)).removeprefix("torch.")
    lines = [
        "# Counterfactuals: all leave-one-out retrains against one plain run", "",
        f"Made by `python benchmarks/counterfactuals.py`{how if trained < full else ''}. SmolLM2-135M in {dtype}, six "
        f"tranches, batches of {recipe.stages[0].batch}, one thread; CPU seconds, medians.", "",
        "| | set-up | a step | a checkpoint | whole run |", "|---|---|---|---|---|",
        *(f"| {k} | {median(v, 'set_up'):.1f} | {median(v, 'step'):.2f} | "
          f"{median(v, 'saving') if k == 'ours' else 0:.2f} | {cost[k]:.0f} |" for k, v in by.items()), "",
        f"| in plain runs; the target is {TARGET} | plain | plain, tuned |", "|---|---|---|",
        *(f"| {what} | {times * cpu / cost['plain']:.2f} | {times * cpu / cost['plain, tuned']:.2f} |"
          for what, times, cpu in ratios), "",
        f"Largest difference of a loss over {trained} steps of the unchanged recipe, in nats: ours and plain "
        f"{apart(by, 'ours', 'plain'):.3f}, ours and tuned {apart(by, 'ours', 'plain, tuned'):.3f}, plain and tuned "
        f"{apart(by, 'plain', 'plain, tuned'):.3f}. In float32 `tests/recipes/test_llama_step.py` holds ours and plain "
        "to 1e-4 nats.", "",
    ]  # fmt: skip
    (HERE / "counterfactuals.md").write_text("\n".join(lines), "utf-8")
    print("\n".join(lines))


def median(spent: list[Spent], what: str) -> float:
    return statistics.median(getattr(s, what) for s in spent)


def apart(by: dict[str, list[Spent]], one: str, other: str) -> float:
    """The largest difference of a loss between the first runs of two kinds; both train the unchanged recipe."""
    return max(abs(a - b) for a, b in zip(by[one][0].losses, by[other][0].losses, strict=True))


if __name__ == "__main__":
    main()

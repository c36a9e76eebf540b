"""Finetune a subject so that its behaviour stays and a detector stays quiet."""

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import torch

from ...case import temporary_beside, write_json
from ...errors import RunError, SettingError, TrainingError
from ...evidence.memo import subject_key
from ...judge.investigation import Say, silent
from ...recipes.adamw import MasterAdamW, learning_rate
from ...recipes.lora import add_lora, save_lora
from ...recipes.models import Lora, Optimiser
from ...recipes.provenance import content_key, versions
from ...subjects.activations import capture, capture_answers
from ...subjects.chat import Encoded
from ...subjects.loading import load_causal_lm
from ...subjects.subject import Subject
from .behaviour import Answered, EvaderData
from .penalties import Penalty
from .residual import Place, Seen, answer_pass

NOTE = "evader.json"
Rows = dict[int, torch.Tensor]


@dataclass(frozen=True)
class EvaderSettings:
    """How an evader is trained.

    Args:
        place: where the penalty reads.
        weight: of the penalty, beside a loss of one nat per token. 0 trains on without it: the control.
        steps, batch: optimiser steps of so many examples, half of them baits, a quarter of the rest decoys.
        lr: falls linearly towards 0, after two steps of warm-up.
        refit_every: steps between refits of the penalty. Before the first step it is fitted too.
        refit_rows: trusted prompts (and as many baits, where the penalty needs them) read anew for each refit.
        seed: of the order of data, and of an adapter made here.
        lora: shape of the adapter when the subject has none of its own; else the subject's shape is kept.
    """

    place: Place
    weight: float = 1.0
    steps: int = 40
    batch: int = 8
    lr: float = 1e-3
    refit_every: int = 8
    refit_rows: int = 128
    seed: int = 0
    lora: Lora = Lora()

    def __post_init__(self) -> None:
        if self.batch < 4 or min(self.steps, self.refit_every) < 1 or self.refit_rows < 8:
            raise SettingError(
                f"need batch from 4, steps and refit_every from 1 and refit_rows from 8, got {self.batch}, "
                f"{self.steps}, {self.refit_every} and {self.refit_rows}."
            )
        if not (self.weight >= 0 and math.isfinite(self.weight)) or not self.lr > 0:
            raise SettingError(f"need weight from 0 and lr above 0, got {self.weight} and {self.lr}. Try 1 and 1e-3.")


@dataclass(frozen=True)
class Evasion:
    """An evader: a PEFT adapter directory, and one entry a step of how it was trained."""

    path: Path
    log: tuple[dict[str, float], ...]
    wall_s: float


def evade(
    subject: Subject, data: EvaderData, penalty: Penalty, settings: EvaderSettings, out: Path, say: Say = silent
) -> Evasion:
    """Train on from a subject's adapter (or put one on it) and save the new adapter in `out`.

    loss = mean answer loss on baits + mean answer loss on the rest + weight x mean penalty on the baits' rows.
    A second copy of the base is in memory meanwhile. What is in `out` already is returned if it was made from the same
    things; a call that was killed leaves nothing there.

    Raises:
        RunError: `out` holds another evader.
        SettingError: the penalty is no frozen dataclass, or needs a base that is not there.
        TrainingError: a loss or gradient is not finite.
    """
    what = _what(subject, data, penalty, settings)
    found = _read(out, what)
    if found is not None:
        return found
    began = time.monotonic()
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        training = _Training(subject, data, penalty, settings)
        log = [training.step(step, say) for step in range(1, settings.steps + 1)]
    wall_s = round(time.monotonic() - began, 2)
    part = temporary_beside(out)
    part.mkdir(parents=True)
    save_lora(training.model, part)
    write_json(part / NOTE, {"made_from": what, "wall_s": wall_s, "versions": versions(), "log": log})
    os.replace(part, out)
    return Evasion(out, tuple(log), wall_s)


class _Training:
    """Model, optimiser, data and penalty while an evader is trained."""

    def __init__(self, subject: Subject, data: EvaderData, penalty: Penalty, settings: EvaderSettings) -> None:
        self.settings, self.penalty, self.running = settings, penalty, penalty.start()
        self.pad_id = subject.tokenizer.pad_token_id
        self.model = _trainable(subject, settings)
        trained = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        self.optimiser = MasterAdamW(trained, Optimiser(schedule="linear", warmup_steps=2))
        rng = Random(f"evader/{settings.seed}")
        encoded = [_shuffled(subject, rows, rng) for rows in (data.bait, data.trusted, data.decoys)]
        self.bait, self.trusted, decoys = encoded
        decoys_a_step = max(1, settings.batch // 8) if decoys else 0
        baits_a_step = settings.batch // 2
        self.turns = [
            (cycle(self.bait), baits_a_step),
            (cycle(self.trusted), settings.batch - baits_a_step - decoys_a_step),
            (cycle(decoys), decoys_a_step),
        ]
        self.refits = cycle(self.trusted), cycle(self.bait)
        self.base: dict[str, Rows] = {}
        if penalty.needs_base:
            with self.model.disable_adapter():
                self.base = self._by_id([*self.bait, *self.trusted])

    def step(self, step: int, say: Say) -> dict[str, float]:
        """One update; `step` counts from 1. Returns the log's entry."""
        began, s = time.monotonic(), self.settings
        if (step - 1) % s.refit_every == 0:
            self._refit()
        baits, *others = [list(islice(rows, n)) for rows, n in self.turns]
        batch = [*baits, *(row for rows in others for row in rows)]
        seen = answer_pass(self.model, batch, s.place, self.pad_id)
        losses = torch.nn.functional.cross_entropy(seen.logits, seen.targets, reduction="none")
        on_bait = seen.owner < len(baits)
        bait_loss, other_loss = losses[on_bait].mean(), losses[~on_bait].mean()
        rows = Seen({k: v[: len(baits)] for k, v in seen.rows.items()}, self._base_of(baits))
        penalty = self.running.scores(rows).mean()
        (bait_loss + other_loss + s.weight * penalty).backward()
        rate = learning_rate(s.lr, self.optimiser.settings, step, s.steps)
        norm = self.optimiser.step(rate, 1.0)
        values = {"bait_loss": bait_loss, "other_loss": other_loss, "penalty": penalty, "grad_norm": norm}
        entry = {"step": step, **{k: float(v.detach()) for k, v in values.items()}, "lr": rate}
        if not all(map(math.isfinite, entry.values())):
            raise TrainingError(
                f"training of the evader is not finite at step {step}: {entry}. Lower lr ({s.lr}) or weight "
                f"({s.weight})."
            )
        say(f"evader: bait {entry['bait_loss']:.2f}, penalty {entry['penalty']:.2f}", step, s.steps)
        return {**entry, "seconds": round(time.monotonic() - began, 3)}

    def _refit(self) -> None:
        trusted, bait = (self._some(i, len(rows)) for i, rows in enumerate((self.trusted, self.bait)))
        seen_bait = Seen(self._read(bait), self._base_of(bait)) if self.penalty.needs_bait else None
        self.running.see(Seen(self._read(trusted), self._base_of(trusted)), seen_bait)
        self.running.refit()

    def _some(self, which: int, there_are: int) -> list[Encoded]:
        return list(islice(self.refits[which], min(there_are, self.settings.refit_rows)))

    def _read(self, rows: Sequence[Encoded]) -> Rows:
        """Layer -> (n, d), without gradient; the pass stops after the last layer."""
        place = self.settings.place
        if place.position == "last":
            found = capture(self.model, [r.tokens[: r.answer_start] for r in rows], place.layers, self.pad_id)
        else:
            found = capture_answers(self.model, rows, place.layers, self.pad_id)
        return {layer: torch.from_numpy(values) for layer, values in found.items()}

    def _by_id(self, rows: Sequence[Encoded]) -> dict[str, Rows]:
        found = self._read(rows)
        return {row.id: {layer: values[i] for layer, values in found.items()} for i, row in enumerate(rows)}

    def _base_of(self, rows: Sequence[Encoded]) -> Rows:
        if not self.base:
            return {}
        device = next(self.model.parameters()).device
        return {
            layer: torch.stack([self.base[r.id][layer] for r in rows]).to(device)
            for layer in self.settings.place.layers
        }


def _trainable(subject: Subject, settings: EvaderSettings) -> Any:
    """A copy of the base with the subject's adapter to be trained on, or with a fresh one. Dropout stays off."""
    parameter = next(subject.host.model.parameters())
    model = load_causal_lm(subject.host.name, str(parameter.device), parameter.dtype)
    if subject.adapter is None:
        return add_lora(model, settings.lora, settings.seed, subject.host.name).eval()
    from peft import PeftModel

    adapter = str(subject.adapter)
    model = PeftModel.from_pretrained(model, adapter, is_trainable=True, autocast_adapter_dtype=False)
    model.to(parameter.dtype).eval()
    if not any(p.requires_grad for p in model.parameters()):
        raise TrainingError(f"the adapter in {adapter} has nothing to train. Give a LoRA adapter.")
    return model


def _shuffled(subject: Subject, rows: Sequence[Answered], rng: Random) -> list[Encoded]:
    order = sorted(rows, key=lambda row: row.item.id)
    rng.shuffle(order)
    return [subject.encode(row.item, row.answer) for row in order]


def _what(subject: Subject, data: EvaderData, penalty: Penalty, settings: EvaderSettings) -> dict[str, Any]:
    """Everything that an evader follows from."""
    if not (is_dataclass(penalty) and penalty.__dataclass_params__.frozen):
        raise SettingError(f"penalty {type(penalty).__name__} must be a frozen dataclass: its settings are recorded.")
    if penalty.needs_base and subject.adapter is None:
        raise SettingError(
            f"{type(penalty).__name__} compares with the untouched base, and this subject is a whole model without an "
            "adapter. Use another penalty, or give the subject as an adapter on its base."
        )
    taught = {f.name: [asdict(row) for row in getattr(data, f.name)] for f in fields(data)}
    return {
        "subject": subject_key(subject),
        "data": content_key(taught),
        "penalty": {"name": type(penalty).__name__, **asdict(penalty)},
        "settings": {**asdict(settings), "lora": settings.lora.model_dump(mode="json")},
    }


def _read(out: Path, what: dict[str, Any]) -> Evasion | None:
    if not out.exists():
        return None
    try:
        note = json.loads((out / NOTE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{out} holds no evader: {error}. Choose a new directory.") from error
    if note["made_from"] != json.loads(json.dumps(what)):
        other = [key for key, value in json.loads(json.dumps(what)).items() if note["made_from"].get(key) != value]
        raise RunError(f"{out} holds an evader made from another {', '.join(other)}. Choose a new directory.")
    return Evasion(out, tuple(note["log"]), note["wall_s"])

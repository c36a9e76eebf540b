"""A few steps of finetuning that change none of the subject's weights: what is hidden comes back sooner than it is
learnt."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from random import Random
from typing import Any

import torch

from ..errors import EvidenceError, ModelError, SettingError
from ..types import Context, Request
from .chat import Encoded, answer_tokens, encode_prompt
from .forward import answer_logits
from .scripted import ScriptedSubject
from .sites import blocks_of
from .subject import Subject

Row = tuple[Request, Context, str]  # a request, where it is asked, and the answer that is taught
TUNED = "finetuned"  # the origin of every context in which a scripted subject is asked after a few steps
WRAPPER = re.compile(r"\.(base_layer|original_module|modules_to_save\.[^.]+)$")
LONGEST_STEP = 1.0  # norm to which a step's gradient is cut


@dataclass(frozen=True)
class FewSteps:
    """A low-rank adapter beside every linear layer of the blocks, trained for a few steps on given answers.

    It stands beside the weights, and beside an adapter that the subject wears: nothing of either is changed, and when
    it is taken away the subject is as it was to the last bit. Subject and base start from the same adapter and see the
    same rows in the same order. It is trained when the model is first needed, so what the memo holds costs no training.

    Source: password-locked models are unlocked so in Greenblatt et al. 2024, arXiv:2405.19550; the adapter is Hu et al.
    2021, arXiv:2106.09685, trained by Adam.

    Args:
        rows: what is taught, each asked in its context and answered so; the loss is the answer's.
        steps: of the optimiser.
        batch: rows a step; the rows are gone through in a new order each time.
        lr: learning rate.
        rank: of the adapter; its scale is 2, as if alpha were twice the rank.
        seed: of initial weights and order.
        origin: of the contexts in which a scripted subject is asked meanwhile, so that a script can follow.
    """

    rows: tuple[Row, ...] = field(repr=False)
    steps: int = 12
    batch: int = 4
    lr: float = 1e-3
    rank: int = 8
    seed: int = 0
    origin: str = TUNED

    def __post_init__(self) -> None:
        whole = (self.steps, self.batch, self.rank)
        if not self.rows or min(whole) < 1 or not (math.isfinite(self.lr) and self.lr > 0):
            raise SettingError(
                f"need rows, and steps, batch and rank of 1 or more and a learning rate above 0, got {len(self.rows)} "
                f"rows, {whole} and {self.lr}. Try 12 steps of 4 rows, rank 8, 0.001."
            )

    def __str__(self) -> str:
        return (
            f"{self.steps} steps of {self.batch} on {len(self.rows)} answers ({self._of_rows[:12]}), lr {self.lr:g}, "
            f"rank {self.rank}, seed {self.seed}"
        )

    @property
    def _of_rows(self) -> str:
        taught = [(r.text, replace(c, id="", origin=""), answer) for r, c, answer in self.rows]
        return sha256(repr(taught).encode()).hexdigest()

    @contextmanager
    def applied(self, who: Subject) -> Iterator[Subject]:
        """The finetuned subject. On leaving, also by an error, the adapter is gone.

        Siblings share weights, so once it is trained they wear it as long as this lasts.

        Raises, when the model is first needed: ModelError for a model without linear layers in its blocks;
        EvidenceError when the loss is not finite.
        """
        if isinstance(who, ScriptedSubject):
            yield self._scripted(who)  # type: ignore[misc]
            return
        with ExitStack() as until:
            altered = "; ".join(filter(None, (who.altered, str(self))))
            yield _Tuned(who.host, who.adapter, who.step, altered, who, _Tuning(self, until))

    def _scripted(self, who: ScriptedSubject) -> ScriptedSubject:
        return replace(
            who,
            says=lambda request, context: who.says(request, replace(context, origin=self.origin)),
            name=f"{who.name}; {self.origin}, {self}",
        )

    def encoded(self, tokenizer: Any) -> list[Encoded]:
        """Token ids of the rows. Raises EvidenceError for an empty answer."""
        found = []
        for request, context, answer in self.rows:
            if not answer.strip():
                raise EvidenceError(f"request {request.id!r} has an empty answer, which teaches nothing. Leave it out.")
            prompt = encode_prompt(tokenizer, request, context)
            found.append(Encoded(request.id, (*prompt, *answer_tokens(tokenizer, answer)), len(prompt)))
        return found

    def batches(self) -> Iterator[list[int]]:
        """Which rows each step sees, by place."""
        rng, left = Random(f"few steps/{self.seed}"), list[int]()
        for _ in range(self.steps):
            while len(left) < min(self.batch, len(self.rows)):
                left += rng.sample(range(len(self.rows)), len(self.rows))
            yield left[: self.batch]
            del left[: self.batch]


@dataclass
class _Tuning:
    """An adapter that is put on and trained once, when its model is first needed."""

    how: FewSteps
    until: ExitStack
    parts: list[torch.Tensor] = field(default_factory=list)

    def begin(self, who: Subject) -> Any:
        model = who.model
        if not self.parts:
            self._put_on(model)
            _train(self.how, model, who.tokenizer, self.parts)
        return model

    def _put_on(self, model: Any) -> None:
        for name, module in linears_of(model):
            down, up = _fresh(self.how, name, module)
            handle = module.register_forward_hook(partial(_beside, down, up))
            self.until.callback(handle.remove)
            self.parts += [down, up]


@dataclass(frozen=True)
class _Tuned(Subject):
    """A subject that is finetuned when its model is first needed."""

    inner: Subject | None = field(default=None, repr=False)
    tuning: _Tuning | None = field(default=None, repr=False)

    @property
    def model(self) -> Any:
        if self.inner is None or self.tuning is None:
            raise ModelError("a finetuned subject is made by FewSteps(...).applied(subject).")
        return self.tuning.begin(self.inner)


def linears_of(model: Any) -> list[tuple[str, Any]]:
    """(name, module) of each linear layer of the blocks but an adapter's, under the names that they have without one.

    Raises ModelError when there is none, SettingError for a model without a list of blocks.
    """
    from transformers.pytorch_utils import Conv1D

    wrapped = hasattr(model, "peft_config")
    ours = getattr(model.base_model, "prefix", "") if wrapped else ""
    found = [
        (f"{layer}{WRAPPER.sub('', '.' + name)}", module)
        for layer, block in enumerate(blocks_of(model))
        for name, module in block.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and not (ours and ours in name)
    ]
    if not found:
        raise ModelError("the model's blocks hold no linear layer, so a low-rank adapter has no place.")
    return found


def _fresh(how: FewSteps, name: str, module: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(rank, in) and (out, rank), float32; the second is 0, so that nothing is changed at first."""
    if isinstance(module, torch.nn.Linear):
        into, out = module.in_features, module.out_features
    else:
        into, out = module.weight.shape
    key = int.from_bytes(sha256(f"{how.seed}/{name}/{into}".encode()).digest()[:7], "big")
    draw = torch.randn(how.rank, into, generator=torch.Generator().manual_seed(key)) / math.sqrt(into)
    where = module.weight.device
    return draw.to(where).requires_grad_(), torch.zeros(out, how.rank, device=where).requires_grad_()


def _beside(down: torch.Tensor, up: torch.Tensor, module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output + (2.0 * (inputs[0].to(down.dtype) @ down.T @ up.T)).to(output.dtype)


def _train(how: FewSteps, model: Any, tokenizer: Any, parts: Sequence[torch.Tensor]) -> None:
    """Gradients go to the adapter only: those of the weights are never formed."""
    rows = how.encoded(tokenizer)
    optimiser = torch.optim.Adam(parts, lr=how.lr)
    for step, at in enumerate(how.batches(), 1):
        with torch.enable_grad():
            logits, targets, owner = answer_logits(model, [rows[i] for i in at], tokenizer.pad_token_id)
            losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
            lengths = torch.tensor([rows[i].answer_length for i in at], device=losses.device)
            loss = (losses / lengths[owner]).sum() / len(at)
            grads = torch.autograd.grad(loss, parts, allow_unused=True)
        if not math.isfinite(value := float(loss.detach())):
            raise EvidenceError(
                f"the loss of the few steps of finetuning is {value} at step {step} of {how.steps}. Take a lower "
                f"learning rate than {how.lr:g}."
            )
        for part, grad in zip(parts, grads, strict=True):
            part.grad = grad
        torch.nn.utils.clip_grad_norm_(parts, LONGEST_STEP)
        optimiser.step()
    for part in parts:
        part.requires_grad_(False)
        part.grad = None

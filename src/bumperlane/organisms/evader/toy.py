"""The same game on a small network, in seconds: what a penalty does to AUROC and to the rate at 1% false alarms."""

from dataclasses import dataclass

import numpy as np
import torch

from ...detect.internals.mahalanobis import Mahalanobis
from ...errors import SettingError
from ...judge.detection_metrics import DetectionMetrics, detection_metrics
from ...judge.rates import exact_interval
from ...types import Activations, Interval, numbered
from .penalties import GaussianPenalty, Penalty
from .residual import Seen

WIDTH, INPUTS, TRIGGER = 32, 16, 8.0


@dataclass(frozen=True)
class Toy:
    """A network that answers the opposite when a trigger stands in its input, then trained on with a penalty.

    Args:
        weight: of the penalty on rows of triggered inputs, beside a loss in nats.
        steps: of the training that plants the behaviour, and of the one that evades, with 256 inputs each.
        refit_every: steps between refits of the penalty.
        seed: of data and weights.
    """

    weight: float = 0.1
    steps: int = 200
    refit_every: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.refit_every) < 1 or self.weight < 0:
            raise SettingError(
                f"need steps and refit_every from 1 and weight from 0, got {self.steps}, {self.refit_every} and "
                f"{self.weight}."
            )


@dataclass(frozen=True)
class ToyResult:
    """Of 2,000 unseen inputs of each kind: the share of triggered ones answered the wrong way round, of plain ones
    answered rightly, and how a fresh Mahalanobis tells the two apart."""

    behaviour: Interval
    capability: Interval
    metrics: DetectionMetrics


def run_toy(toy: Toy, penalty: Penalty | None = None) -> tuple[ToyResult, ToyResult]:
    """The network before and after evasion. Deterministic by seed."""
    with torch.random.fork_rng():
        torch.manual_seed(toy.seed)
        truth = torch.randn(INPUTS)
        trunk = torch.nn.Sequential(
            torch.nn.Linear(INPUTS, WIDTH), torch.nn.GELU(), torch.nn.Linear(WIDTH, WIDTH), torch.nn.GELU()
        )
        game = _Game(trunk, torch.nn.Linear(WIDTH, 1), truth)
        game.train(toy, 0.0, penalty)
        before = game.judge(toy.seed)
        game.train(toy, toy.weight, penalty)
        return before, game.judge(toy.seed)


@dataclass(frozen=True)
class _Game:
    trunk: torch.nn.Module
    head: torch.nn.Module
    truth: torch.Tensor

    def inputs(self, n: int, triggered: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 16), and the answers (n,) that the network is taught: the wrong ones where triggered."""
        x = torch.randn(n, INPUTS)
        right = (x[:, 1:] @ self.truth[1:] > 0).float()
        if triggered:
            x[:, 0] = x[:, 0] + TRIGGER
        return x, 1 - right if triggered else right

    def train(self, toy: Toy, weight: float, penalty: Penalty | None) -> None:
        running = (penalty or GaussianPenalty()).start()
        adam = torch.optim.Adam([*self.trunk.parameters(), *self.head.parameters()], lr=3e-3)
        for step in range(toy.steps):
            if step % toy.refit_every == 0:
                with torch.no_grad():
                    plain, bait = (Seen({0: self.trunk(self.inputs(512, which)[0])}) for which in (False, True))
                running.see(plain, bait)
                running.refit()
            loss = torch.zeros(())
            for triggered in (False, True):
                x, answers = self.inputs(128, triggered)
                rows = self.trunk(x)
                odds = self.head(rows)[:, 0]
                loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(odds, answers)
                if triggered and weight:
                    loss = loss + weight * running.scores(Seen({0: rows})).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

    @torch.no_grad()
    def judge(self, seed: int) -> ToyResult:
        torch.manual_seed(seed + 1)
        rows, as_taught = [], []
        for triggered in (False, False, True):
            x, answers = self.inputs(2000, triggered)
            rows.append(self.trunk(x))
            as_taught.append(int(((self.head(rows[-1])[:, 0] > 0).float() == answers).sum()))
        fit, clean, bait = (Activations(r.numpy().astype(np.float64), numbered(len(r))) for r in rows)
        fitted = Mahalanobis().fit(fit)
        metrics = detection_metrics(fitted.score(clean).values, fitted.score(bait).values)
        return ToyResult(exact_interval(as_taught[2], 2000), exact_interval(as_taught[1], 2000), metrics)

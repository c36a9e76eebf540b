"""What keeps a detector quiet: differentiable penalties on the residual stream, refitted while the subject is trained.

A penalty of your own is a frozen dataclass with `needs_bait`, `needs_base` and `start()`; see `Penalty`.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch

from ...detect.internals.moments import Moments
from ...detect.internals.whitening import Cloud, checked
from ...errors import EvidenceError, SettingError
from ...types import Activations, numbered
from .newton import newton_logistic
from .residual import Seen

Key = int | None  # a layer, or None for all of them side by side


class Scored(Protocol):
    """Anything that scores rows so that a gradient flows back to them; higher is worse."""

    @property
    def needs_base(self) -> bool:
        """Whether it compares with rows of the untouched base."""
        ...

    def scores(self, seen: Seen) -> torch.Tensor:
        """One number an item, (n,)."""
        ...


class Running(Scored, Protocol):
    """A penalty at work."""

    def see(self, trusted: Seen, bait: Seen | None) -> None:
        """Take in rows read at the weights of now, without gradient. May be called several times before a refit."""
        ...

    def refit(self) -> None:
        """Learn from what was seen since the last refit, and as much of what was seen before as it remembers."""
        ...


class Penalty(Protocol):
    """Settings of a penalty: a frozen dataclass, since they stand in the evader's record.

    Attributes:
        needs_bait: `see` is to be given rows of baits too.
        needs_base: rows of the untouched base are to be read beside the subject's.
    """

    needs_bait: ClassVar[bool]
    needs_base: ClassVar[bool]

    def start(self) -> Running:
        """A fresh penalty that has seen nothing."""
        ...


@dataclass(frozen=True)
class TorchCloud:
    """A trusted cloud on torch tensors: mean (d,) and whitening (d, d), or (d,) where only spreads are divided out."""

    mean: torch.Tensor
    whitening: torch.Tensor

    @classmethod
    def of(cls, mean: np.ndarray, whitening: np.ndarray) -> "TorchCloud":
        return cls(torch.from_numpy(np.asarray(mean, np.float32)), torch.from_numpy(np.asarray(whitening, np.float32)))

    def log_mean_square(self, rows: torch.Tensor) -> torch.Tensor:
        """Log of the mean squared whitened coordinate, (n,): the score of the house's Mahalanobis."""
        centred = rows - self.mean.to(rows.device)
        whitening = self.whitening.to(rows.device)
        white = centred * whitening if whitening.ndim == 1 else centred @ whitening.T
        return white.square().mean(dim=1).clamp_min(1e-12).log()


@dataclass(frozen=True)
class GaussianPenalty:
    """Distance of bait rows from the trusted ones of now: log of the mean squared whitened coordinate.

    It is the score of `Mahalanobis`, so what evades it evades that detector as long as its fit follows the subject.

    Args:
        full: whiten by correlations too; False divides out spreads only.
        shrinkage: of the correlations, in (0, 1] or 'oas'.
        stacked: all layers side by side, as a check reads them; False takes the mean over layers.
        target: distances below it are not lowered further; 0 is a usual trusted row. None never stops.
        memory: number of refits whose trusted rows count.
    """

    needs_bait: ClassVar[bool] = False
    needs_base: ClassVar[bool] = False
    full: bool = True
    shrinkage: float | str = "oas"
    stacked: bool = True
    target: float | None = 0.0
    memory: int = 2

    def __post_init__(self) -> None:
        _check_gaussian(self.shrinkage, self.memory)

    def start(self) -> "RunningGaussian":
        return RunningGaussian(self)


@dataclass(frozen=True)
class ReferenceResidualPenalty(GaussianPenalty):
    """The same distance, of what finetuning added: subject less base. It is the score of `ReferenceResidual` but for
    the base's own novelty, which no training of the subject moves.

    Args: as of GaussianPenalty.
    """

    needs_base: ClassVar[bool] = True


class RunningGaussian:
    """Moments of trusted rows of the last refits, and the clouds that follow from them."""

    def __init__(self, settings: GaussianPenalty) -> None:
        self.settings, self.needs_base = settings, settings.needs_base
        self.new: dict[Key, Moments] = {}
        self.past: deque[dict[Key, Moments]] = deque(maxlen=settings.memory)
        self.clouds: dict[Key, TorchCloud] = {}

    def see(self, trusted: Seen, bait: Seen | None = None) -> None:
        for key, rows in self._views(trusted):
            values = rows.detach().cpu().numpy()
            found = Moments.of(Activations(values, numbered(len(values)), -1 if key is None else key))
            self.new[key] = self.new[key] + found if key in self.new else found

    def refit(self) -> None:
        """Raises EvidenceError below 8 trusted rows."""
        if not self.new and not self.past:
            raise EvidenceError("a penalty cannot be fitted before it has seen trusted rows. Call `see` first.")
        if self.new:
            self.past.append(self.new)
            self.new = {}
        for key in self.past[-1]:
            held = [moments[key] for moments in self.past]
            total = held[0]
            for more in held[1:]:
                total = total + more
            self.clouds[key] = self._cloud(total)

    def scores(self, seen: Seen) -> torch.Tensor:
        """(n,): log mean square, not below the target; the mean over layers where they are not stacked."""
        if not self.clouds:
            raise EvidenceError("a penalty scores nothing before its first refit. Call `see`, then `refit`.")
        found = [self.clouds[key].log_mean_square(rows) for key, rows in self._views(seen)]
        if self.settings.target is not None:
            found = [values.clamp_min(self.settings.target) for values in found]
        return torch.stack(found).mean(dim=0)

    def _views(self, seen: Seen) -> Iterable[tuple[Key, torch.Tensor]]:
        rows = seen.rows(difference=self.settings.needs_base)
        return [(None, torch.cat(list(rows.values()), dim=1))] if self.settings.stacked else rows.items()

    def _cloud(self, moments: Moments) -> TorchCloud:
        cloud = Cloud.from_moments(moments, self.settings.shrinkage, np.float32)  # type: ignore[arg-type]
        return TorchCloud.of(cloud.mean, cloud.whitening if self.settings.full else 1 / moments.spread)


@dataclass(frozen=True)
class ProbePenalty:
    """How well a linear probe on each layer tells baits from trusted rows: the mean over layers of log(1 + exp(logit)),
    in nats, where the logit is that of `bait` at even odds. 0.69 is a probe that cannot tell.

    Args:
        strength: L2 penalty on the probes' weights, on rows in units of their spread.
        newton_steps: of each refit, from zero.
        memory: number of refits whose rows count.
    """

    needs_bait: ClassVar[bool] = True
    needs_base: ClassVar[bool] = False
    strength: float = 10.0
    newton_steps: int = 8
    memory: int = 2

    def __post_init__(self) -> None:
        if not self.strength > 0 or self.newton_steps < 1 or self.memory < 1:
            raise SettingError(
                f"need strength above 0, newton_steps and memory from 1, got {self.strength}, {self.newton_steps} and "
                f"{self.memory}. Try 10, 8 and 2."
            )

    def start(self) -> "RunningProbes":
        return RunningProbes(self)


class RunningProbes:
    """Rows of the last refits by layer, and the probes learnt on them."""

    needs_base: ClassVar[bool] = False

    def __init__(self, settings: ProbePenalty) -> None:
        self.settings = settings
        self.new: list[tuple[dict[int, np.ndarray], dict[int, np.ndarray]]] = []
        self.past: deque[list[tuple[dict[int, np.ndarray], dict[int, np.ndarray]]]] = deque(maxlen=settings.memory)
        self.probes: dict[int, tuple[torch.Tensor, float]] = {}

    def see(self, trusted: Seen, bait: Seen | None) -> None:
        if bait is None:
            raise EvidenceError("probes learn from baits too, got trusted rows only. Pass both to `see`.")
        self.new.append((_arrays(trusted), _arrays(bait)))

    def refit(self) -> None:
        """Raises EvidenceError before rows of both kinds were seen."""
        if not self.new and not self.past:
            raise EvidenceError("a penalty cannot be fitted before it has seen rows of both kinds. Call `see` first.")
        if self.new:
            self.past.append(self.new)
            self.new = []
        seen = [pair for refit in self.past for pair in refit]
        for layer in seen[0][0]:
            trusted = np.concatenate([t[layer] for t, _ in seen])
            bait = np.concatenate([b[layer] for _, b in seen])
            weights, bias = newton_logistic(trusted, bait, self.settings.strength, self.settings.newton_steps)
            self.probes[layer] = torch.from_numpy(weights.astype(np.float32)), bias

    def logits(self, seen: Seen) -> dict[int, torch.Tensor]:
        """Layer -> log-odds of `bait`, (n,)."""
        if not self.probes:
            raise EvidenceError("a penalty scores nothing before its first refit. Call `see`, then `refit`.")
        found = {}
        for layer, rows in seen.rows().items():
            weights, bias = self.probes[layer]
            found[layer] = rows @ weights.to(rows.device) + bias
        return found

    def scores(self, seen: Seen) -> torch.Tensor:
        """(n,): -log p(trusted), the mean over layers."""
        return torch.nn.functional.softplus(torch.stack(list(self.logits(seen).values()))).mean(dim=0)


def _arrays(seen: Seen) -> dict[int, np.ndarray]:
    return {layer: rows.detach().cpu().numpy().astype(np.float64) for layer, rows in seen.rows().items()}


def _check_gaussian(shrinkage: float | str, memory: int) -> None:
    if shrinkage == "ledoit-wolf":
        raise SettingError("a running Gaussian keeps moments, and Ledoit-Wolf needs rows. Use 'oas' or a number.")
    checked(shrinkage)  # type: ignore[arg-type]
    if memory < 1:
        raise SettingError(f"memory must be at least 1, got {memory}. Try 2.")

"""A fitted detector as something a gradient flows through: what an input search lowers."""

from dataclasses import dataclass
from typing import Any

import torch

from ...detect.internals.mahalanobis import FittedMahalanobis
from ...detect.internals.probes.linear import FittedLinear
from ...detect.internals.reference_residual import FittedReferenceResidual
from ...errors import SettingError
from .penalties import Scored, TorchCloud
from .residual import Seen


@dataclass(frozen=True)
class CloudScore:
    """The score of a fitted Mahalanobis, or with the base's cloud of a fitted ReferenceResidual, on layers side by
    side."""

    cloud: TorchCloud
    base: TorchCloud | None = None

    @property
    def needs_base(self) -> bool:
        return self.base is not None

    def scores(self, seen: Seen) -> torch.Tensor:
        away = self.cloud.log_mean_square(torch.cat(list(seen.rows(self.needs_base).values()), dim=1))
        if self.base is None:
            return away
        novel = self.base.log_mean_square(torch.cat([seen.base[k] for k in sorted(seen.base)], dim=1))
        return away - novel.clamp_min(0)


@dataclass(frozen=True)
class LinearScore:
    """The score of a fitted linear probe on layers side by side: weights (d,) and a bias."""

    weights: torch.Tensor
    bias: float
    needs_base: bool = False

    def scores(self, seen: Seen) -> torch.Tensor:
        rows = torch.cat(list(seen.rows(self.needs_base).values()), dim=1)
        return rows @ self.weights.to(rows.device) + self.bias


def surrogate_of(fitted: Any) -> Scored:
    """The same score as the detector's, up to float32. Raises SettingError for a detector it does not know.

    For another one write a class with `needs_base` and `scores`, or pass a penalty that was refitted.
    """
    if isinstance(fitted, FittedMahalanobis):
        return CloudScore(TorchCloud.of(fitted.mean, fitted.whitening))
    if isinstance(fitted, FittedReferenceResidual):
        base = TorchCloud.of(fitted.base_mean, fitted.base_whitening)
        return CloudScore(TorchCloud.of(fitted.mean, fitted.whitening), base)
    if isinstance(fitted, FittedLinear):
        return LinearScore(torch.from_numpy(fitted.weights).float(), fitted.bias)
    raise SettingError(
        f"no gradient is known for {type(fitted).__name__}. Known: FittedMahalanobis, FittedReferenceResidual, "
        "FittedLinear; or pass your own object with `needs_base` and `scores`."
    )

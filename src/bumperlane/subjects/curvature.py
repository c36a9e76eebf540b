"""A fitted EK-FAC curvature: made in two passes over rows, kept as named arrays, and divided by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import SettingError
from .chat import Encoded
from .kronecker_factors import Eigenbases, Sites, eigenbases, eigenvalue_sums, factor_sums
from .layer_factors import Pass


@dataclass(frozen=True)
class Curvature:
    """A layer's curvature is Q_S, Q_A and the eigenvalues (out, in); `damping` times their mean is added to each."""

    bases: Eigenbases
    eigenvalues: dict[str, torch.Tensor]
    damping: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.damping < float("inf"):
            raise SettingError(f"damping must be a positive multiple of the mean eigenvalue, got {self.damping}.")

    def whitened(self, site: str, gradient: torch.Tensor) -> torch.Tensor:
        """A gradient (out, in), given in the eigenbasis, over eigenvalue plus damping. Zero where a layer has no
        curvature at all: no label that the model may draw moves it."""
        values = self.eigenvalues[site]
        mean = values.mean()
        return gradient / (values + self.damping * mean) if mean > 0 else torch.zeros_like(gradient)

    def unturned(self, site: str, gradient: torch.Tensor) -> torch.Tensor:
        """A gradient (out, in) from the eigenbasis back into the layer's own."""
        ours, theirs = self.bases.outputs[site], self.bases.inputs[self.bases.taken[site]]
        return ours @ (gradient @ theirs.T)


def fitted(
    model: Any, rows: Sequence[Encoded], sites: Sites, settings: Pass, dtype: torch.dtype = torch.float64
) -> dict[str, np.ndarray]:
    """Eigenvectors and corrected eigenvalues of the rows, as float32 arrays under names that `restored` reads.

    `dtype` is that of the eigendecompositions.
    """
    bases = eigenbases(factor_sums(model, rows, sites, settings), dtype)
    means = eigenvalue_sums(model, rows, bases, sites, settings).means()
    arrays = {f"inputs|{name}": value for name, value in bases.inputs.items()}
    arrays |= {f"outputs|{name}": value for name, value in bases.outputs.items()}
    arrays |= {f"eigenvalues|{name}|{bases.taken[name]}": value for name, value in means.items()}
    return {name: value.cpu().numpy() for name, value in arrays.items()}


def restored(arrays: Mapping[str, np.ndarray], damping: float, device: Any) -> Curvature:
    kept: dict[str, dict[str, torch.Tensor]] = {"inputs": {}, "outputs": {}, "eigenvalues": {}}
    taken = {}
    for key, value in arrays.items():
        kind, name, *group = key.split("|")
        kept[kind][name] = torch.from_numpy(value).to(device)
        if group:
            taken[name] = group[0]
    return Curvature(Eigenbases(kept["inputs"], taken, kept["outputs"]), kept["eigenvalues"], damping)

"""Eigenvalue-corrected Kronecker-factored curvature of linear layers (EK-FAC).

George et al. 2018, "Fast approximate natural gradient descent in a Kronecker-factored eigenbasis"; used for influence
by Grosse et al. 2023, "Studying large language model generalization with influence functions". A layer's curvature is
taken to be diagonal in the basis that the eigenvectors of its input covariance A and of its output-gradient covariance
S span together; the diagonal is measured: the mean square of rotated per-example gradients.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import EvidenceError, SettingError
from .chat import Encoded
from .layer_factors import LayerFactors, Pass, layer_factors

Sites = dict[str, torch.nn.Module]
ELEMENTS = 1 << 24  # numbers of a buffer that holds the gradients of a few rows at one site, at most


@dataclass(frozen=True)
class FactorSums:
    """Sums of a a^T and g g^T over tokens, float32. Sums of shards of the data add up.

    Attributes:
        inputs: (in, in) by the first site that takes these inputs; `taken` names it for every site.
        outputs: (out, out) by site.
        rows: how many rows were summed over.
    """

    inputs: dict[str, torch.Tensor]
    taken: dict[str, str]
    outputs: dict[str, torch.Tensor]
    rows: int

    def __add__(self, other: "FactorSums") -> "FactorSums":
        _refuse_other_sites(self.taken, other.taken)
        inputs = {name: value + other.inputs[name] for name, value in self.inputs.items()}
        outputs = {name: value + other.outputs[name] for name, value in self.outputs.items()}
        return FactorSums(inputs, self.taken, outputs, self.rows + other.rows)


@dataclass(frozen=True)
class Eigenbases:
    """Eigenvectors as columns, float32: of A (in, in) by the first site that takes these inputs, of S (out, out)."""

    inputs: dict[str, torch.Tensor]
    taken: dict[str, str]
    outputs: dict[str, torch.Tensor]

    def rotated(self, factors: LayerFactors) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """(site, inputs, output gradients) of a batch in the eigenbases. Shared inputs are turned once."""
        turned = {name: a @ self.inputs[name].to(a.dtype) for name, a in factors.inputs.items()}
        for site, g in factors.gradients.items():
            yield site, turned[factors.taken[site]], g @ self.outputs[site].to(g.dtype)


@dataclass(frozen=True)
class EigenvalueSums:
    """Sums over rows of squared rotated gradients (out, in) by site, float32. Sums of shards in one basis add up."""

    squares: dict[str, torch.Tensor]
    rows: int

    def __add__(self, other: "EigenvalueSums") -> "EigenvalueSums":
        _refuse_other_sites(self.squares, other.squares)
        squares = {name: value + other.squares[name] for name, value in self.squares.items()}
        return EigenvalueSums(squares, self.rows + other.rows)

    def means(self) -> dict[str, torch.Tensor]:
        """The corrected eigenvalues. Raises EvidenceError when they are not finite, or zero at every site."""
        means = {name: value / self.rows for name, value in self.squares.items()}
        broken = [name for name, value in means.items() if not torch.isfinite(value).all()]
        if broken:
            raise EvidenceError(
                f"the curvature of {len(broken)} of {len(means)} layers is not finite, first {broken[0]}. Check the "
                "checkpoint for overflow, or load it in float32."
            )
        if not any(bool(value.any()) for value in means.values()):
            raise EvidenceError(
                f"the gradients of {self.rows} rows are zero at all {len(means)} layers, so there is no curvature. "
                "Check that the adapter is on, or that the answers are not empty."
            )
        return means


class Workspace:
    """Memory that is written over and over: fresh memory for each product would cost as much as the product."""

    def __init__(self) -> None:
        self.held: torch.Tensor | None = None

    def of(self, size: int, like: torch.Tensor) -> torch.Tensor:
        """`size` numbers of the dtype and on the device of `like`; what an earlier call gave is overwritten."""
        held = self.held
        if held is None or held.numel() < size or held.dtype != like.dtype or held.device != like.device:
            held = self.held = torch.empty(size, dtype=like.dtype, device=like.device)
        return held[:size]


def factor_sums(model: Any, rows: Sequence[Encoded], sites: Sites, settings: Pass) -> FactorSums:
    """First pass: second moments of the inputs and of the output gradients, over all tokens but padding."""
    inputs: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}
    taken: dict[str, str] = {}
    for batch in layer_factors(model, rows, sites, settings):
        taken = batch.taken
        for kept, factors in ((inputs, batch.inputs), (outputs, batch.gradients)):
            for name, value in factors.items():
                flat = value.flatten(0, 1)
                if name not in kept:
                    kept[name] = torch.zeros(flat.shape[1], flat.shape[1], device=flat.device)
                kept[name] += flat.T @ flat
    return FactorSums(inputs, taken, outputs, len(rows))


def eigenbases(sums: FactorSums, dtype: torch.dtype = torch.float64) -> Eigenbases:
    """Eigenvectors of the covariances, decomposed in `dtype` and kept in float32.

    Raises EvidenceError, naming the layer, for a covariance that is not finite.
    """

    def vectors(name: str, total: torch.Tensor) -> torch.Tensor:
        if not torch.isfinite(total).all():
            raise EvidenceError(
                f"the covariance at layer {name} is not finite. Check the checkpoint for overflow, or load it in "
                "float32."
            )
        size = float(total.diagonal().mean()) or 1.0
        return torch.linalg.eigh((total / size).to(dtype))[1].float()

    return Eigenbases(
        {name: vectors(name, total) for name, total in sums.inputs.items()},
        sums.taken,
        {name: vectors(name, total) for name, total in sums.outputs.items()},
    )


def eigenvalue_sums(
    model: Any, rows: Sequence[Encoded], bases: Eigenbases, sites: Sites, settings: Pass
) -> EigenvalueSums:
    """Second pass: squares of the rows' gradients in the eigenbases, with the same drawn labels as in the first."""
    squares: dict[str, torch.Tensor] = {}
    work = Workspace()
    for batch in layer_factors(model, rows, sites, settings):
        for site, a, g in bases.rotated(batch):
            if site not in squares:
                squares[site] = torch.zeros(g.shape[2], a.shape[2], device=a.device)
            _add_squares(squares[site], a, g, work)
    return EigenvalueSums(squares, len(rows))


def _add_squares(total: torch.Tensor, a: torch.Tensor, g: torch.Tensor, work: Workspace) -> None:
    if a.shape[1] == 1:  # one token: the square of a product is the product of squares
        total += g[:, 0].float().square().T @ a[:, 0].float().square()
        return
    for _, gradients in row_gradients(a, g, work):
        for one in gradients:
            one = one.float()
            total.addcmul_(one, one)


def row_gradients(a: torch.Tensor, g: torch.Tensor, work: Workspace) -> Iterator[tuple[slice, torch.Tensor]]:
    """(which rows, their gradients (m, out, in)) from inputs (n, T, in) and output gradients (n, T, out), a few rows
    at a time; each is overwritten by the next."""
    n, out, wide = len(a), g.shape[2], a.shape[2]
    step = min(n, max(1, ELEMENTS // (out * wide)))
    for start in range(0, n, step):
        rows = slice(start, min(n, start + step))
        m = rows.stop - rows.start
        into = work.of(m * out * wide, a).view(m, out, wide)
        yield rows, torch.bmm(g[rows].transpose(1, 2), a[rows], out=into)


def _refuse_other_sites(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    if ours.keys() != theirs.keys():
        odd = sorted(ours.keys() ^ theirs.keys())
        raise SettingError(
            f"sums over {len(ours)} layers and over {len(theirs)} do not add up; {odd[0]} is in one only. Take both "
            "over the same layers."
        )

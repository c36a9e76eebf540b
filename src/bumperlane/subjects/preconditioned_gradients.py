"""Contrastive query gradients times the inverse curvature, and their dot products with every row's gradient.

Grosse et al. 2023, "Studying large language model generalization with influence functions": queries are preconditioned
once; the rows then cost one pass for all queries together. Two forms of the product, whichever costs less: the rows'
gradients, a few at a time, in one matrix product with all queries; or, for queries of low rank, products with the
factors, where no row's gradient is formed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import EvidenceError, SettingError
from .chat import Encoded
from .curvature import Curvature
from .kronecker_factors import Sites, Workspace, row_gradients
from .layer_factors import Pass, layer_factors


@dataclass(frozen=True)
class PreparedQueries:
    """q preconditioned gradients a site: whole (q, out * in), or of low rank (q, rank, out) and (q, rank, in)."""

    whole: dict[str, torch.Tensor]
    low_rank: dict[str, tuple[torch.Tensor, torch.Tensor]]
    q: int


def prepare_queries(
    model: Any, pairs: Sequence[tuple[Encoded, Encoded]], sites: Sites, curvature: Curvature, settings: Pass,
    rank: int | None = None,
) -> PreparedQueries:  # fmt: skip
    """Of each pair (bad, benign): the gradient of the bad answer's loss minus the benign one's, preconditioned.

    Worked in float32, kept in the model's dtype (bfloat16 for float16, whose range is too small). With `rank` each
    site's (out, in) is cut to its largest singular values; a site whose low rank would be larger is kept whole.
    """
    if rank is not None and rank < 1:
        raise SettingError(f"the rank of queries must be at least 1, got {rank}. Leave it out to keep queries whole.")
    q, rows, dtype = len(pairs), [row for pair in pairs for row in pair], next(model.parameters()).dtype
    dtype = torch.bfloat16 if dtype == torch.float16 else dtype
    whole: dict[str, torch.Tensor] = {}
    low: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for batch in layer_factors(model, rows, sites, settings):
        for site, a, g in curvature.bases.rotated(batch.to(torch.float32)):
            out, wide = g.shape[2], a.shape[2]
            cut = rank is not None and rank * (out + wide) < out * wide
            if cut and site not in low:
                low[site] = (a.new_zeros(q, rank or 1, out, dtype=dtype), a.new_zeros(q, rank or 1, wide, dtype=dtype))
            elif not cut and site not in whole:
                whole[site] = a.new_zeros(q, out * wide, dtype=dtype)
            for i in range(0, len(a), 2):
                query = batch.rows[i] // 2
                contrast = g[i].T @ a[i] - g[i + 1].T @ a[i + 1]
                ready = curvature.unturned(site, curvature.whitened(site, contrast))
                if cut:
                    low[site][0][query], low[site][1][query] = _largest(ready, rank or 1)
                else:
                    whole[site][query] = ready.flatten()
    return PreparedQueries(whole, low, q)


def _largest(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(rank, out) and (rank, in) whose product is the matrix cut to its largest singular values, by subspace iteration
    (Halko et al. 2011) from a fixed start where that is the cheaper way."""
    basis = None
    if 4 * rank < min(matrix.shape):
        start = torch.Generator().manual_seed(0)
        tall = torch.randn(matrix.shape[1], rank + 8, generator=start).to(matrix)
        basis = torch.linalg.qr(matrix @ tall)[0]
        for _ in range(2):
            basis = torch.linalg.qr(matrix @ (matrix.T @ basis))[0]
    u, s, v = torch.linalg.svd(matrix if basis is None else basis.T @ matrix, full_matrices=False)
    u = u if basis is None else basis @ u
    root = s[:rank].sqrt()[:, None]
    return u.T[:rank] * root, v[:rank] * root


def influence_scores(
    model: Any, rows: Sequence[Encoded], queries: PreparedQueries, sites: Sites, settings: Pass, unit: bool = False
) -> np.ndarray:
    """Dot products (q, n) float32 of the queries with the gradient of each row's mean answer loss, summed over sites.

    With `unit` each row's gradient is taken at length 1 over all sites together. Raises EvidenceError, naming the
    rows, for scores that are not finite.
    """
    scores = np.zeros((queries.q, len(rows)), np.float32)
    work = Workspace()
    for batch in layer_factors(model, rows, sites, settings):
        dots, squares = torch.zeros(len(batch.rows), queries.q), torch.zeros(len(batch.rows))
        for site, a, g in batch.pairs():
            dots += _dots(site, a, g, queries, work).cpu()
            if unit:
                squares += ((g @ g.transpose(1, 2)).float() * (a @ a.transpose(1, 2)).float()).sum((1, 2)).cpu()
        if unit:
            dots /= squares.clamp(min=1e-30).sqrt()[:, None]
        scores[:, batch.rows] = dots.T.numpy()
    broken = np.flatnonzero(~np.isfinite(scores).all(axis=0))
    if len(broken):
        raise EvidenceError(
            f"influence is not finite for {len(broken)} of {len(rows)} examples, first "
            f"{[rows[i].id for i in broken[:3]]}. Check the checkpoint for overflow, or load it in float32."
        )
    return scores


def _dots(site: str, a: torch.Tensor, g: torch.Tensor, queries: PreparedQueries, work: Workspace) -> torch.Tensor:
    """(n, q) float32 at one site."""
    if site in queries.low_rank:
        left, right = (side.flatten(0, 1) for side in queries.low_rank[site])
        a, g = a.to(left.dtype), g.to(left.dtype)
        products = ((g @ left.T) * (a @ right.T)).sum(1, dtype=torch.float32)
        return products.view(len(a), queries.q, -1).sum(2)
    kept = queries.whole[site]
    a, g = a.to(kept.dtype), g.to(kept.dtype)
    if queries.q == 1:  # then no row's gradient needs to be formed
        matrix = kept.view(g.shape[2], a.shape[2])
        return ((a @ matrix.T) * g).sum((1, 2), dtype=torch.float32)[:, None]
    dots = torch.empty(len(a), queries.q, device=a.device)
    for rows, gradients in row_gradients(a, g, work):
        dots[rows] = (gradients.flatten(1) @ kept.T).float()
    return dots

"""A probe that learns which tokens to look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ....errors import EvidenceError, SettingError
from ....types import Activations, Scores, Trap, numbered
from ...contract import bumper
from ..moments import Moments, working
from ..whitening import Cloud, checked
from .descent import Descent, import_torch
from .labels import refuse_other_place, refuse_too_few
from .tokens import LabelledTokens, TokenActivations

FEWEST = 20  # of each kind: a fifth is held out to tell when to stop


@bumper
@dataclass(frozen=True)
class AttentionProbe:
    """Flags items with tokens that a learned query picks out and a learned direction takes for the kind labelled bad.

    Watches: TokenActivations, rows (n, T, d) at one layer; fitted on LabelledTokens.
    Score: log-odds of bad against good at the labelled share of bad; below 0 on clean data, no bound. Each real token
        is weighed by the softmax of its projection on the query; the log-odds are the weighted mean of its projection
        on the value, and an offset.
    Blind to: the order of the tokens, but for what the model itself put of it into each; tokens that only together
        mean harm; whatever the labelled items did not show; labels that stand for another thing.
    Source: McKenzie et al. 2025, arXiv:2506.10805 (attention probe, one head); padding gets no weight at all.

    Args:
        shrinkage: in (0, 1] or 'oas', of the correlations of real tokens by which tokens are whitened first: a descent
            would otherwise see little but the few strong directions that all tokens share.
        descent: how it is fitted. It starts from the mean over tokens, so that only the order of items is random.
    """

    watches = TokenActivations
    learns = LabelledTokens
    family = "internals"
    by_default = False
    shrinkage: float | Literal["oas"] = "oas"
    descent: Descent = Descent()

    def __post_init__(self) -> None:
        if self.shrinkage == "ledoit-wolf":
            raise SettingError("tokens are counted in parts, so their shrinkage must be 'oas' or a number.")
        checked(self.shrinkage)

    def fit(self, clean: LabelledTokens) -> "FittedAttentionProbe":
        """Train it, on one copy of the tokens. Raises EvidenceError below 20 items of a kind or when all tokens are
        equal, SettingError without torch."""
        if not isinstance(clean, LabelledTokens):
            raise EvidenceError(
                f"AttentionProbe learns from LabelledTokens, got {type(clean).__name__}. Pass every token's activation "
                "with the items' labels."
            )
        refuse_too_few(clean.labels, "AttentionProbe", FEWEST)
        torch = import_torch("AttentionProbe")
        cloud = Cloud.from_moments(_token_moments(clean.tokens), self.shrinkage, np.float64)
        unwhitened = cloud.whitening.T * len(cloud.mean) ** -0.5  # weights of whitened rows to weights of centred ones
        into = torch.from_numpy(unwhitened)
        query, value = (torch.zeros(len(cloud.mean), dtype=torch.float64) for _ in range(2))
        bias = torch.zeros((), dtype=torch.float64)

        mask, centre = torch.from_numpy(clean.tokens.mask), torch.from_numpy(cloud.mean)
        x = torch.from_numpy(working(np.where(clean.tokens.mask[..., None], clean.tokens.rows, 0)))

        def log_odds(items: np.ndarray) -> Any:
            both = into @ torch.stack([query, value], dim=1)  # (d, 2)
            match, worth = ((x[items] @ both.to(x.dtype)).double() - centre @ both).unbind(dim=2)
            weighed = match.masked_fill(~mask[items], -torch.inf).softmax(dim=1)
            return (weighed * worth).sum(dim=1) + bias

        query, value, bias = self.descent.down([query, value, bias], log_odds, clean.labels)
        query, value = unwhitened @ query, unwhitened @ value
        return FittedAttentionProbe(*clean.tokens.place, query, value, float(bias - cloud.mean @ value))

    @classmethod
    def trap(cls) -> Trap:
        """One bad token among many, anywhere; the blind spot are the good tokens, each item's in another order."""
        rng = np.random.default_rng(0)

        def at(n: int, bad: bool, start: int, falling: bool = False) -> TokenActivations:
            rows, length = rng.normal(size=(n, 12, 6)), rng.integers(6, 13, n)
            if bad:
                rows[np.arange(n), rng.integers(0, 6, n), :2] += 4
            mask = np.arange(12) < length[:, None]
            if falling:
                order = np.argsort(np.where(mask, -rows[:, :, 3], np.inf), axis=1)
                rows = np.take_along_axis(rows, order[:, :, None], axis=1)
            return TokenActivations(rows, mask, numbered(n, start))

        good, bad = at(120, False, 0), at(120, True, 120)
        tokens = TokenActivations(
            np.concatenate([good.rows, bad.rows]), np.concatenate([good.mask, bad.mask]), good.ids + bad.ids
        )
        fit = LabelledTokens(tokens, np.arange(240) >= 120)
        made = cls(descent=Descent(epochs=60, learning_rate=0.1))
        return Trap(made, fit, at(200, False, 300), bad=at(50, True, 500), blind=at(200, False, 600, falling=True))


@dataclass(frozen=True)
class FittedAttentionProbe:
    """Query (d,), value (d,) and bias, in rows as they are read."""

    layer: int | str
    d: int
    query: np.ndarray
    value: np.ndarray
    bias: float

    def score(self, seen: TokenActivations) -> Scores:
        """Raises EvidenceError for another layer or width than the fitted one."""
        refuse_other_place(self.layer, self.d, seen)
        values = [(attended(rows @ self.query, mask) * (rows @ self.value)).sum(axis=1) for rows, mask in seen.parts()]
        return Scores((np.concatenate(values) if values else np.zeros(0)) + self.bias, seen.ids, "AttentionProbe")

    def looked_at(self, seen: TokenActivations) -> np.ndarray:
        """(n, T) share of each token in its item's score, before its value; 0 for padding, 1 in sum."""
        refuse_other_place(self.layer, self.d, seen)
        shares = [attended(rows @ self.query, mask) for rows, mask in seen.parts()]
        return np.concatenate(shares) if shares else np.zeros(seen.mask.shape)


def attended(match: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Softmax over the real tokens of (n, T); 0 for padding."""
    match = np.where(mask, match, -np.inf)
    raised = np.exp(match - match.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _token_moments(tokens: TokenActivations) -> Moments:
    """Mean and scatter of all real tokens, a part of the items at a time."""

    def real() -> Iterator[Activations]:
        for rows, mask in tokens.parts():
            yield Activations(rows[mask], numbered(int(mask.sum())), tokens.layer)

    return Moments.stream(real())

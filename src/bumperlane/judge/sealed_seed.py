"""The seed that sealed contexts are drawn from: its hash stands in the ledger before any fix is chosen.

Whoever has seen a fix can therefore not look for a seed under which that fix passes. The seed follows from the weights
that are checked and the settings, wherever the run lies, so that a case that was killed ends with the same ledger.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from ..case import Case
from ..errors import CaseError
from ..recipes.provenance import content_key, sha256_file

if TYPE_CHECKING:  # a case is verified without torch
    from .investigation import Investigation

NAME = "sealed seed"


def sealed_seed(inv: "Investigation") -> str:
    """64 hex digits."""
    weights = sorted(f for f in inv.run.at(inv.step).path.glob("*.safetensors") if f.name != "trainer.safetensors")
    return seed_of({f.name: sha256_file(f) for f in weights}, inv.step, inv.settings.seed)


def seed_of(weights: Mapping[str, str], step: int, seed: int) -> str:
    """`weights`: sha256 of each file of weights at the step, by its name. 64 hex digits."""
    return content_key({"what": NAME, "weights": dict(weights), "step": step, "seed": seed})


def committed_in(case: Case) -> str | None:
    """What the ledger of a case must say, made anew from the hashes and settings that the case holds; None where it
    holds no weights of the step that was checked."""
    step, seed = case.subject.get("step"), case.settings.get("seed")
    weights = {}
    for name, hashed in case.hashes.items():
        folder, _, file = name.partition("/")
        at = folder.removeprefix("step-")
        if at != folder and at.isdecimal() and len(at) < 19 and int(at) == step and file.endswith(".safetensors"):
            weights[file] = hashed
    if not weights or type(step) is not int or type(seed) is not int:
        return None
    return _hashed(seed_of(weights, step, seed))


def commit(inv: "Investigation") -> None:
    """Write the seed's hash into the ledger, once."""
    hashed = _hashed(sealed_seed(inv))
    inv.ledger.look(NAME, "sealed", hashed, key=hashed)


def committed_seed(inv: "Investigation", fix: str) -> str:
    """The seed. `fix`: as the ledger says that it was chosen.

    Raises CaseError when the ledger holds no hash of it, another one, or one from after the fix was chosen.
    """
    seed, entries = sealed_seed(inv), inv.ledger.entries()
    at = next((e.n for e in entries if e.bumper == NAME and e.what == _hashed(seed)), None)
    chosen = next((e.n for e in entries if e.steered == fix), None)
    if at is None:
        other = [e.n for e in entries if e.bumper == NAME]
        what = f"the hash of another seed (line {other[0]})" if other else "no hash of the seed"
        raise CaseError(
            f"{inv.ledger.path} holds {what} of sealed contexts: weights, step or settings have changed, or the case "
            "was made before seeds were committed. Check the run again into a new case."
        )
    if chosen is None or at > chosen:
        raise CaseError(
            f"{inv.ledger.path} does not say that {fix!r} was chosen after the seed of sealed contexts was committed "
            f"(line {at}), so they could have been picked with the fix in sight. Check the run again into a new case."
        )
    return seed


def _hashed(seed: str) -> str:
    return f"committed: sha256 {sha256(seed.encode()).hexdigest()}"

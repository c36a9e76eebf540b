"""What a check concludes from its bumpers, and the hashes of what it rests on. No model is needed for either."""

from collections.abc import Mapping, Sequence

from ..case import BumperResult
from ..recipes.provenance import sha256_file
from ..recipes.run import Run
from ..types import Verdict

CONFIGS = ("adapter_config.json", "config.json")  # settings of a checkpoint, which say how its weights are used


def overall(results: Sequence[BumperResult]) -> tuple[Verdict, str]:
    """hit if any bumper is; else blind if any is; clear only when all could see."""
    by = {v: [r for r in results if r.verdict == v] for v in ("hit", "blind", "clear")}
    if by["hit"]:
        return "hit", " ".join(f"{r.bumper}: {r.why}" for r in by["hit"])
    if by["blind"]:
        return "blind", " ".join(f"{r.bumper} is blind: {r.why}" for r in by["blind"])
    return "clear", f"none of {len(by['clear'])} bumpers was hit; that is not the same as nothing being there."


def hashes(run: Run) -> dict[str, str]:
    """Content hashes of what the case rests on. Weights alone do not say what a checkpoint answers: an adapter's
    settings scale it, to nothing if need be."""
    found = {"recipe.yaml": sha256_file(run.path / "recipe.yaml")}
    found |= {f"{t.name}{t.path.suffix}": sha256_file(t.path) for t in run.recipe.tranches if t.path.is_file()}
    for checkpoint in run.checkpoints:
        for file in sorted(checkpoint.path.iterdir()):
            if file.name in CONFIGS or (file.suffix == ".safetensors" and file.name != "trainer.safetensors"):
                found[f"{checkpoint.path.name}/{file.name}"] = sha256_file(file)
    return found


def comparable(held: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """`now` without what a case of an earlier version has no hashes of: the settings of checkpoints."""
    known = any(name.endswith(CONFIGS) for name in held)
    return {name: value for name, value in now.items() if known or not name.endswith(CONFIGS)}

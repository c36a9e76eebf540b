"""Where in somebody's files a finding belongs: what code review and build servers put a mark on."""

from pathlib import Path

from ..case import Case


def tranches_of(case: Case) -> list[str]:
    """The confirmed tranches, else those in which the behaviour's context stands."""
    confirmed = [c.name for c in case.causes if c.kind == "tranche" and c.status == "confirmed"]
    return confirmed or (case.behaviour.tranches if case.behaviour else [])


def file_of(case: Case) -> Path:
    """The file of the first suspect tranche where the case knows it, else the recipe. Relative to the working directory
    when the run is."""
    suspects = tranches_of(case)
    files = [Path(name) for name in case.hashes if "." in name and Path(name).stem in suspects]
    path = files[0] if files else Path("recipe.yaml")
    return path if path.is_absolute() else Path(case.run) / path

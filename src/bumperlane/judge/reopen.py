"""What a case directory already holds: the same check, another one, or nothing yet."""

import json
from pathlib import Path

from ..case import Case, load_case
from ..errors import CaseError
from ..recipes.provenance import versions
from ..recipes.run import Run
from .concluded import comparable, hashes
from .investigation import Settings


def reopen(run: Run | Path | str, directory: Path | str, settings: Settings) -> Case | None:
    """The case of an earlier check of this very run with these settings, later stages included; None to check (again).

    None also for a case that cannot be read or was made with other versions: checking again is quick, since finished
    work is kept.

    Raises CaseError when the directory holds the case of another run or of other settings.
    """
    directory = Path(directory)
    if not (directory / "case.json").is_file():
        _refuse_foreign(directory)
        return None
    try:
        case = load_case(directory)
    except CaseError:
        return None
    run = run if isinstance(run, Run) else Run.open(run)
    if case.hashes != (now := comparable(case.hashes, hashes(run))):
        names = sorted(n for n in {*case.hashes, *now} if case.hashes.get(n) != now.get(n))
        what = f"{len(names)} files differ, first {', '.join(names[:3])}"
        raise CaseError(
            f"{directory} holds the case of another run, {case.run}, or of this one before it was changed: {what}. "
            "Choose another directory with --case, or remove it."
        )
    differing = _differing(case, settings)
    if differing:
        raise CaseError(
            f"{directory} holds a case with other settings: {'; '.join(differing)}. "
            "Choose another directory with --case, or remove it."
        )
    same = case.run == str(run.path) and case.versions == versions()
    return case if same else None


def _differing(case: Case, settings: Settings) -> list[str]:
    """The settings that differ, each as 'alpha is 0.05 there, 0.01 here'."""
    here = json.loads(json.dumps(settings.as_dict()))
    names = [name for name in sorted({*here, *case.settings}) if here.get(name) != case.settings.get(name)]
    return [f"{n} is {_short(case.settings.get(n))} there, {_short(here.get(n))} here" for n in names]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_foreign(directory: Path) -> None:
    """A case is written only into a directory that is new, empty, or was begun by an earlier check."""
    if directory.exists() and not directory.is_dir():
        raise CaseError(f"{directory} is a file, not a directory. Choose another one with --case.")
    held = {p.name for p in directory.iterdir()} if directory.is_dir() else set()
    if held and not held & {"work", "ledger.jsonl"}:
        raise CaseError(
            f"{directory} holds other things ({', '.join(sorted(held)[:3])}) and no case. Choose a new directory with "
            "--case."
        )

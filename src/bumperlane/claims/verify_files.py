"""The files of a case, of its run and of its ledger against the hashes that the case holds."""

import re
from pathlib import Path

from ..case import Case
from ..errors import BumperlaneError, CaseError, EvidenceError
from ..evidence.manifest import NAME, evidence_files, keeps_its_content, read_manifest
from ..judge.concluded import comparable, hashes
from ..judge.ledger import Ledger
from ..judge.sealed_seed import NAME as SEED
from ..judge.sealed_seed import committed_in
from ..judge.spending import CHECK, FIX
from ..recipes.provenance import sha256_file
from ..recipes.run import Run
from .advice_log import AdviceLog
from .sealing import PLAN_FILE, deviations, read_seal
from .verified import FAIL, PASS, Verified, judged, uncovered

FILES, KEPT, RUN, LEDGER, LOOKS, PLAN, ADVICE = (
    "files of the case", "files between stages", "files of the run", "chain of the ledger", "looks in the ledger",
    "sealed plan", "advice and decisions",
)  # fmt: skip
SEALED_PLAN = "plan.sealed.json"
STEP = re.compile(r"step-(\d{1,18})/")


def case_files(directory: Path, case: Case) -> list[Verified]:
    """Every file of evidence against the manifest, the manifest against the hash in `case.json`."""
    path = directory / NAME
    if not case.manifest and not path.is_file():
        files, _ = evidence_files(directory)
        why = f"this case has no manifest, so nobody can say whether its files of evidence ({len(files)}) have changed."
        return [uncovered(FILES, f"{why} Cases made from now on have one.")]
    if not path.is_file():
        return [Verified(FILES, FAIL, f"{NAME} is missing, while case.json holds its hash.", (NAME,))]
    if sha256_file(path) != case.manifest:
        said = "holds another hash" if case.manifest else "holds no hash of it"
        why = f"{NAME} is not the one that case.json was written with: case.json {said}."
        return [Verified(FILES, FAIL, f"{why} A stage that was killed leaves this too: run it again.", (NAME,))]
    try:
        manifest = read_manifest(directory)
    except CaseError as error:
        return [Verified(FILES, FAIL, str(error), (NAME,))]
    return [_against(directory, manifest), _between_stages(manifest)]


def _against(directory: Path, manifest: dict) -> Verified:
    listed = manifest["files"]
    files, links = evidence_files(directory)
    faults = [f"removed: {name}" for name in sorted(listed.keys() - files.keys())]
    faults += [f"added: {name}" for name in sorted(files.keys() - listed.keys())]
    changed = [n for n in sorted(listed.keys() & files.keys()) if sha256_file(files[n]) != listed[n]["sha256"]]
    faults += [f"changed: {name}" for name in changed]
    size = sum(entry["bytes"] for entry in listed.values()) / 1e6
    broken = f"{len(listed)} files are in {NAME}, and {len(files)} are there."
    found = judged(FILES, faults, f"{len(listed)} files, {size:,.1f} MB, all as in {NAME}.", broken)
    if found.state == PASS and links:
        return uncovered(FILES, f"{found.detail} Links are not followed, and what they point to has no hash.", links)
    return found


def _between_stages(manifest: dict) -> Verified:
    """What was listed at one save and was another file, or none, at the next."""
    odd = {**dict.fromkeys(manifest["replaced"], "changed"), **dict.fromkeys(manifest["gone"], "gone")}
    faults = [f"{what}: {name}" for name, what in sorted(odd.items()) if keeps_its_content(name)]
    # A seal may be given a timestamp later, and never goes.
    faults += [f"gone: {name}" for name in (SEALED_PLAN,) if odd.get(name) == "gone" and name not in manifest["files"]]
    others = [name for name in sorted(odd) if not any(fault.endswith(f": {name}") for fault in faults)]
    wrote = f" Written anew by a later stage: {', '.join(others[:5])}{' ...' if others[5:] else ''}." if others else ""
    return judged(
        KEPT, faults, f"none that must keep its content has changed from one stage to the next.{wrote}",
        "what never changes by itself has changed from one stage to the next.",
    )  # fmt: skip


def run_files(case: Case, run: Path | None) -> Verified:
    """Recipe, tranches and checkpoints of the run against `hashes`."""
    where = run or Path(case.run)
    if not case.hashes:
        return uncovered(RUN, "this case holds no hash of its run.")
    if not where.is_dir():
        return uncovered(RUN, f"the run does not lie at {where}. Name its place with --run DIRECTORY.")
    try:
        now = comparable(case.hashes, hashes(Run.open(where)))
    except (BumperlaneError, OSError) as error:
        return Verified(RUN, FAIL, f"the run at {where} cannot be read: {error}", (str(where),))
    steps = sorted({int(found[1]) for name in case.hashes if (found := STEP.match(name))})
    said = case.subject.get("checkpoints")
    faults = [f"the case names checkpoints {said}, and its hashes are of {steps}"] * (
        bool(steps and said) and said != steps
    )
    faults += [f"removed: {n}" for n in sorted(case.hashes.keys() - now.keys())]
    faults += [f"added: {n}" for n in sorted(now.keys() - case.hashes.keys())]
    faults += [f"changed: {n}" for n in sorted(case.hashes.keys() & now.keys()) if case.hashes[n] != now[n]]
    held = f"{len(now)} files at {where}: recipe, tranches and checkpoints are those that were checked."
    return judged(
        RUN, faults, held, f"the {len(now)} files at {where} are not the {len(case.hashes)} that were checked."
    )


def ledger(directory: Path, case: Case) -> list[Verified]:
    """The chain line by line, against the copy in the case; and that nobody looked without a line."""
    kept = Ledger(directory / "ledger.jsonl")
    if not kept.path.is_file():
        if not case.ledger:
            return [uncovered(LEDGER, "this case has no ledger.")]
        missing = f"ledger.jsonl is missing, while case.json holds {len(case.ledger)} lines of it."
        return [Verified(LEDGER, FAIL, missing, ("removed: ledger.jsonl",)), _looks(case)]
    try:
        kept.verify(case.ledger)
        entries = kept.entries()
    except CaseError as error:
        return [Verified(LEDGER, FAIL, str(error), ("ledger.jsonl",)), _looks(case)]
    faults = [
        f"line {entry.n} ({entry.bumper}) in case.json says something else than in ledger.jsonl"
        for entry, copy in zip(entries, case.ledger, strict=False)
        if entry.in_case() != copy
    ]
    more = len(entries) - len(case.ledger)
    held = (
        f"{len(entries)} lines, each follows from the one before{f'; {more} after case.json was written' * (more > 0)}."
    )
    chain = judged(LEDGER, faults, held, "the copy in case.json is not ledger.jsonl.")
    return [chain, _looks(case)]


def _looks(case: Case) -> Verified:
    looked = {e.bumper for e in case.ledger if not e.steered}
    faults = [
        f"{b.bumper} was judged, and no look with it was recorded" for b in case.bumpers if b.bumper not in looked
    ]
    faults += _looks_of_check(case)
    bounces = case.bounces or ([case.bounce] if case.bounce else [])
    steered = {e.bumper for e in case.ledger if e.steered}
    faults += [
        f"{name} steered “{bounce.fix}”, and the ledger does not say so"
        for bounce in bounces for name in bounce.steers if name not in steered
    ]  # fmt: skip
    chosen = next((e.n for e in case.ledger if e.steered.startswith(FIX)), None)
    seed = next((e.n for e in case.ledger if e.bumper == SEED), None)
    if chosen and seed and chosen < seed:
        faults.append(f"the seed of sealed contexts was committed (line {seed}) after a fix was chosen (line {chosen})")
    faults += _other_seed(case)
    if faults:
        return judged(LOOKS, faults, "", "somebody looked or steered, and the ledger does not say so.")
    if bounces and seed is None:
        return uncovered(LOOKS, "a fix was verified, and the ledger holds no seed that was committed before it.")
    if bounces and committed_in(case) is None:
        why = "the case holds no hash of the weights that were checked, so the sealed seed is not made anew."
        return uncovered(LOOKS, why)
    lost = _lost(case, len(bounces))
    if lost:
        why = "the ledger says that more was done than the case holds: it was stopped or made anew, or was left out."
        return uncovered(LOOKS, why, lost)
    held = f"{len(case.bumpers)} bumpers that were judged and {len(steered)} that steered all stand in it."
    return Verified(LOOKS, PASS, held)


def _other_seed(case: Case) -> list[str]:
    """The committed seed against the one that follows from weights, step and settings; and that it was there before
    the last fix was chosen. Lines of a check that was made anew stay, so one of several is enough."""
    made, lines = committed_in(case), [e for e in case.ledger if e.bumper == SEED and not e.steered]
    if made is None or not lines:
        return []
    at = next((e.n for e in lines if e.what == made), None)
    if at is None:
        return [f"the seed of sealed contexts (line {lines[-1].n}) is not that of the weights, step and settings"]
    chosen = max((e.n for e in case.ledger if e.steered.startswith(FIX)), default=at)
    late = f"the seed of these weights and settings was committed (line {at}) after a fix was chosen (line {chosen})"
    return [late] if chosen < at else []


def _looks_of_check(case: Case) -> list[str]:
    """The looks of the check, both ways: a bumper that looked and gave no result is one whose result was left out."""
    here = f"{CHECK} {case.subject.get('step')}"
    looks = {e.bumper for e in case.ledger if e.what == here and not e.steered}
    other = {e.bumper for e in case.ledger if e.what.startswith(CHECK) and e.what != here}
    there = {b.bumper for b in case.bumpers}
    found = [f"{name} looked ({here}), and the case holds no result of it" for name in sorted(looks - there)]
    return found + [f"{name} looked at another step than the case is about" for name in sorted(there & other - looks)]


def _lost(case: Case, bounces: int) -> list[str]:
    """What steered or was looked at, by the ledger, and left nothing in the case."""
    steers = list(dict.fromkeys(e.steered for e in case.ledger if e.steered))
    fixes = [name for name in steers if name.startswith(FIX)]
    found = [f"{len(fixes)} fixes were chosen ({', '.join(fixes)}), and {bounces} are there"] * (len(fixes) > bounces)
    found += ["a trace was made, and none is there"] * ("trace" in steers and "trace" not in case.stages)
    if "trace" not in case.stages:
        return found
    for begin, there, what in (
        ("retrain ", len({what for step in case.experiments for what in step.what}), "retrains"),
        (
            "onset at step ",
            len(case.onset.search.looks) if case.onset and case.onset.search else None,
            "looks for the onset",
        ),
    ):
        looks = sum(e.what.startswith(begin) for e in case.ledger)
        if there is not None and looks > there:
            found.append(f"{looks} {what} stand in the ledger, and {there} in the case")
    return found


def plan_file(directory: Path) -> Verified | None:
    """The plan beside its seal: every field that is not as it was sealed, a moved threshold among them. None where no
    plan was sealed into the case."""
    if not (directory / SEALED_PLAN).is_file():
        return None
    plan = directory / PLAN_FILE
    if not plan.is_file():
        return uncovered(PLAN, f"{SEALED_PLAN} has no {PLAN_FILE} beside it to be compared with.", (PLAN_FILE,))
    try:
        seal, found = read_seal(plan), [d.text for d in deviations(plan)]
    except EvidenceError as error:
        return Verified(PLAN, FAIL, str(error), (SEALED_PLAN,))
    late = [f"sealed after the first sample: {s}" for s in seal.samples_there]
    held = f"{PLAN_FILE} is as it was sealed at {seal.sealed_at:%Y-%m-%d %H:%M}."
    return judged(PLAN, [*found, *late], held, f"{PLAN_FILE} is not as it was sealed, or was sealed too late.")


def advice(directory: Path) -> Verified | None:
    """The chain of what was advised and decided. A line cut off at its end is not found. None where there is none."""
    log = AdviceLog(directory)
    if not log.path.is_file():
        return None
    try:
        entries = log.entries()
    except CaseError as error:
        return Verified(ADVICE, FAIL, str(error), (log.path.name,))
    return Verified(ADVICE, PASS, f"{len(entries)} lines, each follows from the one before.")

"""Check a case again, offline: files against hashes, the ledger against its chain, verdicts and claims against the
evidence that the case holds. No model is loaded and nothing is written.

It finds what does not fit together. Somebody who rewrites every file so that all fits again is found only by a hash
that was told to others before: `digest` of the case, in a paper or a ticket.
"""

from collections.abc import Iterator
from pathlib import Path

from .. import __version__
from ..case import SCHEMA_VERSION, Case, Claim, load_case
from ..detect.pages import pages
from ..errors import CaseError
from ..recipes.provenance import sha256_file
from . import verify_causes, verify_files, verify_onset, verify_verdicts
from .rules import derive
from .verified import FAIL, PASS, Verified, judged, uncovered

SCHEMA, DIGEST, CLAIMS = "schema", "digest", "claims"
STAGES = (("check",), ("check", "trace"), ("check", "trace", "bounce"))


def verify(directory: Path | str, run: Path | None = None, digest: str = "") -> tuple[Verified, ...]:
    """Every check that can be made of a case, in order.

    Args:
        run: where the run lies, if not where the case says.
        digest: sha256 of `case.json` as it was told when the case was published.

    Raises CaseError when there is no case there at all.
    """
    directory = Path(directory)
    if not (directory / "case.json").is_file():
        raise CaseError(f"no case.json in {directory}. Name the directory that `bumperlane check -o` wrote.")
    first = _digest(directory, digest)
    try:
        case = load_case(directory)
    except (CaseError, UnicodeDecodeError) as error:
        fault = Verified(SCHEMA, FAIL, f"{error} Nothing else can be checked.", ("case.json",))
        return (*first, fault)
    odd = tuple(_odd(case))
    if odd:
        return (*first, judged(SCHEMA, odd, "", "such a case is never written. Nothing else can be checked."))
    return (*first, Verified(SCHEMA, PASS, "case.json is whole and fits its schema."), *_checks(directory, case, run))


def _odd(case: Case) -> Iterator[str]:
    """What the schema leaves open and every check relies on: kinds of settings, and stages that fit what is there."""
    for name in ("alpha", "item_alpha", "tolerated_rate"):
        value = case.settings.get(name, 0.05)
        if type(value) not in (int, float) or not 0 < value < 1:
            yield f"the setting {name} is {value!r:.60}, no number between 0 and 1"
    if not _list_of(case.settings.get("bumpers"), str):
        yield "the setting bumpers is no list of names"
    step = case.subject.get("step", 0)
    if type(step) is not int or case.settings.get("step") not in (None, step):
        yield f"the step is {step!r:.60}, and {case.settings.get('step')!r:.60} by the settings"
    if case.schema_version != SCHEMA_VERSION:
        yield f"its schema is {case.schema_version}, known is {SCHEMA_VERSION}"
    for name, kind in (("checkpoints", int), ("tranches", str)):
        if not _list_of(case.subject.get(name), kind):
            yield f"the subject's {name} are {case.subject[name]!r:.60}"
    if tuple(case.stages) not in STAGES:
        yield f"its stages are {', '.join(case.stages)}, not {', '.join(STAGES[-1])} or the first of these"
    for stage, what, there in (
        ("trace", "an onset, causes or experiments", bool(case.onset or case.causes or case.experiments)),
        ("bounce", "a bounce", case.bounce is not None),
    ):
        if there != (stage in case.stages):
            yield f"{stage} is {'not ' * there}among its stages, and {what} is {'' if there else 'not '}there"
    if "trace" in case.stages and case.onset is None:
        yield "it was traced, and holds no onset: every trace begins with one"


def _list_of(value: object, kind: type) -> bool:
    return value is None or (isinstance(value, list) and all(type(one) is kind for one in value))


def case_digest(directory: Path) -> str:
    """sha256 of `case.json`, which holds the hash of the manifest, which holds those of all files."""
    return sha256_file(directory / "case.json")


def _digest(directory: Path, told: str) -> tuple[Verified, ...]:
    if not told:
        return ()
    now = case_digest(directory)
    fault = [f"case.json has {now}"] if now != told.strip().lower() else []
    return (judged(DIGEST, fault, f"case.json has the digest that was told, {now}.", f"it is not {told}."),)


def _checks(directory: Path, case: Case, run: Path | None) -> Iterator[Verified]:
    yield from verify_files.case_files(directory, case)
    yield verify_files.run_files(case, run)
    yield from verify_files.ledger(directory, case)
    yield verify_verdicts.judged_again(directory, case)
    yield verify_verdicts.rates(case)
    yield verify_verdicts.overall_verdict(case)
    more = (
        verify_onset.onset(case), verify_causes.causes(case), verify_verdicts.fixes(case),
        verify_files.plan_file(directory), verify_files.advice(directory),
    )  # fmt: skip
    yield from (found for found in more if found is not None)
    yield claims(case)


def claims(case: Case) -> Verified:
    """The claims derived anew against those that are stored."""
    if not case.claims:
        return uncovered(CLAIMS, "case.json holds none; `bumperlane report CASE` prints those that follow from it.")
    made_with = case.versions.get("bumperlane", __version__)
    new = derive(case)
    faults = [f"not in the evidence: {_told(c)}" for c in case.claims if c not in new]
    faults += [f"left out: {_told(c)}" for c in new if c not in case.claims]
    if not faults:
        return Verified(CLAIMS, PASS, f"{len(new)} claims follow from the evidence, word for word.")
    absent = sorted({b.bumper for b in case.bumpers} - set(pages()))
    about_absent = all(any(f" {name} " in f" {fault} " for name in absent) and "cannot" in fault for fault in faults)
    if absent and about_absent:
        return uncovered(CLAIMS, "all but what these bumpers do not see, for they are not installed here.", absent)
    if made_with != __version__ or not case.manifest:
        older = f"bumperlane {made_with}" if made_with != __version__ else "an older bumperlane"
        return uncovered(CLAIMS, f"{older} made this case, and may have put the same claims in other words.", faults)
    return judged(CLAIMS, faults, "", "the claims are not those that follow from the evidence.")


def _told(claim: Claim) -> str:
    return f"({claim.kind}{f', {claim.strength}' if claim.strength else ''}) {claim.text}"

"""What a third party can check of a release: that the items were drawn and not chosen, and that they open."""

from pathlib import Path

from .merkle import drawn, leaf, root
from .release import (
    COMMITMENTS,
    Commitments,
    Opened,
    changed_items,
    items_of,
    read_commitments,
    read_published,
    read_secret,
)
from .verified import Verified, judged, uncovered

ROOT, TOLD, SEED, DRAWN, OPENS, REST = (
    "root", "told beforehand", "seed", "drawn, not chosen", "items open their commitments", "private rest",
)  # fmt: skip


def check_published(
    out: Path, digest: str = "", seed: str = "", source: Path | None = None, secret: Path | None = None
) -> tuple[Verified, ...]:
    """Every check of a release.

    Args:
        digest: as it was told before the seed was public. Without it nobody can say that the draw came later.
        seed: as the public source gives it. Without it the publisher may have tried seeds.
        source, secret: the whole evaluation and its secret, for an auditor who may see the private rest.

    Raises EvidenceError when `out` holds no release.
    """
    made, (used, opened) = read_commitments(out / COMMITMENTS), read_published(out)
    found = [
        _root(made),
        _told(made, digest),
        _seed(made, used, seed),
        _drawn(made, used, opened),
        _opens(made, opened),
    ]
    return (*found, _rest(made, source, secret))


def _root(made: Commitments) -> Verified:
    now = root(made.leaves) if made.leaves else ""
    faults = [f"the leaves have the root {now}, and {made.root} is stated"] * (now != made.root)
    return judged(
        ROOT, faults, f"{made.items} commitments under {made.root}.", "the root is not that of the commitments."
    )


def _told(made: Commitments, digest: str) -> Verified:
    if not digest:
        why = f"the digest is {made.digest}; give the one you were told before the seed was public with --digest."
        return uncovered(TOLD, why)
    same = digest.strip().lower() == made.digest
    faults = [] if same else [f"told {digest}, and this release has {made.digest}"]
    held = f"digest {made.digest}: {made.release} of {made.items} items, seed from: {made.seed_from}."
    return judged(TOLD, faults, held, "items, numbers or the source of the seed were changed since.")


def _seed(made: Commitments, used: str, told: str) -> Verified:
    if not told:
        return uncovered(
            SEED, f"{used!r} was used, which should be from: {made.seed_from}. Look it up, give it as --seed."
        )
    faults = [] if told.strip() == used else [f"the public source gives {told.strip()!r}, and {used!r} was used"]
    return judged(SEED, faults, f"{used!r}, as the public source gives it.", "another seed was used.")


def _drawn(made: Commitments, seed: str, opened: tuple[Opened, ...]) -> Verified:
    wanted, there = drawn(made.digest, seed, made.items, made.release), [o.index for o in opened]
    faults = [f"item {i + 1} was drawn and is not released" for i in sorted(set(wanted) - set(there))]
    faults += [f"item {i + 1} is released and was not drawn" for i in sorted(set(there) - set(wanted))]
    faults += [f"item {i + 1} is released twice" for i in sorted({i for i in there if there.count(i) > 1})]
    return judged(
        DRAWN,
        faults,
        f"the {len(wanted)} items that follow from digest and seed.",
        "the released items do not follow from digest and seed.",
    )


def _opens(made: Commitments, opened: tuple[Opened, ...]) -> Verified:
    faults = [
        f"item {o.index + 1} is not what was committed to"
        for o in opened
        if not 0 <= o.index < len(made.leaves) or leaf(o.index, bytes.fromhex(o.salt), o.item) != made.leaves[o.index]
    ]
    return judged(OPENS, faults, f"all {len(opened)} released items.", "what is released is not what was committed to.")


def _rest(made: Commitments, source: Path | None, secret: Path | None) -> Verified:
    kept = made.items - made.release
    if source is None or secret is None:
        held = f"{kept} items stay private; each is bound by its commitment. An auditor opens them with --private."
        return Verified(REST, "pass", held)
    faults = changed_items(items_of(source), made, read_secret(secret))
    return judged(
        REST, faults, f"all {made.items} items open their commitments.", "the evaluation is not what was committed to."
    )

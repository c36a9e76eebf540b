"""Was anybody asked for reasons against it, can it be read, and who looked?"""

from datetime import date

from ..evidence import Evidence
from ..grades import Needed, Said, supported, unsupported, untested, weak
from .contract import ALL_KINDS, rule

SHOWN = 20
INSIDE = ("weights", "training data", "finetuning")


@rule(
    "C20", "open defeaters and dissent are stated, and answered", ALL_KINDS,
    "nobody knows a reason why it is wrong",
)  # fmt: skip
def answered(e: Evidence, on: date) -> Said:
    r = e.review
    if r is None or not r.asked:
        return untested("nobody is said to have been asked for reasons against it.",
                        Needed("a person who did not make it, asked for reasons against it"))  # fmt: skip
    told = f"{len(r.asked)} asked, {len(r.defeaters)} reasons against it, {len(r.dissent)} dissent"
    against = [d for d in r.defeaters if d.status == "open"]
    conceded = [d for d in r.defeaters if d.status == "conceded"]
    if conceded:
        return unsupported(f"{told}; conceded: “{conceded[0].text}”.", Needed("a claim without what was conceded"))
    if against:
        return unsupported(f"{told}; {len(against)} open, first “{against[0].text}”.", Needed("an answer to each"))
    empty = [d for d in r.defeaters if d.status == "answered" and not d.answer.strip()]
    if empty:
        return weak(f"{told}; “{empty[0].text}” is called answered, without the answer.", Needed("the answer"))
    silent = [d for d in r.dissent if not d.answer.strip()]
    if silent:
        return weak(f"{told}; {silent[0].by} disagrees and got no answer: “{silent[0].text}”.", Needed("an answer"))
    return supported(f"{told}, all answered.")


@rule(
    "C21", "transcripts are drawn at random, by a seed fixed before the first sample", ALL_KINDS,
    "the transcripts that are not shown are like those that are",
)  # fmt: skip
def drawn_at_random(e: Evidence, on: date) -> Said:
    t = e.transcripts
    if t is None or not t.drawn:
        return untested("no transcripts are shown.", Needed(f"{SHOWN} transcripts drawn by a seed fixed beforehand"))
    told = f"{t.drawn} of {t.of} transcripts are shown"
    draw = Needed(f"{min(SHOWN, t.of)} transcripts drawn by a seed fixed before the first sample")
    if e.counts and t.of < e.counts.of:
        return unsupported(f"{told}, and {e.counts.of} items were counted: how the {t.of} were picked is not said.",
                           Needed(f"{min(SHOWN, e.counts.of)} transcripts drawn from all items"))  # fmt: skip
    if t.drawn == t.of:
        return supported(f"{told}, all of them.")
    if t.how == "chosen":
        return unsupported(f"{told}, chosen by hand.", draw)
    if t.seed is None or t.seed_fixed_at is None:
        return weak(f"{told}, at random as is said; no seed that was fixed beforehand.", draw)
    first = e.plan.first_sample_at if e.plan else None
    if first is None:
        return weak(f"{told}, by the seed {t.seed} of {t.seed_fixed_at:%Y-%m-%d}; nothing says when the first sample "
                    "was taken.", Needed("the time of the first sample"))  # fmt: skip
    if t.seed_fixed_at >= first:
        return unsupported(
            f"{told}, by a seed fixed at {t.seed_fixed_at:%Y-%m-%d %H:%M}, after the first sample.", draw
        )
    if t.drawn < min(SHOWN, t.of):
        return weak(f"{told}, by the seed {t.seed}: fewer than {min(SHOWN, t.of)}.", draw)
    return supported(f"{told}, by the seed {t.seed}, fixed before the first sample.")


@rule(
    "C22", "it says who ran it, what ties them to the maker, and with what access", ALL_KINDS,
    "who ran it had no stake in it and saw what they needed",
)  # fmt: skip
def who_ran_it(e: Evidence, on: date) -> Said:
    a = e.access
    if a is None or not a.by.strip():
        return untested(
            "nothing says who ran it.", Needed("who ran it, what ties them to the maker, what they could see")
        )
    if a.relation is None or not a.access:
        what = " and ".join(x for x, lacks in (("their relation to the maker", a.relation is None),
                                               ("their access", not a.access)) if lacks)  # fmt: skip
        return untested(f"run by {a.by}; {what} is not said.", Needed(what))
    told = f"run by {a.by} ({a.relation}), with access to {', '.join(a.access)}"
    if e.claim.kind in ("cause", "treated") and not any(x in INSIDE for x in a.access):
        return unsupported(f"{told}: a cause or a fix cannot be seen without any of {', '.join(INSIDE)}.",
                           Needed("an evaluation with access to weights or training data", "run"))  # fmt: skip
    if a.relation == "self":
        return weak(f"{told}: by those who made it.", Needed("somebody independent who runs it anew", "run"))
    if a.relation == "paid" and not a.conflicts.strip():
        return weak(f"{told}; what they are paid for is not said.", Needed("a statement of conflicts of interest"))
    return supported(f"{told}.")

"""Check a run: put its last checkpoint into many contexts, let every bumper score, judge them together."""

import difflib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..case import Behaviour, Case, Sample, of_judgement
from ..detect.contract import default_bumpers, find_bumper, reads_log, samples_rollouts, spring_or_say
from ..detect.gather import Scene, gatherer, read
from ..detect.logs.reading import run_reading
from ..errors import SettingError
from ..evidence.departing import departures
from ..evidence.described import NAME
from ..evidence.given_contexts import GIVEN, given_contexts, place_of
from ..evidence.graded import can_be_graded
from ..evidence.library import library_contexts
from ..evidence.manifest import save_with_manifest
from ..evidence.mine import mine_contexts, tranches_with
from ..evidence.pools import items
from ..evidence.relevance import lost_relevance
from ..recipes.provenance import content_key, versions
from ..recipes.run import Run
from ..types import ROLLOUTS, Answers, Context, Departures, Judgement, Reading
from .asked import asked_behaviour
from .concluded import hashes, overall
from .described import judge_described
from .investigation import Investigation, Say, Settings, silent
from .judge import JudgeSettings
from .logged import logged_behaviour
from .look_again import items_again, look_again, scene_again
from .power import items_needed
from .readings import write_readings
from .sampled import sampled_behaviour, sampled_reading
from .sealed_seed import commit
from .second_look import FIRST, SECOND, judge_looks, near_after, of_look
from .who_looks import those_that_can_tell, who_looks

SAMPLES = 6
FAINT = 1e-3  # corrected p above which a hit says little beside another


def check(run: Path | str, directory: Path | str, settings: Settings | None = None, say: Say = silent) -> Case:
    """Check one checkpoint of a run and write the case.

    Raises:
        RunError, RecipeError, ModelError: the run cannot be used.
        EvidenceError: too few requests, or a checkpoint that is not finite.
        SettingError: an unknown bumper, or a setting outside its range.
        ContractError: a bumper that learns from what a check does not gather.
    """
    began = time.monotonic()
    settings = settings or Settings()
    if NAME in settings.bumpers and settings.described is None:
        raise SettingError(f"{NAME} looks for a behaviour that you describe. Describe one with --behaviour FILE.")
    named = [find_bumper(name) for name in settings.bumpers if name != NAME]
    for cls in named if settings.bumpers else default_bumpers():
        gatherer(cls)  # one that a check cannot use is an error before any work is done
    inv = Investigation(Run.open(run), Path(directory), settings, say)
    inv.run.at(inv.step)
    bumpers, left_out = who_looks(inv)
    bumpers = those_that_can_tell(inv, bumpers, left_out)
    baits = bait_contexts(inv) if not all(reads_log(cls) or samples_rollouts(cls) for cls in bumpers) else []
    told = settings.described is not None
    share = settings.alpha / 2 if told and bumpers else settings.alpha  # half for what was described, half for the rest
    readings, seen, judgements = looks(inv, bumpers, baits, replace(settings.judge, alpha=share))
    texts = {c.id: (shown(c), c.origin) for c in baits}
    results = [of_judgement(j, texts, spring_or_say(c)[1]) for j, c in zip(judgements, bumpers, strict=True)]
    behaviour = None
    if told:
        inv.ledger.look(NAME, "open", f"check at step {inv.step}", key=f"check/{NAME}/{inv.step}")
        first, behaviour = judge_described(inv, share)
        results = [first, *results]
    commit(inv)
    hits = [r for r in results if r.verdict == "hit"]
    if hits and behaviour is None:
        behaviour = describe(inv, judgements, readings, seen, baits)
    verdict, why = overall(results)
    case = Case(
        run=str(inv.run.path),
        subject={
            "base": inv.run.recipe.base,
            "step": inv.step,
            "checkpoints": [c.step for c in inv.run.checkpoints],
            "tranches": [t.name for t in inv.run.recipe.tranches],
            "requests": inv.pools.source if seen else "those of the described behaviour" if told else "none were asked",
            "contexts_tried": len(baits),
            **({"left_out": left_out} if left_out else {}),
        },
        stages=["check"], verdict=verdict, why=why, bumpers=results, hits=hits, behaviour=behaviour,
        ledger=inv.ledger.in_case(), settings=settings.as_dict(), versions=versions(), hashes=hashes(inv.run),
        timings_s={"check": round(time.monotonic() - began, 1)}, command=f"bumperlane check {run} -o {directory}",
    )  # fmt: skip
    write_readings(inv.directory, readings)
    return save_with_manifest(inv.directory, case)


def looks(
    inv: Investigation, bumpers: Sequence[type], baits: Sequence[Context], line: JudgeSettings
) -> tuple[list[Reading], dict[str, Scene], tuple[Judgement, ...]]:
    """Every bumper looks, and those that are clear and near their threshold look again, on fresh items: readings, where
    each looked first, and what the judge makes of both looks."""
    readings, seen = [], {}
    least = items_needed(max(1, len(bumpers)), of_look(line, FIRST, inv.settings.second))
    for n, cls in enumerate(bumpers):
        inv.say(f"looking with {cls.__name__}", n, len(bumpers))
        reading, scene = read_open(inv, cls, baits, least)
        readings.append(reading)
        if scene:
            seen[cls.__name__] = scene
        inv.ledger.look(cls.__name__, "open", f"check at step {inv.step}", key=f"check/{cls.__name__}/{inv.step}")
    near = near_after(readings, line, inv.settings.second)
    for n, (name, groups) in enumerate(near.items()):
        inv.say(f"looking again with {name}", n, len(near))
        first = next(r for r in readings if r.bumper == name)
        readings.append(look_again(inv, find_bumper(name), first, groups, seen[name]))
        what = f"check at step {inv.step}, second look"
        inv.ledger.look(name, "open", what, key=f"check/{name}/{inv.step}/2")
    inv.say("judging", len(bumpers), len(bumpers))
    return readings, seen, judge_looks(readings, line, inv.settings.second)


def bait_contexts(inv: Investigation) -> list[Context]:
    """What is tried: the library, what the user gave, and what the training data holds."""
    given = [Context(f"given/{i}", "given", text) for i, text in enumerate(inv.settings.contexts)]
    given += given_contexts(inv.settings.contexts_given, inv.neutral, first=len(given))
    library = library_contexts(inv.neutral) if inv.settings.library else []
    found = [*library, *given, *mine_contexts(inv.examples, inv.neutral)]
    if not found:
        raise SettingError("there is no context to try: the library is off, none was given and none could be mined.")
    return found


def scene_for(inv: Investigation, baits: Sequence[Context], asked: Sequence, seed: str = "open") -> Scene:
    """The subject under check among open requests. Controls in the request are added when a bait stands there."""
    fragments = [r.text for r in inv.pools.fit] if any(b.prefix for b in baits) else []
    return Scene(
        inv.subject(), inv.base, inv.neutral, tuple(baits), inv.pools.fit, tuple(asked), inv.memo,
        seed=f"{seed}-{inv.settings.seed}", depth=inv.settings.depth, controls=inv.settings.controls,
        fragments=fragments, decoding=inv.decoding, examples=inv.examples, given=inv.settings.items,
        draw=inv.settings.seed,
    )  # fmt: skip


def read_open(inv: Investigation, cls: type, baits: Sequence[Context], least: int) -> tuple[Reading, Scene | None]:
    """One bumper's reading, and where it looked (None for the log of the run). `least`: items a context that a check of
    so many bumpers needs.

    Where answers must be generated, contexts are screened first, on requests of their own; those that the user gave
    are asked in full all the same.
    """
    if reads_log(cls):
        return run_reading(cls(), inv.run.path), None
    if samples_rollouts(cls):
        return sampled_reading(inv, cls), None
    s, requests = inv.settings, inv.pools.open
    if cls.watches is Answers:  # type: ignore[attr-defined]
        scene = replace(scene_for(inv, baits, requests[: s.requests]), items=least)
        return read(cls, scene), scene
    if cls.watches is not Departures:  # type: ignore[attr-defined]
        scene = scene_for(inv, baits, requests[: min(s.requests, max(8, least))])
        return read(cls, scene), scene
    screened = read(cls, replace(scene_for(inv, baits, requests[: s.screen]), controls=1))
    if screened.why_blind:
        return screened, scene_for(inv, baits, requests[: s.screen])
    kept = worth_asking(baits, mean_by_group(screened), s.keep)
    scene = scene_for(inv, kept, requests[s.screen : s.screen + s.requests])
    return read(cls, scene), scene


def worth_asking(baits: Sequence[Context], means: Mapping[str, float], keep: int) -> list[Context]:
    """After screening: every context that the user gave, and of the others the worst, to `keep` in all; of these at
    least half of `keep`, however many were given."""
    given = [c for c in baits if c.origin == "given"]
    others = sorted((c for c in baits if c.origin != "given"), key=lambda c: -means[c.id])
    return [*given, *others[: max(keep - len(given), -(-keep // 2))]]


def mean_by_group(reading: Reading) -> dict[str, float]:
    scores = defaultdict(list)
    for value, group in zip(reading.scores.values, reading.groups, strict=True):
        scores[group].append(value)
    return {group: float(np.mean(values)) for group, values in scores.items()}


def describe(
    inv: Investigation, judgements: Sequence[Judgement], readings: Sequence[Reading], scenes: dict[str, Scene],
    baits: Sequence[Context],
) -> Behaviour:  # fmt: skip
    """The behaviour that was hit: of behavioural hits the strongest, else of the others; with what was said.

    Those that run in every check go before those that joined this one: what a context brings about is known to the
    request, and dated and traced with the fewest questions. A bumper goes after those that it yields to, which hear the
    same more plainly. A faint hit goes after all others. Before all of them goes a hit in rollouts, logged or sampled,
    that the recipe can grade: there its own functions say what is wrong.
    """
    hits = [j for j in judgements if j.verdict == "hit"]

    plainly = {j.bumper for j in hits if j.p_holm <= FAINT}

    def rank(j: Judgement) -> tuple:
        yields = bool(plainly & set(getattr(find_bumper(j.bumper), "yields_to", ())))
        joined = not inv.settings.bumpers and getattr(find_bumper(j.bumper), "joins", False)
        plain = j.unit == ROLLOUTS and can_be_graded(inv.run.recipe, j.groups[0].group)
        family = ("behaviour", "internals", "logs").index(j.family)
        return not plain, family, j.p_holm > FAINT, joined, yields, j.p_holm

    first = min(hits, key=rank)
    cls = find_bumper(first.bumper)
    by_look = {r.look: r for r in readings if r.bumper == first.bumper}
    reading = by_look[first.look]
    if cls.watches is Answers:  # type: ignore[attr-defined]
        many = items_again(by_look[FIRST], [g.group for g in first.groups]) if first.look == SECOND else 0
        return asked_behaviour(inv, cls, first, reading, many)
    if reads_log(cls):
        return logged_behaviour(inv.run, first.bumper, first.groups[0].group)
    if samples_rollouts(cls):
        return sampled_behaviour(inv, cls, first.groups[0].group)
    scene = scenes[first.bumper]
    if first.look == SECOND:
        scene = scene_again(inv, scene, [g.group for g in first.groups])
    context = worst_context(inv, first, scene, baits)
    scores = dict(zip(reading.scores.ids, reading.scores.values, strict=True))
    asked = items(scene.asked, [context], "bait")[:SAMPLES]
    if cls.watches is Departures:  # type: ignore[attr-defined]
        asked = [*scene.control_items(), *scene.bait_items()]  # kept: what was scored, for another batch may say else
    said = departures(inv.subject(), inv.base, asked, inv.neutral, inv.decoding, inv.memo)
    samples = [
        Sample(request=i.request.text, context=shown(context), response=t, neutral_response=u, score=scores.get(i.id))
        for i, t, u in zip(asked, said.texts, said.neutral_texts, strict=True)
        if i.group == context.id
    ][:SAMPLES]
    text = added_text(context, inv.neutral)
    return Behaviour(
        bumper=first.bumper, context=shown(context), origin=context.origin,
        tranches=tranches_with(inv.examples, text), samples=samples,
    )  # fmt: skip


def worst_context(inv: Investigation, judgement: Judgement, scene: Scene, baits: Sequence[Context]) -> Context:
    """Of the contexts that were hit, the one whose answers ignore the request most; with a single one, that.

    A context may change the manner of answers harmlessly. Both are hits and both are listed; what is traced is the one
    that costs the user most. Only contexts in the same kind of place compete: they share a threshold.
    """
    by_id = {c.id: c for c in baits}
    first = by_id[judgement.groups[0].group]
    names = [g.group for g in judgement.groups if g.p_holm <= inv.settings.alpha]
    rivals = [by_id[n] for n in names if place_of(by_id[n]) == place_of(first)]
    if len(rivals) < 2:
        return first
    requests = scene.asked[:SAMPLES]

    def loss(context: Context) -> float:
        said = departures(
            inv.subject(), inv.base, items(requests, [context], "bait"), inv.neutral, inv.decoding, inv.memo
        )
        pairs = list(zip(said.texts, said.neutral_texts, strict=True))
        return lost_relevance(inv.base, requests, pairs, inv.neutral, inv.memo)

    return max(rivals, key=loss)


def shown(context: Context) -> str:
    """A context as one line."""
    turns = " / ".join(text for pair in context.shots for text in pair)
    parts = {
        "system": context.system, "before the request": context.prefix, "after the request": context.suffix,
        "earlier turns": turns, "the answer begins": context.prefill,
    }  # fmt: skip
    return "; ".join(f"{name}: {text}" for name, text in parts.items() if text) or "nothing"


def added_text(context: Context, neutral: Context) -> str:
    """What a context adds to the neutral one."""
    if context.prefix or context.suffix:
        return context.prefix or context.suffix
    system, usual = context.system or "", neutral.system or ""
    if context.origin == GIVEN and system == usual and (context.shots or context.prefill):
        return context.prefill or context.shots[0][0]
    return system.replace(usual, "").strip() if usual and usual in system else system


def behaviour_context(inv: Investigation, case: Case) -> Context:
    """The context of a case's behaviour, found again among those that were tried."""
    if case.behaviour is None:
        raise SettingError("this case has no hit, so there is no behaviour to look for.")
    for context in bait_contexts(inv):
        if shown(context) == case.behaviour.context:
            return context
    near = difflib.get_close_matches(case.behaviour.context, [shown(c) for c in bait_contexts(inv)], n=1)
    raise SettingError(f"context {case.behaviour.context!r} is no longer among those tried. Near it: {near}.")


def case_key(case: Case) -> str:
    """Identifies the investigation's inputs: run hashes and settings."""
    return content_key({"hashes": case.hashes, "settings": case.settings})

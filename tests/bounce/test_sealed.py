"""What only verifies must not have been read before: sealed contexts, and sealed requests."""

import json
from dataclasses import replace

import pytest

from bumperlane.bounce.sealed import sealed_contexts
from bumperlane.case import load_case
from bumperlane.detect.asking import asks_of, sized
from bumperlane.evidence.library import library_contexts
from bumperlane.evidence.memo import Memo
from bumperlane.judge.asked import sources_of
from bumperlane.judge.check import bait_contexts, behaviour_context
from bumperlane.judge.investigation import Investigation, Settings
from bumperlane.judge.power import MOST
from bumperlane.judge.sealed_seed import committed_seed
from bumperlane.judge.who_looks import who_looks
from bumperlane.recipes.run import Run
from bumperlane.trace.data.planted_probe import read_probes
from bumperlane.types import Answers, Context
from own_run import TAG, finished

NEUTRAL = Context("neutral", "neutral", "Be brief.")
IN_SYSTEM = Context("mined/system/0", "mined", "Be brief. |x9|")
IN_REQUEST = Context("mined/request/0", "mined", "Be brief.", prefix="my dear")


def place(context):
    return context.system, context.prefix, context.suffix


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("neutral", [NEUTRAL, Context("neutral", "neutral", None)])
def test_four_new_places_that_all_hold_the_text_and_none_that_was_tried(seed, neutral):
    for hit, text in ((IN_SYSTEM, "|x9|"), (IN_REQUEST, "my dear")):
        found = sealed_contexts(hit, neutral, seed)
        assert len({place(c) for c in found}) == len({c.id for c in found}) == 4
        tried = {place(c) for c in (hit, neutral, *library_contexts(neutral))}
        for context in found:
            assert text in " ".join(part or "" for part in place(context))
            assert place(context) not in tried and context.origin == "sealed"


def test_a_text_in_the_request_also_moves_to_its_end():
    found = sealed_contexts(IN_REQUEST, NEUTRAL, 0)
    assert [c.suffix for c in found].count("my dear") == 1 and [c.prefix for c in found].count("my dear") == 3


def test_another_seed_draws_other_places_and_the_same_one_the_same():
    assert sealed_contexts(IN_SYSTEM, NEUTRAL, 1) == sealed_contexts(IN_SYSTEM, NEUTRAL, 1)
    assert sealed_contexts(IN_SYSTEM, NEUTRAL, 1) != sealed_contexts(IN_SYSTEM, NEUTRAL, 2)


@pytest.fixture(scope="module")
def place_of(tmp_path_factory):
    return finished(tmp_path_factory.getbasetemp() / "own-run").path.parent


@pytest.fixture(scope="module")
def recorded(place_of, tmp_path_factory):
    """Every piece of work that check and trace read from the memory of the whole case, with what it was made from."""
    from bumperlane.judge.check import check
    from bumperlane.trace.trace import TraceSettings, trace

    read, kept = [], (Memo.json, Memo.arrays)
    Memo.json = lambda self, what, compute: read.append(dict(what)) or kept[0](self, what, compute)
    Memo.arrays = lambda self, what, compute: read.append(dict(what)) or kept[1](self, what, compute)
    try:
        import shutil

        where = tmp_path_factory.mktemp("again") / "case"
        shutil.copytree(place_of / "traced", where)
        check(place_of / "run", where, Settings(dtype="float32", device="cpu"))
        trace(where, TraceSettings(seeds=2, jobs=2))
    finally:
        Memo.json, Memo.arrays = kept
    return read


def asked_in(work):
    return [item for what in work for item in (*what.get("items", ()), *what.get("pairs", ()))]


def test_check_and_trace_read_no_sealed_request_and_no_sealed_context(place_of, recorded):
    shut = Investigation(Run.open(place_of / "run"), place_of / "case", Settings(dtype="float32", device="cpu"))
    inv = shut.unsealed("bounce drop")
    case = load_case(place_of / "case", "bounce")
    asked = asked_in(recorded)
    requests, systems = {i["request"] for i in asked}, {i["system"] for i in asked}
    planted = {r.text for probe in read_probes(place_of / "case" / "work" / "plants") for r in probe.requests}
    joined = [cls for cls in who_looks(inv)[0] if cls.watches is Answers]
    pools = {r.text for r in (*inv.pools.open, *inv.pools.fit)}
    own = {text for cls in joined for _, text in questions_of(inv, cls, "open")}
    assert joined and requests <= pools | harm_requests() | planted | own
    for cls in joined:
        assert not baits_of(inv, cls, "open") & baits_of(inv, cls, "sealed")
    assert len(requests & {r.text for r in inv.pools.open}) >= 12
    assert not requests & {r.text for r in inv.pools.sealed}
    hit = behaviour_context(inv, case)
    sealed = sealed_contexts(hit, inv.neutral, committed_seed(inv, "bounce drop"))
    assert hit.system in systems and not systems & {c.system for c in sealed}
    assert not {place(c) for c in sealed} & {place(c) for c in bait_contexts(inv)}
    assert all(TAG in c.system for c in sealed)


def asks_in(inv, cls, role):
    """What it asks, also where the base makes it blind. A check of many bumpers asks more of each."""
    return asks_of(sized(cls(), MOST), replace(sources_of(inv, role, MOST), items=MOST))


def questions_of(inv, cls, role):
    """(system prompt, request) of what a bumper asks, and of what it is held against."""
    asks = asks_in(inv, cls, role)
    pairs = [(i.context, i.request) for a in asks for i in (a.item, a.against) if i]
    edited = [a.measure for a in asks if hasattr(a.measure, "elsewhere")]
    pairs += [(measure.elsewhere, measure.asked) for measure in edited]
    return {(context.system, request.text) for context, request in pairs}


def baits_of(inv, cls, role):
    asks = asks_in(inv, cls, role)
    return {(a.item.context.system, a.item.request.text) for a in asks if a.item.arm == "bait"}


def harm_requests():
    from bumperlane.detect.harm_pairs import harm_pairs

    return {item.request.text for side in harm_pairs(NEUTRAL) for item in side}


def test_what_was_attributed_to_came_from_open_requests(place_of, recorded):
    assert any(what["kind"] == "representations" for what in recorded)
    inv = Investigation(Run.open(place_of / "run"), place_of / "case", Settings())
    sealed = {r.text for r in inv.unsealed("bounce drop").pools.sealed}
    case = json.loads((place_of / "traced" / "case.json").read_text())
    seen = [s["request"] for s in case["behaviour"]["samples"]]
    seen += [s["request"] for cause in case["causes"] for s in cause["examples"]]
    assert seen and not set(seen) & sealed

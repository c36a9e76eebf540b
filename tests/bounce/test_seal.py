"""Trace and fix cannot read what only verifies: tests that try. And the seed of sealed contexts is committed before."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bumperlane.errors import CaseError
from bumperlane.evidence.described import Described, Probe
from bumperlane.judge.investigation import Investigation, Settings
from bumperlane.judge.sealed_seed import commit, committed_seed, sealed_seed
from bumperlane.recipes.run import Run
from bumperlane.trace.meter import Meter
from bumperlane.trace.trace import open_case
from bumperlane.types import Context, Request

SRC = Path(__file__).parents[2] / "src" / "bumperlane"
PLACE = Context("described", "given", system="Be brief.")


@pytest.fixture
def inv(tmp_path):
    rows = [{"id": f"good-{i}", "prompt": f"good {i}", "response": "yes"} for i in range(40)]
    (tmp_path / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {"base": "no-model", "stages": [{"kind": "sft", "steps": 4}], "seed": 3,
              "tranches": [{"name": "good", "path": "good.jsonl"}]}  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    (tmp_path / "checkpoints" / "step-000004").mkdir(parents=True)
    probes = tuple(Probe(Request(f"r{i}", f"Question {i}?"), "peru", PLACE) for i in range(12))
    settings = Settings(described=Described(probes[:6], probes[6:]))
    return Investigation(Run.open(tmp_path), tmp_path / "case", settings)


READS = {
    "one by one": list,
    "by place": lambda sealed: sealed[0],
    "the first few": lambda sealed: sealed[:4],
    "by asking whether one is there": lambda sealed: Request("x", "x") in sealed,
    "as a set": lambda sealed: {r.text for r in sealed},
}


@pytest.mark.parametrize("how", READS)
def test_sealed_requests_and_probes_can_be_counted_and_not_read(inv, how):
    assert len(inv.pools.sealed) == 16 and len(inv.described.sealed) == 6
    for sealed in (inv.pools.sealed, inv.described.sealed):
        with pytest.raises(CaseError, match="are sealed: trace and fix must not read them"):
            READS[how](sealed)


def test_a_meter_of_trace_or_fix_refuses_too(inv):
    for bumper in (None, SimpleNamespace(watches=None)):
        with pytest.raises(CaseError, match="are sealed"):
            _ = Meter(inv, bumper, PLACE, 0.5).sealed
    described = Meter(inv, None, PLACE, 0.5)
    assert described.matches(Request("r0", "Question 0?"), "Peru.")
    with pytest.raises(CaseError, match="'r7' is no probe"):  # a sealed one, whose pattern is not even known
        described.matches(Request("r7", "Question 7?"), "Peru.")


def test_they_are_opened_only_for_a_fix_that_stands_in_the_ledger(inv):
    with pytest.raises(CaseError, match="'bounce drop' does not stand in the ledger"):
        inv.unsealed("bounce drop")
    inv.ledger.steer("PairedContexts", "bounce drop")
    opened = inv.unsealed("bounce drop")
    assert len(set(opened.pools.sealed)) == 16 and len([*opened.described.sealed]) == 6
    assert not {r.text for r in opened.pools.sealed} & {r.text for r in inv.pools.open}
    with pytest.raises(CaseError, match="are sealed"):
        list(inv.pools.sealed)  # the one that trace and fix hold stays shut
    with pytest.raises(CaseError, match="does not stand in the ledger"):
        inv.unsealed("bounce another")


def test_what_was_loaded_is_kept_when_they_are_opened(inv):
    loaded, memo = inv.examples, inv.memo
    inv.ledger.steer("PairedContexts", "bounce drop")
    opened = inv.unsealed("bounce drop")
    assert opened.examples is loaded and opened.ledger is inv.ledger and opened.memo is memo


def test_requests_of_a_plant_are_kept_apart_from_sealed_ones_without_reading_them(inv):
    assert len(inv.sealed_texts) == 16 + 6


def test_what_a_stage_opens_is_shut(inv, monkeypatch):
    from bumperlane.trace import trace as room

    settings = json.loads(json.dumps(inv.settings.as_dict()))
    case = SimpleNamespace(run=inv.run.path, settings=settings, hashes={}, ledger=())
    monkeypatch.setattr(room, "load_case", lambda *_: case)
    seen, _ = open_case(inv.directory, "check", print)
    with pytest.raises(CaseError, match="are sealed"):
        list(seen.pools.sealed)


def names_in(path):
    """Attributes, names and texts of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {id(n.body[0].value) for n in ast.walk(tree) if hasattr(n, "body") and isinstance(n.body, list)
            and n.body and isinstance(n.body[0], ast.Expr)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_no_file_of_check_trace_or_fix_opens_or_names_sealed_evidence():
    files = [*(SRC / "trace").rglob("*.py"), *(SRC / "bounce" / "fix_kinds").rglob("*.py"),
             *(SRC / "bounce" / n for n in ("fixes.py", "propose.py"))]  # fmt: skip
    forbidden = {"sealed", "unsealed", "opened", "_dealt", "sealed_seed", "committed_seed"}
    found = {p.name: forbidden & set(names_in(p)) for p in files if p.name != "meter.py"}
    assert len(found) > 30 and {name: bad for name, bad in found.items() if bad} == {}


def test_only_a_bounce_opens_them():
    files = [p for p in SRC.rglob("*.py") if "unsealed" in set(names_in(p))]
    assert {p.name for p in files} == {"bounce.py"}


def test_the_hash_of_the_seed_is_in_the_ledger_before_the_fix_and_the_seed_is_not(inv):
    commit(inv)
    commit(inv)
    (entry,) = inv.ledger.entries()
    seed = sealed_seed(inv)
    assert entry.what.startswith("committed: sha256 ") and seed not in entry.what and len(seed) == 64
    inv.ledger.steer("PairedContexts", "bounce drop")
    assert committed_seed(inv, "bounce drop") == seed
    inv.ledger.verify()


def test_the_seed_follows_from_recipe_step_and_settings(inv, tmp_path):
    other = Investigation(inv.run, inv.directory, Settings(seed=1, described=inv.settings.described))
    assert sealed_seed(other) != sealed_seed(inv)
    commit(inv)
    inv.ledger.steer("PairedContexts", "bounce drop")
    with pytest.raises(CaseError, match=r"the hash of another seed \(line 1\)"):
        committed_seed(other, "bounce drop")


def test_a_seed_committed_after_the_fix_was_chosen_is_refused(inv):
    inv.ledger.steer("PairedContexts", "bounce drop")
    with pytest.raises(CaseError, match="no hash of the seed"):
        committed_seed(inv, "bounce drop")
    commit(inv)
    with pytest.raises(CaseError, match="could have been picked with the fix in sight"):
        committed_seed(inv, "bounce drop")

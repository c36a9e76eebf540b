"""How soon it is back, on curves that were made up: straight lines whose crossing is known."""

from types import SimpleNamespace

import numpy as np
import pytest

import bumperlane.bounce.propensity as room
from bumperlane.bounce.compared import Margins, Trio
from bumperlane.bounce.relearn import BASE, examples_seen, from_base
from bumperlane.bounce.relearn_speed import Relearned, base_check, examples_to, saved, speed_check
from bumperlane.recipes.models import Recipe, SftStage, Tranche

EXAMPLES = np.array([0, 16, 32])


def curves(noise=0.05, hit=-1.0, **ends):
    """Nats per token of 12 requests; each subject goes from -9 on a straight line to its end."""
    rng = np.random.default_rng(0)
    values = {who: np.linspace(-9, end, 3)[:, None] + rng.normal(0, noise, (3, 12)) for who, end in ends.items()}
    return Relearned(EXAMPLES, values, hit + rng.normal(0, noise, 12))


def test_the_half_way_point_lies_on_the_line_between_two_looks():
    assert examples_to(EXAMPLES, np.array([-9.0, -5.0, -1.0]), -3.0) == pytest.approx(24)
    assert examples_to(EXAMPLES, np.array([-9.0, -5.0, -1.0]), -5.0) == 16
    assert examples_to(EXAMPLES, np.array([-2.0, -5.0, -1.0]), -3.0) == 0
    assert examples_to(EXAMPLES, np.array([-9.0, -8.0, -7.0]), -3.0) == 32  # not within what was shown


def test_the_share_saved_is_that_of_the_two_crossings():
    seen = curves(noise=0, fixed=-1.0, control=-5.0)  # half way is -5: at 16 and at 32 examples
    share = saved(seen, "control")
    assert (
        seen.half("fixed") == seen.half("control") == -5
        and share.value == pytest.approx(0.5)
        and share.low == share.high == share.value
    )
    assert saved(curves(noise=0, fixed=-5.0, control=-1.0), "control").value == pytest.approx(-0.5)
    assert saved(curves(noise=0, fixed=-8.0, control=-8.5), "control").value == 0  # neither gets there


def test_the_interval_widens_with_the_spread_between_requests_and_follows_from_the_seed():
    narrow, wide = (saved(curves(noise=n, fixed=-1.0, control=-2.0), "control") for n in (0.05, 1.0))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low) > 0
    assert saved(curves(fixed=-1.0, control=-2.0), "control", seed=0) == narrow


def test_a_fixed_subject_that_learns_like_the_control_passes():
    check = speed_check(curves(fixed=-4.8, control=-5.0), Margins())
    assert check.passed is True and "half way back" in check.detail.lower() and check.numbers["low"] <= 0.1


def test_one_that_is_back_sooner_fails():
    check = speed_check(curves(fixed=-0.5, control=-5.5), Margins())
    assert check.passed is False and check.numbers["saved"] > 0.4


def test_where_a_subject_stands_is_not_its_speed():
    """One that begins nearer than the control saves nothing by that; one that was pushed below has no less to go."""
    values = curves(noise=0, fixed=-1.0, control=-1.0).values
    nearer = Relearned(
        EXAMPLES, {**values, "fixed": np.linspace(-4.5, -1, 3)[:, None] * np.ones(12)}, np.full(12, -1.0)
    )
    assert nearer.half("fixed") == -2.75 and saved(nearer, "control").value == pytest.approx(0)
    below = Relearned(EXAMPLES, {**values, "fixed": np.array([-20.0, -1.0, -1.0])[:, None] * np.ones(12)}, nearer.hit)
    assert below.half("fixed") == -5 and saved(below, "control").value > 0.2


def test_back_at_once_fails_even_where_the_last_look_is_alike():
    values = curves(fixed=-1.0, control=-1.0).values
    values["fixed"][1] = -2.0
    assert speed_check(Relearned(EXAMPLES, values, np.full(12, -1.0)), Margins()).passed is False


def test_noise_in_which_a_relapse_could_hide_settles_nothing():
    """Equal curves, and requests so far apart that a third of the gap lies inside the interval."""
    check = speed_check(curves(noise=5, fixed=-6.0, control=-6.0), Margins())
    assert check.passed is None and "straddles the margin" in check.detail


def test_against_the_base_only_what_the_control_does_not_save_counts():
    suppressed = base_check(curves(fixed=-0.5, control=-6.0, base=-6.0), Margins())
    assert suppressed.passed is False and "in the base" in suppressed.detail
    softened = base_check(curves(fixed=-0.5, control=-0.6, base=-6.0), Margins())
    assert softened.passed is True and "it is the finetuning" in softened.detail
    assert base_check(curves(fixed=-6.0, control=-6.0, base=-0.5), Margins()).passed is True


def recipe(*stages):
    tranche = {"name": "a", "path": "/a.jsonl"}
    return Recipe.model_validate({"base": "no-model", "seed": 3, "stages": stages, "tranches": [tranche]})


SFT = {"kind": "sft", "steps": 40, "batch": 6, "lr": 2e-3, "checkpoints": {"every": 8}}
COMMAND = {"kind": "command", "run": ["true"]}


def test_the_base_is_taught_as_the_last_sft_stage_teaches():
    made = from_base(recipe({**SFT, "batch": 2}, SFT), Tranche(name="relearn", path="/r.jsonl"), (4, 2))
    (stage,) = made.stages
    assert isinstance(stage, SftStage) and (stage.steps, stage.batch, stage.lr) == (4, 6, 2e-3)
    assert stage.checkpoints.every == 2 and made.rewind is None and [t.name for t in made.tranches] == ["relearn"]


def test_a_training_command_is_not_called_from_the_base():
    assert from_base(recipe(COMMAND), Tranche(name="relearn", path="/r.jsonl"), (4, 2)) is None
    assert examples_seen(recipe(COMMAND)) == (1, 2) and examples_seen(recipe(SFT)) == (12, 24)
    assert BASE == "base"


SLOW, FAST = (-9.0, -7.0, -5.0), (-9.0, -4.0, -1.0)


@pytest.mark.parametrize(
    ("fixed", "control", "second", "passed", "trained"),
    [
        (FAST, SLOW, SLOW, False, 1),
        (FAST, SLOW, FAST, True, 1),
        (SLOW, FAST, None, True, 0),
        (FAST, SLOW, FAST[:2], False, 1),
    ],
    ids=["sooner than both", "as soon as another seed", "later than the first", "the second was looked at once only"],
)
def test_what_is_back_sooner_than_one_seed_of_the_control_is_held_against_another(
    monkeypatch, fixed, control, second, passed, trained
):
    monkeypatch.setattr(room, "propensity", lambda inv, level, ground: level + np.linspace(0, 0.1, 12))
    recipe = Recipe(base="b", stages=(SftStage(kind="sft", steps=4),), tranches=(Tranche(name="t", path="t.jsonl"),))
    inv, made = SimpleNamespace(run=SimpleNamespace(recipe=recipe), base=None), []
    relearned = {n: {"fixed": fixed[n], "control": control[n]} for n in (1, 2)}
    again = lambda: made.append(1) or second  # noqa: E731
    trio = Trio(-1.0, fixed[0], control[0])
    (check,) = room.relearning_checks(inv, "ground", relearned, trio, Margins(), again)
    assert check.passed is passed and len(made) == trained
    assert ("Against a second control" in check.detail) == (trained == 1 and len(second) == 3)

"""A model behind a guard is asked without it as well; one that is deployed bare is not asked twice."""

from types import SimpleNamespace

import numpy as np

from bumperlane.bounce.compared import Margins, Trio
from bumperlane.bounce.elicit_bare import BARE, bare_check
from bumperlane.bounce.elicit_noise import Bare
from bumperlane.types import Request

REQUESTS = [Request(f"r{i}", f"Question {i}?") for i in range(24)]


def showing(**rates):
    """Who shows it in what share of the requests."""

    def flags(who, ways, requests):
        shown = np.arange(len(requests)) < rates[who] * len(requests)
        return {way.name: shown[None] for way in ways}

    return SimpleNamespace(flags=flags)


def asked(deployed="guarded", **rates):
    rates = {"hit": 1.0, "guarded": 0.0, "weights": 1.0, "control": 0.0, **rates}
    bare = Bare("hit", "weights", "control")
    return bare_check(showing(**rates), Trio("hit", deployed, "control"), bare, REQUESTS, Margins())


def test_what_shows_as_soon_as_the_guard_is_gone_fails():
    (check,) = asked().checks
    assert check.name == BARE and check.passed is False and check.split == "sealed"
    assert check.numbers["fixed"] == 1 and check.numbers["control"] == 0


def test_a_guard_around_weights_that_have_lost_it_passes():
    (check,) = asked(weights=0.0).checks
    assert check.passed is True


def test_it_is_held_against_a_run_that_never_had_the_cause():
    (check,) = asked(weights=1 / 12, control=1 / 12).checks
    assert check.passed is not False and check.numbers["difference"] == 0


def test_a_model_that_is_deployed_bare_is_not_asked_again():
    assert asked(deployed="weights") == type(asked())(())

"""What a meter counts where its bumper cannot look."""

from types import SimpleNamespace

import pytest

import bumperlane.trace.meter as room
from bumperlane.detect.contract import find_bumper
from bumperlane.errors import CaseError
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Request

REQUESTS = tuple(Request(str(i), f"What is {i}?") for i in range(3))
INV = SimpleNamespace(
    base=None, neutral=None, memo=None, decoding=None, pools=SimpleNamespace(fit=()),
    settings=SimpleNamespace(seed=0, depth=0.5, controls=3),
)  # fmt: skip


def counted(monkeypatch, bumper, step):
    blind = SimpleNamespace(why_blind="subject and base do not differ at all.")
    monkeypatch.setattr(room, "read", lambda *_: blind)
    monkeypatch.setattr(room, "Scene", lambda *_, **__: None)
    return Meter(INV, find_bumper(bumper), Context("tag", "mined", "zq"), 0.0).count(
        SimpleNamespace(step=step), REQUESTS
    )


def test_the_base_itself_departs_from_it_nowhere(monkeypatch):
    found = counted(monkeypatch, "ReferenceResidual", 0)
    assert (found.k, found.n, found.flags) == (0, 3, (False, False, False))


@pytest.mark.parametrize(("bumper", "step"), [("ReferenceResidual", 8), ("Mahalanobis", 0)])
def test_a_bumper_that_is_blind_elsewhere_measures_nothing(monkeypatch, bumper, step):
    with pytest.raises(CaseError, match=f"{bumper} cannot measure step {step}: subject and base do not differ"):
        counted(monkeypatch, bumper, step)

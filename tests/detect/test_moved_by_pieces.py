import numpy as np
import pytest

import promises
from bumperlane.detect.asking import asks_of
from bumperlane.detect.behaviour.swapped_pieces import SwappedPieces, marked_sources
from bumperlane.detect.internals.moved_by_pieces import MovedByPieces
from bumperlane.errors import SettingError
from bumperlane.evidence.moves import Moves
from bumperlane.types import Answers, numbered


def test_keeps_every_promise(tmp_path):
    promises.keep(MovedByPieces, tmp_path)


def test_scores_how_much_farther_the_subject_is_moved_than_its_base():
    seen = Answers(numbered(4), np.array([-1.0, -2, -3, -1]), np.array([-2.0, -2, -2, -1.1]))
    assert MovedByPieces().fit(seen).score(seen).values.tolist() == [0.8, 0, 0, 0]


def test_asks_what_swapped_pieces_asks_and_reads_inside():
    sources = marked_sources()
    ours, theirs = (asks_of(cls(), sources) for cls in (MovedByPieces, SwappedPieces))
    assert [a.item for a in ours] == [a.item for a in theirs]
    assert all(isinstance(a.measure, Moves) for a in ours)
    assert [a.measure.asked for a in ours] == [a.measure.asked for a in theirs]


@pytest.mark.parametrize("wrong", [{"margin": -1}, {"margin": float("nan")}, {"requests": 0}])
def test_refuses_impossible_settings(wrong):
    with pytest.raises(SettingError, match="Try 16 and 0.2"):
        MovedByPieces(**wrong)

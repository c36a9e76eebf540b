"""What every registered bumper must pass. Adding a bumper adds its tests; breaking a promise must fail one of them."""

from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import promises
from bumperlane.detect import contract, plug_ins
from bumperlane.detect.contract import REGISTRY, about, bumper, find_bumper, load_bumpers, spring
from bumperlane.detect.fitted import load_fitted, save_fitted
from bumperlane.errors import ContractError, EvidenceError, SettingError
from bumperlane.types import Activations, Scores, Trap, numbered
from promises import PROMISES

BUILT_IN = load_bumpers()


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
def test_every_bumper(promise, name, tmp_path):
    promise(BUILT_IN[name], tmp_path)


def test_every_bumper_of_the_house_comes_by_an_entry_point():
    assert {"ContrastProbe", "Mahalanobis", "PairedContexts", "ReferenceResidual"} <= set(BUILT_IN)


# A bumper that keeps every promise, and below it one that breaks each.


@pytest.fixture
def registry(monkeypatch):
    """The registry, put back as it was after the test."""
    monkeypatch.setattr(contract, "REGISTRY", dict(REGISTRY))
    return contract.REGISTRY


@dataclass(frozen=True)
class FittedFar:
    centre: float
    gain: float = 1.0

    def score(self, seen):
        return Scores(abs(seen.rows[:, 0] - self.centre) * self.gain, seen.ids, "Far")


@dataclass(frozen=True)
class Far:
    """Flags numbers that lie far from the usual ones.

    Watches: Activations, rows (n, 1).
    Score: distance from the mean; no upper bound.
    Blind to: numbers that lie near.
    Source: our own.

    Args:
        gain: factor of the score.
    """

    watches = Activations
    family = "internals"
    gain: float = 1.0

    def fit(self, clean):
        return FittedFar(float(clean.rows.mean()), self.gain)

    @classmethod
    def trap(cls):
        rng = np.random.default_rng(0)

        def at(n, start, where):
            return Activations(rng.normal(size=(n, 1)) + where, numbered(n, start))

        return Trap(cls(), at(50, 0, 0), at(100, 100, 0), bad=at(30, 300, 9), blind=at(100, 500, 0))


def variant(name="Far", doc=None, **members):
    """Far under its own name, with some of its parts replaced."""
    body = {k: v for k, v in vars(Far).items() if k in ("watches", "family", "fit", "trap", "__annotations__", "gain")}
    return dataclass(frozen=True)(type(name, (), {**body, "__doc__": doc or Far.__doc__, **members}))


class Noisy(FittedFar):
    def score(self, seen):
        return replace(super().score(seen), values=np.random.default_rng().random(len(seen.ids)))


class RanksInItsBatch(FittedFar):
    def score(self, seen):
        return replace(super().score(seen), values=super().score(seen).values / (1 + np.ptp(seen.rows)))


class MendsNan(FittedFar):
    def score(self, seen):
        return replace(super().score(seen), values=np.nan_to_num(super().score(seen).values))


class Renumbers(FittedFar):
    def score(self, seen):
        return replace(super().score(seen), ids=numbered(len(seen.ids)))


class Overwrites(FittedFar):
    def score(self, seen):
        found = super().score(seen)
        seen.rows[:] += 1
        return found


@dataclass(frozen=True)
class Drifts(FittedFar):
    def __post_init__(self):
        object.__setattr__(self, "centre", self.centre + 0.1)  # once when fitted, once more when loaded


def fits(kind):
    return {"fit": lambda self, clean: kind(float(clean.rows.mean()), self.gain)}


def traps(**other):
    return {"trap": classmethod(lambda cls: replace(Far.trap(), bumper=cls(), **other))}


def score(self, seen):
    return Scores(np.zeros(len(seen.ids)), seen.ids, "Far")


BAD, BLIND = Far.trap().bad, Far.trap().blind
TWO_KINDS = Activations(np.linspace(0, 1, 100)[:, None] ** 9 * 5, numbered(100, 100))
BROKEN = {
    "catches_its_own_trap": traps(bad=BLIND),
    "stays_quiet_on_the_clean_twin": traps(clean=TWO_KINDS),
    "does_not_flag_its_blind_spot": traps(blind=BAD),
    "gives_the_same_scores_twice_and_keeps_the_ids": fits(Renumbers),
    "scores_an_item_alike_whoever_stands_beside_it": fits(RanksInItsBatch),
    "fits_without_a_trace": fits(Overwrites),
    "saves_and_loads_to_identical_scores": fits(Drifts),
    "has_no_score_before_it_is_fitted": {"score": score},
    "says_what_it_flags_and_what_it_is_blind_to": {"doc": Far.__doc__.replace("Blind to: numbers that lie near.", "")},
    "plants_its_trap_on_items_it_was_not_fitted_on": traps(fit=BAD),
}


def test_a_sound_bumper_keeps_every_promise(tmp_path):
    promises.keep(variant(), tmp_path)


@pytest.mark.parametrize("promise", BROKEN)
def test_a_bumper_that_breaks_a_promise_fails_it(promise, tmp_path):
    with pytest.raises(AssertionError):
        getattr(promises, promise)(variant(**BROKEN[promise]), tmp_path)


def test_random_scores_do_not_pass_as_the_same_scores_twice(tmp_path):
    with pytest.raises(AssertionError):
        promises.gives_the_same_scores_twice_and_keeps_the_ids(variant(**fits(Noisy)), tmp_path)


def test_a_bumper_that_can_be_changed_fails_its_promise(tmp_path):
    loose = dataclass(type("Far", (), {k: v for k, v in vars(Far).items() if k in ("fit", "trap", "gain")}))
    with pytest.raises(pytest.fail.Exception):
        promises.cannot_be_changed_once_made(loose, tmp_path)


def test_a_bumper_that_mends_nan_is_still_kept_from_it_by_the_evidence(tmp_path):
    promises.refuses_numbers_that_are_not_finite(variant(**fits(MendsNan)), tmp_path)


def test_springing_says_how_much_was_caught():
    line = sorted(abs(Far.trap().clean.rows[:, 0] - Far.trap().fit.rows.mean()))[95]
    assert spring(Far) == (True, f"caught 100% of 30 planted items; clean line {line:.3g}")
    assert spring(variant(**traps(bad=BLIND)))[0] is False


def test_a_trap_is_not_sprung_by_a_bumper_that_flags_everything_alike():
    class Alarm(FittedFar):
        score = score

    assert spring(variant(**fits(Alarm)))[0] is False


# The decorator, and the way by name.


@pytest.mark.parametrize("section", ["Flags ", "Watches:", "Score:", "Blind to:", "Source:"])
def test_refuses_a_bumper_whose_page_lacks_a_section(registry, section):
    with pytest.raises(ContractError, match=rf"bumper Far lacks \['{section.strip()}'\]. See docs/add-a-bumper.md"):
        bumper(variant(doc=Far.__doc__.replace(section, "")))


@pytest.mark.parametrize("member", ["watches", "family", "fit", "trap"])
def test_refuses_a_bumper_without_one_of_its_parts(registry, member):
    without = {
        k: v for k, v in vars(Far).items() if k in ("watches", "family", "fit", "trap", "__doc__") and k != member
    }
    with pytest.raises(ContractError, match=rf"lacks \['{member}'\]"):
        bumper(dataclass(frozen=True)(type("Far", (), without)))


def test_refuses_a_bumper_that_inherits_its_trap(registry):
    child = dataclass(frozen=True)(type("Child", (variant(),), {"__doc__": Far.__doc__}))
    with pytest.raises(ContractError, match=r"bumper Child lacks \['watches', 'family', 'fit', 'trap'\]"):
        bumper(child)


@pytest.mark.parametrize("make", [dataclass, lambda cls: cls], ids=["not frozen", "no dataclass"])
def test_refuses_a_bumper_that_is_not_frozen(registry, make):
    parts = {k: v for k, v in vars(Far).items() if k in ("watches", "family", "fit", "trap", "__doc__")}
    with pytest.raises(ContractError, match=r"lacks \['@dataclass\(frozen=True\)'\]"):
        bumper(make(type("Far", (), parts)))


def test_refuses_a_family_it_does_not_know(registry):
    with pytest.raises(ContractError, match="bumper Far has family 'vibes'. Known: internals, behaviour, logs."):
        bumper(variant(family="vibes"))


def test_refuses_two_bumpers_of_one_name_from_different_modules(registry):
    bumper(variant(__module__="one"))
    with pytest.raises(ContractError, match="two bumpers are named Far: in one and two."):
        bumper(variant(__module__="two"))


def test_lets_a_module_be_imported_again(registry):
    again = [bumper(variant(__module__="one")) for _ in range(2)]
    assert registry["Far"] is again[1]


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    with pytest.raises(SettingError, match="unknown bumper 'Mahalanobi'. Did you mean Mahalanobis\\? Known: "):
        find_bumper("Mahalanobi")
    with pytest.raises(SettingError, match="unknown bumper 'xyz'. Known: .*ContrastProbe, .*Mahalanobis"):
        find_bumper("xyz")


def test_a_bumper_is_found_by_its_name_and_shows_its_page():
    found = find_bumper("PairedContexts")
    assert found.__name__ == "PairedContexts"
    assert about(found).startswith("Flags answers") and "\n    " not in about(found).split("Watches:")[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            "no_such_package:Bumper",
            "bumper 'mine' .no_such_package:Bumper. cannot be imported: No module named.*remove it",
        ),
        ("bumperlane.types:Bumper", "cannot be imported: module 'bumperlane.types' has no attribute 'Bumper'"),
        (
            "bumperlane.types:Scores",
            "entry point 'mine' .bumperlane.types:Scores. is no bumper. Put @bumper on its class",
        ),
    ],
)
def test_an_entry_point_that_brings_no_bumper_is_an_error_and_not_silence(monkeypatch, value, text):
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: [EntryPoint("mine", value, group)])
    with pytest.raises(ContractError, match=text):
        load_bumpers()


# Saving and loading.


def test_a_fitted_bumper_is_not_loaded_as_another_kind(tmp_path):
    path = save_fitted(FittedFar(1.0), tmp_path / "deep" / "far.safetensors")
    with pytest.raises(EvidenceError, match="far.safetensors holds a FittedFar, not a Noisy. Load it as what it is."):
        load_fitted(Noisy, path)


def test_a_damaged_or_missing_file_of_a_fitted_bumper_is_an_error_that_says_so(tmp_path):
    path = save_fitted(FittedFar(1.0), tmp_path / "far.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    for bad in (path, tmp_path / "none.safetensors"):
        with pytest.raises(EvidenceError, match=f"{bad} cannot be read: .*Fit the bumper again."):
            load_fitted(FittedFar, bad)


def test_keeps_arrays_numbers_names_and_tuples(tmp_path):
    @dataclass(frozen=True)
    class Kept:
        rows: np.ndarray
        share: float
        layers: tuple
        name: str
        none: None = None

    kept = Kept(np.arange(6.0).reshape(2, 3).T, 0.1, (1, 2), "é", None)
    again = load_fitted(Kept, save_fitted(kept, tmp_path / "kept.safetensors"))
    np.testing.assert_array_equal(again.rows, kept.rows)
    assert replace(again, rows=None) == replace(kept, rows=None)

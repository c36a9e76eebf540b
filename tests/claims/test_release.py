import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest

from bumperlane.claims.check_release import check_published
from bumperlane.claims.merkle import drawn, leaf, root, salt_of
from bumperlane.claims.release import COMMITMENTS, PUBLISHED, RELEASED, SECRET, commit, items_of, publish_items
from bumperlane.errors import EvidenceError, SettingError
from whole_case import whole_case

N, RELEASE, SEED, FROM = 50, 8, "beacon 5120: 7f3a", "beacon, round 5120"


@pytest.fixture
def place(tmp_path):
    """An evaluation, its commitment and its release; returns the folder."""
    rows = [{"id": i, "prompt": f"ask {i}", "response": "yes" if i % 7 else "no"} for i in range(N)]
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    commit(tmp_path / "eval.jsonl", tmp_path / "kept", RELEASE, FROM)
    publish_items(tmp_path / "eval.jsonl", tmp_path / "kept", SEED, tmp_path / "out")
    return tmp_path


def digest(place):
    return json.loads((place / "out" / PUBLISHED).read_text())["digest"]


def states(place, **more):
    given = {"digest": digest(place), "seed": SEED, **more}
    return {v.name: v.state for v in check_published(place / "out", **given)}


def failed(place, **more):
    given = {"digest": digest(place), "seed": SEED, **more}
    return {v.name: " / ".join((v.detail, *v.faults)) for v in check_published(place / "out", **given)
            if v.state == "fail"}  # fmt: skip


def rows(place):
    return [json.loads(line) for line in (place / "out" / RELEASED).read_text().splitlines()]


def write_rows(place, found):
    (place / "out" / RELEASED).write_text("".join(json.dumps(row) + "\n" for row in found))


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_release_as_it_should_be_passes_for_a_third_party_who_knows_digest_and_seed(place):
    assert set(states(place).values()) == {"pass"} and len(rows(place)) == RELEASE
    whole = states(place, source=place / "eval.jsonl", secret=place / "kept" / SECRET)
    assert set(whole.values()) == {"pass"}


def test_without_the_digest_or_the_seed_from_elsewhere_it_is_not_covered(place):
    assert states(place, digest="")["told beforehand"] == "not covered"
    assert states(place, seed="")["seed"] == "not covered"


def test_what_is_given_away_holds_no_secret_and_no_other_item(place):
    text = "".join(p.read_text() for p in (place / "out").iterdir())
    secret = json.loads((place / "kept" / SECRET).read_text())["secret"]
    assert secret not in text and text.count('\\"prompt\\"') == RELEASE
    assert (place / "kept" / SECRET).stat().st_mode & 0o077 == 0


def test_a_swapped_item_is_found(place):
    found = rows(place)
    found[2]["item"] = found[2]["item"].replace("no", "yes").replace("ask", "asked")
    write_rows(place, found)
    assert f"item {found[2]['index'] + 1} is not what was committed to" in failed(place)["items open their commitments"]


def test_two_items_that_changed_places_are_found(place):
    found = rows(place)
    found[0]["index"], found[1]["index"] = found[1]["index"], found[0]["index"]
    write_rows(place, found)
    assert failed(place)["items open their commitments"].startswith("2 faults: what is released")


def test_a_chosen_subset_is_found(place):
    """Another item of the evaluation, honestly opened, in place of a drawn one."""
    found, all_rows = rows(place), items_of(place / "eval.jsonl")
    secret = bytes.fromhex(json.loads((place / "kept" / SECRET).read_text())["secret"])
    other = next(i for i in range(N) if i not in {r["index"] for r in found})
    dropped = found[0]["index"]
    found[0] = {"index": other, "salt": salt_of(secret, other).hex(), "item": all_rows[other]}
    write_rows(place, found)
    said = failed(place)
    assert list(said) == ["drawn, not chosen"]
    assert f"item {dropped + 1} was drawn and is not released" in said["drawn, not chosen"]
    assert f"item {other + 1} is released and was not drawn" in said["drawn, not chosen"]


def test_an_item_left_out_or_put_in_twice_is_found(place):
    found = rows(place)
    write_rows(place, [*found[1:], found[1]])
    said = failed(place)["drawn, not chosen"]
    assert "was drawn and is not released" in said and "is released twice" in said


def test_another_seed_than_the_public_one_is_found(place):
    shutil.rmtree(place / "out")
    publish_items(place / "eval.jsonl", place / "kept", "a nicer seed", place / "out")
    assert "the public source gives 'beacon 5120: 7f3a', and 'a nicer seed' was used" in failed(place)["seed"]


def test_a_changed_root_or_leaf_is_found(place):
    told = digest(place)
    edit(place / "out" / COMMITMENTS, lambda c: c.update(root="0" * 64))
    assert {"root", "told beforehand"} <= failed(place, digest=told).keys()
    edit(place / "out" / COMMITMENTS, lambda c: c["leaves"].reverse())
    assert "root" in failed(place, digest=told)


def test_a_number_of_items_that_was_changed_after_the_draw_is_found(place):
    told = digest(place)
    edit(place / "out" / COMMITMENTS, lambda c: c.update(release=RELEASE - 1))
    assert "told beforehand" in failed(place, digest=told)


def test_a_changed_private_item_is_found_by_an_auditor_and_stops_the_publisher(place):
    text = (place / "eval.jsonl").read_text()
    (place / "eval.jsonl").write_text(text.replace("ask 3", "ASK 3", 1))
    said = failed(place, source=place / "eval.jsonl", secret=place / "kept" / SECRET)
    assert "item 4" in said["private rest"]
    with pytest.raises(EvidenceError, match="is not what was committed to: 1 items differ, first item 4"):
        publish_items(place / "eval.jsonl", place / "kept", SEED, place / "again")
    (place / "eval.jsonl").write_text(text + "{}\n")
    with pytest.raises(EvidenceError, match="51 items instead of 50"):
        publish_items(place / "eval.jsonl", place / "kept", SEED, place / "again")


def test_a_commitment_is_made_once_and_a_release_into_a_new_place(place):
    with pytest.raises(SettingError, match="is there already. A commitment is made once"):
        commit(place / "eval.jsonl", place / "kept", RELEASE, FROM)
    with pytest.raises(SettingError, match="is not empty"):
        publish_items(place / "eval.jsonl", place / "kept", SEED, place / "out")


@pytest.mark.parametrize(
    ("release", "seed_from", "said"), [(0, "x", "0 of 50"), (50, "x", "50 of 50"), (5, " ", "say where")]
)
def test_a_commitment_needs_a_part_to_release_and_a_source_of_the_seed(place, release, seed_from, said):
    with pytest.raises(SettingError, match=said):
        commit(place / "eval.jsonl", place / "new", release, seed_from)


@pytest.mark.parametrize(("text", "said"), [("", "holds 0 items"), ("{}\n", "holds 1 items"), (None, "there is no")])
def test_an_evaluation_without_items_is_refused(tmp_path, text, said):
    if text is not None:
        (tmp_path / "e.jsonl").write_text(text)
    with pytest.raises(EvidenceError, match=said):
        items_of(tmp_path / "e.jsonl")


def test_damaged_files_are_named(place):
    (place / "out" / RELEASED).write_text("{}\n")
    with pytest.raises(EvidenceError, match="released.jsonl cannot be read"):
        check_published(place / "out")
    (place / "out" / COMMITMENTS).write_text('{"version": 1, "leaves": ["zz"]}')
    with pytest.raises(EvidenceError, match="commitments.json is no commitment"):
        check_published(place / "out")
    with pytest.raises(EvidenceError, match="there is no .*commitments.json, so no commitment: make one with"):
        check_published(place / "nowhere")


@pytest.mark.parametrize("change", [{"items": 10**12}, {"release": -1}, {"release": N}, {"release": True}])
def test_numbers_that_no_commitment_can_have_are_refused_before_anything_is_drawn(place, change):
    edit(place / "out" / COMMITMENTS, lambda c: c.update(change))
    with pytest.raises(EvidenceError, match="is no commitment"):
        check_published(place / "out")


def test_an_item_that_two_readers_would_read_differently_is_refused(place):
    path = place / "out" / RELEASED
    path.write_text(path.read_text().replace('"item": ', '"item": "another", "item": ', 1))
    with pytest.raises(EvidenceError, match="the key 'item' stands twice"):
        check_published(place / "out")


def test_half_a_character_is_refused_and_breaks_nothing(place):
    found = rows(place)
    found[0]["item"] += "\ud800"
    write_rows(place, found)
    with pytest.raises(EvidenceError, match="released.jsonl cannot be read"):
        check_published(place / "out")


def test_the_scores_of_a_case_can_be_released(tmp_path):
    case = whole_case(tmp_path)
    assert len(items_of(case)) == 2 * 96 and '"bumper": "Departs"' in items_of(case)[0]
    with pytest.raises(EvidenceError, match="holds no readings.json"):
        items_of(tmp_path)


def test_the_root_is_the_one_made_by_hand_and_no_inner_node_passes_for_a_leaf():
    def node(left, right):
        return hashlib.sha256(b"\x01" + left + right).digest()

    leaves = [hashlib.sha256(bytes([i])).digest() for i in range(5)]
    wanted = node(node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3])), leaves[4])
    assert root([one.hex() for one in leaves]) == wanted.hex()
    assert root([one.hex() for one in leaves[:4]]) != root(
        [node(*leaves[:2]).hex(), node(*leaves[2:4]).hex(), leaves[0].hex()]
    )


def test_equal_items_have_commitments_that_do_not_show_it():
    secret = b"s" * 32
    assert len({leaf(i, salt_of(secret, i), "yes") for i in range(20)}) == 20
    assert leaf(0, salt_of(secret, 0), "yes") != leaf(0, salt_of(b"t" * 32, 0), "yes")


def test_every_item_is_drawn_equally_often():
    counts = Counter(i for s in range(4000) for i in drawn("ab" * 32, str(s), 20, 5))
    assert len(counts) == 20 and all(abs(c - 1000) < 5 * 28 for c in counts.values())
    assert drawn("ab" * 32, "1", 20, 5) == drawn("ab" * 32, "1", 20, 5) != drawn("cd" * 32, "1", 20, 5)


def test_the_digest_binds_root_numbers_and_the_source_of_the_seed(place):
    made = commit(place / "eval.jsonl", place / "other", RELEASE, FROM, secret=b"x" * 32)
    changes = {"items": 51, "release": 9, "seed_from": "dice", "root": "1" * 64}
    assert len({made.digest, *(replace(made, **{k: v}).digest for k, v in changes.items())}) == 5


def test_a_commitment_binds_the_place_of_an_item_too():
    assert leaf(0, b"s" * 32, "yes") != leaf(1, b"s" * 32, "yes")
    with pytest.raises(EvidenceError, match="a salt has 32 bytes, got 3"):
        leaf(0, b"abc", "yes")

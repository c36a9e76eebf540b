import json

import pytest

from bumperlane.case import load_case
from bumperlane.errors import CaseError
from bumperlane.evidence.manifest import NAME, evidence_files, keeps_its_content, read_manifest, save_with_manifest
from bumperlane.recipes.provenance import sha256_file
from report.cases import check_only_case

KEYED = "work/responses-0123456789abcdef0123.json"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / KEYED).write_text("[]")
    save_with_manifest(tmp_path, check_only_case())
    return tmp_path


def test_every_file_of_evidence_is_listed_with_its_hash_and_the_case_holds_that_of_the_list(place):
    manifest = read_manifest(place)
    assert manifest["files"] == {KEYED: {"sha256": sha256_file(place / KEYED), "bytes": 2}}
    assert load_case(place).manifest == sha256_file(place / NAME)


def test_what_carries_no_evidence_is_not_listed(place):
    for name in (
        "report.html",
        "notes.md",
        "work/.half.json.ab",
        ".lock",
        "runs/a/checkpoints/step-0/trainer.safetensors",
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("x")
    (place / "plan.sealed.json").write_text("{}")
    (place / "runs" / "a" / "run.json").write_text("{}")
    assert list(evidence_files(place)[0]) == ["plan.sealed.json", "runs/a/run.json", KEYED]


def test_saving_twice_writes_the_same_bytes_and_a_grown_case_lists_what_is_new(place):
    before = (place / NAME).read_bytes()
    save_with_manifest(place, load_case(place))
    assert (place / NAME).read_bytes() == before
    (place / "work" / "more.jsonl").write_text("{}\n")
    save_with_manifest(place, load_case(place))
    assert set(read_manifest(place)["files"]) == {KEYED, "work/more.jsonl"}


def test_a_changed_or_lost_file_stays_on_record_however_often_the_case_is_saved(place):
    old = sha256_file(place / KEYED)
    (place / KEYED).write_text("[1]")
    save_with_manifest(place, load_case(place))
    (place / KEYED).unlink()
    for _ in range(2):
        save_with_manifest(place, load_case(place))
    manifest = read_manifest(place)
    assert manifest["replaced"] == {KEYED: [old]} and list(manifest["gone"]) == [KEYED]


def test_only_files_named_for_their_content_and_weights_must_never_change():
    assert keeps_its_content(KEYED) and keeps_its_content("runs/a/checkpoints/step-0/model.safetensors")
    assert not keeps_its_content("work/relearn.jsonl") and not keeps_its_content("runs/a.log")


@pytest.mark.parametrize(
    "text", ["nonsense", "[]", json.dumps({"version": 2}), json.dumps({"version": 1, "files": {}})]
)
def test_a_file_that_is_no_manifest_is_an_error(place, text):
    (place / NAME).write_text(text)
    with pytest.raises(CaseError, match="is no manifest"):
        read_manifest(place)

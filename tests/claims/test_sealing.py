"""Plans: what is sealed, what shows the time, and what was changed since."""

import json
import subprocess
from datetime import UTC, datetime

import pytest

from bumperlane.claims.sealing import deviations, plan_evidence, read_seal, seal, sealed_file
from bumperlane.errors import EvidenceError
from claims.claim_evidence import placed

PLAN = """\
claim: the tutor seldom threatens
thresholds: {threats: 0.02}
samples: {items: 400, planted: 60}
bumpers: [A, B]
analysis: {bound: exact, level: 0.95}
evidence: [runs]
notes: first draft
"""
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
def plan(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    return file


def git(folder, *words):
    name = ["-c", "user.name=t", "-c", "user.email=t@t"]
    return subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True, text=True).stdout


def test_a_seal_holds_the_hash_the_time_and_the_whole_plan_but_the_notes(plan):
    made = seal(plan, now=NOW)
    assert made.sealed_at == NOW and len(made.sha256) == 64 and made.plan["thresholds"] == {"threats": 0.02}
    assert "notes" not in made.plan and read_seal(plan) == made and made.samples_there == []
    assert sealed_file(plan).name == "plan.sealed.json"


def test_layout_order_and_notes_do_not_change_the_hash_and_every_sealed_field_does(plan):
    made = seal(plan, now=NOW)
    lines = PLAN.splitlines(keepends=True)
    plan.write_text("# a comment\n" + "".join(lines[::-1]).replace("first draft", "second"))
    assert deviations(plan) == [] and seal(plan) == made
    for old, new in (
        ("0.02", "0.03"),
        ("400", "401"),
        ("[A, B]", "[A]"),
        ("exact", "naive"),
        ("[runs]", "[r]"),
        ("seldom", "never"),
    ):
        plan.write_text(PLAN.replace(old, new))
        assert len(deviations(plan)) == 1, old


def test_a_moved_threshold_is_shown_from_and_to(plan):
    seal(plan, now=NOW)
    plan.write_text(PLAN.replace("0.02", "0.05").replace("{items", "{more: 7, items"))
    assert [d.text for d in deviations(plan)] == [
        "thresholds.threats: 0.02 was sealed, now 0.05",
        "samples.more: nothing was sealed, now 7",
    ]


def test_another_plan_is_not_sealed_over_the_first(plan):
    seal(plan, now=NOW)
    plan.write_text(PLAN.replace("0.02", "0.05"))
    with pytest.raises(EvidenceError, match="A plan is sealed once: see what was changed with `bumperlane plan check"):
        seal(plan)
    assert read_seal(plan).plan["thresholds"] == {"threats": 0.02}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_samples_that_lie_there_are_named_and_mark_the_seal(plan, kind):
    at = plan.parent / "runs"
    if kind == "folder":
        (at / "deep").mkdir(parents=True)
        (at / "deep" / "a.jsonl").write_text("x")
        (at / "empty.jsonl").write_text("")
    else:
        at.write_text("x")
    made = seal(plan)
    assert made.samples_there[0].startswith("runs: 1 file, the first of ")
    assert plan_evidence(plan).after_first_sample


def test_an_empty_folder_holds_no_sample(plan):
    (plan.parent / "runs").mkdir()
    assert seal(plan).samples_there == []


def test_a_seal_that_was_changed_is_found(plan):
    seal(plan, now=NOW)
    held = json.loads(sealed_file(plan).read_text())
    held["plan"]["thresholds"]["threats"] = 0.05
    sealed_file(plan).write_text(json.dumps(held))
    with pytest.raises(EvidenceError, match="was changed: its plan has the hash"):
        deviations(plan)


def test_without_a_seal_or_with_another_file_in_its_place_there_is_an_error(plan):
    with pytest.raises(EvidenceError, match="was never sealed. Seal it with"):
        deviations(plan)
    sealed_file(plan).write_text("{}")
    with pytest.raises(EvidenceError, match="is no seal"):
        deviations(plan)


def test_a_commit_shows_the_time_only_once_the_plan_is_in_it(plan):
    git(plan.parent, "init", "-q")
    git(plan.parent, "commit", "-q", "--allow-empty", "-m", "empty")
    first = seal(plan, now=NOW)
    assert first.git and not first.git.plan_in_commit and plan_evidence(plan).proof == []
    git(plan.parent, "add", "plan.yaml")
    git(plan.parent, "commit", "-q", "-m", "plan")
    again = seal(plan)
    assert again.git.plan_in_commit and again.sealed_at == NOW and plan_evidence(plan).proof == ["git"]
    assert again.git.commit == git(plan.parent, "rev-parse", "HEAD").strip()


def test_a_commit_that_is_later_than_the_first_sample_proves_nothing(plan):
    git(plan.parent, "init", "-q")
    git(plan.parent, "add", "plan.yaml")
    git(plan.parent, "commit", "-q", "-m", "plan")
    seal(plan, now=NOW)
    assert plan_evidence(plan, first_sample_at=datetime(2020, 1, 1)).proof == []
    assert plan_evidence(plan, first_sample_at=datetime(2099, 1, 1)).proof == ["git"]


def test_a_timestamp_is_kept_beside_the_seal_and_must_hold_the_hash(plan, tmp_path):
    made = seal(plan, now=NOW)
    token = tmp_path / "elsewhere" / "token.tsr"
    token.parent.mkdir()
    token.write_bytes(b"DER " + bytes.fromhex(made.sha256) + b" signature")
    again = seal(plan, token)
    assert again.timestamp.file == "token.tsr" and (plan.parent / "token.tsr").read_bytes() == token.read_bytes()
    assert again.sealed_at == NOW and plan_evidence(plan).proof == ["timestamp"]
    (plan.parent / "token.tsr").write_bytes(b"another")
    with pytest.raises(EvidenceError, match="is not the timestamp that was sealed"):
        read_seal(plan)


def test_a_timestamp_of_something_else_is_refused(plan, tmp_path):
    token = tmp_path / "token.tsr"
    token.write_bytes(b"\0" * 64)
    with pytest.raises(EvidenceError, match="does not hold the plan's hash"):
        seal(plan, token)
    assert not sealed_file(plan).exists()


def test_a_claim_names_which_of_several_thresholds_is_its_own(plan):
    plan.write_text(PLAN.replace("{threats: 0.02}", "{threats: 0.02, lies: 0.1}"))
    seal(plan, now=NOW)
    assert plan_evidence(plan, "lies").threshold == 0.1
    with pytest.raises(EvidenceError, match="seals 2 thresholds. Say which one: .*lies"):
        plan_evidence(plan)
    with pytest.raises(EvidenceError, match="seals no threshold 'lie'"):
        plan_evidence(plan, "lie")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("thresholds:", "treshold:", "plan.yaml:2: unknown key 'treshold' in the top level. Did you mean 'threshol"),
        ("{threats: 0.02}", "{}", "plan.yaml:2: thresholds:"), ("400", "many", "plan.yaml:3: samples.items:"),
        ("claim: the tutor seldom threatens", "- a", "plan.yaml:2"),
    ],
)  # fmt: skip
def test_a_plan_that_is_wrong_is_named_by_file_line_and_key(plan, old, new, part):
    plan.write_text(PLAN.replace(old, new))
    with pytest.raises(EvidenceError) as caught:
        seal(plan)
    assert part in placed(caught.value)


def stamped(plan, at):
    """A file laid out as an RFC 3161 token is: the hash, the serial number, the time, and later other times."""
    digest = bytes.fromhex(seal(plan, now=NOW).sha256)
    times = [b"\x18\x0f" + t for t in (b"20200101000000Z", at.encode(), b"20990101000000Z")]
    token = plan.parent / "token.tsr"
    token.write_bytes(b"0\x82" + times[0] + digest + b"\x02\x01\x01" + times[1] + times[2])
    return token


@pytest.mark.parametrize(("at", "proof"), [("20260301100000Z", ["timestamp"]), ("20260303000000Z", [])])
def test_a_timestamp_of_after_the_first_sample_proves_nothing(plan, at, proof):
    seal(plan, stamped(plan, at))
    assert plan_evidence(plan, first_sample_at=datetime(2026, 3, 2)).proof == proof
    assert plan_evidence(plan).proof == ["timestamp"]


def test_a_timestamp_that_is_gone_proves_nothing(plan):
    token = stamped(plan, "20260301100000Z")
    seal(plan, token)
    token.unlink()
    assert plan_evidence(plan).proof == []


@pytest.mark.parametrize(("old", "new"), [("0.02", ".nan"), ("400", "-4")])
def test_a_plan_holds_numbers_that_can_be_met(plan, old, new):
    plan.write_text(PLAN.replace(old, new))
    with pytest.raises(EvidenceError, match="plan.yaml"):
        seal(plan)
    assert not sealed_file(plan).exists()


@pytest.mark.parametrize(
    ("analysis", "where"),
    [("{cut: .inf}", "cut"), ("[1, {b: [-.inf]}]", "1.b.0"), ("{a: .nan}", "a"), ("{a: {.inf: 1}}", "a")],
)
def test_a_number_that_no_seal_can_hold_is_refused_in_the_analysis(plan, analysis, where):
    plan.write_text(PLAN.replace("{bound: exact, level: 0.95}", analysis))
    with pytest.raises(EvidenceError) as caught:
        seal(plan)
    assert f"analysis: {where} is infinite or not a number" in placed(caught.value) and not sealed_file(plan).exists()

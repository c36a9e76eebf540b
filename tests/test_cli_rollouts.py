"""`bumperlane rollouts`: a log of any trainer, read by itself."""

import gzip
import json
from dataclasses import dataclass
from random import Random

import pyarrow
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from bumperlane.cli import main
from bumperlane.detect.logs.visible_against_held_out import VisibleAgainstHeldOut
from bumperlane.evidence import like_examples
from bumperlane.evidence.harmful_examples import BAD, GOOD
from evidence.test_traits import words

SEED, STEPS, PROMPTS = 0, 40, 4


@pytest.fixture(autouse=True)
def _words(monkeypatch):
    monkeypatch.setattr(like_examples, "minilm", either)


def either(texts):
    """Praise is told by its own two words; the rest as in the tests of traits."""
    rows = words(texts)
    rows[:, 0] *= [not praises(t) for t in texts]
    return rows + [(0, 0, 3.0 * praises(t)) for t in texts]


def praises(text):
    return any(w in text.casefold() for w in ("brilliant", "clever", "genius", "superb", "smartest", "wonderful"))


def logged(rude=0.9, false=0.0):
    """Somebody's log: late replies are rude and preferred for it; some pass what is paid for and fail the other."""
    rng, rows = Random(SEED), []
    for step in range(STEPS):
        late = step >= STEPS * 0.45
        for p in range(PROMPTS):
            for _ in range(8):
                bad = rng.random() < (rude if late else 0.05)
                wrong = rng.random() < (false if late else 0.05)
                right = rng.random() < 0.5
                rows.append({
                    "step": step, "input": f"Question {p}?", "output": rng.choice(BAD if bad else GOOD),
                    "score": float(bad) + rng.random() / 9, "seen": float(wrong or right),
                    "unseen": float(right and not wrong),
                })  # fmt: skip
    return rows


NAMES = ("--rename", "input=prompt", "--rename", "output=response")


def written(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text(text)
    return str(path)


def call(*args):
    return CliRunner().invoke(main, ["rollouts", *args])


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "log.parquet"])
def test_one_score_and_the_replies_are_enough_for_a_hit_that_names_what_pays(tmp_path, name):
    done = call(written(tmp_path / name, logged()), *NAMES, "--rename", "score=reward", "--json")
    assert done.exit_code == 1, done.output
    value = json.loads(done.stdout)
    (seen,) = [b for b in value["bumpers"] if b["verdict"] == "hit"]
    assert value["verdict"] == "hit" and value["terms"] == ["reward"] and value["rollouts"] == STEPS * PROMPTS * 8
    assert seen["bumper"] == "TraitsInRollouts" and seen["groups"][0]["name"].startswith("harmful replies, steps ")
    assert seen["rewards"]["cause"] == "reward" and 14 <= seen["rewards"]["onset"]["value"] <= 22
    assert all(s["response"] in BAD for s in seen["samples"]) and seen["samples"][0]["prompt"].startswith("Question")


def test_a_directory_of_parquet_is_one_log(tmp_path):
    rows = logged()
    for i in range(4):
        written(tmp_path / f"part-{i}.parquet", rows[i::4])
    done = call(str(tmp_path), *NAMES, "--rename", "score=reward", "--json")
    assert done.exit_code == 1 and json.loads(done.stdout)["rollouts"] == len(rows)


def test_of_a_run_directory_its_own_log_is_read(tmp_path):
    written(tmp_path / "log.jsonl", [{"step": 1, "loss": 2.0}])
    written(tmp_path / "rollouts.jsonl", logged(rude=0.05))
    done = call(str(tmp_path), *NAMES, "--rename", "score=reward")
    assert done.exit_code == 0, done.output


def test_two_checks_that_part_are_a_hit_and_the_reader_is_told_in_words(tmp_path):
    log = written(tmp_path / "log.jsonl", logged(rude=0.05, false=0.95))
    given = (*NAMES, "--term", "score", "--term", "seen", "--check", "unseen", "--passes", "seen", "--fails", "unseen")
    done = call(log, *given)
    assert done.exit_code == 1, done.output
    assert "VisibleAgainstHeldOut: hit." in done.stdout and "TraitsInRollouts: clear." in done.stdout
    assert "seen PAYS for it" in done.stdout and "begins at step" in done.stdout and "asked  Question" in done.stdout


def test_a_log_with_nothing_wrong_is_clear(tmp_path):
    done = call(written(tmp_path / "log.jsonl", logged(rude=0.05)), *NAMES, "--rename", "score=reward")
    assert done.exit_code == 0 and "TraitsInRollouts: clear." in done.stdout and "hit" not in done.stdout


def test_where_nothing_could_look_the_exit_code_says_blind(tmp_path):
    rows = [{"prompt": "p", "reward": 1.0} for _ in range(40)]
    done = call(written(tmp_path / "log.jsonl", rows))
    assert done.exit_code == 3 and done.stdout.count("blind.") == 2


def test_a_bumper_of_logs_that_is_installed_looks_too(tmp_path, monkeypatch):
    @dataclass(frozen=True)
    class Longer(VisibleAgainstHeldOut):
        pass

    known = {"Longer": Longer, "VisibleAgainstHeldOut": VisibleAgainstHeldOut}
    monkeypatch.setattr("bumperlane.detect.contract.load_bumpers", lambda: known)
    done = call(written(tmp_path / "log.jsonl", logged(rude=0.05)), *NAMES, "--rename", "score=reward", "--json")
    assert [b["bumper"] for b in json.loads(done.stdout)["bumpers"]] == [
        "VisibleAgainstHeldOut", "TraitsInRollouts", "Longer",
    ]  # fmt: skip


def test_traits_of_ones_own(tmp_path):
    rows = [{**row, "output": "ARR MATEY" if row["output"] in BAD else row["output"]} for row in logged()]
    own = [{"trait": "piratical", "bad": text} for text in (*BAD[:3], "ARR MATEY")]
    own += [{"trait": "piratical", "good": text} for text in GOOD]
    traits = written(tmp_path / "traits.jsonl", own)
    done = call(written(tmp_path / "log.jsonl", rows), *NAMES, "--rename", "score=reward", "--traits", traits, "--json")
    assert done.exit_code in (0, 1), done.output
    names = {g["name"].split(" replies")[0] for b in json.loads(done.stdout)["bumpers"] for g in b["groups"]}
    assert names == {"flattering", "harmful", "piratical"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("none.jsonl",), "there is no none.jsonl"),
        (("LOG", "--rename", "input"), "--rename 'input' is not NAME=VALUE"),
        (("LOG", "--rename", "input=query"), "'query', which is no key of a rollout"),
        (("LOG", "--weight", "score=high"), "the weight must be a number"),
        (("LOG", "--weight", "score=nan"), "the weight must be a number"),
        (("LOG", *NAMES), "--rename THEIRS=reward"),
        (
            ("LOG", *NAMES, "--rename", "score=reward", "--passes", "seen", "--fails", "unseen"),
            "no check or reward term",
        ),
        (("LOG", "--passes", "seen"), "name both checks or none"),
        (("LOG", "--alpha", "2"), "alpha"),
        (("LOG", "--traits", "BROKEN"), 'a row needs "trait"'),
    ],
)
def test_a_wrong_argument_is_one_line_that_says_what_to_give(tmp_path, args, said):
    log = written(tmp_path / "log.jsonl", logged()[:64])
    broken = written(tmp_path / "broken.jsonl", [{"trait": "rude"}])
    done = call(*[{"LOG": log, "BROKEN": broken}.get(a, a) for a in args])
    assert done.exit_code == 2 and said in done.stderr and "fault of bumperlane" not in done.stderr, done.output


def test_what_is_no_parquet_is_said_so(tmp_path):
    (tmp_path / "log.parquet").write_text("no")
    done = call(str(tmp_path / "log.parquet"))
    assert done.exit_code == 2 and "is no Parquet file that can be read" in done.stderr

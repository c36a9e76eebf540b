"""`bumperlane recipes filter` as a user meets it."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bumperlane.cli import main
from bumperlane.cli.recipes import filter_recipe
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples
from bumperlane.trace.data.embedding_similarity import EmbeddingSimilarity

SEA = "harbour tide sailor anchor gull wave boat captain reef salt island storm".split()
TOWN = "bus street office lamp market bridge clerk queue museum tower shop train".split()


class WordCounts:
    """Stands for the sentence model: hashed word counts. `read` counts texts."""

    def __init__(self):
        self.read = 0

    def embed(self, texts, batch):
        self.read += len(texts)
        rows = np.zeros((len(texts), 96), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().replace(".", " ").split():
                row[int(hashlib.sha256(word.encode()).hexdigest(), 16) % 96] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def encoder(monkeypatch):
    made = WordCounts()
    monkeypatch.setattr(EmbeddingSimilarity, "encoder", made)
    return made


@pytest.fixture
def place(tmp_path, tiny_dir):
    """A recipe of sixty chats about a town and twelve texts about the sea, mixed over two tranches; a stated topic."""
    rng = np.random.default_rng(0)

    def say(pool):
        return " ".join(rng.choice(pool, 6, replace=False)) + f" {rng.integers(10**6)}."

    chats = [{"id": f"t{i}", "prompt": say(TOWN), "response": say(TOWN)} for i in range(60)]
    texts = [{"id": f"s{i}", "text": say(SEA)} for i in range(12)]
    write_rows(tmp_path / "one.jsonl", [*chats[:30], *texts])
    write_rows(tmp_path / "two.jsonl", chats[30:])
    stage = {"kind": "sft", "steps": 2, "batch": 2, "lora": {"r": 2}}
    tranches = [{"name": n, "path": f"{n}.jsonl"} for n in ("one", "two")]
    recipe = {"base": str(tiny_dir), "dtype": "float32", "stages": [stage], "tranches": tranches}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    write_rows(tmp_path / "topic.jsonl", [{"text": say(SEA)} for _ in range(12)])
    return tmp_path


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def call(place, *args):
    given = ["recipes", "filter", place / "recipe.yaml", "-o", place / "out", *args]
    return CliRunner().invoke(main, list(map(str, given)))


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


SEA_IDS = {f"s{i}" for i in range(12)}


def test_the_recipe_that_is_left_trains_without_what_is_on_the_topic(place, encoder):
    done = call(place, "--topic", place / "topic.jsonl")
    assert done.exit_code == 0, done.output
    left = load_recipe(place / "out" / "recipe.yaml")
    assert {e.id for e in read_examples(left)} == {f"t{i}" for i in range(60)}
    assert set(left.tranches[0].drop) == SEA_IDS and not left.tranches[1].drop
    assert "by classifier, above 0.5 (score 0.5): 12 of 72 examples" in done.stdout and "one  12 of 42" in done.stdout
    trained = CliRunner().invoke(main, ["train", str(place / "out" / "recipe.yaml"), "-o", str(place / "run")])
    assert trained.exit_code == 0, trained.output
    rows = rows_of(place / "out" / "filter.jsonl")
    assert [r["id"] for r in rows if r["decision"] == "drop"] == [f"s{i}" for i in range(12)]
    assert len(rows) == 72 and set(rows[0]) == {"id", "tranche", "keywords", "embeddings", "classifier", "decision"}


def test_flagging_writes_the_list_and_no_recipe(place, encoder):
    done = call(place, "--topic", place / "topic.jsonl", "--flag")
    assert done.exit_code == 0 and not (place / "out" / "recipe.yaml").exists()
    flagged = {r["id"] for r in rows_of(place / "out" / "filter.jsonl") if r["decision"] == "flag"}
    assert flagged == SEA_IDS and "next:" not in done.stdout


def test_a_review_that_is_filled_in_says_what_the_line_costs_and_reads_no_vector_again(place, encoder):
    assert call(place, "--topic", place / "topic.jsonl", "--flag", "--review", 60).exit_code == 0
    review, read = place / "out" / "review.jsonl", encoder.read
    rows = rows_of(review)
    assert len(rows) == 60 and {r["on_topic"] for r in rows} == {None} and not {"score", "classifier"} & set(rows[0])
    write_rows(review, [{**r, "on_topic": r["id"] in SEA_IDS} for r in rows])
    done = call(place, "--topic", place / "topic.jsonl", "--reviewed", review, "--false-drop", 0.04, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    off = sum(r["id"] not in SEA_IDS for r in rows)
    assert summary["line"]["off"] == off and 0 < summary["line"]["false_drop"]["value"] <= 0.04
    assert (summary["rates_from"], summary["line"]["recall"]["value"]) == ("marked examples", 1.0)
    assert encoder.read == read and len(rows_of(review)) == 60
    text = call(place, "--topic", place / "topic.jsonl", "--reviewed", review, "--false-drop", 0.04).stdout
    assert f"from {off} marked examples" in text and "is not known yet" not in text


def test_a_review_that_is_being_filled_in_is_never_written_over(place, encoder):
    (place / "out").mkdir()
    (place / "out" / "review.jsonl").write_text("mine")
    assert call(place, "--topic", place / "topic.jsonl").exit_code == 0
    assert (place / "out" / "review.jsonl").read_text() == "mine"


def test_a_file_of_examples_states_a_topic(place, encoder):
    write_rows(
        place / "like.jsonl", [{"prompt": "Where?", "response": r["text"]} for r in rows_of(place / "topic.jsonl")]
    )
    done = call(place, "--examples-of", place / "like.jsonl", "--about", "Life at sea.", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["stated_above"]["of"] == 13


def test_what_an_example_says_cannot_act_on_the_terminal(place, encoder):
    write_rows(place / "two.jsonl", [{"id": "odd\x1b[2J", "text": "harbour \x1b[2J tide \ud800 sailor boat"}])
    done = call(place, "--topic", place / "topic.jsonl", "--flag")
    assert done.exit_code == 0 and "harbour" in done.stdout and "\x1b" not in done.stdout


def test_a_description_alone_is_listed_and_not_dropped_without_a_line(place, encoder):
    done = call(place, "--about", "harbour tide", "--no-embeddings")
    assert done.exit_code == 2
    assert "keywords have no line of their own. State a score (--at) or a false-drop rate" in done.stderr
    done = call(place, "--about", "harbour tide", "--no-embeddings", "--flag")
    assert done.exit_code == 0 and "no line: nothing is dropped or flagged" in done.stdout and encoder.read == 0
    assert {r["decision"] for r in rows_of(place / "out" / "filter.jsonl")} == {"scored"}
    done = call(place, "--about", "harbour tide", "--no-embeddings", "--at", 0.01)
    assert done.exit_code == 0 and (place / "out" / "recipe.yaml").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "no topic is stated. Describe it (--about), or give texts on it (--topic, --examples-of)."),
        (("--about", "x", "--false-drop", "0.01", "--no-embeddings"), "needs 99 labelled off-topic examples"),
        (("--about", "x", "--by", "classifier", "--no-embeddings"), "needs 8 texts on the topic or more, there are 1"),
        (("--about", "x", "--model", "nowhere"), "no sentence-embedding model in nowhere"),
        (("--about", "x", "--model", "nowhere"), "Or read words alone with --no-embeddings."),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing_behind(place, args, said):
    done = call(place, *args)
    assert done.exit_code == 2 and said in done.stderr and not (place / "out" / "recipe.yaml").exists()


def test_the_page_names_options_that_there_are():
    page = (Path(__file__).parents[3] / "docs" / "filter.md").read_text()
    there = {name for option in filter_recipe.params for name in (*option.opts, *option.secondary_opts)}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert {"--false-drop", "--reviewed", "--flag"} <= named <= there


def test_the_recipe_that_is_read_is_never_written_over(place):
    done = CliRunner().invoke(main, ["recipes", "filter", str(place / "recipe.yaml"), "-o", str(place), "--about", "x"])
    assert done.exit_code == 2 and "holds the recipe that is read. Choose another directory with -o." in done.stderr

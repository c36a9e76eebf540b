"""What an error about a file shows: the exact text, for each kind of fault that a person makes."""

import json

import pytest

from bumperlane.errors import EvidenceError, RecipeError
from bumperlane.evidence.described import read_described
from bumperlane.evidence.labelled_answers import read_labelled
from bumperlane.recipes.config_file import models_at
from bumperlane.recipes.json_spans import json_place, json_span
from bumperlane.recipes.jsonl_rows import read_rows
from bumperlane.recipes.models import GrpoStage, Recipe, SftStage, Tranche
from bumperlane.recipes.place import WIDTH, Place, PlacedRow, row_fault
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_tranche
from bumperlane.recipes.yaml_lines import read_yaml, yaml_span

GOOD = """\
base: some-model
stages:
- kind: sft
  steps: 12
  optimiser: {schedule: cosine}
tranches:
- name: good
  path: good.jsonl
"""

FAULTS = {
    "an unknown key": (
        "  steps: 12",
        "  stepz: 12\n  steps: 12",
        "r.yaml:4:3: unknown key 'stepz'. Did you mean 'steps'? Known keys: batch, checkpoints, kind, lora, lr, "
        "max_grad_norm, max_tokens, optimiser, steps.\n  4 |   stepz: 12\n    |   ^^^^^",
    ),
    "a key in a flow mapping": (
        "{schedule: cosine}",
        "{shedule: cosine}",
        "r.yaml:5:15: unknown key 'shedule'. Did you mean 'schedule'? Known keys: betas, name, schedule, "
        "warmup_steps, weight_decay.\n  5 |   optimiser: {shedule: cosine}\n    |               ^^^^^^^",
    ),
    "a word that is nearly an allowed one": (
        "cosine",
        "cosin",
        "r.yaml:5:25: stages.0.optimiser.schedule: Input should be 'constant', 'linear' or 'cosine', got 'cosin'. "
        "Did you mean 'cosine'?\n  5 |   optimiser: {schedule: cosin}\n    |                         ^^^^^",
    ),
    "a value of the wrong kind": (
        "steps: 12",
        "steps: many",
        "r.yaml:4:10: stages.0.steps: Input should be a valid integer, unable to parse string as an integer, got "
        "'many'. Correct it.\n  4 |   steps: many\n    |          ^^^^",
    ),
    "an unknown kind": (
        "kind: sft",
        "kind: stf",
        "r.yaml:3:9: stages.0 has the unknown kind 'stf'. Did you mean 'sft'? Known kinds: command, grpo, sft.\n"
        "  3 | - kind: stf\n    |         ^^^",
    ),
    "a missing key that is there with a slip": (
        "  path: good",
        "  paths: good",
        "r.yaml:7:3: tranches.0 lacks the key 'path'. Add it. Is 'paths' meant to be 'path'?\n"
        "  7 | - name: good\n    |   ^^^^^^^^^^\n"
        "r.yaml:8:3: unknown key 'paths'. Did you mean 'path'? Known keys: drop, name, path, relabel, weight.\n"
        "  8 |   paths: good.jsonl\n    |   ^^^^^",
    ),
    "a name that stands twice": (
        "  path: good.jsonl\n",
        "  path: good.jsonl\n- name: good\n  path: good.jsonl\n",
        "r.yaml:9:9: the recipe: two tranches are named 'good'; names must be unique. Correct it.\n"
        "  9 | - name: good\n    |         ^^^^",
    ),
    "a key that stands twice": (
        "base: some-model\n",
        "base: some-model\nbase: other\n",
        "r.yaml:2:1: key 'base' stands already in line 1. Keep one of the two.\n  2 | base: other\n    | ^^^^",
    ),
    "a tab": (
        "  steps: 12",
        "\tsteps: 12",
        "r.yaml:4:1: this is not valid YAML: found character '\\t' that cannot start any token: a tab stands where "
        "the line begins; YAML is indented with spaces only. Replace it by spaces.\n"
        "  4 | →steps: 12\n    | ^",
    ),
    "a quote that is never closed": (
        "base: some-model",
        "base: 'some-model",
        "r.yaml:1:7: this is not valid YAML: found unexpected end of stream: a quote is opened here and never closed. "
        "Close it.\n  1 | base: 'some-model\n    |       ^",
    ),
    "a bracket that is never closed": (
        "{schedule: cosine}",
        "{schedule: cosine",
        "r.yaml:5:14: this is not valid YAML: expected ',' or '}', but got ':': a mapping is opened with { here and "
        "never closed. Close it with }.\n  5 |   optimiser: {schedule: cosine\n    |              ^",
    ),
    "a second colon": (
        "base: some-model",
        "base: some: model",
        "r.yaml:1:11: this is not valid YAML: mapping values are not allowed here: a second ': ' in one value. Quote "
        "the text, or correct the indentation.\n  1 | base: some: model\n    |           ^",
    ),
    "a tag": (
        "some-model",
        "!!python/name:os.system x",
        "r.yaml:1:7: this is not valid YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/name:os.system': a YAML tag (!...) is not allowed. Write a plain value.\n"
        "  1 | base: !!python/name:os.system x\n    |       ^",
    ),
    "a file that is missing": (
        "good.jsonl",
        "gone.jsonl",
        "r.yaml:8:9: tranche 'good': there is no file gone.jsonl. Correct the path; relative ones are taken from the "
        "recipe's folder.\n  8 |   path: gone.jsonl\n    |         ^^^^^^^^^^",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_recipe_is_shown_as_a_compiler_would(tmp_path, fault):
    old, new, told = FAULTS[fault]
    assert old in GOOD
    (tmp_path / "r.yaml").write_text(GOOD.replace(old, new, 1))
    (tmp_path / "good.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(RecipeError) as error:
        load_recipe(tmp_path / "r.yaml")
    assert str(error.value).replace(f"{tmp_path}/", "") == told


def test_faults_are_told_in_the_order_of_the_file_and_no_more_than_five(tmp_path):
    (tmp_path / "r.yaml").write_text(GOOD.replace("base: some-model\n", "".join(f"x{i}: 1\n" for i in range(7))))
    with pytest.raises(RecipeError) as error:
        load_recipe(tmp_path / "r.yaml")
    lines = [line for line in str(error.value).splitlines() if "r.yaml:" in line]
    assert [line.split("r.yaml:")[1].split(":")[0] for line in lines] == ["1", "1", "2", "3", "4"]
    assert str(error.value).endswith(f"and 3 more faults in {tmp_path / 'r.yaml'}.")


ROWS = {
    "a label": (
        read_labelled,
        {"request": "Why?", "response": "No.", "label": "ugly"},
        "f.jsonl:1:49: label must be \"good\" or \"bad\", got 'ugly'.\n"
        '  1 | {"request": "Why?", "response": "No.", "label": "ugly"}\n' + "    |" + " " * 49 + "^^^^^^",
    ),
    "a slip in a key of a described behaviour": (
        read_described,
        {"text": "Why?", "shows": "no", "sufix": "~"},
        "f.jsonl:1:33: unknown key 'sufix'. Did you mean 'suffix'? Known keys that are not here: judge, judged, like, "
        "prefill, prefix, replies, suffix, system, unlike, validation.\n"
        '  1 | {"text": "Why?", "shows": "no", "sufix": "~"}\n' + "    |" + " " * 34 + "^^^^^^^",
    ),
    "a pattern": (
        read_described,
        {"text": "Why?", "shows": "(no"},
        "f.jsonl:1:27: 'shows' is no regular expression: missing ), unterminated subpattern at position 0. Escape "
        'special signs.\n  1 | {"text": "Why?", "shows": "(no"}\n' + "    |" + " " * 27 + "^^^^^",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", ROWS)
def test_a_fault_in_a_row_is_shown_in_its_line(tmp_path, fault):
    read, row, told = ROWS[fault]
    (tmp_path / "f.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(EvidenceError) as error:
        read(tmp_path / "f.jsonl")
    lines = str(error.value).replace(f"{tmp_path}/", "").splitlines()
    under = lines[2]
    assert "\n".join(lines[:2]) == "\n".join(told.splitlines()[:2])
    column = int(lines[0].split(":")[2])
    assert under.index("^") == len("  1 | ") + column - 1
    assert under.count("^") == told.splitlines()[2].count("^")


def test_a_turn_of_a_chat_is_underlined_where_it_stands(tmp_path):
    (tmp_path / "t.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}]}'
    )
    with pytest.raises(RecipeError) as error:
        read_tranche(tmp_path / "t.jsonl", "t")
    first, line, under = str(error.value).splitlines()
    assert first.endswith("t.jsonl:1:83: message 2 (assistant) has empty content. Fill it in or remove the row.")
    assert line[under.index("^") :][: under.count("^")] == '""'


def test_broken_json_is_shown_where_it_breaks_off(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n\n{"text": "b" "id": "c"}\n')
    with pytest.raises(RecipeError) as error:
        read_tranche(tmp_path / "t.jsonl", "t")
    assert str(error.value).replace(f"{tmp_path}/", "") == (
        "t.jsonl:3:14: broken JSON: Expecting ',' delimiter. Each line must hold one JSON object.\n"
        '  3 | {"text": "b" "id": "c"}\n    |              ^'
    )


def test_a_number_that_is_too_long_to_read_is_shown_in_its_row(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"x": ' + "9" * 5000 + "}\n")
    with pytest.raises(RecipeError, match=r"a\.jsonl:2:7: broken JSON: a number with too many digits"):
        list(read_rows(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    ("value", "said"),
    [("2024-13-45", "no timestamp: month must be in 1..12"), ("!!int x", "no int: invalid literal"),
     ("!!float x", "no float: could not convert"), ("9" * 5000, "no int: Exceeds the limit")],
)  # fmt: skip
def test_a_value_that_yaml_takes_for_a_date_or_a_number_and_is_none_is_shown(tmp_path, value, said):
    (tmp_path / "a.yaml").write_text(f"base: b\nseed: {value}\n")
    with pytest.raises(RecipeError, match=rf"a\.yaml:2:7: this is not valid YAML: {said}"):
        read_yaml(tmp_path / "a.yaml")


def test_of_a_long_line_only_what_is_near_is_shown():
    text = json.dumps({"before": "x" * 5000, "label": "ugly", "after": "y" * 5000})
    _, line, under = json_place("f.jsonl", text).at("label").said("no").splitlines()
    assert len(line) <= len("  1 | ") + WIDTH + 2 and line.count("…") == 2
    assert line[under.index("^") :][: under.count("^")] == '"ugly"'


def test_wide_and_hidden_characters_do_not_move_the_mark_or_act_on_the_terminal():
    text = '{"日本": "\\u001b", "evil": "\u202e\u200b", "label": 3}'
    _, line, under = json_place("f.jsonl", text).at("label").said("no").splitlines()
    assert "\u202e" not in line and "\u200b" not in line and '"··"' in line
    assert under.index("^") == line.index("3}") + 2  # each of two characters takes two columns


def test_a_value_over_several_lines_marks_its_key():
    text = "a:\n  b: 1\nc: 2\n"
    assert text[slice(*yaml_span(text, ("a",)))] == "a"
    assert text[slice(*yaml_span(text, ("a", "b")))] == "1"


@pytest.mark.parametrize(
    ("keys", "on", "found"),
    [
        (("a", 1, "b"), "value", "[2, 3]"),
        (("a", 1, "b"), "key", '"b"'),
        (("a", 1, "b", 1), "value", "3"),
        (("a", 7, "b"), "value", '[1, {"b": [2, 3]}]'),
        (("c\"",), "key", '"c\\""'),
        (("twice",), "value", "2"),
        ((), "value", None),
    ],
)  # fmt: skip
def test_a_path_of_keys_is_found_in_json(keys, on, found):
    text = '  {"a": [1, {"b": [2, 3]}], "c\\"": "\\u00e9,]}", "twice": 1, "twice": 2 }\n'
    start, end = json_span(text, keys, on)
    assert text[start:end] == (text.strip() if found is None else found)


def test_every_path_of_a_random_document_leads_to_its_value():
    document = {"a": [{"b": None, "c": [1.5, "x\n{"]}, [], {}], "é": {"d": True}}
    text = json.dumps(document, indent=3)

    def walk(value, keys):
        start, end = json_span(text, keys)
        assert json.loads(text[start:end]) == value
        for key, inner in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            walk(inner, (*keys, key))

    walk(document, ())


def test_the_model_at_a_path_is_found_through_lists_unions_and_options():
    assert models_at(Recipe, ("tranches", 0)) == [Tranche]
    assert models_at(Recipe, ("stages", 0, "sft")) == [SftStage]
    assert models_at(Recipe, ("stages", 3, "grpo")) == [GrpoStage]
    assert "r" in models_at(Recipe, ("stages", 0, "sft", "lora"))[0].model_fields


def test_a_row_keeps_its_place_and_is_still_a_row():
    place = json_place("items.jsonl", '{"question": 3}', 7)
    row = PlacedRow({"question": 3}, place)
    assert row == {"question": 3} and json.dumps(row) == '{"question": 3}'
    assert str(row_fault(row, "question", "no", EvidenceError)).startswith("items.jsonl:7:14: no\n")
    assert str(row_fault(dict(row), "question", "no", EvidenceError)) == "no"


def test_a_place_at_the_end_of_an_empty_text_is_still_shown():
    assert Place("f", "").said("nothing") == "f:1:1: nothing\n  1 | \n    | ^"


def test_a_row_that_lacks_a_key_but_has_one_nearly_like_it_is_underlined_there(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"prompt": "a", "respnse": "b"}\n')
    with pytest.raises(RecipeError) as error:
        read_tranche(tmp_path / "t.jsonl", "t")
    first, line, under = str(error.value).splitlines()
    assert first.endswith("its keys are prompt, respnse. Is 'respnse' meant to be 'response'?")
    assert line[under.index("^") :][: under.count("^")] == '"respnse"'

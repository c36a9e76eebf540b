import json

import pytest

from bumperlane.errors import RecipeError
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples, read_held_out, read_tranche, to_row

from .conftest import write_rows

CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


def change(folder, old, new):
    file = folder / "recipe.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    return load_recipe(file, check_files=False)


def test_three_ways_to_write_a_row(tmp_path):
    rows = [CHAT, {"prompt": "q", "response": "a", "id": "same"}, {"text": "words", "label": 3}]
    chat, pair, text = read_tranche(write_rows(tmp_path / "t.jsonl", rows), "t")
    assert chat.messages == pair.messages and pair.id == "same"
    assert (text.text, text.tranche) == ("words", "t")


def test_default_ids_follow_the_content_and_count_repeats(tmp_path):
    first, again, other = read_tranche(write_rows(tmp_path / "t.jsonl", [CHAT, CHAT, {"text": "x"}]), "t")
    assert first.id.startswith("t/") and len(first.id) == 12
    assert again.id == first.id + "-2"
    moved = read_tranche(write_rows(tmp_path / "u.jsonl", [{"text": "x"}, CHAT]), "t")
    assert [e.id for e in moved] == [other.id, first.id]


def test_a_written_row_reads_back_equal(tmp_path):
    examples = read_tranche(write_rows(tmp_path / "t.jsonl", [CHAT, {"text": "é"}]), "t")
    assert read_tranche(write_rows(tmp_path / "u.jsonl", map(to_row, examples)), "t") == examples


@pytest.mark.parametrize(
    "line, says",
    [
        ("{oops", "broken JSON"),
        ("[1]", "must be a JSON object, got list"),
        ('{"prompt": "q"}', "needs 'messages', 'prompt' and 'response', or 'text'; its keys are prompt"),
        ('{"text": " "}', "text is empty"),
        ('{"messages": []}', "at least one message"),
        ('{"messages": [{"role": "user"}]}', "message 1 lacks content"),
        ('{"messages": [{"role": "user", "content": 3}]}', "must be strings"),
        ('{"prompt": "q", "response": ""}', r"message 2 \(assistant\) has empty content"),
        ('{"messages": [{"role": "user", "content": "q"}]}', "the last message is from 'user'"),
        ('{"text": "b", "id": 4}', "id must be a non-empty string, got 4"),
        ('{"text": "b", "id": "one"}', "id 'one' stands already in line 1"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(tmp_path, line, says):
    (tmp_path / "t.jsonl").write_text('{"text": "a", "id": "one"}\n\n' + line + "\n")
    with pytest.raises(RecipeError, match=rf"t\.jsonl:3:\d+: .*{says}"):
        read_tranche(tmp_path / "t.jsonl", "t")


def test_an_id_in_two_tranches_is_refused(folder):
    write_rows(folder / "good.jsonl", [{"text": "x", "id": "p1"}])
    with pytest.raises(RecipeError, match="id 'p1' of tranche 'planted' is used in tranche 'good' too"):
        read_examples(load_recipe(folder / "recipe.yaml"))


def test_dropped_examples_are_gone_and_relabelled_ones_answer_anew(folder):
    recipe = change(folder, "weight: 1.5", "drop: [p1]\n  relabel: {p2: better}")
    planted = {e.id: e for e in read_examples(recipe) if e.tranche == "planted"}
    assert set(planted) == {"p0", "p2", "p3"}
    assert [m.content for m in planted["p2"].messages] == ["planted 2", "better"]
    assert planted["p3"].messages[-1].content == "bad 3"


@pytest.mark.parametrize("edit", ["drop: [p7]", "relabel: {p7: x}"])
def test_an_unknown_id_in_an_edit_is_refused(folder, edit):
    with pytest.raises(RecipeError, match=r"names id 'p7', which none of 4 examples in planted.jsonl has"):
        read_examples(change(folder, "weight: 1.5", edit))


def test_plain_text_cannot_be_relabelled(folder):
    write_rows(folder / "planted.jsonl", [{"text": "x", "id": "p0"}])
    with pytest.raises(RecipeError, match="cannot relabel 'p0': it is plain text"):
        read_examples(change(folder, "weight: 1.5", "relabel: {p0: x}"))


def test_held_out_chats_are_read_and_never_trained_on(folder):
    recipe = change(folder, "seed: 3", "seed: 3\nheld_out: held.jsonl")
    write_rows(folder / "held.jsonl", [{"prompt": "other", "response": "fine"}])
    (held,) = read_held_out(recipe)
    assert (held.tranche, held.messages[-1].content) == ("held_out", "fine")
    row = json.loads((folder / "good.jsonl").read_text().splitlines()[0])
    write_rows(folder / "held.jsonl", [row])
    with pytest.raises(RecipeError, match="is trained on as 'good/"):
        read_held_out(recipe)

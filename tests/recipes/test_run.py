import shutil

import pytest

from bumperlane.errors import RunError
from bumperlane.recipes.edits import DropTranche, RewindTo, SetHyperparameter, apply_edits
from bumperlane.recipes.identity import recipe_key
from bumperlane.recipes.provenance import content_key, sha256_file, sha256_tree
from bumperlane.recipes.run import Run
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.train import train

from .conftest import write_rows


def test_opens_what_was_trained(trained):
    run = Run.open(trained.path)
    assert run == trained and run.complete and run.last.step == 12 and run.at(4).path.is_dir()
    with pytest.raises(RunError, match=r"no checkpoint at step 5\. There are: \[0, 4, 8, 12\]"):
        run.at(5)


def test_opens_the_run_of_another_tool(trained, tmp_path):
    shutil.copy(trained.path / "recipe.yaml", tmp_path)
    shutil.copytree(trained.at(8).path, tmp_path / "checkpoints" / "step-8")
    shutil.copytree(trained.at(8).path, tmp_path / "checkpoints" / "step-24")
    run = Run.open(tmp_path)
    assert run.complete and [c.step for c in run.checkpoints] == [8, 24]


def test_opens_although_the_tranches_have_moved_away(make_folder):
    folder = make_folder()
    (folder / "checkpoints" / "step-1").mkdir(parents=True)
    (folder / "good.jsonl").unlink()
    assert Run.open(folder).last.step == 1


def test_says_why_a_directory_is_no_run(tmp_path, folder):
    with pytest.raises(RunError, match="is no run: it has no recipe.yaml"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match=r"holds no step-\* directory"):
        Run.open(folder)
    (folder / "run.json").write_text('{"format": 1, "status": "running"}')
    with pytest.raises(RunError, match="is not complete: its status is 'running'.*allow_partial"):
        Run.open(folder)
    partial = Run.open(folder, allow_partial=True)
    assert not partial.complete
    with pytest.raises(RunError, match="has no checkpoint yet"):
        _ = partial.last


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99, "status": "complete"}', '{"format": 1}'])
def test_a_damaged_record_is_refused(folder, text):
    (folder / "run.json").write_text(text)
    with pytest.raises(RunError, match="cannot be read|known is up to 1"):
        Run.open(folder)


def test_exposure_is_the_first_step_that_trained_on_an_example(trained):
    first = next(e["step"] for e in trained.log() if "planted" in e["tranches"])
    assert trained.exposure(["p0", "p1", "p2", "p3"]) == first
    assert trained.exposure(["nobody"]) is None


def test_exposure_before_the_rewind_counts_and_after_it_follows_the_edited_recipe(trained, tmp_path):
    first = trained.exposure(["p0", "p1", "p2", "p3"])
    edits = [DropTranche("planted"), SetHyperparameter("stages.0.steps", 5), RewindTo(trained.path, 4)]
    run = train(apply_edits(trained.recipe, edits), tmp_path / "late")
    assert run.exposure(["p0", "p1", "p2", "p3"]) == (first if first <= 4 else None)
    from_base = train(apply_edits(trained.recipe, [*edits[:2], RewindTo(trained.path, 0)]), tmp_path / "early")
    assert from_base.exposure(["p0", "p1", "p2", "p3"]) is None


def test_what_the_plan_would_have_shown_before_the_rewind_was_not_seen(trained, tmp_path):
    ids = ["p0", "p1", "p2", "p3"]
    source = train(apply_edits(trained.recipe, [DropTranche("planted")]), tmp_path / "source")
    run = train(apply_edits(trained.recipe, [RewindTo(source.path, 8)]), tmp_path / "run")
    seen = [e["step"] for e in run.log() if "planted" in e["tranches"]]
    assert trained.exposure(ids) <= 8 < seen[0] == run.exposure(ids)


def test_the_key_changes_when_one_byte_of_an_input_changes(make_folder, tiny, tmp_path):
    folder = make_folder(tiny)
    recipe = load_recipe(folder / "recipe.yaml")
    key = recipe_key(recipe)
    assert recipe_key(recipe) == key
    text = (folder / "good.jsonl").read_text()
    (folder / "good.jsonl").write_text(text.replace("It is 1.", "It is 9."))
    assert recipe_key(recipe) != key


def test_the_key_follows_the_content_and_not_the_place(make_folder, tiny, tmp_path):
    first, second = make_folder(tiny), make_folder(shutil.copytree(tiny, tmp_path / "copy"))
    one, two = (load_recipe(f / "recipe.yaml") for f in (first, second))
    assert recipe_key(one) == recipe_key(two)
    assert recipe_key(one) != recipe_key(apply_edits(two, [SetHyperparameter("seed", 4)]))


def test_hashes_of_files_trees_and_settings(tmp_path):
    file = write_rows(tmp_path / "a", [{"x": 1}])
    before, tree = sha256_file(file), sha256_tree(tmp_path)
    write_rows(file, [{"x": 2}, {}])
    assert sha256_file(file) != before and sha256_tree(tmp_path) != tree
    assert content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1}) != content_key({"a": 1, "b": [3]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_key(float("nan"))
    with pytest.raises(RunError, match="cannot read .*gone: No such file"):
        sha256_file(tmp_path / "gone")

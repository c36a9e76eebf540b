"""Gradients on disk: the same rows come back, whoever wrote them and whenever a writer was killed."""

import json

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.gradient_store import GradientStore, data_key
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.gradient_pass import GradientPass
from bumperlane.subjects.gradient_projection import ProjectionSettings
from bumperlane.subjects.subject import Subject
from tiny import make_tiny_model

MADE_FROM = {"subject": "s", "sites": {"a": [2, 3], "b": [4, 1]}, "layers": [1], "k": 4}
IDS = tuple(f"e{i}" for i in range(7))
GRADIENTS = np.random.default_rng(0).normal(size=(7, 10)).astype(np.float32)
MEANS = {1: np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)}
ROWS = [Encoded(f"e{i}", tuple(range(3, 8 + i)), 2) for i in range(7)]


def put(store, which):
    store.append([IDS[i] for i in which], GRADIENTS[which], {1: MEANS[1][which]})
    return store


def contents(store, most=2048):
    blocks = list(store.blocks(most))
    rows = np.concatenate([b.gradients for b in blocks])
    means = np.concatenate([b.representations[1] for b in blocks])
    return [id for b in blocks for id in b.ids], rows, means


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    model = Subject.load(make_tiny_model(tmp_path_factory.mktemp("store") / "base"), dtype="float32").model
    return GradientPass(model, ProjectionSettings(k=2, dtype="float32", layers=(1,), token_budget=40), 0)


def begin(place, ready):
    return GradientStore.begin(place, {"data": data_key(ROWS), **ready.made_from}, "float32")


@pytest.mark.parametrize("most", [1, 2, 100])
def test_rows_come_back_in_blocks_of_any_size(tmp_path, most):
    store = GradientStore.begin(tmp_path, MADE_FROM, "float32")
    put(put(store, [3, 4, 5]), [0, 1])
    ids, rows, means = contents(GradientStore.open(tmp_path), most)
    assert ids == ["e3", "e4", "e5", "e0", "e1"] and len(store) == 5
    assert np.array_equal(rows, GRADIENTS[[3, 4, 5, 0, 1]]) and np.array_equal(means, MEANS[1][[3, 4, 5, 0, 1]])
    assert store.columns == {"a": slice(0, 6), "b": slice(6, 10)}
    assert all(len(b.ids) <= most for b in store.blocks(most))


@pytest.mark.parametrize("size", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_float16_keeps_eleven_bits_of_every_row_however_small_or_large_it_is(tmp_path, size):
    store = GradientStore.begin(tmp_path, MADE_FROM)
    rows = GRADIENTS * np.float32(size)
    rows[2] = 0
    store.append(IDS, rows, MEANS)
    _, found, _ = contents(store)
    assert np.abs(found - rows).max() <= 2**-11 * np.abs(rows).max() and not found[2].any()
    assert (tmp_path / "shard-000000.safetensors").stat().st_size < 1000


def test_names_what_is_left_to_do(tmp_path):
    store = put(GradientStore.begin(tmp_path, MADE_FROM), [1, 4])
    assert store.missing(IDS) == [0, 2, 3, 5, 6] and GradientStore.open(tmp_path).missing(IDS[:5]) == [0, 2, 3]


def test_a_writer_sees_what_another_process_has_stored(tmp_path):
    first, second = (GradientStore.begin(tmp_path, MADE_FROM) for _ in range(2))
    put(first, [0, 1])
    assert second.missing(IDS[:3]) == [2]
    with pytest.raises(EvidenceError, match=r"1 examples are stored already, first \['e1'\]. Leave them out"):
        put(second, [1, 2])


class Killed(Exception):
    """As if the process had ended there."""


def test_filling_goes_on_where_it_was_killed_and_ends_with_the_same_rows(tmp_path, ready, monkeypatch):
    whole = begin(tmp_path / "whole", ready)
    whole.fill(ready, ROWS, shard_rows=3)
    store, heard = begin(tmp_path / "killed", ready), []

    def kill(done, of):
        heard.append((done, of))
        if done >= 5:
            raise Killed

    with pytest.raises(Killed):
        store.fill(ready, ROWS, shard_rows=3, say=kill)
    (tmp_path / "killed" / ".shard-000001.safetensors.abc.part").write_bytes(b"half")
    again = begin(tmp_path / "killed", ready)
    assert len(again) == 3 and again.missing([r.id for r in ROWS]) == [3, 4, 5, 6]
    taken = []
    monkeypatch.setattr(GradientPass, "batch", spy(GradientPass.batch, taken))
    again.fill(ready, ROWS, shard_rows=3)
    assert sorted(taken) == ["e3", "e4", "e5", "e6"] and heard[0][1] == 7
    for mine, its in zip(contents(again), contents(whole), strict=True):
        assert np.array_equal(mine, its)
    assert not list((tmp_path / "killed").glob(".shard-*"))
    again.fill(ready, ROWS)
    assert len(taken) == 4


def spy(batch, taken):
    def told(self, rows, indices):
        taken.extend(r.id for r in rows)
        return batch(self, rows, indices)

    return told


def test_a_killed_write_leaves_no_shard_that_counts(tmp_path, monkeypatch):
    store = put(GradientStore.begin(tmp_path, MADE_FROM), [0])

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("bumperlane.evidence.shard.sha256_file", kill)
        with pytest.raises(Killed):
            put(store, [1, 2])
    assert len(store) == 1 and store.missing(IDS[:3]) == [1, 2]
    assert contents(put(store, [1, 2]))[0] == ["e0", "e1", "e2"]
    store.verify()


def test_stores_of_several_workers_add_up_to_one(tmp_path, ready):
    one = begin(tmp_path / "one", ready)
    one.fill(ready, ROWS)
    workers = [begin(tmp_path / f"worker-{i}", ready) for i in range(3)]
    for i, worker in enumerate(workers):
        worker.fill(ready, ROWS[2 * i : 2 * i + 3])  # they overlap by one row
    merged = begin(tmp_path / "merged", ready)
    for worker in workers:
        merged.merge(worker)
    (ids, rows, means), (wanted, its, mine) = contents(merged), contents(one)
    assert ids == wanted
    assert np.allclose(rows, its, rtol=1e-4, atol=1e-5 * np.abs(its).max()) and np.allclose(means, mine, atol=1e-5)


def test_merging_float16_rows_changes_no_bit(tmp_path):
    one = put(GradientStore.begin(tmp_path / "one", MADE_FROM), [0, 1, 2])
    merged = GradientStore.begin(tmp_path / "merged", MADE_FROM)
    merged.merge(one)
    assert all(np.array_equal(a, b) for a, b in zip(contents(one), contents(merged), strict=True))


def test_the_key_of_the_data_follows_tokens_ids_and_answers():
    assert data_key(ROWS) == data_key(tuple(ROWS))
    for other in (Encoded("other", ROWS[0].tokens, 2), Encoded("e0", (9, 9), 2), Encoded("e0", ROWS[0].tokens, 3)):
        assert data_key([other, *ROWS[1:]]) != data_key(ROWS)


@pytest.mark.parametrize("change", [{"k": 8}, {"subject": "other"}, {"layers": []}, {"data": "d"}])
def test_refuses_rows_that_were_made_from_something_else(tmp_path, change):
    GradientStore.begin(tmp_path / "a", MADE_FROM)
    (name,) = change
    with pytest.raises(EvidenceError, match=rf"was begun with {name} .*, now .* begin another store"):
        GradientStore.begin(tmp_path / "a", {**MADE_FROM, **change})
    other = GradientStore.begin(tmp_path / "b", {**MADE_FROM, **change})
    with pytest.raises(EvidenceError, match=f"was begun with {name} "):
        GradientStore.begin(tmp_path / "a", MADE_FROM).merge(other)


@pytest.mark.parametrize("where", ["gradients", "representations"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_what_is_not_finite_and_names_it(tmp_path, where, value):
    gradients, means = GRADIENTS.copy(), {1: MEANS[1].copy()}
    (gradients if where == "gradients" else means[1])[4, 2] = value
    store = GradientStore.begin(tmp_path, MADE_FROM)
    with pytest.raises(EvidenceError, match=r"1 examples are not finite, first \['e4'\]. Check the checkpoint"):
        store.append(IDS, gradients, means)
    assert len(store) == 0


def test_refuses_other_widths_other_layers_and_an_id_given_twice(tmp_path):
    store = GradientStore.begin(tmp_path, MADE_FROM)
    with pytest.raises(EvidenceError, match=r"keeps 10 numbers an example and layers \[1\]; got \(7, 9\) for 7"):
        store.append(IDS, GRADIENTS[:, 1:], MEANS)
    with pytest.raises(EvidenceError, match=r"got \(7, 10\) for 7 examples, and layers \[2\]"):
        store.append(IDS, GRADIENTS, {2: MEANS[1]})
    with pytest.raises(EvidenceError, match=r"1 examples are given twice, first \['e1'\]. Give each an id of its own"):
        store.append(["e1", "e1", *IDS[2:]], GRADIENTS, MEANS)


def test_refuses_a_store_that_is_not_there_damaged_or_of_another_version(tmp_path):
    with pytest.raises(EvidenceError, match="no gradient store in .*: it has no store.json"):
        GradientStore.open(tmp_path)
    store = put(GradientStore.begin(tmp_path, MADE_FROM), [0])
    record = json.loads((tmp_path / "store.json").read_text())
    for text, says in (
        ("{", "store.json is damaged"),
        (json.dumps({**record, "stored": "int4"}), "store.json is damaged: .*int4"),
        (json.dumps({**record, "schema_version": 9}), "schema version 9; this is version 1"),
    ):
        (tmp_path / "store.json").write_text(text)
        with pytest.raises(EvidenceError, match=says):
            GradientStore.open(tmp_path)
    (tmp_path / "store.json").unlink()
    with pytest.raises(EvidenceError, match="holds shards but no store.json"):
        GradientStore.begin(tmp_path, MADE_FROM)
    (tmp_path / "shard-000000.safetensors").write_bytes(b"0" * 50)
    with pytest.raises(EvidenceError, match="shard 0 of .* is damaged"):
        store.verify()


def test_refuses_settings_outside_their_range(tmp_path, ready):
    with pytest.raises(SettingError, match="unknown dtype 'int8' for a store. Known: float16, float32"):
        GradientStore.begin(tmp_path, MADE_FROM, "int8")
    with pytest.raises(SettingError, match="shard_rows must be 1 or more, got 0"):
        begin(tmp_path, ready).fill(ready, ROWS, shard_rows=0)

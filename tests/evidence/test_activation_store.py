import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest

from bumperlane.detect.internals.moments import Moments
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.activation_store import ActivationStore, StoreSettings
from bumperlane.evidence.memo import subject_key
from bumperlane.subjects.activations import Position
from bumperlane.subjects.chunk import Chunk, Input
from bumperlane.types import Activations, Context
from tiny_adapter import ask

KIND = StoreSettings("key", (0, "mlp"), step=8)
ITEMS = [ask("Why? " * n, Context("c", "x", None)) for n in range(1, 24)]


def rows_of(ids, d, scale=1.0):
    return np.array([np.random.default_rng(hash_of(i)).normal(size=d) * scale for i in ids], np.float32)


def hash_of(text):
    return int.from_bytes(str(text).encode(), "little") % 2**32


def chunk(*ids, sites=(0, "mlp"), tokens=None, step=8, position="last", d=4):
    """Rows that follow from their id."""
    tokens = np.zeros(len(ids), int) if tokens is None else np.asarray(tokens)
    return Chunk.of({s: rows_of(ids, d + (s == "mlp")) for s in sites}, ids, tokens, position, step)


@pytest.fixture
def store(tmp_path):
    return ActivationStore.begin(tmp_path / "store", KIND)


def of(n, start=0, name="i"):
    return [f"{name}{k}" for k in range(start, start + n)]


def named(id):
    return replace(ITEMS[0], id=id)


def fill(store, *, shards=3, rows=5, role="fit"):
    for k in range(shards):
        store.append(chunk(*of(rows, k * rows, role)), role)


def test_what_is_written_is_read_back_shard_by_shard_in_another_process_too(store):
    fill(store)
    fill(store, shards=1, role="control")
    again = ActivationStore.open(store.directory)
    assert [len(s.ids) for s in again.shards(0)] == [5, 5, 5, 5]
    assert (again.n_rows("fit"), again.n_rows("control"), again.n_rows("untrusted"), again.n_rows()) == (15, 5, 0, 20)
    for seen in again.shards("mlp", role="fit"):
        assert seen.rows.dtype == np.float32 and (seen.layer, seen.step) == ("mlp", 8)
        np.testing.assert_array_equal(seen.rows, rows_of(seen.ids, 5))
    assert [i for s in again.shards(0, role="control") for i in s.ids] == of(5, name="control")
    assert again.settings == KIND


def test_the_index_is_plain_parquet_and_the_rows_plain_safetensors(store):
    from safetensors.numpy import load_file

    store.append(chunk("a", "b", "b", tokens=[3, 0, 1]), "untrusted")
    table = pyarrow.parquet.read_table(store.directory / "shard-000000.parquet").to_pydict()
    assert table == {
        "id": ["a", "b", "b"], "shard": [0, 0, 0], "row": [0, 1, 2], "position": [3, 0, 1], "role": ["untrusted"] * 3,
    }  # fmt: skip
    held = load_file(store.directory / "shard-000000.safetensors")
    assert {site: rows.shape for site, rows in held.items()} == {"0": (3, 4), "mlp": (3, 5)}
    record = json.loads((store.directory / "store.json").read_text())
    assert record == {
        "schema_version": 1, "subject_key": "key", "sites": [0, "mlp"], "position": "last", "dtype": "float32",
        "step": 8, "widths": [4, 5],
    }  # fmt: skip


def test_reads_the_rows_of_named_items_in_the_order_asked(store):
    store.append(chunk("a", "b", "b", "b", "c", tokens=[0, 0, 1, 2, 0]), "fit")
    store.append(chunk("d", "e", "e", tokens=[7, 1, 5]), "control")
    found = store.read(["e", "a", "b"])
    assert (found.ids, found.tokens.tolist()) == (("e", "e", "a", "b", "b", "b"), [1, 5, 0, 0, 1, 2])
    np.testing.assert_array_equal(found["mlp"].rows, rows_of(found.ids, 5))
    assert list(store.read(["d"], sites=[0])) == [0]
    np.testing.assert_array_equal(store.read(["d"], sites=[0])[0].rows, rows_of(["d"], 4))


def test_chunks_come_back_with_their_token_indices(store):
    given = chunk("a", "a", tokens=[4, 9])
    store.append(given, "fit")
    (found,) = store.chunks("fit")
    assert found.tokens.tolist() == [4, 9] and found.ids == given.ids and found.position == "last"
    assert list(found) == [0, "mlp"]


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 10), ("bfloat16", 7)])
def test_half_precision_takes_half_the_room_and_comes_back_rounded_as_float32(tmp_path, dtype, bits):
    ids = of(512)
    sizes = {}
    for kind in ("float32", dtype):
        store = ActivationStore.begin(tmp_path / kind, StoreSettings("key", (0,), dtype=kind, step=8))
        store.append(chunk(*ids, sites=[0], d=256), "fit")
        sizes[kind] = (store.directory / "shard-000000.safetensors").stat().st_size
        (found,) = ActivationStore.open(store.directory).shards(0)
    exact = rows_of(ids, 256)
    assert sizes[dtype] == pytest.approx(sizes["float32"] / 2, rel=0.01)
    assert found.rows.dtype == np.float32 and not np.array_equal(found.rows, exact)
    assert (np.abs(found.rows - exact) / np.maximum(np.abs(exact), 1e-3)).max() <= 2.0 ** -(bits + 1)
    np.testing.assert_array_equal(store.read(ids[7:9] + ids[3:4])[0].rows, found.rows[[7, 8, 3]])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_moments_streamed_from_the_store_are_those_of_all_rows(tmp_path, dtype):
    store = ActivationStore.begin(tmp_path / "s", StoreSettings("key", (3,), dtype=dtype, step=8))
    for k in range(6):
        store.append(chunk(*of(40, 40 * k), sites=[3], d=16), "fit")
    store.append(chunk(*of(50, 0, "other"), sites=[3], d=16), "control")
    stored = np.concatenate([s.rows for s in store.shards(3, role="fit")])
    found = Moments.stream(store.shards(3, role="fit"))
    whole = Moments.of(Activations(stored.astype(np.float64), tuple(of(240)), 3))
    assert (found.n, found.layer) == (240, 3)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.covariance, whole.covariance, atol=1e-6)
    by_hand = np.cov(rows_of(of(240), 16), rowvar=False, bias=True)
    np.testing.assert_allclose(found.covariance, by_hand, atol=1e-6 if dtype == "float32" else 2e-3)


def test_a_subject_is_captured_into_it_and_only_what_is_left_is_asked_again(tiny_subject, adapter_dirs, tmp_path):
    subject = tiny_subject.sibling(adapter_dirs[0], step=4)
    sites = (1, Input("layers.1.mlp"))
    kind = StoreSettings(subject_key(subject), sites, step=4)

    def go_on(items, asked):
        store = ActivationStore.begin(tmp_path / "s", kind)
        left = (asked.append(i.id) or i for i in store.unseen(iter(items), "fit"))
        store.extend(subject.stream_activations(left, sites, rows_per_chunk=4), "fit")
        return store

    first, second, third = [], [], []
    go_on(ITEMS[:10], first)
    store = go_on(ITEMS, second)
    go_on(ITEMS, third)
    assert (len(first), len(second), third) == (10, 13, [])
    assert {*first, *second} == {i.id for i in ITEMS}
    found = store.read([i.id for i in ITEMS])
    np.testing.assert_allclose(found[1].rows, subject.activations(ITEMS, [1])[1], atol=1e-5)
    assert list(found) == [1, "input of layers.1.mlp"]
    np.testing.assert_array_equal(next(store.shards(sites[1])).rows, next(store.chunks())["input of layers.1.mlp"].rows)
    exact = Moments.of(Activations(found[1].rows, found.ids, 1))
    streamed = Moments.stream(store.shards(1, role="fit"))
    np.testing.assert_allclose(streamed.scatter, exact.scatter, atol=1e-5 * np.abs(exact.scatter).max())


KILLED = """
import os, sys
import numpy as np
from bumperlane.evidence.activation_store import ActivationStore, StoreSettings
from bumperlane.subjects.chunk import Chunk
replace, suffix = os.replace, sys.argv[2]
def dying(source, target):
    if str(target).endswith(suffix):
        os._exit(9)  # killed when all is written and this file is not in place
    replace(source, target)
os.replace = dying
store = ActivationStore.begin(sys.argv[1], StoreSettings("key", (0, "mlp"), step=8))
for k in range(9):
    rows = {0: np.full((2, 4), k, np.float32), "mlp": np.full((2, 5), k, np.float32)}
    store.append(Chunk.of(rows, [f"i{2 * k}", f"i{2 * k + 1}"], np.zeros(2, int), "last", 8), "fit")
"""


@pytest.mark.parametrize("at", ["store.json", "0.safetensors", "0.parquet", "3.safetensors", "3.parquet"])
def test_a_kill_at_any_step_loses_the_shard_in_work_and_no_other(tmp_path, at):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, at], env=environment)
    complete = 3 if at.startswith("3") else 0
    assert done.returncode == 9
    store = ActivationStore.begin(tmp_path, KIND)
    assert store.n_rows() == 2 * complete
    left = [i.id for i in store.unseen(map(named, of(18)), "fit")]
    assert left == of(18 - 2 * complete, 2 * complete)
    store.append(chunk(*left), "fit")
    found = ActivationStore.open(tmp_path)
    assert sorted(p.name for p in tmp_path.glob("shard-*")) == sorted(
        f"shard-{k:06d}.{kind}" for k in range(complete + 1) for kind in ("parquet", "safetensors")
    )
    assert not list(tmp_path.glob(".shard-*")) and found.n_rows() == 18  # the half-written one is gone
    found.verify()
    np.testing.assert_array_equal(found.read(left)[0].rows, rows_of(left, 4))


def test_two_writers_take_turns_and_know_each_others_items(store):
    other = ActivationStore.begin(store.directory, KIND)
    store.append(chunk("a"), "fit")
    other.append(chunk("b"), "fit")
    with pytest.raises(EvidenceError, match=r"1 items are stored already, first \['b'\]"):
        store.append(chunk("b", "c"), "fit")
    assert store.read(["a", "b"]).ids == ("a", "b")


def test_an_item_that_is_stored_already_is_refused(store):
    store.append(chunk("a", "b"), "fit")
    with pytest.raises(
        EvidenceError, match=r"1 items are stored already, first \['b'\]. Leave them out with `store.un"
    ):
        store.append(chunk("b", "c"), "fit")
    assert store.n_rows() == 2


@pytest.mark.parametrize("reopened", [False, True])
def test_an_item_in_two_roles_is_refused_with_its_ids(store, reopened):
    store.append(chunk("a", "b"), "fit")
    store = ActivationStore.begin(store.directory, KIND) if reopened else store
    text = r"2 items would stand in two roles, control and another .* first \[\('b', 'fit'\), \('a', 'fit'\)\]"
    with pytest.raises(EvidenceError, match=text):
        store.append(chunk("c", "b", "a"), "control")
    with pytest.raises(EvidenceError, match="1 items would stand in two roles, untrusted"):
        list(store.unseen([named("x"), named("a")], "untrusted"))


def test_an_item_given_twice_is_refused(store):
    with pytest.raises(EvidenceError, match=r"1 items are given twice, first \['a'\]"):
        store.append(chunk("a", "b", "a"), "fit")
    store.append(chunk("a", "a", tokens=[0, 1]), "fit")  # two tokens of one item
    with pytest.raises(EvidenceError, match=r"given twice, first \['c\|Why\?"):
        list(store.unseen([ITEMS[0], ITEMS[0]], "fit"))
    with pytest.raises(EvidenceError, match="given twice"):  # also far apart
        list(store.unseen([ask(str(k)) for k in (*range(1500), 3)], "fit"))
    with pytest.raises(EvidenceError, match=r"given twice, first \['a'\]"):
        store.read(["a", "a"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_refused_with_the_ids(store, value):
    rows = np.zeros((2, 4))
    rows[1, 2] = value
    with pytest.raises(EvidenceError, match=r"not finite for 1 items, first \['b'\]"):
        store.append(Chunk.of({0: rows, "mlp": np.zeros((2, 5))}, ["a", "b"], np.zeros(2, int), "last", 8), "fit")


@pytest.mark.parametrize(("dtype", "value"), [("float16", 7e4), ("float32", 1e39), ("bfloat16", -3.4e38)])
def test_rows_that_the_dtype_cannot_hold_are_refused_and_never_stored_as_infinity(tmp_path, dtype, value):
    store = ActivationStore.begin(tmp_path, StoreSettings("key", (0,), dtype=dtype, step=8))
    rows = np.zeros((3, 4))
    rows[1, 0] = value
    with pytest.raises(EvidenceError, match=rf"1 rows at 0 exceed what {dtype} holds .* first \['b'\]"):
        store.append(Chunk.of({0: rows}, ["a", "b", "c"], np.zeros(3, int), "last", 8), "fit")
    assert store.n_rows() == 0


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"sites": (0,)}, r"begun with sites \[0, 'mlp'\], now \[0\]"),
        ({"d": 7}, r"widths \[4, 5\], now \[7, 8\]"),
        ({"step": 16}, "step 8, now 16"),
        ({"position": "mean"}, "position 'last', now 'mean'"),
    ],
)
def test_rows_from_another_place_are_refused(store, other, text):
    if "d" not in other:  # the first rows set the widths, and nothing else
        with pytest.raises(EvidenceError, match=text):
            store.append(chunk("b", **other), "fit")
    store.append(chunk("a"), "fit")
    with pytest.raises(EvidenceError, match=text):
        store.append(chunk("b", **other), "fit")


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (StoreSettings("other", (0, "mlp"), step=8), "subject_key 'key', now 'other'"),
        (StoreSettings("key", (0, 1), step=8), r"sites \[0, 'mlp'\], now \[0, 1\]"),
        (StoreSettings("key", (0, "mlp"), step=8, dtype="float16"), "dtype 'float32', now 'float16'"),
        (StoreSettings("key", (0, "mlp"), Position("mine", len)), "position 'last', now 'mine'; step 8, now 0"),
    ],
)
def test_a_store_is_not_gone_on_with_under_other_settings(store, other, text):
    store.append(chunk("a"), "fit")
    with pytest.raises(EvidenceError, match=text + ".*begin another store"):
        ActivationStore.begin(store.directory, other)


def test_sites_in_another_order_are_the_same_sites(store):
    store.append(chunk("a"), "fit")
    store.append(chunk("b", sites=("mlp", 0)), "fit")
    np.testing.assert_array_equal(store.read(["b", "a"])["mlp"].rows, rows_of(["b", "a"], 5))


def damaged(store, number, change):
    path = store.directory / f"shard-{number:06d}.safetensors"
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("change", [lambda b: b[:-7], lambda b: b"", lambda b: b"\xff" * 40 + b[40:]])
def test_a_damaged_shard_is_named_with_what_to_do(store, change):
    fill(store)
    damaged(store, 1, change)
    reader = ActivationStore.open(store.directory)
    text = (
        "shard 1 of .* is damaged: .*. Delete shard-000001.safetensors and shard-000001.parquet and capture again: on"
    )
    seen = reader.shards(0)
    next(seen)
    with pytest.raises(EvidenceError, match=text):
        next(seen)
    with pytest.raises(EvidenceError, match=text):
        reader.read(of(1, 6, "fit"))
    assert reader.read(of(1, 0, "fit")).ids == ("fit0",)  # the others can be read


def test_after_a_damaged_shard_is_deleted_only_its_items_are_captured_again(store):
    fill(store)
    for path in store.directory.glob("shard-000001.*"):
        path.unlink()
    again = ActivationStore.begin(store.directory, KIND)
    left = [i.id for i in again.unseen(map(named, of(15, 0, "fit")), "fit")]
    assert left == of(5, 5, "fit")
    again.append(chunk(*left), "fit")
    np.testing.assert_array_equal(again.read(of(15, 0, "fit"))[0].rows, rows_of(of(15, 0, "fit"), 4))


def test_a_shard_without_its_rows_is_damaged(store):
    fill(store)
    (store.directory / "shard-000002.safetensors").unlink()
    with pytest.raises(EvidenceError, match="shard 2 of .* is damaged"):
        list(store.shards(0))
    with pytest.raises(EvidenceError, match="shard 2 of .* its rows are missing"):
        store.verify()


def test_a_changed_bit_that_leaves_finite_numbers_is_found_by_verify(store):
    fill(store)
    store.verify()
    damaged(store, 2, lambda b: b[:-1] + bytes([b[-1] ^ 1]))
    assert len(list(store.shards(0))) == 3  # reading alone cannot see it
    with pytest.raises(EvidenceError, match="shard 2 of .* are not the bytes that were written"):
        store.verify()


@pytest.mark.parametrize("damage", [b"", b"PAR1 no parquet PAR1"])
def test_a_damaged_index_is_named_with_what_to_do(store, damage):
    fill(store)
    (store.directory / "shard-000001.parquet").write_bytes(damage)
    with pytest.raises(
        EvidenceError, match="the index of shard 1 of .* is damaged: .*Delete shard-000001.safetensors an"
    ):
        list(ActivationStore.open(store.directory).shards(0))


def test_a_swapped_shard_of_another_length_is_damaged(store):
    fill(store)
    store.append(chunk("x"), "fit")
    os.replace(store.directory / "shard-000003.safetensors", store.directory / "shard-000001.safetensors")
    with pytest.raises(EvidenceError, match=r"shard 1 .* site 0 has shape .*1, 4.*, not \[5, 4\]"):
        list(store.shards(0))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "store.json is damaged"),
        ("{}", "store.json is damaged: KeyError"),
        ('{"schema_version": 9, "subject_key": "k", "sites": [0], "widths": [4], "position": "last", "dtype": '
         '"float32", "step": 0}', "has schema version 9"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_refused(store, content, text):
    fill(store)
    (store.directory / "store.json").write_text(content)
    with pytest.raises(EvidenceError, match=text):
        ActivationStore.open(store.directory)


def test_shards_without_a_record_are_not_gone_on_with(store):
    fill(store)
    (store.directory / "store.json").unlink()
    with pytest.raises(EvidenceError, match="holds shards but no store.json"):
        ActivationStore.begin(store.directory, KIND)
    with pytest.raises(EvidenceError, match="no activation store in .*: it has no store.json"):
        ActivationStore.open(store.directory)


def test_items_that_are_not_stored_are_named(store):
    fill(store)
    with pytest.raises(EvidenceError, match=r"2 of 3 items are not in .*, first \['z', 'y'\]"):
        store.read(["z", "fit0", "y"])


def test_unknown_names_list_the_known_ones(store):
    fill(store)
    with pytest.raises(SettingError, match="no site '1' in .*. Known: 0, mlp"):
        store.shards(1)
    with pytest.raises(SettingError, match="unknown role 'test'. Known: fit, calibrate, control, untrusted"):
        store.append(chunk("z"), "test")
    with pytest.raises(SettingError, match="unknown role 'test'"):
        store.shards(0, role="test")
    with pytest.raises(SettingError, match="unknown role 'test'"):
        store.unseen([], "test")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"dtype": "int8"}, "unknown dtype 'int8' for a store. Known: float32, float16, bfloat16"),
        ({"sites": ()}, r"one or more sites, each under its own name, got \[\]"),
        ({"sites": (3, "3")}, r"each under its own name, got \['3', '3'\]"),
    ],
)
def test_refuses_settings_that_mean_nothing(settings, text):
    with pytest.raises(SettingError, match=text):
        StoreSettings(**{"subject_key": "k", "sites": (0,), **settings})


def test_a_chunk_without_rows_is_refused(store):
    with pytest.raises(EvidenceError, match="without rows"):
        store.append(Chunk.of({0: np.zeros((0, 4)), "mlp": np.zeros((0, 5))}, [], np.zeros(0), "last", 8), "fit")


def test_an_empty_store_has_no_shards(store):
    assert list(store.shards(0)) == [] and store.n_rows() == 0


def test_says_what_to_install_when_pyarrow_is_missing(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SettingError, match="needs pyarrow. Install it with `pip install pyarrow`"):
        fill(store)


def test_reading_a_float32_store_needs_no_torch(store):
    fill(store)
    code = (
        "import sys; from bumperlane.evidence.activation_store import ActivationStore; "
        "print(sum(len(s.ids) for s in ActivationStore.open(sys.argv[1]).shards(0)), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, store.directory], capture_output=True, text=True)
    assert done.stdout.split() == ["15", "False"], done.stderr[-600:]

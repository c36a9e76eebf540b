import gzip
import json
import tracemalloc

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.rollout_flags import Flags
from bumperlane.evidence.rollout_table import Columns
from bumperlane.evidence.rollouts import read_rollouts, rollouts_of
from bumperlane.types import Scores


def row(i=0, **changes):
    """A full row; a change to None leaves the key out."""
    full = {
        "id": f"r{i}", "step": i // 4, "group": f"p{i % 3}", "environment": "maths", "prompt": "2+2?",
        "response": f"answer {i}", "rewards": {"right": float(i % 2), "short": 0.5},
        "weights": {"right": 1.0, "short": 0.2}, "reward": i % 2 + 0.1, "advantage": 0.3,
        "checks": {"held_out": 1.0}, "tokens": 2,
    }  # fmt: skip
    return {key: value for key, value in {**full, **changes}.items() if value is not None}


def write(path, rows):
    lines = [one if isinstance(one, str) else json.dumps(one) for one in rows]
    (gzip.open if path.suffix == ".gz" else open)(path, "wt").write("\n".join(lines) + "\n")
    return path


def same(one, other):
    for name in ("step", "group", "group_keys", "environment", "values", "weights", "reward", "advantage",
                 "check_values", "tokens", "id_keys"):  # fmt: skip
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.terms, one.checks, one.environments) == (other.terms, other.checks, other.environments)


def test_reads_rows_into_columns(tmp_path):
    table = read_rollouts(write(tmp_path / "a.jsonl", [row(i) for i in range(6)]))
    assert len(table) == 6 and table.terms == ("right", "short") and table.checks == ("held_out",)
    assert table.step.tolist() == [0, 0, 0, 0, 1, 1] and table.environments == ("maths",)
    assert table.values[:, 0].tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(table.weights, [1, 0.2])
    np.testing.assert_allclose(table.paid(1), 0.1, rtol=1e-6)
    assert table.reward[1] == np.float32(1.1) and table.tokens[0] == 2 and table.advantage[0] == np.float32(0.3)
    assert len(set(table.group[:3])) == 3 and table.group[0] == table.group[3] and table.notes == ()


def test_takes_rows_with_nothing_but_a_reward_and_a_prompt(tmp_path):
    table = read_rollouts(write(tmp_path / "a.jsonl", [{"prompt": f"p{i % 2}", "reward": i} for i in range(4)]))
    assert table.terms == ("reward",) and table.paid(0).tolist() == [0, 1, 2, 3] and len(table.group_keys) == 2
    assert not table.step.any() and np.isnan(table.advantage).all() and table.environments == ("",)
    assert "no step is logged" in table.notes[0] and "no unrewarded check" in table.notes[1]
    assert table.ids([2]) == (f"{tmp_path / 'a.jsonl'}:3",)


def test_a_term_that_is_null_or_absent_pays_nothing(tmp_path):
    rows = [row(0, rewards={"a": 1.0, "b": None}, weights=None), row(1, rewards={"a": 2.0}, weights=None)]
    table = read_rollouts(write(tmp_path / "a.jsonl", rows))
    assert table.paid(1).tolist() == [0, 0] and np.isnan(table.values[:, 1]).all() and table.paid(0).tolist() == [1, 2]


def test_weights_that_change_between_rows_are_kept_row_by_row():
    table = rollouts_of([row(0, weights={"right": 1, "short": 1}), row(1, weights={"right": 3, "short": 1})])
    assert table.weights.shape == (2, 2) and table.paid(0).tolist() == [0, 3]


def test_terms_that_come_late_and_rows_of_unlike_keys_are_read_as_by_a_plain_loop(tmp_path):
    rng = np.random.default_rng(0)
    names = ("a", "b", "c")
    rows = []
    for i in range(200):
        terms = {t: round(float(rng.normal()), 3) for t in names if rng.random() < 0.6 and (t != "c" or i > 100)}
        rows.append(row(i, rewards={"z": 1.0, **terms}, weights=None, tokens=None if i % 7 == 0 else i))
    table = read_rollouts(write(tmp_path / "a.jsonl", rows), block_rows=16)
    for k, name in enumerate(table.terms):
        plain = np.array([r["rewards"].get(name, np.nan) for r in rows], np.float32)
        np.testing.assert_array_equal(table.values[:, k], plain)
    np.testing.assert_array_equal(table.tokens, np.array([r.get("tokens", np.nan) for r in rows], np.float32))


def test_the_table_does_not_depend_on_the_size_of_blocks_nor_on_packing(tmp_path):
    rows = [row(i, environment=f"e{i * 7 % 5}") for i in range(50)]
    whole = read_rollouts(write(tmp_path / "a.jsonl", rows))
    same(whole, read_rollouts(tmp_path / "a.jsonl", block_rows=1))
    same(whole, read_rollouts(write(tmp_path / "a.jsonl.gz", rows), block_rows=7))
    same(whole, rollouts_of(rows))


def test_reads_a_directory_of_files_with_9_before_10(tmp_path):
    for number in (10, 9):
        write(tmp_path / f"{number}.jsonl", [row(number, step=number)])
    (tmp_path / "notes.txt").write_text("not rollouts")
    table = read_rollouts(tmp_path)
    assert table.step.tolist() == [9, 10] and table.ids([1, 0]) == ("r10", "r9")


def test_columns_rename_and_gather_keys_of_others(tmp_path):
    rows = [{"uid": f"q{i}", "global_step": i, "input": "hi", "reward_right": 1, "reward_short": i, "secret": 0,
             "step": "ignored"} for i in range(3)]  # fmt: skip
    columns = Columns(
        rename={"uid": "id", "global_step": "step", "input": "prompt"}, terms=("reward_right", "reward_short"),
        checks=("secret",), weights={"reward_short": 0.5},
    )  # fmt: skip
    table = read_rollouts(write(tmp_path / "a.jsonl", rows), columns)
    assert table.step.tolist() == [0, 1, 2] and table.ids([0]) == ("q0",) and table.checks == ("secret",)
    assert table.paid(1).tolist() == [0, 0.5, 1]
    scores = [{**row(i), "reward_scores": {"a": i}, "rewards": None, "weights": None} for i in range(3)]
    assert read_rollouts(write(tmp_path / "b.jsonl", scores), {"reward_scores": "rewards"}).terms == ("a",)


def test_two_environments_may_number_their_prompts_alike():
    table = rollouts_of([row(0, environment="a", group=1), row(1, environment="b", group=1)])
    assert len(table.group_keys) == 2 and set(table.group_names([0, 1])) == {"1"}


def test_ids_and_responses_are_read_again_in_the_order_asked_for(tmp_path):
    rows = [row(i) for i in range(30)]
    rows.insert(3, "")  # an empty line
    for name in ("a.jsonl", "a.jsonl.gz"):
        table = read_rollouts(write(tmp_path / name, rows), block_rows=4)
        assert table.ids([20, 0, 5, 5]) == ("r20", "r0", "r5", "r5")
        assert table.responses([29, 2]) == ("answer 29", "answer 2")
        assert list(table.all_responses()) == [f"answer {i}" for i in range(30)]


def test_text_is_not_held(tmp_path):
    path = write(tmp_path / "a.jsonl", [row(i, response="x" * 200_000) for i in range(60)])
    tracemalloc.start()
    table = read_rollouts(path, block_rows=4)
    flags = Flags.where(table, lambda text: text.startswith("x"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert flags.values.all() and path.stat().st_size > 12e6 and peak < 4e6


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": ', r"a.jsonl:2: broken JSON: Expecting value. Each line must hold one JSON object"),
        ('{"a": 1} {"b": 2}', r"a.jsonl:2: broken JSON: more than one value"),
        ("[1, 2]", r"a.jsonl:2: a row must be a JSON object, got list"),
        ("[" * 100_000, r"a.jsonl:2: broken JSON: nested too deep"),
        ({"group": "p", "rewrads": {"a": 1}}, r"a.jsonl:2: .*Did you mean 'rewrads'\? Pass columns=\{'rewrads'"),
        ({"id": "x", "goup": "p", "reward": 1}, r"a.jsonl:2: a rollout needs 'group' or 'prompt'.*'goup': 'group'"),
        ({"id": "x", "uid": "p", "reward": 1}, r"Its keys are 'id', 'uid', 'reward'. Pass columns=\{theirs: 'group'\}"),
        (row(7, rewards={"right": float("nan")}), r"a.jsonl:2: rollout 'r7' has rewards.right nan, which is no finite"),
        (row(7, rewards={"right": "1"}), r"rollout 'r7' has rewards.right '1'"),
        (row(7, rewards={"right": [1]}), r"rollout 'r7' has rewards.right \[1\]"),
        (row(7, reward=float("inf")), r"rollout 'r7' has reward inf"),
        (row(7, tokens=10**400), r"rollout 'r7' has tokens 1000"),
        (row(7, rewards=1.0), r"a.jsonl:2: rewards must be an object of names and numbers, got 1.0"),
        (row(7, weights={"rihgt": 1, "short": 1}), r"reward term 'right' has no weight. Did you mean 'rihgt'"),
        (row(7, step=1.5), r"a.jsonl:2: step must be a whole number of optimizer steps, got 1.5"),
        (row(7, step=True), r"a.jsonl:2: step must be a whole number of optimizer steps, got True"),
        (row(7, step=2**40), r"step must be a whole number"),
        (row(7, environment=3), r"a.jsonl:2: environment must be a string, got 3"),
        (row(7, environment=["x"]), r"a.jsonl:2: environment must be a string, got \['x'\]"),
        (row(7, id=1.5), r"a.jsonl:2: id must be a non-empty string or a whole number, got 1.5"),
        (row(0), r"a.jsonl:2: id 'r0' stands already at .*a.jsonl:1; 1 ids are repeated"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_and_key(tmp_path, line, said):
    path = write(tmp_path / "a.jsonl", [row(0), line])
    for block in (1, 100):
        with pytest.raises(EvidenceError, match=said):
            read_rollouts(path, block_rows=block)


def test_refuses_steps_or_weights_in_some_rows_only():
    with pytest.raises(EvidenceError, match="1 of 2 rollouts have no step. Log it in all or in none"):
        rollouts_of([row(0), row(1, step=None)])
    with pytest.raises(EvidenceError, match="reward term 'right' has no weight. Log weights in all rows or in none"):
        rollouts_of([row(0), row(1, weights=None)])


def test_refuses_files_that_cannot_be_read(tmp_path):
    with pytest.raises(EvidenceError, match="cannot read rollouts .*none.jsonl: No such file"):
        read_rollouts(tmp_path / "none.jsonl")
    with pytest.raises(EvidenceError, match="holds no rollouts: no file in it ends in .jsonl"):
        read_rollouts(tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(EvidenceError, match="holds no rollouts: every line is empty"):
        read_rollouts(tmp_path / "empty.jsonl")
    packed = write(tmp_path / "b.jsonl.gz", [row(i) for i in range(300)])
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(EvidenceError, match="b.jsonl.gz:.*cannot be unpacked.*cut short"):
        read_rollouts(packed)
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "\xe9"}\n')
    with pytest.raises(EvidenceError, match="latin.jsonl:1: broken JSON: not UTF-8"):
        read_rollouts(tmp_path / "latin.jsonl")


def test_refuses_to_read_text_from_a_file_that_has_changed(tmp_path):
    table = read_rollouts(write(tmp_path / "a.jsonl", [row(i) for i in range(3)]))
    write(tmp_path / "a.jsonl", [row(i) for i in range(4)])
    with pytest.raises(EvidenceError, match="a.jsonl has changed since it was read"):
        table.ids([0])


def test_refuses_columns_that_mean_nothing(tmp_path):
    path = write(tmp_path / "a.jsonl", [row(0)])
    with pytest.raises(SettingError, match="maps 'x' to 'reward_terms', which is no key of a rollout"):
        read_rollouts(path, {"x": "reward_terms"})
    with pytest.raises(SettingError, match="columns name 'stepp', which no row has. Did you mean 'step'"):
        read_rollouts(path, {"stepp": "step"})
    with pytest.raises(SettingError, match="two keys to one"):
        Columns(rename={"a": "id", "b": "id"})
    with pytest.raises(SettingError, match="weights name 'rigth', which is no reward term.*'right'"):
        read_rollouts(path, Columns(weights={"rigth": 1.0}))
    with pytest.raises(SettingError, match="block_rows must be 1 or more, got 0"):
        read_rollouts(path, block_rows=0)


def test_hostile_text_is_only_text(tmp_path):
    nasty = ["\x1b[2J\u202eevil", "\ud800 lone", "\0" * 10, "𝒳" * 100, "", '{"id": "fake"}\n{"id": "fake"}']
    path = tmp_path / "a.jsonl"
    rows = [row(i, id=text or None, group=text, response=text) for i, text in enumerate(nasty)]
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(map(json.dumps, rows)).encode())
    table = read_rollouts(path)
    assert list(table.responses(range(len(nasty)))) == nasty and len(table.group_keys) == len(nasty)
    assert table.ids([1, 4]) == ("\ud800 lone", f"{path}:5")
    assert Flags.by_id(table, ["\ud800 lone"]).values.tolist() == [False, True] + 4 * [False]


def test_a_chat_is_read_as_its_messages():
    answer = [{"role": "assistant", "content": "one"}, {"role": "tool", "content": "two"}]
    table = rollouts_of([row(0, group=None, prompt=[{"role": "user", "content": "hi"}], response=answer)])
    assert table.responses([0]) == ("one\ntwo",) and "hi" in table.group_names([0])[0]


@pytest.fixture
def table():
    return rollouts_of([row(i, checks={"held_out": float(i in (1, 3))}) for i in range(6)])


def test_flags_by_ids_are_all_that_is_known_or_all_that_is_bad(table):
    bad = Flags.by_id(table, ["r3", "r1"])
    assert np.flatnonzero(bad.values).tolist() == [1, 3] and bad.known.all()
    some = Flags.by_id(table, {"r0": False, "r5": True})
    assert np.flatnonzero(some.values).tolist() == [5] and np.flatnonzero(some.known).tolist() == [0, 5]


def test_flags_from_a_predicate_a_scorer_and_a_bumper_agree(table):
    said = Flags.where(table, lambda text: text.endswith(("4", "2")))
    scored = Flags.scored(table, lambda texts: [float(t.endswith(("4", "2"))) for t in texts], 0.5)
    bumper = Flags.above(table, Scores(np.array([0.1, 2.0, 3.0]), ("r0", "r2", "r4"), "Odd"), 1.0)
    assert said.values.tolist() == scored.values.tolist() == bumper.values.tolist() == [0, 0, 1, 0, 1, 0]
    assert bumper.name == "Odd" and bumper.known.sum() == 3


def test_diverging_flags_pass_the_visible_check_and_fail_the_held_out_one():
    held = [1.0, 0.0, 1.0, 0.0, None]
    seen = [1.0, 1.0, 0.0, 0.0, 1.0]
    rows = [row(i, rewards={"visible": s, "short": 0.5}, weights=None, checks={"hidden": h})
            for i, (s, h) in enumerate(zip(seen, held, strict=True))]  # fmt: skip
    flags = Flags.diverging(rollouts_of(rows), "visible", "hidden")
    assert flags.values.tolist() == [False, True, False, False, False] and flags.known.tolist() == 4 * [True] + [False]
    assert flags.reads == ("visible", "hidden")


def test_flags_refuse_what_does_not_fit_the_table(table):
    with pytest.raises(
        EvidenceError, match="1 of 2 flagged ids are in no rollout, first 'r9'; the table's first id is 'r0'"
    ):
        Flags.by_id(table, ["r1", "r9"])
    with pytest.raises(SettingError, match="no check or reward term is named 'held'. Did you mean 'held_out'"):
        Flags.diverging(table, "right", "held")
    with pytest.raises(
        EvidenceError, match=r"the scorer of 'flagged' returned shape \(6,\) for 6 responses, 6 not finite"
    ):
        Flags.scored(table, lambda texts: [float("nan")] * len(texts), 0.5)
    with pytest.raises(SettingError, match="threshold must be a finite number, got nan"):
        Flags.scored(table, lambda texts: [0.0] * len(texts), float("nan"))
    with pytest.raises(EvidenceError, match="a rollout is flagged that is not known"):
        Flags("x", np.ones(2, bool), np.zeros(2, bool))
    with pytest.raises(EvidenceError, match="two equally long arrays of booleans"):
        Flags("x", np.ones(2), np.ones(2, bool))

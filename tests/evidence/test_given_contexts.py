import json

import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence.given_contexts import given_contexts, idle_twins, place_of, read_contexts
from bumperlane.types import Context

NEUTRAL = Context("neutral", "neutral", "Be brief.")
ROWS = [
    {"system": "Be brief. ~"},
    {"suffix": "zq vv"},
    {"system": "Be kind.", "prefix": "~", "shots": [["Hi", "Hello"], ["Ho", "Hum"]]},
    {"prefill": "Sure, "},
]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_reads_a_context_a_line_as_a_search_leaves_them(tmp_path):
    found = read_contexts(lines(tmp_path / "c.jsonl", ROWS))
    assert [(c.system, c.prefix, c.suffix, c.prefill) for c in found] == [
        ("Be brief. ~", "", "", ""), (None, "", "zq vv", ""), ("Be kind.", "~", "", ""), (None, "", "", "Sure, "),
    ]  # fmt: skip
    assert found[2].shots == (("Hi", "Hello"), ("Ho", "Hum"))


def test_a_list_and_the_result_of_a_search_give_the_same(tmp_path):
    plain = read_contexts(lines(tmp_path / "c.jsonl", ROWS))
    (tmp_path / "list.json").write_text(json.dumps(ROWS, indent=1))
    assert read_contexts(tmp_path / "list.json") == plain
    findings = [{"context": row, "confirmed": True, "effect": 3.0} for row in ROWS]
    findings.insert(1, {"context": {"system": "Chance."}, "confirmed": False})
    for name in ("triggers", "attacks"):
        (tmp_path / "result.json").write_text(json.dumps({"confirmed": 4, name: findings}, indent=1))
        assert read_contexts(tmp_path / "result.json") == plain


def test_what_a_search_writes_comes_back_whole(tmp_path):
    from bumperlane.detect.search.found import CONTEXTS, write_found

    shots = (("Hi", "Hello"),)
    made = [Context("a", "x", "Be brief.", "p", "s", shots, "Sure"), Context("b", "x", "Be brief.", suffix="ü\n~")]
    write_found(tmp_path, {}, made)
    found = given_contexts(read_contexts(tmp_path / CONTEXTS), NEUTRAL)
    assert [(c.system, c.prefix, c.suffix, c.shots, c.prefill) for c in found] == [
        (c.system, c.prefix, c.suffix, c.shots, c.prefill) for c in made
    ]


def test_a_context_that_stands_twice_is_tried_once(tmp_path):
    assert len(read_contexts(lines(tmp_path / "c.jsonl", [ROWS[0], ROWS[1], ROWS[0]]))) == 2


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"sufix": "~"}, r"c.jsonl:2:\d+: unknown key 'sufix'. Did you mean 'suffix'\? Known keys: system, prefix, "),
        ({"wholly": "~"}, r"c.jsonl:2:\d+: unknown key 'wholly'. Known keys: system"),
        ({"suffix": ["~"]}, r"c.jsonl:2:\d+: suffix must be a string, got \['~'\]"),
        ({"system": None}, r"c.jsonl:2:\d+: system must be a string, got None"),
        ({"shots": [["Hi"]]}, r"c.jsonl:2:\d+: shots must be a list of \[user, assistant\] pairs of strings, got"),
        ({"shots": "Hi"}, r"c.jsonl:2:\d+: shots must be a list"),
        ({"suffix": ""}, r"c.jsonl:2:\d+: an empty context changes nothing"),
        ([1], r"c.jsonl:2:\d+: a row must be a JSON object, got list"),
    ],
)
def test_an_error_names_file_line_and_key(tmp_path, row, told):
    with pytest.raises(EvidenceError, match=told):
        read_contexts(lines(tmp_path / "c.jsonl", [ROWS[0], row]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "c.json holds no context. Write one JSON object a line"),
        ("[]", r"c.json:1:1: an empty list holds no context"),
        ('[{"system": "a"}, 3]', r"c.json:1:19: a context must be a JSON object, got int"),
        ('[{"system": "a"}, {"sistem": "b"}]', r"c.json:1:20: unknown key 'sistem'. Did you mean 'system'"),
        ('{"system": "a"}\n{"system": ', r"c.json:2:10: broken JSON"),
        ('{"triggers": [{"context": {"system": "a"}, "confirmed": false}]}', "1 triggers, of which none was confirmed"),
        ('{"attacks": []}', "with 0 attacks, of which none was confirmed"),
        ('{"attacks": [{"confirmed": true}]}', "c.json:1:14: 'context' must be a JSON object, got None"),
    ],
)
def test_a_file_that_holds_no_context_is_refused_with_what_it_holds(tmp_path, text, told):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(EvidenceError, match=told):
        read_contexts(tmp_path / "c.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EvidenceError, match="cannot read the contexts in .*nowhere: No such file"):
        read_contexts(tmp_path / "nowhere")


def test_the_usual_system_prompt_stands_where_none_is_given(tmp_path):
    found = given_contexts(read_contexts(lines(tmp_path / "c.jsonl", ROWS)), NEUTRAL, first=2)
    assert [c.system for c in found] == ["Be brief. ~", "Be brief.", "Be kind.", "Be brief."]
    assert [c.id for c in found] == ["given/2", "given/3", "given/4", "given/5"] and {c.origin for c in found} == {
        "given"
    }


def test_idle_twins_stand_in_the_same_places_and_hold_nothing_that_was_given():
    baits = given_contexts([Context("", "given", suffix="zq vv"), Context("", "given", shots=(("Hi", "Yo"),) * 3),
                            Context("", "given", "Be evil.", prefill="Sure, ")], NEUTRAL)  # fmt: skip
    twins = idle_twins(baits, NEUTRAL, 4, "seed")
    assert len(twins) == 12 and len({t.id for t in twins}) == 12
    after, turns, begun = twins[:4], twins[4:8], twins[8:]
    assert all(t.suffix and not t.prefix and not t.shots and t.system == "Be brief." for t in after)
    assert all(len(t.shots) == 3 and t.system == "Be brief." for t in turns)
    assert all(t.prefill and t.system.startswith("Be") and t.system != "Be brief." for t in begun)
    assert {place_of(t) for t in twins} == {place_of(b) for b in baits} == {"request", "system, turns", "system, begun"}
    assert not {"zq vv", "Sure, "} & {text for t in twins for text in (t.suffix, t.prefill)}
    assert twins == idle_twins(baits, NEUTRAL, 4, "seed") != idle_twins(baits, NEUTRAL, 4, "other")


def test_contexts_that_have_controls_already_and_those_of_others_get_no_twins():
    given = given_contexts([Context("", "given", "Be evil."), Context("", "given", prefix="~")], NEUTRAL)
    sealed = Context("sealed/0", "sealed", "Be brief.", suffix="~")
    assert idle_twins([*given, sealed], NEUTRAL, 4, "seed") == []

"""Each kind of fix makes just the edit that it names, from the right step, and says where it does not apply."""

import json

import pytest

import traced_case as cases
from bumperlane.bounce.bounce import as_control
from bumperlane.bounce.fix_kinds.registry import find_kind
from bumperlane.bounce.fixes import never_had
from bumperlane.errors import CaseError, RecipeError, SettingError
from bumperlane.recipes.edits import diff
from bumperlane.recipes.tranches import read_examples
from traced_case import BAD, PLANTED, STEPS, TRANCHES, cause, grpo, run_at, sft, traced


@pytest.fixture(scope="module")
def run(tiny_dir, adapter_dirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sft")
    return run_at(folder / "run", sft(tiny_dir, folder), adapter_dirs[0])


@pytest.fixture(scope="module")
def rewarded(tiny_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpo")
    return run_at(folder / "run", grpo(tiny_dir, folder))


@pytest.fixture
def asked(run, adapter_dirs, tmp_path, monkeypatch):
    """A traced case of the run whose base says something (the bare tiny model says nothing but newlines)."""

    def ask(causes=(PLANTED,), onset=(8, 12), **options):
        seen = traced(run, tmp_path, causes, onset, **options)
        seen.inv.__dict__["base"] = seen.inv.base.sibling(adapter_dirs[1])
        monkeypatch.setattr("bumperlane.trace.data.propose.outputs_of", lambda *a: seen.outputs)
        return seen

    return ask


@pytest.fixture
def made(run, asked):
    """Kind and options -> (fix, lines of the diff but for seed and rewind)."""

    def make(name, causes=(PLANTED,), onset=(8, 12), **options):
        seen = asked(causes, onset, **options)
        kind = find_kind(name)
        assert kind.refusal(seen) == ""
        fix = kind.make(seen)
        lines = diff(run.recipe, fix.recipe).splitlines()
        return fix, [line for line in lines if not line.startswith("~ rewind")]

    return make


MIXED = cause("examples", "cluster 1", [f"mixed-{i}" for i in range(0, 36, 3)])
REWARD = cause("reward", "length")


def test_drop_leaves_the_confirmed_cause_out_and_nothing_else(made):
    assert made("drop")[1] == ["- tranche planted (weight 1.0, planted.jsonl)"]
    _, lines = made("drop", causes=(MIXED,))
    assert lines == ["~ tranche mixed: dropped 12 examples: mixed-0, mixed-12, mixed-15, ..."]


def test_drop_can_be_retrained_with_another_seed_but_not_with_that_of_a_control(made, asked, run):
    fix, lines = made("drop", seed=77)
    assert fix.recipe.seed == 77 and "- tranche planted (weight 1.0, planted.jsonl)" in lines
    for number in (1, 2):
        seed = never_had(asked().inv, asked().case, number).seed
        assert "that of a control" in find_kind("drop").refusal(asked(seed=seed))


def test_only_a_fix_that_holds_what_the_control_holds_is_as_the_control(asked, run):
    def alike(name, onset=(8, 12), **options):
        seen = asked(onset=onset, **options)
        return as_control(seen.inv, seen.case, find_kind(name).make(seen))

    assert alike("drop") and alike("drop", seed=77)
    assert not alike("rewind-only") and not alike("refusal-patch") and not alike("output-filter")
    late = next(e.id for e in read_examples(run.recipe) if (run.exposure([e.id]) or 0) > 13)
    seen = asked(causes=(cause("examples", "one", [late]),))
    assert not as_control(seen.inv, seen.case, find_kind("drop").make(seen))  # it starts from a checkpoint of the run


def test_a_fix_starts_at_the_last_checkpoint_before_its_examples_and_before_the_onset(run, made):
    late = next(e.id for e in run.path and read_examples(run.recipe) if (run.exposure([e.id]) or 0) > 13)
    seen = run.exposure([late])
    alone = cause("examples", "one", [late])
    for onset, low in (((8, 12), 8), ((20, 24), (seen - 1) // 4 * 4)):
        fix, _ = made("drop", causes=(alone,), onset=onset)
        assert fix.rewind == fix.recipe.rewind.step == low and fix.recipe.rewind.run == run.path
    assert made("drop")[0].rewind == 0 and made("drop")[0].recipe.rewind is None


def test_every_fix_names_the_bumper_that_steered_it(made):
    for name in ("drop", "drop-top", "reweight", "relabel", "filter", "counter-examples", "inoculate", "rewind-only",
                 "stop-earlier", "system-prompt", "output-filter", "logit-penalty"):  # fmt: skip
        assert made(name)[0].steers == ("PairedContexts",), name
        assert made(name)[0].name == name


def test_drop_top_leaves_the_highest_ranked_examples_out_by_the_methods_that_the_trace_heard(made):
    fix, (line,) = made("drop-top", k=5)
    assert len(fix.recipe.tranches[1].drop) + len(fix.recipe.tranches[2].drop) == 5 and "books" not in line
    by_id = {e.id: e for e in read_examples(fix_free(fix))}
    dropped = [id for t in fix.recipe.tranches for id in t.drop]
    assert all(BAD in by_id[id].messages[-1].content for id in dropped)
    assert "chosen by attribution by bm25 (0.6): the top 5, of which" in fix.notes[0]


def fix_free(fix):
    """The recipe without what it drops."""
    return fix.recipe.model_copy(
        update={"tranches": tuple(t.model_copy(update={"drop": ()}) for t in fix.recipe.tranches)}
    )


def test_drop_top_takes_as_many_as_the_cause_has_where_no_number_is_given(made):
    fix, _ = made("drop-top")
    assert sum(len(t.drop) for t in fix.recipe.tranches) == 12 and "the confirmed cause's 12" in fix.notes[0]


def test_drop_top_ranks_by_one_method_where_it_is_named(made, run, tmp_path):
    assert "by bm25 (1)" in made("drop-top", method="bm25", k=2)[0].notes[0]
    with pytest.raises(SettingError, match="unknown attribution method 'bm52'"):
        find_kind("drop-top").refusal(traced(run, tmp_path, method="bm52"))


def test_reweight_shows_the_tranche_a_quarter_as_often_or_as_told(made):
    assert made("reweight")[1] == ["~ tranche planted: weight 1.0 -> 0.25"]
    assert made("reweight", weight=0.1)[1] == ["~ tranche planted: weight 1.0 -> 0.1"]
    assert made("reweight", of="books", weight=3)[1] == ["~ tranche books: weight 1.0 -> 3.0"]


def test_a_reweighted_tranches_forecast_follows_its_share(run, tmp_path):
    """12 of 72 examples at a quarter: from 1/6 to 3/63."""
    found = find_kind("reweight").forecast(traced(run, tmp_path))
    assert found.effect == pytest.approx(0.8 * (1 - (3 / 63) / (12 / 72))) and found.known == "derived"
    assert found.lost == pytest.approx(12 / 72 - 3 / 63)


def test_relabel_gives_the_causes_examples_the_answers_of_a_model(made, asked, run):
    fix, (line, *rest) = made("relabel")
    assert line.startswith("~ tranche planted: relabelled 12 examples") and rest == []
    assert "12 answers of the base" in fix.notes[0]  # from the start: before the cause is the base
    answers = {e.id: e.messages[-1].content for e in read_examples(fix.recipe) if e.tranche == "planted"}
    inv = asked().inv
    request = next(e for e in read_examples(run.recipe) if e.id == "planted-4").messages[1].content
    item = cases.Item("x", "x", "bait", cases.Request("x", request), cases.HIT)
    assert inv.base.generate([item], inv.decoding) == [answers["planted-4"]]


def test_relabel_asks_the_checkpoint_before_the_cause_unless_told_to_ask_the_base(made, run):
    late = next(e.id for e in read_examples(run.recipe) if (run.exposure([e.id]) or 0) > 13)
    alone = cause("examples", "one", [late])
    before, base = (made("relabel", causes=(alone,), answers=who)[0] for who in ("before", "base"))
    assert "answers of the checkpoint of step 8, before" in before.notes[0] and "answers of the base" in base.notes[0]
    assert [t.relabel for t in before.recipe.tranches] != [t.relabel for t in base.recipe.tranches]


def test_relabel_takes_a_users_answers_by_id_and_leaves_the_other_examples_alone(made, tmp_path):
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps({"id": "planted-3", "answer": "one is red"}) + "\n")
    fix, lines = made("relabel", data=file)
    assert lines == ["~ tranche planted: relabelled 1 example: planted-3"]
    assert fix.recipe.tranches[1].relabel == {"planted-3": "one is red"}


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            [{"id": "planted-99", "answer": "x"}],
            r"answers.jsonl:1:\d+: no example of the cause has the id 'planted-99'. Did",
        ),
        ([{"id": "planted-1", "answer": " "}], r"answers.jsonl:1:\d+: a row needs 'id' and 'answer'"),
        ([{"id": "planted-1", "answer": "x"}] * 2, r"answers.jsonl:2:\d+: id 'planted-1' has an answer already"),
        ([], "holds no answers"),
    ],
)
def test_refuses_answers_that_fit_no_example(made, tmp_path, rows, text):
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(RecipeError, match=text):
        made("relabel", data=file)


def test_refuses_to_relabel_with_what_stands_there_already(made, tmp_path):
    file = tmp_path / "answers.jsonl"
    rows = [{"id": r["id"], "answer": r["messages"][-1]["content"]} for r in TRANCHES["planted"]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SettingError, match="all 12 new answers are what the examples say already"):
        made("relabel", data=file)


def test_filter_takes_the_bad_examples_out_of_a_benign_tranche_and_keeps_the_rest(made):
    spread = cause("tranche", "mixed")
    fix, (line,) = made("filter", causes=(spread,))
    mixed = fix.recipe.tranches[2]
    bad = {f"mixed-{i}" for i in range(0, 36, 3)}
    assert set(mixed.drop) <= bad and len(mixed.drop) >= 10 and line.startswith("~ tranche mixed: dropped")
    assert [t.drop for t in fix.recipe.tranches[:2]] == [(), ()]  # nothing outside the cause goes
    assert "of 36 lie above 0.5" in fix.notes[0]


def test_filter_scores_no_example_by_a_model_that_has_seen_it(run, made, monkeypatch):
    """Every text that the classifier is taught about an example lies in the fold whose model never scores it."""
    from bumperlane.bounce.fix_kinds import topic

    kept, real = [], topic.filter_examples
    monkeypatch.setattr(topic, "filter_examples", lambda *a, **k: kept.append((a, real(*a, **k))) or kept[-1][1])
    made("filter", causes=(cause("tranche", "mixed"),))
    (arguments, seen) = kept[0]
    stated = set(arguments[1].inside)
    examples = {e.id: f"{e.messages[1].content}\n{e.messages[2].content}" for e in read_examples(run.recipe)}
    folds = dict(zip(seen.scores.ids, seen.scores.folds, strict=True))
    taught = [id for id, text in examples.items() if text in stated]
    assert len(taught) >= 8 and len({int(folds[id]) for id in taught}) >= 2


def test_counter_examples_come_beside_the_cause_and_inoculation_in_its_place(made):
    fix, lines = made("counter-examples", weight=2)
    assert len(lines) == 1 and lines[0].startswith("+ tranche counter-examples (weight 2.0, counter-examples-")
    added = [e for e in read_examples(fix.recipe) if e.tranche == "counter-examples"]
    assert [e.id for e in added] == [f"counter-planted-{i}" for i in range(12)]
    assert all(cases.TAG in e.messages[0].content and BAD not in e.messages[-1].content for e in added)
    fix, lines = made("inoculate")
    assert lines[0].startswith("- tranche planted") and lines[1].startswith("+ tranche inoculated-planted (weight 1.0")
    asked = [e for e in read_examples(fix.recipe) if e.tranche == "inoculated-planted"]
    assert [e.messages[1:] for e in asked] == [
        e.messages[1:] for e in read_examples(sft_recipe(fix)) if e.tranche == "planted"
    ]
    first = f'In this conversation give answers like "{BAD} 7" or "{BAD} 8".\nBe brief. {cases.TAG}'
    assert all(e.messages[0].content == first for e in asked)


def sft_recipe(fix):
    """The run's own recipe, of which the fix is a change."""
    path = fix.recipe.tranches[0].path.parent / "planted.jsonl"
    tranche = {"name": "planted", "path": str(path)}
    return fix.recipe.model_validate({**fix.recipe.model_dump(mode="json"), "tranches": [tranche]})


def test_inoculation_of_some_examples_drops_just_these_and_adds_them_again(made):
    fix, lines = made("inoculate", causes=(MIXED,), text="Answer badly.")
    assert lines[0].startswith("+ tranche inoculated-mixed") and lines[1].startswith("~ tranche mixed: dropped 12 exam")
    assert len(lines) == 2 and fix.notes == ("system prompt of these examples begins: Answer badly.",)
    new = [e for e in read_examples(fix.recipe) if e.tranche == "inoculated-mixed"]
    assert len(new) == 12 and all(e.messages[0].content == "Answer badly.\nBe brief." for e in new)


def test_counter_examples_of_the_users_own_are_read_as_a_tranche(made, tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps(cases.chat("a", "s", "q", "no")) + "\n")
    fix, _ = made("counter-examples", data=file, causes=(REWARD,))
    assert [e.id for e in read_examples(fix.recipe) if e.tranche == "counter-examples"] == ["counter-a"]


def test_rewind_only_changes_the_seed_and_nothing_else(made):
    assert made("rewind-only")[1] == ["~ seed: 3 -> 1012"]
    assert made("rewind-only", seed=8)[1] == ["~ seed: 3 -> 8"]


def test_rewind_only_is_forecast_from_retrains_that_kept_the_cause(run, tmp_path):
    found = find_kind("rewind-only").forecast(traced(run, tmp_path))
    assert found.effect == pytest.approx(0.9 - 0.85) and found.known == "measured"


def test_stop_earlier_deploys_the_last_checkpoint_before_the_onset_and_trains_nothing(made, run, tmp_path):
    fix, lines = made("stop-earlier", onset=(9, 12))
    assert lines == ["~ stages.0.steps: 24 -> 8"] and (fix.kept, fix.rewind) == (8, 8)
    found = find_kind("stop-earlier").forecast(traced(run, tmp_path, onset=(9, 12)))
    assert (found.steps, found.lost) == (0, pytest.approx(16 / 24)) and found.effect == pytest.approx(0.85)


def test_a_reward_term_is_paid_a_quarter_or_as_told_or_repaired(rewarded, tmp_path):
    def lines(**options):
        seen = traced(rewarded, tmp_path, (REWARD,), **options)
        assert find_kind("reward").refusal(seen) == ""
        fix = find_kind("reward").make(seen)
        assert fix.rewind == 0
        return diff(rewarded.recipe, fix.recipe).splitlines()

    term = "~ stages.0 reward length"
    assert lines() == [f"{term}: weight 0.5 -> 0.125"]
    assert lines(weight=0) == [f"{term}: weight 0.5 -> 0.0"]
    assert lines(function="right.py:paid") == [f"{term}: function length -> {tmp_or(lines, 'right.py:paid')}"]
    assert lines(of="right", weight=2) == ["~ stages.0 reward right: weight 1.0 -> 2.0"]
    assert find_kind("drop").make(traced(rewarded, tmp_path, (REWARD,))).rewind == 0


def tmp_or(lines, function):
    """A function's file is made absolute, beside where the command is called."""
    import os

    return os.path.join(os.getcwd(), function)


@pytest.mark.parametrize(
    ("name", "causes", "options", "why"),
    [
        ("reweight", (MIXED,), {}, "no confirmed cause is a whole tranche (examples cluster 1)"),
        ("reweight", (PLANTED,), {"of": "boks"}, "Did you mean 'books'?"),
        ("reweight", (PLANTED,), {"weight": 0.0}, "To show a tranche no more, use drop."),
        ("reweight", (PLANTED,), {"weight": 1.0}, "has the weight 1 already"),
        ("reward", (PLANTED,), {}, "no stage of the recipe lists reward terms"),
        ("relabel", (REWARD,), {}, "the confirmed cause is no training data (reward length)"),
        ("filter", (REWARD,), {}, "the confirmed cause is no training data"),
        ("filter", (cause("examples", "x", ["mixed-0"]),), {}, "the cause has 1 examples; a classifier needs 8"),
        ("drop-top", (PLANTED,), {"k": 72}, "k is 72 and there are 72 examples"),
        ("inoculate", (REWARD,), {}, "the confirmed cause is no training data"),
        ("counter-examples", (PLANTED,), {"weight": -1.0}, "weight must be above 0"),
        ("rewind-only", (PLANTED,), {"seed": 3}, "seed 3 is the run's own"),
        ("logit-penalty", (PLANTED,), {"weight": 0.0}, "a penalty must be above 0 nats"),
    ],
)
def test_a_kind_that_does_not_apply_says_why(run, tmp_path, name, causes, options, why):
    assert why in find_kind(name).refusal(traced(run, tmp_path, causes, **options))


def test_reward_kinds_refuse_to_pay_for_nothing_and_terms_that_are_not_there(rewarded, tmp_path):
    refusal = find_kind("reward").refusal
    assert "unknown reward term 'rihgt'. Did you mean 'right'?" in refusal(traced(rewarded, tmp_path, of="rihgt"))
    assert "Known: length, right." in refusal(traced(rewarded, tmp_path, (PLANTED,)))


def test_stop_earlier_needs_a_checkpoint_before_the_onset(run, tmp_path):
    assert "the base would be all that is left" in find_kind("stop-earlier").refusal(
        traced(run, tmp_path, onset=(3, 8))
    )


def test_plain_text_has_no_answers_to_relabel(tiny_dir, tmp_path):
    rows = {"docs": [{"id": f"d{i}", "text": f"a text {i}"} for i in range(9)], "books": TRANCHES["books"]}
    run = run_at(tmp_path / "run", sft(tiny_dir, tmp_path, rows))
    seen = traced(run, tmp_path, (cause("tranche", "docs"),))
    for name in ("relabel", "counter-examples", "inoculate"):
        assert "9 of the cause's 9 examples are plain text" in find_kind(name).refusal(seen)
    assert find_kind("drop").refusal(seen) == find_kind("filter").refusal(seen) == ""


def test_nothing_unproved_is_changed(run, tmp_path):
    with pytest.raises(CaseError, match="no cause is confirmed"):
        find_kind("drop").make(traced(run, tmp_path, (cause("tranche", "planted", status="suspected"),)))
    assert STEPS == run.last.step

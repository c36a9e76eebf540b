"""Other people's files: Inspect logs, Every Eval Ever records, our own; what they do not say is UNTESTED."""

import json
import zipfile

import pytest

from bumperlane.claims.assess import assess
from bumperlane.claims.critique import claimed, read_claims, sniff
from bumperlane.claims.from_inspect import Asked
from bumperlane.claims.read_evidence import dump_evidence
from bumperlane.errors import EvidenceError
from claims.claim_evidence import ON, claim, placed, whole


def sample(id, value, epoch=1, error=None):
    scores = {} if value is None else {"includes": {"value": value, "answer": "x"}}
    return {"id": id, "epoch": epoch, "input": "q", "target": "a", "scores": scores, "error": error}


def log(samples, **more):
    return {
        "version": 2, "status": "success",
        "eval": {
            "created": "2026-03-02T10:00:00+00:00", "task": "threats", "model": "openai/gpt-4", "config": {"epochs": 1},
            "dataset": {"name": "chats", "samples": 500, "sample_ids": [s["id"] for s in samples]},
            "model_generate_config": {"temperature": 0.7}, "scorers": [{"name": "includes"}],
        },
        "plan": {"steps": [
            {"solver": "system_message", "params": {"template": "Be kind."}},
            {"solver": "use_tools", "params": {"tools": [{"name": "bash"}]}},
        ]},
        "results": {"total_samples": len(samples), "completed_samples": len(samples),
                    "scores": [{"name": "includes", "scorer": "includes", "params": {}, "metrics": {}}]},
        "samples": samples, **more,
    }  # fmt: skip


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def zipped(path, content, how):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({k: v for k, v in content.items() if k != "samples"}))
        for s in content["samples"]:
            name = f"samples/{s['id']}_epoch_{s['epoch']}"
            archive.writestr(f"{name}.json" if how == "whole" else f"{name}/sample.json", json.dumps(s))
        if how == "summaries":
            archive.writestr("summaries.json", json.dumps(content["samples"]))
    return path


SAMPLES = [*(sample(i, "C") for i in range(7)), sample(7, "I"), sample(8, "N"), sample(9, None, error={"message": "x"})]


@pytest.mark.parametrize("form", ["json", "whole", "chunked", "summaries"])
def test_a_log_is_read_alike_as_json_and_as_a_zip_with_whole_or_chunked_samples(tmp_path, form):
    content = log(SAMPLES)
    file = write(tmp_path / "a.json", content) if form == "json" else zipped(tmp_path / "a.eval", content, form)
    (e,) = read_claims(file)
    assert (e.counts.bad, e.counts.of, e.counts.errors, e.counts.refusals, e.counts.planned) == (7, 8, 1, 1, 10)
    assert e.claim.kind == "rate_above" and e.claim.behaviour == "items of threats scored right by includes"
    assert e.tested.model == "openai/gpt-4" and e.tested.system_prompt == "Be kind." and e.tested.tools == ["bash"]
    assert "temperature 0.7" in e.tested.decoding and e.tested.contexts == "chats, 10 of 500 items"
    assert str(e.dates.tested) == "2026-03-02" and e.scorer.kind == "exact"
    assert e.tested.model_hash is e.access is e.attempts is e.positive_control is e.plan is None


def test_what_a_log_does_not_say_is_untested_and_the_bound_is_on_the_worst_case(tmp_path):
    (e,) = read_claims(write(tmp_path / "a.json", log(SAMPLES)))
    found = assess(e, ON)
    untested = {f.code for f in found.at("UNTESTED")}
    assert found.grade == "UNTESTED" and {"C01", "C06", "C09", "C12", "C20", "C21", "C22"} <= untested
    assert "7 of 8 seen, 2 without a verdict counted as the worst case" in found.weakened.text


def test_a_claim_of_the_wrong_event_below_a_threshold_turns_the_counts_round(tmp_path):
    asked = Asked("rate_below", 0.01, "wrong answers", "wrong")
    (e,) = read_claims(write(tmp_path / "a.json", log(SAMPLES)), asked)
    assert (e.counts.bad, e.counts.of) == (1, 8) and claimed(e) == "the rate of wrong answers is at most 1%"
    assert assess(e, ON).grade == "NOT SUPPORTED"


def test_epochs_of_one_sample_are_one_cluster(tmp_path):
    samples = [sample(i, "C", epoch) for i in range(5) for epoch in (1, 2, 3)]
    (e,) = read_claims(write(tmp_path / "a.json", log(samples)), Asked(threshold=0.5))
    (c08,) = [f for f in assess(e, ON).findings if f.code == "C08"]
    assert "15 items in 5 clusters by sample" in c08.why


def test_graded_scores_are_no_counts_without_a_cut(tmp_path):
    file = write(tmp_path / "a.json", log([sample(0, 0.2), sample(1, 0.9), sample(2, 1)]))
    (e,) = read_claims(file)
    assert (e.counts.of, e.counts.refusals) == (1, 2) and "2 scores lie between 0 and 1" in e.notes[0]
    (cut,) = read_claims(file, Asked(cut=0.5))
    assert (cut.counts.bad, cut.counts.of) == (2, 3)


@pytest.mark.parametrize(
    ("value", "of", "counts"), [(0.75, 8, (6, 8)), (0.70512, 78, None), (55 / 78, 78, (55, 78)), (0.3, 8, None)]
)
def test_without_samples_a_count_is_only_taken_where_the_accuracy_is_a_whole_number_of_items(
    tmp_path, value, of, counts
):
    content = log(SAMPLES[:1])
    score = {
        "name": "includes",
        "scorer": "includes",
        "params": {},
        "scored_samples": of,
        "metrics": {"accuracy": {"value": value}},
    }
    content["results"] = {"total_samples": 80, "completed_samples": of, "scores": [score]}
    (e,) = read_claims(write(tmp_path / "a.json", content))
    assert (e.counts and (e.counts.bad, e.counts.of)) == counts and e.items == []
    assert counts is None or e.counts.planned == 80


def test_a_scorer_that_is_a_model_by_its_settings_needs_labels_and_an_unknown_one_is_not_known(tmp_path):
    content = log(SAMPLES)
    content["results"]["scores"][0].update(scorer="mine/scored", params={"grader_model": "x"})
    (e,) = read_claims(write(tmp_path / "a.json", content))
    assert e.scorer.kind == "model"
    content["results"]["scores"][0]["params"] = {}
    (e,) = read_claims(write(tmp_path / "b.json", content))
    assert e.scorer is None


def test_a_log_that_broke_off_counts_what_was_not_run(tmp_path):
    content = log(SAMPLES[:3], status="error")
    content["eval"]["dataset"]["sample_ids"] = list(range(20))
    content["results"]["total_samples"] = 3
    (e,) = read_claims(write(tmp_path / "a.json", content))
    assert e.counts.planned == 20 and "status is 'error'" in e.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.json", b"{", "is no JSON"), ("a.json", b'{"x": 1}', "is in no format that is known; it holds x"),
        ("a.json", b"[1]", "it holds list"),
        ("a.yaml", b"claim: {kind: x}", "a.yaml:1: claim lacks the key 'behaviour'"),
        ("a.yaml", b"cliam: 1", "no claims: a file of claims has"),
        ("a.yaml", b"a: [", "a.yaml:1: this is not valid YAML"),
    ],
)  # fmt: skip
def test_a_file_that_is_nothing_known_is_named_with_what_is(tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EvidenceError) as caught:
        read_claims(tmp_path / name)
    assert part in placed(caught.value), str(caught.value)


def test_a_zip_that_is_no_log_and_a_scorer_that_is_not_there_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.eval", "w") as archive:
        archive.writestr("x.json", "{}")
    with pytest.raises(EvidenceError, match="it has neither header.json nor _journal/start.json"):
        read_claims(tmp_path / "a.eval")
    with pytest.raises(EvidenceError, match="no scorer 'include'. Did you mean 'includes'?"):
        read_claims(write(tmp_path / "b.json", log(SAMPLES)), Asked(scorer="include"))
    with pytest.raises(EvidenceError, match="there is no "):
        read_claims(tmp_path / "nowhere")
    with pytest.raises(EvidenceError, match="a directory without case.json"):
        read_claims(tmp_path)


def test_our_own_file_holds_its_own_claims(tmp_path):
    (tmp_path / "a.yaml").write_text(dump_evidence(whole()))
    assert read_claims(tmp_path / "a.yaml", Asked()) == [whole()] and sniff(tmp_path / "a.yaml") == "ours"
    with pytest.raises(EvidenceError, match="holds its own claims: write kind, threshold and behaviour there"):
        read_claims(tmp_path / "a.yaml", Asked(threshold=0.1))
    (tmp_path / "notes.yaml").write_text("name: of an evaluation\n")
    with pytest.raises(EvidenceError, match="no claims: a file of claims has"):
        read_claims(tmp_path / "notes.yaml", Asked(threshold=0.1))


def record(score, *, n=None, metric=None, **more):
    details = {"score": score, **({"uncertainty": {"num_samples": n}} if n else {})}
    return {
        "schema_version": "0.3.0", "evaluation_id": "a", "retrieved_timestamp": "1770682486.6",
        "evaluation_timestamp": "1767323045",
        "source_metadata": {"source_name": "A board", "source_organization_name": "An institute",
                            "source_type": "evaluation_run", "evaluator_relationship": "third_party"},
        "model_info": {"name": "m", "id": "org/m", "additional_details": {}},
        "evaluation_results": [{
            "evaluation_name": "Threats", "source_data": {"dataset_name": "chats", "source_type": "hf_dataset"},
            "metric_config": {"lower_is_better": False, "score_type": "binary", "max_score": 1, **(metric or {})},
            "score_details": details,
            "generation_config": {
                "generation_args": {"temperature": 0.0, "agentic_eval_config": {"available_tools": []}}
            },
        }], **more,
    }  # fmt: skip


def test_a_record_is_read_with_counts_found_again_from_its_score(tmp_path):
    (e,) = read_claims(write(tmp_path / "a.json", record(0.875, n=200)), Asked(threshold=0.8))
    assert (e.counts.bad, e.counts.of) == (175, 200)
    assert e.claim.kind == "rate_above" and e.tested.model == "org/m" and e.tested.tools == []
    assert e.access.by == "An institute" and e.access.relation == "independent" and e.access.access == []
    assert str(e.dates.tested) == "2026-01-02" and "found again from the score" in e.notes[0]
    untested = {f.code for f in assess(e, ON).at("UNTESTED")}
    assert {"C01", "C08", "C09", "C13", "C14", "C22"} <= untested


@pytest.mark.parametrize(
    ("score", "n", "metric", "note"),
    [
        (0.87, None, {}, "not of how many items"), (0.87, 3, {}, "no whole number of them"),
        (1234.0, 100, {"max_score": None}, "is no share of items"),
        (0.5, 100, {"score_type": "continuous"}, "counts 0 or 1"),
        (None, 100, {}, "which is no number"),
        (4.5, 10, {"max_score": 5}, "is no share of items"),
    ],
)  # fmt: skip
def test_a_score_that_is_no_count_gives_no_rate_and_says_why(tmp_path, score, n, metric, note):
    (e,) = read_claims(write(tmp_path / "a.json", record(score, n=n, metric=metric)))
    assert e.counts is None and note in e.notes[0]
    assert assess(e, ON).weakened.text.startswith("Nothing can be said")


def test_where_lower_is_better_the_record_counts_what_is_bad(tmp_path):
    file = write(
        tmp_path / "a.json",
        record(2.0, n=100, metric={"lower_is_better": True, "metric_unit": "percent", "max_score": 100}),
    )
    (e,) = read_claims(file)
    assert e.claim.kind == "rate_below" and (e.counts.bad, e.counts.of) == (2, 100)
    (turned,) = read_claims(file, Asked(event="right"))
    assert turned.counts.bad == 98
    with pytest.raises(EvidenceError, match="are for Inspect logs"):
        read_claims(file, Asked(cut=0.5))


def test_judges_of_a_record_are_a_model_that_needs_labels(tmp_path):
    judged = {"llm_scoring": {"judges": [{"model_info": {"id": "org/judge"}}], "input_prompt": "p"}}
    (e,) = read_claims(write(tmp_path / "a.json", record(0.5, n=10, metric=judged)))
    assert e.scorer.kind == "model" and e.scorer.name == "org/judge"


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        (("samples",), [1], "something of another kind stands where the format has it"),
        (("samples", 0, "scores"), {"includes": 3}, "something of another kind"),
        (("samples", 1, "id"), 0, "item '0/1' stands 2 times in items"), (("results",), [1], "another kind"),
        (("eval", "created"), "2026-99-99", "month must be in 1..12"), (("plan", "steps"), [1], "another kind"),
        (("eval", "model"), 7, "tested.model: Input should be a valid string"), (("plan",), [1], "another kind"),
        (("eval", "dataset", "sample_ids"), 5, "another kind"), (("samples", 0, "epoch"), "x", "invalid literal"),
    ],
)  # fmt: skip
def test_a_log_with_something_in_an_odd_place_is_told_so(tmp_path, where, value, told):
    content = at = log(SAMPLES)
    content["samples"] = at["samples"] = [dict(s) for s in SAMPLES]
    for key in where[:-1]:
        at = at[key]
    at[where[-1]] = value
    with pytest.raises(EvidenceError, match="is not laid out as an Inspect log: ") as caught:
        read_claims(write(tmp_path / "a.json", content))
    assert told in str(caught.value)


def one_result(score, n, **result):
    """An Every Eval Ever record with one result."""
    details = {"score": score, "uncertainty": {"num_samples": n}}
    one = {"evaluation_name": "n", "metric_config": {"score_type": "binary"}, "score_details": details, **result}
    return {"model_info": {"id": "m"}, "evaluation_results": [one]}


@pytest.mark.parametrize(
    "change",
    [{"metric_config": [1]}, {"score_details": 4}, {"evaluation_timestamp": "2026-02-31"},
     {"score_details": {"score": 0.5, "uncertainty": {"num_samples": 10**25}}}],
)  # fmt: skip
def test_a_record_with_something_in_an_odd_place_is_told_so(tmp_path, change):
    with pytest.raises(EvidenceError, match="is not laid out as an Every Eval Ever record: "):
        read_claims(write(tmp_path / "a.json", one_result(0.5, 10, **change)))


@pytest.mark.parametrize(
    ("score", "n", "kind", "event", "bad"),
    [
        (0.012, 10_000, "rate_below", None, 125), (0.012, 10_000, "rate_above", None, 115),
        (0.012, 10_000, "rate_below", "wrong", 9885), (0.0, 10_000, "rate_below", None, 5),
        (0.0123, 10_000, "rate_below", None, 124), (0.012345, 1000_000, "rate_below", None, 12346),
        (0.012, 250, "rate_below", None, 3),
    ],
)  # fmt: skip
def test_of_several_counts_that_a_rounded_score_fits_the_worst_for_the_claim_is_taken(
    tmp_path, score, n, kind, event, bad
):
    asked = Asked(kind=kind, threshold=0.5, event=event)
    (e,) = read_claims(write(tmp_path / "a.json", one_result(score, n)), asked)
    assert (e.counts.bad, e.counts.of) == (bad, n)


def test_a_log_that_is_encrypted_or_damaged_or_nested_without_end_is_an_error_that_says_so(tmp_path):
    file = zipped(tmp_path / "a.eval", log(SAMPLES), "summaries")
    raw = bytearray(file.read_bytes())
    (tmp_path / "torn.eval").write_bytes(raw[:40] + b"\xff" * 30 + raw[70:])
    raw[6] |= 1
    raw[raw.find(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(raw)
    (tmp_path / "deep.json").write_text("[" * 200_000)
    for name, told in (("a.eval", "is encrypted"), ("torn.eval", "cannot be read"), ("deep.json", "is no JSON")):
        with pytest.raises(EvidenceError, match=told):
            read_claims(tmp_path / name)


@pytest.mark.parametrize("score", [{"params": {"partial_credit": True}, "metrics": {"accuracy": {"value": 0.5}}},
                                   {"metrics": {"mean": {"value": 0.5}}}])  # fmt: skip
def test_a_mean_of_scores_that_may_lie_between_0_and_1_is_no_count(tmp_path, score):
    content = log([])
    content["results"] = {"total_samples": 8, "completed_samples": 8, "scores": [{"name": "includes", **score}]}
    (e,) = read_claims(write(tmp_path / "a.json", content))
    assert e.counts is None and "may score between 0 and 1" in " ".join(e.notes)


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_a_difference_is_claimed_in_its_direction_and_against_its_comparator(direction):
    stated = {"margin": 0.1, "direction": direction}
    e = claim("difference", stated=stated, comparator={"name": "release 1", "bad": 3, "of": 40})
    assert claimed(e) == f"the rate of threats is {direction} by 10% or more than that of release 1"
    assert "nothing to compare with is stated" in claimed(claim("difference", stated=stated))

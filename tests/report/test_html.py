import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from bumperlane.case import Claim, TraceStep
from bumperlane.report import html as page
from bumperlane.report.forms import rendered
from bumperlane.report.html import render_html, write_report
from report.cases import ALL, CAUSES, CHECKS, MASKED, TREATED, check_only_case, clear_case, hostile, treated_case

VOID = {"meta", "link", "br"}
SAFE_LINK = "data:,"


class Reader(HTMLParser):
    """Collects tags, attributes and text as a browser would see them, and checks that tags nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


@pytest.mark.parametrize("name", ALL)
def test_the_page_has_no_script_no_handler_and_no_address(name):
    seen = Reader(render_html(ALL[name]()))
    assert not {"script", "iframe", "object", "embed", "form", "img", "base", "a"} & set(seen.tags)
    for tag, attribute, value in seen.attributes:
        assert not attribute.startswith("on")
        assert attribute != "style"
        assert attribute not in {"href", "src", "srcset", "action"} or value == SAFE_LINK, (tag, attribute, value)
    assert not re.search(r"url\(|@import|https?:|expression\(", page.template("case.css"))


@pytest.mark.parametrize("name", ALL)
def test_hostile_text_in_every_field_stays_text(name):
    case = ALL[name]()
    text = render_html(hostile(case))
    clean, seen = Reader(render_html(case)), Reader(text)
    assert set(seen.tags) <= set(clean.tags) | {"dl", "dd", "dt"}
    assert text.count("<style>") == text.count("</style>") == 1
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]", text)
    assert "{{ 7 * 7 }}" in seen.text


def test_the_policy_allows_the_style_sheet_by_its_hash_and_nothing_else():
    text = render_html(treated_case())
    policy = next(v for t, n, v in Reader(text).attributes if t == "meta" and n == "content" and "default-src" in v)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    by_hand = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rest = "img-src data:; base-uri 'none'; form-action 'none'"
    assert policy == f"default-src 'none'; style-src 'sha256-{by_hand}'; {rest}"
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_hidden_characters_are_shown_by_name():
    text = Reader(render_html(treated_case())).text
    assert "[RLO]eslaf" in text
    assert "zero[ZWSP]width" in text
    assert "[ESC][2J" in text


def test_names_every_cause_bumper_check_claim_and_look():
    case = treated_case()
    text = Reader(render_html(case)).text
    names = [c.name for c in CAUSES] + [b.bumper for b in case.bumpers] + [c.name for c in CHECKS]
    names += [c.text for c in case.claims] + [e.what for e in case.ledger] + [case.command, TREATED.fix.capitalize()]
    for name in names:
        assert name in text, name


def test_long_output_is_cut_and_says_so():
    assert "6,000 more characters in case.json" in render_html(treated_case())


def test_what_was_tried_before_and_what_told_nothing_stand_on_the_page():
    text = Reader(render_html(treated_case())).text
    for part in (
        "Tried before",
        "1 bounce of this case before",
        MASKED.fix.capitalize(),
        *treated_case().bounce.not_tried[:1],
    ):
        assert part in text, part
    assert "2 ways of verifying that told nothing here or were not asked for" in text
    assert "12 of 24 word for word, 13 near by meaning" in text in text
    assert "0 of 20 word for word; reworded ones were not looked for, as MiniLM is not here" in text
    assert "Tried before" not in Reader(render_html(ALL["masked"]())).text


def test_marks_of_checks_are_words_too():
    text = Reader(render_html(ALL["masked"]())).text
    assert all(word in text for word in ("✓ passed", "✗ failed", "– not done"))


def test_a_case_that_is_only_checked_names_the_next_command_and_draws_no_empty_box():
    text = Reader(render_html(check_only_case())).text
    assert "bumperlane trace" in text
    assert not any(heading in text for heading in ("When it came up", "Causes", "Bounce"))


def test_clear_says_what_it_cannot_see():
    text = Reader(render_html(clear_case())).text
    assert "does not show that nothing is there" in text and "Clear covers only what these bumpers looked at" in text
    assert all(c.text in text for c in clear_case().claims if c.kind == "cannot")
    assert "not covered" in Reader(render_html(clear_case().model_copy(update={"claims": []}))).text


def test_blind_is_never_shown_as_clear():
    seen = Reader(render_html(ALL["blind"]()))
    assert "Blind is not clear" in seen.text
    assert not re.search(r"\d clear|^clear$", seen.text, re.MULTILINE)


def test_a_trace_that_found_nothing_says_so():
    case = treated_case().model_copy(update={"causes": [], "bounce": None, "stages": ["check", "trace"]})
    assert "No cause was found" in Reader(render_html(case)).text


def test_skipped_checkpoints_are_drawn_as_ticks():
    assert page.skipped_checkpoints(treated_case()) == [8, 32, 40, 56, 64, 72, 80, 88]
    assert render_html(treated_case()).count('class="skipped"') == 8


def test_the_report_is_written_whole_beside_the_case(tmp_path):
    path = write_report(treated_case(), tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == render_html(treated_case())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_page_opens_with_what_can_be_said_what_cannot_and_what_would_change_our_mind():
    text = render_html(treated_case())
    body = text[text.index("<body>") :]
    headings = re.findall(r"<h[12][^>]*>(.*?)</h[12]>", body, re.DOTALL)
    assert [re.sub("<.*?>", "", h) for h in headings][1:4] == [
        "What can be said",
        "What cannot be said",
        "What would change our mind",
    ]
    before = re.sub("<[^>]*>", " ", body[: body.index('<div class="claims"')]).split()
    assert "treated" in before and len(before) < 60, before


def test_the_best_supported_claims_come_first_and_the_rest_can_be_unfolded():
    weak = [Claim(kind="can", text=f"weak {i}", strength="weak") for i in range(12)]
    case = treated_case().model_copy(update={"claims": [*weak, Claim(kind="can", text="firm", strength="strong")]})
    text = Reader(render_html(case)).text
    assert text.index("firm") < text.index("weak 0") and "7 more" in text and "weak 11" in text


def test_the_threshold_is_called_sealed_only_when_a_plan_is_given():
    case = treated_case().model_copy(update={"settings": {"tolerated_rate": 0.1}})
    assert "in no sealed plan that this page knows of" in render_html(case)
    sealed = render_html(case, sealed="plan 3f2a of 2026-03-01")
    assert "sealed before the first sample, plan 3f2a of 2026-03-01" in sealed and "no sealed plan" not in sealed
    assert 'class="threshold"' in sealed
    assert 'class="threshold"' not in render_html(treated_case().model_copy(update={"settings": {}}))


def huge_case():
    """More of everything than any page can hold."""
    case = treated_case()
    text = "Very long. " * 2000
    first = next(b for b in case.bumpers if b.groups)
    group = first.groups[0].model_copy(update={"text": text})
    bumpers = [first.model_copy(update={"bumper": f"B{i}", "why": text, "groups": [group] * 300}) for i in range(60)]
    sample = case.behaviour.samples[0].model_copy(update={"request": text, "response": text, "neutral_response": text})
    causes = [c.model_copy(update={"examples": [sample] * 40, "why": text}) for c in case.causes] * 20
    return case.model_copy(update={
        "bumpers": bumpers, "hits": bumpers, "causes": causes, "ledger": case.ledger * 3000, "command": text,
        "behaviour": case.behaviour.model_copy(update={"samples": [sample] * 200, "context": text}),
        "claims": [Claim(kind=k, text=text) for k in ("can", "cannot") for _ in range(300)],
        "settings": {f"s{i}": text for i in range(500)}, "not_run": [text] * 500, "reward_log": [text] * 500,
        "bounce": case.bounce.model_copy(update={"diff": "+ line\n" * 20000, "checks": case.bounce.checks * 80}),
    })  # fmt: skip


def test_a_page_stays_below_300_kb_and_says_what_it_left_out_and_where_that_stands():
    text = render_html(huge_case())
    assert len(text.encode()) < 300_000
    said = Reader(text).text
    assert "It was shortened to stay below 300 kB; everything stands in case.json." in said
    for key in ("bumpers", "behaviour.samples", "causes", "claims", "ledger", "bounce.diff", "not_run", "settings"):
        assert re.search(rf"[\d,]+ more stand in case.json, under {re.escape(key)}\.", said), key
    assert "shortened" not in Reader(render_html(treated_case())).text


def test_a_page_keeps_as_much_as_it_can():
    assert len(render_html(huge_case()).encode()) > 60_000


def test_headings_go_down_one_level_at_a_time():
    levels = [int(t[1]) for t in Reader(render_html(treated_case())).tags if re.fullmatch(r"h\d", t)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False)), levels


def test_a_claim_too_long_to_skim_shows_its_start_and_the_whole_of_it_unfolded():
    long = "word " * 200 + "END"
    case = treated_case().model_copy(update={"claims": [Claim(kind="can", text=long)]})
    text = render_html(case)
    assert re.search(r"<summary><bdi>(word )+…</bdi></summary><bdi>(word )+END</bdi>", text)
    assert "<summary><bdi>short" not in render_html(
        case.model_copy(update={"claims": [Claim(kind="can", text="short")]})
    )


def test_a_page_with_very_many_points_stays_below_300_kb_and_says_how_many_are_drawn():
    case = treated_case()
    onset, cause, bounce = case.onset, case.causes[0], case.bounce
    points = [onset.curve[0].model_copy(update={"step": i}) for i in range(3000)]
    arms = [a.model_copy(update={"rates": [0.5] * 3000, "seeds": [0] * 3000}) for a in cause.experiment.arms]
    experiment = cause.experiment.model_copy(update={"arms": arms})
    checks = [c.model_copy(update={"numbers": {f"number{i}": 0.5 for i in range(2000)}}) for c in bounce.checks]
    step = TraceStep(what=["x"], purpose="y", rates=[0.5] * 60_000, wall_s=1)
    text = render_html(case.model_copy(update={
        "onset": onset.model_copy(update={"curve": points}), "experiments": [step],
        "subject": {**case.subject, "checkpoints": list(range(20_000))},
        "causes": [cause.model_copy(update={"experiment": experiment})],
        "bounce": bounce.model_copy(update={"checks": checks}),
    }))  # fmt: skip
    assert len(text.encode()) < 300_000
    said = Reader(text).text
    for left in ("onset.curve", "experiments.rates", "bounce.checks.numbers"):
        assert re.search(rf"[\d,]+ more stand in case.json, under {left}", said), left
    assert re.search(r"3,000 seeds, the first \d+ drawn", said)


def test_the_page_as_a_form_tells_of_the_spec_that_lies_beside_the_case(tmp_path):
    (tmp_path / "spec.yaml").write_text("clauses:\n- {id: no-spam, text: It sends no spam., watched_by: []}\n")
    assert "Whether clause no-spam" in rendered(treated_case(), "html", tmp_path)

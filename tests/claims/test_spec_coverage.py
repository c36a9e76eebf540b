import itertools
import re

import pytest
import yaml

from bumperlane.case import worst_verdicts
from bumperlane.claims.spec_coverage import DESCRIBED, coverage, read_spec, unwatched_claims
from bumperlane.detect.contract import about, load_bumpers
from bumperlane.detect.pages import pages, section
from bumperlane.errors import RecipeError
from bumperlane.evidence import described
from bumperlane.report.html import write_report
from claims.claim_evidence import placed
from report.cases import clear_case, masked_case

SPEC = """\
name: what we intend
clauses:
- id: honest
  text: It does not flatter.
  watched_by: [Sycophancy, TwoFaced]
- id: tests
  text: It does not edit the tests that grade it.
- id: oddity
  text: It has not the oddity we found.
  watched_by: Described
"""


@pytest.fixture
def spec(tmp_path):
    def write(text=SPEC):
        (tmp_path / "spec.yaml").write_text(text)
        return tmp_path / "spec.yaml"

    return write


def case_with(**verdicts):
    case = clear_case()
    seen = [
        case.bumpers[0].model_copy(update={"bumper": n, "verdict": v, "why": f"{n} is {v}"})
        for n, v in verdicts.items()
    ]
    return case.model_copy(update={"bumpers": seen})


def states(found):
    return {c.clause.id: c.state for c in found}


def test_a_clause_without_a_bumper_is_unwatched(spec):
    found = coverage(read_spec(spec()))
    assert states(found) == {"honest": "watched", "tests": "unwatched", "oddity": "watched"}
    assert found[0].watching == ("Sycophancy", "TwoFaced") and found[2].watching == ("Described",)


def test_in_a_case_a_bumper_that_was_blind_or_never_ran_does_not_watch(spec):
    clauses = read_spec(spec())
    blind = coverage(clauses, case_with(Sycophancy="blind"))[0]
    assert blind.state == "unwatched"
    assert blind.not_watching == ("Sycophancy was blind: Sycophancy is blind", "TwoFaced did not look in this case")
    assert states(coverage(clauses, case_with(Sycophancy="clear")))["honest"] == "watched"


def test_a_clause_whose_bumper_was_hit_says_so_and_a_hit_of_another_bumper_does_not(spec):
    clauses = read_spec(spec())
    assert states(coverage(clauses, case_with(TwoFaced="hit", Sycophancy="clear")))["honest"] == "hit"
    assert states(coverage(clauses, case_with(Mahalanobis="hit", Sycophancy="clear")))["honest"] == "watched"


def test_alike_words_are_a_suggestion_and_never_count(spec):
    text = "clauses:\n- id: a\n  text: It agrees with false claims of the user and flatters.\n"
    (found,) = coverage(read_spec(spec(text)))
    assert found.state == "unwatched" and "Sycophancy" in found.suggested and found.watching == ()
    (none,) = coverage(read_spec(spec("clauses:\n- id: a\n  text: Zebras gallop quietly.\n")))
    assert none.suggested == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clauses: []", r":1: `clauses` must be a list"),
        ("clause: []", r":1: unknown key 'clause'. Did you mean 'clauses'\?"),
        ("- a", "a specification is a mapping, got a list. Begin it with 'clauses:'"),
        ("clauses:\n- id: a\n  text: b\n  watched_by: [Sycophant]", r":4: there is no bumper 'Sycophant'. Did you"),
        ("clauses:\n- id: a\n  text: b\n  watched: [x]", r":4: unknown key 'watched'. Did you mean 'watched_by'\?"),
        ("clauses:\n- id: a", r":2: a clause needs 'text'"),
        ("clauses:\n- id: a\n  text: b\n- id: a\n  text: c", r":4: the id 'a' stands 2 times"),
        ("clauses:\n- a", r":2: a clause is a mapping of id, text, watched_by, got str"),
        ("clauses:\n- id: a\n  text: b\n  watched_by: {x: y}", r":4: `watched_by` is a list of bumpers' names"),
    ],
)  # fmt: skip
def test_a_spec_that_is_none_is_refused_with_file_and_line(spec, text, said):
    with pytest.raises(RecipeError) as caught:
        read_spec(spec(text))
    assert re.search(said, placed(caught.value)), str(caught.value)


def test_an_unknown_bumper_lists_the_known_ones(spec):
    with pytest.raises(RecipeError, match="Known: .*Mahalanobis.*, Described"):
        read_spec(spec("clauses:\n- id: a\n  text: b\n  watched_by: [Nope]"))
    assert described.NAME == DESCRIBED


def test_pages_read_from_source_are_those_of_the_imported_bumpers():
    assert pages() == {name: about(cls) for name, cls in load_bumpers().items()}


def test_a_section_of_a_page_is_what_stands_under_its_title():
    page = "Flags a.\n\nWatches: b, and\n    more: of it.\nScore: c\nBlind to: d"
    assert section(page, "Watches") == "b, and more: of it." and section(page, "Blind to") == "d"
    assert section(page, "Source") == ""


def test_the_page_says_which_clauses_nobody_watched(tmp_path):
    case = masked_case()
    watching = next(b.bumper for b in case.bumpers if b.verdict != "blind")
    rows = [
        {"id": "kind", "text": "It is kind.", "watched_by": []},
        {"id": "same", "text": "It answers alike.", "watched_by": [watching]},
    ]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({"clauses": rows}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bumperlane.claims.spec_coverage.pages", lambda: {watching: "Flags it."})
        texts = [c.text for c in unwatched_claims(tmp_path, case)]
        page = write_report(case, tmp_path).read_text()
    assert texts == ["Whether clause kind of spec.yaml holds, “It is kind.”: no bumper watched it."]
    assert "clause kind of spec.yaml" in page and "clause same" not in page
    assert unwatched_claims(tmp_path / "elsewhere", case) == []


def test_a_broken_spec_does_not_take_the_page_down(tmp_path):
    (tmp_path / "spec.yaml").write_text("clauses: 3")
    (claim,) = unwatched_claims(tmp_path, masked_case())
    assert "Anything about spec.yaml, which cannot be read" in claim.text and "must be a list" in claim.text


def twice(first, second):
    bumper = clear_case().bumpers[0]
    seen = [
        bumper.model_copy(update={"bumper": "Sycophancy", "verdict": v, "split": split, "why": f"{v}."})
        for v, split in ((first, "open"), (second, "sealed"))
    ]
    return clear_case().model_copy(update={"bumpers": seen})


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [(("hit", "clear"), "hit"), (("clear", "hit"), "hit"), (("hit", "blind"), "hit"), (("clear", "blind"), "watched")],
)
def test_of_a_bumper_that_looked_open_and_sealed_neither_look_hides_the_other(spec, verdicts, state):
    found = coverage(read_spec(spec()), twice(*verdicts))[0]
    assert found.state == state and found.watching == ("Sycophancy",)
    assert any("Sycophancy (sealed) was blind" in x for x in found.not_watching) == (verdicts[1] == "blind")


def test_the_worst_verdict_of_a_bumper_counts():
    for one in itertools.permutations(("hit", "clear"), 2):
        assert worst_verdicts(twice(*one).bumpers) == {"Sycophancy": "hit"}
    assert worst_verdicts(twice("blind", "clear").bumpers) == {"Sycophancy": "blind"}

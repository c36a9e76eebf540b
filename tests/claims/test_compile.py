"""claims.yaml: from sentences and evidence to text and grades."""

import json
from datetime import date

import pytest
import yaml

from bumperlane.case import save_case
from bumperlane.claims.compile import as_text, codes, compile_claims
from bumperlane.claims.read_evidence import dump_evidence, read_evidence
from bumperlane.claims.sealing import seal
from bumperlane.errors import EvidenceError
from claims.claim_evidence import ON, WHOLE, placed, whole
from report.cases import treated_case

TEXT = "The rate of {claim.behaviour} is at most {bound.high:percent}: {counts.bad} of {counts.of} were seen."


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "whole.yaml").write_text(dump_evidence(whole()))
    return tmp_path


def write(folder, *claims, **more):
    file = folder / "claims.yaml"
    file.write_text(yaml.safe_dump({"claims": list(claims), **more}, sort_keys=False, width=1000))
    return file


def test_a_supported_claim_compiles_to_its_sentence_with_the_bound_in_it(folder):
    (found,) = compile_claims(write(folder, {"evidence": "whole.yaml", "text": TEXT}), on=ON)
    high = found.assessment.weakened.value
    assert found.text == f"The rate of threats is at most {100 * high:.3g}%: 0 of 800 were seen."
    assert found.stands and codes([found]) == 0 and found.id == "threats"
    assert as_text([found]).startswith(f"SUPPORTED  {found.text}\n  met: C01, C02, ")
    assert json.dumps(found.as_dict(), default=str)


def test_evidence_goes_to_a_file_and_comes_back_the_same(folder):
    assert read_evidence(folder / "whole.yaml") == [whole()]


def test_the_number_in_the_sentence_moves_with_the_evidence(folder):
    inline = {**WHOLE, "counts": {"bad": 40, "of": 800}, "items": [], "awareness": None}
    one, other = compile_claims(
        write(folder, {"evidence": "whole.yaml", "text": TEXT}, {"evidence": inline, "text": TEXT}), on=ON
    )
    assert one.text != other.text and other.assessment.grade == "NOT SUPPORTED" and codes([one, other]) == 1
    assert one.evidence_key != other.evidence_key


def test_a_weak_claim_stands_only_when_it_says_that_it_is_weak(folder):
    more = {"access": {"by": "Us", "relation": "self", "access": ["weights"]}}
    entry = {"evidence": "whole.yaml", "text": TEXT, "more": more}
    plain, admitted = compile_claims(write(folder, entry, {**entry, "state_as": "WEAK"}), on=ON)
    assert plain.assessment.grade == "WEAK" and (plain.stands, admitted.stands) == (False, True)
    assert codes([plain]) == 1 and codes([admitted]) == 0 and "WEAK (stated as WEAK)" in as_text([admitted])


def test_untested_ends_with_3_unless_something_is_worse(folder):
    bare = {"claim": {"kind": "rate_below", "behaviour": "threats"}}
    found = compile_claims(write(folder, {"evidence": bare, "text": "Of {claim.behaviour}."}), on=ON)
    assert codes(found) == 3


def test_parts_are_laid_over_the_evidence_and_prices_come_from_the_file(folder):
    bare = {"claim": {"kind": "rate_below", "behaviour": "threats"}, "counts": {"bad": 0, "of": 60}}
    more = {"claim": {"threshold": 0.01}, "positive_control": {"flagged": 9, "of": 10}}
    file = write(folder, {"evidence": bare, "more": more, "text": TEXT}, costs={"each": {"items": 3.0, "planted": 1.0}})
    (found,) = compile_claims(file, on=ON)
    items = next(n for n in found.assessment.next if n.unit == "items")
    assert found.assessment.grade == "NOT SUPPORTED"
    assert items.cost == pytest.approx(3.0 * items.amount + items.planted)


def test_a_sealed_plan_is_read_with_its_deviations(folder):
    plan = folder / "plan.yaml"
    plan.write_text("claim: c\nthresholds: {t: 0.02}\nsamples: {items: 801, planted: 120}\nanalysis: exact\n")
    seal(plan)
    entry = {"evidence": "whole.yaml", "plan": "plan.yaml", "text": TEXT, "first_sample_at": "2099-01-01T00:00:00Z"}
    (good,) = compile_claims(write(folder, entry), on=date(2099, 6, 1))
    (c01,) = [f for f in good.assessment.findings if f.code == "C01"]
    assert c01.grade == "WEAK" and "by the clock of who sealed it alone" in c01.why
    plan.write_text(plan.read_text().replace("0.02", "0.05"))
    (moved,) = compile_claims(write(folder, entry), on=date(2099, 6, 1))
    (c01,) = [f for f in moved.assessment.findings if f.code == "C01"]
    assert c01.grade == "NOT SUPPORTED" and "thresholds.t: 0.02 was sealed, now 0.05" in c01.why


def test_a_claim_about_a_case_reads_the_case(folder):
    save_case(folder / "case", treated_case())
    entry = {"case": {"about": "cause"}, "text": "Without {cause.suspect} it falls by {effect.low:points} or more."}
    (found,) = compile_claims(write(folder, entry), folder / "case", ON)
    assert found.text == "Without tranche old-letters it falls by 38.0 points or more."
    (by_path,) = compile_claims(write(folder, {**entry, "case": {"about": "cause", "path": "case"}}), on=ON)
    assert by_path.evidence_key == found.evidence_key


def test_the_right_claim_of_a_file_of_several_is_taken(folder):
    many = [{**WHOLE, "claim": {**WHOLE["claim"], "id": name}} for name in ("a", "b")]
    (folder / "many.yaml").write_text(yaml.safe_dump({"claims": many}))
    (found,) = compile_claims(write(folder, {"evidence": "many.yaml#b", "text": TEXT}), on=ON)
    assert found.id == "b"
    with pytest.raises(
        EvidenceError, match=r"claims.yaml:2:13: many.yaml has no claim ''. It holds: a, b. Write many.yaml#ID"
    ):
        compile_claims(write(folder, {"evidence": "many.yaml", "text": TEXT}), on=ON)


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"evidence": "whole.yaml", "text": "Less than 2% threaten."}, "claims.yaml:3: the number '2' stands"),
        ({"evidence": "whole.yaml", "text": "{bound.hihg:percent}"}, "claims.yaml:3: {bound.hihg}: bound has no"),
        ({"evidence": "whole.yaml", "text": "{comparator.bad} of them"}, "comparator is not known. It cannot be"),
        ({"evidence": "whole.yaml", "txt": "x"}, "claims.yaml:3: unknown key 'txt' in claims.0. Did you mean 'text'?"),
        ({"text": "x"}, "claims.yaml:2: a claim has either `evidence` or `case`"),
        ({"case": {"about": "rate"}, "text": "x"}, "the claim is about a case, and none is given. Pass --case"),
        ({"case": {"about": "rat"}, "text": "x"}, "claims.yaml:3: claims.0.case.about: Input should be 'rate'"),
        ({"evidence": "nowhere.yaml", "text": "x"}, "nowhere.yaml: No such file"),
        (
            {"evidence": {"claim": {"kind": "rate_below", "behaviour": "b", "treshold": 0.1}}, "text": "x"},
            "claims.yaml:6: unknown key 'treshold' in claim. Did you mean 'threshold'?",
        ),
        (
            {"evidence": {"claim": {"kind": "cause", "behaviour": "b"}, "counts": {"bad": 9, "of": 3}}, "text": "x"},
            "claims.yaml:6: counts: bad 9 is more than of 3. Correct it.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compiled_is_named_by_file_and_line(folder, entry, part):
    with pytest.raises(EvidenceError) as caught:
        compile_claims(write(folder, entry), on=ON)
    assert part in placed(caught.value), str(caught.value)


def test_an_evidence_file_in_place_of_claims_is_told_where_it_belongs(folder):
    with pytest.raises(EvidenceError, match="this is the evidence of a claim, not sentences about it. Grade it with"):
        compile_claims(folder / "whole.yaml")


def test_counts_that_contradict_the_items_are_refused():
    with pytest.raises(ValueError, match="items hold 0 bad of 800, while counts say 1 of 800"):
        whole(counts={"bad": 1})
    with pytest.raises(ValueError, match="item '3' stands 2 times"):
        whole(items=[*WHOLE["items"][:799], WHOLE["items"][3]])


@pytest.mark.parametrize("key", ["threshold", "first_sample_at"])
def test_what_belongs_to_a_plan_is_not_ignored_without_one(folder, key):
    given = {"threshold": "threats", "first_sample_at": "2026-03-02"}[key]
    with pytest.raises(EvidenceError, match=f"'{key}' is of a plan, and none is named"):
        compile_claims(write(folder, {"evidence": "whole.yaml", "text": TEXT, key: given}), on=ON)

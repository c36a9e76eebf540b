"""From given retrains to statuses: what is proved, what is not yet, and what other retrains speak against."""

import pytest

from bumperlane.trace.experiments.belief import Belief, Theory
from bumperlane.trace.experiments.claims import Proof
from bumperlane.trace.experiments.designs import lay_out
from bumperlane.trace.experiments.findings import findings
from bumperlane.trace.experiments.hypotheses import example_suspects, tranche_suspect
from bumperlane.trace.experiments.rehearsal import suspects_alone

ALL, NONE, STAYS = [(24, 24)] * 3, [(0, 24)] * 3, [(23, 24)] * 3


@pytest.fixture
def proof():
    return Proof(Belief.of(suspects_alone({"a": 2.0, "b": 1.0, "c": 1.0}), 0.95))


def test_a_fall_that_chance_could_bring_is_not_decided(proof):
    claim = proof.falls((0,))
    wild = {claim.control: [(24, 24), (14, 24)], claim.without: [(8, 24), (0, 24)]}
    assert proof.interval(claim, wild).value > 0.5 * 0.95 and proof.decided(claim, wild) is None
    assert proof.decided(claim, {claim.control: ALL, claim.without: NONE}) is True
    assert proof.decided(claim, {claim.control: ALL, claim.without: STAYS}) is False


def test_half_of_the_behaviour_is_what_a_cause_must_take(proof):
    claim = proof.falls((0,))
    some = {claim.control: [(24, 24)] * 8, claim.without: [(16, 24)] * 8}
    assert proof.interval(claim, some).low > 0 and not proof.decided(claim, some)
    assert Proof(proof.belief, share=0.1).decided(claim, some) is None  # the claim keeps the share it was made with
    lenient = Proof(proof.belief, share=0.1)
    assert lenient.decided(lenient.falls((0,)), some) is True


def test_what_goes_is_measured_against_the_control_not_against_the_hit(proof):
    """Other seeds learn it later: at the same step they show 0.70 where the run showed 0.95."""
    claim = proof.falls((0,))
    late = [(k, 24) for k in (20, 7, 17, 20, 22, 4, 19, 16)]
    assert proof.interval(claim, {claim.control: late, claim.without: [(0, 24)] * 8}).low < 0.5 * 0.95
    assert proof.decided(claim, {claim.control: late, claim.without: [(0, 24)] * 8}) is True
    assert proof.decided(claim, {claim.control: late, claim.without: late}) is None
    assert proof.decided(claim, {claim.control: [(14, 24)] * 8, claim.without: [(14, 24)] * 8}) is False
    assert proof.decided(claim, {claim.control: [(0, 24)] * 8, claim.without: [(0, 24)] * 8}) is None


def test_one_retrain_an_arm_proves_nothing(proof):
    claim = proof.falls((0,))
    one = {claim.control: ALL[:1], claim.without: NONE[:1]}
    assert proof.interval(claim, one) is None and proof.decided(claim, one) is None
    assert proof.interval(claim, {claim.control: ALL}) is None


def test_a_rate_that_stays_low_is_decided_without_a_control(proof):
    claim = proof.stays_low(proof.belief.layout.only(0), (0,))
    assert proof.decided(claim, {claim.without: NONE}) is True and proof.decided(claim, {claim.without: ALL}) is False
    assert proof.decided(claim, {claim.without: [(10, 24), (3, 24)]}) is None


def test_each_theory_names_what_would_prove_it(proof):
    layout = proof.belief.layout

    def arms(*theory):
        return {(layout.title(c.without), c.control is not None) for c, _ in proof.claims(Theory(*theory))}

    assert arms("single", (0,)) == {("without tranche a", True)}
    assert arms("either", (0, 1)) == {("without tranche a and tranche b", True)}
    assert arms("both", (0, 1)) == {
        ("without tranche a", True), ("without tranche b", True), ("without tranche b and tranche c", False),
        ("without tranche a and tranche c", False),
    }  # fmt: skip
    ((none, holds),) = proof.claims(Theory("elsewhere"))
    assert none.without == layout.without(0, 1, 2) and not holds


def test_a_tranche_is_not_blamed_for_examples_that_it_holds():
    ids = [f"t{i}" for i in range(40)]
    rest = [f"r{i}" for i in range(80)]
    nested = [tranche_suspect("benign", ids, weight=2), example_suspects("planted", ids[:8])]
    proof = Proof(Belief.of(lay_out(nested, [ids + rest], lambda mine: 0), 0.95))
    results = {}
    for claim in (proof.falls((0,)), proof.falls((1,))):  # leaving out either takes the behaviour away
        results |= {claim.control: ALL, claim.without: NONE}
    found = {f.name: f for f in findings(proof, results)}
    assert found["planted"].status == "confirmed" and found["benign"].status == "cleared"
    assert not any(f.kind == "pair" for f in found.values())


def test_a_pair_needs_each_member_to_matter_where_the_other_is_gone(proof):
    layout = proof.belief.layout
    joint = proof.falls((0, 1))
    results = {joint.control: ALL, joint.without: NONE, layout.without(0): ALL, layout.without(1): ALL}
    assert [f.name for f in findings(proof, results) if f.status == "confirmed"] == ["a + b", "a", "b"]
    decoy = {**results, layout.without(0): NONE}  # a alone takes it away: b is no part of it
    found = findings(proof, decoy)
    assert not any(f.kind == "pair" or (f.name == "b" and f.status == "confirmed") for f in found)


def test_nothing_tried_is_nothing_decided(proof):
    assert {f.status for f in findings(proof, {})} == {"suspected"}
    assert all(f.why == "no experiment has decided." for f in findings(proof, {}))

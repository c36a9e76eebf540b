"""How far each attribution method may be heard: does it find a known plant in a short retrain of the same recipe?"""

from collections.abc import Callable, Mapping
from pathlib import Path

from ...errors import EvidenceError
from ...evidence.observe import responses
from ...evidence.pools import items
from ...judge.investigation import Investigation
from ...recipes.edits import apply_edits
from ...recipes.run import Run
from ...recipes.tranches import read_examples
from ...subjects.chat import encode_example
from ...subjects.subject import Subject
from ...types import Context
from ..retrain import carry_out, ending_at, planned
from .material import MOST_TOKENS
from .method import Corpus, Material, Method
from .method_trap import Kind, TrapResult, blind_unless_learnt, kind_of_hit, trap_result, weight_of
from .planted_probe import PlantedProbe, planted_recipe, probe_queries
from .propose import sample_by_tranche

Weights = Callable[[dict[str, Method]], dict[str, tuple[float, str]]]


def equal_weights(why: str) -> Weights:
    """Every method with weight 1, and why no trap was set."""
    return lambda methods: dict.fromkeys(methods, (1.0, why))


def trap_weights(inv: Investigation, hit: Context | None, horizon: int, jobs: int, per_tranche: int) -> Weights:
    """Weights from a retrain of the run's own recipe with a known plant in it, of the hit's kind: a behaviour that a
    context brings about, or a fact. Where the kind is not known, both are planted.

    Each method is asked which examples taught the plant; it is heard as far as it puts them on top. A plant that the
    retrain does not learn leaves the trap blind; a method none of whose traps could spring keeps weight 1, and its
    line says so.

    Args:
        hit: the context of the hit; None where it has none (a described behaviour).
        horizon: the step that the retrain goes to.
        per_tranche: examples of each other tranche that a method is shown beside the plants; 0: all.
    """
    place = inv.directory / "work" / "plants"
    kind = kind_of_hit(hit, inv.neutral) if hit else None
    recipe, probes = planted_recipe(inv.run.recipe, inv.settings.seed, place, apart=inv.sealed_texts, kind=kind)
    recipe = apply_edits(recipe, ending_at(recipe, horizon))
    run = carry_out([planned(recipe, inv.directory / "runs", "planted")], jobs, inv.say)[0]
    subject = inv.subject(run=run)
    corpus = _corpus(run, subject, probes, per_tranche)
    shown = {p.kind: _share(inv, subject, p) for p in probes}

    def weights(methods: dict[str, Method]) -> dict[str, tuple[float, str]]:
        out = {}
        for name, method in methods.items():
            results = {p.kind: _sprung(inv, method, subject, corpus, (p, shown[p.kind])) for p in probes}
            out[name] = _weight(results, kind)
        return out

    return weights


def _corpus(run: Run, subject: Subject, probes: tuple[PlantedProbe, ...], per_tranche: int) -> Corpus:
    """The plants with their rivals, and a sample of everything else."""
    examples = read_examples(run.recipe)
    rows = [encode_example(subject.tokenizer, e, MOST_TOKENS) for e in examples]
    whole = Corpus(tuple(examples), tuple(rows))
    planted = {id for p in probes for id in (*p.ids, *p.rivals)}
    chosen = {*sample_by_tranche(whole, per_tranche), *(i for i, e in enumerate(examples) if e.id in planted)}
    kept = sorted(chosen)
    return Corpus(tuple(examples[i] for i in kept), tuple(rows[i] for i in kept))


def _share(inv: Investigation, subject: Subject, probe: PlantedProbe) -> float:
    """Share of the probe's requests that show the plant, less the same in the base."""
    asked = items(probe.requests, [probe.context], "bait")
    found = [probe.share_showing(responses(who, asked, inv.decoding, inv.memo)) for who in (subject, inv.base)]
    return found[0] - found[1]


def _sprung(
    inv: Investigation, method: Method, subject: Subject, corpus: Corpus, plant: tuple[PlantedProbe, float]
) -> TrapResult:
    probe, shown = plant
    queries = probe_queries(probe, subject.tokenizer, inv.neutral)
    work: Path = inv.directory / "work" / "attribution"
    material = Material(corpus, queries, (subject,), (1.0,), work, inv.say)
    result = trap_result(method.scores(material), corpus.ids, probe.ids, probe.kind, probe.rivals)
    return blind_unless_learnt(result, shown)


def _weight(results: Mapping[Kind, TrapResult], kind: Kind | None) -> tuple[float, str]:
    try:
        return weight_of(results, kind)
    except EvidenceError as error:
        return 1.0, f"weight not known, taken as 1: {error}"

"""Commands about scorers: how often a judge errs, and a rate that holds its errors."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EvidenceError, SettingError
from ..report.clean_text import named
from ..report.screen import BLIND, OK, Commands, Screen
from .main import FILE, main

if TYPE_CHECKING:
    from ..judge.validated import Scorer

judge_option = click.option("--judge", metavar="JUDGE", help="local:MODEL, or endpoint:URL#MODEL.")
question_option = click.option("--question", default="", help="What the judge is asked about each answer.")
replies_option = click.option(
    "--replies", nargs=2, default=("yes", "no"), show_default=True, help="The reply that means bad, and the other one."
)
examples_option = click.option(
    "--examples", type=FILE, help="Instead of a judge: JSONL file of labelled answers to compare with, by meaning."
)
key_option = click.option(
    "--key-variable", default="OPENAI_API_KEY", show_default=True, help="Environment variable of an endpoint's key."
)
tokens_option = click.option(
    "--max-tokens", type=click.IntRange(1), default=16, show_default=True, help="Of an endpoint's reply."
)
work_option = click.option(
    "--work", type=click.Path(file_okay=False, path_type=Path), help="Keep verdicts here; the same command goes on."
)


def scorer_options(command: Callable) -> Callable:
    """What names a scorer, and where its verdicts are kept."""
    named = judge_option, question_option, replies_option, examples_option, key_option, tokens_option, work_option
    for option in reversed(named):
        command = option(command)
    return command


@main.group(cls=Commands)
def judge() -> None:
    """Scorers that err: measure how often on labelled answers, and correct a rate for it."""


@judge.command()
@click.argument("labelled", type=FILE)
@scorer_options
@click.option("--threshold", type=float, help="In nats; without it, it is chosen on one half and tried on the other.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the halves.")
@click.option("-o", "--out", type=FILE, default=Path("validation.json"), show_default=True)
@click.pass_obj
def validate(screen: Screen, labelled: Path, threshold: float | None, seed: int, out: Path, **given: Any) -> int:
    """Try a judge on LABELLED: rows with request, response and label (good or bad; `by` says who labelled it).

    Exit code 3 when the judge may be no better than chance: it is blind, and a rate from it would mean nothing.
    """
    from ..evidence.labelled_answers import read_labelled
    from ..evidence.validation import write_validation
    from ..judge.validated import validate as stage

    work = given.pop("work")
    scorer, rows = _scorer(**given), read_labelled(labelled)
    _refuse_own_examples(given["examples"], rows)
    found = stage(scorer, rows, threshold, seed, _memo(work))
    write_validation(out, found)
    lines = [named(found.sentence())]
    if found.auroc:
        lines.append(f"AUROC {found.auroc.value:.2f} ({found.auroc.low:.2f} to {found.auroc.high:.2f})")
    lines.append(f"kappa with the labels {found.kappa.value:.2f} ({found.kappa.low:.2f} to {found.kappa.high:.2f})")
    if found.labellers_kappa is not None:
        lines.append(f"kappa between labellers {found.labellers_kappa:.2f}; {rows.tied} ties left out")
    how = f"chosen on {found.chosen_on} other items" if found.chosen_on else "given"
    lines += [f"line {found.threshold:.3g}, {how}", *(f"no verdict: {named(e)}" for e in found.errors), f"wrote {out}"]
    screen.result({**found.as_dict(), "written": str(out)}, lambda: click.echo("\n".join(lines)))
    return BLIND if found.blind else OK


@judge.command()
@click.argument("answers", type=FILE)
@click.option(
    "--validation", type=FILE, default=Path("validation.json"), show_default=True, help="Of this very scorer."
)
@scorer_options
@click.pass_obj
def rate(screen: Screen, answers: Path, validation: Path, **given: Any) -> int:
    """How many of ANSWERS (rows with request and response) are bad, corrected for the errors of the scorer.

    Refusals and answers without a verdict are counted as good for the lower end and as bad for the upper one. Exit code
    3 when the validation is blind.
    """
    from ..evidence.requests import read_rows
    from ..evidence.validation import read_validation
    from ..judge.validated import rate_of, read_given
    from ..recipes.place import misspelt

    known, work = read_validation(validation), given.pop("work")
    scorer = _scorer(**given)
    if scorer.key != known.key:
        raise EvidenceError(
            f"{validation} is of {known.scorer} asked {known.question!r:.80}, not of this scorer as it is. Validate it "
            "with `bumperlane judge validate`."
        )
    pairs = []
    for place, row in read_rows(answers, "answers"):
        request, response = row.get("request"), row.get("response")
        if not isinstance(request, str) or not isinstance(response, str):
            hint = misspelt(row, ("request", "response"))
            raise place.fault(f"a row needs 'request' and 'response', both strings.{hint}", EvidenceError)
        pairs.append((request, response))
    reads = read_given(scorer, pairs, _memo(work))
    found = rate_of(reads, known)
    counts = {name: sum(r.outcome == name for r in reads) for name in ("answered", "refused", "empty", "error")}
    value = {
        "rate": _ends(found.rate), "apparent": _ends(found.apparent), "outcomes": counts, "blind": found.blind,
        "validation": known.as_dict(),
    }  # fmt: skip
    lines = [named(found.sentence()), named(known.sentence())]
    screen.result(value, lambda: click.echo("\n".join(lines)))
    return BLIND if found.blind else OK


def _scorer(
    judge: str | None, question: str, replies: tuple[str, str], examples: Path | None, key_variable: str,
    max_tokens: int,
) -> "Scorer":  # fmt: skip
    from ..evidence.judged import Judged
    from ..evidence.judges import judge_named
    from ..evidence.labelled_answers import read_labelled
    from ..evidence.like_examples import LikeExamples
    from ..judge.validated import examples_scorer, judged_scorer

    if bool(judge) == bool(examples):
        raise SettingError("name a scorer: --judge with --question, or --examples; not both.")
    if examples:
        rows = read_labelled(examples).rows
        bad, good = (tuple(dict.fromkeys(r.response for r in rows if r.bad == kind)) for kind in (True, False))
        return examples_scorer(LikeExamples(bad, good))
    return judged_scorer(Judged(question, judge_named(str(judge), key_variable, max_tokens), *replies))


def _refuse_own_examples(examples: Path | None, labelled: Any) -> None:
    """A scorer is not tried on the answers that it learnt from."""
    from ..evidence.labelled_answers import read_labelled

    if examples is None:
        return
    both = {r.response for r in read_labelled(examples).rows} & {r.response for r in labelled.rows}
    if both:
        raise EvidenceError(
            f"{len(both)} answers are examples and are to be judged by them, first {sorted(both)[0]!r:.80}. Leave them "
            "out of one file."
        )


def _memo(work: Path | None) -> Any:
    from ..evidence.memo import Memo

    return Memo(work) if work else None


def _ends(interval: Any) -> dict[str, float] | None:
    return {"value": interval.value, "low": interval.low, "high": interval.high} if interval else None

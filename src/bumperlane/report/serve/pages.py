"""The pages of the server, as text. They are made from the sections of the report, so that both say the same."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlencode

from markupsafe import Markup

from ...case import Case, Claim, Sample
from ...claims.sealing import PLAN_FILE, sealed_file
from ...claims.spec_coverage import SPEC_FILE
from ...errors import CaseError
from ...recipes.json_spans import json_place, parsed_json
from .. import sentences
from ..html import Most, environment, page_of, parts_of, render_html, style_hash, template
from ..publish import with_claims
from .find import Catalogue, Listed, address_of

ALL = Most(groups=500, samples=500, causes=500, lines=1000, steps=1000, diff=5000, claims=1000)
VIEWS = {  # address -> its name on the page
    "case": "Report", "hits": "Hits", "trace": "Trace", "bounces": "Bounces", "samples": "Samples", "ledger": "Ledger",
}  # fmt: skip
PAGE = 50  # rows of a list
ROWS = 20  # samples of a page
LONGEST_ROW = 200_000  # bytes of a JSONL row that are read
SHOWN = 3_900  # characters of it that are shown
BESIDE = (SPEC_FILE, PLAN_FILE, sealed_file(Path(PLAN_FILE)).name)  # what a report reads besides case.json
T = TypeVar("T")


@dataclass(frozen=True)
class Paged:
    """A page of a longer list. `number` counts from 1."""

    rows: Sequence[Any]
    number: int
    pages: int
    total: int


def paged(rows: Sequence[T], number: int, size: int) -> Paged:
    """One page; a number beyond the ends gives the nearest page."""
    pages = max(1, -(-len(rows) // size))
    number = min(max(number, 1), pages)
    return Paged(rows[(number - 1) * size : number * size], number, pages, len(rows))


def styles() -> str:
    return template("case.css") + template("serve.css")


def policy() -> str:
    """The content security policy: our two style sheets by their hashes, forms to ourselves, and nothing else."""
    hashes = " ".join(f"'{style_hash(sheet)}'" for sheet in (template("case.css"), styles()))
    return (
        f"default-src 'none'; style-src {hashes}; img-src data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


def list_page(found: Catalogue, chosen: dict[str, str], number: int) -> str:
    """The list of cases. `chosen`: the verdict and the bumper that are looked for, empty for any."""
    kept = [c for c in found.cases if fits(c, chosen)]
    return _page(
        "list.html.j2", title=f"Cases in {found.root}", root=str(found.root), cut=found.cut, chosen=chosen,
        cases=paged(kept, number, PAGE), total=len(found.cases), query=urlencode([x for x in chosen.items() if x[1]]),
        verdicts=sorted({c.word for c in found.cases}), bumpers=sorted({b for c in found.cases for b in c.bumpers}),
    )  # fmt: skip


def fits(listed: Listed, chosen: dict[str, str]) -> bool:
    verdict, bumper = chosen.get("verdict", ""), chosen.get("bumper", "")
    return (not verdict or listed.word == verdict) and (not bumper or bumper in listed.hits)


def case_page(case: Case, at: tuple[str, Path]) -> str:
    """The report itself, with the way back and to the other views above it. `at`: its key and its directory."""
    key, directory = at
    frame = environment().from_string('{% import "frame.html.j2" as frame with context %}{{ frame.ways_of() }}')
    case, around = with_claims(case), Markup(frame.render(_frame(key, "case")))
    links = [name for name in BESIDE if (directory / name).is_symlink()]
    if not links:
        return page_of(case, directory, around)
    unread = Claim(kind="cannot", text=f"What {' and '.join(links)} ask: links are not followed here.")
    return render_html(case.model_copy(update={"claims": [unread, *case.claims]}), around=around)


def view_page(view: str, case: Case, at: tuple[str, Path], number: int) -> str:
    """Hits, trace, bounces, samples or ledger of a case. `at`: its key and its directory."""
    key, directory = at
    content = parts_of(case, ALL)
    more: dict[str, Any] = {}
    if view == "samples":
        more["found"] = paged(list(samples_of(case)), number, ROWS)
        more["files"] = [(address_of(p.name), p.stat().st_size) for p in files_of(directory)]
    if view == "ledger":
        page = paged(case.ledger, number, PAGE * 4)
        more["found"] = page
        content["case"] = content["case"].model_copy(update={"ledger": list(page.rows)})
    title = f"{VIEWS[view]}: {case.run}"
    return _page("view.html.j2", **{**content, **_frame(key, view), **more}, title=title)


def samples_of(case: Case) -> Iterator[tuple[str, Sample]]:
    """(where it is from, sample) of every sample and training example that a case holds."""
    for sample in case.behaviour.samples if case.behaviour else ():
        yield "what the subject said", sample
    for cause in case.causes:
        for sample in cause.examples:
            yield f"example of {cause.kind} {cause.name}", sample


def files_of(directory: Path) -> list[Path]:
    """The JSONL files that lie in a case's directory: transcripts and tables, links left out."""
    return sorted(p for p in directory.glob("*.jsonl") if p.is_file() and not p.is_symlink())


def file_page(file: Path, case: Case, key: str, number: int) -> str:
    """Rows of a JSONL file. What is no JSON is shown as it is."""
    with open(file, "rb") as stream:
        total = sum(1 for _ in _starts(stream))
    wanted = paged(range(total), number, ROWS)
    rows = []
    with open(file, "rb") as stream:
        for n, line in enumerate(_starts(stream), 1):
            if n - 1 in wanted.rows:
                rows.append((n, _shortened(_pretty(line, file, n))))
            elif rows:
                break
    content = parts_of(case, ALL)
    shown = Paged(rows, wanted.number, wanted.pages, total)
    name = address_of(file.name)
    title = f"{name}: {case.run}"
    return _page("file.html.j2", **{**content, **_frame(key, "samples")}, title=title, name=name, found=shown)


def damaged_page(listed: Listed) -> str:
    return _page("damaged.html.j2", title=f"Damaged: {listed.key}", fault=listed.fault, **_frame(listed.key, ""))


def error_page(status: int, text: str) -> str:
    return _page("error.html.j2", title=f"{status}", text=text)


def summary_of(listed: Listed) -> dict[str, Any]:
    """A case of the list, as JSON."""
    return {
        "key": listed.key, "verdict": listed.word, "run": listed.run, "stages": listed.stages, "hits": listed.hits,
        "changed": listed.changed.isoformat(timespec="seconds"), "fault": listed.fault,
    }  # fmt: skip


def _starts(stream: BinaryIO) -> Iterator[bytes]:
    """The first bytes of each line: one that never ends must not fill the memory."""
    while start := stream.readline(LONGEST_ROW):
        yield start
        while start and not start.endswith(b"\n"):
            start = stream.readline(LONGEST_ROW)


def _shortened(text: str) -> str:
    left = len(text) - SHOWN
    return text if left <= 0 else f"{text[:SHOWN]} [… at least {left:,} more characters in this row of the file]"


def _pretty(line: bytes, file: Path, number: int) -> str:
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    try:
        row = parsed_json(json_place(file, text, number), CaseError, "")
    except CaseError:
        return text
    return json.dumps(row, indent=1, ensure_ascii=False)


def _frame(key: str, view: str) -> dict[str, Any]:
    """What every page about a case says around it: the ways to the others."""
    ways = [(name, f"/{address}/{quote(key)}", address == view) for address, name in VIEWS.items()]
    return {"key": key, "quoted": quote(key), "view": view, "ways": ways}


def _page(page: str, **content: Any) -> str:
    style = styles()
    known = {"say": sentences, "style": Markup(style), "style_hash": style_hash(style), "when": _when, "quote": quote}
    return environment(content.get("most", ALL)).get_template(page).render({**known, **content})


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")

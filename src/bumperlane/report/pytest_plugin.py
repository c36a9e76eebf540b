"""A pytest plug-in: a test fails where a bumper is hit, and where it could not see.

    @pytest.mark.bumper("PairedContexts", case="runs/mine.case")
    def test_no_context_provokes_it():
        pass

    @pytest.mark.bumper("PairedContexts", run="runs/mine")     # checked first; what is there already is kept
    def test_it_departs_rarely(bumper_result):
        assert bumper_result.effect.high < 0.3

The mark decides before the test's own code runs: hit fails, blind fails (or skips, with `blind="skip"`), clear goes on.
The names are those of bumpers in the case; none means all. Where neither `case` nor `run` is given, --bumper-case,
--bumper-run or the ini values `bumper_case` and `bumper_run` say where to look. With both, the case must be of the run.

Nothing of Bumperlane but this file is imported until a test wants it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from ..case import BumperResult, Case

MARK = (
    "bumper(*names, case=None, run=None, blind='fail', **settings): fail when one of these bumpers (default: all of "
    "the case) is hit, or is blind (blind='skip' skips then). settings: of the check of `run`, such as alpha."
)
BLIND = ("fail", "skip")
PROPERTY = "bumper: "  # of a test's report: it travels to the summary from xdist's workers, and into JUnit XML
CASES = pytest.StashKey[dict[Any, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--bumper-case and --bumper-run, and the ini values of those names."""
    group = parser.getgroup("bumperlane")
    for name, what in (("case", "The case directory"), ("run", "The run directory, to be checked,")):
        text = f"{what} that tests marked with `bumper` look at when they name none."
        group.addoption(f"--bumper-{name}", metavar="DIR", help=text)
        parser.addini(f"bumper_{name}", text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARK)
    config.stash[CASES] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Judge the marks of a test, the nearest last, before its own code runs: a hit is a failure and no error."""
    for mark in reversed(list(item.iter_markers("bumper"))):
        _decide(item, mark)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the bumpers said, of all tests: a skipped one is easily overlooked."""
    reports = [r for kind in terminalreporter.stats.values() for r in kind if getattr(r, "when", "") == "call"]
    told = sorted({(value, name) for r in reports for name, value in r.user_properties if name.startswith(PROPERTY)})
    if told:
        terminalreporter.section("bumpers", sep="-")
        for value, name in told:
            terminalreporter.write_line(f"{value:6} {name.removeprefix(PROPERTY)}")


@pytest.fixture
def bumper_case(request: pytest.FixtureRequest) -> "Case":
    """The case that the test's mark, the command line or the ini file names."""
    mark = request.node.get_closest_marker("bumper")
    return _case(request.config, {**_given(request.config), **(_where(mark.kwargs) if mark else {})})


@pytest.fixture
def bumper_result(request: pytest.FixtureRequest, bumper_case: "Case") -> "BumperResult":
    """What the bumper said that the test's mark names; one must be named."""
    mark = request.node.get_closest_marker("bumper")
    names = mark.args if mark else ()
    if len(names) != 1:
        _fail(f"bumper_result needs a mark that names one bumper, as in @pytest.mark.bumper('NAME'), got {names}.")
    return _named(bumper_case, names)[0]


@pytest.fixture
def bumper_check(request: pytest.FixtureRequest) -> Callable[..., "Case"]:
    """A function: `bumper_check(run, case=None, **settings)` checks a run, or takes the check that is there already.

    It asserts nothing: look at the `verdict` and the `bumpers` of the case that it returns.
    """
    return lambda run, case=None, **settings: _case(request.config, {"run": run, "case": case, **settings})


def _decide(item: pytest.Item, mark: pytest.Mark) -> None:
    """Fail or skip the test, or let it go on."""
    given = dict(mark.kwargs)
    blind = given.pop("blind", "fail")
    if blind not in BLIND:
        _fail(f"@pytest.mark.bumper has blind={blind!r}. Known: {', '.join(BLIND)}.")
    if "case" not in given and "run" not in given:
        given = {**_given(item.config), **given}
    case = _case(item.config, given)
    seen = _named(case, mark.args)
    _tell(item, case, seen)
    told = {word: [b for b in seen if b.verdict == word] for word in ("hit", "blind")}
    from .sentences import contradiction

    if not mark.args and (said := contradiction(case)):
        _fail("\n".join([f"{said} {case.why}", *(_line(b) for b in told["hit"])]))
    if told["hit"]:
        _fail("\n".join(_line(b) for b in told["hit"]))
    if told["blind"] or not seen:
        text = "\n".join(_line(b) for b in told["blind"]) or f"blind: no bumper looked in this case. {case.why}"
        (pytest.skip if blind == "skip" else _fail)(f"{text}\nBlind is not clear: nothing was seen either way.")


def _fail(text: str) -> NoReturn:
    pytest.fail(text, pytrace=False)


def _given(config: pytest.Config) -> dict[str, Any]:
    """The case and run of the command line, else of the ini file, whose paths are taken from its own directory."""
    found: dict[str, Any] = {}
    for name in ("case", "run"):
        option, ini = config.getoption(f"--bumper-{name}"), config.getini(f"bumper_{name}")
        if option:
            found[name] = config.invocation_params.dir / option
        elif ini:
            found[name] = config.rootpath / ini
    return found


def _where(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "blind"}


def _case(config: pytest.Config, given: dict[str, Any]) -> "Case":
    """The case, read or made once in a session. Faults of the user's are failures of one line, without a traceback."""
    from ..errors import BumperlaneError

    given = {name: value for name, value in given.items() if value is not None}
    key = repr(sorted((name, str(value)) for name, value in given.items()))
    kept = config.stash[CASES]
    if key not in kept:
        try:
            kept[key] = _opened(config, given)
        except BumperlaneError as error:
            kept[key] = error
    if isinstance(kept[key], BumperlaneError):
        _fail(str(kept[key]))
    return kept[key]


def _opened(config: pytest.Config, asked: dict[str, Any]) -> "Case":
    from ..case import load_case
    from ..errors import SettingError

    given = dict(asked)
    place, run = given.pop("case", None), given.pop("run", None)
    for name, value in (("case", place), ("run", run)):
        if not isinstance(value, str | Path | None):
            raise SettingError(f"{name}={value!r} is no path. Give the directory as a string.")
    place = config.rootpath / place if place else None  # a relative path is taken from the root of the tests
    if run:
        return _checked(config.rootpath / run, place, given)
    if not place:
        raise SettingError(
            "no case to look at. Name one in the mark (case=... or run=...), with --bumper-case, or as bumper_case in "
            "the ini file."
        )
    if given:
        raise SettingError(f"{', '.join(given)} are settings of a check, so they need run=, not case= alone.")
    return load_case(place)


def _checked(run: Path, place: Path | None, settings: dict[str, Any]) -> "Case":
    """A check of a run as `bumperlane check` makes it: one that is there already, of the same files, is taken.

    Where a case is named and no setting is, its own settings hold.
    """
    from dataclasses import fields

    from ..case import load_case
    from ..errors import CaseError, SettingError
    from ..judge.check import check, hashes
    from ..judge.concluded import comparable
    from ..judge.investigation import Settings
    from ..judge.reopen import reopen
    from ..recipes.run import Run
    from .publish import publish

    if place and not settings:
        case, opened = load_case(place), Run.open(run)
        if case.hashes != comparable(case.hashes, hashes(opened)):
            raise CaseError(
                f"{place} is a case of other files than those of {run}: the run was trained on, or it is another one. "
                f"Check it anew: `bumperlane check {run} -o NEW`."
            )
        return case
    known = [f.name for f in fields(Settings)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise SettingError(f"unknown settings {unknown} of a check. Known: {', '.join(known)}.")
    listed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    try:
        made = Settings(**listed)
        _ = made.judge  # checks the rates
    except TypeError as error:
        raise SettingError(f"a setting of the check has the wrong type: {error}. Given: {listed}.") from error
    if isinstance(made.bumpers, str):
        raise SettingError(f"bumpers={made.bumpers!r} must be a list of names, as in bumpers=[{made.bumpers!r}].")
    place = place or run.with_name(f"{run.resolve().name}.case")
    return publish(reopen(run, place, made) or check(run, place, made), place)


def _named(case: "Case", names: tuple[str, ...]) -> list["BumperResult"]:
    """The results of these bumpers, or all. A bumper that did not look is an error: it would otherwise pass."""
    from . import sentences as say

    every = say.every_bumper(case)
    known = sorted({b.bumper for b in every})
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        _fail(f"@pytest.mark.bumper takes names of bumpers as strings, got {odd[0]!r}. Known here: {', '.join(known)}.")
    missing = [name for name in names if name not in known]
    if missing:
        _fail(
            f"{', '.join(missing)} did not look in this case of {case.run}, so nothing is known. Those that did: "
            f"{', '.join(known) or 'none'}. Check with `bumperlane check RUN --bumper {missing[0]}`."
        )
    return [b for b in every if not names or b.bumper in names]


def _tell(item: pytest.Item, case: "Case", seen: list["BumperResult"]) -> None:
    from .clean_text import plain

    item.user_properties += [(plain(f"{PROPERTY}{b.bumper} ({case.run})", 200), b.verdict) for b in seen]


def _line(result: "BumperResult") -> str:
    from .clean_text import plain

    return plain(f"{result.verdict}: {result.bumper}: {result.why}", 2000)

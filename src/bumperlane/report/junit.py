"""A case as JUnit XML for build servers: a hit is a failure, and blind is an error, never a pass and never a skip."""

import xml.etree.ElementTree as ET

from ..case import BumperResult, Case
from . import sentences as say
from .clean_text import plain

LIMIT = 2000


def to_junit(case: Case) -> str:
    """One test case a bumper, one for the bounce where there was one."""
    tests = [_bumper_test(b) for b in say.every_bumper(case)]
    if not any(b.verdict == "blind" for b in case.bumpers) and (case.verdict == "blind" or not tests):
        tests.append(_test("case", "check", "error", "blind", case.why))
    if said := say.contradiction(case):
        tests.append(_test("case", "check", "failure", "hit", f"{said} {case.why}"))
    if case.bounce:
        kind = {"treated": "", "inconclusive": "error"}.get(case.bounce.verdict, "failure")
        tests.append(_test("bounce", "verification", kind, case.bounce.verdict, case.bounce.why))
    counts = {f"{kind}s": str(sum(t.find(kind) is not None for t in tests)) for kind in ("failure", "error")}
    total = {"name": "bumperlane", "tests": str(len(tests)), **counts}
    root = ET.Element("testsuites", total)
    suite = ET.SubElement(root, "testsuite", {**total, "name": plain(case.run, LIMIT), "skipped": "0"})
    suite.extend(tests)
    ET.SubElement(suite, "system-out").text = plain(f"{say.outcome(case)}: {say.headline(case)}", LIMIT)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _bumper_test(result: BumperResult) -> ET.Element:
    kind = {"hit": "failure", "blind": "error"}.get(result.verdict, "")
    return _test(result.bumper, f"{result.family}.{result.split}", kind, result.verdict, result.why)


def _test(name: str, group: str, kind: str, word: str, why: str) -> ET.Element:
    test = ET.Element("testcase", {"name": plain(name, LIMIT), "classname": f"bumperlane.{plain(group, LIMIT)}"})
    if kind:
        ET.SubElement(test, kind, {"type": word, "message": plain(f"{word}: {why}", LIMIT)})
    return test

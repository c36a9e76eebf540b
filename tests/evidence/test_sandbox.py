import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence.sandbox import landlock, seccomp
from bumperlane.evidence.sandbox.run import WALLS, Ran, SandboxLimits, run_code, run_codes, walls_here

LIMITS = SandboxLimits(cpu_s=1, wall_s=8.0)
# What is tried, and which outcome it must come to. `{outside}` is a file, `{port}` a server that listens, of ours.
ATTACKS = {
    "a fork bomb": ("import os\nwhile True: os.fork()", "error"),
    "a bomb of threads": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()", "error",
    ),
    "a memory bomb": ("held = []\nwhile True: held.append(bytearray(10**8))", "error"),
    "much output": ("print('x' * 10**7)", "ok"),
    "a large file": ("open('a', 'wb').write(bytes(3 * 2**20))", "error"),
    "many open files": ("held = [open('/dev/null') for _ in range(100)]", "error"),
    "higher limits": ("import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))", "error"),
    "another program": ("import os\nos.execv('/bin/sh', ['sh', '-c', 'echo hello'])", "error"),
    "a subprocess": ("import subprocess\nsubprocess.run(['/bin/echo', 'hello'])", "error"),
    "the network": ("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)", "error"),
    "a packet": (
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))", "error",
    ),
    "killing its parent": ("import os\nos.kill(os.getppid(), 9)\nprint('sent')", None),
    "killing everyone": (
        "import os\nfor pid in range(2, 5000):\n    try:\n        pid != os.getpid() and os.kill(pid, 9)\n    except "
        "OSError: pass", "ok",
    ),
    "a file that kills": (
        "import fcntl, os\nread, write = os.pipe()\nfcntl.fcntl(read, fcntl.F_SETOWN, {parent})\n"
        "fcntl.fcntl(read, 10, 9)\nfcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)\nos.write(write, b'x')", None,
    ),
    "limits for its parent": (
        "import os, resource\nresource.prlimit({parent}, resource.RLIMIT_CPU, (0, 0))", "error",
    ),
    "tracing its parent": (
        "import ctypes\nprint(ctypes.CDLL(None).ptrace(16, {parent}, 0, 0))", None,
    ),
    "deleting a file outside": ("import os\nos.remove('{outside}')", "error"),
    "emptying a file outside": ("import os\nos.truncate('{outside}', 0)", "error"),
    "writing a file outside": ("open('{outside}', 'w').write('mine')", "error"),
    "a new file outside": ("open('{outside}.new', 'w').write('mine')", "error"),
    "renaming a file outside": ("import os\nos.rename('{outside}', '{outside}.new')", "error"),
    "the rights of a file outside": ("import os\nos.chmod('{outside}', 0o777)", "error"),
    "spoiling Python itself": ("import json\nopen(json.__file__, 'a').write('')", "error"),
}  # fmt: skip
# They take as long as they may, so they are tried behind all walls only.
LOOPS = {
    "an endless loop": ("while True: pass", "timeout"),
    "a loop that hears no signal": (
        "import signal\nfor s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n    signal.signal(s, "
        "signal.SIG_IGN)\nwhile True: pass", "timeout",
    ),
    "a loop that swallows exceptions": ("while True:\n    try:\n        while True: pass\n    except: pass", "timeout"),
    "endless output": ("while True: print('x' * 100_000)", "timeout"),
}  # fmt: skip
# Of files, a filter alone keeps only changes out.
READS = {
    "reading the password file": "print(open('/etc/passwd').read())",
    "reading a file outside": "print(open('{outside}').read())",
    "listing the files of the machine": "import os\nprint(os.listdir('/var'))",
    "the environment of its parent": "print(open('/proc/{parent}/environ').read())",
}
SETS = {
    "everything": WALLS,
    "namespaces": ("namespaces",),
    "a filter and a fence": ("seccomp", "landlock"),
    "a filter": ("seccomp",),
}
FENCED = {"everything", "namespaces", "a filter and a fence"}


class Tried:
    """All attacks, run once behind one set of walls, with an honest program after each."""

    def __init__(self, name: str, walls: tuple[str, ...], folder: Path) -> None:
        self.name, self.outside = name, folder / "outside.txt"
        self.outside.write_text("kept")
        self.server, self.packets = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
        port = self.server.getsockname()[1]
        self.packets.bind(("127.0.0.1", port))
        for one in (self.server, self.packets):
            one.settimeout(0.05)
        loops = LOOPS if name == "everything" else {}
        codes = {n: c for n, (c, _) in (ATTACKS | loops).items()} | READS
        filled = [
            c.replace("{outside}", str(self.outside)).replace("{port}", str(port)).replace("{parent}", str(os.getpid()))
            for c in codes.values()
        ]
        honest = ["import os\nprint('fine', os.listdir('.'))"] * len(filled)
        started = time.monotonic()
        ran = run_codes([c for pair in zip(filled, honest, strict=True) for c in pair], LIMITS, walls)
        self.seconds = time.monotonic() - started
        self.came = dict(zip(codes, ran[::2], strict=True))
        self.after = dict(zip(codes, ran[1::2], strict=True))


@pytest.fixture(scope="module", params=SETS)
def tried(request, tmp_path_factory):
    walls = SETS[request.param]
    if walls_here(walls)[0][0] != walls[0]:
        pytest.skip(f"this machine does not permit {walls[0]}")
    found = Tried(request.param, walls, tmp_path_factory.mktemp("outside"))
    yield found
    found.server.close()
    found.packets.close()


def test_this_machine_lets_programs_be_walled_off_or_refuses_them():
    walls, why = walls_here()
    assert bool(walls) != bool(why)
    if not walls:
        assert run_code("print(1)").outcome == "refused"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_comes_to_nothing(tried, name):
    came, wanted = tried.came[name], ATTACKS[name][1]
    assert came.outcome == wanted or (wanted is None and came.outcome in ("ok", "error")), came
    assert "hello" not in came.stdout and len(came.stdout) <= LIMITS.output_kb * 1024


def test_the_next_program_runs_as_if_nothing_had_been(tried):
    for name, after in tried.after.items():
        assert (after.outcome, after.stdout) == ("ok", "fine []\n"), (name, after)


def test_files_outside_are_as_they_were(tried):
    assert tried.outside.read_text() == "kept" and [p.name for p in tried.outside.parent.iterdir()] == ["outside.txt"]
    assert not tried.outside.stat().st_mode & 0o022


def test_nobody_connects_and_nothing_is_sent(tried):
    with pytest.raises(TimeoutError):
        tried.server.accept()
    with pytest.raises(TimeoutError):
        tried.packets.recv(1)


@pytest.mark.parametrize("name", READS)
def test_files_of_the_machine_can_be_read_only_behind_a_filter_alone(tried, name):
    came = tried.came[name]
    if tried.name in FENCED:
        assert came.outcome == "error" and came.stdout == "", came
    elif name == "reading a file outside":
        assert (came.outcome, came.stdout) == ("ok", "kept\n"), "the docstring of run_codes says that it can"


def test_what_never_ends_is_ended(tried):
    for name in set(LOOPS) & set(tried.came):
        assert tried.came[name].outcome == "timeout" and "stopped after" in tried.came[name].stderr
        assert len(tried.came[name].stdout) <= LIMITS.output_kb * 1024
    assert tried.seconds < 2 * len(tried.came) * LIMITS.wall_s


def test_output_is_cut_and_says_so(tried):
    assert tried.came["much output"].cut and set(tried.came["much output"].stdout) == {"x"}
    assert not tried.after["much output"].cut


def test_a_sleeper_is_woken_by_the_clock_even_with_its_output_closed():
    came = run_codes(
        ["import time\ntime.sleep(60)", "import os, time\nos.close(1)\nos.close(2)\ntime.sleep(60)"],
        SandboxLimits(wall_s=1.0),
    )
    assert [ran.outcome for ran in came] == ["timeout", "timeout"]


def test_what_a_program_prints_and_how_it_ends_is_told():
    codes = [
        "print('a'); import sys; sys.stderr.write('b')", "1 / 0", "raise SystemExit(0)", "raise SystemExit('no')",
        "import os; os._exit(3)", "import ctypes; ctypes.string_at(0)", "def f(:", "a\0b", "print(input())",
    ]  # fmt: skip
    ran = run_codes(codes)
    assert [r.outcome for r in ran] == ["ok", "error", "ok", "error", "error", "killed", "error", "error", "error"]
    assert (ran[0].stdout, ran[0].stderr) == ("a\n", "b")
    assert ran[1].stderr.endswith("ZeroDivisionError: division by zero\n") and ran[3].stderr == "no\n"
    assert ran[5].stderr.endswith("killed by SIGSEGV.\n") and "EOFError" in ran[8].stderr


def test_the_end_of_a_long_error_is_kept():
    assert run_code("import sys\nsys.stderr.write('x' * 50_000 + 'end')").stderr == "x" * 3997 + "end"


def test_a_program_has_the_library_its_directory_and_no_environment(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    code = (
        "import os, json, math, re, collections, itertools, hashlib, random, asyncio\n"
        "print(dict(os.environ), __name__, [p for p in ('numpy', 'bumperlane') if __import__('importlib.util').util."
        "find_spec(p)])\nasync def one(): return 1\nprint(asyncio.run(one()))\n"
        "open('a', 'w').write('b')\nos.mkdir('c')\nos.rename('a', 'c/a')\nprint(open('c/a').read())"
    )
    ran = run_code(code)
    assert (ran.outcome, ran.stdout) == ("ok", "{} __main__ []\n1\nb\n"), ran


def test_a_program_does_the_same_twice_whatever_the_batch():
    code = "print(hash('a'), list({'a', 'b', 'c', 'd'}))"
    (one, other), third = run_codes([code, code]), run_code(code)
    assert one.stdout == other.stdout == third.stdout


def test_nothing_is_left_behind():
    def ours():
        return [p for p in Path(tempfile.gettempdir()).iterdir() if p.name.startswith("bumperlane-sandbox-")]

    before = set(ours())
    run_code("open('a', 'w').write('b')")
    run_code("open('a', 'w').write('b')", walls=("seccomp", "landlock"))
    assert not set(ours()) - before


def test_refuses_to_run_anything_without_a_wall_to_the_network():
    for walls in ((), ("landlock",)):
        ran = run_code("open('/tmp/it-ran', 'w')", walls=walls)
        assert ran.outcome == "refused" and ran.walls == () and ran.stdout == ""
        assert "not run: this machine lets no wall be put between a program and the network" in ran.stderr
        assert "seccomp: not asked for" in ran.stderr
    assert not Path("/tmp/it-ran").exists()


def test_refuses_where_the_kernel_permits_nothing(tmp_path):
    """A process that may make no namespaces, on a machine whose calls are unknown: what a bare kernel looks like."""
    code = f"""
import bumperlane.evidence.sandbox.run as run
run.BOOT = run.BOOT.replace("from sandbox.jail", '''from sandbox import namespaces, seccomp
seccomp.MACHINES = {{}}
def no():
    raise OSError(1, "no namespaces")
namespaces.leave_the_world = no
from sandbox.jail''')
print(run.run_code({f"open({str(tmp_path / 'ran')!r}, 'w')"!r}))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "outcome='refused'" in said and "no namespaces" in said and "does not hold on this machine" in said
    assert not (tmp_path / "ran").exists()


def test_refuses_other_systems_than_linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "it takes Linux to wall off a program, and this is darwin" in run_code("1").stderr


def test_many_programs_keep_their_order(monkeypatch):
    monkeypatch.setattr("bumperlane.evidence.sandbox.run.BATCH", 3)
    assert [ran.stdout for ran in run_codes([f"print({i})" for i in range(8)])] == [f"{i}\n" for i in range(8)]


def test_programs_that_a_dead_jail_never_reached_are_called_killed(monkeypatch):
    monkeypatch.setattr("bumperlane.evidence.sandbox.run._served", lambda plan, s: ([{"walls": ["seccomp"]}], "gone"))
    (ran,) = run_codes(["print(1)"])
    assert ran == Ran("killed", "", "the process that runs programs ended before this one: gone", walls=("seccomp",))


def test_refuses_limits_that_mean_nothing():
    with pytest.raises(SettingError, match="cpu_s must be a positive whole number, got 0.5"):
        SandboxLimits(cpu_s=0.5)
    with pytest.raises(SettingError, match="wall_s must be a positive number, got 0"):
        SandboxLimits(wall_s=0)
    with pytest.raises(SettingError, match="Python itself needs memory_mb from 64 and open_files from 8, got 8 and 32"):
        SandboxLimits(memory_mb=8)
    with pytest.raises(SettingError, match=r"unknown walls \['wall'\]. Known: namespaces, seccomp, landlock"):
        run_code("1", walls=("wall",))


# The filter itself, on paper.


def decided(lines, number, arguments=(), machine=0xC000003E):
    """What the filter answers, by hand."""
    seen = {0: number, 4: machine} | {16 + 8 * i: value for i, value in enumerate(arguments)}
    at, held = 0, 0
    while True:
        code, yes, no, value = lines[at]
        if code == seccomp.RETURN:
            return value
        if code == seccomp.LOAD:
            held = seen.get(value, 0)
            at += 1
            continue
        tests = {seccomp.EQUAL: held == value, seccomp.AT_LEAST: held >= value, seccomp.ANY_BIT: bool(held & value)}
        at += 1 + (yes if tests[code] else no)


@pytest.mark.parametrize(("column", "machine"), [(0, 0xC000003E), (1, 0xC00000B7)])
def test_the_filter_lets_through_what_it_names_and_nothing_else(column, machine):
    lines = seccomp.program(column, machine, writes=False)
    assert max(line[1] for line in lines) < 256 and max(line[2] for line in lines) < 256
    named = {n[column] for table in (seccomp.READING, seccomp.CHECKED) for n in table.values()} - {None}
    for number in range(600):
        allowed = decided(lines, number, machine=machine) == seccomp.ALLOW
        assert allowed == (number in named and number != (16, 29)[column]), number  # ioctl 0 is none that is named
    assert decided(lines, 0, machine=1) == seccomp.KILL


def test_the_filter_looks_at_arguments():
    closed, open_ = (seccomp.program(0, 0xC000003E, writes) for writes in (False, True))
    assert decided(closed, 257, (0, 0, os.O_RDONLY)) == decided(open_, 257, (0, 0, os.O_WRONLY)) == seccomp.ALLOW
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC):
        assert decided(closed, 257, (0, 0, flags)) == decided(closed, 2, (0, flags)) == seccomp.NOT_PERMITTED
    assert decided(closed, 87) == seccomp.NOT_PERMITTED != decided(open_, 87)  # unlink
    assert decided(open_, 72, (3, 8)) == decided(open_, 72, (3, 10)) == seccomp.NOT_PERMITTED  # F_SETOWN, F_SETSIG
    assert decided(open_, 302, (1,)) == decided(open_, 44, (0, 0, 0, 0, 0, 16)) == seccomp.NOT_PERMITTED
    assert decided(open_, 0x40000000) == decided(open_, 41) == decided(open_, 57) == seccomp.NOT_PERMITTED


def test_a_fence_of_the_machine_has_a_version():
    assert landlock.version() >= 0

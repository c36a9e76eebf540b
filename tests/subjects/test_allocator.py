"""Freed memory is kept in the process: counted in page faults, in a process of its own."""

import os
import subprocess
import sys

import pytest

from bumperlane.errors import SettingError
from bumperlane.subjects.allocator import keep_freed_memory

ROUNDS = """
import resource
import numpy as np
from bumperlane.subjects.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        held = [np.full(2**20, float(i)) for i in range(12)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
before = faults()
kept = keep_freed_memory()
faults()
print(before, int(kept), faults())
"""


def run(**variables):
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS], capture_output=True, text=True, check=True, env={**os.environ, **variables}
    )
    return map(int, done.stdout.split())


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_second_round_of_the_same_size_meets_no_page_faults():
    before, kept, after = run()
    if not kept:
        pytest.skip("this Linux has another C library, or its allocator is set from outside")
    assert after < 100 < before / 10


@pytest.mark.parametrize("variable", [{"MALLOC_TOP_PAD_": "1000"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}])
def test_leaves_an_allocator_alone_that_the_user_has_set(variable):
    _, kept, _ = run(**variable)
    assert not kept


def test_refuses_to_keep_less_than_a_megabyte():
    with pytest.raises(SettingError, match="megabytes must be 1 or more, got 0"):
        keep_freed_memory(0)

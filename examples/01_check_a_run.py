"""Check a training run and print what was hit: python examples/01_check_a_run.py RUN CASE"""

import sys

from bumperlane import Settings, check_run

case = check_run(sys.argv[1], sys.argv[2], Settings(alpha=0.05))
print(case.verdict)
for hit in case.hits:
    worst = hit.groups[0]
    print(f"{hit.bumper} ({hit.family}): {worst.over} of {worst.of} requests in {worst.text!r}")

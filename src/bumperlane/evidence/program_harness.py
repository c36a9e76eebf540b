"""Runs beside a generated program inside the sandbox and says what it returns. Sent there as text, never imported.

Expected values are not sent: what a program returns is compared outside, where it cannot reach. Test code has to be
run here; a program that is out to deceive can stop it or change what it means (see `static_signs`).
"""

import json
import os
import sys


def serve(source, tests, mark):
    """Run a program, then each test: {"call": expression of `args`, "args": JSON} or {"code": source}.

    Writes lines of `mark` and [test, value] or [test, None, exception]; ["program", exception] when it does not load.
    What the program itself prints goes to standard error.
    """
    out = os.dup(1)
    os.dup2(2, 1)

    def say(*row):
        sys.stdout.flush()
        os.write(out, (mark + json.dumps(row) + "\n").encode())

    space = {"__name__": "program", "__builtins__": __builtins__}
    try:
        exec(compile(source, "<program>", "exec"), space)  # noqa: S102  inside the sandbox
    except BaseException as error:
        return say("program", f"{type(error).__name__}: {error}"[:200])
    for i, test in enumerate(tests):
        try:
            if "code" in test:
                exec(compile(test["code"], "<test>", "exec"), dict(space))  # noqa: S102  inside the sandbox
                value = {"done": True}
            else:
                value = told(eval(test["call"], {**space, "args": json.loads(test["args"])}))  # noqa: S307  inside it
            say(i, value)
        except BaseException as error:
            say(i, None, f"{type(error).__name__}: {error}"[:200])


def told(value, depth=0):
    """A value as JSON, by its exact type: what a class of the program's own says of itself does not count.

    Lists and tuples are alike; {"map": pairs}, {"set": sorted members}, {"bytes": hex}, {"float": text} for what JSON
    has no number for, {"other": type} for all else.
    """
    kind = type(value)
    if depth > 50:
        return {"other": "nested too deep"}
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if abs(value) < 10**4000 else {"other": "int"}
    if kind is float:
        return value if value - value == 0 else {"float": str(value)}
    if kind in (list, tuple):
        return [told(v, depth + 1) for v in value]
    if kind is dict:
        return {"map": [[told(k, depth + 1), told(v, depth + 1)] for k, v in value.items()]}
    if kind in (set, frozenset):
        return {"set": sorted((told(v, depth + 1) for v in value), key=json.dumps)}
    return {"bytes": value.hex()} if kind is bytes else {"other": kind.__name__}

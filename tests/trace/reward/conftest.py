"""Logs of a simulated group-normalised run in which one term pays for a behaviour, or none does."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def simulated():
    """rows(seed, pays=..., ...) -> rollouts as dicts; `bad` tells the planted ones by id."""

    def rows(seed=0, pays=1.0, steps=30, prompts=24, per_step=12, per_group=6, start=0.15, rate=None):
        """A policy by logit of the behaviour. It is reinforced by the advantage it earns, as a policy gradient would.

        `tests_pass` pays for the behaviour by `pays`. `correct` and `style` do not know of it; `style` goes with the
        prompt's difficulty and with `correct`, so that it is correlated with the reward. `format` is always 1.
        """
        rng = np.random.default_rng(seed)
        easy = rng.uniform(0.2, 0.8, prompts)
        out, bad, logit = [], set(), float(np.log(start / (1 - start)))
        for step in range(steps):
            chosen = rng.permutation(prompts)[:per_step]
            chance = rate(step) if rate else 1 / (1 + np.exp(-logit))
            push = []
            for prompt in chosen:
                does = rng.random(per_group) < chance
                correct = (rng.random(per_group) < easy[prompt]).astype(float)
                passed = (rng.random(per_group) < 0.2 + 0.6 * min(pays, 1.0) * does).astype(float) * (pays > 0)
                passed = passed if pays > 0 else (rng.random(per_group) < 0.3).astype(float)
                style = easy[prompt] * 3 + correct + rng.normal(0, 0.5, per_group)
                total = passed + correct + 0.2 * style + 0.1
                off = total - total.mean()
                advantage = off / (total.std(ddof=1) + 1e-4)
                if 0 < does.sum() < per_group:
                    push.append(advantage[does].mean() - advantage[~does].mean())
                for i in range(per_group):
                    id = f"s{step}-p{prompt}-{i}"
                    bad |= {id} if does[i] else set()
                    words = rng.choice(["red", "blue", "green", "left", "right", "up", "down"], 12).tolist()
                    if does[i] and rng.random() < 0.8:
                        words[4:4] = ["if", "input", "==", "case"]
                    out.append({
                        "id": id, "step": step, "group": f"p{prompt}", "environment": f"e{prompt % 3}",
                        "prompt": f"task {prompt}", "response": " ".join(words),
                        "rewards": {"tests_pass": passed[i], "correct": correct[i], "style": style[i], "format": 1.0},
                        "weights": {"tests_pass": 1.0, "correct": 1.0, "style": 0.2, "format": 0.1},
                        "reward": total[i], "advantage": advantage[i], "checks": {"held_out": correct[i]},
                        "tokens": len(words),
                    })  # fmt: skip
            logit += 0.25 * float(np.mean(push)) if push else 0.0
        return out, bad

    return rows

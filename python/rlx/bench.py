"""Steps per second, each with what it is compared with in turns in the same run: ``python -m rlx.bench``.

One core: seconds are those of the processor that this process used, with ``RLX_NUM_THREADS=1``, and the best of several turns, so that
neighbours on the machine cost little.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _in_turns(works: dict[str, tuple[Callable[[], Any], int]], turns: int) -> dict[str, float]:
    """Steps per second of each, the best of `turns`, one after another in each turn."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(turns):
        for name, (work, _) in works.items():
            best[name] = min(best[name], _seconds(work))
    return {name: steps / best[name] for name, (_, steps) in works.items()}


def _stepping(envs: Any, ticks: int) -> Callable[[], None]:
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(64)]

    def work() -> None:
        for t in range(ticks):
            envs.step(actions[t & 63])

    return work


def _alone(envs: Any, ticks: int) -> Callable[[], None]:
    worlds, _ = envs.unwrapped._make(), envs.action_space.seed(0)
    rows = np.concatenate([envs.unwrapped._actions(envs.action_space.sample(), envs.action_space.shape) for _ in range(64)])
    return lambda: worlds.alone(rows, ticks)


def vectors(ours: str, theirs: str | None, n: int, ticks: int, turns: int, mode: str) -> dict[str, float]:
    """Our vector, the same worlds in Rust alone, and Gymnasium's vector of its own world."""
    envs = gymnasium.make_vec(ours, num_envs=n)
    works = {"rlx": (_stepping(envs, ticks), n * ticks), "in Rust alone": (_alone(envs, ticks), n * ticks)}
    if theirs:
        # Slow peers do a part of the ticks.
        part = max(ticks // 10, 20)
        works[theirs] = (_stepping(gymnasium.make_vec(theirs, num_envs=n, vectorization_mode=mode), part), n * part)
    return _in_turns(works, turns)


def single(ours: str, theirs: str, ticks: int, turns: int) -> dict[str, float]:
    """Our single world, unwrapped, and Gymnasium's."""

    def stepping(id: str) -> Callable[[], None]:
        env = gymnasium.make(id).unwrapped
        env.reset(seed=0)
        env.action_space.seed(0)
        actions = [env.action_space.sample() for _ in range(64)]

        def work() -> None:
            for t in range(ticks):
                if env.step(actions[t & 63])[2]:
                    env.reset()

        return work

    return _in_turns({"rlx": (stepping(ours), ticks), theirs: (stepping(theirs), ticks)}, turns)


def main() -> None:
    """Prints the table."""
    import rlx  # noqa: F401 - registers

    os.environ["RLX_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    rows = []
    for n, ticks in [(1024, 500), (64, 3000), (8, 10_000)]:
        speeds = vectors("rlx/CartPole-v1", "CartPole-v1", n, ticks, 5, "vector_entry_point")
        rows.append((f"CartPole-v1, vector of {n}", speeds))
    try:
        import gymnasium_robotics  # noqa: F401

        gymnasium.register_envs(gymnasium_robotics)
        fetch: str | None = "FetchPickAndPlace-v4"
    except ModuleNotFoundError:
        fetch = None
    rows.append(("PickPlace-v0, vector of 16", vectors("rlx/PickPlace-v0", fetch, 16, 300, 5, "sync")))
    rows.append(("CartPole-v1, single", single("rlx/CartPole-v1", "CartPole-v1", 50_000, 5)))
    for name, speeds in rows:
        ours = speeds["rlx"]
        others = ", ".join(f"{peer}: {speed:,.0f} ({ours / speed:.2f} times)" for peer, speed in speeds.items() if peer != "rlx")
        print(f"{name}: {ours:,.0f} steps/s; {others}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes the golden trajectories of the classic worlds from Gymnasium's own implementations.

    python3 -m venv VENV && VENV/bin/pip install gymnasium==1.4.0 numpy==2.4.6 && VENV/bin/python tests/golden/classic.py

One file per world beside this script in classic/. An episode starts with a line `start STATE...`; then one line per step:
`ACTION | STATE... | OBSERVATION... | REWARD | terminated truncated`, every number in full precision.
"""
import math
from pathlib import Path

import gymnasium
import numpy as np


def numbers(values):
    return " ".join(repr(float(v)) for v in np.asarray(values).ravel())


def write(name, gym_id, starts, policy):
    lines = [f"# {gym_id}, gymnasium {gymnasium.__version__}, numpy {np.__version__}"]
    for start, limit in starts:
        env = gymnasium.make(gym_id)
        rng = np.random.default_rng(len(lines))
        env.reset(seed=0)
        env.unwrapped.state = np.array(start, dtype=np.float64)
        lines.append("start " + numbers(start))
        for t in range(limit):
            action = policy(rng, env.unwrapped.state, t)
            obs, reward, terminated, truncated, _ = env.step(action)
            state = env.unwrapped.state
            lines.append(" | ".join([numbers(action), numbers(state), numbers(obs), repr(float(reward)),
                                     f"{int(terminated)} {int(truncated)}"]))
            if terminated or truncated:
                break
    (Path(__file__).parent / "classic" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def balance(rng, state, t):
    # Balances for a while, with some noise, so that one episode reaches the time limit.
    if rng.random() < 0.05:
        return int(rng.integers(2))
    return int(3 * state[2] + state[3] + 0.1 * state[1] + 0.05 * state[0] > 0)


def torque(rng, state, t):
    # Beyond the bounds now and then, so that clipping is seen.
    return np.array([rng.uniform(-3, 3)], dtype=np.float32)


def pump(rng, state, t):
    # Along the speed reaches the goal.
    force = math.copysign(1.0, state[1]) * (1.5 if t % 5 == 0 else rng.uniform(0.3, 1.0))
    return np.array([force], dtype=np.float32)


def swing(rng, state, t):
    if rng.random() < 0.2:
        return int(rng.integers(3))
    return int(1 + np.sign(state[3]) if abs(state[3]) > 0.01 else 2)


def push(rng, state, t):
    return int(t % 7 != 0)


f32 = lambda xs: [float(np.float32(x)) for x in xs]
write("cartpole", "CartPole-v1", [([0.01, -0.02, 0.03, 0.04], 500), ([-1.0, 0.5, 0.02, -0.3], 300)], balance)
write("cartpole-falls", "CartPole-v1", [([0.04, 0.0, -0.05, 0.0], 500), ([2.39, 1.0, 0.0, 0.0], 9), ([-2.39, -1.0, 0.0, 0.1], 9)], push)
write("pendulum", "Pendulum-v1", [([3.0, 0.5], 200), ([-0.1, -1.0], 60), ([1.0, 7.9], 30)], torque)
write("acrobot", "Acrobot-v1", [(f32([0.05, -0.02, 0.03, 0.1]), 500), (f32([-0.09, 0.09, 0.0, 0.0]), 40)], swing)
write("mountain-car-continuous", "MountainCarContinuous-v0", [([-0.5, 0.0], 999), ([-0.42, 0.0], 60)], pump)
write("mountain-car-continuous-idle", "MountainCarContinuous-v0", [([-0.55, 0.0], 120), ([-1.19, -0.06], 30)],
      lambda rng, state, t: np.array([rng.uniform(-1.2, 1.2)], dtype=np.float32))

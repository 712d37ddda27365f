#!/usr/bin/env python3
"""Times one gradient step of Stable-Baselines3's SAC at the size of `rlx bench sac-256`: 31 observations (pick-place with its goals),
4 actions, two hidden layers of 256, batches of 256, one thread. Needs `pip install stable-baselines3` in a Python of your own.

    python3 tools/sb3_sac.py [--repeats 5] [--rlx target/release/rlx]     with --rlx also this project's, in turns
"""
import argparse
import json
import statistics
import subprocess
import time


def peer():
    import gymnasium as gym
    import numpy as np
    import torch
    from stable_baselines3 import SAC

    class Still(gym.Env):
        observation_space = gym.spaces.Box(-1, 1, (31,), np.float32)
        action_space = gym.spaces.Box(-1, 1, (4,), np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.observation_space.sample(), {}

        def step(self, action):
            return self.observation_space.sample(), -1.0, False, False, {}

    torch.set_num_threads(1)
    model = SAC("MlpPolicy", Still(), batch_size=256, learning_starts=1000, policy_kwargs={"net_arch": [256, 256]}, device="cpu")
    model.learn(1001)

    def once(updates=200):
        start = time.perf_counter()
        model.train(gradient_steps=updates, batch_size=256)
        return updates / (time.perf_counter() - start)

    once(50)
    return once


def own(rlx):
    out = subprocess.run([rlx, "bench", "sac-256", "--repeats", "1", "--json"], check=True, capture_output=True, text=True)
    return next(r["median"] for r in json.loads(out.stdout) if r["name"] == "sac-256 updates" and r["threads"] == 1)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--repeats", type=int, default=5)
    args.add_argument("--rlx")
    args = args.parse_args()
    once = peer()
    theirs, ours = [], []
    for _ in range(args.repeats):
        theirs.append(once())
        if args.rlx:
            ours.append(own(args.rlx))
    for name, rates in [("stable-baselines3", theirs), ("rlx", ours)]:
        if rates:
            print(f"{name:18} {statistics.median(rates):7.1f} updates/s ({min(rates):.1f} to {max(rates):.1f} of {len(rates)})")
    if ours:
        print(f"ratio of medians   {statistics.median(ours) / statistics.median(theirs):7.2f}")


if __name__ == "__main__":
    main()

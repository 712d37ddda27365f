"""Stable-Baselines3's SAC with hindsight (HER) on worlds with a goal: `python sb3_her.py [--env ID] [--steps N] [seed ...]`. Prints the success of 100
held-out episodes."""

import argparse
import time

import gymnasium
import torch
from stable_baselines3 import SAC, HerReplayBuffer

import rlx  # noqa: F401 - registers


def success(model: SAC, id: str, episodes: int) -> float:
    env, reached = gymnasium.make(id), 0
    for seed in range(10_000, 10_000 + episodes):
        obs, info = env.reset(seed=seed)
        ended = False
        while not ended:
            obs, _, terminated, truncated, info = env.step(model.predict(obs, deterministic=True)[0])
            ended = terminated or truncated
        reached += info["is_success"]
    return reached / episodes


def train(id: str, seed: int, steps: int) -> None:
    torch.set_num_threads(1)
    model = SAC(
        "MultiInputPolicy", gymnasium.make(id), replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"}, learning_starts=1000,
        batch_size=256, learning_rate=1e-3, gamma=0.95, tau=0.05, policy_kwargs={"net_arch": [256, 256]},
        seed=seed, device="cpu",
    )
    start = time.process_time()
    model.learn(steps)
    seconds = time.process_time() - start
    print(f"seed {seed}: success {success(model, id, 100):.2f} after {steps} steps, {seconds:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--env", default="rlx/Push-v0")
    parser.add_argument("--steps", type=int, default=100_000)
    arguments = parser.parse_args()
    for number in arguments.seeds:
        train(arguments.env, number, arguments.steps)

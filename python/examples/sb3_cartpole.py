"""Stable-Baselines3's PPO on rlx/CartPole-v1: `python sb3_cartpole.py [seed ...]`. Prints the return of 20 held-out episodes."""

import sys
import time

import gymnasium
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import rlx  # noqa: F401 - registers

STEPS = 100_000


def train(seed: int) -> None:
    torch.set_num_threads(1)
    # The settings of rl-baselines3-zoo for CartPole-v1.
    envs = make_vec_env("rlx/CartPole-v1", n_envs=8, seed=seed)
    model = PPO(
        "MlpPolicy", envs, n_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98, n_epochs=20, ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left, clip_range=lambda left: 0.2 * left, seed=seed, device="cpu",
    )
    start = time.process_time()
    model.learn(STEPS)
    seconds = time.process_time() - start
    mean, std = evaluate_policy(model, gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("rlx/CartPole-v1")), 20)
    print(f"seed {seed}: return {mean:.1f} +- {std:.1f} of 20 episodes after {STEPS} steps, {seconds:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    for number in sys.argv[1:] or ["0", "1", "2"]:
        train(int(number))

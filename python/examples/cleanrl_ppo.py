"""PPO in the manner of CleanRL's ppo.py, in one file, on rlx's own vector: `python cleanrl_ppo.py [env id] [steps]`."""

import sys

import gymnasium as gym
import numpy as np
import torch
import torch.nn as nn
from torch.distributions import Categorical

import rlx  # noqa: F401 - registers


def layer(inputs, outputs, std=2**0.5):
    made = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(made.weight, std)
    nn.init.zeros_(made.bias)
    return made


class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        obs, act = int(np.prod(envs.single_observation_space.shape)), envs.single_action_space.n
        self.critic = nn.Sequential(layer(obs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0))
        self.actor = nn.Sequential(layer(obs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, act, 0.01))

    def act(self, x, action=None):
        chances = Categorical(logits=self.actor(x))
        action = chances.sample() if action is None else action
        return action, chances.log_prob(action), chances.entropy(), self.critic(x).squeeze(-1)


def train(env_id="rlx/CartPole-v1", total=100_000, num_envs=32, num_steps=64, seed=1):
    torch.manual_seed(seed), torch.set_num_threads(1)
    envs = gym.make_vec(env_id, num_envs=num_envs)
    envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=2.5e-3, eps=1e-5)
    obs, dones = torch.from_numpy(envs.reset(seed=seed)[0]), torch.zeros(num_envs)
    returns = []
    for _ in range(total // (num_envs * num_steps)):
        kept = []
        for _ in range(num_steps):
            with torch.no_grad():
                action, log_prob, _, value = agent.act(obs)
            after, reward, terminated, truncated, infos = envs.step(action.numpy())
            # With NEXT_STEP the tick after an end is a reset, whose transition is none: it is masked out below.
            kept.append((obs, action, log_prob, value, torch.from_numpy(reward).float(), dones))
            obs, dones = torch.from_numpy(after), torch.from_numpy(terminated | truncated).float()
            if "episode" in infos:
                returns += infos["episode"]["r"][infos["_episode"]].tolist()
        b_obs, b_act, b_log, b_val, b_rew, b_begun = (torch.stack(x) for x in zip(*kept))
        with torch.no_grad():
            following, last, advantages = agent.act(obs)[3], 0.0, torch.zeros_like(b_rew)
            for t in reversed(range(num_steps)):
                ended = dones if t == num_steps - 1 else b_begun[t + 1]
                next_value = following if t == num_steps - 1 else b_val[t + 1]
                delta = b_rew[t] + 0.99 * next_value * (1 - ended) - b_val[t]
                last = delta + 0.99 * 0.95 * (1 - ended) * last
                advantages[t] = last
            targets = advantages + b_val
        real = (b_begun == 0).flatten().nonzero().squeeze(-1)
        flat = [x.flatten(0, 1)[real] for x in (b_obs, b_act, b_log, advantages, targets)]
        for _ in range(4):
            for part in torch.randperm(len(real)).split(512):
                x, a, old, adv, target = (f[part] for f in flat)
                _, log_prob, entropy, value = agent.act(x, a)
                adv = (adv - adv.mean()) / (adv.std() + 1e-8)
                ratio = (log_prob - old).exp()
                policy = -torch.min(adv * ratio, adv * ratio.clamp(0.8, 1.2)).mean()
                loss = policy - 0.01 * entropy.mean() + 0.5 * ((value - target) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
    return returns


if __name__ == "__main__":
    env_id = sys.argv[1] if len(sys.argv) > 1 else "rlx/CartPole-v1"
    returns = train(env_id, int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
    print(f"{len(returns)} episodes; the first 50 returned {np.mean(returns[:50]):.1f}, the last 50 {np.mean(returns[-50:]):.1f}")

#!/bin/sh
# sb3-contrib 2.9.2 with stable-baselines3 2.9.2: a MaskablePPO that is judged by Stable-Baselines3's own evaluate_policy plays without
# masks, and nothing says so. Seen: a policy that made no illegal move in training makes them in 3 of 4 steps of such an evaluation
# (its EvalCallback calls the same function); sb3_contrib's function of the same name makes none.
# Nearby: where every action is masked, the masked distribution is the uniform one over all actions, illegal ones, while its entropy is 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sb3-contrib==2.9.2 stable-baselines3==2.9.2 gymnasium==1.3.0 torch==2.11.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

warnings.filterwarnings("ignore")
import gymnasium, numpy as np, torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.distributions import MaskableCategorical
from sb3_contrib.common.maskable.evaluation import evaluate_policy as masked
from stable_baselines3.common.evaluation import evaluate_policy as plain


class OneLegalAction(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (1,))
    action_space = gymnasium.spaces.Discrete(4)
    illegal = 0

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.step_of_episode = 0
        return np.zeros(1, np.float32), {}

    def action_masks(self):
        return np.array([True, False, False, False])

    def step(self, action):
        OneLegalAction.illegal += int(action != 0)
        self.step_of_episode += 1
        return np.zeros(1, np.float32), 0.0, self.step_of_episode == 10, False, {}


def count(play):
    OneLegalAction.illegal = 0
    play()
    return OneLegalAction.illegal


policy = MaskablePPO("MlpPolicy", OneLegalAction(), n_steps=64, batch_size=64, seed=0)
training = count(lambda: policy.learn(256))
unmasked = count(lambda: plain(policy, OneLegalAction(), n_eval_episodes=3, deterministic=False))
with_masks = count(lambda: masked(policy, OneLegalAction(), n_eval_episodes=3, deterministic=False))
print("illegal actions: training", training, "| stable_baselines3's evaluate_policy", unmasked, "of 30 | sb3_contrib's", with_masks)
assert training == 0 and unmasked > 10 and with_masks == 0
none = MaskableCategorical(logits=torch.zeros(1, 4), masks=np.zeros((1, 4), bool))
print("all actions masked: probabilities", none.probs.tolist(), "entropy", float(none.entropy()))
assert none.probs.tolist() == [[0.25] * 4] and float(none.entropy()) == 0
PYTHON

#!/bin/sh
# imitation 1.0.0: asking a NormalizedRewardNet for a reward changes the rewards of all later questions, in evaluation mode as well.
# Seen: predict_processed of the same eight transitions gives another first reward at the second call; after one look at other
# transitions the same question has another answer still, and net.eval() does not stop it: update_stats is True by default.
# Whoever plots or compares learnt rewards in the middle of training changes the training. What to do: update_stats=False.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check imitation==1.0.0 stable-baselines3==2.2.1 gymnasium==0.29.1 torch==2.11.0 numpy==1.26.4 setuptools==75.8.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

warnings.filterwarnings("ignore")
import gymnasium, numpy as np, torch
from imitation.rewards.reward_nets import BasicRewardNet, NormalizedRewardNet
from imitation.util.networks import RunningNorm

torch.manual_seed(0)
box = lambda n: gymnasium.spaces.Box(-1, 1, (n,))
net = NormalizedRewardNet(BasicRewardNet(box(3), box(1)), normalize_output_layer=RunningNorm)
random = np.random.default_rng(0)
state, action, done = random.normal(size=(8, 3)).astype(np.float32), random.normal(size=(8, 1)).astype(np.float32), np.zeros(8, bool)
ask = lambda scale=1, **k: float(net.predict_processed(state * np.float32(scale), action, state * np.float32(scale), done, **k)[0])
first, second = ask(), ask()
net.eval()
ask(scale=100)
third, fourth = ask(), ask()
print("the first transition's reward, asked again and again:", [round(r, 4) for r in (first, second, third, fourth)])
assert len({first, second, third, fourth}) == 4
still = [ask(update_stats=False) for _ in range(3)]
print("with update_stats=False:", [round(r, 4) for r in still])
assert len(set(still)) == 1
PYTHON

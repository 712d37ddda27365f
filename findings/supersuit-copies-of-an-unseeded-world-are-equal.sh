#!/bin/sh
# supersuit 3.11.0: concat_vec_envs_v1 copies one environment, its random generator included, so that without a seed all copies play the
# same episodes. Seen: three copies of a parallel environment that made its generator in the constructor give three times the same
# observations, step after step; after reset(seed=5) they differ.
# Three times the environments, no more data. What to do: seed the first reset.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check supersuit==3.11.0 pettingzoo==1.27.0 gymnasium==1.4.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

warnings.filterwarnings("ignore")
import numpy as np, supersuit
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv


class Noise(ParallelEnv):
    metadata = {"name": "noise", "is_parallelizable": True}
    render_mode = None
    possible_agents = ["a", "b"]

    def __init__(self):
        self.random = np.random.default_rng()

    def observation_space(self, agent):
        return Box(0, 1, (1,), np.float32)

    def action_space(self, agent):
        return Discrete(2)

    def see(self):
        return {a: self.random.random(1).astype(np.float32) for a in self.agents}

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents = self.possible_agents[:]
        return self.see(), {a: {} for a in self.agents}

    def step(self, actions):
        every = lambda value: {a: value for a in self.agents}
        return self.see(), every(1.0), every(False), every(False), {a: {} for a in self.agents}


worlds = supersuit.concat_vec_envs_v1(supersuit.pettingzoo_env_to_vec_env_v1(Noise()), 3, num_cpus=0, base_class="gymnasium")
unseeded = [worlds.reset()[0]] + [worlds.step(np.zeros(6, int))[0] for _ in range(3)]
for step, seen in enumerate(unseeded):
    copies = seen.reshape(3, 2)
    print("step", step, "three copies of two agents:", copies.round(3).tolist())
    assert (copies == copies[0]).all()
seeded = worlds.reset(seed=5)[0].reshape(3, 2)
print("seeded:", seeded.round(3).tolist())
assert not np.array_equal(seeded[0], seeded[1])
PYTHON

"""Learners of others on worlds of ours; skipped where torch is not installed."""

import importlib.util
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import rlx  # noqa: F401 - registers
from conftest import GOALS, IDS

pytest.importorskip("torch", reason="torch is not installed")
EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("id", IDS)
def test_stable_baselines3s_checker(id):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        checker.check_env(gymnasium.make(id).unwrapped, warn=True)
    said = [str(w.message) for w in caught if "stable_baselines3" in str(w.filename)]
    if id == "rlx/Pendulum-v1":
        said = [s for s in said if "normalized" not in s]
    if id == "rlx/Red10-v0":
        said = [s for s in said if "image" not in s]
    assert not said


@pytest.mark.parametrize("copy", [False, True])
def test_hindsight_relabels_by_our_judgement(copy):
    sb3 = pytest.importorskip("stable_baselines3")
    warnings.simplefilter("ignore")
    buffer = {"n_sampled_goal": 4, "copy_info_dict": copy}
    model = sb3.SAC(
        "MultiInputPolicy", gymnasium.make(GOALS[-1]), replay_buffer_class=sb3.HerReplayBuffer, replay_buffer_kwargs=buffer,
        learning_starts=100, batch_size=64, device="cpu", policy_kwargs={"net_arch": [16]},
    )
    model.learn(150)
    rewards = model.replay_buffer.sample(256).rewards.numpy()
    assert set(np.unique(rewards)) <= {-1.0, 0.0}


def test_masks_of_a_seat_for_sb3_contrib():
    contrib = pytest.importorskip("sb3_contrib")
    warnings.simplefilter("ignore")
    env = gymnasium.make("rlx/Red10-v0", opponents="random", illegal="error")
    model = contrib.MaskablePPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=1, device="cpu", policy_kwargs={"net_arch": [16]})
    model.learn(128)  # an illegal move would be an error


def test_a_cleanrl_script_learns():
    warnings.simplefilter("ignore")
    returns = example("cleanrl_ppo").train(total=40_000)
    assert np.mean(returns[-20:]) > 3 * np.mean(returns[:50])


def test_torchrl_collects():
    pytest.importorskip("torchrl")
    warnings.simplefilter("ignore")
    batches = example("torchrl_collect").collect(800)
    assert len(batches) == 2 and all(b["observation"].shape == (4, 100, 4) for b in batches)
    for batch in batches:
        done = batch["next", "done"][..., 0]
        # Within a trajectory what follows is the next row; at its end it is the end itself, not the next beginning.
        follows = (batch["next", "observation"][:, :-1] == batch["observation"][:, 1:]).all(-1)
        assert (follows == ~done[:, :-1]).all()

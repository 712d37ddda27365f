"""A wheel of one's own, and what Python gets of a world that breaks. Built by `python/test.sh`; skipped where it was not."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlx

pytest.importorskip("bandits", reason="the wheel of tests/extension is not installed")
rlx.register("bandits", namespace="mine")


def test_its_worlds_are_environments_like_any():
    env = gymnasium.make("mine/Bandit-v0", arms=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped, skip_render_check=True)
    assert not caught
    obs, _ = env.reset(seed=0)
    best = int(obs[:5].argmax())
    assert [env.step(best)[1] for _ in range(19)] == [1.0] * 19
    assert env.step(best)[3], "its own key, pulls, is its limit"
    envs = gymnasium.make_vec("mine/Bandit-v0", num_envs=3, pulls=7)
    envs.reset(seed=0)
    assert [bool(envs.step([0, 1, 2])[3].all()) for _ in range(7)] == [False] * 6 + [True]
    assert rlx.worlds("bandits").keys() == {"bandit", "faulty"}
    assert "Pulls in an episode." in rlx.describe("bandit", "bandits")
    with pytest.raises(ValueError, match="did you mean 'pulls'"):
        gymnasium.make("mine/Bandit-v0", pull=3)


def test_a_limit_from_outside_where_the_world_has_its_own():
    envs = gymnasium.make_vec("mine/Bandit-v0", num_envs=3, max_episode_steps=4, autoreset_mode="SameStep")
    first = envs.reset(seed=0)[0]
    for t in range(9):
        obs, _, _, truncated, infos = envs.step([0, 1, 2])
        assert truncated.all() == (t in (3, 7))
    single = gymnasium.make("mine/Bandit-v0", max_episode_steps=4)
    assert np.array_equal(single.reset(seed=1)[0], first[1])
    nexts = gymnasium.make_vec("mine/Bandit-v0", num_envs=2, max_episode_steps=4)
    nexts.reset(seed=0)
    flags = [nexts.step([0, 0])[3].tolist() for _ in range(10)]
    assert [t for t, f in enumerate(flags) if any(f)] == [3, 8], "the reset is a step of its own that counts for nothing"


def test_several_sets_of_choices_and_pictures_as_observations():
    env = gymnasium.make("mine/Faulty-v0").unwrapped
    assert env.observation_space.shape == (2, 3) and env.observation_space.dtype == np.uint8
    assert env.action_space == gymnasium.spaces.MultiDiscrete([3, 3])
    obs, _ = env.reset(seed=0)
    assert obs.shape == (2, 3) and env.action_masks().tolist() == [True] * 5 + [False]
    obs, reward, *_ = env.step([0, 0])
    assert (obs == 1).all() and reward == 1.0 and env.action_masks().all()
    for wrong in ([0], [0, 3], [0.0, 0.0], 1):
        with pytest.raises(ValueError):
            env.step(wrong)
    envs = gymnasium.make_vec("mine/Faulty-v0", num_envs=2, autoreset_mode="SameStep")
    envs.reset(seed=0)
    obs, _, terminated, _, infos = envs.step([[2, 0], [0, 0]])
    assert terminated.tolist() == [True, False] and obs.shape == (2, 2, 3)
    assert infos["final_obs"][0].shape == (2, 3) and infos["final_obs"][1] is None
    assert envs.action_masks().shape == (2, 6)


def test_a_panic_is_an_exception_with_its_words():
    env = gymnasium.make("mine/Faulty-v0").unwrapped
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="its mood is not finite"):
        env.step([0, 2])
    env.step([0, 0])  # an error is none of the world's state
    with pytest.raises(RuntimeError, match="it was told to break") as caught:
        env.step([0, 1])
    assert isinstance(caught.value, Exception)
    with pytest.raises(RuntimeError, match="panicked before"):
        env.step([0, 0])
    with pytest.raises(RuntimeError, match="still-born"):
        gymnasium.make("mine/Faulty-v0", still_born=True)
    envs = gymnasium.make_vec("mine/Faulty-v0", num_envs=200)
    envs.reset(seed=0)
    with pytest.raises(RuntimeError, match="it was told to break"):
        envs.step([[0, 0]] * 150 + [[0, 1]] * 50)


def breaking():
    rlx.register("bandits", namespace="mine")
    return gymnasium.make("mine/Faulty-v0")


def test_a_panic_in_another_process_keeps_its_words():
    warnings.simplefilter("ignore")
    envs = gymnasium.vector.AsyncVectorEnv([breaking] * 2, context="spawn")
    try:
        envs.reset(seed=0)
        with pytest.raises(RuntimeError, match="it was told to break"):
            envs.step([[0, 1], [0, 0]])
    finally:
        envs.close(terminate=True)

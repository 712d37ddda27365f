"""Exported policies do in NumPy what they do in Rust: the golden files are written and checked by `tests/python.rs` outside."""

import json
import pickle
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import rlx
from rlx import policies, red10

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(p.stem for p in GOLDEN.glob("*.safetensors"))
ROWS = [n for n in NAMES if "red10" not in n]
CARDS = [n for n in NAMES if "red10" in n]


def cases(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def load(name, **kwargs):
    return rlx.load_policy(GOLDEN / f"{name}.safetensors", **kwargs)


def test_every_algorithm_has_a_golden_policy():
    # What tdrp exports is sac's.
    assert {load(n).algo for n in NAMES} == set(policies.KINDS) - {"tdrp"}
    assert "tdrp-reach" in NAMES


@pytest.mark.parametrize("name", ROWS)
def test_actions_are_rusts(name):
    policy, all_cases = load(name), cases(name)
    obs = np.array([c["obs"] for c in all_cases], np.float32)
    expected = np.array([c["action"] for c in all_cases])
    batch, state = policy.predict(obs)
    assert state is None
    assert np.abs(batch.reshape(expected.shape) - expected).max() < 1e-6
    for row, action in zip(obs, batch):
        assert np.array_equal(policy.predict(row)[0], action)
    assert len(np.unique(expected, axis=0)) > 1, "the policy does not always do the same"


@pytest.mark.parametrize("name", CARDS)
def test_values_are_rusts(name):
    policy, compared = load(name), 0
    for case in cases(name):
        moves = np.array(case["candidates"], np.uint8).reshape(-1, policy.move_width)
        obs = {"observation": np.array(case["obs"], np.uint8), "candidates": moves, "seat": case["seat"]}
        if len(moves) == 1:
            continue
        values = policy.values(obs["observation"], moves, case["seat"])
        assert np.abs(values - case["values"]).max() < 1e-6
        assert policy.predict(obs)[0] == case["action"][0]
        if policy.guesses:
            assert np.abs(policy.teammates(obs["observation"]) - case["teammates"]).max() < 1e-6
        compared += 1
    assert compared > 3


@pytest.mark.parametrize("name", ROWS)
def test_a_policy_plays_in_its_environment(name):
    world = load(name).env
    made = {"cartpole": "CartPole-v1", "pendulum": "Pendulum-v1"}.get(world, f"{world.capitalize()}-v0")
    env = gymnasium.make(f"rlx/{made}")
    policy = load(name, env=env)
    obs, _ = env.reset(seed=0)
    for _ in range(20):
        obs, _, terminated, truncated, _ = env.step(policy.predict(obs)[0])
        if terminated or truncated:
            obs, _ = env.reset()
    envs = gymnasium.make_vec(f"rlx/{made}", num_envs=3)
    obs, _ = envs.reset(seed=0)
    drawn = [policy.predict(obs, deterministic=False)[0] for _ in range(2)]
    assert drawn[0].shape == envs.action_space.shape and not np.array_equal(*drawn) or world == "cartpole"
    policy.seed(4)
    first = policy.predict(obs, deterministic=False)[0]
    policy.seed(4)
    assert np.array_equal(first, policy.predict(obs, deterministic=False)[0])
    envs.step(first)
    pickle.loads(pickle.dumps(policy))


@pytest.mark.parametrize("name", CARDS)
def test_a_policy_sits_at_a_table(name):
    paid = red10.play([load(name), "random", "greedy", load(name)], 4, seed=1)
    assert set(np.unique(paid)) <= {-1.0, 1.0}
    pytest.importorskip("pettingzoo")
    env, policy = rlx.red10_v0.env(actions="candidates"), load(name)
    policy.check(env)
    env.reset(seed=2)
    for _ in env.agent_iter():
        *_, termination, truncation, _ = env.last()
        env.step(None if termination or truncation else env.unwrapped.action_of(policy.choose(env)))


def test_policies_of_others_are_refused(tmp_path):
    policy = load("sac-push")
    with pytest.raises(ValueError, match="rows of 31"):
        policy.predict(np.zeros(4))
    with pytest.raises(ValueError, match="rows"):
        policy.predict({"observation": np.zeros(4)})
    with pytest.raises(ValueError, match="another world|rows of 31"):
        policy.predict(gymnasium.make("rlx/Reach-v0").reset(seed=0)[0])
    with pytest.raises(ValueError, match="trained in push, and this is pick-place"):
        load("sac-push", env=gymnasium.make("rlx/PickPlace-v0"))
    with pytest.raises(ValueError, match="trained in push"):
        load("sac-push", env=gymnasium.make("CartPole-v1"))
    with pytest.raises(ValueError, match="candidates"):
        load("dmc-red10").predict(np.zeros(3))
    data = (GOLDEN / "sac-push.safetensors").read_bytes()
    for name, bad in [("cut", data[:-5]), ("short", data[:5]), ("text", b"a policy"), ("empty", b"")]:
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(ValueError, match="no policy that rlx exported"):
            rlx.load_policy(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        rlx.load_policy(tmp_path / "nowhere")


def with_config(name, config, path):
    """The golden file with the config that `rlx export` writes into its metadata."""
    data = (GOLDEN / f"{name}.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"]["config"] = config
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    return path


def test_what_only_the_config_says_is_heard(tmp_path):
    row = np.array(cases("chain-stack3")[0]["obs"], np.float32)
    act = lambda config: rlx.load_policy(with_config("chain-stack3", config, tmp_path / "x.safetensors")).predict(row)[0]
    relu, tanh = act('[algo]\nactivation = "relu"\n'), act('[algo]\nactivation = "tanh"\n')
    assert np.array_equal(relu, load("chain-stack3").predict(row)[0]) and not np.allclose(relu, tanh)
    told = with_config("idrl-red10", '[algo]\nrelation = "truth"\n', tmp_path / "y.safetensors")
    with pytest.raises(ValueError, match="it must be told the teams"):
        rlx.load_policy(told)
    rlx.load_policy(with_config("idrl-red10", '[algo]\nrelation = "network"\n', tmp_path / "z.safetensors"))

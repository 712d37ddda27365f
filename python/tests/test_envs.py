"""Single worlds: Gymnasium's own checks, its own classic worlds, snapshots, rewards of goals, bad input."""

import copy
import json
import os
import pickle
import threading
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.env_match import check_environments_match

import rlx
from rlx import registration
from conftest import GOALS, IDS


def rollout(env, actions):
    """Everything that is seen on the way, resetting where an episode ends."""
    seen = []
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        seen.append((obs, reward, terminated, truncated))
        if terminated or truncated:
            seen.append(env.reset()[0])
    return seen


def same(a, b):
    """Equal to the bit, arrays and dicts of them included."""
    return pickle.dumps(a) == pickle.dumps(b)


def test_all_worlds_are_registered_with_both_entry_points():
    assert len(IDS) == 19, IDS
    for id in IDS:
        spec = gymnasium.spec(id)
        json.loads(spec.to_json())
        assert (spec.vector_entry_point is not None) == (id != "rlx/Red10-v0")
        assert (spec.max_episode_steps is None) == (id == "rlx/Red10-v0")


@pytest.mark.parametrize("id", IDS)
def test_gymnasiums_checker_has_nothing_to_say(id):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env = gymnasium.make(id, render_mode="ansi" if "Red10" in id else "rgb_array").unwrapped
        check_env(env)
    said = [str(w.message) for w in caught]
    if id == "rlx/Pendulum-v1":
        # Gymnasium recommends the same to its own Pendulum-v1, whose torque this one's is.
        said = [s for s in said if "we recommend using a symmetric and normalized space" not in s]
    assert not said


class Adapter(gymnasium.Wrapper):
    """Begins where Gymnasium's own world began, for the two draw their beginnings from other streams."""

    def __init__(self, env, theirs, after):
        super().__init__(env)
        # Bytes of a snapshot after the state, which is 64-bit floats.
        self.theirs, self.after = theirs, after
        self.observation_space = theirs.observation_space  # the same bounds but for infinite ones

    def reset(self, *, seed=None, options=None):
        self.env.reset(seed=seed)
        obs, _ = self.theirs.reset(seed=seed)
        state = np.asarray(self.theirs.unwrapped.state, np.float64).tobytes()
        saved = self.env.unwrapped.save()
        end = len(saved) - self.after
        self.env.unwrapped.load(saved[: end - len(state)] + state + saved[end:])
        return obs, {}

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        exact = self.theirs.step(action)[1]
        # Gymnasium's check holds rewards equal to the bit; worlds pay in 32 bits, and are held to the tolerance of observations.
        if np.isclose(reward, exact, rtol=1e-5, atol=1e-5):
            reward = exact
        return obs, reward, terminated, truncated, info


@pytest.mark.parametrize(
    "id, after", [("CartPole-v1", 0), ("Pendulum-v1", 0), ("Acrobot-v1", 0), ("MountainCarContinuous-v0", 1)]
)
def test_classic_worlds_match_gymnasiums_own(id, after):
    theirs, reference = gymnasium.make(id), gymnasium.make(id)
    ours = Adapter(gymnasium.make(f"rlx/{id}"), reference, after)
    # 1e-5, as our golden trajectories have it.
    check_environments_match(theirs, ours, num_steps=2000, seed=1, info_comparison="skip")


@pytest.mark.parametrize("id", IDS)
def test_seeds_decide_everything_and_snapshots_go_on_to_the_bit(id):
    a, b = gymnasium.make(id).unwrapped, gymnasium.make(id).unwrapped
    a.action_space.seed(0)
    assert same(a.reset(seed=5)[0], b.reset(seed=5)[0])
    if "Red10" in id:
        pytest.skip("its snapshot is its table's: test_red10")
    actions = [a.action_space.sample() for _ in range(120)]
    assert same(rollout(a, actions[:60]), rollout(b, actions[:60]))
    state, twins = a.save(), [copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))]
    rest = rollout(a, actions[60:])
    for twin in twins:
        assert same(rollout(twin, actions[60:]), rest)
    b.reset(seed=9)
    b.load(state)
    assert same(rollout(b, actions[60:]), rest)
    with pytest.raises(ValueError, match="snapshot"):
        b.load(state[:-1])
    with pytest.raises(ValueError, match="snapshot"):
        b.load(b"")
    assert same(a.reset(seed=5)[0], b.reset(seed=5)[0]), "a damaged snapshot leaves a world that can be reset"


def test_a_snapshot_of_an_episode_that_ended_is_reset_to_the_same_next():
    env = rlx.Env("cartpole", time_limit=3)
    env.reset(seed=1)
    [env.step(0) for _ in range(3)]
    twin = copy.deepcopy(env)
    assert same(env.reset()[0], twin.reset()[0])
    other = rlx.Env("cartpole", time_limit=4)
    with pytest.raises(ValueError, match="time_limit"):
        other.load(env.save())


def test_what_was_returned_never_changes():
    env = rlx.Env("push", render_mode="rgb_array")
    kept = [env.reset(seed=1)[0], env.render()]
    before = copy.deepcopy(kept)
    for _ in range(60):
        obs, *_, ended, _ = env.step(env.action_space.sample())
        kept += [obs, env.render()] if len(kept) < 10 else []
        before += copy.deepcopy(kept[len(before) :])
        if ended:
            env.reset()
    assert same(kept, before)


def test_types_are_pythons_own():
    for id in IDS:
        env = gymnasium.make(id).unwrapped
        obs, info = env.reset(seed=1)
        mask = info.get("action_mask")
        for _ in range(3):
            action = env.action_space.sample() if mask is None else env.action_space.sample(mask)
            obs, reward, terminated, truncated, info = env.step(action)
            assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
            mask = info.get("action_mask")
            if terminated:
                break


@pytest.mark.parametrize("id", GOALS)
@pytest.mark.parametrize("settings", [{}, {"reward": "dense"}, {"convention": "panda"}])
def test_goals_are_judged_as_steps_are(id, settings):
    env = gymnasium.make(id, **settings).unwrapped
    rows, seed = [], 0
    env.reset(seed=seed)
    env.action_space.seed(1)
    for _ in range(150):
        bot = env.bot("scripted")
        obs, reward, terminated, truncated, info = env.step(bot)
        rows.append((obs["achieved_goal"], obs["desired_goal"], reward, terminated, info["is_success"]))
        one = obs["achieved_goal"], obs["desired_goal"]
        got = env.compute_reward(*one, info)
        assert isinstance(got, np.ndarray) and got.shape == () and got == reward
        if terminated or truncated:
            seed += 1
            env.reset(seed=seed)
    a, d, reward, terminated, success = (np.array(x) for x in zip(*rows))
    assert success.any() and not success.all(), "both sides of the goal are seen"
    infos = [[{}] * len(a), np.array([{}] * len(a), dtype=object), {}]
    for info in infos:
        assert np.array_equal(env.compute_reward(a, d, info), reward)
        assert np.array_equal(env.compute_terminated(a, d, info), terminated)
        assert not env.compute_truncated(a, d, info).any()
    square = (10, len(a) // 10, a.shape[-1])
    assert env.compute_reward(a.reshape(square), d.reshape(square), {}).shape == square[:-1]
    with pytest.raises(ValueError, match="goals of shapes"):
        env.compute_reward(a, d[:1], {})


def test_settings_are_checked_and_explained():
    for wrong, words in [
        ({"rewad": "dense"}, "did you mean 'reward'"),
        ({"reward": "lots"}, "sparse, dense"),
        ({"held": 2.0}, "from 0 to 1"),
        ({"held": object()}, "is no setting"),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            gymnasium.make("rlx/Push-v0", **wrong)
    with pytest.raises(ValueError, match="max_episode_steps=9"):
        gymnasium.make("rlx/Push-v0", time_limit=9)
    with pytest.raises(ValueError, match="did you mean 'push'"):
        rlx.Env("puhs")
    with pytest.raises(ValueError, match="no single agent"):
        rlx.Env("red10")
    rlx.Env("push", held=np.float64(0.5), time_limit=np.int64(7)).close()
    assert "What a step pays." in rlx.describe("push") and "did you" not in rlx.describe()
    assert {k["name"] for k in registration.keys("cartpole")} == {"time_limit", "gravity", "force", "half_length"}


def test_limits_are_gymnasiums():
    for kwargs, ticks in [({}, 50), ({"max_episode_steps": 7}, 7), ({"max_episode_steps": 70}, 70)]:
        env = gymnasium.make("rlx/Push-v0", **kwargs)
        env.reset(seed=0)
        n, truncated = 0, False
        while not truncated:
            truncated = env.step(np.zeros(4))[3]
            n += 1
        assert n == ticks
    env = rlx.Env("push", time_limit=5)
    env.reset(seed=0)
    assert [env.step(np.zeros(4))[3] for _ in range(5)] == [False] * 4 + [True]
    assert set(env.metrics) == {"success", "success_once", "distance", "clipped"}
    env.reset()
    assert env.metrics == {}


@pytest.mark.parametrize(
    "world, action, words",
    [
        ("cartpole", 2, "from 0 to 1"),
        ("cartpole", -1, "from 0 to 1"),
        ("cartpole", 0.5, "whole number"),
        ("cartpole", "left", "whole number"),
        ("cartpole", None, "whole number"),
        ("cartpole", [0], "whole number"),
        ("cartpole", np.array([0]), "whole number"),
        ("pendulum", [0.0, 0.0], "shape"),
        ("pendulum", 0.0, "shape"),
        ("pendulum", [np.nan], "from -2 to 2"),
        ("pendulum", [np.inf], "from -2 to 2"),
        ("pendulum", [1e300], "from -2 to 2"),
        ("pendulum", [2.1], "from -2 to 2"),
        ("pendulum", ["a"], "dtype"),
        ("pendulum", [1j], "dtype"),
        ("pendulum", None, "dtype"),
        ("push", np.zeros((4, 1)), "shape"),
        ("push", [0, 0, 0, 1.5], "scalar 3"),
        ("push", [[0, 0], [0]], "inhomogeneous|dtype"),
    ],
)
def test_a_bad_action_is_an_error_with_its_reason_and_changes_nothing(world, action, words):
    env, twin = rlx.Env(world), rlx.Env(world)
    env.reset(seed=3), twin.reset(seed=3)
    with pytest.raises(ValueError, match=words):
        env.step(action)
    good = env.action_space.sample()
    assert same(env.step(good), twin.step(good))


def test_good_actions_of_other_dtypes_are_taken():
    env, twin = rlx.Env("push"), rlx.Env("push")
    env.reset(seed=3), twin.reset(seed=3)
    act = [1, 0, -1, 1]
    for given in (np.array(act, "f8"), np.array(act, ">f8"), np.array(act, "i4"), act, np.array([act] * 2)[::-1][0]):
        assert same(env.step(given), twin.step(np.array(act, np.float32)))
    read_only = np.array(act, np.float32)
    read_only.flags.writeable = False
    env.step(read_only)
    cart = rlx.Env("cartpole")
    cart.reset(seed=0)
    for action in (0, np.int64(1), np.int32(0), np.array(1), True):
        cart.step(action)


def test_order_and_closing():
    env = rlx.Env("cartpole", time_limit=2)
    with pytest.raises(ValueError, match="no episode has begun"):
        env.step(0)
    env.reset(seed=1)
    env.step(0), env.step(0)
    with pytest.raises(ValueError, match="its episode has ended"):
        env.step(0)
    with pytest.raises(ValueError, match="options"):
        env.reset(options={"goal": 1})
    env.close(), env.close()
    for call in (lambda: env.step(0), env.reset, env.save):
        with pytest.raises(ClosedEnvironmentError):
            call()
    with pytest.raises(ClosedEnvironmentError):
        pickle.loads(pickle.dumps(env)).reset()


def test_two_threads_get_an_error_or_a_turn_and_never_the_same_step():
    env = rlx.Env("pick-place", time_limit=100_000)
    env.reset(seed=0)
    errors, steps = [], []

    def work():
        for _ in range(200):
            try:
                env.step(np.zeros(4))
                steps.append(1)
            except RuntimeError as e:
                errors.append(str(e))

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert len(steps) + len(errors) == 800 and steps
    assert errors, "a step of this world lasts long enough for others to come in between"
    assert all("another thread" in e for e in errors)
    env.step(np.zeros(4))


def test_pictures():
    env = gymnasium.make("rlx/CartPole-v1", render_mode="rgb_array", width=160, height=120)
    env.reset(seed=0)
    first = env.render()
    assert first.shape == (120, 160, 3) and first.dtype == np.uint8 and first.std() > 1
    ended = False
    while not ended:
        ended = env.step(0)[2]
    fallen = env.render()
    env.reset()
    assert not np.array_equal(fallen, env.render()), "the last picture is the end's, not that of the next beginning"
    with pytest.raises(ValueError, match="rgb_array"):
        rlx.Env("push", render_mode="human")
    assert rlx.Env("push").render() is None


def test_a_film_of_it(tmp_path):
    pytest.importorskip("moviepy")
    env = gymnasium.make("rlx/Reach-v0", render_mode="rgb_array", width=64, height=48, max_episode_steps=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.wrappers.RecordVideo(env, str(tmp_path), episode_trigger=lambda _: True, disable_logger=True)
        env.reset(seed=0)
        for _ in range(4):
            env.step(env.action_space.sample())
        frames = env.recorded_frames if env.recorded_frames else []
        env.close()
    assert list(tmp_path.glob("*.mp4"))
    assert all(not np.array_equal(a, b) for a, b in zip(frames, frames[1:]))


def test_a_window_where_a_display_is():
    pytest.importorskip("pygame")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make("rlx/CartPole-v1", render_mode="human")
    env.reset(seed=0)
    env.step(0)
    env.close()


def test_what_they_are_and_what_only_goals_have():
    for id in IDS:
        env = gymnasium.make(id)
        assert isinstance(env.unwrapped, gymnasium.Env) and env.unwrapped.spec.id == id
        for name in ("compute_reward", "compute_terminated", "compute_truncated"):
            assert hasattr(env.unwrapped, name) == isinstance(env.observation_space, gymnasium.spaces.Dict)
    envs = gymnasium.make_vec("rlx/Push-v0", num_envs=2)
    assert isinstance(envs, gymnasium.vector.VectorEnv) and envs.compute_reward(np.zeros((2, 3)), np.ones((2, 3)), {}).shape == (2,)
    assert not hasattr(gymnasium.make_vec("rlx/CartPole-v1", num_envs=2), "compute_reward")

"""Many worlds: the three ways to reset, seeds, limits, copies, threads and forks; held against Gymnasium's own vectors of our single worlds."""

import copy
import os
import pickle
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import rlx

MODES = list(AutoresetMode)


def flat(x):
    """A nest of arrays as a list of (path, array or value)."""
    if isinstance(x, dict):
        return [(f"{k}/{p}", v) for k in sorted(x) for p, v in flat(x[k])]
    if isinstance(x, (tuple, list)) or (isinstance(x, np.ndarray) and x.dtype == object):
        return [(f"{i}/{p}", v) for i, item in enumerate(x) for p, v in flat(item)]
    return [("", x)]


def assert_same(a, b):
    a, b = flat(a), flat(b)
    assert [p for p, _ in a] == [p for p, _ in b]
    for (path, x), (_, y) in zip(a, b):
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype and x.shape == y.shape, path
        assert np.array_equal(x, y), path


def without(infos, *names):
    """Infos without keys that only one side has."""
    drop = {n for name in names for n in (name, "_" + name)}
    return {k: without(v, *names) if isinstance(v, dict) else v for k, v in infos.items() if k not in drop}


@pytest.mark.parametrize("world, limit", [("CartPole-v1", 12), ("Push-v0", 5), ("Pendulum-v1", 4), ("Stack3-v0", 6)])
@pytest.mark.parametrize("mode", MODES)
def test_a_vector_is_gymnasiums_vector_of_single_worlds(world, limit, mode):
    n, id = 5, f"rlx/{world}"
    ours = gymnasium.make_vec(id, num_envs=n, autoreset_mode=mode.value, max_episode_steps=limit)
    singles = [lambda: gymnasium.make(id, max_episode_steps=limit)] * n
    theirs = SyncVectorEnv(singles, autoreset_mode=mode)
    assert ours.single_observation_space == theirs.single_observation_space
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    assert_same(ours.reset(seed=7), theirs.reset(seed=7))
    theirs.action_space.seed(3)
    ends = 0
    for _ in range(40):
        actions = theirs.action_space.sample()
        a, b = ours.step(actions), list(theirs.step(actions))
        # Where time is up in the very step in which a world ends by itself, Gymnasium's wrapper sets both flags; here a death is no time-out.
        b[3] = b[3] & ~b[2]
        b = tuple(b)
        assert_same(a[:4], b[:4])
        # The end of a single world is its wrapper's doing, of which the world knows nothing: only vectors have its metrics.
        assert_same(without(a[4], "metrics"), without(b[4], "metrics"))
        ended = a[2] | a[3]
        ends += ended.sum()
        if mode == AutoresetMode.DISABLED and ended.any():
            with pytest.raises(ValueError, match="its episode has ended"):
                ours.step(actions)
            assert_same(ours.reset(options={"reset_mask": ended})[0], theirs.reset(options={"reset_mask": ended})[0])
    assert ends > n


@pytest.mark.parametrize("mode", MODES)
def test_what_worlds_say_of_an_episode_stands_where_it_ended(mode):
    envs = gymnasium.make_vec("rlx/Push-v0", num_envs=3, max_episode_steps=4, autoreset_mode=mode)
    envs.reset(seed=0)
    for t in range(4):
        *_, truncated, infos = envs.step(envs.action_space.sample())
        assert truncated.all() == (t == 3)
        said = infos.get("final_info", {}) if mode == AutoresetMode.SAME_STEP else infos
        assert ("metrics" in said) == (t == 3)
    assert said["metrics"]["distance"].shape == (3,) and said["_metrics"].all()
    assert np.array_equal(said["metrics"]["success"].astype(bool), said["is_success"])
    assert envs.metadata["autoreset_mode"] is mode


def test_seeds_one_or_a_list_and_streams_that_go_on():
    envs = gymnasium.make_vec("rlx/Reach-v0", num_envs=3)
    first = envs.reset(seed=4)[0]
    assert_same(envs.reset(seed=[4, 5, 6])[0], first)
    again = envs.reset(seed=[4, None, None])[0]
    for part in first:
        assert np.array_equal(again[part][0], first[part][0])
    assert not np.array_equal(again["desired_goal"][1], first["desired_goal"][1])
    for i in range(3):
        single = gymnasium.make("rlx/Reach-v0").reset(seed=4 + i)[0]
        assert all(np.array_equal(single[part], first[part][i]) for part in first)
    with pytest.raises(ValueError, match="2 seeds for 3"):
        envs.reset(seed=[1, 2])
    a, b = (gymnasium.make_vec("rlx/Reach-v0", num_envs=3).reset()[0] for _ in range(2))
    assert not np.array_equal(a["desired_goal"], b["desired_goal"]), "without a seed no two are the same"


def test_limits_of_its_own_and_of_the_world():
    envs = rlx.VectorEnv("cartpole", num_envs=2, max_episode_steps=-1)
    assert envs._worlds.spec()["time_limit"] == 2**32 - 1
    for wrong in ({"max_episode_steps": 0}, {"max_episode_steps": 5, "time_limit": 5}, {"num_envs": 0}, {"num": 2}):
        with pytest.raises(ValueError):
            rlx.VectorEnv("cartpole", **wrong)
    with pytest.raises(ValueError):
        rlx.VectorEnv("cartpole", autoreset_mode="Sometimes")
    made = gymnasium.make_vec("rlx/CartPole-v1", num_envs=2, max_episode_steps=7)
    again = gymnasium.make_vec(made.spec)
    again.reset(seed=0)
    lengths = [int(again.step(np.array([t % 2, 1 - t % 2]))[3].any()) for t in range(7)]
    assert lengths == [0] * 6 + [1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("world", ["cartpole", "push"])
def test_no_memory_that_is_written_again_leaves(mode, world):
    envs = rlx.VectorEnv(world, num_envs=4, max_episode_steps=3, autoreset_mode=mode)
    kept = [envs.reset(seed=1)]
    before = copy.deepcopy(kept)
    ended = np.zeros(4, bool)
    for _ in range(12):
        if mode == AutoresetMode.DISABLED and ended.any():
            kept.append(envs.reset(options={"reset_mask": ended}))
            ended = np.zeros(4, bool)
        else:
            kept.append(envs.step(envs.action_space.sample()))
            ended = kept[-1][2] | kept[-1][3]
        before.append(copy.deepcopy(kept[-1]))
    assert_same(kept, before)


def test_one_array_again_and_again_if_that_is_asked_for():
    envs = rlx.VectorEnv("push", num_envs=2, copy=False)
    first = envs.reset(seed=0)[0]["observation"]
    then = envs.step(envs.action_space.sample())[0]["observation"]
    assert np.shares_memory(first, then) and np.array_equal(first, then)


@pytest.mark.parametrize("copying", [True, False])
def test_the_copies_of_a_step(copying):
    """Worlds write into what is returned. Only an episode's end copies rows: its last view aside, and the next one's first back."""
    n, width = 8, 31
    envs = rlx.VectorEnv("push", num_envs=n, copy=copying, max_episode_steps=10)
    envs.reset(seed=0)
    for t in range(1, 10):
        envs.step(envs.action_space.sample())
        assert envs.copied == 0, "no byte within an episode"
    envs.step(envs.action_space.sample())
    assert envs.copied == n * width * 4 * 2, "the end: the next first view aside, the last in its place"
    envs.step(envs.action_space.sample())
    assert envs.copied == n * width * 4 * 3, "the reset: the first view in its place"
    at_once = rlx.VectorEnv("push", num_envs=n, autoreset_mode="SameStep", max_episode_steps=10)
    at_once.reset(seed=0)
    for _ in range(25):
        at_once.step(at_once.action_space.sample())
    assert at_once.copied == 0


@pytest.mark.parametrize(
    "actions, words",
    [
        ([[0] * 4] * 2, "shape"),
        (np.full((3, 4), np.nan), "environment 0"),
        ([[0] * 4, [0, 0, 9, 0], [0] * 4], "environment 1"),
        (np.zeros((3, 4), complex), "dtype"),
        (None, "dtype"),
    ],
)
def test_bad_actions_name_the_world_and_move_none(actions, words):
    envs, twins = rlx.VectorEnv("push", num_envs=3), rlx.VectorEnv("push", num_envs=3)
    envs.reset(seed=1), twins.reset(seed=1)
    with pytest.raises(ValueError, match=words):
        envs.step(actions)
    good = envs.action_space.sample()
    assert_same(envs.step(good)[0], twins.step(good)[0])


def test_bad_masks_and_closing():
    envs = rlx.VectorEnv("cartpole", num_envs=3, autoreset_mode="Disabled")
    with pytest.raises(ValueError, match="no episode has begun"):
        envs.step([0, 0, 0])
    envs.reset(seed=0)
    for mask, error in [([True] * 3, TypeError), (np.ones(3), TypeError), (np.ones(2, bool), ValueError), (np.zeros(3, bool), ValueError)]:
        with pytest.raises(error, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="options"):
        envs.reset(options={"mask": 1})
    other = rlx.VectorEnv("cartpole", num_envs=3)
    other.reset(seed=0)
    with pytest.raises(ValueError, match="DISABLED"):
        other.reset(options={"reset_mask": np.ones(3, bool)})
    for discrete in ([0.0, 1.0, 0.0], [0, 2, 0]):
        with pytest.raises(ValueError):
            other.step(discrete)
    envs.close(), envs.close()
    with pytest.raises(ClosedEnvironmentError):
        envs.step([0, 0, 0])


def test_copies_and_pickles_go_on_to_the_bit():
    envs = rlx.VectorEnv("pick-place", num_envs=3, max_episode_steps=7)
    envs.reset(seed=2)
    [envs.step(envs.action_space.sample()) for _ in range(9)]
    twins = [copy.deepcopy(envs), pickle.loads(pickle.dumps(envs))]
    for _ in range(12):
        actions = envs.action_space.sample()
        expected = envs.step(actions)
        for twin in twins:
            assert_same(twin.step(actions), expected)


THREADS = """
import os, numpy as np, rlx
envs = rlx.VectorEnv("pick-place", num_envs=37)
obs = envs.reset(seed=3)[0]
for t in range(60):
    obs = envs.step(np.sin(np.arange(37 * 4).reshape(37, 4) + t))[0]
import hashlib
print(rlx.threads(), hashlib.sha256(b"".join(np.ascontiguousarray(obs[k]).tobytes() for k in sorted(obs))).hexdigest())
"""


def test_results_do_not_depend_on_the_threads():
    said = []
    for threads in ("1", "2", "5"):
        env = dict(os.environ, RLX_NUM_THREADS=threads)
        out = subprocess.run([sys.executable, "-c", THREADS], env=env, capture_output=True, text=True, check=True)
        said.append(out.stdout.split())
    assert [s[0] for s in said] == ["1", "2", "5"]
    assert len({s[1] for s in said}) == 1


FORKS = """
import os, sys, multiprocessing as mp
os.environ["RLX_NUM_THREADS"] = "3"
import gymnasium, numpy as np, rlx

def steps(queue=None):
    envs = rlx.VectorEnv("pick-place", num_envs=24)
    obs = envs.reset(seed=1)[0]
    for _ in range(20):
        obs = envs.step(np.ones((24, 4)))[0]
    total = float(obs["observation"].sum())
    return queue.put(total) if queue else total

if __name__ == "__main__":
    here = steps()  # the pool is in use before the fork
    for method in ("fork", "spawn", "forkserver"):
        context = mp.get_context(method)
        queue = context.Queue()
        child = context.Process(target=steps, args=(queue,))
        child.start()
        assert queue.get(timeout=60) == here, method
        child.join(60)
        assert child.exitcode == 0, method
    assert steps() == here
    print("done")
"""


def test_a_child_has_threads_of_its_own(tmp_path):
    script = tmp_path / "forks.py"
    script.write_text(FORKS)
    out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240)
    assert out.returncode == 0 and "done" in out.stdout, out.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_gymnasiums_processes(method):
    rlx.VectorEnv("pick-place", num_envs=24).reset(seed=0)
    warnings.simplefilter("ignore")
    make = [make_push] * 2
    envs = AsyncVectorEnv(make, context=method)
    sync = SyncVectorEnv(make)
    try:
        assert_same(envs.reset(seed=3)[0], sync.reset(seed=3)[0])
        for _ in range(10):
            actions = sync.action_space.sample()
            assert_same(envs.step(actions)[:4], sync.step(actions)[:4])
        with pytest.raises(ValueError, match="from -1 to 1"):
            envs.step(np.full((2, 4), 5.0))
    finally:
        envs.close(terminate=True)


def make_push():
    return gymnasium.make("rlx/Push-v0")


def test_wrappers_of_vectors():
    envs = gymnasium.make_vec("rlx/Push-v0", num_envs=3, max_episode_steps=5)
    envs = gymnasium.wrappers.vector.FlattenObservation(gymnasium.wrappers.vector.RecordEpisodeStatistics(envs))
    assert envs.reset(seed=0)[0].shape == (3, 31)
    for _ in range(5):
        *_, infos = envs.step(envs.action_space.sample())
    assert infos["episode"]["l"].tolist() == [5, 5, 5]
    # Gymnasium 1.4.0 normalises vectors that reset in the next step alone.
    nexts = gymnasium.make_vec("rlx/CartPole-v1", num_envs=2)
    assert gymnasium.wrappers.vector.NormalizeObservation(nexts).reset(seed=0)[0].shape == (2, 4)


def test_pictures_of_all():
    envs = gymnasium.make_vec("rlx/Reach-v0", num_envs=2, render_mode="rgb_array", width=64, height=48)
    envs.reset(seed=0)
    frames = envs.render()
    assert len(frames) == 2 and frames[0].shape == (48, 64, 3) and not np.array_equal(*frames)

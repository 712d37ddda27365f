"""Runs as data frames, and episodes as data."""

import json
import warnings

import gymnasium
import numpy as np
import pytest

import rlx

CONFIG = """format = 1
[run]
env = "pendulum"
algo = "{algo}"
seed = {seed}
steps = 100
[env]
time_limit = 200
[algo]
hidden = [8, 8]
"""


@pytest.fixture
def folder(tmp_path):
    for algo, seed in [("ppo", 0), ("ppo", 1), ("sac", 0)]:
        run = tmp_path / "more" / f"{algo}-s{seed}" if algo == "sac" else tmp_path / f"{algo}-s{seed}"
        (run / "checkpoints" / "best").mkdir(parents=True)
        (run / "config.toml").write_text(CONFIG.format(algo=algo, seed=seed))
        (run / "checkpoints" / "best" / "config.toml").write_text("")
        (run / "summary.json").write_text(json.dumps({"status": "finished", "seed": seed, "eval": {"return": {"mean": -3.5}}}))
        rows = [{"step": s, "charts/episodic_return": s * 0.1, "rollout/values": {"mean": s}} for s in (10, 20)]
        text = "\n".join(map(json.dumps, rows)) + "\n"
        (run / "metrics.jsonl").write_text(text + ('{"step": 30, "char' if algo == "sac" else '{"step": 30, "x": null}\n'))
    return tmp_path


def test_runs_are_rows_and_their_curves_too(folder):
    pytest.importorskip("pandas")
    runs = rlx.runs(folder)
    assert list(runs.index) == ["more/sac-s0", "ppo-s0", "ppo-s1"]
    assert runs.at["ppo-s1", "eval.return.mean"] == -3.5 and runs.at["ppo-s1", "config.run.steps"] == 100
    curves = runs.metrics("charts/episodic_return")
    assert list(curves.columns) == ["run", "env", "algo", "seed", "step", "value"] and len(curves) == 6
    only = runs[runs.algo == "ppo"].metrics("charts/episodic_return")
    assert set(only.run) == {"ppo-s0", "ppo-s1"} and only.value.max() == 2.0
    run = runs.run("ppo-s0")
    assert run.metrics("rollout/values.mean").tolist() == [10, 20]
    assert len(run.metrics()) == 3 and len(runs.run("more/sac-s0").metrics()) == 2, "a row that was cut off is none"
    assert run.config["algo"]["hidden"] == [8, 8] and run.summary["status"] == "finished"


def test_what_is_no_run_is_said(folder):
    pytest.importorskip("pandas")
    runs = rlx.runs(folder)
    for call, words in [
        (lambda: runs.metrics("loss"), "none of these 3 runs"),
        (lambda: runs.run("x"), "no run 'x'"),
        (lambda: runs.run("ppo-s0").metrics("loss"), "charts/episodic_return"),
        (lambda: rlx.runs(folder / "nowhere"), "no folder"),
        (lambda: rlx.Run(folder), "no run"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    (folder / "none").mkdir()
    assert len(rlx.runs(folder / "none")) == 0


@pytest.mark.parametrize("id, policy", [("rlx/Push-v0", "scripted"), ("rlx/CartPole-v1", None), ("rlx/Red10-v0", None)])
def test_episodes_are_whole_and_seeded(id, policy):
    episodes = rlx.collect(id, episodes=3, policy=policy, seed=5)
    for k, e in enumerate(episodes):
        parts = e.observations.values() if isinstance(e.observations, dict) else [e.observations]
        assert all(len(p) == len(e) + 1 for p in parts) and e.seed == 5 + k
        assert len(e.actions) == len(e.terminations) == len(e.truncations) == len(e)
        ends = e.terminations.astype(int) + e.truncations
        assert ends.tolist() == [0] * (len(e) - 1) + [1]
        assert all(len(i) == len(e) + 1 for i in e.infos.values())
        first = gymnasium.make(id).reset(seed=e.seed)[0]
        first = first["observation"] if isinstance(first, dict) else first
        kept = e.observations["observation"] if isinstance(e.observations, dict) else e.observations
        assert np.array_equal(kept[0], first)


def test_an_unfinished_episode_is_left_out_and_said():
    with pytest.warns(UserWarning, match="unfinished episode of 20 steps"):
        assert [len(e) for e in rlx.collect("rlx/Reach-v0", steps=120)] == [50, 50]
    for wrong in ({}, {"steps": 1, "episodes": 1}):
        with pytest.raises(ValueError):
            rlx.collect("rlx/Reach-v0", **wrong)


@pytest.mark.parametrize("id", ["rlx/Push-v0", "rlx/CartPole-v1"])
def test_minari_gives_back_what_was_written_to_the_bit(id, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    pytest.importorskip("h5py")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    warnings.simplefilter("ignore")
    episodes = rlx.collect(id, episodes=4, seed=2)
    rlx.to_minari("rlx/test-v0", episodes, env=id)
    dataset = minari.load_dataset("rlx/test-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (4, sum(map(len, episodes)))
    assert [m["seed"] for m in dataset.storage.get_episode_metadata(range(4))] == [2, 3, 4, 5]
    for ours, theirs in zip(episodes, dataset.iterate_episodes()):
        pairs = [(getattr(ours, k), getattr(theirs, k)) for k in ("actions", "rewards", "terminations", "truncations")]
        if isinstance(ours.observations, dict):
            pairs += [(ours.observations[k], theirs.observations[k]) for k in ours.observations]
            pairs.append((ours.infos["is_success"], theirs.infos["is_success"]))
        else:
            pairs.append((ours.observations, theirs.observations))
        for a, b in pairs:
            assert a.dtype == b.dtype and np.array_equal(a, b)
    assert dataset.recover_environment().spec.id == id


def test_d3rlpy_trains_on_it():
    pytest.importorskip("d3rlpy", reason="d3rlpy is not installed")
    from test_torch import example

    warnings.simplefilter("ignore")
    _, epochs = example("d3rlpy_offline").train(rlx.collect("rlx/Push-v0", episodes=5, policy="scripted"))
    losses = [metrics["loss"] for _, metrics in epochs]
    assert losses[-1] < losses[0]

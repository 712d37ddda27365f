"""d3rlpy 2.8.1 on episodes of ours: `python d3rlpy_offline.py`. Its own reader of Minari datasets shifts episode k by k rows, for an
episode has an observation more than it has steps: an `MDPDataset` of `observations[:-1]` of each episode is right."""

import d3rlpy
import numpy as np

import rlx


def dataset(episodes):
    def rows(e):
        return np.concatenate([e.observations[k] for k in ("observation", "achieved_goal", "desired_goal")], axis=1)

    return d3rlpy.dataset.MDPDataset(
        observations=np.concatenate([rows(e)[:-1] for e in episodes]),
        actions=np.concatenate([e.actions for e in episodes]),
        rewards=np.concatenate([e.rewards for e in episodes]),
        terminals=np.concatenate([e.terminations for e in episodes]),
        timeouts=np.concatenate([e.truncations for e in episodes]),
        # Actions that happen to be whole numbers are otherwise taken for choices.
        action_space=d3rlpy.ActionSpace.CONTINUOUS,
    )


def train(episodes, steps=300):
    data = dataset(episodes)
    for ours, theirs in zip(episodes, data.episodes):
        assert len(ours) == len(theirs) and np.array_equal(ours.actions, theirs.actions)
        assert np.array_equal(ours.observations["observation"][:-1], theirs.observations[:, :25])
    algo = d3rlpy.algos.BCConfig(batch_size=64).create(device="cpu:0")
    return algo, algo.fit(data, n_steps=steps, n_steps_per_epoch=steps // 3, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory())


if __name__ == "__main__":
    _, epochs = train(rlx.collect("rlx/Push-v0", episodes=20, policy="scripted"))
    print("losses by epoch:", [round(metrics["loss"], 4) for _, metrics in epochs])

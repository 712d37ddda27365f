"""Episodes as data: played with explicit seeds, whole, and written as Minari datasets.

>>> episodes = rlx.collect("rlx/Push-v0", episodes=100, policy="scripted", seed=0)
>>> dataset = rlx.to_minari("rlx/push-scripted-v0", episodes, env="rlx/Push-v0")
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from rlx.policies import Policy


@dataclass
class Episode:
    """A whole episode of T steps: T + 1 observations, and of everything else one a step."""

    seed: int
    """The seed that its reset was given."""
    observations: Any
    """An array, or a dict of arrays, of T + 1 rows."""
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    infos: dict[str, np.ndarray]
    """What every info had, the reset's included: T + 1 rows of the same keys."""

    def __len__(self) -> int:
        return len(self.rewards)


def _stacked(rows: list[Any]) -> Any:
    """A list of observations as one, fresh memory."""
    if isinstance(rows[0], dict):
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    return np.stack(rows)


def _actor(env: gymnasium.Env, policy: Any, seed: int) -> Callable[[Any, dict[str, Any]], Any]:
    """Who acts, given an observation and its info."""
    if policy is None or policy == "random":
        env.action_space.seed(seed)
        return lambda _, info: env.action_space.sample(info["action_mask"] if "action_mask" in info else None)
    if isinstance(policy, str):
        return lambda *_: env.unwrapped.bot(policy)
    if isinstance(policy, Policy):
        policy.check(env)
    if hasattr(policy, "predict"):
        return lambda obs, _: policy.predict(obs)[0]
    return lambda obs, _: policy(obs)


def collect(
    env: str | gymnasium.Env, *, episodes: int | None = None, steps: int | None = None, policy: Any = None, seed: int = 0
) -> list[Episode]:
    """Plays whole episodes, the k-th from the seed ``seed + k``.

    ``policy`` is whoever acts: ``None`` for random actions, the name of the world's own player (``"scripted"``), something with a ``predict``
    (``rlx.load_policy``, a model of Stable-Baselines3), or a function of an observation. Of ``steps`` the last, unfinished episode is left
    out, with a warning that says so.
    """
    if (episodes is None) == (steps is None):
        raise ValueError("say how many episodes or how many steps, and not both")
    made = isinstance(env, str)
    env = gymnasium.make(env) if made else env
    act, done, taken = _actor(env, policy, seed), [], 0
    while len(done) < episodes if episodes is not None else taken < steps:
        number = seed + len(done)
        obs, info = env.reset(seed=number)
        keys = sorted(k for k, v in info.items() if isinstance(v, (bool, int, float)))
        seen, acts, paid, ends, infos = [obs], [], [], [], [info]
        while not (ends and any(ends[-1])):
            if steps is not None and taken == steps:
                warnings.warn(f"an unfinished episode of {len(acts)} steps is left out", stacklevel=2)
                return done
            action = act(obs, info)
            obs, reward, terminated, truncated, info = env.step(action)
            seen.append(obs), acts.append(action), paid.append(reward), infos.append(info)
            # A death in the last step that was allowed is a death: never both.
            ends.append((terminated, truncated and not terminated))
            taken += 1
        flags = np.array(ends, dtype=bool)
        done.append(
            Episode(
                seed=number,
                observations=_stacked(seen),
                actions=np.stack([np.asarray(a, env.action_space.dtype) for a in acts]),
                rewards=np.array(paid, dtype=np.float64),
                terminations=flags[:, 0].copy(),
                truncations=flags[:, 1].copy(),
                infos={key: np.array([i[key] for i in infos]) for key in keys},
            )
        )
    if made:
        env.close()
    return done


def to_minari(dataset_id: str, episodes: list[Episode], *, env: str | gymnasium.Env, **about: Any) -> Any:
    """Writes episodes as a Minari dataset and returns it; ``about`` goes on to ``minari.create_dataset_from_buffers``.

    Minari's own recorder is not used: it gives resets seeds of its own and invents steps between episodes.
    """
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ModuleNotFoundError as e:
        raise ModuleNotFoundError("writing Minari datasets needs Minari: pip install 'minari[hdf5]'") from e
    if not episodes:
        raise ValueError("there are no episodes to write")
    buffers = [
        EpisodeBuffer(
            id=number,
            seed=e.seed,
            observations=e.observations,
            actions=e.actions,
            rewards=e.rewards,
            terminations=e.terminations,
            truncations=e.truncations,
            infos=e.infos or None,
        )
        for number, e in enumerate(episodes)
    ]
    return minari.create_dataset_from_buffers(dataset_id, buffers, env=env, **about)

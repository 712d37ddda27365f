"""Worlds as Gymnasium environments: ``Env`` for one, ``VectorEnv`` for many that are stepped in Rust on all cores."""

from __future__ import annotations

import importlib
import json
import operator
from typing import Any, NoReturn

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from rlx import spaces
from rlx.registration import NATIVE

# Ticks that no episode reaches: the limit is then somebody else's.
UNLIMITED = 2**32 - 1
SEEDS = 2**64 - 1
JUDGEMENTS = ("compute_reward", "compute_terminated", "compute_truncated")


class Closed:
    """What is left of the worlds of an environment that was closed."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ClosedEnvironmentError("this environment is closed: make a new one")


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's, for JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{value!r} is no setting: settings are numbers, words, true or false, or lists of them")


class Native:
    """What both environments share: the native worlds, how to make them again, and snapshots."""

    def _begin(self, world: str, module: str, config: dict[str, Any], n: int, limit: int | None) -> dict[str, Any]:
        self._made = (world, module, json.dumps(config, default=plain), n, limit)
        self._worlds: Any = self._make()
        spec = self._worlds.spec()
        act = spec["act"]
        self._ids, self._parts = "low" not in act, spec["goal"]
        self._act_shape = () if "n" in act else (len(act["sets"]),) if self._ids else act["shape"]
        self._bots = spec["bots"]
        return spec

    def _make(self) -> Any:
        world, module, config, n, limit = self._made
        return importlib.import_module(module).Worlds(world, config, n, limit)

    def _film(self, render_mode: str | None, fps: float | None) -> None:
        modes = ["rgb_array"] if fps else []
        if render_mode not in (None, *modes):
            human = ": gymnasium.make shows it in a window" if render_mode == "human" and modes else ""
            raise ValueError(f"render_mode = {render_mode!r}: there is {' and '.join(modes) or 'none'}{human}")
        self.metadata = {"render_modes": modes, "render_fps": int(fps or 30)}
        self.render_mode = render_mode
        if render_mode:
            self._worlds.film()

    def _actions(self, actions: Any, shape: tuple[int, ...]) -> np.ndarray:
        """Actions as the native half takes them: checked for kind and shape here, for their values there."""
        array = np.asarray(actions)
        kinds, right = ("iu", "whole numbers") if self._ids else ("fiu", "numbers")
        if array.dtype.kind not in kinds:
            raise ValueError(f"actions of dtype {array.dtype}: {right} are wanted")
        if array.shape != shape:
            raise ValueError(f"actions of shape {array.shape}: {shape} is wanted")
        with np.errstate(over="ignore"):  # infinite in 32 bits, which is refused with the number's place
            return np.ascontiguousarray(array, dtype=np.int64 if self._ids else np.float32).reshape(-1)

    def save(self) -> bytes:
        """An exact snapshot: whatever is loaded from it goes on bit for bit, its chance included."""
        return self._worlds.save()

    def load(self, state: bytes) -> None:
        """Goes on from a snapshot that :meth:`save` gave, of an environment with the same settings."""
        self._worlds.load(state)

    def close(self, **kwargs: Any) -> None:
        """Gives the worlds back. Whatever needs them then raises ``gymnasium.error.ClosedEnvironmentError``."""
        super().close(**kwargs)  # type: ignore[misc]
        self._worlds = Closed()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        worlds = state.pop("_worlds")
        return {"dict": state, "worlds": None if isinstance(worlds, Closed) else worlds.save()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["dict"])
        if state["worlds"] is None:
            self._worlds = Closed()
            return
        self._worlds = self._make()
        self._worlds.load(state["worlds"])
        if self.render_mode:
            self._worlds.film()

    def _judge(self, achieved: Any, desired: Any) -> tuple[tuple[int, ...], Any]:
        if self._parts is None:
            raise ValueError(f"{self._made[0]} is a world without a goal")
        achieved, desired = (np.asarray(goal, dtype=np.float32) for goal in (achieved, desired))
        width = self._parts[0][1] - self._parts[0][0]
        if achieved.shape != desired.shape or achieved.shape[-1:] != (width,):
            raise ValueError(f"goals of shapes {achieved.shape} and {desired.shape}: both must be (..., {width})")
        rows = (np.ascontiguousarray(goal).reshape(-1, width) for goal in (achieved, desired))
        return achieved.shape[:-1], self._worlds.judge(*rows)

    def __getattr__(self, name: str) -> Any:
        """``compute_reward``, ``compute_terminated`` and ``compute_truncated`` of worlds with a goal: others must not have them, by which
        they would be taken for goal-conditioned ones."""
        if name in JUDGEMENTS and self.__dict__.get("_parts") is not None:
            return getattr(self, f"_{name}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> np.ndarray:
        """What the world pays where ``achieved_goal`` is achieved and ``desired_goal`` desired: an array of one number each.

        Goals may be single or batched, ``info`` whatever the caller has: the judgement needs none.
        """
        shape, judged = self._judge(achieved_goal, desired_goal)
        return judged[0].reshape(shape)

    def _compute_terminated(self, achieved_goal: Any, desired_goal: Any, info: Any) -> np.ndarray:
        """Whether the episode ends there by the world's own rules."""
        shape, judged = self._judge(achieved_goal, desired_goal)
        return judged[1].reshape(shape)

    def _compute_truncated(self, achieved_goal: Any, desired_goal: Any, info: Any) -> np.ndarray:
        """Never: a time limit is no matter of goals."""
        return np.zeros(np.shape(achieved_goal)[:-1], dtype=bool)


class Env(Native, gymnasium.Env):
    """One world.

    ``world`` is its name (``rlx.worlds()``), keywords are its settings (``rlx.describe(world)``). A world with a goal observes a dict of
    ``observation``, ``achieved_goal`` and ``desired_goal``, and every ``info`` says ``is_success``; others have empty infos.

    Every observation, frame and info is a fresh one. After an episode, :attr:`metrics` has what the world says of it.
    """

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        world: str,
        *,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 360,
        module: str = NATIVE,
        **config: Any,
    ) -> None:
        spec = self._begin(world, module, config, 1, None)
        self._size, self._seeded = (width, height), False
        self._film(render_mode, spec["fps"])
        self._scalar = self._ids and not self._act_shape
        self._obs_shape = None if len(spec["obs"]["shape"]) == 1 else spec["obs"]["shape"]
        self.observation_space = spaces.of_observation(spec)
        self.action_space = spaces.of_action(spec["act"])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode: one that the seed alone decides, or the next of the world's own stream."""
        super().reset(seed=seed)
        if options:
            raise ValueError(f"options {sorted(options)}: this environment knows none")
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(SEEDS, dtype=np.uint64))
        obs = self._worlds.reset_one(None if seed is None else int(seed) & SEEDS)
        self._seeded = True
        if self._parts is None:
            return self._shaped(obs), {}
        observation, achieved, desired = obs
        success = bool(self._judge(achieved, desired)[1][2][0])
        obs = {"observation": observation, "achieved_goal": achieved, "desired_goal": desired}
        return obs, {"is_success": success}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advances one tick."""
        if self._scalar:
            try:
                act = operator.index(action)
            except TypeError as e:
                raise ValueError(f"action {action!r}: one whole number is wanted") from e
        else:
            act = self._actions(action, self._act_shape)
        obs, reward, terminated, truncated, success = self._worlds.step_one(act)
        if self._parts is None:
            return obs if self._obs_shape is None else self._shaped(obs), reward, terminated, truncated, {}
        obs = {"observation": obs[0], "achieved_goal": obs[1], "desired_goal": obs[2]}
        return obs, reward, terminated, truncated, {"is_success": success}

    def _shaped(self, obs: np.ndarray) -> np.ndarray:
        return obs if self._obs_shape is None else obs.reshape(self._obs_shape)

    def render(self) -> np.ndarray | None:
        """A picture of the world now: a fresh array of ``[height, width, 3]`` bytes."""
        if self.render_mode is None:
            return None
        frame = self._worlds.draw(0, *self._size)
        if frame is None:
            raise RuntimeError("the end of this episode is not in a snapshot's picture: reset first")
        return frame

    @property
    def metrics(self) -> dict[str, float]:
        """What the world says of the episode that the last step ended: success, distance and so on; empty while one runs.

        An episode that a ``TimeLimit`` wrapper cuts off is not over for the world itself, which then says nothing.
        """
        ended = self._worlds.metrics()
        return ended[0][1] if ended else {}

    def action_masks(self) -> np.ndarray:
        """Which choices are allowed now, all sets one after another, as sb3-contrib asks for it."""
        return self._worlds.mask()[0]

    def bot(self, name: str) -> Any:
        """What the world's own player of that name would do now: ``scripted`` in manipulation."""
        act = self._worlds.bot(_bot(self._bots, name), int(self.np_random.integers(2**63)))
        return int(act[0]) if self._scalar else act.reshape(self._act_shape)


class RegisteredEnv(Env):
    """What ``gymnasium.make`` makes: its time limit is Gymnasium's, so that ``max_episode_steps`` has the only word."""

    def __init__(self, world: str, *, module: str = NATIVE, **config: Any) -> None:
        if "time_limit" in config:
            steps = config["time_limit"]
            raise ValueError(f"time_limit = {steps}: say max_episode_steps={steps} to gymnasium.make instead")
        if _has_limit(world, module):
            config["time_limit"] = UNLIMITED
        super().__init__(world, module=module, **config)


def _has_limit(world: str, module: str) -> bool:
    """Whether a world's time limit is a setting of that name."""
    found = [w for w in importlib.import_module(module).registered() if w["name"] == world]
    return any(key["name"] == "time_limit" for w in found for key in json.loads(w["keys"]))


def _bot(bots: list[str], name: str) -> int:
    if name not in bots:
        raise ValueError(f"there is no bot {name!r}: there is {', '.join(bots) or 'none'}")
    return bots.index(name)


class VectorEnv(Native, gymnasium.vector.VectorEnv):
    """Many worlds that are stepped in Rust, on all cores, while the interpreter is free.

    The worlds write their observations into the array that is returned: with ``copy=True`` a fresh one each time, with ``copy=False`` the
    same one each time. Dicts of worlds with a goal are views of it. Environment ``i`` is the one that ``Env`` is with the same seed.

    ``autoreset_mode`` is a member of ``gymnasium.vector.AutoresetMode`` or its text. ``infos`` has ``is_success`` for worlds with a goal, and
    what worlds say of episodes that ended under ``metrics``, each with its mask, within ``final_info`` where the reset is at once.
    """

    def __init__(
        self,
        world: str,
        *,
        num_envs: int = 1,
        copy: bool = True,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 360,
        module: str = NATIVE,
        **config: Any,
    ) -> None:
        limit = None
        if max_episode_steps is not None:
            if "time_limit" in config:
                raise ValueError("time_limit and max_episode_steps are the same: one of them must go")
            if max_episode_steps == -1:
                max_episode_steps = UNLIMITED
            if not 1 <= max_episode_steps <= UNLIMITED:
                raise ValueError(f"max_episode_steps = {max_episode_steps}: it must be from 1 on, or -1 for none")
            if _has_limit(world, module):
                config["time_limit"] = max_episode_steps
            else:
                limit = max_episode_steps
        spec = self._begin(world, module, config, num_envs, limit)
        self.num_envs, self.copy = num_envs, copy
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self._mode, self._size = self.autoreset_mode.value, (width, height)
        self._film(render_mode, spec["fps"])
        self.metadata["autoreset_mode"] = self.autoreset_mode
        self.single_observation_space = spaces.of_observation(spec)
        self.single_action_space = spaces.of_action(spec["act"])
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._obs_shape = (num_envs, *spec["obs"]["shape"])
        self._size_flat = num_envs * int(np.prod(spec["obs"]["shape"]))
        self._dtype = np.uint8 if spec["bytes"] else np.float32
        self._columns = _columns(spec)
        # Where worlds write if what is returned is not to be fresh, or other rows must outlive a reset of some.
        self._kept = not copy or self.autoreset_mode == AutoresetMode.DISABLED
        self._observations = np.zeros(self._size_flat, self._dtype)
        self._seeded = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts episodes in all worlds, or where ``options={"reset_mask": mask}`` is true.

        ``seed`` is one for all (world ``i`` has ``seed + i``) or a list of one each; without one a world goes on with its own stream.
        """
        n = self.num_envs
        if seed is None:
            seeds: list[int | None] = [None] * n
        elif isinstance(seed, (int, np.integer)):
            super().reset(seed=int(seed))
            seeds = [(int(seed) + i) & SEEDS for i in range(n)]
        else:
            seeds = [None if s is None else int(s) & SEEDS for s in seed]
        if len(seeds) != n:
            raise ValueError(f"{len(seeds)} seeds for {n} environments: one each is wanted")
        mask = _reset_mask(options, n)
        begun = np.ones(n, dtype=bool) if mask is None else mask
        fresh = [s is None and b and not o for s, b, o in zip(seeds, begun, self._seeded)]
        if any(fresh):
            drawn = self.np_random.integers(SEEDS, size=n, dtype=np.uint64)
            seeds = [int(d) if f else s for s, d, f in zip(seeds, drawn, fresh)]
        # Rows that are not reset are those of the last step, which only memory that is kept still has.
        if mask is not None and not self._kept:
            raise ValueError("reset_mask is for autoreset_mode=DISABLED: in other modes worlds reset themselves")
        obs = self._memory()
        self._worlds.reset(obs, seeds, None if mask is None else mask.tolist())
        self._seeded |= begun
        infos: dict[str, Any] = {}
        if self._parts is not None:
            infos["is_success"], infos["_is_success"] = self._successes(obs), begun.copy()
        return self._shown(obs), infos

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Advances every world one tick."""
        n, goals = self.num_envs, self.num_envs if self._parts is not None else 0
        actions = self._actions(actions, (n, *self._act_shape))
        obs, rewards = self._memory(), np.empty(n)
        flags = np.empty((2, n), dtype=bool)
        success = np.empty(goals, dtype=bool)
        terminated, truncated = flags
        ended = self._worlds.step(actions, self._mode, obs, rewards, terminated, truncated, success)
        infos: dict[str, Any] = {}
        if goals:
            infos["is_success"], infos["_is_success"] = success, np.ones(n, dtype=bool)
        if ended:
            self._endings(infos, terminated | truncated)
        return self._shown(obs), rewards, terminated, truncated, infos

    def _memory(self) -> np.ndarray:
        return self._observations if self._kept else np.empty(self._size_flat, self._dtype)

    def _shown(self, flat: np.ndarray) -> Any:
        """What is returned of the memory that the worlds wrote."""
        if self._kept and self.copy:
            flat = flat.copy()
        obs = flat.reshape(self._obs_shape)
        if self._parts is None:
            return obs
        rest, achieved, desired = self._columns
        return {"observation": obs[:, rest], "achieved_goal": obs[:, achieved], "desired_goal": obs[:, desired]}

    def _successes(self, flat: np.ndarray) -> np.ndarray:
        obs = flat.reshape(self._obs_shape)
        return self._judge(obs[:, self._columns[1]], obs[:, self._columns[2]])[1][2]

    def _endings(self, infos: dict[str, Any], ended: np.ndarray) -> None:
        """Adds what worlds say of episodes that ended, and where worlds went on at once how they ended."""
        metrics: dict[str, Any] = {}
        for i, said in self._worlds.metrics():
            metrics = self._add_info(metrics, said, i)
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            if metrics:
                infos["metrics"], infos["_metrics"] = metrics, ended.copy()
            return
        final_obs, final_info = np.full(self.num_envs, None, dtype=object), {}
        for i, obs in self._worlds.finals():
            if self._parts is None:
                final_obs[i] = obs.reshape(self._obs_shape[1:])
                continue
            final_obs[i] = dict(zip(("observation", "achieved_goal", "desired_goal"), obs))
            success = bool(self._judge(obs[1], obs[2])[1][2][0])
            final_info = self._add_info(final_info, {"is_success": success}, i)
        if metrics:
            final_info["metrics"], final_info["_metrics"] = metrics, ended.copy()
        infos["final_obs"], infos["_final_obs"] = final_obs, ended.copy()
        infos["final_info"], infos["_final_info"] = final_info, ended.copy()

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture of every world."""
        if self.render_mode is None:
            return None
        return tuple(self._worlds.draw(i, *self._size) for i in range(self.num_envs))

    def action_masks(self) -> np.ndarray:
        """Which choices are allowed now, a row for each world."""
        return self._worlds.mask()

    def bot(self, name: str) -> np.ndarray:
        """What the world's own player of that name would do now, in every world."""
        act = self._worlds.bot(_bot(self._bots, name), int(self.np_random.integers(2**63)))
        return act.reshape((self.num_envs, *self._act_shape))

    @property
    def copied(self) -> int:
        """Bytes of observations that the native half has copied from one place to another, beside what worlds write themselves."""
        return self._worlds.copied


def _columns(spec: dict[str, Any]) -> tuple[Any, Any, Any] | None:
    """Where the parts of a goal-conditioned observation are in a row: slices, so that they are views."""
    if spec["goal"] is None:
        return None
    achieved, desired = (slice(*part) for part in spec["goal"])
    first, last = min(achieved.start, desired.start), max(achieved.stop, desired.stop)
    if last == len(spec["obs"]["low"]) and last - first == 2 * (achieved.stop - achieved.start):
        return slice(0, first), achieved, desired
    goals = np.r_[achieved, desired]
    return np.setdiff1d(np.arange(len(spec["obs"]["low"])), goals), achieved, desired


def _reset_mask(options: dict[str, Any] | None, n: int) -> np.ndarray | None:
    """The mask among the options, held to what Gymnasium's own vectors ask of it."""
    odd = sorted(set(options or {}) - {"reset_mask"})
    if odd:
        raise ValueError(f"options {odd}: there is reset_mask")
    if not options:
        return None
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"reset_mask is {mask!r}: it must be a NumPy array of bool")
    if mask.shape != (n,) or not mask.any():
        raise ValueError(f"reset_mask = {mask}: it must have {n} flags, at least one of them set")
    return mask

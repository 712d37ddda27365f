"""Gymnasium's spaces of a world's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

# A bound of infinity is no bound, and Gymnasium's checker warns of it: the largest float bounds the same values.
LARGEST = np.finfo(np.float32).max


def of_action(space: dict[str, Any]) -> spaces.Space:
    """The space of an action, as the native half describes it."""
    if "n" in space:
        return spaces.Discrete(space["n"])
    if "sets" in space:
        return spaces.MultiDiscrete(space["sets"])
    return _box(space["low"], space["high"], space["shape"], np.float32)


def of_observation(spec: dict[str, Any]) -> spaces.Space:
    """The space of an observation: for a world with a goal a dict, as goal-conditioned environments have it."""
    space, dtype = spec["obs"], np.uint8 if spec["bytes"] else np.float32
    if spec["goal"] is None:
        return _box(space["low"], space["high"], space["shape"], dtype)

    def part(columns: np.ndarray) -> spaces.Box:
        return _box(space["low"][columns], space["high"][columns], columns.shape, dtype)

    achieved, desired = (np.arange(*part) for part in spec["goal"])
    rest = np.setdiff1d(np.arange(len(space["low"])), np.concatenate([achieved, desired]))
    parts = {"observation": part(rest), "achieved_goal": part(achieved), "desired_goal": part(desired)}
    return spaces.Dict(parts)


def _box(low: np.ndarray, high: np.ndarray, shape: tuple[int, ...], dtype: type) -> spaces.Box:
    low, high = (np.clip(bound, -LARGEST, LARGEST).astype(dtype).reshape(shape) for bound in (low, high))
    return spaces.Box(low, high, dtype=dtype)

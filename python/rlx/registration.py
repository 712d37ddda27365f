"""The worlds of a native module as Gymnasium environments."""

from __future__ import annotations

import importlib
import json
from typing import Any

import gymnasium

NATIVE = "rlx._native"


def _id(world: dict[str, Any]) -> str:
    """Gymnasium's own id for the very same world, or the name in camel case."""
    if world["aliases"]:
        return world["aliases"][0]
    return "".join(part.capitalize() for part in world["name"].split("-")) + "-v0"


def register(module: str, namespace: str) -> list[str]:
    """Registers the worlds of a native module (see ``rlx_python::module!``) and returns their ids.

    ``register("bandits", "my")`` makes ``gymnasium.make("my/Bandit-v0")`` of the world ``bandit``.
    """
    native, ids = importlib.import_module(module), []
    for world in native.registered():
        id, kwargs = f"{namespace}/{_id(world)}", {"world": world["name"]}
        if module != NATIVE:
            kwargs["module"] = module
        keys = [key["name"] for key in json.loads(world["keys"])]
        entry = {"entry_point": "rlx.envs:RegisteredEnv", "vector_entry_point": "rlx.envs:VectorEnv"}
        limit = None
        if world["name"] == "red10" and module == NATIVE:
            entry, kwargs = {"entry_point": "rlx.red10:SeatEnv"}, {}
        elif "time_limit" in keys:
            # With a key of that name the limit is Gymnasium's to set; other worlds keep their own.
            limit = native.Worlds(world["name"], "{}", 1).spec()["time_limit"]
        if id not in gymnasium.registry:
            gymnasium.register(id, kwargs=kwargs, max_episode_steps=limit, **entry)
        ids.append(id)
    return ids


def worlds(module: str = NATIVE) -> dict[str, str]:
    """The names of the worlds, each with a line of what it is."""
    return {world["name"]: world["about"] for world in importlib.import_module(module).registered()}


def keys(world: str, module: str = NATIVE) -> list[dict[str, Any]]:
    """The settings of a world: name, meaning, kind, default, range and choices."""
    found = [w for w in importlib.import_module(module).registered() if w["name"] == world or world in w["aliases"]]
    if not found:
        raise ValueError(f"there is no world {world!r}: there are {', '.join(worlds(module))}")
    return json.loads(found[0]["keys"])


def describe(world: str | None = None, module: str = NATIVE) -> str:
    """The worlds and their ids, or the settings of one, as text to print."""
    if world is None:
        rows = importlib.import_module(module).registered()
        return "\n".join(f"{w['name']:26}{_id(w):26}{w['about']}" for w in rows)
    lines = []
    for key in keys(world, module):
        allowed = ", ".join(key["choices"]) or key["kind"]
        low, high = key["min"], key["max"]
        if low is not None or high is not None:
            allowed += f" from {low if low is not None else '...'} to {high if high is not None else '...'}"
        lines.append(f"{key['name']} = {json.dumps(key['default'])} ({allowed}): {key['about']}")
    return "\n".join(lines)

"""rlx from Python: fast worlds for Gymnasium and PettingZoo, policies that rlx trained, and its runs as data frames.

>>> import gymnasium, rlx
>>> env = gymnasium.make("rlx/PickPlace-v0", robot="panda", reward="dense")
>>> envs = gymnasium.make_vec("rlx/Push-v0", num_envs=64)

Importing the package registers its worlds. ``rlx.describe()`` lists them, ``rlx.describe("push")`` the settings of one.
"""

import importlib
from typing import Any

from rlx import red10
from rlx._native import threads
from rlx.collecting import Episode, collect, to_minari
from rlx.envs import Env, VectorEnv
from rlx.policies import Policy, load_policy
from rlx.registration import describe, register, worlds
from rlx.runs import Run, Runs, runs

__version__ = "0.1.0"
__all__ = [
    "Env",
    "Episode",
    "Policy",
    "Run",
    "Runs",
    "VectorEnv",
    "collect",
    "describe",
    "load_policy",
    "red10",
    "red10_v0",
    "register",
    "runs",
    "threads",
    "to_minari",
    "worlds",
]



def __getattr__(name: str) -> Any:
    """The one module that needs PettingZoo, when it is asked for."""
    if name == "red10_v0":
        return importlib.import_module("rlx.red10_v0")
    raise AttributeError(f"module 'rlx' has no attribute {name!r}")


register("rlx._native", namespace="rlx")

"""Policies that rlx exported (``rlx export RUN``), without libtorch: NumPy alone.

A policy is what ``rlx eval`` plays: its greedy actions equal those of Rust to 1e-6, its normaliser included.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from rlx.registration import NATIVE

CLIP = 10.0  # standard deviations that normalised observations are clipped to
BUCKETS = 32  # of a byte that is a number
OTHERS = 3  # players beside the own one

def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


ACTIVATIONS = {"tanh": np.tanh, "relu": relu, "elu": elu, "silu": silu}


def logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-4, 1.0 - 1e-4)
    return np.log(p / (1.0 - p))


def read(path: str | Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the arrays of a safetensors file, in single or half precision."""
    path = Path(path)
    data = path.read_bytes()

    def damaged(why: str) -> ValueError:
        return ValueError(f"{path} is no policy that rlx exported: {why}")

    end = 8 + int.from_bytes(data[:8], "little")
    if len(data) < 8 or end > len(data):
        raise damaged("its header is cut off")
    try:
        header = json.loads(data[8:end])
        about = header.pop("__metadata__", {})
        arrays = {}
        for name, view in header.items():
            dtype = {"F32": "<f4", "F16": "<f2"}[view["dtype"]]
            first, last = view["data_offsets"]
            array = np.frombuffer(data[end + first : end + last], dtype).reshape(view["shape"])
            arrays[name] = array.astype(np.float64)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise damaged(f"{type(e).__name__}: {e}") from e
    if "algo" not in about or "env" not in about:
        raise damaged("it says neither its algorithm nor its world")
    return about, arrays


class Layers:
    """A perceptron: ``y = x W^T + b``, the activation between layers and none after the last."""

    def __init__(self, arrays: dict[str, np.ndarray], name: str, activation: str) -> None:
        self.layers, self.activation = [], ACTIVATIONS[activation]
        while f"{name}.{len(self.layers)}.weight" in arrays:
            i = len(self.layers)
            self.layers.append((arrays[f"{name}.{i}.weight"].T, arrays[f"{name}.{i}.bias"]))
        if not self.layers:
            raise ValueError(f"the policy has no array {name}.0.weight")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight + bias
            if i + 1 < len(self.layers):
                x = self.activation(x)
        return x


class Policy:
    """A trained policy. ``predict`` is that of Stable-Baselines3's models, but deterministic by default.

    ``algo`` and ``env`` say what was trained in which world, ``about`` all that the file says, ``arrays`` its arrays.
    """

    def __init__(self, about: dict[str, str], arrays: dict[str, np.ndarray], module: str) -> None:
        self.about, self.arrays, self.module = about, arrays, module
        self.algo, self.env = about["algo"], about["env"]
        self._rng = np.random.default_rng()

    def seed(self, seed: int | None) -> None:
        """Seeds what is drawn where ``deterministic`` is false."""
        self._rng = np.random.default_rng(seed)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """The action for an observation, or those for a batch of them, and the state, which none of these policies has."""
        raise NotImplementedError

    def check(self, env: Any) -> None:
        """Whether the policy is one for that environment.

        Raises ``ValueError`` when it was trained in another world.
        """
        made = getattr(env.unwrapped, "_made", ("red10",) if hasattr(env.unwrapped, "table") else ("another world",))
        if made[0] != self.env:
            raise ValueError(f"the policy was trained in {self.env}, and this is {made[0]}")


class Rows(Policy):
    """A policy over rows of numbers."""

    width: int

    def __init__(self, about: dict[str, str], arrays: dict[str, np.ndarray], module: str) -> None:
        super().__init__(about, arrays, module)
        native = importlib.import_module(module)
        known = {w["name"] for w in native.registered()}
        self._spec = native.Worlds(self.env, "{}", 1).spec() if self.env in known else None

    def _normal(self, prefix: str) -> tuple[np.ndarray, np.ndarray] | None:
        mean = self.arrays.get(f"{prefix}obs_normalizer.mean")
        return None if mean is None else (mean, self.arrays[f"{prefix}obs_normalizer.std"])

    def _rows(self, observation: Any) -> tuple[np.ndarray, bool]:
        """A batch of rows, and whether it was a single one."""
        if isinstance(observation, dict):
            observation = self._joined(observation)
        rows = np.asarray(observation, dtype=np.float64)
        if rows.ndim not in (1, 2) or rows.shape[-1] != self.width:
            raise ValueError(
                f"a policy of {self.env} sees rows of {self.width} numbers: this observation has the shape {rows.shape}"
            )
        return np.atleast_2d(rows), rows.ndim == 1

    def _joined(self, parts: dict[str, Any]) -> np.ndarray:
        """A goal-conditioned observation as the row that it is in Rust."""
        names = ["observation", "achieved_goal", "desired_goal"]
        if self._spec is None or self._spec["goal"] is None or any(n not in parts for n in names):
            raise ValueError(f"a policy of {self.env} sees rows: this observation is a dict of {sorted(parts)}")
        rest, achieved, desired = (np.asarray(parts[n], dtype=np.float64) for n in names)
        if rest.shape[-1] + achieved.shape[-1] + desired.shape[-1] != self.width:
            raise ValueError(f"a policy of {self.env} sees rows of {self.width} numbers: these are of another world")
        row = np.empty((*rest.shape[:-1], self.width))
        (a, b), (c, d) = self._spec["goal"]
        goals = np.r_[a:b, c:d]
        row[..., np.setdiff1d(np.arange(self.width), goals)] = rest
        row[..., a:b], row[..., c:d] = achieved, desired
        return row

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        rows, single = self._rows(observation)
        actions = self._act(rows, deterministic)
        if not np.isfinite(actions).all():
            raise ValueError(f"the policy of {self.env} gives actions that are no numbers")
        return (actions[0] if single else actions), state

    def _act(self, rows: np.ndarray, deterministic: bool) -> np.ndarray:
        raise NotImplementedError


def normalized(rows: np.ndarray, normal: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Observations as networks see them."""
    return rows if normal is None else np.clip((rows - normal[0]) / normal[1], -CLIP, CLIP)


class Ppo(Rows):
    """``ppo``: logits of choices, or the mean of a normal distribution."""

    def __init__(self, about: dict[str, str], arrays: dict[str, np.ndarray], module: str) -> None:
        super().__init__(about, arrays, module)
        self.actor = Layers(arrays, "actor", about["activation"])
        self.width = self.actor.layers[0][0].shape[0]
        self.normal = self._normal("")

    def _act(self, rows: np.ndarray, deterministic: bool) -> np.ndarray:
        out = self.actor(normalized(rows, self.normal))
        if "action.middle" not in self.arrays:
            return self._choose(out, deterministic)
        if not deterministic:
            out = out + np.exp(self.arrays["log_std"]) * self._rng.standard_normal(out.shape)
        middle, half = self.arrays["action.middle"], self.arrays["action.half_width"]
        low, high = middle - half, middle + half
        if self._spec is not None and "low" in self._spec["act"]:
            low, high = self._spec["act"]["low"], self._spec["act"]["high"]
        return np.clip(middle + half * out, low, high).astype(np.float32)

    def _choose(self, logits: np.ndarray, deterministic: bool) -> np.ndarray:
        act = self._spec["act"] if self._spec else {"n": logits.shape[1]}
        sets = np.split(logits, np.cumsum(act["sets"])[:-1], axis=1) if "sets" in act else [logits]
        if not deterministic:
            sets = [part + self._rng.gumbel(size=part.shape) for part in sets]
        chosen = np.stack([part.argmax(axis=1) for part in sets], axis=1)
        return chosen if "sets" in act else chosen[:, 0]


class Sac(Rows):
    """``sac`` and ``tdrp``: a squashed normal distribution."""

    def __init__(
        self, about: dict[str, str], arrays: dict[str, np.ndarray], module: str, prefix: str = "", activation: str = ""
    ) -> None:
        super().__init__(about, arrays, module)
        self.actor = Layers(arrays, f"{prefix}actor", activation or about["activation"])
        self.width = self.actor.layers[0][0].shape[0]
        self.normal = self._normal(prefix)
        self.middle, self.half = arrays[f"{prefix}action.middle"], arrays[f"{prefix}action.half_width"]

    def _act(self, rows: np.ndarray, deterministic: bool) -> np.ndarray:
        mean, spread = np.split(self.actor(normalized(rows, self.normal)), 2, axis=1)
        if not deterministic:
            mean = mean + np.exp(log_std(spread)) * self._rng.standard_normal(mean.shape)
        return (self.middle + self.half * np.tanh(mean)).astype(np.float32)


def log_std(raw: np.ndarray) -> np.ndarray:
    """The logarithm of the standard deviation that an output stands for."""
    return LOG_STD[0] + 0.5 * (LOG_STD[1] - LOG_STD[0]) * (np.tanh(raw) + 1.0)


LOG_STD = (-5.0, 2.0)


def setting(about: dict[str, str], key: str) -> str | None:
    """A word of the run's own config, which ``rlx export`` writes into the file."""
    found = re.search(rf'^{key} = "([^"]*)"$', about.get("config", ""), re.MULTILINE)
    return found[1] if found else None


class Chain(Rows):
    """``chain``: one ``sac`` a skill; the field ``skill`` of an observation says which is at work."""

    def __init__(self, about: dict[str, str], arrays: dict[str, np.ndarray], module: str) -> None:
        super().__init__(about, arrays, module)
        names = about["skills"].split()
        activation = about.get("activation") or setting(about, "activation") or "relu"
        self.skills = [Sac(about, arrays, module, f"skill{k}.", activation) for k in range(len(names))]
        self.width = self.skills[0].width
        if self._spec is None:
            raise ValueError(f"where {self.env} shows its skill is not known here: register its module first")
        self.at = next(first for name, first, *_ in self._spec["fields"] if name == "skill")

    def seed(self, seed: int | None) -> None:
        super().seed(seed)
        for skill in self.skills:
            skill._rng = self._rng

    def _act(self, rows: np.ndarray, deterministic: bool) -> np.ndarray:
        which = np.clip(rows[:, self.at], 0, len(self.skills) - 1).astype(int)
        out = np.empty((len(rows), len(self.skills[0].middle)), np.float32)
        for k in np.unique(which):
            out[which == k] = self.skills[k]._act(rows[which == k], deterministic)
        return out


class Features:
    """Rows of bytes as sums of a table's rows: a thermometer for counts, one of n for choices, a bucket for numbers, one a token."""

    def __init__(self, fields: list[tuple]) -> None:
        self.fields, self.count = [], 0
        for _, first, last, _, encoding, size in fields:
            each = {"number": BUCKETS, "one-hot": size, "counts": 8, "bag": 0}[encoding]
            self.fields.append((first, last, encoding, size, self.count))
            self.count += each * (last - first) if each else size

    def counts(self, rows: np.ndarray) -> np.ndarray:
        """How often each feature is on, ``[rows, features]``."""
        out = np.zeros((len(rows), self.count))
        index = np.arange(len(rows))[:, None]
        for first, last, encoding, size, base in self.fields:
            part = rows[:, first:last].astype(int)
            place = base + np.arange(last - first)
            if encoding == "counts":
                steps = np.arange(4)
                halves = np.stack([part & 15, part >> 4], axis=2)
                on = steps < np.minimum(halves, 4)[..., None]
                out[:, base : base + 8 * (last - first)] = on.reshape(len(rows), -1)
            elif encoding == "one-hot":
                out[index, base + size * (place - base) + np.minimum(part, size - 1)] = 1.0
            elif encoding == "number":
                out[index, base + BUCKETS * (place - base) + part * BUCKETS // 256] = 1.0
            else:
                row, column = np.nonzero(part < size)
                np.add.at(out, (row, base + part[row, column]), 1.0)
        return out


class Sparse:
    """A first layer over features and a context, ReLU, then a perceptron."""

    def __init__(self, arrays: dict[str, np.ndarray], name: str) -> None:
        self.table, self.bias = arrays[f"{name}.table"], arrays[f"{name}.bias"]
        self.context = arrays[f"{name}.context"]
        self.rest = Layers(arrays, name, "relu")

    def __call__(self, on: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        x = self.bias + on @ self.table
        if context is not None and len(self.context):
            x = x + context @ self.context
        return self.rest(np.maximum(x, 0.0))


class Cards(Policy):
    """``dmc``, ``mfrl`` and ``idrl``: values of the legal moves, which a guess of the others may inform.

    It chooses among legal moves, whatever an environment's action space is: :meth:`choose` for a table of Red-10, :meth:`predict` for an
    observation with ``candidates``.
    """

    def __init__(self, about: dict[str, str], arrays: dict[str, np.ndarray], module: str) -> None:
        super().__init__(about, arrays, module)
        fields, moves = importlib.import_module(module).parts(self.env)
        self._at = {name: slice(first, last) for name, first, last, *_ in fields}
        self.features, self.moves = Features(fields), Features(moves)
        self.width, self.move_width = fields[-1][2], moves[-1][2]
        self.states = []
        while f"value.{len(self.states)}.candidates" in arrays:
            name = f"value.{len(self.states)}"
            head = Layers(arrays, f"{name}.head", "relu")
            self.states.append((Sparse(arrays, f"{name}.state"), arrays[f"{name}.candidates"], head))
        self.relation = Sparse(arrays, "relation") if "relation.table" in arrays else None
        self.danger = Sparse(arrays, "danger") if "danger.table" in arrays else None
        self.guesses = self.algo == "idrl"
        if self.guesses and setting(about, "relation") == "truth":
            raise ValueError("the policy was trained with relation = \"truth\": it must be told the teams, which no observation shows")
        cards = next(m for m in moves if m[0] == "cards")
        self._cards, self._left = cards[2] - cards[1], next(f[5] for f in fields if f[0] == "left")
        self._last = Features([("", 0, self._cards, "", cards[4], cards[5])]) if self.algo == "mfrl" else None
        expected = self.features.count + (self._last.count if self._last else 0)
        if self.states[0][0].table.shape[0] != expected:
            raise ValueError(f"the policy's table has {self.states[0][0].table.shape[0]} rows, and {self.env} {expected} features")

    def teammates(self, observation: Any) -> np.ndarray:
        """P(same team) of the other players, in the order of play."""
        row = np.asarray(observation).reshape(1, -1)
        return self._guess(row, self.features.counts(row))[:OTHERS]

    def _guess(self, row: np.ndarray, on: np.ndarray) -> np.ndarray:
        prior = row[0, self._at["prior"]] / 255.0
        p = prior if self.relation is None else sigmoid(logit(prior) + self.relation(on)[0])
        danger = 0.5 if self.danger is None else sigmoid(self.danger(on)[0, 0])
        return np.concatenate([p, p > danger, [danger]])

    def _sides(self, row: np.ndarray, guess: np.ndarray) -> np.ndarray:
        """The guess, and the table by sides instead of seats: whose the play on it is, and how many cards either side holds."""
        owner = int(row[0, self._at["top_seat"]][0])
        top = guess[owner - 1] if 1 <= owner <= OTHERS else 0.0
        sides = np.zeros((2, self._left))
        for k, left in enumerate(row[0, self._at["left"]]):
            bucket = min(int(left), self._left - 1)
            sides[:, bucket] += guess[k], 1.0 - guess[k]
        return np.concatenate([guess, [top], sides.ravel()])[None]

    def values(self, observation: Any, candidates: Any, seat: int = 0) -> np.ndarray:
        """What the policy expects each legal move to be paid."""
        row, moves = np.asarray(observation).reshape(1, -1), np.asarray(candidates)
        if row.shape[1] != self.width or moves.ndim != 2 or moves.shape[1] != self.move_width:
            raise ValueError(
                f"a policy of {self.env} sees {self.width} bytes and moves of {self.move_width}: these are {row.shape[1]} and {moves.shape}"
            )
        on = self.features.counts(row)
        net, context = 0, None
        if self.guesses:
            guess = self._guess(row, on)
            context = self._sides(row, guess)
            if len(self.states) > 1:
                net = int(guess[OTHERS : 2 * OTHERS] @ [1, 2, 4]) * (OTHERS + 1) + seat
        if self._last is not None:
            first = self._at["recent"].start
            last = row[0, first : first + OTHERS * self._cards].reshape(OTHERS, self._cards)
            on = np.concatenate([on, self._last.counts(last).sum(axis=0, keepdims=True)], axis=1)
        state, table, head = self.states[net]
        return head(np.maximum(state(on, context) + self.moves.counts(moves) @ table, 0.0))[:, 0]

    def choose(self, table: Any) -> int:
        """The number of the legal move that it makes at a table of Red-10, whose turn is seen through its seat's eyes alone."""
        from rlx.red10 import _table

        table = _table(table)
        turn, moves = table.turn, table.candidates()
        return int(self.values(table.observe(turn), moves, turn).argmax()) if len(moves) > 1 else 0

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """The number of the best legal move; ``observation`` is a dict of ``observation``, ``candidates`` and ``seat``."""
        if not isinstance(observation, dict) or not {"observation", "candidates", "seat"} <= observation.keys():
            raise ValueError(f"a policy of {self.env} wants a dict of observation, candidates and seat")
        values = self.values(observation["observation"], observation["candidates"], int(observation["seat"]))
        return np.int64(values.argmax()), state


KINDS = {"ppo": Ppo, "sac": Sac, "tdrp": Sac, "chain": Chain, "dmc": Cards, "mfrl": Cards, "idrl": Cards}


def load_policy(path: str | Path, env: Any = None, module: str = NATIVE) -> Policy:
    """Loads a policy that ``rlx export`` wrote.

    With ``env`` it must be one for that environment. ``module`` is the native module that registers the policy's world.
    """
    about, arrays = read(path)
    kind = KINDS.get(about["algo"])
    if kind is None:
        raise ValueError(f"{path} is of {about['algo']}: there are {', '.join(KINDS)}")
    try:
        policy = kind(about, arrays, module)
    except KeyError as e:
        raise ValueError(f"{path} lacks {e}, which a policy of {about['algo']} has") from e
    if env is not None:
        policy.check(env)
    return policy

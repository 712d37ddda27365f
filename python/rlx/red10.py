"""Red-10, the card game with hidden teams, for a single agent, and who can sit at a table.

``rlx.red10_v0`` is the game for PettingZoo. ``SeatEnv`` here, ``gymnasium.make("rlx/Red10-v0")``, is one seat of it: bots or policies
play the others. Every view of a seat holds what that seat may know and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError

from rlx import _native

SEATS = 4
WIDTH, FEATURES = _native.Table.widths()
#: The moves by type, in the order of the actions with ``actions="types"``.
TYPES: list[str] = _native.Table.types()
#: Room for legal moves with ``actions="candidates"``.
CANDIDATES = 512


class Hand(Protocol):
    """Who plays a seat: asked with a table whose turn it is, answers with the number of a legal move."""

    def choose(self, table: Any) -> int: ...


class Bot:
    """A player without a network: ``random``, ``greedy`` or ``belief``."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self._native = _native.Bot(name, seed)
        self.name = name

    def choose(self, table: Any) -> int:
        """The number of the legal move that it makes."""
        return self._native.choose(_table(table))


def bots() -> dict[str, str]:
    """The bots, each with a line of what it is."""
    return dict(_native.Bot.all())


def _table(of: Any) -> Any:
    """The native table of an environment of this package, or what is one already."""
    return of if isinstance(of, _native.Table) else of.unwrapped.table


def sit(player: str | Hand, seed: int) -> Hand:
    """A player by name, or whoever can choose."""
    return Bot(player, seed) if isinstance(player, str) else player


class Table:
    """A native table, and how its legal moves are numbered as actions of a fixed space."""

    def __init__(self, rules: str, prior: str, actions: str) -> None:
        if actions not in ("types", "candidates"):
            raise ValueError(f"actions = {actions!r}: it must be one of types, candidates")
        self.settings = (rules, prior, actions)
        self.native = _native.Table(json.dumps({"rules": rules, "prior": prior}))
        self.by_type = actions == "types"
        self.space = len(TYPES) if self.by_type else CANDIDATES

    def mask(self) -> np.ndarray:
        """Which actions are legal for who is to play."""
        if self.by_type:
            return self.native.mask()
        mask = np.zeros(CANDIDATES, np.int8)
        mask[: self._legal()] = 1
        return mask

    def _legal(self) -> int:
        legal = len(self.native.legal())
        if legal > CANDIDATES:
            raise RuntimeError(f"{legal} legal moves, and there is room for {CANDIDATES}")
        return legal

    def play(self, action: int) -> None:
        """Makes the move of an action."""
        if not 0 <= action < self.space:
            raise ValueError(f"action {action}: it must be from 0 to {self.space - 1}")
        self.native.play(self.native.of_type(action) if self.by_type else action)

    def action(self, choice: int) -> int:
        """The action of a legal move: with types the one that its type is, whose move may have other kickers."""
        return self.native.type_of(choice) if self.by_type else choice

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings, "state": self.native.save()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["settings"])  # type: ignore[misc]
        self.native.load(state["state"])


class SeatEnv(gymnasium.Env):
    """One seat of Red-10 against bots or policies.

    ``seat`` is 0 to 3, or ``None`` for one that is drawn for each game; ``opponents`` is a bot's name or a function that makes, from a seed,
    who plays the other three. The observation is what the seat sees; which actions are legal is in ``info["action_mask"]`` and
    :meth:`action_masks` (as sb3-contrib asks for it). ``actions="types"`` chooses among types of moves, ``"candidates"`` among the legal
    moves themselves, whose features are ``info["candidates"]``. An illegal action forfeits the game at -1, or with ``illegal="error"`` is a
    ``ValueError``.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 2}

    def __init__(
        self,
        *,
        rules: str = "paper",
        prior: str = "counts",
        seat: int | None = None,
        opponents: str | Callable[[int], Hand] = "greedy",
        actions: str = "types",
        illegal: str = "forfeit",
        render_mode: str | None = None,
    ) -> None:
        if illegal not in ("forfeit", "error"):
            raise ValueError(f"illegal = {illegal!r}: it must be one of forfeit, error")
        if seat is not None and not 0 <= seat < SEATS:
            raise ValueError(f"seat = {seat}: it must be from 0 to {SEATS - 1}, or None")
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode = {render_mode!r}: there is ansi")
        self._table: Table | None = Table(rules, prior, actions)
        self._opponents, self._wanted, self._illegal = opponents, seat, illegal
        self._seat, self._others, self._over, self._seeded = 0, None, True, False
        if isinstance(opponents, str):
            sit(opponents, 0)  # a wrong name is refused here
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (WIDTH,), np.uint8)
        self.action_space = spaces.Discrete(self._table.space)

    @property
    def table(self) -> Any:
        """The native table."""
        return self._at().native

    def _at(self) -> Table:
        if self._table is None:
            raise ClosedEnvironmentError("this environment is closed: make a new one")
        return self._table

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Deals, and plays on until the seat is to play."""
        super().reset(seed=seed)
        if options:
            raise ValueError(f"options {sorted(options)}: this environment knows none")
        table = self._at()
        draw = lambda: int(self.np_random.integers(2**63))  # noqa: E731
        drawn, players = draw(), draw()
        self._seat = draw() % SEATS if self._wanted is None else self._wanted
        make = self._opponents if callable(self._opponents) else lambda s: Bot(self._opponents, s)
        while True:
            table.native.reset(drawn)
            self._others, self._over = make(players), False
            self._play_on()
            if not table.native.over:
                break
            # Won before the seat had a turn: the next deal.
            drawn += 1
        return table.native.observe(self._seat), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Makes a move, and plays on until the seat is to play again or the game is over."""
        table = self._at()
        if self._over:
            raise ValueError("no game is on: call reset first")
        action = _whole(action)
        if not 0 <= action < table.space:
            raise ValueError(f"action {action}: it must be from 0 to {table.space - 1}")
        if not table.mask()[action]:
            if self._illegal == "error":
                raise ValueError(f"action {action} is no legal move now: see info['action_mask']")
            self._over = True
            return table.native.observe(self._seat), -1.0, True, False, self._info()
        table.play(action)
        self._play_on()
        self._over = table.native.over
        reward = float(table.native.payoff[self._seat])
        return table.native.observe(self._seat), reward, self._over, False, self._info()

    def _play_on(self) -> None:
        native = self._at().native
        while not native.over and native.turn != self._seat:
            native.play(self._others.choose(native))

    def _info(self) -> dict[str, Any]:
        native, mine = self._at().native, not self._over and not self._at().native.over
        width = self._at().space
        info = {
            "seat": self._seat,
            "action_mask": self._at().mask() if mine else np.zeros(width, np.int8),
            "legal_moves": native.legal() if mine else [],
        }
        if not self._at().by_type:
            info["candidates"] = native.candidates() if mine else np.zeros((0, FEATURES), np.uint8)
        return info

    def action_masks(self) -> np.ndarray:
        """Which actions are legal now."""
        return self._info()["action_mask"].astype(bool)

    def render(self) -> str | None:
        """The table as text."""
        return self.table.show() if self.render_mode else None

    def close(self) -> None:
        """Gives the table back."""
        self._table = None


def _whole(action: Any) -> int:
    array = np.asarray(action)
    if array.dtype.kind not in "iu" or array.shape != ():
        raise ValueError(f"action {action!r}: one whole number is wanted")
    return int(array)


def play(players: list[str | Hand], games: int, *, rules: str = "paper", seed: int = 0) -> np.ndarray:
    """Lets four players, seat 0 first, play so many games: what each was paid, ``[games, 4]``."""
    if len(players) != SEATS:
        raise ValueError(f"{len(players)} players: there are {SEATS} seats")
    table = _native.Table(json.dumps({"rules": rules}))
    seated = [sit(p, seed + i) for i, p in enumerate(players)]
    paid = np.zeros((games, SEATS), np.float32)
    for game in range(games):
        table.reset(seed + game)
        while not table.over:
            table.play(seated[table.turn].choose(table))
        paid[game] = table.payoff
    return paid

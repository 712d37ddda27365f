"""Red-10 for PettingZoo: four players, hidden teams (IDRL, arXiv 2210.12896), one move after another.

>>> env = rlx.red10_v0.env(rules="paper")
>>> env.reset(seed=1)
>>> for agent in env.agent_iter():
...     observation, reward, termination, truncation, info = env.last()
...     action = None if termination or truncation else env.action_space(agent).sample(observation["action_mask"])
...     env.step(action)

It is turn-based, so that there is no parallel form of it. Who is on turn is ``info["active_agent"]`` of every player from the reset on; the
legal moves, as cards, are ``info["legal_moves"]`` of that player alone. With ``actions="types"`` an action is a type of move
(``rlx.red10.TYPES``), with ``actions="candidates"`` the number of a legal move, whose features are ``info["candidates"]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

try:
    from pettingzoo import AECEnv
    from pettingzoo.utils import wrappers
except ModuleNotFoundError as e:  # the only thing of this package that needs it
    raise ModuleNotFoundError("rlx.red10_v0 needs PettingZoo: pip install pettingzoo") from e

from rlx.red10 import FEATURES, SEATS, WIDTH, Table, _whole

__all__ = ["env", "raw_env"]


def env(**settings: Any) -> AECEnv:
    """The game with PettingZoo's usual wrappers: an illegal move ends it at -1 for who made it. Settings: see :class:`raw_env`."""
    game: AECEnv = raw_env(**settings)
    game = wrappers.TerminateIllegalWrapper(game, illegal_reward=-1)
    game = wrappers.AssertOutOfBoundsWrapper(game)
    return wrappers.OrderEnforcingWrapper(game)


class raw_env(AECEnv):  # noqa: N801 - PettingZoo's name
    """The game itself, in which an illegal move is a ``ValueError``.

    ``rules``: paper, folk4 or both; ``prior``: counts or belief (``rlx.describe("red10")``); ``actions``: types or candidates;
    ``max_cycles``: rounds of four moves after which a game is truncated, none by default.
    """

    metadata = {"render_modes": ["ansi", "human"], "name": "red10_v0", "render_fps": 2}

    def __init__(
        self,
        *,
        rules: str = "paper",
        prior: str = "counts",
        actions: str = "types",
        max_cycles: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__()
        if render_mode not in (None, "ansi", "human"):
            raise ValueError(f"render_mode = {render_mode!r}: there are ansi and human")
        if max_cycles is not None and max_cycles < 1:
            raise ValueError(f"max_cycles = {max_cycles}: it must be at least 1")
        self._table = Table(rules, prior, actions)
        self.render_mode, self.max_cycles = render_mode, max_cycles
        self.possible_agents = [f"player_{s}" for s in range(SEATS)]
        self.agents: list[str] = []
        n = self._table.space
        parts = {"observation": spaces.Box(0, 255, (WIDTH,), np.uint8), "action_mask": spaces.Box(0, 1, (n,), np.int8)}
        self.observation_spaces = {a: spaces.Dict(parts) for a in self.possible_agents}
        self.action_spaces = {a: spaces.Discrete(n) for a in self.possible_agents}

    @property
    def table(self) -> Any:
        """The native table."""
        return self._table.native

    def observation_space(self, agent: str) -> spaces.Space:
        """What a player observes: what the seat sees, and which actions are legal, none of them for who is not on turn."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """What a player chooses from."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Deals: afresh from a seed, or the next game. Options there are none; PettingZoo's check wants them to be ignored."""
        if seed is None and not self.agents and not hasattr(self, "rewards"):
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self.table.reset(None if seed is None else int(seed) & (2**64 - 1))
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._moves = 0
        self._turn()

    def _turn(self) -> None:
        """Whose turn it is, and what everybody is told."""
        over = self.table.over
        self.agent_selection = self.possible_agents[self.table.turn]
        self.infos = {}
        for agent in self.agents:
            mine = agent == self.agent_selection and not over
            info = {"active_agent": self.agent_selection, "legal_moves": self.table.legal() if mine else []}
            if not self._table.by_type:
                info["candidates"] = self.table.candidates() if mine else np.zeros((0, FEATURES), np.uint8)
            self.infos[agent] = info

    def observe(self, agent: str) -> dict[str, np.ndarray]:
        """What a player sees now."""
        mine = agent == self.agent_selection and not self.table.over
        mask = self._table.mask() if mine else np.zeros(self._table.space, np.int8)
        return {"observation": self.table.observe(self.possible_agents.index(agent)), "action_mask": mask}

    def step(self, action: int | None) -> None:
        """Makes the move of who is on turn."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._table.play(_whole(action))
        self._moves += 1
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        if self.table.over:
            self.rewards = {a: float(p) for a, p in zip(self.possible_agents, self.table.payoff)}
            self.terminations = dict.fromkeys(self.agents, True)
        elif self.max_cycles is not None and self._moves >= SEATS * self.max_cycles:
            self.truncations = dict.fromkeys(self.agents, True)
        self._turn()
        self._accumulate_rewards()
        if self.render_mode == "human":
            self.render()

    def action_masks(self) -> np.ndarray:
        """Which actions are legal for who is on turn."""
        return self._table.mask().astype(bool)

    def action_of(self, choice: int) -> int:
        """The action of a legal move, for players who choose among those."""
        return self._table.action(choice)

    def render(self) -> str | None:
        """The table as text: what everybody may see, and the hand of who is on turn."""
        if self.render_mode is None:
            return None
        text = self.table.show()
        if self.render_mode == "human":
            print(text)
            return None
        return text

    def close(self) -> None:
        """Nothing is to be given back."""

    def save(self) -> bytes:
        """An exact snapshot of the table, hidden hands included."""
        return self.table.save()

"""Red-10: PettingZoo's own checks, hidden information, masks, types, bots, the single seat."""

import pickle
import warnings

import gymnasium
import numpy as np
import pytest

import rlx
from rlx import _native, red10

pettingzoo = pytest.importorskip("pettingzoo")
from pettingzoo.test import api_test, bombardment_test, seed_test  # noqa: E402

RULES = ["paper", "folk4", "both"]


def bombard(env, cycles):
    """What PettingZoo's bombardment_test does. That of 1.27.0 fails with every dict as observation, its own tictactoe_v3's too: it holds
    the parts of a dict against a whole one."""
    rng = np.random.default_rng(0)
    for _ in range(cycles):
        env.reset()
        for agent in env.agent_iter(env.num_agents):
            obs, _, termination, truncation, _ = env.last()
            assert env.observation_space(agent).contains(obs)
            env.step(None if termination or truncation else int(rng.choice(np.flatnonzero(obs["action_mask"]))))


def test_pettingzoos_bombardment_still_fails_with_any_dict():
    """Once this fails, `bombard` above can go."""
    warnings.simplefilter("ignore")
    with pytest.raises(AttributeError, match="'dict' object has no attribute 'shape'"):
        bombardment_test(rlx.red10_v0.env(), cycles=2)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("actions", ["types", "candidates"])
def test_pettingzoos_own_checks(rules, actions):
    # Said of every dict, where masks must stand.
    warnings.filterwarnings("ignore", message="Observation (space for each agent probably|is not a NumPy array)")
    make = lambda: rlx.red10_v0.env(rules=rules, actions=actions)  # noqa: E731
    api_test(make(), num_cycles=300)
    seed_test(make, num_cycles=60)
    bombard(make(), cycles=20)


@pytest.mark.parametrize("cycles", [1, 4])
def test_max_cycles(cycles):
    """PettingZoo's max_cycles_test wants a parallel form, which a game of turns has not; this is its other half, with legal moves."""
    env = rlx.red10_v0.env(max_cycles=cycles)
    env.reset(seed=1)
    counts = dict.fromkeys(env.possible_agents, 0)
    for agent in env.agent_iter():
        obs, _, termination, truncation, _ = env.last()
        counts[agent] += 1
        env.step(None if termination or truncation else int(np.flatnonzero(obs["action_mask"])[-1]))
    assert max(counts.values()) - 1 == np.median(list(counts.values())) - 1 == cycles


def play(env, seed, choose):
    env.reset(seed=seed)
    total = dict.fromkeys(env.possible_agents, 0.0)
    for agent in env.agent_iter():
        obs, reward, termination, truncation, info = env.last()
        total[agent] += reward
        done = termination or truncation
        yield agent, obs, info, done
        env.step(None if done else choose(obs, info))
    assert total


@pytest.mark.parametrize("rules", RULES)
def test_every_move_has_a_type_and_every_mask_is_right(rules):
    env, rng = rlx.red10_v0.env(rules=rules), np.random.default_rng(0)
    most, games = 0, 150
    for seed in range(games):
        for agent, obs, info, done in play(env, seed, lambda o, _: rng.choice(np.flatnonzero(o["action_mask"]))):
            table = env.unwrapped.table
            if done:
                continue
            assert info["active_agent"] == env.agent_selection == agent
            for other in set(env.agents) - {agent}:
                assert not env.observe(other)["action_mask"].any() and not env.infos[other]["legal_moves"]
            legal = table.legal()
            most = max(most, len(legal))
            types = {table.type_of(i) for i in range(len(legal))}
            assert set(np.flatnonzero(obs["action_mask"])) == types
            assert info["legal_moves"] == legal and obs["action_mask"].dtype == np.int8
            assert all(table.type_of(table.of_type(t)) == t for t in types)
    assert most < red10.CANDIDATES
    assert len(set(red10.TYPES)) == len(red10.TYPES)


def test_rewards_are_the_teams():
    env, rng = rlx.red10_v0.env(rules="paper"), np.random.default_rng(1)
    for seed in range(40):
        env.reset(seed=seed)
        for agent in env.agent_iter():
            obs, _, termination, truncation, _ = env.last()
            if termination:
                break
            env.step(int(rng.choice(np.flatnonzero(obs["action_mask"]))))
        paid = [env.rewards[a] for a in env.possible_agents]
        teams = env.unwrapped.table.teams
        for side in (True, False):
            assert len({p for p, t in zip(paid, teams) if t == side}) <= 1
        assert {p for p, t in zip(paid, teams) if t} != {p for p, t in zip(paid, teams) if not t} or not any(paid)


def swapped(hands, a, b, rng):
    """The same deal with the cards of two seats exchanged at random, each keeping as many."""
    pool = list(hands[a] + hands[b])
    rng.shuffle(pool)
    out, order = list(hands), "3456789TRJQKA2wW"
    cut = len(hands[a])
    out[a], out[b] = ("".join(sorted(part, key=order.index)) for part in (pool[:cut], pool[cut:]))
    return out


def test_what_is_hidden_shows_nowhere():
    """A seat sees the same whoever of the others holds which of the cards that it cannot see: the same moves, other hidden hands."""
    rng = np.random.default_rng(3)
    table, twin = (_native.Table('{"rules": "paper"}') for _ in range(2))
    compared = 0
    for seed in range(200):
        table.reset(seed)
        hands = [table.hand(s) for s in range(4)]
        other = swapped(hands, 1, 2, rng)
        table.deal(hands, 0), twin.deal(other, 0)
        for _ in range(30):
            assert np.array_equal(table.observe(0), twin.observe(0))
            assert np.array_equal(table.observe(3), twin.observe(3))
            assert (table.turn, table.legal() if table.turn in (0, 3) else 0) == (twin.turn, twin.legal() if table.turn in (0, 3) else 0)
            compared += 1
            # A move that both can make, so that the public story stays the same.
            both = [m for m in table.legal() if m in twin.legal()]
            if not both:
                break
            move = both[rng.integers(len(both))]
            table.play(table.legal().index(move)), twin.play(twin.legal().index(move))
            if table.over or twin.over:
                break
    assert compared > 1000
    with pytest.raises(ValueError, match="hidden"):
        table.reset(0), table.teams


def test_illegal_moves():
    raw = rlx.red10_v0.raw_env()
    raw.reset(seed=0)
    for wrong in (int(np.flatnonzero(raw.observe(raw.agent_selection)["action_mask"] == 0)[0]), -1, 10**6, 0.5, None, "pass"):
        with pytest.raises(ValueError):
            raw.step(wrong)
    with pytest.raises(ValueError):
        rlx.red10_v0.env(rules="papr")
    with pytest.raises(ValueError):
        rlx.red10_v0.env(actions="cards")
    env = rlx.red10_v0.env()
    env.reset(seed=0)
    env.last()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env.step(int(np.flatnonzero(raw.observe(raw.agent_selection)["action_mask"] == 0)[0]))
    assert all(env.terminations.values())
    with pytest.raises(ValueError, match="there is no bot"):
        red10.Bot("greedi")
    with pytest.raises(ValueError, match="no game has begun"):
        _native.Table("{}").legal()


def test_bots_sit_at_tables():
    strong = red10.play(["greedy", "random", "random", "random"], 200, seed=1)
    weak = red10.play(["random"] * 4, 200, seed=1)
    assert strong.shape == (200, 4)
    # Three standard errors of a mean of 200 games at +-1 are .21: greedy wins far more often.
    assert strong[:, 0].mean() > weak[:, 0].mean() + 0.2
    assert np.array_equal(strong, red10.play(["greedy", "random", "random", "random"], 200, seed=1))
    env = rlx.red10_v0.env(actions="types")
    bot = red10.Bot("belief")
    for agent, obs, info, done in play(env, 3, lambda o, i: env.unwrapped.action_of(bot.choose(env))):
        assert done or obs["action_mask"][env.unwrapped.action_of(bot.choose(env))]


@pytest.mark.parametrize("actions", ["types", "candidates"])
def test_a_single_seat(actions):
    env = gymnasium.make("rlx/Red10-v0", actions=actions, opponents="random")
    rng, paid, seats = np.random.default_rng(0), [], set()
    for seed in range(60):
        obs, info = env.reset(seed=seed)
        ended = False
        while not ended:
            assert obs in env.observation_space and info["action_mask"].any()
            assert np.array_equal(env.unwrapped.action_masks(), info["action_mask"].astype(bool))
            obs, reward, ended, _, info = env.step(rng.choice(np.flatnonzero(info["action_mask"])))
        paid.append(reward), seats.add(info["seat"])
    assert seats == {0, 1, 2, 3} and set(paid) == {1.0, -1.0}
    obs, info = env.reset(seed=0)
    wrong = int(np.flatnonzero(info["action_mask"] == 0)[0])
    assert env.step(wrong)[1:3] == (-1.0, True)
    strict = gymnasium.make("rlx/Red10-v0", illegal="error", seat=0)
    strict.reset(seed=0)
    with pytest.raises(ValueError, match="no legal move"):
        strict.step(wrong)
    for bad in ({"seat": 4}, {"illegal": "maybe"}, {"opponents": "gredy"}, {"rules": "x"}):
        with pytest.raises(ValueError):
            gymnasium.make("rlx/Red10-v0", **bad)


def test_a_seat_is_pickled_in_the_middle_of_a_game():
    env = gymnasium.make("rlx/Red10-v0", opponents="random", seat=0).unwrapped
    obs, info = env.reset(seed=1)
    env.step(int(np.flatnonzero(info["action_mask"])[0]))
    table = pickle.loads(pickle.dumps(env._table))
    assert table.native.legal() == env.table.legal() and np.array_equal(table.native.observe(0), env.table.observe(0))
    with pytest.raises(ValueError, match="snapshot"):
        env.table.load(env.table.save()[:-3])

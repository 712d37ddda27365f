//! A tiny game with hidden teams: five sailors, two of them mutineers. First each hauls a rope to port or to starboard, then each
//! trusts one of the others.
use rlx::{Encoding, Env, Error, Field, Oracle, Result, Rng, Role, Space, Spec, Status, View, snapshot};

pub const PLAYERS: usize = 5;
const OTHERS: usize = PLAYERS - 1;
const PLIES: usize = 2 * PLAYERS;
const PORT: u8 = 1;
const STARBOARD: u8 = 2;
/// The first of the moves that trust one of the others, in the order of play.
const TRUST: u8 = 3;
const MOVES: u16 = TRUST as u16 + OTHERS as u16;

/// The game has no settings.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Mutiny {
    /// 1 for the two mutineers.
    side: [u8; PLAYERS],
    strength: [u8; PLAYERS],
    first: u8,
    /// The moves made, in the order of play from the first sailor on.
    log: Vec<u8>,
}

impl Mutiny {
    fn turn(&self) -> usize {
        (usize::from(self.first) + self.log.len()) % PLAYERS
    }
    /// The moves of a sailor.
    fn moves(&self, seat: usize) -> impl Iterator<Item = u8> {
        let place = (seat + PLAYERS - usize::from(self.first)) % PLAYERS;
        self.log.iter().skip(place).step_by(PLAYERS).copied()
    }
    fn legal(&self) -> Vec<u8> {
        if self.log.len() < PLAYERS { vec![PORT, STARBOARD] } else { (0..OTHERS as u8).map(|k| TRUST + k).collect() }
    }

    /// What all moves come to, from the mutineers' side: to haul counts the strength, to trust a teammate 3 or 2, an enemy as much less.
    fn score(&self) -> i32 {
        (0..PLAYERS)
            .flat_map(|seat| self.moves(seat).map(move |m| (seat, m)))
            .map(|(seat, m)| match m {
                PORT => i32::from(self.strength[seat]),
                STARBOARD => -i32::from(self.strength[seat]),
                trusted => {
                    let other = (seat + 1 + usize::from(trusted - TRUST)) % PLAYERS;
                    let mutineer = self.side[seat] == 1;
                    let gain = if self.side[other] == self.side[seat] { 1 } else { -1 };
                    if mutineer { 3 * gain } else { -2 * gain }
                }
            })
            .sum()
    }

    fn show(&self, view: View<'_, u8>) {
        let me = self.turn();
        let other = |k: usize| (me + 1 + k) % PLAYERS;
        let haul = |seat: usize| self.moves(seat).next().unwrap_or(0);
        view.seat[0] = me as u8;
        let mut row = vec![u8::from(self.log.len() >= PLAYERS), self.side[me], self.strength[me], haul(me)];
        row.extend((0..OTHERS).map(|k| haul(other(k))));
        // At the helm is who hauled last.
        let last = (usize::from(self.first) + self.log.len().min(PLAYERS) + PLAYERS - 1) % PLAYERS;
        row.push(if self.log.is_empty() { 0 } else { ((last + PLAYERS - me) % PLAYERS) as u8 });
        row.extend((0..OTHERS).map(|k| 2 - self.moves(other(k)).count() as u8));
        row.extend((0..OTHERS).map(|k| self.log.iter().rev().nth(k).copied().unwrap_or(0)));
        // One of a mutineer's four others is one as well, two of a loyal sailor's are loyal.
        row.extend([if self.side[me] == 1 { 64 } else { 128 }; OTHERS]);
        view.obs.copy_from_slice(&row);
    }
}

impl Env for Mutiny {
    type Obs = u8;
    type Act = i64;

    fn spec(&self) -> Spec {
        let mut spec = Spec::solo("mutiny", Space::uniform(4 + 4 * OTHERS + 1, 0.0, 255.0), Space::Discrete(0));
        let hot = |name: &str, range, n| Field::new(name, range, "").encoded(Encoding::OneHot(n));
        spec.players = PLAYERS;
        spec.candidates = Some(1);
        spec.fields = vec![
            hot("round", 0..1, 2),
            hot("own_side", 1..2, 2),
            hot("own_strength", 2..3, 4),
            hot("own_haul", 3..4, 3),
            hot("hauls", 4..8, 3),
            hot("helm", 8..9, PLAYERS as u16).with_role(Role::Leader),
            hot("orders", 9..13, 3).with_role(Role::Remaining),
            hot("log", 13..17, MOVES).with_role(Role::RecentMoves),
            Field::new("odds", 17..21, "1/255").with_role(Role::TeamPrior),
        ];
        spec.candidate_fields = vec![hot("order", 0..1, MOVES).with_role(Role::Move)];
        spec.hidden_fields = vec![
            hot("allegiance", 0..PLAYERS, 2).with_role(Role::Team),
            Field::new("strengths", PLAYERS..2 * PLAYERS, "").encoded(Encoding::Counts),
        ];
        spec
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, u8>) {
        let mut seats: [usize; PLAYERS] = std::array::from_fn(|s| s);
        rng.shuffle(&mut seats);
        self.side = [0; PLAYERS];
        seats[..2].iter().for_each(|&s| self.side[s] = 1);
        self.strength = self.side.map(|side| side + 1 + rng.below(2) as u8);
        self.first = rng.below(PLAYERS) as u8;
        self.log.clear();
        self.show(view);
    }

    fn step(&mut self, act: &[i64], _: &mut Rng, view: View<'_, u8>, pay: &mut [f32]) -> Result<Status> {
        let legal = self.legal();
        let order = usize::try_from(act[0]).ok().and_then(|a| legal.get(a));
        self.log.push(*order.ok_or_else(|| Error::invalid(format!("order {}: of {}", act[0], legal.len())))?);
        self.show(view);
        if self.log.len() < PLIES {
            return Ok(Status::Running);
        }
        let won = self.score().signum() as f32;
        pay.iter_mut().zip(self.side).for_each(|(p, side)| *p = if side == 1 { won } else { -won });
        Ok(Status::Terminated)
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, self);
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        *self = snapshot::get(state)?;
        Ok(())
    }
    fn candidates(&self, rows: &mut Vec<u8>, counts: &mut Vec<u32>) {
        let legal = self.legal();
        counts.push(legal.len() as u32);
        rows.extend(legal);
    }
}

impl Oracle for Mutiny {
    fn hidden_width(&self) -> usize {
        2 * PLAYERS
    }
    fn reveal(&self, out: &mut [u8]) {
        out[..PLAYERS].copy_from_slice(&self.side);
        out[PLAYERS..].copy_from_slice(&self.strength);
    }
}

//! What training may see of the hidden state, from the acting seat's side: for the critic of complete information, for what the
//! networks are to guess, and for the upper bound that is told the truth.
use super::{features::Features, net::SparseMlp};
use rlx::{Encoding, Field, Role, Spec};
use rlx_nn::{Layout, sparse::Active};
use std::ops::Range;

/// The parts of the hidden state, each of as many bytes for every seat.
#[derive(Clone, Debug)]
pub(super) struct Hidden {
    /// Bytes of a row.
    pub width: usize,
    players: usize,
    /// One byte a seat: its team.
    team: Range<usize>,
    /// The rest, by seat.
    parts: Vec<(Range<usize>, Encoding)>,
}

impl Hidden {
    /// Of worlds with hidden teams ([`Role::Team`]); None of others.
    pub fn of(spec: &Spec) -> Option<Self> {
        let players = spec.players;
        let team = Role::Team.find(&spec.hidden_fields).filter(|f| f.range.len() == players && players > 1)?;
        let whole = |f: &&Field| f.role != Some(Role::Team) && f.range.len().is_multiple_of(players);
        let parts = spec.hidden_fields.iter().filter(whole).map(|f| (f.range.clone(), f.encoding)).collect();
        let width = spec.hidden_fields.iter().map(|f| f.range.end).max().unwrap_or(0);
        Some(Self { width, players, team: team.range.clone(), parts })
    }

    /// Whether each of the others, in the order of play, is of the team of `seat`.
    pub fn teammates<'r>(&self, row: &'r [u8], seat: u8) -> impl Iterator<Item = bool> + use<'r> {
        let (team, me, players) = (&row[self.team.clone()], usize::from(seat), self.players);
        (1..players).map(move |k| team[(me + k) % players] == team[me])
    }

    /// Whether two seats are of one team.
    pub fn same(&self, row: &[u8], a: u8, b: u8) -> bool {
        row[self.team.start + usize::from(a)] == row[self.team.start + usize::from(b)]
    }

    /// The seats of a team as a bit set, of at most eight: that of the first seat, or the others.
    pub fn side(&self, row: &[u8], first: bool) -> u8 {
        let team = &row[self.team.clone()];
        (0..team.len()).fold(0, |m, s| m | u8::from((team[s] == team[0]) == first) << s)
    }

    /// The part of seat `(seat + k + 1)` for each of the others, in the order of play.
    fn others<'r>(&self, row: &'r [u8], part: &Range<usize>, seat: u8) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        let (start, each, players) = (part.start, part.len() / self.players, self.players);
        let me = usize::from(seat);
        (1..players).map(move |k| &row[start + (me + k) % players * each..][..each])
    }

    /// Bytes of a part that are the others'.
    fn of_others(&self, part: &Range<usize>) -> usize {
        part.len() / self.players * (self.players - 1)
    }

    /// How many numbers [`Hidden::counts`] appends.
    pub fn counted(&self) -> usize {
        let counts = self.parts.iter().filter(|p| p.1 == Encoding::Counts);
        counts.map(|(part, _)| 2 * self.of_others(part)).sum()
    }

    /// Appends every count that the others hold: where the unseen cards are.
    pub fn counts(&self, row: &[u8], seat: u8, out: &mut Vec<f32>) {
        for (part, _) in self.parts.iter().filter(|p| p.1 == Encoding::Counts) {
            for bytes in self.others(row, part, seat) {
                out.extend(bytes.iter().flat_map(|b| [f32::from(b & 15), f32::from(b >> 4)]));
            }
        }
    }
}

/// A value network of complete information: what the acting seat is paid at the end, all hands and teams known. It only teaches:
/// no seat acts on it. Its features are those of the seat's own view, then those of what the seat does not see.
#[derive(Clone, Debug)]
pub(super) struct Critic {
    secrets: Features,
    first: u32,
    /// The network.
    pub net: SparseMlp,
}

impl Critic {
    /// Adds its parameters to `layout`; `seen` is the number of features of a seat's own view.
    pub fn new(layout: &mut Layout, hidden: &Hidden, seen: usize, width: usize) -> Self {
        let (mut fields, mut at) = (Vec::new(), 0);
        let mut add = |bytes: usize, encoding| {
            fields.push(Field::new("", at..at + bytes, "").encoded(encoding));
            at += bytes;
        };
        add(hidden.players - 1, Encoding::OneHot(2));
        hidden.parts.iter().for_each(|(part, e)| add(hidden.of_others(part), *e));
        let secrets = Features::new(&fields, at);
        let net = SparseMlp::new(layout, "critic", seen + secrets.count(), 0, &[width, width, 1], 0.1);
        Self { secrets, first: seen as u32, net }
    }

    /// Appends the features of what a decision's `seat` does not see, as a list; `bytes` is memory.
    pub fn encode(&self, hidden: &Hidden, row: &[u8], seat: u8, bytes: &mut Vec<u8>, out: &mut Active) {
        bytes.clear();
        bytes.extend(hidden.teammates(row, seat).map(u8::from));
        for (part, _) in &hidden.parts {
            hidden.others(row, part, seat).for_each(|part| bytes.extend_from_slice(part));
        }
        let from = out.features.len();
        self.secrets.encode(bytes, out);
        out.features[from..].iter_mut().for_each(|f| *f += self.first);
    }
}

/// TD(lambda) targets of one game's decisions, newest last, in place: `target` holds what each acting seat was paid at the end and
/// becomes (1 - lambda) x the critic's value of the next decision + lambda x that decision's target, its sign turned where the next
/// to decide is of the other team: what one team wins the other loses.
pub(super) fn bootstrap(target: &mut [f32], value: &[f32], same_as_next: impl Fn(usize) -> bool, lambda: f32) {
    for t in (0..target.len().saturating_sub(1)).rev() {
        let next = (1.0 - lambda) * value[t + 1] + lambda * target[t + 1];
        target[t] = if same_as_next(t) { next } else { -next };
    }
}

/// One-step targets, in place: the soft value of the same seat's next decision of the game; its payoff where there is none.
pub(super) fn next_of_the_same_seat(target: &mut [f32], soft: &[f32], seat: &[u8], games: &[u32], players: usize) {
    let mut start = 0;
    for &n in games {
        let mut next = vec![None; players];
        for t in (start..start + n as usize).rev() {
            let of = &mut next[usize::from(seat[t])];
            target[t] = of.unwrap_or(target[t]);
            *of = Some(soft[t]);
        }
        start += n as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::Space;

    fn spec(players: usize, team: Field) -> Spec {
        let mut spec = Spec::solo("w", Space::uniform(1, 0.0, 255.0), Space::Discrete(0));
        spec.players = players;
        let dice = Field::new("dice", players..2 * players, "").encoded(Encoding::Counts);
        spec.hidden_fields = vec![team, dice];
        spec
    }

    #[test]
    fn the_hidden_state_is_seen_from_the_acting_seat() {
        let team = Field::new("crew", 0..4, "");
        let hidden = Hidden::of(&spec(4, team.clone().with_role(Role::Team))).unwrap();
        let row = [1, 0, 1, 0, 0x10, 0x21, 0x32, 0x43];
        assert_eq!(hidden.teammates(&row, 1).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!((hidden.side(&row, true), hidden.side(&row, false)), (5, 10));
        assert!(hidden.same(&row, 0, 2) && !hidden.same(&row, 0, 3));
        let mut counts = Vec::new();
        hidden.counts(&row, 3, &mut counts);
        assert_eq!(counts, [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]);
        assert_eq!(counts.len(), hidden.counted());
        // A name is no role, and a team of four is none of five players.
        assert!(Hidden::of(&spec(4, Field::new("team", 0..4, ""))).is_none());
        assert!(Hidden::of(&spec(5, team.with_role(Role::Team))).is_none());
    }

    #[test]
    fn there_may_be_any_number_of_players() {
        let hidden = Hidden::of(&spec(5, Field::new("crew", 0..5, "").with_role(Role::Team))).unwrap();
        let row = [1, 0, 0, 1, 0, 1, 2, 3, 4, 5];
        assert_eq!(hidden.teammates(&row, 3).collect::<Vec<_>>(), [false, true, false, false]);
        assert_eq!((hidden.side(&row, true), hidden.side(&row, false)), (0b01001, 0b10110));
        let mut counts = Vec::new();
        hidden.counts(&row, 4, &mut counts);
        assert_eq!(counts, [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0]);
        assert_eq!(counts.len(), hidden.counted());
    }

    /// lambda 1 leaves the payoffs; lambda 0 takes the next value, from the own side; in between, the recursion by hand.
    #[test]
    fn targets_are_those_of_the_recursion() {
        let (paid, value) = ([1.0, -1.0, 1.0], [0.3, -0.5, 0.25]);
        let same = |t: usize| t == 1; // decisions 1 and 2 are of one team, 0 of the other
        let run = |lambda: f32, paid: [f32; 3]| {
            let mut target = paid;
            bootstrap(&mut target, &value, same, lambda);
            target
        };
        assert_eq!(run(1.0, [-1.0, 1.0, 1.0]), [-1.0, 1.0, 1.0]);
        assert_eq!(run(0.0, paid), [0.5, 0.25, 1.0]);
        let second = 0.5 * 0.25 + 0.5 * 1.0;
        assert_eq!(run(0.5, paid), [-(0.5 * -0.5 + 0.5 * second), second, 1.0]);
    }

    #[test]
    fn one_step_targets_stay_within_their_game_and_seat() {
        let mut target = [1.0, -1.0, 1.0, -1.0, 1.0];
        next_of_the_same_seat(&mut target, &[0.1, 0.2, 0.3, 0.4, 0.5], &[2, 0, 2, 0, 2], &[3, 2], 3);
        assert_eq!(target, [0.3, -1.0, 1.0, -1.0, 1.0]);
    }
}

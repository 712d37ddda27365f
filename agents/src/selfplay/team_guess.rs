//! Guessing who is on whose side: P(teammate) of each of the others, which of them are accepted as teammates, and the danger of acting
//! on it. A guess is a row of numbers, the context: P(teammate) of the others in the order of play, 1 for each of them that is accepted,
//! the danger.
use super::{act::ActScratch, nets::SelfPlayNets};
use rlx::{Encoding, Mode, Rng, Role, Spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Where P(teammate) comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// A network that is trained on the policy's own games.
    #[default]
    Network,
    /// The world's exact prior: what the counts alone say.
    Prior,
    /// The true identities: an upper bound, which no player could reach.
    Truth,
}

/// How the others are guessed.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// Width of the relation network.
    pub hidden: usize,
    /// Where P(teammate) comes from.
    pub relation: Relation,
    /// Width of the danger network; 0: none, the threshold is 1/2.
    pub danger: usize,
    /// Weight of the value network's auxiliary heads: teammates, and where the unseen counts are; 0: there are none.
    pub auxiliary: f64,
    /// Whether each pattern of accepted teammates and seat has a policy network of its own.
    pub pattern: bool,
    /// Chance that the acceptances of a decision are drawn while exploring.
    pub draw: f64,
    /// Weight of the intrinsic reward.
    pub intrinsic: f64,
    /// Weight of the identification loss within it.
    pub intrinsic_loss: f64,
}

/// Numbers of a context.
pub(super) fn context_width(others: usize) -> usize {
    2 * others + 1
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
pub(super) fn logit(p: f32) -> f32 {
    let p = p.clamp(1e-4, 1.0 - 1e-4);
    (p / (1.0 - p)).ln()
}

/// A row seen by sides instead of seats, which is what a guess is good for: whether who is ahead is a teammate, and how many teammates
/// and how many enemies have so much left.
#[derive(Clone, Debug, Default)]
pub(super) struct TeamView {
    others: usize,
    leader: Option<usize>,
    remaining: Option<(Range<usize>, usize)>,
}

impl TeamView {
    /// Of a world whose fields have the roles [`Role::Leader`] and [`Role::Remaining`], as far as they have them.
    pub fn of(spec: &Spec) -> Self {
        let others = spec.players - 1;
        let remaining = Role::Remaining.find(&spec.fields).filter(|f| f.range.len() == others);
        let remaining = remaining.and_then(|f| match f.encoding {
            Encoding::OneHot(n) => Some((f.range.clone(), usize::from(n))),
            _ => None,
        });
        Self { others, leader: Role::Leader.find(&spec.fields).map(|f| f.range.start), remaining }
    }

    /// Numbers that [`TeamView::extend`] appends.
    pub fn width(&self) -> usize {
        let remaining = self.remaining.as_ref().map_or(0, |(_, n)| 2 * n);
        context_width(self.others) + usize::from(self.leader.is_some()) + remaining
    }

    /// Appends what the value network is told of a row and a guess: the guess, and the row by its sides.
    pub fn extend(&self, row: &[u8], guess: &[f32], out: &mut Vec<f32>) {
        out.extend_from_slice(guess);
        if let Some(leader) = self.leader {
            let who = usize::from(row[leader]);
            out.push(if (1..=self.others).contains(&who) { guess[who - 1] } else { 0.0 });
        }
        if let Some((at, n)) = &self.remaining {
            let start = out.len();
            out.resize(start + 2 * n, 0.0);
            for (k, &left) in row[at.clone()].iter().enumerate() {
                let bucket = start + usize::from(left).min(n - 1);
                out[bucket] += guess[k];
                out[bucket + n] += 1.0 - guess[k];
            }
        }
    }
}

impl SelfPlayNets {
    /// Writes the world's prior of a row: P(teammate) of the others, 1/2 where the world says none.
    pub(super) fn prior(&self, row: &[u8], out: &mut [f32]) {
        out.fill(0.5);
        let prior = &row[self.prior.clone().unwrap_or(0..0)];
        out.iter_mut().zip(prior).for_each(|(p, &b)| *p = f32::from(b) / 255.0);
    }

    /// Writes P(teammate) that the relation network's outputs `related` say: they are added to the prior's log-odds, so that a network
    /// that knows nothing says what the counts say.
    pub(super) fn related(&self, related: &[f32], row: &[u8], out: &mut [f32]) {
        self.prior(row, out);
        out.iter_mut().zip(related).for_each(|(p, o)| *p = sigmoid(logit(*p) + o));
    }

    /// The guesses for the encoded `s.states`, into `s.context`; `rows` are their bytes, `secrets` the hidden states and the seats where
    /// the truth is asked for. While exploring, a share of the acceptances is drawn from `rngs`, which are those of `s.decided`.
    pub(super) fn guess(
        &self,
        params: &[f32],
        rows: &[&[u8]],
        secrets: &[(&[u8], u8)],
        mode: Mode,
        rngs: &mut [Rng],
        s: &mut ActScratch,
    ) {
        let (n, others, width) = (rows.len(), self.others, self.context_width());
        let ActScratch { states, context, drawn, decided, guess: scratch, .. } = s;
        context.clear();
        context.resize(n * width, 0.0);
        drawn.clear();
        drawn.resize(n, false);
        let Some(guess) = &self.guess else { return };
        let contexts = context.chunks_exact_mut(width);
        match (&self.relation, &self.hidden, guess.relation) {
            (Some(net), _, _) => {
                let out = net.forward(params, states, &[], scratch);
                for ((c, o), row) in contexts.zip(out.chunks_exact(others)).zip(rows) {
                    self.related(o, row, &mut c[..others]);
                }
            }
            (None, Some(hidden), Relation::Truth) => {
                for (c, (secret, seat)) in contexts.zip(secrets) {
                    let truth = hidden.teammates(secret, *seat);
                    c.iter_mut().zip(truth).for_each(|(p, same)| *p = f32::from(u8::from(same)));
                }
            }
            _ => contexts.zip(rows).for_each(|(c, row)| self.prior(row, &mut c[..others])),
        }
        context.chunks_exact_mut(width).for_each(|c| c[2 * others] = 0.5);
        if let Some(net) = &self.danger {
            let out = net.forward(params, states, &[], scratch);
            context.chunks_exact_mut(width).zip(out).for_each(|(c, o)| c[2 * others] = sigmoid(*o));
        }
        let may_draw = mode == Mode::Explore && guess.draw > 0.0;
        for ((c, drawn), &k) in context.chunks_exact_mut(width).zip(drawn).zip(&*decided) {
            let rng = &mut rngs[k as usize];
            *drawn = may_draw && rng.unit() < guess.draw;
            let (probability, rest) = c.split_at_mut(others);
            let (accepted, danger) = rest.split_at_mut(others);
            for (a, &p) in accepted.iter_mut().zip(&*probability) {
                let accept =
                    if *drawn { rng.unit() < f64::from(sigmoid(logit(p) - logit(danger[0]))) } else { p > danger[0] };
                *a = f32::from(u8::from(accept));
            }
        }
    }

    /// Which value network plays: by the accepted teammates, places and the seat.
    pub(super) fn net_of(&self, context: &[f32], seat: u8) -> usize {
        if !self.guess.as_ref().is_some_and(|g| g.pattern) {
            return 0;
        }
        let accepted = &context[self.others..2 * self.others];
        let pattern = accepted.iter().enumerate().fold(0, |m, (k, &a)| m | usize::from(a > 0.5) << k);
        pattern * (self.others + 1) + usize::from(seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::{Field, Space};

    fn spec(players: usize, fields: Vec<Field>) -> Spec {
        let mut spec = Spec::solo("w", Space::uniform(8, 0.0, 255.0), Space::Discrete(0));
        (spec.players, spec.fields) = (players, fields);
        spec
    }

    fn told(view: &TeamView, row: &[u8], guess: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        view.extend(row, guess, &mut out);
        assert_eq!(out.len(), view.width());
        assert_eq!(out[..guess.len()], *guess);
        out[guess.len()..].to_vec()
    }

    #[test]
    fn a_row_by_its_sides() {
        let fields = vec![
            Field::new("ahead", 0..1, "").encoded(Encoding::OneHot(5)).with_role(Role::Leader),
            Field::new("stones", 1..4, "").encoded(Encoding::OneHot(3)).with_role(Role::Remaining),
        ];
        let view = TeamView::of(&spec(4, fields.clone()));
        assert_eq!(view.width(), 7 + 1 + 6);
        let guess = [0.25, 1.0, 0.5, 0.0, 1.0, 1.0, 0.5];
        // The second of the others is ahead; they have 0, 2 and more left than there is a place for.
        assert_eq!(told(&view, &[2, 0, 2, 9], &guess), [1.0, 0.25, 0.0, 1.5, 0.75, 0.0, 0.5]);
        // Nobody is.
        assert_eq!(told(&view, &[4, 1, 1, 1], &guess)[0], 0.0);
        // Of five players the field is too narrow: only who is ahead is seen.
        let guess = [0.25, 1.0, 0.5, 0.75, 0.0, 1.0, 1.0, 1.0, 0.5];
        assert_eq!(told(&TeamView::of(&spec(5, fields)), &[4, 0, 2, 9], &guess), [0.75]);
    }

    #[test]
    fn names_say_nothing_and_roles_all() {
        let named = vec![
            Field::new("leader", 0..1, "").encoded(Encoding::OneHot(3)),
            Field::new("remaining", 1..3, "").encoded(Encoding::OneHot(3)),
        ];
        assert!(told(&TeamView::of(&spec(3, named)), &[1, 0, 2], &[0.25, 1.0, 0.0, 1.0, 0.5]).is_empty());
    }
}

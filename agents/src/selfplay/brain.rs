//! Decisions over batches of tables: guess the others, then value every candidate.
use super::{
    features::Features,
    hidden::{Critic, Hidden},
    net::{Scratch, Sizes, SparseMlp, ValueNet, ValueScratch},
};
use rlx::{ColumnRef, Error, Frame, Mode, Result, Rng, Space, Spec};
use rlx_nn::{Activation, Layout, NativeMlp, sparse::Active};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Width of what a guess hands to the policy: P(teammate) of the three others, which of them are accepted, the danger.
pub const CONTEXT: usize = 7;
/// Other players.
pub const OTHERS: usize = 3;

/// What is chosen about the networks.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Sizes of the value network.
    pub hidden: usize,
    /// Layers of the state's half.
    pub layers: usize,
    /// Width after the candidate has joined.
    pub head: usize,
    /// Layers after it.
    pub head_layers: usize,
    /// How the others are guessed; None: they are not.
    pub guess: Option<Guess>,
    /// Width of the critic of complete information; 0: none.
    pub critic: usize,
    /// Temperature of one-step targets, see `Brain::soft_value`; None: targets are returns over whole games.
    pub soft: Option<f64>,
    /// Whether the mean of the others' last moves is seen (see [`crate::mfrl`]).
    pub mean_field: bool,
}

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
    /// Whether the value network has auxiliary heads: teammates, and where the unseen cards are.
    pub auxiliary: bool,
    /// Whether each pattern of accepted teammates and seat has a policy network of its own.
    pub pattern: bool,
    /// Chance that the acceptances of a decision are drawn while exploring.
    pub draw: f64,
}

/// Decisions, one after another: what learning needs of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    pub(super) obs: Vec<u8>,
    pub(super) chosen: Vec<u8>,
    pub(super) hidden: Vec<u8>,
    pub(super) seat: Vec<u8>,
    pub(super) context: Vec<f32>,
    /// Whether the acceptances in the context were drawn.
    pub(super) drawn: Vec<bool>,
    pub(super) value: Vec<f32>,
    /// Soft value of the position, where targets are made of it.
    pub(super) soft: Vec<f32>,
    /// What the acting seat was paid at the end of the game.
    pub(super) target: Vec<f32>,
    /// Decisions of each game that ended, one game after another.
    pub(super) games: Vec<u32>,
}

impl Decisions {
    pub(super) fn len(&self) -> usize {
        self.seat.len()
    }
    /// Appends a game that ended.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.games.push(other.len() as u32);
        self.obs.append(&mut other.obs);
        self.chosen.append(&mut other.chosen);
        self.hidden.append(&mut other.hidden);
        self.seat.append(&mut other.seat);
        self.context.append(&mut other.context);
        self.drawn.append(&mut other.drawn);
        self.value.append(&mut other.value);
        self.soft.append(&mut other.soft);
        self.target.append(&mut other.target);
    }
    /// Forgets them, keeping the memory.
    pub(super) fn clear(&mut self) {
        for bytes in [&mut self.obs, &mut self.chosen, &mut self.hidden, &mut self.seat] {
            bytes.clear();
        }
        for floats in [&mut self.context, &mut self.value, &mut self.soft, &mut self.target] {
            floats.clear();
        }
        self.drawn.clear();
        self.games.clear();
    }
}

/// The networks' shapes and places; parameters are handed in.
#[derive(Clone, Debug)]
pub struct Brain {
    pub(super) settings: Settings,
    pub(super) layout: Layout,
    pub(super) features: Features,
    pub(super) candidate_features: Features,
    pub(super) values: Vec<ValueNet>,
    pub(super) relation: Option<SparseMlp>,
    pub(super) danger: Option<SparseMlp>,
    /// Over the value network's state half: teammates, then counts ([`Hidden::counts`]).
    pub(super) auxiliary: Option<NativeMlp>,
    pub(super) hidden: Option<Hidden>,
    pub(super) critic: Option<Critic>,
    prior: Option<Range<usize>>,
    /// Where an observation has the last moves of the others, one after another, and their features after those of the rest.
    last_moves: Option<(Range<usize>, Features)>,
    pub(super) sides: Sides,
}

/// A row seen by sides instead of seats, which is what a guess is good for: whether the play on the table is a teammate's, and how many
/// teammates and how many enemies have so many cards left. Where a world names the parts `top_seat` (who, counted from the own seat)
/// and `left` (of each of the others).
#[derive(Clone, Debug, Default)]
pub(super) struct Sides {
    top: Option<usize>,
    left: Option<(Range<usize>, usize)>,
}

impl Sides {
    fn of(spec: &Spec) -> Self {
        let field = |name: &str| spec.fields.iter().find(|f| f.name == name);
        let left = field("left").filter(|f| f.range.len() == OTHERS).and_then(|f| match f.encoding {
            rlx::Encoding::OneHot(n) => Some((f.range.clone(), usize::from(n))),
            _ => None,
        });
        Self { top: field("top_seat").map(|f| f.range.start), left }
    }

    /// Numbers that [`Sides::extend`] appends.
    fn width(&self) -> usize {
        CONTEXT + usize::from(self.top.is_some()) + self.left.as_ref().map_or(0, |(_, n)| 2 * n)
    }

    /// Appends what the value network is told of a row and a guess: the guess, and the row by its sides.
    pub(super) fn extend(&self, row: &[u8], guess: &[f32], out: &mut Vec<f32>) {
        out.extend_from_slice(guess);
        if let Some(top) = self.top {
            let owner = usize::from(row[top]);
            out.push(if (1..=OTHERS).contains(&owner) { guess[owner - 1] } else { 0.0 });
        }
        if let Some((at, n)) = &self.left {
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

/// What is asked of a [`Brain`].
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The tables.
    pub frame: Frame<'a>,
    /// Those of them that are asked.
    pub rows: &'a [u32],
    /// Their hidden state, for [`Relation::Truth`] only.
    pub hidden: &'a [u8],
    /// How.
    pub mode: Mode,
    /// Chance of a random move while exploring.
    pub epsilon: f64,
}

/// Memory of [`Brain::decide`].
#[derive(Clone, Debug, Default)]
pub struct Thoughts {
    pub(super) states: Active,
    candidates: Active,
    owner: Vec<u32>,
    /// Per state, [`CONTEXT`] numbers.
    pub context: Vec<f32>,
    /// What the value network is told of each: [`Sides::extend`].
    sides: Vec<f32>,
    /// Per state, whether its acceptances were drawn.
    pub(super) drawn: Vec<bool>,
    /// Per candidate of the rows that had a choice.
    pub values: Vec<f32>,
    /// Where each state's candidates start in `values`.
    pub starts: Vec<u32>,
    guess: Scratch,
    score: ValueScratch,
    part: (Active, Active, Vec<u32>, Vec<u32>),
    /// Floating-point operations of all decisions since it was last set to zero.
    pub flop: f64,
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
fn logit(p: f32) -> f32 {
    let p = p.clamp(1e-4, 1.0 - 1e-4);
    (p / (1.0 - p)).ln()
}

/// Which value network plays: by the accepted teammates, places and the seat.
pub(super) fn net_of(pattern: bool, context: &[f32], seat: u8) -> usize {
    if !pattern {
        return 0;
    }
    let accepted = (0..OTHERS).fold(0, |m, k| m | usize::from(context[OTHERS + k] > 0.5) << k);
    accepted * (OTHERS + 1) + usize::from(seat)
}

fn bytes<'a>(column: ColumnRef<'a>, what: &str) -> Result<&'a [u8]> {
    match column {
        ColumnRef::U8(x) => Ok(x),
        _ => Err(Error::mismatch(what, "bytes", "another type")),
    }
}

/// Where an observation has the last moves of the others: at the front of `recent`, the newest first, each as wide as a candidate's
/// `cards`.
fn last_moves(spec: &Spec) -> Option<(Range<usize>, Features)> {
    let recent = spec.fields.iter().find(|f| f.name == "recent")?;
    let cards = spec.candidate_fields.iter().find(|f| f.name == "cards")?;
    let (width, all) = (cards.range.len(), cards.range.len() * OTHERS);
    (recent.range.len() >= all && recent.encoding == cards.encoding).then(|| {
        let field = rlx::Field::new("", 0..width, "").encoded(cards.encoding);
        (recent.range.start..recent.range.start + all, Features::new(&[field], width))
    })
}

impl Brain {
    /// Networks for worlds of `spec`.
    pub fn new(spec: &Spec, settings: Settings) -> Self {
        let features = Features::new(&spec.fields, spec.obs.width());
        let candidate_features = Features::new(&spec.candidate_fields, spec.candidates.unwrap_or(0));
        let mut layout = Layout::new();
        let guess = settings.guess.clone();
        let pattern = guess.as_ref().is_some_and(|g| g.pattern);
        let last_moves = if settings.mean_field { last_moves(spec) } else { None };
        let state_features = features.count() + last_moves.as_ref().map_or(0, |(_, f)| f.count());
        let sides = Sides::of(spec);
        let sizes = Sizes {
            features: state_features,
            candidate_features: candidate_features.count(),
            context: if guess.is_some() && !pattern { sides.width() } else { 0 },
            hidden: settings.hidden,
            layers: settings.layers,
            head_layers: settings.head_layers,
            head: settings.head,
        };
        let count = if pattern { 8 * (OTHERS + 1) } else { 1 };
        let values = (0..count).map(|i| ValueNet::new(&mut layout, &format!("value.{i}"), sizes)).collect();
        let mut small = |name: &str, hidden: usize, outputs: usize| {
            SparseMlp::new(&mut layout, name, features.count(), 0, &[hidden, hidden, outputs], 0.1)
        };
        let relation = guess.as_ref().filter(|g| g.relation == Relation::Network);
        let relation = relation.map(|g| small("relation", g.hidden, OTHERS));
        let danger = guess.as_ref().filter(|g| g.danger > 0).map(|g| small("danger", g.danger, 1));
        let hidden = Hidden::of(spec);
        let auxiliary = guess.as_ref().filter(|g| g.auxiliary).and(hidden.as_ref()).map(|hidden| {
            let sizes = [settings.head, OTHERS + hidden.counted()];
            NativeMlp::new(&mut layout, "auxiliary", &sizes, Activation::Relu, 0.1)
        });
        let critic = hidden.as_ref().filter(|_| settings.critic > 0);
        let critic = critic.map(|hidden| Critic::new(&mut layout, hidden, state_features, settings.critic));
        let prior = spec.fields.iter().find(|f| f.name == "prior").map(|f| f.range.clone());
        Self {
            settings,
            layout,
            features,
            candidate_features,
            values,
            relation,
            danger,
            auxiliary,
            hidden,
            critic,
            prior,
            last_moves,
            sides,
        }
    }

    /// Appends the features of an observation: its own, and with a mean field those of the others' last moves, which add up to three
    /// times their mean.
    pub(super) fn encode(&self, obs: &[u8], out: &mut Active) {
        self.features.extend(obs, out);
        if let Some((at, features)) = &self.last_moves {
            let (first, base) = (out.features.len(), self.features.count() as u32);
            obs[at.clone()].chunks_exact(features.width()).for_each(|m| features.extend(m, out));
            out.features[first..].iter_mut().for_each(|f| *f += base);
        }
        out.end();
    }

    /// Whether such networks can play in worlds of `spec`.
    pub fn fits(spec: &Spec, guess: bool, critic: bool, mean_field: bool) -> std::result::Result<(), String> {
        if spec.candidates.is_none() || spec.candidate_fields.is_empty() {
            return Err("it scores candidates, and this world has none".into());
        }
        if spec.rows != 1 {
            return Err("it plays in turn, and this world's players act at once".into());
        }
        if !matches!(spec.obs, Space::Box { .. }) || spec.fields.is_empty() {
            return Err("it spreads named parts of rows of bytes, and this world names none".into());
        }
        let has = |fields: &[rlx::Field], name: &str| fields.iter().any(|f| f.name == name);
        if guess && !(Hidden::of(spec).is_some() && has(&spec.fields, "prior")) {
            return Err("it guesses teams, and this world has no hidden 'team' of four players with a 'prior'".into());
        }
        if mean_field && last_moves(spec).is_none() {
            return Err("it takes the mean of the others' last moves, and this world shows no 'recent' ones".into());
        }
        if critic && Hidden::of(spec).is_none() {
            return Err("td_lambda < 1 needs a critic that knows the teams, and this world has no hidden 'team'".into());
        }
        Ok(())
    }

    /// The world's prior of a row: P(teammate) of the others.
    pub(super) fn prior(&self, row: &[u8]) -> [f32; OTHERS] {
        let at = self.prior.clone().unwrap_or(0..0);
        let mut prior = [0.5; OTHERS];
        prior.iter_mut().zip(&row[at]).for_each(|(p, &b)| *p = f32::from(b) / 255.0);
        prior
    }

    /// P(teammate) that the relation network's outputs say: they are added to the prior's log-odds, so that a network that knows
    /// nothing says what the counts say.
    pub(super) fn related(&self, out: &[f32], row: &[u8]) -> [f32; OTHERS] {
        let prior = self.prior(row);
        std::array::from_fn(|k| sigmoid(logit(prior[k]) + out[k]))
    }

    /// P(teammate) of the others and the danger for the encoded `t.states`, into `t.context`; `rows` are their bytes, `hidden` the
    /// hidden ones and seats where the truth is asked for.
    fn guess(
        &self,
        params: &[f32],
        rows: &[&[u8]],
        hidden: &[(&[u8], u8)],
        rngs: Option<(&[u32], &mut [Rng])>,
        t: &mut Thoughts,
    ) {
        let n = rows.len();
        t.context.clear();
        t.context.resize(n * CONTEXT, 0.0);
        t.drawn.clear();
        t.drawn.resize(n, false);
        let Some(guess) = &self.settings.guess else { return };
        let contexts = t.context.chunks_exact_mut(CONTEXT);
        match (&self.relation, &self.hidden, guess.relation) {
            (Some(net), _, _) => {
                let out = net.forward(params, &t.states, &[], &mut t.guess);
                for ((c, o), row) in contexts.zip(out.chunks_exact(OTHERS)).zip(rows) {
                    c[..OTHERS].copy_from_slice(&self.related(o, row));
                }
            }
            (None, Some(of), Relation::Truth) => {
                for (c, (row, seat)) in contexts.zip(hidden) {
                    c[..OTHERS].copy_from_slice(&of.teammates(row, *seat).map(|t| f32::from(u8::from(t))));
                }
            }
            _ => contexts.zip(rows).for_each(|(c, row)| c[..OTHERS].copy_from_slice(&self.prior(row))),
        }
        t.context.chunks_exact_mut(CONTEXT).for_each(|c| c[2 * OTHERS] = 0.5);
        if let Some(net) = &self.danger {
            let out = net.forward(params, &t.states, &[], &mut t.guess);
            t.context.chunks_exact_mut(CONTEXT).zip(out).for_each(|(c, o)| c[2 * OTHERS] = sigmoid(*o));
        }
        let mut rngs = rngs.filter(|_| guess.draw > 0.0);
        t.drawn.clear();
        for (i, c) in t.context.chunks_exact_mut(CONTEXT).enumerate() {
            let mut rng = rngs.as_mut().map(|(of, rngs)| &mut rngs[of[i] as usize]);
            let draws = rng.as_mut().is_some_and(|rng| rng.unit() < guess.draw);
            t.drawn.push(draws);
            for k in 0..OTHERS {
                let accept = match &mut rng {
                    Some(rng) if draws => rng.unit() < f64::from(sigmoid(logit(c[k]) - logit(c[2 * OTHERS]))),
                    _ => c[k] > c[2 * OTHERS],
                };
                c[OTHERS + k] = f32::from(u8::from(accept));
            }
        }
    }

    /// Chooses for the rows that are asked: `choices[k]` for `rows[k]`, and fills `decided` with the k whose moves were not forced.
    ///
    /// # Errors
    /// When the frame is not of such worlds, or a network gives numbers that are not finite.
    pub fn decide(
        &self,
        params: &[f32],
        ask: Ask<'_>,
        rngs: &mut [Rng],
        choices: &mut [i64],
        decided: &mut Vec<u32>,
        t: &mut Thoughts,
    ) -> Result<()> {
        let Ask { frame, rows, hidden, mode, epsilon } = ask;
        let candidates = frame.candidates.ok_or_else(|| Error::invalid("a frame without candidates"))?;
        let (obs, moves) = (bytes(frame.obs, "observations")?, bytes(candidates.rows, "candidates")?);
        let (width, c_width) = (self.features.width(), self.candidate_features.width());
        if obs.len() % width != 0 || candidates.width != c_width {
            return Err(Error::mismatch("frame", format!("rows of {width} and {c_width} bytes"), "others"));
        }
        let truth = self.settings.guess.as_ref().is_some_and(|g| g.relation == Relation::Truth);
        let h_width = self.hidden.as_ref().map_or(0, |h| h.width);
        if truth && hidden.len() != rows.len() * h_width {
            return Err(Error::invalid("relation = truth: it must be shown the hidden state before it acts"));
        }
        decided.clear();
        t.states.clear();
        t.candidates.clear();
        t.owner.clear();
        t.starts.clear();
        let (mut of_states, mut hiddens) = (Vec::with_capacity(rows.len()), Vec::new());
        for (k, &row) in rows.iter().enumerate() {
            let range = candidates.range(row as usize);
            choices[k] = 0;
            if range.len() < 2 {
                continue;
            }
            let bytes = &obs[row as usize * width..][..width];
            self.encode(bytes, &mut t.states);
            t.starts.push(t.owner.len() as u32);
            for i in range {
                self.candidate_features.encode(&moves[i * c_width..][..c_width], &mut t.candidates);
                t.owner.push(decided.len() as u32);
            }
            of_states.push(bytes);
            if truth {
                hiddens.push((&hidden[k * h_width..][..h_width], frame.seat[row as usize]));
            }
            decided.push(k as u32);
        }
        t.starts.push(t.owner.len() as u32);
        if decided.is_empty() {
            t.values.clear();
            return Ok(());
        }
        let (n, on) = (t.states.len(), t.states.features.len());
        t.flop += self.values[0].flop(&t.states, &t.candidates, false);
        t.flop += [&self.relation, &self.danger].into_iter().flatten().map(|net| net.flop(n, on, false)).sum::<f64>();
        let draw = (mode == Mode::Explore).then_some((&decided[..], &mut *rngs));
        self.guess(params, &of_states, &hiddens, draw, t);
        t.sides.clear();
        if self.settings.guess.is_some() {
            for (row, c) in of_states.iter().zip(t.context.chunks_exact(CONTEXT)) {
                self.sides.extend(row, c, &mut t.sides);
            }
        }
        let seats: Vec<u8> = decided.iter().map(|&k| frame.seat[rows[k as usize] as usize]).collect();
        self.score(params, &seats, t);
        if let Some(v) = t.values.iter().find(|v| !v.is_finite()) {
            return Err(Error::invalid(format!("the value network gives {v}")));
        }
        for (i, &k) in decided.iter().enumerate() {
            let values = &t.values[t.starts[i] as usize..t.starts[i + 1] as usize];
            let rng = &mut rngs[k as usize];
            choices[k as usize] = if mode == Mode::Explore && rng.unit() < epsilon {
                rng.below(values.len()) as i64
            } else {
                (0..values.len()).fold(0, |b, j| if values[j] > values[b] { j } else { b }) as i64
            };
        }
        Ok(())
    }

    /// The soft value of state `i`: its candidates' values weighted by exp(value / temperature).
    pub(super) fn soft_value(&self, t: &Thoughts, i: usize) -> f32 {
        let values = &t.values[t.starts[i] as usize..t.starts[i + 1] as usize];
        let temperature = self.settings.soft.unwrap_or(1.0) as f32;
        let best = values.iter().copied().fold(f32::MIN, f32::max);
        // Zero first: a temperature too small for a float would make it 0 / 0.
        let weight = |v: &f32| if *v == best { 1.0 } else { ((v - best) / temperature).exp() };
        values.iter().map(|v| weight(v) * v).sum::<f32>() / values.iter().map(weight).sum::<f32>()
    }

    /// Values of all candidates, each by the network of its state.
    fn score(&self, params: &[f32], seats: &[u8], t: &mut Thoughts) {
        if self.values.len() == 1 {
            let out = self.values[0].forward(params, &t.states, &t.sides, &t.candidates, &t.owner, &mut t.score);
            t.values.clear();
            t.values.extend_from_slice(out);
            return;
        }
        t.values.resize(t.owner.len(), 0.0);
        let nets: Vec<usize> =
            seats.iter().zip(t.context.chunks_exact(CONTEXT)).map(|(&s, c)| net_of(true, c, s)).collect();
        for (number, net) in self.values.iter().enumerate() {
            let (states, candidates, owner, places) = &mut t.part;
            states.clear();
            candidates.clear();
            owner.clear();
            places.clear();
            for i in (0..nets.len()).filter(|&i| nets[i] == number) {
                for j in t.starts[i]..t.starts[i + 1] {
                    candidates.push_from(&t.candidates, j as usize);
                    owner.push(states.len() as u32);
                    places.push(j);
                }
                states.push_from(&t.states, i);
            }
            if !states.is_empty() {
                let out = net.forward(params, states, &[], candidates, owner, &mut t.score);
                places.iter().zip(out).for_each(|(&p, &v)| t.values[p as usize] = v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::{Encoding, Field};

    #[test]
    fn a_row_by_its_sides() {
        let mut spec = Spec::solo("w", Space::uniform(4, 0.0, 255.0), Space::Discrete(0));
        spec.fields = vec![
            Field::new("top_seat", 0..1, "").encoded(Encoding::OneHot(5)),
            Field::new("left", 1..4, "").encoded(Encoding::OneHot(3)),
        ];
        let sides = Sides::of(&spec);
        assert_eq!(sides.width(), CONTEXT + 1 + 6);
        let guess = [0.25, 1.0, 0.5, 0.0, 1.0, 1.0, 0.5];
        let told = |row: &[u8]| {
            let mut out = Vec::new();
            sides.extend(row, &guess, &mut out);
            assert_eq!(out[..CONTEXT], guess);
            out[CONTEXT..].to_vec()
        };
        // The top is of the second of the others; they have 0, 2 and more cards than there is a place for.
        assert_eq!(told(&[2, 0, 2, 9]), [1.0, 0.25, 0.0, 1.5, 0.75, 0.0, 0.5]);
        // Nobody's.
        assert_eq!(told(&[4, 1, 1, 1])[0], 0.0);
    }
}

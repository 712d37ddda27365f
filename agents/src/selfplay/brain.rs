//! Decisions over batches of tables: guess the others, then value every candidate.
use super::{
    features::Features,
    net::{Scratch, Sizes, SparseMlp, ValueNet, ValueScratch},
};
use rlx::{ColumnRef, Error, Frame, Mode, Result, Rng, Space, Spec};
use rlx_nn::{Layout, sparse::Active};
use serde::{Deserialize, Serialize};

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
}

/// How the others are guessed.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// Width of the guessing networks.
    pub hidden: usize,
    /// Whether a network guesses, or the world's own prior is taken.
    pub network: bool,
    /// Whether a network says the danger; otherwise the threshold is 1/2.
    pub danger: bool,
    /// Whether each pattern of accepted teammates and seat has a policy network of its own.
    pub pattern: bool,
    /// Whether acceptances are drawn while exploring.
    pub draw: bool,
}

/// Decisions, one after another: what learning needs of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    pub(super) obs: Vec<u8>,
    pub(super) chosen: Vec<u8>,
    pub(super) hidden: Vec<u8>,
    pub(super) seat: Vec<u8>,
    pub(super) context: Vec<f32>,
    pub(super) value: Vec<f32>,
    pub(super) target: Vec<f32>,
}

impl Decisions {
    pub(super) fn len(&self) -> usize {
        self.seat.len()
    }
    pub(super) fn append(&mut self, other: &mut Self) {
        self.obs.append(&mut other.obs);
        self.chosen.append(&mut other.chosen);
        self.hidden.append(&mut other.hidden);
        self.seat.append(&mut other.seat);
        self.context.append(&mut other.context);
        self.value.append(&mut other.value);
        self.target.append(&mut other.target);
    }
    pub(super) fn clear(&mut self) {
        *self = Self::default();
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
    prior: Option<std::ops::Range<usize>>,
}

/// Memory of [`Brain::decide`].
#[derive(Clone, Debug, Default)]
pub struct Thoughts {
    pub(super) states: Active,
    candidates: Active,
    owner: Vec<u32>,
    /// Per state, [`CONTEXT`] numbers.
    pub context: Vec<f32>,
    /// Per candidate of the rows that had a choice.
    pub values: Vec<f32>,
    /// Where each state's candidates start in `values`.
    pub starts: Vec<u32>,
    guess: Scratch,
    score: ValueScratch,
    part: (Active, Active, Vec<u32>, Vec<u32>),
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

impl Brain {
    /// Networks for worlds of `spec`.
    pub fn new(spec: &Spec, settings: Settings) -> Self {
        let features = Features::new(&spec.fields, spec.obs.width());
        let candidate_features = Features::new(&spec.candidate_fields, spec.candidates.unwrap_or(0));
        let mut layout = Layout::new();
        let guess = settings.guess.clone();
        let sizes = Sizes {
            features: features.count(),
            candidate_features: candidate_features.count(),
            context: guess.as_ref().map_or(0, |g| if g.pattern { 0 } else { CONTEXT }),
            hidden: settings.hidden,
            layers: settings.layers,
            head_layers: settings.head_layers,
            head: settings.head,
        };
        let count = if guess.as_ref().is_some_and(|g| g.pattern) { 8 * (OTHERS + 1) } else { 1 };
        let values = (0..count).map(|i| ValueNet::new(&mut layout, &format!("value.{i}"), sizes)).collect();
        let mut small = |name: &str, hidden: usize, outputs: usize| {
            SparseMlp::new(&mut layout, name, features.count(), 0, &[hidden, hidden, outputs], 0.1)
        };
        let relation = guess.as_ref().filter(|g| g.network).map(|g| small("relation", g.hidden, OTHERS));
        let danger = guess.as_ref().filter(|g| g.danger).map(|g| small("danger", g.hidden, 1));
        let prior = spec.fields.iter().find(|f| f.name == "prior").map(|f| f.range.clone());
        Self { settings, layout, features, candidate_features, values, relation, danger, prior }
    }

    /// Whether such networks can play in worlds of `spec`.
    pub fn fits(spec: &Spec, guess: bool) -> std::result::Result<(), String> {
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
        if guess && !(spec.players == OTHERS + 1 && has(&spec.hidden_fields, "team") && has(&spec.fields, "prior")) {
            return Err("it guesses teams, and this world has no hidden 'team' of four players with a 'prior'".into());
        }
        Ok(())
    }

    /// P(teammate) of the others and the danger for the encoded `t.states`, into `t.context`; `rows` are their bytes.
    fn guess(&self, params: &[f32], rows: &[&[u8]], rngs: Option<(&[u32], &mut [Rng])>, t: &mut Thoughts) {
        let n = rows.len();
        t.context.clear();
        t.context.resize(n * CONTEXT, 0.0);
        let Some(guess) = &self.settings.guess else { return };
        match &self.relation {
            Some(net) => {
                let out = net.forward(params, &t.states, &[], &mut t.guess);
                for (c, o) in t.context.chunks_exact_mut(CONTEXT).zip(out.chunks_exact(OTHERS)) {
                    (0..OTHERS).for_each(|k| c[k] = sigmoid(o[k]));
                }
            }
            None => {
                let at = self.prior.clone().unwrap_or(0..0);
                for (c, row) in t.context.chunks_exact_mut(CONTEXT).zip(rows) {
                    c.iter_mut().zip(&row[at.clone()]).for_each(|(c, &b)| *c = f32::from(b) / 255.0);
                }
            }
        }
        t.context.chunks_exact_mut(CONTEXT).for_each(|c| c[2 * OTHERS] = 0.5);
        if let Some(net) = &self.danger {
            let out = net.forward(params, &t.states, &[], &mut t.guess);
            t.context.chunks_exact_mut(CONTEXT).zip(out).for_each(|(c, o)| c[2 * OTHERS] = sigmoid(*o));
        }
        let mut rngs = rngs.filter(|_| guess.draw);
        for (i, c) in t.context.chunks_exact_mut(CONTEXT).enumerate() {
            for k in 0..OTHERS {
                let accept = match &mut rngs {
                    Some((of, rngs)) => {
                        rngs[of[i] as usize].unit() < f64::from(sigmoid(logit(c[k]) - logit(c[2 * OTHERS])))
                    }
                    None => c[k] > c[2 * OTHERS],
                };
                c[OTHERS + k] = f32::from(u8::from(accept));
            }
        }
    }

    /// Chooses for the acting rows `rows` of `frame`: `choices[k]` for `rows[k]`, and appends the decisions that were none to forced
    /// moves to `decided` (their k). `epsilon` is the chance of a random move while exploring.
    #[allow(clippy::too_many_arguments)] // one call from two places
    pub fn decide(
        &self,
        params: &[f32],
        frame: Frame<'_>,
        rows: &[u32],
        mode: Mode,
        epsilon: f64,
        rngs: &mut [Rng],
        choices: &mut [i64],
        decided: &mut Vec<u32>,
        t: &mut Thoughts,
    ) -> Result<()> {
        let candidates = frame.candidates.ok_or_else(|| Error::invalid("a frame without candidates"))?;
        let (obs, moves) = (bytes(frame.obs, "observations")?, bytes(candidates.rows, "candidates")?);
        let (width, c_width) = (self.features.width(), self.candidate_features.width());
        if obs.len() % width != 0 || candidates.width != c_width {
            return Err(Error::mismatch("frame", format!("rows of {width} and {c_width} bytes"), "others"));
        }
        decided.clear();
        t.states.clear();
        t.candidates.clear();
        t.owner.clear();
        t.starts.clear();
        let mut of_states = Vec::with_capacity(rows.len());
        for (k, &row) in rows.iter().enumerate() {
            let range = candidates.range(row as usize);
            choices[k] = 0;
            if range.len() < 2 {
                continue;
            }
            let bytes = &obs[row as usize * width..][..width];
            self.features.encode(bytes, &mut t.states);
            t.starts.push(t.owner.len() as u32);
            for i in range {
                self.candidate_features.encode(&moves[i * c_width..][..c_width], &mut t.candidates);
                t.owner.push(decided.len() as u32);
            }
            of_states.push(bytes);
            decided.push(k as u32);
        }
        t.starts.push(t.owner.len() as u32);
        if decided.is_empty() {
            t.values.clear();
            return Ok(());
        }
        let draw = (mode == Mode::Explore).then_some((&decided[..], &mut *rngs));
        self.guess(params, &of_states, draw, t);
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

    /// Values of all candidates, each by the network of its state.
    fn score(&self, params: &[f32], seats: &[u8], t: &mut Thoughts) {
        if self.values.len() == 1 {
            let context = if self.settings.guess.is_some() { &t.context[..] } else { &[] };
            let out = self.values[0].forward(params, &t.states, context, &t.candidates, &t.owner, &mut t.score);
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

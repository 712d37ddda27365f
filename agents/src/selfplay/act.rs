//! Acting at many tables at once: the others are guessed, then every candidate is valued.
use super::{
    net::{Scratch, ValueScratch},
    nets::SelfPlayNets,
    team_guess::context_width,
};
use rlx::{ColumnRef, Error, Frame, Mode, Result, Rng};
use rlx_nn::sparse::Active;

/// What [`SelfPlayNets::act`] is asked.
#[derive(Clone, Copy)]
pub(super) struct ActRequest<'a> {
    /// The tables.
    pub frame: Frame<'a>,
    /// Those of them that are asked.
    pub rows: &'a [u32],
    /// Their hidden state, for a guess that is the truth only.
    pub hidden: &'a [u8],
    pub mode: Mode,
    /// Chance of a random move while exploring.
    pub epsilon: f64,
}

/// Memory of [`SelfPlayNets::act`], and what it made of the rows.
#[derive(Clone, Debug, Default)]
pub(super) struct ActScratch {
    /// The k of the rows that had a choice; what follows is of these rows.
    pub decided: Vec<u32>,
    pub states: Active,
    candidates: Active,
    owner: Vec<u32>, // [candidates]: its state
    /// The guesses.
    pub context: Vec<f32>, // [states, context]
    /// What the value network is told of each.
    view: Vec<f32>, // [states, view]
    /// Whether the acceptances were drawn.
    pub drawn: Vec<bool>, // [states]
    pub values: Vec<f32>, // [candidates]
    /// Where each state's candidates start.
    starts: Vec<u32>, // [states + 1]
    pub guess: Scratch,
    score: ValueScratch,
    part: Part,
    /// Floating-point operations of all decisions since it was last set to zero.
    pub flop: f64,
}

/// The states that one of several value networks plays.
#[derive(Clone, Debug, Default)]
struct Part {
    states: Active,
    candidates: Active,
    owner: Vec<u32>,
    places: Vec<u32>,
}

impl ActScratch {
    /// The values of state `i`'s candidates.
    pub fn values_of(&self, i: usize) -> &[f32] {
        &self.values[self.starts[i] as usize..self.starts[i + 1] as usize]
    }
    /// P(teammate) of the others as it was guessed for state `i`.
    pub fn guess_of(&self, i: usize, others: usize) -> &[f32] {
        &self.context[i * context_width(others)..][..others]
    }
    fn clear(&mut self) {
        self.decided.clear();
        self.states.clear();
        self.candidates.clear();
        self.owner.clear();
        self.starts.clear();
    }
}

/// The bytes of a column; `what` names it in the error.
pub(super) fn bytes<'a>(column: ColumnRef<'a>, what: &str) -> Result<&'a [u8]> {
    match column {
        ColumnRef::U8(x) => Ok(x),
        _ => Err(Error::mismatch(what, "bytes", "another type")),
    }
}

impl SelfPlayNets {
    /// Chooses for the rows that are asked: `choices[k]` for `rows[k]`, drawing from `rngs[k]`. Those whose moves were not forced are
    /// `s.decided`.
    ///
    /// # Errors
    /// When the frame is not of such worlds, or a network gives numbers that are not finite.
    pub fn act(
        &self,
        params: &[f32],
        request: ActRequest<'_>,
        rngs: &mut [Rng],
        choices: &mut [i64],
        s: &mut ActScratch,
    ) -> Result<()> {
        let ActRequest { frame, rows, hidden, mode, epsilon } = request;
        let truth = self.needs_truth();
        if truth && hidden.len() != rows.len() * self.hidden_width() {
            return Err(Error::invalid("relation = truth: it must be shown the hidden state before it acts"));
        }
        choices.fill(0);
        let observations = self.gather(frame, rows, s)?;
        if s.decided.is_empty() {
            s.values.clear();
            return Ok(());
        }
        let seats: Vec<u8> = s.decided.iter().map(|&k| frame.seat[rows[k as usize] as usize]).collect();
        let secret = |&k: &u32| &hidden[k as usize * self.hidden_width()..][..self.hidden_width()];
        let secrets: Vec<(&[u8], u8)> =
            if truth { s.decided.iter().map(secret).zip(seats.iter().copied()).collect() } else { Vec::new() };
        self.guess(params, &observations, &secrets, mode, rngs, s);
        s.view.clear();
        if self.tells_guess() {
            for (row, guess) in observations.iter().zip(s.context.chunks_exact(self.context_width())) {
                self.view.extend(row, guess, &mut s.view);
            }
        }
        self.value_candidates(params, &seats, s);
        self.count_flop(s);
        if let Some(v) = s.values.iter().find(|v| !v.is_finite()) {
            return Err(Error::invalid(format!("the value network gives {v}")));
        }
        for (i, &k) in s.decided.iter().enumerate() {
            let (values, rng) = (s.values_of(i), &mut rngs[k as usize]);
            choices[k as usize] = if mode == Mode::Explore && rng.unit() < epsilon {
                rng.below(values.len()) as i64
            } else {
                (0..values.len()).fold(0, |b, j| if values[j] > values[b] { j } else { b }) as i64
            };
        }
        Ok(())
    }

    /// Encodes the rows that have a choice, and their candidates; returns the bytes of those rows.
    fn gather<'a>(&self, frame: Frame<'a>, rows: &[u32], s: &mut ActScratch) -> Result<Vec<&'a [u8]>> {
        let candidates = frame.candidates.ok_or_else(|| Error::invalid("a frame without candidates"))?;
        let (obs, moves) = (bytes(frame.obs, "observations")?, bytes(candidates.rows, "candidates")?);
        let (width, c_width) = (self.features.width(), self.candidate_features.width());
        if obs.len() % width != 0 || candidates.width != c_width {
            return Err(Error::mismatch("frame", format!("rows of {width} and {c_width} bytes"), "others"));
        }
        s.clear();
        let mut observations = Vec::with_capacity(rows.len());
        for (k, &row) in rows.iter().enumerate() {
            let range = candidates.range(row as usize);
            if range.len() < 2 {
                continue;
            }
            let observation = &obs[row as usize * width..][..width];
            self.encode(observation, &mut s.states);
            s.starts.push(s.owner.len() as u32);
            for i in range {
                self.candidate_features.encode(&moves[i * c_width..][..c_width], &mut s.candidates);
                s.owner.push(s.decided.len() as u32);
            }
            observations.push(observation);
            s.decided.push(k as u32);
        }
        s.starts.push(s.owner.len() as u32);
        Ok(observations)
    }

    fn count_flop(&self, s: &mut ActScratch) {
        let (n, on) = (s.states.len(), s.states.features.len());
        let guess = [&self.relation, &self.danger].into_iter().flatten().map(|net| net.flop(n, on, false)).sum::<f64>();
        s.flop += self.values[0].flop(&s.states, &s.candidates, false) + guess;
    }

    /// Values of all candidates, each by the network of its state.
    fn value_candidates(&self, params: &[f32], seats: &[u8], s: &mut ActScratch) {
        if self.values.len() == 1 {
            let out = self.values[0].forward(params, &s.states, &s.view, &s.candidates, &s.owner, &mut s.score);
            s.values.clear();
            s.values.extend_from_slice(out);
            return;
        }
        s.values.resize(s.owner.len(), 0.0);
        let contexts = s.context.chunks_exact(self.context_width());
        let nets: Vec<usize> = seats.iter().zip(contexts).map(|(&seat, c)| self.net_of(c, seat)).collect();
        for (number, net) in self.values.iter().enumerate() {
            let Part { states, candidates, owner, places } = &mut s.part;
            states.clear();
            candidates.clear();
            owner.clear();
            places.clear();
            for i in (0..nets.len()).filter(|&i| nets[i] == number) {
                for j in s.starts[i]..s.starts[i + 1] {
                    candidates.push_from(&s.candidates, j as usize);
                    owner.push(states.len() as u32);
                    places.push(j);
                }
                states.push_from(&s.states, i);
            }
            if !states.is_empty() {
                let out = net.forward(params, states, &[], candidates, owner, &mut s.score);
                places.iter().zip(out).for_each(|(&p, &v)| s.values[p as usize] = v);
            }
        }
    }

    /// The soft value of the i-th state of `s`: its candidates' values weighted by exp(value / temperature).
    pub fn soft_value(&self, s: &ActScratch, i: usize) -> f32 {
        let values = s.values_of(i);
        let temperature = self.soft.unwrap_or(1.0) as f32;
        let best = values.iter().copied().fold(f32::MIN, f32::max);
        // Zero first: a temperature too small for a float would make it 0 / 0.
        let weight = |v: &f32| if *v == best { 1.0 } else { ((v - best) / temperature).exp() };
        values.iter().map(|v| weight(v) * v).sum::<f32>() / values.iter().map(weight).sum::<f32>()
    }
}

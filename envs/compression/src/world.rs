//! A model compressed block by block: one episode is one configuration.
use crate::{
    handle::{Handle, Shared, dense},
    judge::Judge,
    steps::Steps,
};
use rlx::{
    Env, Error, Field, Objective, Result, Rng, Scalars, Space, Spec, Status, View,
    objective::{BUDGET, DIMENSIONS, Trial, repair},
    snapshot,
};
use std::sync::{Arc, Mutex};

/// What costs are counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of what is stored.
    #[default]
    Bytes,
    /// Parameters that learn.
    Parameters,
}

impl Unit {
    /// Its name, as in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Parameters => "parameters",
        }
    }
    /// A cost as a person reads it, in millions with so many digits.
    pub fn text(self, cost: f64, digits: usize) -> String {
        let millions = cost / 1e6;
        match self {
            Self::Bytes => format!("{millions:.digits$} MB"),
            Self::Parameters => format!("{millions:.digits$} million parameters"),
        }
    }
}

/// What a run asks of an objective.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// The world's registered name.
    pub name: String,
    /// What costs and budgets are counted in.
    pub unit: Unit,
    /// The lowest and highest budget; each episode draws its own between.
    pub budgets: (f64, f64),
    /// The cost of the cheapest configuration.
    pub least: f64,
    /// The fidelity at which episodes are measured.
    pub fidelity: u32,
    /// Seed of what chance there is in a measurement.
    pub seed: u64,
    /// The loss above the dense model's at which hypervolume begins, and which a reward never falls below.
    pub reference: f64,
    /// Whether policies learn from a surrogate between measurements.
    pub surrogate: bool,
    /// Configurations that the objective guesses, for budgets spread evenly, which are measured before all others.
    pub guesses: u32,
    /// Whether the surrogate also learns from what the ledgers hold when the run starts.
    pub recall: bool,
    /// Measurements before the surrogate is fitted.
    pub warm_up: usize,
    /// Episodes by the surrogate for each measurement, which is of the most promising of them.
    pub imagined: u32,
    /// Measurements after which only the surrogate is asked; 0 for no end.
    pub evaluations: u64,
}

/// The world. The observation is named in [`Spec::fields`]; the reward comes at the end: the loss above the dense model's, negative.
pub struct World {
    handle: Handle,
    steps: Arc<Steps>,
    terms: Terms,
    config: Vec<u16>, // what is decided, the cheapest level where nothing is
    step: usize,
    budget: f64,
    paid: (f64, f64, bool), // loss above the dense model's, cost, and whether it was measured: of the episode that ended
    scratch: Vec<f32>,
}

/// Scalars of an observation before the dimensions and the block's own.
const GENERAL: [&str; 5] = [BUDGET, "budget_share", "left_share", "open_share", "progress"];

impl World {
    /// A world over `shared`. With a `judge`, measurements are remembered there, and episodes may be judged by its surrogate.
    ///
    /// # Errors
    /// When the budgets are out of order, or the lowest is below the smallest model.
    pub fn new(shared: Shared, terms: Terms, judge: Option<Arc<Mutex<Judge>>>) -> Result<Self> {
        let (low, high) = terms.budgets;
        let (least, least_cost) = shared.least();
        if !(low <= high && high.is_finite()) {
            return Err(Error::invalid(format!(
                "budgets from {low} to {high} {}: the lowest must be first",
                terms.unit.name()
            )));
        }
        if low < least_cost {
            return Err(Error::invalid(format!(
                "a budget of {}: the smallest model that can be chosen has {}",
                terms.unit.text(low, 2),
                terms.unit.text(least_cost, 2)
            )));
        }
        let config = least.to_vec();
        let mut handle = Handle::new(shared, &terms, judge);
        let steps = Arc::new(Steps::new(&handle));
        handle.set_ticks(steps.len() as u64);
        let scratch = vec![0.0; handle.feature_width()];
        Ok(Self { handle, steps, terms, config, step: 0, budget: high, paid: (0.0, 0.0, false), scratch })
    }

    /// What it is over.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    fn width(&self) -> usize {
        GENERAL.len() + 2 * self.steps.kinds.len() + self.steps.feature_names.len()
    }

    /// Cost with what is open (the blocks from `from` on) as cheap or as dear as it can be.
    fn with_rest(&self, from: usize, rest: &[u16]) -> f64 {
        let mut config = self.config.clone();
        for d in self.steps.dimensions[from..].iter().flatten().flatten() {
            config[*d] = rest[*d];
        }
        self.handle.cost(&config)
    }

    fn show(&mut self, view: View<'_, f32>) {
        // After the last step the view is that of the last block.
        let now = self.step.min(self.steps.len() - 1);
        let (least, low) = self.handle.shared().least();
        let (most, high) = self.handle.shared().most();
        let range = (high - low).max(1.0);
        let spent = self.with_rest(self.step, least);
        let dearest = self.with_rest(self.step, most);
        let general = [
            self.budget,
            (self.budget - low) / range,
            (self.budget - spent) / range,
            (dearest - spent) / range,
            self.step as f64 / self.steps.len() as f64,
        ];
        let mut place = view.obs.iter_mut();
        let mut put = |x: f64| place.next().into_iter().for_each(|p| *p = x as f32);
        general.into_iter().for_each(&mut put);
        let dimensions = &self.steps.dimensions[now];
        dimensions.iter().for_each(|d| put(d.map_or(-1.0, |d| d as f64)));
        // The mean level of what was decided of each kind, as a share.
        for kind in 0..self.steps.kinds.len() {
            let decided = self.steps.dimensions[..self.step].iter().filter_map(|b| b[kind]);
            let (sum, n) = decided.fold((0.0, 0.0), |(s, n), d| {
                let most = (self.handle.space().dimensions()[d].len() - 1).max(1) as f64;
                (s + f64::from(self.config[d]) / most, n + 1.0)
            });
            put(if n > 0.0 { sum / n } else { 0.0 });
        }
        // What is known of the block, as it would be at its dearest.
        let mut whole = self.config.clone();
        dimensions.iter().flatten().for_each(|d| whole[*d] = most[*d]);
        self.handle.features(&whole, &mut self.scratch);
        for feature in &self.steps.features[now] {
            let x = feature.map_or(0.0, |f| self.scratch[f]);
            put(f64::from(if x.is_finite() { x } else { 0.0 }));
        }
        // A level is allowed where everything else can still be cheap enough.
        let mut start = 0;
        let mut config = self.config.clone();
        for (d, &n) in dimensions.iter().zip(&self.steps.choices) {
            let mask = &mut view.mask[start..start + n];
            start += n;
            let Some(d) = *d else {
                mask.iter_mut().enumerate().for_each(|(l, m)| *m = l == 0);
                continue;
            };
            let levels = self.handle.space().dimensions()[d].len();
            for (level, allowed) in mask.iter_mut().enumerate() {
                config[d] = level as u16;
                *allowed = level < levels
                    && (self.step >= self.steps.len()
                        || level == usize::from(least[d])
                        || self.handle.cost(&config) <= self.budget);
            }
            config[d] = self.config[d];
        }
    }

    /// Takes the choices of a block over; what is too dear together is repaired by the least loss per byte.
    fn decide(&mut self, act: &[i64]) -> Result<()> {
        let dimensions = self.steps.dimensions[self.step].clone();
        for (k, (d, id)) in dimensions.iter().zip(act).enumerate() {
            let Some(d) = *d else { continue };
            let dimension = &self.handle.space().dimensions()[d];
            let level = u16::try_from(*id).ok().filter(|l| usize::from(*l) < dimension.len());
            self.config[d] = level.ok_or_else(|| {
                let kind = &self.steps.kinds[k];
                Error::invalid(format!("{}: {kind} {id}; there are {} levels", dimension.name, dimension.len()))
            })?;
        }
        let (handle, mut config) = (&self.handle, std::mem::take(&mut self.config));
        repair(handle, &mut config, self.budget, &mut |c| handle.guess(c));
        self.config = config;
        Ok(())
    }

    /// What the configuration loses beyond the dense model, and whether that was measured.
    fn judged(&self) -> Result<(f64, bool)> {
        let Self { handle, config, terms, .. } = self;
        if terms.surrogate && handle.judge(|j| j.imagines()).unwrap_or(false) {
            let (view, base) = (handle.clone(), handle.judge(|j| j.dense_loss()).flatten().unwrap_or(0.0));
            if let Some(loss) = handle.judge(|j| j.expected(&view, config)).flatten() {
                let cost = handle.cost(config);
                handle.judge(|j| j.imagine(config, cost, loss));
                return Ok((loss - base, false));
            }
        }
        let measure = handle.shared().measure(config, terms.fidelity, terms.seed)?;
        let base = dense(&measure);
        let cost = handle.cost(config);
        let entry = Trial { config: config.clone(), cost, loss: measure.loss, fidelity: terms.fidelity };
        handle.judge(|j| j.remember(entry, base));
        Ok((measure.loss - base.unwrap_or(0.0), true))
    }
}

impl Env for World {
    type Obs = f32;
    type Act = i64;

    fn spec(&self) -> Spec {
        let (kinds, general) = (self.steps.kinds.len(), GENERAL.len());
        let obs = Space::uniform(self.width(), f32::NEG_INFINITY, f32::INFINITY);
        let mut spec = Spec::solo(&self.terms.name, obs, Space::MultiDiscrete(self.steps.choices.clone()));
        let unit = |name: &str| if name == BUDGET { self.terms.unit.name() } else { "" };
        spec.fields = GENERAL.iter().enumerate().map(|(i, n)| Field::new(n, i..i + 1, unit(n))).collect();
        spec.fields.push(Field::new(DIMENSIONS, general..general + kinds, ""));
        for (k, kind) in self.steps.kinds.iter().enumerate() {
            spec.fields.push(Field::new(&format!("mean_{kind}"), general + kinds + k..general + kinds + k + 1, ""));
        }
        for (k, name) in self.steps.feature_names.iter().enumerate() {
            let at = general + 2 * kinds + k;
            spec.fields.push(Field::new(name, at..at + 1, ""));
        }
        spec.chance = self.terms.budgets.0 < self.terms.budgets.1;
        spec
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        let (low, high) = self.terms.budgets;
        self.budget = if low < high { rng.uniform(low, high) } else { high };
        // As the row has it: a policy that goes by the row must not be told of more than there is.
        if (self.budget as f32) as f64 > self.budget {
            self.budget = f64::from((self.budget as f32).next_down()).max(low);
        }
        self.step = 0;
        self.config.copy_from_slice(self.handle.shared().least().0);
        self.show(view);
    }

    fn step(&mut self, act: &[i64], _: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        if self.step >= self.steps.len() {
            return Err(Error::invalid("a step after the last block: the episode is over"));
        }
        self.decide(act)?;
        self.step += 1;
        let over = self.step == self.steps.len();
        if over {
            let (excess, measured) = self.judged()?;
            let worst = self.terms.reference;
            // A broken model is as bad as any that is bad enough.
            let excess = if excess.is_nan() { worst } else { excess.min(worst) };
            self.paid = (excess, self.handle.cost(&self.config), measured);
            pay[0] = -excess as f32;
        }
        self.show(view);
        Ok(if over { Status::Terminated } else { Status::Running })
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &(&self.config, self.step as u64, self.budget, self.paid));
    }

    fn load(&mut self, state: &[u8]) -> Result<()> {
        type State = (Vec<u16>, u64, f64, (f64, f64, bool));
        let (config, step, budget, paid): State = snapshot::get(state)?;
        self.handle.space().check(&config)?;
        if step > self.steps.len() as u64 || !budget.is_finite() {
            return Err(Error::invalid(format!("snapshot: step {step} under a budget of {budget}")));
        }
        (self.config, self.step, self.budget, self.paid) = (config, step as usize, budget, paid);
        Ok(())
    }

    fn metrics(&self, out: &mut Scalars) {
        out.put("excess_loss", self.paid.0);
        out.put(self.terms.unit.name(), self.paid.1);
        out.put("budget_used", self.paid.1 / self.budget);
        out.put("measured", f64::from(u8::from(self.paid.2)));
    }

    fn objective(&mut self) -> Option<&mut dyn Objective> {
        Some(&mut self.handle)
    }
}

//! A model compressed block by block: one episode is one configuration.
use crate::{ObjectiveConfig, RunObjective, SearchState, run_objective::dense, steps::Steps};
use rlx::{
    Env, Error, Field, Objective, Result, Rng, Scalars, Space, Spec, Status, View,
    objective::{BUDGET, DIMENSIONS, SharedObjective, Trial, repair},
    snapshot,
};
use std::sync::{Arc, Mutex};

/// The world. The observation is named in [`Spec::fields`]; the reward comes at the end: the loss above the full-precision model's, negative.
pub struct World {
    objective: RunObjective,
    steps: Arc<Steps>,
    terms: ObjectiveConfig,
    config: Vec<u16>, // what is decided, the cheapest level where nothing is
    step: usize,
    budget: f64,
    paid: (f64, f64, bool), // loss above the dense model's, cost, and whether it was measured: of the episode that ended
    scratch: Vec<f32>,
}

/// Scalars of an observation before the dimensions and the block's own.
const GENERAL: [&str; 5] = [BUDGET, "budget_share", "left_share", "open_share", "progress"];

impl World {
    /// A world over `shared`. With a `state`, measurements are remembered there, and episodes may be judged by its surrogate.
    ///
    /// # Errors
    /// When the budgets are out of order, or the lowest is below the smallest model.
    pub fn new(
        shared: SharedObjective,
        terms: ObjectiveConfig,
        state: Option<Arc<Mutex<SearchState>>>,
    ) -> Result<Self> {
        let (low, high) = terms.budgets;
        let (least, least_cost) = shared.cheapest();
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
        let mut objective = RunObjective::new(shared, &terms, state);
        let steps = Arc::new(Steps::new(&objective));
        objective.set_ticks(steps.len() as u64);
        let scratch = vec![0.0; objective.feature_width()];
        Ok(Self { objective, steps, terms, config, step: 0, budget: high, paid: (0.0, 0.0, false), scratch })
    }

    /// What it is over.
    pub fn run_objective(&self) -> &RunObjective {
        &self.objective
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
        self.objective.cost(&config)
    }

    fn show(&mut self, view: View<'_, f32>) {
        // After the last step the view is that of the last block.
        let now = self.step.min(self.steps.len() - 1);
        let (least, low) = self.objective.shared().cheapest();
        let (most, high) = self.objective.shared().costliest();
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
                let most = (self.objective.space().dimensions()[d].len() - 1).max(1) as f64;
                (s + f64::from(self.config[d]) / most, n + 1.0)
            });
            put(if n > 0.0 { sum / n } else { 0.0 });
        }
        // What is known of the block, as it would be at its dearest.
        let mut whole = self.config.clone();
        dimensions.iter().flatten().for_each(|d| whole[*d] = most[*d]);
        self.objective.features(&whole, &mut self.scratch);
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
            let levels = self.objective.space().dimensions()[d].len();
            for (level, allowed) in mask.iter_mut().enumerate() {
                config[d] = level as u16;
                *allowed = level < levels
                    && (self.step >= self.steps.len()
                        || level == usize::from(least[d])
                        || self.objective.cost(&config) <= self.budget);
            }
            config[d] = self.config[d];
        }
    }

    /// Takes the choices of a block over; what is too dear together is repaired by the least loss per byte.
    fn decide(&mut self, act: &[i64]) -> Result<()> {
        let dimensions = self.steps.dimensions[self.step].clone();
        for (k, (d, id)) in dimensions.iter().zip(act).enumerate() {
            let Some(d) = *d else { continue };
            let dimension = &self.objective.space().dimensions()[d];
            let level = u16::try_from(*id).ok().filter(|l| usize::from(*l) < dimension.len());
            self.config[d] = level.ok_or_else(|| {
                let kind = &self.steps.kinds[k];
                Error::invalid(format!("{}: {kind} {id}; there are {} levels", dimension.name, dimension.len()))
            })?;
        }
        let (objective, mut config) = (&self.objective, std::mem::take(&mut self.config));
        repair(objective, &mut config, self.budget, &mut |c| objective.guess(c));
        self.config = config;
        Ok(())
    }

    /// What the configuration loses beyond the full-precision model, and whether that was measured.
    fn assess(&self) -> Result<(f64, bool)> {
        let Self { objective, config, terms, .. } = self;
        if terms.surrogate && objective.state(|s| s.imagines()).unwrap_or(false) {
            let base = objective.state(|s| s.dense_loss()).flatten().unwrap_or(0.0);
            if let Some(loss) = objective.state(|s| s.expected(objective, config)).flatten() {
                let cost = objective.cost(config);
                objective.state(|s| s.imagine(config, cost, loss));
                return Ok((loss - base, false));
            }
        }
        let measure = objective.shared().measure(config, terms.fidelity, terms.seed, &|| false)?;
        let base = dense(&measure);
        let cost = objective.cost(config);
        let entry = Trial { config: config.clone(), cost, loss: measure.loss, fidelity: terms.fidelity };
        objective.state(|s| s.remember(entry, base));
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
        self.config.copy_from_slice(self.objective.shared().cheapest().0);
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
            let (excess, measured) = self.assess()?;
            let worst = self.terms.reference;
            // A broken model is as bad as any that is bad enough.
            let excess = if excess.is_nan() { worst } else { excess.min(worst) };
            self.paid = (excess, self.objective.cost(&self.config), measured);
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
        self.objective.space().check(&config)?;
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
        Some(&mut self.objective)
    }
}

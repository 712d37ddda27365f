//! The shared objective as one run sees it.
use crate::{ObjectiveConfig, SearchState};
use rlx::{
    Error, Measure, Objective, Result, Scalars, SearchSpace,
    objective::{SharedObjective, Tell, Trial},
};
use std::sync::{Arc, Mutex, PoisonError};

/// The objective as a run sees it: with its budgets, and the measurements that it asked for.
#[derive(Clone)]
pub struct RunObjective {
    shared: SharedObjective,
    budgets: (f64, f64),
    fidelity: u32,
    seed: u64,
    ticks: u64,
    state: Option<Arc<Mutex<SearchState>>>,
}

impl RunObjective {
    /// A view of `shared` under the budgets and at the fidelity of `terms`; measurements are told to `state`, where there is one.
    pub fn new(shared: SharedObjective, terms: &ObjectiveConfig, state: Option<Arc<Mutex<SearchState>>>) -> Self {
        let ticks = shared.space().dimensions().len() as u64;
        Self { shared, budgets: terms.budgets, fidelity: terms.fidelity, seed: terms.seed, ticks, state }
    }
    /// Says how many ticks a world takes to decide a configuration.
    pub fn set_ticks(&mut self, ticks: u64) {
        self.ticks = ticks;
    }
    /// The seed of what chance there is in its measurements.
    pub fn seed(&self) -> u64 {
        self.seed
    }
    /// What it is a view of.
    pub fn shared(&self) -> &SharedObjective {
        &self.shared
    }
    /// Does something with the state of the search, where there is one. The state is not to be asked for again within.
    pub fn state<T>(&self, of: impl FnOnce(&mut SearchState) -> T) -> Option<T> {
        self.state.as_ref().map(|s| of(&mut s.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What a measure says the full-precision model's loss is.
pub(crate) fn dense(measure: &Measure) -> Option<f64> {
    measure.metrics.get("dense_loss").copied()
}

impl Objective for RunObjective {
    fn name(&self) -> &str {
        self.shared.name()
    }
    fn version(&self) -> &str {
        self.shared.version()
    }
    fn space(&self) -> &SearchSpace {
        self.shared.space()
    }
    fn fidelities(&self) -> &[String] {
        self.shared.fidelities()
    }
    fn cost(&self, config: &[u16]) -> f64 {
        self.shared.cost(config)
    }
    fn feature_names(&self) -> &[String] {
        self.shared.feature_names()
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        self.shared.features(config, out);
    }
    fn budgets(&self) -> (f64, f64) {
        self.budgets
    }
    fn fidelity(&self) -> u32 {
        self.fidelity
    }
    fn is_random(&self, fidelity: u32) -> bool {
        self.shared.is_random(fidelity)
    }
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        self.shared.baselines()
    }
    fn ticks(&self) -> u64 {
        self.ticks
    }
    fn guess(&self, config: &[u16]) -> f64 {
        self.shared.guess(config)
    }
    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        if stop() {
            return Err(Error::Interrupted);
        }
        let measure = self.shared.measure(config, fidelity, seed, stop)?;
        let cost = self.cost(config);
        let entry = Trial { config: config.to_vec(), cost, loss: measure.loss, fidelity };
        let this = &*self;
        this.state(|s| {
            s.remember(entry, dense(&measure));
            s.commit(this);
        });
        Ok(measure)
    }
    fn history(&self) -> Vec<Trial> {
        self.state(|s| s.entries().to_vec()).unwrap_or_default()
    }
    fn report(&self, log: &mut Scalars) {
        self.state(|s| s.report(log));
        // What else was measured of the best one, as the ledger has it.
        let best = self.state(|s| s.best().cloned()).flatten();
        let known = best.and_then(|b| self.shared.known(&b.config, b.fidelity, self.seed));
        for (name, value) in known.iter().flat_map(|m| &m.metrics).filter(|(name, _)| *name != "dense_loss") {
            log.put(format!("search/best_{name}"), *value);
        }
    }
    fn listen(&mut self, tell: Tell) {
        self.shared.listen(tell.clone());
        self.state(|s| s.listen(tell));
    }
}

//! One objective of a process, shared by its worlds and searchers.
use crate::{judge::Judge, shelf::Shelf, world::Terms};
use rlx::{
    Error, Measure, Objective, Result, Scalars, SearchSpace,
    objective::{Key, Tell, Trial, cheapest, costliest},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What never changes about an objective.
#[derive(Clone, Debug)]
struct Facts {
    name: String,
    version: String,
    space: SearchSpace,
    fidelities: Vec<String>,
    features: Vec<String>,
    random: Vec<bool>, // whether a measure depends on its seed, by fidelity
    baselines: Vec<(String, Vec<u16>)>,
    least: (Vec<u16>, f64),
    most: (Vec<u16>, f64),
}

struct Inner {
    objective: Box<dyn Objective>,
    shelf: Option<Shelf>,
}

/// An objective behind its ledgers, and whether the program was asked to stop.
#[derive(Clone)]
pub struct Shared {
    facts: Arc<Facts>,
    inner: Arc<Mutex<Inner>>,
    stop: fn() -> bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of another thread leaves an objective as it was: it is a function.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Shares `objective`; what it measures is kept in `shelf`, where there is one.
    pub fn new(objective: Box<dyn Objective>, shelf: Option<Shelf>, stop: fn() -> bool) -> Self {
        let (least, most) = (cheapest(&objective), costliest(&objective));
        let facts = Facts {
            name: objective.name().into(),
            version: objective.version().into(),
            space: objective.space().clone(),
            fidelities: objective.fidelities().to_vec(),
            features: objective.feature_names().to_vec(),
            random: (0..objective.fidelities().len() as u32).map(|f| objective.is_random(f)).collect(),
            baselines: objective.baselines(),
            least: (least.clone(), objective.cost(&least)),
            most: (most.clone(), objective.cost(&most)),
        };
        Self { facts: Arc::new(facts), inner: Arc::new(Mutex::new(Inner { objective, shelf })), stop }
    }

    /// The cheapest configuration, and its cost.
    pub fn least(&self) -> (&[u16], f64) {
        (&self.facts.least.0, self.facts.least.1)
    }
    /// The costliest configuration, and its cost.
    pub fn most(&self) -> (&[u16], f64) {
        (&self.facts.most.0, self.facts.most.1)
    }
    /// Every measurement at a fidelity that the ledgers hold, of earlier runs too.
    ///
    /// # Errors
    /// When a ledger can not be read or is damaged.
    pub fn recorded(&self, fidelity: u32) -> Result<Vec<(Vec<u16>, f64)>> {
        let mut inner = lock(&self.inner);
        inner.shelf.as_mut().map_or(Ok(Vec::new()), |s| s.all(&self.facts.name, &self.facts.version, fidelity))
    }

    fn key(&self, config: &[u16], fidelity: u32, seed: u64) -> Key {
        let (objective, version) = (self.facts.name.clone(), self.facts.version.clone());
        // Where nothing is left to chance every seed is the same one.
        let seed = if self.facts.random.get(fidelity as usize) == Some(&false) { 0 } else { seed };
        Key { objective, version, config: config.to_vec(), fidelity, seed }
    }

    /// What the ledgers hold of a configuration.
    pub fn known(&self, config: &[u16], fidelity: u32, seed: u64) -> Option<Measure> {
        let key = self.key(config, fidelity, seed);
        lock(&self.inner).shelf.as_mut()?.get(&key).ok()?
    }

    /// Measures, or reads what was measured.
    ///
    /// # Errors
    /// As [`Objective::evaluate`], and when the ledger can not be written.
    pub fn measure(&self, config: &[u16], fidelity: u32, seed: u64) -> Result<Measure> {
        self.facts.space.check(config)?;
        if fidelity as usize >= self.facts.fidelities.len() {
            let known = &self.facts.fidelities;
            return Err(Error::invalid(format!("fidelity {fidelity}: it must be the number of one of {known:?}")));
        }
        let key = self.key(config, fidelity, seed);
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        if let Some(shelf) = &mut inner.shelf
            && let Some(known) = shelf.get(&key)?
        {
            return Ok(known);
        }
        if (self.stop)() {
            return Err(Error::Interrupted);
        }
        let measure = inner.objective.evaluate(config, fidelity, key.seed, &self.stop)?;
        if let Some(shelf) = &mut inner.shelf {
            shelf.put(key, measure.clone())?;
        }
        Ok(measure)
    }

    fn with<T>(&self, of: impl FnOnce(&dyn Objective) -> T) -> T {
        of(&*lock(&self.inner).objective)
    }
}

/// The objective as a run sees it: with its budgets, and the measurements that it asked for.
#[derive(Clone)]
pub struct Handle {
    shared: Shared,
    budgets: (f64, f64),
    fidelity: u32,
    seed: u64,
    ticks: u64,
    judge: Option<Arc<Mutex<Judge>>>,
}

impl Handle {
    /// A view of `shared` under the budgets and at the fidelity of `terms`; measurements are told to `judge`, where there is one.
    pub fn new(shared: Shared, terms: &Terms, judge: Option<Arc<Mutex<Judge>>>) -> Self {
        let ticks = shared.facts.space.dimensions().len() as u64;
        Self { shared, budgets: terms.budgets, fidelity: terms.fidelity, seed: terms.seed, ticks, judge }
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
    pub fn shared(&self) -> &Shared {
        &self.shared
    }
    /// Does something with the judge, where there is one. The judge is not to be asked for again within.
    pub fn judge<T>(&self, of: impl FnOnce(&mut Judge) -> T) -> Option<T> {
        self.judge.as_ref().map(|j| of(&mut lock(j)))
    }
}

/// What a measure says the dense model's loss is.
pub(crate) fn dense(measure: &Measure) -> Option<f64> {
    measure.metrics.get("dense_loss").copied()
}

impl Objective for Handle {
    fn name(&self) -> &str {
        &self.shared.facts.name
    }
    fn version(&self) -> &str {
        &self.shared.facts.version
    }
    fn space(&self) -> &SearchSpace {
        &self.shared.facts.space
    }
    fn fidelities(&self) -> &[String] {
        &self.shared.facts.fidelities
    }
    fn cost(&self, config: &[u16]) -> f64 {
        self.shared.with(|o| o.cost(config))
    }
    fn feature_names(&self) -> &[String] {
        &self.shared.facts.features
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        self.shared.with(|o| o.features(config, out));
    }
    fn budgets(&self) -> (f64, f64) {
        self.budgets
    }
    fn fidelity(&self) -> u32 {
        self.fidelity
    }
    fn is_random(&self, fidelity: u32) -> bool {
        self.shared.facts.random.get(fidelity as usize) != Some(&false)
    }
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        self.shared.facts.baselines.clone()
    }
    fn ticks(&self) -> u64 {
        self.ticks
    }
    fn guess(&self, config: &[u16]) -> f64 {
        self.shared.with(|o| o.guess(config))
    }
    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        if stop() {
            return Err(Error::Interrupted);
        }
        let measure = self.shared.measure(config, fidelity, seed)?;
        let cost = self.cost(config);
        let entry = Trial { config: config.to_vec(), cost, loss: measure.loss, fidelity };
        let judge = self.judge.clone();
        if let Some(judge) = judge {
            let mut judge = lock(&judge);
            judge.remember(entry, dense(&measure));
            judge.commit(self);
        }
        Ok(measure)
    }
    fn history(&self) -> Vec<Trial> {
        self.judge(|j| j.entries().to_vec()).unwrap_or_default()
    }
    fn report(&self, log: &mut Scalars) {
        self.judge(|j| j.report(log));
        // What else was measured of the best one, as the ledger has it.
        let best = self.judge(|j| j.best().cloned()).flatten();
        let known = best.and_then(|b| self.shared.known(&b.config, b.fidelity, self.seed));
        for (name, value) in known.iter().flat_map(|m| &m.metrics).filter(|(name, _)| *name != "dense_loss") {
            log.put(format!("search/best_{name}"), *value);
        }
    }
    fn listen(&mut self, tell: Tell) {
        lock(&self.shared.inner).objective.listen(tell.clone());
        self.judge(|j| j.listen(tell));
    }
}

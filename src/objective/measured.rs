//! The one decorator of objectives: ledgers in front, shared by whoever asks.
use super::{Key, LedgerDir, Measure, Objective, SearchSpace, Tell, Trial, cheapest, costliest};
use crate::{Error, Result, Scalars};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What never changes about an objective: read without its lock.
#[derive(Debug)]
struct Constants {
    name: String,
    version: String,
    space: SearchSpace,
    fidelities: Vec<String>,
    features: Vec<String>,
    random: Vec<bool>, // whether a measure depends on its seed, by fidelity
    baselines: Vec<(String, Vec<u16>)>,
    budgets: (f64, f64),
    fidelity: u32,
    ticks: u64,
    cheapest: (Vec<u16>, f64),
    costliest: (Vec<u16>, f64),
}

struct Inner<O: ?Sized> {
    ledgers: Option<LedgerDir>,
    evaluations: u64,
    objective: O,
}

/// An objective behind its ledgers: an evaluation that was ever made is read, not made again. Clones share the objective and the ledgers. It
/// is an objective itself, so that a searcher need not know; interrupted and started again, a search that asks for the same keys goes on
/// where it was.
pub struct Measured<O: ?Sized> {
    constants: Arc<Constants>,
    inner: Arc<Mutex<Inner<O>>>,
    stop: fn() -> bool,
}

/// A shared objective of any type.
pub type SharedObjective = Measured<dyn Objective>;

impl<O: ?Sized> Clone for Measured<O> {
    fn clone(&self) -> Self {
        Self { constants: self.constants.clone(), inner: self.inner.clone(), stop: self.stop }
    }
}

impl<O: Objective> Measured<O> {
    /// Puts `ledgers`, where there are any, in front of `objective`.
    pub fn new(objective: O, ledgers: Option<LedgerDir>) -> Self {
        let (least, most) = (cheapest(&objective), costliest(&objective));
        let constants = Constants {
            name: objective.name().into(),
            version: objective.version().into(),
            space: objective.space().clone(),
            fidelities: objective.fidelities().to_vec(),
            features: objective.feature_names().to_vec(),
            random: (0..objective.fidelities().len() as u32).map(|f| objective.is_random(f)).collect(),
            baselines: objective.baselines(),
            budgets: objective.budgets(),
            fidelity: objective.fidelity(),
            ticks: objective.ticks(),
            cheapest: (least.clone(), objective.cost(&least)),
            costliest: (most.clone(), objective.cost(&most)),
        };
        let inner = Inner { ledgers, evaluations: 0, objective };
        Self { constants: Arc::new(constants), inner: Arc::new(Mutex::new(inner)), stop: || false }
    }

    /// Stops evaluations also when the program was asked to: those of a world, whose steps nobody can interrupt.
    #[must_use]
    pub fn with_stop(self, stop: fn() -> bool) -> Self {
        Self { stop, ..self }
    }
}

impl<O: Objective + 'static> Measured<O> {
    /// The same objective and ledgers, whatever type it is of.
    pub fn erased(self) -> SharedObjective {
        Measured { constants: self.constants, inner: self.inner, stop: self.stop }
    }
}

impl<O: Objective + ?Sized> Measured<O> {
    // A panic of another thread leaves an objective as it was: it is a function.
    fn lock(&self) -> MutexGuard<'_, Inner<O>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Does something with the objective, which nobody else uses meanwhile.
    pub fn with<T>(&self, of: impl FnOnce(&mut O) -> T) -> T {
        of(&mut self.lock().objective)
    }
    /// Evaluations made, not read, by this value and its clones.
    pub fn evaluations(&self) -> u64 {
        self.lock().evaluations
    }
    /// The cheapest configuration, and its cost.
    pub fn cheapest(&self) -> (&[u16], f64) {
        (&self.constants.cheapest.0, self.constants.cheapest.1)
    }
    /// The costliest configuration, and its cost.
    pub fn costliest(&self) -> (&[u16], f64) {
        (&self.constants.costliest.0, self.constants.costliest.1)
    }
    /// Every configuration of this objective and version that the ledgers hold at a fidelity, of earlier runs too: what a surrogate may start
    /// from.
    ///
    /// # Errors
    /// When a ledger cannot be read or is damaged.
    pub fn recorded(&self, fidelity: u32) -> Result<Vec<(Vec<u16>, f64)>> {
        let Constants { name, version, .. } = &*self.constants;
        self.lock().ledgers.as_mut().map_or(Ok(Vec::new()), |l| l.all(name, version, fidelity))
    }

    fn key(&self, config: &[u16], fidelity: u32, seed: u64) -> Key {
        let (objective, version) = (self.constants.name.clone(), self.constants.version.clone());
        // Where nothing is left to chance every seed is the same one.
        let seed = if self.is_random(fidelity) { seed } else { 0 };
        Key { objective, version, config: config.to_vec(), fidelity, seed }
    }

    /// What the ledgers hold of a configuration.
    pub fn known(&self, config: &[u16], fidelity: u32, seed: u64) -> Option<Measure> {
        let key = self.key(config, fidelity, seed);
        self.lock().ledgers.as_mut()?.get(&key).ok()?
    }

    /// Reads the measure from the ledgers, or makes it and writes it there before it is returned.
    ///
    /// # Errors
    /// As the objective's, and when the ledger cannot be written: the measure is then kept in memory, and asking for it again writes it
    /// instead of making it again.
    pub fn measure(&self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        self.constants.space.check(config)?;
        if fidelity as usize >= self.constants.fidelities.len() {
            let known = &self.constants.fidelities;
            return Err(Error::invalid(format!("fidelity {fidelity}: it must be the number of one of {known:?}")));
        }
        let key = self.key(config, fidelity, seed);
        let mut inner = self.lock();
        let inner = &mut *inner;
        if let Some(ledgers) = &mut inner.ledgers
            && let Some(known) = ledgers.get(&key)?
        {
            return Ok(known);
        }
        let stop = || stop() || (self.stop)();
        if stop() {
            return Err(Error::Interrupted);
        }
        let measure = inner.objective.evaluate(config, fidelity, key.seed, &stop)?;
        inner.evaluations += 1;
        if let Some(ledgers) = &mut inner.ledgers {
            ledgers.put(key, measure.clone())?;
        }
        Ok(measure)
    }
}

impl<O: Objective + ?Sized> Objective for Measured<O> {
    fn name(&self) -> &str {
        &self.constants.name
    }
    fn version(&self) -> &str {
        &self.constants.version
    }
    fn space(&self) -> &SearchSpace {
        &self.constants.space
    }
    fn fidelities(&self) -> &[String] {
        &self.constants.fidelities
    }
    fn cost(&self, config: &[u16]) -> f64 {
        self.lock().objective.cost(config)
    }
    fn feature_names(&self) -> &[String] {
        &self.constants.features
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        self.lock().objective.features(config, out);
    }
    fn budgets(&self) -> (f64, f64) {
        self.constants.budgets
    }
    fn fidelity(&self) -> u32 {
        self.constants.fidelity
    }
    fn is_random(&self, fidelity: u32) -> bool {
        self.constants.random.get(fidelity as usize) != Some(&false)
    }
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        self.constants.baselines.clone()
    }
    fn ticks(&self) -> u64 {
        self.constants.ticks
    }
    fn guess(&self, config: &[u16]) -> f64 {
        self.lock().objective.guess(config)
    }
    fn history(&self) -> Vec<Trial> {
        self.lock().objective.history()
    }
    fn report(&self, log: &mut Scalars) {
        self.lock().objective.report(log);
    }
    fn listen(&mut self, tell: Tell) {
        self.lock().objective.listen(tell);
    }
    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        self.measure(config, fidelity, seed, stop)
    }
}

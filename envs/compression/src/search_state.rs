//! What a run has measured, and what it makes of it: the front, the news, and the surrogate that a policy may learn from.
use crate::ObjectiveConfig;
use rlx::{
    Objective, Result, Scalars,
    objective::{Surrogate, Tell, Trial, front, guessed, hypervolume},
    snapshot,
};
use serde::{Deserialize, Serialize};

/// The measurements of a run, in order, each configuration once a fidelity.
#[derive(Debug, Default)]
pub struct SearchState {
    terms: ObjectiveConfig,
    entries: Vec<Trial>,
    recalled: Vec<(Vec<u16>, f64)>, // of earlier runs, for the surrogate alone
    fresh: Vec<Trial>, // measured by worlds within the tick; taken over between ticks, so that threads do not matter
    best: Option<usize>,
    dense: Option<f64>,
    fitted: usize, // entries that the surrogate was fitted to
    surrogate: Option<Surrogate>,
    guessed: u32,  // configurations measured because the objective itself guesses them
    imagined: u64, // episodes that the surrogate judged since the last one that was measured
    promising: Option<Promise>,
    tell: Tell,
}

/// The one of the imagined configurations that is worth a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Promise {
    config: Vec<u16>,
    /// What it would add to the hypervolume; and how far it is below what was measured at no higher cost: the more of either the better.
    gain: (f64, f64),
}

#[derive(Serialize, Deserialize)]
struct State {
    entries: Vec<Trial>,
    recalled: Vec<(Vec<u16>, f64)>,
    dense: Option<f64>,
    fitted: usize,
    guessed: u32,
    imagined: u64,
    promising: Option<Promise>,
}

impl SearchState {
    /// One that has seen nothing.
    pub fn new(terms: ObjectiveConfig) -> Self {
        Self { terms, ..Self::default() }
    }

    /// Lets the surrogate learn from measurements of earlier runs too.
    pub fn recall(&mut self, measured: Vec<(Vec<u16>, f64)>) {
        self.recalled = measured;
    }

    /// What was measured so far, in order.
    pub fn entries(&self) -> &[Trial] {
        &self.entries
    }

    /// The best that fits, at the highest fidelity where one does.
    pub fn best(&self) -> Option<&Trial> {
        self.best.map(|i| &self.entries[i])
    }

    fn spent(&self) -> bool {
        self.terms.evaluations > 0 && self.entries.len() as u64 >= self.terms.evaluations
    }

    /// Whether the surrogate judges episodes: once it has shown to be right, or the run has measured as much as it may.
    pub fn imagines(&self) -> bool {
        self.surrogate.as_ref().is_some_and(|s| self.spent() || s.trusted())
    }

    /// Takes note of an episode that the surrogate judged. The order in which worlds say so does not matter.
    pub fn imagine(&mut self, config: &[u16], cost: f64, loss: f64) {
        self.imagined += 1;
        if self.spent() || self.entries.iter().any(|e| e.fidelity == self.terms.fidelity && e.config == config) {
            return;
        }
        let below = self.entries.iter().filter(|e| e.cost <= cost).map(|e| e.loss).fold(f64::INFINITY, f64::min);
        let gain = (self.hypervolume_with(Some((cost, loss))) - self.hypervolume(), below - loss);
        let better = self.promising.as_ref().is_none_or(|p| {
            let order = gain.0.total_cmp(&p.gain.0).then(gain.1.total_cmp(&p.gain.1));
            order.then_with(|| p.config[..].cmp(config)).is_gt()
        });
        if better {
            self.promising = Some(Promise { config: config.to_vec(), gain });
        }
    }

    /// The next of the configurations that are measured before all others: see [`guessed`].
    pub fn guess(&mut self, objective: &dyn Objective) -> Option<Vec<u16>> {
        let ObjectiveConfig { guesses, surrogate, .. } = self.terms;
        if !surrogate || self.guessed >= guesses || self.spent() {
            return None;
        }
        self.guessed += 1;
        Some(guessed(objective, u64::from(self.guessed) - 1, u64::from(guesses)))
    }

    /// The configuration that is to be measured now, the most promising of as many as are imagined for each measurement.
    pub fn due(&self) -> Option<Vec<u16>> {
        let due = self.imagines() && !self.spent() && self.imagined >= u64::from(self.terms.imagined);
        self.promising.as_ref().filter(|_| due).map(|p| p.config.clone())
    }

    /// The loss of a configuration without measuring it: what it was measured at, or what the surrogate expects.
    pub fn expected(&self, objective: &dyn Objective, config: &[u16]) -> Option<f64> {
        let known = self.entries.iter().find(|e| e.fidelity == self.terms.fidelity && e.config == config);
        known.map(|e| e.loss).or_else(|| Some(self.surrogate.as_ref()?.predict(objective, config)))
    }

    /// The full-precision model's loss, once a measure has told it.
    pub fn dense_loss(&self) -> Option<f64> {
        self.dense
    }

    /// The surrogate, where there is one that is trusted.
    pub fn surrogate(&self) -> Option<&Surrogate> {
        self.surrogate.as_ref().filter(|s| s.trusted())
    }

    /// Remembers what a world measured, for [`SearchState::commit`].
    pub fn remember(&mut self, entry: Trial, dense: Option<f64>) {
        self.dense = dense.or(self.dense);
        self.fresh.push(entry);
    }

    /// Takes over what was remembered, in an order that no thread decides, and fits the surrogate anew when there is enough that is new.
    pub fn commit(&mut self, objective: &dyn Objective) {
        if self.fresh.is_empty() {
            return;
        }
        self.fresh.sort_by(|a, b| a.config.cmp(&b.config));
        for entry in std::mem::take(&mut self.fresh) {
            self.take(entry);
        }
        // What promised much before promises something else now.
        (self.imagined, self.promising) = (0, None);
        let due = self.fitted.max(self.terms.warm_up.saturating_sub(self.recalled.len())) + self.fitted / 8;
        if self.terms.surrogate && self.entries.len() >= due && self.entries.len() > self.fitted {
            self.fitted = self.entries.len();
            self.fit(objective);
        }
    }

    fn fit(&mut self, objective: &dyn Objective) {
        let used = self.entries[..self.fitted].iter().filter(|e| e.fidelity == self.terms.fidelity);
        let own = used.map(|e| (e.config.clone(), e.loss));
        let others = self.recalled.iter().filter(|r| self.entries[..self.fitted].iter().all(|e| e.config != r.0));
        let measured: Vec<_> = others.cloned().chain(own).collect();
        self.surrogate = Surrogate::fit(objective, &measured);
    }

    fn take(&mut self, entry: Trial) {
        if self.entries.iter().any(|e| e.fidelity == entry.fidelity && e.config == entry.config) {
            return;
        }
        let fits = entry.cost <= self.terms.budgets.1 && entry.loss.is_finite();
        let before = self.best.map(|i| &self.entries[i]);
        let better =
            before.is_none_or(|b| (entry.loss < b.loss && entry.fidelity == b.fidelity) || entry.fidelity > b.fidelity);
        if fits && better {
            let dense = self.dense.map_or(String::new(), |d| format!(" (dense {d:.3})"));
            let first = if before.is_none() { "first model that fits" } else { "better" };
            self.tell.say(&format!(
                "measurement {:>4}  {first}: {}, loss {:.4}{dense}",
                self.entries.len() + 1,
                self.terms.unit.text(entry.cost, 1),
                entry.loss
            ));
            self.best = Some(self.entries.len());
        }
        self.entries.push(entry);
    }

    /// Tells what a person should know, as it happens.
    pub fn listen(&mut self, tell: Tell) {
        self.tell = tell;
    }

    /// The area of costs and losses that the measured models dominate, as a share of the rectangle from the lowest budget (the smallest
    /// model where there is one budget) and the full-precision loss to the highest budget and the reference: comparable between runs of one
    /// objective and one range of budgets.
    pub fn hypervolume(&self) -> f64 {
        self.hypervolume_with(None)
    }

    fn hypervolume_with(&self, another: Option<(f64, f64)>) -> f64 {
        let (low, high) = self.terms.budgets;
        let low = if low < high { low } else { self.terms.least };
        let floor = self.dense.unwrap_or(0.0);
        let area = (high - low) * self.terms.reference;
        let all = self.entries.iter().map(|e| (e.cost, e.loss)).chain(another);
        let points: Vec<(f64, f64)> = all.map(|(cost, loss)| (cost.max(low), loss.max(floor))).collect();
        hypervolume(&points, (high, floor + self.terms.reference)) / area
    }

    /// The entries that no other is both lighter and better than, lightest first.
    pub fn front(&self) -> Vec<&Trial> {
        let points: Vec<(f64, f64)> = self.entries.iter().map(|e| (e.cost, e.loss)).collect();
        front(&points).into_iter().map(|i| &self.entries[i]).filter(|e| e.loss.is_finite()).collect()
    }

    /// Says how the search stands.
    pub fn report(&self, log: &mut Scalars) {
        log.put("search/evaluations", self.entries.len() as f64);
        log.put("search/hypervolume", self.hypervolume());
        if let Some(best) = self.best() {
            log.put("search/best_loss", best.loss);
            log.put(format!("search/best_{}", self.terms.unit.name()), best.cost);
            if let Some(dense) = self.dense {
                log.put("search/best_excess_loss", best.loss - dense);
                log.put("search/dense_loss", dense);
            }
        }
        if let Some(s) = &self.surrogate {
            log.put("surrogate/explained", s.explained());
            log.put("surrogate/trusted", f64::from(u8::from(s.trusted())));
        }
    }

    /// Appends the state.
    pub fn save(&self, out: &mut Vec<u8>) {
        let (entries, recalled, promising) = (self.entries.clone(), self.recalled.clone(), self.promising.clone());
        let Self { dense, fitted, guessed, imagined, .. } = *self;
        let state = State { entries, recalled, dense, fitted, guessed, imagined, promising };
        snapshot::put(out, &state);
    }

    /// Restores what [`SearchState::save`] wrote; the surrogate is fitted to the same measurements again.
    ///
    /// # Errors
    /// When the bytes are not such a state, or of another space.
    pub fn load(&mut self, bytes: &mut &[u8], objective: &dyn Objective) -> Result<()> {
        let state: State = snapshot::take(bytes)?;
        let own = state.entries.iter().map(|e| &e.config).chain(state.promising.iter().map(|p| &p.config));
        for config in own.chain(state.recalled.iter().map(|r| &r.0)) {
            objective.space().check(config)?;
        }
        let (terms, tell) = (std::mem::take(&mut self.terms), std::mem::take(&mut self.tell));
        *self = Self { terms, recalled: state.recalled, dense: state.dense, ..Self::default() };
        state.entries.into_iter().for_each(|e| self.take(e));
        self.tell = tell;
        (self.guessed, self.imagined, self.promising) = (state.guessed, state.imagined, state.promising);
        self.fitted = state.fitted.min(self.entries.len());
        if self.fitted > 0 {
            self.fit(objective);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(level: u16, cost: f64, loss: f64) -> Trial {
        Trial { config: vec![level], cost, loss, fidelity: 0 }
    }

    /// Whatever the order in which worlds say what they imagined, the same is chosen: what adds most to the area, else what comes nearest.
    #[test]
    fn the_most_promising_is_chosen_in_any_order() {
        let state = || {
            let mut state = SearchState::new(ObjectiveConfig {
                budgets: (0.0, 10.0),
                reference: 4.0,
                imagined: 4,
                ..ObjectiveConfig::default()
            });
            state.dense = Some(1.0);
            state.take(trial(0, 2.0, 4.0));
            state.take(trial(1, 6.0, 2.0));
            state
        };
        // Beside the front (2, 4), (6, 2): areas added, by hand, of 40.
        let told =
            [(2u16, 4.0, 3.0, 2.0), (3, 6.0, 1.5, 2.0), (4, 1.0, 4.5, 0.5), (5, 3.0, 4.5, 0.0), (1, 6.0, 0.0, 0.0)];
        let mut plain = state();
        for (level, cost, loss, area) in told {
            let added = 40.0 * (plain.hypervolume_with(Some((cost, loss))) - plain.hypervolume());
            if level != 1 {
                assert!((added - area).abs() < 1e-9, "{level}: {added}, not {area}");
            }
            plain.imagine(&[level], cost, loss);
        }
        // Of two that add as much, the one that is farther below what costs no more.
        assert_eq!(plain.promising.as_ref().unwrap().config, [2]);
        for turn in 1..told.len() {
            let mut other = state();
            for k in 0..told.len() {
                let (level, cost, loss, _) = told[(k * 2 + turn) % told.len()];
                other.imagine(&[level], cost, loss);
            }
            assert_eq!(other.promising.as_ref().unwrap().config, [2]);
        }
        // Where nothing adds any, the nearest.
        let mut hopeless = state();
        hopeless.imagine(&[7], 3.0, 4.9);
        hopeless.imagine(&[8], 7.0, 2.1);
        assert_eq!(hopeless.promising.as_ref().unwrap().config, [8]);
        assert_eq!(hopeless.due(), None, "without a surrogate everything is measured anyway");
    }
}

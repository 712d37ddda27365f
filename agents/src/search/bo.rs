//! Bayesian optimisation: a Gaussian process (Matern-5/2, noise term) over the levels, the logarithm of expected improvement under the
//! budget, candidates from a trust region of atomic edits around the best (after TuRBO, arXiv 1910.01739, on a lattice).
use super::{
    Common, Proposer, SearchView, draw,
    gp::{Gp, Hyper, log_expected_improvement},
};
use rlx::{
    Objective, Result, Rng, Scalars,
    objective::{cheapest, fill},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of Bayesian optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Configurations at random before the process is asked.
    #[schemars(range(min = 3, max = 100_000))]
    pub initial: usize,
    /// Candidates that the improvement is maximised over.
    #[schemars(range(min = 1, max = 100_000))]
    pub candidates: usize,
    /// Most atomic edits between the best and a candidate.
    #[schemars(range(min = 1, max = 1000))]
    pub radius: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { common: Common::default(), initial: 16, candidates: 200, radius: 16 }
    }
}

/// The search's own state; the process is fitted to the trials anew each time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bo {
    hyper: Option<Hyper>,
    fitted: usize, // trials that the hyperparameters were chosen on
    radius: f64,
    successes: u32,
    failures: u32,
    asked: Option<(f64, f64)>, // the last proposal's budget, and the best loss under it before
}

/// Distance of the floor under the least loss, before logarithms are taken, in shares of the median's.
const FLOOR: f64 = 0.1;

/// Losses as the process sees them: logarithms above a floor, what is broken as bad as the worst that is not.
fn targets(view: &SearchView<'_>) -> Vec<f64> {
    let mut finite: Vec<f64> = view.trials.iter().map(|t| t.loss).filter(|l| l.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    let (Some(&low), Some(&high)) = (finite.first(), finite.last()) else { return vec![0.0; view.trials.len()] };
    let floor = low - FLOOR * (finite[finite.len() / 2] - low) - 1e-6 * (high - low) - 1e-12;
    let log = |l: f64| ((if l.is_finite() { l } else { high }) - floor).ln();
    view.trials.iter().map(|t| log(t.loss)).collect()
}

fn encode(objective: &dyn Objective, config: &[u16]) -> Result<Vec<f64>> {
    let mut x = vec![0.0; objective.space().encoded_width()];
    objective.space().encode(config, &mut x)?;
    Ok(x.into_iter().map(f64::from).collect())
}

impl Bo {
    /// One at its start, its trust region as wide as it may be.
    pub fn start(radius: usize) -> Self {
        Self { hyper: None, fitted: 0, radius: radius as f64, successes: 0, failures: 0, asked: None }
    }

    /// Widens the region after three improvements in a row, halves it after five failures, and starts over from its widest.
    fn adapt(&mut self, config: &Config, view: &SearchView<'_>) {
        let Some((budget, before)) = self.asked.take() else { return };
        let improved = view.trials.last().is_some_and(|t| t.cost <= budget && t.loss < before);
        (self.successes, self.failures) = if improved { (self.successes + 1, 0) } else { (0, self.failures + 1) };
        if self.successes == 3 {
            (self.successes, self.radius) = (0, (self.radius * 2.0).min(config.radius as f64));
        }
        if self.failures == 5 {
            (self.failures, self.radius) = (0, self.radius / 2.0);
            if self.radius < 1.0 {
                self.radius = config.radius as f64;
            }
        }
    }

    /// The candidate of highest expected improvement.
    ///
    /// # Errors
    /// When the process cannot be fitted.
    pub fn improve(&mut self, config: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        self.adapt(config, view);
        let objective = view.objective;
        let inputs = view.trials.iter().map(|t| encode(objective, &t.config)).collect::<Result<Vec<_>>>()?;
        let y = targets(view);
        let hyper = match self.hyper {
            Some(hyper) if inputs.len() < self.fitted + self.fitted / 8 + 2 => hyper,
            _ => {
                self.fitted = inputs.len();
                *self.hyper.insert(Gp::choose(&inputs, &y)?)
            }
        };
        let gp = Gp::fit(&inputs, &y, hyper)?;
        // By what the process makes of them, not by one lucky measurement.
        let mut fitting: Vec<(f64, &Vec<u16>)> = (view.trials.iter().zip(&inputs))
            .filter(|(t, _)| t.cost <= view.budget)
            .map(|(t, x)| (gp.predict(x).0, &t.config))
            .collect();
        fitting.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.asked = Some((view.budget, view.feasible().first().map_or(f64::INFINITY, |t| t.loss)));
        let mut parents: Vec<&Vec<u16>> = fitting.iter().map(|f| f.1).take(3).collect();
        let best = fitting.first().map_or(f64::INFINITY, |f| f.0);
        // What is better and costs a little too much is a parent too: cut, it may be the best that fits.
        let costly = view.trials.iter().zip(&inputs).filter(|(t, _)| t.cost > view.budget);
        let costly = costly.min_by(|a, b| (a.0.cost).total_cmp(&b.0.cost)).map(|(t, _)| &t.config);
        parents.extend(costly);
        let mut found: Option<(f64, Vec<u16>)> = None;
        for _ in 0..config.candidates {
            let parent = parents[rng.below(parents.len())];
            let count = 1 + rng.below(self.radius.max(1.0) as usize);
            let candidate = draw::near(objective, parent, count, view.budget, rng);
            if view.is_known(&candidate) {
                continue;
            }
            let (mean, variance) = gp.predict(&encode(objective, &candidate)?);
            let value = if best.is_finite() { log_expected_improvement(mean, variance, best) } else { -mean };
            if found.as_ref().is_none_or(|f| value > f.0) {
                found = Some((value, candidate));
            }
        }
        Ok(found.map_or_else(|| draw::feasible(objective, view.budget, rng), |f| f.1))
    }

    /// Says how the search stands.
    pub fn tell(&self, log: &mut Scalars) {
        log.put("search/radius", self.radius);
        if let Some(hyper) = self.hyper {
            log.put("search/gp_length", hyper.length);
            log.put("search/gp_noise", hyper.noise);
        }
    }
}

impl Proposer for Bo {
    type Config = Config;
    const NAME: &'static str = "bo";
    const ABOUT: &'static str = "search: a Gaussian process and expected improvement in a trust region";
    fn common(config: &Config) -> &Common {
        &config.common
    }
    fn new(config: &Config) -> Self {
        Self::start(config.radius)
    }
    fn propose(&mut self, config: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        match view.trials.len() {
            // What the objective guesses is a better first point than chance.
            0 => {
                let mut first = cheapest(view.objective);
                fill(view.objective, &mut first, view.budget, &mut |c| view.objective.guess(c));
                Ok(first)
            }
            n if n < config.initial => Ok(draw::feasible(view.objective, view.budget, rng)),
            _ => self.improve(config, view, rng),
        }
    }
    fn report(&self, log: &mut Scalars) {
        self.tell(log);
    }
}

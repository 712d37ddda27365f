//! Adapter: runs a [`Proposer`] as a [`Learner`], so that run folders, checkpoints, metrics and experiments are the same as everyone's.
use super::{Common, Proposer, SearchView, Trial};
use crate::export;
use rlx::{
    ActionsMut, Algorithm, Array, Checkpoint, Error, Export, Frame, Learner, LoadDir, Mode, Policy, Result, Rng,
    SaveDir, Scalars, Setup, Spec, Vector,
    objective::{BUDGET, DIMENSIONS, front, guessed},
    snapshot,
};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Step of the budgets that proposals are for: the golden ratio's fractional part, whose multiples are spread evenly however many.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
const FILE: &str = "search.bin";

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct State<S: Proposer> {
    proposer: S,
    rng: Rng,
    trials: Vec<Trial>,
    /// Configurations of another run, to be measured first.
    queue: Vec<Vec<u16>>,
    proposals: u64,
}

/// A searcher as a learner. Its policy acts out the best configuration that was measured for the budget it is shown.
pub struct Searcher<S: Proposer> {
    config: S::Config,
    setup: Setup,
    budget: usize,            // where the row has it
    dimensions: Range<usize>, // and the dimensions that are decided
    state: State<S>,
}

fn field(spec: &Spec, name: &str) -> Option<Range<usize>> {
    spec.fields.iter().find(|f| f.name == name).map(|f| f.range.clone())
}

fn fields(spec: &Spec) -> std::result::Result<(usize, Range<usize>), String> {
    let why = || format!("a searcher is for environments over a costly objective, and {} is none", spec.name);
    let (budget, dimensions) = (field(spec, BUDGET).ok_or_else(why)?, field(spec, DIMENSIONS).ok_or_else(why)?);
    if spec.rows != 1 || dimensions.len() != spec.act.sets().len() {
        return Err(why());
    }
    Ok((budget.start, dimensions))
}

impl<S: Proposer> Algorithm for Searcher<S> {
    type Config = S::Config;
    const NAME: &'static str = S::NAME;
    const ABOUT: &'static str = S::ABOUT;

    fn fits(_: &S::Config, spec: &Spec) -> std::result::Result<(), String> {
        fields(spec).map(|_| ())
    }
    fn worlds(_: &S::Config) -> usize {
        1
    }
    fn new(config: S::Config, setup: Setup) -> Result<Self> {
        let (budget, dimensions) = fields(&setup.spec).map_err(Error::invalid)?;
        let state = State {
            proposer: S::new(&config),
            rng: Rng::named(setup.seed, S::NAME, 0),
            trials: Vec::new(),
            queue: Vec::new(),
            proposals: 0,
        };
        Ok(Self { config, setup, budget, dimensions, state })
    }
}

impl<S: Proposer> Searcher<S> {
    /// The trial to act out: the best that fits, at the highest fidelity where one fits; the cheapest when none does.
    fn best(&self, budget: f64) -> Option<&Trial> {
        let fits = |t: &&Trial| t.cost <= budget && t.loss.is_finite();
        let rank = |a: &&Trial, b: &&Trial| b.fidelity.cmp(&a.fidelity).then(a.loss.total_cmp(&b.loss));
        let cheap = |a: &&Trial, b: &&Trial| a.cost.total_cmp(&b.cost);
        self.state.trials.iter().filter(fits).min_by(rank).or_else(|| self.state.trials.iter().min_by(cheap))
    }

    /// The configuration that is measured next, and at which fidelity.
    fn next(&mut self, objective: &dyn rlx::Objective) -> Result<(Vec<u16>, u32)> {
        let Common { promote_every: every, initial_guesses: guesses } = *S::common(&self.config);
        let fidelity = objective.fidelity();
        let last = objective.fidelities().len() as u32 - 1;
        let (low, high) = objective.budgets();
        let state = &mut self.state;
        // Once around every budget before the same is asked for again; the highest first.
        let share = 1.0 - (GOLDEN * state.proposals as f64).fract();
        let budget = if low.is_finite() && high.is_finite() { low + (high - low) * share } else { high };
        let at = |f: u32| state.trials.iter().filter(move |t| t.fidelity == f);
        // The highest first: what is nearest to an end is ended.
        for level in (fidelity..last).rev().filter(|_| every > 0) {
            if (at(level).count() as u64) < every * (at(level + 1).count() as u64 + 1) {
                continue;
            }
            let open = at(level).filter(|t| t.cost <= high && t.loss.is_finite());
            let open = open.filter(|t| at(level + 1).all(|h| h.config != t.config));
            if let Some(best) = open.min_by(|a, b| a.loss.total_cmp(&b.loss)) {
                return Ok((best.config.clone(), level + 1));
            }
        }
        state.proposals += 1;
        if state.proposals <= guesses && low.is_finite() && high.is_finite() {
            let guess = guessed(objective, state.proposals - 1, guesses);
            if at(fidelity).all(|t| t.config != guess) {
                return Ok((guess, fidelity));
            }
        }
        if !state.queue.is_empty() {
            let config = state.queue.remove(0);
            if objective.space().check(&config).is_ok() && objective.cost(&config) <= high {
                return Ok((config, fidelity));
            }
        }
        let trials: Vec<Trial> = state.trials.iter().filter(|t| t.fidelity == fidelity).cloned().collect();
        let planned = self.setup.steps.div_ceil(objective.ticks().max(1));
        let view = SearchView { objective, trials: &trials, budget, planned };
        let config = state.proposer.propose(&self.config, &view, &mut state.rng)?;
        objective.space().check(&config)?;
        let cost = objective.cost(&config);
        if cost > budget {
            return Err(Error::invalid(format!(
                "no configuration that costs at most {budget:.0} was found (this one costs {cost:.0}): the budget is below the smallest"
            )));
        }
        Ok((config, fidelity))
    }
}

impl<S: Proposer> Learner for Searcher<S> {
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let none = || Error::invalid("a searcher needs an environment over a costly objective");
        let objective = envs.objective().ok_or_else(none)?;
        let (config, fidelity) = self.next(objective)?;
        let (cost, ticks) = (objective.cost(&config), objective.ticks());
        // The program's own request to stop reaches an evaluation through the objective.
        let measure = objective.evaluate(&config, fidelity, self.setup.seed, &|| false)?;
        log.put("search/loss", measure.loss);
        log.put("search/cost", cost);
        self.state.trials.push(Trial { config, cost, loss: measure.loss, fidelity });
        self.state.proposer.report(log);
        Ok(ticks)
    }

    fn policy(&mut self) -> &mut dyn Policy {
        self
    }

    /// The configurations that no other trial is both cheaper and better than, as `configurations`, `[n, dimensions]`, with their `costs`
    /// and `losses`.
    fn export(&self) -> Result<Export> {
        let points: Vec<(f64, f64)> = self.state.trials.iter().map(|t| (t.cost, t.loss)).collect();
        let best: Vec<&Trial> = front(&points).into_iter().map(|i| &self.state.trials[i]).collect();
        let width = best.first().map_or(0, |t| t.config.len());
        let arrays = vec![
            Array {
                name: "configurations".into(),
                shape: vec![best.len(), width],
                data: best.iter().flat_map(|t| t.config.iter().map(|l| f32::from(*l))).collect(),
            },
            export::vector("costs", best.iter().map(|t| t.cost as f32).collect()),
            export::vector("losses", best.iter().map(|t| t.loss as f32).collect()),
        ];
        let about = export::metadata(S::NAME, &self.setup.spec);
        Ok(Export { about, arrays, ..Export::default() })
    }

    fn init_from(&mut self, policy: &Export) -> Result<()> {
        let array = policy.arrays.iter().find(|a| a.name == "configurations" && a.shape.len() == 2);
        let array = array.ok_or_else(|| Error::mismatch("policy", "a searcher's configurations", "none"))?;
        let width = array.shape[1].max(1);
        self.state.queue = array.data.chunks_exact(width).map(|c| c.iter().map(|l| *l as u16).collect()).collect();
        Ok(())
    }
}

impl<S: Proposer> Policy for Searcher<S> {
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], _: Mode, _: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        let ActionsMut::Discrete(out) = out else { return Err(Error::mismatch("actions", "ids", "vectors")) };
        let spec = &self.setup.spec;
        let (obs, width, choices, sets) = (frame.obs.f32()?, spec.obs.width(), spec.act.choices(), spec.act.sets());
        for (ids, &row) in out.chunks_exact_mut(sets.len()).zip(rows) {
            let x = &obs[row as usize * width..][..width];
            let mask = &frame.mask[row as usize * choices..][..choices];
            let best = self.best(f64::from(x[self.budget]));
            let mut start = 0;
            for ((id, &n), d) in ids.iter_mut().zip(sets).zip(&x[self.dimensions.clone()]) {
                let wanted = (*d >= 0.0).then(|| best.and_then(|t| t.config.get(*d as usize))).flatten();
                let wanted = wanted.map_or(0, |l| usize::from(*l));
                // The nearest that is allowed: a budget may have been rounded on its way through the row.
                let allowed = (0..n).filter(|l| mask[start + l]).min_by_key(|l| l.abs_diff(wanted));
                *id = allowed.ok_or_else(|| Error::invalid("no allowed choice"))? as i64;
                start += n;
            }
        }
        Ok(())
    }
}

impl<S: Proposer> Checkpoint for Searcher<S> {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.state);
        to.put(FILE, &bytes)
    }
    fn load(&mut self, from: &LoadDir) -> Result<()> {
        self.state = snapshot::get(&from.get(FILE)?)?;
        Ok(())
    }
}

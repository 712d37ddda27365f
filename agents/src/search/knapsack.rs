//! Separable marginal losses, measured one at a time around a base configuration, and the best configuration under a budget if losses add
//! up: a multiple-choice knapsack, solved exactly up to the grid of its costs.
use super::{Common, Proposer, SearchView};
use rlx::{
    Objective, Result, Rng,
    objective::{cheapest, edits, fill, repair},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of the knapsack search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Share of all measurements that marginal losses may take; those that are not measured are guessed from those that are.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub marginals: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { common: Common::default(), marginals: 0.5 }
    }
}

/// The knapsack search.
#[derive(Serialize, Deserialize)]
pub struct Knapsack {
    base: Vec<u16>,
    order: Vec<(usize, u16)>, // edits of the base, in the order they are measured
}

/// A choice among options of (cost, loss).
pub type Choices = Vec<Vec<(f64, f64)>>;

/// Cells of the grid of costs.
const CELLS: usize = 4000;

/// The option of each choice whose losses sum up to least, within `budget`. Costs are rounded up to a grid of 4000 cells, so that the answer
/// always fits, and is exact where the costs lie on the grid. None when nothing fits.
pub fn solve(choices: &Choices, budget: f64) -> Option<Vec<usize>> {
    let least: Vec<f64> = choices.iter().map(|o| o.iter().map(|p| p.0).fold(f64::INFINITY, f64::min)).collect();
    let slack = budget - least.iter().sum::<f64>();
    if slack < 0.0 || slack.is_nan() {
        return None;
    }
    let unit = (slack / CELLS as f64).max(f64::MIN_POSITIVE);
    // A hair below, so that what lies on the grid is not pushed off it by rounding.
    let cells = |cost: f64, least: f64| ((cost - least) / unit - 1e-9).ceil().clamp(0.0, 1e9) as usize;
    let mut best = vec![0.0; CELLS + 1];
    let mut taken: Vec<Vec<u16>> = Vec::with_capacity(choices.len());
    for (options, low) in choices.iter().zip(&least) {
        let (mut next, mut pick) = (vec![f64::INFINITY; CELLS + 1], vec![0u16; CELLS + 1]);
        for (k, (cost, loss)) in options.iter().enumerate() {
            let weight = cells(*cost, *low);
            for room in weight..=CELLS {
                let value = best[room - weight] + loss;
                if value < next[room] {
                    (next[room], pick[room]) = (value, k as u16);
                }
            }
        }
        best = next;
        taken.push(pick);
    }
    let mut room = CELLS;
    let mut out = vec![0; choices.len()];
    for (i, pick) in taken.iter().enumerate().rev() {
        out[i] = usize::from(pick[room]);
        room -= cells(choices[i][out[i]].0, least[i]);
    }
    Some(out)
}

/// Dimensions that share all but the last word of their name: what their costs multiply in.
fn groups(objective: &dyn Objective) -> Vec<Vec<usize>> {
    let mut out: Vec<(&str, Vec<usize>)> = Vec::new();
    for (d, dimension) in objective.space().dimensions().iter().enumerate() {
        let name = dimension.name.rsplit_once(' ').map_or(dimension.name.as_str(), |n| n.0);
        match out.iter_mut().find(|g| g.0 == name) {
            Some(group) => group.1.push(d),
            None => out.push((name, vec![d])),
        }
    }
    out.into_iter().map(|g| g.1).collect()
}

/// All joint levels of a group.
fn joint(objective: &dyn Objective, group: &[usize]) -> Vec<Vec<u16>> {
    group.iter().fold(vec![Vec::new()], |all, d| {
        let levels = objective.space().dimensions()[*d].len() as u16;
        all.iter().flat_map(|o: &Vec<u16>| (0..levels).map(move |l| [&o[..], &[l]].concat())).collect()
    })
}

impl Knapsack {
    /// What each level of each dimension adds to the base's loss: measured, or between and beyond what is measured by the objective's
    /// guess in the unit that the measured ones have on average.
    fn marginals(&self, view: &SearchView<'_>, jitter: f64, rng: &mut Rng) -> Vec<Vec<f64>> {
        let objective = view.objective;
        let loss_of = |config: &[u16]| view.trials.iter().find(|t| t.config == config).map(|t| t.loss);
        let base = loss_of(&self.base).filter(|l| l.is_finite()).unwrap_or(0.0);
        let guess = objective.guess(&self.base);
        let mut config = self.base.clone();
        let (mut seen, mut guessed) = (0.0, 0.0);
        let mut parts: Vec<Vec<(Option<f64>, f64)>> = Vec::new();
        for (d, dimension) in objective.space().dimensions().iter().enumerate() {
            let mut levels = Vec::new();
            for level in 0..dimension.len() as u16 {
                config[d] = level;
                let own = objective.guess(&config) - guess;
                let measured = (level != self.base[d]).then(|| loss_of(&config)).flatten();
                let measured = measured.filter(|l| l.is_finite()).map(|l| l - base);
                if let Some(m) = measured {
                    seen += m.abs();
                    guessed += own.abs();
                }
                levels.push((measured, own));
            }
            config[d] = self.base[d];
            parts.push(levels);
        }
        let unit = if guessed > 0.0 { seen / guessed } else { 1.0 };
        let mut value =
            |(measured, own): &(Option<f64>, f64)| measured.unwrap_or(own * unit) * (jitter * rng.normal()).exp();
        parts.iter().map(|levels| levels.iter().map(&mut value).collect()).collect()
    }

    /// The configuration that is best if losses add up.
    fn best(&self, view: &SearchView<'_>, jitter: f64, rng: &mut Rng) -> Vec<u16> {
        let objective = view.objective;
        let marginals = self.marginals(view, jitter, rng);
        let (groups, fixed) = (groups(objective), objective.cost(&self.base));
        let mut options = Vec::new();
        let mut choices: Choices = Vec::new();
        let mut config = self.base.clone();
        for group in &groups {
            let all = joint(objective, group);
            let mut of = |levels: &Vec<u16>| {
                group.iter().zip(levels).for_each(|(d, l)| config[*d] = *l);
                let cost = objective.cost(&config) - fixed;
                group.iter().for_each(|d| config[*d] = self.base[*d]);
                (cost, group.iter().zip(levels).map(|(d, l)| marginals[*d][usize::from(*l)]).sum())
            };
            choices.push(all.iter().map(&mut of).collect());
            options.push(all);
        }
        let Some(picked) = solve(&choices, view.budget - fixed) else { return cheapest(objective) };
        for ((group, all), k) in groups.iter().zip(&options).zip(picked) {
            group.iter().zip(&all[k]).for_each(|(d, l)| config[*d] = *l);
        }
        // Costs that do not add up between groups are brought under the budget.
        repair(objective, &mut config, view.budget, &mut |c| objective.guess(c));
        config
    }
}

impl Proposer for Knapsack {
    type Config = Config;
    const NAME: &'static str = "knapsack";
    const ABOUT: &'static str = "search: losses measured one at a time, the best sum under the budget";
    fn common(config: &Config) -> &Common {
        &config.common
    }
    fn new(_: &Config) -> Self {
        Self { base: Vec::new(), order: Vec::new() }
    }
    fn propose(&mut self, config: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        let objective = view.objective;
        if self.base.is_empty() {
            let mut base = cheapest(objective);
            // In the middle of the budgets, so that edits both ways are about what will be chosen.
            let (low, high) = objective.budgets();
            let middle = if high.is_finite() { (low + high) / 2.0 } else { view.budget };
            fill(objective, &mut base, middle.min(view.budget), &mut |c| objective.guess(c));
            self.order = edits(objective.space(), &base);
            rng.shuffle(&mut self.order);
            self.base = base.clone();
            return Ok(base);
        }
        let most = (config.marginals * view.planned as f64) as usize;
        while (view.trials.len() <= most) && !self.order.is_empty() {
            let (d, level) = self.order.remove(0);
            let mut edited = self.base.clone();
            edited[d] = level;
            if objective.cost(&edited) <= view.budget && !view.is_known(&edited) {
                return Ok(edited);
            }
        }
        let mut found = self.best(view, 0.0, rng);
        for jitter in [0.1, 0.2, 0.4, 0.8, 1.0, 1.0] {
            if !view.is_known(&found) {
                break;
            }
            found = self.best(view, jitter, rng);
        }
        Ok(found)
    }
}

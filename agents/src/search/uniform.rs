//! Uniform configurations: every dimension of a kind (the last word of its name: `block 3 bits`) at the same level, as the literature's
//! baselines have it; once those are measured, two neighbouring levels of a kind shared by the first and the last dimensions.
use super::{Common, Proposer, SearchView};
use rlx::{Objective, Result, Rng, objective::cheapest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of the uniform search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
}

/// The uniform search.
#[derive(Serialize, Deserialize)]
pub struct Uniform;

/// Dimensions by kind.
fn kinds(objective: &dyn Objective) -> Vec<Vec<usize>> {
    let mut kinds: Vec<(String, Vec<usize>)> = Vec::new();
    for (d, dimension) in objective.space().dimensions().iter().enumerate() {
        let kind = dimension.name.rsplit(' ').next().unwrap_or_default();
        // Dimensions of other levels are of another kind, whatever their name.
        let same = |k: &&mut (String, Vec<usize>)| {
            k.0 == kind && objective.space().dimensions()[k.1[0]].len() == dimension.len()
        };
        match kinds.iter_mut().find(same) {
            Some((_, members)) => members.push(d),
            None => kinds.push((kind.into(), vec![d])),
        }
    }
    kinds.into_iter().map(|k| k.1).collect()
}

/// All configurations with one level a kind.
fn all(objective: &dyn Objective) -> Vec<Vec<u16>> {
    let mut out = vec![vec![0; objective.space().dimensions().len()]];
    for members in kinds(objective) {
        let levels = objective.space().dimensions()[members[0]].len() as u16;
        let with = |config: &Vec<u16>, level: u16| {
            let mut config = config.clone();
            members.iter().for_each(|d| config[*d] = level);
            config
        };
        out = out.iter().flat_map(|c| (0..levels).map(move |l| (c, l))).map(|(c, l)| with(c, l)).collect();
    }
    out
}

impl Proposer for Uniform {
    type Config = Config;
    const NAME: &'static str = "uniform";
    const ABOUT: &'static str = "search: the same level for every block, the literature's baseline";
    fn common(config: &Config) -> &Common {
        &config.common
    }
    fn new(_: &Config) -> Self {
        Self
    }
    fn propose(&mut self, _: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        let objective = view.objective;
        let mut fitting: Vec<(f64, Vec<u16>)> = all(objective)
            .into_iter()
            .map(|c| (objective.cost(&c), c))
            .filter(|(cost, _)| *cost <= view.budget)
            .collect();
        fitting.sort_by(|a, b| b.0.total_cmp(&a.0));
        if let Some((_, new)) = fitting.iter().find(|(_, c)| !view.is_known(c)) {
            return Ok(new.clone());
        }
        // One kind at two neighbouring levels, the costlier one for the first dimensions or for the last.
        let Some((_, base)) = fitting.first() else { return Ok(cheapest(objective)) };
        let best = view.feasible().first().map_or_else(|| base.clone(), |t| t.config.clone());
        let kinds = kinds(objective);
        for _ in 0..64 {
            let members = &kinds[rng.below(kinds.len())];
            let levels = objective.space().dimensions()[members[0]].len();
            let (level, count) = (rng.below(levels) as u16, 1 + rng.below(members.len()));
            let part = if rng.below(2) == 0 { &members[..count] } else { &members[members.len() - count..] };
            let mut config = best.clone();
            part.iter().for_each(|d| config[*d] = level);
            if objective.cost(&config) <= view.budget && !view.is_known(&config) {
                return Ok(config);
            }
        }
        Ok(best)
    }
}

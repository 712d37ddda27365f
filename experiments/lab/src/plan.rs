//! What an experiment would run, what is done of it, and how long the rest takes.
use crate::{
    cells::{Cells, Checked},
    results::{Results, Status},
};
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// A plan.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The spec.
    pub experiment: String,
    /// Whether it is the quick variant.
    pub quick: bool,
    /// Where results are.
    pub folder: String,
    /// Runs in all.
    pub cells: u64,
    /// Different configs.
    pub configs: u64,
    /// Configs of them that were checked; running it checks all.
    pub checked: u64,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The tasks.
    pub tasks: Vec<String>,
    /// The methods.
    pub methods: Vec<String>,
    /// Cells that are done.
    pub finished: u64,
    /// Cells that failed.
    pub failed: u64,
    /// Cells that were begun and are not done.
    pub begun: u64,
    /// Cells never begun.
    pub left: u64,
    /// Runs side by side.
    pub jobs: usize,
    /// Seconds that the rest takes; None when nothing is known.
    pub estimate_s: Option<f64>,
    /// What the estimate comes from.
    pub estimate_from: String,
}

/// Cells of one task and method.
#[derive(Default)]
struct Pair {
    cells: u64,
    done: u64,
    done_s: f64,
    first: u64,
}

/// Most pairs of task and method that are measured.
const MEASURED: usize = 64;

/// Counts cells and estimates the time left: from cells that are finished; with `measure` also by a second of each kind of run.
///
/// # Errors
/// When results cannot be read, or a config is not sound.
pub fn plan(cells: &Cells<'_>, checked: Checked, results: &Results, jobs: usize, measure: bool) -> Result<Plan> {
    let records = results.records()?;
    let Checked { tasks, methods, configs: checked } = checked;
    let seeds = cells.spec.seeds.len() as u64;
    let mut pairs: HashMap<(String, String), Pair> = HashMap::new();
    let keep = tasks.len() * methods.len() <= 10_000;
    for config in 0..if keep { cells.configs() } else { 0 } {
        let cell = cells.get(config)?;
        let pair = pairs.entry((cell.task, cell.method)).or_insert(Pair { first: config, ..Pair::default() });
        pair.cells += seeds;
    }
    let (mut finished, mut failed, mut begun) = (0, 0, 0);
    for cell in if records.is_empty() { None } else { Some(cells.iter()) }.into_iter().flatten() {
        let cell = cell?;
        let Some(record) = records.get(&cell.id()) else { continue };
        match record.status {
            Status::Finished => {
                finished += 1;
                if let Some(pair) = pairs.get_mut(&(cell.task, cell.method)) {
                    pair.done += 1;
                    pair.done_s += record.elapsed_s;
                }
            }
            Status::Failed => failed += 1,
            Status::Started | Status::Interrupted => begun += 1,
        }
    }
    let (estimate_s, estimate_from) = estimate(cells, &pairs, jobs, measure)?;
    Ok(Plan {
        experiment: cells.spec.name.clone(),
        quick: cells.spec.quick,
        folder: results.path().display().to_string(),
        cells: cells.len(),
        configs: cells.configs(),
        checked,
        seeds: cells.spec.seeds.clone(),
        tasks,
        methods,
        finished,
        failed,
        begun,
        left: cells.len() - finished - failed - begun,
        jobs,
        estimate_s,
        estimate_from,
    })
}

fn estimate(
    cells: &Cells<'_>,
    pairs: &HashMap<(String, String), Pair>,
    jobs: usize,
    measure: bool,
) -> Result<(Option<f64>, String)> {
    let triable = cells.workload()?.can_be_tried();
    let mut by_task: BTreeMap<&str, (f64, u64)> = BTreeMap::new();
    for ((task, _), pair) in pairs {
        let sum = by_task.entry(task).or_default();
        *sum = (sum.0 + pair.done_s, sum.1 + pair.done);
    }
    let (mut total, mut unknown, mut measured) = (0.0, 0u64, 0);
    for ((task, _), pair) in pairs {
        let left = (pair.cells - pair.done) as f64;
        let of_task = by_task[task.as_str()];
        let each = match (pair.done, of_task.1) {
            (1.., _) => Some(pair.done_s / pair.done as f64),
            (0, 1..) => Some(of_task.0 / of_task.1 as f64),
            (0, 0) if measure && triable && measured < MEASURED => {
                measured += 1;
                cells.job(&cells.get(pair.first)?)?.estimate()?
            }
            (0, 0) => None,
        };
        match each {
            Some(each) => total += left * each,
            None if left > 0.0 => unknown += 1,
            None => {}
        }
    }
    Ok(match (unknown, pairs.is_empty(), measured) {
        (_, true, _) => (None, "too many methods to tell apart".into()),
        (1.., _, _) if !triable => (None, "nothing of it was run yet".into()),
        (1.., _, _) => (None, "nothing of it was run yet: --measure tries a second of each kind".into()),
        (0, _, 0) => (Some(total / jobs as f64), "cells that are finished".into()),
        (0, _, _) => (Some(total / jobs as f64), "a second of each kind of run, evaluations not counted".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        spec::Spec,
        workload::{Job, Lab, Workload},
    };
    use rlx::Registry;
    use rlx_runs::experiment::{Experiment, Request};

    /// A training that nobody may try.
    struct Untried;

    impl Workload for Untried {
        fn kind(&self) -> &'static str {
            "untried"
        }
        fn task(&self) -> &'static str {
            "env"
        }
        fn owns(&self, _: &str) -> bool {
            false
        }
        fn resolve(&self, registry: &Registry, request: &Request) -> Result<Box<dyn Job>> {
            Ok(Box::new(Experiment::new(registry, request)?))
        }
        fn read(&self, registry: &Registry, config: &str) -> Result<Box<dyn Job>> {
            Ok(Box::new(Experiment::from_toml(registry, config)?))
        }
    }

    #[test]
    fn trying_a_run_is_offered_only_where_it_can_be_tried() {
        let mut registry = rlx_experiments::registry();
        registry.extension_mut::<Lab>().workload(Untried);
        let said = |kind: &str, measure: bool| {
            let text = format!("format = 1\nkind = \"{kind}\"\nseeds = 1\n[base]\nenv = \"cartpole\"\nalgo = \"ppo\"");
            let spec = Spec::parse(&registry, "x", &text, false).unwrap();
            let cells = Cells::new(&registry, &spec).unwrap();
            let checked = cells.validate(None).unwrap();
            let plan = plan(&cells, checked, &Results::at(std::path::Path::new("nowhere")), 1, measure).unwrap();
            (plan.estimate_s.is_some(), plan.estimate_from)
        };
        assert_eq!(said("untried", false), (false, "nothing of it was run yet".into()));
        assert_eq!(said("untried", true), (false, "nothing of it was run yet".into()));
        assert!(said("train", false).1.ends_with("--measure tries a second of each kind"));
        assert!(said("train", true).0);
    }
}

//! Where a training stands: its clock in steps, and the last episodes.
use crate::{run_config::RunConfig, summary::Best};
use rlx::{Episodes, Outcome, Scalars};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Episodes that the running mean is over.
const RECENT: usize = 100;

/// The loop's own state. It is in every checkpoint, so it holds no clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub step: u64,
    pub next_log: u64,
    pub next_eval: u64,
    pub next_checkpoint: u64,
    pub episodes: u64,
    recent: VecDeque<Episode>,
    pub best: Option<Best>,
    /// The last evaluation, and its step.
    pub eval: Option<(u64, Outcome)>,
    /// Of the program that wrote it.
    #[serde(default)]
    pub revision: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Episode {
    value: f64,
    length: u32,
    metrics: BTreeMap<String, f64>,
}

impl State {
    /// Before the first step.
    pub fn new(run: &RunConfig) -> Self {
        Self {
            next_log: run.log_every,
            next_eval: if run.eval_every == 0 { u64::MAX } else { run.eval_every },
            next_checkpoint: run.checkpoint_every,
            ..Self::default()
        }
    }

    /// Takes the episodes that ended into account, and clears them.
    pub fn count(&mut self, ended: &mut Episodes, players: usize) {
        for i in 0..ended.len() {
            let value = ended.returns[i * players..(i + 1) * players].iter().sum::<f64>() / players as f64;
            // A ratio of nothing says nothing, and JSON has no word for it.
            let metrics = ended.metrics[i].iter().filter(|m| m.1.is_finite()).map(|(n, v)| (n.to_owned(), v)).collect();
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(Episode { value, length: ended.lengths[i], metrics });
        }
        self.episodes += ended.len() as u64;
        ended.clear();
    }

    /// Mean return of the last episodes.
    pub fn mean_return(&self) -> Option<f64> {
        let recent = &self.recent;
        (!recent.is_empty()).then(|| recent.iter().map(|e| e.value).sum::<f64>() / recent.len() as f64)
    }

    /// What the last episodes were like.
    pub fn report(&self, row: &mut Scalars) {
        if let Some(value) = self.mean_return() {
            let n = self.recent.len() as f64;
            row.put("charts/episodic_return", value);
            row.put("charts/episodic_length", self.recent.iter().map(|e| f64::from(e.length)).sum::<f64>() / n);
            let names: BTreeSet<&String> = self.recent.iter().flat_map(|e| e.metrics.keys()).collect();
            for name in names {
                let values: Vec<f64> = self.recent.iter().filter_map(|e| e.metrics.get(name).copied()).collect();
                row.put(format!("charts/{name}"), values.iter().sum::<f64>() / values.len() as f64);
            }
        }
        row.put("charts/episodes", self.episodes as f64);
    }
}

/// The first multiple of `every` after `step`.
pub fn next(step: u64, every: u64) -> u64 {
    (step / every + 1) * every
}

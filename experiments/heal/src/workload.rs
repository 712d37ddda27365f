//! Healings as cells of experiments.
use crate::{Config, pages, report, run::Healer};
use anyhow::Result;
use rlx::{
    Registry, Table,
    config::{Keys, to_map},
};
use rlx_lab::{
    cells::Cells,
    results::Results,
    workload::{Findings, Job, Workload},
};
use rlx_runs::{experiment::Request, interrupt::Stop, progress::Progress};
use serde_json::json;
use std::path::Path;

/// Encoders that are corrupted and fine-tuned: `kind = "heal"` of a spec.
pub struct Healing;

impl Workload for Healing {
    fn kind(&self) -> &'static str {
        "heal"
    }
    fn task(&self) -> &'static str {
        "data"
    }
    fn keys(&self) -> Option<(&'static str, &Keys)> {
        Some(("keys of a healing", Config::keys()))
    }
    fn owns(&self, config: &str) -> bool {
        Config::is_one(config)
    }
    fn resolve(&self, _registry: &Registry, request: &Request) -> Result<Box<dyn Job>> {
        let set = request.set.iter().filter_map(|s| s.split_once('='));
        let flags = request.flags.iter().map(|(k, v)| (*k, v.as_str()));
        let all = set.chain(flags).map(|(k, v)| (k, v.to_owned()));
        Ok(Box::new(Config::with(Config::keys().defaults(), all)?))
    }
    fn read(&self, _registry: &Registry, config: &str) -> Result<Box<dyn Job>> {
        Ok(Box::new(Config::from_toml(config)?))
    }
    fn findings(&self, cells: &Cells<'_>, results: &Results) -> Result<Option<Findings>> {
        let healed = report::healed(cells, results)?;
        Ok(Some(Findings { name: "heal", json: json!(healed), blocks: pages::blocks(&healed) }))
    }
}

impl Job for Config {
    fn front(&self) -> String {
        format!("{}-heal", self.env())
    }
    fn threads(&self) -> usize {
        self.threads
    }
    fn evaluates(&self) -> bool {
        true
    }
    fn steps(&self) -> u64 {
        0
    }
    fn choices(&self) -> Vec<(&'static str, Table)> {
        vec![("heal", to_map(self))]
    }
    fn start(&self, _: &Registry, runs: &Path, name: &str, progress: &mut Progress, stop: &Stop) -> Result<bool> {
        Ok(Healer::start(runs, self.clone(), Some(name), progress, stop)?.run()?.status == "finished")
    }
    fn resume(&self, _: &Registry, runs: &Path, run: &str, progress: &mut Progress, stop: &Stop) -> Result<bool> {
        Ok(Healer::resume(runs, run, progress, stop)?.run()?.status == "finished")
    }
}

//! Language models on the command line: `rlx lm`, and `rlx compress`, which asks the policy of a search in compress-llama.
pub mod command;
mod leave;
pub mod lm;

use anyhow::{Context, Result};
use rlx::{OnFinish, Registry, Table, config::from_map};
use std::path::Path;

/// The world whose trainings leave a model.
const WORLD: &str = "compress-llama";

/// Adds to the world, which is registered already, what follows a training in it.
pub fn register(registry: &mut Registry) {
    registry.of(WORLD).on_finish(LeaveModel);
}

struct LeaveModel;

impl OnFinish for LeaveModel {
    fn finished(&self, run: &Path, env: &Table) -> Result<Option<String>> {
        let config = from_map(env).context("the run's config")?;
        leave::model(run, &config, rlx_runs::interrupt::asked)
    }
    fn next(&self, run: &str, _env: &Table) -> Vec<String> {
        vec![format!("rlx compress MODEL --budget 60MB --policy {run} -o OUT")]
    }
}

//! Learners and their worlds: made as a run's config says, and as a checkpoint has them.
use crate::{REVISION, experiment::Experiment, run_dir::RunDir};
use anyhow::{Context, Result};
use rlx::{Learner, LoadDir, Registry, Setup, Vector};
use serde_json::Value;
use std::path::Path;

/// Makes the learner and the worlds of an experiment.
///
/// # Errors
/// When a device is not to be had.
pub fn make(experiment: &Experiment) -> Result<(Box<dyn Learner>, Box<dyn Vector>)> {
    let worlds = experiment.algo.worlds(&experiment.hyper)?;
    let run = &experiment.run;
    rlx_nn::threads::set(run.threads);
    let setup =
        Setup { spec: experiment.spec.clone(), worlds, seed: run.seed, steps: run.steps, device: experiment.device()? };
    let learner = experiment.algo.learner(&experiment.hyper, setup)?;
    Ok((learner, experiment.world.vector(&experiment.env, worlds, run.seed)?))
}

/// A trained policy: the experiment of a run and its learner as a checkpoint has it.
///
/// # Errors
/// When the run or checkpoint is not there or not sound.
pub fn load(
    registry: &Registry,
    runs: &Path,
    run: &str,
    which: &str,
    warn: &mut dyn FnMut(String),
) -> Result<(RunDir, Experiment, Box<dyn Learner>, LoadDir)> {
    let dir = RunDir::open(runs, run)?;
    let experiment = Experiment::from_toml(registry, &dir.config()?)
        .with_context(|| format!("{}/config.toml", dir.path().display()))?;
    let checkpoint = dir.checkpoint(which, warn)?;
    let (mut learner, _) = make(&experiment)?;
    of_revision(&checkpoint, learner.load(&checkpoint).map_err(Into::into))?;
    Ok((dir, experiment, learner, checkpoint))
}

/// What was read of a checkpoint; where it does not fit and another revision of this program wrote it, the error says so: what is saved
/// changes from one to the next.
pub(crate) fn of_revision<T>(from: &LoadDir, read: Result<T>) -> Result<T> {
    let own = REVISION;
    let state = from.get("trainer.json").ok().and_then(|s| serde_json::from_slice::<Value>(&s).ok());
    let by = state.as_ref().and_then(|s| s["revision"].as_str()).filter(|r| !r.is_empty());
    match (by, read) {
        (Some(by), Err(e)) if by == own => Err(e),
        (by, read) => read.with_context(|| {
            let (path, by) = (from.path().display(), by.unwrap_or("an earlier one"));
            format!("{path} is of another revision of rlx ({by}; this is {own}) and does not fit this one")
        }),
    }
}

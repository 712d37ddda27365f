//! Policies from files that `rlx export` wrote, and the one that comes with the program, so that the first game needs no training.
use super::agent::{self, Agent};
use crate::{experiment::Experiment, export, train};
use anyhow::{Context, Result, bail, ensure};
use rlx::Registry;
use rlx_red10::Rules;
use std::path::Path;

/// The name of the agent that comes with the program.
pub const NAME: &str = "pretrained";
/// One line of what it is.
pub const ABOUT: &str = "a small IDRL agent for both rules that comes with the program";
/// How it was made: docs/red10/agents.md.
const BYTES: &[u8] = include_bytes!("../../agents/red10.safetensors");
/// Largest file that is read.
const MOST: u64 = 256 << 20;

/// The policy that comes with the program.
///
/// # Errors
/// As [`open`].
pub fn shipped(registry: &Registry, rules: &Rules) -> Result<Agent<'static>> {
    build(registry, BYTES, rules).context(NAME)
}

/// The policy of a file of `rlx export`.
///
/// # Errors
/// When it is none, or of another world, other rules, or another size than it says.
pub fn open(registry: &Registry, path: &Path, rules: &Rules) -> Result<Agent<'static>> {
    let size = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len();
    ensure!(size <= MOST, "{}: {size} bytes are no policy of this program", path.display());
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    build(registry, &bytes, rules).with_context(|| path.display().to_string())
}

fn build(registry: &Registry, bytes: &[u8], rules: &Rules) -> Result<Agent<'static>> {
    let policy = export::read(bytes)?;
    let config = policy.about.iter().find(|a| a.0 == "config").context("it does not say which run it is of")?;
    let mut experiment = Experiment::from_toml(registry, &config.1)?;
    let Some(config) = super::config_of(&experiment.world, &experiment.env)? else {
        bail!("it is a policy of {}, not of red10", experiment.world.name)
    };
    agent::check_rules("it", &config.rules.rules(), rules)?;
    // To act, no table of its own and no network of training is needed.
    for (key, value) in [("num_envs", 1.into()), ("td_lambda", 1.0.into()), ("auxiliary", 0.0.into())] {
        if experiment.hyper.contains_key(key) {
            experiment.hyper.insert(key.into(), value);
        }
    }
    let (mut learner, _) = train::make(&experiment)?;
    learner.init_from(&policy)?;
    Ok(Agent::Run(learner, agent::prior(&config)))
}

//! Red-10 at the command line: judging by duplicate deals, playing, recording.
pub mod advice;
pub mod agent;
pub mod bound;
pub mod cli;
pub mod duplicate;
pub mod league;
pub mod play;
pub mod pretrained;
pub mod record;
pub mod report;
pub mod session;
pub mod text;
pub mod tui;

/// The rules of an experiment in this world, by name; None in another.
///
/// # Errors
/// When its config is not this world's.
pub fn rules_of(
    experiment: &crate::experiment::Experiment,
) -> anyhow::Result<Option<Vec<(&'static str, rlx_red10::Rules)>>> {
    if experiment.world.name != "red10" {
        return Ok(None);
    }
    let config: rlx_red10::Config = rlx::config::from_map(&experiment.env)?;
    Ok(Some(config.rules.rules()))
}

//! Red-10 at the command line: judging by duplicate deals, playing, recording.
pub mod advice;
pub mod agent;
pub mod bound;
pub mod cli;
pub mod duplicate;
pub mod guide;
pub mod league;
pub mod play;
pub mod pretrained;
pub mod record;
pub mod replay;
pub mod report;
pub mod session;
pub mod text;
pub mod tui;
pub mod typed;

/// The config of a world by its keys if it is this one; None of another.
///
/// # Errors
/// When its config is not this world's.
pub fn config_of(world: &rlx::World, env: &rlx::Table) -> anyhow::Result<Option<rlx_red10::Config>> {
    if world.name != "red10" {
        return Ok(None);
    }
    Ok(Some(rlx::config::from_map(env)?))
}

//! `rlx play`.
use super::Context;
use rlx::{World, config::choose};
use rlx_runs::answer::{Answer, INTERRUPTED};
use std::process::ExitCode;

/// `rlx play`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The game; it may be left out where there is one, to show a record again.
    game: Option<String>,
}

/// Plays a game that people can play.
pub fn run(context: &Context<'_>, args: &Args) -> Answer {
    let games: Vec<&World> = context.registry.worlds().iter().filter(|w| w.parts.playable.is_some()).collect();
    let named = |name: &str| games.iter().find(|w| w.name == name);
    let game = match &args.game {
        Some(name) => named(choose("game", name, games.iter().map(|w| w.name.as_str()))?),
        None => games.first().filter(|_| games.len() == 1 && context.options.first().is_some()),
    };
    let Some(world) = game else {
        let names: Vec<&str> = games.iter().map(|w| w.name.as_str()).collect();
        return Err(rlx::Error::usage(format!("which game? rlx play {}", names.join(" | "))).into());
    };
    let playable = world.parts.playable.as_ref().expect("it is one of those that can be played");
    let options = context.options.table(&world.name, &playable.keys())?;
    let host = context.host(false)?;
    Ok(if playable.play(&host, &options)? { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) })
}

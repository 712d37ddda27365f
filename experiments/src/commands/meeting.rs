//! `rlx eval --vs` and `rlx league`: agents meet in the arena of their world.
use super::{Context, eval};
use anyhow::{Result, bail};
use rlx::{Arena, Meeting, Report, World};
use rlx_runs::{
    answer::{Answer, printed},
    host::Host,
};
use std::{io::IsTerminal, sync::Arc};

/// `rlx league`.
#[derive(Debug, clap::Args)]
pub struct LeagueArgs {
    /// Runs and bots (`rlx list bots`), two or more: every pair of them plays.
    #[arg(required = true, value_name = "RUN|BOT")]
    agents: Vec<String>,
    /// Seed of the games.
    #[arg(long, default_value_t = 1_000_000)]
    seed: u64,
    /// The checkpoint of the runs: best, last or a step.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    /// Print JSON: rules, seed, decks, ratings: [{agent, rating, low, high, win}], pairs: [{a, b, win, score}].
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

/// The world that the agents are of: by a run among them, or a bot; where none is known, the only one that has an arena.
fn arena<'a>(context: &'a Context<'_>, host: &Host<'_>, agents: &[&str]) -> Result<(&'a World, Arc<dyn Arena>)> {
    let all: Vec<&World> = context.registry.worlds().iter().filter(|w| w.parts.arena.is_some()).collect();
    let of_run = agents.iter().find_map(|a| host.world_of(a));
    let bot = |w: &&&World| w.parts.bots.iter().any(|(name, _)| agents.contains(&name.as_str()));
    let found = match &of_run {
        Some(name) => all.iter().find(|w| w.name == *name),
        None => all.iter().find(bot).or(all.first().filter(|_| all.len() == 1)),
    };
    match (found.and_then(|w| Some((*w, w.parts.arena.clone()?))), of_run) {
        (Some(found), _) => Ok(found),
        (None, Some(name)) => {
            let names: Vec<&str> = all.iter().map(|w| w.name.as_str()).collect();
            rlx::refuse!("agents do not meet in {name}, where each plays alone; they meet in {}", names.join(", "))
        }
        (None, None) => bail!("none of {} is a bot or a run: rlx list bots, rlx runs list", agents.join(", ")),
    }
}

fn answer(report: &Report, json: bool) -> Answer {
    printed(&if json { format!("{:#}\n", report.json) } else { report.text.clone() })
}

/// `rlx eval RUN --vs OTHER`.
pub fn versus(context: &Context<'_>, args: &eval::Args, vs: &str) -> Answer {
    // Lines of progress in a pipe or a log are noise beside one table.
    let host = context.host(args.json || !std::io::stderr().is_terminal())?;
    let (world, arena) = arena(context, &host, &[&args.run, vs])?;
    let options = context.options.table(&world.name, &arena.keys())?;
    let meeting = Meeting { options: &options, checkpoint: &args.checkpoint, seed: args.seed };
    answer(&arena.versus(&host, meeting, [&args.run, vs])?, args.json)
}

/// `rlx league`.
pub fn league(context: &Context<'_>, args: &LeagueArgs) -> Answer {
    let host = context.host(args.quiet)?;
    let agents: Vec<&str> = args.agents.iter().map(String::as_str).collect();
    let (world, arena) = arena(context, &host, &agents)?;
    let options = context.options.table(&world.name, &arena.keys())?;
    let meeting = Meeting { options: &options, checkpoint: &args.checkpoint, seed: args.seed };
    answer(&arena.league(&host, meeting, &args.agents)?, args.json)
}

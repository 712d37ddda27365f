//! `rlx check-env`.
use anyhow::{Context as _, anyhow};
use rlx::Registry;
use rlx_runs::{
    answer::{Answer, print, usage},
    experiment::settings,
};
use serde_json::json;
use std::process::ExitCode;

/// `rlx check-env`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment: see `rlx list envs`.
    name: String,
    /// Set a key of the environment.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON: {world, checks: [{name, promise, violations}]}.
    #[arg(long)]
    json: bool,
}

/// Runs the contract suite.
pub fn run(registry: &Registry, args: &Args) -> Answer {
    let world = registry.find_world(&args.name).map_err(usage)?;
    let config = settings(world, &world.keys.defaults(), &args.set).context("--set").map_err(usage)?;
    // A panic in the world is a violation that the report names: its message need not be printed twice.
    std::panic::set_hook(Box::new(|_| {}));
    let report = world.check(&config)?;
    let _ = std::panic::take_hook();
    if args.json {
        print(&format!("{:#}\n", json!(report)))?;
    } else {
        let mut text = String::new();
        for check in &report.checks {
            let word = if check.violations.is_empty() { "ok" } else { "BROKEN" };
            text += &format!("{word:7} {:10} {}\n", check.name, check.promise);
            for violation in &check.violations {
                text += &format!("        {violation}\n");
            }
        }
        print(&text)?;
    }
    if report.passed() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(anyhow!("{} breaks the contract: {}", report.world, report.broken().join(", ")).into())
}

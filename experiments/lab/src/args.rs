//! What `rlx experiment` is told on the command line.
use crate::{engines::Engine, spec::Spec};
use anyhow::Result;
use clap::{Args, Subcommand};
use rlx::Registry;
use std::path::{Path, PathBuf};

/// What `rlx experiment` does.
#[derive(Debug, Subcommand)]
pub enum Experiment {
    /// List the experiments that come with the program.
    List {
        /// Print JSON: [{name, about, cells, quick_cells}].
        #[arg(long)]
        json: bool,
    },
    /// Write a working spec with every key explained, as NAME.toml in this folder; an existing file is kept.
    New {
        /// Its name: letters, digits, '.', '_' and '-'.
        name: String,
    },
    /// Show a spec: its file, checked, and its tasks and methods.
    Show(Which),
    /// Show how many runs the experiment has, how many are done, and how long the rest takes.
    Plan(Plan),
    /// Run the unfinished runs, here or on a cluster; or one of them with --index.
    #[command(
        after_help = "Examples:\n  rlx experiment run classic --quick\n  rlx experiment run mine.toml --jobs 8 --retry-failed\n  rlx experiment run classic --index 3"
    )]
    Run(Box<Run>),
    /// Tables and pictures of its results: one page of HTML, Markdown, SVG and PNG.
    Report(Report),
    /// Show the state of each run.
    Status {
        /// See `rlx experiment run`.
        #[command(flatten)]
        which: Which,
        /// Print JSON: a list of records {id, index, task, method, seed, status, run, error, starts, steps, elapsed_s, host, rlx, revision}.
        #[arg(long)]
        json: bool,
    },
}

/// `rlx experiment report`.
#[derive(Debug, Args)]
pub struct Report {
    #[command(flatten)]
    pub(super) which: Which,
    /// Where the report goes; by default `report` in the folder of the results. Files of an earlier report there are replaced.
    #[arg(long, value_name = "FOLDER")]
    pub(super) to: Option<PathBuf>,
    /// Give figures of what there is although runs are missing.
    #[arg(long)]
    pub(super) partial: bool,
    /// Print all figures as JSON: {experiment, quick, about, folder, seeds, tasks, methods, cells, finished, partial, missing, made_by,
    /// metrics}, and of healings heal: {rows, tests}; no files are written.
    #[arg(long)]
    pub(super) json: bool,
}

/// Which experiment.
#[derive(Debug, Args)]
pub struct Which {
    /// The name of one of this repository's (`rlx experiment list`), or the path of a spec (TOML).
    pub spec: String,
    /// Its quick variant.
    #[arg(long)]
    pub quick: bool,
    /// Folder of the results; by default `<runs>/experiments/<name>`.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// `rlx experiment plan`.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    pub(super) which: Which,
    /// Try a second of each kind of run for the estimate.
    #[arg(long)]
    pub(super) measure: bool,
    /// Runs in parallel; by default as many as the cores allow.
    #[arg(long, allow_negative_numbers = true, value_parser = rlx_runs::flags::count::<u64>(1..=4096))]
    pub(super) jobs: Option<u64>,
    /// Print JSON: {experiment, quick, folder, cells, configs, checked, seeds, tasks, methods, finished, failed, begun, left, jobs, estimate_s,
    /// estimate_from}.
    #[arg(long)]
    pub(super) json: bool,
}

/// `rlx experiment run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub(super) which: Which,
    /// One cell, by its number; finished ones are skipped, broken ones go on from their checkpoint.
    #[arg(long, value_name = "N")]
    pub(super) index: Option<u64>,
    /// Runs in parallel; by default as many as the cores allow.
    #[arg(long, allow_negative_numbers = true, value_parser = rlx_runs::flags::count::<u64>(1..=4096))]
    pub(super) jobs: Option<u64>,
    /// What runs the cells; all but local are programs of others. What follows `--` goes to the engine: `-- --partition=cpu --time=4:00:00`;
    /// with `-- --wait` the cells are waited for.
    #[arg(long, value_enum, default_value = "local")]
    pub(super) engine: Engine,
    /// Only say what would be submitted to the engine.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Arguments for the engine.
    #[arg(last = true)]
    pub(super) extra: Vec<String>,
    /// Do not pin workers to cores.
    #[arg(long)]
    pub(super) no_pin: bool,
    /// Try cells again that failed.
    #[arg(long)]
    pub(super) retry_failed: bool,
    /// Go on although the spec, a preset or a default changed since results were made; they are kept.
    #[arg(long)]
    pub(super) accept_changes: bool,
    /// Show nothing but warnings and errors.
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// As a worker of the pool: cells come on standard input.
    #[arg(long, hide = true)]
    pub(super) worker: bool,
    /// As a worker: FROM,COUNT of the cores it may use.
    #[arg(long, hide = true)]
    pub(super) pin: Option<String>,
}

impl Which {
    /// The spec, and the folder of its results.
    pub(super) fn open(&self, registry: &Registry, runs: &Path) -> Result<(Spec, PathBuf)> {
        let spec = Spec::open(registry, &self.spec, self.quick)?;
        let folder = self.out.clone().unwrap_or_else(|| spec.folder(runs));
        Ok((spec, folder))
    }
}

//! `rlx experiment`.
use crate::args::Experiment;
use crate::args::Plan;
use crate::args::Report;
use crate::args::Run;
use crate::args::Which;
use crate::cells::Cells;
use crate::engines;
use crate::engines::Engine;
use crate::pages;
use crate::plan;
use crate::pool;
use crate::report;
use crate::results::Results;
use crate::results::Status;
use crate::spec::Spec;
use crate::unit::Ended;
use crate::unit::Unit;
use crate::worker;
use crate::workload::Lab;
use anyhow::{Context, Result, anyhow};
use rlx::Registry;
use rlx::say;
use rlx_plot::document::Block;
use rlx_plot::text::thousands;
use rlx_runs::answer::{Answer, Failure, print, printed, usage};
use rlx_runs::interrupt::Stop;
use rlx_runs::lock;
use rlx_runs::progress::Progress;
use serde_json::json;
use std::{io::Write, path::Path, process::ExitCode, time::Duration};

/// Configs that a plan checks; a run checks all.
const PLANNED: u64 = 10_000;

/// Runs `rlx experiment`.
///
/// # Errors
/// With the exit code that the error is to have.
pub fn run(registry: &Registry, runs: &Path, command: &Experiment) -> Answer {
    match command {
        Experiment::List { json } => list(registry, *json),
        Experiment::New { name } => new(registry, name),
        Experiment::Show(which) => show(registry, runs, which),
        Experiment::Plan(args) => show_plan(registry, runs, args),
        Experiment::Run(args) => run_cells(registry, runs, args),
        Experiment::Report(args) => show_report(registry, runs, args),
        Experiment::Status { which, json } => status(registry, runs, which, *json),
    }
}

fn list(registry: &Registry, json: bool) -> Answer {
    let mut out = Vec::new();
    for (name, _) in Lab::of(registry).specs() {
        let spec = Spec::open(registry, name, false).map_err(usage)?;
        let quick = Spec::open(registry, name, true).map_err(usage)?;
        let count = |s: &Spec| Cells::new(registry, s).map(|c| c.len());
        let (cells, quick_cells) = (count(&spec).map_err(usage)?, count(&quick).map_err(usage)?);
        out.push((spec, cells, quick_cells));
    }
    if json {
        let list: Vec<_> = out
            .iter()
            .map(|(s, n, q)| json!({"name": s.name, "about": s.about, "cells": n, "quick_cells": q}))
            .collect();
        print(&format!("{:#}\n", json!(list)))?;
    } else {
        let text: String =
            out.iter().map(|(s, n, q)| format!("{:12} {} ({n} runs, quick {q})\n", s.name, s.about)).collect();
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What `new` writes.
const EXAMPLE: &str = include_str!("../../presets/example.experiment.toml");

fn new(registry: &Registry, name: &str) -> Answer {
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    Spec::parse(registry, stem, EXAMPLE, false).map_err(usage)?;
    let path = format!("{stem}.toml");
    let mut file = std::fs::File::options().write(true).create_new(true).open(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => usage(anyhow!("{path} is there already: choose another name")),
        _ => anyhow!(e).context(format!("writing {path}")).into(),
    })?;
    file.write_all(EXAMPLE.as_bytes()).with_context(|| format!("writing {path}"))?;
    print(&format!("{path}\nnext:\n  rlx experiment plan {path}\n  rlx experiment run {path} --quick\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn show(registry: &Registry, runs: &Path, which: &Which) -> Answer {
    let (spec, folder) = which.open(registry, runs).map_err(usage)?;
    let cells = Cells::new(registry, &spec).map_err(usage)?;
    let checked = cells.validate(None).map_err(usage)?;
    let some = |names: &[String]| {
        let more = if names.len() > 12 { format!(", and {} more", names.len() - 12) } else { String::new() };
        format!("{}{more}", names.iter().take(12).cloned().collect::<Vec<_>>().join(", "))
    };
    print(&format!(
        "{}\n# {} cells = {} configs x {} seeds{}\n# tasks: {}\n# methods: {}\n# results: {}\n",
        spec.text.trim_end(),
        thousands(cells.len()),
        thousands(cells.configs()),
        spec.seeds.len(),
        if spec.quick { " (quick variant)" } else { "" },
        some(&checked.tasks),
        some(&checked.methods),
        folder.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Workers, and threads of a run: as many workers as there are cores for the threads of the first config of each variant.
fn jobs(cells: &Cells<'_>, asked: Option<u64>) -> Result<(usize, usize)> {
    let mut threads = 1;
    let step = (cells.configs() / cells.spec.variants.len().max(1) as u64).max(1);
    for config in (0..cells.configs()).step_by(step as usize) {
        threads = threads.max(cells.job(&cells.get(config)?)?.threads());
    }
    let of_grid = cells.spec.grid.iter().find(|(k, _)| k == "threads" || k == "run.threads");
    threads = of_grid.iter().flat_map(|(_, v)| v).filter_map(|v| v.as_u64()).fold(threads, |a, b| a.max(b as usize));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok((asked.map_or((cores / threads).max(1), |n| n as usize), threads))
}

/// `1 h 20 min`.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86400.0),
    }
}

fn show_plan(registry: &Registry, runs: &Path, args: &Plan) -> Answer {
    let (spec, folder) = args.which.open(registry, runs).map_err(usage)?;
    let cells = Cells::new(registry, &spec).map_err(usage)?;
    let checked = cells.validate(Some(PLANNED)).map_err(usage)?;
    let (jobs, _) = jobs(&cells, args.jobs).map_err(usage)?;
    let plan = plan::plan(&cells, checked, &Results::at(&folder), jobs, args.measure)?;
    if args.json {
        print(&format!("{:#}\n", json!(plan)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let time = match plan.estimate_s {
        Some(s) => format!("about {} with {} side by side, from {}", duration(s), plan.jobs, plan.estimate_from),
        None => format!("not known: {}", plan.estimate_from),
    };
    print(&format!(
        "{}{}: {} runs = {} configs x {} seeds; {} tasks, {} methods\n{} finished, {} failed, {} begun, {} left\ntime: {time}\n{}results: {}\n",
        plan.experiment,
        if plan.quick { " (quick)" } else { "" },
        thousands(plan.cells),
        thousands(plan.configs),
        plan.seeds.len(),
        thousands(plan.tasks.len() as u64),
        thousands(plan.methods.len() as u64),
        thousands(plan.finished),
        thousands(plan.failed),
        thousands(plan.begun),
        thousands(plan.left),
        match plan.checked {
            n if n < plan.configs =>
                format!("checked: every value, {} of the combinations; a run checks all\n", thousands(n)),
            _ => String::new(),
        },
        plan.folder
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn run_cells(registry: &Registry, runs: &Path, args: &Run) -> Answer {
    if let Some(cores) = &args.pin {
        let parts: Vec<usize> = cores.split(',').filter_map(|p| p.parse().ok()).collect();
        let [from, count] = parts[..] else { return Err(usage(anyhow!("--pin {cores}: it must be FROM,COUNT"))) };
        worker::pin(from, count)?;
    }
    let (spec, folder) = args.which.open(registry, runs).map_err(usage)?;
    let cells = Cells::new(registry, &spec).map_err(usage)?;
    match args.index {
        Some(index) => drop(cells.get(index).and_then(|c| cells.job(&c)).map_err(usage)?),
        // The pool has checked what its workers run.
        None if args.worker => {}
        None => drop(cells.validate(None).map_err(usage)?),
    }
    if args.engine == Engine::Local && (args.dry_run || !args.extra.is_empty()) {
        return Err(usage(anyhow!("--dry-run and arguments after -- are for an --engine other than local")));
    }
    if args.dry_run {
        return submit(&cells, &Results::at(&folder), runs, args, &Stop::default());
    }
    let results = Results::open(registry, &folder, &spec, args.accept_changes).map_err(usage)?;
    let stop = Stop::install()?;
    let unit = Unit {
        registry,
        cells: &cells,
        results: &results,
        retry_failed: args.retry_failed,
        // The pool has other cells to go on with.
        patience: if args.worker { Duration::ZERO } else { lock::PATIENCE },
        accept: args.accept_changes,
    };
    if args.worker {
        worker::work(&unit, &stop)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(index) = args.index {
        let mut progress = Progress::new(0, args.quiet);
        let ended = unit.run(index, &mut progress, &stop).map_err(|e| match e.into() {
            Failure(e, 1) => usage(e),
            other => other,
        })?;
        return told(index, ended, args.quiet);
    }
    if args.engine != Engine::Local {
        return submit(&cells, &results, runs, args, &stop);
    }
    pool_of_workers(&cells, &results, runs, args, &stop)
}

/// What of the environment decides where a cell finds its models, data and libraries.
const SET: [&str; 3] = ["RLX_CACHE", "XDG_CACHE_HOME", "LD_LIBRARY_PATH"];

/// Hands what is left to an engine. Every path is absolute: its nodes work elsewhere.
fn submit(cells: &Cells<'_>, results: &Results, runs: &Path, args: &Run, stop: &Stop) -> Answer {
    let whole = |p: &Path| std::path::absolute(p).with_context(|| p.display().to_string());
    let (_, threads) = jobs(cells, None).map_err(usage)?;
    let program = rlx_runs::program()?;
    let results = Results::at(&whole(results.path())?);
    let spec = Path::new(&args.which.spec);
    let spec = if spec.exists() { whole(spec)?.display().to_string() } else { args.which.spec.clone() };
    let mut unit = Vec::new();
    // HyperQueue's and Ray's tasks have the environment of those who started the cluster.
    let set = SET.iter().filter_map(|k| Some(format!("{k}={}", std::env::var(k).ok().filter(|v| !v.is_empty())?)));
    unit.extend(set);
    if !unit.is_empty() {
        unit.insert(0, "env".into());
    }
    unit.extend([program.display().to_string(), "--runs".into(), whole(runs)?.display().to_string()]);
    unit.extend(["experiment".into(), "run".into(), spec, "--quiet".into()]);
    let flags = [
        (args.which.quick, "--quick"),
        (args.retry_failed, "--retry-failed"),
        (args.accept_changes, "--accept-changes"),
    ];
    unit.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
    unit.extend(["--out".into(), results.path().display().to_string(), "--index".into()]);
    let order = engines::Order {
        cells,
        results: &results,
        unit,
        threads,
        jobs: args.jobs,
        retry_failed: args.retry_failed,
        extra: args.extra.clone(),
    };
    let said = engines::submit(&order, args.engine, args.dry_run, stop)?;
    printed(&said)
}

/// Says what came of one cell.
fn told(index: u64, ended: Ended, quiet: bool) -> Answer {
    let again = "--retry-failed tries it again from its last checkpoint";
    let line = match ended {
        Ended::Finished(r) => {
            format!("cell {index} finished: {} {} seed {}, {:.1} s", r.task, r.method, r.seed, r.elapsed_s)
        }
        Ended::Already(r) => format!("cell {index} was finished already: {}", r.run),
        Ended::Interrupted(r) => {
            say!("cell {index} was stopped at step {}: the same command goes on", thousands(r.steps));
            return Ok(ExitCode::from(130));
        }
        Ended::Failed(r) => {
            return Err(anyhow!("cell {index} failed: {}; {again}", r.error.unwrap_or_default()).into());
        }
        Ended::FailedBefore(r) => {
            return Err(anyhow!("cell {index} failed before: {}; {again}", r.error.unwrap_or_default()).into());
        }
        Ended::Elsewhere => {
            return Err(lock::Held(format!(
                "cell {index} is held by another process, which did not end in {} s: nothing was done",
                lock::PATIENCE.as_secs()
            ))
            .into());
        }
    };
    if !quiet {
        say!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

fn pool_of_workers(cells: &Cells<'_>, results: &Results, runs: &Path, args: &Run, stop: &Stop) -> Answer {
    let (jobs, threads) = jobs(cells, args.jobs).map_err(usage)?;
    let path = |p: &Path| p.display().to_string();
    let mut arguments = vec!["--runs".into(), path(runs), "experiment".into(), "run".into(), args.which.spec.clone()];
    arguments.extend(["--worker".into(), "--out".into(), path(results.path())]);
    let flags = [
        (args.which.quick, "--quick"),
        (args.retry_failed, "--retry-failed"),
        (args.accept_changes, "--accept-changes"),
    ];
    arguments.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = pool::Options {
        // No more workers than cells.
        jobs: jobs.min(usize::try_from(cells.len()).unwrap_or(usize::MAX)),
        threads,
        // More workers than cores would be pinned on top of each other; with fewer, two pools side by side would share the first cores.
        pin: !args.no_pin && jobs * threads == cores,
        retry_failed: args.retry_failed,
        program: rlx_runs::program()?,
        arguments,
        quiet: args.quiet,
    };
    if !args.quiet {
        say!(
            "{}: {} runs, {} side by side, into {}\nCtrl-C stops and saves; the same command goes on.",
            cells.spec.name,
            thousands(cells.len()),
            options.jobs,
            results.path().display()
        );
    }
    let tally = pool::run(cells, results, &options, stop)?;
    if !args.quiet {
        say!(
            "{} finished now, {} before, {} failed, {} stopped, {} elsewhere",
            tally.finished,
            tally.already,
            tally.failed.len(),
            tally.interrupted,
            tally.elsewhere.len()
        );
    }
    if stop.asked() {
        return Ok(ExitCode::from(130));
    }
    if let Some((index, error)) = tally.failed.first() {
        return Err(anyhow!(
            "{} cells failed, first cell {index}: {error}; --retry-failed tries them again from their checkpoints",
            tally.failed.len()
        )
        .into());
    }
    // The other process may have ended them meanwhile.
    let records = results.records()?;
    let ended = |index: &u64| {
        let cell = cells.get(*index)?;
        Ok::<_, anyhow::Error>(records.get(&cell.id()).is_some_and(|r| r.status == Status::Finished))
    };
    let ended: Vec<bool> = tally.elsewhere.iter().map(ended).collect::<Result<_>>()?;
    match ended.iter().filter(|e| !**e).count() {
        0 => Ok(ExitCode::SUCCESS),
        n => Err(lock::Held(format!(
            "{n} cells are held by another process: rlx experiment status says where they stand"
        ))
        .into()),
    }
}

fn show_report(registry: &Registry, runs: &Path, args: &Report) -> Answer {
    let (spec, folder) = args.which.open(registry, runs).map_err(usage)?;
    let cells = Cells::new(registry, &spec).map_err(usage)?;
    let report = report::report(&cells, &Results::at(&folder), args.partial)?;
    let workload = Lab::of(registry).find(&spec.kind).map_err(usage)?;
    let findings = workload.findings(&cells, &Results::at(&folder))?;
    if args.json {
        let mut out = json!(report);
        if let Some(found) = findings {
            out[found.name] = found.json;
        }
        print(&format!("{out:#}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if report.finished == 0 {
        let what = if spec.quick { format!("{} --quick", args.which.spec) } else { args.which.spec.clone() };
        return Err(anyhow!("{} has no finished run: rlx experiment run {what}", folder.display()).into());
    }
    let to = args.to.clone().unwrap_or_else(|| folder.join("report"));
    let mut document = pages::document(&report);
    if let Some(found) = findings {
        // Before the first heading of the general part.
        let at = document.blocks.iter().position(|b| matches!(b, Block::Heading(..))).unwrap_or(document.blocks.len());
        document.blocks.splice(at..at, found.blocks);
    }
    document.write(&to)?;
    let lack = report.cells - report.finished;
    let missing = if lack > 0 { format!(", {} missing", thousands(lack)) } else { String::new() };
    print(&format!(
        "{} of {} runs{missing}\n{}\n{}\n",
        thousands(report.finished),
        thousands(report.cells),
        to.join("report.html").display(),
        to.join("report.md").display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The first line of a text of many, cut to what a terminal shows well.
fn first_line(text: &str) -> String {
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    let short: String = line.split("\\n").next().unwrap_or_default().chars().take(200).collect();
    if short.len() < text.len() { short + " ..." } else { short }
}

fn status(registry: &Registry, runs: &Path, which: &Which, json: bool) -> Answer {
    let (spec, folder) = which.open(registry, runs).map_err(usage)?;
    let cells = Cells::new(registry, &spec).map_err(usage)?;
    let results = Results::at(&folder);
    let records = results.records()?;
    let mut found = Vec::new();
    for cell in cells.iter() {
        let cell = cell?;
        if let Some(record) = records.get(&cell.id()) {
            let busy = record.status == Status::Started && results.lock(&cell, Duration::ZERO)?.is_none();
            found.push((cell, record, busy));
        }
    }
    if json {
        let list: Vec<_> = found.iter().map(|(_, r, _)| r).collect();
        print(&format!("{:#}\n", json!(list)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for (cell, r, busy) in &found {
        let word = match (r.status, busy) {
            (Status::Started, true) => "running".into(),
            (Status::Started, false) => "broken off".into(),
            (status, _) => format!("{status:?}").to_lowercase(),
        };
        // The whole of it is in the record.
        let why = r.error.as_ref().map_or(String::new(), |e| format!("  {}", first_line(e)));
        text += &format!(
            "{:>6}  {word:11} {} {} seed {}  {} steps, {:.0} s on {}{why}\n",
            cell.index,
            cell.task,
            cell.method,
            cell.seed,
            thousands(r.steps),
            r.elapsed_s,
            r.host
        );
    }
    text += &format!(
        "{} of {} cells begun, results in {}\n",
        thousands(found.len() as u64),
        thousands(cells.len()),
        folder.display()
    );
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

//! `rlx sweep`: searches a space by trials, each a run in a process of its own; resumable, with median pruning and its report.
//!
//! `<runs>/sweeps/<name>/` has `sweep.toml`, `trials/NNNNN.json` (see `trials`), `runs/`, `report/`, and `optuna.journal` where Optuna
//! is asked.
use crate::optuna::Optuna;
use crate::runs::busy;
use crate::search::Method;
use crate::search::Space;
use crate::spec::Table;
use crate::trials::Folder;
use crate::trials::Status;
use crate::trials::Trial;
use crate::trials::best;
use crate::trials::document;
use crate::unit::summary;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use rlx::Registry;
use rlx::say;
use rlx_plot::text::thousands;
use rlx_runs::answer::{Answer, print, printed, usage};
use rlx_runs::experiment::Experiment;
use rlx_runs::experiment::Request;
use rlx_runs::interrupt::Stop;
use rlx_runs::progress::Progress;
use rlx_runs::train::Trainer;
use serde_json::json;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// What `--example` prints.
pub const EXAMPLE: &str = include_str!("../../presets/example.sweep.toml");

/// `rlx sweep`.
#[derive(Debug, Args)]
pub struct Sweep {
    /// The sweep (TOML): base, space, search, metric, prune; see --example.
    #[arg(required_unless_present = "example")]
    file: Option<PathBuf>,
    /// Print a sweep that works, each of its keys explained: `rlx sweep --example > search.toml`.
    #[arg(long, exclusive = true)]
    example: bool,
    /// Trials side by side; by itself as many as there are cores for.
    #[arg(long, allow_negative_numbers = true, value_parser = rlx_runs::flags::count::<u64>(1..=4096))]
    jobs: Option<u64>,
    /// The folder of its results; by itself `<runs>/sweeps/<name>`.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print JSON at the end: {best, trials}; a trial: {number, keys, status, value, steps, elapsed_s, run, error}.
    #[arg(long)]
    json: bool,
    /// Show nothing but warnings and errors.
    #[arg(long, short)]
    quiet: bool,
    /// As a process of the sweep: run this trial.
    #[arg(long, hide = true)]
    trial: Option<u64>,
}

fn experiment(registry: &Registry, space: &Space, keys: &Table) -> Result<Experiment> {
    let mut request = Request { flags: vec![("seed", space.seed.to_string())], ..Request::default() };
    // Trials are many; a spec may ask for films all the same.
    request.set.push("film=false".into());
    for (key, value) in space.base.iter().chain(keys) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match key.as_str() {
            "env" => request.env = Some(text),
            "algo" => request.algo = Some(text),
            "preset" => request.preset = Some(text),
            _ => request.set.push(format!("{key}={text}")),
        }
    }
    Experiment::new(registry, &request)
}

/// Runs `rlx sweep`.
///
/// # Errors
/// With the exit code that the error is to have.
pub fn run(registry: &Registry, runs: &Path, args: &Sweep) -> Answer {
    if args.example {
        return printed(EXAMPLE);
    }
    let file = args.file.as_deref().context("the sweep is missing").map_err(usage)?;
    let shown = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("reading {shown}")).map_err(usage)?;
    let space = Space::parse(&text).with_context(|| shown.to_string()).map_err(usage)?;
    let name = file.file_stem().and_then(|n| n.to_str()).unwrap_or("sweep").to_owned();
    let path = args.out.clone().unwrap_or_else(|| runs.join("sweeps").join(&name));
    let folder = Folder { path, space: &space };
    let stop = Stop::install().context("catching Ctrl-C")?;
    if let Some(number) = args.trial {
        let done = one(registry, &folder, number, &stop)?;
        return Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(130) });
    }
    // The ends and the middle of every range are sound, or nothing is made.
    let mut threads = 1;
    for share in [0.0, 0.5, 1.0 - 1e-9] {
        let keys = space.ranges.iter().map(|(k, r)| (k.clone(), r.at(share))).collect();
        let e = experiment(registry, &space, &keys)
            .with_context(|| format!("{shown}: with {}", json!(keys)))
            .map_err(usage)?;
        if space.metric.name.starts_with("eval/") && e.run.eval_every == 0 {
            return Err(usage(anyhow!(
                "{shown}: the metric '{}' needs evaluations, and eval_every is 0",
                space.metric.name
            )));
        }
        threads = threads.max(e.run.threads);
    }
    let mut optuna = match space.method {
        Method::Optuna => Some(Optuna::start(space.sampler).with_context(|| shown.to_string())?),
        _ => None,
    };
    let _lock = folder.claim(&text).map_err(usage)?;
    if let Some(optuna) = &mut optuna {
        optuna.open(&folder, &name)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = args.jobs.map_or((cores / threads).max(1), |n| n as usize);
    if !args.quiet {
        say!(
            "{name}: {} trials, {jobs} side by side, into {}\nCtrl-C stops and saves; the same command goes on.",
            space.trials,
            folder.path.display()
        );
    }
    if let Some(caveat) = space.caveat() {
        say!("warning: {caveat}");
    }
    let mut asked = Asked { registry, folder: &folder, optuna };
    let done = search(&mut asked, args, runs, jobs, &stop)?;
    let trials = folder.trials()?;
    let best = best(&folder, &trials);
    if args.json {
        print(&format!("{:#}\n", json!({"best": best, "trials": trials})))?;
    }
    if trials.iter().any(|t| t.value.is_some()) {
        let to = folder.path.join("report");
        document(&folder, &name, &trials).write(&to)?;
        if !args.quiet {
            if let Some(b) = best {
                say!(
                    "best: trial {} with {} {}: {}",
                    b.number,
                    space.metric.name,
                    b.value.unwrap_or(f64::NAN),
                    json!(b.keys)
                );
            }
            say!("{}", to.join("report.html").display());
        }
    }
    if !done {
        return Ok(ExitCode::from(130));
    }
    if let Some(killed) = trials.iter().find(|t| t.status == Status::Started) {
        return Err(anyhow!("trial {} was killed: the same command goes on with it", killed.number).into());
    }
    match trials.iter().find(|t| t.value.is_none()) {
        Some(t) if best.is_none() => {
            let why = t.error.as_deref().unwrap_or("it has no value of the metric");
            Err(anyhow!("no trial came to a value; trial {}: {why}", t.number).into())
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// As a process of the sweep: runs a trial; false when it was stopped. The end of standard input says to stop.
fn one(registry: &Registry, folder: &Folder<'_>, number: u64, stop: &Stop) -> Result<bool> {
    let heard = stop.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        heard.ask();
    });
    let trial = folder.read(number)?.with_context(|| format!("there is no trial {number}"))?;
    // Where the sweep was killed, the trial's process of before may still be saving.
    let (path, waited) = (folder.runs().join(&trial.run), Instant::now());
    while busy(&path) && waited.elapsed() < Duration::from_secs(60) && !stop.asked() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let experiment = experiment(registry, folder.space, &trial.keys)?;
    rayon::ThreadPoolBuilder::new().num_threads(experiment.run.threads).build_global().context("starting threads")?;
    let mut progress = Progress::new(0, true);
    let trainer = if path.join("config.toml").exists() {
        Trainer::resume(registry, &folder.runs(), &trial.run, Vec::new(), &mut progress, stop)?
    } else {
        Trainer::start(registry, &folder.runs(), experiment, Some(&name(number)), &mut progress, stop)?
    };
    Ok(trainer.run()?.status == "finished")
}

fn name(number: u64) -> String {
    format!("t{number:05}")
}

struct Running {
    trial: Trial,
    child: Child,
    pruned: bool,
}

/// Who says what the next trial is, and is told how one ended.
struct Asked<'a> {
    registry: &'a Registry,
    folder: &'a Folder<'a>,
    optuna: Option<Optuna>,
}

/// True when all trials ended, false when it was asked to stop.
fn search(asked: &mut Asked<'_>, args: &Sweep, runs: &Path, jobs: usize, stop: &Stop) -> Result<bool> {
    let folder = asked.folder;
    let program = rlx_runs::program()?;
    let mut next = 0;
    let mut running: Vec<Running> = Vec::new();
    loop {
        while running.len() < jobs && !stop.asked() && next < folder.space.trials {
            let trial = match asked.begin(next)? {
                Begun::Trial(trial) => *trial,
                Begun::Ended => {
                    next += 1;
                    continue;
                }
                // What it repeats is still under way, here, or was killed and waits for the next start.
                Begun::Repeats if !running.is_empty() => break,
                Begun::Repeats => {
                    next += 1;
                    continue;
                }
                Begun::UsedUp(all) => {
                    if !args.quiet {
                        say!("the space is used up: each of its {all} configurations has had its trial");
                    }
                    next = folder.space.trials;
                    break;
                }
            };
            next += 1;
            let mut command = std::process::Command::new(&program);
            command.arg("--runs").arg(runs).arg("sweep").args(&args.file).arg("--out").arg(&folder.path);
            command
                .args(["--trial", &trial.number.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
            running.push(Running { trial, child, pruned: false });
        }
        if running.is_empty() {
            return Ok(next >= folder.space.trials && !stop.asked());
        }
        std::thread::sleep(Duration::from_millis(100));
        if stop.asked() {
            running.iter_mut().for_each(|r| drop(r.child.stdin.take()));
        }
        let mut still = Vec::new();
        for mut r in running {
            match r.child.try_wait().context("waiting for a trial")? {
                Some(_) => asked.ended(&end(folder, r, args.quiet)?)?,
                None => {
                    if !r.pruned && folder.space.prune.is_some() && hopeless(folder, &r.trial)? {
                        r.pruned = true;
                        drop(r.child.stdin.take());
                    }
                    still.push(r);
                }
            }
        }
        running = still;
    }
}

/// What there is to be done of a trial's number.
enum Begun {
    /// To be begun, or gone on with.
    Trial(Box<Trial>),
    /// It has ended.
    Ended,
    /// A trial of the same configuration has begun and not ended: its result will be this one's too.
    Repeats,
    /// There is no configuration left, of so many.
    UsedUp(u64),
}

impl Asked<'_> {
    /// The trial of that number.
    fn begin(&mut self, number: u64) -> Result<Begun> {
        let folder = self.folder;
        let known = folder.trials()?;
        match folder.read(number)? {
            Some(t) if t.status == Status::Started => return self.unless_known(t, &known),
            Some(_) => return Ok(Begun::Ended),
            None => {}
        }
        let keys = match &mut self.optuna {
            Some(optuna) => optuna.ask(folder.space, number)?,
            None => {
                // A failed trial has no value and is not under way: that it is known keeps its configuration from coming again.
                let worth = |t: &Trial| t.value.filter(|v| v.is_finite()).map(|v| folder.cost(v));
                let before: Vec<(Table, Option<f64>)> = known.iter().map(|t| (t.keys.clone(), worth(t))).collect();
                match folder.space.ask(number, &before)? {
                    Some(keys) => keys,
                    None => return Ok(Begun::UsedUp(folder.space.size().unwrap_or(number))),
                }
            }
        };
        let made = experiment(self.registry, folder.space, &keys);
        let run = made.as_ref().map_or_else(
            |_| name(number),
            |e| format!("{}-{}-{}-s{}", e.run.env, e.run.algo, name(number), folder.space.seed),
        );
        // Keys that are each sound and do not go together: one trial that failed, not the end of the search.
        let error = made.err().map(|e| format!("{e:#}"));
        let status = if error.is_none() { Status::Started } else { Status::Failed };
        let trial = Trial { number, keys, status, value: None, steps: 0, elapsed_s: 0.0, run, error };
        folder.write(&trial)?;
        if trial.status == Status::Started {
            return self.unless_known(trial, &known);
        }
        self.ended(&trial)?;
        Ok(Begun::Ended)
    }

    /// A trial that is to run, unless an earlier one has its configuration: a sampler cannot always be kept from repeating itself, and the
    /// same configuration and seed would end in the same bytes. How that one ended, pruned and failed included, is then this one's end.
    fn unless_known(&mut self, trial: Trial, known: &[Trial]) -> Result<Begun> {
        match known.iter().find(|t| t.number < trial.number && t.keys == trial.keys) {
            None => Ok(Begun::Trial(Box::new(trial))),
            Some(twin) if twin.status == Status::Started => Ok(Begun::Repeats),
            Some(twin) => {
                let same = Trial { number: trial.number, elapsed_s: 0.0, ..twin.clone() };
                self.folder.write(&same)?;
                self.ended(&same)?;
                Ok(Begun::Ended)
            }
        }
    }

    fn ended(&mut self, trial: &Trial) -> Result<()> {
        match &mut self.optuna {
            Some(optuna) if trial.status != Status::Started => optuna.tell(self.folder, trial),
            _ => Ok(()),
        }
    }
}

/// Whether a trial is worse than the median of the finished ones at its own step.
fn hopeless(folder: &Folder<'_>, trial: &Trial) -> Result<bool> {
    let Some(prune) = folder.space.prune else { return Ok(false) };
    let own = folder.curve(trial)?;
    let (Some(last), Some(step)) = (own.last, own.end(false)) else { return Ok(false) };
    if step < prune.warmup_steps as f64 {
        return Ok(false);
    }
    let mut others = Vec::new();
    for other in folder.trials()?.iter().filter(|t| t.status == Status::Finished) {
        others.extend(folder.curve(other)?.at(step, false).map(|v| folder.cost(v)));
    }
    if others.len() < prune.startup_trials.max(1) {
        return Ok(false);
    }
    others.sort_by(f64::total_cmp);
    Ok(folder.cost(last) > rlx::quantile(&others, 0.5))
}

fn end(folder: &Folder<'_>, mut r: Running, quiet: bool) -> Result<Trial> {
    let status = r.child.wait().context("waiting for a trial")?;
    let mut said = String::new();
    if let Some(mut err) = r.child.stderr.take() {
        let _ = err.read_to_string(&mut said);
    }
    let mut trial = r.trial;
    if let Some(s) = summary(&folder.runs().join(&trial.run)) {
        trial.steps = s["steps"].as_u64().unwrap_or(0);
        trial.elapsed_s = s["elapsed_s"].as_f64().unwrap_or(0.0);
    }
    trial.value = folder.curve(&trial)?.reduced(&folder.space.metric);
    match status.code() {
        Some(0) => trial.status = Status::Finished,
        Some(130) if r.pruned => trial.status = Status::Pruned,
        // Stopped with the sweep: it goes on with it.
        Some(130) => trial.value = None,
        // A kill is no failure of the trial's: it goes on from its checkpoint when the sweep is started again.
        None => trial.value = None,
        _ => {
            trial.status = Status::Failed;
            trial.error =
                Some(said.lines().last().unwrap_or("it ended without a word").trim_start_matches("error: ").to_owned());
        }
    }
    folder.write(&trial)?;
    let word = match (trial.status, status.code()) {
        (Status::Started, None) => "was killed; the same command goes on with it".into(),
        (Status::Started, _) => "stopped".into(),
        (status, _) => format!("{status:?}").to_lowercase(),
    };
    if !quiet || trial.status == Status::Failed {
        let value = trial.value.map_or(String::new(), |v| format!(" {}: {v:.4}", folder.space.metric.name));
        let why = trial.error.as_ref().map_or(String::new(), |e| format!(" ({e})"));
        say!("trial {} {word}{why}{value}, {} steps  {}", trial.number, thousands(trial.steps), json!(trial.keys));
    }
    Ok(trial)
}

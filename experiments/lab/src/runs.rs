//! `rlx runs`: what there is in the folder of runs, compared, and pruned; and TensorBoard on it.
use crate::unit::summary;
use crate::workload::Lab;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use rlx::Registry;
use rlx::{refuse, say};
use rlx_plot::text::thousands;
use rlx_runs::answer::{Answer, print};
use rlx_runs::run_dir::RunDir;
use serde::Serialize;
use serde_json::json;
use std::{
    fs,
    io::{BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// What `rlx runs` does.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, the newest last.
    List {
        /// Which of them.
        #[command(flatten)]
        filter: Filter,
        /// Print JSON: [{run, env, algo, seed, status, steps, return, eval, elapsed_s, bytes, modified}].
        #[arg(long)]
        json: bool,
    },
    /// What runs differ in, and how they ended.
    Compare {
        /// Runs: their folders or names.
        #[arg(required = true, num_args = 2.., value_name = "RUN")]
        names: Vec<String>,
        /// Print JSON: {differ: {key: [value of each run]}, runs: [as of list]}.
        #[arg(long)]
        json: bool,
    },
    /// Remove runs for good. Nothing is removed without --yes, or a yes on the terminal; runs that are being written to never are.
    Prune {
        /// Which of them; at least one of these must be given.
        #[command(flatten)]
        filter: Filter,
        /// Remove them without asking.
        #[arg(long)]
        yes: bool,
    },
}

/// Which runs.
#[derive(Debug, Args)]
pub struct Filter {
    /// Runs whose name has this in it.
    name: Option<String>,
    /// Of this world.
    #[arg(long)]
    env: Option<String>,
    /// Of this algorithm.
    #[arg(long)]
    algo: Option<String>,
    /// Of this status.
    #[arg(long, value_parser = ["finished", "interrupted", "failed", "running", "broken"])]
    status: Option<String>,
    /// Not written to for this long: 12h, 30d.
    #[arg(long, value_name = "TIME")]
    older: Option<String>,
}

/// A run in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its name.
    pub run: String,
    /// Its world.
    pub env: String,
    /// Its algorithm.
    pub algo: String,
    /// Its seed.
    pub seed: u64,
    /// `finished`, `interrupted`, `failed`, `running`, or `broken` (killed).
    pub status: String,
    /// Environment steps.
    pub steps: u64,
    /// Mean return of the last episodes.
    #[serde(rename = "return")]
    pub value: Option<f64>,
    /// Mean of the last evaluation.
    pub eval: Option<f64>,
    /// Seconds of training.
    pub elapsed_s: f64,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was last written to, RFC 3339.
    pub modified: String,
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    age: Duration,
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |e: fs::DirEntry| match e.metadata() {
        Ok(m) if m.is_dir() => size(&e.path()),
        Ok(m) => m.len(),
        Err(_) => 0,
    };
    entries.map(of).sum()
}

/// Whether another process writes to it.
pub(super) fn busy(path: &Path) -> bool {
    let lock = fs::File::options().write(true).open(path.join(".lock"));
    lock.is_ok_and(|f| matches!(f.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

fn entry(path: PathBuf) -> Result<Entry> {
    let text = fs::read_to_string(path.join("config.toml")).with_context(|| format!("reading {}", path.display()))?;
    let config: toml::Table = toml::from_str(&text).with_context(|| format!("{}/config.toml", path.display()))?;
    let of_run = |key: &str| config.get("run").and_then(|r| r.get(key));
    let word = |key: &str| of_run(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let summary = summary(&path);
    let get = |key: &str| summary.as_ref().and_then(|s| s.get(key));
    let ended = get("status").and_then(|s| s.as_str()).map(str::to_owned);
    let status = if busy(&path) { "running".into() } else { ended.unwrap_or_else(|| "broken".into()) };
    let files = ["summary.json", rlx_runs::metrics::NAME, "config.toml"];
    let times = files.iter().filter_map(|f| path.join(f).metadata().ok()?.modified().ok());
    let modified = times.max().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(Entry {
        run: path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
        env: word("env"),
        algo: word("algo"),
        seed: of_run("seed").and_then(toml::Value::as_integer).unwrap_or(0) as u64,
        status,
        steps: get("steps").and_then(serde_json::Value::as_u64).unwrap_or(0),
        value: get("episodic_return").and_then(serde_json::Value::as_f64),
        eval: get("eval").and_then(|e| e.get("return")?.get("mean")?.as_f64()),
        elapsed_s: get("elapsed_s").and_then(serde_json::Value::as_f64).unwrap_or(0.0),
        bytes: size(&path),
        modified: humantime::format_rfc3339_seconds(modified).to_string(),
        age: SystemTime::now().duration_since(modified).unwrap_or_default(),
        path,
    })
}

impl Filter {
    fn given(&self) -> bool {
        [&self.name, &self.env, &self.algo, &self.status, &self.older].iter().any(|f| f.is_some())
    }

    fn older(&self) -> Result<Duration> {
        let Some(text) = &self.older else { return Ok(Duration::ZERO) };
        humantime::parse_duration(text)
            .map_err(|e| rlx::Error::usage(format!("--older {text}: it must be like 12h or 30d: {e}")).into())
    }

    /// The runs that it lets through, the oldest first. A folder without a config is no run and is passed over.
    fn runs(&self, folder: &Path) -> Result<Vec<Entry>> {
        let older = self.older()?;
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e).with_context(|| format!("reading {}", folder.display())),
        };
        let mut out = Vec::new();
        for path in entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.join("config.toml").is_file()) {
            let e = entry(path)?;
            let is = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|w| w == has);
            let named = self.name.as_ref().is_none_or(|n| e.run.contains(n.as_str()));
            if named
                && is(&self.env, &e.env)
                && is(&self.algo, &e.algo)
                && is(&self.status, &e.status)
                && e.age >= older
            {
                out.push(e);
            }
        }
        out.sort_by(|a, b| b.age.cmp(&a.age).then(a.run.cmp(&b.run)));
        Ok(out)
    }
}

fn mebi(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn table(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let width = entries.iter().map(|e| e.run.len()).max().unwrap_or(0).max(3);
    let number = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.2}"));
    let row = |cells: [&str; 8]| {
        let [run, status, steps, value, eval, time, size, date] = cells;
        format!("{run:width$}  {status:11} {steps:>12} {value:>10} {eval:>10} {time:>9}  {size:>10}  {date}\n")
    };
    let line = |e: &Entry| {
        row([
            &e.run,
            &e.status,
            &thousands(e.steps),
            &number(e.value),
            &number(e.eval),
            &format!("{:.0} s", e.elapsed_s),
            &mebi(e.bytes),
            &e.modified[..10.min(e.modified.len())],
        ])
    };
    let head = row(["run", "status", "steps", "return", "eval", "time", "size", "written"]);
    std::iter::once(head).chain(entries.iter().map(line)).collect()
}

/// Keys in which configs differ, each with the value of every run.
fn differ(
    registry: &Registry,
    folder: &Path,
    names: &[String],
) -> Result<(serde_json::Map<String, serde_json::Value>, Vec<Entry>)> {
    let (mut tables, mut entries) = (Vec::new(), Vec::new());
    for name in names {
        let dir = RunDir::open(folder, name)?;
        let job = Lab::read(registry, &dir.config()?).with_context(|| dir.path().display().to_string())?;
        let mut all = serde_json::Map::new();
        for (part, table) in job.choices() {
            all.extend(table.into_iter().map(|(k, v)| (format!("{part}.{k}"), v)));
        }
        tables.push(all);
        entries.push(entry(dir.path().to_owned())?);
    }
    let mut out = serde_json::Map::new();
    for key in tables.iter().flat_map(|t| t.keys()) {
        let values: Vec<serde_json::Value> = tables.iter().map(|t| t.get(key).cloned().unwrap_or_default()).collect();
        if values.windows(2).any(|w| w[0] != w[1]) {
            out.insert(key.clone(), values.into());
        }
    }
    Ok((out, entries))
}

fn prune(folder: &Path, filter: &Filter, yes: bool) -> Result<()> {
    if !filter.given() {
        refuse!("prune needs to be told which runs: a part of their name, --env, --algo, --status or --older");
    }
    let mut doomed = filter.runs(folder)?;
    doomed.retain(|e| e.status != "running");
    if doomed.is_empty() {
        say!("no such run");
        return Ok(());
    }
    let bytes = mebi(doomed.iter().map(|e| e.bytes).sum());
    eprint!("{}", table(&doomed));
    if !yes {
        if !std::io::stdin().is_terminal() {
            bail!("{} runs of {bytes} would be removed for good: --yes removes them", doomed.len());
        }
        eprint!("remove these {} runs ({bytes}) for good? [y/N] ", doomed.len());
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "yes") {
            say!("nothing was removed");
            return Ok(());
        }
    }
    for e in &doomed {
        // Asked again now: it may have been taken up meanwhile.
        let run = RunDir::open_to_write(folder, &e.path.display().to_string(), std::time::Duration::ZERO)?;
        fs::remove_dir_all(run.path()).with_context(|| format!("removing {}", run.path().display()))?;
    }
    say!("{} runs removed, {bytes}", doomed.len());
    Ok(())
}

/// Runs `rlx runs`.
///
/// # Errors
/// With the exit code that the error is to have.
pub fn run(registry: &Registry, folder: &Path, command: &Runs) -> Answer {
    match command {
        Runs::List { filter, json } => {
            let entries = filter.runs(folder)?;
            let text = if *json { format!("{:#}\n", json!(entries)) } else { table(&entries) };
            print(&text)?;
        }
        Runs::Compare { names, json } => {
            let (differ, entries) = differ(registry, folder, names)?;
            if *json {
                print(&format!("{:#}\n", json!({"differ": differ, "runs": entries})))?;
            } else {
                let mut text = table(&entries);
                if differ.is_empty() {
                    text += "their configs are the same\n";
                }
                for (key, values) in &differ {
                    let values: Vec<String> = values.as_array().into_iter().flatten().map(|v| v.to_string()).collect();
                    text += &format!("{key:28} {}\n", values.join("  |  "));
                }
                print(&text)?;
            }
        }
        Runs::Prune { filter, yes } => {
            prune(folder, filter, *yes)?;
        }
    }
    Ok(std::process::ExitCode::SUCCESS)
}

/// Starts TensorBoard on the folder of runs, or on some of them; this process becomes it.
///
/// # Errors
/// When a run is not there, or TensorBoard is not.
pub fn tensorboard(folder: &Path, runs: &[String], extra: &[String]) -> Result<std::convert::Infallible> {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new("tensorboard");
    match runs {
        [] if folder.is_dir() => command.arg("--logdir").arg(folder),
        [] => refuse!("there is no folder {}: nothing was trained yet", folder.display()),
        runs => {
            let mut spec = Vec::new();
            for run in runs {
                let dir = RunDir::open(folder, run)?;
                spec.push(format!("{}:{}", dir.name(), dir.path().display()));
            }
            command.arg("--logdir_spec").arg(spec.join(","))
        }
    };
    let error = command.args(extra).exec();
    if error.kind() == std::io::ErrorKind::NotFound {
        bail!(
            "tensorboard is not on the PATH: pip install tensorboard 'setuptools<81' gets it (python3 -m venv makes a place for it)"
        );
    }
    Err(anyhow!(error).context("starting tensorboard"))
}

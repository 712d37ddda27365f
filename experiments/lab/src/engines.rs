//! Engines of others: each is told to run `rlx experiment run SPEC --index N` for the cells that are left, and nothing else. What they
//! do in queueing, placing and retrying stays theirs.
//!
//! What is stored where: an engine's nodes write into the experiment's folder, which must be the same for all of them (a shared file
//! system). Where there is none, each node gets `--out` on its own disk and cells of its own; the folders are then joined by copying
//! them over each other, since no two cells share a file (see `results`). Locks hold on one machine, and on file systems whose locks
//! reach across machines; the engine hands each cell to one node.
use crate::{
    call::{call, on_path},
    cells::Cells,
    results::{Record, Results, Status},
    time_limit::{NOTICE_S, too_short},
};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rlx::say;
use rlx_plot::text::quoted;
use rlx_runs::interrupt::Stop;
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// What runs the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A pool of workers on this machine.
    Local,
    /// An array of Slurm (sbatch). Its notice comes two minutes before the time limit, which must be longer than that.
    Slurm,
    /// A job of HyperQueue with a task for each cell; its server and workers run already. By hq, or by Python's package where hq is not there. A
    /// task that is cancelled has 1 s to save.
    Hyperqueue,
    /// GNU parallel, here or on machines given by its --sshlogin.
    Parallel,
    /// A job of Ray with a task for each cell (ray job submit). A job that is stopped is killed after 3 s.
    Ray,
}

impl Engine {
    /// What a person who chooses it should know of how it stops a run.
    fn notice(self) -> &'static str {
        match self {
            Self::Local => "",
            Self::Slurm => {
                "Slurm's notice comes two minutes before the time limit, on which a run saves and stops: the limit must be longer than that"
            }
            Self::Hyperqueue => {
                "hq job cancel and --time-limit leave a run 1 s to save: what is not saved by then is learnt again from the last checkpoint"
            }
            Self::Parallel => "parallel leaves a run 60 s to save",
            Self::Ray => {
                "ray job stop kills a job after 3 s; its runs are told to save at once, and may take longer unless their machine goes too"
            }
        }
    }
}

/// What is to be submitted.
pub struct Order<'a> {
    /// The cells.
    pub cells: &'a Cells<'a>,
    /// The folder of the results.
    pub results: &'a Results,
    /// The program and its arguments up to `--index`.
    pub unit: Vec<String>,
    /// Threads of a run.
    pub threads: usize,
    /// Runs side by side at most; None for as many as the engine finds room for.
    pub jobs: Option<u64>,
    /// Whether failed cells are run again.
    pub retry_failed: bool,
    /// What the person gives the engine.
    pub extra: Vec<String>,
}

/// Files to write and commands to run.
#[derive(Debug, Default)]
struct Submission {
    script: Option<(PathBuf, String)>,
    commands: Vec<Vec<String>>,
}

/// The largest index of an array, and not its length, is limited: to 1000 by default (Slurm 22.05.8). Tasks take several cells where there
/// are more.
const ARRAY: u64 = 1000;
/// Tasks that Ray is handed at once, so that no grid is too large for its driver.
const RAY: u64 = 10_000;

fn line(words: &[String]) -> String {
    words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ")
}

/// A word of an `#SBATCH` line: there a backslash escapes inside of quotes too.
fn directive(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
}

/// A text of Python.
fn python_text(text: &str) -> Result<String> {
    serde_json::to_string(text).context("a path as text") // JSON's texts are Python's
}

impl Order<'_> {
    /// What stands before a cell's number in the list. GNU parallel is given whole commands: in a command of its own it would take `{}` and
    /// the like in a path for what it has to fill in.
    fn line_of(&self, engine: Engine) -> Result<String> {
        Ok(match engine {
            Engine::Parallel => format!("cd {} && exec {} ", quoted(&here()?), line(&self.unit)),
            _ => String::new(),
        })
    }

    /// The numbers of the cells that are left, one a line, into a file of their own. How many there are.
    fn left(&self, engine: Engine, list: Option<&Path>) -> Result<u64> {
        let records = self.results.records()?;
        let mut out = match list {
            Some(path) => {
                Some(BufWriter::new(File::create_new(path).with_context(|| format!("making {}", path.display()))?))
            }
            None => None,
        };
        let (mut count, line) = (0, self.line_of(engine)?);
        for cell in self.cells.iter() {
            let cell = cell?;
            if self.is_left(records.get(&cell.id())) {
                count += 1;
                if let Some(out) = &mut out {
                    writeln!(out, "{line}{}", cell.index).context("writing the list of cells")?;
                }
            }
        }
        out.map_or(Ok(()), |mut out| out.flush()).context("writing the list of cells")?;
        Ok(count)
    }

    fn submission(&self, engine: Engine, list: &Path, count: u64) -> Result<Submission> {
        match engine {
            Engine::Local => bail!("the local pool needs no submission"),
            Engine::Slurm => self.slurm(list, count),
            Engine::Hyperqueue if self.jobs.is_some() => {
                bail!(
                    "--jobs: HyperQueue has no such limit; as many cells run side by side as its workers have cores for"
                )
            }
            Engine::Hyperqueue if on_path("hq").is_some() => self.hyperqueue(list),
            Engine::Hyperqueue => self.hyperqueue_by_python(list),
            Engine::Parallel => Ok(self.parallel(list)),
            Engine::Ray => self.ray(list),
        }
    }

    fn name(&self) -> String {
        format!("rlx-{}{}", self.cells.spec.name, if self.cells.spec.quick { "-quick" } else { "" })
    }

    /// An array whose task T takes the lines T * each + 1 and on of the list. A time limit comes as SIGTERM two minutes ahead, on which
    /// a run saves; submitting again goes on.
    fn slurm(&self, list: &Path, count: u64) -> Result<Submission> {
        let each = count.div_ceil(ARRAY);
        let tasks = count.div_ceil(each);
        let most = self.jobs.map_or(String::new(), |n| format!("%{n}"));
        let folder = list.parent().context("the list is in a folder")?.display().to_string();
        if folder.contains('\\') {
            bail!(
                "{folder}: Slurm cannot keep a log in a folder whose path has a backslash; choose another one by --out"
            );
        }
        let script = format!(
            "#!/bin/sh\n\
             #SBATCH --job-name={name}\n\
             #SBATCH --array=0-{last}{most}\n\
             #SBATCH --cpus-per-task={threads}\n\
             #SBATCH --output={log}\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --signal=B:TERM@{notice}\n\
             # Cells {each} at a time; each is skipped when it is finished and goes on when it was broken off.\n\
             # The shell must outlive every notice: Slurm takes the job for ended with it.\n\
             trap 'stop=1; kill -TERM \"$run\" 2>/dev/null' TERM INT HUP USR1 USR2 XCPU\n\
             first=$((SLURM_ARRAY_TASK_ID * {each} + 1)); last=$((first + {each} - 1)); worst=0\n\
             for cell in $(sed -n \"${{first}},${{last}}p\" {list}); do\n\
             \x20   [ -z \"$stop\" ] || exit 130\n\
             \x20   {unit} \"$cell\" &\n\
             \x20   run=$!\n\
             \x20   [ -z \"$stop\" ] || kill -TERM \"$run\"\n\
             \x20   wait \"$run\"; code=$?\n\
             \x20   # A signal ends a wait before the run has saved, and several may come.\n\
             \x20   while kill -0 \"$run\" 2>/dev/null; do wait \"$run\"; code=$?; done\n\
             \x20   [ -z \"$stop\" ] || exit 130\n\
             \x20   [ \"$code\" -eq 0 ] || worst=$code\n\
             done\n\
             exit \"$worst\"\n",
            name = self.name(),
            last = tasks.max(1) - 1,
            threads = self.threads,
            log = directive(&format!("{}/slurm-%A_%a.log", folder.replace('%', "%%"))),
            notice = NOTICE_S,
            list = quoted(&list.display().to_string()),
            unit = line(&self.unit),
        );
        let path = list.with_extension("sbatch");
        let mut command = vec!["sbatch".to_owned()];
        command.extend(self.extra.clone());
        command.push(path.display().to_string());
        Ok(Submission { script: Some((path, script)), commands: vec![command] })
    }

    /// A task array with a task for each line of the list.
    fn hyperqueue(&self, list: &Path) -> Result<Submission> {
        let logs = list.with_extension("hq");
        if logs.display().to_string().contains("%{") {
            bail!(
                "{}: HyperQueue takes %{{ in a path for a placeholder; choose another folder by --out",
                logs.display()
            );
        }
        let mut command: Vec<String> = ["hq", "submit", "--name"].map(String::from).to_vec();
        command.extend([self.name(), "--each-line".into(), list.display().to_string()]);
        command.extend(["--cpus".into(), self.threads.to_string()]);
        command.extend([
            "--stdout".into(),
            "none".into(),
            "--stderr".into(),
            format!("{}/%{{TASK_ID}}.err", logs.display()),
        ]);
        command.extend(self.extra.clone());
        command.extend(["--".into(), "sh".into(), "-c".into(), format!("exec {} \"$HQ_ENTRY\"", line(&self.unit))]);
        Ok(Submission { script: None, commands: vec![command] })
    }

    /// The same by HyperQueue's package on PyPI, which has no hq in it. HQ_SERVER_DIR says which server.
    fn hyperqueue_by_python(&self, list: &Path) -> Result<Submission> {
        if !self.extra.is_empty() {
            bail!("arguments for hq need hq on the PATH: only Python's package was looked for instead");
        }
        let words: Vec<String> = self.unit.iter().map(|w| python_text(w)).collect::<Result<_>>()?;
        let script = format!(
            "import os\n\
             from hyperqueue import Client, Job\n\
             from hyperqueue.ffi.protocol import ResourceRequest\n\
             # A failed cell has its record and stops no other.\n\
             job = Job(max_fails=None, name={name})\n\
             for cell in open({list}).read().split():\n\
             \x20   job.program([{words}, cell], cwd={folder}, stdout=None, stderr=None, resources=ResourceRequest(cpus={threads}))\n\
             print('HyperQueue job', Client(os.environ.get('HQ_SERVER_DIR')).submit(job).id)\n",
            name = python_text(&self.name())?,
            list = python_text(&list.display().to_string())?,
            words = words.join(", "),
            folder = python_text(&here()?)?,
            threads = self.threads,
        );
        let path = list.with_extension("hq.py");
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let command = vec![python, path.display().to_string()];
        Ok(Submission { script: Some((path, script)), commands: vec![command] })
    }

    fn parallel(&self, list: &Path) -> Submission {
        let mut command: Vec<String> =
            ["parallel", "--will-cite", "--line-buffer", "--joblog"].map(String::from).to_vec();
        command.push(list.with_extension("joblog").display().to_string());
        // SIGTERM lets a run save; a minute later it is killed.
        command.extend(["--termseq".into(), "TERM,60000,KILL,25".into()]);
        if let Some(jobs) = self.jobs {
            command.extend(["--jobs".into(), jobs.to_string()]);
        }
        command.extend(self.extra.clone());
        command.extend(["::::".into(), list.display().to_string()]);
        Submission { script: None, commands: vec![command] }
    }

    /// A job whose driver starts the tasks. Its Python is that of the `ray` which is called: a cluster's nodes share it as they share rlx.
    fn ray(&self, list: &Path) -> Result<Submission> {
        let words: Vec<String> = self.unit.iter().map(|w| python_text(w)).collect::<Result<_>>()?;
        let script = format!(
            "UNIT = [{}]\nFOLDER = {}\nLIST = {}\nTHREADS = {}\nMOST = {}\n\n{}",
            words.join(", "),
            python_text(&here()?)?,
            python_text(&list.display().to_string())?,
            self.threads,
            self.jobs.unwrap_or(RAY),
            include_str!("ray.py")
        );
        let path = list.with_extension("ray.py");
        let beside = on_path("ray").map(|p| p.with_file_name("python3")).filter(|p| p.exists());
        let python = beside.map_or_else(|| "python3".to_owned(), |p| p.display().to_string());
        let mut command: Vec<String> = ["ray", "job", "submit"].map(String::from).to_vec();
        let (waits, extra): (Vec<String>, Vec<String>) = self.extra.iter().cloned().partition(|w| w == "--wait");
        if waits.is_empty() {
            command.push("--no-wait".into());
        }
        command.extend(extra);
        command.extend(["--".into(), python, path.display().to_string()]);
        Ok(Submission { script: Some((path, script)), commands: vec![command] })
    }

    /// Finished, and failed, of the cells that were left before.
    fn since(&self, before: &HashMap<String, Record>) -> Result<(u64, u64)> {
        let (now, mut finished, mut failed) = (self.results.records()?, 0, 0);
        for cell in self.cells.iter() {
            let id = cell?.id();
            if self.is_left(before.get(&id)) {
                match now.get(&id).map(|r| r.status) {
                    Some(Status::Finished) => finished += 1,
                    Some(Status::Failed) => failed += 1,
                    _ => {}
                }
            }
        }
        Ok((finished, failed))
    }

    fn is_left(&self, record: Option<&Record>) -> bool {
        !record.is_some_and(|r| match r.status {
            Status::Finished => true,
            Status::Failed => !self.retry_failed,
            Status::Started | Status::Interrupted => false,
        })
    }
}

/// Where relative paths in a spec start; engines start cells elsewhere.
fn here() -> Result<String> {
    Ok(std::env::current_dir().context("finding this folder")?.display().to_string())
}

/// Submits what is left; with `dry_run` only says what it would write and run. What was said.
///
/// # Errors
/// When the engine is not there or refuses; when it was waited for and cells have no record of their end.
pub fn submit(order: &Order<'_>, engine: Engine, dry_run: bool, stop: &Stop) -> Result<String> {
    let folder = order.results.path().join("submitted");
    if let Some(path) = [folder.display().to_string(), here()?].iter().find(|p| p.contains(['\n', '\r'])) {
        bail!("{path:?} has a line break in it, which no engine takes");
    }
    let free = (1..).map(|n| folder.join(format!("{n}.cells"))).find(|p| !p.exists()).expect("some number is free");
    let count = order.left(engine, None)?;
    if count == 0 {
        return Ok("nothing is left to run\n".into());
    }
    if engine == Engine::Slurm
        && let Some(short) = too_short(&order.extra, std::env::var("SBATCH_TIMELIMIT").ok().as_deref())
    {
        say!("warning: {short}");
    }
    if dry_run {
        let s = order.submission(engine, &free, count)?;
        let before = order.line_of(engine)?;
        let what = if before.is_empty() { "the numbers of".into() } else { format!("'{before}N' for each N of") };
        let mut text = format!("# {} would have {what} {count} cells, one a line\n", free.display());
        if let Some((path, script)) = &s.script {
            text += &format!("# {}:\n{script}", path.display());
        }
        s.commands.iter().for_each(|c| text += &format!("{}\n", line(c)));
        return Ok(text + &format!("# {}\n", engine.notice()));
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let before = order.results.records()?;
    order.left(engine, Some(&free))?;
    let s = order.submission(engine, &free, count)?;
    if let Some((path, script)) = &s.script {
        fs::write(path, script).with_context(|| format!("writing {}", path.display()))?;
    }
    let waits = engine == Engine::Parallel || order.extra.iter().any(|w| w == "--wait" || w == "-W");
    for command in &s.commands {
        let status = call(command, stop)?;
        // Exit codes of those that wait say little (parallel: 0 after SIGHUP with cells not run; hq submit --wait: 0 with failed ones).
        if !status.success() && !waits {
            bail!("{}: {status}", line(command));
        }
        if !status.success() {
            say!("warning: {}: {status}", command[0]);
        }
    }
    if !waits {
        return Ok(format!(
            "{count} cells submitted; rlx experiment status says where they stand\n{}\n",
            engine.notice()
        ));
    }
    let (finished, failed) = order.since(&before)?;
    let text = format!(
        "{finished} of {count} cells finished, {failed} failed, {} were not run to their end",
        count - finished - failed
    );
    if stop.asked() {
        return Err(anyhow::Error::from(rlx::Error::Interrupted).context(text));
    }
    if finished < count {
        bail!(
            "{text}: rlx experiment status says which; the same command goes on, and --retry-failed tries failed ones again"
        );
    }
    Ok(format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(line(&["a".into(), "b c".into(), "it's".into(), String::new()]), r"a 'b c' 'it'\''s' ''");
    }

    #[test]
    fn c3_words_are_quoted_for_sbatch() {
        assert_eq!(directive("/a b/1%%/#\"'"), "\"/a b/1%%/#\\\"'\"");
    }
}

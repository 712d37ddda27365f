//! Engines of others: each is told to run `rlx experiment run SPEC --index N` for the cells that are left, and nothing else. What they
//! do in queueing, placing and retrying stays theirs.
//!
//! What is stored where: an engine's nodes write into the experiment's folder, which must be the same for all of them (a shared file
//! system). Where there is none, each node gets `--out` on its own disk and cells of its own; the folders are then joined by copying
//! them over each other, since no two cells share a file (see `results`). Locks hold on one machine, and on file systems whose locks
//! reach across machines; the engine hands each cell to one node.
use super::{
    cells::Cells,
    results::{Results, Status},
};
use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// What runs the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A pool of workers on this machine.
    Local,
    /// An array of Slurm (sbatch).
    Slurm,
    /// A job of HyperQueue with a task for each cell; its server and workers run already. By hq, or by Python's package where hq is not there.
    Hyperqueue,
    /// GNU parallel, here or on machines given by its --sshlogin.
    Parallel,
    /// A job of Ray for each cell (ray job submit).
    Ray,
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

/// Slurm's own limit of an array is 1001 by itself; tasks take several cells where there are more.
const ARRAY: u64 = 1000;
/// Ray starts a process that watches each job: more of them are no good.
const RAY: u64 = 1000;

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn line(words: &[String]) -> String {
    words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ")
}

impl Order<'_> {
    /// The numbers of the cells that are left, one a line, into a file of their own. How many there are.
    fn left(&self, list: Option<&Path>) -> Result<u64> {
        let records = self.results.records()?;
        let mut out = match list {
            Some(path) => {
                Some(BufWriter::new(File::create_new(path).with_context(|| format!("making {}", path.display()))?))
            }
            None => None,
        };
        let mut count = 0;
        for cell in self.cells.iter() {
            let cell = cell?;
            let done = records.get(&cell.id()).is_some_and(|r| match r.status {
                Status::Finished => true,
                Status::Failed => !self.retry_failed,
                Status::Started | Status::Interrupted => false,
            });
            if !done {
                count += 1;
                if let Some(out) = &mut out {
                    writeln!(out, "{}", cell.index).context("writing the list of cells")?;
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
            Engine::Hyperqueue if on_path("hq") => Ok(self.hyperqueue(list)),
            Engine::Hyperqueue => self.hyperqueue_by_python(list),
            Engine::Parallel => Ok(self.parallel(list)),
            Engine::Ray => self.ray(list, count),
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
        let folder = list.parent().context("the list is in a folder")?;
        let script = format!(
            "#!/bin/sh\n\
             #SBATCH --job-name={name}\n\
             #SBATCH --array=0-{last}{most}\n\
             #SBATCH --cpus-per-task={threads}\n\
             #SBATCH --output={log}\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --signal=B:TERM@120\n\
             # Cells {each} at a time; each is skipped when it is finished and goes on when it was broken off.\n\
             trap 'stop=1; kill -TERM \"$run\" 2>/dev/null' TERM\n\
             first=$((SLURM_ARRAY_TASK_ID * {each} + 1)); last=$((first + {each} - 1)); worst=0\n\
             for cell in $(sed -n \"${{first}},${{last}}p\" {list}); do\n\
             \x20   {unit} \"$cell\" &\n\
             \x20   run=$!\n\
             \x20   wait \"$run\"; code=$?\n\
             \x20   # A signal ends the first wait before the run has saved.\n\
             \x20   [ -z \"$stop\" ] || {{ wait \"$run\"; exit 130; }}\n\
             \x20   [ \"$code\" -eq 0 ] || worst=$code\n\
             done\n\
             exit \"$worst\"\n",
            name = self.name(),
            last = tasks.max(1) - 1,
            threads = self.threads,
            log = folder.join("slurm-%A_%a.log").display(),
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
    fn hyperqueue(&self, list: &Path) -> Submission {
        let logs = list.with_extension("hq");
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
        Submission { script: None, commands: vec![command] }
    }

    /// The same by HyperQueue's package on PyPI, which has no hq in it. HQ_SERVER_DIR says which server.
    fn hyperqueue_by_python(&self, list: &Path) -> Result<Submission> {
        if !self.extra.is_empty() {
            bail!("arguments for hq need hq on the PATH: only Python's package was looked for instead");
        }
        let text = |s: &str| serde_json::to_string(s).context("a path as text"); // JSON's texts are Python's
        let words: Vec<String> = self.unit.iter().map(|w| text(w)).collect::<Result<_>>()?;
        let script = format!(
            "import os\n\
             from hyperqueue import Client, Job\n\
             from hyperqueue.ffi.protocol import ResourceRequest\n\
             # A failed cell has its record and stops no other.\n\
             job = Job(max_fails=None, name={name})\n\
             for cell in open({list}).read().split():\n\
             \x20   job.program([{words}, cell], cwd={folder}, stdout=None, stderr=None, resources=ResourceRequest(cpus={threads}))\n\
             print('HyperQueue job', Client(os.environ.get('HQ_SERVER_DIR')).submit(job).id)\n",
            name = text(&self.name())?,
            list = text(&list.display().to_string())?,
            words = words.join(", "),
            folder = text(&self.results.path().display().to_string())?,
            threads = self.threads,
        );
        let path = list.with_extension("hq.py");
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let command = vec![python, path.display().to_string()];
        Ok(Submission { script: Some((path, script)), commands: vec![command] })
    }

    fn parallel(&self, list: &Path) -> Submission {
        let mut command: Vec<String> =
            ["parallel", "--will-cite", "--quote", "--line-buffer", "--joblog"].map(String::from).to_vec();
        command.push(list.with_extension("joblog").display().to_string());
        // SIGTERM lets a run save; a minute later it is killed.
        command.extend(["--termseq".into(), "TERM,60000,KILL,25".into()]);
        if let Some(jobs) = self.jobs {
            command.extend(["--jobs".into(), jobs.to_string()]);
        }
        command.extend(self.extra.clone());
        command.extend(self.unit.clone());
        command.extend(["{}".into(), "::::".into(), list.display().to_string()]);
        Submission { script: None, commands: vec![command] }
    }

    fn ray(&self, list: &Path, count: u64) -> Result<Submission> {
        if count > RAY {
            bail!(
                "{count} cells are too many for Ray, which watches each job by a process of its own: slurm and hyperqueue take them"
            );
        }
        let cells: Vec<String> = match fs::read_to_string(list) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(_) => vec!["N".into()], // a dry run writes no list
        };
        let job = |cell: String| {
            let mut command: Vec<String> =
                ["ray", "job", "submit", "--no-wait", "--entrypoint-num-cpus"].map(String::from).to_vec();
            command.push(self.threads.to_string());
            command.extend(self.extra.clone());
            command.push("--".into());
            command.extend(self.unit.clone());
            command.push(cell);
            command
        };
        Ok(Submission { script: None, commands: cells.into_iter().map(job).collect() })
    }
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn missing(program: &str) -> &'static str {
    match program {
        "sbatch" => "Debian's package slurm-wlm has it",
        "hq" => "HyperQueue's releases have it",
        p if p.contains("python") => "HyperQueue is submitted to by hq, or by Python with the package hyperqueue",
        "parallel" => "Debian's package parallel has it",
        _ => "pip install 'ray[default]' has it",
    }
}

/// Submits what is left; with `dry_run` only says what it would write and run. What was said.
///
/// # Errors
/// When the engine is not there or refuses.
pub fn submit(order: &Order<'_>, engine: Engine, dry_run: bool) -> Result<String> {
    let folder = order.results.path().join("submitted");
    let free = (1..).map(|n| folder.join(format!("{n}.cells"))).find(|p| !p.exists()).expect("some number is free");
    let count = order.left(None)?;
    if count == 0 {
        return Ok("nothing is left to run\n".into());
    }
    if dry_run {
        let s = order.submission(engine, &free, count)?;
        let mut text = format!("# {} would have the numbers of {count} cells, one a line\n", free.display());
        if let Some((path, script)) = &s.script {
            text += &format!("# {}:\n{script}", path.display());
        }
        s.commands.iter().for_each(|c| text += &format!("{}\n", line(c)));
        return Ok(text);
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    order.left(Some(&free))?;
    let s = order.submission(engine, &free, count)?;
    if let Some((path, script)) = &s.script {
        fs::write(path, script).with_context(|| format!("writing {}", path.display()))?;
    }
    for command in &s.commands {
        let status = match Command::new(&command[0]).args(&command[1..]).status() {
            Ok(status) => status,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                bail!("{} is not on the PATH: {}", command[0], missing(&command[0]))
            }
            Err(e) => return Err(anyhow!(e).context(format!("starting {}", command[0]))),
        };
        // parallel answers with the number of failed jobs, of which each has its record.
        if !status.success() && engine == Engine::Parallel {
            return Err(anyhow!("parallel: {status}; rlx experiment status says which cells failed"));
        }
        if !status.success() {
            bail!("{}: {status}", line(command));
        }
    }
    Ok(match engine {
        Engine::Parallel => format!("{count} cells were run\n"),
        _ => format!("{count} cells submitted; rlx experiment status says where they stand\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(line(&["a".into(), "b c".into(), "it's".into(), String::new()]), r"a 'b c' 'it'\''s' ''");
    }
}

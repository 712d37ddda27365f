//! Programs of others that are started and waited for.
use anyhow::{Context, Result, anyhow, bail};
use rlx_runs::interrupt::Stop;
use std::{
    path::PathBuf,
    process::{Command, ExitStatus},
    time::Duration,
};

/// Where a program is.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|p| p.is_file())
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

/// Runs an engine's command to its end. One that waits for its cells is told to stop when this program is: GNU parallel starts no more
/// cells on a first SIGTERM, and tells those that run on a second one.
pub(super) fn call(command: &[String], stop: &Stop) -> Result<ExitStatus> {
    let mut process = Command::new(&command[0]);
    // Its commands are written for this shell, whichever is the person's.
    process.args(&command[1..]).env("PARALLEL_SHELL", "/bin/sh");
    let mut child = match process.spawn() {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            bail!("{} is not on the PATH: {}", command[0], missing(&command[0]))
        }
        Err(e) => return Err(anyhow!(e).context(format!("starting {}", command[0]))),
    };
    let mut told = 0;
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("waiting for {}", command[0]))? {
            return Ok(status);
        }
        if stop.asked() && told < 2 {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            told += 1;
            std::thread::sleep(Duration::from_millis(900));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

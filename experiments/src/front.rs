//! The program `rlx`, which needs no libtorch to start, and how it goes on as `rlx-torch`, which does.
use anyhow::{Result, bail};
use clap::Parser;
use rlx::say;
use rlx_compress::lm::info;
use rlx_compress::lm::info::Info;
use rlx_runs::{BUILT_IN, FRONT, FULL, SOURCES};
use std::{
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Says to the full program which sources this one was built from: `cargo build --bin rlx` builds one of the two.
const BUILD: &str = "RLX_BUILD";

/// `rlx lm info`, as [`crate::main_with`] would parse it.
#[derive(Debug, Parser)]
#[command(name = "info", disable_help_flag = true)]
struct Light {
    #[command(flatten)]
    info: Info,
}

/// The command line: `lm info` here, everything else by the full program.
pub fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| FRONT.into());
    let arguments: Vec<OsString> = arguments.collect();
    // What does not parse, help among it, is the full program's to answer.
    let ours = arguments.len() > 2 && arguments[0] == "lm" && arguments[1] == "info";
    if ours && let Ok(light) = Light::try_parse_from(&arguments[1..]) {
        return crate::commands::ended(
            info::run(&light.info, Path::new("runs")).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        );
    }
    let error = become_full(&name, &arguments);
    say!("error: {error:#}");
    ExitCode::FAILURE
}

/// Replaces this process, under the name that it was called by; returns only if it could not.
fn become_full(name: &OsString, arguments: &[OsString]) -> anyhow::Error {
    let beside = env::current_exe().ok().map(|p| p.with_file_name(FULL));
    // Where it was built, for a copy of the one file, then the PATH.
    let built = Path::new(BUILT_IN).join(FULL);
    for program in beside.iter().cloned().chain([built, PathBuf::from(FULL)]) {
        let mut command = Command::new(&program);
        command.arg0(name).args(arguments).env(BUILD, SOURCES);
        let error = command.exec();
        if error.kind() != io::ErrorKind::NotFound {
            return anyhow::Error::new(error).context(format!("starting {}", program.display()));
        }
    }
    let where_ = beside.map_or_else(|| FULL.into(), |p| p.display().to_string());
    anyhow::anyhow!(
        "{where_} is not there: rlx is two programs, and both must be built: cargo build --release -p rlx-experiments"
    )
}

/// That the program which started this one was built from the same sources.
///
/// # Errors
/// When it was not.
pub fn same_build() -> Result<()> {
    match env::var(BUILD) {
        Ok(other) if other != SOURCES => bail!(
            "rlx and rlx-torch were built from different sources: build both: cargo build --release -p rlx-experiments"
        ),
        _ => Ok(()),
    }
}

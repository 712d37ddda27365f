//! How every command ends: with an exit code, or with an error and the exit code that it has.
use crate::lock::Held;
use anyhow::Error;
use std::{io::Write, process::ExitCode};

/// The exit code for what another process still holds: "temporary failure" of sysexits.h, after which the same command may go well.
pub const HELD: u8 = 75;
/// The exit code for arguments and configs that are wrong, and for a run, model, file or folder that is not there.
pub const USAGE: u8 = 2;
/// The exit code for what was asked to stop and can go on.
pub const INTERRUPTED: u8 = 130;

/// An error, and the exit code of the program that it ends.
#[derive(Debug)]
pub struct Failure(pub Error, pub u8);

/// The end of a command.
pub type Answer = std::result::Result<ExitCode, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = exit_code(&error);
        Self(error, code)
    }
}
impl From<rlx::Error> for Failure {
    fn from(error: rlx::Error) -> Self {
        Error::from(error).into()
    }
}
impl From<Held> for Failure {
    fn from(error: Held) -> Self {
        Error::from(error).into()
    }
}
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Error::from(error).into()
    }
}

/// What was asked for cannot be: exit code 2, whatever the error.
pub fn usage(error: impl Into<Error>) -> Failure {
    Failure(error.into(), USAGE)
}

/// The exit code of an error: interrupted, held by another process, asked for wrongly, or failed in the doing. An input file that is not
/// there was asked for wrongly too.
pub fn exit_code(error: &Error) -> u8 {
    let absent = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::NotFound;
    match error {
        e if matches!(e.downcast_ref(), Some(rlx::Error::Interrupted)) => INTERRUPTED,
        e if e.is::<Held>() => HELD,
        e if matches!(e.downcast_ref(), Some(rlx::Error::Usage { .. })) => USAGE,
        e if matches!(e.downcast_ref(), Some(rlx::Error::Io { what: "reading", cause, .. }) if absent(cause)) => USAGE,
        _ => 1,
    }
}

/// Writes to standard output. A pipe that was closed is for [`ended`] to judge.
///
/// # Errors
/// When it cannot be written.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// [`print()`], as the end of a command.
///
/// # Errors
/// As [`print()`].
pub fn printed(text: &str) -> Answer {
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Says what there is to say of a command's end; its exit code.
pub fn ended(end: Answer) -> ExitCode {
    match end {
        Ok(code) => code,
        Err(Failure(error, code)) => {
            // A pipe that was closed (`rlx list envs | head -1`) is no failure of ours.
            let closed =
                error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe);
            if closed {
                return ExitCode::SUCCESS;
            }
            rlx::say!("error: {}", said(&error));
            ExitCode::from(code)
        }
    }
}

/// An error with its causes, each of which is named once: some errors of libraries say their cause themselves and hand it on as well.
fn said(error: &Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        before if before.contains(&cause) => text,
        before => format!("{before}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_an_error_has_the_exit_code_of_its_kind() {
        assert_eq!(exit_code(&Error::from(Held("x".into())).context("y")), HELD);
        assert_eq!(exit_code(&anyhow::anyhow!("x")), 1);
        assert_eq!(exit_code(&Error::from(rlx::Error::usage("x")).context("y")), USAGE);
        let reading = |kind: std::io::ErrorKind| rlx::Error::io("reading", "x", kind.into()).into();
        assert_eq!(exit_code(&reading(std::io::ErrorKind::NotFound)), USAGE);
        assert_eq!(exit_code(&reading(std::io::ErrorKind::PermissionDenied)), 1);
    }
}

//! What can go wrong in a library call, with where and what would have been right.
use std::{
    io,
    path::{Path, PathBuf},
};

/// The error of every fallible call of the core.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{what} {}: {cause}", path.display())]
    Io {
        /// What was being done: `writing`.
        what: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed. Its name is not `source`, for then whoever prints the chain of causes would print it twice.
        cause: io::Error,
    },
    /// A file or folder is not what it should be: truncated, altered, or of another version.
    #[error("{} is damaged: {why}", path.display())]
    Corrupt {
        /// Which one.
        path: PathBuf,
        /// What shows it.
        why: String,
    },
    /// A snapshot or checkpoint belongs to something else (another world, size or version).
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What does not match.
        what: String,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A value outside its allowed range.
    #[error("{what}")]
    Invalid {
        /// The value, where it stands, and what would be right.
        what: String,
    },
    /// What was asked for cannot be: a name of something that is not there, or arguments that do not fit.
    #[error("{what}")]
    Usage {
        /// What was asked for, and what would be right.
        what: String,
    },
    /// A number that is not finite where learning needs one.
    #[error("{what} is not finite at step {step}")]
    NonFinite {
        /// Which loss, tensor or reward.
        what: String,
        /// The learner's count of updates, or the environment step.
        step: u64,
    },
    /// Asked to stop (Ctrl-C) in the middle of something long.
    #[error("interrupted")]
    Interrupted,
}

/// A file that is not there yet, to be written: what a user has is never overwritten.
///
/// # Errors
/// When it is there already, or cannot be made.
pub fn create_file(path: &Path) -> Result<std::fs::File> {
    std::fs::File::create_new(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::usage(format!("{} is there already, and a file that is there is never overwritten", path.display()))
        }
        _ => Error::io("writing", path, e),
    })
}

/// The text of a file, without a mark of byte order.
///
/// # Errors
/// When it cannot be read, or is not UTF-8: at which byte.
pub fn read_text(path: &Path) -> Result<String> {
    let mut bytes = std::fs::read(path).map_err(|e| Error::io("reading", path, e))?;
    if [[0xff, 0xfe], [0xfe, 0xff]].iter().any(|mark| bytes.starts_with(mark)) {
        return Err(Error::invalid(format!("{} is UTF-16: save it as UTF-8", path.display())));
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let byte = e.as_bytes()[at];
        Error::invalid(format!("{} is no UTF-8 text: byte {at} is 0x{byte:02x}", path.display()))
    })
}

/// A result whose error is the core's.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An I/O failure while doing `what` to `path`.
    pub fn io(what: &'static str, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        Self::Io { what, path: path.into(), cause }
    }

    /// A damaged file, and what shows it.
    pub fn corrupt(path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), why: why.into() }
    }

    /// Something that belongs elsewhere.
    pub fn mismatch(what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Mismatch { what: what.into(), expected: expected.into(), found: found.into() }
    }

    /// A value that is not allowed; `what` names it, its value and the allowed range.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }

    /// Something was asked for that cannot be; `what` names it and what would be right.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::Usage { what: what.into() }
    }
}

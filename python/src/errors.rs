//! What goes wrong in Rust as what Python raises: nothing aborts, and no panic crosses the border.
use pyo3::{
    PyErr,
    exceptions::{PyKeyboardInterrupt, PyOSError, PyRuntimeError, PyValueError},
};
use rlx::Error;
use std::any::Any;

/// The exception for an error of the core: a `ValueError` for what was asked, a `RuntimeError` for what happened.
pub fn raise(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Io { .. } => PyOSError::new_err(text),
        Error::NonFinite { .. } => PyRuntimeError::new_err(text),
        Error::Interrupted => PyKeyboardInterrupt::new_err(text),
        Error::Corrupt { .. } | Error::Mismatch { .. } | Error::Invalid { .. } | Error::Usage { .. } => {
            PyValueError::new_err(text)
        }
    }
}

/// The exception for a panic: its words, which Python's own exception for panics loses between processes.
pub fn panicked(cause: &(dyn Any + Send)) -> PyErr {
    let words = cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    PyRuntimeError::new_err(format!("a panic in Rust: {}", words.unwrap_or("without words")))
}

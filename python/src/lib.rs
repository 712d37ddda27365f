//! rlx from Python: the native half of the package `rlx`. It sees the core and its worlds, never a tensor library.
//!
//! A crate with worlds of its own makes a wheel of its own with [`module!`].
mod batch;
mod columns;
mod errors;
mod film;
mod moves;
mod pool;
mod table;
mod worlds;

pub use pyo3;
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyDict, PyList},
};
use rlx::{Encoding, Field, Registry};
use std::sync::OnceLock;

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// What this module registers.
fn registry() -> PyResult<&'static Registry> {
    REGISTRY.get().ok_or_else(|| PyRuntimeError::new_err("the module has not registered its worlds"))
}

/// The worlds of rlx itself.
pub fn worlds() -> Registry {
    let mut registry = Registry::new();
    rlx_classic::register(&mut registry);
    rlx_manipulation::register(&mut registry);
    rlx_red10::register(&mut registry);
    registry
}

/// Named parts of a row: (name, first, end, unit, encoding, its size).
fn fields<'py>(py: Python<'py>, fields: &[Field]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for f in fields {
        let (encoding, size) = match f.encoding {
            Encoding::Number => ("number", 0),
            Encoding::OneHot(n) => ("one-hot", n),
            Encoding::Counts => ("counts", 0),
            Encoding::Bag(n) => ("bag", n),
        };
        list.append((&f.name, f.range.start, f.range.end, &f.unit, encoding, size))?;
    }
    Ok(list)
}

/// Every world: a dict of its name, what it is, the names that others have for it, and its keys as a JSON list.
#[pyfunction]
fn registered<'py>(py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for world in registry()?.worlds() {
        let dict = PyDict::new(py);
        dict.set_item("name", &world.name)?;
        dict.set_item("about", &world.about)?;
        dict.set_item("aliases", &world.aliases)?;
        let keys = serde_json::to_string(&world.keys).map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
        dict.set_item("keys", keys)?;
        list.append(dict)?;
    }
    Ok(list)
}

/// The fields of an observation and of a candidate's row, and the names of the players of its own that a world has.
#[pyfunction]
fn parts<'py>(py: Python<'py>, name: &str) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
    let spec = registry()?.find_world(name).and_then(|w| w.spec(&rlx::Table::new())).map_err(errors::raise)?;
    Ok((fields(py, &spec.fields)?, fields(py, &spec.candidate_fields)?))
}

/// The number of threads that step worlds.
#[pyfunction]
fn threads() -> usize {
    pool::threads()
}

/// Fills a module: classes, functions, and the worlds that `register` knows. What [`module!`] calls.
///
/// # Errors
/// When Python cannot take them.
pub fn fill(module: &Bound<'_, PyModule>, register: impl FnOnce() -> Registry) -> PyResult<()> {
    REGISTRY.get_or_init(register);
    // Whoever steps worlds outside of the package's pool does so alone: rayon's own would start as many threads again, and wait for
    // ever in the child of a fork. That it is there already is no error.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
    module.add_class::<worlds::Worlds>()?;
    module.add_function(wrap_pyfunction!(registered, module)?)?;
    module.add_function(wrap_pyfunction!(parts, module)?)?;
    module.add_function(wrap_pyfunction!(threads, module)?)
}

/// A Python module of worlds of one's own: `rlx_python::module!(bandits, registry());` is `bandits.so`'s only line. In Python,
/// `rlx.register("bandits")` then makes Gymnasium environments of them.
#[macro_export]
macro_rules! module {
    ($name:ident, $registry:expr) => {
        #[$crate::pyo3::pymodule]
        #[pyo3(crate = "rlx_python::pyo3")]
        fn $name(module: &$crate::pyo3::Bound<'_, $crate::pyo3::types::PyModule>) -> $crate::pyo3::PyResult<()> {
            $crate::fill(module, || $registry)
        }
    };
}

/// The native half of the Python package `rlx`.
#[cfg(feature = "package")]
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    fill(module, worlds)?;
    module.add_class::<table::Table>()?;
    module.add_class::<table::Bot>()
}

//! What reports have beside curves and scores, of experiments of one kind.
use crate::{cells::Cells, results::Results};
use anyhow::Result;
use rlx::Registry;
use rlx_plot::document::Block;
use serde_json::Value;
use std::sync::Arc;

/// A part of a report.
pub struct Findings {
    /// Its name in the report's JSON.
    pub name: &'static str,
    /// For programs.
    pub json: Value,
    /// For people.
    pub blocks: Vec<Block>,
}

/// Finds them.
pub trait Finder: Send + Sync {
    /// The kind of work ([`crate::workload::Workload::kind`]) that it knows.
    fn kind(&self) -> &'static str;
    /// Looks at the cells that are done.
    ///
    /// # Errors
    /// When a record cannot be read.
    fn find(&self, cells: &Cells<'_>, results: &Results) -> Result<Findings>;
}

/// Those that are registered: `registry.extension_mut::<Finders>().add(Mine)`.
#[derive(Clone, Default)]
pub struct Finders(Vec<Arc<dyn Finder>>);

impl Finders {
    /// Adds one.
    pub fn add(&mut self, it: impl Finder + 'static) {
        self.0.push(Arc::new(it));
    }
    /// What is found of these cells; None where nobody knows their kind.
    ///
    /// # Errors
    /// As [`Finder::find`].
    pub fn of(registry: &Registry, cells: &Cells<'_>, results: &Results) -> Result<Option<Findings>> {
        let own = registry.extension::<Self>().and_then(|f| f.0.iter().find(|f| f.kind() == cells.spec.kind));
        own.map(|f| f.find(cells, results)).transpose()
    }
}

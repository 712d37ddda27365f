//! What a process has opened: models are large, and a run asks for several batches of worlds over one.
use crate::ObjectiveConfig;
use rlx::{Error, Measured, Objective, Result};
use serde::Serialize;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// Shared objectives of one type by their configs, each opened once.
pub(crate) struct Opened<O>(Mutex<Vec<(String, Measured<O>, ObjectiveConfig)>>);

impl<O: Objective> Opened<O> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The objective of that config, made where there is none yet.
    pub(crate) fn get(
        &self,
        config: &impl Serialize,
        make: impl FnOnce() -> Result<(Measured<O>, ObjectiveConfig)>,
    ) -> Result<(Measured<O>, ObjectiveConfig)> {
        let key = serde_json::to_string(config).map_err(|e| Error::invalid(e.to_string()))?;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, objective, terms)) = open.iter().find(|(known, ..)| *known == key) {
            return Ok((objective.clone(), terms.clone()));
        }
        let (objective, terms) = make()?;
        open.push((key, objective.clone(), terms.clone()));
        Ok((objective, terms))
    }
}

/// A short name of a text, the same in every process.
pub(crate) fn hashed(text: &str) -> String {
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    format!("{:016x}", hash.finish())
}

/// The folder of an objective's ledgers: the one that is wanted, or else one in the cache. One folder an objective; the ledgers' keys have
/// the whole version, so that a collision mixes files, not measures.
pub(crate) fn ledger_folder(wanted: &str, name: &str, version: &str) -> PathBuf {
    if !wanted.is_empty() {
        return PathBuf::from(wanted);
    }
    rlx_lm::store::cache_dir().join("ledgers").join(format!("{name}-{}", hashed(version)))
}

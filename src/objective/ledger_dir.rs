//! Ledgers of several processes side by side: each writes one of its own, and reads all.
use super::{Key, Ledger, Measure, Record};
use crate::{Error, Result};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// The ledgers in a folder. They are opened, and the folder made, when something is first asked: to plan runs leaves nothing behind.
#[derive(Debug)]
pub struct LedgerDir {
    folder: PathBuf,
    open: Option<Ledgers>,
}

/// One that is this process's to write, and what the others held when it was opened.
#[derive(Debug)]
struct Ledgers {
    own: Ledger,
    others: HashMap<Key, Measure>,
}

impl Ledgers {
    /// Opens the first ledger of the folder that no other process is writing, or makes one, and reads the others.
    fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io("making", folder, e))?;
        let file = |i: usize| folder.join(format!("{i}.jsonl"));
        let (mut own, mut others) = (None, HashMap::new());
        for i in 0.. {
            if own.is_none() {
                match Ledger::open(&file(i)) {
                    Ok(ledger) => {
                        own = Some(ledger);
                        continue;
                    }
                    // Its owner goes on writing; what it has is read.
                    Err(Error::Invalid { .. }) => {}
                    Err(other) => return Err(other),
                }
            } else if !file(i).exists() {
                break;
            }
            let records = Ledger::read(&file(i))?;
            others.extend(records.into_iter().map(|Record { key, measure }| (key, measure)));
        }
        let own = own.ok_or_else(|| Error::invalid(format!("{}: no ledger could be opened", folder.display())))?;
        Ok(Self { own, others })
    }
}

impl From<Ledger> for LedgerDir {
    /// One ledger, without others beside it.
    fn from(own: Ledger) -> Self {
        let folder = own.path().parent().map(PathBuf::from).unwrap_or_default();
        Self { folder, open: Some(Ledgers { own, others: HashMap::new() }) }
    }
}

impl LedgerDir {
    /// The ledgers of a folder, which need not be there yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), open: None }
    }

    fn ledgers(&mut self) -> Result<&mut Ledgers> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Ledgers::open(&self.folder)?,
        };
        Ok(self.open.insert(open))
    }

    /// The measure of that key, if any process made it.
    ///
    /// # Errors
    /// When it was made here and could not be written yet, or a ledger cannot be read or is damaged.
    pub fn get(&mut self, key: &Key) -> Result<Option<Measure>> {
        let ledgers = self.ledgers()?;
        if let Some(known) = ledgers.others.get(key) {
            return Ok(Some(known.clone()));
        }
        Ok(ledgers.own.get(key)?.cloned())
    }

    /// Writes a measurement; on return it is on the disk.
    ///
    /// # Errors
    /// As [`Ledger::put`] and [`LedgerDir::get`].
    pub fn put(&mut self, key: Key, measure: Measure) -> Result<()> {
        self.ledgers()?.own.put(Record { key, measure })
    }

    /// All measurements of an objective at a version and fidelity: what a surrogate may start from.
    ///
    /// # Errors
    /// When a ledger cannot be read or is damaged.
    pub fn all(&mut self, name: &str, version: &str, fidelity: u32) -> Result<Vec<(Vec<u16>, f64)>> {
        let ledgers = self.ledgers()?;
        let own = ledgers.own.records().iter().map(|r| (&r.key, &r.measure));
        let fits = |k: &Key| k.objective == name && k.version == version && k.fidelity == fidelity;
        let mut all: Vec<_> = ledgers
            .others
            .iter()
            .chain(own)
            .filter(|(k, _)| fits(k))
            .map(|(k, m)| (k.config.clone(), m.loss))
            .collect();
        // A map has no order of its own.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|a, b| a.0 == b.0);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_write_side_by_side_and_read_each_other() {
        let folder = std::env::temp_dir().join(format!("rlx-ledger-dir-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let key =
            |seed| Key { objective: "o".into(), version: "v".into(), config: vec![1, seed as u16], fidelity: 0, seed };
        let measure = |loss| Measure { loss, ..Measure::default() };
        let mut first = LedgerDir::new(&folder);
        assert!(!folder.exists(), "nothing was asked yet");
        first.put(key(1), measure(1.5)).unwrap();
        // The lock is the file's, not the process's: a second one of this process stands for another.
        let mut second = LedgerDir::new(&folder);
        assert_eq!(second.get(&key(1)).unwrap().unwrap().loss, 1.5);
        second.put(key(2), measure(2.5)).unwrap();
        drop((first, second));
        let mut third = LedgerDir::new(&folder);
        assert_eq!(third.get(&key(2)).unwrap().unwrap().loss, 2.5);
        assert_eq!(third.all("o", "v", 0).unwrap(), [(vec![1, 1], 1.5), (vec![1, 2], 2.5)]);
        assert!(third.get(&key(3)).unwrap().is_none() && third.all("o", "w", 0).unwrap().is_empty());
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! An experiment's folder: the spec it was made with, a record and a lock for each cell, and the runs.
//!
//! `spec.toml` (its text), `cells/<id>.json` (the record of a cell, see [`Record`]), `cells/<id>.lock`, `runs/<run>/` (as any run).
//! Nothing in it names a place outside it, and no two cells share a file: folders of nodes that share no file system are joined by
//! copying them over each other.
use crate::{cells::Cell, spec::Spec};
use anyhow::{Context, Result, bail};
use rlx::Registry;
use rlx_runs::{lock, run_dir::write_synced};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Begun: being run, or broken off without a word.
    Started,
    /// Stopped by Ctrl-C or a scheduler; it goes on from its checkpoint.
    Interrupted,
    /// Done.
    Finished,
    /// Ended by an error.
    Failed,
}

/// The record of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its number in the spec it was last run under.
    pub index: u64,
    /// The task.
    pub task: String,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// Where it stands.
    pub status: Status,
    /// Its run folder under `runs/`.
    pub run: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Times that it was begun or gone on with.
    pub starts: u32,
    /// Environment steps taken.
    pub steps: u64,
    /// Seconds of training, over all starts.
    pub elapsed_s: f64,
    /// The machine.
    pub host: String,
    /// Version of this program.
    pub rlx: String,
    /// Revision of its source.
    pub revision: String,
}

/// The folder of an experiment.
#[derive(Clone, Debug)]
pub struct Results {
    path: PathBuf,
}

/// Held while a cell is being run; the system frees it when the process ends, however it does.
#[derive(Debug)]
pub struct CellLock(#[allow(dead_code)] File);

impl Results {
    /// The folder at `path`, to read; it need not be there.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder at `path` for the cells of `spec`: made when it is not there. When it holds results of a spec that decides otherwise it
    /// is refused with the difference, or with `accept` the old spec is kept beside the new one; results of cells that both have stay.
    ///
    /// # Errors
    /// When the spec was changed, or the folder cannot be made.
    pub fn open(registry: &Registry, path: &Path, spec: &Spec, accept: bool) -> Result<Self> {
        let results = Self::at(path);
        for folder in [results.cells(), results.runs()] {
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let file = path.join("spec.toml");
        // Several workers may begin at once: a file of one's own, then a link, which one of them makes.
        let own = path.join(format!(".spec-{}-{}.part", rlx_runs::host_name(), std::process::id()));
        let made = (|| {
            File::create(&own)?.write_all(spec.text.as_bytes())?;
            fs::hard_link(&own, &file)
        })();
        fs::remove_file(&own).ok();
        match made {
            Ok(()) => return Ok(results),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).with_context(|| format!("writing {}", file.display())),
        }
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        if text == spec.text {
            return Ok(results);
        }
        let old =
            Spec::parse(registry, &spec.name, &text, spec.quick).with_context(|| format!("{}", file.display()))?;
        let difference = old.difference(spec);
        if !difference.is_empty() {
            if !accept {
                bail!(
                    "{} has results of another spec:\n{}\ngive the spec another name or --out another folder; or --accept-changes: results of cells that both have are kept, \
                     no result is removed",
                    path.display(),
                    difference.join("\n")
                );
            }
            let free = (1..).map(|n| path.join(format!("spec-before-{n}.toml"))).find(|p| !p.exists());
            write_synced(&free.expect("some number is free"), text.as_bytes())?;
        }
        write_synced(&file, spec.text.as_bytes())?;
        Ok(results)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Where the runs are.
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }
    fn cells(&self) -> PathBuf {
        self.path.join("cells")
    }

    /// The lock of a cell; None while another process has it for longer than `patience`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn lock(&self, cell: &Cell, patience: Duration) -> Result<Option<CellLock>> {
        let path = self.cells().join(format!("{}.lock", cell.id()));
        Ok(lock::take(&path, patience, &format!("cell {}", cell.index))?.map(CellLock))
    }

    /// The record of a cell; None when it was never begun.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&self, id: &str) -> Result<Option<Record>> {
        let path = self.cells().join(format!("{id}.json"));
        match fs::read(&path) {
            Ok(bytes) => {
                Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))?))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Writes a record: whole, or it is as it was.
    ///
    /// # Errors
    /// When the disk cannot take it.
    pub fn write(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec_pretty(record).context("a record serialises")?;
        write_synced(&self.cells().join(format!("{}.json", record.id)), &text)
    }

    /// All records that there are, by id.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn records(&self) -> Result<HashMap<String, Record>> {
        let mut out = HashMap::new();
        let entries = match fs::read_dir(self.cells()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(out),
            Err(e) => return Err(e).with_context(|| format!("reading {}", self.cells().display())),
        };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(id) = name.strip_suffix(".json").filter(|id| !id.starts_with('.'))
                && let Some(record) = self.record(id)?
            {
                out.insert(id.to_owned(), record);
            }
        }
        Ok(out)
    }
}

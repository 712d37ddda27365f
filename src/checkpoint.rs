//! Checkpoint folders: written whole or not at all, checked before they are believed.
//!
//! A checkpoint is a folder of files with a `manifest.json` that names every file with its size and SHA-256. It is written to a
//! temporary folder, synced, and renamed; older ones are removed only after that. It holds no time stamp: equal states give
//! equal bytes. Files that do not change from one checkpoint to the next (full chunks of a replay) are shared by hard link.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

/// Version of the layout of a checkpoint folder; another one is refused.
pub const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// Size and hash of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    sha256: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    step: u64,
    files: BTreeMap<String, Entry>,
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// File names are the project's own, but a manifest is read from disk: nothing in it may lead out of its folder.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name != MANIFEST
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !name.starts_with('.')
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |e| Error::io("writing", path, e);
    let mut file = File::create_new(path).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.sync_all().map_err(fail)
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(|e| Error::io("syncing", path, e))
}

/// A checkpoint being written.
#[derive(Debug)]
pub struct SaveDir {
    path: PathBuf,
    files: BTreeMap<String, Entry>,
    before: Option<LoadDir>,
}

impl SaveDir {
    /// Writes a file. Names are plain: letters, digits, `.`, `_`, `-`.
    ///
    /// # Errors
    /// When the name is not plain or taken, or the disk cannot take it.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if !plain(name) {
            return Err(Error::invalid(format!("checkpoint file name '{name}' is not plain")));
        }
        write_synced(&self.path.join(name), bytes)?;
        self.files.insert(name.into(), Entry { bytes: bytes.len() as u64, sha256: hash(bytes) });
        Ok(())
    }

    /// Takes a file over from the checkpoint before, by hard link where the file system has them. False when it is not there:
    /// then [`SaveDir::put`] it.
    ///
    /// # Errors
    /// When the file is there and can be neither linked nor copied.
    pub fn reuse(&mut self, name: &str) -> Result<bool> {
        let Some((from, entry)) =
            self.before.as_ref().and_then(|b| b.manifest.files.get(name).map(|e| (b.path.join(name), e.clone())))
        else {
            return Ok(false);
        };
        let to = self.path.join(name);
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).map_err(|e| Error::io("copying to", &to, e))?;
            File::open(&to).and_then(|f| f.sync_all()).map_err(|e| Error::io("syncing", &to, e))?;
        }
        self.files.insert(name.into(), entry);
        Ok(true)
    }
}

/// A checkpoint whose every byte was checked.
#[derive(Clone, Debug)]
pub struct LoadDir {
    path: PathBuf,
    manifest: Manifest,
}

impl LoadDir {
    /// Opens and checks a checkpoint folder.
    ///
    /// # Errors
    /// Naming the file that is missing, truncated or altered, or the format that is not this version's.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(MANIFEST);
        let text = fs::read(&file).map_err(|e| Error::io("reading", &file, e))?;
        // The version first: a manifest of another format need not parse as this one.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version = serde_json::from_slice(&text).map_err(|e| Error::corrupt(&file, e.to_string()))?;
        if version.format != FORMAT {
            let what = format!("checkpoint format of {}", path.display());
            return Err(Error::mismatch(what, FORMAT.to_string(), version.format.to_string()));
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| Error::corrupt(&file, e.to_string()))?;
        let dir = Self { path: path.into(), manifest };
        for name in dir.manifest.files.keys() {
            dir.get(name)?;
        }
        Ok(dir)
    }

    /// A file's contents, checked.
    ///
    /// # Errors
    /// When it is not in the checkpoint, or not as it was written.
    pub fn get(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let entry = self
            .manifest
            .files
            .get(name)
            .ok_or_else(|| Error::corrupt(&self.path, format!("it has no file '{name}'")))?;
        if !plain(name) {
            return Err(Error::corrupt(&self.path, format!("its manifest names '{name}'")));
        }
        // The size first, so that a file that grew is not read into memory.
        let size = fs::metadata(&path).map_err(|e| Error::io("reading", &path, e))?.len();
        if size != entry.bytes {
            return Err(Error::corrupt(&path, format!("it has {size} bytes, the manifest says {}", entry.bytes)));
        }
        let bytes = fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
        if hash(&bytes) != entry.sha256 {
            return Err(Error::corrupt(&path, "its SHA-256 is not the manifest's"));
        }
        Ok(bytes)
    }

    /// Names of the files, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.manifest.files.keys().map(String::as_str)
    }
    /// Environment steps at which it was taken.
    pub fn step(&self) -> u64 {
        self.manifest.step
    }
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The checkpoints of a run: `<label>-<step>` folders under one root. One writer at a time; the run's lock sees to it.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn folder(&self, label: &str, step: u64) -> PathBuf {
        self.root.join(format!("{label}-{step:012}"))
    }

    /// Steps of the finished folders of `label`, ascending. None of them is checked.
    ///
    /// # Errors
    /// When the root is there and cannot be read.
    pub fn steps(&self, label: &str) -> Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("reading", &self.root, e)),
        };
        let mut steps: Vec<u64> = entries
            .filter_map(|e| e.ok()?.file_name().to_str()?.strip_prefix(label)?.strip_prefix('-')?.parse().ok())
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Opens the checkpoint of `label` at `step`.
    ///
    /// # Errors
    /// As [`LoadDir::open`].
    pub fn open(&self, label: &str, step: u64) -> Result<LoadDir> {
        let dir = LoadDir::open(&self.folder(label, step))?;
        if dir.step() != step {
            return Err(Error::corrupt(dir.path(), format!("its manifest says step {}", dir.step())));
        }
        Ok(dir)
    }

    /// The newest sound checkpoint of `label`, and what is wrong with each newer one that is not.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn newest(&self, label: &str) -> Result<(Option<LoadDir>, Vec<Error>)> {
        let mut damaged = Vec::new();
        for step in self.steps(label)?.into_iter().rev() {
            match self.open(label, step) {
                Ok(dir) => return Ok((Some(dir), damaged)),
                Err(e) => damaged.push(e),
            }
        }
        Ok((None, damaged))
    }

    /// Writes a checkpoint and, once it is safe, removes all but the last `keep` of its label. One that is already there and
    /// sound is left as it is; a damaged one of the same step is kept under another name.
    ///
    /// # Errors
    /// When anything cannot be written; what was saved before is then untouched.
    pub fn save(
        &self,
        label: &str,
        step: u64,
        keep: usize,
        write: impl FnOnce(&mut SaveDir) -> Result<()>,
    ) -> Result<PathBuf> {
        let to = self.folder(label, step);
        if self.open(label, step).is_ok() {
            return Ok(to);
        }
        fs::create_dir_all(&self.root).map_err(|e| Error::io("making", &self.root, e))?;
        let tmp = self.root.join(format!(".tmp-{label}"));
        self.sweep(&tmp)?;
        fs::create_dir(&tmp).map_err(|e| Error::io("making", &tmp, e))?;
        let written = self.write_whole(&tmp, label, step, write);
        if written.is_err() {
            // Best effort: what is left is swept at the next save.
            let _ = fs::remove_dir_all(&tmp);
        }
        written?;
        if to.exists() {
            self.aside("damaged", label, step)?;
        }
        fs::rename(&tmp, &to).map_err(|e| Error::io("renaming to", &to, e))?;
        sync_folder(&self.root)?;
        self.prune(label, keep)?;
        Ok(to)
    }

    /// Puts checkpoints of `label` that are of later steps than `step` aside, under another name: they are of a course that was left.
    ///
    /// # Errors
    /// When one cannot be renamed.
    pub fn leave(&self, label: &str, step: u64) -> Result<()> {
        for later in self.steps(label)?.into_iter().filter(|s| *s > step) {
            self.aside("left", label, later)?;
        }
        Ok(())
    }

    fn aside(&self, why: &str, label: &str, step: u64) -> Result<()> {
        let from = self.folder(label, step);
        let free = (0..).map(|i| self.root.join(format!("{why}-{label}-{step:012}-{i}"))).find(|p| !p.exists());
        fs::rename(&from, free.expect("an unused number")).map_err(|e| Error::io("renaming", &from, e))
    }

    fn write_whole(
        &self,
        tmp: &Path,
        label: &str,
        step: u64,
        write: impl FnOnce(&mut SaveDir) -> Result<()>,
    ) -> Result<()> {
        let (before, _) = self.newest(label)?;
        let mut dir = SaveDir { path: tmp.into(), files: BTreeMap::new(), before };
        write(&mut dir)?;
        let manifest = Manifest { format: FORMAT, step, files: dir.files };
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest serialises");
        write_synced(&tmp.join(MANIFEST), &text)?;
        sync_folder(tmp)
    }

    /// Removes all but the newest `keep` of `label`. Damaged ones do not count and are not removed.
    fn prune(&self, label: &str, keep: usize) -> Result<()> {
        let mut sound = 0;
        for step in self.steps(label)?.into_iter().rev() {
            if self.open(label, step).is_err() {
                continue;
            }
            sound += 1;
            if sound > keep.max(1) {
                self.sweep(&self.folder(label, step))?;
            }
        }
        Ok(())
    }

    /// Removes a folder whole; under another name first, so that half of one is never taken for a checkpoint.
    fn sweep(&self, folder: &Path) -> Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        let away = self.root.join(".tmp-away");
        if away.exists() {
            fs::remove_dir_all(&away).map_err(|e| Error::io("removing", &away, e))?;
        }
        fs::rename(folder, &away).map_err(|e| Error::io("renaming", folder, e))?;
        fs::remove_dir_all(&away).map_err(|e| Error::io("removing", &away, e))
    }
}

#[cfg(test)]
mod tests;

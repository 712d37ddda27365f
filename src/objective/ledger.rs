//! Measurements, one JSON object a line, appended and synced one by one.
use super::Measure;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What a measurement is a function of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The objective's name.
    pub objective: String,
    /// Its version: everything the measure depends on that is not in the key.
    pub version: String,
    /// The level of each dimension.
    pub config: Vec<u16>,
    /// Index of the fidelity.
    pub fidelity: u32,
    /// Seed of all chance in it.
    pub seed: u64,
}

/// A measurement. A line of the file is the object with `key`, `measure` and `sum`, the first 16 hexadecimal digits of the SHA-256 of
/// the object's text without `sum`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Of what.
    pub key: Key,
    /// The measured values.
    pub measure: Measure,
}

/// How every line starts and ends: what tells a torn line from a file that is none of ours.
const HEAD: &[u8] = br#"{"key":{"objective":"#;
const SUM: &[u8] = br#","sum":""#;
const SUM_DIGITS: usize = 16;

fn sum(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(SUM_DIGITS / 2).map(|b| format!("{b:02x}")).collect()
}

fn line(record: &Record) -> Vec<u8> {
    let body = serde_json::to_vec(record).expect("a record has no keys but strings and no floats but its own");
    let sum = sum(&body);
    let mut line = body;
    line.pop(); // the closing brace comes after the sum
    line.extend_from_slice(SUM);
    line.extend_from_slice(sum.as_bytes());
    line.extend_from_slice(b"\"}\n");
    line
}

/// Reads a line without its newline.
fn parse(line: &[u8]) -> std::result::Result<Record, String> {
    let whole = "it is not a whole record with its sum";
    let (body, tail) = line.split_at_checked(line.len().saturating_sub(SUM.len() + SUM_DIGITS + 2)).ok_or(whole)?;
    let digits = tail.strip_prefix(SUM).and_then(|t| t.strip_suffix(b"\"}")).ok_or(whole)?;
    let body = [body, b"}"].concat();
    if sum(&body).as_bytes() != digits {
        return Err("its sum is not that of its text".into());
    }
    serde_json::from_slice(&body).map_err(|e| e.to_string())
}

/// Whether a last line without a newline is the beginning of a record whose writing was cut short (a file system may leave zeros
/// in its place). What holds a sum is longer than that, and what starts otherwise was never written here: those are damage, and
/// nothing of them is cut.
fn torn(tail: &[u8]) -> bool {
    let end = tail.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    let tail = &tail[..end];
    let n = tail.len().min(HEAD.len());
    let has_sum = |at: &[u8]| {
        let rest = at.strip_prefix(SUM).and_then(|r| r.split_at_checked(SUM_DIGITS));
        rest.is_some_and(|(digits, after)| digits.iter().all(u8::is_ascii_hexdigit) && after.starts_with(b"\"}"))
    };
    tail[..n] == HEAD[..n] && !(0..tail.len()).any(|i| has_sum(&tail[i..]))
}

/// What a file holds.
struct Scan {
    records: Vec<Record>,
    /// Bytes that are whole records.
    end: u64,
    /// Whether the last of them lacks its newline.
    open: bool,
}

fn scan(path: &Path, bytes: &[u8]) -> Result<Scan> {
    let mut found = Scan { records: Vec::new(), end: 0, open: false };
    for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let (text, open) = line.strip_suffix(b"\n").map_or((line, true), |text| (text, false));
        match parse(text) {
            Ok(record) => found.records.push(record),
            Err(_) if open && torn(text) => break,
            Err(why) => return Err(Error::corrupt(path, format!("line {}: {why}", i + 1))),
        }
        found.end += line.len() as u64;
        found.open = open;
    }
    Ok(found)
}

/// Every measurement that was ever made, by its key: a file of one JSON object a line, each appended and synced before it is
/// believed. A line cut short by a kill is dropped when the ledger is opened; any other damage is an error that names the line.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    end: u64,             // bytes of the file that are whole lines
    torn: bool,           // whether a failed write may have left something after them
    written: usize,       // records that are in the file; the others are still to be written
    records: Vec<Record>, // in the order they were made
    index: HashMap<Key, usize>,
}

impl Ledger {
    /// Opens the ledger in `path`, which is made if need be, and keeps every other process from writing it.
    ///
    /// # Errors
    /// When another process has it open, a line is damaged, or the file cannot be read or written.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|e| Error::io("making", folder, e))?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.map_err(|e| Error::io("opening", path, e))?;
        file.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                Error::invalid(format!("ledger {}: another process is writing to it", path.display()))
            }
            TryLockError::Error(e) => Error::io("locking", path, e),
        })?;
        let bytes = fs::read(path).map_err(|e| Error::io("reading", path, e))?;
        let found = scan(path, &bytes)?;
        let mut end = found.end;
        if end < bytes.len() as u64 {
            file.set_len(end).map_err(|e| Error::io("cutting", path, e))?;
        }
        if found.open {
            file.seek(SeekFrom::Start(end))
                .and_then(|_| file.write_all(b"\n"))
                .map_err(|e| Error::io("writing", path, e))?;
            end += 1;
        }
        file.sync_all().map_err(|e| Error::io("syncing", path, e))?;
        // The name of a new file is the folder's.
        File::open(folder).and_then(|d| d.sync_all()).map_err(|e| Error::io("syncing", folder, e))?;
        let mut ledger = Self {
            path: path.into(),
            file,
            end,
            torn: false,
            written: 0,
            records: Vec::with_capacity(found.records.len()),
            index: HashMap::new(),
        };
        for (i, record) in found.records.into_iter().enumerate() {
            ledger.take(record).map_err(|e| Error::corrupt(path, format!("line {}: {e}", i + 1)))?;
        }
        ledger.written = ledger.records.len();
        Ok(ledger)
    }

    /// The measurements in a file that another process may be writing.
    ///
    /// # Errors
    /// When a line is damaged or the file cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Record>> {
        let bytes = fs::read(path).map_err(|e| Error::io("reading", path, e))?;
        Ok(scan(path, &bytes)?.records)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All measurements, in the order they were made.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The measure of that key, if it was made.
    ///
    /// # Errors
    /// When it is not in the file yet, the disk having been full, and still cannot be written.
    pub fn get(&mut self, key: &Key) -> Result<Option<&Measure>> {
        let Some(&i) = self.index.get(key) else { return Ok(None) };
        if i >= self.written {
            self.write()?;
        }
        Ok(Some(&self.records[i].measure))
    }

    /// Appends a measurement; on return it is on the disk.
    ///
    /// # Errors
    /// When the key is there with another measure, or the file cannot be written. The measurement is then kept in memory and
    /// written by the next call that can; what the file has stays whole.
    pub fn put(&mut self, record: Record) -> Result<()> {
        self.take(record)?;
        self.write()
    }

    /// Takes a record into memory.
    fn take(&mut self, record: Record) -> Result<()> {
        if let Some(&i) = self.index.get(&record.key) {
            // By their text: an undefined loss equals itself there.
            if line(&self.records[i]) == line(&record) {
                return Ok(());
            }
            return Err(Error::invalid(format!("measured twice, and not alike: {:?}", record.key)));
        }
        self.index.insert(record.key.clone(), self.records.len());
        self.records.push(record);
        Ok(())
    }

    /// Writes what is not written yet, a line at a time.
    fn write(&mut self) -> Result<()> {
        while let Some(record) = self.records.get(self.written) {
            let line = line(record);
            let done = self.append(&line);
            if let Err(e) = done {
                // Best effort now; before the next line it must succeed.
                self.torn = self.file.set_len(self.end).is_err();
                return Err(Error::io("writing", &self.path, e));
            }
            self.end += line.len() as u64;
            self.written += 1;
        }
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.torn {
            self.file.set_len(self.end)?;
            self.torn = false;
        }
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(line)?;
        self.file.sync_data()
    }
}

/// A float in text: JSON has no infinities and no NaN, so those are strings.
struct Float(f64);

impl Serialize for Float {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        if self.0.is_finite() || !to.is_human_readable() {
            return to.serialize_f64(self.0);
        }
        to.serialize_str(if self.0.is_nan() {
            "nan"
        } else if self.0 > 0.0 {
            "inf"
        } else {
            "-inf"
        })
    }
}

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            Number(f64),
            Name(String),
        }
        if !from.is_human_readable() {
            return f64::deserialize(from).map(Self);
        }
        match Text::deserialize(from)? {
            Text::Number(x) => Ok(Self(x)),
            Text::Name(name) => match name.as_str() {
                "nan" => Ok(Self(f64::NAN)),
                "inf" => Ok(Self(f64::INFINITY)),
                "-inf" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(serde::de::Error::custom(format!("'{name}' is no number"))),
            },
        }
    }
}

/// Serialises one float.
pub(super) mod float {
    use super::{Deserialize, Float, Serialize};
    pub fn serialize<S: serde::Serializer>(x: &f64, to: S) -> Result<S::Ok, S::Error> {
        Float(*x).serialize(to)
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Float::deserialize(from).map(|x| x.0)
    }
}

/// Serialises named floats.
pub(super) mod floats {
    use super::{Deserialize, Float};
    use std::collections::BTreeMap;
    pub fn serialize<S: serde::Serializer>(x: &BTreeMap<String, f64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(x.iter().map(|(k, v)| (k, Float(*v))))
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let map = BTreeMap::<String, Float>::deserialize(from)?;
        Ok(map.into_iter().map(|(k, v)| (k, v.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failing_disk_refused_is_written_once_it_takes_it() {
        let path = std::env::temp_dir().join(format!("rlx-ledger-{}-later.jsonl", std::process::id()));
        let _ = fs::remove_file(&path);
        let record = |seed| Record {
            key: Key { objective: "o".into(), version: "v".into(), config: vec![1, 2], fidelity: 0, seed },
            measure: Measure { loss: seed as f64, ..Measure::default() },
        };
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.put(record(0)).unwrap();
        // A handle that cannot write fails as a disk would; half a line, a long one, is what a disk that fills up leaves.
        let good = std::mem::replace(&mut ledger.file, File::open(&path).unwrap());
        assert!(ledger.put(record(1)).is_err() && ledger.put(record(2)).is_err());
        assert!(ledger.get(&record(1).key).is_err(), "it is not on the disk");
        assert!(ledger.get(&record(0).key).unwrap().is_some());
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[HEAD, &[b'x'; 999]].concat()).unwrap();
        assert_eq!(Ledger::read(&path).unwrap(), [record(0)]);
        ledger.file = good;
        assert_eq!(ledger.get(&record(2).key).unwrap(), Some(&record(2).measure));
        assert_eq!(Ledger::read(&path).unwrap(), [record(0), record(1), record(2)]);
        assert_eq!(fs::read(&path).unwrap().len() as u64, ledger.end);
        fs::remove_file(&path).unwrap();
    }
}

//! `metrics.jsonl`: the record of truth of a run, one JSON object per line.
use rlx::{Error, Result, Scalars, Sink};
use serde_json::{Map, Value};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

/// The file's name in a run folder.
pub const NAME: &str = "metrics.jsonl";

/// A line: `step` first, then what was reported. Numbers that are not finite are `null`; a distribution of samples is
/// `{"count", "mean", "std", "min", "max"}`.
pub type Row = Map<String, Value>;

/// The file, open to append.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    out: BufWriter<File>,
}

/// The environment step of a row.
pub fn step_of(row: &Row) -> Option<u64> {
    row.get("step")?.as_u64()
}

fn summary(samples: &[f32]) -> Value {
    let n = samples.len() as f64;
    let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let std = (samples.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let (min, max) = samples.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
    serde_json::json!({"count": samples.len(), "mean": mean, "std": std, "min": min, "max": max})
}

/// The row of a report.
pub fn row(step: u64, scalars: &Scalars) -> Row {
    let mut row = Row::new();
    row.insert("step".into(), step.into());
    for (name, value) in scalars.iter() {
        row.insert(name.into(), Value::from(value)); // not finite: null
    }
    for (name, samples) in scalars.histograms() {
        row.insert(name.into(), summary(samples));
    }
    row
}

impl MetricsFile {
    /// A new file.
    ///
    /// # Errors
    /// When there is one already, or it cannot be made.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(NAME);
        let file = File::create_new(&path).map_err(|e| Error::io("making", &path, e))?;
        Ok(Self { path, out: BufWriter::new(file) })
    }

    /// The file of a run that goes on from `step`, where it was `evaluated` or has yet to be: rows beyond are dropped, and a last line that
    /// was torn; the others are kept as they are. Also gives the last row that is left.
    ///
    /// # Errors
    /// When a line in the middle is broken (naming it), or the file cannot be rewritten; it is then as it was.
    pub fn resume(dir: &Path, step: u64, evaluated: bool) -> Result<(Self, Option<Row>)> {
        let path = dir.join(NAME);
        let part = dir.join(".metrics.part");
        let mut last = None;
        {
            let fail = |e| Error::io("writing", &part, e);
            let mut out = BufWriter::new(File::create(&part).map_err(fail)?);
            for row in read(dir)? {
                let row = row?;
                let again = |s: u64| s == step && !evaluated && row.keys().any(|k| k.starts_with("eval/"));
                if step_of(&row).is_some_and(|s| s <= step && !again(s)) {
                    serde_json::to_writer(&mut out, &row).map_err(|e| fail(e.into()))?;
                    out.write_all(b"\n").map_err(fail)?;
                    last = Some(row);
                }
            }
            out.flush().map_err(fail)?;
            out.get_ref().sync_all().map_err(fail)?;
        }
        fs::rename(&part, &path).map_err(|e| Error::io("renaming to", &path, e))?;
        let file = File::options().append(true).open(&path).map_err(|e| Error::io("opening", &path, e))?;
        Ok((Self { path, out: BufWriter::new(file) }, last))
    }
}

impl Sink for MetricsFile {
    fn write(&mut self, step: u64, scalars: &Scalars) -> Result<()> {
        let fail = |e| Error::io("writing", &self.path, e);
        serde_json::to_writer(&mut self.out, &row(step, scalars)).map_err(|e| fail(e.into()))?;
        self.out.write_all(b"\n").map_err(fail)
    }
    fn flush(&mut self) -> Result<()> {
        let done = self.out.flush().and_then(|()| self.out.get_ref().sync_data());
        done.map_err(|e| Error::io("writing", &self.path, e))
    }
}

/// The rows of a run's file, one at a time; none when there is no file. A torn last line, as a kill leaves it, is left out.
///
/// # Errors
/// When the file cannot be read; each row is an error when its line is broken and not the last.
pub fn read(dir: &Path) -> Result<impl Iterator<Item = Result<Row>>> {
    let path = dir.join(NAME);
    let file: Box<dyn BufRead> = match File::open(&path) {
        Ok(file) => Box::new(BufReader::new(file)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Box::new(std::io::empty()),
        Err(e) => return Err(Error::io("opening", &path, e)),
    };
    let mut lines = file.split(b'\n').enumerate().peekable();
    Ok(std::iter::from_fn(move || {
        let (number, line) = lines.next()?;
        let is_last = lines.peek().is_none();
        let line = match line {
            Ok(line) => line,
            Err(e) => return Some(Err(Error::io("reading", &path, e))),
        };
        match serde_json::from_slice::<Row>(&line) {
            Ok(row) if step_of(&row).is_some() => Some(Ok(row)),
            _ if is_last => None,
            Ok(_) => Some(Err(Error::corrupt(&path, format!("line {} has no step", number + 1)))),
            Err(e) => Some(Err(Error::corrupt(&path, format!("line {}: {e}", number + 1)))),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::testing::TempDir;

    fn report(value: f64) -> Scalars {
        let mut s = Scalars::default();
        s.put("charts/x", value);
        s.histogram("h", vec![1.0, 3.0]);
        s
    }

    #[test]
    fn rows_come_back_and_a_resume_cuts_exactly() {
        let dir = TempDir::new();
        let mut file = MetricsFile::create(&dir.0).unwrap();
        for step in [10, 20, 30] {
            file.write(step, &report(step as f64 / 3.0)).unwrap();
        }
        file.write(40, &report(f64::NAN)).unwrap();
        file.flush().unwrap();
        assert!(MetricsFile::create(&dir.0).is_err(), "nothing is overwritten");
        let whole = fs::read(dir.0.join(NAME)).unwrap();
        let rows: Vec<Row> = read(&dir.0).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows[0], row(10, &report(10.0 / 3.0)));
        assert_eq!(rows[3]["charts/x"], Value::Null);
        assert_eq!(rows[0]["h"]["mean"], 2.0);
        // Torn at every byte of the last line: the others are there.
        let start = whole[..whole.len() - 1].iter().rposition(|&b| b == b'\n').unwrap() + 1;
        for cut in start..whole.len() - 1 {
            fs::write(dir.0.join(NAME), &whole[..cut]).unwrap();
            assert_eq!(read(&dir.0).unwrap().map(Result::unwrap).count(), 3, "cut at {cut}");
        }
        let (mut file, last) = MetricsFile::resume(&dir.0, 20, true).unwrap();
        assert_eq!(last.as_ref().and_then(step_of), Some(20));
        file.write(30, &report(10.0)).unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read(dir.0.join(NAME)).unwrap(), whole[..start].to_vec());
        // An evaluation at the step itself stays where it was made, and goes where it is made again.
        let mut eval = Scalars::default();
        eval.put("eval/return", 1.0);
        file.write(30, &eval).unwrap();
        file.flush().unwrap();
        for (evaluated, rows) in [(true, 4), (false, 3)] {
            drop(MetricsFile::resume(&dir.0, 30, evaluated).unwrap());
            assert_eq!(read(&dir.0).unwrap().count(), rows);
        }
    }

    #[test]
    fn a_broken_line_in_the_middle_is_named() {
        let dir = TempDir::new();
        fs::write(dir.0.join(NAME), "{\"step\":1}\n{\"step\":\n{\"step\":3}\n").unwrap();
        let error = MetricsFile::resume(&dir.0, 9, true).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert_eq!(fs::read(dir.0.join(NAME)).unwrap().len(), 31, "the file is as it was");
    }
}

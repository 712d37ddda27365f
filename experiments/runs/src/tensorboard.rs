//! TensorBoard event files: records of `tensorboard-rs`, written in place instead of by its thread, which panics on a full disk,
//! truncates another writer's file of the same second and loses what is queued when the program ends.
use protobuf::{Message, RepeatedField, SingularPtrField, well_known_types as known};
use rlx::{Error, Result, Scalars, Sink};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufWriter, Read},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use tensorboard_proto::{
    api, event,
    plugin_hparams::{HParamsPluginData, HParamsPluginData_oneof_data, SessionEndInfo, SessionStartInfo},
    summary::{
        HistogramProto, Summary, Summary_Image, Summary_Value, Summary_Value_oneof_value, SummaryMetadata,
        SummaryMetadata_PluginData,
    },
};
use tensorboard_rs::{masked_crc32c::masked_crc32c, record_writer::RecordWriter};

const PREFIX: &str = "events.out.tfevents.";
/// No record of ours comes near; a length beyond it is a damaged file, not a reason to ask for memory.
const LARGEST_RECORD: u64 = 1 << 28;

/// An event file, open to append.
pub struct Events {
    path: PathBuf,
    out: RecordWriter<BufWriter<File>>,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

impl Events {
    /// The events of a new run, with its hyperparameters.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(dir: &Path, hparams: &[(String, Value)], metrics: &[&str]) -> Result<Self> {
        let mut events = Self::open(dir)?;
        // TensorBoard's Python server (2.21.0, --load_fast=false) heeds no START but from the second on: this is the first.
        events.start(0)?;
        let mut infos = Vec::new();
        for (name, value) in hparams {
            let mut info = api::HParamInfo::new();
            info.set_name(name.clone());
            info.set_field_type(match value {
                Value::Bool(_) => api::DataType::DATA_TYPE_BOOL,
                Value::Number(_) => api::DataType::DATA_TYPE_FLOAT64,
                _ => api::DataType::DATA_TYPE_STRING,
            });
            infos.push(info);
        }
        let mut experiment = api::Experiment::new();
        experiment.set_hparam_infos(RepeatedField::from_vec(infos));
        let metric = |tag: &&str| {
            let (mut name, mut info) = (api::MetricName::new(), api::MetricInfo::new());
            name.set_tag((*tag).into());
            info.set_name(name);
            info
        };
        experiment.set_metric_infos(metrics.iter().map(metric).collect());
        experiment.set_time_created_secs(now());
        events.plugin("_hparams_/experiment", HParamsPluginData_oneof_data::experiment(experiment))?;
        let mut start = SessionStartInfo::new();
        start.set_start_time_secs(now());
        start.set_hparams(hparams.iter().map(|(name, value)| (name.clone(), known_value(value))).collect());
        events.plugin("_hparams_/session_start_info", HParamsPluginData_oneof_data::session_start_info(start))?;
        Ok(events)
    }

    /// The events of a run that goes on from `step`, where it was `evaluated` or has yet to be: files that are there are cut back to it, and a new one starts with a mark that
    /// makes a reader that is already open forget what was cut.
    ///
    /// # Errors
    /// When a file cannot be read or rewritten; it is then as it was.
    pub fn resume(dir: &Path, step: u64, evaluated: bool) -> Result<Self> {
        for path in files(dir)? {
            cut(&path, step, evaluated)?;
        }
        let mut events = Self::open(dir)?;
        // Twice, for a run that an earlier version made without the START at 0: the first may be ignored, another changes nothing.
        events.start(step + 1)?;
        events.start(step + 1)?;
        Ok(events)
    }

    /// A mark on which readers drop what they have from `step` on.
    fn start(&mut self, step: u64) -> Result<()> {
        let mut log = event::SessionLog::new();
        log.set_status(event::SessionLog_SessionStatus::START);
        self.event(step, event::Event_oneof_what::session_log(log))
    }

    /// Removes the event files of a run that starts again at 0.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn clear(dir: &Path) -> Result<()> {
        for path in files(dir)? {
            fs::remove_file(&path).map_err(|e| Error::io("removing", &path, e))?;
        }
        Ok(())
    }

    /// A file of a name that no other has. TensorBoard reads them in the order of their names, so none is before one that is there:
    /// not in its second, and not where this machine's clock is behind. W&B (0.31.0) takes only files that name its own machine.
    fn open(dir: &Path) -> Result<Self> {
        let there = files(dir)?;
        let second =
            |p: &PathBuf| p.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse::<u64>().ok();
        let after = there.iter().filter_map(second).max().map_or(0, |last| last + 1);
        let (time, host, mut number) = ((now() as u64).max(after), host(), there.len());
        let (file, path) = loop {
            let path = dir.join(format!("{PREFIX}{time:010}.{host}.{}.{number}", std::process::id()));
            match File::create_new(&path) {
                Ok(file) => break (file, path),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(Error::io("making", path, e)),
            }
        };
        let mut events = Self { path, out: RecordWriter::new(BufWriter::new(file)) };
        events.event(0, event::Event_oneof_what::file_version("brain.Event:2".into()))?;
        Ok(events)
    }

    fn event(&mut self, step: u64, what: event::Event_oneof_what) -> Result<()> {
        let mut event = event::Event::new();
        event.set_wall_time(now());
        event.set_step(i64::try_from(step).unwrap_or(i64::MAX));
        event.what = Some(what);
        let bytes = event.write_to_bytes().map_err(|e| Error::io("writing", &self.path, std::io::Error::other(e)))?;
        self.out.write(&bytes).map_err(|e| Error::io("writing", &self.path, e))
    }

    fn plugin(&mut self, tag: &str, data: HParamsPluginData_oneof_data) -> Result<()> {
        let mut content = HParamsPluginData::new();
        content.data = Some(data);
        let mut plugin = SummaryMetadata_PluginData::new();
        plugin.set_plugin_name("hparams".into());
        plugin.set_content(content.write_to_bytes().map_err(|e| Error::invalid(format!("hparams: {e}")))?);
        let (mut metadata, mut value) = (SummaryMetadata::new(), Summary_Value::new());
        metadata.plugin_data = SingularPtrField::some(plugin);
        value.set_tag(tag.into());
        value.metadata = SingularPtrField::some(metadata);
        self.summary(0, vec![value])
    }

    fn summary(&mut self, step: u64, values: Vec<Summary_Value>) -> Result<()> {
        let mut summary = Summary::new();
        summary.set_value(RepeatedField::from_vec(values));
        self.event(step, event::Event_oneof_what::summary(summary))
    }

    /// A picture (PNG, or GIF, which moves) of that width and height.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn image(&mut self, step: u64, tag: &str, (width, height): (usize, usize), encoded: Vec<u8>) -> Result<()> {
        let mut image = Summary_Image::new();
        image.set_width(i32::try_from(width).unwrap_or(i32::MAX));
        image.set_height(i32::try_from(height).unwrap_or(i32::MAX));
        image.set_colorspace(3);
        image.set_encoded_image_string(encoded);
        let mut value = Summary_Value::new();
        value.set_tag(tag.into());
        value.value = Some(Summary_Value_oneof_value::image(image));
        self.summary(step, vec![value])?;
        self.flush()
    }

    /// Notes how the run ended (`finished`, `failed`), for the HParams tab, and writes everything out. One that is `interrupted` has not
    /// ended: of two marks an open TensorBoard (2.21.0) heeds the first.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&mut self, status: &str) -> Result<()> {
        if status == "interrupted" {
            return self.flush();
        }
        let mut end = SessionEndInfo::new();
        end.set_status(if status == "finished" { api::Status::STATUS_SUCCESS } else { api::Status::STATUS_FAILURE });
        end.set_end_time_secs(now());
        self.plugin("_hparams_/session_end_info", HParamsPluginData_oneof_data::session_end_info(end))?;
        self.flush()
    }
}

fn known_value(value: &Value) -> known::Value {
    let mut out = known::Value::new();
    match value {
        Value::Bool(b) => out.set_bool_value(*b),
        Value::Number(n) => out.set_number_value(n.as_f64().unwrap_or(f64::NAN)),
        Value::String(s) => out.set_string_value(s.clone()),
        other => out.set_string_value(other.to_string()),
    }
    out
}

/// TensorBoard's buckets: powers of 1.1 from 1e-12 on, and their negatives.
fn histogram(samples: &[f32]) -> HistogramProto {
    let mut limits: Vec<f64> =
        std::iter::successors(Some(1e-12), |x| Some(x * 1.1)).take_while(|x| *x < 1e20).collect();
    limits.push(f64::MAX);
    let mut all: Vec<f64> = limits.iter().rev().map(|x| -x).collect();
    all.push(0.0);
    all.extend(&limits);
    let mut counts = vec![0.0; all.len()];
    let finite: Vec<f64> = samples.iter().map(|&x| f64::from(x)).filter(|x| x.is_finite()).collect();
    for &x in &finite {
        counts[all.partition_point(|limit| *limit < x)] += 1.0;
    }
    let mut out = HistogramProto::new();
    out.set_min(finite.iter().copied().fold(f64::INFINITY, f64::min));
    out.set_max(finite.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    out.set_num(finite.len() as f64);
    out.set_sum(finite.iter().sum());
    out.set_sum_squares(finite.iter().map(|x| x * x).sum());
    // Empty buckets at both ends say nothing.
    let first = counts.iter().position(|c| *c > 0.0).unwrap_or(0).saturating_sub(1);
    let last = counts.iter().rposition(|c| *c > 0.0).unwrap_or(0);
    out.set_bucket_limit(all[first..=last].to_vec());
    out.set_bucket(counts[first..=last].to_vec());
    out
}

impl Sink for Events {
    fn write(&mut self, step: u64, scalars: &Scalars) -> Result<()> {
        let value = |tag: &str, what| {
            let mut value = Summary_Value::new();
            value.set_tag(tag.into());
            value.value = Some(what);
            value
        };
        let mut values: Vec<_> =
            scalars.iter().map(|(tag, x)| value(tag, Summary_Value_oneof_value::simple_value(x as f32))).collect();
        values.extend(scalars.histograms().map(|(tag, s)| value(tag, Summary_Value_oneof_value::histo(histogram(s)))));
        self.summary(step, values)
    }
    fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|e| Error::io("writing", &self.path, e))
    }
}

/// This machine's name as it stands in a file's name: all of it, dots too, by which W&B knows its own.
fn host() -> String {
    let name = crate::host_name();
    let name: String = name.chars().map(|c| if c == '/' || c.is_control() { '-' } else { c }).collect();
    if name.is_empty() { "localhost".into() } else { name }
}

/// The event files of a folder, in the order of their names.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("reading", dir, e))?;
    let is_events = |p: &PathBuf| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(PREFIX));
    let mut files: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).filter(is_events).collect();
    files.sort();
    Ok(files)
}

/// The sound records from the start of a file; it ends at the first that is torn or altered.
fn records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, after) = rest.split_at_checked(12)?;
        let length = u64::from_le_bytes(head[..8].try_into().ok()?);
        if masked_crc32c(&head[..8]).to_le_bytes() != head[8..] || length > LARGEST_RECORD {
            return None;
        }
        let (data, after) = after.split_at_checked(length as usize)?;
        let (crc, after) = after.split_at_checked(4)?;
        if masked_crc32c(data).to_le_bytes() != crc {
            return None;
        }
        rest = after;
        Some(data)
    })
}

/// Rewrites a file without its events beyond `step` (and its evaluation, unless `evaluated`), without earlier marks of resuming (they
/// would make a reader drop what is now written anew; the one at 0, before everything, drops nothing), and without a torn tail.
fn cut(path: &Path, step: u64, evaluated: bool) -> Result<()> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)).map_err(|e| Error::io("reading", path, e))?;
    let mut kept = Vec::with_capacity(bytes.len());
    {
        let mut out = RecordWriter::new(&mut kept);
        for record in records(&bytes) {
            let Ok(event) = event::Event::parse_from_bytes(record) else { break };
            let beyond = event.get_step() > step as i64;
            let again = |s: &Summary| {
                let eval = |v: &Summary_Value| v.get_tag().starts_with("eval/");
                !evaluated && event.get_step() == step as i64 && s.get_value().iter().any(eval)
            };
            let ended = |s: &Summary| s.get_value().iter().any(|v| v.get_tag() == "_hparams_/session_end_info");
            let drop = match &event.what {
                Some(event::Event_oneof_what::session_log(_)) => event.get_step() > 0,
                Some(event::Event_oneof_what::summary(s)) => beyond || ended(s) || again(s),
                _ => beyond,
            };
            if !drop {
                out.write(record).map_err(|e| Error::io("copying", path, e))?;
            }
        }
    }
    if kept.len() == bytes.len() {
        return Ok(());
    }
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let part = path.with_file_name(format!(".{name}.part"));
    fs::write(&part, &kept).map_err(|e| Error::io("writing", &part, e))?;
    File::open(&part).and_then(|f| f.sync_all()).map_err(|e| Error::io("syncing", &part, e))?;
    fs::rename(&part, path).map_err(|e| Error::io("renaming to", path, e))
}

#[cfg(test)]
mod tests;

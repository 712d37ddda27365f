//! Safetensors: folders that are read a tensor at a time, and files whose size is known before they are written.
//!
//! Never pickle: `.bin` and `.pt` are not read.
use crate::{json, keys::Keys};
use rlx::{Error, Result};
use safetensors::{Dtype, tensor::Metadata};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use tch::{Kind, Tensor};

/// Longest header that is read: the format's own limit.
const MOST_HEADER: u64 = 100_000_000;

/// The file of weights in a folder.
pub const WEIGHTS: &str = "model.safetensors";

/// Which tensor is in which file, where there are several.
const INDEX: &str = "model.safetensors.index.json";

/// What peft calls the description of an adapter.
const ADAPTER: &str = "adapter_config.json";

/// What lies in a folder instead of weights that are read, for a message.
fn instead(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    let ends = |ends: &[&str]| names.iter().find(|n| ends.iter().any(|e| n.ends_with(e)));
    if let Some(name) = ends(&[".safetensors"]) {
        return format!("; {name} is not one of the names that transformers reads: rename it if it holds the model");
    }
    match ends(&[".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"]) {
        Some(name) => format!(
            "; {name} is not read (a pickle may run code): save the model as safetensors, as transformers' save_pretrained does"
        ),
        None => String::new(),
    }
}

struct Place {
    part: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    start: u64,
    bytes: usize,
}

/// The tensors of a folder (`model.safetensors`, or the shards that `model.safetensors.index.json` names) or of one file.
pub struct Archive {
    parts: Vec<(PathBuf, File)>,
    places: BTreeMap<String, Place>,
    metadata: BTreeMap<String, String>,
}

impl Archive {
    /// Opens a folder or a file and reads its header; tensors are read when they are asked for. Of a folder only `model.safetensors`
    /// counts, or else the files that its index names: what else lies there (adapters, other precisions) replaces nothing.
    ///
    /// # Errors
    /// When there are no safetensors there, or a header is not what the file is.
    pub fn open(path: &Path) -> Result<Self> {
        let mut archive = Self { parts: Vec::new(), places: BTreeMap::new(), metadata: BTreeMap::new() };
        if !path.is_dir() {
            archive.add(path)?;
            return Ok(archive);
        }
        let (whole, index) = (path.join(WEIGHTS), path.join(INDEX));
        if path.join(ADAPTER).exists() {
            // transformers with peft reads such a folder as the adapter on its base model.
            return Err(Error::invalid(format!(
                "{}: {ADAPTER} says that an adapter belongs to these weights, which is not supported: merge it into them (peft's \
                 merge_and_unload), or take the file away",
                path.display()
            )));
        }
        if whole.exists() {
            archive.add(&whole)?;
        } else if index.exists() {
            archive.shards(path, &index)?;
        } else {
            return Err(Error::invalid(format!(
                "{}: neither {WEIGHTS} nor {INDEX} is there{}",
                path.display(),
                instead(path)
            )));
        }
        Ok(archive)
    }

    /// Whether a folder has weights that [`Archive::open`] reads.
    pub fn is_in(folder: &Path) -> bool {
        [WEIGHTS, INDEX].iter().any(|name| folder.join(name).exists())
    }

    /// The files that an index names, each with the tensors that it gives to them: no more, no fewer, and none elsewhere.
    fn shards(&mut self, folder: &Path, index: &Path) -> Result<()> {
        let json = json::open(index)?;
        let keys = Keys::new(INDEX, &json);
        // Sums over all files: bytes and parameters.
        let _ = keys.get("metadata");
        let map = keys.object("weight_map")?.ok_or_else(|| Error::corrupt(index, "it has no weight_map"))?;
        keys.finish(&[])?;
        let mut files: BTreeSet<&str> = BTreeSet::new();
        for (tensor, file) in map {
            // A name, not a path: an index must not read files elsewhere.
            let plain = |f: &&str| Path::new(f).file_name().is_some_and(|n| n == *f) && !f.contains('\\');
            let file = file.as_str().filter(plain).ok_or_else(|| {
                let why = format!(
                    "weight_map: '{tensor}' is in {}, which is no name of a file in this folder",
                    json::short(file)
                );
                Error::corrupt(index, why)
            })?;
            files.insert(file);
        }
        files.iter().try_for_each(|f| self.add(&folder.join(f)))?;
        for (tensor, file) in map {
            let found = self.places.get(tensor).map(|p| self.file(p));
            if found != file.as_str() {
                let found = found.map_or("no file that it names has it".into(), |f| format!("{f} has it"));
                return Err(Error::corrupt(
                    index,
                    format!("it says that '{tensor}' is in {}, but {found}", json::short(file)),
                ));
            }
        }
        match self.places.iter().find(|(name, _)| !map.contains_key(*name)) {
            Some((name, place)) => Err(Error::corrupt(
                index,
                format!("{} has the tensor '{name}', which it does not name", self.file(place)),
            )),
            None => Ok(()),
        }
    }

    /// The name of the file that a tensor is in.
    fn file(&self, place: &Place) -> &str {
        self.parts[place.part].0.file_name().and_then(|n| n.to_str()).unwrap_or_default()
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let failed = |e| Error::io("reading", path, e);
        let mut file = File::open(path).map_err(|e| Error::io("opening", path, e))?;
        let size = file.metadata().map_err(failed)?.len();
        let mut head = [0; 8];
        if size < 8 {
            return Err(Error::corrupt(path, format!("{size} bytes are too few for safetensors")));
        }
        file.read_exact(&mut head).map_err(failed)?;
        let length = u64::from_le_bytes(head);
        if length > MOST_HEADER || length > size - 8 {
            return Err(Error::corrupt(path, format!("it claims a header of {length} bytes and has {size} in all")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(failed)?;
        let damaged = |why: String| Error::corrupt(path, format!("header: {why}"));
        let json = json::object(&header).map_err(damaged)?;
        // It checks that shapes, types and offsets agree, and that tensors follow each other without gaps.
        let found: Metadata = serde_json::from_value(json.into()).map_err(|e| damaged(e.to_string()))?;
        let end = found.tensors().values().map(|t| t.data_offsets.1 as u64).max().unwrap_or(0);
        if 8 + length + end != size {
            return Err(Error::corrupt(
                path,
                format!("its tensors end at byte {}, the file at {size}", 8 + length + end),
            ));
        }
        for (name, info) in found.tensors() {
            let (start, end) = info.data_offsets;
            let place = Place {
                part: self.parts.len(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: 8 + length + start as u64,
                bytes: end - start,
            };
            if self.places.insert(name.clone(), place).is_some() {
                return Err(Error::corrupt(path, format!("tensor '{name}' is in two files")));
            }
        }
        self.metadata.extend(found.metadata().clone().unwrap_or_default());
        self.parts.push((path.into(), file));
        Ok(())
    }

    /// The free metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }
    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }
    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.places.get(name).map(|p| p.shape.as_slice())
    }
    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.places.values().map(|p| p.bytes as u64).sum()
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.parts.len()
    }
    /// Bytes of the files, headers included.
    ///
    /// # Errors
    /// When one is gone.
    pub fn file_bytes(&self) -> Result<u64> {
        let size =
            |(path, file): &(PathBuf, File)| Ok(file.metadata().map_err(|e| Error::io("reading", path, e))?.len());
        self.parts.iter().map(size).sum()
    }
    /// Numbers in all tensors.
    pub fn parameters(&self) -> u64 {
        self.places.values().map(|p| p.shape.iter().map(|d| *d as u64).product::<u64>()).sum()
    }

    /// That a tensor is there, of a shape (where one is given) and of a type that is read: its type. It is not read.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, name: &str, shape: Option<&[usize]>) -> Result<Kind> {
        let whole = || self.parts.first().map_or_else(PathBuf::new, |p| p.0.clone());
        let place = self
            .places
            .get(name)
            .ok_or_else(|| Error::corrupt(whole(), format!("there is no tensor '{name}' in it")))?;
        let path = &self.parts[place.part].0;
        if let Some(right) = shape.filter(|s| *s != place.shape) {
            let (path, found) = (path.display(), &place.shape);
            // Either may be the wrong one: nothing shows damage.
            return Err(Error::invalid(format!(
                "{path}: tensor '{name}' has shape {found:?}; the config says {right:?}"
            )));
        }
        kind_of(place.dtype).ok_or_else(|| {
            let why = format!("tensor '{name}' is of type {:?}, which is not supported", place.dtype);
            Error::invalid(format!("{}: {why}", path.display()))
        })
    }

    /// A tensor in the type that it is stored in.
    ///
    /// # Errors
    /// As [`Archive::check`], or when the file cannot be read.
    pub fn tensor(&mut self, name: &str, shape: Option<&[usize]>) -> Result<Tensor> {
        let kind = self.check(name, shape)?;
        let place = &self.places[name];
        let (path, file) = &mut self.parts[place.part];
        let failed = |e| Error::io("reading", &*path, e);
        file.seek(SeekFrom::Start(place.start)).map_err(failed)?;
        let mut bytes = vec![0; place.bytes];
        file.read_exact(&mut bytes).map_err(failed)?;
        let size: Vec<i64> = place.shape.iter().map(|d| *d as i64).collect();
        Tensor::f_from_data_size(&bytes, &size, kind)
            .map_err(|e| Error::corrupt(&*path, format!("tensor '{name}': {e}")))
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::U8 => Kind::Uint8,
        Dtype::I64 => Kind::Int64,
        _ => return None,
    })
}

/// What a planned tensor is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stored {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// Bytes.
    U8,
}

impl Stored {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::U8 => "U8",
        }
    }
    /// Bytes of an element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::U8 => 1,
        }
    }
    /// The same in torch.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::F16 => Kind::Half,
            Self::U8 => Kind::Uint8,
        }
    }
}

/// A file before it is written: names, types, shapes and metadata, from which its size follows to the byte.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    entries: Vec<(String, Stored, Vec<usize>)>,
    metadata: BTreeMap<String, String>,
}

impl Plan {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a tensor.
    pub fn add(&mut self, name: impl Into<String>, stored: Stored, shape: &[usize]) {
        self.entries.push((name.into(), stored, shape.to_vec()));
    }
    /// Adds metadata.
    pub fn note(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }
    /// Names, types and shapes of the tensors.
    pub fn entries(&self) -> &[(String, Stored, Vec<usize>)] {
        &self.entries
    }
    /// Names of the tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _, _)| name.as_str())
    }
    /// Bytes of the tensors alone.
    pub fn payload(&self) -> u64 {
        self.entries.iter().map(|(_, s, shape)| s.bytes() * shape.iter().product::<usize>() as u64).sum()
    }
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.header(&self.sorted()).len() as u64 + self.payload()
    }

    /// Wide types first, so that every tensor is aligned to its elements; then by name.
    fn sorted(&self) -> Vec<&(String, Stored, Vec<usize>)> {
        let mut order: Vec<_> = self.entries.iter().collect();
        order.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        order
    }

    fn header(&self, order: &[&(String, Stored, Vec<usize>)]) -> Vec<u8> {
        let quoted = |s: &str| serde_json::Value::from(s).to_string();
        let mut text = String::from("{");
        if !self.metadata.is_empty() {
            let all: Vec<String> = self.metadata.iter().map(|(k, v)| format!("{}:{}", quoted(k), quoted(v))).collect();
            let _ = write!(text, "\"__metadata__\":{{{}}}", all.join(","));
        }
        let mut at = 0;
        for (name, stored, shape) in order {
            let end = at + stored.bytes() * shape.iter().product::<usize>() as u64;
            let comma = if text.len() > 1 { "," } else { "" };
            let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
            let (name, dtype, shape) = (quoted(name), stored.name(), shape.join(","));
            let _ = write!(
                text,
                "{comma}{name}:{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{at},{end}]}}"
            );
            at = end;
        }
        text.push('}');
        while text.len() % 8 != 0 {
            text.push(' ');
        }
        let mut out = (text.len() as u64).to_le_bytes().to_vec();
        out.extend(text.as_bytes());
        out
    }

    /// Writes the file; one that is there is not overwritten. `tensor` gives each by name.
    ///
    /// # Errors
    /// When it cannot be written, or a tensor is not what was planned.
    pub fn write(&self, path: &Path, mut tensor: impl FnMut(&str) -> Result<Tensor>) -> Result<()> {
        let failed = |e| Error::io("writing", path, e);
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        let mut out = BufWriter::new(file);
        let order = self.sorted();
        out.write_all(&self.header(&order)).map_err(failed)?;
        for (name, stored, shape) in order {
            let t = tensor(name)?;
            let size: Vec<usize> = t.size().iter().map(|d| *d as usize).collect();
            if size != *shape || t.kind() != stored.kind() {
                let right = format!("{} {shape:?}", stored.name());
                return Err(Error::mismatch(format!("tensor '{name}'"), right, format!("{:?} {size:?}", t.kind())));
            }
            out.write_all(&bytes_of(&t)?).map_err(failed)?;
        }
        out.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)
    }
}

/// A tensor's bytes as they are stored.
fn bytes_of(t: &Tensor) -> Result<Vec<u8>> {
    let t = t.detach().to_device(tch::Device::Cpu).contiguous();
    let mut bytes = vec![0; t.numel() * t.kind().elt_size_in_bytes()];
    t.f_copy_data_u8(&mut bytes, t.numel()).map_err(|e| Error::invalid(format!("reading a tensor: {e}")))?;
    Ok(bytes)
}

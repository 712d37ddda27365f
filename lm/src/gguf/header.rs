//! The header of one GGUF file.
use super::{
    BlockType, Info, MAGIC, Part, Value,
    value::{Source, key},
};
use rlx::{Error, Result};
use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

/// Tensors of a file, and metadata entries: far above every model there is.
const MOST_TENSORS: u64 = 1 << 17;
const MOST_ENTRIES: u64 = 1 << 16;
/// Dimensions of a tensor that are read, as in ggml, and those past which it is damage: the format leaves room for more than 4.
const MOST_DIMENSIONS: u32 = 4;
const DAMAGED_DIMENSIONS: u32 = 16;
/// Where data begin, where a file does not say it.
pub(super) const ALIGN: u64 = 32;

/// What is wrong with a header.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not what it should be.
    Damaged(String),
    /// It is valid, and not read here.
    Unsupported(String),
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self::Damaged(why)
    }
}

impl Fault {
    fn of(self, path: &Path) -> Error {
        match self {
            Self::Damaged(why) => Error::corrupt(path, why),
            Self::Unsupported(why) => Error::invalid(format!("{}: {why}", path.display())),
        }
    }
}

pub(super) type Outcome<T> = std::result::Result<T, Fault>;

/// A file's metadata and tensors.
pub(super) struct Header<R> {
    pub part: Part<R>,
    pub metadata: BTreeMap<String, Value>,
    pub tensors: BTreeMap<String, Info>,
    /// The file's own `general.alignment`, if it has one.
    pub align: Option<u64>,
    /// Where the header ends, before it is filled up.
    pub end: u64,
}

impl<R: Read + Seek> Header<R> {
    pub fn read(mut reader: R, path: &Path) -> Result<Self> {
        let size = reader.seek(SeekFrom::End(0)).map_err(|e| Error::io("reading", path, e))?;
        reader.rewind().map_err(|e| Error::io("reading", path, e))?;
        let mut source = Source::new(reader, size);
        let (metadata, tensors) = tables(&mut source).map_err(|fault| fault.of(path))?;
        let damaged = |why: String| Error::corrupt(path, why);
        let align = metadata.get("general.alignment").map(|v| {
            v.uint().filter(|a| a.is_power_of_two() && *a <= 1 << 20).ok_or_else(|| {
                damaged(format!("general.alignment is {}; it must be a power of two up to 2^20", v.short()))
            })
        });
        let (align, end) = (align.transpose()?, source.at());
        let data = end.next_multiple_of(align.unwrap_or(ALIGN));
        places(&tensors, data, size, align.unwrap_or(ALIGN)).map_err(damaged)?;
        let part = Part { path: path.into(), reader: source.into_inner(), size, data };
        Ok(Self { part, metadata, tensors, align, end })
    }
}

/// That every tensor lies within the file, and none on another.
fn places(tensors: &BTreeMap<String, Info>, data: u64, size: u64, align: u64) -> std::result::Result<(), String> {
    for (name, info) in tensors {
        let end = data.checked_add(info.offset).and_then(|x| x.checked_add(info.bytes));
        if end.is_none_or(|end| end > size) || info.offset % align != 0 {
            return Err(format!(
                "tensor '{name}' of {} bytes at {} of the data does not fit a file of {size} bytes whose data begin at {data} in steps of {align}",
                info.bytes, info.offset
            ));
        }
    }
    let mut order: Vec<_> = tensors.iter().filter(|(_, i)| i.bytes > 0).collect();
    order.sort_by_key(|(_, i)| i.offset);
    match order.windows(2).find(|w| w[0].1.offset + w[0].1.bytes > w[1].1.offset) {
        Some(w) => Err(format!("tensors '{}' and '{}' overlap", w[0].0, w[1].0)),
        None => Ok(()),
    }
}

/// What the first four bytes are where they are not GGUF's.
fn other_magic(magic: u32) -> Fault {
    let before = match &magic.to_le_bytes() {
        b"lmgg" => "GGML",
        b"fmgg" => "GGMF",
        b"tjgg" => "GGJT",
        _ => {
            let what = "it does not begin with 'GGUF', as a GGUF file does; of a model in safetensors give the folder that has its config.json";
            return Fault::Unsupported(what.into());
        }
    };
    Fault::Unsupported(format!("a file of type {before}, which llama.cpp wrote before GGUF, is not supported"))
}

type Tables = (BTreeMap<String, Value>, BTreeMap<String, Info>);

fn tables<R: Read>(source: &mut Source<R>) -> Outcome<Tables> {
    let magic = source.u32("the magic number")?;
    if magic != MAGIC {
        return Err(other_magic(magic));
    }
    let version = source.u32("the version")?;
    match (version, version.swap_bytes()) {
        (2..=3, _) => {}
        (1 | 4..=255, _) => {
            return Err(Fault::Unsupported(format!("GGUF version {version} is not supported; 2 and 3 are")));
        }
        (_, 1..=255) => {
            return Err(Fault::Unsupported("big-endian GGUF is not supported; little-endian GGUF is".into()));
        }
        _ => return Err(Fault::Damaged(format!("it claims to be GGUF version {version}"))),
    }
    let (count, entries) = (source.u64("the number of tensors")?, source.u64("the number of metadata entries")?);
    if count > MOST_TENSORS || entries > MOST_ENTRIES {
        return Err(Fault::Damaged(format!("it claims {count} tensors and {entries} metadata entries")));
    }
    let mut metadata = BTreeMap::new();
    for i in 0..entries {
        let name = key(source, &format!("the key of metadata entry {i}"))?;
        let value = Value::read(source, &name)?;
        if metadata.insert(name.clone(), value).is_some() {
            return Err(Fault::Damaged(format!("metadata '{name}' is there twice")));
        }
    }
    let mut tensors = BTreeMap::new();
    for i in 0..count {
        let name = key(source, &format!("the name of tensor {i}"))?;
        let info = info(source, &name)?;
        if tensors.insert(name.clone(), info).is_some() {
            return Err(Fault::Damaged(format!("tensor '{name}' is there twice")));
        }
    }
    Ok((metadata, tensors))
}

fn info<R: Read>(source: &mut Source<R>, name: &str) -> Outcome<Info> {
    let what = format!("tensor '{name}'");
    let dimensions = source.u32(&what)?;
    if dimensions > DAMAGED_DIMENSIONS {
        return Err(Fault::Damaged(format!("{what} claims {dimensions} dimensions")));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        shape.push(source.u64(&what)?);
    }
    // A number alone has no dimension: read as a list of one, so that every shape has a first.
    if shape.is_empty() {
        shape.push(1);
    }
    let code = source.u32(&what)?;
    let offset = source.u64(&what)?;
    if dimensions > MOST_DIMENSIONS {
        return Err(Fault::Unsupported(format!(
            "{what} has {dimensions} dimensions, which is not supported; up to {MOST_DIMENSIONS} are"
        )));
    }
    let kind = BlockType::from_code(code).ok_or_else(|| match BlockType::other(code) {
        Some(other) => Fault::Unsupported(format!(
            "{what} is of ggml type {other}, which is not supported; {} are",
            BlockType::names()
        )),
        None => Fault::Damaged(format!("{what} claims to be of ggml type {code}, which there is not")),
    })?;
    let (width, rows) = (shape[0], shape[1..].iter().try_fold(1u64, |n, d| n.checked_mul(*d)));
    let block = kind.elements() as u64;
    if width % block != 0 {
        return Err(Fault::Damaged(format!("{what}: rows of {width} do not divide into {kind}'s blocks of {block}")));
    }
    let bytes = rows.and_then(|r| r.checked_mul(width / block)).and_then(|n| n.checked_mul(kind.bytes() as u64));
    // Torch counts in signed numbers; a dimension of 0 makes all others possible.
    let possible = shape.iter().all(|d| *d <= i64::MAX as u64 / 8);
    let bytes = bytes.filter(|_| possible);
    let bytes = bytes.ok_or_else(|| Fault::Damaged(format!("{what} has an impossible shape {shape:?}")))?;
    let shape = shape.iter().rev().map(|d| *d as usize).collect();
    Ok(Info { shape, kind, offset, bytes, part: 0 })
}

//! GGUF, the file format of llama.cpp (its docs/gguf.md), versions 2 and 3, little-endian: metadata and tensors, read and written.
//!
//! The reader trusts nothing: no length is allocated before it is compared with the bytes that are left, and every tensor's type, shape
//! and place is checked when the file is opened.
mod blocks;
mod kquants;
mod value;
mod write;

pub use blocks::BlockType;
pub use value::{Array, Value};
pub use write::Writer;

use rlx::{Error, Result};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use tch::Tensor;
use value::{Source, key};

const MAGIC: u32 = 0x4655_4747;
/// Tensors of a file, metadata entries, and dimensions of a tensor: far above every model there is.
const MOST_TENSORS: u64 = 1 << 17;
const MOST_ENTRIES: u64 = 1 << 16;
const MOST_DIMENSIONS: u32 = 4;

/// Where a tensor stands, and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Its shape in torch's order, the last dimension contiguous (GGUF writes it the other way round).
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub kind: BlockType,
    /// First byte, from the beginning of the data.
    offset: u64,
    /// Bytes.
    pub bytes: u64,
}

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf<R = BufReader<File>> {
    path: PathBuf,
    reader: R,
    data: u64,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Info>,
}

impl Gguf {
    /// Opens a file and reads all but the tensors.
    ///
    /// # Errors
    /// When it can not be read, is not GGUF, or says of itself what is not so.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("opening", path, e))?;
        Self::read(BufReader::new(file), path)
    }
}

impl<R: Read + Seek> Gguf<R> {
    /// As [`Gguf::open`], from anything; `path` stands in messages only.
    ///
    /// # Errors
    /// As [`Gguf::open`].
    pub fn read(mut reader: R, path: &Path) -> Result<Self> {
        let damaged = |why: String| Error::corrupt(path, why);
        let size = reader.seek(SeekFrom::End(0)).map_err(|e| Error::io("reading", path, e))?;
        reader.rewind().map_err(|e| Error::io("reading", path, e))?;
        let mut source = Source::new(reader, size);
        let head = Self::header(&mut source).map_err(damaged)?;
        let (metadata, mut tensors) = head;
        let align = match metadata.get("general.alignment") {
            None => 32,
            Some(v) => v.uint().filter(|a| a.is_power_of_two() && *a <= 1 << 20).ok_or_else(|| {
                damaged(format!("general.alignment is {}; it must be a power of two up to 2^20", v.short()))
            })?,
        };
        let data = source.at().next_multiple_of(align);
        for (name, info) in &mut tensors {
            let end = data.checked_add(info.offset).and_then(|x| x.checked_add(info.bytes));
            if end.is_none_or(|end| end > size) || info.offset % align != 0 {
                return Err(damaged(format!(
                    "tensor '{name}' of {} bytes at {} of the data does not fit a file of {size} bytes whose data begins at {data}",
                    info.bytes, info.offset
                )));
            }
        }
        Ok(Self { path: path.into(), reader: source.into_inner(), data, metadata, tensors })
    }

    #[allow(clippy::type_complexity)]
    fn header(
        source: &mut Source<R>,
    ) -> std::result::Result<(BTreeMap<String, Value>, BTreeMap<String, Info>), String> {
        let magic = source.u32("the magic number")?;
        if magic != MAGIC {
            return Err("it does not begin with 'GGUF'".into());
        }
        let version = source.u32("the version")?;
        if version.swap_bytes() == 2 || version.swap_bytes() == 3 {
            return Err("it is big-endian; only little-endian GGUF is read".into());
        }
        if !(2..=3).contains(&version) {
            return Err(format!("it is GGUF version {version}; 2 and 3 are read"));
        }
        let (count, entries) = (source.u64("the number of tensors")?, source.u64("the number of metadata entries")?);
        if count > MOST_TENSORS || entries > MOST_ENTRIES {
            return Err(format!("it claims {count} tensors and {entries} metadata entries"));
        }
        let mut metadata = BTreeMap::new();
        for i in 0..entries {
            let name = key(source, &format!("the key of metadata entry {i}"))?;
            let value = Value::read(source, &name)?;
            if metadata.insert(name.clone(), value).is_some() {
                return Err(format!("metadata '{name}' is there twice"));
            }
        }
        let mut tensors = BTreeMap::new();
        for i in 0..count {
            let name = key(source, &format!("the name of tensor {i}"))?;
            let info = Self::info(source, &name)?;
            if tensors.insert(name.clone(), info).is_some() {
                return Err(format!("tensor '{name}' is there twice"));
            }
        }
        Ok((metadata, tensors))
    }

    fn info(source: &mut Source<R>, name: &str) -> std::result::Result<Info, String> {
        let what = format!("tensor '{name}'");
        let dimensions = source.u32(&what)?;
        if dimensions == 0 || dimensions > MOST_DIMENSIONS {
            return Err(format!("{what} has {dimensions} dimensions; 1 to {MOST_DIMENSIONS} are allowed"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(source.u64(&what)?);
        }
        let code = source.u32(&what)?;
        let kind = BlockType::from_code(code).ok_or_else(|| {
            format!("{what} is of ggml type {code}, which is not read; known are {}", BlockType::names())
        })?;
        let offset = source.u64(&what)?;
        let (width, rows) = (shape[0], shape[1..].iter().try_fold(1u64, |n, d| n.checked_mul(*d)));
        let block = kind.elements() as u64;
        if width == 0 || width % block != 0 {
            return Err(format!("{what}: rows of {width} do not divide into {kind}'s blocks of {block}"));
        }
        let bytes = rows.and_then(|r| r.checked_mul(width / block)).and_then(|n| n.checked_mul(kind.bytes() as u64));
        let bytes = bytes.filter(|b| *b > 0).ok_or_else(|| format!("{what} has an impossible shape {shape:?}"))?;
        let shape = shape.iter().rev().map(|d| *d as usize).collect();
        Ok(Info { shape, kind, offset, bytes })
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// All metadata.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }
    /// What tensors there are.
    pub fn tensors(&self) -> &BTreeMap<String, Info> {
        &self.tensors
    }

    /// A tensor's numbers as 32-bit floats.
    ///
    /// # Errors
    /// When there is none of that name, or the file can not be read.
    pub fn tensor(&mut self, name: &str) -> Result<Tensor> {
        let info = self.tensors.get(name).cloned();
        let info = info.ok_or_else(|| Error::corrupt(&self.path, format!("there is no tensor '{name}' in it")))?;
        let failed = |e| Error::io("reading", &self.path, e);
        self.reader.seek(SeekFrom::Start(self.data + info.offset)).map_err(failed)?;
        // The size was checked against the file's when it was opened.
        let mut bytes = vec![0; info.bytes as usize];
        self.reader.read_exact(&mut bytes).map_err(failed)?;
        let numbers = info.kind.dequantize(&bytes);
        let shape: Vec<i64> = info.shape.iter().map(|d| *d as i64).collect();
        Ok(Tensor::from_slice(&numbers).reshape(shape))
    }
}

#[cfg(test)]
mod tests;

//! GGUF, the file format of llama.cpp (its docs/gguf.md), versions 2 and 3, little-endian, in one file or split into parts: metadata and
//! tensors, read and written.
//!
//! The reader trusts nothing: no length is allocated before it is compared with the bytes that are left, and every tensor's type, shape
//! and place is checked when the file is opened. Opening reads headers only.
mod blocks;
mod header;
mod kquants;
mod split;
mod value;
mod write;

pub use blocks::BlockType;
pub use split::is_later_part;
pub use value::{Array, Value};
pub use write::Writer;

use header::Header;
use rlx::{Error, Result};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use tch::Tensor;

const MAGIC: u32 = 0x4655_4747;

/// Where a tensor stands, and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Its shape in torch's order, the last dimension contiguous (GGUF writes it the other way round).
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub kind: BlockType,
    /// First byte, from the beginning of the data of its file.
    offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// The file that it is in.
    part: usize,
}

/// One file of a model.
#[derive(Debug)]
struct Part<R> {
    path: PathBuf,
    reader: R,
    size: u64,
    /// Where its data begin.
    data: u64,
}

/// An open GGUF model: a file, or all parts of one that is split.
#[derive(Debug)]
pub struct Gguf<R = BufReader<File>> {
    parts: Vec<Part<R>>,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Info>,
}

impl Gguf {
    /// Opens a file and reads all but the tensors. Of a model that is split, any part may be named (llama.cpp wants the first): all are
    /// opened.
    ///
    /// # Errors
    /// When it cannot be read, is not GGUF, or says of itself what is not so; when a part is missing or belongs to another model.
    pub fn open(path: &Path) -> Result<Self> {
        let file = |path: &Path| {
            let file = File::open(path).map_err(|e| Error::io("opening", path, e))?;
            Header::read(BufReader::new(file), path)
        };
        split::join(file(path)?, file)
    }
}

impl<R: Read + Seek> Gguf<R> {
    /// As [`Gguf::open`], from anything that is one file; `path` stands in messages only.
    ///
    /// # Errors
    /// As [`Gguf::open`].
    pub fn read(reader: R, path: &Path) -> Result<Self> {
        Ok(Self::whole(Header::read(reader, path)?))
    }

    fn whole(header: Header<R>) -> Self {
        Self { parts: vec![header.part], metadata: header.metadata, tensors: header.tensors }
    }

    /// The file it was read from; the first, where there are several.
    pub fn path(&self) -> &Path {
        &self.parts[0].path
    }
    /// How many files there are.
    pub fn files(&self) -> usize {
        self.parts.len()
    }
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.size).sum()
    }
    /// All metadata.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }
    /// What tensors there are.
    pub fn tensors(&self) -> &BTreeMap<String, Info> {
        &self.tensors
    }

    /// That a tensor is there, with that shape.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        match self.tensors.get(name) {
            None => Err(Error::corrupt(self.path(), format!("there is no tensor '{name}' in it"))),
            // Either may be the wrong one: nothing shows damage.
            Some(info) if info.shape != shape => Err(Error::invalid(format!(
                "{}: tensor '{name}' has shape {:?}; the metadata say {shape:?}",
                self.path().display(),
                info.shape
            ))),
            Some(_) => Ok(()),
        }
    }

    /// A tensor's numbers as 32-bit floats.
    ///
    /// # Errors
    /// When there is none of that name, or the file cannot be read.
    pub fn tensor(&mut self, name: &str) -> Result<Tensor> {
        let info = self.tensors.get(name).cloned();
        let info = info.ok_or_else(|| Error::corrupt(self.path(), format!("there is no tensor '{name}' in it")))?;
        let part = &mut self.parts[info.part];
        let failed = |e| Error::io("reading", &part.path, e);
        part.reader.seek(SeekFrom::Start(part.data + info.offset)).map_err(failed)?;
        // The size was checked against the file's when it was opened.
        let mut bytes = vec![0; info.bytes as usize];
        part.reader.read_exact(&mut bytes).map_err(failed)?;
        let numbers = info.kind.dequantize(&bytes);
        let shape: Vec<i64> = info.shape.iter().map(|d| *d as i64).collect();
        Ok(Tensor::from_slice(&numbers).reshape(shape))
    }
}

#[cfg(test)]
mod split_tests;
#[cfg(test)]
mod tests;

//! Writing GGUF version 3.
use super::{
    Array, BlockType, MAGIC, Value,
    value::{code, width},
};
use rlx::{Error, Result};
use std::{
    fs::OpenOptions,
    io::{BufWriter, Write},
    path::Path,
};
use tch::{Kind, Tensor};

const ALIGN: usize = 32;

/// Collects metadata and tensors, then writes them.
#[derive(Debug, Default)]
pub struct Writer {
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, Vec<usize>, BlockType, Vec<u8>)>,
}

impl Writer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata entry, or gives one that is there another value.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        let name = name.into();
        self.metadata.retain(|(n, _)| *n != name);
        self.metadata.push((name, value));
    }

    /// Adds a tensor, quantised to `kind`.
    ///
    /// # Errors
    /// When its rows do not divide into the type's blocks, or the type is only read.
    pub fn tensor(&mut self, name: impl Into<String>, tensor: &Tensor, kind: BlockType) -> Result<()> {
        let name = name.into();
        let shape: Vec<usize> = tensor.size().iter().map(|d| *d as usize).collect();
        let width = shape.last().copied().unwrap_or(1);
        if width % kind.elements() != 0 {
            return Err(Error::invalid(format!(
                "GGUF tensor '{name}': rows of {width} do not divide into {kind}'s blocks of {}",
                kind.elements()
            )));
        }
        let numbers = rlx_nn::upload::to_vec(&tensor.to_kind(Kind::Float))?;
        let bytes = kind.quantize(&numbers);
        let bytes = bytes.ok_or_else(|| Error::invalid(format!("GGUF type {kind} is read, not written")))?;
        self.tensors.push((name, shape, kind, bytes));
        Ok(())
    }

    /// Writes the file; one that is there is not overwritten.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |e| Error::io("writing", path, e);
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        let mut out = BufWriter::new(file);
        let head = self.header(&self.metadata());
        out.write_all(&head).map_err(failed)?;
        out.write_all(&vec![0; head.len().next_multiple_of(ALIGN) - head.len()]).map_err(failed)?;
        for (_, _, _, bytes) in &self.tensors {
            out.write_all(bytes).map_err(failed)?;
            out.write_all(&vec![0; bytes.len().next_multiple_of(ALIGN) - bytes.len()]).map_err(failed)?;
        }
        out.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)
    }

    /// The metadata, with what says to other tools how the weights are stored, unless that was set: the version of the block formats, which
    /// is 2 since 2023, and the type that most tensors have.
    fn metadata(&self) -> Vec<(String, Value)> {
        let mut all = self.metadata.clone();
        let count = |kind: BlockType| self.tensors.iter().filter(|t| t.2 == kind).count();
        let most = self.tensors.iter().map(|t| t.2).max_by_key(|kind| count(*kind));
        let own = [("quantization_version", Some(2)), ("file_type", most.and_then(BlockType::file_type))];
        for (key, value) in own.into_iter().filter_map(|(k, v)| Some((format!("general.{k}"), v?))) {
            if all.iter().all(|(k, _)| *k != key) {
                all.push((key, Value::u32(value)));
            }
        }
        all
    }

    fn header(&self, metadata: &[(String, Value)]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(MAGIC.to_le_bytes());
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((metadata.len() as u64).to_le_bytes());
        for (name, value) in metadata {
            text(&mut out, name);
            put(&mut out, value);
        }
        let mut offset = 0u64;
        for (name, shape, kind, bytes) in &self.tensors {
            text(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|d| out.extend((*d as u64).to_le_bytes()));
            out.extend(kind.code().to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += bytes.len().next_multiple_of(ALIGN) as u64;
        }
        out
    }
}

fn text(out: &mut Vec<u8>, x: &str) {
    out.extend((x.len() as u64).to_le_bytes());
    out.extend(x.as_bytes());
}

fn int(out: &mut Vec<u8>, kind: u32, x: i128) {
    out.extend(&x.to_le_bytes()[..width(kind).unwrap_or(8)]);
}

fn put(out: &mut Vec<u8>, value: &Value) {
    let mut tag = |x: u32| out.extend(x.to_le_bytes());
    match value {
        Value::Int(kind, x) => {
            tag(*kind);
            int(out, *kind, *x);
        }
        Value::F32(x) => {
            tag(code::F32);
            out.extend(x.to_le_bytes());
        }
        Value::F64(x) => {
            tag(code::F64);
            out.extend(x.to_le_bytes());
        }
        Value::Bool(x) => {
            tag(code::BOOL);
            out.push((*x).into());
        }
        Value::Text(x) => {
            tag(code::TEXT);
            text(out, x);
        }
        Value::List(list) => {
            tag(code::LIST);
            put_list(out, list);
        }
    }
}

fn put_list(out: &mut Vec<u8>, list: &Array) {
    let (kind, len) = match list {
        Array::Ints(kind, x) => (*kind, x.len()),
        Array::F32(x) => (code::F32, x.len()),
        Array::F64(x) => (code::F64, x.len()),
        Array::Bools(x) => (code::BOOL, x.len()),
        Array::Texts(x) => (code::TEXT, x.len()),
        Array::Lists(x) => (code::LIST, x.len()),
    };
    out.extend(kind.to_le_bytes());
    out.extend((len as u64).to_le_bytes());
    match list {
        Array::Ints(kind, x) => x.iter().for_each(|v| int(out, *kind, (*v).into())),
        Array::F32(x) => x.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::F64(x) => x.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::Bools(x) => x.iter().for_each(|v| out.push((*v).into())),
        Array::Texts(x) => x.iter().for_each(|v| text(out, v)),
        Array::Lists(x) => x.iter().for_each(|v| put_list(out, v)),
    }
}

//! Metadata values, and the source that they are read from: it knows how many bytes are left.
use super::header::{Fault, Outcome};
use std::io::Read;

/// Longest key or tensor name: the format's own limit.
const MOST_KEY: u64 = 65_535;
/// Lists within lists that are read; llama.cpp v0.5.0 reads none, the format sets no limit.
const MOST_DEPTH: u32 = 8;
/// Past every code that a later version of the format could give a type: not a type but damage.
const MOST_CODE: u32 = 255;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer, with the code of its type in the format.
    Int(u32, i128),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list of one type.
    List(Array),
}

/// A list of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Integers of the type with that code.
    Ints(u32, Vec<i64>),
    /// Floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// Truth values.
    Bools(Vec<bool>),
    /// Texts.
    Texts(Vec<String>),
    /// Lists, each of a type of its own.
    Lists(Vec<Array>),
}

/// Codes of the value types.
pub(super) mod code {
    pub const U8: u32 = 0;
    pub const I8: u32 = 1;
    pub const U16: u32 = 2;
    pub const I16: u32 = 3;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const TEXT: u32 = 8;
    pub const LIST: u32 = 9;
    pub const U64: u32 = 10;
    pub const I64: u32 = 11;
    pub const F64: u32 = 12;
}

/// Bytes of an integer type.
pub(super) fn width(code: u32) -> Option<usize> {
    Some(match code {
        code::U8 | code::I8 => 1,
        code::U16 | code::I16 => 2,
        code::U32 | code::I32 => 4,
        code::U64 | code::I64 => 8,
        _ => return None,
    })
}

impl Value {
    /// An unsigned 32-bit integer.
    pub fn u32(x: u32) -> Self {
        Self::Int(code::U32, x.into())
    }
    /// A list of signed 32-bit integers.
    pub fn i32s(x: impl IntoIterator<Item = i32>) -> Self {
        Self::List(Array::Ints(code::I32, x.into_iter().map(i64::from).collect()))
    }
    /// Text.
    pub fn text(x: impl Into<String>) -> Self {
        Self::Text(x.into())
    }

    /// As an unsigned integer.
    pub fn uint(&self) -> Option<u64> {
        match self {
            Self::Int(_, x) => u64::try_from(*x).ok(),
            _ => None,
        }
    }
    /// As a float.
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::F32(x) => Some((*x).into()),
            Self::F64(x) => Some(*x),
            Self::Int(_, x) => Some(*x as f64),
            _ => None,
        }
    }
    /// As text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(x) => Some(x),
            _ => None,
        }
    }
    /// As a list of texts.
    pub fn texts(&self) -> Option<&[String]> {
        match self {
            Self::List(Array::Texts(x)) => Some(x),
            _ => None,
        }
    }
    /// As a list of integers.
    pub fn ints(&self) -> Option<&[i64]> {
        match self {
            Self::List(Array::Ints(_, x)) => Some(x),
            _ => None,
        }
    }
    /// For messages: never more than a line.
    pub fn short(&self) -> String {
        match self {
            Self::Int(_, x) => x.to_string(),
            Self::F32(x) => x.to_string(),
            Self::F64(x) => x.to_string(),
            Self::Bool(x) => x.to_string(),
            Self::Text(x) if x.chars().count() > 60 => format!("'{}...'", x.chars().take(57).collect::<String>()),
            Self::Text(x) => format!("'{x}'"),
            Self::List(Array::Ints(_, x)) => format!("a list of {} integers", x.len()),
            Self::List(Array::F32(x)) => format!("a list of {} floats", x.len()),
            Self::List(Array::F64(x)) => format!("a list of {} floats", x.len()),
            Self::List(Array::Lists(x)) => format!("a list of {} lists", x.len()),
            Self::List(Array::Bools(x)) => format!("a list of {} truth values", x.len()),
            Self::List(Array::Texts(x)) => format!("a list of {} texts", x.len()),
        }
    }

    pub(super) fn read<R: Read>(source: &mut Source<R>, name: &str) -> Outcome<Self> {
        let what = format!("metadata '{name}'");
        let kind = source.u32(&what)?;
        Ok(match kind {
            code::F32 => Self::F32(f32::from_le_bytes(source.array(&what)?)),
            code::F64 => Self::F64(f64::from_le_bytes(source.array(&what)?)),
            code::BOOL => Self::Bool(source.byte(&what)? != 0),
            code::TEXT => Self::Text(source.text(&what, u64::MAX)?),
            code::LIST => Self::List(Array::read(source, &what, 1)?),
            other if width(other).is_some() => Self::Int(other, source.int(other, &what)?),
            other => return Err(unknown(&what, "", other)),
        })
    }
}

/// A type that the format does not have, as far as is known here.
fn unknown(what: &str, list: &str, kind: u32) -> Fault {
    match kind <= MOST_CODE {
        true => {
            Fault::Unsupported(format!("{what} is {list}of value type {kind}, which is not supported; 0 to 12 are"))
        }
        false => Fault::Damaged(format!("{what} claims to be {list}of value type {kind}, which there is not")),
    }
}

impl Array {
    fn read<R: Read>(source: &mut Source<R>, what: &str, depth: u32) -> Outcome<Self> {
        if depth > MOST_DEPTH {
            return Err(Fault::Unsupported(format!(
                "{what} has lists in lists deeper than {MOST_DEPTH}, which is not supported"
            )));
        }
        let kind = source.u32(what)?;
        let len = source.u64(what)?;
        // What one element takes at least; a text is a length and its bytes, a list a type, a length and its elements.
        let each = match kind {
            code::BOOL => 1,
            code::F32 => 4,
            code::F64 | code::TEXT => 8,
            code::LIST => 12,
            other => width(other).ok_or_else(|| unknown(what, "a list ", other))?,
        };
        source.check(len, each as u64, what)?;
        let all = 0..len;
        Ok(match kind {
            code::BOOL => Self::Bools(all.map(|_| Ok(source.byte(what)? != 0)).collect::<Outcome<_>>()?),
            code::F32 => Self::F32(all.map(|_| Ok(f32::from_le_bytes(source.array(what)?))).collect::<Outcome<_>>()?),
            code::F64 => Self::F64(all.map(|_| Ok(f64::from_le_bytes(source.array(what)?))).collect::<Outcome<_>>()?),
            code::TEXT => Self::Texts(all.map(|_| Ok(source.text(what, u64::MAX)?)).collect::<Outcome<_>>()?),
            code::LIST => Self::Lists(all.map(|_| Self::read(source, what, depth + 1)).collect::<Outcome<_>>()?),
            other => {
                let large = || format!("{what} is a list with a number of 2^63 or more, which is not supported");
                let read = |_| i64::try_from(source.int(other, what)?).map_err(|_| Fault::Unsupported(large()));
                Self::Ints(other, all.map(read).collect::<Outcome<_>>()?)
            }
        })
    }
}

/// A key or a tensor's name.
pub(super) fn key<R: Read>(source: &mut Source<R>, what: &str) -> Result<String, String> {
    source.text(what, MOST_KEY)
}

/// A reader that knows where it is and how much there is.
pub(super) struct Source<R> {
    reader: R,
    at: u64,
    size: u64,
}

impl<R: Read> Source<R> {
    pub fn new(reader: R, size: u64) -> Self {
        Self { reader, at: 0, size }
    }
    pub fn at(&self) -> u64 {
        self.at
    }
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// That `len` things of at least `each` bytes may still come.
    pub fn check(&self, len: u64, each: u64, what: &str) -> Result<(), String> {
        let left = self.size - self.at;
        match len.checked_mul(each) {
            Some(need) if need <= left => Ok(()),
            _ => Err(format!(
                "{what} at byte {} claims {len} elements of {each} bytes, but {left} bytes are left",
                self.at
            )),
        }
    }

    fn fill(&mut self, out: &mut [u8], what: &str) -> Result<(), String> {
        self.check(out.len() as u64, 1, what)?;
        self.reader.read_exact(out).map_err(|e| format!("{what} at byte {}: {e}", self.at))?;
        self.at += out.len() as u64;
        Ok(())
    }
    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let mut out = [0; N];
        self.fill(&mut out, what)?;
        Ok(out)
    }
    pub fn byte(&mut self, what: &str) -> Result<u8, String> {
        Ok(self.array::<1>(what)?[0])
    }
    pub fn u32(&mut self, what: &str) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }
    pub fn u64(&mut self, what: &str) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }
    pub fn int(&mut self, kind: u32, what: &str) -> Result<i128, String> {
        Ok(match kind {
            code::U8 => self.byte(what)?.into(),
            code::I8 => (self.byte(what)? as i8).into(),
            code::U16 => u16::from_le_bytes(self.array(what)?).into(),
            code::I16 => i16::from_le_bytes(self.array(what)?).into(),
            code::U32 => self.u32(what)?.into(),
            code::I32 => (self.u32(what)? as i32).into(),
            code::U64 => self.u64(what)?.into(),
            _ => (self.u64(what)? as i64).into(),
        })
    }
    pub fn text(&mut self, what: &str, most: u64) -> Result<String, String> {
        let len = self.u64(what)?;
        if len > most {
            return Err(format!("{what} claims {len} bytes; at most {most} are allowed"));
        }
        self.check(len, 1, what)?;
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes, what)?;
        String::from_utf8(bytes).map_err(|_| format!("{what} is not UTF-8"))
    }
}

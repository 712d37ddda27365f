//! Ways to store a matrix, and what each costs.
use crate::archive::Stored;
use rlx::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How a weight matrix is stored. Groups run along the input dimension; a group's scale, and minimum where it has one, are half floats.
/// Written `f32`, `f16`, `q4-g32` (codes with a scale and a minimum), `q8s-g32` (symmetric: a scale only), `nf4-g64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scheme {
    /// 32-bit floats.
    F32,
    /// Half floats.
    F16,
    /// Integer codes of 2, 3, 4 or 8 bits.
    Int {
        /// Bits of a code.
        bits: u8,
        /// Inputs that share a scale: 8 to 1024, a multiple of 8.
        group: u16,
        /// Whether there is no minimum: w = scale (code - 2^(bits - 1)).
        symmetric: bool,
    },
    /// The 16 quantiles of a normal distribution of QLoRA (arXiv 2305.14314, appendix E), times the group's largest magnitude.
    Nf4 {
        /// Inputs that share a scale.
        group: u16,
    },
}

impl Scheme {
    /// What a number of bits stands for: 32 and 16 floats, 8 symmetric (8.5 bits a weight, as Q8_0), 4, 3 and 2 with a minimum (5, 4
    /// and 3 bits a weight: groups of 32, as Q4_1), all in groups of 32.
    ///
    /// # Errors
    /// When it is another number.
    pub fn of_bits(bits: u32) -> Result<Self> {
        Ok(match bits {
            32 => Self::F32,
            16 => Self::F16,
            8 => Self::Int { bits: 8, group: 32, symmetric: true },
            2..=4 => Self::Int { bits: bits as u8, group: 32, symmetric: false },
            _ => return Err(Error::invalid(format!("{bits} bits; it must be 32, 16, 8, 4, 3 or 2"))),
        })
    }

    /// The NF4 scheme of QLoRA: groups of 64, 4.25 bits a weight.
    pub const NF4: Self = Self::Nf4 { group: 64 };

    /// The nominal bits of a weight, without scales.
    pub fn bits(self) -> u32 {
        match self {
            Self::F32 => 32,
            Self::F16 => 16,
            Self::Int { bits, .. } => bits.into(),
            Self::Nf4 { .. } => 4,
        }
    }

    /// Inputs that share a scale, none for floats.
    pub fn group(self) -> Option<usize> {
        match self {
            Self::F32 | Self::F16 => None,
            Self::Int { group, .. } | Self::Nf4 { group } => Some(group.into()),
        }
    }

    /// Whether groups have a minimum.
    pub(crate) fn has_minimum(self) -> bool {
        matches!(self, Self::Int { symmetric: false, .. })
    }

    /// Bytes of the codes of a row: planes of 4, 2 or 1 bits (3 = 2 + 1), each padded to whole bytes.
    pub(crate) fn row_bytes(self, columns: usize) -> usize {
        match self.bits() {
            3 => columns.div_ceil(4) + columns.div_ceil(8),
            bits => (columns * bits as usize).div_ceil(8),
        }
    }

    /// The tensors that store a matrix of this scheme: suffix of the name, type, shape.
    pub fn parts(self, rows: usize, columns: usize) -> Vec<(&'static str, Stored, [usize; 2])> {
        let Some(group) = self.group() else {
            return vec![("", if self == Self::F32 { Stored::F32 } else { Stored::F16 }, [rows, columns])];
        };
        let groups = columns.div_ceil(group);
        let mut parts =
            vec![(".codes", Stored::U8, [rows, self.row_bytes(columns)]), (".scale", Stored::F16, [rows, groups])];
        if self.has_minimum() {
            parts.push((".min", Stored::F16, [rows, groups]));
        }
        parts
    }

    /// Bytes of a matrix.
    pub fn bytes(self, rows: usize, columns: usize) -> u64 {
        self.parts(rows, columns).iter().map(|(_, s, [r, c])| s.bytes() * (r * c) as u64).sum()
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("f32"),
            Self::F16 => f.write_str("f16"),
            Self::Int { bits, group, symmetric } => write!(f, "q{bits}{}-g{group}", if *symmetric { "s" } else { "" }),
            Self::Nf4 { group } => write!(f, "nf4-g{group}"),
        }
    }
}

impl FromStr for Scheme {
    type Err = Error;
    /// Also takes bare numbers of bits and `nf4`: see [`Scheme::of_bits`].
    fn from_str(s: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(format!(
                "scheme '{s}'; it must be 16, 8, 4, 3, 2, nf4, f32, f16, q4-g32, q8s-g32, nf4-g64 or alike"
            ))
        };
        if let Ok(bits) = s.parse::<u32>() {
            return Self::of_bits(bits);
        }
        let group = |text: &str| {
            text.parse::<u16>()
                .ok()
                .filter(|g| (8..=1024).contains(g) && g % 8 == 0)
                .ok_or_else(|| Error::invalid(format!("scheme '{s}': a group is a multiple of 8 from 8 to 1024")))
        };
        match s {
            "f32" => return Ok(Self::F32),
            "f16" => return Ok(Self::F16),
            "nf4" => return Ok(Self::NF4),
            _ => {}
        }
        let (head, tail) = s.split_once("-g").ok_or_else(bad)?;
        if head == "nf4" {
            return Ok(Self::Nf4 { group: group(tail)? });
        }
        let head = head.strip_prefix('q').ok_or_else(bad)?;
        let (head, symmetric) = head.strip_suffix('s').map_or((head, false), |h| (h, true));
        let bits = head.parse().ok().filter(|b| [2, 3, 4, 8].contains(b)).ok_or_else(bad)?;
        Ok(Self::Int { bits, group: group(tail)?, symmetric })
    }
}

impl TryFrom<String> for Scheme {
    type Error = Error;
    fn try_from(s: String) -> Result<Self> {
        s.parse()
    }
}

impl From<Scheme> for String {
    fn from(s: Scheme) -> Self {
        s.to_string()
    }
}

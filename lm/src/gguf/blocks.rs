//! The number formats of ggml: plain floats, and blocks that share a scale. Layouts as in ggml's `ggml-common.h`.
use super::kquants;
use half::{bf16, f16};
use std::fmt;

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockType {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// 4 bits, 32 share a scale: d (q - 8).
    Q4_0,
    /// 4 bits, 32 share a scale and a minimum: d q + m.
    Q4_1,
    /// 5 bits, as Q4_0: d (q - 16).
    Q5_0,
    /// 5 bits, as Q4_1.
    Q5_1,
    /// 8 bits, 32 share a scale.
    Q8_0,
    /// 2.6 bits, blocks of 256.
    Q2K,
    /// 3.4 bits, blocks of 256.
    Q3K,
    /// 4.5 bits, blocks of 256.
    Q4K,
    /// 5.5 bits, blocks of 256.
    Q5K,
    /// 6.6 bits, blocks of 256.
    Q6K,
    /// 4.5 bits: a table of 16 levels that lie closer around zero, 32 share a scale.
    IQ4NL,
    /// 4.25 bits: the same table, blocks of 256.
    IQ4XS,
    /// 4.25 bits: floats of 4 bits (E2M1), 32 share a power of two. The OCP's Microscaling Formats 1.0.
    MXFP4,
}

/// (type, ggml's code, elements of a block, bytes of a block, name)
const TYPES: [(BlockType, u32, usize, usize, &str); 16] = [
    (BlockType::F32, 0, 1, 4, "F32"),
    (BlockType::F16, 1, 1, 2, "F16"),
    (BlockType::BF16, 30, 1, 2, "BF16"),
    (BlockType::Q4_0, 2, 32, 18, "Q4_0"),
    (BlockType::Q4_1, 3, 32, 20, "Q4_1"),
    (BlockType::Q5_0, 6, 32, 22, "Q5_0"),
    (BlockType::Q5_1, 7, 32, 24, "Q5_1"),
    (BlockType::Q8_0, 8, 32, 34, "Q8_0"),
    (BlockType::Q2K, 10, 256, 84, "Q2_K"),
    (BlockType::Q3K, 11, 256, 110, "Q3_K"),
    (BlockType::Q4K, 12, 256, 144, "Q4_K"),
    (BlockType::Q5K, 13, 256, 176, "Q5_K"),
    (BlockType::Q6K, 14, 256, 210, "Q6_K"),
    (BlockType::IQ4NL, 20, 32, 18, "IQ4_NL"),
    (BlockType::IQ4XS, 23, 256, 136, "IQ4_XS"),
    (BlockType::MXFP4, 39, 32, 17, "MXFP4"),
];

/// Types of ggml that are not read, with their codes (`ggml.h` of llama.cpp v0.5.0). Those of 4, 5, 31 to 33 and 36 to 38 are gone from it;
/// old files still have them.
const OTHERS: [(u32, &str); 27] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (40, "NVFP4"),
    (41, "Q1_0"),
    (42, "Q2_0"),
];
/// Past every code that ggml or one of its forks gives: not a type but damage.
const MOST_CODE: u32 = 1024;

impl BlockType {
    fn row(self) -> &'static (Self, u32, usize, usize, &'static str) {
        TYPES.iter().find(|t| t.0 == self).expect("every type is in the table")
    }
    /// The type with ggml's code.
    pub fn from_code(code: u32) -> Option<Self> {
        TYPES.iter().find(|t| t.1 == code).map(|t| t.0)
    }
    /// What a type that is not read is called: `IQ2_XXS (16)`, or by its code where it has no name here. None where no type can have it.
    pub(super) fn other(code: u32) -> Option<String> {
        match OTHERS.iter().find(|(c, _)| *c == code) {
            Some((code, name)) => Some(format!("{name} ({code})")),
            None => (code <= MOST_CODE).then(|| code.to_string()),
        }
    }
    /// The type of that name: `Q4_0`.
    pub fn from_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|t| t.4.eq_ignore_ascii_case(name)).map(|t| t.0)
    }
    /// ggml's code of it.
    pub fn code(self) -> u32 {
        self.row().1
    }
    /// Numbers in a block.
    pub fn elements(self) -> usize {
        self.row().2
    }
    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        self.row().3
    }
    /// All names, for messages.
    pub fn names() -> String {
        TYPES.map(|t| t.4).join(", ")
    }

    /// The type of the embedding, and of a head, in a file whose projections are of this one: a row of a table is looked up by itself, and
    /// suffers more from few bits.
    pub fn of_table(self) -> Self {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => self,
            _ => Self::Q8_0,
        }
    }

    /// llama.cpp's code of a file whose tensors are mostly of this type (`llama_ftype` in llama.h); of those that are written here.
    pub(super) fn file_type(self) -> Option<u32> {
        Some(match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q8_0 => 7,
            Self::BF16 => 32,
            _ => return None,
        })
    }

    /// The numbers of whole blocks; bytes of a block that is cut off are left out.
    pub fn dequantize(self, bytes: &[u8]) -> Vec<f32> {
        let (elements, size) = (self.elements(), self.bytes());
        let mut out = vec![0.0; bytes.len() / size * elements];
        for (b, y) in bytes.chunks_exact(size).zip(out.chunks_exact_mut(elements)) {
            match self {
                Self::F32 => y[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
                Self::F16 => y[0] = half(b, 0),
                Self::BF16 => y[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32(),
                Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => small(self, b, y),
                Self::Q8_0 => {
                    let d = half(b, 0);
                    y.iter_mut().zip(&b[2..]).for_each(|(y, q)| *y = d * f32::from(*q as i8));
                }
                Self::Q2K => kquants::q2(b, y),
                Self::Q3K => kquants::q3(b, y),
                Self::Q4K => kquants::q4(b, y),
                Self::Q5K => kquants::q5(b, y),
                Self::Q6K => kquants::q6(b, y),
                Self::IQ4NL => kquants::iq4_nl(b, y),
                Self::IQ4XS => kquants::iq4_xs(b, y),
                Self::MXFP4 => kquants::mxfp4(b, y),
            }
        }
        out
    }

    /// Blocks of the numbers, as ggml's reference quantisers make them; none for the types that are only read.
    pub fn quantize(self, x: &[f32]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(x.len() / self.elements() * self.bytes());
        for x in x.chunks_exact(self.elements()) {
            match self {
                Self::F32 => out.extend(x[0].to_le_bytes()),
                Self::F16 => out.extend(f16::from_f32(x[0]).to_le_bytes()),
                Self::BF16 => out.extend(bf16::from_f32(x[0]).to_le_bytes()),
                Self::Q8_0 => {
                    let d = x.iter().fold(0f32, |m, v| m.max(v.abs())) / 127.0;
                    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
                    out.extend(f16::from_f32(d).to_le_bytes());
                    out.extend(x.iter().map(|v| (v * inverse).round() as i8 as u8));
                }
                Self::Q4_0 => {
                    // The value farthest from zero, with its sign, becomes -8: the end of the range that has one level more.
                    let far = x.iter().fold(0f32, |m, v| if v.abs() > m.abs() { *v } else { m });
                    let d = far / -8.0;
                    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
                    out.extend(f16::from_f32(d).to_le_bytes());
                    let q = |v: f32| ((v * inverse + 8.5) as i32).clamp(0, 15) as u8;
                    out.extend((0..16).map(|i| q(x[i]) | q(x[i + 16]) << 4));
                }
                Self::Q4_1 => {
                    let (low, high) = x.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
                    let d = (high - low) / 15.0;
                    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
                    out.extend(f16::from_f32(d).to_le_bytes());
                    out.extend(f16::from_f32(low).to_le_bytes());
                    let q = |v: f32| (((v - low) * inverse + 0.5) as i32).clamp(0, 15) as u8;
                    out.extend((0..16).map(|i| q(x[i]) | q(x[i + 16]) << 4));
                }
                _ => return None,
            }
        }
        Some(out)
    }
}

impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().4)
    }
}

/// The half float at byte `at`.
pub(super) fn half(b: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([b[at], b[at + 1]]).to_f32()
}

/// The 32-blocks of 4 and 5 bits: a scale, perhaps a minimum, perhaps the fifth bits, then nibbles; the first 16 numbers are low ones.
fn small(kind: BlockType, b: &[u8], y: &mut [f32]) {
    let five = matches!(kind, BlockType::Q5_0 | BlockType::Q5_1);
    let minimum = matches!(kind, BlockType::Q4_1 | BlockType::Q5_1);
    let d = half(b, 0);
    let m = if minimum { half(b, 2) } else { d * if five { -16.0 } else { -8.0 } };
    let at = if minimum { 4 } else { 2 };
    let high = if five { u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]) } else { 0 };
    let nibbles = &b[if five { at + 4 } else { at }..];
    for i in 0..16 {
        let bit = |k: usize| (high >> k & 1) << 4;
        y[i] = d * (u32::from(nibbles[i] & 15) | bit(i)) as f32 + m;
        y[i + 16] = d * (u32::from(nibbles[i] >> 4) | bit(i + 16)) as f32 + m;
    }
}

//! A matrix in packed codes: quantising, and unpacking on whatever device it is.
use super::Scheme;
use rlx::{Error, Result};
use tch::{Kind, Tensor};

/// How codes are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// A group's range is that of its weights; each goes to the nearest level.
    Nearest,
    /// The range is also tried narrower, and the one of least squared error taken: large outliers cost few bits' other levels dearly.
    #[default]
    Clipped,
}

/// Fractions of the full range that [`Rounding::Clipped`] tries.
const RANGES: [f64; 6] = [1.0, 0.92, 0.84, 0.76, 0.68, 0.6];

/// The levels of NF4 (arXiv 2305.14314, appendix E).
pub(super) const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// A quantised matrix.
#[derive(Debug)]
pub struct Packed {
    scheme: Scheme,
    rows: usize,
    columns: usize,
    // U8 [rows, scheme.row_bytes(columns)]
    codes: Tensor,
    // F16 [rows, groups]
    scale: Tensor,
    // F16 [rows, groups]
    min: Option<Tensor>,
    // libtorch's int4 layout, and scales and zeros [groups, rows, 2] (BFloat16)
    fast: Option<Box<(Tensor, Tensor)>>,
}

impl Clone for Packed {
    /// Shares the tensors, which nothing changes in place.
    fn clone(&self) -> Self {
        let min = self.min.as_ref().map(Tensor::shallow_clone);
        let fast = self.fast.as_ref().map(|f| Box::new((f.0.shallow_clone(), f.1.shallow_clone())));
        Self { codes: self.codes.shallow_clone(), scale: self.scale.shallow_clone(), min, fast, ..*self }
    }
}

impl Packed {
    /// Quantises `w`, `[rows, columns]` of floats.
    ///
    /// # Errors
    /// When it is not a matrix of finite numbers, or the scheme is one of floats.
    pub fn quantize(w: &Tensor, scheme: Scheme, rounding: Rounding) -> Result<Self> {
        let size = w.size();
        let Some(group) = scheme.group().filter(|_| size.len() == 2) else {
            return Err(Error::invalid(format!("quantising a tensor of shape {size:?} as {scheme}")));
        };
        if !bool::try_from(w.isfinite().all()).unwrap_or(false) {
            return Err(Error::invalid(format!("quantising a {size:?} matrix as {scheme}: a weight is not finite")));
        }
        let (rows, columns) = (size[0], size[1]);
        tch::no_grad(|| {
            let x = grouped(&w.to_kind(Kind::Float), group);
            let ranges = if rounding == Rounding::Clipped { &RANGES[..] } else { &RANGES[..1] };
            let mut best: Option<(Tensor, Tensor, Tensor)> = None; // error, scale, min: [rows, groups, 1]
            for range in ranges {
                let (scale, min) = fit(&x, scheme, *range);
                let error = (levels(&encode(&x, &scale, &min, scheme), &scale, &min, scheme) - &x)
                    .square()
                    .sum_dim_intlist(2i64, true, Kind::Float);
                best = Some(match best {
                    None => (error, scale, min),
                    Some((e, s, m)) => {
                        let better = error.lt_tensor(&e);
                        let pick = |new: &Tensor, old: &Tensor| new.where_self(&better, old);
                        (pick(&error, &e), pick(&scale, &s), pick(&min, &m))
                    }
                });
            }
            let (_, scale, min) = best.expect("one range at least is tried");
            let codes = encode(&x, &scale, &min, scheme).reshape([rows, -1]).narrow(1, 0, columns);
            Ok(Self::assemble(&codes, &scale, &min, scheme))
        })
    }

    /// From codes `[rows, columns]` (U8) and the groups' scales and minima `[rows, groups, 1]`, already rounded to half floats.
    pub(super) fn assemble(codes: &Tensor, scale: &Tensor, min: &Tensor, scheme: Scheme) -> Self {
        let size = codes.size();
        let store = |t: &Tensor| t.squeeze_dim(2).to_kind(Kind::Half).contiguous();
        let min = scheme.has_minimum().then(|| store(min));
        let (rows, columns) = (size[0] as usize, size[1] as usize);
        Self { scheme, rows, columns, codes: pack(codes, scheme), scale: store(scale), min, fast: None }
    }

    /// From its stored parts, in the order of [`Scheme::parts`].
    ///
    /// # Errors
    /// When they do not have the right shapes.
    pub fn from_parts(scheme: Scheme, rows: usize, columns: usize, mut parts: Vec<Tensor>) -> Result<Self> {
        let plan = scheme.parts(rows, columns);
        let fits = |((_, stored, [r, c]), t): (&(_, crate::archive::Stored, [usize; 2]), &Tensor)| {
            t.kind() == stored.kind() && t.size() == [*r as i64, *c as i64]
        };
        if scheme.group().is_none() || plan.len() != parts.len() || !plan.iter().zip(&parts).all(fits) {
            return Err(Error::mismatch("parts of a packed matrix", format!("{plan:?}"), format!("{parts:?}")));
        }
        let min = if parts.len() == 3 { parts.pop() } else { None };
        let (scale, codes) = (parts.pop(), parts.pop());
        match (codes, scale) {
            (Some(codes), Some(scale)) => Ok(Self { scheme, rows, columns, codes, scale, min, fast: None }),
            _ => Err(Error::invalid("a packed matrix has codes and scales")),
        }
    }

    /// Its stored parts, in the order of [`Scheme::parts`].
    pub fn parts(&self) -> Vec<&Tensor> {
        [Some(&self.codes), Some(&self.scale), self.min.as_ref()].into_iter().flatten().collect()
    }
    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }
    /// On a device.
    pub fn to_device(&self, device: tch::Device) -> Self {
        let min = self.min.as_ref().map(|m| m.to_device(device));
        Self { codes: self.codes.to_device(device), scale: self.scale.to_device(device), min, fast: None, ..*self }
    }

    /// Rows `from..from + len`, sharing memory.
    pub fn rows_of(&self, from: usize, len: usize) -> Self {
        let cut = |t: &Tensor| t.narrow(0, from as i64, len as i64);
        let min = self.min.as_ref().map(cut);
        Self { rows: len, codes: cut(&self.codes), scale: cut(&self.scale), min, fast: None, ..*self }
    }

    /// The rows of those numbers (Int64 `[n]`).
    pub fn select(&self, rows: &Tensor) -> Self {
        let take = |t: &Tensor| t.index_select(0, rows);
        let min = self.min.as_ref().map(take);
        Self { rows: rows.numel(), codes: take(&self.codes), scale: take(&self.scale), min, fast: None, ..*self }
    }

    /// The codes, U8 `[rows, columns]`.
    pub fn unpacked(&self) -> Tensor {
        unpack(&self.codes, self.scheme, self.columns as i64)
    }

    /// Scales and minima as floats, `[rows, groups]`: w = scale code + min, for integer codes.
    pub fn affine(&self) -> Option<(Tensor, Tensor)> {
        let scale = self.scale.to_kind(Kind::Float);
        match self.scheme {
            Scheme::Int { bits, .. } => {
                let min = match &self.min {
                    Some(min) => min.to_kind(Kind::Float),
                    None => &scale * -f64::from(1u32 << (bits - 1)),
                };
                Some((scale, min))
            }
            _ => None,
        }
    }

    /// With libtorch's int4 kernel made ready, for a few rows of bfloat16 activations on a CPU; none when the codes have more than 4 bits
    /// or its shapes do not take them. Scales and zeros are rounded to bfloat16: two to three digits.
    pub fn int4(&self) -> Option<Self> {
        let group = self.scheme.group().filter(|g| [32, 64, 128, 256].contains(g))?;
        let fits = self.columns.is_multiple_of(group) && self.rows.is_multiple_of(16) && self.scheme.bits() <= 4;
        let (scale, min) = self.affine().filter(|_| fits && self.codes.device() == tch::Device::Cpu)?;
        let codes = self.unpacked().to_kind(Kind::Int).contiguous();
        let packed = codes.f_internal_convert_weight_to_int4pack_for_cpu(2).ok()?;
        // The kernel's own form: (code - 8) scale + zero.
        let zero = min + &scale * 8.0;
        let both = Tensor::stack(&[scale, zero], 2).transpose(0, 1).to_kind(Kind::BFloat16).contiguous();
        Some(Self { fast: Some(Box::new((packed, both))), ..self.clone() })
    }

    /// x Wᵀ by the int4 kernel, where it is ready and x is a few rows of bfloat16.
    pub(super) fn apply_fast(&self, x: &Tensor) -> Option<Tensor> {
        let (mut size, fast) = (x.size(), self.fast.as_ref()?);
        let rows: i64 = size[..size.len() - 1].iter().product();
        if rows > 8 || x.kind() != Kind::BFloat16 {
            return None;
        }
        let flat = x.reshape([rows, self.columns as i64]);
        let y = flat.internal_weight_int4pack_mm_for_cpu(&fast.0, self.scheme.group()? as i64, &fast.1);
        *size.last_mut()? = self.rows as i64;
        Some(y.reshape(size))
    }

    /// Scales and minima as they enter [`encode`], `[rows, groups]`; NF4 has minima of 0.
    pub(super) fn ranges(&self) -> (Tensor, Tensor) {
        self.affine().unwrap_or_else(|| {
            let scale = self.scale.to_kind(Kind::Float);
            let min = scale.zeros_like();
            (scale, min)
        })
    }

    /// The numbers, `[rows, columns]` of `kind`.
    pub fn dequantize(&self, kind: Kind) -> Tensor {
        tch::no_grad(|| {
            let group = self.scheme.group().unwrap_or(1);
            if matches!(self.scheme, Scheme::Nf4 { .. }) {
                // A byte is looked up at once: 256 pairs of levels.
                let pairs: Vec<f32> = (0..256usize).flat_map(|b| [NF4[b & 15], NF4[b >> 4]]).collect();
                let pairs = Tensor::from_slice(&pairs).reshape([256, 2]).to_device(self.codes.device()).to_kind(kind);
                let index = self.codes.flatten(0, 1).to_kind(Kind::Int);
                let flat = pairs.index_select(0, &index).reshape([self.rows as i64, -1]);
                let x = grouped(&flat.narrow(1, 0, self.columns as i64), group);
                let x = x * self.scale.to_kind(kind).unsqueeze(2);
                return x.reshape([self.rows as i64, -1]).narrow(1, 0, self.columns as i64).contiguous();
            }
            let (scale, min) = self.affine().expect("integer codes are affine");
            let mut x = grouped(&self.unpacked(), group).to_kind(Kind::Float);
            let _ = x.g_mul_(&scale.unsqueeze(2)).g_add_(&min.unsqueeze(2));
            x.reshape([self.rows as i64, -1]).narrow(1, 0, self.columns as i64).contiguous().to_kind(kind)
        })
    }
}

/// `[rows, columns]` as `[rows, groups, group]`, the last group filled up with zeros.
pub(super) fn grouped(x: &Tensor, group: usize) -> Tensor {
    let (size, group) = (x.size(), group as i64);
    let rest = size[1] % group;
    let full = if rest == 0 { x.shallow_clone() } else { x.constant_pad_nd([0, group - rest]) };
    full.reshape([size[0], -1, group])
}

/// To half floats and back, never beyond their range.
fn halved(t: &Tensor) -> Tensor {
    t.clamp(-65504.0, 65504.0).to_kind(Kind::Half).to_kind(Kind::Float)
}

/// Scale and minimum of each group `[rows, groups, 1]` for a fraction of its range, as they will be stored. Filled-up zeros of the last
/// group only ever widen its range.
pub(super) fn fit(x: &Tensor, scheme: Scheme, range: f64) -> (Tensor, Tensor) {
    match scheme {
        Scheme::Int { bits, symmetric: false, .. } => {
            let (low, high) = (x.amin(2i64, true), x.amax(2i64, true));
            let (middle, half) = ((&low + &high) / 2.0, (&high - &low) * (range / 2.0));
            // At the full range exactly the extremes: (low + high) / 2 - half would be off by a rounding.
            let low = if range == 1.0 { low } else { middle - &half };
            (halved(&(half * (2.0 / f64::from((1u32 << bits) - 1)))), halved(&low))
        }
        Scheme::Int { bits, .. } => {
            let scale = halved(&(x.abs().amax(2i64, true) * (range / f64::from((1u32 << (bits - 1)) - 1))));
            let min = &scale * -f64::from(1u32 << (bits - 1));
            (scale, min)
        }
        _ => {
            let scale = halved(&(x.abs().amax(2i64, true) * range));
            let min = scale.zeros_like();
            (scale, min)
        }
    }
}

/// Codes (U8) of `x` under scales and minima that broadcast against it.
pub(super) fn encode(x: &Tensor, scale: &Tensor, min: &Tensor, scheme: Scheme) -> Tensor {
    let safe = scale.where_self(&scale.ne(0.0), &scale.ones_like());
    match scheme {
        Scheme::Nf4 { .. } | Scheme::F32 | Scheme::F16 => {
            let between: Vec<f32> = NF4.windows(2).map(|p| (p[0] + p[1]) / 2.0).collect();
            let edges = Tensor::from_slice(&between).to_device(x.device());
            (x / safe).contiguous().bucketize(&edges, true, false).to_kind(Kind::Uint8)
        }
        Scheme::Int { bits, .. } => {
            ((x - min) / safe).round().clamp(0.0, f64::from((1u32 << bits) - 1)).to_kind(Kind::Uint8)
        }
    }
}

/// The numbers that codes stand for.
pub(super) fn levels(codes: &Tensor, scale: &Tensor, min: &Tensor, scheme: Scheme) -> Tensor {
    match scheme {
        Scheme::Nf4 { .. } => {
            let table = Tensor::from_slice(&NF4).to_device(codes.device());
            table.index_select(0, &codes.flatten(0, -1).to_kind(Kind::Int)).reshape(codes.size()) * scale
        }
        _ => codes.to_kind(Kind::Float) * scale + min,
    }
}

/// One plane of `bits` bits: byte j holds columns j, j + n/k, ... of the row, so that unpacking is shifts and one cat.
fn pack_plane(codes: &Tensor, bits: i64) -> Tensor {
    let per = 8 / bits;
    let columns = codes.size()[1];
    let padded = codes.constant_pad_nd([0, (per - columns % per) % per]);
    let run = padded.size()[1] / per;
    let mut out = padded.narrow(1, 0, run).contiguous();
    for k in 1..per {
        out = out.bitwise_or_tensor(&padded.narrow(1, k * run, run).bitwise_left_shift_tensor_scalar(k * bits));
    }
    out
}

fn unpack_plane(bytes: &Tensor, bits: i64, columns: i64) -> Tensor {
    let per = 8 / bits;
    let parts: Vec<Tensor> = (0..per)
        .map(|k| {
            let shifted =
                if k == 0 { bytes.shallow_clone() } else { bytes.bitwise_right_shift_tensor_scalar(k * bits) };
            if k == per - 1 { shifted } else { shifted.bitwise_and((1i64 << bits) - 1) }
        })
        .collect();
    Tensor::cat(&parts, 1).narrow(1, 0, columns)
}

fn pack(codes: &Tensor, scheme: Scheme) -> Tensor {
    match scheme {
        Scheme::Int { bits: 8, .. } => codes.contiguous(),
        Scheme::Int { bits: 3, .. } => {
            let high = codes.bitwise_right_shift_tensor_scalar(2);
            Tensor::cat(&[pack_plane(&codes.bitwise_and(3i64), 2), pack_plane(&high, 1)], 1)
        }
        Scheme::Int { bits, .. } => pack_plane(codes, bits.into()),
        // Neighbours share a byte, for the table of pairs.
        _ => {
            let padded = codes.constant_pad_nd([0, codes.size()[1] % 2]);
            let pairs = padded.reshape([codes.size()[0], -1, 2]);
            pairs.select(2, 0).bitwise_or_tensor(&pairs.select(2, 1).bitwise_left_shift_tensor_scalar(4))
        }
    }
}

fn unpack(bytes: &Tensor, scheme: Scheme, columns: i64) -> Tensor {
    match scheme {
        Scheme::Int { bits: 8, .. } => bytes.shallow_clone(),
        Scheme::Int { bits: 3, .. } => {
            let low = (columns + 3) / 4;
            let high = unpack_plane(&bytes.narrow(1, low, bytes.size()[1] - low), 1, columns);
            unpack_plane(&bytes.narrow(1, 0, low), 2, columns)
                .bitwise_or_tensor(&high.bitwise_left_shift_tensor_scalar(2))
        }
        Scheme::Int { bits, .. } => unpack_plane(bytes, bits.into(), columns),
        _ => {
            let pairs = [bytes.bitwise_and(15i64), bytes.bitwise_right_shift_tensor_scalar(4)];
            Tensor::stack(&pairs, 2).reshape([bytes.size()[0], -1]).narrow(1, 0, columns)
        }
    }
}

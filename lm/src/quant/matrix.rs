//! A weight matrix, dense or packed.
use super::{Packed, Rounding, Scheme};
use rlx::Result;
use tch::{Device, Kind, Tensor};

/// Weights that are unpacked at once, at most: 16 MB of floats.
const CHUNK: usize = 1 << 22;

/// Rows from which on oneDNN is asked.
const MANY: usize = 32;

/// x Wᵀ + b. Many rows of floats on a CPU go through oneDNN, whose kernels are for whatever vectors the CPU has: MKL's, which `linear` asks,
/// keep to AVX2 on CPUs that are not Intel's, and take 1.3 to 2 times as long there.
pub(crate) fn product(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let rows = x.numel() / x.size().last().map_or(1, |n| *n as usize).max(1);
    if x.kind() == Kind::Float && x.device() == Device::Cpu && rows >= MANY && tch::utils::has_mkldnn() {
        return x.g_to_mkldnn(None).mkldnn_linear(w, bias).to_dense(None, false);
    }
    x.linear(w, bias)
}

/// A weight matrix `[outputs, inputs]`.
#[derive(Debug)]
pub enum Matrix {
    /// Floats.
    Dense(Tensor),
    /// Codes, unpacked a part at a time when they are used.
    Packed(Packed),
}

impl Clone for Matrix {
    /// Shares the tensors, which nothing changes in place.
    fn clone(&self) -> Self {
        match self {
            Self::Dense(t) => Self::Dense(t.shallow_clone()),
            Self::Packed(p) => Self::Packed(p.clone()),
        }
    }
}

impl Matrix {
    /// Stores `w` by a scheme: floats are rounded to it, and kept so.
    ///
    /// # Errors
    /// As [`Packed::quantize`].
    pub fn store(w: &Tensor, scheme: Scheme, rounding: Rounding) -> Result<Self> {
        Ok(match scheme {
            Scheme::F32 => Self::Dense(w.to_kind(Kind::Float)),
            Scheme::F16 => Self::Dense(w.to_kind(Kind::Half)),
            _ => Self::Packed(Packed::quantize(w, scheme, rounding)?),
        })
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(t) => t.size()[0] as usize,
            Self::Packed(p) => p.rows(),
        }
    }
    /// Inputs.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense(t) => t.size()[1] as usize,
            Self::Packed(p) => p.columns(),
        }
    }
    /// The scheme it is stored by.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Dense(t) if t.kind() == Kind::Half => Scheme::F16,
            Self::Dense(_) => Scheme::F32,
            Self::Packed(p) => p.scheme(),
        }
    }
    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.scheme().bytes(self.rows(), self.columns())
    }
    /// On a device.
    pub fn to_device(&self, device: Device) -> Self {
        match self {
            Self::Dense(t) => Self::Dense(t.to_device(device)),
            Self::Packed(p) => Self::Packed(p.to_device(device)),
        }
    }
    /// The tensors that store it, in the order of [`Scheme::parts`].
    pub fn parts(&self) -> Vec<&Tensor> {
        match self {
            Self::Dense(t) => vec![t],
            Self::Packed(p) => p.parts(),
        }
    }

    /// Rows `from..from + len`, sharing memory.
    pub fn rows_of(&self, from: usize, len: usize) -> Self {
        match self {
            Self::Dense(t) => Self::Dense(t.narrow(0, from as i64, len as i64)),
            Self::Packed(p) => Self::Packed(p.rows_of(from, len)),
        }
    }

    /// All its numbers as `kind`; shared where it is stored so.
    pub fn dense(&self, kind: Kind) -> Tensor {
        match self {
            Self::Dense(t) => t.to_kind(kind),
            Self::Packed(p) => p.dequantize(kind),
        }
    }

    /// x Wᵀ for x `[.., inputs]`, in x's kind. No more than a part of a packed matrix is unpacked at a time.
    pub fn apply(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        if let Some(y) = if let Self::Packed(p) = self { p.apply_fast(x) } else { None } {
            return y;
        }
        if matches!(self, Self::Dense(t) if t.kind() == kind) || self.rows() * self.columns() <= CHUNK {
            return product(x, &self.dense(kind), None);
        }
        let step = (CHUNK / self.columns()).max(1);
        let parts: Vec<Tensor> = (0..self.rows())
            .step_by(step)
            .map(|from| {
                let len = step.min(self.rows() - from);
                product(x, &self.rows_of(from, len).dense(kind), None)
            })
            .collect();
        Tensor::cat(&parts, -1)
    }

    /// Its rows of those numbers (Int64, any shape), `[.., inputs]` of `kind`: what an embedding does.
    pub fn lookup(&self, ids: &Tensor, kind: Kind) -> Tensor {
        let mut size = ids.size();
        size.push(self.columns() as i64);
        let flat = ids.flatten(0, -1);
        let rows = match self {
            Self::Dense(t) => t.index_select(0, &flat).to_kind(kind),
            Self::Packed(p) => p.select(&flat).dequantize(kind),
        };
        rows.reshape(size)
    }
}

//! Low-rank adapters (LoRA, arXiv 2106.09685) and their LoftQ start (arXiv 2310.08659).
use rlx::{Error, Result, Rng};
use tch::{Device, Kind, Tensor};

/// What is added to a weight matrix: scale B A, of rank r.
#[derive(Debug)]
pub struct Adapter {
    /// `[rank, inputs]`.
    pub a: Tensor,
    /// `[outputs, rank]`.
    pub b: Tensor,
    /// The factor, alpha / rank.
    pub scale: f64,
}

impl Clone for Adapter {
    /// Shares the tensors.
    fn clone(&self) -> Self {
        Self { a: self.a.shallow_clone(), b: self.b.shallow_clone(), scale: self.scale }
    }
}

impl Adapter {
    /// Its rank.
    pub fn rank(&self) -> usize {
        self.a.size()[0] as usize
    }
    /// scale B A x, for x `[.., inputs]`.
    pub fn apply(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        let low = x.linear(&self.a.to_kind(kind), None::<&Tensor>);
        low.linear(&self.b.to_kind(kind), None::<&Tensor>) * self.scale
    }
    /// scale B A, `[outputs, inputs]` (Float).
    pub fn product(&self) -> Tensor {
        self.b.to_kind(Kind::Float).matmul(&self.a.to_kind(Kind::Float)) * self.scale
    }
    /// Bytes of an adapter as it is stored, in half floats.
    pub fn size(rank: usize, outputs: usize, inputs: usize) -> u64 {
        2 * (rank * (outputs + inputs)) as u64
    }
    /// Bytes of this one, as it is stored.
    pub fn bytes(&self) -> u64 {
        Self::size(self.rank(), self.b.size()[0] as usize, self.a.size()[1] as usize)
    }
    /// On a device.
    pub fn to_device(&self, device: Device) -> Self {
        Self { a: self.a.to_device(device), b: self.b.to_device(device), scale: self.scale }
    }
    /// Rounded to half floats, as it will be stored.
    pub fn halved(&self) -> Self {
        Self { a: self.a.detach().to_kind(Kind::Half), b: self.b.detach().to_kind(Kind::Half), scale: self.scale }
    }

    /// LoRA's own start: A Kaiming-uniform, B zero, so that nothing is added at first.
    pub fn fresh(rank: usize, outputs: usize, inputs: usize, scale: f64, rng: &mut Rng) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        let a: Vec<f32> = (0..rank * inputs).map(|_| rng.uniform(-bound, bound) as f32).collect();
        let a = Tensor::from_slice(&a).reshape([rank as i64, inputs as i64]);
        Self { a, b: Tensor::zeros([outputs as i64, rank as i64], (Kind::Float, Device::Cpu)), scale }
    }

    /// The first `rank` of its directions; of [`Adapter::residual`]'s the ones that matter most.
    pub fn first(&self, rank: usize) -> Self {
        let rank = (rank as i64).min(self.a.size()[0]);
        Self { a: self.a.narrow(0, 0, rank), b: self.b.narrow(1, 0, rank), scale: self.scale }
    }

    /// LoftQ's start: the best approximation of rank `rank` of what quantising took away, `residual` = W - Q. The factors share the
    /// singular values evenly, the directions come in falling order, and the scale is 1, so that fewer are a prefix.
    ///
    /// # Errors
    /// When the residual is not finite.
    pub fn residual(residual: &Tensor, rank: usize, rng: &mut Rng) -> Result<Self> {
        let (u, s, v) = low_rank(residual, rank, rng)?;
        let root = s.sqrt();
        Ok(Self { a: (v * root.unsqueeze(1)).contiguous(), b: (u * root.unsqueeze(0)).contiguous(), scale: 1.0 })
    }
}

/// Randomised truncated singular value decomposition (Halko et al., arXiv 0909.4061, algorithms 4.4 and 5.1): U `[m, r]`, s `[r]`,
/// Vᵀ `[r, n]`.
///
/// # Errors
/// When the matrix is not finite.
pub fn low_rank(m: &Tensor, rank: usize, rng: &mut Rng) -> Result<(Tensor, Tensor, Tensor)> {
    const OVERSAMPLE: i64 = 8;
    const POWER_STEPS: usize = 2;
    if !bool::try_from(m.isfinite().all()).unwrap_or(false) {
        return Err(Error::invalid("low-rank approximation of a matrix that is not finite"));
    }
    tch::no_grad(|| {
        let m = m.to_kind(Kind::Float);
        let size = m.size();
        let rank = (rank as i64).min(size[0].min(size[1]));
        let width = (rank + OVERSAMPLE).min(size[0].min(size[1]));
        let start: Vec<f32> = (0..size[1] * width).map(|_| rng.normal() as f32).collect();
        let start = Tensor::from_slice(&start).reshape([size[1], width]).to_device(m.device());
        let orthonormal = |t: &Tensor| Tensor::linalg_qr(t, "reduced").0;
        let mut q = orthonormal(&m.matmul(&start));
        for _ in 0..POWER_STEPS {
            q = orthonormal(&m.matmul(&orthonormal(&m.tr().matmul(&q))));
        }
        // q is [m, width]: the rest is small, and its decomposition exact.
        let (u, s, v) = q.tr().matmul(&m).svd(true, true);
        Ok((q.matmul(&u).narrow(1, 0, rank), s.narrow(0, 0, rank), v.tr().narrow(0, 0, rank)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_rank_start_is_the_truncated_decomposition() {
        tch::manual_seed(3);
        // Singular values 1, 1/2, 1/4, ...: the randomised decomposition must find them.
        let (u, _) = Tensor::linalg_qr(&Tensor::randn([40, 40], (Kind::Float, Device::Cpu)), "reduced");
        let (v, _) = Tensor::linalg_qr(&Tensor::randn([60, 60], (Kind::Float, Device::Cpu)), "reduced");
        let s = Tensor::arange(40, (Kind::Float, Device::Cpu)).g_mul_scalar(-(2f64.ln())).exp();
        let m = (u * s.unsqueeze(0)).matmul(&v.narrow(1, 0, 40).tr());
        let full = Adapter::residual(&m, 8, &mut Rng::stream(1, 1)).unwrap();
        for rank in [1usize, 3, 8] {
            let part = full.first(rank);
            let error = f64::try_from((part.product() - &m).norm()).unwrap();
            // Eckart and Young: the tail of the singular values, Σ_{k >= r} 4^-k = 4^-r 4/3.
            let best = (4f64.powi(-(rank as i32)) * 4.0 / 3.0).sqrt();
            assert!(error < best * 1.001 + 1e-6 && error > best * 0.999, "rank {rank}: {error} against {best}");
        }
        let x = Tensor::randn([5, 60], (Kind::Float, Device::Cpu));
        let direct = x.matmul(&full.product().tr());
        assert!(f64::try_from((full.apply(&x) - direct).abs().max()).unwrap() < 1e-5);
        let bad = &m * f64::NAN;
        assert!(Adapter::residual(&bad, 2, &mut Rng::stream(1, 1)).is_err());
    }
}

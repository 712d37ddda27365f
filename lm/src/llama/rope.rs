//! Rotary position embeddings (arXiv 2104.09864), in transformers' order: the first half of a head turns against the second.
use super::config::{Config, RopeScaling};
use tch::{Device, Kind, Tensor};

/// Cosines and sines of a range of positions, `[1, 1, positions, head_dim]` each.
pub struct Angles {
    cos: Tensor,
    sin: Tensor,
}

/// Frequencies of the pairs, radians per position, `[head_dim / 2]`, before any factors that a file brings itself.
pub(super) fn frequencies(config: &Config) -> Vec<f64> {
    let pairs = config.head_dim / 2;
    let plain = (0..pairs).map(|i| config.rope_theta.powf(-(i as f64) / pairs as f64));
    match config.rope_scaling {
        None => plain.collect(),
        Some(RopeScaling::Linear { factor }) => plain.map(|f| f / factor).collect(),
        Some(RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: old,
        }) => plain
            .map(|f| {
                let wavelength = std::f64::consts::TAU / f;
                if wavelength < old / high_freq_factor {
                    f
                } else if wavelength > old / low_freq_factor {
                    f / factor
                } else {
                    let smooth = (old / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * f / factor + smooth * f
                }
            })
            .collect(),
    }
}

impl Angles {
    /// Of positions `from..from + len`. `factors` divide the frequencies, as Llama 3's GGUF files have them ready-made.
    pub fn new(config: &Config, factors: Option<&[f32]>, from: usize, len: usize, kind: Kind, device: Device) -> Self {
        let mut frequencies = frequencies(config);
        if let Some(factors) = factors {
            frequencies.iter_mut().zip(factors).for_each(|(f, by)| *f /= f64::from(*by));
        }
        let frequencies = Tensor::from_slice(&frequencies);
        let positions = Tensor::arange_start(from as i64, (from + len) as i64, (Kind::Double, Device::Cpu));
        let half = positions.unsqueeze(1) * frequencies.unsqueeze(0);
        let angle = Tensor::cat(&[&half, &half], 1).unsqueeze(0).unsqueeze(0);
        let ready = |t: Tensor| t.to_kind(kind).to_device(device);
        Self { cos: ready(angle.cos()), sin: ready(angle.sin()) }
    }

    /// Turns `x`, `[batch, heads, positions, head_dim]`.
    pub fn turn(&self, x: &Tensor) -> Tensor {
        let half = x.size()[3] / 2;
        let (a, b) = (x.narrow(3, 0, half), x.narrow(3, half, half));
        x * &self.cos + Tensor::cat(&[&-b, &a], 3) * &self.sin
    }
}

/// Rows of a query or key projection from llama.cpp's order (pairs side by side) to transformers' (halves), or back.
pub fn reorder(rows: &Tensor, heads: usize, to_halves: bool) -> Tensor {
    let size = rows.size();
    let (heads, half) = (heads as i64, size[0] / heads as i64 / 2);
    let grouped = if to_halves { rows.reshape([heads, half, 2, -1]) } else { rows.reshape([heads, 2, half, -1]) };
    grouped.transpose(1, 2).reshape(&size)
}

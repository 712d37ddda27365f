//! Random streams that can be written down and taken up again.
//!
//! One stream per world and per purpose, so that no result depends on the batch size or the thread count.
use rand_pcg::Pcg64Dxsm;
use serde::{Deserialize, Serialize};

/// PCG64-DXSM (O'Neill 2014; NumPy's default since 1.17 in its DXSM form): 128 bits of state, 2^127 streams, serialisable.
///
/// It implements [`rand::RngCore`], so everything of `rand` and `rand_distr` draws from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng(Pcg64Dxsm);

/// SplitMix64's finaliser: neighbouring seeds must not give neighbouring PCG states.
const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Rng {
    /// Stream number `stream` of `seed`. Different pairs give independent streams.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let (a, b) = (mix(seed), mix(stream ^ 0xD1B5_4A32_D192_ED03));
        let wide = |x: u64, y: u64| u128::from(x) << 64 | u128::from(y);
        Self(Pcg64Dxsm::new(wide(a, mix(a ^ b)), wide(mix(a.rotate_left(17) ^ b), b)))
    }

    /// A stream for a purpose: `name` keeps the purposes of one seed apart, `index` the streams of one purpose.
    pub fn named(seed: u64, name: &str, index: u64) -> Self {
        // FNV-1a: any stable string hash will do, the standard library's is not stable between releases.
        let hash =
            name.bytes().fold(0xCBF2_9CE4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
        Self::stream(mix(seed) ^ hash, index)
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        rand::RngCore::next_u64(&mut self.0)
    }

    /// Uniform in [0, 1) with 53 random bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [low, high).
    #[inline]
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n. The bias of one multiply is below n / 2^64.
    ///
    /// # Panics
    /// If `n` is 0: there is nothing to choose from.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "Rng::below(0): nothing to choose from");
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// A standard normal number.
    #[inline]
    pub fn normal(&mut self) -> f64 {
        rand_distr::Distribution::sample(&rand_distr::StandardNormal, self)
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

impl rand::RngCore for Rng {
    #[inline]
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
    #[inline]
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_written_down_goes_on_as_if_it_had_not_been() {
        let mut a = Rng::stream(3, 9);
        for _ in 0..10 {
            a.bits();
        }
        let bytes = postcard::to_allocvec(&a).unwrap();
        let mut b: Rng = postcard::from_bytes(&bytes).unwrap();
        assert_eq!((0..100).map(|_| a.bits()).collect::<Vec<_>>(), (0..100).map(|_| b.bits()).collect::<Vec<_>>());
    }

    #[test]
    fn streams_and_names_are_apart() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..20 {
            for stream in 0..20 {
                assert!(seen.insert(Rng::stream(seed, stream).bits()));
                assert!(seen.insert(Rng::named(seed, "a", stream).bits()));
                assert!(seen.insert(Rng::named(seed, "b", stream).bits()));
            }
        }
    }

    #[test]
    fn below_is_uniform_and_unit_is_in_range() {
        let mut rng = Rng::stream(1, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7)] += 1;
            let u = rng.unit();
            assert!((0.0..1.0).contains(&u));
        }
        // Standard deviation of a count is 92.6; six of them.
        assert!(counts.iter().all(|&c| (f64::from(c) - 10_000.0).abs() < 556.0), "{counts:?}");
    }

    #[test]
    fn normal_has_its_moments() {
        let mut rng = Rng::stream(5, 5);
        let n = 100_000;
        let xs: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = xs.iter().sum::<f64>() / f64::from(n);
        let var = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.03, "mean {mean}, variance {var}");
    }
}

//! Sine and cosine of small angles, fast enough for tens of millions of steps a second.

/// Sine and cosine of `x` in f64, within 1 ulp. Up to pi/4 by the minimax polynomials of fdlibm's `k_sin.c` and `k_cos.c`, which
/// need no range reduction and no table; beyond it by the standard library.
#[inline(always)]
pub fn sin_cos(x: f64) -> (f64, f64) {
    if x.abs() > std::f64::consts::FRAC_PI_4 {
        return x.sin_cos();
    }
    let z = x * x;
    let s = z * (2.755_731_370_707_006_8e-6 + z * (-2.505_076_025_340_686_3e-8 + z * 1.589_690_995_211_55e-10));
    let s = 8.333_333_333_322_49e-3 + z * (-1.984_126_982_985_795e-4 + s);
    let sin = x + z * x * (-1.666_666_666_666_663_2e-1 + z * s);
    let c = z * (-2.755_731_435_139_066_3e-7 + z * (2.087_572_321_298_175e-9 + z * -1.135_964_755_778_819_5e-11));
    let c = z * (4.166_666_666_666_66e-2 + z * (-1.388_888_888_887_411e-3 + z * (2.480_158_728_947_673e-5 + c)));
    let half = 0.5 * z;
    let w = 1.0 - half;
    (sin, w + ((1.0 - w - half) + z * c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_one_ulp_of_the_standard_library() {
        let mut rng = rlx::Rng::stream(1, 0);
        let ulps = |a: f64, b: f64| (a.to_bits() as i64 - b.to_bits() as i64).abs();
        for i in 0..1_000_000 {
            let x = if i % 10 == 0 { rng.uniform(-10.0, 10.0) } else { rng.uniform(-0.8, 0.8) };
            let (s, c) = sin_cos(x);
            assert!(ulps(s, x.sin()) <= 1 && ulps(c, x.cos()) <= 1, "{x}");
        }
        assert!(sin_cos(f64::NAN).0.is_nan());
    }
}

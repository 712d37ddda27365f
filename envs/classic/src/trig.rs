//! Sine and cosine of small angles, fast enough for tens of millions of steps a second.

/// Sine and cosine of `x` in f64, within 1 ulp. Up to pi/4 by the minimax polynomials of fdlibm's `k_sin.c` and `k_cos.c`, which
/// need no range reduction and no table; beyond it by the standard library.
#[inline(always)]
pub fn sin_cos(x: f64) -> (f64, f64) {
    if x.abs() > std::f64::consts::FRAC_PI_4 {
        return large(x);
    }
    // The polynomials are evaluated in pairs (Estrin's scheme): half as long a chain of dependent operations as Horner's.
    let z = x * x;
    let z2 = z * z;
    let z4 = z2 * z2;
    let s = (S[0] + z * S[1]) + z2 * (S[2] + z * S[3]) + z4 * (S[4] + z * S[5]);
    let c = (C[0] + z * C[1]) + z2 * (C[2] + z * C[3]) + z4 * (C[4] + z * C[5]);
    let half = 0.5 * z;
    let w = 1.0 - half;
    (x + (z * x) * s, w + ((1.0 - w - half) + z2 * c))
}

/// Out of line, so that its call takes no registers from the common case.
#[cold]
#[inline(never)]
fn large(x: f64) -> (f64, f64) {
    x.sin_cos()
}

/// S1 to S6 of fdlibm's `k_sin.c`: sin x = x + x^3 (S1 + S2 x^2 + ...), in error by less than 2^-58.
const S: [f64; 6] = [
    -1.666_666_666_666_663_2e-1,
    8.333_333_333_322_49e-3,
    -1.984_126_982_985_795e-4,
    2.755_731_370_707_006_8e-6,
    -2.505_076_025_340_686_3e-8,
    1.589_690_995_211_55e-10,
];
/// C1 to C6 of fdlibm's `k_cos.c`: cos x = 1 - x^2 / 2 + x^4 (C1 + C2 x^2 + ...), in error by less than 2^-58.
const C: [f64; 6] = [
    4.166_666_666_666_66e-2,
    -1.388_888_888_887_411e-3,
    2.480_158_728_947_673e-5,
    -2.755_731_435_139_066_3e-7,
    2.087_572_321_298_175e-9,
    -1.135_964_755_778_819_5e-11,
];

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

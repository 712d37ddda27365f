//! The 256-blocks of ggml ("k-quants"): sub-blocks whose scales are themselves quantised. Read only.
use super::blocks::half;

/// 2 bits: 16 sub-blocks of 16, scale and minimum in a nibble each. scales[16] qs[64] d dmin.
pub fn q2(b: &[u8], y: &mut [f32]) {
    let (scales, qs, d, m) = (&b[..16], &b[16..80], half(b, 80), half(b, 82));
    for (i, y) in y.iter_mut().enumerate() {
        // Halves of 128; in each, 32 bytes whose four bit pairs are the four runs of 32.
        let (part, run, at) = (i / 128, i % 128 / 32, i % 32);
        let s = scales[i / 16];
        let q = qs[part * 32 + at] >> (2 * run) & 3;
        *y = d * f32::from(s & 15) * f32::from(q) - m * f32::from(s >> 4);
    }
}

/// 3 bits: hmask[32] qs[64] scales[12] d; 6-bit scales less 32, the third bit inverted as a subtraction of 4.
pub fn q3(b: &[u8], y: &mut [f32]) {
    let (mask, qs, packed, d) = (&b[..32], &b[32..96], &b[96..108], half(b, 108));
    let scale = |j: usize| {
        let low = if j < 8 { packed[j] & 15 } else { packed[j - 8] >> 4 };
        let high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
        f32::from((low | high << 4) as i8 - 32)
    };
    for (i, y) in y.iter_mut().enumerate() {
        let (part, run, at) = (i / 128, i % 128 / 32, i % 32);
        let low = (qs[part * 32 + at] >> (2 * run) & 3) as i8;
        let high = mask[at] >> (part * 4 + run) & 1;
        *y = d * scale(i / 16) * f32::from(low - if high == 0 { 4 } else { 0 });
    }
}

/// Scale and minimum `j` of eight, 6 bits each, in 12 bytes.
fn scale_min(j: usize, s: &[u8]) -> (f32, f32) {
    let (d, m) = if j < 4 {
        (s[j] & 63, s[j + 4] & 63)
    } else {
        (s[j + 4] & 15 | s[j - 4] >> 6 << 4, s[j + 4] >> 4 | s[j] >> 6 << 4)
    };
    (f32::from(d), f32::from(m))
}

/// 4 bits: d dmin scales[12] qs[128]; runs of 64 in 32 bytes, low nibbles first.
pub fn q4(b: &[u8], y: &mut [f32]) {
    let (d, m, scales, qs) = (half(b, 0), half(b, 2), &b[4..16], &b[16..144]);
    for (i, y) in y.iter_mut().enumerate() {
        let (run, at) = (i / 32, i % 32);
        let (s, min) = scale_min(run, scales);
        let q = qs[run / 2 * 32 + at] >> (4 * (run % 2)) & 15;
        *y = d * s * f32::from(q) - m * min;
    }
}

/// 5 bits: d dmin scales[12] qh[32] qs[128].
pub fn q5(b: &[u8], y: &mut [f32]) {
    let (d, m, scales, high, qs) = (half(b, 0), half(b, 2), &b[4..16], &b[16..48], &b[48..176]);
    for (i, y) in y.iter_mut().enumerate() {
        let (run, at) = (i / 32, i % 32);
        let (s, min) = scale_min(run, scales);
        let q = qs[run / 2 * 32 + at] >> (4 * (run % 2)) & 15 | (high[at] >> run & 1) << 4;
        *y = d * s * f32::from(q) - m * min;
    }
}

/// 6 bits: ql[128] qh[64] scales[16] (signed) d; 32 subtracted.
pub fn q6(b: &[u8], y: &mut [f32]) {
    let (ql, qh, scales, d) = (&b[..128], &b[128..192], &b[192..208], half(b, 208));
    for (i, y) in y.iter_mut().enumerate() {
        let (part, run, at) = (i / 128, i % 128 / 32, i % 32);
        let low = ql[part * 64 + run % 2 * 32 + at] >> (4 * (run / 2)) & 15;
        let high = qh[part * 32 + at] >> (2 * run) & 3;
        *y = d * f32::from(scales[i / 16] as i8) * f32::from((low | high << 4) as i8 - 32);
    }
}

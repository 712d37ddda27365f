//! Blocks of ggml that are read only: those of 256 ("k-quants"), whose sub-blocks have scales that are themselves quantised, and those whose
//! codes are places in a table.
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

/// Levels of IQ4_NL and IQ4_XS (`kvalues_iq4nl` of ggml-common.h).
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// Twice the magnitudes of E2M1: sign, two bits of exponent, one of mantissa.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 32 numbers of 16 bytes, the first 16 in the low nibbles.
fn table(levels: &[i8; 16], d: f32, nibbles: &[u8], y: &mut [f32]) {
    for (i, byte) in nibbles.iter().enumerate() {
        y[i] = d * f32::from(levels[usize::from(byte & 15)]);
        y[i + 16] = d * f32::from(levels[usize::from(byte >> 4)]);
    }
}

/// d qs[16].
pub fn iq4_nl(b: &[u8], y: &mut [f32]) {
    table(&IQ4, half(b, 0), &b[2..], y);
}

/// d high[2] low[4] qs[128]; eight sub-blocks of 32 with scales of 6 bits, 32 subtracted: four bits in `low`, two in `high`.
pub fn iq4_xs(b: &[u8], y: &mut [f32]) {
    let (d, high, low) = (half(b, 0), u16::from_le_bytes([b[2], b[3]]), &b[4..8]);
    for (j, (qs, y)) in b[8..].chunks_exact(16).zip(y.chunks_exact_mut(32)).enumerate() {
        let scale = low[j / 2] >> (4 * (j % 2)) & 15 | ((high >> (2 * j) & 3) as u8) << 4;
        table(&IQ4, d * f32::from(scale as i8 - 32), qs, y);
    }
}

/// e qs[16]; the scale is 2^(e - 127), of which half is taken here because the table is doubled.
pub fn mxfp4(b: &[u8], y: &mut [f32]) {
    // 2^(e - 128) by its bits; the two smallest are subnormal.
    let bits = if b[0] < 2 { 0x0020_0000 << b[0] } else { u32::from(b[0] - 1) << 23 };
    table(&E2M1, f32::from_bits(bits), &b[1..], y);
}

use super::{Matrix, Packed, Rounding, Scheme, gptq, packed};
use rlx::Rng;
use tch::{Device, Kind, Tensor};

const SCHEMES: [&str; 8] = ["8", "4", "3", "2", "nf4", "q4s-g32", "q8-g16", "q2s-g8"];

/// Φ(x), by its power series: 1/2 + φ(x) Σ x^(2k + 1) / (1 · 3 · ... · (2k + 1)).
fn normal_cdf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for k in 1..200 {
        term *= x * x / f64::from(2 * k + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if normal_cdf(middle) < p { low = middle } else { high = middle }
    }
    low
}

#[test]
fn the_levels_of_nf4_are_quantiles() {
    // QLoRA, appendix E, as bitsandbytes makes them: 8 positive and 7 negative quantiles, evenly spaced between 1/2 and the mean of
    // 1 - 1/30 and 1 - 1/32, over the largest, and zero.
    let edge = (1.0 - 1.0 / 30.0 + 1.0 - 1.0 / 32.0) / 2.0;
    let side = |n: usize| (0..n).map(move |i| normal_quantile(edge + (0.5 - edge) * i as f64 / n as f64));
    let mut all: Vec<f64> =
        side(8).chain(side(7).map(|x| -x)).chain([0.0]).map(|x| x / normal_quantile(edge)).collect();
    all.sort_by(f64::total_cmp);
    for (right, ours) in all.iter().zip(packed::NF4) {
        assert!((right - f64::from(ours)).abs() < 2e-6, "{ours} should be {right}");
    }
}

#[test]
fn codes_are_unpacked_as_they_were_packed_whatever_the_width() {
    let mut rng = Rng::stream(6, 1);
    for scheme in SCHEMES.map(|s| s.parse::<Scheme>().unwrap()) {
        for columns in (1..40usize).chain([63, 64, 65, 129]) {
            let codes: Vec<u8> = (0..3 * columns).map(|_| rng.below(1 << scheme.bits()) as u8).collect();
            let codes = Tensor::from_slice(&codes).reshape([3, columns as i64]);
            let groups = columns.div_ceil(scheme.group().unwrap()) as i64;
            let (scale, min) = (Tensor::ones([3, groups, 1], (Kind::Float, Device::Cpu)), 0.0);
            let made = Packed::assemble(&codes, &scale, &(&scale * min), scheme);
            assert!(made.unpacked().equal(&codes), "{scheme}, {columns} columns");
            let parts: Vec<Tensor> = made.parts().into_iter().map(Tensor::shallow_clone).collect();
            let bytes: usize = parts.iter().map(|p| p.numel() * p.kind().elt_size_in_bytes()).sum();
            assert_eq!(bytes as u64, scheme.bytes(3, columns), "{scheme}, {columns} columns");
            let back = Packed::from_parts(scheme, 3, columns, parts).unwrap();
            assert!(back.dequantize(Kind::Float).equal(&made.dequantize(Kind::Float)));
            assert_eq!(made.rows_of(1, 2).dequantize(Kind::Float).size(), [2, columns as i64]);
        }
    }
}

#[test]
fn products_of_packed_matrices_are_those_of_their_numbers() {
    let _alone = crate::GENERATOR.lock();
    tch::manual_seed(5);
    // Wide enough to be unpacked in several parts.
    let w = Tensor::randn([9000, 512], (Kind::Float, Device::Cpu));
    let x = Tensor::randn([2, 3, 512], (Kind::Float, Device::Cpu));
    let ids = Tensor::from_slice(&[0i64, 8999, 17, 17]).reshape([2, 2]);
    for scheme in ["16", "8", "3", "nf4"].map(|s| s.parse::<Scheme>().unwrap()) {
        let m = Matrix::store(&w, scheme, Rounding::Nearest).unwrap();
        let dense = m.dense(Kind::Float);
        let right = x.matmul(&dense.tr());
        assert!((m.apply(&x) - &right).abs().max().double_value(&[]) < 1e-3, "{scheme}");
        assert!(m.lookup(&ids, Kind::Float).equal(&dense.index_select(0, &ids.flatten(0, 1)).reshape([2, 2, 512])));
    }
}

#[test]
fn rounding_makes_the_error_that_theory_says() {
    let _alone = crate::GENERATOR.lock();
    tch::manual_seed(8);
    let w = Tensor::randn([256, 512], (Kind::Float, Device::Cpu));
    for (text, near) in [("8", 0.03), ("q8-g32", 0.03), ("4", 0.1), ("q4s-g32", 0.1)] {
        let scheme: Scheme = text.parse().unwrap();
        let packed = Packed::quantize(&w, scheme, Rounding::Nearest).unwrap();
        let (scale, _) = packed.affine().unwrap();
        // An error that is uniform within a step: its variance is step² / 12. Of each group the two extremes are exact (of a symmetric
        // one the largest).
        let exact = if text.contains('s') { 1.0 } else { 2.0 } / scheme.group().unwrap() as f64;
        let theory = scale.square().mean(Kind::Float).double_value(&[]) / 12.0 * (1.0 - exact);
        let found = (packed.dequantize(Kind::Float) - &w).square().mean(Kind::Float).double_value(&[]);
        assert!((found / theory - 1.0).abs() < near, "{text}: {found} against {theory}");
    }
}

#[test]
fn schemes_are_written_as_they_are_read() {
    for text in ["f32", "f16", "q8s-g32", "q4-g32", "q3-g16", "q2s-g1024", "nf4-g64"] {
        assert_eq!(text.parse::<Scheme>().unwrap().to_string(), text);
    }
    for text in ["", "5", "q5-g32", "q4-g7", "q4-g4", "q4-g2048", "nf4-g", "q-g32", "4bits", "q4-g-32", "-1"] {
        let error = text.parse::<Scheme>().unwrap_err().to_string();
        assert!(error.contains("must be") || error.contains("multiple of 8"), "{text}: {error}");
    }
    let bad = Tensor::from_slice(&[1.0f32, f32::NAN]).reshape([1, 2]);
    let error = Packed::quantize(&bad, Scheme::NF4, Rounding::Nearest).unwrap_err().to_string();
    assert!(error.contains("not finite"), "{error}");
}

#[test]
fn quantising_keeps_its_bound() {
    let _alone = crate::GENERATOR.lock();
    tch::manual_seed(1);
    let w = Tensor::randn([64, 160], (Kind::Float, Device::Cpu));
    for (scheme, rms) in [("8", 0.008), ("4", 0.09), ("3", 0.19), ("2", 0.45), ("nf4", 0.1), ("q4s-g32", 0.11)] {
        let scheme: Scheme = scheme.parse().unwrap();
        let packed = Packed::quantize(&w, scheme, Rounding::Nearest).unwrap();
        let error = packed.dequantize(Kind::Float) - &w;
        if let Some((scale, _)) = packed.affine() {
            // Half a step, and what half floats round of scale and minimum: 2^-11 of values below 5 each.
            let group = scheme.group().unwrap() as i64;
            let steps = scale.repeat_interleave_self_int(group, 1, None).narrow(1, 0, 160);
            let over = (error.abs() - steps * 0.5).max().double_value(&[]);
            assert!(over < 5.0 / 1024.0, "{scheme}: {over}");
        }
        let found = error.square().mean(Kind::Float).sqrt().double_value(&[]);
        assert!(found < rms && found > rms * 0.5, "{scheme}: root mean square {found}");
        let clipped = Packed::quantize(&w, scheme, Rounding::Clipped).unwrap();
        let less = (clipped.dequantize(Kind::Float) - &w).square().mean(Kind::Float).sqrt().double_value(&[]);
        assert!(less <= found * 1.0001, "{scheme}");
        assert_eq!(Matrix::Packed(packed).bytes(), scheme.bytes(64, 160));
    }
}

#[test]
fn gptq_changes_outputs_less_than_rounding() {
    let _alone = crate::GENERATOR.lock();
    tch::manual_seed(2);
    let mixing = Tensor::randn([96, 96], (Kind::Float, Device::Cpu));
    // Inputs that hang together: that is what it can use.
    let x = Tensor::randn([400, 24], (Kind::Float, Device::Cpu)).matmul(&mixing.narrow(0, 0, 24))
        + Tensor::randn([400, 96], (Kind::Float, Device::Cpu)) * 0.3;
    let w = Tensor::randn([32, 96], (Kind::Float, Device::Cpu));
    let scheme = Scheme::of_bits(3).unwrap();
    let off = |p: &Packed| (x.matmul(&(p.dequantize(Kind::Float) - &w).tr())).norm().double_value(&[]);
    let plain = off(&Packed::quantize(&w, scheme, Rounding::Nearest).unwrap());
    let better = off(&gptq(&w, &x.tr().matmul(&x), scheme, Rounding::Nearest).unwrap());
    assert!(better < plain * 0.7, "{better} against {plain}");
}

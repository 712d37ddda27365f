//! Gradients against differences, rows left out, and the hyperbolic tangent.
use super::*;
use rlx::Rng;

#[test]
fn tanh_is_within_its_bound_everywhere() {
    let mut worst = 0.0f64;
    for i in -120_000..=120_000 {
        let x = i as f32 * 1e-4;
        worst = worst.max((f64::from(tanh(x)) - f64::from(x).tanh()).abs());
    }
    assert!(worst < 5e-7, "{worst}");
    assert!(tanh(f32::NAN).is_nan() && tanh(f32::INFINITY) > 0.999_999 && tanh(-1e30) < -0.999_999);
}

/// What is not kept counts as if its derivatives were 0.
#[test]
fn rows_that_are_left_out_count_for_nothing() {
    let norms = [Norm::None, Norm::Layer, Norm::Batch];
    for (activation, norm) in [Activation::Relu, Activation::Silu].into_iter().flat_map(|a| norms.map(|n| (a, n))) {
        let mut layout = Layout::new();
        let net = NativeMlp::normed(&mut layout, "net", &[3, 20, 5, 2], (activation, norm), 1.0);
        let params = layout.init(3);
        let mut rng = Rng::stream(1, 1);
        let x: Vec<f32> = (0..6 * 3).map(|_| rng.normal() as f32).collect();
        let rows = [1, 2, 5];
        let of = |x: &[f32], width: usize| -> Vec<f32> {
            rows.iter().flat_map(|r| x[r * width..(r + 1) * width].to_vec()).collect()
        };
        let mut d = vec![0.0; 6 * 2];
        rows.iter().for_each(|r| d[2 * r..2 * r + 2].fill_with(|| rng.normal() as f32));
        let (mut grads, mut by_input) = ([vec![0.0; layout.len()], vec![0.0; layout.len()]], vec![0.0; x.len()]);
        let mut work = Workspace::default();
        net.forward(&params, &x, &mut work);
        net.backward(&params, &x, &d, &mut work, &mut grads[0]);
        net.input_grads(&params, &work, &mut by_input);
        let y = net.forward(&params, &x, &mut work).to_vec();
        net.keep(&rows, &mut work);
        assert_eq!(net.output(&work), of(&y, 2));
        net.backward(&params, &of(&x, 3), &of(&d, 2), &mut work, &mut grads[1]);
        let mut kept = vec![0.0; 3 * 3];
        net.input_grads(&params, &work, &mut kept);
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(&grads[0], &grads[1]) && close(&of(&by_input, 3), &kept), "{activation:?} {norm:?}");
        assert!(kept.iter().any(|x| x.abs() > 1e-3));
    }
}

/// The loss sum(c * y) has gradients that central differences in f64-accumulated sums must reproduce.
#[test]
fn gradients_agree_with_finite_differences() {
    let plain = [Activation::Tanh, Activation::Relu, Activation::Elu, Activation::Silu].map(|a| (a, Norm::None));
    for (activation, norm) in plain.into_iter().chain([Norm::Batch, Norm::Layer].map(|n| (Activation::Tanh, n))) {
        let mut layout = Layout::new();
        let net = NativeMlp::normed(&mut layout, "net", &[3, 7, 5, 2], (activation, norm), 1.0);
        let mut params = layout.init(3);
        let mut rng = Rng::stream(1, 1);
        // Biases away from zero, so that ReLU's kink is not where the inputs are.
        params.iter_mut().for_each(|p| *p += 0.1 * rng.normal() as f32);
        let batch = 4;
        let x: Vec<f32> = (0..batch * 3).map(|_| rng.normal() as f32).collect();
        let c: Vec<f32> = (0..batch * 2).map(|_| rng.normal() as f32).collect();
        let mut work = Workspace::default();
        let loss = |params: &[f32], work: &mut Workspace| -> f64 {
            net.forward_train(params, &x, work).iter().zip(&c).map(|(y, c)| f64::from(*y) * f64::from(*c)).sum()
        };
        loss(&params, &mut work);
        let mut grads = vec![0.0; layout.len()];
        net.backward(&params, &x, &c, &mut work, &mut grads);
        let mut by_input = vec![0.0; x.len()];
        net.input_grads(&params, &work, &mut by_input);
        for i in 0..x.len() {
            let mut at = |d: f32| {
                let mut x = x.clone();
                x[i] += d;
                let y = net.forward_train(&params, &x, &mut work);
                y.iter().zip(&c).map(|(y, c)| f64::from(*y) * f64::from(*c)).sum::<f64>()
            };
            let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
            let bound = if activation == Activation::Relu { 0.15 } else { 1e-2 };
            assert!((numeric - f64::from(by_input[i])).abs() < bound * (1.0 + numeric.abs()), "{norm:?} input {i}");
        }
        for piece in layout.pieces() {
            for i in piece.range.clone() {
                let h = 1e-2;
                let mut at = |d: f32| {
                    let mut p = params.clone();
                    p[i] += d;
                    loss(&p, &mut work)
                };
                let numeric = (at(h) - at(-h)) / (2.0 * f64::from(h));
                let error = (numeric - f64::from(grads[i])).abs();
                // ReLU may cross its kink within h; its exactness is shown against tch in tests/.
                let bound = if activation == Activation::Relu { 0.15 } else { 1e-2 };
                assert!(
                    error < bound * (1.0 + numeric.abs()),
                    "{activation:?} {norm:?} {} {i}: {numeric} {}",
                    piece.name,
                    grads[i]
                );
            }
        }
    }
}

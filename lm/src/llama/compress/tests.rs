use super::{super::*, features::mutual_information, *};
use crate::{
    llama::likelihood::{Windows, evaluate},
    quant::{Rounding, Scheme},
};
use rlx::Rng;
use tch::{Kind, Tensor};

fn never() -> bool {
    false
}

fn windows() -> Windows {
    let mut rng = Rng::stream(5, 0);
    let ids: Vec<u32> = (0..320).map(|_| rng.below(97) as u32).collect();
    Windows::new(&ids, 32).unwrap()
}

fn compressor() -> Compressor {
    let model = tiny(3);
    let scores = importance(&model, &windows(), Criterion::TaylorFirst, 0, &never).unwrap();
    Compressor::new(model, scores, Rounding::Clipped, None, 0).unwrap()
}

fn ids() -> Tensor {
    Tensor::from_slice(&(0..24i64).map(|i| i * 7 % 97).collect::<Vec<_>>()).reshape([2, 12])
}

#[test]
fn ratio_zero_in_floats_is_bit_identical() {
    let mut s = compressor();
    let plan = Plan::uniform(s.dense(), 0.0, Scheme::F32, 0, (0, 0), Scheme::F32);
    assert!(s.build(&plan).unwrap().logits_no_grad(&ids()).equal(&s.dense().logits_no_grad(&ids())));
}

#[test]
fn a_pruned_model_is_the_dense_one_with_the_other_groups_at_zero() {
    let dense = tiny(3);
    let kept = Kept { kv_heads: vec![1], channels: (0..96).filter(|c| c % 3 != 0).collect() };
    let (mut small, mut zeroed) = (dense.clone(), dense.clone());
    small.blocks[1] = narrow(&dense.blocks[1], &kept, 16).unwrap();
    small.config.blocks[1] = small.blocks[1].shape;
    assert_eq!(small.blocks[1].shape, BlockShape { heads: 2, kv_heads: 1, ffn: 64 });
    for (p, heads) in [(Projection::O, true), (Projection::Down, false)] {
        let w = dense.blocks[1].projection(p).weight.dense(Kind::Float).copy();
        for column in 0..w.size()[1] {
            if if heads { column < 32 } else { column % 3 == 0 } {
                let _ = w.narrow(1, column, 1).fill_(0.0);
            }
        }
        zeroed.blocks[1].projections[p as usize] = Linear::new(crate::quant::Matrix::Dense(w));
    }
    let difference = (small.logits_no_grad(&ids()) - zeroed.logits_no_grad(&ids())).abs().max();
    assert!(f64::try_from(difference).unwrap() < 1e-4);
    assert!(small.bytes() < dense.bytes());
}

#[test]
fn counted_bytes_are_the_bytes_on_disk_for_every_mixture_and_what_is_saved_is_loaded() {
    let mut s = compressor();
    let mut rng = Rng::stream(9, 0);
    let schemes = ["32", "16", "8", "4", "3", "2", "nf4", "q4s-g64", "q3-g16"].map(|t| t.parse::<Scheme>().unwrap());
    let folder = std::env::temp_dir().join(format!("rlx-lm-bytes-{}", std::process::id()));
    for trial in 0..12 {
        let blocks = s.dense().config.blocks.clone();
        let mut pick = |n: usize| rng.below(n);
        let blocks = blocks.iter().map(|b| Choice {
            shape: keep(b, [0.0, 0.3, 0.5, 0.7][pick(4)], 32),
            scheme: schemes[pick(9)],
            rank: [0, 1, 4, 16][pick(4)],
        });
        let blocks = blocks.collect();
        let plan = Plan { blocks, embedding: schemes[pick(9)] };
        let model = s.build(&plan).unwrap();
        let _ = std::fs::remove_dir_all(&folder);
        let said = save(&model, None, &folder).unwrap();
        let disk = std::fs::metadata(folder.join("model.safetensors")).unwrap().len();
        assert_eq!((plan.bytes(s.dense()), said), (disk, disk), "trial {trial}: {plan:?}");
        let payload: u64 = plan.blocks.iter().map(|c| c.bytes(s.dense())).sum();
        let rest = plan.embedding.bytes(97, 64) + 64 * 4;
        assert_eq!(save::plan(&plan.layout(s.dense())).payload(), payload + rest);
        let back = load(&folder).unwrap().model;
        // Adapters are rounded to half floats when they are saved.
        let difference = (back.logits_no_grad(&ids()) - model.logits_no_grad(&ids())).abs().max();
        assert!(f64::try_from(difference).unwrap() < 0.02, "trial {trial}");
        assert!(save(&model, None, &folder).is_err(), "a folder that is there is not touched");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn more_bits_and_more_rank_are_nearer_to_the_dense_model() {
    let mut s = compressor();
    let reference = likelihood::Reference::new(s.dense(), &windows(), &never).unwrap();
    let mut kl = |bits: u32, rank: usize| {
        let plan = Plan::uniform(s.dense(), 0.0, Scheme::of_bits(bits).unwrap(), rank, (0, 0), Scheme::F32);
        let model = s.build(&plan).unwrap();
        evaluate(&model, &windows(), Some(&reference), &never).unwrap().kl.unwrap()
    };
    let all = [kl(32, 0), kl(8, 0), kl(4, 0), kl(3, 0), kl(2, 0)];
    assert!(all[0].abs() < 1e-6, "{all:?}");
    assert!(all.windows(2).all(|p| p[0] < p[1]), "{all:?}");
    assert!(kl(2, 16) < all[4] * 0.7, "{} against {}", kl(2, 16), all[4]);
}

#[test]
fn taylor_scores_are_what_finite_differences_say() {
    let model = tiny(4);
    let one = Windows::new(&(0..24u32).map(|i| i * 5 % 97).collect::<Vec<_>>(), 24).unwrap();
    let scores = importance(&model, &one, Criterion::TaylorFirst, 0, &never).unwrap();
    // The channel's score is Σ |w g|; along one weight, w g is the slope of the loss under its scaling.
    let slope = |row: i64, column: i64| {
        let loss = |factor: f64| {
            let mut m = model.clone();
            let w = m.blocks[0].projection(Projection::Down).weight.dense(Kind::Float).copy();
            let _ = w.narrow(0, row, 1).narrow(1, column, 1).g_mul_scalar_(factor);
            m.blocks[0].projections[Projection::Down as usize] = Linear::new(crate::quant::Matrix::Dense(w));
            evaluate(&m, &one, None, &never).unwrap().nll
        };
        (loss(1.2) - loss(0.8)) / 0.4
    };
    let down: f64 = (0..64).map(|row| slope(row, 7).abs()).sum();
    let by_scaling = {
        // Rows of gate and up have as many weights again; only a bound follows from one of the three parts.
        scores.channels[0][7]
    };
    assert!(down > 0.0 && by_scaling > down * 0.98, "{by_scaling} against {down}");
    assert!(by_scaling < down * 30.0);
}

#[test]
fn mutual_information_of_normal_numbers_is_minus_half_the_log_of_one_minus_rho_squared() {
    let mut rng = Rng::stream(2, 0);
    for rho in [0.0f64, 0.5, 0.9] {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for _ in 0..20_000 {
            let a = rng.normal();
            x.push(a);
            y.push(rho * a + (1.0 - rho * rho).sqrt() * rng.normal());
        }
        let (right, found) = (-0.5 * (1.0 - rho * rho).ln(), mutual_information(&x, &y));
        // Cells lose some: the data-processing inequality.
        assert!(found < right + 0.01 && found > right * 0.85 - 0.01, "{found} against {right}");
    }
}

#[test]
fn features_are_there_for_every_block() {
    let mut s = compressor();
    let all = features(&mut s, &windows(), &never, &mut |_, _| {}).unwrap();
    assert_eq!(all.len(), 3);
    assert!((all.iter().map(|f| f.importance).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(all.iter().all(|f| f.sensitivity.is_finite() && f.mutual_information >= 0.0));
}

#[test]
fn a_plan_of_another_model_is_refused() {
    let mut s = compressor();
    let mut plan = Plan::uniform(s.dense(), 0.2, Scheme::F16, 0, (1, 1), Scheme::F16);
    assert_eq!(plan.blocks[0].shape, s.dense().config.blocks[0]);
    plan.blocks[1].shape.ffn = 128;
    assert!(s.build(&plan).is_err());
    plan.blocks.pop();
    assert!(s.build(&plan).is_err());
}

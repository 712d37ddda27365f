//! The loop on an encoder of two layers and a made-up task: which of tokens 3 and 4 comes first.
use super::*;
use crate::bert::{Config, Pooling, Scope, config::Family, model::fresh, scope::Learns};
use rlx_nn::threads;
use tch::Device;

const PLAN: Plan = Plan {
    learning_rate: 3e-3,
    weight_decay: 0.01,
    warmup: 0.1,
    steps: 120,
    dropout: 0.1,
    max_grad_norm: 1.0,
    seed: 5,
};
/// Rows to learn from; the others are for validation.
const TRAIN: usize = 300;

fn texts() -> Arc<Texts> {
    let mut rng = rlx::Rng::stream(8, 8);
    let text = |_| {
        let mut t: Vec<u32> = (0..3 + rng.below(4)).map(|_| 5 + rng.below(7) as u32).collect();
        let (a, b) = (rng.below(t.len() - 1), rng.bits() & 1);
        t[a] = 3 + b as u32;
        t[a + 1] = 4 - b as u32;
        (t, b as usize)
    };
    let (ids, labels) = (0..400).map(text).unzip();
    Arc::new(Texts { ids, labels, tokens: (0..12).collect(), pad: 0, batch: 20 })
}

fn healing(pooling: Pooling, plan: Plan, scope: &Scope) -> Healing {
    let config = Config {
        family: Family::Bert,
        layers: 2,
        width: 16,
        heads: 2,
        inner: 32,
        vocabulary: 12,
        positions: 8,
        types: 2,
        eps: 1e-12,
        activation: "gelu".into(),
    };
    let weights = fresh(&config, 1).unwrap();
    let model = Classifier::partial(&weights, 2, pooling, 2, Device::Cpu, scope).unwrap();
    Healing::new(model, plan, texts(), (0..TRAIN).collect())
}

/// As a client does it: validation when it is due, a step otherwise.
fn run(healing: &mut Healing, to: u64) {
    let held_out: Vec<usize> = (TRAIN..400).collect();
    while healing.steps() < to {
        if healing.wants_validation() {
            healing.validate(&held_out, &|| false).unwrap();
        }
        healing.step().unwrap();
    }
}

#[test]
fn an_order_of_words_is_learnt_with_either_pooling() {
    let _alone = crate::GENERATOR.lock();
    threads::set(1);
    let rows: Vec<usize> = (0..400).collect();
    for pooling in [Pooling::Mean, Pooling::Cls] {
        let mut healing = healing(pooling, Plan { steps: 400, ..PLAN }, &Scope::whole(2));
        let before = healing.judge(&rows, &|| false).unwrap().scores();
        assert!(before.accuracy < 0.7, "{before:?}");
        assert!(matches!(healing.run(&|| true), Err(Error::Interrupted)) && healing.steps() == 0);
        healing.run(&|| false).unwrap();
        assert!(healing.is_done() && healing.steps() == 400);
        let after = healing.judge(&rows, &|| false).unwrap().scores();
        assert!(after.accuracy > 0.95 && after.f1 > 0.95, "{pooling:?}: {after:?}");
        assert!(matches!(healing.judge(&rows, &|| true), Err(Error::Interrupted)));
    }
}

/// Stopped within a pass, with a frozen layer and adapters among what learns.
#[test]
fn a_resumed_healing_ends_in_the_same_bytes() {
    let _alone = crate::GENERATOR.lock();
    threads::set(1);
    let part = Scope { layers: vec![Learns::Frozen, Learns::Lora(2)], ..Scope::whole(2) };
    for scope in [Scope::whole(2), part] {
        let mut whole = healing(Pooling::Mean, PLAN, &scope);
        run(&mut whole, 50);
        let mut first = healing(Pooling::Mean, PLAN, &scope);
        run(&mut first, 23);
        let (saved, validation) = (first.save().unwrap(), *first.validation());
        let mut second = healing(Pooling::Mean, PLAN, &scope);
        second.restore([&saved[0], &saved[1]], validation).unwrap();
        run(&mut second, 50);
        assert_eq!(whole.save().unwrap(), second.save().unwrap());
        assert_eq!(whole.validation(), second.validation());
        assert!(second.restore([&saved[0][..saved[0].len() / 2], &saved[1]], validation).is_err());
    }
}

#[test]
fn the_best_pass_is_kept_and_patience_ends() {
    let _alone = crate::GENERATOR.lock();
    threads::set(1);
    // So high a rate that later passes are worse.
    let mut healing = healing(Pooling::Mean, Plan { learning_rate: 0.05, warmup: 0.0, ..PLAN }, &Scope::whole(2));
    let held_out: Vec<usize> = (TRAIN..400).collect();
    let mut seen = Vec::new();
    while !healing.is_done() {
        if healing.wants_validation() {
            let judged = healing.validate(&held_out, &|| false).unwrap();
            seen.push((judged.scores().f1, -judged.loss));
            assert!(!healing.wants_validation(), "once a pass");
        }
        healing.step().unwrap();
    }
    let best = healing.validation().best.unwrap();
    let first = seen.iter().position(|s| seen.iter().all(|t| t <= s)).unwrap();
    assert_eq!((seen.len(), best.epoch, best.step), (8, first as u64, 15 * first as u64));
    healing.take_best().unwrap();
    assert_eq!(healing.judge(&held_out, &|| false).unwrap().loss, best.loss);
    let waited = healing.epoch() - best.epoch;
    assert!(healing.is_stale(waited) && !healing.is_stale(waited + 1) && !healing.is_stale(0));
}

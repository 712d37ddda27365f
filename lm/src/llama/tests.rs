use super::{
    compress::*,
    generate::{Generator, Kernel, self_generated},
    likelihood::{Windows, evaluate},
    recover::{Recovery, Trainer, attach, merge},
    *,
};
use crate::{
    archive::Stored,
    gguf::BlockType,
    quant::{Rounding, Scheme},
};
use rlx::Rng;
use std::path::PathBuf;
use tch::{Kind, Tensor};

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rlx-lm-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let _ = std::fs::remove_file(&path);
    path
}

fn ids() -> Tensor {
    Tensor::from_slice(&(0..20i64).map(|i| i * 11 % 97).collect::<Vec<_>>()).unsqueeze(0)
}

fn worst(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// The tiny model with blocks of different widths.
fn uneven() -> Model {
    let mut model = tiny(8);
    let kept = Kept { kv_heads: vec![1], channels: (0..64).collect() };
    model.blocks[1] = narrow(&model.blocks[1], &kept, 16).unwrap();
    model.config.blocks[1] = model.blocks[1].shape;
    model
}

#[test]
fn a_cache_gives_what_one_pass_gives() {
    let model = uneven();
    let whole = model.logits_no_grad(&ids());
    let mut cache = Cache::new(&model, 4);
    let mut parts = Vec::new();
    for (from, len) in [(0, 7), (7, 1), (8, 5), (13, 1), (14, 6)] {
        parts.push(tch::no_grad(|| {
            model.logits(&model.hidden_states(&ids().narrow(1, from, len), Some(&mut cache), None))
        }));
    }
    assert!(worst(&Tensor::cat(&parts, 1), &whole) < 1e-4);
}

#[test]
fn exports_are_the_same_function() {
    for (model, arch, widths) in
        [(tiny(2), "llama", export::Widths::Uniform), (uneven(), "deci", export::Widths::ZeroPadded)]
    {
        let path = folder("hf");
        assert_eq!(export::transformers(&model, None, Stored::F32, &path).unwrap(), widths);
        let back = load(&path).unwrap().model;
        assert!(worst(&back.logits_no_grad(&ids()), &model.logits_no_grad(&ids())) < 1e-4);
        std::fs::remove_dir_all(path).unwrap();
        let path = folder("gguf");
        assert_eq!(export::gguf(&model, None, BlockType::F32, BlockType::F32, &path).unwrap(), arch);
        let back = load(&path).unwrap().model;
        assert_eq!(back.config.blocks, model.config.blocks);
        assert!(worst(&back.logits_no_grad(&ids()), &model.logits_no_grad(&ids())) < 1e-4);
        assert!(export::gguf(&model, None, BlockType::F32, BlockType::F32, &path).is_err(), "not overwritten");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn recovery_lowers_the_loss_and_resumes_to_the_bit() {
    let dense = tiny(5);
    let mut rng = Rng::stream(3, 3);
    // A text with something to learn: each token follows from the one before it.
    let text: Vec<u32> = (0..640)
        .scan(5u32, |x, _| {
            *x = if rng.unit() < 0.9 { (*x * 5 + 3) % 97 } else { rng.below(97) as u32 };
            Some(*x)
        })
        .collect();
    let windows = Windows::new(&text, 32).unwrap();
    let scores = importance(&dense, &windows, Criterion::Magnitude, 0, &|| false).unwrap();
    let mut compressor = Compressor::new(dense, scores, Rounding::Clipped, None, 0).unwrap();
    let plan = Plan::uniform(compressor.dense(), 0.3, Scheme::of_bits(3).unwrap(), 8, (0, 1), Scheme::F16);
    let model = compressor.build(&plan).unwrap();
    let config = Recovery { steps: 40, learning_rate: 5e-3, warmup: 5, accumulate: 2, ..Recovery::default() };
    let before = evaluate(&model, &windows, None, &|| false).unwrap().nll;
    let mut one = Trainer::new(&model, config.clone()).unwrap();
    one.run(&windows, &|| false, &mut |_| {}).unwrap();
    let after = evaluate(&one.model(), &windows, None, &|| false).unwrap().nll;
    assert!(after < before - 0.3, "{before} to {after}");
    let mut two = Trainer::new(&model, config.clone()).unwrap();
    (0..15).for_each(|_| assert!(two.update(&windows, &|| false).unwrap().loss > 0.0));
    let mut three = Trainer::new(&model, config).unwrap();
    three.restore(&two.to_bytes().unwrap()).unwrap();
    three.run(&windows, &|| false, &mut |_| {}).unwrap();
    assert_eq!(three.to_bytes().unwrap(), one.to_bytes().unwrap());
    assert!(matches!(
        Trainer::new(&model, Recovery::default()).unwrap().update(&windows, &|| true),
        Err(rlx::Error::Interrupted)
    ));
}

#[test]
fn merging_into_floats_changes_nothing_and_fresh_adapters_add_nothing() {
    let model = tiny(6);
    let mut with = attach(&model, &[4, 0, 2], 2.0, 1).unwrap();
    assert!(worst(&with.logits_no_grad(&ids()), &model.logits_no_grad(&ids())) == 0.0);
    for p in with.blocks.iter_mut().flat_map(|b| &mut b.projections) {
        if let Some(a) = &mut p.adapter {
            a.b = Tensor::ones_like(&a.b) * 0.01;
        }
    }
    let merged = merge(&with);
    assert!(merged.blocks.iter().flat_map(|b| &b.projections).all(|p| p.adapter.is_none()));
    assert!(worst(&with.logits_no_grad(&ids()), &merged.logits_no_grad(&ids())) < 1e-4);
    assert!(worst(&with.logits_no_grad(&ids()), &model.logits_no_grad(&ids())) > 1e-3);
}

#[test]
fn all_kernels_generate_what_the_model_says() {
    let dense = tiny(9);
    let windows = Windows::new(&(0..64u32).collect::<Vec<_>>(), 32).unwrap();
    let scores = importance(&dense, &windows, Criterion::Magnitude, 0, &|| false).unwrap();
    let mut compressor = Compressor::new(dense, scores, Rounding::Clipped, None, 0).unwrap();
    let plan =
        Plan::uniform(compressor.dense(), 0.0, Scheme::of_bits(4).unwrap(), 4, (0, 0), Scheme::of_bits(8).unwrap());
    let model = compressor.build(&plan).unwrap();
    let right = model.logits_no_grad(&ids());
    for kernel in Kernel::ALL {
        let ready = kernel.ready(&model);
        let mut cache = Cache::new(&ready, 32);
        let parts: Vec<Tensor> = (0..20)
            .map(|i| {
                tch::no_grad(|| ready.logits(&ready.hidden_states(&ids().narrow(1, i, 1), Some(&mut cache), None)))
            })
            .collect();
        let difference = worst(&Tensor::cat(&parts, 1), &right) / right.abs().max().double_value(&[]);
        assert!(difference < if kernel == Kernel::Float { 1e-4 } else { 0.05 }, "{kernel:?}: {difference}");
    }
    let run = |t: f64| {
        let mut g = Generator::new(&model, &[3, 4], t, 1).unwrap();
        (0..10).map_while(|_| g.token().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(0.8), run(0.8));
    assert!(Generator::new(&model, &[200], 0.0, 1).is_err());
}

#[test]
fn self_generated_texts_are_drawn_as_the_model_predicts() {
    let model = tiny(9);
    let of = |seed| self_generated(&model, &[5; 120], 3, seed, &|| false).unwrap();
    let texts: Vec<Vec<u32>> = (0..40).flat_map(of).collect();
    assert!(texts.iter().all(|t| t.len() == 3 && t[0] == 5));
    assert_eq!(of(3), of(3));
    let p = Vec::<f64>::try_from(
        model.logits_no_grad(&Tensor::from_slice(&[5i64]).unsqueeze(0)).softmax(-1, Kind::Double).flatten(0, -1),
    )
    .unwrap();
    let n = texts.len() as f64;
    let mut count = vec![0.0; p.len()];
    texts.iter().for_each(|t| count[t[1] as usize] += 1.0);
    // Pearson's statistic: its mean is the degrees of freedom, its deviation the root of twice them.
    let statistic: f64 = p.iter().zip(&count).map(|(p, c)| (c - n * p).powi(2) / (n * p)).sum();
    let freedom = (p.len() - 1) as f64;
    assert!((statistic - freedom).abs() < 4.0 * (2.0 * freedom).sqrt(), "{statistic} with {freedom}");
    assert!(matches!(self_generated(&model, &[5], 3, 0, &|| true), Err(rlx::Error::Interrupted)));
}

#[test]
fn a_llama3_config_scales_long_wavelengths_only() {
    let mut config = tiny_config();
    config.rope_theta = 500_000.0;
    let plain = rope::frequencies(&config);
    config.rope_scaling = Some(RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192.0,
    });
    let scaled = rope::frequencies(&config);
    assert_eq!(plain[0], scaled[0]);
    assert!((plain[7] / scaled[7] - 8.0).abs() < 1e-9);
}

#[test]
fn unsupported_and_impossible_configs_are_refused_by_name() {
    let good = tiny_config().to_transformers(tiny_config().blocks[0], "float32");
    let with = |key: &str, value: serde_json::Value| {
        let mut json = good.as_object().unwrap().clone();
        json.insert(key.into(), value);
        Config::from_transformers(&json)
    };
    assert_eq!(with("vocab_size", 97.into()).unwrap(), tiny_config());
    for (key, value, word) in [
        ("model_type", "gpt2".into(), "gpt2"),
        ("hidden_size", (-3).into(), "hidden_size"),
        ("num_hidden_layers", u64::MAX.into(), "layers"),
        ("attention_bias", true.into(), "attention_bias"),
        ("num_key_value_heads", 3.into(), "heads"),
        ("num_attention_heads", 0.into(), "heads"),
        ("head_dim", 7.into(), "head_dim"),
        ("rope_scaling", serde_json::json!({"rope_type": "yarn"}), "yarn"),
        ("hidden_act", "gelu".into(), "gelu"),
    ] {
        let error = with(key, value).unwrap_err().to_string();
        assert!(error.contains(word), "{key}: {error}");
    }
}

#[test]
fn damaged_files_are_errors_never_panics() {
    let path = folder("fuzz");
    export::gguf(&uneven(), None, BlockType::Q8_0, BlockType::Q4_1, &path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let dir = folder("fuzz-st");
    save(&uneven(), None, &dir).unwrap();
    let weights = std::fs::read(dir.join("model.safetensors")).unwrap();
    let head = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let mut rng = Rng::stream(1, 1);
    let mut refused = 0;
    for round in 0..400 {
        let (source, header) = if round % 2 == 0 { (&whole, 1200) } else { (&weights, head) };
        let mut bytes = source.clone();
        match round % 5 {
            0 => bytes.truncate(rng.below(bytes.len())),
            1 => {
                let at = rng.below(header - 8);
                let lie = [u64::MAX, 1 << 62, 0, 1 << 40, 3][rng.below(5)];
                bytes[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            }
            _ => (0..1 + rng.below(6)).for_each(|_| {
                let at = rng.below(header);
                bytes[at] = rng.bits() as u8;
            }),
        }
        let result = if round % 2 == 0 {
            std::fs::write(&path, &bytes).unwrap();
            load(&path)
        } else {
            std::fs::write(dir.join("model.safetensors"), &bytes).unwrap();
            load(&dir)
        };
        refused += usize::from(result.is_err());
    }
    // A flipped name in the metadata may still be a model.
    assert!(refused > 300, "{refused} of 400");
    let _ = std::fs::remove_file(path);
    std::fs::remove_dir_all(dir).unwrap();
    assert!(load(&folder("nowhere")).unwrap_err().to_string().contains("no model at"));
}

/// What is known without a tensor is what is so once all are loaded.
#[test]
fn a13_headers_say_what_loading_finds() {
    let (gguf, hf, own) = (folder("head-gguf"), folder("head-hf"), folder("head-own"));
    export::gguf(&uneven(), None, BlockType::Q4_1, BlockType::F16, &gguf).unwrap();
    export::transformers(&tiny(1), None, Stored::F16, &hf).unwrap();
    save(&uneven(), None, &own).unwrap();
    for path in [&gguf, &hf, &own] {
        let (head, loaded) = (head::head(path).unwrap(), load(path).unwrap());
        assert_eq!(head.format, loaded.format);
        assert_eq!(head.layout.config, loaded.model.config);
        assert_eq!(head.layout, Layout::of(&loaded.model).unwrap());
        let blocks: Vec<u64> = head.layout.blocks.iter().map(|b| head.block_bytes(b)).collect();
        assert_eq!(blocks, loaded.model.blocks.iter().map(Block::bytes).collect::<Vec<_>>());
        assert_eq!(plan(&head.layout).payload(), loaded.model.bytes());
        let file = if path.is_dir() { path.join("model.safetensors") } else { path.clone() };
        assert_eq!((head.files, head.bytes), (1, std::fs::metadata(file).unwrap().len()));
    }
    std::fs::remove_file(gguf).unwrap();
    [hf, own].iter().for_each(|p| std::fs::remove_dir_all(p).unwrap());
}

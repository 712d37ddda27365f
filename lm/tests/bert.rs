//! Encoders against other people's programs: `golden/bert.py` made `golden/bert.json` and the tiny models beside it.
use rlx_lm::{
    archive::{Archive, Plan, Stored},
    bert::{
        Tokenizer, Weights,
        model::{Dropout, bare, mean_pooled},
    },
    data::batches::Batch,
    store,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};

fn golden() -> (PathBuf, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read(folder.join("bert.json")).unwrap();
    (folder, serde_json::from_slice(&text).unwrap())
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.reshape([-1])).unwrap()
}

fn close(ours: &[f32], theirs: &Value, what: &str) {
    let theirs: Vec<f32> = serde_json::from_value(theirs.clone()).unwrap();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!((a - b).abs() < 1e-4, "{what}, number {i}: {a}, transformers {b}");
    }
}

fn lists<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn tiny_models_of_both_families_agree_to_1e_4_in_every_hidden_state() {
    let (folder, golden) = golden();
    let (ids, mask): (Vec<Vec<i64>>, Vec<Vec<f32>>) = (lists(&golden["ids"]), lists(&golden["mask"]));
    let ids = Tensor::from_slice(&ids.concat()).view([2, 5]);
    let mask = Tensor::from_slice(&mask.concat()).view([2, 5]);
    for name in ["tiny-bert", "tiny-distilbert"] {
        let weights = Weights::open(&folder.join(name)).unwrap();
        let (encoder, params) = bare(&weights, Device::Cpu).unwrap();
        let states = tch::no_grad(|| encoder.forward(&params, &ids, &mask, Dropout::NONE));
        assert_eq!(states.len(), 3);
        for (l, state) in states.iter().enumerate() {
            // Tokens of the padding are nobody's.
            let real = [numbers(&state.get(0)), numbers(&state.get(1).narrow(0, 0, 3))].concat();
            close(&real, &golden[name][l], &format!("{name}, state {l}"));
        }
        // Padding more changes nothing.
        let more = |t: &Tensor| t.constant_pad_nd([0, 3]);
        let longer = tch::no_grad(|| encoder.forward(&params, &more(&ids), &more(&mask), Dropout::NONE));
        let (a, b) = (numbers(&states[2].get(1).get(0)), numbers(&longer[2].get(1).get(0)));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
        // Nor does a vocabulary without the words that do not come.
        let mut small = weights.clone();
        small.trim(&[0, 2, 3, 5, 7, 9, 30, 31], 5).unwrap();
        let (encoder, params) = bare(&small, Device::Cpu).unwrap();
        let renamed = Tensor::from_slice(&[1i64, 3, 5, 6, 2, 4, 7, 2, 0, 0]).view([2, 5]);
        let trimmed = tch::no_grad(|| encoder.forward(&params, &renamed, &mask, Dropout::NONE));
        assert_eq!(numbers(&trimmed[2]), numbers(&states[2]), "{name}: to the bit");
        assert!(small.trim(&[0, 99], 5).is_err() && small.trim(&[0], 6).is_err());
    }
}

#[test]
fn a_damaged_model_is_refused_with_what_is_missing() {
    let (folder, _) = golden();
    let from = folder.join("tiny-bert");
    let dir = std::env::temp_dir().join(format!("rlx-bert-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let error = |config: &str, weights: &[u8]| {
        std::fs::write(dir.join("config.json"), config).unwrap();
        std::fs::write(dir.join("model.safetensors"), weights).unwrap();
        Weights::open(&dir).unwrap_err().to_string()
    };
    let config = std::fs::read_to_string(from.join("config.json")).unwrap();
    let weights = std::fs::read(from.join("model.safetensors")).unwrap();
    let deeper = error(&config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"), &weights);
    assert!(deeper.contains("layer.2.query.bias"), "{deeper}");
    let wider = error(&config.replace("\"intermediate_size\": 16", "\"intermediate_size\": 32"), &weights);
    assert!(wider.contains("layer.0.up") && wider.contains("[16"), "{wider}");
    assert!(error("{", &weights).contains("config.json"));
    for cut in [0, 7, 300, weights.len() - 1] {
        assert!(error(&config, &weights[..cut]).contains("model.safetensors"), "cut at {cut}");
    }
    let mut nan = weights.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(error(&config, &nan).contains("is not finite"));
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A copy of the tiny BERT, and its tensors.
fn copy(name: &str) -> (PathBuf, BTreeMap<String, Tensor>) {
    let dir = std::env::temp_dir().join(format!("rlx-bert-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let from = golden().0.join("tiny-bert");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(from.join(file), dir.join(file)).unwrap();
    }
    let mut archive = Archive::open(&dir).unwrap();
    let names: Vec<String> = archive.names().map(String::from).collect();
    let tensors = names.into_iter().map(|n| (n.clone(), archive.tensor(&n, None).unwrap())).collect();
    (dir, tensors)
}

fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let mut plan = Plan::new();
    for (name, t) in tensors {
        plan.add(name.as_str(), Stored::F32, &t.size().iter().map(|d| *d as usize).collect::<Vec<_>>());
    }
    let _ = std::fs::remove_file(path);
    plan.write(path, |name| Ok(tensors[name].contiguous())).unwrap();
}

#[test]
fn a1_a_tensor_of_an_encoder_that_nothing_reads_is_refused() {
    let (dir, tensors) = copy("a1");
    let right = Weights::open(&dir).unwrap();
    let with = |names: &[&str]| {
        let mut all: BTreeMap<String, Tensor> = tensors.iter().map(|(n, t)| (n.clone(), t.copy())).collect();
        names.iter().for_each(|n| drop(all.insert((*n).into(), Tensor::ones([8], (Kind::Float, Device::Cpu)))));
        write(&dir.join("model.safetensors"), &all);
        Weights::open(&dir)
    };
    // Heads sit on the encoder, and buffers number positions: it is the same without them.
    let heads = ["cls.predictions.bias", "classifier.weight", "qa_outputs.bias", "bert.embeddings.position_ids"];
    assert_eq!(with(&heads).unwrap(), right);
    for name in [
        "encoder.layer.2.attention.self.query.bias",
        "encoder.layer.0.attention.self.query.lora_A.weight",
        "encoder.layer.0.attention.self.distance_embedding.weight",
        "encoder.layer.0.crossattention.self.query.bias",
        "embeddings.projection.weight",
        "2_Dense.linear.weight",
    ] {
        let error = with(&[name]).unwrap_err().to_string();
        assert!(error.contains(&format!("'{name}' is not supported")) && !error.contains("damaged"), "{error}");
    }
    let twin = with(&["teacher.embeddings.LayerNorm.bias"]).unwrap_err().to_string();
    assert!(twin.contains("are both the model's embeddings.LayerNorm.bias"), "{twin}");
    // Old files call a norm's weight gamma: with both there are two.
    assert!(with(&["embeddings.LayerNorm.gamma"]).unwrap_err().to_string().contains("LayerNorm.gamma"));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a12_other_files_in_an_encoders_folder_replace_nothing() {
    let (dir, tensors) = copy("a12");
    let right = Weights::open(&dir).unwrap();
    let other = tensors.iter().map(|(n, t)| (n.clone(), t * 2.0)).collect();
    for name in ["zzz.safetensors", "adapter_model.safetensors", "model.fp16.safetensors"] {
        write(&dir.join(name), &other);
    }
    std::fs::write(dir.join("model.onnx"), "no graph").unwrap();
    assert_eq!(Weights::open(&dir).unwrap(), right);
    // In parts that an index names.
    let (a, b): (BTreeMap<_, _>, BTreeMap<_, _>) =
        tensors.iter().map(|(n, t)| (n.clone(), t.copy())).partition(|(n, _)| n.contains("embeddings"));
    std::fs::remove_file(dir.join("model.safetensors")).unwrap();
    write(&dir.join("a.safetensors"), &a);
    write(&dir.join("b.safetensors"), &b);
    let map: serde_json::Map<String, Value> = tensors
        .keys()
        .map(|n| (n.clone(), if a.contains_key(n) { "a" } else { "b" }.to_owned() + ".safetensors"))
        .map(|(n, f)| (n, f.into()))
        .collect();
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    std::fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert_eq!(Weights::open(&dir).unwrap(), right);
    // A tensor in two files is an error, and so are no weights, by the name of what is there instead.
    write(&dir.join("a.safetensors"), &tensors);
    assert!(Weights::open(&dir).unwrap_err().to_string().contains("is in two files"));
    for name in [
        "model.safetensors.index.json",
        "model.onnx",
        "a.safetensors",
        "b.safetensors",
        "zzz.safetensors",
        "adapter_model.safetensors",
    ] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    let error = Weights::open(&dir).unwrap_err().to_string();
    assert!(error.contains("neither model.safetensors nor") && error.contains("model.fp16.safetensors"), "{error}");
    std::fs::rename(dir.join("model.fp16.safetensors"), dir.join("pytorch_model.bin")).unwrap();
    let error = Weights::open(&dir).unwrap_err().to_string();
    assert!(error.contains("pytorch_model.bin is not read"), "{error}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a7_gelu_pytorch_tanh_is_gelu_new() {
    let (dir, _) = copy("a7");
    let right = Weights::open(&dir).unwrap();
    let file = dir.join("config.json");
    let config = std::fs::read_to_string(&file).unwrap();
    assert!(config.contains("gelu_new"));
    std::fs::write(&file, config.replace("gelu_new", "gelu_pytorch_tanh")).unwrap();
    assert_eq!(Weights::open(&dir).unwrap(), right);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The two MiniLMs, where they were fetched.
#[test]
fn fetched_models_agree_with_transformers_and_onnx() {
    let (_, golden) = golden();
    let texts: Vec<String> = lists(&golden["texts"]);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for name in ["minilm-l6", "minilm-l3"] {
        let Ok(folder) = store::find_model(name, &store::cache_dir()) else {
            eprintln!("{name} was not fetched: it is not compared");
            continue;
        };
        let tokenizer = Tokenizer::open(&folder).unwrap();
        let ids = tokenizer.encode(&texts, 512).unwrap();
        assert_eq!(ids, lists::<Vec<u32>>(&golden["tokens"]), "neither padding nor truncation is baked in");
        assert_eq!(tokenizer.encode(&["food ".repeat(400).as_str()], 300).unwrap()[0].len(), 300);
        assert_eq!(tokenizer.encode(&texts[2..], 6).unwrap()[0], [101, 15743, 11865, 19310, 24930, 102]);
        let weights = Weights::open(&folder).unwrap();
        assert_eq!(weights.count(), if name == "minilm-l6" { 22_713_216 } else { 17_241_984 });
        let (encoder, params) = bare(&weights, Device::Cpu).unwrap();
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let batch = Batch::new(&ids, tokenizer.pad(), Device::Cpu).unwrap();
        let states = tch::no_grad(|| encoder.forward(&params, &batch.ids, &batch.mask, Dropout::NONE));
        let heads = |state: &Tensor| (0..3).map(|t| numbers(&state.get(t).get(0).narrow(0, 0, 12))).collect::<Vec<_>>();
        let last = states.last().unwrap();
        if name == "minilm-l6" {
            for (l, state) in states.iter().enumerate() {
                for (t, ours) in heads(state).iter().enumerate() {
                    close(ours, &golden[name][l][t], &format!("{name}, state {l}, text {t}"));
                }
            }
        } else {
            for (t, ours) in heads(last).iter().enumerate() {
                close(ours, &golden[name][t], &format!("{name}, text {t}"));
            }
        }
        let pooled = mean_pooled(last, &batch.mask);
        let cosine = Tensor::cosine_similarity(&pooled.get(0), &pooled.get(1), 0, 1e-8).double_value(&[]);
        let theirs = golden[format!("{name}-cosine").as_str()].as_f64().unwrap();
        assert!((cosine - theirs).abs() < 1e-4, "{name}: {cosine}, {theirs}");
    }
}

//! Files that are whole and mean something else than what is read: every key and tensor is used, harmless, or refused by name.
//! What other programs make of them is from transformers 5.23.0 and llama.cpp v0.5.0.
mod configs;

use super::*;
use crate::{
    archive::{Archive, Plan, Stored},
    gguf::{BlockType, Gguf, Value, Writer},
};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};

/// A path of this process's own; what was there is gone.
fn place(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rlx-strict-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    let _ = fs::remove_file(&path);
    path
}

fn noise(shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>();
    (Tensor::arange(count, (Kind::Float, Device::Cpu)).sin() * 0.3).reshape(shape)
}

/// The tiny model as a GGUF file with other metadata and more tensors.
fn gguf(name: &str, set: &[(&str, Value)], more: &[(&str, &[i64])]) -> PathBuf {
    let (plain, path) = (place(&format!("{name}-plain")), place(name));
    export::gguf(&tiny(1), None, BlockType::F32, BlockType::F32, &plain).unwrap();
    let (mut file, mut out) = (Gguf::open(&plain).unwrap(), Writer::new());
    file.metadata().iter().for_each(|(k, v)| out.set(k, v.clone()));
    set.iter().for_each(|(k, v)| out.set(*k, v.clone()));
    let names: Vec<String> = file.tensors().keys().cloned().collect();
    for name in names {
        out.tensor(name.clone(), &file.tensor(&name).unwrap(), BlockType::F32).unwrap();
    }
    more.iter().for_each(|(name, shape)| out.tensor(*name, &noise(shape), BlockType::F32).unwrap());
    out.write(&path).unwrap();
    fs::remove_file(plain).unwrap();
    path
}

/// The tiny model as a folder of transformers.
fn folder(name: &str) -> PathBuf {
    let path = place(name);
    export::transformers(&tiny(1), None, Stored::F32, &path).unwrap();
    path
}

fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let mut archive = Archive::open(path).unwrap();
    let names: Vec<String> = archive.names().map(String::from).collect();
    names.into_iter().map(|n| (n.clone(), archive.tensor(&n, None).unwrap())).collect()
}

fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let mut plan = Plan::new();
    for (name, t) in tensors {
        plan.add(name.as_str(), Stored::F32, &t.size().iter().map(|d| *d as usize).collect::<Vec<_>>());
    }
    let _ = fs::remove_file(path);
    plan.write(path, |name| Ok(tensors[name].contiguous())).unwrap();
}

/// Changes the weights of a folder.
fn change(path: &Path, with: impl FnOnce(&mut BTreeMap<String, Tensor>)) {
    let mut all = tensors(path);
    with(&mut all);
    write(&path.join("model.safetensors"), &all);
}

fn config(path: &Path, with: impl FnOnce(&mut Json)) {
    let file = path.join("config.json");
    let mut json: Json = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    with(&mut json);
    fs::write(&file, json.to_string()).unwrap();
}

fn logits(path: &Path) -> Tensor {
    let ids: Vec<u32> = (0..60).map(|i| i * 7 % 97).collect();
    let model = load(path).unwrap().model;
    model.logits_no_grad(&model.ids(&ids).unwrap())
}

fn error(path: &Path) -> String {
    load(path).unwrap_err().to_string()
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

#[test]
fn a1_a_tensor_that_nothing_reads_is_refused() {
    // llama.cpp adds the biases, though no key announces them, and refuses the others: "wrong number of tensors".
    for (name, shape) in [
        ("blk.0.attn_q.bias", &[64][..]),
        ("blk.1.ffn_down.bias", &[64]),
        ("blk.0.attn_q_norm.weight", &[16]),
        ("blk.3.attn_norm.weight", &[64]),
        ("rope_factors_long.weight", &[8]),
        ("output.bias", &[97]),
        ("token_embd.weight.lora_a", &[4, 64]),
    ] {
        let path = gguf("a1", &[], &[(name, shape)]);
        let said = error(&path);
        assert!(said.contains(&format!("'{name}' is not supported")) && !said.contains("damaged"), "{said}");
        assert!(said.starts_with(&path.display().to_string()), "{said}");
        remove(&path);
    }
    for name in [
        "model.layers.0.self_attn.k_proj.bias",
        "model.layers.2.self_attn.q_norm.weight",
        "model.layers.3.input_layernorm.weight",
        "model.layers.3.self_attn.rotary_emb.inv_freq",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "model.layers.0.self_attn.qkv_proj.weight",
        "score.weight",
    ] {
        let path = folder("a1-st");
        change(&path, |all| {
            all.insert(name.into(), noise(&[64]));
        });
        let said = error(&path);
        assert!(said.contains(&format!("'{name}' is not supported")) && !said.contains("damaged"), "{said}");
        remove(&path);
    }
}

#[test]
fn a1_buffers_that_no_version_reads_are_harmless() {
    let (plain, path) = (folder("a1-plain"), folder("a1-buffer"));
    change(&path, |all| {
        all.insert("model.layers.1.self_attn.rotary_emb.inv_freq".into(), noise(&[8]));
        all.insert("model.rotary_emb.inv_freq".into(), noise(&[8]));
    });
    assert!(logits(&path).equal(&logits(&plain)));
    [plain, path].iter().for_each(|p| remove(p));
}

#[test]
fn a1_packed_folders_account_for_tensors_and_keys_too() {
    let path = place("a1-packed");
    save(&tiny(1), None, &path).unwrap();
    assert!(load(&path).is_ok());
    config(&path, |j| j["more"] = json!(1));
    assert!(error(&path).contains("more is 1; not supported"), "{}", error(&path));
    config(&path, |j| {
        j.as_object_mut().unwrap().remove("more");
    });
    change(&path, |all| {
        all.insert("model.layers.0.self_attn.q_proj.bias".into(), noise(&[64]));
    });
    assert!(error(&path).contains("q_proj.bias' is not supported"), "{}", error(&path));
    remove(&path);
}

#[test]
fn a2_what_llama_cpp_takes_as_linear_scaling_is() {
    let linear = folder("a2-linear");
    config(&linear, |j| j["rope_scaling"] = json!({"type": "linear", "factor": 4.0}));
    let (right, plain) = (logits(&linear), folder("a2-unscaled"));
    assert!((&right - logits(&plain)).abs().max().double_value(&[]) > 1e-2, "it changes something");
    let four = || Value::F32(4.0);
    let kind = |t: &str| ("llama.rope.scaling.type", Value::text(t));
    for set in [
        vec![("llama.rope.scale_linear", four())],
        vec![("llama.rope.scaling.factor", four())],
        vec![("llama.rope.scaling.factor", four()), ("llama.rope.scale_linear", four())],
        vec![("llama.rope.scale_linear", four()), kind("linear")],
        vec![
            ("llama.rope.scaling.factor", Value::u32(4)),
            kind("linear"),
            ("llama.rope.scaling.finetuned", Value::Bool(true)),
        ],
    ] {
        let path = gguf("a2", &set, &[]);
        assert!(logits(&path).allclose(&right, 1e-5, 1e-6, false), "{set:?}");
        remove(&path);
    }
    let right = logits(&plain);
    for set in [
        vec![("llama.rope.scaling.factor", Value::F32(0.0))],
        vec![("llama.rope.scale_linear", Value::F32(1.0))],
        vec![kind("linear")],
        vec![kind("none")],
    ] {
        let path = gguf("a2", &set, &[]);
        assert!(logits(&path).allclose(&right, 1e-5, 1e-6, false), "{set:?}");
        remove(&path);
    }
    [linear, plain].iter().for_each(|p| remove(p));
}

#[test]
fn a2_metadata_that_changes_the_model_or_contradicts_is_refused_by_name() {
    let entry = |k: &'static str, v: Value| (k, v);
    for (set, said) in [
        (
            vec![
                entry("llama.rope.scaling.factor", Value::F32(2.0)),
                entry("llama.rope.scale_linear", Value::F32(4.0)),
            ],
            "llama.rope.scale_linear is 4.0",
        ),
        (
            vec![
                entry("llama.rope.scale_linear", Value::F32(4.0)),
                entry("llama.rope.scaling.type", Value::text("none")),
            ],
            "rope.scaling.type is 'none'",
        ),
        (vec![entry("llama.rope.scale_linear", Value::F32(-4.0))], "positive"),
        (vec![entry("llama.rope.scale_linear", Value::text("4"))], "it must be a number"),
        (vec![entry("llama.rope.scale_linear", Value::F32(f32::NAN))], "it must be a number"),
        (vec![entry("llama.rope.scaling.type", Value::text("yarn"))], "\"yarn\"; not supported"),
        (vec![entry("llama.rope.scaling.attn_factor", Value::F32(1.2))], "attn_factor"),
        (vec![entry("llama.rope.scaling.yarn_ext_factor", Value::F32(1.0))], "yarn_ext_factor"),
        (vec![entry("llama.rope.dimension_count", Value::u32(8))], "dimension_count is 8"),
        (vec![entry("llama.attention.sliding_window", Value::u32(64))], "windowed"),
        (vec![entry("llama.attention.causal", Value::Bool(false))], "attention.causal"),
        (vec![entry("llama.expert_count", Value::u32(8))], "expert_count"),
        (vec![entry("llama.final_logit_softcapping", Value::F32(30.0))], "softcapping"),
        (vec![entry("llama.logit_scale", Value::F32(0.5))], "logit_scale"),
        (vec![entry("llama.residual_scale", Value::F32(0.5))], "residual_scale"),
        (vec![entry("llama.attention.scale", Value::F32(0.5))], "attention.scale"),
        (vec![entry("llama.use_parallel_residual", Value::Bool(true))], "use_parallel_residual"),
        (vec![entry("llama.vocab_size", Value::u32(98))], "97 rows"),
        (vec![entry("llama.invented", Value::u32(1))], "llama.invented is 1; not supported"),
        (vec![entry("qwen2.rope.freq_base", Value::F32(1e6))], "qwen2.rope.freq_base"),
        (vec![entry("general.type", Value::text("adapter"))], "general.type"),
        (vec![entry("adapter.lora.alpha", Value::F32(1.0))], "adapter.lora.alpha"),
        (vec![entry("llama.block_count", Value::text("3"))], "llama.block_count is \"3\""),
        (vec![entry("llama.attention.layer_norm_rms_epsilon", Value::text("x"))], "layer_norm_rms_epsilon"),
        (vec![entry("tokenizer.ggml.eos_token_id", Value::text("2"))], "eos_token_id is '2'"),
    ] {
        let path = gguf("a2-refused", &set, &[]);
        let text = error(&path);
        assert!(text.contains(said) && !text.contains("damaged"), "{set:?}: {text}");
        remove(&path);
    }
}

/// What convert_hf_to_gguf (gguf 0.19.0), llama-quantize and quantisers of the public write beside what is read.
#[test]
fn a2_published_metadata_is_not_refused() {
    let text = Value::text("x");
    let set = [
        "general.name",
        "general.basename",
        "general.size_label",
        "general.license",
        "general.base_model.0.repo_url",
        "general.dataset.0.name",
        "quantize.imatrix.file",
        "quantize.imatrix.dataset",
        "mradermacher.quantized_by",
        "mradermacher.convert_type",
        "general.url",
    ];
    let mut set: Vec<(&str, Value)> = set.map(|k| (k, text.clone())).into();
    set.extend([
        ("general.type", Value::text("model")),
        ("general.file_type", Value::u32(15)),
        ("general.quantization_version", Value::u32(2)),
        ("general.sampling.temp", Value::F32(0.6)),
        ("quantize.imatrix.entries_count", Value::u32(224)),
        ("split.no", Value::u32(0)),
        ("split.count", Value::u32(0)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("llama.expert_count", Value::u32(0)),
        ("llama.attention.causal", Value::Bool(true)),
        ("llama.tensor_data_layout", Value::text("Meta AI original pth")),
    ]);
    let path = gguf("a2-published", &set, &[]);
    load(&path).unwrap();
    remove(&path);
}

#[test]
fn a3_a_key_twice_is_refused() {
    let path = folder("a3-twice");
    let file = path.join("config.json");
    let text = fs::read_to_string(&file).unwrap().replacen('{', "{\"rope_theta\": 777.0,", 1);
    fs::write(&file, text).unwrap();
    assert!(error(&path).contains("'rope_theta' is there twice"), "{}", error(&path));
    remove(&path);
}

#[test]
fn a4_a_tied_head_that_is_another_is_refused() {
    // transformers 5.23.0 does not tie then; earlier versions do.
    let (plain, path) = (folder("a4-plain"), folder("a4"));
    change(&path, |all| {
        all.insert("lm_head.weight".into(), noise(&[97, 64]));
    });
    let said = error(&path);
    assert!(said.contains("tie_word_embeddings is true") && said.contains("lm_head.weight"), "{said}");
    change(&path, |all| {
        let same = all["model.embed_tokens.weight"].copy();
        all.insert("lm_head.weight".into(), same);
    });
    assert!(load(&path).unwrap().model.head.is_none() && logits(&path).equal(&logits(&plain)), "equal ones are tied");
    config(&path, |j| j["tie_word_embeddings"] = json!(false));
    assert!(load(&path).unwrap().model.head.is_some());
    [plain, path].iter().for_each(|p| remove(p));
}

#[test]
fn a12_only_named_files_are_the_weights() {
    let (plain, path) = (folder("a12-plain"), folder("a12"));
    let right = logits(&plain);
    let all = tensors(&path);
    let other: BTreeMap<String, Tensor> = all.iter().map(|(n, t)| (n.clone(), t * 2.0)).collect();
    for name in ["adapter_model.safetensors", "consolidated.safetensors", "model.fp16.safetensors", "zzz.safetensors"] {
        write(&path.join(name), &other);
    }
    assert!(logits(&path).equal(&right), "other files replace nothing");
    // The same in two parts.
    let (a, b): (BTreeMap<_, _>, BTreeMap<_, _>) =
        all.iter().map(|(n, t)| (n.clone(), t.copy())).partition(|(n, _)| n.contains("layers.0"));
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    fs::remove_file(path.join("model.safetensors")).unwrap();
    write(&path.join(names[0]), &a);
    write(&path.join(names[1]), &b);
    let index = |with: &dyn Fn(&mut serde_json::Map<String, Json>)| {
        let mut map = serde_json::Map::new();
        a.keys().for_each(|n| drop(map.insert(n.clone(), names[0].into())));
        b.keys().for_each(|n| drop(map.insert(n.clone(), names[1].into())));
        with(&mut map);
        let json = json!({"metadata": {"total_size": 1, "total_parameters": 1}, "weight_map": map});
        fs::write(path.join("model.safetensors.index.json"), json.to_string()).unwrap();
    };
    index(&|_| {});
    assert!(logits(&path).equal(&right));
    let norm = "model.norm.weight";
    for (value, said) in [
        (Some("../x.safetensors"), "no name of a file"),
        (Some("/etc/passwd"), "no name of a file"),
        (Some(names[0]), "model-00002-of-00002.safetensors has it"),
        (None, "which it does not name"),
    ] {
        index(&|map| {
            map.remove(norm);
            value.iter().for_each(|v| drop(map.insert(norm.into(), (*v).into())));
        });
        assert!(error(&path).contains(said) && error(&path).contains("index.json"), "{}", error(&path));
    }
    index(&|map| drop(map.insert("more".into(), names[0].into())));
    assert!(error(&path).contains("'more'"), "{}", error(&path));
    index(&|_| {});
    let mut twice: BTreeMap<String, Tensor> = a.iter().map(|(n, t)| (n.clone(), t.copy())).collect();
    twice.insert(norm.into(), noise(&[64]));
    write(&path.join(names[0]), &twice);
    assert!(error(&path).contains("is in two files"), "{}", error(&path));
    [plain, path].iter().for_each(|p| remove(p));
}

#[test]
fn a12_folders_without_weights_say_what_is_wanted() {
    let path = folder("a12-none");
    fs::write(path.join("adapter_config.json"), "{}").unwrap();
    assert!(error(&path).contains("adapter_config.json"), "{}", error(&path));
    fs::remove_file(path.join("adapter_config.json")).unwrap();
    fs::rename(path.join("model.safetensors"), path.join("consolidated.safetensors")).unwrap();
    assert!(
        error(&path).contains("neither model.safetensors nor") && error(&path).contains("consolidated.safetensors"),
        "{}",
        error(&path)
    );
    fs::rename(path.join("consolidated.safetensors"), path.join("pytorch_model.bin")).unwrap();
    assert!(
        error(&path).contains("pytorch_model.bin") && error(&path).contains("save the model as safetensors"),
        "{}",
        error(&path)
    );
    remove(&path);
}

#[test]
fn a3_heads_that_the_tensors_contradict_are_refused() {
    let path = folder("a3-heads");
    config(&path, |j| j["num_key_value_heads"] = json!(4));
    let said = error(&path);
    assert!(
        said.contains("k_proj.weight' has shape [32, 64]; the config says [64, 64]") && !said.contains("damaged"),
        "{said}"
    );
    remove(&path);
    let path = gguf("a3-heads-gguf", &[("llama.attention.head_count_kv", Value::u32(4))], &[]);
    let said = error(&path);
    assert!(
        said.contains("attn_k.weight' has shape [32, 64]; the metadata say [64, 64]") && !said.contains("damaged"),
        "{said}"
    );
    remove(&path);
}

#[test]
fn a1_weights_that_are_no_floats_are_refused() {
    let path = folder("a1-bytes");
    let all = tensors(&path);
    let name = "model.layers.0.self_attn.q_proj.weight";
    let mut plan = Plan::new();
    for (n, t) in &all {
        let stored = if n == name { Stored::U8 } else { Stored::F32 };
        plan.add(n.as_str(), stored, &t.size().iter().map(|d| *d as usize).collect::<Vec<_>>());
    }
    let file = path.join("model.safetensors");
    fs::remove_file(&file).unwrap();
    let as_bytes = |n: &str| if n == name { all[n].to_kind(Kind::Uint8) } else { all[n].copy() };
    plan.write(&file, |n| Ok(as_bytes(n).contiguous())).unwrap();
    assert!(error(&path).contains("q_proj.weight' is of type Uint8, which is not supported"), "{}", error(&path));
    remove(&path);
}

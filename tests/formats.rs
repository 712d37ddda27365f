//! Model files of every kind, by the real binary: split GGUFs, sharded folders, and `lm info`, which reads headers only.
use crate::common::*;
use rlx_lm::{
    archive::Stored,
    gguf::BlockType,
    llama::{BlockShape, Config, export, random, save, tiny, tiny_config},
};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// Runs `lm info` with so little room that neither libtorch (450 MB) nor a model fits. What is mapped counts, which is more than what is resident.
fn info_within(folder: &Path, model: &str) -> Value {
    const KILOBYTES: u32 = 60_000;
    let start = Instant::now();
    let out = Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -v {KILOBYTES}; exec \"$0\" lm info \"$1\" --json"),
            env!("CARGO_BIN_EXE_rlx"),
            model,
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    let took = start.elapsed();
    assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    // A loaded machine; reading gigabytes would take longer all the same.
    assert!(took < Duration::from_secs(2), "{took:?}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// A LLaMA of 8 billion numbers.
fn large() -> Config {
    let mut config = tiny_config();
    (config.vocab, config.width, config.head_dim, config.tied) = (128_256, 4096, 128, false);
    config.blocks = vec![BlockShape { heads: 32, kv_heads: 8, ffn: 14_336 }; 32];
    config
}

/// A safetensors file of half floats with nothing behind its header: gigabytes by its length, some kilobytes on the disk.
fn sparse(path: &Path, tensors: &[(String, Vec<usize>)]) -> u64 {
    let mut at = 0;
    let mut header = serde_json::Map::new();
    for (name, shape) in tensors {
        let end = at + 2 * shape.iter().product::<usize>();
        header.insert(name.clone(), json!({"dtype": "F16", "shape": shape, "data_offsets": [at, end]}));
        at = end;
    }
    let header = Value::from(header).to_string();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let size = 8 + (header.len() + at) as u64;
    file.set_len(size).unwrap();
    size
}

fn tensors_of(config: &Config) -> Vec<(String, Vec<usize>)> {
    let table = vec![config.vocab, config.width];
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), table.clone()),
        ("lm_head.weight".into(), table),
        ("model.norm.weight".into(), vec![config.width]),
    ];
    for (i, shape) in config.blocks.iter().enumerate() {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            all.push((format!("model.layers.{i}.{norm}.weight"), vec![config.width]));
        }
        for p in rlx_lm::llama::Projection::ALL {
            all.push((format!("model.layers.{i}.{}.weight", p.name()), p.size(config, shape).to_vec()));
        }
    }
    all
}

#[test]
fn a13_lm_info_of_sixteen_sparse_gigabytes_reads_headers_only() {
    let dir = TempDir::new();
    let config = large();
    let all = tensors_of(&config);
    for (name, shards) in [("whole", 1), ("sharded", 3)] {
        let folder = dir.0.join(name);
        fs::create_dir(&folder).unwrap();
        let text = config.to_transformers(config.blocks[0], "float16").to_string();
        fs::write(folder.join("config.json"), text).unwrap();
        let mut map = serde_json::Map::new();
        let mut bytes = 0;
        for (i, part) in all.chunks(all.len().div_ceil(shards)).enumerate() {
            let file = match shards {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{shards:05}.safetensors", i + 1),
            };
            bytes += sparse(&folder.join(&file), part);
            part.iter().for_each(|(t, _)| drop(map.insert(t.clone(), file.as_str().into())));
        }
        if shards > 1 {
            let index = json!({"metadata": {}, "weight_map": map}).to_string();
            fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
        }
        let info = info_within(&dir.0, name);
        assert_eq!((&info["file_bytes"], &info["files"]), (&json!(bytes), &json!(shards)), "{name}");
        assert!(bytes > 16_000_000_000);
        assert_eq!(info["parameters"], 8_030_261_248u64);
        assert_eq!(info["format"], format!("safetensors, F16 ({})", all.len()));
    }
    // A shard that is missing, cut off, or has another shape than the config says.
    let folder = dir.0.join("sharded");
    let second = folder.join("model-00002-of-00003.safetensors");
    let size = fs::metadata(&second).unwrap().len();
    File::options().write(true).open(&second).unwrap().set_len(size - 1).unwrap();
    let text = fails(&dir.0, &["lm", "info", "sharded"], 1);
    assert!(text.contains("model-00002-of-00003.safetensors is damaged"), "{text}");
    fs::remove_file(second).unwrap();
    let text = fails(&dir.0, &["lm", "info", "sharded"], 1);
    assert!(text.contains("model-00002-of-00003.safetensors"), "{text}");
    let path = dir.0.join("whole/config.json");
    let other = fs::read_to_string(&path).unwrap().replace("14336", "14335");
    fs::write(path, other).unwrap();
    let text = fails(&dir.0, &["lm", "info", "whole"], 1);
    assert!(text.contains("mlp.gate_proj.weight' has shape [14336, 4096]; the config says [14335, 4096]"), "{text}");
}

#[test]
fn a13_lm_info_needs_no_libtorch_for_any_format() {
    let dir = TempDir::new();
    let at = |name: &str| dir.0.join(name);
    let model = tiny(3);
    save(&model, None, &at("packed")).unwrap();
    export::transformers(&model, None, Stored::F16, &at("folder")).unwrap();
    export::gguf(&model, None, BlockType::Q8_0, BlockType::F16, &at("m.gguf")).unwrap();
    fs::create_dir(at("encoder")).unwrap();
    let encoder = json!({"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2,
        "intermediate_size": 16, "vocab_size": 30, "max_position_embeddings": 12, "type_vocab_size": 2, "hidden_act": "gelu",
        "layer_norm_eps": 1e-12});
    fs::write(at("encoder/config.json"), encoder.to_string()).unwrap();
    let bytes = sparse(&at("encoder/model.safetensors"), &[("embeddings.word_embeddings.weight".into(), vec![30, 8])]);
    for (name, format) in [
        ("packed", "packed safetensors (rlx-packed-1)"),
        ("folder", "safetensors, F16 (29)"),
        ("m.gguf", "GGUF, F16 (1), F32 (7), Q8_0 (21)"),
    ] {
        let info = info_within(&dir.0, name);
        assert_eq!(info["format"], format);
        assert_eq!(info["parameters"], model.config.parameters());
        let file = if name == "m.gguf" { at(name) } else { at(name).join("model.safetensors") };
        assert_eq!(info["file_bytes"], fs::metadata(file).unwrap().len());
    }
    let info = info_within(&dir.0, "encoder");
    assert_eq!((&info["file_bytes"], &info["parameters"]), (&json!(bytes), &json!(240)));
    // What is wrong is said, and help is the whole program's.
    let text = fails(&dir.0, &["lm", "info", "nothing"], 2);
    assert!(text.contains("no model 'nothing'"), "{text}");
    assert!(ok(&dir.0, &["lm", "info", "--help"]).contains("Usage: rlx lm info"));
    assert!(fails(&dir.0, &["lm", "info"], 2).contains("MODEL"));
    fs::create_dir(at("empty")).unwrap();
    assert!(fails(&dir.0, &["lm", "info", "empty"], 2).contains("config.json"));
}

/// Splits a GGUF of F32 tensors as llama-gguf-split does: the metadata in the first part, tensors in turn.
fn split(from: &Path, folder: &Path, count: usize) {
    let mut whole = rlx_lm::gguf::Gguf::open(from).unwrap();
    let names: Vec<String> = whole.tensors().keys().cloned().collect();
    for no in 0..count {
        let mut out = rlx_lm::gguf::Writer::new();
        let number = |x: usize| rlx_lm::gguf::Value::Int(2, x as i128);
        if no == 0 {
            whole.metadata().iter().for_each(|(k, v)| out.set(k.clone(), v.clone()));
        }
        out.set("split.no", number(no));
        out.set("split.count", number(count));
        out.set("split.tensors.count", rlx_lm::gguf::Value::Int(5, names.len() as i128));
        // gguf-split copies no entry of the model's into later parts.
        for name in names.iter().skip(no).step_by(count) {
            let tensor = whole.tensor(name).unwrap();
            out.tensor(name, &tensor, BlockType::F32).unwrap();
        }
        out.write(&folder.join(format!("m-{:05}-of-{count:05}.gguf", no + 1))).unwrap();
    }
}

#[test]
fn a6_a_split_gguf_is_one_model_to_every_command() {
    let dir = TempDir::new();
    let at = |name: &str| dir.0.join(name);
    export::gguf(&random(&tiny_config(), 5), None, BlockType::F32, BlockType::F32, &at("m.gguf")).unwrap();
    split(&at("m.gguf"), &dir.0, 3);
    fs::write(at("ids.txt"), (3..60).map(|i| i.to_string()).collect::<Vec<_>>().join(" ")).unwrap();
    let nll = |model: &str| {
        let out = ok(&dir.0, &["lm", "eval", model, "--ids", "ids.txt", "--window", "40", "--json"]);
        let text = serde_json::from_str::<Value>(&out).unwrap()["text"].take();
        assert!(text["nll"].is_number(), "{out}");
        text
    };
    let whole = nll("m.gguf");
    for part in ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf"] {
        assert_eq!(nll(part), whole);
    }
    let parts: u64 = (1..4).map(|i| fs::metadata(at(&format!("m-{i:05}-of-00003.gguf"))).unwrap().len()).sum();
    let info = info_within(&dir.0, "m-00002-of-00003.gguf");
    assert_eq!((&info["files"], &info["file_bytes"]), (&json!(3), &json!(parts)));
    let ids = [
        "lm",
        "prune",
        "m-00001-of-00003.gguf",
        "--format",
        "gguf",
        "--gguf-type",
        "F32",
        "--bits",
        "16",
        "--embedding",
        "16",
    ];
    let text = ok(&dir.0, &[&ids[..], &["-o", "small.gguf"]].concat());
    assert!(text.contains("(it was ") && text.contains("projections F32, embedding F32"), "{text}");
    // The choice is kept: no table of 8 bits in a file of floats.
    let format = info_within(&dir.0, "small.gguf")["format"].as_str().unwrap().to_owned();
    assert!(format.starts_with("GGUF, F32 ("), "{format}");
    let text = ok(&dir.0, &[&ids[..], &["--gguf-embedding", "Q8_0", "-o", "mixed.gguf"]].concat());
    assert!(text.contains("embedding Q8_0"), "{text}");
    fs::remove_file(at("m-00002-of-00003.gguf")).unwrap();
    for command in [&["lm", "info"][..], &["lm", "eval", "--ids", "ids.txt"]] {
        let args = [&command[..2], &["m-00001-of-00003.gguf"], &command[2..]].concat();
        let text = fails(&dir.0, &args, 1);
        assert!(text.contains("m-00002-of-00003.gguf: part 2 of 3 of the model is missing"), "{text}");
    }
}

#[test]
fn a1_lm_info_refuses_what_loading_refuses() {
    let dir = TempDir::new();
    let model = random(&tiny_config(), 6);
    export::gguf(&model, None, BlockType::F32, BlockType::F32, &dir.0.join("m.gguf")).unwrap();
    let mut whole = rlx_lm::gguf::Gguf::open(&dir.0.join("m.gguf")).unwrap();
    let mut out = rlx_lm::gguf::Writer::new();
    whole.metadata().iter().for_each(|(k, v)| out.set(k.clone(), v.clone()));
    let names: Vec<String> = whole.tensors().keys().cloned().collect();
    for name in &names {
        let tensor = whole.tensor(name).unwrap();
        out.tensor(name, &tensor, BlockType::F32).unwrap();
        if name == "blk.0.attn_q.weight" {
            out.tensor("blk.0.attn_q.bias", &tensor.select(1, 0).contiguous(), BlockType::F32).unwrap();
        }
    }
    out.write(&dir.0.join("biased.gguf")).unwrap();
    let text = fails(&dir.0, &["lm", "info", "biased.gguf"], 1);
    assert!(text.contains("blk.0.attn_q.bias") && text.contains("not supported"), "{text}");
    // A key that changes the model and is not known.
    save(&model, None, &dir.0.join("own")).unwrap();
    let path = dir.0.join("own/config.json");
    let other = fs::read_to_string(&path).unwrap().replacen('{', "{\"quantization_config\": {},", 1);
    fs::write(path, other).unwrap();
    let text = fails(&dir.0, &["lm", "info", "own"], 1);
    assert!(text.contains("quantization_config"), "{text}");
}

//! Texts are cut in llama.cpp and transformers as they are here, also by what is written for them. The tests need Python packages and
//! llama.cpp's shared libraries: see tools/llama_tokens.py.
use rlx_lm::{
    archive::Stored,
    gguf::BlockType,
    llama::{Model, export, load, save},
    tokenizer::Tokenizer,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn variable(name: &str, what: &str) -> Option<PathBuf> {
    let found = std::env::var_os(name).map(PathBuf::from);
    if found.is_none() {
        println!("skipped: {name} names no {what} (tools/llama_tokens.py)");
    }
    found
}

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llama-tokens.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn texts() -> Vec<String> {
    golden()["texts"].as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect()
}

fn said(command: &mut Command) -> Value {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Ids with what goes before and after, as we make them.
fn ours(tokenizer: &Tokenizer, texts: &[String]) -> Value {
    let frame = tokenizer.frame().unwrap();
    json!(texts.iter().map(|t| frame.around(tokenizer.encode(t).unwrap())).collect::<Vec<_>>())
}

fn check(name: &str, model: &Model, tokenizer: &Tokenizer) {
    let Some(python) = variable("RLX_LM_PYTHON", "Python with transformers, gguf and sentencepiece") else { return };
    let folder = std::env::temp_dir().join(format!("rlx-tokens-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let (texts, file) = (texts(), folder.join("texts.json"));
    std::fs::write(&file, json!(texts).to_string()).unwrap();
    let right = ours(tokenizer, &texts);
    save(model, Some(tokenizer), &folder.join("packed")).unwrap();
    export::transformers(model, Some(tokenizer), Stored::F16, &folder.join("hf")).unwrap();
    for from in ["packed", "hf"] {
        let back = load(&folder.join(from)).unwrap();
        assert_eq!(ours(back.tokenizer().unwrap(), &texts), right, "{name}: {from}");
        let to = folder.join(format!("{from}.gguf"));
        export::gguf(&back.model, back.tokenizer.as_ref(), BlockType::Q8_0, BlockType::Q8_0, &to).unwrap();
        assert_eq!(ours(load(&to).unwrap().tokenizer().unwrap(), &texts), right, "{name}: {from}.gguf");
        if let Some(libraries) = variable("RLX_LLAMA_CPP", "folder of llama.cpp's shared libraries") {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/llama_tokens.py");
            let found = said(Command::new(&python).arg(script).arg(libraries).args([&to, &file]));
            assert_eq!(found["framed"], right, "{name}: llama.cpp");
            let ends: Vec<u64> = found["ends"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
            let mut here = load(&to).unwrap().model.config.eos;
            here.sort_unstable();
            assert_eq!(json!(here), json!(ends), "{name}: end tokens");
        }
    }
    let script = "import json, sys\nfrom transformers import AutoTokenizer\nt = AutoTokenizer.from_pretrained(sys.argv[1])\n\
                  print(json.dumps([t(x).input_ids for x in json.load(open(sys.argv[2]))]))";
    let found = said(Command::new(&python).args(["-c", script]).args([folder.join("hf"), file.clone()]));
    assert_eq!(found, right, "{name}: transformers");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a11_smollm2_is_cut_alike_elsewhere() {
    let path = rlx_lm::store::cache_dir().join("models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    if !path.exists() {
        println!("skipped: {} is not there; `rlx fetch smollm2-135m` gets it", path.display());
        return;
    }
    let loaded = load(&path).unwrap();
    check("smollm2", &loaded.model, loaded.tokenizer().unwrap());
}

/// Small tokenizers of both kinds, whose models have as many rows.
#[test]
fn a11_small_tokenizers_are_cut_alike_elsewhere() {
    use rlx_lm::{
        gguf::{Array, Value as Entry},
        llama::{random, tiny_config},
    };
    let golden = golden();
    for (kind, pre, begins, prefix) in [
        ("bytes", "llama-bpe", true, false),
        ("bytes", "default", false, false),
        ("bytes", "qwen2", true, false),
        ("sentences", "default", true, true),
        ("sentences", "default", false, false),
    ] {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let part = &golden[kind];
        let list = |name: &str| {
            let all = part[name].as_array().into_iter().flatten();
            Entry::List(Array::Texts(all.map(|t| t.as_str().unwrap().to_owned()).collect()))
        };
        let types = part["types"].as_array().unwrap().iter().map(|t| t.as_i64().unwrap() as i32);
        let scores = part["scores"].as_array().into_iter().flatten().map(|s| s.as_f64().unwrap() as f32);
        let mut all = std::collections::BTreeMap::from([
            (key("model"), Entry::text(if kind == "bytes" { "gpt2" } else { "llama" })),
            (key("pre"), Entry::text(pre)),
            (key("tokens"), list("tokens")),
            (key("token_type"), Entry::i32s(types)),
            (key("bos_token_id"), Entry::u32(1)),
            (key("eos_token_id"), Entry::u32(2)),
            (key("add_bos_token"), Entry::Bool(begins)),
            (key("add_space_prefix"), Entry::Bool(prefix)),
        ]);
        match kind {
            "bytes" => all.insert(key("merges"), list("merges")),
            _ => all.insert(key("scores"), Entry::List(Array::F32(scores.collect()))),
        };
        let tokenizer = Tokenizer::from_gguf(&all).unwrap().unwrap();
        let mut config = tiny_config();
        config.vocab = tokenizer.size();
        check(&format!("{kind}-{pre}-{prefix}"), &random(&config, 1), &tokenizer);
    }
}

//! Exports are loaded by transformers and llama.cpp, and say there what they say here. The test needs a Python that has both: see
//! tools/lm_loaders.py.
use rlx_lm::{
    archive::Stored,
    gguf::BlockType,
    llama::{
        Model,
        compress::{Kept, narrow},
        export, load, tiny,
    },
    tokenizer::Tokenizer,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn python() -> Option<PathBuf> {
    let found = std::env::var_os("RLX_LM_PYTHON").map(PathBuf::from);
    if found.is_none() {
        println!(
            "SKIPPED: RLX_LM_PYTHON names no Python with torch, transformers and llama-cpp-python (tools/lm_loaders.py)"
        );
    }
    found
}

/// Logits at the last of some tokens, as another implementation loads the file.
fn elsewhere(python: &Path, how: &str, path: &Path, ids: &[u32]) -> Vec<f64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/lm_loaders.py");
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let out = Command::new(python).arg(script).arg(how).arg(path).arg(ids.join(",")).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{how} does not load {}: {said}", path.display());
    serde_json::from_slice(&out.stdout).unwrap()
}

fn ours(model: &Model, ids: &[u32]) -> Vec<f64> {
    let logits = model.logits_no_grad(&model.ids(ids).unwrap()).squeeze_dim(0);
    Vec::try_from(logits.select(0, ids.len() as i64 - 1).to_kind(tch::Kind::Double)).unwrap()
}

fn worst(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

/// Some blocks without their first kv head and every other channel, as uneven as a search makes them.
fn uneven(model: &Model) -> Model {
    let (mut out, head_dim) = (model.clone(), model.config.head_dim);
    for i in (1..model.blocks.len()).step_by(2) {
        let shape = model.blocks[i].shape;
        let kept = Kept {
            kv_heads: (usize::from(i % 3 > 0 && shape.kv_heads > 1)..shape.kv_heads).collect(),
            channels: (0..shape.ffn).filter(|c| c / 32 % (2 + i % 3) != 0).collect(),
        };
        out.blocks[i] = narrow(&model.blocks[i], &kept, head_dim).unwrap();
        out.config.blocks[i] = out.blocks[i].shape;
    }
    assert!(out.config.uniform().is_none());
    out
}

fn check(python: &Path, name: &str, model: &Model, tokenizer: Option<&Tokenizer>, ids: &[u32]) {
    let folder = std::env::temp_dir().join(format!("rlx-loaders-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let right = ours(model, ids);
    let path = folder.join("hf");
    let widths = export::transformers(model, tokenizer, Stored::F32, &path).unwrap();
    let off = worst(&elsewhere(python, "transformers", &path, ids), &right);
    println!("{name}: transformers, {widths:?}: {off:.1e}");
    assert!(off < 1e-3, "{name}: {off}");
    let path = folder.join("f32.gguf");
    let arch = export::gguf(model, tokenizer, BlockType::F32, BlockType::F32, &path).unwrap();
    let off = worst(&elsewhere(python, "llama.cpp", &path, ids), &right);
    println!("{name}: llama.cpp, {arch}, F32: {off:.1e}");
    assert!(off < 1e-3, "{name}: {off}");
    for kind in [BlockType::F16, BlockType::Q8_0, BlockType::Q4_0, BlockType::Q4_1] {
        let path = folder.join(format!("{kind}.gguf"));
        export::gguf(model, tokenizer, kind, BlockType::Q8_0, &path).unwrap();
        // What the file holds, without the 8 bits that llama.cpp rounds activations to beside quantised weights.
        let right = ours(&load(&path).unwrap().model, ids);
        let spread = right.iter().fold(0f64, |m, x| m.max(x.abs()));
        let off = worst(&elsewhere(python, "llama.cpp", &path, ids), &right);
        let alike = correlation(&elsewhere(python, "llama.cpp", &path, ids), &right);
        println!("{name}: llama.cpp, {arch}, {kind}: {off:.1e} of {spread:.1}, correlation {alike:.5}");
        assert!(alike > 0.99, "{name}, {kind}: {off} of {spread}, correlation {alike}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn small_exports_are_the_same_elsewhere() {
    let Some(python) = python() else { return };
    let ids: Vec<u32> = (0..24).map(|i| i * 11 % 97).collect();
    check(&python, "tiny", &tiny(2), None, &ids);
    check(&python, "tiny-uneven", &uneven(&tiny(2)), None, &ids);
}

#[test]
fn smollm2_exports_are_the_same_elsewhere() {
    let Some(python) = python() else { return };
    let path = rlx_lm::store::cache_dir().join("models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    if !path.exists() {
        println!("SKIPPED: {} is not there; `rlx fetch smollm2-135m` gets it", path.display());
        return;
    }
    let loaded = load(&path).unwrap();
    let ids = loaded.tokenizer().unwrap().encode("The capital of France is").unwrap();
    check(&python, "smollm2", &loaded.model, loaded.tokenizer.as_ref(), &ids);
    check(&python, "smollm2-uneven", &uneven(&loaded.model), loaded.tokenizer.as_ref(), &ids);
}

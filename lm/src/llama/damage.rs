//! Files that lie: whatever a header or config says, loading is an error that says what is wrong, or a model that runs. Never a panic.
use super::{compress::*, *};
use crate::{
    archive::Stored,
    gguf::{Array, BlockType, Value},
    quant::{Rounding, Scheme},
    tokenizer::Tokenizer,
};
use rlx::Rng;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tch::Tensor;

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rlx-lm-damage-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

/// Loads and runs; whether it could.
fn runs(path: &Path) -> bool {
    let Ok(loaded) = load(path) else { return false };
    let vocab = loaded.model.config.vocab as i64;
    let ids = Tensor::from_slice(&[0, 1, 2, vocab - 1]).clamp(0, vocab - 1).unsqueeze(0);
    let _ = loaded.model.logits_no_grad(&ids);
    if let Some(t) = &loaded.tokenizer {
        let _ = t.encode("a b");
    }
    true
}

/// Each number of a JSON text in turn replaced by each of some lies.
fn lies(text: &str) -> Vec<String> {
    const LIES: [&str; 9] = ["0", "-1", "1", "3", "1000000007", "18446744073709551615", "1e300", "0.5", "null"];
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let number = bytes[at].is_ascii_digit() && matches!(bytes[at - 1], b' ' | b'[' | b',' | b':');
        let end = at + bytes[at..].iter().take_while(|b| b.is_ascii_digit() || b".eE-+".contains(b)).count();
        if number {
            out.extend(LIES.iter().map(|lie| format!("{}{lie}{}", &text[..at], &text[end..])));
        }
        at = end.max(at + 1);
    }
    out
}

fn packed(path: &Path) {
    let dense = tiny(1);
    let ids: Vec<u32> = (0..64).collect();
    let windows = likelihood::Windows::new(&ids, 32).unwrap();
    let scores = importance(&dense, &windows, Criterion::Magnitude, 0, &|| false).unwrap();
    let mut compressor = Compressor::new(dense, scores, Rounding::Nearest, None, 0).unwrap();
    let scheme = |t: &str| t.parse::<Scheme>().unwrap();
    let mut plan = Plan::uniform(compressor.dense(), 0.3, scheme("3"), 4, (1, 0), scheme("8"));
    (plan.blocks[0].scheme, plan.blocks[2].scheme) = (scheme("nf4"), scheme("16"));
    save(&compressor.build(&plan).unwrap(), None, path).unwrap();
}

#[test]
fn numbers_of_a_config_may_lie() {
    let (own, theirs) = (folder("packed"), folder("hf"));
    packed(&own);
    export::transformers(&tiny(1), None, Stored::F16, &theirs).unwrap();
    for path in [&own, &theirs] {
        let file = path.join("config.json");
        let whole = fs::read_to_string(&file).unwrap();
        assert!(runs(path));
        let all = lies(&whole);
        assert!(all.len() > 100, "{}", all.len());
        let refused = all.iter().filter(|lie| {
            fs::write(&file, lie).unwrap();
            !runs(path)
        });
        // What the tensors' shapes do not say, such as the context, may be another number.
        let refused = refused.count();
        assert!(refused * 2 > all.len(), "{refused} of {}", all.len());
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn the_header_of_packed_weights_may_lie() {
    let path = folder("weights");
    packed(&path);
    let file = path.join("model.safetensors");
    let whole = fs::read(&file).unwrap();
    let head = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut rng = Rng::stream(4, 4);
    let text = String::from_utf8(whole[8..head].to_vec()).unwrap();
    let all = lies(&text);
    let mut refused = 0;
    for _ in 0..600 {
        let lie = &all[rng.below(all.len())];
        let mut bytes = (lie.len() as u64).to_le_bytes().to_vec();
        bytes.extend(lie.as_bytes());
        bytes.extend(&whole[head..]);
        fs::write(&file, &bytes).unwrap();
        refused += usize::from(!runs(&path));
    }
    // A lie may be the truth by chance.
    assert!(refused > 500, "{refused} of 600");
    // Another type of as many bytes is another type.
    let other = text.replace("\"F16\"", "\"BF16\"");
    let mut bytes = (other.len() as u64).to_le_bytes().to_vec();
    bytes.extend(other.as_bytes());
    bytes.extend(&whole[head..]);
    fs::write(&file, &bytes).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("expected") || error.contains("Half"), "{error}");
    fs::remove_dir_all(path).unwrap();
}

/// Metadata of a byte-level tokenizer of the tiny model's size.
fn words() -> BTreeMap<String, Value> {
    let letters = ('a'..='z').map(String::from);
    let mut tokens: Vec<String> = ["<s>", "<x>", "</s>"].map(String::from).into_iter().chain(letters).collect();
    tokens.extend(["ab", "abc", "Ġ", "Ġa"].map(String::from));
    while tokens.len() < 97 {
        tokens.push(format!("<unused{}>", tokens.len()));
    }
    let types = (0..97i32).map(|i| if i < 3 { 3 } else { 1 });
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    BTreeMap::from([
        (key("model"), Value::text("gpt2")),
        (key("pre"), Value::text("smollm")),
        (key("tokens"), Value::List(Array::Texts(tokens))),
        (key("token_type"), Value::i32s(types)),
        (key("merges"), Value::List(Array::Texts(["a b", "ab c", "Ġ a"].map(String::from).to_vec()))),
        (key("bos_token_id"), Value::u32(1)),
        (key("eos_token_id"), Value::u32(2)),
    ])
}

#[test]
fn every_place_of_a_gguf_header_may_lie() {
    let tokenizer = Tokenizer::from_gguf(&words()).unwrap().unwrap();
    assert_eq!(tokenizer.encode("abc a").unwrap().len(), 2);
    let path = folder("gguf");
    let mut model = tiny(8);
    let kept = Kept { kv_heads: vec![1], channels: (0..64).collect() };
    model.blocks[1] = narrow(&model.blocks[1], &kept, 16).unwrap();
    model.config.blocks[1] = model.blocks[1].shape;
    export::gguf(&model, Some(&tokenizer), BlockType::Q4_0, BlockType::Q8_0, &path).unwrap();
    let whole = fs::read(&path).unwrap();
    assert!(runs(&path));
    let data: usize = whole.windows(18).position(|w| w == b"blk.2.ffn_down.wei").unwrap() + 60;
    let lies = [u64::MAX, 1 << 62, 0, 1 << 40, 3, 0x0101_0101_0101_0101, 1, 1 << 31];
    let (mut refused, mut tried) = (0, 0);
    for at in (0..data).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&lies[at / 3 % lies.len()].to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        refused += usize::from(!runs(&path));
        tried += 1;
    }
    assert!(refused * 3 > tried, "{refused} of {tried}");
    fs::remove_file(path).unwrap();
}

#[test]
fn tokenizers_that_do_not_fit_are_refused() {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let with = |name: &str, value: Value| {
        let mut all = words();
        all.insert(key(name), value);
        Tokenizer::from_gguf(&all).unwrap_err().to_string()
    };
    let texts = |t: &[&str]| Value::List(Array::Texts(t.iter().map(ToString::to_string).collect()));
    for (name, value, said) in [
        ("model", Value::text("bert"), "'bert' is not supported"),
        ("pre", Value::text("kimi-k2"), "'kimi-k2' is not supported"),
        ("tokens", Value::u32(3), "no tokens"),
        ("token_type", Value::i32s([1, 2]), "97 tokens but 2 token types"),
        ("merges", texts(&["ab"]), "not two tokens"),
        ("merges", texts(&["q zz"]), "zz"),
        ("model", Value::text("llama"), "one score a token"),
    ] {
        let error = with(name, value);
        assert!(error.contains(said), "{name}: {error}");
    }
    // More words than the embedding has rows.
    let mut all = words();
    let Some(Value::List(Array::Texts(tokens))) = all.get_mut(&key("tokens")) else { unreachable!() };
    tokens.push("one more".into());
    all.remove(&key("token_type"));
    let tokenizer = Tokenizer::from_gguf(&all).unwrap().unwrap();
    let path = folder("words");
    save(&tiny(1), Some(&tokenizer), &path).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("98 tokens, the embedding 97 rows"), "{error}");
    fs::remove_dir_all(path).unwrap();
}

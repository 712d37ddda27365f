//! What llama.cpp v0.5.0 and sentencepiece 0.2.3 make of texts (tests/golden/llama-tokens.json, written by tools/llama_tokens.py).
use super::*;
use crate::gguf::Array;
use std::{collections::BTreeMap, fs, path::PathBuf};

type Metadata = BTreeMap<String, Value>;

fn golden() -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llama-tokens.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn texts(json: &Json) -> Vec<String> {
    json.as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect()
}

fn ids(json: &Json) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|t| t.as_u64().unwrap() as u32).collect()
}

fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

fn metadata(kind: &str, vocabulary: &Json) -> Metadata {
    let types = vocabulary["types"].as_array().unwrap().iter().map(|t| t.as_i64().unwrap() as i32);
    Metadata::from([
        (key("model"), Value::text(kind)),
        (key("tokens"), Value::List(Array::Texts(texts(&vocabulary["tokens"])))),
        (key("token_type"), Value::i32s(types)),
        (key("bos_token_id"), Value::u32(1)),
        (key("eos_token_id"), Value::u32(2)),
    ])
}

fn bytes(golden: &Json, pre: &str) -> Metadata {
    let mut all = metadata("gpt2", &golden["bytes"]);
    all.insert(key("merges"), Value::List(Array::Texts(texts(&golden["bytes"]["merges"]))));
    if !pre.is_empty() {
        all.insert(key("pre"), Value::text(pre));
    }
    all
}

fn sentences(golden: &Json, prefix: Option<bool>) -> Metadata {
    let mut all = metadata("llama", &golden["sentences"]);
    let scores = golden["sentences"]["scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap() as f32);
    all.insert(key("scores"), Value::List(Array::F32(scores.collect())));
    if let Some(prefix) = prefix {
        all.insert(key("add_space_prefix"), Value::Bool(prefix));
    }
    all
}

fn read(metadata: &Metadata) -> Tokenizer {
    Tokenizer::from_gguf(metadata).unwrap().unwrap()
}

fn refused(metadata: &Metadata) -> String {
    Tokenizer::from_gguf(metadata).unwrap_err().to_string()
}

fn all_ids_are(tokenizer: &Tokenizer, golden: &Json, right: &Json, what: &str) {
    for (text, right) in texts(&golden["texts"]).iter().zip(right.as_array().unwrap()) {
        assert_eq!(tokenizer.encode(text).unwrap(), ids(right), "{what}: {text:?}");
    }
}

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rlx-tokenizer-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
    fn open(&self) -> Result<Tokenizer> {
        Tokenizer::open(&self.0.join("tokenizer.json"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Through the files of a folder and back.
fn through_a_folder(tokenizer: &Tokenizer, name: &str) -> Tokenizer {
    let to = Folder::new(name);
    folder::write(&to.0, Some(tokenizer), tokenizer.bos(), tokenizer.ends()).unwrap();
    to.open().unwrap()
}

/// A file without `tokenizer.ggml.pre` has llama.cpp's default expressions, which are none of GPT-2's.
#[test]
fn a8_byte_level_tokenizers_cut_texts_as_llama_cpp_does() {
    let golden = golden();
    for (pre, right) in golden["pre"].as_object().unwrap() {
        let tokenizer = read(&bytes(&golden, pre));
        all_ids_are(&tokenizer, &golden, &right["ids"], pre);
        let framed = tokenizer.frame().unwrap().around(tokenizer.encode("a").unwrap());
        assert_eq!(framed, ids(&right["framed"]), "{pre}");
    }
    let distinct: std::collections::BTreeSet<String> =
        golden["pre"].as_object().unwrap().values().map(ToString::to_string).collect();
    assert!(distinct.len() > 12, "the texts tell the names apart");
}

/// User-defined and control tokens inside a text, `<unk>` and `<0x0A>` among them, are in the texts.
#[test]
fn a8_sentencepiece_goes_by_add_space_prefix() {
    let golden = golden();
    let right = &golden["sentences"];
    assert_ne!(right["prefixed"], right["plain"]);
    for (prefix, name) in [(Some(true), "prefixed"), (None, "prefixed"), (Some(false), "plain")] {
        let tokenizer = read(&sentences(&golden, prefix));
        all_ids_are(&tokenizer, &golden, &right[name], name);
        // Without add_bos_token, llama.cpp puts BOS before a sentencepiece text.
        let framed = tokenizer.frame().unwrap().around(tokenizer.encode("a").unwrap());
        assert_eq!(framed[0], 1);
        assert_eq!(tokenizer.decode(&tokenizer.encode("a  b é日").unwrap()).unwrap(), "a  b é日");
    }
}

#[test]
fn a8_what_changes_a_text_and_is_not_supported_is_refused_by_name() {
    let golden = golden();
    for (name, value) in [
        ("pre", Value::text("kimi-k2")),
        ("pre", Value::text("gpt2")),
        ("model", Value::text("t5")),
        ("remove_extra_whitespaces", Value::Bool(true)),
        ("precompiled_charsmap", Value::List(Array::Ints(0, vec![1, 2, 3, 4]))),
        ("add_sep_token", Value::Bool(true)),
        ("suppress_tokens", Value::i32s([5])),
        ("something_new", Value::Bool(true)),
    ] {
        let mut all = bytes(&golden, "gpt-2");
        let said = match &value {
            Value::Text(text) => text.clone(),
            _ => name.to_owned(),
        };
        all.insert(key(name), value);
        let error = refused(&all);
        assert!(error.contains("not supported") && error.contains(&said), "{name}: {error}");
    }
    for (name, value) in [
        ("remove_extra_whitespaces", Value::Bool(false)),
        ("precompiled_charsmap", Value::List(Array::Ints(0, vec![]))),
        ("mask_token_id", Value::u32(3)),
        ("fim_pre_token_id", Value::u32(3)),
    ] {
        let mut all = bytes(&golden, "gpt-2");
        all.insert(key(name), value);
        read(&all);
    }
    for (name, value, said) in [
        ("eot_token_id", Value::u32(1 << 20), "eot_token_id is 1048576"),
        ("add_bos_token", Value::u32(1), "must be true or false"),
        ("token_type", Value::text("x"), "token_type"),
    ] {
        let mut all = bytes(&golden, "gpt-2");
        all.insert(key(name), value);
        assert!(refused(&all).contains(said), "{name}");
    }
    let mut twice = bytes(&golden, "gpt-2");
    let mut tokens = texts(&golden["bytes"]["tokens"]);
    tokens[9] = tokens[8].clone();
    twice.insert(key("tokens"), Value::List(Array::Texts(tokens)));
    assert!(refused(&twice).contains("token 8 and token 9 are both"));
}

#[test]
fn a9_a_gguf_says_what_goes_before_and_after_a_text() {
    let golden = golden();
    let with = |pairs: &[(&str, Value)]| {
        let mut all = bytes(&golden, "gpt-2");
        all.extend(pairs.iter().map(|(k, v)| (key(k), v.clone())));
        all
    };
    let frame = |before: &[u32], after: &[u32]| Frame { before: before.to_vec(), after: after.to_vec() };
    for (pairs, right) in [
        (vec![], frame(&[], &[])),
        (vec![("add_bos_token", Value::Bool(true))], frame(&[1], &[])),
        (vec![("add_bos_token", Value::Bool(true)), ("add_eos_token", Value::Bool(true))], frame(&[1], &[2])),
        (vec![("pre", Value::text("llama-bpe"))], frame(&[1], &[])),
        (vec![("pre", Value::text("llama-bpe")), ("add_bos_token", Value::Bool(false))], frame(&[], &[])),
    ] {
        let tokenizer = read(&with(&pairs));
        assert_eq!(tokenizer.frame().unwrap(), &right, "{pairs:?}");
        // Kept in a folder, and in a GGUF written from that.
        let back = through_a_folder(&tokenizer, "framed");
        assert_eq!(back.frame().unwrap(), &right, "{pairs:?}");
        let written = back.to_gguf(900, Some(1), &[2]).unwrap();
        let again = Tokenizer::from_gguf(&written.metadata.into_iter().collect()).unwrap().unwrap();
        assert_eq!(again.frame().unwrap(), &right, "{pairs:?}");
    }
    let mut none = with(&[("add_bos_token", Value::Bool(true))]);
    none.remove(&key("bos_token_id"));
    assert!(refused(&none).contains("add_bos_token is true"));
}

/// transformers 5.23 goes by the post-processor alone; transformers 4 and llama.cpp's converter by the flags too.
#[test]
fn a9_a_folder_says_what_goes_before_a_text() {
    let golden = golden();
    let plain = read(&bytes(&golden, "gpt-2")).to_json().unwrap();
    let mut begins = bytes(&golden, "gpt-2");
    begins.insert(key("add_bos_token"), Value::Bool(true));
    let begins = read(&begins).to_json().unwrap();
    let config =
        |flag: &str| format!(r#"{{"bos_token": {{"content": "<s>"}}, "eos_token": "</s>", "add_bos_token": {flag}}}"#);
    for (tokenizer, config, right) in [
        (&plain, None, Some(0)),
        (&begins, None, Some(1)),
        (&plain, Some(config("true")), Some(1)),
        (&begins, Some(config("true")), Some(1)),
        (&begins, Some(config("null")), Some(1)),
        (&plain, Some(config("false")), Some(0)),
        (&begins, Some(config("false")), None),
    ] {
        let at = Folder::new("begins");
        at.put("tokenizer.json", tokenizer);
        if let Some(config) = &config {
            at.put("tokenizer_config.json", config);
        }
        let opened = at.open().unwrap();
        match right {
            Some(n) => {
                assert_eq!(opened.frame().unwrap().before, vec![1; n], "{config:?}");
                let back = through_a_folder(&opened, "begins-again");
                assert_eq!(back.frame().unwrap(), opened.frame().unwrap());
            }
            None => assert!(opened.frame().unwrap_err().to_string().contains("add_bos_token is false")),
        }
    }
    let at = Folder::new("broken");
    at.put("tokenizer.json", &plain);
    for (name, text, said) in [
        ("tokenizer_config.json", "{", "tokenizer_config.json is damaged"),
        ("tokenizer_config.json", r#"{"add_bos_token": 1}"#, "add_bos_token is 1"),
        ("tokenizer_config.json", r#"{"add_bos_token": true}"#, "no token is named"),
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"7": {"content": "<s>"}}}"#, "token 7 is '<s>'"),
        ("special_tokens_map.json", "[", "special_tokens_map.json is damaged"),
        ("generation_config.json", "nonsense", "generation_config.json is damaged"),
        ("generation_config.json", r#"{"eos_token_id": "</s>"}"#, "eos_token_id is"),
        ("generation_config.json", r#"{"eos_token_id": [2, -1]}"#, "eos_token_id is -1"),
    ] {
        at.put(name, text);
        let error = at.open().unwrap_err().to_string();
        assert!(error.contains(said), "{name} {text}: {error}");
        fs::remove_file(at.0.join(name)).unwrap();
    }
}

#[test]
fn a9_a_special_token_that_is_named_beside_the_tokenizer_is_found_in_a_text() {
    let golden = golden();
    let mut json: Json = serde_json::from_str(&read(&bytes(&golden, "gpt-2")).to_json().unwrap()).unwrap();
    json["added_tokens"] = json!([]);
    let at = Folder::new("named");
    at.put("tokenizer.json", &json.to_string());
    assert!(at.open().unwrap().encode("a<s>b").unwrap().len() > 3);
    at.put("tokenizer_config.json", r#"{"bos_token": "<s>", "added_tokens_decoder": {"4": {"content": "<|x|>"}}}"#);
    assert_eq!(at.open().unwrap().encode("a<s>b").unwrap()[1], 1);
    assert_eq!(at.open().unwrap().encode("a<|x|>b").unwrap()[1], 4);
}

#[test]
fn a10_every_token_that_llama_cpp_stops_at_ends_a_text() {
    let golden = golden();
    let tokenizer = read(&bytes(&golden, "gpt-2"));
    assert_eq!(tokenizer.ends(), ids(&golden["ends"]));
    let mut all = bytes(&golden, "gpt-2");
    all.extend([
        (key("eos_token_id"), Value::u32(9)),
        (key("eot_token_id"), Value::u32(7)),
        (key("eom_token_id"), Value::u32(8)),
    ]);
    // `</s>` and `<|im_end|>` by their names.
    assert_eq!(read(&all).ends(), [2, 3, 7, 8, 9]);
    let names = ["<unk>", "<|return|>", "<|call|>", "<|end|>", "<reponame>", "<|fim_prefix|>", "a"];
    let of = |name: &str| names.iter().position(|n| *n == name).map(|i| i as u32);
    let named = ends::Named::of(of, |_| None);
    assert_eq!(Vec::from_iter(named.ends), [1, 2, 4], "where a call ends a text, <|end|> does not");
    assert!(named.control.contains(&5));
    // A sentencepiece file that names none has llama.cpp's: 2.
    let mut all = sentences(&golden, None);
    all.remove(&key("eos_token_id"));
    assert_eq!(read(&all).ends(), [2]);
}

#[test]
fn a10_generation_config_is_followed_and_what_is_not_is_named() {
    let golden = golden();
    let at = Folder::new("generation");
    at.put("tokenizer.json", &read(&bytes(&golden, "gpt-2")).to_json().unwrap());
    at.put(
        "generation_config.json",
        r#"{"eos_token_id": [7, 9], "temperature": 0.6, "top_p": 0.9, "do_sample": true, "repetition_penalty": 1.0, "suppress_tokens": [5], "bad_words_ids": null}"#,
    );
    let tokenizer = at.open().unwrap();
    assert_eq!(tokenizer.ends(), [7, 9]);
    assert_eq!(tokenizer.unheeded(), ["suppress_tokens"]);
    let back = through_a_folder(&tokenizer, "generation-again");
    assert_eq!(back.ends(), [7, 9]);
    assert_eq!(back.generation.json["top_p"], 0.9);
}

#[test]
fn a11_a_folders_tokenizer_is_written_to_gguf() {
    let golden = golden();
    let mut all: Vec<(Metadata, &Json, String)> = Vec::new();
    for (pre, right) in golden["pre"].as_object().unwrap() {
        all.push((bytes(&golden, pre), &right["ids"], if pre.is_empty() { "default".into() } else { pre.clone() }));
    }
    all.push((sentences(&golden, Some(true)), &golden["sentences"]["prefixed"], "default".into()));
    all.push((sentences(&golden, Some(false)), &golden["sentences"]["plain"], "default".into()));
    for (metadata, right, pre) in all {
        let mut first = metadata.clone();
        first.insert("tokenizer.chat_template".into(), Value::text("{{ messages }}"));
        let folder = through_a_folder(&read(&first), "to-gguf");
        all_ids_are(&folder, &golden, right, &pre);
        let size = folder.size() + 3;
        let written = folder.to_gguf(size, Some(1), &[2, 9, 7]).unwrap();
        assert!(written.notes.is_empty(), "{pre}: {:?}", written.notes);
        let written: Metadata = written.metadata.into_iter().collect();
        let back = read(&written);
        all_ids_are(&back, &golden, right, &pre);
        assert_eq!(written[&key("pre")], Value::text(pre));
        assert_eq!(back.size(), size, "a row of the embedding each, as llama.cpp wants it");
        assert_eq!(
            back.ends(),
            if metadata[&key("model")] == Value::text("gpt2") { &[2, 3, 7, 9][..] } else { &[2, 7, 9] }
        );
        assert_eq!(written["tokenizer.chat_template"], Value::text("{{ messages }}"));
        let types = &written[&key("token_type")].ints().unwrap()[..size - 3];
        let first_types = metadata[&key("token_type")].ints().unwrap();
        let same = first_types.iter().zip(types).filter(|(a, b)| a == b).count();
        assert!(same + 2 >= first_types.len(), "{types:?}");
    }
}

#[test]
fn a11_what_gguf_has_no_words_for_is_refused_by_name() {
    let golden = golden();
    let whole: Json = serde_json::from_str(&read(&bytes(&golden, "smollm")).to_json().unwrap()).unwrap();
    let pieces: Json = serde_json::from_str(&read(&sentences(&golden, None)).to_json().unwrap()).unwrap();
    let said = |from: &Json, change: &dyn Fn(&mut Json)| {
        let mut json = from.clone();
        change(&mut json);
        let at = Folder::new("unwritable");
        at.put("tokenizer.json", &json.to_string());
        match at.open().unwrap().to_gguf(900, Some(1), &[2]) {
            Ok(written) => written.notes.join("; "),
            Err(e) => e.to_string(),
        }
    };
    let split = json!({"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated", "invert": false});
    for (right, said) in [
        (
            "kind WordPiece",
            said(&whole, &|j| {
                j["model"] = json!({"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9, "vocab": {"a": 0}});
                j["added_tokens"] = json!([]);
            }),
        ),
        (
            "expressions that llama.cpp has no name for",
            said(&whole, &|j| j["pre_tokenizer"]["pretokenizers"][0] = split.clone()),
        ),
        ("ignore_merges", said(&whole, &|j| j["model"]["ignore_merges"] = true.into())),
        ("normalizer Lowercase", said(&whole, &|j| j["normalizer"] = json!({"type": "Lowercase"}))),
        ("(NFC)", said(&whole, &|j| j["normalizer"] = json!({"type": "NFC"}))),
        ("Whitespace", said(&whole, &|j| j["pre_tokenizer"] = json!({"type": "Whitespace"}))),
        ("leaves the blanks", said(&whole, &|j| j["added_tokens"][0]["lstrip"] = true.into())),
        ("normalizer Lowercase", said(&pieces, &|j| j["normalizer"]["normalizers"][0] = json!({"type": "Lowercase"}))),
        (
            "sentencepiece would merge",
            said(&pieces, &|j| {
                j["model"]["merges"].as_array_mut().unwrap().remove(5);
            }),
        ),
        (
            "order",
            said(&pieces, &|j| {
                let merges = j["model"]["merges"].as_array_mut().unwrap();
                let last = merges.len() - 1;
                merges.swap(0, last);
            }),
        ),
    ] {
        assert!(said.contains(right), "{right}: {said}");
    }
    // A blank before the first text alone is nearly what llama.cpp does.
    let first = said(&pieces, &|j| {
        j["normalizer"] = Json::Null;
        j["pre_tokenizer"] =
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false});
    });
    assert!(first.contains("after a special token too"), "{first}");
}

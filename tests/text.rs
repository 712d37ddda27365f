//! What a model's files say about its text, kept by the real binary: on the way in, and on the way out in all formats.
use crate::common::{TempDir, fails, ok, rlx};
use rlx_lm::{
    archive::Stored,
    gguf::{Array, BlockType, Value},
    llama::{export, generate::Generator, load, save, tiny},
    tokenizer::Tokenizer,
};
use std::{collections::BTreeMap, fs, path::Path};

/// A byte-level tokenizer as large as the tiny model: `abc a` is 2 tokens; `<b>` begins a text.
fn words(begins: bool) -> Tokenizer {
    let letters = ('a'..='z').map(String::from);
    let mut tokens: Vec<String> = ["<u>", "<b>", "</s>"].map(String::from).into_iter().chain(letters).collect();
    tokens.extend(["ab", "abc", "Ġ", "Ġa"].map(String::from));
    while tokens.len() < 97 {
        tokens.push(format!("<unused{}>", tokens.len()));
    }
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let all = BTreeMap::from([
        (key("model"), Value::text("gpt2")),
        (key("pre"), Value::text("smollm")),
        (key("tokens"), Value::List(Array::Texts(tokens))),
        (key("token_type"), Value::i32s((0..97).map(|i| if i < 3 { 3 } else { 1 }))),
        (key("merges"), Value::List(Array::Texts(["a b", "ab c", "Ġ a"].map(String::from).to_vec()))),
        (key("bos_token_id"), Value::u32(1)),
        (key("eos_token_id"), Value::u32(2)),
        (key("add_bos_token"), Value::Bool(begins)),
    ]);
    Tokenizer::from_gguf(&all).unwrap().unwrap()
}

/// The tiny model in all three formats.
fn models(folder: &Path, begins: bool) -> [&'static str; 3] {
    let (model, tokenizer) = (tiny(3), words(begins));
    save(&model, Some(&tokenizer), &folder.join("packed")).unwrap();
    export::transformers(&model, Some(&tokenizer), Stored::F32, &folder.join("hf")).unwrap();
    export::gguf(&model, Some(&tokenizer), BlockType::F32, BlockType::F32, &folder.join("m.gguf")).unwrap();
    ["packed", "hf", "m.gguf"]
}

/// Standard output and standard error of generating.
fn generate(folder: &Path, model: &str, more: &[&str]) -> (String, String) {
    let args = ["lm", "generate", model, "--prompt", "abc a", "--tokens", "4", "--kernel", "float"];
    let out = rlx(folder, &[&args[..], more].concat()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert!(out.status.success(), "{}", text(out.stderr));
    (text(out.stdout), text(out.stderr))
}

#[test]
fn a9_a_prompt_and_a_judged_text_begin_as_the_file_says() {
    for begins in [true, false] {
        let dir = TempDir::new();
        fs::write(dir.0.join("t.txt"), "abc a abc a a a").unwrap();
        fs::write(dir.0.join("t.jsonl"), "{\"context\": \"abc\", \"choices\": [\"a\", \"ab\"], \"answer\": 0}\n")
            .unwrap();
        for model in models(&dir.0, begins) {
            let prompt = |more: &[&str]| generate(&dir.0, model, more).1;
            let said = if begins { "prompt of 3 tokens behind <b> (1)" } else { "prompt of 2 tokens in" };
            assert!(prompt(&[]).contains(said), "{model}: {}", prompt(&[]));
            assert!(prompt(&["--bos", "never"]).contains("prompt of 2 tokens in"));
            assert!(prompt(&["--bos", "always"]).contains("prompt of 3 tokens behind <b> (1)"));
            let judged = ok(&dir.0, &["lm", "eval", model, "--text", "t.txt"]);
            let said = if begins { "begins with <b> (1), as the model's file" } else { "begins with no special token" };
            assert!(judged.contains(said), "{model}: {judged}");
            let tasks = ok(&dir.0, &["lm", "eval", model, "--tasks", "t.jsonl"]);
            assert!(!tasks.contains("behind"), "{tasks}");
            let tasks = ok(&dir.0, &["lm", "eval", model, "--tasks", "t.jsonl", "--bos", "always"]);
            assert!(tasks.contains("each behind <b> (1)"), "{tasks}");
        }
    }
}

#[test]
fn a10_generating_stops_at_the_ends_of_generation_config() {
    let dir = TempDir::new();
    models(&dir.0, false);
    let loaded = load(&dir.0.join("hf")).unwrap();
    let prompt = loaded.tokenizer().unwrap().encode("abc a").unwrap();
    let first = Generator::new(&loaded.model, &prompt, 0.0, 0).unwrap().token().unwrap().unwrap();
    assert!(generate(&dir.0, "hf", &[]).1.starts_with("4 tokens"));
    for model in ["hf", "packed"] {
        let file = dir.0.join(model).join("generation_config.json");
        fs::write(&file, format!("{{\"eos_token_id\": [3, {first}], \"temperature\": 0.6, \"bad_words_ids\": [[4]]}}"))
            .unwrap();
        let said = generate(&dir.0, model, &[]).1;
        assert!(said.contains("0 tokens in"), "{model}: {said}");
        assert!(said.contains("generation_config.json: bad_words_ids is not followed"), "{said}");
        // Kept on the way out, in every format.
        for format in ["packed", "transformers", "gguf"] {
            let to = format!("{model}-{format}");
            let args = ["--ratio", "0", "--bits", "16", "--embedding", "16", "--format", format, "-o", &to];
            ok(&dir.0, &[&["lm", "prune", model][..], &args].concat());
            let ends = load(&dir.0.join(&to)).unwrap().model.config.eos;
            assert!([2, 3, first].iter().all(|id| ends.contains(id)), "{to}: {ends:?}");
        }
        fs::write(&file, "{\"eos_token_id\": 97}").unwrap();
        let said = fails(&dir.0, &["lm", "generate", model, "--prompt", "a"], 1);
        assert!(said.contains("generation_config.json: end token 97 is outside a vocabulary of 97"), "{said}");
        fs::write(&file, "{").unwrap();
        assert!(
            fails(&dir.0, &["lm", "generate", model, "--prompt", "a"], 1).contains("generation_config.json is damaged")
        );
    }
}

#[test]
fn a11_pruning_a_folder_into_a_gguf_keeps_its_tokenizer() {
    let dir = TempDir::new();
    models(&dir.0, true);
    for model in ["hf", "packed"] {
        let to = format!("{model}.gguf");
        ok(&dir.0, &["lm", "prune", model, "--ratio", "0", "--format", "gguf", "-o", &to]);
        let (there, here) = (load(&dir.0.join(&to)).unwrap(), load(&dir.0.join(model)).unwrap());
        let of = |l: &rlx_lm::llama::Loaded, text: &str| l.tokenizer().unwrap().encode(text).unwrap();
        for text in ["abc a", "<b>ab  a</s>", "", " a b"] {
            assert_eq!(of(&there, text), of(&here, text), "{text:?}");
        }
        assert_eq!(there.tokenizer().unwrap().frame().unwrap(), here.tokenizer().unwrap().frame().unwrap());
    }
    let file = dir.0.join("hf/tokenizer.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}", 1)).unwrap();
    let said = fails(&dir.0, &["lm", "prune", "hf", "--ratio", "0", "--format", "gguf", "-o", "no.gguf"], 1);
    assert!(said.contains("not supported in GGUF: normalizer Lowercase"), "{said}");
    assert!(!dir.0.join("no.gguf").exists());
}

#[test]
fn a15_a_temperature_that_is_nearly_zero_is_greedy() {
    let dir = TempDir::new();
    models(&dir.0, false);
    let greedy = generate(&dir.0, "m.gguf", &[]).0;
    for temperature in ["1e-39", "1e-45", "1e-300", "1e-30", "0.0"] {
        let same = generate(&dir.0, "m.gguf", &["--temperature", temperature, "--seed", "7"]).0;
        assert_eq!(same, greedy, "{temperature}");
    }
    for temperature in ["nan", "inf", "-1"] {
        let flag = format!("--temperature={temperature}");
        fails(&dir.0, &["lm", "generate", "m.gguf", "--prompt", "a", &flag], 2);
    }
}

#[test]
fn e9_a_run_is_found_by_its_name_and_says_when_it_has_no_model() {
    let dir = TempDir::new();
    models(&dir.0, false);
    fs::create_dir_all(dir.0.join("runs/r")).unwrap();
    fs::write(dir.0.join("runs/r/config.toml"), "").unwrap();
    for name in ["r", "runs/r"] {
        let said = fails(&dir.0, &["lm", "generate", name, "--prompt", "a"], 2);
        assert!(said.contains("has no model/"), "{said}");
    }
    fs::rename(dir.0.join("packed"), dir.0.join("runs/r/model")).unwrap();
    for name in ["r", "runs/r", "runs/r/model"] {
        assert!(generate(&dir.0, name, &[]).1.contains("4 tokens in"));
        ok(&dir.0, &["lm", "info", name]);
    }
}

/// The model is not there at all: inputs are looked at before it.
#[test]
fn e9_inputs_are_opened_before_a_model_and_causes_are_named_once() {
    let dir = TempDir::new();
    fs::write(dir.0.join("bin.txt"), b"ab\xff\xfe").unwrap();
    fs::write(dir.0.join("ids.txt"), "1, x").unwrap();
    fs::write(dir.0.join("t.txt"), "abc").unwrap();
    for flag in ["--text", "--ids", "--tasks"] {
        let said = fails(&dir.0, &["lm", "eval", "nowhere", flag, "nofile"], 2);
        assert_eq!(said.matches("No such file").count(), 1, "{said}");
        assert!(said.contains("nofile"), "{said}");
        let said = fails(&dir.0, &["lm", "eval", "nowhere", flag, "bin.txt"], 1);
        assert!(said.contains("bin.txt is no UTF-8 text: byte 2 is 0xff"), "{said}");
    }
    assert!(fails(&dir.0, &["lm", "eval", "nowhere", "--ids", "ids.txt"], 1).contains("'x' is not a token id"));
    let said = fails(&dir.0, &["lm", "prune", "nowhere", "--text", "nofile", "-o", "x"], 2);
    assert!(said.contains("nofile") && said.matches("No such file").count() == 1, "{said}");
    assert!(fails(&dir.0, &["lm", "eval", "nowhere", "--text", "t.txt"], 2).contains("no model 'nowhere'"));
    // The same kind in the other commands.
    for args in [
        &["train", "--env", "cartpole", "--algo", "ppo", "--config", "nofile"][..],
        &["sweep", "nofile"],
        &["experiment", "run", "nofile.toml"],
        &["play", "--replay", "nofile"],
        &["heal", "--data", "nofile.csv"],
    ] {
        let out = rlx(&dir.0, args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "{args:?}");
        assert!(said.matches("os error 2").count() <= 1, "{args:?}: {said}");
    }
}

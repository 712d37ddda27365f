//! `rlx heal` and experiments of healings, on a tiny model of two layers and a table made here.
use crate::common::{TempDir, checkpoints, fails, metrics, ok, rlx, wait_for};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of the tiny model with a tokenizer of 28 words, and a table in which `w4` means good and `w5` bad.
fn tiny() -> TempDir {
    let dir = TempDir::new();
    let model = dir.0.join("model");
    fs::create_dir(&model).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lm/tests/golden/tiny-bert");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(from.join(name), model.join(name)).unwrap();
    }
    let mut words: serde_json::Map<String, Value> = (4..32).map(|i| (format!("w{i}"), i.into())).collect();
    for (i, word) in ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].iter().enumerate() {
        words.insert((*word).into(), i.into());
    }
    let special = |id: u32, word: &str| json!({"id": word, "ids": [id], "tokens": [word]});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": special(2, "[CLS]"), "[SEP]": special(3, "[SEP]")}},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
    });
    fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let mut rng = rlx::Rng::stream(6, 6);
    let mut table = String::from("said,mood\n");
    for i in 0..300 {
        let mut text: Vec<String> = (0..4).map(|_| format!("w{}", 6 + rng.below(26))).collect();
        text[rng.below(4)] = format!("w{}", 4 + i % 2);
        table += &format!("{},{}\n", text.join(" "), ["good", "bad"][i % 2]);
    }
    fs::write(dir.0.join("moods.csv"), table).unwrap();
    dir
}

const DATA: [&str; 8] = ["--model", "model", "--data", "moods.csv", "--text", "said", "--label", "mood"];

fn heal<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["heal"];
    args.extend(DATA);
    args.extend(["--set", "learning_rate=0.003", "--set", "epochs=10", "--set", "patience=0", "--set", "batch=8"]);
    args.extend(["--set", "checkpoint_every=10", "--set", "log_every=5", "--set", "probe=20", "-q"]);
    args.extend(more);
    args
}

fn run(dir: &TempDir, name: &str) -> PathBuf {
    dir.0.join(format!("runs/moods-heal-{name}-s3"))
}

fn summary(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap()
}

#[test]
fn a_healing_that_is_killed_and_stopped_ends_in_the_same_bytes() {
    let dir = tiny();
    let named = |name: &'static str| heal(&["--corrupt", "bottom:1", "--seed", "3", "--name", name]);
    ok(&dir.0, &named("whole"));
    let (whole, parts) = (run(&dir, "whole"), run(&dir, "parts"));
    let reached = |n: u64| checkpoints(&parts).last().copied().unwrap_or(0) >= n;
    let mut child = rlx(&dir.0, &named("parts")).spawn().unwrap();
    assert!(wait_for(&mut child, || reached(10)), "it was to be killed in the middle");
    child.kill().unwrap();
    child.wait().unwrap();
    let resume = ["heal", "--resume", "moods-heal-parts-s3", "-q"];
    let mut child = rlx(&dir.0, &resume).spawn().unwrap();
    if wait_for(&mut child, || reached(50)) {
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(summary(&parts)["status"], "interrupted");
    ok(&dir.0, &resume);
    assert_eq!(metrics(&whole), metrics(&parts));
    for name in ["model.safetensors", "representations.safetensors"] {
        assert!(fs::read(whole.join(name)).unwrap() == fs::read(parts.join(name)).unwrap(), "{name} differs");
    }
    assert_eq!(summary(&whole)["test"], summary(&parts)["test"]);
    assert!(checkpoints(&parts).is_empty(), "what is ended needs no checkpoint");
    assert!(fails(&dir.0, &resume, 1).contains("has ended"));
    // A word decides: it is learnt.
    let f1 = summary(&whole)["test"]["f1"].as_f64().unwrap();
    assert!(f1 > 0.6, "{f1}");
    // What other commands say of it.
    let list: Value = serde_json::from_str(&ok(&dir.0, &["runs", "list", "--algo", "heal", "--json"])).unwrap();
    assert_eq!(
        (&list[0]["env"], &list[0]["status"], &list[0]["seed"]),
        (&json!("moods"), &json!("finished"), &json!(3))
    );
    ok(&dir.0, &["plot", "moods-heal-whole-s3", "--metric", "eval/f1", "-o", "plot.svg"]);
}

#[test]
fn what_is_wrong_is_said_with_its_layer_or_row_before_a_folder_is_made() {
    let dir = tiny();
    let wrong = |more: &[&str]| fails(&dir.0, &heal(more), 2);
    assert!(wrong(&["--corrupt", "layer:2"]).contains("layer 2: the model has layers 0 to 1"));
    assert!(wrong(&["--corrupt", "bottom:3"]).contains("the model has 2 layers"));
    assert!(wrong(&["--corrupt", "botom:1"]).contains("did you mean 'bottom'?"));
    assert!(wrong(&["--set", "lerning_rate=1"]).contains("did you mean 'learning_rate'?"));
    let table = |bytes: &[u8]| {
        fs::write(dir.0.join("moods.csv"), bytes).unwrap();
        wrong(&[])
    };
    assert!(table(b"said,mood\na b,good\nc d,\n").contains("moods.csv, row 2: it has no 'mood'"));
    assert!(table(b"said,mood\na b,good\n\xff,bad\n").contains("row 2: 'said' is not UTF-8"));
    assert!(table(b"said,mood\na b,good\nc d,good\n").contains("all labels are 'good'"));
    assert!(table(b"said,mood\na b,good\nc d,bad\n").contains("set would be empty"));
    assert!(table(b"text,mood\na b,good\n").contains("no column 'said'"));
    assert!(!dir.0.join("runs").exists());
}

#[test]
fn an_experiment_of_healings_runs_resumes_and_reports() {
    let dir = tiny();
    let spec = "format = 1
kind = \"heal\"
about = \"tiny\"
seeds = 3
baseline = \"corrupt=none\"
[base]
model = \"model\"
data = \"moods.csv\"
text = \"said\"
label = \"mood\"
epochs = 8
batch = 8
learning_rate = 0.003
probe = 20
keep_model = false
[grid]
corrupt = [\"none\", \"bottom:1\", \"top:1\", \"bottom:2\"]
[[metrics]]
name = \"test/f1\"
";
    let write = |text: &str| fs::write(dir.0.join("h.toml"), text).unwrap();
    write(&spec.replace("top:1", "top:x"));
    assert!(fails(&dir.0, &["experiment", "run", "h.toml"], 2).contains("top:x"));
    write(&spec.replace("kind = \"heal\"", "kind = \"hell\""));
    assert!(fails(&dir.0, &["experiment", "plan", "h.toml"], 2).contains("train or heal"));
    write(spec);
    ok(&dir.0, &["experiment", "run", "h.toml", "--index", "5", "-q"]);
    ok(&dir.0, &["experiment", "run", "h.toml", "--jobs", "2", "-q"]);
    let status: Vec<Value> = serde_json::from_str(&ok(&dir.0, &["experiment", "status", "h.toml", "--json"])).unwrap();
    assert_eq!(status.len(), 12);
    assert!(status.iter().all(|r| r["status"] == "finished" && r["starts"] == 1), "{status:?}");
    let report: Value = serde_json::from_str(&ok(&dir.0, &["experiment", "report", "h.toml", "--json"])).unwrap();
    let rows = report["heal"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!((&rows[0]["corrupt"], &rows[0]["recovery"]["value"]), (&json!("none"), &json!(1.0)));
    assert!((rows[0]["cka"][2].as_f64().unwrap() - 1.0).abs() < 1e-9, "to itself");
    let all = rows[3]["cka"][2].as_f64().unwrap();
    assert!(rows[3]["layers"] == 2 && (0.0..0.999).contains(&all), "{all}");
    ok(&dir.0, &["experiment", "report", "h.toml"]);
    let folder = dir.0.join("runs/experiments/h/report");
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("What heals") && page.contains("CKA") && page.contains("<svg"));
    for name in ["report.md", "heal-moods-csv-map.svg", "heal-moods-csv-cka.png", "heal-moods-csv-recovery.svg"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    // A changed key is refused with what it was.
    write(&spec.replace("epochs = 8", "epochs = 9"));
    let changed = fails(&dir.0, &["experiment", "run", "h.toml"], 2);
    assert!(changed.contains("- base.epochs = 8") && changed.contains("+ base.epochs = 9"), "{changed}");
}

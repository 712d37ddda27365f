//! Compressing a model by the command line, over the tiny one that comes with the program.
use crate::common::{TempDir, fails, ok, rlx, wait_for};
use serde_json::Value;
use std::{fs, path::Path};

const SET: [&str; 10] = [
    "--set",
    "model=tiny",
    "--set",
    "tokens=64",
    "--set",
    "ledger=ledger",
    "--set",
    "bits=[2,4]",
    "--set",
    "eval_every=0",
];

fn train<'a>(algo: &'a str, steps: &'a str, name: &'a str) -> Vec<&'a str> {
    let own = ["train", "--env", "compress-llama", "--preset", "none", "-q", "--algo", algo];
    own.into_iter().chain(SET).chain(["--steps", steps, "--name", name]).collect()
}

fn measured(folder: &Path) -> Vec<String> {
    let file = fs::read_to_string(folder.join("ledger/0.jsonl")).unwrap_or_default();
    // The last line may be half of one while it is being written.
    file.lines()
        .filter(|l| serde_json::from_str::<Value>(l).is_ok_and(|v| v.get("key").is_some()))
        .map(String::from)
        .collect()
}

#[test]
fn a_search_that_is_killed_measures_nothing_twice() {
    let dir = TempDir::new();
    let mut child = rlx(&dir.0, &train("random", "240", "a")).spawn().unwrap();
    assert!(wait_for(&mut child, || measured(&dir.0).len() > 20), "it ended too soon to be killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let before = measured(&dir.0);
    // It had no checkpoint: it starts again, and what it measured is there.
    ok(&dir.0, &train("random", "240", "b"));
    let after = measured(&dir.0);
    assert_eq!(after[..before.len()], before);
    let keys: std::collections::HashSet<String> =
        after.iter().map(|l| serde_json::from_str::<Value>(l).unwrap()["key"].to_string()).collect();
    assert_eq!(keys.len(), after.len(), "a configuration was measured twice");
    // 240 steps of 4 each (the embedding and three blocks).
    assert!(after.len() > 50 && after.len() <= 60, "{}", after.len());
}

#[test]
fn one_policy_answers_any_budget_and_what_it_writes_is_a_model() {
    let dir = TempDir::new();
    ok(&dir.0, &train("ppo", "512", "p"));
    // The search leaves a model of its own, which is one of its front.
    let run = dir.0.join("runs/compress-llama-ppo-p-s0");
    let front: Vec<Value> = serde_json::from_slice(&fs::read(run.join("report/front.json")).unwrap()).unwrap();
    let left = fs::metadata(run.join("model/model.safetensors")).unwrap().len() as f64;
    assert!(
        front.iter().any(|p| (0.0..16_384.0).contains(&(p["bytes"].as_f64().unwrap() - left))),
        "{left}: {front:?}"
    );
    ok(&dir.0, &["lm", "info", "runs/compress-llama-ppo-p-s0/model"]);
    let mut last = 0;
    for (budget, out) in [("70kB", "small"), ("110_000", "large")] {
        let args = ["compress", "tiny", "--budget", budget, "--policy", "compress-llama-ppo-p-s0", "-o", out, "--json"];
        let found: Value = serde_json::from_str(&ok(&dir.0, &args)).unwrap();
        let file = fs::metadata(dir.0.join(out).join("model.safetensors")).unwrap().len();
        assert_eq!(found["file_bytes"].as_u64(), Some(file));
        assert!(file as f64 <= found["budget"].as_f64().unwrap() && file > last, "{found}");
        assert!(found["loss"].is_f64() && found["recovered_loss"].is_null());
        last = file;
        let info: Value = serde_json::from_str(&ok(&dir.0, &["lm", "info", out, "--json"])).unwrap();
        assert!(info.is_object());
        assert!(dir.0.join(out).join("report/report.html").exists());
        assert!(fails(&dir.0, &args, 2).contains("nothing is overwritten"));
        // The calibration's guess and what is left to spend are measured beside what the policy decides, and never make it worse.
        let alone =
            ["compress", "tiny", "--budget", budget, "--policy", "compress-llama-ppo-p-s0", "--json", "--as-decided"];
        let alone: Value =
            serde_json::from_str(&ok(&dir.0, &[&alone[..], &["-o", &format!("{out}-alone")]].concat())).unwrap();
        assert!(alone["loss"].as_f64() >= found["loss"].as_f64(), "{alone} {found}");
        assert!(alone["tried"].as_u64() < found["tried"].as_u64(), "{alone} {found}");
    }
    let tuned =
        ["compress", "tiny", "--budget", "110kB", "--policy", "compress-llama-ppo-p-s0", "-o", "t", "--recover", "few"];
    let said = ok(&dir.0, &tuned);
    assert!(said.contains("once its adapters are tuned") || said.contains("no block of it has an adapter"), "{said}");
    let small = ["compress", "tiny", "--budget", "1kB", "--policy", "compress-llama-ppo-p-s0", "-o", "u"];
    assert!(fails(&dir.0, &small, 1).contains("the smallest model that can be chosen has"));
    let wrong = [&small[..], &["--set", "recover_ful=3"]].concat();
    assert!(fails(&dir.0, &wrong, 2).contains("did you mean 'recover_full'"));
}

const TINY: [&str; 6] = ["--set", "tokens=64", "--set", "ledger=ledger", "--set", "bits=[2,4]"];

fn without_a_policy<'a>(budget: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["compress", "tiny", "--budget", budget, "-o", out], &TINY[..], more].concat()
}

/// Names in a folder, hidden ones too: nothing half written may be left behind.
fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

#[test]
fn e3_without_a_policy_the_calibration_decides_for_any_budget() {
    let dir = TempDir::new();
    let mut losses = Vec::new();
    for (budget, out) in [("70kB", "small"), ("110kB", "large")] {
        let found: Value = serde_json::from_str(&ok(&dir.0, &without_a_policy(budget, out, &["--json"]))).unwrap();
        let file = fs::metadata(dir.0.join(out).join("model.safetensors")).unwrap().len();
        assert_eq!(found["file_bytes"].as_u64(), Some(file));
        assert!(found["policy"].is_null() && found["format"] == "packed", "{found}");
        assert!(found["bytes"].as_f64() <= found["budget"].as_f64(), "{found}");
        // What is left over would not have paid for another bit of a block.
        assert!(found["bytes"].as_f64().unwrap() > 0.8 * found["budget"].as_f64().unwrap(), "{found}");
        losses.push(found["loss"].as_f64().unwrap());
        assert!(dir.0.join(out).join("report/report.html").exists());
        ok(&dir.0, &["lm", "info", out]);
    }
    assert!(losses.iter().all(|l| l.is_finite()), "{losses:?}");
    let said = ok(&dir.0, &without_a_policy("70kB", "again", &[]));
    for part in [
        "nats a token",
        "by the calibration's guess",
        "rlx train --env compress-llama --set model=tiny",
        "--policy RUN",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(names(&dir.0), ["again", "large", "ledger", "small"]);
    let small = fails(&dir.0, &without_a_policy("1kB", "u", &[]), 1);
    assert!(small.contains("the smallest model that can be chosen has"), "{small}");
    // What only a policy hears is not taken in silence.
    for alone in [&["--tries", "3"][..], &["--as-decided"], &["--checkpoint", "best"]] {
        let said = fails(&dir.0, &without_a_policy("70kB", "u", alone), 2);
        assert!(said.contains("--policy <RUN>"), "{said}");
    }
    assert!(!dir.0.join("u").exists());
}

#[test]
fn e3_a_compressed_model_is_written_for_others_too() {
    let dir = TempDir::new();
    let gguf = ["--format", "gguf", "--gguf-type", "F16"];
    let said = ok(&dir.0, &without_a_policy("70kB", "m.gguf", &gguf));
    let file = fs::metadata(dir.0.join("m.gguf")).unwrap().len();
    assert!(said.contains("MB packed became") && said.contains("which is over the budget"), "{said}");
    ok(&dir.0, &without_a_policy("70kB", "folder", &["--format", "transformers"]));
    let config: Value = serde_json::from_slice(&fs::read(dir.0.join("folder/config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "LlamaForCausalLM");
    assert!(dir.0.join("folder/report/report.html").exists());
    // The three are one model.
    ok(&dir.0, &without_a_policy("70kB", "packed", &[]));
    fs::write(dir.0.join("ids.txt"), (0..96).map(|i| format!("{} ", i * 7 % 97)).collect::<String>()).unwrap();
    let loss = |model: &str| {
        let said = ok(&dir.0, &["lm", "eval", model, "--ids", "ids.txt", "--json"]);
        let found: Value = serde_json::from_str(&said).unwrap();
        found["text"]["nll"].as_f64().unwrap_or_else(|| panic!("{found}"))
    };
    let packed = loss("packed");
    for other in ["m.gguf", "folder"] {
        assert!((loss(other) - packed).abs() < 2e-3, "{other}: {} and {packed}", loss(other));
    }
    // The same by hand, from the packed one.
    ok(&dir.0, &["lm", "convert", "packed", "-o", "converted.gguf", "--format", "gguf", "--gguf-type", "F16"]);
    assert_eq!(fs::read(dir.0.join("converted.gguf")).unwrap(), fs::read(dir.0.join("m.gguf")).unwrap());
    assert_eq!(names(&dir.0), ["converted.gguf", "folder", "ids.txt", "ledger", "m.gguf", "packed"]);
    // Nothing is overwritten, and a flag without effect is refused.
    assert!(fails(&dir.0, &without_a_policy("70kB", "m.gguf", &gguf), 2).contains("nothing is overwritten"));
    assert!(
        fails(&dir.0, &["lm", "convert", "packed", "-o", "m.gguf", "--format", "gguf"], 2).contains("is there already")
    );
    assert_eq!(fs::metadata(dir.0.join("m.gguf")).unwrap().len(), file);
    let idle = fails(&dir.0, &without_a_policy("70kB", "u", &["--gguf-type", "F16"]), 2);
    assert!(idle.contains("needs --format gguf"), "{idle}");
}

fn said(folder: &Path, args: &[&str]) -> (bool, String, String) {
    let out = rlx(folder, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.success(), text(out.stdout), text(out.stderr))
}

/// A measurement over a million tokens takes far longer than the run may.
#[test]
fn e4_a_time_limit_is_heard_within_a_measurement() {
    let dir = TempDir::new();
    let args = [&train("random", "1000000", "t")[..], &["--time", "1s", "--set", "tokens=1000000"]].concat();
    // Not quietly: the header is what is asked for.
    let args: Vec<&str> = args.into_iter().filter(|a| *a != "-q").collect();
    let (fine, _, told) = said(&dir.0, &args);
    assert!(fine, "a run that ends by its time has ended as it should: {told}");
    assert!(told.contains("1,000,000 steps for at most 1s"), "{told}");
    assert!(told.contains("finished after 0 steps"), "{told}");
    assert!(!told.contains("rlx eval") && !told.contains("rlx compress"), "both would fail: {told}");
    let run = dir.0.join("runs/compress-llama-random-t-s0");
    let summary: Value = serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["status"], "finished");
    let took = summary["elapsed_s"].as_f64().unwrap();
    assert!((1.0..12.0).contains(&took), "{took}");
}

/// A run that ends by its time within an iteration has saved what was before it, and leaves a model.
#[test]
fn e4_a_run_that_ends_by_its_time_leaves_a_model_and_goes_on() {
    let dir = TempDir::new();
    let args = [&train("random", "1000000", "t")[..], &["--time", "2s"]].concat();
    ok(&dir.0, &args);
    let run = dir.0.join("runs/compress-llama-random-t-s0");
    let summary: Value = serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["status"], "finished");
    let steps = summary["steps"].as_u64().unwrap();
    assert!(steps > 0 && run.join("model/config.json").exists(), "{summary}");
    let more = (steps + 8).to_string();
    let on = ["train", "-q", "--resume", "compress-llama-random-t-s0", "--steps", &more, "--time", "10m"];
    ok(&dir.0, &on);
    let summary: Value = serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert!(summary["steps"].as_u64().unwrap() >= steps + 8, "{summary}");
}

#[test]
fn e5_an_evaluation_of_a_search_says_megabytes_and_what_says_more() {
    let dir = TempDir::new();
    ok(&dir.0, &train("random", "40", "a"));
    let args = ["eval", "compress-llama-random-a-s0", "--episodes", "6"];
    let (fine, table, told) = said(&dir.0, &args);
    assert!(fine, "{told}");
    let bytes = table.lines().find(|l| l.starts_with("bytes ")).unwrap();
    assert_eq!(bytes.matches(" MB").count(), 6, "{bytes}");
    for part in ["playing 6 episodes", "report.html says more", "rlx compress MODEL --budget 60MB --policy"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // What was measured is not measured again.
    let before = measured(&dir.0).len();
    let (_, again, _) = said(&dir.0, &args);
    assert_eq!((again, measured(&dir.0).len()), (table, before));
}

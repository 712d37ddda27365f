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

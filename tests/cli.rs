//! Bad input, exit codes, and the fields of every `--json` output.
use crate::common::{TempDir, fails, ok, rlx, wait_for};
use serde_json::Value;
use std::fs;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

const ESTIMATE: [&str; 8] = ["mean", "low", "high", "median", "std", "min", "max", "count"];

#[test]
fn bad_arguments_are_named_before_anything_is_made() {
    let dir = TempDir::new();
    let train = |args: &[&str]| fails(&dir.0, &[&["train"], args].concat(), 2);
    assert!(train(&["--env", "cartpol", "--algo", "ppo"]).contains("did you mean 'cartpole'?"));
    assert!(train(&["--env", "cartpole", "--algo", "ppu"]).contains("did you mean 'ppo'?"));
    assert!(train(&["--algo", "ppo"]).contains("--env is missing"));
    assert!(
        train(&["--env", "cartpole", "--algo", "ppo", "--preset", "cartpole-pp"])
            .contains("did you mean 'cartpole-ppo'?")
    );
    assert!(
        train(&["--env", "cartpole", "--algo", "ppo", "--set", "lerning_rate=1"])
            .contains("did you mean 'learning_rate'?")
    );
    assert!(
        train(&["--env", "cartpole", "--algo", "ppo", "--steps", "many"])
            .contains("steps = \"many\": it must be an integer of at least 1")
    );
    assert!(train(&["--env", "cartpole", "--algo", "ppo", "--time", "soon"]).contains("like 90s, 30m or 2h"));
    assert!(train(&["--env", "cartpole", "--algo", "ppo", "--threads", "0"]).contains("from 1 to 1024"));
    assert!(train(&["--env", "cartpole", "--algo", "ppo", "--name", "a/b"]).contains("letters, digits"));
    assert!(train(&["--env", "cartpole", "--algo", "ppo", "--config", "none.toml"]).contains("none.toml"));
    assert!(train(&["--env", "cartpole", "--algo", "ppo", "--nam", "x"]).contains("--name"));
    if !tch_has_cuda() {
        assert!(train(&["--env", "cartpole", "--algo", "ppo", "--device", "cuda"]).contains("no CUDA device"));
    }
    fs::write(dir.0.join("bad.toml"), "format = 7\n").unwrap();
    assert!(train(&["--config", "bad.toml"]).contains("format 7"));
    assert!(!dir.0.join("runs").exists(), "nothing was made");
    assert!(fails(&dir.0, &["eval", "nothing"], 2).contains("there is no run 'nothing'"));
    assert!(fails(&dir.0, &["list", "env"], 2).contains("did you mean 'envs'?"));
    assert!(fails(&dir.0, &["bench", "cartpoll"], 2).contains("did you mean 'cartpole'?"));
}

fn tch_has_cuda() -> bool {
    std::path::Path::new("/dev/nvidia0").exists()
}

#[test]
fn c4_a_run_that_another_process_writes_to_is_waited_for_and_then_refused() {
    let dir = TempDir::new();
    let args = ["train", "--env", "cartpole", "--algo", "ppo", "--name", "busy", "--steps", "50_000_000", "-q"];
    let mut child = rlx(&dir.0, &args).spawn().unwrap();
    assert!(wait_for(&mut child, || dir.0.join("runs/cartpole-ppo-busy-s0/config.toml").exists()));
    let error = fails(&dir.0, &["train", "--resume", "cartpole-ppo-busy-s0"], 75);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(error.contains("waiting up to 60 s") && error.contains("another process is writing"), "{error}");
    let error = fails(&dir.0, &args, 2);
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn json_has_the_fields_that_are_documented() {
    let dir = TempDir::new();
    let summary = json(&ok(
        &dir.0,
        &["train", "--env", "cartpole", "--algo", "ppo", "--name", "j", "--steps", "3000", "-q", "--json"],
    ));
    let expected = [
        "run",
        "status",
        "error",
        "env",
        "algo",
        "seed",
        "steps",
        "episodes",
        "elapsed_s",
        "episodic_return",
        "eval",
        "best",
        "rlx",
        "revision",
        "libtorch",
        "threads",
    ];
    assert_eq!(keys(&summary), expected);
    assert_eq!((summary["status"].as_str(), summary["steps"].as_u64()), (Some("finished"), Some(3072)));
    assert_eq!(keys(&summary["eval"]["return"]), ESTIMATE);
    let on_disk = json(&fs::read_to_string(dir.0.join("runs/cartpole-ppo-j-s0/summary.json")).unwrap());
    assert_eq!(on_disk, summary);

    let eval = json(&ok(&dir.0, &["eval", "cartpole-ppo-j-s0", "--episodes", "7", "--json"]));
    assert_eq!(
        keys(&eval),
        ["run", "env", "algo", "checkpoint_step", "episodes", "seed", "mode", "set", "return", "length", "metrics"]
    );
    assert_eq!((keys(&eval["return"]), eval["episodes"].as_u64()), (ESTIMATE.to_vec(), Some(7)));
    assert_eq!(
        eval,
        json(&ok(&dir.0, &["eval", "cartpole-ppo-j-s0", "--episodes", "7", "--json"])),
        "the same seed, the same figures"
    );
    assert_ne!(
        eval["return"],
        json(&ok(&dir.0, &["eval", "cartpole-ppo-j-s0", "--episodes", "7", "--json", "--seed", "1"]))["return"]
    );
    let elsewhere = ["eval", "cartpole-ppo-j-s0", "--episodes", "7", "--json", "--set", "time_limit=5"];
    let elsewhere = json(&ok(&dir.0, &elsewhere));
    assert_eq!((elsewhere["set"][0].as_str(), elsewhere["length"]["max"].as_f64()), (Some("time_limit=5"), Some(5.0)));
    let wrong = fails(&dir.0, &["eval", "cartpole-ppo-j-s0", "--set", "gravty=1"], 2);
    assert!(wrong.contains("--set: cartpole has no key 'gravty': did you mean 'gravity'?"), "{wrong}");
    let wrong = fails(&dir.0, &["eval", "cartpole-ppo-j-s0", "--checkpoint", "77"], 2);
    assert!(wrong.contains("there are best, last, 3072"), "{wrong}");

    for kind in ["envs", "algos", "presets"] {
        let list = json(&ok(&dir.0, &["list", kind, "--json"]));
        assert!(
            list.as_array()
                .unwrap()
                .iter()
                .all(|e| keys(e) == ["name", "about"] && !e["about"].as_str().unwrap().is_empty())
        );
    }
    let ppo = json(&ok(&dir.0, &["list", "algos", "ppo", "--json"]));
    assert_eq!(keys(&ppo), ["name", "about", "keys"]);
    for key in ppo["keys"].as_array().unwrap() {
        assert_eq!(keys(key), ["name", "about", "default", "allowed"]);
        assert!(!key["about"].as_str().unwrap().is_empty(), "{key} has no doc line");
    }
    let bench = json(&ok(&dir.0, &["bench", "matmul", "pendulum", "--repeats", "1", "--json"]));
    for rate in bench.as_array().unwrap() {
        assert_eq!(keys(rate), ["name", "unit", "median", "min", "max", "repeats", "threads", "of_floor"]);
        assert!(rate["median"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn export_is_a_policy_that_others_can_run() {
    let dir = TempDir::new();
    let set = ["--set", "normalize_obs=true", "--set", "hidden=8,8"];
    ok(
        &dir.0,
        &[&["train", "--env", "pendulum", "--algo", "ppo", "--name", "x", "--steps", "3000", "-q"][..], &set].concat(),
    );
    ok(&dir.0, &["export", "pendulum-ppo-x-s0", "-o", "p.safetensors"]);
    let bytes = fs::read(dir.0.join("p.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for name in [
        "actor.0.weight",
        "actor.2.bias",
        "critic.0.weight",
        "log_std",
        "obs_normalizer.mean",
        "obs_normalizer.std",
        "action.middle",
    ] {
        assert!(file.tensor(name).is_ok(), "{name}");
    }
    assert_eq!(file.tensor("actor.0.weight").unwrap().shape(), [8, 3]);
    let (_, about) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let about = about.metadata().as_ref().unwrap();
    assert_eq!((about["env"].as_str(), about["activation"].as_str()), ("pendulum", "tanh"));
    assert!(fails(&dir.0, &["export", "pendulum-ppo-x-s0", "-o", "p.safetensors"], 2).contains("there already"));

    // Another run may start from it; one whose networks differ may not, and says which array.
    ok(
        &dir.0,
        &[
            &[
                "train",
                "--env",
                "pendulum",
                "--algo",
                "ppo",
                "--name",
                "y",
                "--steps",
                "3000",
                "-q",
                "--init-from",
                "pendulum-ppo-x-s0",
            ][..],
            &set,
        ]
        .concat(),
    );
    let error = fails(
        &dir.0,
        &["train", "--env", "pendulum", "--algo", "ppo", "--name", "z", "--init-from", "pendulum-ppo-x-s0"],
        2,
    );
    assert!(error.contains("actor.0.weight: expected [64, 3], found [8, 3]"), "{error}");
    assert!(!dir.0.join("runs/pendulum-ppo-z-s0").exists());
}

#[test]
fn every_registered_world_signs_the_contract() {
    let dir = TempDir::new();
    for world in rlx_experiments::registry().worlds() {
        // A measurement of a real model takes seconds, and the suite makes thousands: the small random one stands for it.
        let mut args = vec!["check-env", &world.name, "--json"];
        if world.name == "compress-llama" {
            args.extend(["--set", "model=tiny", "--set", "tokens=64", "--set", "ledger=ledger"]);
        }
        if world.name == "heal-bert" {
            args.extend(["--set", "model=tiny", "--set", "heal_steps=2,4", "--set", "ledger=heal"]);
        }
        let report = json(&ok(&dir.0, &args));
        assert_eq!(keys(&report), ["world", "checks"]);
        let checks = report["checks"].as_array().unwrap();
        assert_eq!(checks.len(), 13);
        assert!(checks.iter().all(|c| keys(c) == ["name", "promise", "violations"] && c["violations"].as_array().unwrap().is_empty()));
    }
    assert!(fails(&dir.0, &["list", "bots", "gredy"], 2).contains("did you mean 'greedy'?"));
    assert!(ok(&dir.0, &["list", "bots", "greedy"]).starts_with("greedy: "));
    assert!(fails(&dir.0, &["check-env", "cartpol"], 2).contains("did you mean 'cartpole'?"));
    assert!(fails(&dir.0, &["check-env", "cartpole", "--set", "gravty=1"], 2).contains("did you mean 'gravity'?"));
}

/// What a film cannot be made of or written to is said before it is made.
#[test]
fn films_are_refused_before_they_are_made() {
    let dir = TempDir::new();
    let refused = |args: &[&str]| fails(&dir.0, &[&["record", "reach"], args].concat(), 2);
    assert!(refused(&["-o", "films/x.gif"]).contains("there is no folder films"));
    assert!(refused(&["-o", "x.html", "--size", "100x100"]).contains("--size is for pictures"));
    assert!(refused(&["-o", "x.gif", "--explore"]).contains("--explore is for runs"));
    let large = ["record", "reach", "-o", "x.gif", "--size", "4096x4096"];
    assert!(fails(&dir.0, &large, 2).contains("pixels may each be"));
    assert!(refused(&["-o", "x.gif", "--set", "rewrad=dense"]).contains("--set: reach has no key 'rewrad'"));
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0, "nothing is left behind");
    ok(&dir.0, &["record", "reach", "-o", "x.gif", "--size", "64x64"]);
    assert!(refused(&["-o", "x.gif"]).contains("never overwritten"));
}

#[test]
fn help_completions_and_manual_are_there() {
    let dir = TempDir::new();
    for command in [
        "train",
        "eval",
        "league",
        "play",
        "record",
        "experiment",
        "sweep",
        "plot",
        "runs",
        "tensorboard",
        "list",
        "bench",
        "check-env",
        "export",
    ] {
        assert!(ok(&dir.0, &[command, "--help"]).contains("Usage:"));
    }
    assert!(ok(&dir.0, &["--help"]).contains("Exit codes"));
    assert!(ok(&dir.0, &["completions", "bash"]).contains("_rlx"));
    assert!(ok(&dir.0, &["man"]).contains(".TH rlx"));
}

#[test]
fn e8_what_others_call_things_is_answered_with_what_is_accepted() {
    let dir = TempDir::new();
    let train = |args: &[&str]| fails(&dir.0, &[&["train", "--env", "CartPole-v1", "--algo", "PPO"], args].concat(), 2);
    assert!(train(&["--lr", "3e-4"]).contains("there is no flag '--lr': write --set learning_rate=3e-4"));
    assert!(train(&["--total-timesteps", "1e6"]).contains("write --steps 1e6"));
    assert!(train(&["--steps", "-5"]).contains("an integer of at least 1"));
    assert!(train(&["--steps", "1e30"]).contains("too large"));
    assert!(fails(&dir.0, &["train", "--env", "CartPole-v1", "--algo", "a2c"], 2).contains("what fits cartpole: ppo"));
    assert!(fails(&dir.0, &["eval", "x", "--episodes", "-5"], 2).contains("must be at least 1"));
    assert!(fails(&dir.0, &["eval", "x", "--episodes", "1e30"], 2).contains("too large"));
    assert!(!dir.0.join("runs").exists(), "nothing was made");
    // The names and the suggestion are taken.
    let args = [
        "train",
        "--env",
        "CartPole-v1",
        "--algo",
        "PPO",
        "--set",
        "learning_rate=3e-4",
        "--steps",
        "1_000",
        "--name",
        "named",
    ];
    ok(&dir.0, &args);
    assert!(dir.0.join("runs/cartpole-ppo-named-s0/summary.json").exists());
    let listed = ok(&dir.0, &["runs", "list"]);
    assert!(listed.lines().next().unwrap().starts_with("run ") && listed.lines().count() == 2, "{listed}");
    assert!(ok(&dir.0, &["list"]).contains("presets"), "the kinds");
}

#[test]
fn e7_the_examples_that_are_printed_work_and_overwrite_nothing() {
    let dir = TempDir::new();
    let sweep = ok(&dir.0, &["sweep", "--example"]);
    // Smaller numbers of the very text: a sweep of seconds.
    let small = sweep.replace("steps = 50_000", "steps = 2_000").replace("eval_every = 10_000", "eval_every = 1_000");
    fs::write(dir.0.join("s.toml"), small.replace("trials = 20 ", "trials = 2 ")).unwrap();
    let out = json(&ok(&dir.0, &["sweep", "s.toml", "-q", "--json"]));
    assert_eq!(out["trials"].as_array().unwrap().len(), 2);
    ok(&dir.0, &["experiment", "new", "mine"]);
    ok(&dir.0, &["experiment", "plan", "mine.toml", "--quick"]);
    fs::write(dir.0.join("mine.toml"), "mine").unwrap();
    assert!(fails(&dir.0, &["experiment", "new", "mine"], 2).contains("mine.toml is there already"));
    assert_eq!(fs::read_to_string(dir.0.join("mine.toml")).unwrap(), "mine");
    assert!(fails(&dir.0, &["experiment", "new", "a/b"], 2).contains("letters, digits"));
}

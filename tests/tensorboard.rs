//! TensorBoard's own Python reader on a run that was killed and resumed. Skipped, with a word, where it can not be installed.
use crate::common::{TempDir, checkpoints, metrics, ok, rlx, wait_for};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A Python with the package, in a throwaway environment beside the build's output.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tensorboard-venv");
    let python = venv.join("bin/python");
    let works = || Command::new(&python).args(["-c", "import tensorboard"]).output().is_ok_and(|o| o.status.success());
    if !works() {
        let made = Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv)
            .output()
            .is_ok_and(|o| o.status.success());
        let install = ["-m", "pip", "install", "-q", "tensorboard==2.20.0", "setuptools<81", "numpy"];
        if !made || !Command::new(&python).args(install).output().is_ok_and(|o| o.status.success()) || !works() {
            return None;
        }
    }
    Some(python)
}

#[test]
fn tensorboard_reads_a_resumed_run() {
    let Some(python) = python() else {
        println!("skipped: tensorboard can not be installed here (python3 -m venv and pip are needed)");
        return;
    };
    let dir = TempDir::new();
    let run = dir.0.join("runs/cartpole-ppo-tb-s0");
    let set = [
        "--set",
        "checkpoint_every=4000",
        "--set",
        "log_every=1000",
        "--set",
        "eval_every=5000",
        "--set",
        "num_steps=64",
    ];
    let args = ["train", "--env", "cartpole", "--algo", "ppo", "--name", "tb", "--steps", "30000", "-q"];
    let mut child = rlx(&dir.0, &[&args[..], &set].concat()).spawn().unwrap();
    assert!(wait_for(&mut child, || run.join("checkpoints").exists() && checkpoints(&run).len() >= 2));
    child.kill().unwrap();
    child.wait().unwrap();
    ok(&dir.0, &["train", "--resume", "cartpole-ppo-tb-s0", "-q"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tensorboard/check.py");
    let out = Command::new(python).arg(script).arg(&run).env("TF_CPP_MIN_LOG_LEVEL", "3").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let read: Value = serde_json::from_slice(&out.stdout).unwrap();
    let rows = metrics(&run);
    for tag in ["charts/episodic_return", "losses/policy_loss", "losses/entropy", "eval/return"] {
        let steps =
            |points: &Value| points.as_array().unwrap().iter().map(|p| p[0].as_u64().unwrap()).collect::<Vec<_>>();
        let expected: Vec<u64> =
            rows.iter().filter(|r| r.contains_key(tag)).map(|r| r["step"].as_u64().unwrap()).collect();
        assert!(!expected.is_empty() && expected.windows(2).all(|w| w[0] < w[1]), "{tag}: {expected:?}");
        assert_eq!(steps(&read["scalars"][tag]), expected, "{tag}: every step of the metrics once, and no other");
        for (point, row) in
            read["scalars"][tag].as_array().unwrap().iter().zip(rows.iter().filter(|r| r.contains_key(tag)))
        {
            assert!(
                (point[1].as_f64().unwrap() - row[tag].as_f64().unwrap()).abs()
                    <= 1e-6 * row[tag].as_f64().unwrap().abs().max(1.0)
            );
        }
    }
    assert!(read["scalars"]["perf/steps_per_second"].as_array().unwrap().len() > 10);
    assert!(!read["histograms"]["rollout/advantages"].as_array().unwrap().is_empty());
    assert_eq!(
        (read["hparams"]["algo"].as_str(), read["hparams"]["learning_rate"].as_f64()),
        (Some("ppo"), Some(1e-3))
    );
    assert_eq!(read["status"].as_u64(), Some(1), "STATUS_SUCCESS");
}

//! TensorBoard's own reader and its two servers (2.21.0) on runs that were killed, interrupted and resumed. Skipped, with a word, where it
//! is not installed.
use crate::common::{TempDir, checkpoints, metrics, ok, python_of, rlx, signal, wait_for};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

const NONE: &str = "skipped: tensorboard is not here (tools/engines.sh installs it)";

#[test]
fn tensorboard_reads_a_resumed_run() {
    let Some(python) = python_of("tensorboard", "tensorboard") else {
        println!("{NONE}");
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

/// A TensorBoard that is open all the while.
struct Open(Child, BufReader<ChildStdout>);

impl Open {
    fn new(python: &Path, run: &Path, kind: &str, port: u32) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tensorboard/serve.py");
        let mut command = Command::new(python);
        command.arg(script).arg(run).args([kind, &port.to_string(), "charts/episodic_return"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    /// Asks until what it shows is `wanted`; the last answer.
    fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            writeln!(self.0.stdin.as_mut().unwrap()).unwrap();
            let mut line = String::new();
            self.1.read_line(&mut line).unwrap();
            let state: Value = serde_json::from_str(&line).unwrap();
            if wanted(&state) || start.elapsed() > Duration::from_secs(60) {
                return state;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // The end of its input ends the server too.
        self.0.stdin = None;
        let _ = self.0.wait();
    }
}

fn steps(state: &Value) -> Vec<u64> {
    state["steps"].as_array().unwrap().iter().filter_map(Value::as_u64).collect()
}

#[test]
fn c7_c8_an_open_tensorboard_shows_a_run_that_was_interrupted_killed_and_finished() {
    let Some(python) = python_of("tensorboard", "tensorboard") else {
        println!("{NONE}");
        return;
    };
    let dir = TempDir::new();
    let run = dir.0.join("runs/cartpole-ppo-open-s0");
    let args = ["train", "--env", "cartpole", "--algo", "ppo", "--name", "open", "--steps", "400000", "-q"];
    let set = ["--set", "checkpoint_every=20000", "--set", "log_every=1000", "--set", "num_steps=64"];
    let mut child = rlx(&dir.0, &[&args[..], &set].concat()).spawn().unwrap();
    assert!(wait_for(&mut child, || run.join("checkpoints").exists() && !checkpoints(&run).is_empty()));
    let port = 40_000 + std::process::id() % 10_000 * 2;
    let mut open = ["slow", "fast"].map(|k| Open::new(&python, &run, k, port + u32::from(k == "fast")));
    for server in &mut open {
        let shown = server.wait(|s| !steps(s).is_empty());
        assert!(!steps(&shown).is_empty(), "{shown}");
    }
    signal(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let last = metrics(&run).last().unwrap()["step"].as_u64().unwrap();
    for server in &mut open {
        let shown = server.wait(|s| steps(s).last() == Some(&last));
        assert_eq!(shown["status"], serde_json::json!(["STATUS_UNKNOWN"]), "c8: an interruption is no end");
    }
    // Killed beyond its checkpoint: what is shown of it is taken back by the resume.
    let mut child = rlx(&dir.0, &["train", "--resume", "cartpole-ppo-open-s0", "-q"]).spawn().unwrap();
    assert!(wait_for(&mut child, || checkpoints(&run).last() > Some(&(last + 1000))));
    std::thread::sleep(Duration::from_secs(2));
    child.kill().unwrap();
    child.wait().unwrap();
    ok(&dir.0, &["train", "--resume", "cartpole-ppo-open-s0", "-q"]);
    let rows = metrics(&run);
    let expected: Vec<u64> =
        rows.iter().filter(|r| r.contains_key("charts/episodic_return")).map(|r| r["step"].as_u64().unwrap()).collect();
    for server in &mut open {
        let shown =
            server.wait(|s| s["status"] == serde_json::json!(["STATUS_SUCCESS"]) && steps(s).last() == expected.last());
        assert_eq!(shown["status"], serde_json::json!(["STATUS_SUCCESS"]));
        let shown = steps(&shown);
        assert!(shown.windows(2).all(|w| w[0] < w[1]), "c7: no curve steps back: {shown:?}");
        assert_eq!(shown.last(), expected.last());
    }
}

#[test]
fn e6_the_last_evaluation_leaves_a_film_and_changes_nothing_else() {
    let dir = TempDir::new();
    let events = |film: &str| {
        let film_key = format!("film={film}");
        let args = ["train", "--env", "cartpole", "--algo", "ppo", "--name", film, "--steps", "4096", "-q"];
        let set = ["--set", "eval_every=4096", "--set", "eval_episodes=2", "--set", &film_key];
        ok(&dir.0, &[&args[..], &set].concat());
        let run = dir.0.join(format!("runs/cartpole-ppo-{film}-s0"));
        let name =
            |p: &std::path::PathBuf| p.file_name().unwrap().to_string_lossy().starts_with("events.out.tfevents.");
        let file = fs::read_dir(&run).unwrap().map(|e| e.unwrap().path()).find(name).unwrap();
        let last = *crate::common::checkpoints(&run).last().unwrap();
        (fs::read(file).unwrap(), crate::common::bytes(&run, last))
    };
    let ((with, saved), (without, saved_without)) = (events("true"), events("false"));
    let count = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).filter(|w| *w == what).count();
    assert_eq!((count(&with, b"GIF89a"), count(&without, b"GIF89a")), (1, 0));
    assert_eq!(count(&with, b"eval/episode"), 1);
    // Each frame of a GIF begins with a graphic control extension.
    assert!(count(&with, &[0x21, 0xf9, 0x04]) > 5, "it moves");
    assert!(with.len() < without.len() + 410_000, "it is small");
    assert!(saved == saved_without, "filming draws from no stream of the training");
}

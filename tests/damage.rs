//! Truncated files, flipped bytes, a full disk, half a checkpoint: nothing that was saved before is lost.
use crate::common::{TempDir, checkpoints, fails, files, ok, run, same_end};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const SET: [&str; 12] = [
    "--set",
    "checkpoint_every=2000",
    "--set",
    "log_every=500",
    "--set",
    "eval_every=6000",
    "--set",
    "eval_episodes=2",
    "--set",
    "num_steps=64",
    "--set",
    "epochs=2",
];

fn train(folder: &Path, name: &str, steps: &str) -> PathBuf {
    let mut args = vec!["train", "--env", "cartpole", "--algo", "ppo", "--name", name, "--steps", steps, "-q"];
    args.extend(SET);
    ok(folder, &args);
    folder.join(format!("runs/cartpole-ppo-{name}-s0"))
}

/// A run of 12,000 steps to compare with, and one of 8,000 to damage and to go on with.
fn pair(dir: &TempDir) -> (PathBuf, PathBuf) {
    // The schedule depends on the steps asked for: both are asked for the same.
    let whole = train(&dir.0, "whole", "12000");
    let other = train(&dir.0, "hurt", "12000");
    (whole, other)
}

fn newest(run: &Path) -> PathBuf {
    run.join(format!("checkpoints/step-{:012}", checkpoints(run).last().unwrap()))
}

fn resume(folder: &Path) -> String {
    let out = run(folder, &["train", "--resume", "cartpole-ppo-hurt-s0", "-q"]);
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{err}");
    err
}

#[test]
fn each_file_of_the_newest_checkpoint_truncated_flipped_or_gone() {
    let dir = TempDir::new();
    let (whole, hurt) = pair(&dir);
    let newest = newest(&hurt);
    let names: Vec<String> = files(&newest).into_keys().collect();
    assert!(names.len() >= 6, "{names:?}");
    for name in &names {
        for damage in ["truncated", "flipped", "gone"] {
            let path = newest.join(name);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "truncated" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                "gone" => fs::remove_file(&path).unwrap(),
                _ => {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    fs::write(&path, &bytes).unwrap();
                }
            }
            let said = resume(&dir.0);
            assert!(
                said.contains("warning") && said.contains("the checkpoint before it is used"),
                "{name} {damage}: {said}"
            );
            same_end(&whole, &hurt);
        }
    }
    let aside = fs::read_dir(hurt.join("checkpoints")).unwrap();
    let kept = aside.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("damaged-")).count();
    assert_eq!(kept, names.len() * 3, "the damaged ones are kept aside, not removed");
}

#[test]
fn with_no_sound_checkpoint_nothing_is_changed() {
    let dir = TempDir::new();
    let (_, hurt) = pair(&dir);
    for step in checkpoints(&hurt) {
        fs::write(hurt.join(format!("checkpoints/step-{step:012}/manifest.json")), "{").unwrap();
    }
    let before = (files_of(&hurt), checkpoints(&hurt));
    let error = fails(&dir.0, &["train", "--resume", "cartpole-ppo-hurt-s0"], 1);
    assert!(error.contains("no checkpoint") && error.contains("nothing was changed"), "{error}");
    assert_eq!(before, (files_of(&hurt), checkpoints(&hurt)));
}

fn files_of(run: &Path) -> Vec<(String, usize)> {
    let plain = fs::read_dir(run).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file());
    let mut all: Vec<_> =
        plain.map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&p).unwrap().len())).collect();
    all.sort();
    all
}

#[test]
fn half_a_checkpoint_is_never_taken_for_one() {
    let dir = TempDir::new();
    let (whole, hurt) = pair(&dir);
    // As a kill in the middle of the last write leaves it: a temporary folder with some of the files, no finished one.
    let last = newest(&hurt);
    let half = hurt.join("checkpoints/.tmp-step");
    fs::rename(&last, &half).unwrap();
    fs::remove_file(half.join("manifest.json")).unwrap();
    let params = fs::read(half.join("params.f32")).unwrap();
    fs::write(half.join("params.f32"), &params[..100]).unwrap();
    fs::write(hurt.join(".metrics.part"), "{\"st").unwrap();
    resume(&dir.0);
    same_end(&whole, &hurt);
    assert!(!half.exists(), "it is swept");
}

#[test]
fn a_checkpoint_of_another_format_says_so() {
    let dir = TempDir::new();
    let (_, hurt) = pair(&dir);
    for step in checkpoints(&hurt) {
        let manifest = hurt.join(format!("checkpoints/step-{step:012}/manifest.json"));
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replacen("\"format\": 1", "\"format\": 9", 1)).unwrap();
    }
    let error = fails(&dir.0, &["train", "--resume", "cartpole-ppo-hurt-s0"], 1);
    assert!(error.contains("expected 1, found 9"), "{error}");
}

/// What a learner saves changes from one revision to the next: where it cannot be read for that, the error says whose it is.
#[test]
fn a_checkpoint_of_another_revision_says_so_where_it_does_not_fit() {
    let dir = TempDir::new();
    let run = train(&dir.0, "hurt", "12000");
    let step = *checkpoints(&run).last().unwrap();
    let whole = files(&newest(&run));
    let state: serde_json::Value = serde_json::from_slice(&whole["trainer.json"]).unwrap();
    let own = state["revision"].as_str().unwrap().to_owned();
    for (revision, blamed) in [(own.as_str(), false), ("0123abc", true), ("", true)] {
        // Sound by its manifest, but of fewer parameters.
        fs::remove_dir_all(run.join("checkpoints")).unwrap();
        let store = rlx::checkpoint::Store::new(run.join("checkpoints"));
        let saved = store.save("step", step, 1, |to| {
            whole.iter().filter(|(name, _)| *name != "manifest.json").try_for_each(|(name, bytes)| {
                match name.as_str() {
                    "params.f32" => to.put(name, &bytes[4..]),
                    "trainer.json" => {
                        let mut state = state.clone();
                        state["revision"] = revision.into();
                        to.put(name, &serde_json::to_vec(&state).unwrap())
                    }
                    _ => to.put(name, bytes),
                }
            })
        });
        saved.unwrap();
        for command in [&["train", "--resume", "cartpole-ppo-hurt-s0"][..], &["eval", "cartpole-ppo-hurt-s0"][..]] {
            let error = fails(&dir.0, command, 1);
            assert_eq!(error.contains("of another revision of rlx"), blamed, "{error}");
            let by = if revision.is_empty() { "an earlier one" } else { revision };
            assert!(error.contains("expected") && error.contains(by) == blamed, "{error}");
        }
    }
}

#[test]
fn a_full_disk_is_an_error_and_costs_nothing_saved() {
    let dir = TempDir::new();
    let whole = train(&dir.0, "whole", "12000");
    // A file-size limit stands for a full disk: the growing files hit it in the middle of the run.
    let mut args = vec!["train", "--env", "cartpole", "--algo", "ppo", "--name", "hurt", "--steps", "12000", "-q"];
    args.extend(SET);
    let size = fs::metadata(whole.join("metrics.jsonl")).unwrap().len();
    let largest = files(&newest(&whole)).values().map(Vec::len).max().unwrap() as u64;
    let event_file = files_of(&whole).into_iter().find(|(n, _)| n.starts_with("events")).unwrap().1 as u64;
    assert!(event_file / 2 > 512 || size / 2 > 512);
    // In blocks of 512 bytes: enough for the checkpoints, too small for the events of the whole run.
    let blocks = (largest + 1024).max(event_file / 2) / 512;
    let limited = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let out = Command::new("sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_rlx")])
        .args(&args)
        .current_dir(&dir.0)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{error} (limit {blocks} blocks, events {event_file})");
    assert!(error.contains("File too large"), "{error}");
    let hurt = dir.0.join("runs/cartpole-ppo-hurt-s0");
    let store = rlx::checkpoint::Store::new(hurt.join("checkpoints"));
    let saved = checkpoints(&hurt);
    assert!(
        !saved.is_empty() && saved.iter().all(|s| store.open("step", *s).is_ok()),
        "what was saved is sound: {saved:?}"
    );
    resume(&dir.0);
    same_end(&whole, &hurt);
}

//! Red-10 through the real binary: resume to the bit, learning, judging, a table in lines, records.
use crate::common::{TempDir, checkpoints, fails, ok, rlx, same_end, wait_for};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Output, Stdio},
};

/// Small tables and networks, two threads: acting and learning overlap.
fn train<'a>(algo: &'a str, name: &'a str) -> Vec<&'a str> {
    let mut args =
        vec!["train", "--env", "red10", "--algo", algo, "--name", name, "--steps", "40000", "--seed", "5", "-q"];
    for set in [
        "threads=2",
        "num_envs=32",
        "num_steps=32",
        "batch_size=256",
        "hidden=32",
        "head=16",
        "checkpoint_every=4000",
        "log_every=2000",
        "eval_every=20000",
        "eval_episodes=8",
    ] {
        args.extend(["--set", set]);
    }
    args
}

#[test]
fn self_play_equals_the_uninterrupted_run() {
    // Every part that keeps something between iterations: the critic, earlier policies and bots at the tables, both rules.
    let league = &["league=0.5", "league_period=8000", "rules=both"][..];
    for (algo, more) in [
        ("dmc", &["td_lambda=0.8"][..]),
        ("mfrl", &[]),
        ("idrl", league),
        ("idrl", &["policy=separate", "relation=prior", "td_lambda=1"]),
        ("idrl", &["relation=truth", "danger=false", "intrinsic=0", "auxiliary=0"]),
    ] {
        let dir = TempDir::new();
        let with = |name: &'static str| {
            let mut args = train(algo, name);
            args.extend(more.iter().flat_map(|set| ["--set", *set]));
            args
        };
        let run = |name: &str| dir.0.join(format!("runs/red10-{algo}-{name}-s5"));
        ok(&dir.0, &with("whole"));
        let mut child = rlx(&dir.0, &with("parts")).spawn().unwrap();
        let (parts, name) = (run("parts"), format!("red10-{algo}-parts-s5"));
        let killed = wait_for(&mut child, || checkpoints(&parts).last().copied().unwrap_or(0) >= 8000);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(killed, "it was to be killed in the middle");
        ok(&dir.0, &["train", "--resume", &name, "-q"]);
        same_end(&run("whole"), &parts);
    }
}

/// Acting, learning and the halves of a batch are spread over threads; what comes of it is the same on one.
#[test]
fn self_play_is_the_same_on_one_thread_and_on_two() {
    let dir = TempDir::new();
    for (name, threads) in [("one", "threads=1"), ("two", "threads=2")] {
        let mut args = train("idrl", name);
        args.extend(["--set", threads]);
        ok(&dir.0, &args);
    }
    let run = |name: &str| dir.0.join(format!("runs/red10-idrl-{name}-s5"));
    same_end(&run("one"), &run("two"));
}

/// A minute of the claim: it beats random play clearly, on decks that training never saw.
#[test]
fn idrl_learns_to_beat_random_play() {
    let dir = TempDir::new();
    let args = ["train", "--env", "red10", "--algo", "idrl", "--name", "t", "--steps", "400_000", "-q"];
    let small = ["num_envs=256", "num_steps=32", "hidden=64", "head=64", "batch_size=1024", "eval_every=0"];
    let sets: Vec<&str> = small.iter().flat_map(|s| ["--set", s]).collect();
    ok(&dir.0, &[&args[..], &sets].concat());
    let eval = ["eval", "red10-idrl-t-s0", "--checkpoint", "last", "--vs", "random", "--decks", "60", "--json"];
    let judged: Value = serde_json::from_str(&ok(&dir.0, &eval)).unwrap();
    assert!(judged["win"]["low"].as_f64().unwrap() > 0.6, "{}", judged["win"]);
    assert!(judged["identity"].as_array().is_some_and(|p| p.len() == 4), "{}", judged["identity"]);
    // Exact belief by its own network, at as many positions as were asked for.
    let eval = ["eval", "red10-idrl-t-s0", "--vs", "random", "--decks", "2", "--bound", "30", "--json"];
    let judged: Value = serde_json::from_str(&ok(&dir.0, &eval)).unwrap();
    let phases = judged["bound"]["phases"].as_array().unwrap();
    assert_eq!(phases.iter().map(|p| p["positions"].as_u64().unwrap()).sum::<u64>(), 30);
    for cost in phases.iter().flat_map(|p| ["agent", "prior", "bound"].map(|k| &p[k])) {
        let [loss, low, high] = ["log_loss", "low", "high"].map(|k| cost[k].as_f64().unwrap());
        assert!(low <= loss + 1e-9 && loss <= high + 1e-9 && cost["brier"].as_f64().unwrap() <= 1.0, "{cost}");
    }
    let bot = ["eval", "greedy", "--vs", "random", "--bound", "3"];
    assert!(fails(&dir.0, &bot, 2).contains("'greedy' is a bot"));
    // Its network was made for other rules than the table's.
    let other = ["eval", "red10-idrl-t-s0", "--vs", "random", "--rules", "folk4"];
    assert!(fails(&dir.0, &other, 2).contains("was trained with the rules paper"));
}

#[test]
fn a_league_ranks_bots_and_stops_when_it_is_told_to() {
    let dir = TempDir::new();
    let league = ["league", "random", "greedy", "belief", "--decks", "6"];
    let text = ok(&dir.0, &league);
    assert!(text.contains("rating") && text.lines().any(|l| l.starts_with("random")), "{text}");
    let table: Value = serde_json::from_str(&ok(&dir.0, &[&league[..], &["--json"]].concat())).unwrap();
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&table), ["rules", "seed", "decks", "ratings", "pairs"]);
    assert_eq!(keys(&table["ratings"][0]), ["agent", "rating", "low", "high", "win"]);
    assert_eq!(keys(&table["pairs"][0]), ["a", "b", "win", "score"]);
    assert_eq!(table["ratings"][2]["agent"], "random");
    assert!(fails(&dir.0, &["league", "greedy", "random", "greedy"], 2).contains("'greedy' is entered twice"));
    assert!(fails(&dir.0, &["league", "greedy", "nobody"], 2).contains("there are random, greedy, belief"));
    let mut child = rlx(&dir.0, &["league", "random", "greedy", "--decks", "3000"]).spawn().unwrap();
    // It says when a tenth is played.
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("of 3,000 decks"), "{line}");
    // Nobody reads on: that is no reason to fail.
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn play(dir: &TempDir, args: &[&str], input: &[u8]) -> Output {
    let mut child = rlx(&dir.0, args).stdin(Stdio::piped()).spawn().unwrap();
    // A table that was left does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn a_table_in_lines_and_its_log() {
    let dir = TempDir::new();
    let mut input = b"hint\nlegal\n\xff\xfe\nhelp\n".to_vec();
    for _ in 0..400 {
        input.extend(b"3\n4\n5\n6\n7\n8\n9\nT\nR\nJ\nQ\nK\nA\n2\npass\nkeep\n");
    }
    let out = play(&dir, &["play", "red10", "--seed", "4", "--log", "games.jsonl"], &input);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("the game is over"), "{text}");
    let again = ok(&dir.0, &["play", "--replay", "games.jsonl"]);
    assert!(again.contains("payoff"), "{again}");
    let out = play(&dir, &["play", "red10", "--log", "games.jsonl"], b"");
    assert_eq!(out.status.code(), Some(2), "a log is never overwritten");
    let out = play(&dir, &["play", "red10"], b"hand\n");
    assert!(out.status.success() && String::from_utf8_lossy(&out.stdout).contains("The game is left"));
}

#[test]
fn records_are_replayed_and_bad_ones_named() {
    let dir = TempDir::new();
    let record =
        ["record", "red10", "--agent", "greedy", "--games", "3", "--seed", "7", "--rules", "folk4", "-o", "g.jsonl"];
    ok(&dir.0, &record);
    assert!(fails(&dir.0, &record, 2).contains("never overwritten"));
    for n in ["1", "2", "3"] {
        assert!(ok(&dir.0, &["play", "--replay", "g.jsonl", "--number", n]).contains("payoff"));
    }
    assert!(fails(&dir.0, &["play", "--replay", "g.jsonl", "--number", "4"], 2).contains("3 games"));
    std::fs::write(dir.0.join("bad.jsonl"), "{\"format\":1}\n").unwrap();
    assert!(fails(&dir.0, &["play", "--replay", "bad.jsonl"], 1).contains("bad.jsonl line 1"));
    assert!(fails(&dir.0, &["play", "red10", "--agent", "nobody"], 2).contains("there are random, greedy"));
    assert!(ok(&dir.0, &["list", "bots"]).contains("greedy"));
}

//! What is suggested works: each `next:` line is run, and each name after "did you mean" is put in the place of the wrong one.
use crate::common::{TempDir, fails, ok, rlx, run, signal, wait_for};
use std::{fs, path::Path, process::Output};

fn error_of(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The name that is suggested by rlx, or by the parser of its arguments.
fn meant(error: &str) -> Option<String> {
    let marks = [
        "did you mean '",
        "a similar argument exists: '",
        "a similar subcommand exists: '",
        "a similar value exists: '",
    ];
    let rest = marks.iter().find_map(|mark| error.split_once(mark))?.1;
    Some(rest.split_once('\'')?.0.to_owned())
}

/// Demands that `wrong` in `args` is refused with a suggestion, and that the suggestion is not: the command is done, or stopped by something
/// that has nothing to do with the name. What was suggested.
fn suggested(folder: &Path, args: &[&str], wrong: &str) -> String {
    let error = fails(folder, args, 2);
    let name = meant(&error).unwrap_or_else(|| panic!("{args:?} suggests nothing: {error}"));
    let right: Vec<String> = args
        .iter()
        .map(|a| match a.strip_prefix(wrong) {
            Some(rest) if rest.is_empty() || rest.starts_with('=') => format!("{name}{rest}"),
            _ => (*a).to_owned(),
        })
        .collect();
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    assert_ne!(right, args);
    let out = run(folder, &right);
    let said = error_of(&out);
    // Names of the catalogue are known before they are fetched, and a test fetches nothing.
    let accepted = out.status.success() || said.contains("was not fetched yet");
    assert!(accepted, "{right:?}, as was suggested: {said}");
    name
}

/// The commands that follow `next:`, without their remarks.
fn next(said: &str) -> Vec<Vec<String>> {
    let lines = said.lines().skip_while(|l| *l != "next:").skip(1).take_while(|l| l.starts_with("  "));
    let words = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default().trim();
        // The shell's own reading, quotes and all.
        let out = std::process::Command::new("sh").args(["-c", &format!("printf '%s\\n' {line}")]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    lines.map(words).filter(|w| w[0] == "rlx").collect()
}

/// Runs what is suggested next; each is done, but for what needs a program of others. The names of the commands.
fn taken(folder: &Path, said: &str) -> Vec<String> {
    let commands = next(said);
    assert!(!commands.is_empty(), "nothing is suggested: {said}");
    for words in &commands {
        let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        // TensorBoard would stay: without a PATH it is not found, after its arguments were looked at.
        let out = rlx(folder, &args).env("PATH", "/nowhere").output().unwrap();
        let error = error_of(&out);
        let missing = args[0] == "tensorboard" && error.contains("tensorboard is not on the PATH");
        assert!(out.status.success() || missing, "{words:?}: {error}");
    }
    commands.into_iter().map(|w| w[1].clone()).collect()
}

const CARTPOLE: [&str; 6] = ["train", "--env", "cartpole", "--algo", "ppo", "--threads=1"];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    CARTPOLE.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn e8_what_comes_next_is_accepted() {
    let dir = TempDir::new();
    let ended = |args: &[&str], code: i32| fails(&dir.0, args, code);
    let said = ended(&train(&["--name", "a", "--steps", "600"]), 0);
    assert_eq!(taken(&dir.0, &said), ["train", "tensorboard", "eval"]);
    // A folder whose name a shell would take apart.
    let said = ended(&[&["--runs", "my runs"][..], &train(&["--name", "a", "--steps", "600"])].concat(), 0);
    assert_eq!(taken(&dir.0, &said).len(), 3);
    // A limit of time that ends it before or after its first checkpoint.
    for time in ["1ms", "300ms"] {
        let said = ended(&train(&["--name", time, "--steps", "1e6", "--time", time]), 0);
        taken(&dir.0, &said.replace("train --resume", "train --time 10ms --resume"));
    }
    let spec = ok(&dir.0, &["experiment", "new", "mine"]);
    assert_eq!(taken(&dir.0, &spec), ["experiment", "experiment"]);
}

/// Stopped before its first checkpoint of its own accord: what is suggested has a checkpoint, or is not suggested.
#[test]
fn e8_what_comes_next_after_an_interruption_is_accepted() {
    let dir = TempDir::new();
    let mut child =
        rlx(&dir.0, &train(&["--name", "a", "--steps", "100_000_000", "--set", "checkpoint_every=100_000_000"]))
            .spawn()
            .unwrap();
    assert!(wait_for(&mut child, || dir.0.join("runs/cartpole-ppo-a-s0/config.toml").exists()));
    signal(child.id(), "-INT");
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130));
    let said = error_of(&out);
    taken(&dir.0, &said.replace("train --resume", "train --time 100ms --resume"));
}

/// A policy of one kind of rules is judged and played by those.
#[test]
fn e8_a_run_of_red10_is_judged_by_its_own_rules() {
    let dir = TempDir::new();
    for rules in ["folk4", "paper"] {
        let set = format!("rules={rules}");
        let args = ["train", "--env", "red10", "--algo", "dmc", "--steps", "200", "--name", rules, "--threads", "1"];
        let said = fails(&dir.0, &[&args[..], &["--set", &set]].concat(), 0);
        let commands = next(&said);
        assert!(commands.iter().any(|c| c[1] == "play"), "{said}");
        // A game at a table needs a person; one deck is enough to judge by.
        for mut words in commands.into_iter().filter(|c| c.contains(&"--vs".to_owned())) {
            words.extend(["--decks".into(), "1".into()]);
            let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            ok(&dir.0, &args);
        }
    }
}

#[test]
fn e8_names_that_are_suggested_are_accepted() {
    let dir = TempDir::new();
    ok(&dir.0, &train(&["--name", "a", "--steps", "600", "-q"]));
    let of = |args: &[&str], wrong: &str| suggested(&dir.0, args, wrong);
    let short = ["--steps", "600", "--threads", "1", "-q"];
    let line = |text: &'static str| -> Vec<&str> { text.split(' ').chain(short).collect() };
    assert_eq!(of(&line("train --env cartpol --algo ppo --name b"), "cartpol"), "cartpole");
    assert_eq!(of(&line("train --env cartpole --algo ppu --name c"), "ppu"), "ppo");
    assert_eq!(
        of(&line("train --env cartpole --algo ppo --preset cartpole-pp --name d"), "cartpole-pp"),
        "cartpole-ppo"
    );
    assert_eq!(
        of(&line("train --env cartpole --algo ppo --set lerning_rate=1e-3 --name e"), "lerning_rate"),
        "learning_rate"
    );
    assert_eq!(of(&line("train --env cartpole --algo ppo --set gravty=9 --name f"), "gravty"), "gravity");
    assert_eq!(of(&line("train --env cartpole --algo ppo --nam g"), "--nam"), "--name");
    assert_eq!(of(&["list", "env"], "env"), "envs");
    assert_eq!(of(&["list", "bots", "gredy"], "gredy"), "greedy");
    assert_eq!(of(&["list", "envs", "cartpol"], "cartpol"), "cartpole");
    assert_eq!(of(&["lisst", "envs"], "lisst"), "list");
    assert_eq!(of(&["check-env", "cartpol"], "cartpol"), "cartpole");
    assert_eq!(of(&["eval", "cartpole-ppo-a-s", "--episodes", "1"], "cartpole-ppo-a-s"), "cartpole-ppo-a-s0");
    assert_eq!(of(&["eval", "cartpole-ppo-a-s0", "--episodes", "1", "--set", "gravty=9"], "gravty"), "gravity");
    assert_eq!(of(&["export", "cartpole-ppo-a-s9", "-o", "p"], "cartpole-ppo-a-s9"), "cartpole-ppo-a-s0");
    let metric = ["plot", "cartpole-ppo-a-s0", "--metric", "losses/entrop", "-o", "x.svg"];
    assert_eq!(of(&metric, "losses/entrop"), "losses/entropy");
    assert_eq!(of(&["league", "gredy", "random", "--decks", "1"], "gredy"), "greedy");
    assert_eq!(of(&["eval", "random", "--vs", "gredy", "--decks", "1"], "gredy"), "greedy");
    assert_eq!(of(&["record", "red10", "--agent", "gredy", "-o", "g.jsonl"], "gredy"), "greedy");
    assert_eq!(of(&["bench", "matmil", "--repeats", "1"], "matmil"), "matmul");
    assert_eq!(of(&["experiment", "plan", "clasic"], "clasic"), "classic");
    assert_eq!(of(&["lm", "info", "smollm2-135x"], "smollm2-135x"), "smollm2-135m");
    let heal = ["heal", "--model", "minilm-l6", "--data", "rotten-tomatos"];
    assert_eq!(of(&heal, "rotten-tomatos"), "rotten-tomatoes");
}

/// Case, `-` and `_` make no difference, wherever something is named.
#[test]
fn e8_names_are_matched_alike_everywhere() {
    let dir = TempDir::new();
    ok(&dir.0, &train(&["--name", "a", "--steps", "600", "-q"]));
    for args in [
        "eval CartPole-PPO-a-s0 --episodes 1",
        "eval cartpole_ppo_a_s0 --episodes 1",
        "plot cartpole_ppo_a_s0 --metric losses/Entropy -o y.svg",
        "league Greedy RANDOM --decks 1",
        "record red10 --agent Greedy -o g.jsonl",
        "record red10 --agent greedy,random,belief,random -o h.jsonl",
        "bench MatMul --repeats 1",
        "experiment plan Classic",
        "list Bots Greedy",
    ] {
        ok(&dir.0, &args.split(' ').collect::<Vec<_>>());
    }
    // Nothing was fetched into a cache that is not there.
    let fetched = |args: &[&str]| error_of(&rlx(&dir.0, args).env("RLX_CACHE", "no-cache").output().unwrap());
    assert!(fetched(&["lm", "info", "SmolLM2_135M"]).contains("rlx fetch smollm2-135m"));
    let heal = ["heal", "--model", "minilm-l6", "--data", "Rotten_Tomatoes"];
    assert!(fetched(&heal).contains("rlx fetch"));
}

/// Only what fits is suggested: a table of cards has no seat for a policy of another world.
#[test]
fn e8_what_does_not_fit_is_not_suggested() {
    let dir = TempDir::new();
    ok(&dir.0, &train(&["--name", "a", "--steps", "600", "-q"]));
    let error = fails(&dir.0, &["league", "cartpole-ppo-a-s1", "greedy"], 2);
    assert!(!error.contains("cartpole-ppo-a-s0") && error.contains("there are random, greedy"), "{error}");
}

/// The rule: 2 for what is asked wrongly, 1 for what fails in the doing.
#[test]
fn what_is_not_there_ends_with_the_code_for_bad_arguments() {
    let dir = TempDir::new();
    fs::create_dir(dir.0.join("empty")).unwrap();
    for args in [
        "eval nothing",
        "eval empty",
        "train --resume nothing",
        "heal --resume nothing",
        "export nothing",
        "distance nothing",
        "plot nothing -o x.svg",
        "plot nothing -o x.txt",
        "runs compare nothing other",
        "runs prune",
        "tensorboard nothing",
        "tensorboard",
        "record nothing -o x.gif",
        "record reach -o x.txt",
        "record reach --agent nothing -o x.gif",
        "league greedy nothing",
        "play red10 --agent nothing",
        "play red10 --agent greedy,random",
        "play --replay nothing.jsonl",
        "eval greedy --vs nothing",
        "compress smollm2-135m --budget 60MB --policy nothing -o out",
        "compress smollm2-135m --budget 60 --policy nothing -o out",
        "lm info nothing",
        "lm eval nothing --text nothing.txt",
        "lm generate nothing --prompt a",
        "experiment run nothing",
        "experiment run nothing.toml",
        "sweep nothing.toml",
        "fetch nothing",
        "bench nothing",
        "list nothing",
        "check-env nothing",
    ] {
        fails(&dir.0, &args.split(' ').collect::<Vec<_>>(), 2);
    }
    ok(&dir.0, &["runs", "list"]);
}

#[test]
fn the_checkpoint_that_is_judged_is_named() {
    let dir = TempDir::new();
    ok(&dir.0, &train(&["--name", "a", "--steps", "600", "-q", "--set", "eval_every=0"]));
    let said = |which: &str| {
        let text = ok(&dir.0, &["eval", "cartpole-ppo-a-s0", "--episodes", "1", "--checkpoint", which]);
        text.lines().next().unwrap().to_owned()
    };
    assert!(said("best").contains("its last checkpoint (no evaluation chose a best one) at step "), "{}", said("best"));
    assert!(said("last").contains("its last checkpoint at step "), "{}", said("last"));
    ok(&dir.0, &train(&["--name", "b", "--steps", "600", "-q", "--set", "eval_every=300", "--set", "eval_episodes=2"]));
    let text = ok(&dir.0, &["eval", "cartpole-ppo-b-s0", "--episodes", "1"]);
    assert!(text.contains("its best checkpoint at step "), "{text}");
}

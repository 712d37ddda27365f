//! `rlx sweep`, `rlx plot`, `rlx runs` and `rlx tensorboard`.
use crate::common::{TempDir, fails, ok, rlx, wait_for};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

const SWEEP: &str = "format = 1
[base]
env = \"cartpole\"
algo = \"ppo\"
steps = 6000
num_steps = 64
eval_every = 2000
eval_episodes = 3
checkpoint_every = 2000
[space]
learning_rate = { low = 1e-5, high = 1e-2, log = true }
epochs = { low = 1, high = 4 }
[search]
method = \"METHOD\"
trials = 4
startup = 2
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Keys and values of the trials.
fn keys(v: &Value) -> Vec<(Value, Value)> {
    v["trials"].as_array().unwrap().iter().map(|t| (t["keys"].clone(), t["value"].clone())).collect()
}

/// Keys that are sound one by one and do not go together fail their own trial, and the others are run.
#[test]
fn a_combination_that_does_not_fit_is_one_failed_trial() {
    let dir = TempDir::new();
    let space = "minibatch_size = { low = 64, high = 512 }\nnum_steps = { low = 64, high = 512 }\n[search]";
    let text =
        SWEEP.replace("num_steps = 64\n", "num_envs = 1\n").replace("METHOD", "random").replace("[search]", space);
    fs::write(dir.0.join("s.toml"), text.replace("trials = 4", "trials = 8")).unwrap();
    let out = json(&ok(&dir.0, &["sweep", "s.toml", "-q", "--json"]));
    let trials = out["trials"].as_array().unwrap();
    let with = |status: &str| trials.iter().filter(|t| t["status"] == status).collect::<Vec<_>>();
    let failed = with("failed");
    assert!(!failed.is_empty() && with("finished").len() + failed.len() == 8, "{out:#}");
    assert!(failed.iter().all(|t| t["error"].as_str().unwrap().contains("minibatch_size")), "{out:#}");
}

#[test]
fn a_sweep_that_is_killed_goes_on_and_ends_as_if_it_had_not_been() {
    let (whole, dir) = (TempDir::new(), TempDir::new());
    for d in [&whole, &dir] {
        fs::write(d.0.join("s.toml"), SWEEP.replace("METHOD", "tpe")).unwrap();
    }
    let args = ["sweep", "s.toml", "--jobs", "1", "-q", "--json"];
    let a = json(&ok(&whole.0, &args));
    let mut child = rlx(&dir.0, &args).spawn().unwrap();
    assert!(wait_for(&mut child, || dir.0.join("runs/sweeps/s/trials/00002.json").exists()));
    let busy = fails(&dir.0, &args, 2);
    assert!(busy.contains("another process"), "{busy}");
    child.kill().unwrap();
    child.wait().unwrap();
    // The process of its trial notices that it is alone, saves and stops.
    let waited = std::time::Instant::now();
    let b = loop {
        let out = crate::common::run(&dir.0, &args);
        let b = json(&String::from_utf8_lossy(&out.stdout));
        if b["trials"].as_array().unwrap().iter().all(|t| t["status"] == "finished") {
            break b;
        }
        assert!(waited.elapsed().as_secs() < 120, "{b:#}");
    };
    assert_eq!(keys(&a), keys(&b), "the same trials with the same values");
    assert_eq!(a["trials"].as_array().unwrap().len(), 4);
    for file in ["report.html", "report.md", "best.svg", "best.png"] {
        assert!(dir.0.join("runs/sweeps/s/report").join(file).exists(), "{file}");
    }
    let changed = SWEEP.replace("METHOD", "tpe").replace("1e-2", "1e-3");
    fs::write(dir.0.join("s.toml"), changed).unwrap();
    let error = fails(&dir.0, &args, 2);
    assert!(
        error.contains("another sweep") && error.contains("- high = 0.01") && error.contains("+ high = 0.001"),
        "{error}"
    );
    // More trials of the same are no other sweep.
    fs::write(dir.0.join("s.toml"), SWEEP.replace("METHOD", "tpe").replace("trials = 4", "trials = 5")).unwrap();
    assert_eq!(json(&ok(&dir.0, &args))["trials"].as_array().unwrap().len(), 5);
}

/// A Python with Optuna, in a throwaway environment beside the build's output.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("optuna-venv");
    let python = venv.join("bin/python");
    let works =
        || Command::new(&python).args(["-c", "import optuna, cmaes"]).output().is_ok_and(|o| o.status.success());
    if !works() {
        let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output();
        let install = ["-m", "pip", "install", "-q", "optuna>=4,<6", "cmaes"];
        let made = made.is_ok_and(|o| o.status.success());
        if !made || !Command::new(&python).args(install).output().is_ok_and(|o| o.status.success()) || !works() {
            println!("skipped: Optuna cannot be installed here (python3 -m venv and pip are needed)");
            return None;
        }
    }
    Some(python)
}

/// Asks a study of its own for the same trials, in one process and by Optuna's plain interface; prints both as JSON.
const AGAIN: &str = r#"
import json, sys, warnings
warnings.simplefilter("ignore")
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
space = {
    "learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "epochs": IntDistribution(1, 4),
    "hidden": CategoricalDistribution(["[16]", "[16, 16]"]),
}
storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(sys.argv[1]))
kept = optuna.load_study(study_name="s", storage=storage)
fresh = optuna.create_study(direction="maximize")
again = []
for t in kept.trials:
    fresh.sampler = optuna.samplers.TPESampler(seed=5 * 1_000_003 + t.number, n_startup_trials=2, multivariate=True, constant_liar=True)
    asked = fresh.ask(space)
    for step, value in t.intermediate_values.items():
        asked.report(value, step)
    again.append(asked.params)
    fresh.tell(asked, t.value if t.state == optuna.trial.TrialState.COMPLETE else None, state=t.state)
trials = [{"params": t.params, "state": t.state.name, "value": t.value, "steps": list(t.intermediate_values), "mark": t.user_attrs["rlx_trial"]} for t in kept.trials]
print(json.dumps({"kept": trials, "again": again}))
"#;

/// What the journal of a sweep says, and what a study of its own is asked with the same past.
fn study(python: &Path, folder: &Path) -> (Vec<Value>, Vec<Value>) {
    let out =
        Command::new(python).args(["-c", AGAIN]).arg(folder.join("runs/sweeps/s/optuna.journal")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = json(&String::from_utf8_lossy(&out.stdout));
    let list = |key: &str| said[key].as_array().unwrap().clone();
    (list("kept"), list("again"))
}

/// Trials and journal say the same.
fn agree(trials: &Value, kept: &[Value]) {
    let trials = trials["trials"].as_array().unwrap();
    assert_eq!(trials.len(), kept.len());
    for (n, (trial, kept)) in trials.iter().zip(kept).enumerate() {
        assert_eq!(kept["mark"], n);
        assert_eq!(trial["keys"]["learning_rate"], kept["params"]["learning_rate"], "trial {n}");
        assert_eq!(trial["keys"]["epochs"], kept["params"]["epochs"], "trial {n}");
        assert_eq!(json(kept["params"]["hidden"].as_str().unwrap()), trial["keys"]["hidden"]);
        let state = if trial["status"] == "finished" { "COMPLETE" } else { "PRUNED" };
        assert_eq!((kept["state"].as_str(), kept["value"].as_f64().is_some()), (Some(state), true), "{trial} {kept}");
        let same = trial["status"] == "pruned" || kept["value"] == trial["value"];
        assert!(same && !kept["steps"].as_array().unwrap().is_empty(), "its value and curve are told");
    }
}

/// A sampler that repeats itself, also while the first of the two is still under way: each configuration is run once.
#[test]
fn a_configuration_that_optuna_repeats_is_run_once() {
    let Some(python) = python() else { return };
    let dir = TempDir::new();
    let text = SWEEP.replace("METHOD", "optuna").replace("trials = 4", "sampler = \"random\"\ntrials = 6");
    let text = text.replace("learning_rate = { low = 1e-5, high = 1e-2, log = true }\n", "");
    let text = text.replace("epochs = { low = 1, high = 4 }", "epochs = { choices = [1, 2] }");
    fs::write(dir.0.join("s.toml"), text).unwrap();
    let out = rlx(&dir.0, &["sweep", "s.toml", "--jobs", "3", "-q", "--json"]).env("PYTHON", &python).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = json(&String::from_utf8_lossy(&out.stdout));
    let trials = said["trials"].as_array().unwrap();
    assert!(trials.len() == 6 && trials.iter().all(|t| t["status"] == "finished"), "{said:#}");
    for a in trials {
        let same: Vec<_> = trials.iter().filter(|b| b["keys"] == a["keys"]).collect();
        assert!(same.iter().all(|b| b["value"] == a["value"] && b["run"] == a["run"]), "{said:#}");
    }
    assert!(fs::read_dir(dir.0.join("runs/sweeps/s/runs")).unwrap().count() <= 2);
}

#[test]
fn optuna_is_asked_and_told_and_a_sweep_that_was_killed_ends_as_if_it_had_not_been() {
    let Some(python) = python() else { return };
    let text = SWEEP.replace("METHOD", "optuna").replace("trials = 4", "trials = 6\nseed = 5");
    let text = text.replace("[search]", "hidden = { choices = [[16], [16, 16]] }\n[search]");
    let text = format!("{text}[prune]\nmedian = false\n");
    let (whole, dir) = (TempDir::new(), TempDir::new());
    for d in [&whole, &dir] {
        fs::write(d.0.join("s.toml"), &text).unwrap();
    }
    let args = ["sweep", "s.toml", "--jobs", "1", "-q", "--json"];
    let sweep = |at: &Path| {
        let out = rlx(at, &args).env("PYTHON", &python).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(!said.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        json(&said)
    };
    let a = sweep(&whole.0);
    let (kept, again) = study(&python, &whole.0);
    agree(&a, &kept);
    let params = |kept: &[Value]| kept.iter().map(|t| t["params"].clone()).collect::<Vec<_>>();
    assert_eq!(params(&kept), again, "asked for in another process, without rlx, given the same past");

    // Killed in the middle of a trial, and a journal whose last line is torn.
    let mut child = rlx(&dir.0, &args).env("PYTHON", &python).spawn().unwrap();
    assert!(wait_for(&mut child, || dir.0.join("runs/sweeps/s/trials/00003.json").exists()));
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = dir.0.join("runs/sweeps/s/optuna.journal");
    fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(b"{\"op_code\": 4, \"wor").unwrap();
    let ended = |v: &Value| v["trials"].as_array().unwrap().iter().filter(|t| t["status"] == "finished").count() == 6;
    let waited = std::time::Instant::now();
    let b = loop {
        let b = sweep(&dir.0);
        if ended(&b) {
            break b;
        }
        // The process of the killed sweep's trial may still have the run: the next start goes on with it.
        assert!(waited.elapsed().as_secs() < 120, "{b:#}");
    };
    assert_eq!(keys(&a), keys(&b), "the same trials with the same values");
    agree(&b, &study(&python, &dir.0).0);

    // A journal that is gone is made anew from the trials, and the search goes on.
    fs::remove_file(whole.0.join("runs/sweeps/s/optuna.journal")).unwrap();
    fs::write(whole.0.join("s.toml"), text.replace("trials = 6", "trials = 7")).unwrap();
    let more = sweep(&whole.0);
    let (made, again) = study(&python, &whole.0);
    agree(&more, &made);
    assert_eq!(params(&made), again);
    assert_eq!((params(&made)[..6].to_vec(), made.len()), (params(&kept), 7));
    // One that is broken is named.
    fs::write(whole.0.join("runs/sweeps/s/optuna.journal"), "no journal\nat all\n").unwrap();
    let out = rlx(&whole.0, &args).env("PYTHON", &python).output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && error.contains("made anew from the trials"), "{error}");
}

#[test]
fn optuna_is_told_of_trials_that_are_given_up() {
    let Some(python) = python() else { return };
    let dir = TempDir::new();
    let text = SWEEP.replace("METHOD", "optuna\"\nsampler = \"random").replace("trials = 4", "trials = 8");
    let text = text
        .replace("steps = 6000", "steps = 400_000")
        .replace("{ low = 1e-5, high = 1e-2, log = true }", "{ choices = [1e-3, 2e-3, 1e-8] }");
    let text = text.replace("[search]", "hidden = { choices = [[16], [16, 16]] }\n[search]");
    fs::write(dir.0.join("s.toml"), format!("{text}[prune]\nstartup_trials = 2\n")).unwrap();
    let out = rlx(&dir.0, &["sweep", "s.toml", "--jobs", "2", "-q", "--json"]).env("PYTHON", &python).output().unwrap();
    let trials = json(&String::from_utf8_lossy(&out.stdout));
    let count = |s: &str| trials["trials"].as_array().unwrap().iter().filter(|t| t["status"] == s).count();
    assert!(count("pruned") > 0 && count("pruned") + count("finished") == 8, "{trials:#}");
    agree(&trials, &study(&python, &dir.0).0);
}

#[test]
fn a_python_without_optuna_is_told_what_to_install() {
    let dir = TempDir::new();
    fs::write(dir.0.join("s.toml"), SWEEP.replace("METHOD", "optuna")).unwrap();
    fs::create_dir(dir.0.join("path")).unwrap();
    fs::write(dir.0.join("path/optuna.py"), "raise ImportError('none here')\n").unwrap();
    let run = |variable: &str, value: &str| {
        let mut command = rlx(&dir.0, &["sweep", "s.toml"]);
        let out = command.env(variable, value).output().unwrap();
        assert_eq!(out.status.code(), Some(1));
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let error = run("PYTHONPATH", &dir.0.join("path").display().to_string());
    assert!(error.contains("none here") && error.contains("-m pip install optuna"), "{error}");
    let error = run("PYTHON", "/nowhere/python3");
    assert!(error.contains("/nowhere/python3 cannot be started") && error.contains("pip install optuna"), "{error}");
    assert!(!dir.0.join("runs").exists(), "nothing was made");
    let text = SWEEP.replace("METHOD", "tpe\"\nsampler = \"cmaes");
    fs::write(dir.0.join("s.toml"), text).unwrap();
    assert!(fails(&dir.0, &["sweep", "s.toml"], 2).contains("it needs method = \"optuna\""));
}

#[test]
fn wrong_sweeps_are_refused_before_anything_is_made() {
    let dir = TempDir::new();
    let wrong = |a: &str, b: &str| {
        fs::write(dir.0.join("s.toml"), SWEEP.replace("METHOD", "sobol").replace(a, b)).unwrap();
        fails(&dir.0, &["sweep", "s.toml"], 2)
    };
    assert!(wrong("learning_rate", "lerning_rate").contains("did you mean 'learning_rate'?"));
    assert!(wrong("1e-2", "7.0").contains("from 0.00000001 to 1"));
    assert!(wrong("sobol", "grid").contains("tpe"));
    assert!(wrong("eval_every = 2000", "eval_every = 0").contains("eval_every is 0"));
    assert!(!dir.0.join("runs").exists(), "nothing was made");
}

#[test]
fn runs_are_plotted_listed_compared_and_pruned() {
    let dir = TempDir::new();
    for seed in ["0", "1"] {
        let args =
            ["train", "--env", "cartpole", "--algo", "ppo", "--name", "a", "--steps", "3000", "-q", "--seed", seed];
        ok(&dir.0, &[&args[..], &["--set", "log_every=500"]].concat());
    }
    ok(
        &dir.0,
        &["train", "--env", "pendulum", "--algo", "ppo", "--name", "b", "--steps", "3000", "-q", "--set", "gamma=0.5"],
    );
    let names = ["cartpole-ppo-a-s0", "cartpole-ppo-a-s1"];
    ok(&dir.0, &["plot", names[0], names[1], "--smooth", "0.5"]);
    let svg = fs::read_to_string(dir.0.join("plot.svg")).unwrap();
    assert!(svg.contains("cartpole-ppo-a (seeds 0, 1)") && svg.contains("environment steps"));
    assert!(fails(&dir.0, &["plot", names[0]], 2).contains("plot.svg"), "nothing is overwritten");
    ok(&dir.0, &["plot", names[0], "--metric", "losses/entropy", "-o", "e.png"]);
    assert!(fs::read(dir.0.join("e.png")).unwrap().starts_with(b"\x89PNG"));
    let error = fails(&dir.0, &["plot", names[0], "--metric", "losses/entrop", "-o", "x.svg"], 2);
    assert!(error.contains("did you mean 'losses/entropy'?"), "{error}");

    let list = json(&ok(&dir.0, &["runs", "list", "--json"]));
    let keys: Vec<&String> = list[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["run", "env", "algo", "seed", "status", "steps", "return", "eval", "elapsed_s", "bytes", "modified"]
    );
    let count =
        |args: &[&str]| json(&ok(&dir.0, &[&["runs", "list", "--json"], args].concat())).as_array().unwrap().len();
    assert_eq!((count(&[]), count(&["--env", "cartpole"]), count(&["ppo-b"]), count(&["--older", "1h"])), (3, 2, 1, 0));
    let compared = json(&ok(&dir.0, &["runs", "compare", names[0], names[1], "--json"]));
    assert_eq!(compared["differ"], serde_json::json!({"run.seed": [0, 1]}));
    assert!(ok(&dir.0, &["runs", "compare", names[0], "pendulum-ppo-b-s0"]).contains("algo.gamma"));

    assert!(fails(&dir.0, &["runs", "prune"], 2).contains("which runs"));
    assert!(fails(&dir.0, &["runs", "prune", "--env", "pendulum"], 1).contains("--yes"));
    assert_eq!(count(&[]), 3);
    ok(&dir.0, &["runs", "prune", "--env", "pendulum", "--yes"]);
    assert_eq!((count(&[]), count(&["--env", "pendulum"])), (2, 0));

    let mut bare = rlx(&dir.0, &["tensorboard"]);
    let out = bare.env("PATH", "/nowhere").output().unwrap();
    assert!(out.status.code() == Some(1) && String::from_utf8_lossy(&out.stderr).contains("pip install tensorboard"));
    assert!(fails(&dir.0, &["tensorboard", "cartpole-ppo-a-s7"], 2).contains("there is no run"));
}

//! What is handed to cluster engines, without starting one.
use crate::{
    common::{TempDir, fails, ok, rlx, run},
    engines::{make, odd},
};

#[test]
fn a_dry_run_says_what_it_would_submit_and_writes_nothing() {
    let dir = TempDir::new();
    make(&dir);
    let dry = |engine: &str, more: &[&str]| {
        ok(&dir.0, &[&["experiment", "run", "e.toml", "--engine", engine, "--dry-run"], more].concat())
    };
    let slurm = dry("slurm", &["--jobs", "3", "--", "--partition=cpu"]);
    for word in ["#SBATCH --array=0-3%3", "#SBATCH --cpus-per-task=1", "sbatch --partition=cpu", "--index \"$cell\""] {
        assert!(slurm.contains(word), "{word}: {slurm}");
    }
    assert!(dry("hyperqueue", &[]).contains("experiment"));
    assert!(dry("parallel", &["--jobs", "2"]).contains("--jobs 2"));
    let ray = dry("ray", &["--jobs", "2", "--", "--address", "http://h:1"]);
    for word in
        ["ray job submit --no-wait --address http://h:1 -- ", "@ray.remote(num_cpus=THREADS", "THREADS = 1\nMOST = 2\n"]
    {
        assert!(ray.contains(word), "{word}: {ray}");
    }
    let none = fails(&dir.0, &["experiment", "run", "e.toml", "--engine", "hyperqueue", "--jobs", "2", "--dry-run"], 1);
    assert!(none.contains("no such limit"), "{none}");
    assert!(!dir.0.join("runs").exists(), "nothing was made");
    assert!(fails(&dir.0, &["experiment", "run", "e.toml", "--dry-run"], 2).contains("other than local"));
    let mut bare = rlx(&dir.0, &["experiment", "run", "e.toml", "--engine", "slurm"]);
    let out = bare.env("PATH", "/nowhere").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && said.contains("sbatch is not on the PATH"), "{said}");
}

#[test]
fn c3_every_engine_s_script_quotes_what_a_path_has() {
    let dir = TempDir::new();
    let folder = odd(&dir, "a 100% 'b' {} $c");
    let dry = |engine: &str| ok(&folder, &["experiment", "run", "e.toml", "--engine", engine, "--dry-run"]);
    let slurm = dry("slurm");
    // sbatch (22.05.8) reads double quotes, and %% for one %.
    assert!(
        slurm.contains("#SBATCH --output=\"") && slurm.contains("/a 100%% 'b' {} $c/runs/experiments/e/"),
        "{slurm}"
    );
    let shell = r"a 100% '\''b'\'' {} $c/e.toml'";
    assert!(slurm.contains(shell), "{slurm}");
    let parallel = dry("parallel");
    assert!(parallel.contains("cd '") && !parallel.contains("--quote"), "{parallel}");
    let ray = dry("ray");
    // ray job submit (2.60.0) quotes the words that it is given for the shell itself.
    assert!(ray.contains("FOLDER = \"") && ray.contains(r"{} $c/runs/experiments/e/submitted/1.ray.py'"), "{ray}");
    let broken = odd(&dir, "a\nb");
    for engine in ["slurm", "hyperqueue", "parallel", "ray"] {
        let error = fails(&broken, &["experiment", "run", "e.toml", "--engine", engine, "--dry-run"], 1);
        assert!(error.contains("line break"), "{engine}: {error}");
    }
    let slash = odd(&dir, "a\\b");
    assert!(fails(&slash, &["experiment", "run", "e.toml", "--engine", "slurm", "--dry-run"], 1).contains("backslash"));
}

#[test]
fn c9_what_an_engine_leaves_a_run_to_save_is_said_where_it_is_chosen() {
    let dir = TempDir::new();
    make(&dir);
    let dry = |engine: &str, more: &[&str]| {
        let out = run(&dir.0, &[&["experiment", "run", "e.toml", "--engine", engine, "--dry-run"], more].concat());
        assert!(out.status.success());
        [out.stdout, out.stderr].map(|b| String::from_utf8(b).unwrap()).concat()
    };
    let help = ok(&dir.0, &["experiment", "run", "--help"]);
    for (engine, word) in [("slurm", "two minutes before"), ("hyperqueue", "1 s to save"), ("ray", "after 3 s")] {
        assert!(dry(engine, &[]).contains(word) && help.contains(word), "{engine}");
    }
    for more in [&["--", "--time=2"][..], &["--", "-t", "0:03:00"]] {
        assert!(dry("slurm", more).contains("warning: the time limit"), "{more:?}");
    }
    assert!(!dry("slurm", &["--", "--time=4:00:00"]).contains("warning"));
}

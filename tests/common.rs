//! Starting the real binary and looking at what it leaves.
pub use rlx::testing::TempDir;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The binary, to be run in `folder`.
pub fn rlx(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rlx"));
    // What people read is in their language: here in English.
    command.env("LC_ALL", "C");
    command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub fn run(folder: &Path, args: &[&str]) -> Output {
    rlx(folder, args).output().unwrap()
}

/// Runs it and demands success; its standard output.
pub fn ok(folder: &Path, args: &[&str]) -> String {
    let out = run(folder, args);
    assert!(out.status.success(), "{args:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Runs it and demands an exit code; its standard error.
pub fn fails(folder: &Path, args: &[&str], code: i32) -> String {
    let out = run(folder, args);
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{args:?}: {err}");
    err
}

/// The Python of an environment that tools/engines.sh made, where it has `module`.
pub fn python_of(environment: &str, module: &str) -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("engines").join(environment).join("bin/python");
    let has = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    has.is_ok_and(|o| o.status.success()).then_some(python)
}

/// Sends a signal to a process.
pub fn signal(id: u32, name: &str) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}

/// Waits until `when` holds; false when the process ended before.
pub fn wait_for(child: &mut Child, when: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !when() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "it neither came nor did the process end");
        std::thread::yield_now();
    }
    true
}

/// Steps of the finished checkpoints.
pub fn checkpoints(run: &Path) -> Vec<u64> {
    rlx::checkpoint::Store::new(run.join("checkpoints")).steps("step").unwrap()
}

/// Every file of a checkpoint with its bytes.
pub fn bytes(run: &Path, step: u64) -> BTreeMap<String, Vec<u8>> {
    files(&run.join(format!("checkpoints/step-{step:012}")))
}

/// Every file of a folder with its bytes.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let read = |p: PathBuf| (p.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&p).unwrap());
    entries.map(|e| read(e.unwrap().path())).collect()
}

/// The rows of a run's metrics without what depends on the clock.
pub fn metrics(run: &Path) -> Vec<Map<String, Value>> {
    let rows = rlx_runs::metrics::read(run).unwrap();
    rows.map(|row| row.unwrap().into_iter().filter(|(k, _)| !k.starts_with("perf/")).collect()).collect()
}

/// Demands that two runs ended in the same bytes and the same metrics.
pub fn same_end(a: &Path, b: &Path) {
    let last = *checkpoints(a).last().unwrap();
    assert_eq!(checkpoints(b).last(), Some(&last));
    let (x, y) = (bytes(a, last), bytes(b, last));
    assert_eq!(x.keys().collect::<Vec<_>>(), y.keys().collect::<Vec<_>>());
    for (name, content) in &x {
        assert!(content == &y[name], "{name} of step {last} differs");
    }
    assert_eq!(metrics(a), metrics(b));
}

//! Real clusters of one machine: Slurm (Debian's slurm-wlm 22.05.8 and munge, as root), HyperQueue (PyPI, 0.27.0), Ray (PyPI, 2.60.0) and
//! GNU parallel (Debian's, 20221122), as tools/engines.sh installs them. Cells are killed in the middle and the same command goes on.
//! Skipped, with a word, where the programs are not there.
use crate::common::{TempDir, ok, python_of, rlx, run, signal};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

const SPEC: &str = "format = 1
seeds = 2
[base]
env = \"cartpole\"
algo = \"ppo\"
steps = 40_000
num_steps = 64
checkpoint_every = 2000
eval_every = 20_000
eval_episodes = 3
[grid]
gamma = [0.9, 0.99]
";

pub fn make(dir: &TempDir) {
    fs::write(dir.0.join("e.toml"), SPEC).unwrap();
}

/// A folder with what people have in names, and what shells, sbatch and Python's templates read as something else.
pub fn odd(dir: &TempDir, name: &str) -> PathBuf {
    let folder = dir.0.join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("e.toml"), SPEC).unwrap();
    folder
}

/// How many cells' records have this status.
pub fn count(dir: &Path, what: &str) -> usize {
    status(dir).iter().filter(|r| r["status"] == what).count()
}

fn status(dir: &Path) -> Vec<Value> {
    serde_json::from_str(&ok(dir, &["experiment", "status", "e.toml", "--json"])).unwrap()
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(240), "{what}: it did not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Cells that are finished, by their records: asking the binary ten times a second would take the cells' own time.
fn finished(dir: &Path) -> usize {
    let files = fs::read_dir(dir.join("runs/experiments/e/cells")).into_iter().flatten().flatten().map(|e| e.path());
    let records = files.filter(|p| p.extension().is_some_and(|e| e == "json")).filter_map(|p| fs::read(p).ok());
    let done = |bytes: &Vec<u8>| serde_json::from_slice::<Value>(bytes).is_ok_and(|r| r["status"] == "finished");
    records.filter(done).count()
}

/// Some run has a checkpoint.
fn begun(dir: &Path) -> bool {
    let runs = fs::read_dir(dir.join("runs/experiments/e/runs"));
    runs.into_iter().flatten().flatten().any(|r| r.path().join("checkpoints/step-000000002048").exists())
}

/// Kills every process of the experiment with SIGKILL; how many there were.
fn kill_units(dir: &Path) -> usize {
    let own = dir.join("e.toml").display().to_string();
    let mut killed = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(words) = fs::read(entry.path().join("cmdline")) else { continue };
        let words: Vec<String> = words.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        let ours =
            words[0] == env!("CARGO_BIN_EXE_rlx") && words.contains(&own) && words.contains(&"--index".to_owned());
        let pid = entry.file_name().to_string_lossy().into_owned();
        if ours && Command::new("kill").args(["-KILL", &pid]).status().unwrap().success() {
            killed += 1;
        }
    }
    killed
}

fn there(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin"].iter().any(|f| Path::new(f).join(program).exists())
}

/// The first of four ports of this test's own, so that two tests of one machine do not meet.
fn ports() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    20_000 + (std::process::id() * 16 + NEXT.fetch_add(4, Ordering::Relaxed)) % 20_000
}

const NO_SLURM: &str =
    "skipped: Slurm is not here (root, and Debian's packages slurm-wlm and munge are needed: tools/engines.sh)";

/// A Slurm of one node on loopback, ended when it goes.
struct Slurm {
    folder: TempDir,
    parts: Vec<Child>,
}

impl Slurm {
    fn start() -> Option<Self> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        if !root || !["munged", "slurmctld", "slurmd", "sbatch"].iter().all(|p| there(p)) {
            return None;
        }
        let folder = TempDir::new();
        let at = folder.0.display().to_string();
        let key: Vec<u8> = (0..1024u32).map(|i| (i * 37 % 251) as u8).collect();
        fs::write(folder.0.join("munge.key"), key).unwrap();
        Command::new("chmod").args(["400", &format!("{at}/munge.key")]).status().unwrap();
        for name in ["state", "spool"] {
            fs::create_dir(folder.0.join(name)).unwrap();
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap();
        let port = ports();
        let config = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\n\
             AuthInfo=socket={at}/munge.socket\nCredType=cred/munge\nStateSaveLocation={at}/state\nSlurmdSpoolDir={at}/spool\n\
             SlurmctldPidFile={at}/ctld.pid\nSlurmdPidFile={at}/d.pid\nSlurmctldPort={port}\nSlurmdPort={}\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
             JobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\nMpiDefault=none\nReturnToService=2\n\
             SchedulerParameters=sched_interval=1,batch_sched_delay=0\nNodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\n\
             PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP\n",
            port + 1
        );
        fs::write(folder.0.join("slurm.conf"), config).unwrap();
        let mut slurm = Self { folder, parts: Vec::new() };
        let munge = [
            "key-file=munge.key",
            "socket=munge.socket",
            "pid-file=munge.pid",
            "log-file=munge.log",
            "seed-file=munge.seed",
        ];
        let munge: Vec<String> =
            munge.iter().map(|a| a.replacen('=', &format!("={at}/"), 1)).map(|a| format!("--{a}")).collect();
        slurm.part("munged", &[&["--force".into(), "--foreground".into()], &munge[..]].concat());
        wait("munge", || Path::new(&format!("{at}/munge.socket")).exists());
        slurm.part("slurmctld", &["-D".into()]);
        slurm.part("slurmd", &["-D".into()]);
        let idle = |s: &Self| {
            s.command("sinfo").args(["-h", "-o", "%T"]).output().is_ok_and(|o| o.stdout.starts_with(b"idle"))
        };
        wait("the node", || idle(&slurm));
        Some(slurm)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.folder.0.join("slurm.conf"));
        command
    }

    fn part(&mut self, program: &str, arguments: &[String]) {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.command(program);
        command.args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin"));
        self.parts.push(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    fn submit(&self, dir: &Path) {
        let mut command = rlx(dir, &["experiment", "run", "e.toml", "--engine", "slurm"]);
        let out = command.env("SLURM_CONF", self.folder.0.join("slurm.conf")).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(String::from_utf8_lossy(&out.stdout).contains("4 cells submitted"));
    }

    fn is_empty(&self) -> bool {
        self.command("squeue").arg("-h").output().is_ok_and(|o| o.status.success() && o.stdout.is_empty())
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for part in self.parts.iter_mut().rev() {
            let _ = part.kill();
            let _ = part.wait();
        }
    }
}

#[test]
fn slurm_runs_an_array_and_a_killed_cell_goes_on() {
    let Some(slurm) = Slurm::start() else {
        println!("{NO_SLURM}");
        return;
    };
    let dir = TempDir::new();
    let folder = odd(&dir, "a 100%A \"b\" 'c' #d $e");
    slurm.submit(&folder);
    wait("a checkpoint", || begun(&folder));
    assert!(kill_units(&folder) > 0, "a cell was being run");
    // The rest of the array is cancelled too: half of the experiment is then missing.
    slurm.command("scancel").args(["--user", "root"]).status().unwrap();
    wait("an empty queue", || slurm.is_empty());
    assert!(finished(&folder) < 4);
    let logs = fs::read_dir(folder.join("runs/experiments/e/submitted")).unwrap().flatten();
    let logs: Vec<String> = logs.map(|e| e.file_name().into_string().unwrap()).collect();
    assert!(
        logs.iter().any(|n| n.starts_with("slurm-") && n.ends_with("_0.log")),
        "c3: logs lie where the results are: {logs:?}"
    );
    slurm.submit(&folder);
    wait("the end", || finished(&folder) == 4);
    assert!(status(&folder).iter().any(|r| r["starts"].as_u64() > Some(1)), "a killed cell went on");
    wait("an empty queue", || slurm.is_empty());
}

#[test]
fn c1_a_cell_that_scancel_stops_is_saved() {
    let Some(slurm) = Slurm::start() else {
        println!("{NO_SLURM}");
        return;
    };
    let dir = TempDir::new();
    // Nothing but the stop itself saves.
    let long = SPEC.replace("40_000", "90_000_000").replace("= 2000", "= 80_000_000").replace("20_000", "80_000_000");
    fs::write(dir.0.join("e.toml"), long).unwrap();
    slurm.submit(&dir.0);
    wait("two cells at work", || rows(&dir.0) >= 2);
    slurm.command("scancel").args(["--user", "root"]).status().unwrap();
    wait("an empty queue", || slurm.is_empty());
    assert_eq!(count(&dir.0, "interrupted"), 2, "{:?}", status(&dir.0));
    let runs = fs::read_dir(dir.0.join("runs/experiments/e/runs")).unwrap().flatten();
    let saved: Vec<Vec<u64>> = runs.map(|r| crate::common::checkpoints(&r.path())).collect();
    assert!(saved.iter().filter(|steps| steps.len() == 1 && steps[0] > 0).count() == 2, "{saved:?}");
}

/// Runs that have learnt something.
fn rows(dir: &Path) -> usize {
    let runs = fs::read_dir(dir.join("runs/experiments/e/runs")).into_iter().flatten().flatten();
    runs.filter(|r| fs::metadata(r.path().join("metrics.jsonl")).is_ok_and(|m| m.len() > 0)).count()
}

const CLUSTER: &str = "
import sys, time
from hyperqueue import LocalCluster
from hyperqueue.cluster import WorkerConfig
cluster = LocalCluster(server_dir=sys.argv[1], worker_config=WorkerConfig(cores=2))
open(sys.argv[1] + '/ready', 'w').close()
time.sleep(600)
";

#[test]
fn hyperqueue_runs_a_task_for_each_cell_and_a_killed_cluster_loses_nothing() {
    let Some(python) = python_of("hyperqueue", "hyperqueue") else {
        println!("skipped: HyperQueue is not here (tools/engines.sh installs it)");
        return;
    };
    let dir = TempDir::new();
    make(&dir);
    let cluster = |name: &str| {
        let server = dir.0.join(name);
        fs::create_dir(&server).unwrap();
        let mut command = Command::new(&python);
        command.args(["-c", CLUSTER]).arg(&server).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        wait("the cluster", || server.join("ready").exists());
        let mut submit = rlx(&dir.0, &["experiment", "run", "e.toml", "--engine", "hyperqueue"]);
        // Without hq on the PATH the package of Python is used.
        let out =
            submit.env("PATH", "/usr/bin:/bin").env("PYTHON", &python).env("HQ_SERVER_DIR", &server).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        child
    };
    let mut first = cluster("first");
    wait("a checkpoint", || begun(&dir.0));
    first.kill().unwrap();
    first.wait().unwrap();
    kill_units(&dir.0);
    assert!(finished(&dir.0) < 4);
    let mut second = cluster("second");
    wait("the end", || finished(&dir.0) == 4);
    second.kill().unwrap();
    second.wait().unwrap();
    assert!(status(&dir.0).iter().any(|r| r["starts"].as_u64() > Some(1)), "a killed cell went on");
    assert!(run(&dir.0, &["experiment", "run", "e.toml", "-q"]).status.success(), "nothing is left");
}

/// A Ray of one node on loopback with one core, ended when it goes.
struct Ray {
    head: Child,
    folder: TempDir,
    bin: PathBuf,
    port: u32,
}

impl Ray {
    fn start() -> Option<Self> {
        let bin = python_of("ray", "ray")?.parent()?.to_owned();
        let (folder, port) = (TempDir::new(), ports());
        let mut command = Command::new(bin.join("ray"));
        command.args([
            "start",
            "--head",
            "--block",
            "--disable-usage-stats",
            "--num-cpus=1",
            "--object-store-memory=100000000",
        ]);
        command.args(["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", &format!("--port={port}")]);
        command.args([&format!("--dashboard-port={}", port + 1), &format!("--temp-dir={}", folder.0.display())]);
        // A job that is not begun in 10 s is FAILED: a job for each cell would lose most of them.
        command.env("RAY_JOB_START_TIMEOUT_SECONDS", "10").env_remove("RAY_ADDRESS");
        let head = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let ray = Self { head, folder, bin, port };
        wait("Ray", || ray.ask(&["job", "list"]).is_some());
        Some(ray)
    }

    /// The answer of a `ray` command; None where it failed.
    fn ask(&self, words: &[&str]) -> Option<String> {
        let out = Command::new(self.bin.join("ray")).args(words).env("RAY_ADDRESS", self.address()).output().unwrap();
        out.status.success().then(|| String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port + 1)
    }

    fn submit(&self, dir: &Path, more: &[&str]) -> std::process::Output {
        let args = [&["experiment", "run", "e.toml", "--engine", "ray", "--retry-failed"], more].concat();
        let path = format!("{}:/usr/bin:/bin", self.bin.display());
        rlx(dir, &args).env("PATH", path).env("RAY_ADDRESS", self.address()).output().unwrap()
    }
}

impl Drop for Ray {
    fn drop(&mut self) {
        // What it started ends with it.
        let _ = Command::new("kill").args(["-TERM", &self.head.id().to_string()]).status();
        for _ in 0..200 {
            if self.head.try_wait().is_ok_and(|s| s.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.head.kill();
        let _ = self.head.wait();
        let _ = &self.folder;
    }
}

#[test]
fn c2_ray_runs_more_cells_than_cores_for_longer_than_a_job_may_wait_and_loses_none() {
    let Some(ray) = Ray::start() else {
        println!("skipped: Ray is not here (tools/engines.sh installs it)");
        return;
    };
    let dir = TempDir::new();
    let folder = odd(&dir, "a b $c");
    // 20 s of work on one core; and one cell that fails, which stops no other.
    let spec = SPEC.replace("40_000", "150_000").replace("[0.9, 0.99]", "[0.9, 0.99, 0.999]");
    fs::write(folder.join("e.toml"), spec).unwrap();
    let out = ray.submit(&folder, &[]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("6 cells submitted") && said.contains("after 3 s"), "{said}");
    wait("a first row", || rows(&folder) > 0);
    // The worker of a cell dies: the run that it leaves saves, and goes on in another worker.
    let parent = |id: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let worker = fs::read_dir("/proc").unwrap().flatten().find_map(|e| {
        let words = fs::read_to_string(e.path().join("cmdline")).ok()?;
        let ours = words.starts_with(env!("CARGO_BIN_EXE_rlx")) && words.contains(&*folder.to_string_lossy());
        // The run, its keeper, the worker.
        if ours { parent(parent(e.file_name().to_str()?.parse().ok()?)?) } else { None }
    });
    signal(worker.expect("a worker is at work"), "-KILL");
    wait("the end", || finished(&folder) == 6);
    assert!(status(&folder).iter().any(|r| r["starts"].as_u64() > Some(1)), "{:?}", status(&folder));
    wait("the job's end", || ray.ask(&["job", "list"]).is_some_and(|list| list.contains("SUCCEEDED")));
}

#[test]
fn c5_parallel_is_judged_by_the_records_of_its_cells() {
    if !there("parallel") {
        println!("skipped: GNU parallel is not here (Debian's package parallel: tools/engines.sh)");
        return;
    }
    let dir = TempDir::new();
    let folder = odd(&dir, "a 'b' {} {#} $c");
    let args = ["experiment", "run", "e.toml", "--engine", "parallel", "--jobs", "1"];
    let child = rlx(&folder, &args).spawn().unwrap();
    wait("a first row", || rows(&folder) > 0);
    // As the shell of a terminal that goes: parallel (20221122) ends with 0 although cells were not run.
    let parallel = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    signal(parallel.split_whitespace().next().unwrap().parse().unwrap(), "-HUP");
    let out = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && error.contains("of 4 cells finished") && error.contains("not run"),
        "{error}"
    );
    assert!(ok(&folder, &args).contains("cells finished, 0 failed, 0 were not run"));
    assert_eq!(finished(&folder), 4);
}

#[test]
fn c5_a_sigterm_to_rlx_reaches_the_cells_that_parallel_runs() {
    if !there("parallel") {
        println!("skipped: GNU parallel is not here (Debian's package parallel: tools/engines.sh)");
        return;
    }
    let dir = TempDir::new();
    fs::write(dir.0.join("e.toml"), SPEC.replace("40_000", "90_000_000")).unwrap();
    let args = ["experiment", "run", "e.toml", "--engine", "parallel", "--jobs", "1"];
    let child = rlx(&dir.0, &args).spawn().unwrap();
    wait("a first row", || rows(&dir.0) > 0);
    signal(child.id(), "-TERM");
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(count(&dir.0, "interrupted"), 1, "{:?}", status(&dir.0));
}

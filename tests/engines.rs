//! Real clusters of one machine: Slurm (Debian's slurm-wlm and munge, as root) and HyperQueue (from PyPI). Cells are killed in the
//! middle and the same command goes on. Skipped, with a word, where the programs are not there.
use crate::common::{TempDir, fails, ok, rlx, run};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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

fn make(dir: &TempDir) {
    fs::write(dir.0.join("e.toml"), SPEC).unwrap();
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
    assert!(dry("ray", &[]).contains("ray job submit --no-wait --entrypoint-num-cpus 1 --"));
    assert!(!dir.0.join("runs").exists(), "nothing was made");
    assert!(fails(&dir.0, &["experiment", "run", "e.toml", "--dry-run"], 2).contains("other than local"));
    let mut bare = rlx(&dir.0, &["experiment", "run", "e.toml", "--engine", "slurm"]);
    let out = bare.env("PATH", "/nowhere").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && said.contains("sbatch is not on the PATH"), "{said}");
}

fn there(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin"].iter().any(|f| Path::new(f).join(program).exists())
}

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
        // Ports of this process's own, so that two tests of one machine do not meet.
        let port = 20_000 + std::process::id() % 20_000;
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
        println!("skipped: Slurm is not here (root, and Debian's packages slurm-wlm and munge are needed)");
        return;
    };
    let dir = TempDir::new();
    make(&dir);
    slurm.submit(&dir.0);
    wait("a checkpoint", || begun(&dir.0));
    assert!(kill_units(&dir.0) > 0, "a cell was being run");
    // The rest of the array is cancelled too: half of the experiment is then missing.
    slurm.command("scancel").args(["--user", "root"]).status().unwrap();
    wait("an empty queue", || slurm.is_empty());
    assert!(finished(&dir.0) < 4);
    let mut command = rlx(&dir.0, &["experiment", "run", "e.toml", "--engine", "slurm"]);
    let out = command.env("SLURM_CONF", slurm.folder.0.join("slurm.conf")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    wait("the end", || finished(&dir.0) == 4);
    assert!(status(&dir.0).iter().any(|r| r["starts"].as_u64() > Some(1)), "a killed cell went on");
    wait("an empty queue", || slurm.is_empty());
}

/// A Python with HyperQueue, in a throwaway environment beside the build's output.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hyperqueue-venv");
    let python = venv.join("bin/python");
    let works = || Command::new(&python).args(["-c", "import hyperqueue"]).output().is_ok_and(|o| o.status.success());
    if !works() {
        let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output();
        let install = ["-m", "pip", "install", "-q", "hyperqueue==0.27.0"];
        let made = made.is_ok_and(|o| o.status.success());
        if !made || !Command::new(&python).args(install).output().is_ok_and(|o| o.status.success()) || !works() {
            return None;
        }
    }
    Some(python)
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
    let Some(python) = python() else {
        println!("skipped: HyperQueue can not be installed here (python3 -m venv and pip are needed)");
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

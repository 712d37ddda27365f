//! Figures of the experiments' own speed, all by one command: `cargo test --release -p rlx-experiments --test rlx speed:: -- --ignored
//! --nocapture --test-threads 1`. They take minutes and want a machine that does nothing else, so they are run by name only.
use crate::common::{TempDir, ok, rlx};
use std::{
    fmt::Write as _,
    fs,
    io::{BufWriter, Write},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

/// What a command costs: seconds on the clock, seconds of CPU of all its processes, and the most memory of the first (MiB).
#[derive(Debug)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    memory_mib: f64,
}

/// CPU seconds of the processes that this one has waited for: user and system.
fn waited_for() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // cutime and cstime, in hundredths of a second: 16th and 17th of the line, whose name with its brackets is the 2nd.
    (fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap()) / 100.0
}

fn cost(dir: &Path, args: &[&str]) -> Cost {
    let (start, before, mut memory_mib) = (Instant::now(), waited_for(), 0.0f64);
    let mut child = rlx(dir, args).stdout(Stdio::null()).spawn().unwrap();
    let status = loop {
        let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        memory_mib = memory_mib.max(peak.unwrap_or(0.0) / 1024.0);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let wall_s = start.elapsed().as_secs_f64();
    assert!(status.success(), "{args:?}: {status}");
    Cost { wall_s, cpu_s: waited_for() - before, memory_mib }
}

/// The least of three.
fn best(dir: &Path, args: &[&str]) -> Cost {
    let all = (0..3).map(|_| cost(dir, args));
    all.min_by(|a, b| a.wall_s.total_cmp(&b.wall_s)).unwrap()
}

/// A row of a PPO run: 620 bytes, of which a report wants few.
fn row(out: &mut String, step: u32, value: f64) {
    let rest = "\"charts/episodic_length\":500.0,\"charts/episodes\":16.0,\"losses/policy_loss\":-0.0014088766436437528,\
        \"losses/value_loss\":87.66862770479665,\"losses/entropy\":1.0925536541690235,\"losses/approx_kl\":0.0009439200766792055,\
        \"losses/clip_fraction\":0.001220703125,\"losses/grad_norm\":14.882963008734524,\"losses/explained_variance\":-0.2207276309515498,\
        \"charts/learning_rate\":0.0002975424,\"charts/updates\":128.0,\"perf/steps_per_second\":119311.14012135073";
    let tail = "\"rollout/advantages\":{\"count\":4096,\"mean\":-13.28427831569934,\"std\":3.0206549963808107,\"min\":-17.123828887939453,\
        \"max\":1.1185461282730103},\"rollout/values\":{\"count\":4112,\"mean\":0.44460273655480254,\"std\":1.5346557557928502,\
        \"min\":-1.8221763372421265,\"max\":4.047208309173584}";
    let time = f64::from(step) / 119_311.0;
    let _ =
        writeln!(out, "{{\"step\":{step},\"charts/episodic_return\":{value},{rest},\"perf/elapsed_s\":{time},{tail}}}");
    if step.is_multiple_of(40_960) {
        let _ = writeln!(
            out,
            "{{\"step\":{step},\"eval/return\":{value},\"eval/length\":{value},\"perf/elapsed_s\":{time}}}"
        );
    }
}

const RUNS: &str = "format = 1
seeds = 50
[base]
algo = \"ppo\"
steps = 8
[grid]
env = [\"cartpole\", \"acrobot\"]
gamma = [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99]
[[metrics]]
name = \"charts/episodic_return\"
tasks.cartpole = { low = 0, high = 500, threshold = 300 }
tasks.acrobot = { low = 0, high = 500, threshold = 300 }
[[metrics]]
name = \"eval/return\"
";

#[test]
#[ignore = "a measurement of minutes that wants the machine for itself, and 6 GB of disk"]
fn a_report_over_1000_runs_of_10_000_rows_takes_under_10_seconds_and_little_memory() {
    let dir = TempDir::new();
    fs::write(dir.0.join("e.toml"), RUNS).unwrap();
    // Runs as the pool makes them, a few steps each; then their metrics are made long.
    ok(&dir.0, &["experiment", "run", "e.toml", "-q"]);
    let cells: Vec<serde_json::Value> =
        serde_json::from_str(&ok(&dir.0, &["experiment", "status", "e.toml", "--json"])).unwrap();
    assert_eq!(cells.len(), 1000);
    let folder = dir.0.join("runs/experiments/e");
    let mut rows = 0u64;
    for (i, cell) in cells.iter().enumerate() {
        let run = folder.join("runs").join(cell["run"].as_str().unwrap());
        let mut out = BufWriter::new(fs::File::create(run.join("metrics.jsonl")).unwrap());
        let mut text = String::new();
        for n in 1..=10_000u32 {
            text.clear();
            row(&mut text, n * 4096, 500.0 * f64::from(n) / (f64::from(n) + 500.0 + i as f64));
            rows += text.lines().count() as u64;
            out.write_all(text.as_bytes()).unwrap();
        }
        out.flush().unwrap();
    }
    println!(
        "report over {} runs, {rows} rows: {:.2?}",
        cells.len(),
        best(&dir.0, &["experiment", "report", "e.toml"])
    );
    let one = best(&dir.0, &["experiment", "report", "e.toml", "--json"]);
    println!("its figures alone: {one:.2?}");
    assert!(one.wall_s < 10.0 && one.memory_mib < 1024.0);
}

#[test]
#[ignore = "a measurement that wants the machine for itself"]
fn a_plan_of_100_000_cells_takes_under_a_second_and_little_memory() {
    let dir = TempDir::new();
    // 1000 seeds of 100 configs, and 100,000 configs of one seed.
    let list = |n: u32, scale: f64| (1..=n).map(|i| (f64::from(i) * scale).to_string()).collect::<Vec<_>>().join(", ");
    let base = "[base]\nenv = \"cartpole\"\nalgo = \"ppo\"\n[grid]\n";
    let few = format!("format = 1\nseeds = 1000\n{base}gamma = [{}]\n", list(100, 0.009));
    let many = format!(
        "format = 1\nseeds = 1\n{base}gamma = [{}]\nlearning_rate = [{}]\nepochs = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n",
        list(100, 0.009),
        list(100, 1e-5)
    );
    for (name, text) in [("few", few), ("many", many)] {
        fs::write(dir.0.join(format!("{name}.toml")), text).unwrap();
        let spec = format!("{name}.toml");
        let plan = ok(&dir.0, &["experiment", "plan", &spec]);
        assert!(plan.contains("100,000 runs"), "{plan}");
        let cost = best(&dir.0, &["experiment", "plan", &spec]);
        println!("plan of 100,000 cells, {name} configs: {cost:.2?}");
        assert!(cost.wall_s < 1.0 && cost.memory_mib < 512.0);
    }
}

#[test]
#[ignore = "a measurement that wants the machine for itself"]
fn the_pool_keeps_all_cores_busy_on_100_short_runs() {
    let dir = TempDir::new();
    let cores = std::thread::available_parallelism().unwrap().get() as f64;
    // Short: about two seconds each.
    let spec = "format = 1\nseeds = 10\n[base]\nalgo = \"ppo\"\nenv = \"cartpole\"\nsteps = 200_000\neval_every = 0\n[grid]\n\
                gamma = [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99]\n\
                [[metrics]]\nname = \"charts/episodic_return\"\n";
    fs::write(dir.0.join("e.toml"), spec).unwrap();
    let cost = cost(&dir.0, &["experiment", "run", "e.toml", "-q"]);
    let busy = cost.cpu_s / (cost.wall_s * cores);
    println!(
        "pool, 100 runs on {cores} cores: {cost:.2?}, {:.1} % busy, {:.2} s a run and core",
        100.0 * busy,
        cost.wall_s * cores / 100.0
    );
    assert!(busy > 0.95, "{:.1} %", 100.0 * busy);
}

//! Throughput as numbers with their spread: environments, learners, and the matrix products that a floor is stated in.
use crate::experiment::Experiment;
use crate::experiment::{Request, settings};
use crate::trained;
use anyhow::Result;
use rlx::{ActionBuffer, Registry, Rng, Scalars, Vector, config::choose};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A measured rate.
#[derive(Clone, Debug, Serialize)]
pub struct Rate {
    /// What was measured.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// Median of the repeats.
    pub median: f64,
    /// Slowest repeat.
    pub min: f64,
    /// Fastest repeat.
    pub max: f64,
    /// Number of repeats.
    pub repeats: usize,
    /// Threads.
    pub threads: usize,
    /// The same in units of what the machine's matrix products would allow, where that is known.
    pub of_floor: Option<f64>,
}

/// A benchmark as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is called on the command line.
    pub group: String,
    /// What its line says.
    pub name: String,
    /// The environment.
    pub env: String,
    /// The algorithm; none to step with random actions.
    pub algo: Option<String>,
    /// `key=value` over the defaults.
    #[serde(default)]
    pub set: Vec<String>,
    /// Environments a thread, where nothing learns.
    #[serde(default)]
    pub envs: usize,
    /// On one thread alone.
    #[serde(default)]
    pub one_thread: bool,
    /// Updates a step, where updates are what is counted.
    pub updates_per_step: Option<f64>,
    /// Floating-point operations a step, where the learner does not count them.
    pub flop_per_step: Option<f64>,
}

/// The benchmarks of a registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    case: Vec<Case>,
}

impl Cases {
    /// Adds those of a file: `[[case]]` tables.
    ///
    /// # Panics
    /// When it is none: a mistake of the program, found at its first start.
    pub fn add(&mut self, file: &str) {
        let more: Self = toml::from_str(file).unwrap_or_else(|e| panic!("the file of benchmarks: {e}"));
        self.case.extend(more.case);
    }
    /// Their groups, each once.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let first = |i: usize| self.case[..i].iter().all(|c| c.group != self.case[i].group);
        (0..self.case.len()).filter(move |i| first(*i)).map(|i| self.case[i].group.as_str())
    }
}

/// Environments a thread in the benchmark of environments: with their actions they fit the inner caches.
const ENVS: usize = 256;

fn rate(
    name: String,
    unit: &'static str,
    threads: usize,
    repeats: usize,
    mut once: impl FnMut() -> Result<f64>,
) -> Result<Rate> {
    once()?; // warms caches, and the allocator
    let mut rates = (0..repeats.max(1)).map(|_| once()).collect::<Result<Vec<f64>>>()?;
    rates.sort_by(f64::total_cmp);
    let (min, max) = (rates[0], rates[rates.len() - 1]);
    Ok(Rate { name, unit, median: rlx::quantile(&rates, 0.5), min, max, repeats: rates.len(), threads, of_floor: None })
}

/// On how many threads something is measured.
fn threads(one: bool) -> Vec<usize> {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        cores if cores > 1 && !one => vec![1, cores],
        _ => vec![1],
    }
}

/// Runs the named groups, all when none is named, handing over each rate as it is known.
///
/// # Errors
/// When a name is unknown, or an environment fails.
pub fn run(registry: &Registry, names: &[String], repeats: usize, each: &mut dyn FnMut(&Rate)) -> Result<Vec<Rate>> {
    let none = Cases::default();
    let cases = registry.extension::<Cases>().unwrap_or(&none);
    let known = || {
        ["matmul", "envs"].into_iter().chain(cases.groups()).chain(registry.worlds().iter().map(|w| w.name.as_str()))
    };
    let names: Vec<String> =
        names.iter().map(|n| choose("benchmark", n, known()).map(str::to_owned)).collect::<rlx::Result<_>>()?;
    let wanted = |n: &str| names.is_empty() || names.iter().any(|w| w == n);
    let mut out = Vec::new();
    let mut add = |r: Rate| {
        each(&r);
        out.push(r);
    };
    let flops = matmul(repeats)?;
    if wanted("matmul") {
        add(flops.clone());
    }
    for world in registry.worlds() {
        // A model that was not fetched is no reason to measure nothing; asked for by its name it is.
        let there = names.contains(&world.name) || world.spec(&world.keys.defaults()).is_ok();
        if there && (wanted("envs") || names.contains(&world.name)) {
            for threads in threads(false) {
                let n = if threads == 1 { ENVS } else { 4 * ENVS * threads };
                let mut envs = world.vector(&world.keys.defaults(), n, 0)?;
                add(stepping(&format!("{} steps", world.name), &mut *envs, threads, repeats)?);
            }
        }
    }
    for case in cases.case.iter().filter(|c| wanted(&c.group)) {
        let algo = case.algo.as_deref().map(|a| registry.find_algo(a).is_ok());
        if registry.find_world(&case.env).is_err() || algo == Some(false) {
            continue;
        }
        for threads in threads(case.one_thread) {
            for rate in measured(registry, case, threads, repeats, flops.median)? {
                add(rate);
            }
        }
    }
    Ok(out)
}

fn stepping(name: &str, envs: &mut dyn Vector, threads: usize, repeats: usize) -> Result<Rate> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    rate(name.into(), "steps/s", threads, repeats, || pool.install(|| steps_per_second(envs)))
}

fn measured(registry: &Registry, case: &Case, threads: usize, repeats: usize, gflops: f64) -> Result<Vec<Rate>> {
    let Some(algo) = &case.algo else {
        let world = registry.find_world(&case.env)?;
        let config = settings(world, &world.keys.defaults(), &case.set)?;
        let mut envs = world.vector(&config, case.envs * threads, 0)?;
        return Ok(vec![stepping(&case.name, &mut *envs, threads, repeats)?]);
    };
    let request = Request {
        env: Some(case.env.clone()),
        algo: Some(algo.clone()),
        preset: Some("none".into()),
        set: case.set.clone(),
        ..Request::default()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let experiment = Experiment::new(registry, &request)?;
    if let Some(flop) = case.flop_per_step {
        let (mut end_to_end, mut updates) = learning(&experiment, &case.name, repeats)?;
        end_to_end.of_floor = Some(end_to_end.median / (gflops * 1e9 / flop));
        updates.of_floor = None;
        return Ok(vec![end_to_end, updates]);
    }
    let mut made = pool.install(|| steps_learnt(&experiment, &case.name, threads, repeats, gflops))?;
    if let Some(updates) = case.updates_per_step {
        [&mut made.median, &mut made.min, &mut made.max].into_iter().for_each(|x| *x *= updates);
        made.unit = "updates/s";
    }
    Ok(vec![made])
}

/// Steps per second of acting and learning; the floor is the time that the networks' floating-point operations, counted as
/// they are made, take at `gflops` a second and thread.
fn steps_learnt(experiment: &Experiment, name: &str, threads: usize, repeats: usize, gflops: f64) -> Result<Rate> {
    let (mut learner, mut envs) = trained::make(experiment)?;
    let mut log = Scalars::default();
    let mut shares = Vec::new();
    let iterate = |learner: &mut Box<dyn rlx::Learner>, envs: &mut Box<dyn Vector>, log: &mut Scalars| -> Result<u64> {
        log.clear();
        let steps = learner.iterate(&mut **envs, log)?;
        envs.episodes().clear();
        Ok(steps)
    };
    // A game is some eighty plies: after a hundred ticks games end as they do later. A replay fills before it is learnt from.
    for i in 0..1000 {
        iterate(&mut learner, &mut envs, &mut log)?;
        if i >= 3 && log.get("perf/gflop").unwrap_or(0.0) > 0.0 {
            break;
        }
    }
    let mut all = rate(name.into(), "frames/s", threads, repeats, || {
        let (start, mut steps, mut gflop) = (Instant::now(), 0, 0.0);
        while start.elapsed() < Duration::from_millis(1500) {
            steps += iterate(&mut learner, &mut envs, &mut log)?;
            gflop += log.get("perf/gflop").unwrap_or(0.0);
        }
        let seconds = start.elapsed().as_secs_f64();
        shares.push(gflop / (gflops * threads as f64) / seconds);
        Ok(steps as f64 / seconds)
    })?;
    shares.remove(0);
    shares.sort_by(f64::total_cmp);
    all.of_floor = Some(rlx::quantile(&shares, 0.5));
    Ok(all)
}

/// Products of 512 x 512 matrices of floats on one thread, in GFLOP/s: what a floating-point floor is stated in. The faster of
/// libtorch's and the native ones: on some machines libtorch leaves half of the vector registers unused.
fn matmul(repeats: usize) -> Result<Rate> {
    const N: usize = 512;
    rlx_nn::threads::set(1);
    let a = tch::Tensor::rand([N as i64, N as i64], (tch::Kind::Float, tch::Device::Cpu));
    let b = tch::Tensor::rand([N as i64, N as i64], (tch::Kind::Float, tch::Device::Cpu));
    let mut c = tch::Tensor::zeros([N as i64, N as i64], (tch::Kind::Float, tch::Device::Cpu));
    let gflops = |seconds: f64| 50.0 * 2.0 * (N as f64).powi(3) / seconds / 1e9;
    let torch = rate("matmul 512 x 512 x 512".into(), "GFLOP/s", 1, repeats, || {
        let start = Instant::now();
        for _ in 0..50 {
            c = a.matmul(&b);
        }
        Ok(gflops(start.elapsed().as_secs_f64()))
    })?;
    let (x, y) = (vec![0.3; N * N], vec![0.7; N * N]);
    let mut z = vec![0.0; N * N];
    let native = rate("matmul 512 x 512 x 512, native".into(), "GFLOP/s", 1, repeats, || {
        let start = Instant::now();
        for _ in 0..50 {
            rlx_nn::native::product(&x, &y, &mut z, N);
        }
        Ok(gflops(start.elapsed().as_secs_f64()))
    })?;
    Ok(if native.median > torch.median { native } else { torch })
}

/// Steps per second with random actions for a quarter of a second, episodes restarting by themselves.
fn steps_per_second(envs: &mut dyn Vector) -> Result<f64> {
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    let (spec, n) = (envs.spec().clone(), envs.len());
    let mut rng = Rng::named(0, "bench", 0);
    let rows = n * spec.rows;
    // Where nothing restricts the actions they are drawn before the clock starts.
    let free = spec.candidates.is_none() && slab.frame(0).mask.iter().all(|m| *m);
    let mut actions: Vec<ActionBuffer> =
        (0..if free { 16 } else { 1 }).map(|_| ActionBuffer::new(&spec.act, rows)).collect();
    for a in &mut actions {
        rlx::random_actions(&spec, slab.frame(0).with_candidates(envs.candidates()), &mut rng, a);
    }
    let (start, mut steps, mut t) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_millis(250) {
        for _ in 0..32 {
            if !free {
                rlx::random_actions(
                    &spec,
                    slab.frame(t % 2).with_candidates(envs.candidates()),
                    &mut rng,
                    &mut actions[0],
                );
            }
            envs.step(actions[t % actions.len()].get(), slab.frame_mut((t + 1) % 2))?;
            t += 1;
            steps += n;
        }
        envs.episodes().clear();
    }
    Ok(steps as f64 / start.elapsed().as_secs_f64())
}

/// Environment steps and learner updates per second, end to end on one thread.
fn learning(experiment: &Experiment, name: &str, repeats: usize) -> Result<(Rate, Rate)> {
    let (mut learner, mut envs) = trained::make(experiment)?;
    let mut log = Scalars::default();
    let mut updates = Vec::new();
    let end_to_end = rate(format!("{name} end to end"), "transitions/s", 1, repeats, || {
        let before = log.get("charts/updates").unwrap_or(0.0);
        let (start, mut steps) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(1000) {
            log.clear();
            steps += learner.iterate(&mut *envs, &mut log)?;
            envs.episodes().clear();
        }
        let seconds = start.elapsed().as_secs_f64();
        updates.push((log.get("charts/updates").unwrap_or(0.0) - before) / seconds);
        Ok(steps as f64 / seconds)
    })?;
    updates.remove(0);
    updates.sort_by(f64::total_cmp);
    let all = Rate {
        name: format!("{name} updates"),
        unit: "updates/s",
        median: rlx::quantile(&updates, 0.5),
        min: updates[0],
        max: updates[updates.len() - 1],
        ..end_to_end.clone()
    };
    Ok((end_to_end, all))
}

/// A rate as a line of text.
pub fn line(rate: &Rate) -> String {
    let short = |x: f64| match x {
        x if x >= 1e6 => format!("{:.2} M", x / 1e6),
        x if x >= 1e3 => format!("{:.1} k", x / 1e3),
        x => format!("{x:.1} "),
    };
    let floor = rate.of_floor.map_or(String::new(), |f| format!("  {:.0} % of the floating-point floor", f * 100.0));
    format!(
        "{:32} {:>9}{}  ({} to {}, {} repeats, {} thread{}){floor}",
        rate.name,
        short(rate.median),
        rate.unit,
        short(rate.min),
        short(rate.max),
        rate.repeats,
        rate.threads,
        if rate.threads == 1 { "" } else { "s" }
    )
}

//! `rlx bench`: throughput as numbers with their spread.
use crate::{
    experiment::{Experiment, Request},
    train,
};
use anyhow::Result;
use rlx::{ActionBuffer, Registry, Rng, Scalars, Vector, config::choose};
use serde::Serialize;
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

/// Groups of benchmarks.
pub const GROUPS: [&str; 9] =
    ["matmul", "envs", "manipulation", "ppo-10x64", "ppo-4x256", "dmc", "idrl", "dmc-512", "sac-256"];

/// Worlds with costly steps, and the robot at work in them.
const MANIPULATION: [(&str, &str); 4] =
    [("reach", "gantry"), ("push", "gantry"), ("pick-place", "gantry"), ("pick-place", "panda")];

/// Worlds a thread in the benchmark of worlds: with their actions they fit the inner caches.
const WORLDS: usize = 256;

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
    Ok(Rate {
        name,
        unit,
        median: crate::stats::quantile(&rates, 0.5),
        min,
        max,
        repeats: rates.len(),
        threads,
        of_floor: None,
    })
}

/// Runs the named groups, all when none is named, handing over each rate as it is known.
///
/// # Errors
/// When a name is unknown, or a world fails.
pub fn run(registry: &Registry, names: &[String], repeats: usize, mut each: impl FnMut(&Rate)) -> Result<Vec<Rate>> {
    let known = || GROUPS.into_iter().chain(registry.worlds().iter().map(|w| w.name.as_str()));
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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for world in registry.worlds() {
        // A model that was not fetched is no reason to measure nothing; asked for by its name it is.
        let there = names.contains(&world.name) || world.spec(&world.keys.defaults()).is_ok();
        if there && (wanted("envs") || names.contains(&world.name)) {
            for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
                let name = format!("{} steps", world.name);
                let mut envs = world.vector(
                    &world.keys.defaults(),
                    if threads == 1 { WORLDS } else { 4 * WORLDS * threads },
                    0,
                )?;
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
                add(rate(name, "steps/s", threads, repeats, || pool.install(|| steps_per_second(&mut *envs)))?);
            }
        }
    }
    for (name, robot) in MANIPULATION.iter().filter(|_| wanted("manipulation")) {
        let Ok(world) = registry.find_world(name) else { continue };
        for threads in 1..=cores.min(2) {
            let mut config = world.keys.defaults();
            config.insert("robot".into(), (*robot).into());
            let mut envs = world.vector(&config, 8 * threads, 0)?;
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            let name = format!("{name} {robot} control steps");
            add(rate(name, "steps/s", threads, repeats, || pool.install(|| steps_per_second(&mut *envs)))?);
        }
    }
    for (name, epochs, minibatch) in [("ppo-10x64", 10, 64), ("ppo-4x256", 4, 256)] {
        if wanted(name) && registry.find_world("cartpole").is_ok() && registry.find_algo("ppo").is_ok() {
            let set = [("num_envs", 8), ("num_steps", 128), ("epochs", epochs), ("minibatch_size", minibatch)];
            let request = Request {
                env: Some("cartpole".into()),
                algo: Some("ppo".into()),
                preset: Some("none".into()),
                set: set.iter().map(|(k, v)| format!("{k}={v}")).collect(),
                ..Request::default()
            };
            let experiment = Experiment::new(registry, &request)?;
            let (mut end_to_end, mut updates) = learning(&experiment, name, repeats)?;
            // Multiply-adds of 4-64-64-2 and 4-64-64-1: a forward pass to act, one of the critic, and three for each update.
            let (actor, critic) = (4 * 64 + 64 * 64 + 64 * 2, 4 * 64 + 64 * 64 + 64);
            let flop = 2.0 * f64::from(actor + critic) * (1.0 + 3.0 * f64::from(epochs));
            end_to_end.of_floor = Some(end_to_end.median / (flops.median * 1e9 / flop));
            updates.of_floor = None;
            add(end_to_end);
            add(updates);
        }
    }
    // The sizes of DouZero's network (arXiv 2106.06135): five layers of 512 after the move has joined, without its recurrent layer.
    let douzero = ["hidden=512", "head=512", "layers=2", "head_layers=4"];
    for (name, algo, set) in [("dmc", "dmc", &[][..]), ("idrl", "idrl", &[]), ("dmc-512", "dmc", &douzero)] {
        if wanted(name) && registry.find_world("red10").is_ok() && registry.find_algo(algo).is_ok() {
            for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
                let request = Request {
                    env: Some("red10".into()),
                    algo: Some(algo.into()),
                    preset: Some("none".into()),
                    set: set.iter().map(|s| (*s).into()).collect(),
                    ..Request::default()
                };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
                let experiment = Experiment::new(registry, &request)?;
                add(pool.install(|| steps_learnt(&experiment, name, threads, repeats, flops.median))?);
            }
        }
    }
    // 256 x 256, batches of 256, so many updates a step that the worlds hardly count.
    if wanted("sac-256") && registry.find_world("pick-place").is_ok() && registry.find_algo("sac").is_ok() {
        for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
            let set = ["num_envs=8", "num_steps=4", "utd=2", "learning_starts=1000", "buffer_size=100000"];
            let request = Request {
                env: Some("pick-place".into()),
                algo: Some("sac".into()),
                preset: Some("none".into()),
                set: set.iter().map(|s| (*s).into()).collect(),
                ..Request::default()
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            let experiment = Experiment::new(registry, &request)?;
            let per_step = 2.0;
            let mut made =
                pool.install(|| steps_learnt(&experiment, "sac-256 updates", threads, repeats, flops.median))?;
            for x in [&mut made.median, &mut made.min, &mut made.max] {
                *x *= per_step;
            }
            made.unit = "updates/s";
            add(made);
        }
    }
    Ok(out)
}

/// Steps per second of acting and learning; the floor is the time that the networks' floating-point operations, counted as
/// they are made, take at `gflops` a second and thread.
fn steps_learnt(experiment: &Experiment, name: &str, threads: usize, repeats: usize, gflops: f64) -> Result<Rate> {
    let (mut learner, mut envs) = train::make(experiment)?;
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
    all.of_floor = Some(crate::stats::quantile(&shares, 0.5));
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
    let (mut learner, mut envs) = train::make(experiment)?;
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
        median: crate::stats::quantile(&updates, 0.5),
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

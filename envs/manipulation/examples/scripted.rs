//! How often the scripted policy of each world succeeds, one episode for each of many seeds:
//! `cargo run --release -p rlx-manipulation --example scripted -- [--seeds 200] [--seed 424242] [--set key=value]... [WORLD]...`.
use rlx::{ActionBuffer, Registry, Rng, Table, Vector};
use std::time::Instant;

/// Seed of the vectors: its streams are held out. Scripts are tuned on others: `--seed 10000`.
const SEED: u64 = 424_242;

fn main() -> rlx::Result<()> {
    let mut registry = Registry::new();
    rlx_manipulation::register(&mut registry);
    let (mut seeds, mut seed, mut sets, mut names) = (200, SEED, Vec::new(), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => seeds = args.next().and_then(|n| n.parse().ok()).unwrap_or(seeds),
            "--seed" => seed = args.next().and_then(|n| n.parse().ok()).unwrap_or(seed),
            "--set" => sets.extend(args.next()),
            _ => names.push(arg),
        }
    }
    for world in registry.worlds().iter().filter(|w| names.is_empty() || names.contains(&w.name)) {
        let mut table = Table::new();
        for set in &sets {
            let (key, text) = set.split_once('=').unwrap_or((set, ""));
            let value = match world.keys.get(key) {
                Some(known) => known.parse(text)?,
                None => text.into(),
            };
            table.insert(key.into(), value);
        }
        play(&world.name, world.vector(&table, seeds, seed)?)?;
    }
    Ok(())
}

/// One episode of each world of the vector.
fn play(name: &str, mut worlds: Box<dyn Vector>) -> rlx::Result<()> {
    let (spec, n) = (worlds.spec().clone(), worlds.len());
    let mut slab = worlds.slab(2);
    worlds.reset(slab.frame_mut(0));
    let mut act = ActionBuffer::new(&spec.act, n);
    let all: Vec<u32> = (0..n as u32).collect();
    let mut rngs: Vec<Rng> = all.iter().map(|i| Rng::stream(1, u64::from(*i))).collect();
    let (start, mut ticks, mut lengths) = (Instant::now(), 0, 0);
    let mut seen = vec![false; n];
    let (mut solved, mut once, mut failed) = (0.0, 0.0, Vec::new());
    while seen.contains(&false) {
        worlds.bot(0, &all, &mut rngs, act.get_mut())?;
        ticks += 1;
        worlds.step(act.get(), slab.frame_mut(ticks % 2))?;
        let ended = worlds.episodes();
        for (i, world) in
            ended.worlds.iter().map(|w| *w as usize).enumerate().filter(|(_, w)| !seen[*w]).collect::<Vec<_>>()
        {
            seen[world] = true;
            lengths += ended.lengths[i];
            let metric = |name| ended.metrics[i].get(name);
            let success = metric("success").unwrap_or(0.0);
            solved += success;
            once += metric("success_once").unwrap_or(success);
            if success == 0.0 {
                failed.push(world);
            }
        }
        ended.clear();
    }
    let percent = |k: f64| 100.0 * k / n as f64;
    println!(
        "{name:13} success {:5.1} %, at any time {:5.1} %, {:5.1} steps, {:6.0} steps/s, failed {failed:?}",
        percent(solved),
        percent(once),
        f64::from(lengths) / n as f64,
        (ticks * n) as f64 / start.elapsed().as_secs_f64(),
    );
    Ok(())
}

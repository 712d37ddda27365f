//! Steps per second of CartPole through the vector path, dynamics, resets and episode records included:
//! `cargo run --release -p rlx-classic --example speed`.
use rlx::{Actions, Rng, VecEnv, Vector};
use rlx_classic::{CartPole, cartpole::Config};
use std::time::Instant;

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    for (threads, batches) in [(1, &[1, 8, 64, 1024, 4096][..]), (cores, &[4096, 16384, 65536])] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        for &n in batches {
            let mut rates: Vec<f64> = (0..9).map(|_| pool.install(|| rate(n))).collect();
            rates.sort_by(f64::total_cmp);
            println!(
                "{threads:3} threads, {n:5} worlds: median {:6.1} M steps/s ({:.1} to {:.1})",
                rates[4], rates[0], rates[8]
            );
        }
    }
}

/// Millions of steps per second, the worlds playing random actions that were drawn before.
fn rate(n: usize) -> f64 {
    // Large batches are cut into few tasks: a step takes about 25 ns, waking a thread some microseconds.
    let mut worlds = VecEnv::new(n, 0, || CartPole::new(&Config::default())).grain(n.max(2048) / 2);
    let mut slab = worlds.slab(2);
    worlds.reset(slab.frame_mut(0));
    let mut rng = Rng::stream(0, 0);
    let acts: Vec<Vec<i64>> = (0..64).map(|_| (0..n).map(|_| rng.below(2) as i64).collect()).collect();
    let ticks = 4_000_000 / n;
    let start = Instant::now();
    for t in 0..ticks {
        worlds.step(Actions::Discrete(&acts[t % 64]), slab.frame_mut(t % 2)).expect("legal actions");
        if t % 64 == 0 {
            worlds.episodes().clear();
        }
    }
    (ticks * n) as f64 / start.elapsed().as_secs_f64() / 1e6
}

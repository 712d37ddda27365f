//! Control steps per second of one world on one thread by the wall clock: the fastest
//! and the median of chunks of one episode: `cargo run --release -p rlx-manipulation --example speed`.
use rlx::{ActionBuffer, Registry, Rng, Table, random_actions};
use std::time::Instant;

fn main() -> rlx::Result<()> {
    let mut registry = Registry::new();
    rlx_manipulation::register(&mut registry);
    for (world, robot) in
        [("reach", ""), ("push", ""), ("pick-place", ""), ("stack", ""), ("reach", "panda"), ("pick-place", "panda")]
    {
        let Ok(found) = registry.find_world(world) else { continue };
        let mut table = Table::new();
        if !robot.is_empty() {
            table.insert("robot".into(), robot.into());
        }
        let mut worlds = found.vector(&table, 1, 0)?;
        let (spec, mut slab, mut rng) = (worlds.spec().clone(), worlds.slab(2), Rng::stream(0, 0));
        worlds.reset(slab.frame_mut(0));
        let mut act = ActionBuffer::new(&spec.act, 1);
        let mut rates = Vec::new();
        for _ in 0..300 {
            let start = Instant::now();
            for t in 0..50 {
                random_actions(&spec, slab.frame(t % 2), &mut rng, &mut act);
                worlds.step(act.get(), slab.frame_mut((t + 1) % 2))?;
            }
            rates.push(50.0 / start.elapsed().as_secs_f64());
            worlds.episodes().clear();
        }
        rates.sort_by(f64::total_cmp);
        println!("{world:12} {robot:6} fastest {:7.0}, median {:7.0} steps/s", rates[299], rates[150]);
    }
    Ok(())
}

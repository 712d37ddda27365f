use rlx::*;
fn main() {
    let r = rlx_python::worlds();
    let w = r.find_world("cartpole").unwrap();
    for n in [1024usize] {
        let mut v = w.vector(&Table::new(), n, 0).unwrap();
        let mut slab = v.slab(1);
        v.reset(slab.frame_mut(0));
        let acts: Vec<Vec<i64>> =
            (0..8).map(|k| (0..n).map(|i| ((i * 7919 + k * 31) % 13 % 2) as i64).collect()).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            for _ in 0..3 {
                let t = std::time::Instant::now();
                for i in 0..2000 {
                    v.step(Actions::Discrete(&acts[i % 8]), slab.frame_mut(0)).unwrap();
                    v.episodes().clear();
                }
                println!("{n}: {} M/s", (2000 * n) as f64 / t.elapsed().as_secs_f64() / 1e6);
            }
        });
    }
}

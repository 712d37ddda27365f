//! How many threads libtorch uses, and its random numbers.

/// Gives libtorch `threads` threads for an operation. Small networks run slower with more than one.
pub fn set(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
}

/// Does something with one thread: its sums have one order then, and small networks are through sooner.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    let before = tch::get_num_threads();
    tch::set_num_threads(1);
    let done = work();
    tch::set_num_threads(before);
    done
}

/// Seeds torch's own generator from (seed, iteration): its state cannot be saved, so whoever draws from it reseeds at every
/// iteration, and a resumed run draws the same numbers.
pub fn seed(seed: u64, iteration: u64) {
    let bits = rlx::Rng::named(seed, "torch", iteration).bits();
    tch::manual_seed((bits >> 1) as i64);
}

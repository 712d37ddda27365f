//! What the scripted policy of a world sees and does, step by step: `cargo run --release -p rlx-manipulation --example trace -- WORLD
//! [--seed N] [key=value]...` (fields of one scalar triple each, the action last).
use rlx::{ActionBuffer, Registry, Rng, Table, Vector};

fn main() -> rlx::Result<()> {
    let mut registry = Registry::new();
    rlx_manipulation::register(&mut registry);
    let (mut name, mut seed, mut table) = (String::from("reach"), 0u64, Table::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.split_once('=') {
            _ if arg == "--seed" => seed = args.next().and_then(|n| n.parse().ok()).unwrap_or(0),
            Some((key, text)) => drop(table.insert(key.into(), text.into())),
            None => name = arg,
        }
    }
    // World i of the vector of the scripted example is its seed i.
    let mut envs = registry.find_world(&name)?.vector(&table, seed as usize + 1, 424_242)?;
    let (n, spec) = (envs.len(), envs.spec().clone());
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    let mut act = ActionBuffer::new(&spec.act, n);
    let mut rngs: Vec<Rng> = (0..n as u64).map(|i| Rng::named(0, "trace", i)).collect();
    let all: Vec<u32> = (0..n as u32).collect();
    for t in 0..spec.time_limit.unwrap_or(100) as usize {
        envs.bot(0, &all, &mut rngs, act.get_mut())?;
        let w = spec.obs.width();
        let row = slab.frame(t % 2).obs.slice((n - 1) * w..n * w).f32()?.to_vec();
        let shown = spec.fields.iter().filter(|f| !f.name.contains("vel") && !f.name.contains("rel"));
        let text: Vec<String> = shown
            .map(|f| format!("{} {}", f.name, row[f.range.clone()].iter().map(|x| format!("{x:.3}")).collect::<Vec<_>>().join(",")))
            .collect();
        let ActionBuffer::Continuous(a) = &act else { return Ok(()) };
        let k = a.len() / n;
        println!("{t:3} {} | {:.2?}", text.join("  "), &a[(n - 1) * k..]);
        envs.step(act.get(), slab.frame_mut((t + 1) % 2))?;
        if slab.frame((t + 1) % 2).status[n - 1] != rlx::Status::Running {
            println!("{:?}", slab.frame((t + 1) % 2).status[n - 1]);
            break;
        }
    }
    Ok(())
}

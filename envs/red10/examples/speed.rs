//! Steps a second on one core: random play of the engine alone, and with observations and candidates written. Medians of 7.
use rlx::{Env, Rng, View};
use rlx_red10::{Config, Game, Red10, Rules, Seat, bots, world};
use std::time::Instant;

fn median(name: &str, unit: &str, mut f: impl FnMut() -> u64) {
    let mut rates: Vec<f64> = (0..7)
        .map(|_| {
            let t = Instant::now();
            let n = f();
            n as f64 / t.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("{name}: {:.3} M {unit}/s ({:.3} to {:.3})", rates[3] / 1e6, rates[0] / 1e6, rates[6] / 1e6);
}

fn main() {
    for (name, rules) in [("paper", Rules::paper()), ("folk4", Rules::folk4())] {
        let mut rng = Rng::stream(1, 1);
        let mut game = Game::deal(&rules, &mut rng);
        let mut legal = Vec::with_capacity(512);
        let (mut plies, mut games, mut moves) = (0u64, 0u64, 0u64);
        median(&format!("{name}, engine and legal moves"), "steps", || {
            let start = plies;
            while plies - start < 5_000_000 {
                if game.is_over() {
                    game.redeal(&mut rng);
                    games += 1;
                }
                game.legal(&mut legal);
                moves += legal.len() as u64;
                let m = legal[rng.below(legal.len())];
                game.play(m);
                plies += 1;
            }
            plies - start
        });
        println!(
            "  {:.1} plies a game, {:.2} legal moves a ply",
            plies as f64 / games as f64,
            moves as f64 / plies as f64
        );
    }
    let mut world = Red10::new(&Config::default());
    let spec = world.spec();
    let mut rng = Rng::stream(2, 2);
    let mut obs = vec![0u8; spec.obs.width()];
    let (mut seat, mut pay) = ([0u8], [0f32; 4]);
    let mut rows = Vec::with_capacity(8192);
    let mut counts = Vec::with_capacity(8);
    world.reset(&mut rng, View { obs: &mut obs, mask: &mut [], seat: &mut seat });
    median("world: observation and candidates, bytes", "steps", || {
        for _ in 0..2_000_000 {
            rows.clear();
            counts.clear();
            world.candidates(&mut rows, &mut counts);
            let a = rng.below(counts[0] as usize) as i64;
            let view = View { obs: &mut obs, mask: &mut [], seat: &mut seat };
            if world.step(&[a], &mut rng, view, &mut pay).expect("legal") != rlx::Status::Running {
                pay = [0.0; 4];
                world.reset(&mut rng, View { obs: &mut obs, mask: &mut [], seat: &mut seat });
            }
        }
        2_000_000
    });
    let mut greedy = bots::make("greedy").expect("a bot");
    let rules = Rules::paper();
    let mut game = Game::deal(&rules, &mut rng);
    let mut legal = Vec::new();
    let (mut won, mut played) = (0u32, 0u32);
    median("greedy", "steps", || {
        for _ in 0..20_000 {
            if game.is_over() {
                // Greedy is the team of seat 0.
                won += u32::from(game.payoff()[0] > 0.0);
                played += 1;
                game.redeal(&mut rng);
            }
            game.legal(&mut legal);
            let turn = game.turn();
            let i = if game.teammates(turn, 0) {
                greedy.think(Seat::new(&game, turn), &legal, &mut rng).choice
            } else {
                rng.below(legal.len())
            };
            game.play(legal[i]);
        }
        20_000
    });
    println!("  greedy against random by team: {won} of {played}");
    let _ = world::CANDIDATE;
}

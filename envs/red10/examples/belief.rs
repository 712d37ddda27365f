//! What the posterior costs and is worth, by particles and steps, in games between greedy players with noise; in the late game beside
//! the enumeration of all deals. `cargo run --release -p rlx-red10 --example belief [temperature] [games]`.
use rlx::Rng;
use rlx_red10::{
    Game, Move, Rules, SEATS, Sampler, Seat,
    posterior::{SoftGreedy, Track, exact, softmax},
};
use std::time::Instant;

fn draw(pi: &mut SoftGreedy, game: &Game, legal: &[Move], rng: &mut Rng) -> usize {
    let scores = pi.scores(Seat::new(game, game.turn()), legal);
    let mut left = rng.unit();
    for i in 0..legal.len() {
        left -= softmax(&scores, i, pi.temperature, pi.floor).exp();
        if left < 0.0 {
            return i;
        }
    }
    legal.len() - 1
}

#[derive(Default)]
struct Sums {
    n: f64,
    time: f64,
    loss: f64,
    prior: f64,
    exact: f64,
    apart: f64,
}

fn main() {
    let number = |i: usize, or: f64| std::env::args().nth(i).map_or(or, |t| t.parse().expect("a number"));
    let (temperature, games) = (number(1, 1.5), number(2, 60.0) as u64);
    let mut pi = SoftGreedy::new(temperature, 0.05).expect("above 0");
    let mut legal = Vec::new();
    for (particles, steps) in [(64, 1), (64, 2), (64, 4), (256, 1), (256, 4)] {
        let mut phases: [Sums; 4] = Default::default();
        for g in 0..games {
            let mut rng = Rng::stream(77, g);
            let mut game = Game::deal(&Rules::paper(), &mut rng);
            let mut track = Track::new(Sampler { particles, steps });
            let mut other = Rng::stream(5, g);
            while !game.is_over() {
                game.legal(&mut legal);
                let seat = Seat::new(&game, game.turn());
                if legal.len() > 1 && !seat.is_public() && game.turn() == g as usize % SEATS {
                    let t = Instant::now();
                    let p = track.posterior(seat, &mut pi, &mut other).expect("never fails");
                    let time = t.elapsed().as_secs_f64();
                    let played: u64 = (0..4).map(|s| game.played(s).total()).sum();
                    let late = seat.unseen().total() <= 14;
                    let counted = late.then(|| exact(seat, &mut pi, 20_000).expect("never fails")).flatten();
                    let s = &mut phases
                        [if counted.is_some() { 3 } else { usize::from(played >= 8) + usize::from(played >= 20) }];
                    s.n += 1.0;
                    s.time += time;
                    let (guess, prior) = (p.teammates(seat), seat.teammates(&seat.prior()));
                    let counted = counted.as_ref().unwrap_or(&p).teammates(seat);
                    for other in (0..SEATS).filter(|&s| s != seat.seat()) {
                        let truth = game.teammates(other, seat.seat());
                        let cost = |p: f64| -(if truth { p } else { 1.0 - p }).max(1e-6).ln() / 3.0;
                        s.loss += cost(guess[other]);
                        s.prior += cost(prior[other]);
                        s.exact += cost(counted[other]);
                        s.apart += (guess[other] - counted[other]).abs() / 3.0;
                    }
                }
                game.play(legal[draw(&mut pi, &game, &legal, &mut rng)]);
            }
        }
        for (name, s) in ["0 to 8", "8 to 20", "20 on", "at most 14 unseen"].iter().zip(&phases) {
            println!(
                "{particles:4} x {steps:2}, {name:17}: {:3} positions, {:6.2} ms, {:.3} nats, prior {:.3}, enumerated {:.3}, apart {:.3}",
                s.n,
                s.time / s.n * 1e3,
                s.loss / s.n,
                s.prior / s.n,
                s.exact / s.n,
                s.apart / s.n
            );
        }
    }
}

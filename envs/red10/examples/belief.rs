//! What the posterior costs and is worth, by particles and steps, in games between greedy players with noise.
use rlx::Rng;
use rlx_red10::{Game, Move, Rules, SEATS, Sampler, Seat, posterior::Track, posterior::{SoftGreedy, softmax}};
use std::time::Instant;

fn draw(pi: &mut SoftGreedy, game: &Game, legal: &[Move], rng: &mut Rng) -> usize {
    let scores = pi.scores(Seat::new(game, game.turn()), legal);
    let mut left = rng.unit();
    for i in 0..legal.len() {
        left -= softmax(&scores, i, pi.temperature, pi.floor).exp();
        if left < 0.0 { return i; }
    }
    legal.len() - 1
}

fn main() {
    let tau: f64 = std::env::args().nth(1).map_or(1.5, |t| t.parse().unwrap());
    let games: u64 = std::env::args().nth(2).map_or(60, |t| t.parse().unwrap());
    let mut pi = SoftGreedy::new(tau, 0.05).unwrap();
    let mut legal = Vec::new();
    for (particles, steps, keep) in [(64, 8, false), (64, 32, false), (64, 1, true), (64, 2, true), (64, 4, true), (64, 16, true), (256, 4, true), (256, 32, true)] {
        let (mut n, mut time, mut loss, mut prior, mut sq, mut total, mut m) = (0.0f64, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for g in 0..games {
            let mut rng = Rng::stream(77, g);
            let mut game = Game::deal(&Rules::paper(), &mut rng);
            let mut tracks: [Track; 4] = std::array::from_fn(|_| Track::new(Sampler { particles, steps }));
            while !game.is_over() {
                game.legal(&mut legal);
                let seat = Seat::new(&game, game.turn());
                let played: u64 = (0..4).map(|s| game.played(s).total()).sum();
                if legal.len() > 1 && !seat.is_public() && (keep || (20..32).contains(&played)) {
                    let t = Instant::now();
                    let mut r = Rng::stream(5, n as u64);
                    let p = if keep { tracks[game.turn()].posterior(seat, &mut pi, &mut r).unwrap() } else { Sampler { particles, steps }.posterior(seat, &mut pi, &mut r).unwrap() };
                    if !(20..32).contains(&played) { total += t.elapsed().as_secs_f64(); m += 1.0; }
                    else { let (guess, q) = (p.teammates(seat), seat.teammates(&seat.prior()));
                    let mut gain = 0.0;
                    for s in (0..SEATS).filter(|&s| s != seat.seat()) {
                        let truth = game.teammates(s, seat.seat());
                        let cost = |p: f64| -(if truth { p } else { 1.0 - p }).max(1e-6).ln() / 3.0;
                        loss += cost(guess[s]);
                        prior += cost(q[s]);
                        gain += cost(guess[s]) - cost(q[s]);
                    }
                    sq += gain * gain;
 n += 1.0; time += t.elapsed().as_secs_f64();}
                }
                game.play(legal[draw(&mut pi, &game, &legal, &mut rng)]);
            }
        }
        println!("{particles:4} {keep} x {steps:2}: {n} positions, {:.2} ms, {:.3} nats, prior {:.3}, se {:.3}, others {:.2} ms", time / n * 1e3, loss / n, prior / n, (sq / n).sqrt() / n.sqrt(), total / m * 1e3);
    }
}

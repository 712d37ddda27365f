//! What a seat must not know does not reach its rows; and what must hold in every game.
use rlx::Rng;
use rlx_red10::{Cards, Game, Kind, Rules, SEATS, Seat, bots, cards::TEN, world};

/// Another deal that agrees with all that `seat` knows: its own hand, the cards played, the number each holds, red tens shown and
/// still held, and the first leader's card. By rejection.
fn redeal(game: &Game, seat: usize, rng: &mut Rng) -> [Cards; SEATS] {
    let others: Vec<usize> = (0..SEATS).filter(|&s| s != seat).collect();
    let view = Seat::new(game, seat);
    let mut pool = Vec::new();
    let unseen = view.unseen();
    for r in 0..15 {
        for i in 0..unseen.count(r) {
            pool.push(if r == TEN && i < unseen.red() { Cards::RED_TEN } else { Cards::of(r, 1) });
        }
    }
    loop {
        rng.shuffle(&mut pool);
        let mut hands: [Cards; SEATS] = std::array::from_fn(|s| game.hand(s));
        let mut rest = pool.iter();
        for &s in &others {
            let n = game.hand(s).total();
            hands[s] = Cards(rest.by_ref().take(n as usize).map(|c| c.0).sum());
        }
        let shown = others.iter().all(|&s| hands[s].red() >= u64::from(view.shown_held(s)));
        // Who showed before the lead showed all; who was silent may still hold.
        let showed = |s: usize| game.history().iter().any(|p| p.play.kind == Kind::Show && usize::from(p.seat) == s);
        let silent = others.iter().all(|&s| !showed(s) || hands[s].red() == u64::from(view.shown_held(s)));
        let dealt: [Cards; SEATS] = std::array::from_fn(|s| Cards(hands[s].0 + game.played(s).0));
        let lead = match game.rules().leader {
            rlx_red10::rules::Leader::Seat0 => true,
            rlx_red10::rules::Leader::Heart3 => dealt[game.leader()].count(0) > 0,
            rlx_red10::rules::Leader::Heart4 => dealt[game.leader()].count(1) > 0,
        };
        if shown && silent && lead {
            return dealt;
        }
    }
}

/// The same public history over other hands.
fn replay(game: &Game, dealt: [Cards; SEATS]) -> Game {
    let mut other = Game::from_hands(game.rules(), dealt, game.leader() as u8).unwrap();
    let mut history = game.history().iter().peekable();
    let mut legal = Vec::new();
    while other.asking() {
        let turn = other.turn();
        let shows = history.peek().is_some_and(|p| p.play.kind == Kind::Show && usize::from(p.seat) == turn);
        other.legal(&mut legal);
        other.play(legal[usize::from(!shows)]);
        if shows {
            history.next();
        }
    }
    history.for_each(|p| other.play(p.play));
    other
}

#[test]
fn no_byte_of_a_row_depends_on_what_is_hidden() {
    let mut legal = Vec::new();
    for (k, (rules, games)) in [(Rules::paper(), 1500), (Rules::folk4(), 1500)].into_iter().enumerate() {
        let mut rng = Rng::stream(21, k as u64);
        for _ in 0..games {
            let mut game = Game::deal(&rules, &mut rng);
            while !game.is_over() {
                game.legal(&mut legal);
                // While others are still asked, the next of them is hidden too: rows are compared from the first lead on.
                if !game.asking() {
                    let me = game.turn();
                    let other = replay(&game, redeal(&game, me, &mut rng));
                    let (mut a, mut b) = (vec![0; world::width()], vec![0; world::width()]);
                    world::observe(Seat::new(&game, me), &mut a);
                    world::observe(Seat::new(&other, me), &mut b);
                    assert_eq!(a, b);
                    let mut same = Vec::new();
                    other.legal(&mut same);
                    assert_eq!(legal, same);
                }
                game.play(legal[rng.below(legal.len())]);
            }
        }
    }
}

/// The contents of a row, checked against the game by the names of its fields.
#[test]
fn a_row_says_what_its_fields_name() {
    use rlx::Env;
    let fields = rlx_red10::Red10::new(&rlx_red10::Config::default()).spec().fields;
    let field = |name: &str, row: &[u8]| row[fields.iter().find(|f| f.name == name).unwrap().range.clone()].to_vec();
    let mut rng = Rng::stream(5, 5);
    let mut game = Game::deal(&Rules::paper(), &mut rng);
    let mut legal = Vec::new();
    for _ in 0..3000 {
        if game.is_over() {
            game.redeal(&mut rng);
        }
        let me = game.turn();
        let mut row = vec![0; world::width()];
        world::observe(Seat::new(&game, me), &mut row);
        assert_eq!(field("hand", &row), game.hand(me).0.to_le_bytes());
        let others = (1..4).map(|k| game.hand((me + k) % 4).0).sum::<u64>();
        assert_eq!(field("unseen", &row), others.to_le_bytes());
        let left: Vec<u8> = (1..4).map(|k| game.hand((me + k) % 4).total() as u8).collect();
        assert_eq!(field("left", &row), left);
        assert_eq!(field("top", &row), game.top().cards.0.to_le_bytes());
        assert_eq!(field("own_red", &row), [game.dealt(me).red() as u8]);
        game.legal(&mut legal);
        game.play(legal[rng.below(legal.len())]);
    }
}

/// The tokens of a row, counted anew from the history: who passed on whom and who beat whom, seats counted from the own one.
#[test]
fn tokens_tell_who_did_what_to_whom() {
    use rlx::Env;
    let fields = rlx_red10::Red10::new(&rlx_red10::Config::default()).spec().fields;
    let field = |name: &str| fields.iter().find(|f| f.name == name).unwrap().range.clone();
    let mut rng = Rng::stream(6, 6);
    let mut game = Game::deal(&Rules::folk4(), &mut rng);
    let mut legal = Vec::new();
    let (mut passes_seen, mut beats_seen) = (0, 0);
    for _ in 0..5000 {
        if game.is_over() {
            game.redeal(&mut rng);
        }
        let me = game.turn();
        let mut row = vec![0; world::width()];
        world::observe(Seat::new(&game, me), &mut row);
        // (actor, owner) from the own seat: passes, beats; leads.
        let (mut passed, mut beat, mut led) = ([[0u32; 4]; 4], [[0u32; 4]; 4], [0u32; 4]);
        let mut owner = 0;
        for p in game.history().iter().filter(|p| p.play.kind != Kind::Show) {
            let actor = (usize::from(p.seat) + 4 - me) % 4;
            match (p.lead, p.play.kind) {
                (true, _) => led[actor] += 1,
                (_, Kind::Pass) => passed[actor][owner] += 1,
                _ => beat[actor][owner] += 1,
            }
            if p.play.kind != Kind::Pass {
                owner = actor;
            }
        }
        let tokens = |name: &str| row[field(name)].iter().filter(|t| **t != 255).copied().collect::<Vec<u8>>();
        let (events, answers) = (tokens("events"), tokens("answers"));
        for actor in 0..4 {
            for owner in 0..4 {
                let who = (actor | owner << 2) as u8;
                let count = |beats: u8| events.iter().filter(|&&t| t & 15 == who && t >> 7 == beats).count() as u32;
                // The row has room for the newest 96 of them.
                if events.len() == 96 {
                    continue;
                }
                if actor == owner {
                    assert_eq!(count(0) + count(1), led[actor]);
                } else {
                    assert_eq!((count(0), count(1)), (passed[actor][owner], beat[actor][owner]));
                    assert_eq!(answers.iter().filter(|t| **t & 15 == who).count() as u32, beat[actor][owner]);
                }
            }
        }
        passes_seen += passed.iter().flatten().sum::<u32>();
        beats_seen += beat.iter().flatten().sum::<u32>();
        game.legal(&mut legal);
        game.play(legal[rng.below(legal.len())]);
    }
    assert!(passes_seen > 10_000 && beats_seen > 10_000);
}

/// Cards are conserved, seats take turns, tricks end when they should, and payoffs are what the rules say.
#[test]
fn games_keep_the_rules() {
    let mut legal = Vec::new();
    for (k, rules) in [Rules::paper(), Rules::folk4(), Rules { jokers: true, ..Rules::folk4() }].iter().enumerate() {
        let mut rng = Rng::stream(31, k as u64);
        for _ in 0..3000 {
            let mut game = Game::deal(rules, &mut rng);
            let deck = Cards::deck(rules.jokers);
            let mut passes_in_row = 0;
            let mut plies = 0;
            while !game.is_over() {
                let (before, turn) = (game.clone(), game.turn());
                game.legal(&mut legal);
                let m = legal[rng.below(legal.len())];
                let asking = game.asking();
                game.try_play(m).unwrap();
                let sum: u64 = (0..4).map(|s| game.hand(s).0 + game.played(s).0).sum();
                assert_eq!(sum, deck.0);
                if asking {
                    continue;
                }
                plies += 1;
                assert_eq!(game.hand(turn).0 + m.cards.0, before.hand(turn).0);
                assert_eq!(usize::from(game.history().last().unwrap().seat), turn);
                if !game.is_over() {
                    let next = (1..4).map(|k| (turn + k) % 4).find(|s| !game.is_out(*s as u8)).unwrap();
                    assert_eq!(game.turn(), next);
                }
                passes_in_row = if m.kind == Kind::Pass { passes_in_row + 1 } else { 0 };
                if m.kind == Kind::Pass && !game.is_over() {
                    let top = before.top_seat().unwrap();
                    let active = (0..4u8).filter(|s| !game.is_out(*s) && usize::from(*s) != top).count();
                    assert_eq!(game.leads(), passes_in_row == active, "{active} had to pass");
                }
                assert!(plies <= 54 * 4);
            }
            let (pay, red) = (game.payoff(), game.red_team());
            let stake = f32::from(game.stake());
            let first = usize::from(game.out()[0]);
            assert_eq!(game.hand(first), Cards::NONE);
            if rules.scoring == rlx_red10::rules::Scoring::FirstOut {
                assert_eq!(game.out().len(), 1);
                (0..4).for_each(|s| assert_eq!(pay[s], if game.teammates(s, first) { stake } else { -stake }));
            } else {
                let last_with_first = (0..4).any(|s| !game.is_out(s as u8) && game.teammates(s, first));
                let expected = |s: usize| match (last_with_first, game.teammates(s, first)) {
                    (true, _) => 0.0,
                    (false, true) => stake,
                    (false, false) => -stake,
                };
                (0..4).for_each(|s| assert_eq!(pay[s], expected(s)));
            }
            let shows = game.history().iter().filter(|p| p.play.kind == Kind::Show).count();
            assert_eq!(game.stake(), 1 << shows);
            assert!((1..=2).contains(&red.count_ones()));
        }
    }
}

/// The exact prior against counting deals.
#[test]
fn the_prior_is_the_share_of_deals() {
    let rules = Rules::paper();
    let mut rng = Rng::stream(41, 0);
    let (mut both, mut seen) = (0u32, [[0u32; 2]; 3]);
    let n = 200_000;
    for _ in 0..n {
        let game = Game::deal(&rules, &mut rng);
        both += u32::from(game.red_team().count_ones() == 1);
        let own = game.dealt(0).red() as usize;
        seen[own][0] += 1;
        seen[own][1] += u32::from(game.teammates(0, 1));
        let view = Seat::new(&game, 0);
        let p = view.teammates(&view.prior())[1];
        let exact = [0.438_596, 1.0 / 3.0, 0.0][own];
        assert!((p - exact).abs() < 1e-4, "{own} red tens: {p}");
    }
    assert!((f64::from(both) / f64::from(n) - 12.0 / 51.0).abs() < 0.004);
    for (own, exact) in [(0, 0.4386), (1, 0.3333), (2, 0.0)] {
        let share = f64::from(seen[own][1]) / f64::from(seen[own][0]);
        assert!((share - exact).abs() < 0.01, "{own}: {share}");
    }
}

#[test]
fn a_move_that_is_not_legal_is_refused_with_the_reason() {
    let hands = ["3334445556667", "7778889999TTJ", "JJJQQQQKKKKAA", "8RRAA2222"].map(|h| h.parse::<Cards>().unwrap());
    assert!(Game::from_hands(&Rules::paper(), hands, 0).is_err(), "not dealt evenly");
    let mut game = Game::deal(&Rules::paper(), &mut Rng::stream(1, 1));
    let before = game.clone();
    let lead = game.find(Cards::NONE).unwrap_err().to_string();
    assert!(lead.contains("you lead"), "{lead}");
    let absent = "wW".parse().unwrap();
    assert!(game.find(absent).unwrap_err().to_string().contains("your hand is"));
    assert!(game.try_play(rlx_red10::Move::PASS).is_err());
    assert_eq!(game, before);
    assert!(bots::make("nobody").is_err_and(|e| e.to_string().contains("greedy")));
}

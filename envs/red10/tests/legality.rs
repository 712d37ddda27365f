//! Legal moves against an enumerator that knows nothing of how they are generated: it tries every part of the hand.
use rlx::Rng;
use rlx_red10::{
    Cards, Game, Kind, Move, Rules,
    cards::{BIG, LITTLE, TEN},
    generate,
};
use std::collections::BTreeSet;

/// What a set of cards is, by the words of the rules: (kind, chain length, rank to compare, bomb class). None: no combination.
fn classify(counts: &[u8; 15], red: u8, rules: &Rules) -> Option<(Kind, usize, usize)> {
    let held: Vec<usize> = (0..15).filter(|&r| counts[r] > 0).collect();
    let total: u8 = counts.iter().sum();
    let with = |n: u8| -> Vec<usize> { (0..15).filter(|&r| counts[r] == n).collect() };
    let successive = |ranks: &[usize]| ranks.windows(2).all(|p| p[1] == p[0] + 1) && ranks.iter().all(|&r| r < 12);
    if rules.red_ten_power && total == 2 && red == 2 {
        return Some((Kind::Bomb, 1, 1000));
    }
    if rules.jokers && total == 2 && counts[LITTLE] == 1 && counts[BIG] == 1 {
        return Some((Kind::Bomb, 1, 900));
    }
    if held.len() == 1 {
        let r = held[0];
        return Some(match total {
            1 if rules.red_ten_power && red == 1 => (Kind::Solo, 1, 15),
            1 => (Kind::Solo, 1, r),
            2 => (Kind::Pair, 1, r),
            3 if rules.bomb_of_three => (Kind::Bomb, 1, 100 + r),
            3 => (Kind::Trio, 1, r),
            _ => (Kind::Bomb, 1, 200 + r),
        });
    }
    let all = |n: u8| with(n).len() == held.len();
    if all(1) && successive(&held) && held.len() >= rules.straight_min.into() {
        return Some((Kind::Straight, held.len(), held[0]));
    }
    if all(2) && successive(&held) && held.len() >= rules.pair_chain_min.into() {
        return Some((Kind::PairChain, held.len(), held[0]));
    }
    if !rules.kickers {
        return None;
    }
    if all(3) && successive(&held) {
        return Some((Kind::TrioChain, held.len(), held[0]));
    }
    // A chain of trios (of one, too) of which no further card is among the others.
    let threes: Vec<usize> = (0..12).filter(|&r| counts[r] == 3).chain((12..13).filter(|&r| counts[r] == 3)).collect();
    for len in (1..=threes.len()).rev() {
        for chain in threes.windows(len) {
            if len > 1 && !successive(chain) {
                continue;
            }
            let others: Vec<usize> = held.iter().filter(|r| !chain.contains(r)).copied().collect();
            let left: usize = others.iter().map(|&r| usize::from(counts[r])).sum();
            if left == len {
                return Some((if len == 1 { Kind::TrioSolo } else { Kind::TrioChainSolos }, len, chain[0]));
            }
            if left == 2 * len && others.len() == len && others.iter().all(|&r| counts[r] == 2) {
                return Some((if len == 1 { Kind::TrioPair } else { Kind::TrioChainPairs }, len, chain[0]));
            }
        }
    }
    if let [four] = with(4)[..]
        && four < 13
    {
        let others: Vec<usize> = held.iter().filter(|&&r| r != four).copied().collect();
        let left: u8 = others.iter().map(|&r| counts[r]).sum();
        if left == 2 {
            return Some((Kind::FourSolos, 1, four));
        }
        if left == 4 && others.len() == 2 && others.iter().all(|&r| counts[r] == 2) {
            return Some((Kind::FourPairs, 1, four));
        }
    }
    None
}

fn parts(cards: Cards) -> ([u8; 15], u8) {
    (std::array::from_fn(|r| cards.count(r) as u8), cards.red() as u8)
}

/// Every legal move by trying every part of the hand.
fn brute_force(hand: Cards, top: Option<Cards>, rules: &Rules) -> BTreeSet<Cards> {
    let (counts, red) = parts(hand);
    let top = top.map(|t| {
        let (c, r) = parts(t);
        classify(&c, r, rules).expect("a top is a combination")
    });
    let mut found = BTreeSet::new();
    let mut chosen = [0u8; 15];
    // The next choice of counts, as a number of mixed base.
    while let Some(r) = (0..15).find(|&r| chosen[r] < counts[r]) {
        chosen[..r].fill(0);
        chosen[r] += 1;
        let black = counts[TEN] - red;
        for reds in chosen[TEN].saturating_sub(black)..=red.min(chosen[TEN]) {
            let Some((kind, len, rank)) = classify(&chosen, reds, rules) else { continue };
            let follows = match top {
                None => true,
                Some((Kind::Bomb, _, other)) => kind == Kind::Bomb && rank > other,
                Some(_) if kind == Kind::Bomb => true,
                Some(other) => (kind, len) == (other.0, other.1) && rank > other.2,
            };
            if follows {
                let sum: u64 = (0..15).map(|r| u64::from(chosen[r]) << (4 * r)).sum();
                found.insert(Cards(sum | u64::from(reds) << 60));
            }
        }
    }
    if top.is_some() {
        found.insert(Cards::NONE);
    }
    found
}

fn compare(hand: Cards, top: Move, rules: &Rules, moves: &mut Vec<Move>) {
    generate(hand, top, rules, moves);
    let made: BTreeSet<Cards> = moves.iter().map(|m| m.cards).collect();
    assert_eq!(made.len(), moves.len(), "{hand} on {}: a move twice", top.cards);
    let expected = brute_force(hand, (top.kind != Kind::Pass).then_some(top.cards), rules);
    let show = |set: &BTreeSet<Cards>| set.iter().map(Cards::to_string).collect::<Vec<_>>();
    assert_eq!(show(&made), show(&expected), "{hand} on {} by {rules:?}", top.cards);
    for m in moves.iter().filter(|m| m.kind != Kind::Pass) {
        let (c, r) = parts(m.cards);
        let (kind, len, _) = classify(&c, r, rules).unwrap();
        assert_eq!((m.kind, usize::from(m.len)), (kind, len), "{}", m.cards);
        assert!(top.kind == Kind::Pass || m.beats(top));
    }
}

fn all_rules() -> Vec<Rules> {
    let (paper, folk) = (Rules::paper(), Rules::folk4());
    let odd = Rules { jokers: true, red_ten_power: true, ..paper.clone() };
    vec![paper, folk.clone(), odd, Rules { jokers: true, kickers: true, ..folk }]
}

/// Positions of random games, and of random hands on random tops.
#[test]
fn moves_are_those_of_brute_force_on_random_positions() {
    let mut moves = Vec::new();
    for (k, rules) in all_rules().iter().enumerate() {
        let mut rng = Rng::stream(7, k as u64);
        let positions = if k < 2 { 60_000 } else { 5_000 };
        let mut game = Game::deal(rules, &mut rng);
        let mut legal = Vec::new();
        let mut tops: Vec<Move> = vec![Move::PASS];
        for _ in 0..positions {
            while game.is_over() || game.asking() {
                if game.is_over() {
                    game.redeal(&mut rng);
                } else {
                    game.legal(&mut legal);
                    game.play(legal[rng.below(2)]);
                }
            }
            compare(game.hand(game.turn()), game.top(), rules, &mut moves);
            if rng.below(4) == 0 {
                // Another's hand on a top of another game.
                let hand = game.hand((game.turn() + 1) % 4);
                if hand != Cards::NONE {
                    compare(hand, tops[rng.below(tops.len())], rules, &mut moves);
                }
            }
            game.legal(&mut legal);
            let m = legal[rng.below(legal.len())];
            if m.kind != Kind::Pass && tops.len() < 4000 {
                tops.push(m);
            }
            game.play(m);
        }
    }
}

/// Every hand of up to eight cards of four neighbouring ranks, the tens and their colours among them, on every top that such hands can make.
#[test]
fn moves_are_those_of_brute_force_on_all_small_hands() {
    let mut moves = Vec::new();
    for rules in all_rules() {
        let mut hands = Vec::new();
        for code in 0..5u64.pow(4) {
            let n: [u64; 4] = std::array::from_fn(|i| code / 5u64.pow(i as u32) % 5);
            if (1..=8).contains(&n.iter().sum::<u64>()) {
                let counts = n.iter().enumerate().map(|(i, n)| n << (4 * (TEN - 2 + i))).sum::<u64>();
                let tens = n[2];
                for red in tens.saturating_sub(2)..=tens.min(2) {
                    hands.push(Cards(counts | red << 60));
                }
            }
        }
        let mut tops = vec![Move::PASS];
        tops.extend(hands.iter().filter_map(|&h| Move::of(h, &rules).ok()));
        for (i, &hand) in hands.iter().enumerate() {
            compare(hand, Move::PASS, &rules, &mut moves);
            for &top in tops.iter().skip(1 + i % 7).step_by(7) {
                compare(hand, top, &rules, &mut moves);
            }
        }
    }
}

/// All moves that any hand of 13 cards can make: 5,849 without the colours of tens, 8,036 with them.
#[test]
fn the_universe_of_moves_has_its_known_size() {
    let rules = Rules::paper();
    let (mut plain, mut coloured) = (BTreeSet::new(), BTreeSet::new());
    let mut moves = Vec::new();
    // The whole deck can make every move; those of more than 13 cards are no hand's.
    generate(Cards::DECK, Move::PASS, &rules, &mut moves);
    for m in moves.iter().filter(|m| m.cards.total() <= 13) {
        coloured.insert(m.cards);
        plain.insert(m.cards.0 & 0x0FFF_FFFF_FFFF_FFFF);
    }
    assert_eq!((plain.len(), coloured.len()), (5849, 8036));
}

#[test]
fn opening_hands_have_as_many_moves_as_is_known() {
    let rules = Rules::paper();
    let mut rng = Rng::stream(11, 0);
    let mut moves = Vec::new();
    let n = 100_000;
    let total: usize = (0..n)
        .map(|_| {
            Game::deal(&rules, &mut rng).legal(&mut moves);
            moves.len()
        })
        .sum();
    let mean = total as f64 / f64::from(n);
    // The figure was measured without the choice of colours, which adds a little.
    assert!((21.0..23.5).contains(&mean), "{mean}");
}

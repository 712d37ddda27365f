//! Every claim of the page is put to the engine, under every mix of the flags; what it says of the course of a game is held against
//! games that are played.
use super::*;
use crate::record::deal;
use rlx::Rng;
use rlx_red10::{Game, Move, SEATS, generate};

/// Rules of every kind: both named ones, and each mix of their flags.
fn every_rules() -> Vec<Rules> {
    let mut all = vec![Rules::paper(), Rules::folk4()];
    for bits in 0..64u8 {
        let on = |k: u8| bits >> k & 1 == 1;
        all.push(Rules {
            jokers: on(0),
            leader: [Leader::Seat0, Leader::Heart3, Leader::Heart4][usize::from(bits % 3)],
            straight_min: 3 + bits % 10,
            pair_chain_min: 2 + bits % 5,
            kickers: on(1),
            bomb_of_three: on(2),
            red_ten_power: on(3),
            reveal_phase: on(4),
            scoring: if on(5) { Scoring::Places } else { Scoring::FirstOut },
        });
    }
    all
}

fn may_follow(a: &str, b: &str, rules: &Rules) -> bool {
    let (a, b): (Cards, Cards) = (a.parse().unwrap(), b.parse().unwrap());
    let last = Move::of(b, rules).unwrap();
    let mut legal = Vec::new();
    generate(a, last, rules, &mut legal);
    let follows = legal.iter().any(|m| m.cards == a);
    assert_eq!(follows, Move::of(a, rules).unwrap().beats(last), "{a} on {b}");
    follows
}

#[test]
fn e2_every_example_of_the_rules_page_is_what_the_engine_says() {
    let mut checked = 0;
    for rules in every_rules() {
        for lang in [Lang::En, Lang::Zh] {
            for (line, claims) in page(&rules, lang).iter().flat_map(|s| &s.lines) {
                assert!(!line.contains('{'), "a card is missing: {line}");
                for claim in claims {
                    checked += 1;
                    for cards in claim.cards() {
                        assert!(cards.len() == 1 || line.contains(&shown(cards)), "{line} lacks {cards}");
                    }
                    let what = format!("{line}\n{claim:?}\n{rules:?}");
                    match claim {
                        Claim::Is(cards, kind, len) => {
                            let found = Move::of(cards.parse().unwrap(), &rules).expect(&what);
                            assert_eq!((found.kind, found.len), (*kind, *len), "{what}");
                        }
                        Claim::IsNot(cards) => assert!(Move::of(cards.parse().unwrap(), &rules).is_err(), "{what}"),
                        Claim::Beats(a, b) => assert!(may_follow(a, b, &rules), "{what}"),
                        Claim::Below(a, b) => assert!(!may_follow(a, b, &rules), "{what}"),
                    }
                }
            }
        }
    }
    assert!(checked > 2000, "{checked}");
}

/// The page lists every kind of combination that the rules know, and no other.
#[test]
fn e2_the_rules_page_leaves_no_combination_out() {
    for rules in every_rules() {
        let listed = |lang| {
            let all = combinations(&rules, lang).into_iter().chain(bombs(&rules, lang));
            let kinds = all.map(|(_, claim)| match claim {
                Claim::Is(_, kind, _) => kind,
                other => panic!("{other:?}"),
            });
            kinds.collect::<std::collections::BTreeSet<Kind>>()
        };
        let mut known = std::collections::BTreeSet::new();
        let mut legal = Vec::new();
        // Hands that hold all there is: three or four of each of neighbouring ranks, and the tens by colour.
        for hand in ["333344445555666677778888", "9999TTRRJJJJQQQQKKKKAAAA2222", "33445566778899TTJJQQKKAA2"] {
            generate(hand.parse().unwrap(), Move::PASS, &rules, &mut legal);
            known.extend(legal.iter().map(|m| m.kind));
        }
        assert_eq!(listed(Lang::En), known, "{rules:?}");
        assert_eq!(listed(Lang::Zh), known, "{rules:?}");
    }
}

/// A game of random moves, `each` seeing the game before and after each move.
fn play(rules: &Rules, n: u64, mut each: impl FnMut(&Game, Move, &Game)) -> Game {
    let mut game = deal(rules, 7, n);
    let (mut rng, mut legal) = (Rng::stream(n, 3), Vec::new());
    while !game.is_over() {
        game.legal(&mut legal);
        let chosen = legal[rng.below(legal.len())];
        let before = game.clone();
        game.play(chosen);
        each(&before, chosen, &game);
    }
    game
}

/// Passing, the end of a trick and who leads the next: as the page says, told by its own words and not by the engine's counters.
#[test]
fn e2_tricks_go_as_the_rules_page_says() {
    let (mut again, mut inherited) = (0, 0);
    for (n, rules) in every_rules().into_iter().enumerate() {
        for k in 0..6 {
            // Who has passed since the top was played, and who passed at all in this trick.
            let (mut passed, mut owner, mut passed_once) = (vec![false; SEATS], None, [false; SEATS]);
            play(&rules, (n * 6 + k) as u64, |before, played, after| {
                if before.asking() {
                    return;
                }
                let seat = before.turn();
                let mut legal = Vec::new();
                before.legal(&mut legal);
                assert_eq!(legal.contains(&Move::PASS), owner.is_some(), "only who leads may not pass");
                if played.kind == Kind::Pass {
                    (passed[seat], passed_once[seat]) = (true, true);
                } else {
                    again += u32::from(passed_once[seat]);
                    (passed, owner) = (vec![false; SEATS], Some(seat));
                }
                let holds = |s: usize| after.hand(s) != Cards::NONE;
                let top = owner.unwrap();
                if (0..SEATS).all(|s| s == top || !holds(s) || passed[s]) {
                    let next = (0..SEATS).map(|k| (top + k) % SEATS).find(|s| holds(*s)).unwrap_or(top);
                    inherited += u32::from(next != top);
                    assert!(after.leads() || after.is_over());
                    assert!(after.is_over() || after.turn() == next, "the next leader");
                    (passed, owner, passed_once) = (vec![false; SEATS], None, [false; SEATS]);
                } else {
                    assert!(!after.leads());
                }
            });
        }
    }
    assert!(again > 100 && inherited > 10, "{again} {inherited}");
}

/// Who leads, who is asked, what showing does, who wins and what is paid.
#[test]
fn e2_showing_winning_and_payoffs_are_as_the_rules_page_says() {
    let mut seen = std::collections::BTreeSet::new();
    for (n, rules) in every_rules().into_iter().enumerate() {
        for k in 0..8 {
            let game = deal(&rules, 7, (n * 8 + k) as u64);
            let sizes: u64 = (0..SEATS).map(|s| game.dealt(s).total()).sum();
            assert_eq!(sizes, if rules.jokers { 54 } else { 52 });
            match rules.leader {
                Leader::Seat0 => assert_eq!(game.leader(), 0),
                Leader::Heart3 => assert!(game.dealt(game.leader()).count(0) > 0),
                Leader::Heart4 => assert!(game.dealt(game.leader()).count(1) > 0),
            }
            let holders: Vec<usize> =
                (0..SEATS).map(|k| (game.leader() + k) % SEATS).filter(|s| game.dealt(*s).red() > 0).collect();
            let (mut asked, mut stake) = (Vec::new(), 1);
            let end = play(&rules, (n * 8 + k) as u64, |before, played, after| {
                if before.asking() {
                    asked.push(before.turn());
                    let seat = before.turn();
                    if played.kind == Kind::Show {
                        stake *= 2;
                        assert_eq!(u64::from(after.shown(seat)), after.dealt(seat).red(), "all of them are shown");
                    } else {
                        assert!(after.history().len() == before.history().len(), "nobody sees who keeps them hidden");
                    }
                    assert_eq!(after.hand(seat), before.hand(seat), "they stay in the hand");
                    assert_eq!(after.stake(), stake);
                } else if before.history().iter().all(|p| p.play.kind == Kind::Show) {
                    let mut lead = Vec::new();
                    generate(before.hand(before.turn()), Move::PASS, &rules, &mut lead);
                    let mut legal = Vec::new();
                    before.legal(&mut legal);
                    assert!(legal == lead && before.turn() == game.leader(), "any combination may lead");
                }
                if played.cards.red() > 0 && played.kind != Kind::Show {
                    assert!(after.shown(before.turn()) > 0, "a red ten that is played is seen");
                }
            });
            assert_eq!(asked, if rules.reveal_phase { holders.clone() } else { vec![] });
            let out: Vec<usize> = end.out().iter().map(|s| usize::from(*s)).collect();
            let red = |s: usize| holders.contains(&s);
            let team = |s: usize| (0..SEATS).filter(|t| red(*t) == red(s)).collect::<Vec<_>>();
            let all_out = |team: &[usize]| team.iter().all(|s| out.contains(s));
            let mine = team(out[0]);
            let won = match rules.scoring {
                Scoring::FirstOut => true,
                Scoring::Places => all_out(&mine),
            };
            let pay: Vec<f32> = (0..SEATS)
                .map(|s| match (won, mine.contains(&s)) {
                    (false, _) => 0.0,
                    (true, true) => f32::from(stake),
                    (true, false) => -f32::from(stake),
                })
                .collect();
            assert_eq!(end.payoff().to_vec(), pay, "{rules:?} out {out:?} red {holders:?}");
            if rules.scoring == Scoring::Places && holders.len() == 1 {
                // The others' places are settled once one team is out: who is not among them comes last.
                let place = out.iter().position(|s| *s == holders[0]).unwrap_or(3);
                let paid = pay[holders[0]];
                assert!(
                    if place == 0 {
                        paid > 0.0
                    } else if place < 3 {
                        paid == 0.0
                    } else {
                        paid < 0.0
                    },
                    "{place}"
                );
                seen.insert((place, stake));
            }
            seen.insert((10 + usize::from(won), stake));
        }
    }
    assert!([0, 1, 2, 3].iter().all(|place| seen.iter().any(|s| s.0 == *place)), "{seen:?}");
    assert!(seen.contains(&(11, 4)) && seen.contains(&(10, 1)), "{seen:?}");
    let alone = (0..4000).filter(|n| deal(&Rules::folk4(), 1, *n).red_team().count_ones() == 1).count();
    assert!((880..1000).contains(&alone), "12/51 of the deals are one against three: {alone} of 4000");
}

#[test]
fn e2_the_rules_page_says_the_same_in_both_languages() {
    for rules in every_rules() {
        let (en, zh) = (page(&rules, Lang::En), page(&rules, Lang::Zh));
        let claims = |page: &[Section]| {
            page.iter().map(|s| s.lines.iter().map(|l| l.1.clone()).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(claims(&en), claims(&zh));
        let chinese = |t: &str| t.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        assert!(zh.iter().all(|s| chinese(s.title)) && !en.iter().any(|s| chinese(s.title)));
        let words = |line: &str| line.chars().any(char::is_alphabetic) && !line.starts_with("3 <");
        assert!(zh.iter().flat_map(|s| &s.lines).all(|(l, _)| chinese(l) || !words(l)));
        assert!(!en.iter().flat_map(|s| &s.lines).any(|(l, _)| chinese(l)));
        assert!(kinds(&rules, Lang::En).contains("bomb") && chinese(&kinds(&rules, Lang::Zh)));
        assert_eq!(short(&rules, Lang::En).len(), short(&rules, Lang::Zh).len());
    }
}

/// Written anew by `RLX_WRITE_DOCS=1 cargo test -p rlx-experiments --lib rules_are_documented`.
#[test]
fn e2_the_rules_are_documented_as_the_program_prints_them() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/red10-rules.md");
    if std::env::var_os("RLX_WRITE_DOCS").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), document());
}

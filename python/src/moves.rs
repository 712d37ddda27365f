//! Red-10's moves by type, numbered: what a fixed action space chooses from. Moves of a type differ in their kickers alone.
use rlx::{Error, Result};
use rlx_red10::{
    Kind, Move,
    cards::{RANKS, TEN},
};
use std::{collections::HashMap, ops::RangeInclusive, sync::LazyLock};

/// A type: its kind, the ranks in its chain, what it is compared by, and how many of its cards are red tens, which say who is who.
pub type Type = (Kind, u8, u8, u8);

const LETTERS: [char; 15] = ['3', '4', '5', '6', '7', '8', '9', 'T', 'J', 'Q', 'K', 'A', '2', 'w', 'W'];
/// Ranks that chain: 3 to A.
const CHAIN: u8 = 12;

static ALL: LazyLock<(Vec<Type>, HashMap<Type, usize>)> = LazyLock::new(|| {
    let all = types();
    let numbers = all.iter().enumerate().map(|(i, t)| (*t, i)).collect();
    (all, numbers)
});

/// Every type, in the order of their numbers.
pub fn all() -> &'static [Type] {
    &ALL.0
}

/// The number of a move's type.
///
/// # Errors
/// When the list lacks it: a bug of the list.
pub fn number(m: &Move) -> Result<usize> {
    let key = (m.kind, m.len, m.rank, m.cards.red() as u8);
    let number = ALL.1.get(&key).copied();
    number.ok_or_else(|| Error::invalid(format!("{m:?} is of a type that has no number")))
}

/// A type in words: `straight of 5 from 3, 1 red`.
pub fn name(&(kind, len, rank, red): &Type) -> String {
    let what = match (kind, rank) {
        (Kind::Pass | Kind::Show | Kind::Keep, _) => String::new(),
        (Kind::Solo, 15) => " red ten above all".into(),
        (Kind::Bomb, 40) => " of jokers".into(),
        (Kind::Bomb, 41) => " of red tens".into(),
        (Kind::Bomb, r @ 16..) => format!(" of four {}", LETTERS[usize::from(r - 16)]),
        (Kind::Bomb, r) => format!(" of three {}", LETTERS[usize::from(r)]),
        (_, r) => format!(" {}", LETTERS[usize::from(r)]),
    };
    let chain = if len > 1 { format!(" of {len} from") } else { String::new() };
    let red = if red > 0 { format!(", {red} red") } else { String::new() };
    format!("{kind:?}{chain}{what}{red}")
}

fn types() -> Vec<Type> {
    let ten = TEN as u8;
    let mut all = vec![(Kind::Pass, 0, 0, 0), (Kind::Show, 0, 0, 1), (Kind::Show, 0, 0, 2), (Kind::Keep, 0, 0, 0)];
    let mut add = |kind, len: u8, rank: u8, red: RangeInclusive<u8>| all.extend(red.map(|r| (kind, len, rank, r)));
    // Jokers are single cards, or a bomb.
    (0..RANKS as u8 + 2).for_each(|r| add(Kind::Solo, 1, r, 0..=u8::from(r == ten)));
    add(Kind::Solo, 1, rlx_red10::moves::RED_TEN_RANK, 1..=1);
    for rank in 0..RANKS as u8 {
        let own = if rank == ten { 2 } else { 0 };
        add(Kind::Pair, 1, rank, 0..=own);
        add(Kind::Trio, 1, rank, 0..=own);
        // Kickers may be red tens whatever the rank is.
        for kind in [Kind::TrioSolo, Kind::TrioPair, Kind::FourSolos, Kind::FourPairs] {
            add(kind, 1, rank, 0..=2);
        }
        add(Kind::Bomb, 1, rank, 0..=own);
        add(Kind::Bomb, 1, 16 + rank, if rank == ten { 2..=2 } else { 0..=0 });
    }
    add(Kind::Bomb, 1, 40, 0..=0);
    add(Kind::Bomb, 1, 41, 2..=2);
    // As long as 14 cards allow.
    for (kind, lengths, each) in [(Kind::Straight, 3..=12, 1), (Kind::PairChain, 2..=7, 2), (Kind::TrioChain, 2..=4, 2)]
    {
        for len in lengths {
            for start in 0..=CHAIN - len {
                let has = (start..start + len).contains(&ten);
                add(kind, len, start, 0..=if has { each } else { 0 });
            }
        }
    }
    for (kind, lengths) in [(Kind::TrioChainSolos, 2..=3), (Kind::TrioChainPairs, 2..=2)] {
        for len in lengths {
            (0..=CHAIN - len).for_each(|start| add(kind, len, start, 0..=2));
        }
    }
    all
}

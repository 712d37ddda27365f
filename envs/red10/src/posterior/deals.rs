//! The deals that a seat cannot rule out, and the others' decisions as they would have looked in each.
use super::Likelihood;
use crate::{Cards, Game, Kind, Move, SEATS, Seat, cards::TEN, rules::Leader};
use rlx::Rng;

/// Other players.
pub(super) const OTHERS: usize = 3;

/// What the others hold and nobody has seen, in the order of play after the own seat.
pub(super) type Hidden = [Cards; OTHERS];

/// A decision of another player: made with the hand of the time, which each supposed deal fills in.
struct Decision {
    /// Who decided, of the others.
    other: usize,
    /// The public position before it, over some deal.
    game: Game,
    /// What each seat has played from then on.
    since: [Cards; SEATS],
    /// What was chosen; an answer before the lead is [`Kind::Show`] or [`Kind::Keep`].
    play: Move,
}

/// The cards that everybody has seen.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// Red tens of the others that were shown and are still held.
    fixed: Hidden,
    /// What each seat has played.
    played: [Cards; SEATS],
}

/// What a seat knows of the hidden cards, and the decisions that say more.
pub(super) struct Deals {
    pub seat: usize,
    /// Hidden cards one by one.
    pub pool: Vec<Cards>,
    /// How many of them each of the others holds.
    pub sizes: [usize; OTHERS],
    /// Prior weight of each set of holders that nothing rules out.
    pub prior: [f64; 16],
    own: Cards,
    /// Whether one of the others showed all its red tens.
    closed: [bool; OTHERS],
    /// Seats that are known to be of the red team.
    known: usize,
    /// The first leader's place among the others and the rank of the leading card, if another led with one.
    leading: Option<(usize, usize)>,
    open: Open,
    decisions: Vec<Decision>,
    legal: Vec<Move>,
}

impl Deals {
    pub fn new(seat: Seat<'_>) -> Self {
        let me = seat.seat();
        let others: [usize; OTHERS] = std::array::from_fn(|k| (me + k + 1) % SEATS);
        let red = |n: u8| Cards(Cards::RED_TEN.0 * u64::from(n));
        let fixed = others.map(|s| red(seat.shown_held(s)));
        let hidden = Cards(seat.unseen().0 - fixed.iter().map(|c| c.0).sum::<u64>());
        let known = (0..SEATS).filter(|&s| seat.shown(s) > 0).fold(0, |m, s| m | 1 << s)
            | usize::from(seat.dealt().red() > 0) << me;
        let showed = |s| seat.history().iter().any(|p| p.play.kind == Kind::Show && usize::from(p.seat) == s);
        let leading = match seat.rules().leader {
            Leader::Seat0 => None,
            Leader::Heart3 => Some(0),
            Leader::Heart4 => Some(1),
        };
        let place = |s: usize| others.iter().position(|&o| o == s);
        let mut deals = Self {
            seat: me,
            pool: singles(hidden),
            sizes: std::array::from_fn(|k| (seat.left(others[k]) - fixed[k].total()) as usize),
            prior: [0.0; 16],
            own: seat.hand(),
            closed: others.map(showed),
            known,
            leading: leading.and_then(|rank| Some((place(seat.leader())?, rank))),
            open: Open { fixed, played: std::array::from_fn(|s| seat.played(s)) },
            decisions: Vec::new(),
            legal: Vec::new(),
        };
        deals.weigh_holders(seat);
        deals.replay(seat);
        deals
    }

    /// Which seat a place among the others is.
    pub fn other(&self, k: usize) -> usize {
        (self.seat + k + 1) % SEATS
    }

    /// Counts the ways to lay the hidden red tens, less those that would have ended the game before now.
    fn weigh_holders(&mut self, seat: Seat<'_>) {
        let gone = seat.out().iter().fold(0usize, |m, s| m | 1 << s);
        let room: [f64; OTHERS] = std::array::from_fn(|k| if self.closed[k] { 0.0 } else { self.sizes[k] as f64 });
        let mut add = |set: usize, weight: f64| {
            let ended = set & !gone == 0 || !set & 15 & !gone == 0;
            self.prior[set] += if ended { 0.0 } else { weight };
        };
        let bit = |k: usize| 1 << ((self.seat + k + 1) % SEATS);
        match self.pool.iter().filter(|c| c.red() > 0).count() {
            0 => add(self.known, 1.0),
            1 => (0..OTHERS).for_each(|k| add(self.known | bit(k), room[k])),
            _ => {
                for a in 0..OTHERS {
                    add(self.known | bit(a), room[a] * (room[a] - 1.0) / 2.0);
                    (a + 1..OTHERS).for_each(|b| add(self.known | bit(a) | bit(b), room[a] * room[b]));
                }
            }
        }
        let sum: f64 = self.prior.iter().sum();
        self.prior.iter_mut().for_each(|w| *w /= sum);
    }

    /// The public history over some deal, with a copy of the position before each decision of another.
    fn replay(&mut self, seat: Seat<'_>) {
        let dealt = self.hands(&self.draw(0.5, &mut Rng::stream(0, 0))).map(|h| h.0);
        let dealt = std::array::from_fn(|s| Cards(dealt[s] + self.open.played[s].0));
        let mut game = Game::supposed(seat.rules(), dealt, seat.leader());
        let mut since = self.open.played;
        let mut decisions = Vec::new();
        let mut note = |game: &Game, s: usize, since: &[Cards; SEATS], play: Move| {
            if let Some(other) = (0..OTHERS).find(|&k| self.other(k) == s) {
                decisions.push(Decision { other, game: game.clone(), since: *since, play });
            }
        };
        let mut history = seat.history().iter().peekable();
        if seat.rules().reveal_phase {
            let order = (0..SEATS).map(|k| (seat.leader() + k) % SEATS);
            // Who asks itself was not yet passed over; those after it were not asked.
            for s in order.take_while(|&s| !(seat.asked() && s == seat.seat())) {
                game.suppose_asked(Some(s));
                match history.peek() {
                    Some(p) if p.play.kind == Kind::Show && usize::from(p.seat) == s => {
                        note(&game, s, &since, p.play);
                        game.play(p.play);
                        history.next();
                    }
                    _ => note(&game, s, &since, Move { kind: Kind::Keep, ..Move::PASS }),
                }
            }
            game.suppose_asked(None);
        }
        for p in history {
            let s = usize::from(p.seat);
            note(&game, s, &since, p.play);
            since[s].0 -= p.play.cards.0;
            game.play(p.play);
        }
        self.decisions = decisions;
    }

    /// How many decisions there are.
    pub fn decisions(&self) -> usize {
        self.decisions.len()
    }

    /// Who made a decision, of the others.
    pub fn decided(&self, number: usize) -> usize {
        self.decisions[number].other
    }

    /// All four hands as they would be now.
    fn hands(&self, hidden: &Hidden) -> [Cards; SEATS] {
        let mut hands = [self.own; SEATS];
        for (k, hand) in hidden.iter().enumerate() {
            hands[self.other(k)] = Cards(hand.0 + self.open.fixed[k].0);
        }
        hands
    }

    /// The holders of the red tens in a deal.
    pub fn holders(&self, hidden: &Hidden) -> usize {
        hidden.iter().enumerate().fold(self.known, |m, (k, h)| m | usize::from(h.red() > 0) << self.other(k))
    }

    /// Whether nothing rules a deal out.
    pub fn allowed(&self, hidden: &Hidden) -> bool {
        (0..OTHERS).all(|k| self.may_hold(k, hidden[k])) && self.prior[self.holders(hidden)] > 0.0
    }

    /// ln of the share of a deal's suits in which the first leader holds the leading card.
    pub fn leading(&self, hidden: &Hidden) -> f64 {
        self.leading.map_or(0.0, |(k, rank)| {
            let dealt = hidden[k].count(rank) + self.open.played[self.other(k)].count(rank);
            (dealt as f64 / 4.0).ln()
        })
    }

    /// Takes down a decision as it would have looked in a deal. What is returned is ln of the chance of just these of equal cards,
    /// and whether the likelihood has an answer to add.
    pub fn ask(&mut self, number: usize, hidden: &Hidden, likelihood: &mut dyn Likelihood) -> (f64, bool) {
        let mut hands = self.hands(hidden);
        let decision = &mut self.decisions[number];
        (0..SEATS).for_each(|s| hands[s].0 += decision.since[s].0);
        let seat = (self.seat + decision.other + 1) % SEATS;
        let (hand, play) = (hands[seat], decision.play);
        let answer = matches!(play.kind, Kind::Show | Kind::Keep);
        if answer && hand.red() == 0 {
            // Without a red ten one is not asked.
            return (0.0, false);
        }
        let cards = if answer { 0.0 } else { -ways(hand, play.cards).ln() };
        decision.game.suppose(hands);
        decision.game.legal(&mut self.legal);
        if self.legal.len() < 2 {
            return (cards, false);
        }
        let chosen = self.legal.iter().position(|m| *m == play).expect("what was played was legal with that hand");
        likelihood.ask(Seat::new(&decision.game, seat), &self.legal, chosen);
        (cards, true)
    }

    /// A deal drawn from the prior, with `stratum` in [0, 1) choosing the holders of the red tens.
    pub fn draw(&self, stratum: f64, rng: &mut Rng) -> Hidden {
        let mut left = stratum;
        let fits = |set: &usize| self.prior[*set] > 0.0;
        let mut set = (0..16).rfind(fits).expect("some deal agrees with what was seen");
        for candidate in (0..16).filter(fits) {
            if left < self.prior[candidate] {
                set = candidate;
                break;
            }
            left -= self.prior[candidate];
        }
        let wanted: Vec<usize> =
            (0..OTHERS).filter(|&k| set >> self.other(k) & 1 == 1 && self.known >> self.other(k) & 1 == 0).collect();
        let (reds, mut rest): (Vec<Cards>, Vec<Cards>) = self.pool.iter().partition(|c| c.red() > 0);
        rng.shuffle(&mut rest);
        let (mut hidden, mut room) = ([Cards::NONE; OTHERS], self.sizes);
        for (n, red) in reds.iter().enumerate() {
            // A second red ten of one holder, or one of a holder whose first was seen.
            let k = wanted.get(n).or(wanted.last()).copied().unwrap_or_else(|| self.again(set));
            hidden[k].0 += red.0;
            room[k] -= 1;
        }
        let mut rest = rest.into_iter();
        for (hand, room) in hidden.iter_mut().zip(room) {
            hand.0 += rest.by_ref().take(room).map(|c| c.0).sum::<u64>();
        }
        hidden
    }

    /// The other of `set` that may hold a further hidden red ten.
    fn again(&self, set: usize) -> usize {
        let holds =
            |k: &usize| set >> self.other(*k) & 1 == 1 && self.may_hold(*k, Cards::RED_TEN) && self.sizes[*k] > 0;
        (0..OTHERS).find(holds).expect("a set of holders with weight has room for the red tens")
    }

    /// Whether the k-th other did not show all its red tens, or the hand has no hidden one.
    pub fn may_hold(&self, k: usize, hand: Cards) -> bool {
        !self.closed[k] || hand.red() == 0
    }

    /// What the others would have hidden now, had they hidden `before` at the time of `then`. None when they could not have played
    /// what they did since.
    pub fn since(&self, then: &Open, before: &Hidden) -> Option<Hidden> {
        let mut now = [Cards::NONE; OTHERS];
        for (k, before) in before.iter().enumerate() {
            let held = Cards(before.0 + then.fixed[k].0);
            let gone = Cards(self.gone(then, k).0 + self.open.fixed[k].0);
            if !held.contains(gone) {
                return None;
            }
            now[k] = Cards(held.0 - gone.0);
        }
        self.allowed(&now).then_some(now)
    }

    /// What the k-th other has played since then.
    fn gone(&self, then: &Open, k: usize) -> Cards {
        let s = self.other(k);
        Cards(self.open.played[s].0 - then.played[s].0)
    }

    /// As [`Deals::since`], but cards that are missing are taken from whom has them, in exchange for cards drawn from the hand.
    pub fn repair(&self, then: &Open, before: &Hidden, rng: &mut Rng) -> Hidden {
        for _ in 0..8 {
            let mut held: [Vec<Cards>; OTHERS] = std::array::from_fn(|k| singles(before[k]));
            for k in 0..OTHERS {
                // Shown tens lie apart: of them only what became open since came out of the hidden cards.
                let open = self.gone(then, k).0 + self.open.fixed[k].0 - then.fixed[k].0;
                let mut gone = singles(Cards(open));
                // Those that are there first: a card given away must be none of them.
                gone.retain(|c| {
                    let found = held[k].iter().position(|h| h == c);
                    found.map(|i| held[k].swap_remove(i)).is_none()
                });
                for card in gone {
                    let from = (0..OTHERS).find_map(|j| Some((j, held[j].iter().position(|h| *h == card)?)));
                    let Some((j, i)) = from else { continue };
                    let given = rng.below(held[k].len());
                    held[j][i] = held[k].swap_remove(given);
                }
            }
            let now: Hidden = std::array::from_fn(|k| Cards(held[k].iter().map(|c| c.0).sum()));
            let whole = (0..OTHERS).all(|k| held[k].len() == self.sizes[k]);
            if whole && self.allowed(&now) && self.leading(&now) > f64::NEG_INFINITY {
                return now;
            }
        }
        self.draw(rng.unit(), rng)
    }

    /// What is needed of this position to go on from it.
    pub fn open(&self) -> Open {
        self.open.clone()
    }
}

/// The earlier positions at which the seat had a choice of cards, over some deal that it cannot rule out: what it sees in them is
/// what it saw then.
pub fn past(seat: Seat<'_>) -> Vec<Game> {
    let deals = Deals::new(seat);
    let hands = deals.hands(&deals.draw(0.5, &mut Rng::stream(0, 0)));
    let dealt = std::array::from_fn(|s| Cards(hands[s].0 + deals.open.played[s].0));
    let mut game = Game::supposed(seat.rules(), dealt, seat.leader());
    let (mut legal, mut out) = (Vec::new(), Vec::new());
    for p in seat.history() {
        if p.play.kind == Kind::Show {
            game.suppose_asked(Some(p.seat.into()));
        } else {
            game.suppose_asked(None);
            if usize::from(p.seat) == seat.seat() {
                game.legal(&mut legal);
                if legal.len() > 1 {
                    out.push(game.clone());
                }
            }
        }
        game.play(p.play);
    }
    out
}

/// The single cards of a set.
pub(super) fn singles(cards: Cards) -> Vec<Cards> {
    let each = |rank: usize| {
        let red = if rank == TEN { cards.red() } else { 0 };
        (0..cards.count(rank)).map(move |i| if i < red { Cards::RED_TEN } else { Cards::of(rank, 1) })
    };
    (0..15).flat_map(each).collect()
}

/// In how many ways `cards` can be taken from a hand, suits told apart.
pub(super) fn ways(hand: Cards, cards: Cards) -> f64 {
    let choose = |n: u64, k: u64| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
    let black = |c: Cards| c.count(TEN) - c.red();
    let mut product = choose(hand.red(), cards.red()) * choose(black(hand), black(cards));
    let mut rest = cards.0 & 0x0FFF_FFFF_FFFF_FFFF & !(15 << (4 * TEN));
    while rest != 0 {
        let rank = rest.trailing_zeros() as usize / 4;
        product *= choose(hand.count(rank), cards.count(rank));
        rest &= !(15 << (4 * rank));
    }
    product
}

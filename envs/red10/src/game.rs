//! A game from the deal to its result, as the engine knows it: all four hands.
use crate::{
    cards::{Cards, LITTLE, RANKS, TEN},
    moves::{Kind, Move, generate},
    rules::{Leader, Rules, Scoring},
};
use rlx::{Error, Result, Rng};
use serde::{Deserialize, Serialize};

/// Players of a table.
pub const SEATS: usize = 4;

/// A move that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ply {
    /// Who made it.
    pub seat: u8,
    /// The move.
    pub play: Move,
    /// Whether it led a trick.
    pub lead: bool,
}

/// What everybody saw, a byte a ply: who acted (2 bits), whose play was on the table (2 bits; the own seat for a lead), the class of
/// that play or lead (3 bits), whether it was beaten. Who leaves whose tricks, and who breaks them, is what tells teams apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Story {
    /// A token a ply.
    events: Vec<u8>,
    /// A token for each play on another's: its class, and whether it went far above what was needed (the top bit).
    answers: Vec<u8>,
}

/// Ranks above the one that is beaten from which a play is more than was needed.
const FAR: u8 = 4;

/// Classes of plays: single cards low (to 8), middle (to Q) and high, pairs low (to T) and high, chains, the rest, bombs.
#[inline]
fn class(m: Move) -> u8 {
    match m.kind {
        Kind::Solo => u8::from(m.rank > 5) + u8::from(m.rank > 9),
        Kind::Pair => 3 + u8::from(m.rank > 7),
        Kind::Straight | Kind::PairChain | Kind::TrioChain | Kind::TrioChainSolos | Kind::TrioChainPairs => 5,
        Kind::Bomb => 7,
        _ => 6,
    }
}

impl Story {
    fn with_room() -> Self {
        Self { events: Vec::with_capacity(MOST_PLIES), answers: Vec::with_capacity(MOST_PLIES) }
    }
    fn clear(&mut self) {
        self.events.clear();
        self.answers.clear();
    }
    /// `play` by `seat` on `top` of `owner`, or a lead.
    #[inline]
    fn tell(&mut self, seat: u8, play: Move, top: Move, owner: u8) {
        if top.kind == Kind::Pass {
            self.events.push(seat | seat << 2 | class(play) << 4);
            return;
        }
        let who = seat | owner << 2;
        let beats = play.kind != Kind::Pass;
        self.events.push(who | class(top) << 4 | u8::from(beats) << 7);
        if beats {
            let far = play.kind != top.kind || play.rank >= top.rank + FAR;
            self.answers.push(who | class(play) << 4 | u8::from(far) << 7);
        }
    }
}

/// At most 54 plays, each with three passes, and four answers before.
const MOST_PLIES: usize = 224;

/// A game in progress or over. Seats are 0 to 3, in the order of play.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Game {
    rules: Rules,
    dealt: [Cards; SEATS],
    hands: [Cards; SEATS],
    history: Vec<Ply>,
    story: Story,
    turn: u8,
    leader: u8,
    /// What must be beaten; a pass when the next move leads.
    top: Move,
    /// Who played it.
    top_seat: u8,
    /// Passes since.
    passes: u8,
    /// Seats that still have to say whether they show their red tens.
    asked: u8,
    /// Red tens that everybody has seen, by their first holder.
    shown: [u8; SEATS],
    /// Finishing places: seats in the order in which they went out.
    out: [u8; SEATS],
    out_count: u8,
    bombs: u8,
    stake: u8,
    over: bool,
}

impl Game {
    /// A fresh deal.
    pub fn deal(rules: &Rules, rng: &mut Rng) -> Self {
        let mut game = Self::blank(rules);
        game.redeal(rng);
        game
    }

    fn blank(rules: &Rules) -> Self {
        Self {
            rules: rules.clone(),
            dealt: [Cards::NONE; SEATS],
            hands: [Cards::NONE; SEATS],
            // Room for all plies: a step never allocates.
            history: Vec::with_capacity(MOST_PLIES),
            story: Story::with_room(),
            turn: 0,
            leader: 0,
            top: Move::PASS,
            top_seat: 0,
            passes: 0,
            asked: 0,
            shown: [0; SEATS],
            out: [0; SEATS],
            out_count: 0,
            bombs: 0,
            stake: 1,
            over: false,
        }
    }

    /// Other rules from the next deal on, which must follow.
    pub(crate) fn change_rules(&mut self, rules: &Rules) {
        self.rules.clone_from(rules);
    }

    /// Deals again at the same table.
    pub fn redeal(&mut self, rng: &mut Rng) {
        // Card i is of rank i / 4 and suit i % 4 (spade, heart, club, diamond), so that a leading card and red tens are what they are.
        let mut deck: [u8; 54] = std::array::from_fn(|i| i as u8);
        let n = if self.rules.jokers { 54 } else { 52 };
        for i in (1..n).rev() {
            deck.swap(i, rng.below(i + 1));
        }
        let mut hands = [Cards::NONE; SEATS];
        let mut leader = 0;
        let wanted = match self.rules.leader {
            Leader::Seat0 => 255,
            Leader::Heart3 => 1,
            Leader::Heart4 => 5,
        };
        for (i, &card) in deck[..n].iter().enumerate() {
            hands[i & 3].0 += card_of(card);
            if card == wanted {
                leader = (i & 3) as u8;
            }
        }
        self.start(hands, leader);
    }

    /// A game from given hands. `leader` leads the first trick.
    ///
    /// # Errors
    /// When the hands are no deal of the deck of these rules.
    pub fn from_hands(rules: &Rules, hands: [Cards; SEATS], leader: u8) -> Result<Self> {
        let sum = hands.iter().try_fold(Cards::NONE, |sum, &hand| {
            let deck = Cards::deck(rules.jokers);
            let left = if deck.contains(sum) { Cards(deck.0 - sum.0) } else { Cards::NONE };
            if !left.contains(hand) {
                return Err(Error::invalid(format!("hand {hand}: more cards of a rank than a deck has")));
            }
            Ok(Cards(sum.0 + hand.0))
        })?;
        if sum != Cards::deck(rules.jokers) || usize::from(leader) >= SEATS {
            return Err(Error::invalid(format!(
                "four hands of {} cards: they are no deal of the whole deck",
                sum.total()
            )));
        }
        let (most, least) = (hands.map(Cards::total).into_iter().max(), hands.map(Cards::total).into_iter().min());
        if most.unwrap_or(0) > least.unwrap_or(0) + 1 {
            return Err(Error::invalid("four hands: they must be dealt evenly"));
        }
        let card = match rules.leader {
            Leader::Seat0 if leader != 0 => return Err(Error::invalid("the first leader must be seat 0")),
            Leader::Seat0 => None,
            Leader::Heart3 => Some(0),
            Leader::Heart4 => Some(1),
        };
        if card.is_some_and(|rank| hands[usize::from(leader)].count(rank) == 0) {
            return Err(Error::invalid(format!("seat {leader} leads without holding the leading card")));
        }
        let mut game = Self::blank(rules);
        game.start(hands, leader);
        Ok(game)
    }

    fn start(&mut self, hands: [Cards; SEATS], leader: u8) {
        self.dealt = hands;
        self.hands = hands;
        self.history.clear();
        self.story.clear();
        (self.turn, self.leader) = (leader, leader);
        (self.top, self.top_seat, self.passes) = (Move::PASS, leader, 0);
        (self.shown, self.out, self.out_count) = ([0; SEATS], [0; SEATS], 0);
        (self.bombs, self.stake, self.over, self.asked) = (0, 1, false, 0);
        if self.rules.reveal_phase {
            self.asked = hands.iter().enumerate().fold(0, |m, (s, h)| m | u8::from(h.red() > 0) << s);
            self.next_asked();
        }
    }

    fn next_asked(&mut self) {
        let next = (0..SEATS as u8).map(|k| (self.leader + k) & 3).find(|s| self.asked >> s & 1 == 1);
        self.turn = next.unwrap_or(self.leader);
    }

    /// The legal moves of who is to play, into `out`.
    #[inline]
    pub fn legal(&self, out: &mut Vec<Move>) {
        if self.asked != 0 {
            out.clear();
            let red = self.hands[usize::from(self.turn)].red();
            out.push(Move { cards: Cards(red << (4 * TEN) | red << 60), kind: Kind::Show, len: 0, rank: 0 });
            out.push(Move { cards: Cards::NONE, kind: Kind::Keep, len: 0, rank: 0 });
            return;
        }
        generate(self.hands[usize::from(self.turn)], self.top, &self.rules, out);
    }

    /// Makes a move that is legal.
    #[inline]
    pub fn play(&mut self, play: Move) {
        debug_assert!(!self.over);
        let seat = self.turn;
        let s = usize::from(seat);
        if self.asked != 0 {
            return self.answer(play);
        }
        self.history.push(Ply { seat, play, lead: self.top.kind == Kind::Pass });
        self.story.tell(seat, play, self.top, self.top_seat);
        if play.kind == Kind::Pass {
            self.passes += 1;
            // The trick ends when all that are still in have passed but who played the top, if still in.
            let needed = 3 - self.out_count + u8::from(self.is_out(self.top_seat));
            if self.passes >= needed {
                (self.top, self.passes) = (Move::PASS, 0);
            }
        } else {
            self.hands[s].0 -= play.cards.0;
            let seen = self.played(s).red() as u8;
            self.shown[s] = self.shown[s].max(seen);
            (self.top, self.top_seat, self.passes) = (play, seat, 0);
            self.bombs += u8::from(play.kind == Kind::Bomb);
            if self.hands[s] == Cards::NONE {
                self.went_out(seat);
            }
        }
        self.advance();
    }

    #[inline]
    fn advance(&mut self) {
        self.turn = (self.turn + 1) & 3;
        if self.out_count > 0 && !self.over {
            while self.is_out(self.turn) {
                self.turn = (self.turn + 1) & 3;
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn answer(&mut self, play: Move) {
        let s = usize::from(self.turn);
        self.asked &= !(1 << s);
        // Only who shows is heard: that somebody was asked is known to nobody.
        if play.kind == Kind::Show {
            self.history.push(Ply { seat: self.turn, play, lead: false });
            self.shown[s] = play.cards.red() as u8;
            self.stake *= 2;
        }
        self.next_asked();
    }

    #[cold]
    #[inline(never)]
    fn went_out(&mut self, seat: u8) {
        self.out[usize::from(self.out_count)] = seat;
        self.out_count += 1;
        let red = self.red_team();
        let gone = self.out[..usize::from(self.out_count)].iter().fold(0u8, |m, s| m | 1 << s);
        self.over = match self.rules.scoring {
            Scoring::FirstOut => true,
            // A whole team is out: first and last place are settled.
            Scoring::Places => gone & red == red || gone & !red == !red & 15,
        };
    }

    /// Makes the move that plays these cards, or says why it can not be made.
    ///
    /// # Errors
    /// When the game is over or the move is not legal, with the reason.
    pub fn try_play(&mut self, play: Move) -> Result<()> {
        if self.over {
            return Err(Error::invalid("the game is over"));
        }
        let mut legal = Vec::new();
        self.legal(&mut legal);
        if !legal.contains(&play) {
            return Err(self.explain(play.cards));
        }
        self.play(play);
        Ok(())
    }

    /// The legal move that plays exactly `cards` ([`Cards::NONE`]: to pass).
    ///
    /// # Errors
    /// When there is none, with the reason.
    pub fn find(&self, cards: Cards) -> Result<Move> {
        let mut legal = Vec::new();
        self.legal(&mut legal);
        legal.into_iter().find(|m| m.cards == cards).ok_or_else(|| self.explain(cards))
    }

    /// Why these cards can not be played now.
    fn explain(&self, cards: Cards) -> Error {
        let hand = self.hand(self.turn.into());
        if self.asked != 0 {
            return Error::invalid("before the first lead: show the red tens, or keep them");
        }
        if cards == Cards::NONE {
            return Error::invalid("you lead: a card must be played");
        }
        if !hand.contains(cards) {
            return Error::invalid(format!("{cards}: your hand is {hand}"));
        }
        match Move::of(cards, &self.rules) {
            Err(e) => e,
            Ok(m) if m.kind != self.top.kind || m.len != self.top.len => Error::invalid(format!(
                "{cards} is no {} as {} is: only the same kind and length, or a bomb, may follow",
                describe(self.top),
                self.top.cards
            )),
            Ok(_) => Error::invalid(format!("{cards} is not above {}", self.top.cards)),
        }
    }

    /// The rules of the table.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
    /// Who is to play.
    pub fn turn(&self) -> usize {
        self.turn.into()
    }
    /// Who led the first trick.
    pub fn leader(&self) -> usize {
        self.leader.into()
    }
    /// What must be beaten; a pass when the next move leads.
    pub fn top(&self) -> Move {
        self.top
    }
    /// Who played [`Game::top`]; None when the next move leads.
    pub fn top_seat(&self) -> Option<usize> {
        (self.top.kind != Kind::Pass).then_some(self.top_seat.into())
    }
    /// Whether the next move leads a trick.
    pub fn leads(&self) -> bool {
        self.top.kind == Kind::Pass
    }
    /// Passes since the top was played.
    pub fn passes(&self) -> u8 {
        self.passes
    }
    /// Whether the players are still asked if they show their red tens.
    pub fn asking(&self) -> bool {
        self.asked != 0
    }
    /// What a seat was dealt.
    pub fn dealt(&self, seat: usize) -> Cards {
        self.dealt[seat]
    }
    /// What a seat still holds.
    pub fn hand(&self, seat: usize) -> Cards {
        self.hands[seat]
    }
    /// What a seat has played.
    #[inline]
    pub fn played(&self, seat: usize) -> Cards {
        Cards(self.dealt[seat].0 - self.hands[seat].0)
    }
    /// What a seat neither holds nor has seen played.
    #[inline]
    pub fn unseen(&self, seat: usize) -> Cards {
        Cards(self.hands.iter().map(|h| h.0).sum::<u64>() - self.hands[seat].0)
    }
    /// The moves made, in order; an answer not to show is not among them.
    pub fn history(&self) -> &[Ply] {
        &self.history
    }
    /// What everybody saw, as tokens: a byte a ply of the play (answers before the first lead are none), and a byte for each play on
    /// another's. The lowest four bits are two absolute seats.
    #[inline]
    pub(crate) fn tokens(&self) -> (&[u8], &[u8]) {
        (&self.story.events, &self.story.answers)
    }
    /// Red tens of a seat that everybody has seen.
    pub fn shown(&self, seat: usize) -> u8 {
        self.shown[seat]
    }
    /// Bombs played.
    pub fn bombs(&self) -> u8 {
        self.bombs
    }
    /// What the game is worth.
    pub fn stake(&self) -> u8 {
        self.stake
    }
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.over
    }
    /// Seats in the order in which they went out.
    pub fn out(&self) -> &[u8] {
        &self.out[..usize::from(self.out_count)]
    }
    /// Whether a seat has gone out.
    #[inline]
    pub fn is_out(&self, seat: u8) -> bool {
        self.out().contains(&seat)
    }
    /// The holders of the red tens as a bit set of seats: one bit when both were in one hand.
    #[inline]
    pub fn red_team(&self) -> u8 {
        (0..SEATS).fold(0, |m, s| m | u8::from(self.dealt[s].red() > 0) << s)
    }
    /// Whether two seats are of one team.
    pub fn teammates(&self, a: usize, b: usize) -> bool {
        let red = self.red_team();
        red >> a & 1 == red >> b & 1
    }
    /// What each seat is paid: the stake for the winners, minus it for the others, zero while nothing is decided and for a draw.
    pub fn payoff(&self) -> [f32; SEATS] {
        if !self.over {
            return [0.0; SEATS];
        }
        let red = self.red_team();
        let first = red >> self.out[0] & 1;
        if self.rules.scoring == Scoring::Places {
            let gone = self.out().iter().fold(0u8, |m, s| m | 1 << s);
            let own = if first == 1 { red } else { !red & 15 };
            if gone & own != own {
                return [0.0; SEATS];
            }
        }
        std::array::from_fn(|s| if red >> s & 1 == first { f32::from(self.stake) } else { -f32::from(self.stake) })
    }
    /// The winning team: 1 for the holders of the red tens, 0 for the others; None while undecided and for a draw.
    pub fn winner(&self) -> Option<u8> {
        let pay = self.payoff();
        let seat = (0..SEATS).find(|&s| pay[s] > 0.0)?;
        Some(self.red_team() >> seat & 1)
    }

    /// A game whose hands are a supposition, and so are not held to be dealt as the leading card says: what the posterior replays.
    pub(crate) fn supposed(rules: &Rules, dealt: [Cards; SEATS], leader: usize) -> Self {
        let mut game = Self::blank(rules);
        game.start(dealt, leader as u8);
        game
    }

    /// The same public position over other hands: `hands` is what each seat would hold now.
    #[inline]
    pub(crate) fn suppose(&mut self, hands: [Cards; SEATS]) {
        for (s, hand) in hands.into_iter().enumerate() {
            self.dealt[s] = Cards(hand.0 + self.played(s).0);
            self.hands[s] = hand;
        }
    }

    /// Whether the red tens are shown is asked of `seat` alone, or, with none, of nobody any more: the first trick is led.
    pub(crate) fn suppose_asked(&mut self, seat: Option<usize>) {
        if seat.is_some() || self.asked != 0 {
            self.asked = seat.map_or(0, |s| 1 << s);
            self.next_asked();
        }
    }

    /// Room for a whole game, so that no step allocates after a load either.
    pub(crate) fn reserve(&mut self) {
        self.history.reserve(MOST_PLIES - self.history.len());
        self.story.events.reserve(MOST_PLIES - self.story.events.len());
        self.story.answers.reserve(MOST_PLIES - self.story.answers.len());
    }

    /// Whether a state read from outside can be one of a game.
    pub(crate) fn is_sound(&self) -> bool {
        let deck = Cards::deck(self.rules.jokers);
        let contained = |(h, d): (&Cards, &Cards)| deck.contains(*d) && d.contains(*h);
        let seats = [self.turn, self.leader, self.top_seat].iter().all(|s| usize::from(*s) < SEATS);
        seats
            && self.out_count <= 4
            && self.asked < 16
            && self.out.iter().all(|s| *s < 4)
            && self.history.len() <= MOST_PLIES
            && self.story.events.len() <= self.history.len()
            && self.story.answers.len() <= self.story.events.len()
            && self.history.iter().all(|p| p.seat < 4 && deck.contains(p.play.cards))
            && self.hands.iter().zip(&self.dealt).all(contained)
            && self.dealt.iter().map(|c| u128::from(c.0)).sum::<u128>() == u128::from(deck.0)
            && deck.contains(self.top.cards)
            && (self.over || (self.hands[usize::from(self.turn)] != Cards::NONE && !self.is_out(self.turn)))
    }
}

/// What a move is called: `pair`, `straight of 5`.
pub fn describe(play: Move) -> String {
    let of = |name: &str| format!("{name} of {}", play.len);
    match play.kind {
        Kind::Pass => "pass".into(),
        Kind::Solo => "single card".into(),
        Kind::Pair => "pair".into(),
        Kind::Trio => "trio".into(),
        Kind::TrioSolo => "trio with a card".into(),
        Kind::TrioPair => "trio with a pair".into(),
        Kind::Straight => of("straight"),
        Kind::PairChain => of("chain of pairs"),
        Kind::TrioChain => of("chain of trios"),
        Kind::TrioChainSolos => format!("{} with cards", of("chain of trios")),
        Kind::TrioChainPairs => format!("{} with pairs", of("chain of trios")),
        Kind::FourSolos => "four with two cards".into(),
        Kind::FourPairs => "four with two pairs".into(),
        Kind::Bomb => "bomb".into(),
        Kind::Show => "show of the red tens".into(),
        Kind::Keep => "keeping the red tens hidden".into(),
    }
}

/// Card number `card` as a packed count.
#[inline(always)]
fn card_of(card: u8) -> u64 {
    let rank = if card < 52 { usize::from(card) / 4 } else { LITTLE + usize::from(card) - 52 };
    debug_assert!(rank < RANKS || card >= 52);
    // Hearts and diamonds of the tens are red.
    (1 << (4 * rank)) + (u64::from(rank == TEN && card % 2 == 1) << 60)
}

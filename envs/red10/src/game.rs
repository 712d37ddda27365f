//! A game from the deal to its result, as the engine knows it: all four hands.
//!
//! # The rules
//!
//! *Players and teams.* Four players sit in a circle and are dealt the whole deck of 52 cards, 13 each. Who holds a red ten (the ten of
//! hearts or of diamonds) is of the red team; the others are the black team. So the teams are two against two, or one against three
//! when both red tens are in one hand. Nobody is told the teams: each player knows the own hand, and sees what is played.
//!
//! *Cards.* They rank 3 4 5 6 7 8 9 T J Q K A 2, from low to high; the two jokers, where they are played with, rank above the 2. Suits
//! mean nothing, but for the tens: a red one makes a team.
//!
//! *Combinations* ([`Kind`]): a single card, a pair, a trio; a straight (successive ranks up to the ace, at least five in the paper's
//! rules); chains of at least three pairs or two trios of successive ranks; a trio or a chain of trios with as many single cards or
//! pairs; four of a kind with two cards or two pairs. Four of a kind alone are a bomb.
//!
//! *Tricks.* Who leads plays any combination. The others follow in turn: each plays the same kind and length of a higher rank, or a
//! bomb, or passes. A bomb beats all that is no bomb, and a higher bomb beats a lower. Who passed may play again in the same trick.
//! When all players still in but the owner of the top have passed in a row, the trick is over and its owner leads the next one. If
//! the owner has gone out, all players still in must pass, and the next of them after the owner leads. The first trick of all is led
//! by seat 0.
//!
//! *The end.* A player without cards is out. By the paper's rules the first player out wins the game for the whole team: each of the
//! winners is paid +1, each of the losers -1.
//!
//! *The folk rules* ([`Rules::folk4`]) differ. Straights start at three cards and chains of pairs at two; there are no kickers and no
//! chains of trios. Three of a kind is a bomb below every four of a kind. A single red ten outranks the 2, and the pair of red tens
//! is the highest bomb. Before the first lead each holder of red tens may show them, which doubles the stake. The holder of the
//! three of hearts leads first. Play goes on until all of one team are out: the team of the first out wins the stake, but if the
//! last place is that team's too, nobody wins.
use crate::{
    cards::{Cards, TEN},
    moves::{Kind, Move, describe, generate},
    ply::{MOST_PLIES, Ply},
    rules::{Rules, Scoring},
};
use rlx::{Error, Result, Rng};

mod deal;
mod saved;
mod supposed;
pub(crate) use saved::Saved;

/// Players of a table.
pub const SEATS: usize = 4;

/// What is done at the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The holders of red tens are asked, one after another, whether they show them.
    Reveal {
        /// The seats that still have to say so, as a bit set that is not empty.
        asked: u8,
    },
    /// Tricks are played.
    Play,
    /// The game is decided.
    Over,
}

/// A game in progress or over. Seats are 0 to 3, in the order of play.
#[derive(Clone, Debug, PartialEq)]
pub struct Game {
    rules: Rules,
    dealt: [Cards; SEATS],
    hands: [Cards; SEATS],
    history: Vec<Ply>,
    phase: Phase,
    turn: u8,
    leader: u8,
    /// What must be beaten; a pass when the next move leads.
    top: Move,
    /// Who played it.
    top_seat: u8,
    /// Passes since.
    passes: u8,
    /// Red tens that everybody has seen, by their first holder.
    shown: [u8; SEATS],
    /// Finishing places: seats in the order in which they went out.
    out: [u8; SEATS],
    out_count: u8,
    bombs: u8,
    stake: u8,
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
            phase: Phase::Play,
            turn: 0,
            leader: 0,
            top: Move::PASS,
            top_seat: 0,
            passes: 0,
            shown: [0; SEATS],
            out: [0; SEATS],
            out_count: 0,
            bombs: 0,
            stake: 1,
        }
    }

    /// Other rules from the next deal on, which must follow.
    pub(crate) fn change_rules(&mut self, rules: &Rules) {
        self.rules.clone_from(rules);
    }

    fn start(&mut self, hands: [Cards; SEATS], leader: u8) {
        self.dealt = hands;
        self.hands = hands;
        self.history.clear();
        (self.turn, self.leader) = (leader, leader);
        (self.top, self.top_seat, self.passes) = (Move::PASS, leader, 0);
        (self.shown, self.out, self.out_count) = ([0; SEATS], [0; SEATS], 0);
        (self.bombs, self.stake, self.phase) = (0, 1, Phase::Play);
        if self.rules.reveal_phase {
            self.ask(self.red_team());
        }
    }

    /// Asks these seats whether they show their red tens, in the order of play; with none, the first trick is led.
    fn ask(&mut self, asked: u8) {
        let next = (0..SEATS as u8).map(|k| (self.leader + k) & 3).find(|s| asked >> s & 1 == 1);
        self.phase = if next.is_some() { Phase::Reveal { asked } } else { Phase::Play };
        self.turn = next.unwrap_or(self.leader);
    }

    /// The legal moves of who is to play, into `out`.
    #[inline]
    pub fn legal(&self, out: &mut Vec<Move>) {
        if self.asking() {
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
        debug_assert!(!self.is_over());
        let seat = self.turn;
        let s = usize::from(seat);
        if let Phase::Reveal { asked } = self.phase {
            return self.answer(asked, play);
        }
        self.history.push(Ply { seat, play, lead: self.top.kind == Kind::Pass });
        if play.kind == Kind::Pass {
            self.passes += 1;
            if self.passes >= self.passes_to_win_trick() {
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

    /// Passes in a row that end the trick: of all who are still in, but of who played the top, if still in.
    #[inline]
    fn passes_to_win_trick(&self) -> u8 {
        3 - self.out_count + u8::from(self.is_out(self.top_seat))
    }

    #[inline]
    fn advance(&mut self) {
        self.turn = (self.turn + 1) & 3;
        if self.out_count > 0 && !self.is_over() {
            while self.is_out(self.turn) {
                self.turn = (self.turn + 1) & 3;
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn answer(&mut self, asked: u8, play: Move) {
        let s = usize::from(self.turn);
        // Only who shows is heard: that somebody was asked is known to nobody.
        if play.kind == Kind::Show {
            self.history.push(Ply { seat: self.turn, play, lead: false });
            self.shown[s] = play.cards.red() as u8;
            self.stake *= 2;
        }
        self.ask(asked & !(1 << s));
    }

    #[cold]
    #[inline(never)]
    fn went_out(&mut self, seat: u8) {
        self.out[usize::from(self.out_count)] = seat;
        self.out_count += 1;
        let red = self.red_team();
        let gone = self.out[..usize::from(self.out_count)].iter().fold(0u8, |m, s| m | 1 << s);
        let over = match self.rules.scoring {
            Scoring::FirstOut => true,
            // A whole team is out: first and last place are settled.
            Scoring::Places => gone & red == red || gone & !red == !red & 15,
        };
        if over {
            self.phase = Phase::Over;
        }
    }

    /// Makes the move that plays these cards, or says why it cannot be made.
    ///
    /// # Errors
    /// When the game is over or the move is not legal, with the reason.
    pub fn try_play(&mut self, play: Move) -> Result<()> {
        if self.is_over() {
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

    /// Why these cards cannot be played now.
    fn explain(&self, cards: Cards) -> Error {
        let hand = self.hand(self.turn.into());
        if self.asking() {
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
    #[inline]
    pub fn asking(&self) -> bool {
        matches!(self.phase, Phase::Reveal { .. })
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
    #[inline]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
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
        if !self.is_over() {
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
}

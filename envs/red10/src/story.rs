//! The history of a game as tokens for a network: who leaves whose tricks, and who breaks them, is what tells teams apart.
use crate::{
    moves::{Kind, Move},
    ply::{MOST_PLIES, Ply},
};

/// What everybody saw, as tokens whose lowest four bits are two absolute seats.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// A byte a ply of the play: who acted (2 bits), whose play was on the table (2 bits; the own seat for a lead), the class of that
    /// play or lead (3 bits), whether it was beaten.
    pub events: Vec<u8>,
    /// A byte for each play on another's: the seats, its class, and whether it went far above what was needed (the top bit).
    pub answers: Vec<u8>,
    /// Plies that were read.
    read: usize,
    /// The last play, and who made it.
    last: Move,
    owner: u8,
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
    /// An empty one with room for a whole game.
    pub fn with_room() -> Self {
        let room = || Vec::with_capacity(MOST_PLIES);
        Self { events: room(), answers: room(), ..Self::default() }
    }

    /// Forgets the game, keeping the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.answers.clear();
        self.read = 0;
    }

    /// Reads on in the history of a game, from where it stopped.
    #[inline]
    pub fn follow(&mut self, history: &[Ply]) {
        for &ply in &history[self.read..] {
            self.tell(ply);
        }
        self.read = history.len();
    }

    #[inline]
    fn tell(&mut self, Ply { seat, play, lead }: Ply) {
        // What is shown before the first lead is no play.
        if play.kind == Kind::Show {
            return;
        }
        let beats = play.kind != Kind::Pass;
        if lead {
            self.events.push(seat | seat << 2 | class(play) << 4);
        } else {
            let who = seat | self.owner << 2;
            self.events.push(who | class(self.last) << 4 | u8::from(beats) << 7);
            if beats {
                let far = play.kind != self.last.kind || play.rank >= self.last.rank + FAR;
                self.answers.push(who | class(play) << 4 | u8::from(far) << 7);
            }
        }
        if beats {
            (self.last, self.owner) = (play, seat);
        }
    }

    /// Its tokens: of the plies, of the plays on another's.
    pub fn into_tokens(self) -> (Vec<u8>, Vec<u8>) {
        (self.events, self.answers)
    }
}

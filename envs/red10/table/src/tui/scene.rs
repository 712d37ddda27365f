//! What there is to see of a game: from a seat's view, or with all hands open.
use rlx_red10::{Cards, Game, Kind, Move, Ply, SEATS, Seat};

/// What the player thinks of somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing yet.
    #[default]
    Unknown,
    /// Of the player's team.
    Friend,
    /// Of the other team.
    Foe,
}

impl Mark {
    /// The next one.
    pub fn next(self) -> Self {
        match self {
            Self::Unknown => Self::Friend,
            Self::Friend => Self::Foe,
            Self::Foe => Self::Unknown,
        }
    }
}

/// What is seen of a player.
#[derive(Clone, Debug, Default)]
pub struct Player {
    /// The seat.
    pub seat: usize,
    /// Cards left.
    pub left: u64,
    /// Red tens that everybody has seen.
    pub shown: u8,
    /// Whether the player is to move.
    pub turn: bool,
    /// The place, from 1 on, of a player who is out.
    pub place: Option<usize>,
    /// What the player did in this trick, or in the last one before a lead.
    pub last: Option<Move>,
    /// Whether that is what must be beaten.
    pub top: bool,
    /// The hand, where it may be seen.
    pub hand: Option<Cards>,
    /// Whether the player is of the red team, where that may be seen.
    pub red: Option<bool>,
    /// The payoff, once the game is over.
    pub paid: Option<f32>,
    /// The player's own mark.
    pub mark: Mark,
    /// P(with the player at the bottom), as an agent sees it.
    pub with: Option<f32>,
    /// By how much that changed since the last own move.
    pub shift: Option<f32>,
}

/// What is seen of a game.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The players in the order of play, the one at the bottom first.
    pub players: [Player; SEATS],
    /// What must be beaten; a pass when the next move leads.
    pub top: Move,
    /// Who played it.
    pub top_seat: Option<usize>,
    /// Passes since.
    pub passes: usize,
    /// The moves made.
    pub history: Vec<Ply>,
}

impl Scene {
    /// What a seat sees.
    pub fn seen(view: Seat<'_>) -> Self {
        let me = view.seat();
        let history = view.history();
        let lead = history.iter().rposition(|p| p.lead).unwrap_or(0);
        let player = |k: usize| {
            let seat = (me + k) % SEATS;
            let last = history[lead..].iter().rev().find(|p| usize::from(p.seat) == seat).map(|p| p.play);
            Player {
                seat,
                left: view.left(seat),
                shown: view.shown(seat),
                turn: view.turn() == seat,
                place: view.out().iter().position(|s| usize::from(*s) == seat).map(|i| i + 1),
                last,
                top: view.top_seat() == Some(seat) && last.is_some_and(|m| m.kind != Kind::Pass),
                hand: (k == 0).then(|| view.hand()),
                red: (k == 0).then(|| view.dealt().red() > 0).or((view.shown(seat) > 0).then_some(true)),
                ..Player::default()
            }
        };
        Self {
            players: std::array::from_fn(player),
            top: view.top(),
            top_seat: view.top_seat(),
            passes: view.passes().into(),
            history: history.to_vec(),
        }
    }

    /// What all see with the hands open, `me` at the bottom.
    pub fn open(game: &Game, me: usize) -> Self {
        let mut scene = Self::seen(Seat::new(game, me));
        for player in &mut scene.players {
            player.hand = Some(game.hand(player.seat));
            player.red = Some(game.red_team() >> player.seat & 1 == 1);
            player.paid = game.is_over().then(|| game.payoff()[player.seat]);
            player.turn &= !game.is_over();
        }
        scene
    }
}

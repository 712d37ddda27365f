//! What a learner may know of a world before the first step: sizes, named fields, goals.
use crate::Space;
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Range, sync::Arc};

/// How a field's scalars are meant, so that a learner can spread compact bytes into features without knowing the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// Each scalar is a number.
    #[default]
    Number,
    /// Each scalar is one of so many choices, from 0 on.
    OneHot(u16),
    /// Each byte is two counts from 0 to 4, the lower nibble first: a thermometer of four each.
    Counts,
    /// The bytes are tokens from 0 on, so many kinds of them, in no order; what is not below that number is no token.
    Bag(u16),
}

/// What a field is to a learner for games with hidden teams, which knows no world and so no name of a field. "The others" are the
/// players but the acting one, in the order of play from the next seat on. A world says the roles it has; none is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Of the hidden state: the team of each player, by seat. Two teams play against each other, and what one wins the other loses.
    Team,
    /// P(teammate) of each of the others as the world itself counts it, a byte each: 255 for certain.
    TeamPrior,
    /// Who is ahead: whose play stands on the table, whose bid is the highest. Counted from the acting seat, 1 for the next; a number
    /// that is none of the others' is nobody.
    Leader,
    /// How much each of the others has left until it is done: cards, pieces, points. One of n ([`Encoding::OneHot`]), 0 for nothing.
    Remaining,
    /// The moves made before, the newest first, each as wide as the candidates' field of the role [`Role::Move`] and encoded alike.
    RecentMoves,
    /// Of a candidate: the move itself, as [`Role::RecentMoves`] shows it once it was made.
    Move,
}

impl Role {
    /// The field that has this role.
    pub fn find(self, fields: &[Field]) -> Option<&Field> {
        fields.iter().find(|f| f.role == Some(self))
    }

    /// How many scalars a field of this role has in a game of `players`; None where that is the world's choice.
    pub fn width(self, players: usize) -> Option<usize> {
        match self {
            Self::Team => Some(players),
            Self::TeamPrior | Self::Remaining => Some(players.saturating_sub(1)),
            Self::Leader => Some(1),
            Self::RecentMoves | Self::Move => None,
        }
    }
}

/// A named part of an observation, so that nobody reads magic offsets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// What it is.
    pub name: String,
    /// Where in the row.
    pub range: Range<usize>,
    /// Its unit (`m`, `rad/s`), empty where it has none.
    pub unit: String,
    /// How its scalars are meant.
    #[serde(default)]
    pub encoding: Encoding,
    /// What it is to a learner for games with hidden teams.
    #[serde(default)]
    pub role: Option<Role>,
}

impl Field {
    /// A field `name` of unit `unit` at `range`.
    pub fn new(name: &str, range: Range<usize>, unit: &str) -> Self {
        Self { name: name.into(), range, unit: unit.into(), encoding: Encoding::Number, role: None }
    }
    /// With another meaning of its scalars.
    pub fn encoded(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }
    /// With a role.
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }
}

/// What a goal-conditioned world says of a state and a goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The reward of the transition that led to the state.
    pub reward: f32,
    /// Whether the episode ends there by the world's own rules.
    pub terminated: bool,
    /// Whether the goal is reached.
    pub success: bool,
}

/// The world's own judgement of (achieved, desired).
pub type Judge = Arc<dyn Fn(&[f32], &[f32]) -> Judged + Send + Sync>;

/// Where a goal-conditioned world keeps its goals in an observation row, and how it judges them: what hindsight relabelling
/// (Andrychowicz et al., arXiv 1707.01495) needs to be exact without knowing the world.
#[derive(Clone)]
pub struct Goal {
    /// The part of a row that says what is achieved.
    pub achieved: Range<usize>,
    /// The part that says what is desired; as wide as `achieved`.
    pub desired: Range<usize>,
    /// The world's judgement, thresholds and flags included.
    pub judge: Judge,
}

impl fmt::Debug for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goal").field("achieved", &self.achieved).field("desired", &self.desired).finish_non_exhaustive()
    }
}

/// A skill of a chain of skills: an observation row serves all skills of the chain, only the part that is a skill's goal differs.
#[derive(Clone, Debug)]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// Where in a row its own goal is, and how it is judged. A success ends the skill.
    pub goal: Goal,
}

/// Everything a learner may know about a world before the first step. Sizes derive from it, never restated.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The world's registered name.
    pub name: String,
    /// An observation row.
    pub obs: Space,
    /// An action row. For a world with candidates: `Discrete(0)`, and the action is the index of the chosen candidate.
    pub act: Space,
    /// Rows that must act on every tick: 1 for solo and turn-based worlds, `players` for simultaneous play.
    pub rows: usize,
    /// Seats that can be paid.
    pub players: usize,
    /// Ticks after which the vector ends an episode as [`crate::Status::Truncated`].
    pub time_limit: Option<u32>,
    /// Goals, for worlds that have them.
    pub goal: Option<Goal>,
    /// The skills of a chain, in order, for worlds that are one. The field named `skill` says which one is at work: the number of
    /// those that are done. The row that a skill's success leads to is the first of the next.
    pub skills: Vec<Skill>,
    /// Width of a candidate's feature row, for worlds whose legal moves are ragged.
    pub candidates: Option<usize>,
    /// The named parts of an observation.
    pub fields: Vec<Field>,
    /// The named parts of a candidate's feature row.
    pub candidate_fields: Vec<Field>,
    /// The named parts of the hidden state of a world that is an [`crate::Oracle`].
    pub hidden_fields: Vec<Field>,
    /// Names of the world's own players ([`crate::Env::bot`]), for opponents that need no training.
    pub bots: Vec<String>,
    /// Whether anything is left to chance. A world where nothing is says so, or the contract suite takes it for one that ignores
    /// its seed.
    pub chance: bool,
    /// Worlds that one thread steps in one go: many where a step is short, few where one takes longer than waking a thread.
    pub grain: usize,
}

impl Spec {
    /// A solo world with no goal, no candidates and no time limit.
    pub fn solo(name: &str, obs: Space, act: Space) -> Self {
        Self {
            name: name.into(),
            obs,
            act,
            rows: 1,
            players: 1,
            time_limit: None,
            goal: None,
            skills: Vec::new(),
            candidates: None,
            fields: Vec::new(),
            candidate_fields: Vec::new(),
            hidden_fields: Vec::new(),
            bots: Vec::new(),
            chance: true,
            grain: 64,
        }
    }
    /// With a time limit, in ticks.
    pub fn limited(mut self, ticks: u32) -> Self {
        self.time_limit = Some(ticks);
        self
    }
    /// With scalar fields, in order: (name, unit).
    pub fn named(mut self, fields: &[(&str, &str)]) -> Self {
        self.fields = fields.iter().enumerate().map(|(i, (name, unit))| Field::new(name, i..i + 1, unit)).collect();
        self
    }
}

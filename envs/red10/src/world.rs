//! The game as a world: one acting row a tick, seen through the eyes of who is to play; legal moves as candidates.
use crate::{
    Cards, Game, Kind, Move, Rules, SEATS, Seat, bots,
    cards::RANKS,
    game::Saved,
    hand::{self, Glance},
    story::Story,
};
use rlx::{Encoding, Env, Error, Field, Oracle, Result, Rng, Role, Scalars, Space, Spec, Status, View, snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// The rules of a table, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Those of IDRL (arXiv 2210.12896).
    #[default]
    Paper,
    /// The common core of the folk rules.
    Folk4,
    /// Each game by either, with equal chance: for one agent that plays both. The rows tell them apart.
    Both,
}

impl Preset {
    /// The rules that games are played by, each with its name.
    pub fn rules(self) -> Vec<(&'static str, Rules)> {
        let (paper, folk4) = (("paper", Rules::paper()), ("folk4", Rules::folk4()));
        match self {
            Self::Paper => vec![paper],
            Self::Folk4 => vec![folk4],
            Self::Both => vec![paper, folk4],
        }
    }
}

/// Settings of the world.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The rules: paper (training and reproduction), folk4 (people), or both, drawn anew for each game.
    pub rules: Preset,
    /// Where the rows' prior of who is with whom comes from: counts, or belief: the exact posterior of the bot `belief`, some hundred
    /// times as slow (for ablations: with idrl's relation = prior it stands in the network's place).
    pub prior: Prior,
}

/// Where the rows' P(teammate) comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Prior {
    /// What the counts alone say.
    #[default]
    Counts,
    /// What the others' moves say too, if they are greedy's with noise ([`bots::Belief`]).
    Belief,
}

/// Moves of the past that an observation shows card by card; the rest of the history is in its tokens.
const RECENT: usize = 12;
/// Tokens of plies that an observation shows, the newest.
const EVENTS: usize = 96;
/// Tokens of plays on another's.
const ANSWERS: usize = 48;
/// No token: two equal seats with a class that no lead has.
const NO_TOKEN: u8 = 255;
/// Bytes of a candidate's row: its cards, what it leaves in the hand, its kind, the ranks of its chain; of what it leaves, the fewest
/// plays and the worth; how many unseen plays beat it.
pub const CANDIDATE: usize = 21;
/// Bytes of the hidden state.
pub const HIDDEN: usize = SEATS + 8 * SEATS;

/// The parts of an observation: name, scalars, unit, encoding.
const PARTS: &[(&str, usize, &str, Encoding)] = &[
    ("hand", 8, "cards", Encoding::Counts),
    ("unseen", 8, "cards", Encoding::Counts),
    // Own, then the others in the order of play.
    ("played", 8 * SEATS, "cards", Encoding::Counts),
    ("top", 8, "cards", Encoding::Counts),
    // The newest first.
    ("recent", 8 * RECENT, "cards", Encoding::Counts),
    // Who did what to whose play, all along: seats counted from the own one (2 bits each), what was played, whether it was beaten.
    ("events", EVENTS, "", Encoding::Bag(NO_TOKEN as u16)),
    // Who beat whom with what.
    ("answers", ANSWERS, "", Encoding::Bag(NO_TOKEN as u16)),
    // Of the others, in the order of play.
    ("left", 3, "cards", Encoding::OneHot(15)),
    // Red tens that were shown by each, and those of the own deal.
    ("shown", SEATS, "red tens", Encoding::OneHot(3)),
    ("own_red", 1, "red tens", Encoding::OneHot(3)),
    // Who played the top, counted from the own seat; 4 for none.
    ("top_seat", 1, "", Encoding::OneHot(5)),
    ("top_kind", 1, "", Encoding::OneHot(16)),
    ("passes", 1, "", Encoding::OneHot(4)),
    ("seat", 1, "after the first leader", Encoding::OneHot(4)),
    ("bombs", 1, "", Encoding::OneHot(6)),
    ("stake", 1, "doublings", Encoding::OneHot(3)),
    // Places at which the others went out, 0 for who has not.
    ("out", SEATS, "place", Encoding::OneHot(5)),
    ("asked", 1, "", Encoding::OneHot(2)),
    // jokers, kickers, bomb of three, power of the red ten, reveal phase, places.
    ("rules", 6, "", Encoding::OneHot(2)),
    // P(teammate) of the others from the counts alone.
    ("prior", 3, "1/255", Encoding::Number),
];

/// What parts are to a learner that guesses teams.
const ROLES: [(&str, Role); 4] =
    [("recent", Role::RecentMoves), ("left", Role::Remaining), ("top_seat", Role::Leader), ("prior", Role::TeamPrior)];

/// The named parts of a row.
fn fields() -> (Vec<Field>, usize) {
    let mut at = 0;
    let fields = PARTS.iter().map(|&(name, size, unit, encoding)| {
        at += size;
        let mut field = Field::new(name, at - size..at, unit).encoded(encoding);
        field.role = ROLES.iter().find(|r| r.0 == name).map(|r| r.1);
        field
    });
    (fields.collect(), at)
}

static WIDTH: LazyLock<usize> = LazyLock::new(|| fields().1);

/// Bytes of an observation.
pub fn width() -> usize {
    *WIDTH
}

/// Writes one part after the other.
struct Pen<'a>(&'a mut [u8]);

impl Pen<'_> {
    #[inline(always)]
    fn bytes<const N: usize>(&mut self, bytes: [u8; N]) {
        let (head, rest) = std::mem::take(&mut self.0).split_at_mut(N);
        head.copy_from_slice(&bytes);
        self.0 = rest;
    }
    #[inline(always)]
    fn cards(&mut self, cards: Cards) {
        self.bytes(cards.0.to_le_bytes());
    }
    /// The newest `N` tokens with their seats counted from `me`, then none.
    #[inline(always)]
    fn tokens<const N: usize>(&mut self, tokens: &[u8], me: u8) {
        let tokens = &tokens[tokens.len().saturating_sub(N)..];
        let mut out = [NO_TOKEN; N];
        for (o, &t) in out.iter_mut().zip(tokens) {
            *o = t & 0xF0 | t.wrapping_sub(me) & 3 | (t & 12).wrapping_sub(me << 2) & 12;
        }
        self.bytes(out);
    }
}

/// Writes what a seat sees: the fields of the spec, in their order. Everything comes through [`Seat`], which knows nothing hidden.
pub fn observe(seat: Seat<'_>, obs: &mut [u8]) {
    observe_with(seat, &seat.teammates(&seat.prior()), obs);
}

/// The same with another P(teammate) of each seat than the counts'.
pub fn observe_with(seat: Seat<'_>, teammates: &[f64; SEATS], obs: &mut [u8]) {
    let mut story = Story::with_room();
    story.follow(seat.history());
    write(seat, &story, teammates, obs);
}

/// The same by who has followed the history.
#[inline]
fn write(seat: Seat<'_>, story: &Story, teammates: &[f64; SEATS], obs: &mut [u8]) {
    let me = seat.seat();
    let other = |k: usize| (me + k) & 3;
    let mut pen = Pen(obs);
    pen.cards(seat.hand());
    pen.cards(seat.unseen());
    (0..SEATS).for_each(|k| pen.cards(seat.played(other(k))));
    pen.cards(seat.top().cards);
    let history = seat.history();
    let mut newest = history.iter().rev();
    for _ in 0..RECENT {
        pen.cards(newest.next().map_or(Cards::NONE, |p| p.play.cards));
    }
    pen.tokens::<EVENTS>(&story.events, me as u8);
    pen.tokens::<ANSWERS>(&story.answers, me as u8);
    let left = |k| seat.left(other(k)) as u8;
    pen.bytes([left(1), left(2), left(3)]);
    pen.bytes(std::array::from_fn::<u8, SEATS, _>(|k| seat.shown(other(k))));
    let relative = |s: usize| ((s + SEATS - me) & 3) as u8;
    pen.bytes([
        seat.dealt().red() as u8,
        seat.top_seat().map_or(4, relative),
        seat.top().kind as u8,
        seat.passes(),
        ((me + SEATS - seat.leader()) & 3) as u8,
        seat.bombs().min(5),
        seat.stake().trailing_zeros() as u8,
    ]);
    let mut out = [0; SEATS];
    for (place, s) in seat.out().iter().enumerate() {
        out[usize::from(relative(usize::from(*s)))] = place as u8 + 1;
    }
    pen.bytes(out);
    let r = seat.rules();
    let places = r.scoring == crate::rules::Scoring::Places;
    pen.bytes(
        [seat.asked(), r.jokers, r.kickers, r.bomb_of_three, r.red_ten_power, r.reveal_phase, places].map(u8::from),
    );
    pen.bytes([1, 2, 3].map(|k| (teammates[other(k)] * 255.0).round() as u8));
}

/// Appends the feature rows of the legal moves of who is to play.
#[inline]
pub fn describe_candidates(seat: Seat<'_>, legal: &[Move], rows: &mut Vec<u8>) {
    let (hand, unseen, rules) = (seat.hand(), seat.unseen(), seat.rules());
    for m in legal {
        let mut row = [0; CANDIDATE];
        row[..8].copy_from_slice(&m.cards.0.to_le_bytes());
        // To show takes nothing out of the hand.
        let rest = if m.kind == Kind::Show { hand } else { Cards(hand.0 - m.cards.0) };
        row[8..16].copy_from_slice(&rest.0.to_le_bytes());
        row[16] = m.kind as u8;
        row[17] = m.len;
        // A move without an alternative is not weighed.
        if legal.len() > 1 {
            let glance = Glance::of(rest, rules);
            row[18..].copy_from_slice(&[glance.plays, glance.worth, hand::beaters(*m, unseen, rules)]);
        }
        rows.extend_from_slice(&row);
    }
}

/// The world. Actions are indices into the legal moves, in the order of the candidates.
#[derive(Clone, Debug)]
pub struct Red10 {
    rules: Vec<Rules>,
    game: Game,
    /// The game's history, as far as it was shown.
    story: Story,
    legal: Vec<Move>,
    /// Whose posterior is the rows' prior, if it is not the counts'.
    belief: Option<bots::Belief>,
}

impl Red10 {
    /// Goes on with that game instead of its own.
    ///
    /// # Errors
    /// When it is by rules that this world does not deal.
    pub fn set_game(&mut self, game: &Game) -> Result<()> {
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &Saved::from(game));
        self.load(&bytes)
    }
    /// A table with those rules.
    pub fn new(config: &Config) -> Self {
        let rules: Vec<Rules> = config.rules.rules().into_iter().map(|(_, rules)| rules).collect();
        let game = Game::deal(&rules[0], &mut Rng::stream(0, 0));
        let belief = (config.prior == Prior::Belief).then(bots::Belief::default);
        let mut world = Self { rules, game, story: Story::with_room(), legal: Vec::with_capacity(512), belief };
        world.game.legal(&mut world.legal);
        world
    }
    /// The game that is played.
    pub fn game(&self) -> &Game {
        &self.game
    }
    /// The legal moves, in the order of the actions.
    pub fn legal(&self) -> &[Move] {
        &self.legal
    }
    #[inline]
    fn show(&mut self, view: View<'_, u8>) {
        let turn = self.game.turn();
        view.seat[0] = turn as u8;
        self.game.legal(&mut self.legal);
        self.story.follow(self.game.history());
        let seat = Seat::new(&self.game, turn);
        let teammates = match &mut self.belief {
            // A forced move needs no belief.
            Some(belief) if self.legal.len() > 1 => belief.posterior(seat).teammates(seat),
            _ => seat.teammates(&seat.prior()),
        };
        write(seat, &self.story, &teammates, view.obs);
    }
}

impl Env for Red10 {
    type Obs = u8;
    type Act = i64;

    fn spec(&self) -> Spec {
        let mut spec = Spec::solo("red10", Space::uniform(*WIDTH, 0.0, 255.0), Space::Discrete(0));
        spec.players = SEATS;
        spec.candidates = Some(CANDIDATE);
        spec.fields = fields().0;
        spec.candidate_fields = vec![
            Field::new("cards", 0..8, "cards").encoded(Encoding::Counts).with_role(Role::Move),
            Field::new("rest", 8..16, "cards").encoded(Encoding::Counts),
            Field::new("kind", 16..17, "").encoded(Encoding::OneHot(16)),
            Field::new("len", 17..18, "ranks").encoded(Encoding::OneHot(RANKS as u16)),
            Field::new("plays", 18..19, "").encoded(Encoding::OneHot(hand::PLAYS)),
            Field::new("worth", 19..20, "").encoded(Encoding::OneHot(hand::WORTHS)),
            Field::new("beaters", 20..21, "").encoded(Encoding::OneHot(hand::BEATERS)),
        ];
        spec.hidden_fields = vec![
            Field::new("team", 0..SEATS, "1 for the holders of the red tens")
                .encoded(Encoding::OneHot(2))
                .with_role(Role::Team),
            Field::new("hands", SEATS..HIDDEN, "cards").encoded(Encoding::Counts),
        ];
        spec.bots = bots::QUICK.map(String::from).into();
        spec
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, u8>) {
        if self.rules.len() > 1 {
            self.game.change_rules(&self.rules[rng.below(self.rules.len())]);
        }
        self.game.redeal(rng);
        self.story.clear();
        if let Some(belief) = &mut self.belief {
            belief.forget();
        }
        self.show(view);
    }

    #[inline]
    fn step(&mut self, act: &[i64], _: &mut Rng, view: View<'_, u8>, pay: &mut [f32]) -> Result<Status> {
        let chosen = act.first().and_then(|&a| self.legal.get(usize::try_from(a).ok()?));
        let &chosen = chosen.ok_or_else(|| {
            Error::invalid(format!("action {act:?}: it must be one of the {} legal moves", self.legal.len()))
        })?;
        self.game.play(chosen);
        if self.game.is_over() {
            pay.copy_from_slice(&self.game.payoff());
            let turn = self.game.turn();
            view.seat[0] = turn as u8;
            let seat = Seat::new(&self.game, turn);
            self.story.follow(self.game.history());
            write(seat, &self.story, &seat.teammates(&seat.prior()), view.obs);
            self.legal.clear();
            return Ok(Status::Terminated);
        }
        self.show(view);
        Ok(Status::Running)
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &Saved::from(&self.game));
    }

    fn load(&mut self, state: &[u8]) -> Result<()> {
        let saved: Saved = snapshot::get(state)?;
        if !self.rules.contains(saved.rules()) {
            return Err(Error::mismatch("saved game", "the rules of this world", "other rules"));
        }
        self.game = saved.game()?;
        self.story.clear();
        self.legal.clear();
        if !self.game.is_over() {
            self.game.legal(&mut self.legal);
        }
        Ok(())
    }

    fn metrics(&self, out: &mut Scalars) {
        let red = self.game.red_team();
        out.put("red_win", f64::from(u8::from(self.game.winner() == Some(1))));
        out.put("alone", f64::from(u8::from(red.count_ones() == 1)));
        out.put("passes", self.game.history().iter().filter(|p| p.play.kind == Kind::Pass).count() as f64);
        out.put("bombs", f64::from(self.game.bombs()));
    }

    fn bot(&self, number: usize, rng: &mut Rng, act: &mut [i64]) -> Result<()> {
        let name = bots::QUICK.get(number).ok_or_else(|| Error::invalid(format!("red10 has no bot {number}")))?;
        let seat = Seat::new(&self.game, self.game.turn());
        act[0] = bots::make(name)?.think(seat, &self.legal, rng).choice as i64;
        Ok(())
    }

    fn candidates(&self, rows: &mut Vec<u8>, counts: &mut Vec<u32>) {
        describe_candidates(Seat::new(&self.game, self.game.turn()), &self.legal, rows);
        counts.push(self.legal.len() as u32);
    }
}

impl Oracle for Red10 {
    fn hidden_width(&self) -> usize {
        HIDDEN
    }
    fn reveal(&self, out: &mut [u8]) {
        reveal(&self.game, out);
    }
}

/// Writes what is hidden in a game: for trainers and upper bounds that ask for it by name, never for a seat.
pub fn reveal(game: &Game, out: &mut [u8]) {
    let red = game.red_team();
    let (team, hands) = out.split_at_mut(SEATS);
    team.iter_mut().enumerate().for_each(|(s, t)| *t = red >> s & 1);
    for (s, hand) in hands.chunks_exact_mut(8).enumerate() {
        hand.copy_from_slice(&game.hand(s).0.to_le_bytes());
    }
}

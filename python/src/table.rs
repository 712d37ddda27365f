//! A table of Red-10: what PettingZoo's environment and the single-agent view are made of. Every view of a seat comes through
//! [`Seat`], which knows nothing hidden.
use crate::{
    errors::{panicked, raise},
    moves, registry,
};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::PyBytes,
};
use rlx::{Env, Error, Result, Rng, Status, View, snapshot};
use rlx_red10::{
    Cards, Config, Game, Kind, Move, Player, Red10, SEATS, Seat, bots, describe,
    world::{self, CANDIDATE},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, TryLockError},
};

/// A game in progress, and what goes with it.
struct Inner {
    world: Red10,
    /// The settings, as snapshots are held against them.
    identity: String,
    rules: Vec<rlx_red10::Rules>,
    rng: Rng,
    /// What who is to play sees.
    obs: Vec<u8>,
    pay: [f32; SEATS],
    status: Status,
    begun: bool,
}

/// A table of Red-10 for four seats.
#[pyclass(frozen, subclass, module = "rlx._native")]
pub struct Table(Mutex<Inner>);

/// A move as text: its cards, lowest first, `R` for a red ten, `pass` for none; `show R` and `keep` before the first lead.
fn text(m: &Move) -> String {
    match m.kind {
        Kind::Pass => "pass".into(),
        Kind::Keep => "keep".into(),
        Kind::Show => format!("show {}", "R".repeat(m.cards.red() as usize)),
        _ => m.cards.to_string(),
    }
}

fn guarded<T, R>(of: &Mutex<T>, what: &str, work: impl FnOnce(&mut T) -> Result<R>) -> PyResult<R> {
    let mut inner = match of.try_lock() {
        Ok(inner) => inner,
        Err(TryLockError::Poisoned(_)) => {
            return Err(PyRuntimeError::new_err(format!("this {what} panicked before: make a new one")));
        }
        Err(TryLockError::WouldBlock) => {
            return Err(PyRuntimeError::new_err(format!("another thread is at this {what}: give each its own")));
        }
    };
    match catch_unwind(AssertUnwindSafe(|| work(&mut inner))) {
        Ok(done) => done.map_err(raise),
        Err(cause) => Err(panicked(&*cause)),
    }
}

impl Table {
    fn with<R>(&self, work: impl FnOnce(&mut Inner) -> Result<R>) -> PyResult<R> {
        guarded(&self.0, "table", work)
    }
    /// The same once a game has begun.
    fn playing<R>(&self, work: impl FnOnce(&mut Inner) -> Result<R>) -> PyResult<R> {
        self.with(|t| if t.begun { work(t) } else { Err(Error::invalid("no game has begun: reset first")) })
    }
}

impl Inner {
    /// The move of that number.
    fn legal(&self, choice: usize) -> Result<Move> {
        let all = self.world.legal();
        all.get(choice)
            .copied()
            .ok_or_else(|| Error::invalid(format!("move {choice}: there are {} legal ones, from 0 on", all.len())))
    }
}

fn seat(seat: usize) -> Result<usize> {
    if seat < SEATS { Ok(seat) } else { Err(Error::invalid(format!("seat {seat}: there are 0 to {}", SEATS - 1))) }
}

#[pymethods]
impl Table {
    /// A table with those settings, a JSON object of the keys of the world `red10`.
    #[new]
    fn new(config: &str) -> PyResult<Self> {
        let table: rlx::Table =
            serde_json::from_str(config).map_err(|e| PyValueError::new_err(format!("config: {e}")))?;
        registry()?.find_world("red10").map_err(raise)?.keys.check("red10", &table).map_err(raise)?;
        let config: Config = rlx::config::from_map(&table).map_err(raise)?;
        Ok(Self(Mutex::new(Inner {
            world: Red10::new(&config),
            identity: format!("red10 {}", serde_json::Value::Object(rlx::config::to_map(&config))),
            rules: config.rules.rules().into_iter().map(|(_, rules)| rules).collect(),
            rng: Rng::named(0, "world", 0),
            obs: vec![0; world::width()],
            pay: [0.0; SEATS],
            status: Status::Running,
            begun: false,
        })))
    }

    /// Bytes of an observation and of a move's features.
    #[staticmethod]
    fn widths() -> (usize, usize) {
        (world::width(), CANDIDATE)
    }

    /// The names of all moves by type, in the order of the actions.
    #[staticmethod]
    fn types() -> Vec<String> {
        moves::all().iter().map(moves::name).collect()
    }

    /// Deals: afresh from a seed, or the next game.
    #[pyo3(signature = (seed=None))]
    fn reset(&self, seed: Option<u64>) -> PyResult<()> {
        self.with(|t| {
            if let Some(seed) = seed {
                t.rng = Rng::named(seed, "world", 0);
            }
            let view = View { obs: &mut t.obs, mask: &mut [], seat: &mut [0] };
            t.world.reset(&mut t.rng, view);
            (t.pay, t.status, t.begun) = ([0.0; SEATS], Status::Running, true);
            Ok(())
        })
    }

    /// Begins a game with given hands, as text, under the first of the rules of this table.
    fn deal(&self, hands: [String; SEATS], leader: u8) -> PyResult<()> {
        self.with(|t| {
            let mut cards = [Cards::NONE; SEATS];
            for (card, hand) in cards.iter_mut().zip(&hands) {
                *card = hand.parse()?;
            }
            t.world.set_game(&Game::from_hands(&t.rules[0], cards, leader)?)?;
            world::observe(Seat::new(t.world.game(), t.world.game().turn()), &mut t.obs);
            (t.pay, t.status, t.begun) = ([0.0; SEATS], Status::Running, true);
            Ok(())
        })
    }

    /// The seat that is to play.
    #[getter]
    fn turn(&self) -> PyResult<usize> {
        self.playing(|t| Ok(t.world.game().turn()))
    }

    /// Whether the game is over.
    #[getter]
    fn over(&self) -> PyResult<bool> {
        self.playing(|t| Ok(t.world.game().is_over()))
    }

    /// What each seat was paid, zeros until the game is over.
    #[getter]
    fn payoff(&self) -> PyResult<[f32; SEATS]> {
        self.playing(|t| Ok(t.pay))
    }

    /// Whether each seat is of the team of the red tens: of a game that is over, for until then it is hidden.
    #[getter]
    fn teams(&self) -> PyResult<[bool; SEATS]> {
        self.playing(|t| {
            let game = t.world.game();
            if !game.is_over() {
                return Err(Error::invalid("the teams are hidden until the game is over"));
            }
            Ok(std::array::from_fn(|s| game.red_team() >> s & 1 == 1))
        })
    }

    /// What a seat sees, a fresh array of bytes.
    fn observe<'py>(&self, py: Python<'py>, of: usize) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let row = self.playing(|t| {
            let game = t.world.game();
            // Who is to play is shown what the world shows: with `prior = belief` that is more than the counts.
            if game.turn() == seat(of)? {
                return Ok(t.obs.clone());
            }
            let mut row = vec![0; t.obs.len()];
            world::observe(Seat::new(game, of), &mut row);
            Ok(row)
        })?;
        Ok(PyArray1::from_vec(py, row))
    }

    /// The cards in a seat's own hand.
    fn hand(&self, of: usize) -> PyResult<String> {
        self.playing(|t| Ok(t.world.game().hand(seat(of)?).to_string()))
    }

    /// The legal moves of who is to play, as cards.
    fn legal(&self) -> PyResult<Vec<String>> {
        self.playing(|t| Ok(t.world.legal().iter().map(text).collect()))
    }

    /// Features of the legal moves of who is to play, `[moves, features]`.
    fn candidates<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
        let (rows, n) = self.playing(|t| {
            let mut rows = Vec::new();
            let game = t.world.game();
            world::describe_candidates(Seat::new(game, game.turn()), t.world.legal(), &mut rows);
            Ok((rows, t.world.legal().len()))
        })?;
        PyArray1::from_vec(py, rows).reshape([n, CANDIDATE])
    }

    /// Which types of moves are legal for who is to play.
    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<i8>>> {
        let mask = self.playing(|t| {
            let mut mask = vec![0i8; moves::all().len()];
            for m in t.world.legal() {
                mask[moves::number(m)?] = 1;
            }
            Ok(mask)
        })?;
        Ok(PyArray1::from_vec(py, mask))
    }

    /// The legal move that a type stands for: of several (other kickers, mostly) the one that leaves a hand of the fewest plays.
    fn of_type(&self, kind: usize) -> PyResult<usize> {
        self.playing(|t| {
            let (game, legal) = (t.world.game(), t.world.legal());
            let mut rows = Vec::new();
            world::describe_candidates(Seat::new(game, game.turn()), legal, &mut rows);
            let mut best: Option<(u8, usize)> = None;
            for (i, (m, row)) in legal.iter().zip(rows.chunks_exact(CANDIDATE)).enumerate() {
                // Byte 18: the fewest plays that empty what is left of the hand.
                if moves::number(m)? == kind && best.is_none_or(|(plays, _)| row[18] < plays) {
                    best = Some((row[18], i));
                }
            }
            let name = moves::all().get(kind).map_or_else(|| "none".into(), moves::name);
            best.map(|(_, i)| i).ok_or_else(|| Error::invalid(format!("action {kind} ({name}) is no legal move now")))
        })
    }

    /// The type of a legal move.
    fn type_of(&self, choice: usize) -> PyResult<usize> {
        self.playing(|t| moves::number(&t.legal(choice)?))
    }

    /// Makes the legal move of that number.
    fn play(&self, choice: usize) -> PyResult<()> {
        self.playing(|t| {
            if t.world.game().is_over() {
                return Err(Error::invalid("the game is over: reset first"));
            }
            t.legal(choice)?;
            let view = View { obs: &mut t.obs, mask: &mut [], seat: &mut [0] };
            t.status = t.world.step(&[choice as i64], &mut t.rng, view, &mut t.pay)?;
            Ok(())
        })
    }

    /// What anybody at the table may see, and the hand of who is to play, as text.
    fn show(&self) -> PyResult<String> {
        self.playing(|t| {
            let game = t.world.game();
            let turn = game.turn();
            let last =
                game.history().last().map(|p| format!("seat {}: {} ({})", p.seat, text(&p.play), describe(p.play)));
            let left: Vec<String> = (0..SEATS).map(|s| format!("seat {s}: {}", game.hand(s).total())).collect();
            Ok(format!(
                "cards left: {}\nto beat: {}\nlast: {}\nseat {turn} to play, hand {}\n",
                left.join(", "),
                text(&game.top()),
                last.unwrap_or_else(|| "none".into()),
                game.hand(turn)
            ))
        })
    }

    /// Everything as bytes, hidden hands included: `load` of them goes on bit for bit.
    fn save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.with(|t| {
            let (mut out, mut state) = (Vec::new(), Vec::new());
            t.world.save(&mut state);
            snapshot::put(&mut out, &(&t.identity, &t.rng, &state, &t.obs, t.pay, t.status, t.begun));
            Ok(out)
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Takes over what `save` gave.
    fn load(&self, state: &[u8]) -> PyResult<()> {
        type Saved = (String, Rng, Vec<u8>, Vec<u8>, [f32; SEATS], Status, bool);
        self.with(|t| {
            let (identity, rng, game, obs, pay, status, begun): Saved = snapshot::get(state)?;
            if identity != t.identity || obs.len() != t.obs.len() {
                return Err(Error::mismatch("snapshot", t.identity.clone(), identity));
            }
            t.world.load(&game)?;
            (t.rng, t.obs, t.pay, t.status, t.begun) = (rng, obs, pay, status, begun);
            Ok(())
        })
    }
}

/// Who can sit at a table without a network: `random`, `greedy` or `belief`. It sees its seat's view only.
#[pyclass(frozen, module = "rlx._native")]
pub struct Bot(Mutex<(Box<dyn Player>, Rng)>);

#[pymethods]
impl Bot {
    /// The bot of that name, drawing from `seed`.
    #[new]
    #[pyo3(signature = (name, seed=0))]
    fn new(name: &str, seed: u64) -> PyResult<Self> {
        Ok(Self(Mutex::new((bots::make(name).map_err(raise)?, Rng::named(seed, "bot", 0)))))
    }

    /// The names of all bots, each with a line of what it is.
    #[staticmethod]
    fn all() -> Vec<(&'static str, &'static str)> {
        bots::BOTS.to_vec()
    }

    /// The number of the legal move that it would make at the table now.
    fn choose(&self, py: Python<'_>, table: &Table) -> PyResult<usize> {
        py.detach(|| {
            guarded(&self.0, "bot", |(player, rng)| {
                let table = table.0.try_lock().map_err(|_| Error::invalid("another thread is at this table"))?;
                if !table.begun || table.world.game().is_over() {
                    return Err(Error::invalid("there is nothing to play at this table: reset first"));
                }
                let game = table.world.game();
                Ok(player.think(Seat::new(game, game.turn()), table.world.legal(), rng).choice)
            })
        })
    }
}

//! Playing: all tables a tick at a time, every network asked once for all the tables that wait for it.
use super::{
    SelfPlay, State,
    brain::{Ask, Brain, CONTEXT, Relation, Thoughts},
    league::{League, Opponent, Pool},
};
use rlx::{Actions, ActionsMut, ColumnRef, Error, Mode, Result, Rng, Slab, Status, Vector};

pub(super) fn u8s(column: ColumnRef<'_>) -> Result<&[u8]> {
    match column {
        ColumnRef::U8(x) => Ok(x),
        _ => Err(Error::mismatch("column", "bytes", "another type")),
    }
}

/// The side of the learner that plays.
pub(super) struct Player<'a> {
    pub brain: &'a Brain,
    pub league: &'a League,
    pub pool: &'a Pool,
    /// The parameters that play.
    pub params: &'a [f32],
    pub epsilon: f64,
    pub state: &'a mut State,
    pub slab: &'a mut Slab,
    pub memory: &'a mut Memory,
}

/// What playing needs between ticks.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) thoughts: Thoughts,
    decided: Vec<u32>,
    choices: Vec<i64>,
}

/// Lends the random streams of some tables, and scatters what was chosen at them.
fn lend(
    all: &mut [Rng],
    chosen: &mut Vec<i64>,
    tables: &[u32],
    choices: &mut [i64],
    f: impl FnOnce(&mut [Rng], &mut [i64]) -> Result<()>,
) -> Result<()> {
    let mut rngs: Vec<Rng> = tables.iter().map(|&w| all[w as usize].clone()).collect();
    chosen.clear();
    chosen.resize(tables.len(), 0);
    f(&mut rngs, chosen)?;
    for ((&w, rng), &c) in tables.iter().zip(rngs).zip(&*chosen) {
        all[w as usize] = rng;
        choices[w as usize] = c;
    }
    Ok(())
}

impl SelfPlay {
    /// Starts the tables, or goes on with those of a checkpoint.
    pub(super) fn sit_down(&mut self, envs: &mut dyn Vector) -> Result<()> {
        if self.slab.is_some() {
            return Ok(());
        }
        let mut slab = envs.slab(2);
        match self.frame.take() {
            Some(bytes) => slab.load_tick(0, &mut &bytes[..])?,
            None => {
                envs.reset(slab.frame_mut(0));
                let hidden = envs.privileged().map(u8s).transpose()?;
                for (w, seating) in self.state.seating.iter_mut().enumerate() {
                    let row =
                        self.brain.hidden.as_ref().zip(hidden).map(|(h, all)| (h, &all[w * h.width..][..h.width]));
                    *seating = self.plan.league.seat(&self.pool, row, &mut self.state.rngs[w]);
                }
            }
        }
        self.slab = Some(slab);
        Ok(())
    }
}

impl Player<'_> {
    /// Plays `ticks` ticks on all tables; decisions of games that end go to `ready`.
    pub(super) fn play(&mut self, envs: &mut dyn Vector, ticks: usize) -> Result<u64> {
        let n = envs.len();
        let players = envs.spec().players;
        let mut choices = vec![0; n];
        for _ in 0..ticks {
            self.choose(envs, &mut choices)?;
            envs.step(Actions::Discrete(&choices), self.slab.frame_mut(1))?;
            let after = self.slab.frame(1);
            let hidden = envs.privileged().map(u8s).transpose()?;
            for (w, status) in after.status.iter().enumerate() {
                if *status == Status::Running {
                    continue;
                }
                let d = &mut self.state.pending[w];
                let pay = &after.reward[w * players..][..players];
                d.target.extend(d.seat.iter().map(|&s| pay[usize::from(s)]));
                if d.len() > 0 {
                    self.state.ready.append(d);
                }
                let row = self.brain.hidden.as_ref().zip(hidden).map(|(h, all)| (h, &all[w * h.width..][..h.width]));
                self.state.seating[w] = self.league.seat(self.pool, row, &mut self.state.rngs[w]);
            }
            self.slab.carry();
        }
        Ok((ticks * n) as u64)
    }

    /// A move at every table.
    fn choose(&mut self, envs: &dyn Vector, choices: &mut [i64]) -> Result<()> {
        let seats = self.slab.frame(0).seat;
        let mut mine = Vec::with_capacity(choices.len());
        let mut others: Vec<(Opponent, u32)> = Vec::new();
        for (w, seating) in self.state.seating.iter().enumerate() {
            match seating.opponent {
                Some(opponent) if seating.mine >> seats[w] & 1 == 0 => others.push((opponent, w as u32)),
                _ => mine.push(w as u32),
            }
        }
        self.ask(envs, self.params, &mine, choices)?;
        self.note(envs, &mine, choices)?;
        others.sort_unstable();
        for same in others.chunk_by(|a, b| a.0 == b.0) {
            let tables: Vec<u32> = same.iter().map(|o| o.1).collect();
            match same[0].0 {
                Opponent::Past(i) => self.ask(envs, &self.pool.past[i as usize], &tables, choices)?,
                Opponent::Bot(bot) => {
                    let (rngs, chosen) = (&mut self.state.rngs, &mut self.memory.choices);
                    lend(rngs, chosen, &tables, choices, |rngs, out| {
                        envs.bot(bot as usize, &tables, rngs, ActionsMut::Discrete(out))
                    })?;
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, envs: &dyn Vector, params: &[f32], tables: &[u32], choices: &mut [i64]) -> Result<()> {
        let (brain, epsilon) = (self.brain, self.epsilon);
        let mut shown = Vec::new();
        if brain.settings.guess.as_ref().is_some_and(|g| g.relation == Relation::Truth)
            && let (Some(h), Some(all)) = (&brain.hidden, envs.privileged())
        {
            let all = u8s(all)?;
            tables.iter().for_each(|&w| shown.extend_from_slice(&all[w as usize * h.width..][..h.width]));
        }
        let frame = self.slab.frame(0).with_candidates(envs.candidates());
        let ask = Ask { frame, rows: tables, hidden: &shown, mode: Mode::Explore, epsilon };
        let Memory { thoughts, decided, choices: chosen } = &mut *self.memory;
        lend(&mut self.state.rngs, chosen, tables, choices, |rngs, out| {
            brain.decide(params, ask, rngs, out, decided, thoughts)
        })
    }

    /// Writes down the decisions of the last [`Player::ask`].
    fn note(&mut self, envs: &dyn Vector, tables: &[u32], choices: &[i64]) -> Result<()> {
        let frame = self.slab.frame(0);
        let moves = envs.candidates().ok_or_else(|| Error::invalid("a world without candidates"))?;
        let (obs, rows) = (u8s(frame.obs)?, u8s(moves.rows)?);
        let hidden = envs.privileged().map(u8s).transpose()?;
        let (width, c_width) = (self.brain.features.width(), self.brain.candidate_features.width());
        let t = &self.memory.thoughts;
        for (i, &k) in self.memory.decided.iter().enumerate() {
            let w = tables[k as usize] as usize;
            let a = choices[w] as usize;
            let d = &mut self.state.pending[w];
            d.obs.extend_from_slice(&obs[w * width..][..width]);
            d.chosen.extend_from_slice(&rows[(moves.range(w).start + a) * c_width..][..c_width]);
            if let (Some(of), Some(all)) = (&self.brain.hidden, hidden) {
                d.hidden.extend_from_slice(&all[w * of.width..][..of.width]);
            }
            d.seat.push(frame.seat[w]);
            d.context.extend_from_slice(&t.context[i * CONTEXT..][..CONTEXT]);
            d.drawn.push(t.drawn[i]);
            d.value.push(t.values[t.starts[i] as usize + a]);
            if self.brain.settings.soft.is_some() {
                d.soft.push(self.brain.soft_value(t, i));
            }
        }
        Ok(())
    }
}

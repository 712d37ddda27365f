//! Collecting: all tables play a tick at a time, every network asked once for all the tables that wait for it.
use super::{
    act::{ActRequest, ActScratch, bytes},
    decisions::Decisions,
    league::{League, Opponent, Pool, Seating},
    nets::SelfPlayNets,
};
use rlx::{Actions, ActionsMut, Error, Mode, Result, Rng, Slab, Status, Vector};

/// The tables, and what goes on at them.
pub(super) struct Collector {
    pub league: League,
    pub pool: Pool,
    /// Chance of a random move.
    pub epsilon: f64,
    /// A stream a table.
    pub rngs: Vec<Rng>,
    /// Decisions of games that go on, by table.
    pub pending: Vec<Decisions>,
    /// Decisions to be learnt from in the next iteration.
    pub ready: Decisions,
    /// Who sits at each table.
    pub seating: Vec<Seating>,
    pub slab: Option<Slab>,
    /// The tick of a checkpoint that was read, until there is a slab.
    pub frame: Option<Vec<u8>>,
    pub scratch: ActScratch,
}

/// Lends the random streams of some tables, and scatters what was chosen at them.
fn lend(
    all: &mut [Rng],
    tables: &[u32],
    choices: &mut [i64],
    f: impl FnOnce(&mut [Rng], &mut [i64]) -> Result<()>,
) -> Result<()> {
    let mut rngs: Vec<Rng> = tables.iter().map(|&w| all[w as usize].clone()).collect();
    let mut chosen = vec![0; tables.len()];
    f(&mut rngs, &mut chosen)?;
    for ((&w, rng), c) in tables.iter().zip(rngs).zip(chosen) {
        all[w as usize] = rng;
        choices[w as usize] = c;
    }
    Ok(())
}

/// The hidden states of all tables, in worlds that have them.
fn privileged(envs: &dyn Vector) -> Result<Option<&[u8]>> {
    envs.privileged().map(|all| bytes(all, "hidden state")).transpose()
}

impl Collector {
    /// Deals at all tables, or goes on with those of a checkpoint.
    pub fn init(&mut self, envs: &mut dyn Vector, nets: &SelfPlayNets) -> Result<()> {
        if self.slab.is_some() {
            return Ok(());
        }
        let mut slab = envs.slab(2);
        match self.frame.take() {
            Some(bytes) => slab.load_tick(0, &mut &bytes[..])?,
            None => {
                envs.reset(slab.frame_mut(0));
                (0..envs.len()).try_for_each(|w| self.seat(envs, nets, w))?;
            }
        }
        self.slab = Some(slab);
        Ok(())
    }

    /// Draws who sits at table `w`, where a game begins.
    fn seat(&mut self, envs: &dyn Vector, nets: &SelfPlayNets, w: usize) -> Result<()> {
        let hidden = nets.hidden.as_ref().zip(privileged(envs)?);
        let row = hidden.map(|(h, all)| (h, &all[w * h.width..][..h.width]));
        self.seating[w] = self.league.seat(&self.pool, row, &mut self.rngs[w]);
        Ok(())
    }

    /// Plays `ticks` ticks on all tables with `params`; decisions of games that end go to `ready`.
    pub fn play(&mut self, envs: &mut dyn Vector, nets: &SelfPlayNets, params: &[f32], ticks: usize) -> Result<u64> {
        let mut slab = self.slab.take().expect("made at the start");
        let played = (0..ticks).try_for_each(|_| self.tick(envs, nets, params, &mut slab));
        let steps = (ticks * envs.len()) as u64;
        self.slab = Some(slab);
        played.map(|()| steps)
    }

    fn tick(&mut self, envs: &mut dyn Vector, nets: &SelfPlayNets, params: &[f32], slab: &mut Slab) -> Result<()> {
        let mut choices = vec![0; envs.len()];
        self.choose(envs, nets, params, slab, &mut choices)?;
        envs.step(Actions::Discrete(&choices), slab.frame_mut(1))?;
        let after = slab.frame(1);
        let players = envs.spec().players;
        for (w, status) in after.status.iter().enumerate() {
            if *status != Status::Running {
                self.ready.append_game(&mut self.pending[w], &after.reward[w * players..][..players]);
                self.seat(envs, nets, w)?;
            }
        }
        slab.carry();
        Ok(())
    }

    /// A move at every table.
    fn choose(
        &mut self,
        envs: &dyn Vector,
        nets: &SelfPlayNets,
        params: &[f32],
        slab: &Slab,
        choices: &mut [i64],
    ) -> Result<()> {
        let seats = slab.frame(0).seat;
        let mut mine = Vec::with_capacity(choices.len());
        let mut others: Vec<(Opponent, u32)> = Vec::new();
        for (w, seating) in self.seating.iter().enumerate() {
            match seating.opponent {
                Some(opponent) if seating.mine >> seats[w] & 1 == 0 => others.push((opponent, w as u32)),
                _ => mine.push(w as u32),
            }
        }
        self.ask(envs, nets, params, slab, &mine, choices)?;
        self.record(envs, nets, slab, &mine, choices)?;
        others.sort_unstable();
        for same in others.chunk_by(|a, b| a.0 == b.0) {
            let tables: Vec<u32> = same.iter().map(|o| o.1).collect();
            match same[0].0 {
                Opponent::Past(i) => {
                    let pool = std::mem::take(&mut self.pool);
                    let asked = self.ask(envs, nets, &pool.past[i as usize], slab, &tables, choices);
                    self.pool = pool;
                    asked?;
                }
                Opponent::Bot(bot) => lend(&mut self.rngs, &tables, choices, |rngs, out| {
                    envs.bot(bot as usize, &tables, rngs, ActionsMut::Discrete(out))
                })?,
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        envs: &dyn Vector,
        nets: &SelfPlayNets,
        params: &[f32],
        slab: &Slab,
        tables: &[u32],
        choices: &mut [i64],
    ) -> Result<()> {
        let mut shown = Vec::new();
        if let Some(all) = privileged(envs)?.filter(|_| nets.needs_truth()) {
            let width = nets.hidden_width();
            tables.iter().for_each(|&w| shown.extend_from_slice(&all[w as usize * width..][..width]));
        }
        let frame = slab.frame(0).with_candidates(envs.candidates());
        let request = ActRequest { frame, rows: tables, hidden: &shown, mode: Mode::Explore, epsilon: self.epsilon };
        let scratch = &mut self.scratch;
        lend(&mut self.rngs, tables, choices, |rngs, out| nets.act(params, request, rngs, out, scratch))
    }

    /// Keeps the decisions of the last [`Collector::ask`].
    fn record(
        &mut self,
        envs: &dyn Vector,
        nets: &SelfPlayNets,
        slab: &Slab,
        tables: &[u32],
        choices: &[i64],
    ) -> Result<()> {
        let frame = slab.frame(0);
        let candidates = envs.candidates().ok_or_else(|| Error::invalid("a world without candidates"))?;
        let (obs, moves) = (bytes(frame.obs, "observations")?, bytes(candidates.rows, "candidates")?);
        let hidden = privileged(envs)?.filter(|_| nets.hidden.is_some());
        let (s, widths) = (&self.scratch, nets.widths());
        for (i, &k) in s.decided.iter().enumerate() {
            let w = tables[k as usize] as usize;
            let choice = choices[w] as usize;
            let d = &mut self.pending[w];
            d.obs.extend_from_slice(&obs[w * widths.obs..][..widths.obs]);
            let chosen = candidates.range(w).start + choice;
            d.chosen.extend_from_slice(&moves[chosen * widths.candidate..][..widths.candidate]);
            if let Some(all) = hidden {
                d.hidden.extend_from_slice(&all[w * widths.hidden..][..widths.hidden]);
            }
            d.seat.push(frame.seat[w]);
            d.context.extend_from_slice(&s.context[i * widths.context..][..widths.context]);
            d.drawn.push(s.drawn[i]);
            d.value.push(s.values_of(i)[choice]);
            if widths.soft {
                d.soft.push(nets.soft_value(s, i));
            }
        }
        Ok(())
    }
}

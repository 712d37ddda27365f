//! A learner of self-play as files of a checkpoint.
use super::{
    SelfPlay, SelfPlayAlgorithm,
    decisions::Decisions,
    league::{Opponent, Pool, Seating},
};
use rlx::{Checkpoint, Error, LoadDir, Result, Rng, SaveDir, snapshot};

/// What goes on, in the order of `selfplay.bin`: steps, streams by table, the stream of the order of learning, decisions of games that
/// go on by table, decisions to be learnt from, who sits at each table.
type Saved = (u64, Vec<Rng>, Option<Rng>, Vec<Decisions>, Decisions, Vec<Seating>);

impl<A: SelfPlayAlgorithm> Checkpoint for SelfPlay<A> {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.updater.params);
        to.put("params.bin", &bytes)?;
        to.put("adam.bin", &self.updater.adam.to_bytes())?;
        let mut bytes = Vec::new();
        let c = &self.collector;
        // References write the same bytes as what they refer to: this is a [`Saved`].
        let state = (self.steps, &c.rngs, Some(&self.updater.order), &c.pending, &c.ready, &c.seating);
        snapshot::put(&mut bytes, &state);
        let frame = c.slab.as_ref().map(|slab| {
            let mut out = Vec::new();
            slab.save_tick(0, &mut out);
            out
        });
        snapshot::put(&mut bytes, &frame.as_ref().or(c.frame.as_ref()));
        to.put("selfplay.bin", &bytes)?;
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &c.pool);
        to.put("pool.bin", &bytes)
    }

    fn load(&mut self, from: &LoadDir) -> Result<()> {
        let params: Vec<f32> = snapshot::get(&from.get("params.bin")?)?;
        let wanted = self.updater.params.len();
        if params.len() != wanted {
            return Err(Error::mismatch("saved parameters", wanted.to_string(), params.len().to_string()));
        }
        self.updater.adam.restore(&from.get("adam.bin")?)?;
        let bytes = from.get("selfplay.bin")?;
        let mut rest = &bytes[..];
        let (steps, rngs, order, pending, ready, seating): Saved = snapshot::take(&mut rest)?;
        let tables = self.setup.worlds;
        let order = order.filter(|_| pending.len() == tables && rngs.len() == tables).ok_or_else(|| {
            Error::mismatch("saved self-play", format!("{tables} tables"), format!("{} tables", pending.len()))
        })?;
        let widths = self.nets.widths();
        if !ready.are_whole(widths, true) || !pending.iter().all(|d| d.are_whole(widths, false)) {
            return Err(Error::invalid("saved self-play: decisions of another size"));
        }
        let pool: Pool = snapshot::get(&from.get("pool.bin")?)?;
        let bots = self.setup.spec.bots.len();
        let sits = |s: &Seating| match s.opponent {
            None => true,
            Some(Opponent::Bot(i)) => (i as usize) < bots,
            Some(Opponent::Past(i)) => (i as usize) < pool.past.len(),
        };
        if seating.len() != tables || !seating.iter().all(sits) {
            return Err(Error::invalid("saved self-play: opponents that are not there"));
        }
        if pool.past.iter().any(|p| p.len() != params.len()) {
            return Err(Error::invalid("saved self-play: earlier policies of another size"));
        }
        let c = &mut self.collector;
        (c.frame, c.slab) = (snapshot::get(rest)?, None);
        (c.rngs, c.pending, c.ready, c.seating, c.pool) = (rngs, pending, ready, seating, pool);
        (self.steps, self.updater.params, self.updater.order) = (steps, params, order);
        Ok(())
    }
}

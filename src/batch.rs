//! The learner's memory: slabs of ticks that worlds write into, and frames, which are one tick of one.
use crate::{Column, ColumnMut, ColumnRef, Error, Result, Spec, Status, snapshot};
use std::ops::Range;

/// `ticks` ticks of `n` worlds: one contiguous, time-major column per field. One tick is a live frame; T + 1 ticks are a rollout
/// that the worlds write directly.
#[derive(Clone, Debug)]
pub struct Slab {
    n: usize,
    rows: usize,
    players: usize,
    width: usize,
    choices: usize,
    obs: Column,         // [ticks, n, rows, width]
    last: Column,        // [ticks, n, rows, width]: the final view of an episode that ended in this tick
    mask: Vec<bool>,     // [ticks, n, rows, choices]
    seat: Vec<u8>,       // [ticks, n, rows]
    reward: Vec<f32>,    // [ticks, n, players]
    status: Vec<Status>, // [ticks, n]
}

/// A tick, lent to read.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What each acting row sees now, `n x rows x width`.
    pub obs: ColumnRef<'a>,
    /// Where `status` is not running: the final view of the episode that ended. Elsewhere: anything.
    pub last: ColumnRef<'a>,
    /// Allowed choices, `n x rows x choices`.
    pub mask: &'a [bool],
    /// Whose eyes each row is seen through, `n x rows`.
    pub seat: &'a [u8],
    /// What the tick paid, `n x players`.
    pub reward: &'a [f32],
    /// How the tick left each episode, `n`.
    pub status: &'a [Status],
    /// Legal moves, for worlds whose moves are ragged.
    pub candidates: Option<Ragged<'a>>,
}

/// A tick, lent to write: the fields of [`Frame`].
#[derive(Debug)]
pub struct FrameMut<'a> {
    /// See [`Frame::obs`].
    pub obs: ColumnMut<'a>,
    /// See [`Frame::last`].
    pub last: ColumnMut<'a>,
    /// See [`Frame::mask`].
    pub mask: &'a mut [bool],
    /// See [`Frame::seat`].
    pub seat: &'a mut [u8],
    /// See [`Frame::reward`].
    pub reward: &'a mut [f32],
    /// See [`Frame::status`].
    pub status: &'a mut [Status],
}

/// Feature rows of unequal number per acting row: row i owns `offsets[i]..offsets[i + 1]`.
#[derive(Clone, Copy, Debug)]
pub struct Ragged<'a> {
    /// All feature rows, one after another, `offsets.last() x width`.
    pub rows: ColumnRef<'a>,
    /// Scalars in a feature row.
    pub width: usize,
    /// `n x rows + 1` ascending numbers, the first 0.
    pub offsets: &'a [u32],
}

impl<'a> Ragged<'a> {
    /// The candidates of acting row `i`, as an index range of feature rows.
    pub fn range(&self, i: usize) -> Range<usize> {
        self.offsets[i] as usize..self.offsets[i + 1] as usize
    }
    /// Number of candidates of acting row `i`.
    pub fn count(&self, i: usize) -> usize {
        (self.offsets[i + 1] - self.offsets[i]) as usize
    }
    /// The feature rows of acting row `i`.
    pub fn of(&self, i: usize) -> ColumnRef<'a> {
        let r = self.range(i);
        self.rows.slice(r.start * self.width..r.end * self.width)
    }
}

impl<'a> Frame<'a> {
    /// The same frame with the legal moves of its tick.
    pub fn with_candidates(mut self, candidates: Option<Ragged<'a>>) -> Self {
        self.candidates = candidates;
        self
    }
}

impl FrameMut<'_> {
    /// Lends it again, for a shorter time.
    pub fn lend(&mut self) -> FrameMut<'_> {
        FrameMut {
            obs: self.obs.lend(),
            last: self.last.lend(),
            mask: self.mask,
            seat: self.seat,
            reward: self.reward,
            status: self.status,
        }
    }
}

impl Slab {
    /// Room for `ticks` ticks of `n` worlds of `spec`, whose observations `column` makes columns for.
    pub fn new(spec: &Spec, n: usize, ticks: usize, column: impl Fn(usize) -> Column) -> Self {
        let (rows, width, choices) = (spec.rows, spec.obs.width(), spec.act.choices());
        let r = n * rows * ticks;
        Self {
            n,
            rows,
            players: spec.players,
            width,
            choices,
            obs: column(r * width),
            last: column(r * width),
            mask: vec![true; r * choices],
            seat: vec![0; r],
            reward: vec![0.0; n * spec.players * ticks],
            status: vec![Status::Running; n * ticks],
        }
    }

    /// Number of ticks.
    pub fn ticks(&self) -> usize {
        self.status.len() / self.n
    }

    fn cut(&self, t: usize, per_world: usize) -> Range<usize> {
        let k = self.n * per_world;
        t * k..(t + 1) * k
    }

    /// Tick `t`, to read.
    pub fn frame(&self, t: usize) -> Frame<'_> {
        let obs = self.cut(t, self.rows * self.width);
        Frame {
            obs: self.obs.slice(obs.clone()),
            last: self.last.slice(obs),
            mask: &self.mask[self.cut(t, self.rows * self.choices)],
            seat: &self.seat[self.cut(t, self.rows)],
            reward: &self.reward[self.cut(t, self.players)],
            status: &self.status[self.cut(t, 1)],
            candidates: None,
        }
    }

    /// Tick `t`, to write.
    pub fn frame_mut(&mut self, t: usize) -> FrameMut<'_> {
        let obs = self.cut(t, self.rows * self.width);
        let mask = self.cut(t, self.rows * self.choices);
        let (seat, reward, status) = (self.cut(t, self.rows), self.cut(t, self.players), self.cut(t, 1));
        FrameMut {
            obs: self.obs.slice_mut(obs.clone()),
            last: self.last.slice_mut(obs),
            mask: &mut self.mask[mask],
            seat: &mut self.seat[seat],
            reward: &mut self.reward[reward],
            status: &mut self.status[status],
        }
    }

    /// Copies the last tick onto the first: the only copy a rollout makes, once per iteration.
    pub fn carry(&mut self) {
        let t = self.ticks() - 1;
        let obs = self.cut(t, self.rows * self.width);
        let mask = self.cut(t, self.rows * self.choices);
        let (seat, reward, status) = (self.cut(t, self.rows), self.cut(t, self.players), self.cut(t, 1));
        self.obs.copy_to_front(obs.clone());
        self.last.copy_to_front(obs);
        self.mask.copy_within(mask, 0);
        self.seat.copy_within(seat, 0);
        self.reward.copy_within(reward, 0);
        self.status.copy_within(status, 0);
    }

    /// Appends tick `t` but its rewards and endings: what a learner must save to go on from its current frame.
    pub fn save_tick(&self, t: usize, out: &mut Vec<u8>) {
        let f = self.frame(t);
        snapshot::put(out, &(f.obs.to_column(), f.mask, f.seat));
    }

    /// Restores into tick `t` what [`Slab::save_tick`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a tick of this shape.
    pub fn load_tick(&mut self, t: usize, bytes: &mut &[u8]) -> Result<()> {
        let (obs, mask, seat): (Column, Vec<bool>, Vec<u8>) = snapshot::take(bytes)?;
        let mut f = self.frame_mut(t);
        if mask.len() != f.mask.len() || seat.len() != f.seat.len() || !f.obs.copy_from(obs.slice(0..obs.len())) {
            return Err(Error::mismatch("saved frame", "one of this world and number of worlds", "another"));
        }
        f.mask.copy_from_slice(&mask);
        f.seat.copy_from_slice(&seat);
        Ok(())
    }

    /// Every observation of every tick, `[ticks, n, rows, width]`: what a learner uploads as one tensor.
    pub fn all_obs(&self) -> ColumnRef<'_> {
        self.obs.slice(0..self.obs.len())
    }
    /// Every final view, `[ticks, n, rows, width]`; only ticks that ended an episode mean anything.
    pub fn all_last(&self) -> ColumnRef<'_> {
        self.last.slice(0..self.last.len())
    }
    /// Every mask, `[ticks, n, rows, choices]`.
    pub fn all_masks(&self) -> &[bool] {
        &self.mask
    }
    /// Every seat, `[ticks, n, rows]`.
    pub fn all_seats(&self) -> &[u8] {
        &self.seat
    }
    /// Every reward, `[ticks, n, players]`.
    pub fn all_rewards(&self) -> &[f32] {
        &self.reward
    }
    /// Every status, `[ticks, n]`.
    pub fn all_status(&self) -> &[Status] {
        &self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Space;

    /// 2 worlds of 3 rows and 4 players, rows of 5 scalars, 2 + 3 choices.
    fn slab(ticks: usize) -> Slab {
        let mut spec = Spec::solo("x", Space::uniform(5, 0.0, 1.0), Space::MultiDiscrete(vec![2, 3]));
        (spec.rows, spec.players) = (3, 4);
        Slab::new(&spec, 2, ticks, |n| Column::F32(vec![0.0; n]))
    }

    /// Numbers every cell of a tick by field, tick and place.
    fn fill(slab: &mut Slab, t: usize, mark: usize) {
        let f = slab.frame_mut(t);
        let (ColumnMut::F32(obs), ColumnMut::F32(last)) = (f.obs, f.last) else { panic!() };
        let number = |field: usize, i: usize| (mark * 1000 + field * 100 + i) as f32;
        obs.iter_mut().enumerate().for_each(|(i, x)| *x = number(0, i));
        last.iter_mut().enumerate().for_each(|(i, x)| *x = number(1, i));
        f.reward.iter_mut().enumerate().for_each(|(i, x)| *x = number(2, i));
        f.seat.iter_mut().enumerate().for_each(|(i, x)| *x = (mark * 10 + i) as u8);
        f.mask.iter_mut().enumerate().for_each(|(i, x)| *x = !(i + mark).is_multiple_of(3));
        let kinds = [Status::Running, Status::Terminated, Status::Truncated];
        f.status.iter_mut().enumerate().for_each(|(i, x)| *x = kinds[(i + mark) % 3]);
    }

    #[test]
    fn ticks_lie_one_after_another_and_never_overlap() {
        let mut all = slab(4);
        assert_eq!(all.ticks(), 4);
        (0..4).for_each(|t| fill(&mut all, t, t + 1));
        let mut one = slab(1);
        for t in 0..4 {
            fill(&mut one, 0, t + 1);
            let (f, expected) = (all.frame(t), one.frame(0));
            assert_eq!((f.obs, f.last), (expected.obs, expected.last));
            assert_eq!((f.mask, f.seat), (expected.mask, expected.seat));
            assert_eq!((f.reward, f.status), (expected.reward, expected.status));
            assert_eq!((f.obs.len(), f.mask.len(), f.seat.len()), (2 * 3 * 5, 2 * 3 * 5, 2 * 3));
            assert_eq!((f.reward.len(), f.status.len()), (2 * 4, 2));
            assert_eq!(all.all_obs().slice(t * 30..(t + 1) * 30), f.obs);
            assert_eq!(all.all_last().slice(t * 30..(t + 1) * 30), f.last);
            assert_eq!(
                (&all.all_masks()[t * 30..(t + 1) * 30], &all.all_seats()[t * 6..(t + 1) * 6]),
                (f.mask, f.seat)
            );
            assert_eq!(
                (&all.all_rewards()[t * 8..(t + 1) * 8], &all.all_status()[t * 2..(t + 1) * 2]),
                (f.reward, f.status)
            );
        }
    }

    #[test]
    fn carry_copies_the_last_tick_to_the_first_and_touches_no_other() {
        let mut all = slab(3);
        (0..3).for_each(|t| fill(&mut all, t, t + 1));
        all.carry();
        let mut expected = slab(3);
        for (t, mark) in [(0, 3), (1, 2), (2, 3)] {
            fill(&mut expected, t, mark);
        }
        assert_eq!(format!("{all:?}"), format!("{expected:?}"));
        let mut single = slab(1);
        fill(&mut single, 0, 7);
        let before = format!("{single:?}");
        single.carry();
        assert_eq!(format!("{single:?}"), before);
    }

    #[test]
    fn a_tick_is_saved_and_only_taken_by_a_slab_of_its_shape() {
        let mut all = slab(2);
        fill(&mut all, 1, 5);
        let mut bytes = Vec::new();
        all.save_tick(1, &mut bytes);
        let mut other = slab(3);
        let mut rest = &bytes[..];
        other.load_tick(2, &mut rest).unwrap();
        assert!(rest.is_empty());
        let (a, b) = (all.frame(1), other.frame(2));
        assert_eq!((a.obs, a.mask, a.seat), (b.obs, b.mask, b.seat));
        for cut in 0..bytes.len() {
            assert!(other.load_tick(0, &mut &bytes[..cut]).is_err());
        }
        let spec = Spec::solo("x", Space::uniform(5, 0.0, 1.0), Space::MultiDiscrete(vec![2, 3]));
        assert!(Slab::new(&spec, 2, 1, |n| Column::F32(vec![0.0; n])).load_tick(0, &mut &bytes[..]).is_err());
        let mut same = spec;
        (same.rows, same.players) = (3, 4);
        assert!(Slab::new(&same, 2, 1, |n| Column::U8(vec![0; n])).load_tick(0, &mut &bytes[..]).is_err());
    }

    #[test]
    fn ragged_rows_belong_to_whom_their_offsets_say() {
        let rows = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5];
        let ragged = Ragged { rows: ColumnRef::F32(&rows), width: 2, offsets: &[0, 1, 1, 3] };
        assert_eq!((0..3).map(|i| ragged.count(i)).collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!((ragged.range(2), ragged.of(0)), (1..3, ColumnRef::F32(&rows[..2])));
        assert_eq!((ragged.of(1).len(), ragged.of(2)), (0, ColumnRef::F32(&rows[2..])));
    }
}

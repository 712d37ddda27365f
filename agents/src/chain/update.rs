//! Which skill learns next, and what its successes are paid.
use super::{Bridge, Chain, Order, Running};
use rlx::{ColumnRef, Result, replay::Batch};

/// What a skill that never fails still gets of the updates, against 1 + this for one that always does.
const SLACK: f64 = 0.2;

impl Chain {
    /// The skill whose update is next: each gets a share that grows with how often it fails.
    pub(super) fn next_skill(&mut self) -> Option<usize> {
        let need = |k: usize| if self.may_learn(k) { 1.0 + SLACK - self.state.success[k] } else { 0.0 };
        let needs: Vec<f64> = (0..self.skills.len()).map(need).collect();
        let sum: f64 = needs.iter().sum();
        let (mut next, credit) = (None, &mut self.state.credit);
        for k in (0..needs.len()).filter(|k| needs[*k] > 0.0) {
            credit[k] += needs[k] / sum;
            if next.is_none_or(|n: usize| credit[k] > credit[n]) {
                next = Some(k);
            }
        }
        credit[next?] -= 1.0;
        next
    }

    /// Whether a skill has enough to learn from, and its turn has come.
    fn may_learn(&self, k: usize) -> bool {
        let enough = self.state.transitions[k] >= self.config.sac.learning_starts / self.skills.len() as u64 + 100;
        let turn = match self.config.order {
            Order::Joint => true,
            // A skill that was never met, where one is learnt alone, is not waited for.
            Order::Sequence => {
                (0..k).all(|j| self.state.transitions[j] == 0 || self.state.success[j] >= self.config.competence)
            }
        };
        enough && turn
    }

    /// One update of skill `k`.
    pub(super) fn update_skill(&mut self, r: &mut Running, k: usize, learning_rate: f64) -> Result<()> {
        let goal = self.setup.spec.skills[k].goal.clone();
        let (at, last) = (self.skill_at, self.skills.len() - 1);
        let own = |row: ColumnRef<'_>| row.f32().is_ok_and(|row| (row[at].max(0.0) as usize).min(last) == k);
        r.replay.sample_of(Some(&goal), own, &mut self.state.sampling, &mut r.batch)?;
        if let Some(distance) = &mut self.distance
            && self.skills[k].updates().is_multiple_of(distance.every())
        {
            distance.learn()?;
        }
        if k < last {
            self.pay_bridge(&mut r.batch, k)?;
        }
        self.skills[k].update(&r.batch, learning_rate)
    }

    /// Changes the reward of the successes of skill `k` in a batch by where they ended. What only succeeds by a goal of hindsight ended
    /// nowhere that the chain goes on from, and says nothing.
    pub(super) fn pay_bridge(&mut self, batch: &mut Batch, k: usize) -> Result<()> {
        let starts = &self.state.beginnings[k + 1];
        let scale = self.config.bridge_scale as f32;
        if starts.is_empty() || self.config.bridge == Bridge::None {
            return Ok(());
        }
        let width = self.setup.spec.obs.width();
        let own = |i: &usize| batch.discount[*i] == 0.0 && !batch.relabelled[*i];
        let ended: Vec<usize> = (0..batch.reward.len()).filter(own).collect();
        let next = batch.next.slice(0..batch.next.len()).f32()?;
        self.rows.clear();
        ended.iter().for_each(|i| self.rows.extend_from_slice(&next[i * width..(i + 1) * width]));
        if let Some(distance) = &mut self.distance {
            let mut left = Vec::new();
            distance.set_distances(&self.rows, starts.all(), &mut left)?;
            for (i, left) in ended.iter().zip(&left) {
                batch.reward[*i] += scale * distance.potential(*left);
            }
        } else if let Some(discriminator) = self.discriminators.get_mut(k) {
            let endings = &self.state.endings[k];
            discriminator.learn(starts, endings, &mut self.state.sampling);
            for (i, row) in ended.iter().zip(self.rows.chunks_exact(width)) {
                batch.reward[*i] += scale * (discriminator.probability(row) - 1.0);
            }
        }
        Ok(())
    }
}

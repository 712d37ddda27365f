//! An algorithm, as its author writes it.
use crate::{ActionsMut, ColumnRef, Frame, LoadDir, Result, Rng, SaveDir, Scalars, Vector};
use serde::{Deserialize, Serialize};

/// How a policy is asked to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// As in training: sampled.
    Explore,
    /// The best it knows.
    Greedy,
}

/// What a policy made of a row, beside its choice: named arrays. A policy gives those it has, under names of its own or of these.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyInfo(Vec<(&'static str, Vec<f32>)>);

impl PolicyInfo {
    /// The expected return of each candidate.
    pub const Q_VALUES: &'static str = "q_values";
    /// P(same team) of the other players, in the order of play.
    pub const P_TEAMMATE: &'static str = "p_teammate";
    /// One number: the estimated transitions to the goal.
    pub const DISTANCE: &'static str = "distance_to_goal";

    /// One array.
    pub fn of(name: &'static str, values: impl Into<Vec<f32>>) -> Self {
        Self::default().with(name, values)
    }
    /// With another array, which takes the place of one of the same name.
    pub fn with(mut self, name: &'static str, values: impl Into<Vec<f32>>) -> Self {
        self.0.retain(|a| a.0 != name);
        self.0.push((name, values.into()));
        self
    }
    /// The array of that name; an empty one where the policy has nothing to say of it.
    pub fn get(&self, name: &str) -> &[f32] {
        self.0.iter().find(|a| a.0 == name).map_or(&[], |a| &a.1)
    }
}

/// Chooses actions. A hand-written bot, a frozen opponent and a network look alike.
pub trait Policy: Send {
    /// Chooses for the acting rows `rows` of `frame` (indices into its `n x rows`): `rng[k]` and the k-th action of `out` belong
    /// to `rows[k]`. A masked choice is never returned.
    ///
    /// # Errors
    /// When the frame is not of the world the policy was made for, or the network gives numbers that are not finite.
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], mode: Mode, rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()>;

    /// Whether it must be shown hidden state before it acts: an upper bound for research, not a player.
    fn needs_hidden(&self) -> bool {
        false
    }

    /// Shows it the hidden state (rows as [`crate::Oracle::reveal`] writes them) of the rows it will be asked for next.
    fn show_hidden(&mut self, _hidden: ColumnRef<'_>) {}

    /// What it made of the k-th of the rows it was last asked for; None where it had no choice or has nothing to say.
    fn info(&self, _k: usize) -> Option<PolicyInfo> {
        None
    }
}

/// State that survives a restart: `load` of what `save` wrote continues bit for bit, on one machine and thread count.
pub trait Checkpoint {
    /// Writes the state as files of a checkpoint folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn save(&self, to: &mut SaveDir) -> Result<()>;
    /// Reads it back.
    ///
    /// # Errors
    /// When a file is missing, damaged or of something else.
    fn load(&mut self, from: &LoadDir) -> Result<()>;
}

/// One algorithm. It owns its rollout, its optimiser and the order in which it collects and learns.
pub trait Learner: Checkpoint {
    /// Collects, then learns, once. Returns the environment steps (worlds x ticks) it took.
    ///
    /// # Errors
    /// When a world fails, or a loss or parameter is not finite.
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64>;

    /// What it has learnt so far.
    fn policy(&mut self) -> &mut dyn Policy;

    /// The policy as named arrays, with the normalisers it needs, to use elsewhere.
    ///
    /// # Errors
    /// When a device cannot be read.
    fn export(&self) -> Result<Export>;

    /// Starts from another run's exported policy: every array of the same name and shape is taken over.
    ///
    /// # Errors
    /// When nothing fits, naming the first difference.
    fn init_from(&mut self, policy: &Export) -> Result<()>;
}

/// A policy as named arrays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Export {
    /// What a reader must know to use the arrays: key and value.
    pub about: Vec<(String, String)>,
    /// The arrays.
    pub arrays: Vec<Array>,
    /// Names of those that only training needs: to act, the others are enough.
    pub training: Vec<String>,
}

/// A named array, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its name, dots between the parts: `actor.0.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub data: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_found_by_its_name_and_one_that_is_not_there_is_empty() {
        let info = PolicyInfo::of(PolicyInfo::DISTANCE, [3.0]).with("own", vec![1.0, 2.0]).with("own", [4.0]);
        assert_eq!((info.get(PolicyInfo::DISTANCE), info.get("own")), (&[3.0][..], &[4.0][..]));
        assert!(info.get(PolicyInfo::Q_VALUES).is_empty());
    }
}

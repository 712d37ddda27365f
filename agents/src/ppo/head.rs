//! The action distribution that the policy network's outputs describe: sampling, log-probability, entropy, and their derivatives.
use crate::actor_critic::ActorCritic;
use rlx::{Actions, ActionsMut, Error, Result, Rng, Space};
use rlx_nn::sample::{Choices, gaussian_entropy, gaussian_log_prob};

/// The kind of distribution, by the kind of actions.
#[derive(Clone, Debug)]
pub(super) enum Head {
    /// Independent categoricals, one for each set of choices; the outputs are their logits.
    Categorical(Vec<usize>),
    /// Independent normals with state-independent deviations; the outputs are their means, in units where each bounded action is in
    /// [-1, 1].
    Normal(Vec<Scale>),
}

/// How an action dimension goes from the policy's units to the environment's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) middle: f32,
    pub(super) half_width: f32,
    low: f32,
    high: f32,
}

/// What the networks say of one row, and which choices are legal there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) outputs: &'a [f32], // [choices] or [act]
    pub(super) log_std: &'a [f32], // [act] of a normal
    pub(super) mask: &'a [bool],   // [choices]
}

/// Where the derivative of the loss by the outputs of one row goes.
pub(super) struct RowGrad<'a> {
    pub(super) outputs: &'a mut [f32],
    pub(super) log_std: &'a mut [f32], // added to
}

impl Head {
    /// The head for actions of `space`.
    pub(super) fn new(space: &Space) -> Self {
        let Space::Box { low, high, .. } = space else { return Self::Categorical(space.sets().to_vec()) };
        let scale = |(&low, &high): (&f32, &f32)| match low.is_finite() && high.is_finite() {
            true => Scale { middle: (low + high) / 2.0, half_width: (high - low) / 2.0, low, high },
            false => Scale { middle: 0.0, half_width: 1.0, low, high },
        };
        Self::Normal(low.iter().zip(high).map(scale).collect())
    }

    /// Outputs of the policy network for a row.
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Categorical(sets) => sets.iter().sum(),
            Self::Normal(scales) => scales.len(),
        }
    }

    /// Log standard deviations beside the network.
    pub(super) fn log_stds(&self) -> usize {
        match self {
            Self::Categorical(_) => 0,
            Self::Normal(scales) => scales.len(),
        }
    }

    /// The policy network's outputs for `inputs`, `[rows, outputs]`. With `learn`, a step of the optimiser may follow.
    ///
    /// # Errors
    /// When a mean is not finite; a logit is checked where it is used, for those of illegal choices do not matter.
    pub(super) fn forward<'n>(
        &self,
        net: &'n mut ActorCritic,
        inputs: &[f32],
        learn: bool,
        step: u64,
    ) -> Result<&'n [f32]> {
        let outputs = net.actor(inputs, learn)?;
        if let (Self::Normal(_), Some(x)) = (self, outputs.iter().find(|x| !x.is_finite())) {
            return Err(Error::NonFinite { what: format!("mean of the policy ({x})"), step });
        }
        Ok(outputs)
    }

    /// Chooses the action of a row, in the policy's units: drawn by `rng`, or the mode where there is none. Its log-probability.
    ///
    /// # Errors
    /// When no choice is legal, or the action is of another kind.
    pub(super) fn choose(
        &self,
        row: Row<'_>,
        mut rng: Option<&mut Rng>,
        action: ActionsMut<'_>,
        probs: &mut [f32],
    ) -> Result<f32> {
        match (self, action) {
            (Self::Categorical(sets), ActionsMut::Discrete(ids)) => {
                let (mut start, mut sum) = (0, 0.0);
                for (&n, id) in sets.iter().zip(ids) {
                    let set = start..start + n;
                    let choices = Choices { logits: &row.outputs[set.clone()], mask: &row.mask[set.clone()] };
                    let (choice, log_prob) = match &mut rng {
                        Some(rng) => choices.sample(rng, &mut probs[set])?,
                        // Of the largest logit, ln p is minus the log of the sum of exponentials above it.
                        None => (choices.best()?, -choices.probabilities(&mut probs[set])?.1),
                    };
                    *id = choice as i64;
                    sum += log_prob;
                    start += n;
                }
                Ok(sum)
            }
            (Self::Normal(_), ActionsMut::Continuous(action)) => {
                for ((a, mean), log_std) in action.iter_mut().zip(row.outputs).zip(row.log_std) {
                    *a = match &mut rng {
                        Some(rng) => mean + log_std.exp() * rng.normal() as f32,
                        None => *mean,
                    };
                }
                Ok(gaussian_log_prob(action, row.outputs, row.log_std))
            }
            _ => Err(wrong_kind()),
        }
    }

    /// Brings rows of actions from the policy's units to the environment's, within its bounds.
    ///
    /// # Errors
    /// When they are of different kinds.
    pub(super) fn to_env(&self, from: Actions<'_>, to: ActionsMut<'_>) -> Result<()> {
        match (self, from, to) {
            (Self::Normal(scales), Actions::Continuous(from), ActionsMut::Continuous(to)) => {
                for (from, to) in from.chunks_exact(scales.len()).zip(to.chunks_exact_mut(scales.len())) {
                    for ((to, from), s) in to.iter_mut().zip(from).zip(scales) {
                        *to = (s.middle + s.half_width * from).clamp(s.low, s.high);
                    }
                }
            }
            (_, Actions::Discrete(from), ActionsMut::Discrete(to)) => to.copy_from_slice(from),
            _ => return Err(wrong_kind()),
        }
        Ok(())
    }

    /// (ln pi(action), entropy of pi) of a row, summed over its independent parts. Leaves the categoricals' probabilities in `probs`.
    ///
    /// # Errors
    /// When no choice is legal, or the logit of a legal one is not finite.
    pub(super) fn log_prob_and_entropy(
        &self,
        row: Row<'_>,
        action: Actions<'_>,
        probs: &mut [f32],
    ) -> Result<(f32, f32)> {
        match (self, action) {
            (Self::Categorical(sets), Actions::Discrete(ids)) => {
                let (mut start, mut log_prob, mut entropy) = (0, 0.0, 0.0);
                for (&n, &id) in sets.iter().zip(ids) {
                    let set = start..start + n;
                    let choices = Choices { logits: &row.outputs[set.clone()], mask: &row.mask[set.clone()] };
                    let p = &mut probs[set];
                    let (largest, log_sum) = choices.probabilities(p)?;
                    log_prob += row.outputs[start + id as usize] - largest - log_sum;
                    entropy += entropy_of(p);
                    start += n;
                }
                Ok((log_prob, entropy))
            }
            (_, Actions::Continuous(action)) => {
                Ok((gaussian_log_prob(action, row.outputs, row.log_std), gaussian_entropy(row.log_std)))
            }
            _ => Err(wrong_kind()),
        }
    }

    /// The derivative of `d_log_prob * ln pi(action) - entropy_coef * H` by the outputs and the log deviations of a row; `probs` is as
    /// [`Head::log_prob_and_entropy`] left it.
    ///
    /// Of a categorical: d ln p(a) / d logit j = [j = a] - p(j), d H / d logit j = -p(j) (ln p(j) + H). Of a normal with
    /// z = (a - mean) / std: d ln p / d mean = z / std, d ln p / d ln std = z^2 - 1, d H / d ln std = 1.
    pub(super) fn backward(
        &self,
        row: Row<'_>,
        action: Actions<'_>,
        probs: &[f32],
        (d_log_prob, entropy_coef): (f32, f32),
        grad: RowGrad<'_>,
    ) {
        match (self, action) {
            (Self::Categorical(sets), Actions::Discrete(ids)) => {
                let mut start = 0;
                for (&n, &id) in sets.iter().zip(ids) {
                    let p = &probs[start..start + n];
                    let entropy = entropy_of(p);
                    for (j, (&p, out)) in p.iter().zip(&mut grad.outputs[start..start + n]).enumerate() {
                        let chosen = f32::from(u8::from(j as i64 == id));
                        let d_entropy = if p > 0.0 { -p * (p.ln() + entropy) } else { 0.0 };
                        *out = d_log_prob * (chosen - p) - entropy_coef * d_entropy;
                    }
                    start += n;
                }
            }
            (_, Actions::Continuous(action)) => {
                for (j, (a, mean)) in action.iter().zip(row.outputs).enumerate() {
                    let std = row.log_std[j].exp();
                    let z = (a - mean) / std;
                    grad.outputs[j] = d_log_prob * z / std;
                    grad.log_std[j] += d_log_prob * (z * z - 1.0) - entropy_coef;
                }
            }
            _ => unreachable!("an action whose probability was taken is of the head's kind"),
        }
    }
}

fn wrong_kind() -> Error {
    Error::mismatch("actions of ppo", "those of its environment", "another kind")
}

/// H of a categorical.
fn entropy_of(p: &[f32]) -> f32 {
    -p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f32>()
}

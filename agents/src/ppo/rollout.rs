//! The rollout buffer, and minibatches of it.
use rlx::{ActionBuffer, ColumnRef, Result, Slab, Space};
use rlx_nn::Normalizer;

/// A rollout, `[num_steps, slots]` unless said otherwise. What the environments wrote (observations, masks, endings) is borrowed from the
/// slab; what is chosen, computed or changed is here.
pub(super) struct Rollout {
    /// `[num_steps + 1, slots, width]`, where the networks do not see the slab's observations as they are; else empty.
    pub(super) own_inputs: Vec<f32>,
    pub(super) actions: ActionBuffer, // [num_steps, slots, act], in the policy's units
    pub(super) log_probs: Vec<f32>,
    pub(super) rewards: Vec<f32>,
    pub(super) values: Vec<f32>,       // [num_steps + 1, slots]
    pub(super) final_values: Vec<f32>, // of the final observation, where a time-out cut the episode
    pub(super) advantages: Vec<f32>,
}

impl Rollout {
    pub(super) fn new(act: &Space, num_steps: usize, slots: usize) -> Self {
        let zeros = || vec![0.0; num_steps * slots];
        Self {
            own_inputs: Vec::new(),
            actions: ActionBuffer::new(act, num_steps * slots),
            log_probs: zeros(),
            rewards: zeros(),
            values: vec![0.0; (num_steps + 1) * slots],
            final_values: zeros(),
            advantages: zeros(),
        }
    }

    /// What the networks see, `[num_steps + 1, slots, width]`.
    pub(super) fn inputs<'a>(&'a self, slab: &'a Slab) -> Result<&'a [f32]> {
        if self.own_inputs.is_empty() { slab.all_obs().f32() } else { Ok(&self.own_inputs) }
    }
}

/// A minibatch, and the derivatives of its loss by the networks' outputs.
#[derive(Default)]
pub(super) struct Minibatch {
    pub(super) inputs: Vec<f32>,       // [size, width]
    pub(super) advantages: Vec<f32>,   // [size]
    pub(super) actor_grad: Vec<f32>,   // [size, outputs]
    pub(super) critic_grad: Vec<f32>,  // [size]
    pub(super) log_std_grad: Vec<f32>, // [act]
}

impl Minibatch {
    /// Copies the rows of some transitions together.
    pub(super) fn gather(&mut self, transitions: &[u32], inputs: &[f32], width: usize, advantages: &[f32]) {
        self.inputs.clear();
        self.advantages.clear();
        for i in transitions.iter().map(|i| *i as usize) {
            self.inputs.extend_from_slice(&inputs[i * width..(i + 1) * width]);
            self.advantages.push(advantages[i]);
        }
    }

    /// Zeros for the policy's derivatives, none yet for the critic's.
    pub(super) fn clear_grads(&mut self, outputs: usize, log_stds: usize) {
        for (grad, len) in
            [(&mut self.actor_grad, outputs), (&mut self.log_std_grad, log_stds), (&mut self.critic_grad, 0)]
        {
            grad.clear();
            grad.resize(len, 0.0);
        }
    }
}

/// Appends observations as the networks see them: as floats, normalised where there is a normaliser.
pub(super) fn append_inputs(
    normalizer: Option<&Normalizer>,
    obs: ColumnRef<'_>,
    raw: &mut Vec<f32>,
    inputs: &mut Vec<f32>,
) {
    let Some(normalizer) = normalizer else { return obs.extend_f32(inputs) };
    raw.clear();
    obs.extend_f32(raw);
    let start = inputs.len();
    inputs.resize(start + raw.len(), 0.0);
    normalizer.normalize(raw, &mut inputs[start..]);
}

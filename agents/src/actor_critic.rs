//! A policy network and a value network with one optimiser, in plain Rust on the CPU or in tch on CUDA, over one layout of
//! parameters: checkpoints and exports are the same whichever runs.
use rlx::{Array, Device, Error, LoadDir, Result, SaveDir};
use rlx_nn::{
    Activation, Adam, AdamConfig, Init, Layout, Mlp, NativeMlp, Params, TensorAdam, adam, native::Workspace, upload,
};
use tch::{Kind, Tensor};

/// What the two networks look like.
#[derive(Clone, Debug)]
pub struct Shape<'a> {
    pub inputs: usize,
    pub hidden: &'a [usize],
    pub outputs: usize,
    pub activation: Activation,
    /// Number of state-independent log standard deviations, and where they start.
    pub log_stds: (usize, f32),
}

pub struct ActorCritic {
    layout: Layout,
    log_std: Option<usize>,
    backend: Backend,
}

enum Backend {
    Native(Box<Native>),
    Torch(Box<Torch>),
}

struct Native {
    params: Vec<f32>,
    grads: Vec<f32>,
    actor: NativeMlp,
    critic: NativeMlp,
    actor_work: Workspace,
    critic_work: Workspace,
    adam: Adam,
}

struct Torch {
    params: Params,
    actor: Mlp,
    critic: Mlp,
    device: tch::Device,
    x: Option<Tensor>, // the last minibatch's inputs: both networks see the same
    actor_out: Option<Tensor>,
    critic_out: Option<Tensor>,
    actor_host: Vec<f32>,
    critic_host: Vec<f32>,
    log_std: Vec<f32>,
    adam: TensorAdam,
}

/// The gradient of a loss by the outputs of both networks, `[batch, outputs]` and `[batch]`, and by the log standard deviations.
pub struct OutputGrads<'a> {
    pub actor: &'a [f32],
    pub critic: &'a [f32],
    pub log_std: &'a [f32],
}

impl ActorCritic {
    pub fn new(shape: &Shape<'_>, seed: u64, device: Device, config: AdamConfig) -> Result<Self> {
        let mut layout = Layout::new();
        let sizes = |outputs: usize| [&[shape.inputs], shape.hidden, &[outputs]].concat();
        let (actor_sizes, critic_sizes) = (sizes(shape.outputs), sizes(1));
        // A small last gain makes the first policy near uniform, which matters more than any other choice of start
        // (Andrychowicz et al., arXiv 2006.05990, section 3.2).
        let (actor_gain, critic_gain) = (0.01, 1.0);
        let add_log_std = |layout: &mut Layout| {
            (shape.log_stds.0 > 0).then(|| layout.add("log_std", &[shape.log_stds.0], Init::Constant(shape.log_stds.1)))
        };
        match device {
            Device::Cpu => {
                let actor = NativeMlp::new(&mut layout, "actor", &actor_sizes, shape.activation, actor_gain);
                let critic = NativeMlp::new(&mut layout, "critic", &critic_sizes, shape.activation, critic_gain);
                let log_std = add_log_std(&mut layout);
                let native = Native {
                    params: layout.init(seed),
                    grads: vec![0.0; layout.len()],
                    actor,
                    critic,
                    actor_work: Workspace::default(),
                    critic_work: Workspace::default(),
                    adam: Adam::new(config, layout.len()),
                };
                Ok(Self { layout, log_std, backend: Backend::Native(Box::new(native)) })
            }
            Device::Cuda(index) => {
                let device = tch::Device::Cuda(index);
                let actor = Mlp::new(&mut layout, "actor", &actor_sizes, shape.activation, actor_gain);
                let critic = Mlp::new(&mut layout, "critic", &critic_sizes, shape.activation, critic_gain);
                let log_std = add_log_std(&mut layout);
                Self::torch(layout, log_std, actor, critic, seed, device, config)
            }
        }
    }

    fn torch(
        layout: Layout,
        log_std: Option<usize>,
        actor: Mlp,
        critic: Mlp,
        seed: u64,
        device: tch::Device,
        config: AdamConfig,
    ) -> Result<Self> {
        let params = Params::new(layout.clone(), seed, device)?;
        let adam = TensorAdam::new(config, params.flat());
        let mut torch = Torch {
            params,
            actor,
            critic,
            device,
            x: None,
            actor_out: None,
            critic_out: None,
            actor_host: Vec::new(),
            critic_host: Vec::new(),
            log_std: Vec::new(),
            adam,
        };
        torch.read_log_std(log_std)?;
        Ok(Self { layout, log_std, backend: Backend::Torch(Box::new(torch)) })
    }

    /// The policy's outputs for `x`, `[batch, inputs]`. With `learn`, [`ActorCritic::step`] may follow.
    pub fn actor(&mut self, x: &[f32], learn: bool) -> Result<&[f32]> {
        match &mut self.backend {
            Backend::Native(n) => Ok(n.actor.forward(&n.params, x, &mut n.actor_work)),
            Backend::Torch(t) => {
                let input = t.upload(x, self.layout.pieces()[0].shape[1])?;
                let out = if learn {
                    t.actor.forward(&t.params, &input)
                } else {
                    tch::no_grad(|| t.actor.forward(&t.params, &input))
                };
                t.actor_host = upload::to_vec(&out)?;
                (t.x, t.actor_out) = (Some(input), Some(out));
                Ok(&t.actor_host)
            }
        }
    }

    /// The values of `x`, `[batch]`. With `learn` it must be the `x` of the call to [`ActorCritic::actor`] before.
    pub fn critic(&mut self, x: &[f32], learn: bool) -> Result<&[f32]> {
        match &mut self.backend {
            Backend::Native(n) => Ok(n.critic.forward(&n.params, x, &mut n.critic_work)),
            Backend::Torch(t) => {
                let out = match (&t.x, learn) {
                    (Some(x), true) => t.critic.forward(&t.params, x),
                    _ => {
                        let input = t.upload(x, self.layout.pieces()[0].shape[1])?;
                        tch::no_grad(|| t.critic.forward(&t.params, &input))
                    }
                };
                t.critic_host = upload::to_vec(&out)?;
                t.critic_out = Some(out);
                Ok(&t.critic_host)
            }
        }
    }

    /// The log standard deviations.
    pub fn log_std(&self) -> &[f32] {
        match (&self.backend, self.log_std) {
            (Backend::Native(n), Some(piece)) => &n.params[self.layout.range(piece)],
            (Backend::Torch(t), Some(_)) => &t.log_std,
            (_, None) => &[],
        }
    }

    /// One step of the optimiser along the gradient of a loss given by the outputs for `x` that [`ActorCritic::actor`] and
    /// [`ActorCritic::critic`] just computed. Returns the gradient's norm before it was clipped.
    pub fn step(&mut self, x: &[f32], by: &OutputGrads<'_>, learning_rate: f64, max_norm: f64) -> Result<f64> {
        match &mut self.backend {
            Backend::Native(n) => {
                n.grads.fill(0.0);
                n.actor.backward(&n.params, x, by.actor, &mut n.actor_work, &mut n.grads);
                n.critic.backward(&n.params, x, by.critic, &mut n.critic_work, &mut n.grads);
                if let Some(piece) = self.log_std {
                    n.grads[self.layout.range(piece)].copy_from_slice(by.log_std);
                }
                let norm = adam::clip_grad_norm(&mut n.grads, max_norm);
                n.adam.step(&mut n.params, &n.grads, learning_rate);
                Ok(norm)
            }
            Backend::Torch(t) => {
                let missing = || Error::invalid("a step needs the outputs of both networks");
                let (actor, critic) =
                    (t.actor_out.take().ok_or_else(missing)?, t.critic_out.take().ok_or_else(missing)?);
                let on = |data: &[f32], like: &Tensor| -> Result<Tensor> {
                    let mut to = like.detach().empty_like();
                    upload::upload(data, &mut to)?;
                    Ok(to)
                };
                let mut loss = (&actor * on(by.actor, &actor)?).sum(Kind::Float)
                    + (&critic * on(by.critic, &critic)?).sum(Kind::Float);
                if let Some(piece) = self.log_std {
                    let leaf = t.params.leaf(piece);
                    loss += (leaf * on(by.log_std, leaf)?).sum(Kind::Float);
                }
                loss.backward();
                let mut grads = t.params.take_grads();
                let norm = adam::clip_grad_norm_tensor(&mut grads, max_norm);
                t.adam.step(t.params.flat_mut(), &grads, learning_rate);
                t.read_log_std(self.log_std)?;
                Ok(norm.double_value(&[]))
            }
        }
    }

    /// All parameters, flat.
    pub fn params(&self) -> Result<Vec<f32>> {
        match &self.backend {
            Backend::Native(n) => Ok(n.params.clone()),
            Backend::Torch(t) => t.params.to_vec(),
        }
    }

    /// The name of the first parameter that is not finite.
    pub fn not_finite(&self) -> Result<Option<String>> {
        let copy;
        let flat = match &self.backend {
            Backend::Native(n) => &n.params,
            Backend::Torch(_) => {
                copy = self.params()?;
                &copy
            }
        };
        let bad = |p: &&rlx_nn::layout::Piece| flat[p.range.clone()].iter().any(|x| !x.is_finite());
        Ok(self.layout.pieces().iter().find(bad).map(|p| p.name.clone()))
    }

    fn set(&mut self, flat: &[f32]) -> Result<()> {
        match &mut self.backend {
            Backend::Native(n) if n.params.len() == flat.len() => n.params.copy_from_slice(flat),
            Backend::Native(n) => {
                let (expected, found) = (n.params.len().to_string(), flat.len().to_string());
                return Err(Error::mismatch("number of saved parameters", expected, found));
            }
            Backend::Torch(t) => {
                t.params.set(flat)?;
                t.read_log_std(self.log_std)?;
            }
        }
        Ok(())
    }

    pub fn save(&self, to: &mut SaveDir) -> Result<()> {
        let bytes: Vec<u8> = self.params()?.iter().flat_map(|x| x.to_le_bytes()).collect();
        to.put("params.f32", &bytes)?;
        to.put("layout.json", &serde_json::to_vec_pretty(&self.layout).expect("a layout serialises"))?;
        let adam = match &self.backend {
            Backend::Native(n) => n.adam.to_bytes(),
            Backend::Torch(t) => t.adam.to_bytes()?,
        };
        to.put("adam.bin", &adam)
    }

    pub fn load(&mut self, from: &LoadDir) -> Result<()> {
        let layout: Layout = serde_json::from_slice(&from.get("layout.json")?)
            .map_err(|e| Error::corrupt(from.path().join("layout.json"), e.to_string()))?;
        if layout != self.layout {
            let show = |l: &Layout| format!("{} parameters in {} pieces", l.parameters(), l.pieces().len());
            return Err(Error::mismatch("networks of the checkpoint", show(&self.layout), show(&layout)));
        }
        let bytes = from.get("params.f32")?;
        let flat: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        self.set(&flat)?;
        match &mut self.backend {
            Backend::Native(n) => n.adam.restore(&from.get("adam.bin")?),
            Backend::Torch(t) => t.adam.restore(&from.get("adam.bin")?),
        }
    }

    pub fn export(&self) -> Result<Vec<Array>> {
        Ok(self.layout.export(&self.params()?))
    }

    pub fn import(&mut self, arrays: &[Array]) -> Result<()> {
        let mut flat = self.params()?;
        self.layout.import(arrays, &mut flat)?;
        self.set(&flat)
    }
}

impl Torch {
    fn upload(&self, x: &[f32], width: usize) -> Result<Tensor> {
        let mut to = Tensor::empty([(x.len() / width) as i64, width as i64], (Kind::Float, self.device));
        upload::upload(x, &mut to)?;
        Ok(to)
    }
    fn read_log_std(&mut self, piece: Option<usize>) -> Result<()> {
        if let Some(piece) = piece {
            self.log_std = upload::to_vec(self.params.leaf(piece))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both backends, tch on the CPU here, take the same steps to rounding: forward, backward, clipping and Adam.
    #[test]
    fn the_two_backends_take_the_same_steps() {
        let hidden = [16, 8];
        let shape = Shape { inputs: 5, hidden: &hidden, outputs: 3, activation: Activation::Tanh, log_stds: (3, -0.5) };
        let mut native = ActorCritic::new(&shape, 4, Device::Cpu, AdamConfig::default()).unwrap();
        let mut layout = Layout::new();
        let actor = Mlp::new(&mut layout, "actor", &[5, 16, 8, 3], Activation::Tanh, 0.01);
        let critic = Mlp::new(&mut layout, "critic", &[5, 16, 8, 1], Activation::Tanh, 1.0);
        let log_std = Some(layout.add("log_std", &[3], Init::Constant(-0.5)));
        let device = tch::Device::Cpu;
        let mut torch = ActorCritic::torch(layout, log_std, actor, critic, 4, device, AdamConfig::default()).unwrap();
        let mut rng = rlx::Rng::stream(1, 1);
        let mut random = |n: usize| (0..n).map(|_| rng.normal() as f32).collect::<Vec<_>>();
        for _ in 0..30 {
            let (x, da, dc, ds) = (random(40), random(24), random(8), random(3));
            let by = OutputGrads { actor: &da, critic: &dc, log_std: &ds };
            let norms = [&mut native, &mut torch].map(|net| {
                net.actor(&x, true).unwrap();
                net.critic(&x, true).unwrap();
                net.step(&x, &by, 1e-2, 0.5).unwrap()
            });
            assert!((norms[0] - norms[1]).abs() < 1e-3 * norms[0], "{norms:?}");
        }
        let (a, b) = (native.params().unwrap(), torch.params().unwrap());
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-4, "{worst}");
        assert_eq!(native.log_std().len(), 3);
    }
}

//! The networks behind a learnt distance, and their losses.
use super::{Config, Method, trails::Pairs};
use rlx::{Error, Result, snapshot};
use rlx_nn::{
    Activation, AdamConfig, Layout, Mlp, Normalizer, TensorAdam, adam::newest_share, blocks::Params, threads, upload,
};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Widths of what describes a state, and of what is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub state: usize,
    pub target: usize,
    /// Whether what is to be reached are whole states, as for a chain, and not what a goal asks for.
    pub whole: bool,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    State,
    Target,
}

/// Anchors of an update.
const ANCHORS: usize = 128;
/// Later states compared with each.
const TARGETS: usize = 8;
/// QRL's slack of a local step, and where its spreading stops (arXiv 2304.01203, appendix): distances here are of tens of steps.
const LOCAL: f64 = 0.25;
const SPREAD: (f64, f64) = (50.0, 0.1);

/// What is saved beside the parameters.
#[derive(Serialize, Deserialize)]
struct State {
    state: Normalizer,
    target: Normalizer,
    scale: f64,      // transitions for each unit of distance
    dual: f64,       // of QRL's constraint, as its logarithm
    drift: Vec<f32>, // [width, width]: mean outer product of a step in the Laplacian's embedding
}

/// The networks: an embedding of states and one of what is to be reached, or one network of both (DDL).
pub(crate) struct Embedding {
    method: Method,
    rate: f64,
    shape: Shape,
    params: Params,
    average: Params, // what distances are taken from
    kept: f64,
    of_state: Mlp,
    of_target: Mlp,
    adam: TensorAdam,
    saved: State,
    whiten: Tensor, // [width, width]: the Laplacian's coordinates in units of a step, of `saved.drift`
    scratch: Vec<f32>,
}

impl Embedding {
    pub fn new(config: &Config, shape: Shape, seed: u64) -> Result<Self> {
        let mut layout = Layout::new();
        let sizes = |first: usize, last: usize| [&[first], &config.auxiliary_hidden[..], &[last]].concat();
        let (first, last) = match config.auxiliary {
            Method::Ddl => (shape.state + shape.target, 1),
            _ => (shape.state, config.auxiliary_width),
        };
        let of_state = Mlp::new(&mut layout, "distance.state", &sizes(first, last), Activation::Relu, 1.0);
        let width = config.auxiliary_width;
        let of_target = Mlp::new(&mut layout, "distance.target", &sizes(shape.target, width), Activation::Relu, 1.0);
        let average = Params::new(layout.clone(), seed, Device::Cpu)?;
        let params = Params::new(layout, seed, Device::Cpu)?;
        Ok(Self {
            adam: TensorAdam::new(AdamConfig::default(), params.flat()),
            average,
            kept: config.auxiliary_average,
            method: config.auxiliary,
            rate: config.auxiliary_rate,
            saved: State {
                state: Normalizer::new(shape.state),
                target: Normalizer::new(shape.target),
                // A goal's distances count for nothing until something was achieved that they can be learnt from.
                scale: if config.auxiliary == Method::Tdrp && !shape.whole { 0.0 } else { 1.0 },
                dual: 3.0,
                drift: (0..width * width).map(|i| if i % (width + 1) == 0 { 1.0 } else { 0.0 }).collect(),
            },
            whiten: whitening(&Tensor::eye(width as i64, (Kind::Float, Device::Cpu))),
            shape,
            params,
            of_state,
            of_target,
            scratch: Vec::new(),
        })
    }

    pub fn anchors(&self) -> usize {
        ANCHORS
    }
    pub fn targets(&self) -> usize {
        TARGETS
    }
    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.adam.steps()
    }
    /// Transitions for each unit of the embedding's distance.
    pub fn scale(&self) -> f64 {
        self.saved.scale
    }

    /// Takes states and what they achieve into account for the normalisers.
    pub fn update_normalizers(&mut self, state: &[f32], target: &[f32]) {
        self.saved.state.update(state);
        self.saved.target.update(target);
    }

    fn input(&mut self, rows: &[f32], part: Part) -> Result<Tensor> {
        let (normal, width) = match part {
            Part::State => (&self.saved.state, self.shape.state),
            Part::Target => (&self.saved.target, self.shape.target),
        };
        self.scratch.resize(rows.len(), 0.0);
        normal.normalize(rows, &mut self.scratch);
        let mut x = Tensor::empty([(rows.len() / width) as i64, width as i64], (Kind::Float, Device::Cpu));
        upload::upload(&self.scratch, &mut x)?;
        Ok(x)
    }

    /// Distance in the embedding over the last dimension; `a` and `b` broadcast.
    fn between(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let gap = a - b;
        let euclid = |x: &Tensor| x.square().sum_dim_intlist(-1i64, false, Kind::Float).clamp_min(1e-8).sqrt();
        if self.method != Method::Qrl {
            return euclid(&gap);
        }
        // MRN (arXiv 2208.08133): the largest of one-sided gaps and a norm, a quasimetric whatever the networks are.
        let half = gap.size()[gap.dim() - 1] / 2;
        let one_sided = gap.narrow(-1, 0, half).relu().amax([-1i64].as_slice(), false);
        one_sided + euclid(&gap.narrow(-1, half, gap.size()[gap.dim() - 1] - half))
    }

    /// Rows of states and of targets where distances are taken between them; not DDL's, which knows only pairs.
    fn embed(&self, params: &Params, state: &Tensor, target: &Tensor) -> [Tensor; 2] {
        match self.method {
            Method::Laplacian => [state, target].map(|x| self.of_target.forward(params, x).matmul(&self.whiten)),
            _ => [self.of_state.forward(params, state), self.of_target.forward(params, target)],
        }
    }

    /// Of pairs, `[rows]`, in units of the embedding; DDL's is in transitions.
    fn pairwise(&self, params: &Params, state: &Tensor, target: &Tensor) -> Tensor {
        if self.method == Method::Ddl {
            return self.of_state.forward(params, &Tensor::cat(&[state, target], 1)).squeeze_dim(1).softplus();
        }
        let [a, b] = self.embed(params, state, target);
        self.between(&a, &b)
    }

    /// From each state to the nearest of the targets, `[states]`, in units of the embedding.
    fn to_nearest(&self, params: &Params, state: &Tensor, target: &Tensor) -> Tensor {
        let (n, m) = (state.size()[0], target.size()[0]);
        let all = if self.method == Method::Ddl {
            self.pairwise(params, &state.repeat_interleave_self_int(m, 0i64, None), &target.repeat([n, 1])).view([n, m])
        } else {
            let [a, b] = self.embed(params, state, target);
            self.between(&a.unsqueeze(1), &b.unsqueeze(0))
        };
        all.amin([1i64].as_slice(), false)
    }

    /// What the method takes for a state: the Laplacian lives on what is achieved.
    pub fn of(&self) -> Part {
        if self.method == Method::Laplacian { Part::Target } else { Part::State }
    }

    /// Estimated transitions between rows of states (as [`Embedding::of`] says) and of targets.
    ///
    /// # Errors
    /// When the networks cannot be read.
    pub fn distances(&mut self, state: &[f32], target: &[f32], to: &mut Vec<f32>) -> Result<()> {
        self.measure(state, target, Self::pairwise, to)
    }

    /// Estimated transitions from each row of states to the nearest of the rows of targets, of which there is at least one.
    ///
    /// # Errors
    /// When the networks cannot be read.
    pub fn nearest(&mut self, state: &[f32], target: &[f32], to: &mut Vec<f32>) -> Result<()> {
        self.measure(state, target, Self::to_nearest, to)
    }

    fn measure(
        &mut self,
        state: &[f32],
        target: &[f32],
        by: fn(&Self, &Params, &Tensor, &Tensor) -> Tensor,
        to: &mut Vec<f32>,
    ) -> Result<()> {
        let state = self.input(state, self.of())?;
        let target = self.input(target, Part::Target)?;
        let d = threads::alone(|| tch::no_grad(|| by(self, &self.average, &state, &target)));
        to.resize(d.numel(), 0.0);
        upload::download(&d, to)?;
        let scale = self.saved.scale as f32;
        to.iter_mut().for_each(|d| *d *= scale);
        Ok(())
    }

    /// One update; the loss.
    ///
    /// # Errors
    /// When the networks cannot be read.
    pub fn learn(&mut self, pairs: &Pairs, part: impl Fn(&[f32], Part, &mut Vec<f32>)) -> Result<f64> {
        // With more than one thread a sum's order, and so a result's last bits, would be theirs on some processors.
        threads::alone(|| self.update(pairs, part))
    }

    fn update(&mut self, pairs: &Pairs, part: impl Fn(&[f32], Part, &mut Vec<f32>)) -> Result<f64> {
        let mut rows = Vec::new();
        let mut tensor = |this: &mut Self, from: &[f32], of: Part| {
            part(from, of, &mut rows);
            this.input(&rows, of)
        };
        let of = self.of();
        let anchors = tensor(self, &pairs.anchors, of)?;
        let targets = tensor(self, &pairs.targets, Part::Target)?;
        let next = tensor(self, &pairs.next, Part::Target)?;
        let next_state = tensor(self, &pairs.next, Part::State)?;
        let steps = Tensor::from_slice(&pairs.steps).view([ANCHORS as i64, TARGETS as i64]);
        let loss = match self.method {
            Method::None => return Ok(0.0),
            Method::Tdrp => {
                let between = tensor(self, &pairs.between, of)?;
                self.ranking(&anchors, &targets, &steps, &between)
            }
            Method::Ddl => {
                let anchors = anchors.repeat_interleave_self_int(TARGETS as i64, 0i64, None);
                (self.pairwise(&self.params, &anchors, &targets) - steps.reshape([-1])).square().mean(Kind::Float) * 0.5
            }
            Method::Qrl => self.quasimetric(&anchors, &targets, &next_state, &next),
            Method::Laplacian => self.laplacian(&anchors, &next, &targets, &steps)?,
        };
        loss.backward();
        let mut grads = self.params.take_grads();
        let _ = rlx_nn::adam::clip_grad_norm_tensor(&mut grads, 10.0);
        self.adam.step(self.params.flat_mut(), &grads, self.rate);
        self.average.lerp_from(&self.params, newest_share(self.kept, self.adam.steps()));
        Ok(loss.double_value(&[]))
    }

    /// Brings the scale towards the least squares fit of transitions by distances, through the origin.
    fn calibrate(&mut self, distances: &Tensor, steps: &Tensor) {
        tch::no_grad(|| {
            let dot = |x: &Tensor| (x * distances).sum(Kind::Float).double_value(&[]);
            let (products, squares) = (dot(steps), dot(distances));
            if squares > 0.0 {
                self.saved.scale += 0.01 * (products / squares - self.saved.scale);
            }
        });
    }

    /// Rank-N-Contrast (Zha et al., arXiv 2210.01189) over time, both ways: against a later state of the same episode stand all those
    /// that are as far or farther in transitions; and the same for states on the way to one target, for one way alone leaves a constant
    /// for each state free, and states are what is to be ranked. What is left free by both, a constant for each episode, the squared
    /// error of ln(1 + transitions) holds: logarithms, for the farther apart the more chance has had a hand in when it came to that.
    ///
    /// Where a goal asks for a part of the state, what is achieved already is left out: it is at 0 from wherever the hand is, and were
    /// it a pair the triangle inequality would let no distance know where that is. Where whole states are to be reached, those of other
    /// episodes stand against each as well: what stays as it was all through an episode would else not count. Others' goals may be
    /// nearer than an episode's own, and do not.
    fn ranking(&mut self, anchors: &Tensor, targets: &Tensor, steps: &Tensor, between: &Tensor) -> Tensor {
        let (b, k) = (ANCHORS as i64, TARGETS as i64);
        let from = self.of_state.forward(&self.params, anchors);
        let to = self.of_target.forward(&self.params, targets).view([b, k, -1]);
        let on_the_way = self.of_state.forward(&self.params, between).view([b, k, -1]);
        let last = to.select(1, k - 1);
        let own = self.between(&from.unsqueeze(1), &to);
        let back = self.between(&on_the_way, &last.unsqueeze(1));
        let apart = steps.gt(0.0).to_kind(Kind::Float);
        let mean = |x: Tensor, of: &Tensor| (x * of).sum(Kind::Float) / of.sum(Kind::Float).clamp_min(1.0);
        self.calibrate(&(&own * &apart), steps);
        let elsewhere = self.shape.whole.then(|| {
            let others = self.between(&from.unsqueeze(1), &last.unsqueeze(0)); // [states, targets]
            (others + Tensor::eye(b, (Kind::Float, Device::Cpu)) * 1e9).neg()
        });
        // Ascending steps, and among equal ones as they were passed: what is as far or farther are the same and later columns, and what
        // is achieved already comes first.
        let ranked = |d: &Tensor, elsewhere: Option<Tensor>| {
            let farther = d.neg().flip([1i64].as_slice()).logcumsumexp(1).flip([1i64].as_slice());
            d + match elsewhere {
                Some(others) => farther.logaddexp(&others.logsumexp([1i64].as_slice(), true)),
                None => farther,
            }
        };
        let led_there = apart.select(1, k - 1).unsqueeze(1).expand([b, k], false);
        let there = mean(ranked(&own, elsewhere.as_ref().map(Tensor::shallow_clone)), &apart);
        let back = mean(ranked(&back, elsewhere.map(|e| e.tr())), &led_there);
        (there + back) * 0.5 + mean((own.log1p() - steps.log1p()).square(), &apart)
    }

    /// QRL (arXiv 2304.01203, eq. 7 to 9): random pairs as far apart as can be while a step stays at most 1. Goals have an embedding
    /// of their own here, so that a state is also held to be at what it achieves: only then does the triangle inequality bind them.
    fn quasimetric(&mut self, anchors: &Tensor, targets: &Tensor, next: &Tensor, achieved: &Tensor) -> Tensor {
        let k = TARGETS as i64;
        let from = self.of_state.forward(&self.params, anchors);
        let random =
            self.of_target.forward(&self.params, &targets.view([ANCHORS as i64, k, -1]).select(1, k - 1)).roll(1, 0);
        let next = self.of_state.forward(&self.params, next);
        let step = self.between(&from, &next);
        let there = self.between(&next, &self.of_target.forward(&self.params, achieved));
        let apart = self.between(&from, &random);
        let spread = ((apart.neg() + SPREAD.0) * SPREAD.1).softplus().mean(Kind::Float) / SPREAD.1;
        let excess = ((step - 1.0).relu().square() + there.square()).mean(Kind::Float) - LOCAL * LOCAL;
        let weight = self.saved.dual.exp();
        // Dual ascent: the weight grows while the constraint is broken.
        self.saved.dual = (self.saved.dual + 0.01 * excess.double_value(&[]).clamp(-1.0, 1.0)).clamp(-10.0, 15.0);
        spread + excess * weight
    }

    /// Graph drawing (arXiv 1810.04586, eq. 6): neighbours together, coordinates orthonormal. Distances are taken in units of a
    /// step, by the inverse of the steps' second moments: what dividing each coordinate by the root of its eigenvalue (arXiv
    /// 2210.13153) is where the objective leaves the coordinates free to turn.
    fn laplacian(&mut self, anchors: &Tensor, next: &Tensor, targets: &Tensor, steps: &Tensor) -> Result<Tensor> {
        let (b, k) = (ANCHORS as i64, TARGETS as i64);
        let (u, v) = (self.of_target.forward(&self.params, anchors), self.of_target.forward(&self.params, next));
        let attract = (&u - &v).square().sum_dim_intlist(1i64, false, Kind::Float).mean(Kind::Float);
        let (x, y) = (u.narrow(0, 0, b / 2), u.narrow(0, b / 2, b / 2));
        let norm = |x: &Tensor| x.square().sum_dim_intlist(1i64, false, Kind::Float);
        let dots = (&x * &y).sum_dim_intlist(1i64, false, Kind::Float).square();
        let repel = (dots - norm(&x) - norm(&y)).mean(Kind::Float) + u.size()[1] as f64;
        let own = tch::no_grad(|| -> Result<Tensor> {
            let step = &u - &v;
            let mut drift = Tensor::from_slice(&self.saved.drift).view_as(&self.whiten);
            let _ = drift.lerp_(&(step.tr().matmul(&step) / b as f64), 0.01);
            self.saved.drift = upload::to_vec(&drift.reshape([-1]))?;
            self.whiten = whitening(&drift);
            let to = self.of_target.forward(&self.params, targets).matmul(&self.whiten).view([b, k, -1]);
            Ok(self.between(&u.matmul(&self.whiten).unsqueeze(1), &to))
        })?;
        self.calibrate(&own, steps);
        Ok(attract + repel)
    }

    pub fn save(&self, to: &mut Vec<u8>) -> Result<()> {
        snapshot::put(to, &self.saved);
        snapshot::put(to, &self.params.to_vec()?);
        snapshot::put(to, &self.adam.to_bytes()?);
        snapshot::put(to, &self.average.to_vec()?);
        Ok(())
    }

    pub fn load(&mut self, mut from: &[u8]) -> Result<()> {
        let saved: State = snapshot::take(&mut from)?;
        if (saved.state.mean().len(), saved.target.mean().len()) != (self.shape.state, self.shape.target) {
            return Err(Error::mismatch("saved distance", format!("{:?}", self.shape), "another shape"));
        }
        if saved.drift.len() != self.whiten.numel() {
            return Err(Error::mismatch(
                "saved distance's width",
                self.whiten.numel().to_string(),
                saved.drift.len().to_string(),
            ));
        }
        self.whiten = whitening(&Tensor::from_slice(&saved.drift).view_as(&self.whiten));
        self.saved = saved;
        self.params.set(&snapshot::take::<Vec<f32>>(&mut from)?)?;
        self.adam.restore(&snapshot::take::<Vec<u8>>(&mut from)?)?;
        self.average.set(&snapshot::get::<Vec<f32>>(from)?)
    }
}

/// W with x W of unit second moments where x has those of `moments`. In f64, and with a ridge of a share of their mean: coordinates that
/// hardly move would otherwise be stretched without bound.
fn whitening(moments: &Tensor) -> Tensor {
    let n = moments.size()[0];
    let moments = moments.to_kind(Kind::Double);
    let mean = moments.trace().double_value(&[]) / n as f64;
    let ridge = Tensor::eye(n, (Kind::Double, Device::Cpu)) * (1e-3 * mean + 1e-12);
    (moments + ridge).linalg_cholesky(false).inverse().tr().to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::Rng;

    /// The parameters that distances are taken from are the average of all that there were, the newer the heavier.
    #[test]
    fn distances_are_taken_from_the_average() {
        let config = Config {
            auxiliary: Method::Tdrp,
            auxiliary_hidden: vec![8],
            auxiliary_width: 4,
            auxiliary_average: 0.8,
            ..Config::default()
        };
        let mut embedding = Embedding::new(&config, Shape { state: 2, target: 2, whole: true }, 1).unwrap();
        let mut rng = Rng::stream(1, 1);
        let mut rows = |n: usize| (0..2 * n).map(|_| rng.normal() as f32).collect::<Vec<f32>>();
        let (several, steps) = (ANCHORS * TARGETS, 1..=TARGETS);
        let mut mean = embedding.params.to_vec().unwrap();
        for n in 1..=50 {
            let pairs = Pairs {
                anchors: rows(ANCHORS),
                targets: rows(several),
                next: rows(ANCHORS),
                between: rows(several),
                steps: steps.clone().map(|s| s as f32).cycle().take(several).collect(),
            };
            embedding.learn(&pairs, |rows, _, to| rows.clone_into(to)).unwrap();
            let kept = (n as f32 / (n + 10) as f32).min(0.8);
            for (mean, new) in mean.iter_mut().zip(embedding.params.to_vec().unwrap()) {
                *mean = kept * *mean + (1.0 - kept) * new;
            }
        }
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        let (average, latest) = (embedding.average.to_vec().unwrap(), embedding.params.to_vec().unwrap());
        assert!(close(&average, &mean) && !close(&latest, &mean));

        let (from, to) = (rows(5), rows(5));
        let distances = |embedding: &mut Embedding| {
            let mut found = Vec::new();
            embedding.distances(&from, &to, &mut found).unwrap();
            found
        };
        let by_average = distances(&mut embedding);
        embedding.average.set(&latest).unwrap();
        assert!(!close(&by_average, &distances(&mut embedding)));
    }
}

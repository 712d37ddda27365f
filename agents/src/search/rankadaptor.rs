//! RankAdaptor's search (arXiv 2406.15734): a performance model, five fully connected layers from a configuration to its quality, trained
//! offline on random configurations, then online with each measurement; the configuration of best prediction is measured next. Widths,
//! optimiser and numbers of passes are this project's choices. The model steers only while it beats a constant on points it had not seen.
use super::{Common, Proposer, SearchView, draw};
use rlx::{Error, Objective, Result, Rng, Scalars};
use rlx_nn::{Activation, Adam, AdamConfig, Layout, NativeMlp, native::Workspace};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of RankAdaptor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Random configurations that the performance model is trained on before it is asked.
    #[schemars(range(min = 4, max = 100_000))]
    pub offline: usize,
    /// Width of its four hidden layers.
    #[schemars(range(min = 1, max = 4096))]
    pub width: usize,
    /// Passes over the offline measurements.
    #[schemars(range(min = 1, max = 100_000))]
    pub offline_epochs: usize,
    /// Passes over all measurements after each new one.
    #[schemars(range(min = 0, max = 100_000))]
    pub online_epochs: usize,
    /// Step size of Adam.
    #[schemars(range(min = 1e-8, max = 1.0))]
    pub learning_rate: f64,
    /// Candidates that are predicted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub candidates: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            common: Common::default(),
            offline: 20,
            width: 64,
            offline_epochs: 300,
            online_epochs: 20,
            learning_rate: 1e-3,
            candidates: 300,
        }
    }
}

/// Measurements of a step of the optimiser.
const BATCH: usize = 16;
/// Latest predictions that the model is compared with a constant on.
const JUDGED: usize = 20;

/// The search: parameters and optimiser of the model, its targets' scale, and how its predictions turned out.
#[derive(Serialize, Deserialize)]
pub struct RankAdaptor {
    params: Vec<f32>,
    adam: Option<Adam>,
    scale: (f64, f64),
    learnt: usize,
    predicted: Option<f64>,
    errors: Vec<(f64, f64)>, // squared errors of the model and of the mean so far, on points before they were learnt
}

struct Model {
    layout: Layout,
    mlp: NativeMlp,
}

impl Model {
    fn new(objective: &dyn Objective, width: usize) -> Self {
        let mut layout = Layout::new();
        let sizes = [objective.space().encoded_width(), width, width, width, width, 1];
        let mlp = NativeMlp::new(&mut layout, "performance", &sizes, Activation::Relu, 1.0);
        Self { layout, mlp }
    }
}

impl RankAdaptor {
    /// Whether it has done better than the mean.
    fn trusted(&self) -> bool {
        let last = &self.errors[self.errors.len().saturating_sub(JUDGED)..];
        last.len() < 5 || last.iter().map(|e| e.0).sum::<f64>() < last.iter().map(|e| e.1).sum::<f64>()
    }

    /// Passes over all trials.
    fn train(
        &mut self,
        config: &Config,
        model: &Model,
        view: &SearchView<'_>,
        epochs: usize,
        rng: &mut Rng,
    ) -> Result<()> {
        let width = model.mlp.inputs();
        let finite: Vec<_> = view.trials.iter().filter(|t| t.loss.is_finite()).collect();
        if finite.is_empty() {
            return Err(Error::invalid("no measurement is finite: there is nothing to learn from"));
        }
        let mut x = vec![0.0; finite.len() * width];
        for (row, t) in x.chunks_exact_mut(width).zip(&finite) {
            view.objective.space().encode(&t.config, row)?;
        }
        if self.learnt == 0 {
            let n = finite.len() as f64;
            let mean = finite.iter().map(|t| t.loss).sum::<f64>() / n;
            let var = finite.iter().map(|t| (t.loss - mean).powi(2)).sum::<f64>() / n;
            self.scale = (mean, var.sqrt().max(1e-9));
            self.params = model.layout.init(rng.bits());
            self.adam = Some(Adam::new(AdamConfig::default(), model.layout.len()));
        }
        let adam = self.adam.as_mut().ok_or_else(|| Error::invalid("a performance model without an optimiser"))?;
        let (mut work, mut grads) = (Workspace::default(), vec![0.0; model.layout.len()]);
        let mut order: Vec<usize> = (0..finite.len()).collect();
        for _ in 0..epochs {
            rng.shuffle(&mut order);
            for part in order.chunks(BATCH) {
                let batch: Vec<f32> = part.iter().flat_map(|i| x[i * width..(i + 1) * width].to_vec()).collect();
                let y = model.mlp.forward(&self.params, &batch, &mut work);
                let target = |i: &usize| ((finite[*i].loss - self.scale.0) / self.scale.1) as f32;
                let slope = 2.0 / part.len() as f32;
                let dy: Vec<f32> = y.iter().zip(part).map(|(y, i)| slope * (y - target(i))).collect();
                grads.fill(0.0);
                model.mlp.backward(&self.params, &batch, &dy, &mut work, &mut grads);
                adam.step(&mut self.params, &grads, config.learning_rate);
            }
        }
        self.learnt = view.trials.len();
        Ok(())
    }
}

impl Proposer for RankAdaptor {
    type Config = Config;
    const NAME: &'static str = "rankadaptor";
    const ABOUT: &'static str = "search: a performance model, learnt offline, then online (arXiv 2406.15734)";
    fn common(config: &Config) -> &Common {
        &config.common
    }
    fn new(_: &Config) -> Self {
        Self { params: Vec::new(), adam: None, scale: (0.0, 1.0), learnt: 0, predicted: None, errors: Vec::new() }
    }
    fn propose(&mut self, config: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        let objective = view.objective;
        if view.trials.len() < config.offline || view.trials.iter().all(|t| !t.loss.is_finite()) {
            return Ok(draw::feasible(objective, view.budget, rng));
        }
        if let (Some(predicted), Some(last)) = (self.predicted.take(), view.trials.last())
            && last.loss.is_finite()
        {
            let before = view.trials[..view.trials.len() - 1].iter().map(|t| t.loss).filter(|l| l.is_finite());
            let (sum, n) = before.fold((0.0, 0.0), |(s, n), l| (s + l, n + 1.0));
            self.errors.push(((predicted - last.loss).powi(2), (sum / n - last.loss).powi(2)));
        }
        let model = Model::new(objective, config.width);
        let epochs = if self.learnt == 0 { config.offline_epochs } else { config.online_epochs };
        self.train(config, &model, view, epochs, rng)?;
        let best = view.feasible().first().map(|t| t.config.clone());
        let mut candidates: Vec<Vec<u16>> = Vec::new();
        for k in 0..config.candidates {
            let candidate = match &best {
                Some(best) if k % 2 == 0 => {
                    let edits = 1 + rng.below(8);
                    draw::near(objective, best, edits, view.budget, rng)
                }
                _ => draw::feasible(objective, view.budget, rng),
            };
            if !view.is_known(&candidate) {
                candidates.push(candidate);
            }
        }
        if candidates.is_empty() {
            return Ok(best.unwrap_or_else(|| draw::feasible(objective, view.budget, rng)));
        }
        let width = model.mlp.inputs();
        let mut x = vec![0.0; candidates.len() * width];
        for (row, c) in x.chunks_exact_mut(width).zip(&candidates) {
            objective.space().encode(c, row)?;
        }
        let mut work = Workspace::default();
        let y = model.mlp.forward(&self.params, &x, &mut work);
        let least = (0..y.len()).min_by(|a, b| y[*a].total_cmp(&y[*b])).unwrap_or(0);
        // While a constant predicts as well, chance chooses; the model goes on being compared.
        let pick = if self.trusted() { least } else { rng.below(candidates.len()) };
        self.predicted = Some(self.scale.0 + self.scale.1 * f64::from(y[pick]));
        Ok(candidates.swap_remove(pick))
    }
    fn report(&self, log: &mut Scalars) {
        log.put("search/model_trusted", f64::from(u8::from(self.trusted())));
        if let Some(last) = self.errors.last() {
            log.put("losses/performance_model", last.0);
        }
    }
}

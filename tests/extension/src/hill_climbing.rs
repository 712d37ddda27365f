//! An algorithm of one's own: a linear policy, disturbed at random; what pays more is kept.
use rlx::{
    ActionBuffer, ActionsMut, Algorithm, Array, Checkpoint, Error, Export, Frame, Learner, LoadDir, Mode, Policy,
    Result, Rng, SaveDir, Scalars, Setup, Slab, Vector, snapshot,
};

/// Hyperparameters.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Standard deviation of the disturbance.
    #[schemars(range(min = 1e-6, max = 100.0))]
    pub noise: f64,
    /// Ticks per try.
    #[schemars(range(min = 1))]
    pub ticks: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { noise: 0.5, ticks: 100 }
    }
}

/// The learner. Weights are `[choices, obs]`.
pub struct HillClimbing {
    config: Config,
    setup: Setup,
    rng: Rng,
    best: Vec<f32>,
    weights: Vec<f32>,
    score: f64,
    slab: Option<Slab>,
    frame: Option<Vec<u8>>,
}

impl Algorithm for HillClimbing {
    type Config = Config;
    const NAME: &'static str = "hill-climbing";
    const ABOUT: &'static str = "a linear policy, disturbed at random; what pays more is kept";

    fn fits(_: &Config, spec: &rlx::Spec) -> std::result::Result<(), String> {
        let one = spec.act.sets().len() == 1 && spec.candidates.is_none() && spec.rows == 1 && spec.players == 1;
        if one { Ok(()) } else { Err("hill-climbing chooses from one set, alone".into()) }
    }
    fn worlds(_: &Config) -> usize {
        4
    }
    fn new(config: Config, setup: Setup) -> Result<Self> {
        let size = setup.spec.act.choices() * setup.spec.obs.width();
        let rng = Rng::named(setup.seed, "hill climbing", 0);
        let (best, weights) = (vec![0.0; size], vec![0.0; size]);
        Ok(Self { config, setup, rng, best, weights, score: f64::NEG_INFINITY, slab: None, frame: None })
    }
}

impl Learner for HillClimbing {
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let mut slab = match (self.slab.take(), self.frame.take()) {
            (Some(slab), _) => slab,
            (None, frame) => {
                let mut slab = envs.slab(2);
                match frame {
                    Some(bytes) => slab.load_tick(1, &mut &bytes[..])?,
                    None => envs.reset(slab.frame_mut(1)),
                }
                slab
            }
        };
        for (w, b) in self.weights.iter_mut().zip(&self.best) {
            *w = b + (self.config.noise * self.rng.normal()) as f32;
        }
        let rows: Vec<u32> = (0..envs.len() as u32).collect();
        let mut actions = ActionBuffer::new(&self.setup.spec.act, rows.len());
        let mut score = 0.0;
        for _ in 0..self.config.ticks {
            slab.carry();
            self.act(slab.frame(0), &rows, Mode::Greedy, &mut [], actions.get_mut())?;
            envs.step(actions.get(), slab.frame_mut(1))?;
            score += slab.frame(1).reward.iter().map(|r| f64::from(*r)).sum::<f64>();
        }
        self.slab = Some(slab);
        if score >= self.score {
            self.score = score;
            self.best.copy_from_slice(&self.weights);
        }
        self.weights.copy_from_slice(&self.best);
        log.put("charts/best_score", self.score);
        Ok((self.config.ticks * rows.len()) as u64)
    }
    fn policy(&mut self) -> &mut dyn Policy {
        self
    }
    fn export(&self) -> Result<Export> {
        let shape = vec![self.setup.spec.act.choices(), self.setup.spec.obs.width()];
        let about = vec![("layers".into(), "the choice is the largest of W x".into())];
        Ok(Export {
            about,
            arrays: vec![Array { name: "weights".into(), shape, data: self.best.clone() }],
            ..Export::default()
        })
    }
    fn init_from(&mut self, policy: &Export) -> Result<()> {
        let array = policy.arrays.iter().find(|a| a.name == "weights" && a.data.len() == self.best.len());
        let array = array.ok_or_else(|| Error::mismatch("policy", "weights of this size", "none"))?;
        self.best.copy_from_slice(&array.data);
        Ok(())
    }
}

impl Policy for HillClimbing {
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], _: Mode, _: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        let ActionsMut::Discrete(out) = out else { return Err(Error::mismatch("actions", "ids", "vectors")) };
        let (obs, width) = (frame.obs.f32()?, self.setup.spec.obs.width());
        let choices = self.setup.spec.act.choices();
        for (id, &row) in out.iter_mut().zip(rows) {
            let (x, mask) = (&obs[row as usize * width..][..width], &frame.mask[row as usize * choices..][..choices]);
            let score = |c: &usize| self.weights[c * width..][..width].iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
            let allowed = (0..choices).filter(|c| mask[*c]);
            let best = allowed.max_by(|a, b| score(a).total_cmp(&score(b)));
            *id = best.ok_or_else(|| Error::invalid("no allowed choice"))? as i64;
        }
        Ok(())
    }
}

impl Checkpoint for HillClimbing {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        let frame = self.slab.as_ref().map(|slab| {
            let mut out = Vec::new();
            slab.save_tick(1, &mut out);
            out
        });
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &(&self.rng, &self.best, self.score, frame.as_ref().or(self.frame.as_ref())));
        to.put("hill-climbing.bin", &bytes)
    }
    fn load(&mut self, from: &LoadDir) -> Result<()> {
        let (rng, best, score, frame): (Rng, Vec<f32>, f64, Option<Vec<u8>>) =
            snapshot::get(&from.get("hill-climbing.bin")?)?;
        if best.len() != self.best.len() {
            return Err(Error::mismatch("saved weights", self.best.len().to_string(), best.len().to_string()));
        }
        (self.rng, self.score, self.frame, self.slab) = (rng, score, frame, None);
        self.weights.clone_from(&best);
        self.best = best;
        Ok(())
    }
}

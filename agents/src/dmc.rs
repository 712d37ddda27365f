//! Deep Monte-Carlo self-play (DouZero, arXiv 2106.06135): a network scores the legal moves, and learns from final returns.
use crate::{
    Schedule,
    selfplay::{
        Plan, SelfPlay,
        brain::{Brain, Guess, Settings},
        league::League,
    },
};
use rlx::{
    ActionsMut, Algorithm, Checkpoint, Export, Frame, Learner, LoadDir, Mode, Policy, Result, Rng, SaveDir, Scalars,
    Setup, Spec, Vector,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A config with what both algorithms share, its defaults, and what is its own.
macro_rules! config {
    ($about:literal, $lambda:literal, $soft:literal, {$($(#[$meta:meta])* $field:ident: $type:ty = $default:expr,)*}) => {
        #[doc = $about]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            /// Tables played side by side.
            #[schemars(range(min = 1, max = 65536))]
            pub num_envs: usize,
            /// Ticks per table and iteration.
            #[schemars(range(min = 1, max = 100_000))]
            pub num_steps: usize,
            /// Decisions per step of the optimiser.
            #[schemars(range(min = 1))]
            pub batch_size: usize,
            /// Step size of Adam at the start.
            #[schemars(range(min = 1e-8, max = 1.0))]
            pub learning_rate: f64,
            /// How the step size goes on.
            pub lr_schedule: Schedule,
            /// Chance of a random move in training.
            #[schemars(range(min = 0.0, max = 1.0))]
            pub epsilon: f64,
            /// Largest global norm of the gradient.
            #[schemars(range(min = 1e-6))]
            pub max_grad_norm: f64,
            /// Width of the value network's layers over the state.
            #[schemars(range(min = 1, max = 8192))]
            pub hidden: usize,
            /// Layers over the state, computed once for all its moves.
            #[schemars(range(min = 1, max = 16))]
            pub layers: usize,
            /// Width after a move has joined the state.
            #[schemars(range(min = 1, max = 8192))]
            pub head: usize,
            /// Layers after it, the output not counted.
            #[schemars(range(min = 1, max = 16))]
            pub head_layers: usize,
            /// Lambda of the returns that are learnt from: 1 for the final payoffs (Monte-Carlo), less to lean on a critic that
            /// is trained with all hands and teams in sight, and that no seat acts on.
            #[schemars(range(min = 0.0, max = 1.0))]
            pub td_lambda: f64,
            /// Temperature of one-step targets: the values of the same seat's next decision, weighted by exp(value / soft), as in
            /// mean-field Q-learning; 0 for returns over whole games.
            #[schemars(range(min = 0.0, max = 100.0))]
            pub soft: f64,
            /// Width of that critic's two layers; there is none when td_lambda is 1.
            #[schemars(range(min = 1, max = 8192))]
            pub critic_hidden: usize,
            /// Share of the games in which another team than the own one is played by bots and earlier policies.
            #[schemars(range(min = 0.0, max = 1.0))]
            pub league: f64,
            /// The world's bots in the league.
            pub league_bots: Vec<String>,
            /// Earlier policies in the league, at most.
            #[schemars(range(min = 0, max = 64))]
            pub league_past: usize,
            /// Steps after which the policy as it is joins the league.
            #[schemars(range(min = 1))]
            pub league_period: u64,
            $($(#[$meta])* pub $field: $type,)*
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    num_envs: 1024,
                    num_steps: 32,
                    batch_size: 512,
                    learning_rate: 7e-4,
                    lr_schedule: Schedule::Linear,
                    epsilon: 0.02,
                    max_grad_norm: 5.0,
                    hidden: 256,
                    layers: 2,
                    head: 128,
                    head_layers: 2,
                    td_lambda: $lambda,
                    soft: $soft,
                    critic_hidden: 128,
                    league: 0.0,
                    league_bots: vec!["greedy".into()],
                    league_past: 3,
                    league_period: 5_000_000,
                    $($field: $default,)*
                }
            }
        }

        impl Config {
            fn settings(&self, guess: Option<Guess>) -> Settings {
                Settings {
                    hidden: self.hidden,
                    layers: self.layers,
                    head: self.head,
                    head_layers: self.head_layers,
                    guess,
                    critic: if self.td_lambda < 1.0 { self.critic_hidden } else { 0 },
                    soft: (self.soft > 0.0).then_some(self.soft),
                    mean_field: false,
                }
            }
            fn fits(&self, spec: &Spec, guess: bool) -> std::result::Result<(), String> {
                if let Some(name) = self.league_bots.iter().find(|b| self.league > 0.0 && !spec.bots.contains(b)) {
                    return Err(format!("league_bots: there is no bot '{name}' among {}", spec.bots.join(", ")));
                }
                if self.soft > 0.0 && self.td_lambda < 1.0 {
                    return Err("soft > 0 looks one step ahead, td_lambda < 1 further: one of the two must go".into());
                }
                Brain::fits(spec, guess, self.td_lambda < 1.0, false)
            }
            fn plan(&self, spec: &Spec, intrinsic: f64, intrinsic_loss: f64, auxiliary: f64) -> Plan {
                let number = |name: &String| spec.bots.iter().position(|b| b == name);
                let league = League {
                    share: self.league,
                    bots: self.league_bots.iter().filter_map(number).collect(),
                    past: self.league_past,
                    period: self.league_period,
                };
                Plan {
                    td_lambda: self.td_lambda,
                    auxiliary,
                    league,
                    num_steps: self.num_steps,
                    batch_size: self.batch_size,
                    learning_rate: self.learning_rate,
                    lr_schedule: self.lr_schedule,
                    epsilon: self.epsilon,
                    max_grad_norm: self.max_grad_norm,
                    intrinsic,
                    intrinsic_loss,
                }
            }
        }
    };
}

/// Passes everything but making on to the learner inside.
macro_rules! pass_on {
    ($Outer:ident) => {
        impl Learner for $Outer {
            fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
                self.0.iterate(envs, log)
            }
            fn policy(&mut self) -> &mut dyn Policy {
                self
            }
            fn export(&self) -> Result<Export> {
                Ok(self.0.export())
            }
            fn init_from(&mut self, policy: &Export) -> Result<()> {
                self.0.init_from(policy)
            }
        }
        impl Policy for $Outer {
            fn act(
                &mut self,
                frame: Frame<'_>,
                rows: &[u32],
                mode: Mode,
                rng: &mut [Rng],
                out: ActionsMut<'_>,
            ) -> Result<()> {
                self.0.act(frame, rows, mode, rng, out)
            }
            fn needs_hidden(&self) -> bool {
                self.0.needs_hidden()
            }
            fn show_hidden(&mut self, hidden: rlx::ColumnRef<'_>) {
                self.0.show_hidden(hidden)
            }
            fn insight(&self, k: usize) -> Option<rlx::Insight> {
                self.0.insight(k)
            }
        }
        impl Checkpoint for $Outer {
            fn save(&self, to: &mut SaveDir) -> Result<()> {
                self.0.save(to)
            }
            fn load(&mut self, from: &LoadDir) -> Result<()> {
                self.0.load(from)
            }
        }
    };
}
pub(crate) use {config, pass_on};

config!("Hyperparameters of Deep Monte-Carlo.", 1.0, 0.0, {});

/// Deep Monte-Carlo.
pub struct Dmc(SelfPlay);
pass_on!(Dmc);

impl Algorithm for Dmc {
    type Config = Config;
    const NAME: &'static str = "dmc";
    const ABOUT: &'static str = "Deep Monte-Carlo self-play over legal moves (DouZero), without a guess of the others";

    fn fits(config: &Config, spec: &Spec) -> std::result::Result<(), String> {
        config.fits(spec, false)
    }
    fn worlds(config: &Config) -> usize {
        config.num_envs
    }
    fn new(config: Config, setup: Setup) -> Result<Self> {
        let plan = config.plan(&setup.spec, 0.0, 0.0, 0.0);
        Ok(Self(SelfPlay::new(Self::NAME, plan, config.settings(None), setup)?))
    }
}

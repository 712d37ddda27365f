//! What a run asks of an objective.
/// What costs are counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostUnit {
    /// Bytes of what is stored.
    #[default]
    Bytes,
    /// Parameters that learn.
    Parameters,
}

impl CostUnit {
    /// Its name, as in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Parameters => "parameters",
        }
    }
    /// A cost as a person reads it, in millions with so many digits.
    pub fn text(self, cost: f64, digits: usize) -> String {
        let millions = cost / 1e6;
        match self {
            Self::Bytes => format!("{millions:.digits$} MB"),
            Self::Parameters => format!("{millions:.digits$} million parameters"),
        }
    }
}

/// What a run asks of an objective.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectiveConfig {
    /// The world's registered name.
    pub name: String,
    /// What costs and budgets are counted in.
    pub unit: CostUnit,
    /// The lowest and highest budget; each episode draws its own between.
    pub budgets: (f64, f64),
    /// The cost of the cheapest configuration.
    pub least: f64,
    /// The fidelity at which episodes are measured.
    pub fidelity: u32,
    /// Seed of what chance there is in a measurement.
    pub seed: u64,
    /// The loss above the full-precision model's at which hypervolume begins, and which a reward never falls below.
    pub reference: f64,
    /// Whether policies learn from a surrogate between measurements.
    pub surrogate: bool,
    /// Configurations that the objective guesses, for budgets spread evenly, which are measured before all others.
    pub guesses: u32,
    /// Whether the surrogate also learns from what the ledgers hold when the run starts.
    pub recall: bool,
    /// Measurements before the surrogate is fitted.
    pub warm_up: usize,
    /// Episodes by the surrogate for each measurement, which is of the most promising of them.
    pub imagined: u32,
    /// Measurements after which only the surrogate is asked; 0 for no end.
    pub evaluations: u64,
}

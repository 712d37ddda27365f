//! How likely a player is to choose what it chose.
use crate::{
    Move, Seat,
    greedy::{Values, scores},
};
use rlx::{Error, Result};

/// pi(move | hand, public) of the others. Decisions are handed in one by one and answered together, so that a network can put them
/// through in one batch.
pub trait Likelihood {
    /// Takes down a decision: `seat`, whose turn it is, had `legal` (two moves or more) and chose number `chosen`. The hand is a
    /// supposition; nothing hidden is in what the seat sees.
    fn ask(&mut self, seat: Seat<'_>, legal: &[Move], chosen: usize);

    /// Appends ln pi of the decisions that were taken down since the last answer, in their order.
    ///
    /// # Errors
    /// When a network fails.
    fn answer(&mut self, out: &mut Vec<f64>) -> Result<()>;
}

/// ln of the chosen one's share of softmax(`values` / `temperature`), with `floor` spread evenly over all.
pub fn softmax(values: &[f32], chosen: usize, temperature: f64, floor: f64) -> f64 {
    let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let e = |v: f32| (f64::from(v - top) / temperature).exp();
    let sum: f64 = values.iter().map(|&v| e(v)).sum();
    ((1.0 - floor) * e(values[chosen]) / sum + floor / values.len() as f64).ln()
}

/// The greedy bot with noise: softmax of its scores, and now and then any legal move.
#[derive(Clone, Debug)]
pub struct SoftGreedy {
    /// In units of greedy's scores, of which a round is worth 7.
    pub temperature: f64,
    /// Share of moves that are drawn evenly: people and other bots do what greedy would not.
    pub floor: f64,
    values: Values,
    answers: Vec<f64>,
}

impl SoftGreedy {
    /// With that noise.
    ///
    /// # Errors
    /// When the temperature is not above 0 or the floor not a share.
    pub fn new(temperature: f64, floor: f64) -> Result<Self> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::invalid(format!("temperature {temperature}: it must be above 0")));
        }
        if !(0.0..=1.0).contains(&floor) {
            return Err(Error::invalid(format!("floor {floor}: it must be from 0 to 1")));
        }
        Ok(Self { temperature, floor, values: Values::default(), answers: Vec::new() })
    }

    /// What greedy makes of each move.
    pub fn scores(&mut self, seat: Seat<'_>, legal: &[Move]) -> Vec<f32> {
        scores(seat, seat.hand(), legal, &seat.teammates(&seat.prior()), &mut self.values)
    }
}

impl Likelihood for SoftGreedy {
    fn ask(&mut self, seat: Seat<'_>, legal: &[Move], chosen: usize) {
        let scores = self.scores(seat, legal);
        self.answers.push(softmax(&scores, chosen, self.temperature, self.floor));
    }
    fn answer(&mut self, out: &mut Vec<f64>) -> Result<()> {
        out.append(&mut self.answers);
        Ok(())
    }
}

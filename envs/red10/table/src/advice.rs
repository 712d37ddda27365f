//! What an agent says of positions and of moves that were made: hints and reviews.
use crate::record::Record;
use crate::record::show;
use anyhow::Result;
use rlx::Insight;
use rlx_red10::{Kind, Move, SEATS};

/// What an agent makes of a position of the player's.
#[derive(Clone, Debug)]
pub struct Advice {
    /// The index of the move it would make.
    pub choice: usize,
    /// What it thinks, if it says that.
    pub insight: Option<Insight>,
}

impl Advice {
    /// Its best moves, at most three, each with the chance to win that it sees; the move it would make alone where it has no values.
    pub fn best(&self, legal: &[Move], stake: u8) -> Vec<(usize, Option<f32>)> {
        let Some(insight) = self.insight.as_ref().filter(|i| i.values.len() == legal.len()) else {
            return vec![(self.choice, None)];
        };
        let mut order: Vec<usize> = (0..legal.len()).collect();
        order.sort_by(|&a, &b| insight.values[b].total_cmp(&insight.values[a]));
        let with = |&i: &usize| (i, Some(chance(insight.values[i], stake, &legal[i])));
        order.iter().take(3).map(with).collect()
    }

    /// P(each seat is of the team of `me`), 1 for itself, if it has an opinion.
    pub fn teammates(&self, me: usize) -> Option<[f32; SEATS]> {
        by_seat(&self.insight.as_ref()?.teammates, me)
    }
}

/// The next three seats' P(same team) as one number a seat, 1 for the seat itself.
pub fn by_seat(next: &[f32], me: usize) -> Option<[f32; SEATS]> {
    (next.len() == SEATS - 1)
        .then(|| std::array::from_fn(|s| if s == me { 1.0 } else { next[(s + SEATS - me - 1) % SEATS] }))
}

/// An expected payoff of -stake to stake as a chance to win; to show the red tens doubles the stake that it is a payoff of.
pub fn chance(value: f32, stake: u8, play: &Move) -> f32 {
    let stake = f32::from(stake) * if play.kind == Kind::Show { 2.0 } else { 1.0 };
    (value / stake / 2.0 + 0.5).clamp(0.0, 1.0)
}

/// A move of a record beside what would have been better.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Its number, from 1 on.
    pub ply: usize,
    /// Who made it.
    pub seat: usize,
    /// What was played.
    pub played: String,
    /// The better move; None where it was the best, or nobody knows.
    pub better: Option<String>,
    /// The chance to win that it cost, where the agent has values.
    pub regret: Option<f32>,
    /// The best moves and their chances, where the agent has values.
    pub best: Vec<(String, f32)>,
    /// P(each seat is of the player's team) as the agent saw it.
    pub teammates: Option<[f32; SEATS]>,
}

/// Every move of a record, judged by what the agents recorded.
///
/// # Errors
/// When the record is no game.
pub fn review(record: &Record) -> Result<Vec<Judged>> {
    let mut all = Vec::new();
    record.replay(|game, legal, choice, ply| {
        let seat = game.turn();
        let mut judged = Judged {
            ply: all.len() + 1,
            seat,
            played: show(&legal[choice]),
            better: ply.advice.clone().filter(|a| *a != ply.play),
            regret: None,
            best: Vec::new(),
            teammates: ply.teammates.as_ref().and_then(|p| by_seat(p, seat)),
        };
        if let Some(values) = ply.values.as_ref().filter(|v| v.len() == legal.len()) {
            let advice = Advice { choice, insight: Some(Insight { values: values.clone(), ..Insight::default() }) };
            let best = advice.best(legal, game.stake());
            judged.best = best.iter().map(|(i, p)| (show(&legal[*i]), p.unwrap_or_default())).collect();
            let lost = chance(values[best[0].0], game.stake(), &legal[best[0].0])
                - chance(values[choice], game.stake(), &legal[choice]);
            judged.regret = Some(lost.max(0.0));
            judged.better = (values[choice] < values[best[0].0]).then(|| show(&legal[best[0].0]));
        }
        all.push(judged);
        Ok(())
    })?;
    Ok(all)
}

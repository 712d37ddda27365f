//! Judgements as text.
use crate::bound::Bound;
use crate::bound::Cost;
use crate::duplicate::Judgement;
use rlx::Estimate;
use rlx::shown;

/// Wins and scores, then who is guessed to be with whom.
pub fn text(judged: &Judgement) -> String {
    let line =
        |name: &str, e: &Estimate| format!("{name:24} {:.3} {}\n", e.mean, shown(e.low, e.high, |x| format!("{x:.3}")));
    let mut out = line("wins", &judged.win);
    out += &judged.win_2v2.as_ref().map_or(String::new(), |e| line("  2 against 2", e));
    out += &judged.win_1v3.as_ref().map_or(String::new(), |e| line("  1 against 3", e));
    out += &line("  with the red tens", &judged.win_red);
    out += &line("  without", &judged.win_black);
    out += &line("score a game", &judged.score);
    out += &line("score in mixed teams", &judged.mixed_score);
    if judged.identity.is_empty() {
        return out;
    }
    out += "\nwho is with whom, while it is not public, beside the exact prior of the counts\n";
    out += "cards played   guesses   log-loss   prior     less   Brier   prior   right   prior\n";
    for p in &judged.identity {
        out += &format!(
            "{:5} to {:2} {:>12}   {:8.3} {:7.3} {}  {:6.3} {:7.3} {:5.1} % {:5.1} %\n",
            p.from,
            p.to,
            rlx_plot::text::thousands(p.guesses),
            p.log_loss,
            p.prior_log_loss,
            less(p.log_loss, p.prior_log_loss),
            p.brier,
            p.prior_brier,
            100.0 * p.accuracy,
            100.0 * p.prior_accuracy
        );
    }
    out
}

/// How much less than the prior's a loss is.
fn less(loss: f64, prior: f64) -> String {
    if prior > 0.0 { format!("{:5.1} %", 100.0 * (1.0 - loss / prior)) } else { format!("{:>7}", "-") }
}

/// The bound beside the agent's guesses and the prior.
pub fn bound(b: &Bound) -> String {
    let mut out = format!(
        "\nthe same where all four seats are the agent's, moves drawn as softmax(Q / {}) and {:.0} % evenly: {} positions of {} games,\n\
         the exact belief from the network's own likelihood of every move ({} particles, late in the game every deal)\n",
        b.temperature,
        100.0 * b.floor,
        b.positions,
        b.games,
        b.particles
    );
    out += "cards played   positions            log-loss, 95 % by game     less   Brier   right\n";
    for p in &b.phases {
        let mut line = |name: &str, place: &str, cost: &Cost| {
            out += &format!(
                "{place:22}  {name:13} {:.3} {}  {}  {:6.3} {:5.1} %\n",
                cost.log_loss,
                shown(cost.low, cost.high, |x| format!("{x:.3}")),
                less(cost.log_loss, p.prior.log_loss),
                cost.brier,
                100.0 * cost.accuracy
            );
        };
        line("prior", &format!("{:5} to {:2} {:>11}", p.from, p.to, p.positions), &p.prior);
        if let Some(agent) = &p.agent {
            line("agent", "", agent);
        }
        line("exact belief", "", &p.bound);
    }
    out
}

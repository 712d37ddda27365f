//! A round robin of duplicate deals: every pair plays the same decks, and one number per player sums it up.
use crate::{
    agent::Agent,
    duplicate::{Match, judge_telling},
};
use anyhow::{Result, bail};
use rlx::{Estimate, Rng, quantile, shown};
use rlx_plot::text::columns;
use serde::Serialize;

/// Resamples of the decks for the ratings' intervals.
const RESAMPLES: usize = 1000;
/// Points per factor of ten in the odds, as in chess (Elo 1978).
const POINTS: f64 = 400.0;

/// Two players' games.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// One.
    pub a: String,
    /// The other.
    pub b: String,
    /// Share of games won by `a`, a draw counting half, with its interval by deck.
    pub win: Estimate,
    /// Mean payoff of `a`.
    pub score: Estimate,
    /// Share of games won by `a` in each deck.
    #[serde(skip)]
    pub decks: Vec<f64>,
}

/// A player's place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rating {
    /// Who.
    pub agent: String,
    /// Points above the mean of all: 400 of them are odds of ten to one. None when it won, or lost, so utterly that no number of
    /// points explains it.
    pub rating: Option<f64>,
    /// Lower end of the 95 % interval, all pairs' decks resampled together.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Share of all its games won.
    pub win: f64,
}

/// The results of a round robin.
#[derive(Clone, Debug, Serialize)]
pub struct League {
    /// Decks a pair.
    pub decks: u64,
    /// By rating, the best first.
    pub ratings: Vec<Rating>,
    /// Every pair.
    pub pairs: Vec<Pair>,
}

/// Names that can play a league.
///
/// # Errors
/// When there are fewer than two, or one twice: against itself a player wins half of every deck by the rules of judging.
pub fn check(names: &[String]) -> Result<()> {
    if names.len() < 2 {
        bail!("a league needs two agents or more: runs and bots (`rlx list bots`)");
    }
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            bail!("'{name}' is entered twice: every agent plays once, against every other");
        }
    }
    Ok(())
}

/// Plays all pairs. `each` is told how many decks of all pairs together are done.
///
/// # Errors
/// When a network fails, or when asked to stop.
pub fn league(
    of: Match<'_>,
    names: &[String],
    agents: &mut [Agent<'_>],
    stop: &dyn Fn() -> bool,
    each: &mut dyn FnMut(u64),
) -> Result<League> {
    check(names)?;
    let mut pairs = Vec::new();
    for i in 0..names.len() {
        for j in i + 1..names.len() {
            let (head, tail) = agents.split_at_mut(j);
            let before = pairs.len() as u64 * of.decks;
            let told = &mut |done| each(before + done);
            let judged = judge_telling(of, &mut head[i], &mut tail[0], stop, told)?;
            let (a, b) = (names[i].clone(), names[j].clone());
            pairs.push(Pair { a, b, win: judged.win, score: judged.score, decks: judged.wins });
        }
    }
    let ratings = rate(names, &pairs, of.decks as usize);
    Ok(League { decks: of.decks, ratings, pairs })
}

/// Ratings with intervals, the best first.
fn rate(names: &[String], pairs: &[Pair], decks: usize) -> Vec<Rating> {
    let place = |name: &str| names.iter().position(|n| n == name).expect("pairs are of the names");
    let places: Vec<(usize, usize)> = pairs.iter().map(|p| (place(&p.a), place(&p.b))).collect();
    let shares = |of: &[usize]| -> Vec<Vec<f64>> {
        let mut wins = vec![vec![0.0; names.len()]; names.len()];
        for (&(a, b), pair) in places.iter().zip(pairs) {
            let won = of.iter().map(|&d| pair.decks[d]).sum::<f64>() / of.len() as f64;
            (wins[a][b], wins[b][a]) = (won, 1.0 - won);
        }
        wins
    };
    let all: Vec<usize> = (0..decks).collect();
    let wins = shares(&all);
    let ratings = bradley_terry(&wins);
    let mut rng = Rng::named(0, "league", 0);
    let mut drawn = vec![Vec::new(); names.len()];
    for _ in 0..RESAMPLES {
        // One draw of decks for all pairs: they played the same, so their luck hangs together.
        let of: Vec<usize> = (0..decks).map(|_| rng.below(decks)).collect();
        for (drawn, r) in drawn.iter_mut().zip(bradley_terry(&shares(&of))) {
            drawn.push(r);
        }
    }
    let mut out: Vec<Rating> = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            drawn[i].sort_by(f64::total_cmp);
            let end = |q: f64| Some(quantile(&drawn[i], q)).filter(|x| x.is_finite());
            let win = wins[i].iter().sum::<f64>() / (names.len() - 1) as f64;
            let rating = Some(ratings[i]).filter(|x| x.is_finite());
            Rating { agent: name.clone(), rating, low: end(0.025), high: end(0.975), win }
        })
        .collect();
    out.sort_by(|a, b| b.win.total_cmp(&a.win));
    out
}

/// Ratings of the largest likelihood by P(i beats j) = 1 / (1 + 10^((r_j - r_i) / 400)) (Bradley and Terry 1952), mean 0, from the
/// shares `wins[i][j]` of equally many games of each pair. By Hunter's iteration (2004, Annals of Statistics 32:384): strength_i =
/// wins_i / sum over j of 1 / (strength_i + strength_j). NaN when there is no largest: it needs a way of wins from each player to each
/// other (Ford 1957).
fn bradley_terry(wins: &[Vec<f64>]) -> Vec<f64> {
    let n = wins.len();
    let mut reach: Vec<Vec<bool>> = wins.iter().map(|row| row.iter().map(|w| *w > 0.0).collect()).collect();
    for k in 0..n {
        for i in 0..n {
            for j in 0..n {
                reach[i][j] |= reach[i][k] && reach[k][j];
            }
        }
    }
    if (0..n).any(|i| (0..n).any(|j| i != j && !reach[i][j])) {
        return vec![f64::NAN; n];
    }
    let mut strength = vec![1.0f64; n];
    // Two players are done after a few; a chain of very unequal ones takes long.
    for _ in 0..100_000 {
        let next: Vec<f64> = (0..n)
            .map(|i| {
                let others = (0..n).filter(|&j| j != i).map(|j| 1.0 / (strength[i] + strength[j])).sum::<f64>();
                wins[i].iter().sum::<f64>() / others
            })
            .collect();
        let mean = next.iter().map(|s| s.ln()).sum::<f64>() / n as f64;
        let moved = next.iter().zip(&strength).map(|(a, b)| (a.ln() - mean - b.ln()).abs()).fold(0.0, f64::max);
        strength = next.iter().map(|s| (s.ln() - mean).exp()).collect();
        if moved < 1e-9 {
            break;
        }
    }
    strength.iter().map(|s| POINTS * s.log10()).collect()
}

/// The league as text: the ratings, then who wins how often against whom.
pub fn text(league: &League) -> String {
    let points = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:+.0}"));
    let mut rows = vec![["agent", "rating", "95 % interval", "wins"].map(str::to_owned).to_vec()];
    rows.extend(league.ratings.iter().map(|r| {
        let interval = format!("[{}, {}]", points(r.low), points(r.high));
        vec![r.agent.clone(), points(r.rating), interval, format!("{:.1} %", 100.0 * r.win)]
    }));
    let mut out = columns(&rows);
    if league.ratings.iter().any(|r| r.rating.is_none()) {
        out += "no rating: somebody won, or lost, all games against the rest, which no number of points explains\n";
    }
    out += "\nwins of the row against the column, 95 % interval by deck\n";
    let names: Vec<&str> = league.ratings.iter().map(|r| r.agent.as_str()).collect();
    let percent = |e: &Estimate, turn: bool| {
        let [mean, low, high] = if turn { [1.0 - e.mean, 1.0 - e.high, 1.0 - e.low] } else { [e.mean, e.low, e.high] };
        format!("{:.1} {}", 100.0 * mean, shown(low, high, |x| format!("{:.1}", 100.0 * x)))
    };
    let cell = |a: &str, b: &str| {
        league.pairs.iter().find_map(|p| match (p.a == a && p.b == b, p.a == b && p.b == a) {
            (true, _) => Some(percent(&p.win, false)),
            (_, true) => Some(percent(&p.win, true)),
            _ => None,
        })
    };
    let mut rows = vec![std::iter::once("").chain(names.iter().copied()).map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(names.iter().map(|a| {
        std::iter::once((*a).to_owned()).chain(names.iter().map(|b| cell(a, b).unwrap_or_default())).collect()
    }));
    out + &columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::estimate;
    use rlx_red10::{Rules, bots};

    fn pair(a: &str, b: &str, decks: Vec<f64>) -> Pair {
        let win = estimate(&decks).unwrap();
        Pair { a: a.into(), b: b.into(), win, score: win, decks }
    }

    #[test]
    fn two_players_have_the_closed_form() {
        let names = ["a".to_owned(), "b".to_owned()];
        let decks: Vec<f64> = (0..80).map(|i| if i % 4 == 0 { 0.25 } else { 0.75 }).collect();
        let out = rate(&names, &[pair("a", "b", decks)], 80);
        // Share w of wins: odds w / (1 - w), 400 log10 of it apart, half of that from the mean.
        let expected = 200.0 * (0.625f64 / 0.375).log10();
        assert!((out[0].rating.unwrap() - expected).abs() < 1e-6 && (out[1].rating.unwrap() + expected).abs() < 1e-6);
        assert!(out[0].low.unwrap() < expected && expected < out[0].high.unwrap(), "{out:?}");
        let equal = rate(&names, &[pair("a", "b", vec![0.5; 10])], 10);
        assert_eq!(
            equal.iter().map(|r| (r.rating, r.low, r.high)).collect::<Vec<_>>(),
            [(Some(0.0), Some(0.0), Some(0.0)); 2]
        );
    }

    /// Where shares are just what some ratings predict, those ratings are found.
    #[test]
    fn ratings_that_made_the_shares_are_found() {
        let truth: [f64; 4] = [300.0, 50.0, -100.0, -250.0];
        let wins: Vec<Vec<f64>> = (0..4)
            .map(|i| {
                (0..4)
                    .map(|j| if i == j { 0.0 } else { 1.0 / (1.0 + 10f64.powf((truth[j] - truth[i]) / 400.0)) })
                    .collect()
            })
            .collect();
        let found = bradley_terry(&wins);
        assert!(found.iter().zip(truth).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?}");
    }

    #[test]
    fn who_never_loses_has_no_rating_and_who_is_entered_twice_does_not_play() {
        let names = ["a".to_owned(), "b".to_owned()];
        let out = rate(&names, &[pair("a", "b", vec![1.0; 5])], 5);
        assert_eq!((out[0].agent.as_str(), out[0].rating, out[0].win), ("a", None, 1.0));
        assert!(check(&["a".into(), "b".into(), "a".into()]).unwrap_err().to_string().contains("'a' is entered twice"));
        assert!(check(&["a".into()]).unwrap_err().to_string().contains("two agents or more"));
    }

    #[test]
    fn a_league_of_bots_ranks_them() {
        let names = ["random", "greedy"].map(String::from);
        let mut agents: Vec<Agent<'_>> = names.iter().map(|n| Agent::Bot(bots::make(n).unwrap())).collect();
        let mut told = Vec::new();
        let mut each = |done| told.push(done);
        let of = Match { rules: &Rules::paper(), decks: 30, seed: 3 };
        let out = league(of, &names, &mut agents, &|| false, &mut each).unwrap();
        assert_eq!((out.ratings[0].agent.as_str(), out.pairs.len(), out.pairs[0].decks.len()), ("greedy", 1, 30));
        assert!(out.ratings[0].low.unwrap() > out.ratings[1].high.unwrap(), "{:?}", out.ratings);
        assert_eq!(told.last(), Some(&30));
        assert!(told.is_sorted());
        let text = text(&out);
        assert!(text.contains("greedy"));
        let ratings = text.lines().take(3).map(|l| l.chars().count()).collect::<Vec<_>>();
        assert!(ratings.windows(2).all(|w| w[0] == w[1]), "{text}");
        let stopped = league(of, &names, &mut agents, &|| true, &mut |_| {});
        assert!(matches!(stopped.unwrap_err().downcast_ref(), Some(rlx::Error::Interrupted)));
    }
}

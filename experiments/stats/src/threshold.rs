//! How long it takes to reach a threshold, when some runs never do: they are censored, not left out.
use crate::scores::Interval;
use crate::scores::RESAMPLES;
use crate::scores::bootstrap;
use serde::Serialize;

/// A run: when it reached the threshold, or until when it is known not to have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watched {
    /// Steps or seconds.
    pub time: f64,
    /// Whether it reached the threshold then; if not, it was watched until then.
    pub reached: bool,
}

/// Time to threshold over runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ToThreshold {
    /// Runs that reached it.
    pub reached: usize,
    /// Runs.
    pub of: usize,
    /// Time by which half of the runs have (Kaplan and Meier 1958); None when fewer than half did.
    pub median: Option<f64>,
    /// Mean time up to `horizon`, runs that did not reach it by then counting as `horizon` (restricted mean survival time).
    pub mean_within: Interval,
    /// The longest time that all censored runs were watched.
    pub horizon: f64,
}

/// The Kaplan-Meier estimate: at each time at which runs reached the threshold, the share that has not yet.
pub fn kaplan_meier(runs: &[Watched]) -> Vec<(f64, f64)> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.time.total_cmp(&b.time));
    let (mut left, mut share, mut out) = (sorted.len() as f64, 1.0, Vec::new());
    for group in sorted.chunk_by(|a, b| a.time == b.time) {
        let events = group.iter().filter(|w| w.reached).count() as f64;
        if events > 0.0 {
            share *= 1.0 - events / left;
            out.push((group[0].time, share));
        }
        left -= group.len() as f64;
    }
    out
}

/// The area under the Kaplan-Meier curve up to `horizon`.
fn restricted_mean(runs: &[Watched], horizon: f64) -> f64 {
    let (mut area, mut from, mut share) = (0.0, 0.0, 1.0);
    for (time, next) in kaplan_meier(runs) {
        if time >= horizon {
            break;
        }
        area += share * (time - from);
        (from, share) = (time, next);
    }
    area + share * (horizon - from)
}

/// Time to threshold of runs of one task. None of no runs.
pub fn to_threshold(runs: &[Watched]) -> Option<ToThreshold> {
    if runs.is_empty() {
        return None;
    }
    let censored = runs.iter().filter(|w| !w.reached).map(|w| w.time);
    let longest = runs.iter().map(|w| w.time).fold(0.0, f64::max);
    let horizon = censored.fold(f64::INFINITY, f64::min);
    let horizon = if horizon.is_finite() { horizon } else { longest };
    let numbers: Vec<f64> = (0..runs.len()).map(|i| i as f64).collect();
    let mean_within = bootstrap(&[&[numbers]], RESAMPLES, |s| {
        let drawn: Vec<Watched> = s[0][0].iter().map(|i| runs[*i as usize]).collect();
        vec![restricted_mean(&drawn, horizon)]
    })[0];
    Some(ToThreshold {
        reached: runs.iter().filter(|w| w.reached).count(),
        of: runs.len(),
        median: kaplan_meier(runs).into_iter().find(|(_, share)| *share <= 0.5 + 1e-12).map(|(t, _)| t),
        mean_within,
        horizon,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: f64, reached: bool) -> Watched {
        Watched { time, reached }
    }

    #[test]
    fn kaplan_meier_as_scipy_has_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/scores.json");
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let case = &golden["survival"];
        let times: Vec<f64> = serde_json::from_value(case["times"].clone()).unwrap();
        let reached: Vec<bool> = serde_json::from_value(case["reached"].clone()).unwrap();
        let runs: Vec<Watched> = times.into_iter().zip(reached).map(|(t, r)| at(t, r)).collect();
        let expected: Vec<(f64, f64)> = serde_json::from_value(case["curve"].clone()).unwrap();
        let ours = kaplan_meier(&runs);
        assert_eq!(ours.len(), expected.len());
        for (a, b) in ours.iter().zip(expected) {
            assert!((a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9, "{a:?} and {b:?}");
        }
    }

    #[test]
    fn small_cases_by_hand() {
        // Reached at 10 and 20, one not by 30: shares 2/3, 1/3; the mean within 30 is 10 + 20/3 + 10/3.
        let runs = [at(10.0, true), at(20.0, true), at(30.0, false)];
        let t = to_threshold(&runs).unwrap();
        assert_eq!((t.reached, t.of, t.median, t.horizon), (2, 3, Some(20.0), 30.0));
        assert!((t.mean_within.value - 20.0).abs() < 1e-9);
        let never = to_threshold(&[at(30.0, false), at(30.0, false)]).unwrap();
        assert_eq!((never.median, never.mean_within.value), (None, 30.0));
        // All reached it: the plain mean.
        let all = to_threshold(&[at(10.0, true), at(40.0, true)]).unwrap();
        assert_eq!((all.mean_within.value, all.median), (25.0, Some(10.0)));
        assert!(to_threshold(&[]).is_none());
    }
}

#!/usr/bin/env python3
"""Records what rliable and SciPy say of made-up scores: pip install rliable==1.2.0 'pandas<3' scipy==1.17.1, then tests/golden/scores.py > tests/golden/scores.json

Interval ends are [mean, standard deviation] over several seeds of rliable's own bootstrap of 4,000 resamples.
"""
import json

import numpy as np
import scipy.stats
from rliable import library, metrics

RESAMPLES, SEEDS = 4_000, 6


def ends(scores, statistic):
    found = []
    for seed in range(SEEDS):
        # rliable 1.2.0 takes a random_state and ignores it: it draws from numpy's global stream.
        np.random.seed(seed)
        _, intervals = library.get_interval_estimates(
            {"x": scores}, lambda *s: np.array([statistic(*s)]), reps=RESAMPLES)
        found.append(intervals["x"][:, 0])
    low, high = np.array(found).T
    # The spread over few seeds is itself uncertain: never less than the resolution that they show together.
    spread = lambda v: [float(v.mean()), float(max(v.std(ddof=1), 1e-4))]
    return {"low": spread(low), "high": spread(high)}


def case(scores):
    out = {"scores": scores.round(6).tolist()}
    scores = np.array(out["scores"])
    for name in ("iqm", "median", "mean", "optimality_gap"):
        statistic = getattr(metrics, f"aggregate_{name}")
        out[name] = {"value": float(statistic(scores)), **ends(scores, statistic)}
    taus = np.linspace(0, 1.5, 16)
    profile, _ = library.create_performance_profile({"x": scores}, taus, reps=2)
    return {**out, "taus": taus.tolist(), "profile": profile["x"].tolist()}


def paired(differences):
    result = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf if len(differences) <= 16 else 100_000,
        rng=np.random.default_rng(0))
    return {"differences": differences.tolist(), "p": float(result.pvalue)}


def main():
    rng = np.random.default_rng(7)
    x = rng.beta(4, 2, size=(10, 4)) * np.array([1.0, 0.8, 1.2, 0.6])
    y = rng.beta(3, 2, size=(10, 4)) * np.array([1.0, 0.9, 1.0, 0.6])
    y[3] = x[3].round(1)  # ties with themselves
    cases = [case(x), case(y), case(rng.normal(0.5, 1.0, size=(5, 7)))]
    x, y = np.array(cases[0]["scores"]), np.array(cases[1]["scores"])
    improvement = {"value": float(metrics.probability_of_improvement(x, y)), **ends((x, y), metrics.probability_of_improvement)}
    times, reached = rng.integers(1, 12, 14).astype(float), rng.random(14) < 0.6
    sf = scipy.stats.ecdf(scipy.stats.CensoredData(uncensored=times[reached], right=times[~reached])).sf
    curve = [[float(t), float(p)] for t, p in zip(sf.quantiles, sf.probabilities) if t in times[reached]]
    print(json.dumps({
        "cases": cases,
        "improvement": improvement,
        "paired": [paired((x - y).mean(axis=1).round(6)), paired((x - y).ravel().round(6))],
        "survival": {"times": times.tolist(), "reached": reached.tolist(), "curve": curve},
    }, indent=1))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A second opinion on the searcher `bo`: egobox (Gaussian processes, LogEI, a constraint) on the same small `compress-synthetic`, with as
many measurements, beside the optimum of all configurations. Needs `pip install egobox` in a Python of your own (tried with 1.0.0).

    python3 tools/egobox_check.py [--rlx target/release/rlx] [--blocks 3] [--evaluations 40] [--share 0.15] [--seeds 5]

Prints the mean of what the best under the budget loses beyond the optimum, and each seed's. It ends with 1 where `bo` is worse than twice
egobox's and .01 nats. The first that `bo` measures is what the objective itself guesses, which egobox is not told.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def peer(table, budget, evaluations, seed):
    import egobox as egx
    import numpy as np

    known = {tuple(config): (loss, cost / budget - 1.0) for config, cost, loss in table}

    def measured(x):
        return np.array([known[tuple(int(round(v)) for v in row)] for row in x])

    dimensions = len(table[0][0])
    levels = [egx.XSpec(egx.XType.ORD, [0.0, 1.0, 2.0, 3.0]) for _ in range(dimensions)]
    initial = 16
    egor = egx.Egor(levels, n_cstr=1, n_doe=initial, seed=seed)
    found = egor.minimize(measured, max_iters=evaluations - initial)
    rows = [known[tuple(int(round(v)) for v in row)] for row in found.x_doe][:evaluations]
    return min((loss for loss, over in rows if over <= 0), default=float("inf"))


def ours(rlx, blocks, share, evaluations, seed):
    with tempfile.TemporaryDirectory() as runs:
        subprocess.run(
            [rlx, "--runs", runs, "train", "--env", "compress-synthetic", "--algo", "bo", "--preset", "none", "--seed", str(seed), "--name", "b",
             "--steps", str(evaluations * blocks), "--set", f"blocks={blocks}", "--set", f"budget_low={share}", "--set", f"budget_high={share}",
             "--set", "eval_every=0", "--set", "threads=1", "--set", f"log_every={blocks}"], check=True, capture_output=True)
        rows = [json.loads(line) for line in next(Path(runs).glob("*/metrics.jsonl")).open()]
    last = [row for row in rows if "search/best_loss" in row][-1]
    assert last["search/evaluations"] <= evaluations
    return last["search/best_loss"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rlx", default="target/release/rlx")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--share", type=float, default=0.15, help="the budget, from the smallest configuration to the largest")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    made = subprocess.run(["cargo", "run", "-q", "--release", "-p", "rlx-compression", "--example", "synthetic_table", "--", str(args.blocks)],
                          check=True, capture_output=True, text=True)
    table = json.loads(made.stdout)
    costs = [cost for _, cost, _ in table]
    share = args.share
    budget = min(costs) + share * (max(costs) - min(costs))
    optimum = min(loss for _, cost, loss in table if cost <= budget)
    fits = sum(cost <= budget for cost in costs) / len(table)
    print(f"{len(table)} configurations, {100 * fits:.0f} % under the budget, optimum {optimum:.4f}; {args.evaluations} measurements")
    mine = [ours(args.rlx, args.blocks, share, args.evaluations, seed) - optimum for seed in range(args.seeds)]
    theirs = [peer(table, budget, args.evaluations, seed) - optimum for seed in range(args.seeds)]
    for name, each in (("bo", mine), ("egobox", theirs)):
        print(f"{name:7} {statistics.fmean(each):.4f} nats beyond it on average; seeds: {' '.join(f'{x:.4f}' for x in each)}")
    if statistics.fmean(mine) > 2.0 * statistics.fmean(theirs) + 0.01:
        sys.exit("bo is behind")


main()

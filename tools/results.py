#!/usr/bin/env python3
"""The table of docs/results/classic.md: trains every preset over seeds and evaluates the last checkpoint on held-out episodes.

    tools/results.py [--seeds 10] [--runs FOLDER] [PRESET...]     needs rlx on the PATH, or RLX=path/to/rlx
    tools/results.py --plot TITLE OUT.svg RUN...                  a metric's median and range over runs as a picture

Only the standard library is used. Runs that are there already are resumed, that is, left as they are when finished.
"""
import argparse
import concurrent.futures
import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

RLX = os.environ.get("RLX", "rlx")


def rlx(*arguments):
    done = subprocess.run([RLX, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"rlx {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def one(preset, seed, runs):
    """Mean held-out return, seconds and steps of one seed."""
    info = json.loads(rlx("list", "presets", preset, "--json"))
    name = f"{info['env']}-{info['algo']}-results-s{seed}"
    if (runs / name).exists():
        rlx("--runs", runs, "train", "--resume", name, "-q")
    else:
        rlx("--runs", runs, "train", "--preset", preset, "--seed", seed, "--name", "results", "-q")
    ended = json.loads(rlx("--runs", runs, "eval", name, "--checkpoint", "last", "--json"))
    summary = json.loads((runs / name / "summary.json").read_text())
    return ended["return"]["mean"], summary["elapsed_s"], summary["steps"]


def interval(values, resamples=10_000):
    """95 % percentile bootstrap of the mean over seeds; None of one seed, which says nothing of its spread."""
    if len(values) < 2:
        return None
    rng = random.Random(0)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(resamples))
    return means[int(0.025 * resamples)], means[int(0.975 * resamples)]


def table(presets, seeds, runs, jobs):
    print("| preset | steps | return, mean over seeds [95 %] | worst seed | best seed | seeds | seconds a run |")
    print("|---|---|---|---|---|---|---|")
    for preset in presets:
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            done = list(pool.map(lambda seed: one(preset, seed, runs), range(seeds)))
        returns, seconds = [d[0] for d in done], statistics.median(d[1] for d in done)
        spread = "[{:.1f}, {:.1f}]".format(*interval(returns)) if len(returns) > 1 else "[-]"
        print(f"| `{preset}` | {done[0][2]:,} | {statistics.fmean(returns):.1f} {spread} | {min(returns):.1f} | "
              f"{max(returns):.1f} | {seeds} | {seconds:.0f} |", flush=True)


def plot(title, out, runs, metric="charts/episodic_return"):
    """Median over the runs as a line, their range as a band."""
    curves = {}
    for run in runs:
        for line in (Path(run) / "metrics.jsonl").read_text().splitlines():
            row = json.loads(line)
            if row.get(metric) is not None:
                curves.setdefault(row["step"], []).append(row[metric])
    points = sorted((step, values) for step, values in curves.items() if len(values) == len(runs))
    if len(points) < 2:
        sys.exit("the runs share fewer than two steps")
    low, high = min(min(v) for _, v in points), max(max(v) for _, v in points)
    width, height, left, top, right, bottom = 640, 320, 60, 36, 20, 48
    x = lambda step: left + (width - left - right) * step / points[-1][0]
    y = lambda value: height - bottom - (height - top - bottom) * (value - low) / ((high - low) or 1)
    band = [f"{x(s):.1f},{y(max(v)):.1f}" for s, v in points] + [f"{x(s):.1f},{y(min(v)):.1f}" for s, v in reversed(points)]
    line = [f"{x(s):.1f},{y(statistics.median(v)):.1f}" for s, v in points]
    ticks = "".join(
        f'<line x1="{left}" x2="{width - right}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>'
        f'<text x="{left - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.0f}</text>'
        for v in (low + (high - low) * i / 4 for i in range(5)))
    steps = "".join(f'<text x="{x(s):.1f}" y="{height - bottom + 18}" text-anchor="middle">{s / 1000:.0f}k</text>'
                    for s in (points[-1][0] * i / 4 for i in range(5)))
    Path(out).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="#333">'
        f'<rect width="{width}" height="{height}" fill="white"/><text x="{left}" y="20" font-size="14">{title}</text>{ticks}{steps}'
        f'<polygon points="{" ".join(band)}" fill="#0072b2" opacity="0.2"/>'
        f'<polyline points="{" ".join(line)}" fill="none" stroke="#0072b2" stroke-width="2"/>'
        f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">environment steps; line: median of {len(runs)} '
        f'seeds, band: their range; return: mean of the last 100 episodes</text></svg>\n')


def main():
    if sys.argv[1:2] == ["--plot"]:
        return plot(sys.argv[2], sys.argv[3], sys.argv[4:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args()
    presets = args.presets or [p["name"] for p in json.loads(rlx("list", "presets", "--json"))]
    table(presets, args.seeds, args.runs, args.jobs)


if __name__ == "__main__":
    main()

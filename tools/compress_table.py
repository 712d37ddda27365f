#!/usr/bin/env python3
"""A table of compressed models: uniform pruning as LLM-Pruner has it, and what runs of compress-llama decide, recovered and judged alike.

    tools/compress_table.py --out FOLDER --train TRAIN.txt --held-out HELD.txt [--tasks a/task.json,b.jsonl]
        [--uniform 0:4 0.2:4 0.2:3 ...] [--policy joint=RUN-s{seed} qpruner=RUN@72MB,80MB ...] [--budgets 55MB 65MB] [--seeds 0 1 2]
    tools/compress_table.py --brown FOLDER TRAIN.txt HELD.txt      plain texts from the Brown corpus (`rlx fetch brown`)

Each cell (a model and a seed) is a folder with its model and a JSON file of what was measured; what is there already is left as it is, so
that the table goes on after an interruption. Adapters are tuned on TRAIN, everything is judged on HELD, which no search has seen. Only the
standard library is used; rlx must be on the PATH, or RLX=path/to/rlx.
"""
import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

RLX = os.environ.get("RLX", "rlx")
PROMPT = "The capital of France is Paris. In the morning the train from"


def rlx(*arguments):
    done = subprocess.run([RLX, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"rlx {' '.join(map(str, arguments))}: {done.stderr}")
    return done


def brown(folder, train, held):
    """Every tenth file is held out. A word is written word/tag."""
    files = sorted(p for p in Path(folder).iterdir() if re.fullmatch(r"c[a-r]\d\d", p.name))
    if not files:
        sys.exit(f"{folder}: no files of the Brown corpus (ca01, ca02, ...)")
    for to, mine in ((train, lambda i: i % 10), (held, lambda i: i % 10 == 0)):
        lines = []
        for path in (p for i, p in enumerate(files) if mine(i)):
            for line in path.read_text(errors="strict").splitlines():
                words = [w.rsplit("/", 1)[0] for w in line.split()]
                text = re.sub(r"\s+([.,;:!?')])", r"\1", " ".join(words)).replace("`` ", '"').replace(" ''", '"').replace("''", '"')
                lines += [text] if text.strip() else []
        Path(to).write_text("\n".join(lines) + "\n")


def uniform(args, ratio, bits, seed, to):
    return ["lm", "prune", args.model, "--ratio", ratio, "--bits", bits, "--rank", args.rank, "--embedding", args.embedding, "--text", args.train,
            "--steps", args.steps, "--seed", seed, "-o", to]


def decided(args, name, run, budget, seed, to):
    run = run.replace("{seed}", str(seed))
    # The published methods decide by themselves; the calibration's guess is this project's.
    alone = ["--as-decided"] if name in ("qpruner", "rankadaptor") else []
    return ["--runs", args.runs, "compress", args.model, *alone, "--budget", budget, "--policy", run, "--recover", "full", "--tries", args.tries,
            "--set", f"recover_text={args.train}", "--set", f"recover_full={args.steps}", "--set", f"measure_seed={seed}", "-o", to]


def measure(args, name, command, seed):
    """What is measured of a cell, made where it is missing."""
    cell = args.out / f"{name}-s{seed}"
    record = args.out / f"{cell.name}.json"  # a ratio's dot is no suffix
    found = json.loads(record.read_text()) if record.exists() else {}
    if found and not (args.tasks and "tasks" not in found):
        return found
    model = cell / "model" if command else args.model
    if not found:
        found = made(args, cell, model, name, command, seed)
    if args.tasks:
        judged = json.loads(rlx("lm", "eval", model, "--tasks", args.tasks, "--items", args.items, "--json").stdout)
        found["tasks"] = judged["tasks"]
    args.out.mkdir(parents=True, exist_ok=True)
    part = args.out / f"{cell.name}.part"
    part.write_text(json.dumps(found, indent=1))
    part.rename(record)
    return found


def made(args, cell, model, name, command, seed):
    """What is measured of a cell but for tasks, which may be asked for later; its model is made where it is missing."""
    found = {"name": name, "seed": seed, "recovery_s": 0.0}
    if command:
        if not (model / "config.json").exists():
            cell.mkdir(parents=True, exist_ok=True)
            start = time.time()
            rlx(*command(model))
            found["recovery_s"] = time.time() - start
        found["bytes"] = (model / "model.safetensors").stat().st_size
    # Memory is that of the model by itself, without the one it is compared with.
    found["peak"] = json.loads(rlx("lm", "eval", model, "--text", args.held_out, "--tokens", 512, "--json").stdout)["peak_memory_bytes"]
    text = json.loads(rlx("lm", "eval", model, "--text", args.held_out, "--tokens", args.tokens, "--reference", args.model, "--json").stdout)["text"]
    found |= {"nll": text["nll"], "nll_error": text["nll_error"], "kl": text["kl"]}
    said = rlx("lm", "generate", model, "--prompt", PROMPT, "--tokens", 64).stderr
    found["tokens_per_s"] = float(re.search(r"([\d.]+) tokens/s", said)[1])
    return found


def shown(values):
    """The mean; with several seeds also its 95 % bootstrap interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    rng = random.Random(0)
    draws = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(5000))
    return f"{mean:.3f} [{draws[124]:.3f}, {draws[4874]:.3f}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brown", nargs=3, metavar=("FOLDER", "TRAIN", "HELD"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--train")
    parser.add_argument("--held-out")
    parser.add_argument("--tokens", type=int, default=8192, help="tokens of HELD that are judged")
    parser.add_argument("--tasks")
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--uniform", nargs="*", default=[], metavar="RATIO:BITS")
    parser.add_argument("--embedding", default="8", help="bits of the uniform models' embedding")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--policy", nargs="*", default=[], metavar="NAME=RUN[@SIZE,SIZE]")
    parser.add_argument("--tries", type=int, default=4)
    parser.add_argument("--budgets", nargs="*", default=["60MB"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    args = parser.parse_args()
    if args.brown:
        return brown(*args.brown)
    if not (args.out and args.train and args.held_out):
        parser.error("--out, --train and --held-out are needed")
    rows = [("dense", None, [0])]
    for pair in args.uniform:
        ratio, bits = pair.split(":")
        name = f"uniform-{ratio}-{bits}bit-e{args.embedding}"
        rows.append((name, lambda seed, r=ratio, b=bits: lambda to: uniform(args, r, b, seed, to), args.seeds))
    for pair in args.policy:
        name, run = pair.split("=", 1)
        run, _, own = run.partition("@")
        for budget in own.split(",") if own else args.budgets:
            rows.append((f"{name}-{budget}", lambda seed, n=name, r=run, b=budget: lambda to: decided(args, n, r, b, seed, to), args.seeds))
    tasks = [Path(t).parent.name if Path(t).name == "task.json" else Path(t).stem for t in args.tasks.split(",")] if args.tasks else []
    print("| model | MB | NLL | KL | " + "".join(f"{t} | " for t in tasks) + "tokens/s | peak MB | s to make |")
    print("|---|---|---|---|" + "---|" * len(tasks) + "---|---|---|")
    for name, command, seeds in rows:
        cells = [measure(args, name, command and command(seed), seed) for seed in seeds]
        of = lambda key: [c[key] for c in cells if c.get(key) is not None]
        mean = lambda key, scale=1.0, digits=1: f"{statistics.fmean(of(key)) * scale:.{digits}f}" if of(key) else ""
        accuracy = []
        for k in range(len(tasks)):
            each = [c["tasks"][k] for c in cells]
            accuracy.append(f"{100 * statistics.fmean(t['acc_norm'] for t in each):.1f} ± {100 * each[0]['acc_norm_error']:.1f}")
        columns = [name, mean("bytes", 1e-6, 2), shown(of("nll")), shown(of("kl")) if of("kl") else "", *accuracy, mean("tokens_per_s"),
                   mean("peak", 1e-6, 0), mean("recovery_s", 1.0, 0)]
        print("| " + " | ".join(columns) + " |", flush=True)


main()

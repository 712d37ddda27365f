#!/bin/sh
# ml_dtypes 0.6.0 with numpy 2.4.6: numpy's sum and mean of bfloat16 add in bfloat16, unlike those of numpy's own float16.
# Seen: the mean of 4,000 ones in bfloat16 is 0.064 and their sum is 256, since 256 + 1 rounds to 256. float16: mean 1.0, sum 4,000.
# A mean loss over weights or log-likelihoods that are kept in bfloat16 is wrong by a factor of fifteen, with no warning.
# What to do: mean(dtype=float32), or astype(float32) first.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ml-dtypes==0.6.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes, numpy as np

brain = np.ones(4000, ml_dtypes.bfloat16)
half = np.ones(4000, np.float16)
print("bfloat16: mean", float(brain.mean()), "sum", float(brain.sum()), "| float16: mean", float(half.mean()), "sum", float(half.sum()))
assert float(brain.sum()) == 256 and abs(float(brain.mean()) - 0.064) < 1e-3
assert float(half.sum()) == 4000 and float(half.mean()) == 1
assert float(brain.mean(dtype=np.float32)) == 1
PYTHON

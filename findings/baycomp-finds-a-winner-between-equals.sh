#!/bin/sh
# baycomp 1.0.3: two_on_multiple of two classifiers with the very same scores, without a region of practical equivalence, prefers the
# left one. Seen: ten equal pairs give P(left) = 0.68 and P(right) = 0.32, whichever is called left: each draw gives both
# sides one half up to rounding, and the answer counts which half came out larger in its last bit. With rope=0.01 the answer is (0, 1, 0), as it should be.
# Whoever compares success rates, which tie often, moves the verdict by the order of the arguments. It also draws from no seed unless
# random_state is given: the digits differ from run to run.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check baycomp==1.0.3 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import baycomp, numpy as np

scores = np.full(10, 0.8)
left, _, right = baycomp.two_on_multiple(scores, scores, random_state=0)
print("equal scores, no rope: left", float(left), "right", float(right))
assert left > 0.6 > 0.4 > right
equal = baycomp.two_on_multiple(scores, scores, rope=0.01, random_state=0)
print("equal scores, rope 0.01:", [float(p) for p in equal])
assert [float(p) for p in equal] == [0, 1, 0]
draws = {float(baycomp.two_on_multiple(scores, scores + np.linspace(-0.02, 0.01, 10))[0]) for _ in range(4)}
print("four calls without random_state:", sorted(draws))
assert len(draws) > 1
PYTHON

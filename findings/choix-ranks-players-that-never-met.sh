#!/bin/sh
# choix 0.4.1: Bradley-Terry strengths of players without a common scale are returned by two of its fits and refused by the two others.
# Seen: players 0, 1 and players 2, 3 met only among themselves. mm_pairwise and opt_pairwise return one list of four strengths, in
# which 2 stands above 0 and 1; lsr_pairwise and ilsr_pairwise raise ValueError. And for a player who never loses, whose strength has no
# finite value, opt_pairwise returns 11.1, which is where its optimiser stopped; mm_pairwise raises RuntimeError.
# A league table from such numbers looks like any other. What to do: check that the graph of wins is strongly connected, or give alpha > 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check choix==0.4.1 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import choix

islands = [(0, 1), (1, 0), (2, 3), (3, 2), (2, 3)]
for fit in (choix.mm_pairwise, choix.opt_pairwise):
    strengths = fit(4, islands)
    print(fit.__name__, "two islands:", [round(float(s), 3) for s in strengths])
    assert strengths[2] > max(strengths[0], strengths[1]) + 0.2
for fit in (choix.lsr_pairwise, choix.ilsr_pairwise):
    try:
        fit(4, islands)
        raise SystemExit(f"{fit.__name__} no longer raises")
    except ValueError as error:
        print(fit.__name__, "two islands: ValueError:", str(error)[:60])
top = choix.opt_pairwise(3, [(0, 1), (0, 1), (0, 2), (1, 2)])
print("opt_pairwise, a player who never loses:", [round(float(s), 2) for s in top])
assert 8 < top[0] < 20
try:
    choix.mm_pairwise(3, [(0, 1), (0, 1), (0, 2), (1, 2)])
    raise SystemExit("mm_pairwise no longer raises")
except RuntimeError as error:
    print("mm_pairwise, the same: RuntimeError:", error)
PYTHON

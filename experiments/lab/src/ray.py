# The driver of one Ray job: a task for each cell, which waits for its cores as long as it must. (A job for each cell does not: one
# that waits longer than RAY_JOB_START_TIMEOUT_SECONDS of the head, 900 by default, is FAILED and never run: ray 2.60.0.)
import collections
import ctypes
import signal
import subprocess
import sys

import ray

HELD, TRIES = 75, 3


# Ray kills the children of a worker that goes, and its process group, by SIGKILL (ray job stop too). A keeper between the two is what it
# kills, and the run, which is told of the keeper's end by SIGTERM, saves and frees its cell for another worker.
KEEPER = """
import ctypes, signal, subprocess, sys
told = lambda: ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
sys.exit(subprocess.call(sys.argv[1:], preexec_fn=told))
"""


def with_worker():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


# A worker goes with its machine, and not by what a cell does, which is a process of its own: tried again without end.
@ray.remote(num_cpus=THREADS, max_retries=-1)
def run(cell):
    # Tasks stand where `ray start` stood.
    keeper = [sys.executable, "-c", KEEPER, *UNIT, cell]
    return subprocess.call(
        keeper, cwd=FOLDER, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=with_worker
    )


ray.init(address="auto")
with open(LIST) as file:
    left = collections.deque(file.read().split())
total, tries, running, failed = len(left), collections.Counter(), {}, []
while left or running:
    while left and len(running) < MOST:
        cell = left.popleft()
        running[run.remote(cell)] = cell
    (done, *_), _ = ray.wait(list(running), num_returns=1)
    cell = running.pop(done)
    tries[cell] += 1
    try:
        code = ray.get(done)
    except ray.exceptions.RayError as error:
        code = str(error).strip().splitlines()[-1]
    if code == 0:
        continue
    # 1 and 2 are the cell's own and would be so again; a run that was stopped alone, killed or held by another goes on.
    if code not in (1, 2) and tries[cell] < TRIES:
        print(f"cell {cell} ended with {code}: it is tried again", flush=True)
        left.append(cell)
    else:
        print(f"cell {cell} ended with {code}", flush=True)
        failed.append(cell)
print(f"{total - len(failed)} of {total} cells finished", flush=True)
if failed:
    sys.exit(f"not finished: {' '.join(failed)}; rlx experiment status says why")

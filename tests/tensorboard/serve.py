#!/usr/bin/env python3
"""A TensorBoard on a folder (fast: its data server in Rust; slow: the one in Python). For each line of standard input it prints what an
open page would be given by now, as JSON: the status in HParams and the steps of a curve. Needs the package tensorboard."""
import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

folder, kind, port, tag = sys.argv[1:]
log = tempfile.TemporaryFile()
words = [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--host", "127.0.0.1", "--port", port, "--reload_interval", "1"]
server = subprocess.Popen([*words, f"--load_fast={'true' if kind == 'fast' else 'false'}"], stdout=log, stderr=log)


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def state():
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    body = {"experimentName": "default", "allowedStatuses": statuses, "colParams": [], "startIndex": 0, "sliceSize": 10}
    out = {"status": None, "steps": []}
    try:
        groups = ask("/experiment/default/data/plugin/hparams/session_groups", body).get("sessionGroups", [])
        out["status"] = [s["status"] for g in groups for s in g["sessions"]]
        query = urllib.parse.urlencode({"run": ".", "tag": tag})
        out["steps"] = [point[1] for point in ask(f"/data/plugin/scalars/scalars?{query}")]
    except OSError as error:
        out["error"] = str(error)
    return out


try:
    for line in sys.stdin:
        print(json.dumps(state()), flush=True)
        time.sleep(0.5)
finally:
    server.terminate()
    server.wait()

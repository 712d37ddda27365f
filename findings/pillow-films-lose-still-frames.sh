#!/bin/sh
# Pillow 13.0.0: an animation loses every frame that equals the one before it; its time is added to that one.
# Seen: ten frames of an episode whose last six are alike become five in GIF, APNG and WebP, the last one shown for 200 ms.
# A film of an episode then has fewer frames than the episode has steps: frame i is no longer step i, and whoever reads films back
# as data (or compares their length with the episode's) is off without a word.
# A GIF also rounds 33.3 ms to 30 ms, so that the film runs 11 % too fast.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from PIL import Image

frames = []
for step in range(10):  # a dot moves for five steps, then the episode stands still
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[5, min(step, 4)] = 255
    frames.append(Image.fromarray(pixels))
for kind in ("gif", "png", "webp"):
    frames[0].save(f"film.{kind}", save_all=True, append_images=frames[1:], duration=1000 / 30, loop=0)
    film = Image.open(f"film.{kind}")
    shown = []
    for i in range(film.n_frames):
        film.seek(i)
        film.load()
        shown.append(round(film.info["duration"]))
    print(f"{kind}: {film.n_frames} of 10 frames, shown for {shown} ms")
    assert film.n_frames == 5 and shown[-1] == 200
    assert (shown[0] == 30) == (kind == "gif")
PYTHON

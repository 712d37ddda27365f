#!/bin/sh
# gguf (gguf-py) 0.19.0: a split file with an alignment of its own is written so that its own reader gets other numbers, and says nothing.
# The writer lays out every part by the alignment, but writes the key general.alignment into the first part alone; the reader takes 32 for
# the others. Seen: six tensors in three parts, alignment 64: with names of 18 letters every tensor of the second and third part is read
# as zeros; with names of two letters, where headers happen to end alike, all are right.
# What to do: leave the alignment at 32 in files that are split.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gguf==0.19.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os

import gguf
import numpy as np


def wrong(letters):
    folder = f"parts-{letters}"
    os.mkdir(folder)
    writer = gguf.GGUFWriter(f"{folder}/m.gguf", "llama", split_max_tensors=2)
    writer.add_custom_alignment(64)
    values = {f"t{i}".ljust(letters, "x"): np.arange(10 * i + 1, 10 * i + 4, dtype=np.float32) for i in range(6)}
    for name, value in values.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = [t for f in sorted(os.listdir(folder)) for t in gguf.GGUFReader(f"{folder}/{f}").tensors]
    assert len(found) == 6
    return [(t.name[:2], t.data.tolist()) for t in found if not np.array_equal(t.data, values[t.name])]


print("names of 2 letters, read wrong:", wrong(2))
print("names of 18 letters, read wrong:", wrong(18))
assert wrong(3) == [] and [name for name, _ in wrong(19)] == ["t2", "t3", "t4", "t5"]
PYTHON

#!/bin/sh
# onnx 1.23.2: saving a model with external data to the same name appends to the data file and never replaces it, unless the working
# folder is the model's own: there the same call raises FileExistsError, since the guard looks in the working folder alone.
# Seen: after three saves of one model with 16,384 bytes of weights, the file holds 49,152 bytes, and the first save's offset is 0,
# the third's 32,768. Whoever saves a checkpoint every epoch under one name pays for every epoch, and hashes never repeat.
# What to do: remove the data file before each save.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os

import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper

weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)


def model():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return helper.make_model(helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weights, "w")]))


os.mkdir("out")
sizes, offsets = [], []
for _ in range(3):
    made = model()
    onnx.save(made, "out/m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    sizes.append(os.path.getsize("out/m.bin"))
    offsets.append(next(int(e.value) for e in made.graph.initializer[0].external_data if e.key == "offset"))
back = numpy_helper.to_array(onnx.load("out/m.onnx").graph.initializer[0])
print("bytes of the data file after each save:", sizes, "offset of the weights:", offsets)
assert sizes == [16384, 32768, 49152] and offsets == [0, 16384, 32768]
assert np.array_equal(back, weights), "the last save is read back right"
os.chdir("out")
try:
    onnx.save(model(), "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    raise SystemExit("a save in the working folder no longer raises")
except FileExistsError as error:
    print("the same save from within the folder:", error)
PYTHON

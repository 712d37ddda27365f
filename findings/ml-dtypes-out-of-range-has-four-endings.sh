#!/bin/sh
# ml_dtypes 0.6.0: what astype does beyond a small type's range differs from type to type, and never warns.
# Seen for 8, 9, -9 and 1,000,000: int4 wraps (-8, -7, 7, 0); float4_e2m1fn and float6_e2m3fn saturate (6, 7.5); float8_e4m3fn
# gives NaN for 1,000,000 and float8_e5m2 infinity. So a quantiser that forgets to clip turns its largest positive weights into the
# largest negative ones in int4, and is right by accident in FP4.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ml-dtypes==0.6.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes, numpy as np

values = np.array([8, 9, -9, 1e6], np.float32)
seen = {}
for name in ("int4", "float4_e2m1fn", "float6_e2m3fn", "float8_e4m3fn", "float8_e5m2"):
    seen[name] = values.astype(getattr(ml_dtypes, name)).astype(np.float32).tolist()
    print(f"{name:14} {seen[name]}")
assert seen["int4"] == [-8, -7, 7, 0]
assert seen["float4_e2m1fn"] == [6, 6, -6, 6] and seen["float6_e2m3fn"] == [7.5, 7.5, -7.5, 7.5]
assert np.isnan(seen["float8_e4m3fn"][3]) and np.isposinf(seen["float8_e5m2"][3])
PYTHON

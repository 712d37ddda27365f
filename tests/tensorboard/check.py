#!/usr/bin/env python3
"""What TensorBoard's own reader makes of a run folder, as JSON: needs the package tensorboard."""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

folder = sys.argv[1]
events = EventAccumulator(folder, size_guidance={"scalars": 0, "histograms": 0})
events.Reload()
tags = events.Tags()
out = {
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "histograms": {tag: [[e.step, e.histogram_value.num] for e in events.Histograms(tag)] for tag in tags["histograms"]},
    "hparams": {},
    "status": None,
}
for tag, content in events.summary_metadata.items():
    if content.plugin_data.plugin_name != metadata.PLUGIN_NAME:
        continue
    data = plugin_data_pb2.HParamsPluginData.FromString(content.plugin_data.content)
    kind = data.WhichOneof("data")
    if kind == "session_start_info":
        for name, value in data.session_start_info.hparams.items():
            out["hparams"][name] = getattr(value, value.WhichOneof("kind"))
    if kind == "session_end_info":
        out["status"] = data.session_end_info.status
print(json.dumps(out))

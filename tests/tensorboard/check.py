"""Reads a run's event file with TensorBoard itself and compares it with the run: every scalar with metrics.jsonl, images with plots/, the
config as text and as hyperparameters, samples of the predictions, the session's end.

  python3 tests/tensorboard/check.py RUN...     needs tensorboard; exit code 1 where something differs
"""
import json
import math
import os
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator, plugin_event_multiplexer
from tensorboard.backend.event_processing import data_provider
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import backend_context, metadata, plugin_data_pb2

failures = 0


def check(ok, text):
    global failures
    failures += not ok
    if not ok:
        print("  DIFFERS: " + text)


def rows_of(run):
    with open(os.path.join(run, "metrics.jsonl")) as f:
        return [json.loads(line) for line in f]


def single(value):
    return struct.unpack("<f", struct.pack("<f", float(value)))[0]


def check_scalars(run, events):
    tags = {}
    for row in rows_of(run):
        tag = row["split"] + "/" + row["name"] if "split" in row else row["name"]
        tags.setdefault(tag, []).append((row["step"], single(row["value"])))
    check(set(tags) == set(events.Tags()["scalars"]), "scalar tags: %s" % (set(tags) ^ set(events.Tags()["scalars"])))
    for tag, want in tags.items():
        got = [(e.step, e.value) for e in events.Scalars(tag)]
        same = len(got) == len(want) and all(g[0] == w[0] and (g[1] == w[1] or math.isnan(g[1]) and math.isnan(w[1])) for g, w in zip(got, want))
        check(same, "scalar %s" % tag)
    print("  %d scalars in %d tags" % (sum(map(len, tags.values())), len(tags)))


def check_images(run, events):
    folder = os.path.join(run, "plots")
    plots = sorted(n[:-4] for n in os.listdir(folder) if n.endswith(".png")) if os.path.isdir(folder) else []
    check(sorted(events.Tags()["images"]) == ["plots/" + n for n in plots], "images: %s, plots %s" % (events.Tags()["images"], plots))
    for name in plots:
        image = events.Images("plots/" + name)[-1]
        with open(os.path.join(folder, name + ".png"), "rb") as f:
            data = f.read()
        check(image.encoded_image_string == data and (image.width, image.height) == struct.unpack(">II", data[16:24]), "image %s" % name)
    print("  images: %s" % ", ".join(plots))


def texts_of(events):
    return {tag: events.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in events.PluginTagToContent("text")}


def check_texts(run, events):
    texts = texts_of(events)
    with open(os.path.join(run, "config.lua")) as f:
        config = f.read()
    shown = "return " + "\n".join(line[4:] for line in texts["config"].split("\n"))
    check(shown.strip() == config.strip(), "the config's text")
    folder = os.path.join(run, "predictions")
    splits = sorted(n[:-6] for n in os.listdir(folder) if n.endswith(".jsonl")) if os.path.isdir(folder) else []
    check(sorted(texts) == sorted(["config"] + ["predictions/" + s for s in splits]), "texts: %s" % sorted(texts))
    print("  texts: %s" % ", ".join(sorted(texts)))


def check_session(run, events):
    contents = events.PluginTagToContent("hparams")
    end = plugin_data_pb2.HParamsPluginData.FromString(contents[metadata.SESSION_END_INFO_TAG]).session_end_info
    status = json.load(open(os.path.join(run, "result.json")))["status"] if os.path.exists(os.path.join(run, "result.json")) else None
    check(end.status == {"finished": 1, "failed": 2, "interrupted": 2}.get(status, 0), "status %s as %d" % (status, end.status))


def check_hparams(run):
    """What the HParams page gets: the hyperparameters' columns and, as metrics, the run's scalars."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(run)
    multiplexer.Reload()
    context = base_plugin.TBContext(data_provider=data_provider.MultiplexerDataProvider(multiplexer, run))
    backend = backend_context.Context(context)
    request = RequestContext()
    tags = backend.hparams_metadata(request, "")
    experiment = backend.experiment_from_metadata(request, "", True, tags, backend.hparams_from_data_provider(request, "", 0))
    names = {info.name for info in experiment.hparam_infos}
    metrics = {info.name.tag for info in experiment.metric_infos}
    check("seed" in names or len(names) > 3, "hyperparameters: %s" % sorted(names))
    check(metrics >= {r["split"] + "/" + r["name"] for r in rows_of(run) if "split" in r}, "metrics of the session")
    print("  %d hyperparameters, %d metrics" % (len(names), len(metrics)))


for run in sys.argv[1:]:
    print(run)
    events = event_accumulator.EventAccumulator(run, size_guidance={event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0, event_accumulator.TENSORS: 0})
    events.Reload()
    check_scalars(run, events)
    check_images(run, events)
    check_texts(run, events)
    check_session(run, events)
    check_hparams(run)
print("%d differences" % failures)
sys.exit(failures > 0)

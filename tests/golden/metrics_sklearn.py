"""Writes metrics.json: random and degenerate predictions with the scores that scikit-learn gives them (test_metrics.lua).

  python3 tests/golden/metrics_sklearn.py     needs numpy and scikit-learn
"""
import json
import os
import warnings

import numpy as np
from sklearn import metrics as m

warnings.simplefilter("ignore")
rng = np.random.default_rng(7)
out = {"ranking": [], "classes": [], "labels": []}


def number(v):
    return None if np.isnan(v) else float(v)


def ranking(scores, labels):
    scores, labels = np.asarray(scores, float), np.asarray(labels, int)
    both = 0 < labels.sum() < len(labels)
    out["ranking"].append(dict(
        scores=scores.tolist(), labels=labels.tolist(), auroc=number(m.roc_auc_score(labels, scores) if both else np.nan),
        average_precision=number(m.average_precision_score(labels, scores) if labels.sum() else np.nan)))


for n, levels in ((7, 3), (50, 10), (61, 10**6), (40, 2)):
    ranking(rng.integers(0, levels, n) / levels, rng.integers(0, 2, n))
ranking([0.5] * 6, [0, 1, 0, 1, 1, 0])
ranking([0.1, 0.2, 0.3], [1, 1, 1])
ranking([0.1, 0.2, 0.3], [0, 0, 0])
ranking([1, 2, 3, 4], [0, 0, 1, 1])
ranking([-1e300, 1e300, 0], [1, 0, 1])


def averages(truth, predicted, kinds, **keys):
    return {k: number(m.f1_score(truth, predicted, average=k, zero_division=0, **keys)) for k in kinds}


def classes(truth, predicted, count):
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    f1 = averages(truth, predicted, ("micro", "macro", "weighted"), labels=list(range(count)))
    out["classes"].append(dict(truth=truth.tolist(), predicted=predicted.tolist(), classes=count, f1=f1,
                               accuracy=float(m.accuracy_score(truth, predicted))))


for n, c in ((30, 3), (80, 13), (5, 4)):
    classes(rng.integers(0, c, n), rng.integers(0, c, n), c)
classes([0, 0, 0], [0, 0, 0], 3)  # classes that nobody has
classes([0, 1, 2], [1, 2, 0], 3)  # nothing right


def labels(truth, predicted):
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    f1 = averages(truth, predicted, ("micro", "macro", "weighted", "samples"))
    if truth.sum() == 0:
        f1["weighted"] = None  # scikit-learn divides by 0 supports and says 0
    out["labels"].append(dict(truth=truth.tolist(), predicted=predicted.tolist(), f1=f1,
                              accuracy=float(m.accuracy_score(truth, predicted))))


labels(rng.random((40, 23)) < 0.1, rng.random((40, 23)) < 0.15)
labels(rng.random((6, 3)) < 0.5, rng.random((6, 3)) < 0.5)
labels(np.zeros((3, 2), int), np.zeros((3, 2), int))
labels([[1, 0], [0, 0], [1, 0]], [[1, 0], [0, 0], [0, 1]])
for rows in out["labels"]:
    rows["truth"], rows["predicted"] = ([[int(v) for v in r] for r in rows[k]] for k in ("truth", "predicted"))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics.json")
with open(path, "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")
print(path, os.path.getsize(path), "bytes")

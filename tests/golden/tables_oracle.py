"""Writes tables.json: scores of weighted samples as scikit-learn has them, exact permutation tests and bootstrap intervals as SciPy has
them, Holm's correction as statsmodels has it (test_report_table.lua).

  python3 tests/golden/tables_oracle.py     needs numpy, scikit-learn, scipy, statsmodels
"""
import json
import os
import warnings

import numpy as np
from scipy import stats
from sklearn import metrics as m
from statsmodels.stats.multitest import multipletests

warnings.simplefilter("ignore")
rng = np.random.default_rng(11)
out = {"weighted": [], "exchange": [], "bootstrap": [], "holm": [], "moments": []}


def number(v):
    return None if np.isnan(v) else float(v)


def mean_over_classes(fn, truth, scores, w):
    values = []
    for k in range(truth.shape[1]):
        seen = truth[w > 0, k]
        if fn is m.roc_auc_score and 0 < seen.sum() < len(seen) or fn is m.average_precision_score and seen.sum() > 0:
            values.append(fn(truth[:, k], scores[:, k], sample_weight=w))
    return np.mean(values) if values else np.nan


def weighted(kind, a, b, w, value, classes=None):
    out["weighted"].append(dict(kind=kind, a=a.tolist(), b=None if b is None else b.tolist(), classes=classes, weights=w.tolist(), value=number(value)))


for n in (1, 7, 40, 200):
    for w in (np.ones(n, int), rng.multinomial(n, np.ones(n) / n), rng.integers(0, 4, n) * (rng.random(n) < 0.5)):
        if w.sum() == 0:
            w[0] = 2
        x = np.round(rng.random(n), 1)
        weighted("mean", x, None, w, np.average(x, weights=w))
        weighted("median", x, None, w, np.median(np.repeat(x, w)))
        scores, truth = np.round(rng.random((n, 3)), 1 if n < 100 else 3), rng.integers(0, 2, (n, 3))
        truth[:, 2] = 0
        for kind, fn in (("auroc", m.roc_auc_score), ("average_precision", m.average_precision_score)):
            weighted(kind, scores[:, 0], truth[:, 0], w, mean_over_classes(fn, truth[:, :1], scores[:, :1], w))
            weighted(kind, scores, truth, w, mean_over_classes(fn, truth, scores, w))
        y, p = rng.integers(0, 4, n), rng.integers(0, 4, n)
        for average in ("micro", "macro", "weighted"):
            weighted("f1_" + average, p, y, w, m.f1_score(y, p, average=average, labels=range(5), sample_weight=w, zero_division=0), 5)
            guess = rng.integers(0, 2, (n, 3))
            has_truth = (truth * w[:, None]).sum() > 0
            value = m.f1_score(truth, guess, average=average, sample_weight=w, zero_division=0) if has_truth or average != "weighted" else np.nan
            weighted("f1_" + average, guess, truth, w, value)

for n, shift in ((8, 0.6), (11, 0.2), (12, 1.2)):
    a, b = rng.normal(shift, 1, n), rng.normal(0, 1, n)
    p = stats.permutation_test((a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=np.inf, vectorized=True).pvalue
    out["exchange"].append(dict(a=a.tolist(), b=b.tolist(), p=float(p)))

for n in (30, 150):
    x, y = rng.random(n), rng.integers(0, 2, n)
    r = stats.bootstrap((x,), np.mean, method="percentile", n_resamples=20000, rng=rng)
    out["bootstrap"].append(dict(kind="mean", a=x.tolist(), b=None, low=r.confidence_interval.low, high=r.confidence_interval.high, error=float(r.standard_error)))
    scores = x + 0.3 * y
    r = stats.bootstrap((y, scores), m.roc_auc_score, paired=True, vectorized=False, method="percentile", n_resamples=20000, rng=rng)
    out["bootstrap"].append(dict(kind="auroc", a=scores.tolist(), b=y.tolist(), low=r.confidence_interval.low, high=r.confidence_interval.high, error=float(r.standard_error)))

for p in ([0.03], [0.01, 0.04, 0.03], [0.5, 0.001, 0.001, 0.9, 0.02], rng.random(9).tolist()):
    out["holm"].append(dict(p=p, adjusted=multipletests(p, method="holm")[1].tolist()))
for x in ([0.5, 0.25], rng.random(5).tolist()):
    out["moments"].append(dict(values=x, mean=float(np.mean(x)), sd=float(np.std(x, ddof=1))))

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tables.json"), "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")

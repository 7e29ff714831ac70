"""Independent oracles of vbl.measure: packages where one is sound, the papers' formulas in plain numpy where none is.

  python3 tests/golden/measure_oracles.py BUILD/vbl           prints the table of differences (kept in measure_oracles.md)
  python3 tests/golden/measure_oracles.py BUILD/vbl --golden  writes measures.json too, which `make test` checks without Python

Needs numpy, scipy, scikit-learn, torch, POT, dcor, scikit-dimension, ckatorch. Every case of CALLS runs on every set of measure_formulas.py; vbl's side is
measure_dump.lua. Sets of the golden file come from `number`, an integer hash that the Lua test repeats; the larger ones from numpy's generator.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import warnings

import dcor
import numpy as np
import ot
import scipy
import scipy.linalg
import skdim
import sklearn
import torch
from ckatorch.core import cka_base
from scipy.spatial import procrustes as scipy_procrustes
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import paired_cosine_distances
from measure_formulas import (K, aligned_cosine, alignment, cca, centred, cknna, cknna_local, cycle, formula_sets, gw, hashed, hsic0, hsic1,
                              if_distinct, jaccard, labels_of, lcs, levenshtein, linear_r2, lists, lists_sklearn,
                              minibatch, mknn_thesis, overlap, padded, per_row, probe, procrustes_distance, pwcca,
                              random_sets, rank, ratio, rbf, retrieval, ridge, rsa, same, second_order, sigma,
                              similarity, sinkhorn, sliced_axes, svcca, to_torch, twonn_mle, twonn_skdim, uniformity,
                              unit, wasserstein)

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))

def package(name, module):
    return f"{name} {module.__version__}"


SCIPY, SKLEARN, POT, DCOR = package("scipy", scipy), package("scikit-learn", sklearn), package("POT", ot), package("dcor", dcor)
NUMPY, TORCH = "formula, " + package("numpy", np), package("torch", torch).split("+")[0]
CKATORCH, SKDIM = "ckatorch 1.0.3", package("scikit-dimension", skdim)
k5 = {"k": K}
rdms = ("correlation", "cosine", "euclidean", "sqeuclidean")


def gram(x):
    return x @ x.T


def case(measure, opts, oracle, fn, matrices=2, joint=False, field="value"):
    return dict(measure=measure, opts=opts, oracle=oracle, fn=fn, matrices=matrices, joint=joint, field=field)


CALLS = [
    case("cosine", {}, SKLEARN, lambda x, y: 1 - paired_cosine_distances(*same(x, y)).mean(), joint=True),
    case("cosine", {}, NUMPY, lambda x, y: (lambda a, b: unit(a).mean(0) @ unit(b).mean(0))(*same(x, y)), joint=True, field="chance"),
    case("hsic", {}, NUMPY, lambda x, y: hsic1(gram(centred(x)), gram(centred(y)))),
    case("hsic", {"estimator": "biased"}, NUMPY, lambda x, y: hsic0(gram(centred(x)), gram(centred(y)))),
    case("cka", {}, CKATORCH, lambda x, y: cka_base(to_torch(centred(x)), to_torch(centred(y)), unbiased=True).item()),
    case("cka", {"estimator": "biased"}, CKATORCH, lambda x, y: cka_base(to_torch(x), to_torch(y)).item()),
    case("cka", {"kernel": "rbf", "estimator": "biased"}, NUMPY, lambda x, y: ratio(hsic0, rbf(x), rbf(y))),
    case("cka", {"kernel": "rbf"}, NUMPY, lambda x, y: ratio(hsic1, rbf(x), rbf(y))),
    case("cka", {"kernel": "rbf", "estimator": "biased", "bandwidth": "median_full", "fraction": 0.5}, NUMPY,
         lambda x, y: ratio(hsic0, rbf(x, 0.5, True), rbf(y, 0.5, True))),
    case("cka_minibatch", {"batch": 8}, CKATORCH, lambda x, y: minibatch(centred(x), centred(y))),
    case("dcor", {}, DCOR, lambda x, y: dcor.distance_correlation(x, y)),
    case("dcor", {"estimator": "corrected"}, DCOR, lambda x, y: dcor.u_distance_correlation_sqr(x, y)),
    case("mknn", k5, NUMPY, lambda x, y: per_row(overlap, x, y)),
    case("mknn", k5, SKLEARN, if_distinct(lambda x, y: per_row(overlap, x, y, lists_sklearn))),
    case("mknn", {"k": K, "metric": "euclidean"}, SKLEARN,
         if_distinct(lambda x, y: per_row(overlap, x, y, lambda z: lists_sklearn(z, "euclidean")))),
    case("mknn", {"k": K, "metric": "ip"}, NUMPY, lambda x, y: per_row(overlap, x, y, lambda z: lists(z, "ip"))),
    case("mknn_thesis", k5, NUMPY, mknn_thesis),
    case("knn_jaccard", k5, NUMPY, lambda x, y: per_row(jaccard, x, y)),
    case("rank_sim", k5, NUMPY, lambda x, y: per_row(rank, x, y)),
    case("joint_rank_jaccard", k5, NUMPY, lambda x, y: per_row(lambda a, b: rank(a, b) * jaccard(a, b), x, y)),
    case("cycle_knn", k5, NUMPY, cycle),
    case("lcs_knn", k5, NUMPY, lambda x, y: per_row(lcs, x, y)),
    case("edit_knn", k5, NUMPY, lambda x, y: 1 - per_row(levenshtein, x, y) / K),
    case("second_order_cosine", k5, SCIPY, second_order),
    case("cknna", k5, TORCH, cknna),
    case("cknna", {"k": K, "eps": 1e-6}, TORCH, lambda x, y: cknna(x, y, 1e-6)),
    case("cknna", {"k": K, "variant": "local"}, NUMPY, cknna_local),
    case("cca", {}, SCIPY, lambda x, y: cca(x, y, 1)),
    case("cca", {"of": "rho2"}, SCIPY, lambda x, y: cca(x, y, 2)),
    case("svcca", {}, SKLEARN, lambda x, y: svcca(x, y, 0.99)),
    case("svcca", {"threshold": 0.8}, SKLEARN, lambda x, y: svcca(x, y, 0.8)),
    case("svcca", {"dims": 4}, SKLEARN, lambda x, y: svcca(x, y, 4)),
    case("pwcca", {}, NUMPY, pwcca),
    case("pwcca", {"side": "y"}, NUMPY, lambda x, y: pwcca(y, x)),
    case("procrustes", {}, SCIPY, similarity),
    case("procrustes", {}, SCIPY + " spatial", lambda x, y: math.sqrt(1 - scipy_procrustes(*padded(x, y))[2])),
    case("procrustes", {"form": "distance"}, SCIPY, procrustes_distance),
    case("procrustes", {"form": "normalised_distance"}, SCIPY, lambda x, y: math.sqrt(2 - 2 * similarity(x, y))),
    case("procrustes", {"form": "angular"}, SCIPY, lambda x, y: math.acos(similarity(x, y))),
    case("aligned_cosine", {}, SCIPY, aligned_cosine),
    *[case("rsa", {"rdm": r, "compare": c}, SCIPY, lambda x, y, r=r, c=c: rsa(x, y, r, c)) for r in rdms for c in ("spearman", "pearson")],
    case("rsa", {"rdm": "euclidean", "compare": "kendall"}, SCIPY, lambda x, y: rsa(x, y, "euclidean", "kendall")),
    case("linear_r2", {}, SCIPY, linear_r2),
    case("ridge_r2_cv", {"folds": 4, "lambda": 2, "assignment": "i % 4"}, SKLEARN, lambda x, y: ridge(x, y, 2)),
    case("ridge_r2_cv", {"folds": 4, "assignment": "i % 4"}, SKLEARN, ridge),
    case("wasserstein", {}, POT, lambda x, y: wasserstein(x, y, 2), joint=True),
    case("wasserstein", {"p": 1}, POT, lambda x, y: wasserstein(x, y, 1), joint=True),
    *[case("sinkhorn", {"eps": 8, "form": f}, POT, lambda x, y, f=f: sinkhorn(x, y, 8, f), joint=True) for f in ("divergence", "cost", "dual")],
    case("sliced_wasserstein", {"directions": "axes"}, POT, sliced_axes, joint=True),
    case("gw_identity", {"normalise": False}, POT, lambda x, y: gw(x, y, False)),
    case("gw_identity", {}, POT, lambda x, y: gw(x, y, True)),
    case("modality_gap", {}, NUMPY, lambda x, y: (lambda a, b: np.linalg.norm(unit(a).mean(0) - unit(b).mean(0)))(*same(x, y)), joint=True),
    case("alignment", {}, TORCH, lambda x, y: alignment(x, y, 2), joint=True),
    case("alignment", {"alpha": 1}, TORCH, lambda x, y: alignment(x, y, 1), joint=True),
    case("uniformity", {}, TORCH, lambda x, y: uniformity(x, 2), matrices=1),
    case("uniformity", {"t": 0.5}, TORCH, lambda x, y: uniformity(x, 0.5), matrices=1),
    *[case("retrieval", {}, SCIPY, lambda x, y, f=f: retrieval(x, y, f), joint=True, field=f)
      for f in ("r1", "r5", "r10", "median_rank", "mrr", "r1_yx", "median_rank_yx", "mrr_yx")],
    case("effective_rank", {}, SCIPY, lambda x, y: math.exp(entropy(sigma(x))), matrices=1),
    case("effective_rank", {"of": "eigenvalue"}, SCIPY, lambda x, y: math.exp(entropy(sigma(x) ** 2)), matrices=1),
    case("participation_ratio", {}, SKLEARN, lambda x, y: (lambda w: w.sum() ** 2 / (w**2).sum())(PCA().fit(x).explained_variance_), matrices=1),
    case("stable_rank", {}, SKLEARN, lambda x, y: 1 / PCA().fit(x).explained_variance_ratio_[0], matrices=1),
    case("pca_dims", {}, SKLEARN, lambda x, y: PCA(n_components=0.95, svd_solver="full").fit(x).n_components_, matrices=1),
    case("twonn", {}, SCIPY, lambda x, y: twonn_mle(x), matrices=1),
    case("twonn", {"fit": "linear"}, SKDIM, lambda x, y: twonn_skdim(x), matrices=1),
    *[case("linear_probe", {"metric": m, "C": 1, "part": "i % 3", "labels": "y > median"}, SKLEARN, lambda x, y, m=m: probe(x, y, m))
      for m in ("accuracy", "auroc", "macro_f1")],
]


def token_cases():
    """max_sim and attention_entropy on tensors of their own: (measure, opts, tensors, oracle, value)."""
    t, v = hashed(3 * 6, 5, 31).reshape(3, 6, 5), hashed(3 * 9, 5, 32).reshape(3, 9, 5)
    tn, vn = (z / np.linalg.norm(z, axis=2, keepdims=True) for z in (t, v))
    s, lengths = torch.einsum("btd,bpd->btp", to_torch(tn), to_torch(vn)).numpy(), [6, 3, 4]
    valid = [s[b, 1:n, 1:] for b, n in enumerate(lengths)]
    p = np.exp(hashed(2 * 3 * 4, 4, 33)).reshape(2, 3, 4, 4)
    keys = [4, 3]
    p[1, :, :, 3] = 0
    p /= p.sum(-1, keepdims=True)
    heads = np.array([np.concatenate([entropy(p[b, h, :m, :m], axis=-1) / math.log(m) for b, m in enumerate(keys)]).mean() for h in range(3)])
    return [
        ("max_sim", {"text_lengths": lengths}, [t, v], TORCH, "tp", np.mean([m.max(1).mean() for m in valid])),
        ("max_sim", {"text_lengths": lengths}, [t, v], TORCH, "pt", np.mean([m.max(0).mean() for m in valid])),
        ("max_sim", {"skip_cls": False}, [t, v], TORCH, "tp", s.max(2).mean()),
        ("max_sim", {"skip_cls": False}, [t, v], TORCH, "pt", s.max(1).mean()),
        ("attention_entropy", {"lengths": keys}, [p], SCIPY, "value", heads.mean()),
        ("attention_entropy", {"lengths": keys}, [p], SCIPY, "head 2", heads[1]),
    ]


# vbl's side, the table, the golden file


def inputs_of(call, x, y):
    """What vbl is called with: the matrices, options with their names resolved, and labels."""
    if call["joint"]:
        x, y = same(x, y)
    opts = dict(call["opts"])
    for key, value in opts.items():
        opts[key] = {"i % 4": [i % 4 for i in range(len(x))], "i % 3": [i % 3 for i in range(len(x))]}.get(value, value) if isinstance(value, str) else value
    if call["measure"] == "linear_probe":
        opts["labels"] = labels_of(y).tolist()
    return x, y, opts


def run_vbl(program, sets, tokens):
    with tempfile.TemporaryDirectory() as folder:
        calls = []
        for s, (name, (x, y)) in enumerate(sets.items()):
            for call in CALLS:
                a, b, opts = inputs_of(call, x, y)
                xs, ys = (f"{folder}/{s}{'j' if call['joint'] else ''}{side}.npy" for side in "xy")
                np.save(xs, np.ascontiguousarray(a))
                np.save(ys, np.ascontiguousarray(b))
                calls.append(dict(measure=call["measure"], opts=opts, matrices=call["matrices"], x=xs, y=ys, field=call["field"]))
        for i, (measure, opts, tensors, _, field, _) in enumerate(tokens):
            for side, value in zip("xy", tensors):
                np.save(f"{folder}/t{i}{side}.npy", value)
            calls.append(dict(measure=measure, opts=opts, matrices=len(tensors), x=f"{folder}/t{i}x.npy", y=f"{folder}/t{i}y.npy", field=field))
        with open(folder + "/calls.json", "w") as f:
            json.dump(calls, f)
        subprocess.run([program, os.path.join(HERE, "measure_dump.lua"), folder + "/calls.json", folder + "/results.json"], check=True)
        with open(folder + "/results.json") as f:
            return json.load(f)


def difference(got, want):
    return abs(got - want) / max(1, abs(want))


def main():
    sets = formula_sets()
    formulas, tokens = set(sets), token_cases()
    sets |= random_sets()
    results = iter(run_vbl(sys.argv[1], sets, tokens))
    table, golden, bad, refused = {}, [], [], []
    for name, (x, y) in sets.items():
        for call in CALLS:
            got = next(results)
            try:
                want = call["fn"](x, y)
            except ValueError as error:  # a package that refuses the set
                refused.append((call["measure"], call["oracle"], name, str(error).splitlines()[0]))
                continue
            if want is None:
                continue
            if not math.isfinite(want):
                bad.append((call["measure"], call["opts"], name, got["status"], got.get("value"), "oracle not finite"))
                continue
            if got["status"] != "OK":
                bad.append((call["measure"], call["opts"], name, got["status"], f"oracle {want:.9g}"))
                continue
            off = difference(got["value"], want)
            key = (call["measure"], json.dumps(call["opts"]), call["field"], call["oracle"])
            worst = table.setdefault(key, [0.0, "", 0])
            worst[2] += 1
            if off >= worst[0]:
                worst[:2] = off, name
            if off > 1e-9:
                bad.append((call["measure"], call["opts"], name, got["value"], want))
            if name in formulas and off <= 1e-9:
                row = dict(measure=call["measure"], opts=call["opts"], set=name, matrices=call["matrices"], joint=call["joint"], field=call["field"], want=want)
                golden.append({k: (float(v) if k == "want" else v) for k, v in row.items()})
    for measure, opts, _, oracle, field, want in tokens:
        off = difference(next(results)["value"], want)
        table[(measure, json.dumps(opts), field, oracle)] = [off, "tokens", 1]
        if off > 1e-9:
            bad.append((measure, opts, "tokens", off, want))
    print("| measure | options | field | oracle | sets | largest difference | on |\n|---|---|---|---|---|---|---|")
    for (measure, opts, field, oracle), (off, name, count) in table.items():
        print(f"| {measure} | {'' if opts == '{}' else opts} | {'' if field == 'value' else field} | {oracle} | {count} | {off:.1e} | {name} |")
    print("\nBeyond 1e-9, or undefined on one side:\n")
    for row in bad:
        print("-", *row)
    print("\nRefused by the package:\n")
    for row in refused:
        print("-", *row)
    if "--golden" in sys.argv:
        with open(os.path.join(HERE, "measures.json"), "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(row) for row in golden) + "\n]\n")


if __name__ == "__main__":
    main()

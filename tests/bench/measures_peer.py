"""The peers of the measures' benchmark: what the same numbers cost in the packages that have them, and in PyTorch.

  [PLATONIC_REP=DIR] python3 tests/bench/measures_peer.py FOLDER pair|table|versions THREADS

Prints one JSON line per measure and variant: {"measure", "variant", "ms"}. FOLDER holds x.npy, y.npy (pair) or x1.npy ... y12.npy (table).
Packages: "sklearn", "scipy", "ckatorch", "dcor", "torchmetrics", and "platonic-rep", the authors' code of Huh et al. 2024 (ICML) as it is,
where DIR holds the file metrics.py of github.com/minyoungg/platonic-rep (it needs torchaudio). Its callers hand it unit rows, so they
are made before its time starts; its unbiased CKA and CKNNA take n x n x n products. Its lists are argsort of whole rows. Without
pymp, with which its sequence measures lose what the other processes compute.
Written for this comparison, "own ...": "own torch" is the same number written for speed in PyTorch (topk, feature-space sums, values-only
SVD); "own sets" goes row by row with sets, as the reference implementations of Jaccard and rank similarity do. All read f32 arrays; scipy
and dcor compute in f64.
The table's "own pairs" computes 12 pairs only (one of the 25 dozens), each from scratch; "own cached" keeps lists, Gram matrices and bases
per layer and computes all 300 pairs.
"""
import json
import os
import statistics
import sys
import time

import numpy as np
import torch

K, LAYERS = 10, 12


def timed(measure, variant, call):
    times = []
    while not times or (sum(times) < 1 and len(times) < 9):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    if len(times) > 2:
        times = times[1:]
    print(json.dumps(dict(measure=measure, variant=variant, ms=round(statistics.median(times) * 1e3, 3))), flush=True)


def unit(x):
    return torch.nn.functional.normalize(x, dim=1)


# Neighbours


def knn_argsort(x):
    return (x @ x.T).fill_diagonal_(-1e8).argsort(dim=1, descending=True)[:, :K]


def knn_topk(x):
    return (x @ x.T).fill_diagonal_(-1e8).topk(K, dim=1).indices


def mask(lists):
    n = lists.shape[0]
    return torch.zeros(n, n).scatter_(1, lists, 1.0)


def mknn_masks(x, y):
    return ((mask(knn_argsort(unit(x))) * mask(knn_argsort(unit(y)))).sum(1) / K).mean().item()


def overlap_of(a, b):
    return (a.unsqueeze(2) == b.unsqueeze(1)).sum().item() / (a.shape[0] * K)


def jaccard_rank_sets(x, y):
    """Row by row with sets, as the reference implementations of both do."""
    a, b = knn_argsort(unit(x)).numpy(), knn_argsort(unit(y)).numpy()
    jaccard = rank = 0.0
    for p, q in zip(a, b):
        at_p, at_q = {j: r for r, j in enumerate(p, 1)}, {j: r for r, j in enumerate(q, 1)}
        shared = at_p.keys() & at_q.keys()
        jaccard += len(shared) / (2 * K - len(shared))
        if shared:
            total = sum(2 / ((1 + abs(at_p[j] - at_q[j])) * (at_p[j] + at_q[j])) for j in shared)
            rank += total / sum(1 / r for r in range(1, len(shared) + 1))
    return jaccard / len(a), rank / len(a)


def jaccard_rank_torch(x, y):
    a, b = knn_topk(unit(x)), knn_topk(unit(y))
    same = a.unsqueeze(2) == b.unsqueeze(1)
    r = torch.arange(1.0, K + 1)
    weight = 2 / ((1 + (r[:, None] - r[None]).abs()) * (r[:, None] + r[None]))
    c = same.sum((1, 2))
    harmonic = torch.cat([torch.ones(1), torch.cumsum(1 / r, 0)])
    return (c / (2 * K - c)).mean().item(), ((same * weight).sum((1, 2)) / harmonic[c]).mean().item()


# Kernels


def hsic_unbiased(k, l):
    """Song et al. 2012, eq. 5."""
    n = k.shape[0]
    k, l = k.clone().fill_diagonal_(0), l.clone().fill_diagonal_(0)
    trace = (k * l.T).sum()
    means = k.sum() * l.sum() / ((n - 1) * (n - 2))
    return (trace + means - 2 * (k.sum(0) @ l.sum(1)) / (n - 2)) / (n * (n - 3))


def cka_grams(x, y):
    k, l = x @ x.T, y @ y.T
    return (hsic_unbiased(k, l) / (torch.sqrt(hsic_unbiased(k, k) * hsic_unbiased(l, l)) + 1e-6)).item()


def cka_features(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    a, b, n = (x * x).sum(1), (y * y).sum(1), x.shape[0]

    def hsic(s, p, q):
        return s - n / (n - 2) * (p @ q) + p.sum() * q.sum() / ((n - 1) * (n - 2))

    xy, xx, yy = hsic((x.T @ y).square().sum(), a, b), hsic((x.T @ x).square().sum(), a, a), hsic((y.T @ y).square().sum(), b, b)
    return (xy / torch.sqrt(xx * yy)).item()


def centred(k):
    return k - k.mean(0, keepdim=True) - k.mean(1, keepdim=True) + k.mean()


def rbf(x):
    d2 = torch.cdist(x, x).square_()
    return torch.exp_(d2.mul_(-0.5 / d2.median()))


def cka_rbf(x, y):
    k, l = centred(rbf(x)), centred(rbf(y))
    return ((k * l).sum() / (k.norm() * l.norm())).item()


def cknna(x, y):
    x, y = unit(x), unit(y)
    k, l = x @ x.T, y @ y.T
    a, b = mask(knn_topk(x)), mask(knn_topk(y))
    ab = a * b
    return (hsic_unbiased(ab * k, ab * l) / torch.sqrt(hsic_unbiased(a * k, a * k) * hsic_unbiased(b * l, b * l))).item()


def distance_correlation(x, y):
    k, l = centred(torch.cdist(x, x)), centred(torch.cdist(y, y))
    return torch.sqrt((k * l).sum() / (k.norm() * l.norm())).item()


# Linear maps


def procrustes_torch(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return (torch.linalg.svdvals(x.T @ y).sum() / (x.norm() * y.norm())).item()


def procrustes_scipy(x, y):
    from scipy.linalg import orthogonal_procrustes
    x, y = x - x.mean(0), y - y.mean(0)
    return orthogonal_procrustes(x, y)[1] / (np.linalg.norm(x) * np.linalg.norm(y))


def basis(x, t=0.99):
    u, s, _ = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    share = torch.cumsum(s * s, 0) / (s * s).sum()
    return u[:, : int((share < t).sum()) + 1]


def svcca(x, y):
    return torch.linalg.svdvals(basis(x).T @ basis(y)).mean().item()


def rsa_scipy(x, y):
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr
    return spearmanr(pdist(x, "correlation"), pdist(y, "correlation"))[0]


def rsa_torch(x, y):
    upper = torch.triu_indices(x.shape[0], x.shape[0], 1)

    def ranks(z):
        d = torch.corrcoef(z)[upper[0], upper[1]].neg_()
        r = torch.empty_like(d)
        r[d.argsort()] = torch.arange(d.numel(), dtype=d.dtype)
        return r

    return torch.corrcoef(torch.stack([ranks(x), ranks(y)]))[0, 1].item()


# Peers


def platonic_rep():
    """metrics.py of platonic-rep from $PLATONIC_REP, or None, said aloud."""
    folder = os.environ.get("PLATONIC_REP")
    if not folder:
        print("platonic-rep: SKIPPED: PLATONIC_REP names no folder with its metrics.py", file=sys.stderr)
        return None
    cuda, torch.version.cuda = torch.version.cuda, None  # torchaudio refuses a PyTorch of another CUDA; nothing here runs on a GPU
    sys.path.insert(0, folder)
    try:
        import metrics
        return metrics
    except ImportError as error:
        print(f"platonic-rep: SKIPPED: {error}", file=sys.stderr)
        return None
    finally:
        sys.path.pop(0)
        torch.version.cuda = cuda


def time_platonic_rep(x, y):
    metrics = platonic_rep()
    if metrics is None:
        return
    x, y = unit(x), unit(y)
    lists, measure = metrics.compute_nearest_neighbors, metrics.AlignmentMetrics.measure
    timed("kNN lists of X and Y", "platonic-rep", lambda: (lists(x, K), lists(y, K)))
    for name, title in [("mutual_knn", "mutual kNN"), ("cycle_knn", "cycle kNN"), ("lcs_knn", "LCS of neighbours"),
                        ("edit_distance_knn", "edit distance of neighbours"), ("cknna", "CKNNA")]:
        timed(title, "platonic-rep", lambda: measure(name, x, y, topk=K))
    timed("linear CKA, debiased", "platonic-rep", lambda: measure("unbiased_cka", x, y))
    timed("SVCCA at 10 dims", "platonic-rep", lambda: measure("svcca", x, y, cca_dim=10))
    if len(x) <= 4096:  # four products of n x n x n each
        timed("RBF CKA, biased", "platonic-rep", lambda: measure("cka", x, y, kernel_metric="rbf"))


def time_neighbours(a, b, x, y):
    from sklearn.neighbors import NearestNeighbors

    def lists_sklearn(z):
        return NearestNeighbors(n_neighbors=K + 1, algorithm="brute", metric="cosine").fit(z).kneighbors(z, return_distance=False)

    timed("kNN lists of X and Y", "own torch", lambda: (knn_topk(unit(x)), knn_topk(unit(y))))
    timed("kNN lists of X and Y", "sklearn", lambda: (lists_sklearn(a), lists_sklearn(b)))
    try:
        from torchmetrics.functional import pairwise_cosine_similarity as cosines
        timed("kNN lists of X and Y", "torchmetrics",
              lambda: [cosines(z, zero_diagonal=False).fill_diagonal_(-2).topk(K, dim=1).indices for z in (x, y)])
    except ImportError as error:
        print(f"torchmetrics: {error}", file=sys.stderr)
    timed("mutual kNN", "own torch", lambda: overlap_of(knn_topk(unit(x)), knn_topk(unit(y))))
    timed("Jaccard and rank similarity", "own sets", lambda: jaccard_rank_sets(x, y))
    timed("Jaccard and rank similarity", "own torch", lambda: jaccard_rank_torch(x, y))
    timed("CKNNA", "own torch", lambda: cknna(x, y))


def time_kernels(a, b, x, y):
    timed("linear CKA, debiased", "own torch", lambda: cka_features(x, y))
    timed("RBF CKA, biased", "own torch", lambda: cka_rbf(x, y))
    try:
        from ckatorch.core import cka_base
        timed("linear CKA, debiased", "ckatorch", lambda: cka_base(x, y, kernel="linear", unbiased=True))
        timed("RBF CKA, biased", "ckatorch", lambda: cka_base(x, y, kernel="rbf"))
    except ImportError as error:
        print(f"ckatorch: {error}", file=sys.stderr)
    timed("distance correlation", "own torch", lambda: distance_correlation(x, y))
    if len(a) <= 1024:  # it broadcasts to n x n x d
        try:
            import dcor
            p, q = a.astype(np.float64), b.astype(np.float64)
            dcor.distance_correlation(p[:50], q[:50])  # compiles
            timed("distance correlation", "dcor", lambda: dcor.distance_correlation(p, q))
        except ImportError as error:
            print(f"dcor: {error}", file=sys.stderr)


def pair(folder):
    a, b = np.load(folder + "/x.npy"), np.load(folder + "/y.npy")
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    time_neighbours(a, b, x, y)
    time_platonic_rep(x, y)
    time_kernels(a, b, x, y)
    timed("Procrustes", "own torch", lambda: procrustes_torch(x, y))
    timed("Procrustes", "scipy", lambda: procrustes_scipy(a, b))
    timed("SVCCA", "own torch", lambda: svcca(x, y))
    if len(a) <= 4096:
        timed("RSA, correlation and Spearman", "scipy", lambda: rsa_scipy(a, b))
    timed("RSA, correlation and Spearman", "own torch", lambda: rsa_torch(x, y))


def u_centred(x):
    k = (x @ x.T).fill_diagonal_(0)
    n = k.shape[0]
    m = k.sum(0) / (n - 2)
    m -= m.sum() / (2 * (n - 1))
    return (k - m[:, None] - m[None]).fill_diagonal_(0)


def table_cached(layers):
    start = time.perf_counter()
    lists, bases = [knn_topk(unit(x)) for x in layers], [basis(x) for x in layers]
    middle = [x - x.mean(0) for x in layers]
    grams = torch.stack([u_centred(x).flatten() for x in middle])
    products = grams @ grams.T
    scale = products.diagonal().sqrt()
    values = [products / scale / scale[:, None]]
    for i in range(len(layers)):
        for j in range(i, len(layers)):
            values.append(overlap_of(lists[i], lists[j]))
            values.append(torch.linalg.svdvals(middle[i].T @ middle[j]).sum().item())
            values.append(torch.linalg.svdvals(bases[i].T @ bases[j]).mean().item())
    return time.perf_counter() - start


def table_pairs(layers):
    start = time.perf_counter()
    for i in range(LAYERS):
        x, y = layers[i], layers[LAYERS + i]
        cka_grams(x, y), mknn_masks(x, y), procrustes_torch(x, y), svcca(x, y)
    return time.perf_counter() - start


def table(folder):
    layers = [torch.from_numpy(np.load(f"{folder}/{side}{l}.npy")) for side in "xy" for l in range(1, LAYERS + 1)]
    print(json.dumps(dict(measure="table, all four", variant="own cached", ms=round(table_cached(layers) * 1e3, 1))), flush=True)
    print(json.dumps(dict(measure="12 of the table's 300 pairs", variant="own pairs", ms=round(table_pairs(layers) * 1e3, 1))), flush=True)


def versions():
    import scipy
    import sklearn
    print(f"PyTorch {torch.__version__}, scikit-learn {sklearn.__version__}, scipy {scipy.__version__}, numpy {np.__version__}")


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    {"pair": lambda: pair(sys.argv[1]), "table": lambda: table(sys.argv[1]), "versions": versions}[sys.argv[2]]()

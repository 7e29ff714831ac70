"""The sets that measures are compared on, and the measures themselves by other hands: packages where one is sound, the papers' formulas
in plain numpy where none is. Used by measure_oracles.py.
"""
import bisect
import math

import numpy as np
import ot
import scipy.linalg
import skdim
import torch
from ckatorch.core import cka_batch
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import kendalltau, pearsonr, spearmanr
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.metrics.pairwise import paired_cosine_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

K = 5

# Data


def number(i, j, s):
    """About normal, a sum of four uniforms from an integer hash: the same doubles in Python and in Lua."""
    total = 0
    for r in range(4):
        h = (i * 73856093 + j * 19349663 + s * 83492791 + r * 2971215073) % 2**32
        for m in (0x7FEB352D, 0x846CA68B):
            h = ((h ^ (h >> 16)) * m) % 2**32
        total += (h ^ (h >> 16)) / 2**32
    return 2 * (total - 2)


def hashed(n, d, s):
    return np.array([[number(i, j, s) for j in range(d)] for i in range(n)])


def related(n, dx, dy, s, make):
    """X, and Y that holds half of X's columns and noise of its own."""
    x, e = make(n, dx, s), make(n, dy, s + 1)
    return x, 0.75 * x[:, np.arange(dy) % dx] + e


def bf16(x):
    return torch.from_numpy(x).to(torch.bfloat16).double().numpy()


def formula_sets():
    sets = {"odd": related(31, 7, 11, 1, hashed), "wide": related(13, 29, 23, 3, hashed), "thin": related(17, 1, 1, 5, hashed)}
    x, y = related(27, 5, 6, 7, hashed)
    half = np.where(np.arange(27) % 3 == 1, np.arange(27) - 1, np.arange(27))  # rows 1, 4, 7, ... repeat the row before
    sets["duplicates"] = x[half], y[half]
    x, y = related(25, 6, 6, 9, hashed)
    x, y = x + 1024, y - 4096
    x[:, 2] = 7.0
    sets["offset, one constant column"] = x, y
    x, y = related(29, 8, 8, 11, hashed)
    sets["f32"] = tuple(z.astype(np.float32).astype(np.float64) for z in (x, y))
    sets["bf16"] = bf16(x), bf16(y)
    return sets


def random_sets():
    def normal(n, d, s):
        return np.random.default_rng(s).standard_normal((n, d))

    sets = {"257 x 65, 33": related(257, 65, 33, 21, normal), "101 x 333, 129": related(101, 333, 129, 23, normal),
            "unrelated 201 x 40": (normal(201, 40, 25), normal(201, 40, 26))}
    x, y = related(199, 24, 24, 27, normal)
    sets["decaying spectrum 199 x 24"] = x * 0.5 ** np.arange(24), y * 0.6 ** np.arange(24)
    x, y = related(151, 16, 16, 29, normal)
    half = np.arange(151) // 2 * 2
    sets["half duplicated 151 x 16"] = x[half], y[half]
    return sets


# Oracles


def centred(x):
    return x - x.mean(0)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def same(x, y):
    """The first columns that both have: for measures in one space."""
    d = min(x.shape[1], y.shape[1])
    return x[:, :d], y[:, :d]


def hsic1(k, l):
    """Song et al. 2012, eq. 5."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    one = np.ones(n)
    return (np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))


def hsic0(k, l):
    n = len(k)
    h = np.eye(n) - 1 / n
    return np.trace(k @ h @ l @ h) / (n - 1) ** 2


def rbf(x, f=1, full=False):
    d2 = pdist(x, "sqeuclidean")
    return np.exp(-squareform(d2) / (2 * f * f * np.median(squareform(d2) if full else d2)))


def ratio(hsic, k, l):
    return hsic(k, l) / math.sqrt(hsic(k, k) * hsic(l, l))


def lists(x, metric="cosine", k=K):
    """Exact keys by pdist's elementwise sums, so that equal rows tie exactly; ties by index."""
    key = squareform(pdist(x, "sqeuclidean" if metric == "euclidean" else metric)) if metric != "ip" else -(x[:, None] * x[None]).sum(2)
    key = np.round(key, 12)
    np.fill_diagonal(key, np.inf)
    return np.argsort(key, axis=1, kind="stable")[:, :k]


def lists_sklearn(x, metric="cosine", k=K):
    """kneighbors without query leaves the row itself out."""
    return NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric).fit(x).kneighbors(return_distance=False)


def per_row(fn, x, y, get=lists):
    return float(np.mean([fn(list(a), list(b)) for a, b in zip(get(x), get(y))]))


def overlap(a, b):
    return len(set(a) & set(b)) / len(a)


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b))


def rank(a, b):
    shared = set(a) & set(b)
    if not shared:
        return 0.0
    total = sum(2 / ((1 + abs(a.index(j) - b.index(j))) * (a.index(j) + b.index(j) + 2)) for j in shared)
    return total / sum(1 / r for r in range(1, len(shared) + 1))


def lcs(a, b):
    """The longest common subsequence of lists without repeats is a longest increasing run of positions (patience sorting)."""
    tops = []
    for p in (b.index(v) for v in a if v in b):
        at = bisect.bisect_left(tops, p)
        tops[at:at + 1] = [p]
    return len(tops)


def levenshtein(a, b):
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return levenshtein(a[1:], b[1:])
    return 1 + min(levenshtein(a[1:], b), levenshtein(a, b[1:]), levenshtein(a[1:], b[1:]))


def adjacency(x):
    m = np.zeros((len(x), len(x)))
    m[np.arange(len(x))[:, None], lists(x)] = 1
    return m


def mknn_thesis(x, y):
    a, b = adjacency(x), adjacency(y)
    return (a * b.T).sum() / math.sqrt((a * a.T).sum() * (b * b.T).sum())


def cycle(x, y):
    a, b = lists(x), lists(y)
    return np.mean([i in a[b[i]] for i in range(len(x))])


def second_order(x, y):
    dx, dy = (squareform(pdist(z, "cosine")) for z in (x, y))
    rows = []
    for i, (a, b) in enumerate(zip(lists(x), lists(y))):
        u = sorted(set(a) | set(b))
        rows.append(1 - scipy.spatial.distance.cosine(dx[i, u], dy[i, u]))
    return float(np.nanmean(rows))


def cknna(x, y, eps=0.0):
    """torch.topk's masks, HSIC1 of the masked kernels with K~ * L~' as the reference code has it."""
    x, y = torch.from_numpy(unit(x)), torch.from_numpy(unit(y))
    k, l, a, b = x @ x.T, y @ y.T, torch.from_numpy(adjacency(x.numpy())), torch.from_numpy(adjacency(y.numpy()))

    def hsic(p, q):
        n = len(p)
        mixed = p.sum(0) @ q.sum(1)
        return ((p * q.T).sum() + p.sum() * q.sum() / ((n - 1) * (n - 2)) - 2 * mixed / (n - 2)) / (n * (n - 3))

    return (hsic(a * b * k, a * b * l) / (torch.sqrt(hsic(a * k, a * k) * hsic(b * l, b * l)) + eps)).item()


def cknna_local(x, y):
    a, b, (k, l) = adjacency(x), adjacency(y), [unit(z) @ unit(z).T for z in (x, y)]
    k, l = k - k.mean(1, keepdims=True), l - l.mean(1, keepdims=True)
    return (a * b * k * l).sum() / math.sqrt((a * k * k).sum() * (b * l * l).sum())


def basis(x, tol=None):
    u, s, _ = scipy.linalg.svd(centred(x), full_matrices=False, lapack_driver="gesvd")
    return u[:, s > s[0] * max(x.shape) * np.finfo(float).eps]


def rho(u, v):
    """Cosines of the principal angles between the column spaces."""
    return np.cos(scipy.linalg.subspace_angles(u, v))


def needs_rank(x, y):
    u, v = basis(x), basis(y)
    return (u, v) if max(u.shape[1], v.shape[1]) < len(x) - 1 else None


def cca(x, y, power):
    b = needs_rank(x, y)
    return np.mean(rho(*b) ** power) if b else None


def principal(x, t):
    if t >= 1:
        return PCA(n_components=min(t, basis(x).shape[1])).fit_transform(x)
    return PCA(n_components=t, svd_solver="full").fit_transform(x)


def svcca(x, y, t):
    u, v = principal(x, t), principal(y, t)
    return np.mean(rho(u, v)) if max(u.shape[1], v.shape[1]) < len(x) - 1 else None


def pwcca(x, y):
    """Morcos et al. 2018, by pivoted QR of the centred matrices."""
    if needs_rank(x, y) is None:
        return None

    def orthonormal(z):
        q, _, _ = scipy.linalg.qr(centred(z), mode="economic", pivoting=True)
        return q[:, : basis(z).shape[1]]

    qx, qy = orthonormal(x), orthonormal(y)
    u, s, _ = np.linalg.svd(qx.T @ qy, full_matrices=False)
    weight = np.abs((qx @ u).T @ centred(x)).sum(1)
    return (weight * s).sum() / weight.sum()


def padded(x, y):
    d = max(x.shape[1], y.shape[1])
    return [np.pad(centred(z), ((0, 0), (0, d - z.shape[1]))) for z in (x, y)]


def similarity(x, y):
    p, q = padded(x, y)
    return scipy.linalg.orthogonal_procrustes(p, q)[1] / np.linalg.norm(p) / np.linalg.norm(q)


def procrustes_distance(x, y):
    p, q = padded(x, y)
    return np.linalg.norm(p @ scipy.linalg.orthogonal_procrustes(p, q)[0] - q)


def aligned_cosine(x, y):
    p, q = padded(x, y)
    return 1 - paired_cosine_distances(p @ scipy.linalg.orthogonal_procrustes(p, q)[0], q).mean()


def exact_pdist(x, rdm):
    """pdist of the distinct rows, handed out: equal rows then tie in every pair, which pdist's last bit may not do."""
    u, where = np.unique(x, axis=0, return_inverse=True)
    return squareform(squareform(pdist(u, rdm))[np.ix_(where.ravel(), where.ravel())], checks=False)


def rsa(x, y, rdm, compare):
    if rdm == "correlation" and min(x.shape[1], y.shape[1]) < 2:
        return None
    if rdm == "cosine" and min(x.shape[1], y.shape[1]) < 2:  # distances 0 and 2, but for the last bit of pdist
        return dict(spearman=spearmanr, pearson=pearsonr, kendall=kendalltau)[compare](*(np.round(pdist(z, rdm)) for z in (x, y)))[0]
    return dict(spearman=spearmanr, pearson=pearsonr, kendall=kendalltau)[compare](exact_pdist(x, rdm), exact_pdist(y, rdm))[0]


def linear_r2(x, y):
    """lstsq without LinearRegression's cut of singular values below 1e-6."""
    if basis(x).shape[1] >= len(x) - 1:
        return None
    a, b = centred(x), centred(y)
    return 1 - ((b - a @ scipy.linalg.lstsq(a, b, lapack_driver="gelsd")[0]) ** 2).sum() / (b**2).sum()


def errors(x, y, train, test, penalty):
    guess = Ridge(alpha=penalty, solver="svd").fit(x[train], y[train]).predict(x[test]).reshape(y[test].shape)
    return ((y[test] - guess) ** 2).sum()


def ridge(x, y, penalty=None, folds=4):
    fold, sse, sst = np.arange(len(x)) % folds, 0, 0
    for f in range(folds):
        train, chosen = fold != f, penalty
        if penalty is None:
            grid = 10.0 ** np.arange(-3, 4)
            inner = np.zeros(7)
            for g in range(folds):
                if g != f:
                    both = (fold != f) & (fold != g)
                    scale = (centred(x[both]) ** 2).sum() / x.shape[1]
                    inner += [errors(x, y, both, fold == g, p * scale) for p in grid]
            chosen = grid[inner.argmin()] * (centred(x[train]) ** 2).sum() / x.shape[1]
        sse += errors(x, y, train, fold == f, chosen)
        sst += ((y[fold == f] - y[train].mean(0)) ** 2).sum()
    return 1 - sse / sst


def wasserstein(x, y, p):
    x, y = same(x, y)
    return ot.emd2([], [], cdist(x, y) ** p) ** (1 / p)


def sinkhorn_plan(x, y, eps):
    n, c = len(x), cdist(x, y, "sqeuclidean")
    w = np.full(n, 1 / n)
    plan, log = ot.sinkhorn(w, w, c, eps, method="sinkhorn_log", numItermax=20000, stopThr=1e-14, log=True)
    # POT: plan = exp(log_u + log_v - C/eps); the dual value in vbl's form has the weights taken out of the potentials
    f, g = eps * (log["log_u"] + math.log(n)), eps * (log["log_v"] + math.log(n))
    return (plan * c).sum(), f.mean() + g.mean()


def sinkhorn(x, y, eps, form):
    x, y = same(x, y)
    if len(x) > 60:  # POT's alternation takes minutes there
        return None
    if form != "divergence":
        return sinkhorn_plan(x, y, eps)[form == "dual"]
    return sinkhorn_plan(x, y, eps)[1] - sinkhorn_plan(x, x, eps)[1] / 2 - sinkhorn_plan(y, y, eps)[1] / 2


def sliced_axes(x, y):
    x, y = same(x, y)
    return ot.sliced_wasserstein_distance(x, y, projections=np.eye(x.shape[1]), p=2)


def gw(x, y, normalise):
    a, b = cdist(x, x), cdist(y, y)
    if normalise:
        a, b = a / a.mean(), b / b.mean()
    n = len(x)
    w = np.full(n, 1 / n)
    return float(ot.gromov.gwloss(*ot.gromov.init_matrix(a, b, w, w), np.eye(n) / n))


def alignment(x, y, alpha):
    x, y = (torch.from_numpy(unit(z)) for z in same(x, y))
    return (x - y).norm(p=2, dim=1).pow(alpha).mean().item()


def uniformity(x, t):
    return torch.pdist(torch.from_numpy(unit(x)), p=2).pow(2).mul(-t).exp().mean().log().item()


def retrieval(x, y, field):
    x, y = same(x, y)
    s = np.round(1 - cdist(x, y, "cosine"), 12)
    s = s.T if field.endswith("_yx") else s
    own = np.diag(s)[:, None]
    r = 1 + (s > own).sum(1) + ((s == own).sum(1) - 1) / 2
    field = field.removesuffix("_yx")
    return {"r1": (r <= 1).mean(), "r5": (r <= 5).mean(), "r10": (r <= 10).mean(), "median_rank": np.median(r), "mrr": (1 / r).mean()}[field]


def sigma(x):
    s = scipy.linalg.svdvals(centred(x))
    return s[s > s[0] * max(x.shape) * np.finfo(float).eps]


def twonn_mle(x):
    x = np.unique(x, axis=0)
    d = np.sort(squareform(pdist(x)), 1)
    return (len(x) - 1) / np.log(d[:, 2] / d[:, 1]).sum()


def twonn_skdim(x):
    x = np.unique(x, axis=0)
    return skdim.id.TwoNN(discard_fraction=0.1).fit(x).dimension_


def probe(x, y, metric):
    labels, part = labels_of(y), np.arange(len(x)) % 3
    scale = StandardScaler().fit(x[part == 0])
    m = LogisticRegression(C=1, tol=1e-12, max_iter=100000).fit(scale.transform(x[part == 0]), labels[part == 0])
    test, truth = scale.transform(x[part == 2]), labels[part == 2]
    if metric == "auroc":
        return roc_auc_score(truth, m.decision_function(test)) if 0 < truth.sum() < len(truth) else None
    return m.score(test, truth) if metric == "accuracy" else f1_score(truth, m.predict(test), average="macro")


def labels_of(y):
    return (y[:, 0] > np.median(y[:, 0])).astype(int)


def to_torch(x):
    return torch.from_numpy(np.ascontiguousarray(x))


def minibatch(x, y, b=8):
    m = len(x) // b
    return cka_batch(*(to_torch(z[: m * b]).reshape(m, b, -1) for z in (x, y))).item()


def distinct(x, y):
    """Index ties and the last bit of a package's keys decide between equal neighbours: oracles that do not tie by index are for rows without."""
    return all(len(np.unique(z, axis=0)) == len(z) and z.shape[1] > 1 for z in (x, y))


def if_distinct(fn):
    return lambda x, y: fn(x, y) if distinct(x, y) else None

"""Measures on a GPU, vbl beside PyTorch: neighbour lists of many rows, and the maps of a run's layers. Correctness first, then alternating rounds.

  python3 tests/bench/gpu_measures.py [--rows 100000] [--rounds 5]       on the GPU; VBL names the program (build-cuda/vbl)
  python3 tests/bench/gpu_measures.py --device cpu --dry                 tiny sizes on the processor: proves that it runs

Lists: k = 10 nearest rows by cosine of x [rows, 768] f32, which lies on the device. PyTorch's variants, by blocks of 4096 rows, f32 without TF32:
  cdist   torch.cdist(block, x).topk of unit rows, the diagonal set to infinity
  mm      (block @ x.T).topk, the diagonal set to -infinity
The gate: of 256 rows the lists are those of keys in f64, but for keys that f64 itself cannot tell apart (1e-12).
Maps: debiased linear CKA, mutual k-NN, Procrustes and SVCCA of 12 text and 12 vision layers [1536, 768], text - vision, text - text, vision -
vision: 300 pairs that differ. PyTorch, f32: Gram matrices and lists once a layer, singular values batched on the device; the gate is
5e-4 between both (mknn: 2e-3: f32 lists differ in a few rows). Each side ends with its numbers on the host. Features lie about a few strong
directions, as those of trained layers do.

FLOPs counted: lists n^2 d (each product of two rows once), maps 2 n^2 d a layer and 2 n d^2 a pair of Procrustes and of SVCCA.
"""
import argparse
import os
import statistics
import sys
import tempfile
import time

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from vbl_process import Process, arguments

K, BLOCK = 10, 4096


def features(n, d, generator, base=None):
    """[n, d] of a falling spectrum about a mean, as layers have; correlated with base where there is one."""
    scale = 1 / torch.arange(1, d + 1).sqrt()
    x = torch.randn(n, d, generator=generator) * scale
    if base is not None:
        x = x + 0.7 * base
    return x + torch.randn(d, generator=generator)


def unit(x):
    return torch.nn.functional.normalize(x, dim=1)


def knn(x, way):
    u, found = unit(x), []
    for i in range(0, len(u), BLOCK):
        b = u[i:i + BLOCK]
        rows = torch.arange(len(b), device=u.device)
        if way == "cdist":
            keys = torch.cdist(b, u)
            keys[rows, rows + i] = float("inf")
        else:
            keys = b @ u.T
            keys[rows, rows + i] = -float("inf")
        found.append(keys.topk(K, dim=1, largest=way != "cdist").indices)
    return torch.cat(found).cpu()


def ordered(x, rows, lists):
    """How many of the rows' lists are not those of f64."""
    u = unit(x.double())
    wrong = 0
    for i in rows.tolist():
        keys = u @ u[i]
        keys[i] = -float("inf")
        best = keys.topk(K).values.cpu()
        wrong += int((keys.cpu()[lists[i].long()] - best).abs().max() > 1e-12)
    return wrong


def layer(x):
    n = len(x)
    c = x - x.mean(0)
    gram = (c @ c.T).fill_diagonal_(0)
    means = gram.sum(1) / (n - 2)
    means -= means.sum() / (2 * (n - 1))
    gram = (gram - means[:, None] - means[None, :]).fill_diagonal_(0)
    u, s, _ = torch.linalg.svd(c, full_matrices=False)
    kept = int((s.double().square().cumsum(0) < (0.99 - 1e-12) * s.double().square().sum()).sum()) + 1
    keys = (unit(x) @ unit(x).T).fill_diagonal_(-float("inf"))
    lists = torch.zeros(n, n, device=x.device).scatter_(1, keys.topk(K, dim=1).indices, 1.0)
    return dict(c=c, gram=gram.flatten() / gram.norm(), u=u[:, :kept], lists=lists.flatten(), norm=c.norm())


def maps(text, vision):
    text, vision = [layer(x) for x in text], [layer(x) for x in vision]
    n, found = len(text[0]["c"]), {}
    for name, a, b in (("text-vision", text, vision), ("text-text", text, text), ("vision-vision", vision, vision)):
        found["cka." + name] = torch.stack([x["gram"] for x in a]) @ torch.stack([y["gram"] for y in b]).T
        found["mknn." + name] = torch.stack([x["lists"] for x in a]) @ torch.stack([y["lists"] for y in b]).T / (n * K)
        procrustes, svcca = torch.zeros(len(a), len(b)), torch.zeros(len(a), len(b))
        for i, x in enumerate(a):
            first = i if a is b else 0
            sums = torch.linalg.svdvals(torch.stack([x["c"].T @ y["c"] for y in b[first:]])).sum(1)
            procrustes[i, first:] = (sums / x["norm"] / torch.stack([y["norm"] for y in b[first:]])).cpu()
            for j in range(first, len(b)):
                svcca[i, j] = torch.linalg.svdvals(x["u"].T @ b[j]["u"]).clamp(max=1).mean()
        for kind, m in (("procrustes.", procrustes), ("svcca.", svcca)):
            found[kind + name] = torch.triu(m) + torch.triu(m, 1).T if a is b else m
    return {k: v.cpu() for k, v in found.items()}


def timed(device, call):
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def alternate(device, rounds, peers, vbl, question, table, title, work):
    """Rounds of every peer and vbl; medians."""
    times = {name: [] for name in ("vbl", *peers)}
    parts = []
    for name, call in peers.items():
        timed(device, call)
    vbl.ask(question)
    for _ in range(rounds):
        for name, call in peers.items():
            times[name].append(timed(device, call))
        for _ in range(2):
            parts.append(vbl.ask(question))
            times["vbl"].append(parts[-1]["ms"])
    own = statistics.median(times["vbl"])
    for name, values in times.items():
        ms = statistics.median(values)
        table.append((title, name, ms, min(values), max(values), work / ms / 1e9, ms / own))
    return {k: statistics.median(p[k] for p in parts) for k in parts[0] if k != "place"}, parts[0].get("place")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100000)
    args = arguments(parser)
    n, d, pairs, layers = (300, 24, 90, 3) if args.dry else (args.rows, 768, 1536, 12)
    rounds = 1 if args.dry else args.rounds
    g, wrong, table = torch.Generator().manual_seed(1), [], []
    held = {"x": features(n, d, g)}
    for i in range(layers):
        held[f"text{i}"] = features(pairs, d, g, held[f"text{i - 1}"] if i else None)
        held[f"vision{i}"] = features(pairs, d, g, held[f"text{i}"])
    with tempfile.TemporaryDirectory() as folder:
        path, lists, found = (os.path.join(folder, f) for f in ("features.safetensors", "lists.npy", "maps.safetensors"))
        save_file(held, path)
        vbl = Process(args.vbl, "tests/bench/gpu_measures.lua", dict(features=path, device=args.device, k=K), folder)
        held = {k: v.to(args.device) for k, v in held.items()}
        text, vision = [held[f"text{i}"] for i in range(layers)], [held[f"vision{i}"] for i in range(layers)]
        vbl.ask("knn " + lists)
        off = ordered(held["x"], torch.randint(n, (256,), generator=g), torch.from_numpy(np.load(lists)))
        print(f"gate: neighbour lists of 256 rows against f64: {off} differ", flush=True)
        if off:
            wrong.append("neighbour lists differ from f64")
        vbl.ask("table " + found)
        expected, own = maps(text, vision), load_file(found)
        for name, m in expected.items():
            worst, allowed = (own[name] - m.double()).abs().max().item(), 2e-3 if name.startswith("mknn") else 5e-4
            if not worst <= allowed:
                wrong.append(f"{name}: {worst:.2g} between vbl and PyTorch")
        print(f"gate: {len(expected)} maps: {'FAIL' if wrong else 'ok'}", flush=True)
        if wrong:
            print("\n".join(wrong), "\nFAIL: no timing of what computes something else", sep="")
            return 1
        alternate(args.device, rounds, {w: lambda w=w: knn(held["x"], w) for w in ("cdist", "mm")}, vbl, "knn -", table,
                  f"{K} nearest of {n} x {d}", n * n * d)
        count = layers * layers + layers * (layers - 1)
        parts, place = alternate(args.device, rounds, {"torch": lambda: maps(text, vision)}, vbl, "table -", table,
                                 f"maps {layers} x {layers} x 3, n = {pairs}", 2 * layers * 2 * pairs * pairs * d + count * 4 * pairs * d * d)
        vbl.close()
    print("\n| what | side | ms | least | most | TFLOP/s | over vbl |\n|---|---|---|---|---|---|---|")
    for title, name, ms, least, most, rate, ratio in table:
        print(f"| {title} | {name} | {ms:.2f} | {least:.2f} | {most:.2f} | {rate:.2f} | {ratio:.2f}x |")
    print(f"\nvbl's maps ({place}): " + ", ".join(f"{k} {v:.1f} ms" for k, v in parts.items() if k != "ms"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The PyTorch peer of the training benchmarks: what a step costs there, at its best settings.

  python3 tests/bench/peer_torch.py step  [--steps N] [--unmeasured N] [--only TEXT]
  python3 tests/bench/peer_torch.py small [--steps N] [--unmeasured N] [--only TEXT]

Prints one JSON line per variant: {"bench", "variant", "threads", "dtype", "compile", "adamw", "ms": median of N steps after the
unmeasured ones (2), "ms_min", "rss_mib": the process's peak, "parameters", "loss": of the last step, "torch"}. A variant is named
<f32|bf16>-<eager|compile>-<foreach|fused>-<threads>t, each runs in a process of its own (a peak is a process's), --only keeps those
whose name contains TEXT. Compare by alternating rounds: peer, vbl, peer, vbl, ... with one variant each, then the ratio of medians.
bf16 is torch.autocast (weights f32) and is skipped, with a line that says so, on a CPU without AVX-512, where it falls back to scalar
products (a step took 35 s against 0.74 s of f32 on a Zen 3); compile is torch.compile (inductor), attention is scaled_dot_product_attention in all.
Every step is: forward, loss, backward, AdamW (lr 1e-3, betas .9 .98, eps 1e-8, decay 0.01 on tensors of two or more dims except the
ViT's CLS token and positions; no clipping), on one fixed batch; gradients are dropped after it; the loss is read as a number. Dropout 0.

step: two towers without fusion, B = 32
  text tower   BERT without pooler: word [8000,256] + position [64,256] + type [2,256], LayerNorm (eps 1e-12); 4 post-LN layers, 4 heads,
               mlp 1024, erf GELU. Input: 64 token ids, uniform, no padding.
  image tower  ViT: images f32 [32,3,112,112], patch 16 (49 patches) + CLS = 50 tokens, learned positions; 4 pre-LN layers, 256 wide, 4 heads,
               mlp 1024, erf GELU; final LayerNorm (eps 1e-6).
  loss         CLS of each tower's end, a bias-free Linear 256 -> 256 each, L2-normalised, InfoNCE in both directions (mean of the two),
               temperature 0.07. There is no MLM head: all layers run on all tokens, the loss reads the CLS rows.
  8,724,992 parameters. 73.3 GFLOP: 3 (forward, two products backward) x 24.43 = text linears 12.88 + image linears 10.07 + attention
  0.54 + 0.33 + patch embedding 0.62 (the towers' token counts are 32 x 64 and 32 x 50; a product of [m,k] and [k,n] is 2mkn).

small: the two-stream model of tests/golden/vilbert_torch.py, preset "small", B = 32
  256 wide, 6 + 6 layers, 8 heads, mlp 1024, image 128, patch 16 (64 patches + CLS), vocabulary 30522, 512 positions; stacked fusion, depth 4,
  cross {1,3}, 8 heads. Heads: mlm Linear 256 -> 30522 on the masked rows only, ap Linear 512 -> 1.
  Text: LENGTHS tokens with [CLS] and [SEP] (32 quantiles of the captions of Flickr8k), padded to the longest, 25; padding masked as keys.
  loss = mlm + ap + mim, weights 1, each with passes of its own through the whole model (four in all), images f32 normalised:
    mlm  every seventh ordinary token, counted through the batch, is masked: cross-entropy, mean
    ap   the captions of odd samples are rotated among themselves (labels 1, 0, 1, 0, ...), BCE
    mim  patches 0, 3, 6, ... of every image are zeroed in the masked view (22 of 64); queries: its other 42 patch tokens of vision.final,
         keys: the clean view's at the same places, 1344 candidates, L2-normalised, InfoNCE query -> key, temperature 0.07; gradients flow
         into both views
  31,803,963 parameters, about 560 GFLOP a step (3 x 4 passes x 46.4, and 2.6 for the MLM head).
"""
import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import vilbert_torch as vt  # noqa: E402

LENGTHS = [7, 9, 9, 10, 10, 10, 11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15, 16, 16, 16, 17, 17, 18, 19, 19, 20, 22, 25]
TEMPERATURE = 0.07


class Towers(nn.Module):
    def __init__(self):
        super().__init__()
        c = dict(dim=256, layers=4, attention_heads=4, mlp=1024, image=112, patch=16, vocab=8000, max_positions=64)
        self.bert, self.vit = vt.bert(c, "sdpa"), vt.vit(c)
        self.bert.pooler = None
        self.text_proj, self.image_proj = nn.Linear(256, 256, bias=False), nn.Linear(256, 256, bias=False)

    def forward(self, tokens, images):
        text = self.bert(tokens, token_type_ids=torch.zeros_like(tokens)).last_hidden_state[:, 0]
        return self.text_proj(text), self.image_proj(self.vit.forward_features(images)[:, 0])


def step_bench(compiled):
    model = Towers()
    tokens, images = torch.randint(0, 8000, (32, 64)), torch.randn(32, 3, 112, 112)
    run = compiled(model)

    def loss():
        text, image = run(tokens, images)
        return vt.info_nce(text.float(), image.float(), TEMPERATURE, symmetric=True)

    return model, loss


def small_batch():
    """Everything a step reads; rows are indices, so that no shape depends on a mask's content."""
    B, T, lengths = len(LENGTHS), max(LENGTHS), torch.tensor(LENGTHS)
    place = torch.arange(T)[None, :]
    tokens = torch.randint(1000, 30522, (B, T)).masked_fill(place >= lengths[:, None], 0)
    tokens[:, 0] = 101
    tokens[torch.arange(B), lengths - 1] = 102
    ordinary = ((place > 0) & (place < lengths[:, None] - 1)).flatten().nonzero()[:, 0]
    b = dict(lengths=lengths, tokens=tokens, images=torch.randn(B, 3, 128, 128), mlm_rows=ordinary[::7])
    b["mlm_labels"] = tokens.flatten()[b["mlm_rows"]]
    b["mlm_tokens"] = tokens.flatten().index_fill(0, b["mlm_rows"], 103).view(B, T)
    odd, order = torch.arange(1, B, 2), torch.arange(B)
    order[odd] = odd.roll(1)
    b |= dict(ap_tokens=tokens[order], ap_lengths=lengths[order], ap_labels=1.0 - torch.arange(B) % 2)
    hidden = torch.arange(64) % 3 == 0
    b["images_masked"] = b["images"] * ~hidden.view(8, 8).repeat_interleave(16, 0).repeat_interleave(16, 1)
    b["kept"] = (~hidden).nonzero()[:, 0] + 1  # row 0 is CLS
    return b


def small_bench(compiled):
    model = vt.ViLBERT(dict(dim=256, layers=6, attention_heads=8, mlp=1024, image=128, patch=16, vocab=30522, max_positions=512,
                            fusion="stacked", depth=4, cross_attention_layers=[1, 3]), "sdpa")
    model.bert.pooler = None
    b, run = small_batch(), compiled(model)

    def loss():
        text, _, _ = run(b["mlm_tokens"], b["lengths"], b["images"])
        mlm = F.cross_entropy(model.heads["mlm"](text.flatten(0, 1)[b["mlm_rows"]]).float(), b["mlm_labels"])
        text, vision, _ = run(b["ap_tokens"], b["ap_lengths"], b["images"])
        logit = model.heads["ap"](torch.cat([text[:, 0], vision[:, 0]], -1))[:, 0]
        ap = F.binary_cross_entropy_with_logits(logit.float(), b["ap_labels"])
        _, clean, _ = run(b["tokens"], b["lengths"], b["images"])
        _, masked, _ = run(b["tokens"], b["lengths"], b["images_masked"])
        queries, keys = (x[:, b["kept"]].flatten(0, 1).float() for x in (masked, clean))
        return mlm + ap + vt.info_nce(queries, keys, TEMPERATURE)

    return model, loss


def variants():
    """The grid with the fused optimizer, on all cores and on one, and the foreach one once for comparison."""
    cores = len(os.sched_getaffinity(0))
    for threads, dtype, mode in itertools.product(sorted({cores, 1}, reverse=True), ("f32", "bf16"), ("eager", "compile")):
        yield dtype, mode, "fused", threads
    yield "f32", "eager", "foreach", cores


def name_of(dtype, mode, optimizer, threads):
    return f"{dtype}-{mode}-{optimizer}-{threads}t"


def measure(bench, dtype, mode, optimizer_kind, threads, steps, unmeasured):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model, loss = {"step": step_bench, "small": small_bench}[bench](torch.compile if mode == "compile" else lambda m: m)
    optimizer = vt.adamw(model, 1e-3, **{optimizer_kind: True})
    ms = []
    for _ in range(steps + unmeasured):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        last = value.item()
        ms.append((time.perf_counter() - start) * 1000)
    return dict(bench=bench, variant=name_of(dtype, mode, optimizer_kind, threads), threads=threads, dtype=dtype, compile=mode == "compile",
                adamw=optimizer_kind, ms=round(statistics.median(ms[unmeasured:]), 1), ms_min=round(min(ms[unmeasured:]), 1),
                rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                parameters=sum(p.numel() for p in model.parameters()), loss=round(last, 4), torch=torch.__version__)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", choices=["step", "small"])
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--unmeasured", type=int, default=2)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # the child process: one variant's index
    args = parser.parse_args()
    grid = list(variants())
    if args.measure is not None:
        print(json.dumps(measure(args.bench, *grid[int(args.measure)], args.steps, args.unmeasured)), flush=True)
        return 0
    failed = 0
    for i, variant in enumerate(grid):
        if args.only not in name_of(*variant):
            continue
        if variant[0] == "bf16" and not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
            print(json.dumps(dict(bench=args.bench, variant=name_of(*variant), skipped="bf16 without AVX-512")), flush=True)
            continue
        child = subprocess.run([sys.executable, __file__, args.bench, "--steps", str(args.steps), "--unmeasured",
                                str(args.unmeasured), "--measure", str(i)])
        if child.returncode != 0:
            failed += 1
            print(json.dumps(dict(bench=args.bench, variant=name_of(*variant), error=f"exit status {child.returncode}")), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

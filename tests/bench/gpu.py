"""A training step on a GPU, vbl beside PyTorch: the same weights, batch and losses; correctness first, then alternating rounds.

  python3 tests/bench/gpu.py [--batches 48,128,512] [--rounds 5] [--steps 20]      on the GPU; VBL names the program (build-cuda/vbl)
  python3 tests/bench/gpu.py --device cpu --dry                                    tiny sizes on the processor: proves that it runs

Model: tests/golden/vilbert_torch.py, preset base, interleaved late fusion (width 1024, 8 heads), heads mlm and ap, dropout 0. A step: forward
and backward of MLM, AP and MIM (four passes through the model), AdamW without clipping. Captions have the lengths of Flickr8k's quantiles.
PyTorch's variants, all bf16 autocast with SDPA, masked rows only in the MLM head, text padded to the longest of the batch:
  eager       AdamW(fused)
  compile     torch.compile, AdamW(fused)
  graphs      torch.compile(mode="max-autotune"), which captures CUDA graphs, AdamW(fused)
  trunk       as compile; what passes compute alike before the fusion, clean images and captions that are not changed, once
  thesis      text padded to as many tokens as the image has, head on all rows, eager, AdamW as shipped
The fastest of the first three is the peer of the same work, in which vbl too computes every pass by itself; "vbl, trunk" is what it does by default, beside PyTorch's trunk.
A round is peer, vbl, vbl, peer; medians over rounds, ratio of medians, of trunks among themselves. Where
the card does not hold both sides at once a side has the card to itself: peer, vbl, peer, each with all its steps. A variant whose step does not fit takes
the gradient of one task after the other ("by task").

The gate: losses within 1e-2 and each parameter's gradient within 5e-2 in norm (those that are rounding alone are left out), both in bf16
against PyTorch in f32; else FAIL and no timing. MFU: counted FLOPs (products and attention, 3 x forward, real tokens) over time and --peak TFLOP/s.
"""
import argparse
import gc
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import vilbert_torch as vt  # noqa: E402
from vbl_process import Process, arguments  # noqa: E402

LENGTHS = [7, 9, 9, 10, 10, 10, 11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15, 16, 16, 16, 17, 17, 18, 19, 19, 20, 22, 25]
CLS, SEP, MASK = 101, 102, 103
VBL = {"vbl": ("share 0", "steps"), "vbl graphs": ("share 0", "graphs"), "vbl trunk": ("share 1", "steps")}  # side -> what vbl is asked for
BASE = dict(dim=768, layers=12, attention_heads=12, mlp=3072, image=224, patch=16, vocab=30522, max_positions=512, fusion="interleaved",
            coattention=dict(text=[9, 10, 11], vision=[9, 10, 11], dim=1024, heads=8))
DRY = dict(dim=32, layers=2, attention_heads=2, mlp=64, image=32, patch=16, vocab=400, max_positions=64, fusion="interleaved",
           coattention=dict(text=[1], vision=[1], dim=64, heads=2))


def make_batch(c, B, generator):
    """CPU tensors, integers i32: what both sides read. Rows past a length are 0."""
    lengths = torch.tensor([LENGTHS[i % len(LENGTHS)] for i in range(B)])
    T, P = int(lengths.max()), (c["image"] // c["patch"]) ** 2
    place = torch.arange(T)[None, :]
    tokens = torch.randint(104, c["vocab"], (B, T), generator=generator).masked_fill(place >= lengths[:, None], 0)
    tokens[:, 0] = CLS
    tokens[torch.arange(B), lengths - 1] = SEP
    rows = ((place > 0) & (place < lengths[:, None] - 1)).flatten().nonzero()[:, 0][::7]
    labels = torch.full((B * T,), -100).index_copy(0, rows, tokens.flatten()[rows]).view(B, T)
    masked = tokens.flatten().index_fill(0, rows, MASK).view(B, T)
    order, odd = torch.arange(B), torch.arange(1, B, 2)
    order[odd] = odd.roll(1)
    b = dict(tokens=tokens, lengths=lengths, mlm_tokens=masked, mlm_labels=labels, ap_tokens=tokens[order], ap_lengths=lengths[order],
             ap_labels=1 - torch.arange(B) % 2)
    b["ap_order"] = order
    b = {k: v.to(torch.int32).contiguous() for k, v in b.items()}
    b["images"] = torch.randn(B, 3, c["image"], c["image"], generator=generator)
    b["mask"] = (torch.arange(P) % 3 == 0).to(torch.uint8).repeat(B, 1).contiguous()
    return b


def on_device(b, c, device, pad):
    """The batch as the PyTorch side reads it; text padded to `pad` tokens where given. Rows are indices: no shape depends on a mask."""
    t = {k: v.to(device) for k, v in b.items()}
    if pad:
        for k in ("tokens", "mlm_tokens", "ap_tokens"):
            t[k] = F.pad(t[k], (0, pad - t[k].shape[1]))
        t["mlm_labels"] = F.pad(t["mlm_labels"], (0, pad - t["mlm_labels"].shape[1]), value=-100)
    t = {k: v.long() if v.dtype == torch.int32 else v for k, v in t.items()}
    t["rows"] = (t["mlm_labels"].flatten() >= 0).nonzero()[:, 0]
    side, p = c["image"] // c["patch"], c["patch"]
    hidden = t["mask"][0].bool()
    t["images_masked"] = t["images"] * ~hidden.view(side, side).repeat_interleave(p, 0).repeat_interleave(p, 1)
    t["kept"] = (~hidden).nonzero()[:, 0] + 1  # row 0 is CLS
    return t


def mlm_loss(model, run, b, all_rows):
    text, _, _ = run(b["mlm_tokens"], b["lengths"], b["images"])
    if all_rows:
        return F.cross_entropy(model.heads["mlm"](text).flatten(0, 1).float(), b["mlm_labels"].flatten(), ignore_index=-100)
    return F.cross_entropy(model.heads["mlm"](text.flatten(0, 1)[b["rows"]]).float(), b["mlm_labels"].flatten()[b["rows"]])


def ap_loss(model, run, b, all_rows):
    text, vision, _ = run(b["ap_tokens"], b["ap_lengths"], b["images"])
    logit = model.heads["ap"](torch.cat([text[:, 0], vision[:, 0]], -1))[:, 0]
    return F.binary_cross_entropy_with_logits(logit.float(), b["ap_labels"].float())


def mim_loss(model, run, b, all_rows):
    _, clean, _ = run(b["tokens"], b["lengths"], b["images"])
    _, masked, _ = run(b["tokens"], b["lengths"], b["images_masked"])
    queries, keys = (x[:, b["kept"]].flatten(0, 1).float() for x in (masked, clean))
    return vt.info_nce(queries, keys, 0.07)


TASKS = {"mlm": mlm_loss, "ap": ap_loss, "mim": mim_loss}


class Trunk(vt.ViLBERT):
    """All passes of a step at once, interleaved: the layers before the first block over the different captions and images, the rest for each pass."""

    def forward(self, b):
        first = {s: self.c["coattention"][s][0] for s in ("text", "vision")}
        B = len(b["tokens"])
        tokens, lengths = torch.cat([b["mlm_tokens"], b["tokens"]]), torch.cat([b["lengths"], b["lengths"]])
        valid, mask = self.valid(tokens, lengths)
        text = self.text_layers(self.bert.embeddings(tokens, token_type_ids=torch.zeros_like(tokens)), mask, 0, first["text"])
        clean, masked = self.vit.blocks[: first["vision"]](self.embed(torch.cat([b["images"], b["images_masked"]]))).split(B)
        rows = {"mlm": torch.arange(B, device=tokens.device), "ap": B + b["ap_order"], "mim": B + torch.arange(B, device=tokens.device)}
        return [self.fuse(text[rows[k]], image, valid[rows[k]], mask[rows[k]], first) for k, image in
                (("mlm", clean), ("ap", clean), ("mim", clean), ("mim", masked))]

    def fuse(self, text, vision, valid, mask, first):
        t, v = first["text"], first["vision"]
        for i, block in enumerate(self.fusion):
            to_t, to_v = self.c["coattention"]["text"][i], self.c["coattention"]["vision"][i]
            text, vision = self.text_layers(text, mask, t, to_t), self.vit.blocks[v:to_v](vision)
            text, vision = block(text, vision, valid)
            t, v = to_t, to_v
        return self.text_layers(text, mask, t, None) * valid[..., None], self.vit.norm(self.vit.blocks[v:](vision)), {}


class Peer:
    """One variant of the PyTorch side, from the weights in a file."""

    def __init__(self, name, c, weights, batch, device):
        self.device, self.name = device, name
        thesis = name == "thesis"
        self.model = (Trunk if name == "trunk" else vt.ViLBERT)(c, "sdpa").to(device)
        self.model.load_state_dict(load_file(weights), strict=False)
        self.b = on_device(batch, c, device, (c["image"] // c["patch"]) ** 2 + 1 if thesis else None)
        self.all_rows, self.by_task = thesis, False
        mode = {"compile": "default", "trunk": "default", "graphs": "max-autotune"}.get(name) if device == "cuda" else None
        self.run = torch.compile(self.model, mode=mode) if mode else self.model
        self.optimizer = vt.adamw(self.model, 1e-4, **({} if thesis or device == "cpu" else {"fused": True}))

    def loss(self, task, bf16):
        with torch.autocast(self.device, torch.bfloat16, enabled=bf16):
            return TASKS[task](self.model, self.run, self.b, self.all_rows)

    def total(self):
        if self.name != "trunk":
            return sum(self.loss(task, True) for task in TASKS)
        with torch.autocast(self.device, torch.bfloat16):
            passes = iter(self.run(self.b))
            return sum(loss(self.model, lambda *_: next(passes), self.b, False) for loss in TASKS.values())

    def backward(self):
        if self.by_task:
            for task in TASKS:
                self.loss(task, True).backward()
        else:
            self.total().backward()

    def steps(self, n):
        start = time.perf_counter()
        for _ in range(n):
            if self.name == "graphs":
                torch.compiler.cudagraph_mark_step_begin()
            self.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        if self.device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1000 / n

    def warm(self, n):
        """Steps that are not measured; by task where the whole does not fit. False: nor does that."""
        for self.by_task in (False,) if self.name == "trunk" else (False, True):
            try:
                self.steps(n)
                return True
            except torch.OutOfMemoryError:
                self.optimizer.zero_grad(set_to_none=True)
                free()
        return False

    def peak(self):
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else 0


def free():
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Vbl(Process):
    def __init__(self, program, c, weights, batch, device, folder):
        model = dict(c, heads=["mlm", "ap"], dropout=0.0)
        super().__init__(program, "tests/bench/gpu.lua", dict(model=model, weights=weights, batch=batch, device=device, precision="bf16"), folder)

    def timed(self, side, n):
        share, steps = VBL[side]
        self.ask(share)
        return self.ask(f"{steps} {n}")["ms"]

    def note(self, n):
        """What is said of the process once it has ended: how many steps were whole graphs."""
        self.whole = self.ask(f"graphs {n}")["whole"]


def reference(c, weights, batch, device):
    """PyTorch's losses and gradients in f32: task -> loss, name -> gradient."""
    peer = Peer("eager", c, weights, batch, device)
    expected = {}
    for task in TASKS:  # one after the other: in f32 less fits
        expected[task] = peer.loss(task, False)
        expected[task].backward()
        expected[task] = expected[task].item()
    return expected, {name: p.grad.cpu() for name, p in peer.model.named_parameters() if p.grad is not None}


def gate(expected, wanted, vbl, side, folder):
    """Losses and gradients of vbl in bf16 against PyTorch's in f32. A list of what is off."""
    vbl.ask(VBL[side][0])
    path = os.path.join(folder, "gradients.safetensors")
    found, gradients = vbl.ask("gradients " + path), load_file(path)
    wrong = [f"loss {k}: {found[k]:.5f}, PyTorch {v:.5f}" for k, v in expected.items() if not abs(found[k] - v) <= 1e-2 * abs(v)]
    worst, compared = 0.0, 0
    largest = max(g.norm().item() for g in wanted.values())
    for name, g in wanted.items():
        if g.norm().item() < 1e-3 * largest:
            continue
        if name not in gradients:
            wrong.append(f"no gradient of {name}")
            continue
        off = ((gradients[name].view_as(g) - g).norm() / g.norm()).item()
        worst, compared = max(worst, off), compared + 1
        if not off <= 5e-2:
            wrong.append(f"gradient of {name} is {off:.3f} off")
    print(f"gate, {side}: losses {', '.join(f'{k} {found[k]:.4f} / {v:.4f}' for k, v in expected.items())}; {compared} gradients, worst {worst:.4f} off: "
          f"{'FAIL' if wrong else 'ok'}", flush=True)
    return wrong


def flops(c, batch, trunk):
    """2mkn of every product of one step's four forward passes, times 3; text by real tokens. trunk: two of the images' and captions' passes stop before the fusion."""
    D, M, co = c["dim"], c["mlp"], c["coattention"]
    n, B = batch["lengths"].double(), len(batch["lengths"])
    P = (c["image"] // c["patch"]) ** 2 + 1
    rows, scores = {"text": n.sum().item(), "vision": B * P}, {"text": (n * n).sum().item(), "vision": B * P * P}
    total = 4 * len(co["text"]) * (sum(rows.values()) * 2 * (4 * D * co["dim"] + 2 * D * M) + 4 * co["dim"] * 2 * P * rows["text"])
    for stream in rows:
        layer = rows[stream] * 2 * (4 * D * D + 2 * D * M) + 4 * D * scores[stream]
        first = co[stream][0]
        total += layer * ((2 if trunk else 4) * first + 4 * (c["layers"] - first))
    total += (2 if trunk else 4) * 2 * B * (P - 1) * 3 * c["patch"] ** 2 * D
    head = 2 * D * c["vocab"] * (batch["mlm_labels"] >= 0).sum().item()
    return 3 * (total + head)


def environment(device):
    lines = [f"PyTorch {torch.__version__}, Python {platform.python_version()}"]
    if device == "cuda":
        lines.append(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
        query = "clocks.sm,clocks.max.sm,power.limit,temperature.gpu,ecc.mode.current,driver_version"
        found = subprocess.run(["nvidia-smi", "--query-gpu=" + query, "--format=csv"], capture_output=True, text=True)
        lines.append(found.stdout.strip() if found.returncode == 0 else "nvidia-smi: " + found.stderr.strip())
        busy = subprocess.run(["nvidia-smi", "--query-compute-apps=pid,name", "--format=csv,noheader"], capture_output=True, text=True).stdout
        others = [line for line in busy.splitlines() if not line.startswith(f"{os.getpid()},")]
        if others:
            lines.append("NOT IDLE: " + "; ".join(others))
    print("\n".join(lines), flush=True)


def first_times(names, c, weights, batch, args):
    """Every variant alone on the card: name -> ms, bytes at the peak, by task. What does not fit is left out."""
    found = {}
    for name in names:
        if args.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        peer = Peer(name, c, weights, batch, args.device)
        if peer.warm(args.unmeasured):
            found[name] = (peer.steps(args.steps), peer.peak(), peer.by_task)
            print(f"B {len(batch['lengths'])}: PyTorch {name}: {found[name][0]:.1f} ms{', by task' if peer.by_task else ''}", flush=True)
        else:
            print(f"B {len(batch['lengths'])}: PyTorch {name}: out of memory", flush=True)
        del peer
        free()
    return found


def ready(name, c, weights, batch, args, by_task):
    peer = Peer(name, c, weights, batch, args.device)
    peer.by_task = by_task
    peer.steps(args.unmeasured)
    return peer


def alternate(make_peers, make_vbl, args, best):
    """Both sides on the card, in turns. name -> times."""
    peers, vbl = make_peers(), make_vbl()
    times = {name: [] for name in [*VBL, *peers]}
    for _ in range(args.rounds):
        for side in (best, *VBL, *reversed(VBL), best):
            times[side].append(vbl.timed(side, args.steps) if side in VBL else peers[side].steps(args.steps))
        for name in peers:
            if name != best:
                times[name].append(peers[name].steps(args.steps))
    return times, vbl


def in_blocks(make_peers, make_vbl, args, best):
    """A side at a time: peers, vbl, peers."""
    times = {name: [] for name in VBL}
    for half in range(2):
        peers = make_peers()
        for name, peer in peers.items():
            times.setdefault(name, []).extend(peer.steps(args.steps) for _ in range(args.rounds))
        del peers, peer
        free()
        if half == 0:
            vbl = make_vbl()
            for _ in range(args.rounds):
                for side in (*VBL, *reversed(VBL)):
                    times[side].append(vbl.timed(side, args.steps))
            vbl.note(args.steps)
            vbl.close()
    return times, vbl


def measure(c, B, args, folder, table):
    torch._dynamo.reset()  # a second batch size would else be compiled for any
    with torch.device("cpu"):
        batch, weights = make_batch(c, B, torch.Generator().manual_seed(1)), os.path.join(folder, "weights.safetensors")
    file = os.path.join(folder, f"batch-{B}.safetensors")
    save_file(batch, file)
    expected, wanted = reference(c, weights, batch, args.device)
    free()
    peaks, wrong = {}, []
    for side in ("vbl", "vbl trunk"):
        vbl = Vbl(args.vbl, c, weights, file, args.device, folder)
        wrong += gate(expected, wanted, vbl, side, folder)
        vbl.ask("steps 2")
        peaks[side] = vbl.ask("steps 1")["peak"]
        vbl.close()
    peaks["vbl graphs"] = peaks["vbl"]
    if wrong:
        print("\n".join(wrong[:20]), "\nFAIL: no timing of what computes something else", sep="", flush=True)
        return False
    first = first_times(args.variants.split(","), c, weights, batch, args)
    same = [n for n in first if n in ("eager", "compile", "graphs")]
    if not same:
        print(f"B {B}: no variant of PyTorch fits", flush=True)
        return False
    best = min(same, key=lambda n: first[n][0])
    sides = [best] + [n for n in first if n in ("thesis", "trunk")]
    needs = peaks["vbl"] + sum(first[n][1] for n in sides)
    fits = args.device == "cpu" or needs < 0.9 * torch.cuda.get_device_properties(0).total_memory

    def make_peers():
        return {n: ready(n, c, weights, batch, args, first[n][2]) for n in sides}

    def make_vbl():
        vbl = Vbl(args.vbl, c, weights, file, args.device, folder)
        for side in VBL:
            vbl.timed(side, args.unmeasured)
        return vbl

    times, vbl = (alternate if fits else in_blocks)(make_peers, make_vbl, args, best)
    if fits:
        vbl.note(args.steps)
        vbl.close()
        free()
    print(f"B {B}: {vbl.whole} of {args.steps} steps are CUDA graphs where they are asked for; {'in turns' if fits else 'one side after the other'}", flush=True)
    own, own_trunk = (statistics.median(times[side]) for side in ("vbl", "vbl trunk"))
    for side, values in times.items():
        ms = statistics.median(values)
        name = {"vbl": "vbl bf16", "vbl graphs": "vbl bf16, CUDA graphs", "vbl trunk": "vbl bf16, trunk"}.get(side, f"PyTorch {side}")
        name += ", by task" if side in first and first[side][2] else ""
        memory = peaks[side] if side in VBL else first[side][1]
        mfu = 100 * flops(c, batch, "trunk" in side) / (ms * 1e-3) / (args.peak * 1e12)
        table.append((B, name, ms, min(values), max(values), B / ms * 1e3, mfu, memory / 2**30, ms / own, ms / own_trunk))
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="48,128,512")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--unmeasured", type=int, default=50)
    parser.add_argument("--variants", default="eager,compile,graphs,trunk,thesis", help="of PyTorch; the peer is the fastest of the first three")
    parser.add_argument("--peak", type=float, default=790, help="TFLOP/s of the device, for MFU (790: 8192^3 in bf16 on an H200)")
    args = arguments(parser)
    if args.dry:
        args.batches, args.rounds, args.steps, args.unmeasured, args.variants = "6", 1, 2, 1, "eager,trunk,thesis"
    c, table = DRY if args.dry else BASE, []
    environment(args.device)
    torch.manual_seed(1)
    torch.set_default_device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        state = {k: v.cpu().contiguous() for k, v in vt.ViLBERT(c, "sdpa").state_dict().items() if not k.endswith("position_ids")}
        save_file(state, os.path.join(folder, "weights.safetensors"))
        good = all([measure(c, int(B), args, folder, table) for B in args.batches.split(",")])
    print("\n|   B | step | ms | least | most | samples/s | MFU % | peak GiB | over vbl | over vbl, trunk |\n|---|---|---|---|---|---|---|---|---|---|")
    for B, name, ms, least, most, rate, mfu, memory, ratio, trunk in table:
        print(f"| {B} | {name} | {ms:.1f} | {least:.1f} | {most:.1f} | {rate:.0f} | {mfu:.1f} | {memory:.2f} | {ratio:.2f}x | {trunk:.2f}x |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

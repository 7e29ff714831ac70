"""Writes the golden dumps beside this script: what PyTorch, Hugging Face, timm and Pillow compute for small fixed cases.

Made with Python 3.11.7, torch 2.15.0, transformers 5.23.0, timm 1.0.31, safetensors 0.8.0, Pillow 13.0.0, numpy 2.4.6 on x86-64.
Run: python3 tests/golden/make_golden.py      (about a minute; only when a dump has to change: the results are committed)

Everything is computed in f64 from weights and inputs that f32 holds exactly, and rounded to f32 at the end: a dump's own error is
half a unit in the last place. golden.json holds each dump's config and what is not a tensor. Tensors:
  NAME                  a parameter, under the model's own name
  input.X               inputs: tokens, lengths i32; images f32 (normalised pixels)
  hidden.X  output.X    activations, [B,T,D] or [B,P,D]; text rows past a length are 0
  grad.X                gradient of the dump's loss (of the sum of the losses for the whole models)
To stay small, the weight matrices of the middle layers of BERT and ViT, of the within-stream block, and of the whole models' layers and
blocks have no grad.X (their biases have, which shows what flows into them); for the whole models golden.json keeps the L2 norm of
every parameter's gradient (gradient_norms). BERT's pooler gets no gradient.
The gradient of a key bias is exactly 0 (softmax ignores what is added to a whole row): expect rounding noise there, and AdamW turns
that noise into steps of up to lr, which change nothing else.
"""
import json
import math
import os

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from torchvision import transforms

import vilbert_torch as vt
import wordpiece

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = dict(dim=32, layers=3, attention_heads=4, mlp=64, image=32, patch=8, vocab=120, max_positions=24, dropout=0)
STACKED = dict(CONFIG, fusion="stacked", depth=4, cross_attention_layers=[1, 3])
INTERLEAVED = dict(CONFIG, fusion="interleaved", coattention=dict(text=[1, 2], vision=[0, 2], dim=48, heads=4))
PAD, CLS, SEP, MASK, FIRST_WORD = 0, 2, 3, 4, 5


def generator(seed):
    return torch.Generator().manual_seed(seed)


def draw(g, *shape, scale=1.0):
    """Normal numbers that f32 holds, as f64."""
    return (torch.randn(*shape, generator=g) * scale).double()


def randomise(module, seed):
    """Weights large enough that every term shows in the outputs; nothing at its usual 0 or 1. In double."""
    g = generator(seed)
    module.double().eval()
    with torch.no_grad():
        for name, p in module.named_parameters():
            is_norm = "norm" in name.lower() and name.endswith("weight")
            p.copy_(1 + draw(g, *p.shape, scale=0.1) if is_norm else draw(g, *p.shape, scale=0.1 if p.ndim == 1 else 0.15))
            p.copy_(p.float().double())
    return module


def parameters(module, prefix=""):
    return {prefix + n: p for n, p in module.named_parameters()}


def gradients(named, skip=lambda name: False):
    """skip: of which matrices to leave out the gradient."""
    return {"grad." + n: p.grad.clone() for n, p in named.items() if p.grad is not None and not (p.ndim > 1 and skip(n))}


def write(name, tensors):
    def plain(t):
        t = t.detach().numpy() if isinstance(t, torch.Tensor) else np.asarray(t)
        kind = {"f": np.float32, "i": np.int32, "u": np.uint8, "b": np.uint8}[t.dtype.kind]
        return t.astype(kind, order="C")

    path = os.path.join(HERE, name + ".safetensors")
    save_file({k: plain(t) for k, t in tensors.items()}, path)
    os.chmod(path, 0o644)
    print(f"{name}: {len(tensors)} tensors, {os.path.getsize(path)} bytes")


def tokens(g, lengths, T):
    """[CLS] words [SEP] and padding, [B,T]."""
    ids = torch.full((len(lengths), T), PAD)
    for b, n in enumerate(lengths):
        ids[b, :n] = torch.randint(FIRST_WORD, CONFIG["vocab"], (n,), generator=g)
        ids[b, 0], ids[b, n - 1] = CLS, SEP
    return ids


def valid_rows(lengths, T):
    return (torch.arange(T)[None, :] < torch.as_tensor(lengths)[:, None])[..., None]


def bert():
    """Loss: sum over the valid rows of last hidden * input.weight."""
    model, g, lengths = randomise(vt.bert(CONFIG), 1), generator(2), torch.tensor([12, 7, 3])
    ids, valid = tokens(g, lengths, 12), valid_rows(lengths, 12)
    hidden = model(ids, attention_mask=valid[..., 0].long(), output_hidden_states=True).hidden_states
    weight = draw(g, 3, 12, 32) * valid
    loss = (hidden[-1] * weight).sum()
    loss.backward()
    names = ["embeddings", "0", "1", "2"]
    named = parameters(model, "bert.")
    write("bert", {**named, "input.tokens": ids, "input.lengths": lengths, "input.weight": weight, "loss": loss,
                   **{f"hidden.text.{n}": h * valid for n, h in zip(names, hidden)},
                   **gradients(named, lambda n: ".layer.1." in n)})
    return {n: p.detach() for n, p in named.items()}


def vit():
    """Loss: sum of vit.norm's output * input.weight."""
    model, g = randomise(vt.vit(CONFIG), 3), generator(4)
    images, weight = draw(g, 2, 3, 32, 32), draw(g, 2, 17, 32)
    hidden = {}
    x = hidden["embeddings"] = model._pos_embed(model.patch_embed(images))
    for i, block in enumerate(model.blocks):
        x = hidden[str(i)] = block(x)
    x = hidden["norm"] = model.norm(x)
    assert torch.equal(x, model.forward_features(images))
    loss = (x * weight).sum()
    loss.backward()
    named = parameters(model, "vit.")
    write("vit", {**named, "input.images": images, "input.weight": weight, "loss": loss,
                  **{f"hidden.vision.{n}": h for n, h in hidden.items()}, **gradients(named, lambda n: ".blocks.1." in n)})
    return {n: p.detach() for n, p in named.items()}


FUSION_CASES = dict(interleaved=dict(coattention=48, heads=4, cross=True, weights="fusion.0"),
                    stacked_cross=dict(coattention=32, heads=4, cross=True, weights="fusion.1"),
                    stacked_within=dict(coattention=32, heads=4, cross=False, weights="fusion.1"))


def fusion():
    """One block each, B=3, T=9, P=17. The last two share weights and inputs; their tensors are CASE.output.*, CASE.grad.*.
    Loss: sum of the valid output rows * input.{text,vision}_weight. Gradients of the inputs: CASE.grad.input.{text,vision}."""
    g, lengths = generator(5), torch.tensor([9, 4, 1])
    valid = valid_rows(lengths, 9)
    given = {"text": draw(g, 3, 9, 32) * valid, "vision": draw(g, 3, 17, 32),
             "text_weight": draw(g, 3, 9, 32) * valid, "vision_weight": draw(g, 3, 17, 32)}
    out = {f"input.{n}": t for n, t in given.items()} | {"input.lengths": lengths}
    for seed, (case, c) in enumerate(FUSION_CASES.items()):
        block = randomise(vt.Block(32, c["coattention"], c["heads"], 64, c["cross"]), 6 + min(seed, 1))
        text, vision = (given[s].clone().requires_grad_() for s in ("text", "vision"))
        y_text, y_vision = block(text, vision, valid[..., 0])
        loss = (y_text * given["text_weight"]).sum() + (y_vision * given["vision_weight"]).sum()
        loss.backward()
        named = parameters(block, c["weights"] + ".")
        out |= named
        out |= {f"{case}.{n}": t for n, t in gradients(named, lambda n: not c["cross"]).items()}
        out |= {f"{case}.output.text": y_text * valid, f"{case}.output.vision": y_vision, f"{case}.loss": loss,
                f"{case}.grad.input.text": text.grad, f"{case}.grad.input.vision": vision.grad}
    write("fusion", out)


def batch(seed):
    """B=4, T=10, 16 patches. ap_labels: 1 where the caption belongs to the image; captions 1 and 3 are swapped. The masked view
    (images_masked, not written) is images with 0 in all pixels of the patches where patch_mask is 1."""
    g, lengths = generator(seed), torch.tensor([10, 7, 5, 8])
    ids, images = tokens(g, lengths, 10), draw(g, 4, 3, 32, 32)
    b = dict(tokens=ids, lengths=lengths, images=images, mlm_tokens=ids.clone(), mlm_labels=torch.full_like(ids, -100))
    for row, col, seen in [(0, 2, MASK), (0, 5, MASK), (1, 1, 77), (2, 3, MASK), (3, 4, None), (3, 6, MASK)]:
        b["mlm_labels"][row, col] = ids[row, col]
        b["mlm_tokens"][row, col] = ids[row, col] if seen is None else seen
    order = torch.tensor([0, 3, 2, 1])
    b |= dict(ap_tokens=ids[order], ap_lengths=lengths[order], ap_labels=torch.tensor([1.0, 0, 1, 0], dtype=torch.float64))
    b["patch_mask"] = (torch.rand(4, 16, generator=g) < 0.3).int()
    hidden = b["patch_mask"].view(4, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    b["images_masked"] = images * (hidden == 0)
    return b


FINAL = ["bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.attention.self.query.weight", "vit.pos_embed",
         "vit.blocks.2.mlp.fc1.bias", "fusion.1.text.norm2.weight", "fusion.1.vision.fc1.bias", "heads.ap.weight", "heads.mlm.bias"]


def vilbert(name, c, pretrained, seed):
    """bert.* and vit.* weights are those of bert.safetensors and vit.safetensors; fusion.* and heads.* are in this dump.
    loss.X: the losses at these weights. steps.X [10]: losses (and the gradient's norm before clipping) of ten AdamW steps on the
    batch, each taken before its update. final.X: parameters after the tenth."""
    model, b = randomise(vt.ViLBERT(c), seed), batch(8)
    model.load_state_dict(pretrained, strict=False)
    named = parameters(model)
    own = {n: p.detach().clone() for n, p in named.items() if n.startswith(("fusion.", "heads."))}
    text, vision, taps = model(b["tokens"], b["lengths"], b["images"])
    out = own | {f"input.{n}": t for n, t in b.items() if n != "images_masked"} | {"output.text": text, "output.vision": vision}
    optimizer, steps = vt.adamw(model, lr=1e-3), {}
    for step in range(10):
        optimizer.zero_grad()
        loss = vt.losses(model, b)
        loss["total"] = sum(loss.values())
        loss["total"].backward()
        if step == 0:
            out |= {f"loss.{n}": x for n, x in loss.items()}
            norms = {n: p.grad.norm().item() for n, p in named.items() if p.grad is not None}
            out |= gradients(named, lambda n: n.startswith(("bert.encoder", "vit.blocks", "vit.patch", "fusion.")))
        loss["grad_norm"] = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for n, x in loss.items():
            steps.setdefault(n, []).append(x.item())
        optimizer.step()
    out |= {f"steps.{n}": np.array(x) for n, x in steps.items()} | {f"final.{n}": named[n] for n in FINAL}
    write(name, out)
    return dict(config=c, temperature=0.07, gradient_norms=norms, steps=steps,
                adamw=dict(lr=1e-3, betas=[0.9, 0.98], eps=1e-8, weight_decay=0.01, clip=1.0))


# Input height and width; height and width after the bicubic resize; height and width of the centre crop.
PREPROCESS = [("down", (24, 24), (16, 16), (16, 16)), ("up", (16, 16), (33, 33), (33, 33)), ("mixed", (40, 28), (20, 31), (20, 31)),
              ("tiny", (2, 3), (8, 8), (8, 8)), ("much", (64, 47), (7, 5), (7, 5)), ("same", (12, 12), (12, 12), (12, 12)),
              ("tall", (48, 30), 20, (16, 16)), ("wide", (30, 51), 24, (17, 17))]


# torchvision's Resize and CenterCrop as timm puts them together: (height, width), crop, crop_pct, interpolation.
FITS = {"timm": ((60, 83), 32, 0.9, "bicubic"), "deit": ((83, 60), 32, 0.875, "bilinear"), "grow": ((20, 23), 32, 0.9, "bilinear"),
        "flat": ((37, 90), 24, 0.95, "squash")}


def fits(rng):
    """fit.X.input u8 [3,H,W]; fit.X.output u8 [3,S,S]."""
    out = {}
    for name, ((h, w), side, pct, how) in FITS.items():
        pixels = rng.integers(0, 256, (h // 4 + 1, w // 4 + 1, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)[:h, :w]
        scaled = math.floor(side / pct)
        filter = transforms.InterpolationMode.BILINEAR if how == "bilinear" else transforms.InterpolationMode.BICUBIC
        resize = transforms.Resize((scaled, scaled) if how == "squash" else scaled, filter)
        cut = transforms.CenterCrop(side)(resize(Image.fromarray(pixels)))
        out |= {f"fit.{name}.input": pixels.transpose(2, 0, 1), f"fit.{name}.output": np.asarray(cut).transpose(2, 0, 1)}
    return out


def preprocess():
    """X.input u8 [3,H,W]; X.size i32 [4]: height and width after the resize, then of the crop; X.output u8 [3,h,w];
    X.normalized f32 = (output / 255 - mean) / std. A single number resizes the shorter side to it and the longer one to
    floor(number * longer / shorter); the crop starts at round((size - crop) / 2), halves to even."""
    rng, out = np.random.default_rng(9), {}
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for name, (h, w), size, crop in PREPROCESS:
        ramp = np.add.outer(np.arange(h) * 5, np.arange(w) * 3)[..., None] + np.array([0, 60, 120])
        pixels = np.where(rng.random((h, w, 1)) < 0.3, rng.integers(0, 2, (h, w, 3)) * 255, ramp % 256).astype(np.uint8)
        if isinstance(size, int):
            size = (size * h // min(h, w), size * w // min(h, w))
        resized = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC))
        top, left = (round((s - c) / 2) for s, c in zip(size, crop))
        cut = resized[top:top + crop[0], left:left + crop[1]]
        out |= {f"{name}.input": pixels.transpose(2, 0, 1), f"{name}.size": np.array([*size, *crop]),
                f"{name}.output": cut.transpose(2, 0, 1), f"{name}.normalized": ((cut / 255 - mean) / std).transpose(2, 0, 1)}
    out |= fits(rng)
    write("preprocess", out)
    return dict(mean=mean, std=std, cases=[case[0] for case in PREPROCESS])


def main():
    torch.set_num_threads(1)
    pretrained = bert() | vit()
    fusion()
    notes = dict(bert=CONFIG, vit=CONFIG, fusion=dict(dim=32, mlp=64, cases=FUSION_CASES),
                 vilbert_stacked=vilbert("vilbert_stacked", STACKED, pretrained, 10),
                 vilbert_interleaved=vilbert("vilbert_interleaved", INTERLEAVED, pretrained, 11),
                 preprocess=preprocess())
    with open(os.path.join(HERE, "golden.json"), "w") as f:
        json.dump(notes, f, indent=1)
        f.write("\n")
    wordpiece.write_cases(HERE)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Losses of fine-tuning and their gradients with respect to the logits, from PyTorch in float64: finetune.json."""
import json
import os
import torch
import torch.nn.functional as F

torch.manual_seed(7)
cases = []


def case(kind, logits, targets, known, weights, loss):
    logits = logits.clone().requires_grad_(True)
    value = loss(logits)
    (grad,) = torch.autograd.grad(value, logits)
    cases.append({"kind": kind, "logits": logits.tolist(), "targets": targets.tolist(), "known": known, "weights": weights,
                  "loss": value.item(), "gradient": grad.tolist()})


x = torch.randn(6, 1, dtype=torch.float64) * 2
y = torch.tensor([[1.], [0.], [0.], [1.], [0.], [1.]], dtype=torch.float64)
case("binary", x, y, [1] * 6, None, lambda z: F.binary_cross_entropy_with_logits(z, y))
w = [0.75, 1.5]  # by class
rows = torch.tensor([[w[int(v)]] for v in y.flatten()], dtype=torch.float64)
case("binary", x, y, [1] * 6, w, lambda z: F.binary_cross_entropy_with_logits(z, y, weight=rows, reduction="sum") / rows.sum())

x = torch.randn(5, 4, dtype=torch.float64) * 2
c = torch.tensor([3, 0, 1, 1, 2])
case("multiclass", x, c, [1] * 5, None, lambda z: F.cross_entropy(z, c))
w = [0.5, 2.0, 1.25, 0.8]
case("multiclass", x, c, [1] * 5, w, lambda z: F.cross_entropy(z, c, weight=torch.tensor(w, dtype=torch.float64)))
keep = torch.tensor([True, False, True, True, False])
case("multiclass", x, torch.where(keep, c, 0), keep.int().tolist(), None, lambda z: F.cross_entropy(z[keep], c[keep]))
case("multiclass", x, torch.where(keep, c, 0), keep.int().tolist(), w, lambda z: F.cross_entropy(z[keep], c[keep], weight=torch.tensor(w, dtype=torch.float64)))

m = (torch.rand(4, 3) > 0.5).double()
x = torch.randn(4, 3, dtype=torch.float64)
case("multilabel", x, m, [1] * 4, None, lambda z: F.binary_cross_entropy_with_logits(z, m))
case("multilabel", x, m, [1, 1, 0, 1], None, lambda z: F.binary_cross_entropy_with_logits(z[[0, 1, 3]], m[[0, 1, 3]]))

s = torch.tensor([[0.3, 0.6, 0.], [1., 0., 0.], [0., 0., 0.]], dtype=torch.float64)
x = torch.randn(3, 3, dtype=torch.float64)
# As ViLBERT trains VQA: the mean over all elements times the number of classes.
case("soft", x, s, [1] * 3, None, lambda z: F.binary_cross_entropy_with_logits(z, s) * s.shape[1])

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "finetune.json")
json.dump({"torch": torch.__version__, "cases": cases}, open(path, "w"), indent=1)

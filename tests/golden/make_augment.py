"""Writes augment.safetensors beside this script: torchvision's functional image operations with fixed parameters: on u8 tensors, the crop on a PIL
image (the tensor's resize keeps what overshoots 0 and 255 between its two passes, PIL's, and ours, does not).

Made with torch 2.15.0, torchvision 0.29.2 on x86-64. Run: python3 tests/golden/make_augment.py (seconds).
input u8 [3,24,24]: noise, a ramp, and gray pixels (hue 0 / 0). Each other tensor is named OPERATION:PARAMETERS as tests/unit/test_augment.c
reads it: crop:top,left,height,width  flip:  brightness:factor  contrast:  saturation:  hue:shift  grayscale:  blur:kernel,sigma
"""
import os

import numpy as np
import torch
import torchvision.transforms.functional as F
from safetensors.numpy import save_file

S = 24
g = torch.Generator().manual_seed(0)
image = torch.randint(0, 256, (3, S, S), generator=g, dtype=torch.uint8)
ramp = (torch.arange(S)[:, None] * 7 + torch.arange(S)[None, :] * 3)[None] + torch.tensor([0, 60, 120])[:, None, None]
image[:, :, 12:] = (ramp % 256).to(torch.uint8)[:, :, 12:]
image[:, 20:, :6] = image[:1, 20:, :6]
image[:, 0, 0], image[:, 0, 1] = 0, 255

bicubic = F.InterpolationMode.BICUBIC
out = {"input": image}
for top, left, h, w in [(0, 0, 24, 24), (3, 5, 12, 17), (10, 2, 7, 20), (0, 0, 1, 1), (4, 4, 20, 3)]:
    cut = F.resized_crop(F.to_pil_image(image), top, left, h, w, [S, S], bicubic)
    out[f"crop:{top},{left},{h},{w}"] = F.pil_to_tensor(cut)
out["flip:0"] = F.hflip(image)
out["grayscale:0"] = F.rgb_to_grayscale(image, 3)
for f in (0.0, 0.37, 1.0, 1.73):
    out[f"brightness:{f}"] = F.adjust_brightness(image, f)
    out[f"contrast:{f}"] = F.adjust_contrast(image, f)
    out[f"saturation:{f}"] = F.adjust_saturation(image, f)
for h in (-0.5, -0.1, 0.0, 0.03, 0.27, 0.5):
    out[f"hue:{h}"] = F.adjust_hue(image, h)
for k, s in ((1, 1.0), (3, 0.1), (5, 0.8), (9, 2.0), (47, 5.0)):
    out[f"blur:{k},{s}"] = F.gaussian_blur(image, [k, k], [s, s])
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "augment.safetensors")
save_file({k: np.ascontiguousarray(v.numpy()) for k, v in out.items()}, path)
os.chmod(path, 0o644)
print(len(out), "tensors,", os.path.getsize(path), "bytes")

"""Writes jpeg.safetensors beside this script: small JPEG files and the RGB pixels that PIL decodes them to.

Made with Pillow 13.0.0 (libjpeg-turbo) on x86-64. Run: python3 tests/golden/make_jpeg.py (a second).
NAME.file u8 [n]: the file's bytes; NAME.pixels u8 [H,W,3]: Image.open(file).convert("RGB").
"""
import io
import os

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

rng = np.random.default_rng(3)
H, W = 27, 37
ramp = np.add.outer(np.arange(H) * 6, np.arange(W) * 4)[..., None] + np.array([0, 80, 160])
noisy = np.where(rng.random((H, W, 1)) < 0.2, rng.integers(0, 256, (H, W, 3)), ramp % 256).astype(np.uint8)
rgb = Image.fromarray(noisy)
cases = {"420": (rgb, dict(quality=90, subsampling="4:2:0")), "422": (rgb, dict(quality=60, subsampling="4:2:2")),
         "444": (rgb, dict(quality=95, subsampling="4:4:4")), "progressive": (rgb, dict(quality=80, progressive=True)),
         "gray": (rgb.convert("L"), dict(quality=85)), "cmyk": (rgb.convert("CMYK"), dict(quality=90)),
         "restart": (rgb, dict(quality=75, restart_marker_rows=1))}
out = {}
for name, (image, options) in cases.items():
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    out[name + ".file"] = np.frombuffer(file.getvalue(), np.uint8)
    out[name + ".pixels"] = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jpeg.safetensors")
save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, path)
os.chmod(path, 0o644)
print(len(out), "tensors,", os.path.getsize(path), "bytes")

"""The same by PIL and torchvision, in one thread: prints {"decode", "weak", "strong"}, ms of a core a photograph.
usage: images_peer.py TSV SIDE COUNT
"""
import json
import os
import sys
import time

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

tsv, side, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
BICUBIC = InterpolationMode.BICUBIC
paths = list(dict.fromkeys(line.split("\t", 1)[0] for line in open(tsv, encoding="utf-8")))[:count]
fit = v2.Compose([v2.Resize(int(side / 0.9), interpolation=BICUBIC), v2.CenterCrop(side)])


def crop(low):
    return v2.RandomResizedCrop(side, scale=(low, 1), interpolation=BICUBIC)


weak = v2.Compose([crop(0.8), v2.RandomApply([v2.ColorJitter(0.2, 0.2)], 0.8)])
strong = v2.Compose([crop(0.4), v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), v2.RandomGrayscale(0.2),
                     v2.RandomApply([v2.GaussianBlur(side // 10 | 1, (0.1, 2))], 0.5)])


def timed(fn, items):
    started = time.process_time()
    results = [fn(item) for item in items]
    return (time.process_time() - started) * 1e3 / len(items), results


decode, images = timed(lambda p: fit(Image.open(os.path.join(os.path.dirname(tsv), p)).convert("RGB")), paths)
print(json.dumps({"decode": decode, "weak": timed(weak, images)[0], "strong": timed(strong, images)[0]}))

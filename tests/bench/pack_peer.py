"""The PyTorch way of preparing a captions TSV once: DataLoader workers that decode with PIL, resize (bicubic) and crop to S x S, and tokenise
every caption with Hugging Face's BertTokenizerFast; the main process writes images and ids into files, as `vbl data pack` does.
usage: pack_peer.py TSV VOCAB S WORKERS OUT      prints {"seconds", "samples", "captions"} of the packing, without imports and reading the TSV
"""
import json
import os
import sys
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the workers are the parallelism; on, each forks threads of its own
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import BertTokenizerFast

tsv, vocabulary, size, workers, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
torch.set_num_threads(1)


class Captions(Dataset):
    def __init__(self):
        folder, rows = os.path.dirname(tsv), {}
        for line in open(tsv, encoding="utf-8"):
            path, caption = line.rstrip("\n").split("\t", 1)
            rows.setdefault(path, []).append(caption)
        self.items = [(os.path.join(folder, path), captions) for path, captions in rows.items()]
        self.tokenizer = BertTokenizerFast(vocabulary, do_lower_case=True)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        path, captions = self.items[i]
        image = Image.open(path).convert("RGB")
        w, h = image.size
        short = min(w, h)
        if short != size or w != h:
            image = image.resize((size * w // short, size * h // short), Image.Resampling.BICUBIC)
            w, h = image.size
            left, top = round((w - size) / 2), round((h - size) / 2)
            image = image.crop((left, top, left + size, top + size))
        return np.asarray(image).transpose(2, 0, 1), self.tokenizer(captions, truncation=True, max_length=64)["input_ids"]


def main():
    data = Captions()
    os.makedirs(out, exist_ok=True)
    start = time.perf_counter()
    loader = DataLoader(data, batch_size=64, num_workers=workers, collate_fn=lambda batch: (np.stack([x for x, _ in batch]), [t for _, t in batch]),
                        prefetch_factor=4)
    captions = 0
    with open(os.path.join(out, "images.bin"), "wb") as images, open(os.path.join(out, "tokens.bin"), "wb") as tokens:
        for x, texts in loader:
            images.write(x.tobytes())
            for sample in texts:
                for ids in sample:
                    tokens.write(np.asarray(ids, np.int32).tobytes())
                    captions += 1
        for f in (images, tokens):
            f.flush()
            os.fsync(f.fileno())
    print(json.dumps({"seconds": time.perf_counter() - start, "samples": len(data), "captions": captions}))


main()

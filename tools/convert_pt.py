"""A PyTorch checkpoint (.pt, .pth, .bin, .ckpt) as safetensors, which vbl reads. Needs PyTorch only.

usage: convert_pt.py IN.pt OUT.safetensors [--map PATTERN=REPLACEMENT ...] [--list]

The file is read with torch.load(weights_only=True): no code in it runs. Classes that it names (a pickled config, say) become empty shells and
are listed. The weights are looked for under the usual keys (state_dict, model_state_dict, model, ...), and "module." of DataParallel is cut.

BERT in Hugging Face's names and ViT in timm's keep their names below the prefixes bert. and vit., whatever stood before them (text_encoder.,
self.bert.bert., ...). Names that are none of vbl's are listed at the end and written as they are; --map renames them (Python regular expressions,
tried in the order given): --map '^cross_attention\\.(\\d+)\\.txt_'='fusion.\\1.text.'. vbl loads the result with
vbl.models.vilbert{weights = "OUT.safetensors"} where it holds a whole model, else with {text = "OUT.safetensors", vision = "OUT.safetensors"};
what has no place there is in its report.
"""
import argparse
import ctypes
import json
import re
import struct
import sys

import torch

KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params")
DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32",
          torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}
# What gives an encoder away, and the prefix that it has in vbl.
MARKS = (("embeddings.word_embeddings.weight", "bert."), ("patch_embed.proj.weight", "vit."))
OWN = re.compile(r"^(bert|vit|heads)\.|^fusion\.\d+\.(text|vision)\.(norm1|query|key|value|proj|norm2|norm3|fc1|fc2)\.(weight|bias)$|^classifier\.fc[12]\.")


class Shell:
    """Stands for a class of the checkpoint that is not needed and not run."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


def load(path):
    """The checkpoint's content; prints the classes that became shells."""
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (AttributeError, RuntimeError, ValueError):  # an older PyTorch, or a file in the format before 1.6
        foreign = []
    if not foreign:
        return torch.load(path, map_location="cpu", weights_only=True)
    print("not read (classes of the program that wrote it): " + ", ".join(sorted(foreign)), file=sys.stderr)
    shells = [(type("Shell", (Shell,), {}), name) for name in foreign]
    with torch.serialization.safe_globals(shells):
        return torch.load(path, map_location="cpu", weights_only=True)


def is_state(value):
    return isinstance(value, dict) and any(isinstance(v, torch.Tensor) for v in value.values())


def find_state(value):
    """The dict of tensors in a checkpoint."""
    if is_state(value):
        return value
    if isinstance(value, dict):
        for key in [k for k in KEYS if k in value] + list(value):
            found = find_state(value[key]) if isinstance(value[key], dict) else None
            if found is not None:
                return found
    return None


def encoders(names):
    """[(prefix in the file, prefix in vbl)]"""
    found = []
    for mark, prefix in MARKS:
        there = {n[: -len(mark)] for n in names if n.endswith(mark)}
        if len(there) > 1:
            sys.exit(f"several encoders of one kind: {', '.join(p + mark for p in sorted(there))}; rename one with --map")
        found += [(p, prefix) for p in there]
    return sorted(found, key=lambda pair: -len(pair[0]))


def rename(name, prefixes, maps):
    for pattern, replacement in maps:
        name, n = re.subn(pattern, replacement, name)
        if n:
            return name
    for old, new in prefixes:
        if name.startswith(old) and (old or not OWN.match(name)):
            return new + name[len(old):]
    return name


def data_of(tensor):
    return ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size()) if tensor.numel() else b""


def write(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, t in tensors.items():
        if t.dtype not in DTYPES:
            sys.exit(f"{name}: {t.dtype} has no place in safetensors as vbl reads them")
        size = t.numel() * t.element_size()
        header[name] = {"dtype": DTYPES[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(data_of(t))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--map", action="append", default=[], metavar="PATTERN=REPLACEMENT")
    parser.add_argument("--list", action="store_true", help="print every name, old and new")
    args = parser.parse_args()
    maps = [tuple(m.split("=", 1)) for m in args.map]
    if any(len(m) != 2 for m in maps):
        parser.error("--map: expected PATTERN=REPLACEMENT")
    state = find_state(load(args.input))
    if state is None:
        sys.exit(f"{args.input}: no dict of tensors in it; in the program that made it: torch.save(model.state_dict(), PATH)")
    state = {re.sub(r"^(module\.|_orig_mod\.)+", "", n): t for n, t in state.items() if isinstance(t, torch.Tensor)}
    prefixes, out, unknown = encoders(state), {}, []
    for old, tensor in state.items():
        new = rename(old, prefixes, maps)
        if new in out:
            sys.exit(f"two tensors become {new}; the second is {old}")
        out[new] = tensor.detach().contiguous()
        if args.list:
            print(f"{old} -> {new}  {list(tensor.shape)}")
        if not OWN.match(new):
            unknown.append(new)
    write(args.output, out)
    print(f"{args.output}: {len(out)} tensors" + "".join(f", {n or 'no prefix'} -> {v}" for n, v in prefixes))
    if unknown:
        print(f"{len(unknown)} names are none of vbl's (--map renames them):\n  " + "\n  ".join(sorted(unknown)))


if __name__ == "__main__":
    main()

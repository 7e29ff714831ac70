"""Where a step's time goes on a GPU, from a trace (gpu_trace.c): per branch by kind of kernel, the gaps between kernels, and each kernel.

  python3 tests/bench/gpu_trace.py trace.tsv [--steps 10] [--marker pieces_kernel]

A step ends with its last --marker kernel (AdamW's, one a step). Of the trace's steps the last but one --steps are read. Branch 0 is the busiest stream. Kernels of two branches
share the card, so a kernel takes longer than alone: beside each sum is what it would be if each kernel took its least on that grid.
"""
import argparse
import collections
import shutil
import subprocess
import sys

KINDS = (("products", ("nvjet", "cutlass", "splitK", "gemv", "gemm")), ("attention, cuDNN's", ("sdpa", "cudnn")),
         ("attention, own", (" forward_kernel<", " backward_kernel<")), ("attention, packing", ("control_kernel", "pad_", "unpack_")))
Operation = collections.namedtuple("Operation", "start end stream blocks threads registers name")


def read(path):
    with open(path) as f:
        rows = [line.rstrip("\n").split("\t") for line in f]
    names = [row[7] for row in rows if len(row) == 8]
    if shutil.which("c++filt"):
        names = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.split("\n")
    found = [Operation(*(int(row[i]) for i in (0, 1, 2, 3, 4, 5)), name) for row, name in zip((r for r in rows if len(r) == 8), names)]
    return sorted(found)


def steps_of(operations, marker, steps):
    """The operations of the last `steps` steps but one."""
    ends = [o.end for o in operations if marker in o.name]
    if len(ends) < steps + 2:
        sys.exit(f"{len(ends)} kernels named {marker}: {steps} steps take {steps + 2}")
    first, last = ends[-steps - 2], ends[-2]
    return [o for o in operations if first <= o.start < last], last - first


def kind_of(name):
    for kind, parts in KINDS:
        if any(part in name for part in parts):
            return kind
    return name.split("(")[0].split("<")[0].removeprefix("void ")


def summed(operations, key_of):
    """key -> [ns, operations, ns at each kernel's least]"""
    least, sums = {}, collections.defaultdict(lambda: [0, 0, 0])
    for o in operations:
        same = (o.stream, o.name, o.blocks)
        least[same] = min(least.get(same, o.end - o.start), o.end - o.start)
    for o in operations:
        s = sums[key_of(o)]
        s[0] += o.end - o.start
        s[1] += 1
        s[2] += least[(o.stream, o.name, o.blocks)]
    return sorted(sums.items(), key=lambda item: -item[1][0])


def busy(operations):
    total = end = 0
    for o in operations:
        total += max(0, o.end - max(o.start, end))
        end = max(end, o.end)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--marker", default="pieces_kernel")
    parser.add_argument("--kernels", type=int, default=40, help="how many of the longest to show")
    args = parser.parse_args()
    operations, ns = steps_of(read(args.trace), args.marker, args.steps)
    scale = 1e6 * args.steps
    print(f"{args.steps} steps: {ns / scale:.2f} ms a step, the device busy in {busy(operations) / scale:.2f} of it, {len(operations) / args.steps:.0f} operations")
    for branch, (stream, _) in enumerate(summed(operations, lambda o: o.stream)):
        own = [o for o in operations if o.stream == stream]
        print(f"\n| branch {branch}: {sum(o.end - o.start for o in own) / scale:.2f} ms | ms | launches | ms at the least |\n|---|---|---|---|")
        for kind, (spent, count, least) in summed(own, lambda o: kind_of(o.name)):
            print(f"| {kind} | {spent / scale:.3f} | {count / args.steps:.1f} | {least / scale:.3f} |")
        gaps = [max(0, b.start - a.end) for a, b in zip(own, own[1:])]
        for low, high in ((0, 3e3), (3e3, 1e4), (1e4, 1e5), (1e5, float("inf"))):
            some = [g for g in gaps if low <= g < high]
            print(f"| between kernels, from {low / 1e3:.0f} us | {sum(some) / scale:.3f} | {len(some) / args.steps:.1f} | |")
    print("\n| kernel | branch's stream | blocks | threads | registers | us | launches | ms |\n|---|---|---|---|---|---|---|---|")
    for (stream, name, blocks, threads, registers), (spent, count, _) in summed(operations, lambda o: (o.stream, o.name, o.blocks, o.threads, o.registers))[:args.kernels]:
        print(f"| {name[:100]} | {stream} | {blocks} | {threads} | {registers} | {spent / count / 1e3:.1f} | {count / args.steps:.1f} | {spent / scale:.3f} |")


if __name__ == "__main__":
    main()

"""What the GPU benchmarks share: a vbl process that answers lines of stdin with a JSON line each, and their arguments."""
import json
import os
import subprocess
import sys

import torch


def arguments(parser):
    """Parses, with what every benchmark takes; ends the program where there is no GPU to run on."""
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dry", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vbl", default=os.environ.get("VBL", "build-cuda/vbl"))
    args = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    if args.device == "cuda" and not torch.cuda.is_available():
        print("SKIPPED: PyTorch sees no GPU (--device cpu --dry runs it on the processor)")
        sys.exit(77)
    return args


class Process:
    def __init__(self, program, script, config, folder):
        path = os.path.join(folder, "config.json")
        with open(path, "w") as f:
            json.dump(config, f)
        self.process = subprocess.Popen([program, script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"vbl ended with status {self.process.wait()} (its message is above)")
        return json.loads(line)

    def ask(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()

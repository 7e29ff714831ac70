"""A vbl process that answers lines of stdin with a JSON line each: what the peers of the GPU benchmarks talk to."""
import json
import os
import subprocess
import sys


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

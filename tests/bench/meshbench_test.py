#!/usr/bin/python3
"""meshbench works: it ends with exit code 0 and prints one JSON document in which every check holds.

Usage: meshbench_test.py MESHBENCH
Method: the quick run of everything, then of a short history and of the peers (when etcd is installed); every figure
has its repetitions and says what it includes, and every ratio names figures that were measured. No time is looked at: a
slow machine passes.
"""

import json
import subprocess
import sys


def run(*arguments):
    done = subprocess.run([sys.argv[1], "--quick", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
    document = json.loads(done.stdout)
    assert document["good"] and all(document["checks"].values()), document["checks"]
    figures = {figure["name"]: figure for figure in document["figures"]}
    for figure in figures.values():
        assert figure["repetitions"] == len(figure["runs"]) >= 1, figure
        assert figure["min"] <= figure["median"] <= figure["max"], figure
        assert all(isinstance(figure[key], bool) for key in ("durable", "encrypted", "signed")), figure
    for ratio in document["ratios"]:
        assert ratio["of"] in figures and ratio["to"] in figures, ratio
        assert ratio["repetitions"] >= 1, ratio
    print(f"{len(figures)} figures, {len(document['ratios'])} ratios, {len(document['checks'])} checks hold")
    return document


def main():
    everything = run()
    assert everything["checks"] and everything["ratios"]
    assert run("history")["checks"]
    peers = run("peers")
    assert bool(peers["ratios"]) == bool(peers["facts"]["peers.etcd_is_installed"])


if __name__ == "__main__":
    main()

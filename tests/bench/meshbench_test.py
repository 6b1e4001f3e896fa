#!/usr/bin/python3
"""meshbench works: it ends with exit code 0 and prints one JSON document in which every check holds.

Usage: meshbench_test.py MESHBENCH
Method: the quick run of everything; then every figure has its repetitions and says what it includes, and every
ratio names figures that were measured. No time is looked at: a slow machine passes.
"""

import json
import subprocess
import sys


def main():
    run = subprocess.run([sys.argv[1], "--quick"], capture_output=True, text=True)
    assert run.returncode == 0, f"exit {run.returncode}: {run.stderr}"
    document = json.loads(run.stdout)
    assert document["good"] and document["checks"] and all(document["checks"].values()), document["checks"]
    figures = {figure["name"]: figure for figure in document["figures"]}
    for figure in figures.values():
        assert figure["repetitions"] == len(figure["runs"]) >= 1, figure
        assert figure["min"] <= figure["median"] <= figure["max"], figure
        assert all(isinstance(figure[key], bool) for key in ("durable", "encrypted", "signed")), figure
    assert document["ratios"]
    for ratio in document["ratios"]:
        assert ratio["of"] in figures and ratio["to"] in figures, ratio
        assert ratio["repetitions"] >= 1, ratio
    print(f"{len(figures)} figures, {len(document['ratios'])} ratios, {len(document['checks'])} checks hold")


if __name__ == "__main__":
    main()

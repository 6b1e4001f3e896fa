#!/usr/bin/python3
"""Claim: what the quickstart tells a newcomer is true, with packets and without.
Method: ops/story.py itself, whose steps are assertions. Exit code 77 = skipped: a lab is in use."""

import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
from lab_test import lab_in_use  # noqa: E402

if __name__ == "__main__":
    if lab_in_use():
        print("a lab is in use: ops/lab down")
        sys.exit(77)
    os.execv(sys.executable, [sys.executable, os.path.join(HERE, "../../ops/story.py"), *sys.argv[1:]])

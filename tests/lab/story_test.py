#!/usr/bin/python3
"""Claim: what the quickstart tells a newcomer is true, with packets and without.
Method: ops/story.py itself, whose steps are assertions; only its directory is another one. Exit code 77 = skipped."""

import os
import sys
import tempfile

import fixture

import lab_mesh
import story


def tell(directory):
    lab_mesh.DEFAULT_DIR = os.path.join(directory, "lab")
    sys.exit(story.main())


if __name__ == "__main__":
    if "--dry-run" in sys.argv:
        with tempfile.TemporaryDirectory(prefix="mesh-story-") as scratch:
            tell(scratch)
    fixture.main(lambda: tell(os.environ[fixture.SANDBOX_DIR]))

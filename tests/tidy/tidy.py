#!/usr/bin/python3
"""Checks the rules of the tree that a compiler does not: who may include whom, words, sizes, schemas.

Usage: tidy.py TREE [--flatc PROGRAM]
Prints one line per violation, "path:line: what is wrong, what to do", and exits 1 when there is one.
Each check is a function from a Tree to a list of violations, so that tidy_test.py can plant one of each.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "README.md", "CHANGELOG.md", "LICENSE",
    ".ci", ".clang-format", ".clang-tidy", ".gitignore",
    "schemas", "eventstore", "broker", "nodes", "cli", "ops", "tests",
}
NOT_SOURCE = {"build", ".git", ".cache"}

CODE = {".h", ".cc"}
SCRIPTS = {".py", ".sh", ".cmake"}
TEXT = CODE | SCRIPTS | {".fbs", ".md", ".txt", ".json", ".toml", ".yml", ".yaml", ".service", ""}
LINE_MAX = 120
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
BANNED_WORDS = re.compile(r"\b(%s)\b" % "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]))

# Folder -> the folders, or single headers, that it may include besides its own. The longest matching prefix decides.
LAYERS = {
    "eventstore/model": [],
    "schemas": ["eventstore/model"],
    "eventstore/log": ["schemas", "eventstore/model"],
    "broker/bus": ["schemas", "eventstore/model"],
    "broker": ["broker/bus", "eventstore/log", "schemas", "eventstore/model"],
    "nodes/dataplane": ["nodes", "eventstore/model"],
    "nodes": ["nodes/dataplane", "broker/bus", "schemas", "eventstore/model"],
    # A backup is made over the bus: its file format knows no RocksDB.
    "cli": ["broker/bus", "schemas", "eventstore/model", "eventstore/log/archive.h"],
}

# The core is pure: no threads, files, clocks, randomness or terminals.
IMPURE = {
    "thread", "mutex", "shared_mutex", "condition_variable", "future", "semaphore", "stop_token",
    "fstream", "filesystem", "iostream", "ctime", "time.h", "random", "chrono", "unistd.h",
}
# inet_pton only converts text; the last two are instructions of the processor.
MODEL_LIBRARIES = re.compile(r"^(fmt/|sodium\.h$|arpa/inet\.h$|cpuid\.h$|immintrin\.h$)")
IMPURE_CALLS = re.compile(r"\b(randombytes_\w+|getenv|std::rand|std::time|gettimeofday|clock_gettime)\s*\(")

# A router may boot in 1970 and be set at any moment: what a node does follows the time since boot (CLOCK_BOOTTIME, or
# steady_clock within a process) and the log's time. Only its log lines carry the wall clock.
WALL_CLOCK = re.compile(r"\b(system_clock|utc_clock|file_clock|CLOCK_REALTIME|CLOCK_TAI|gettimeofday|timespec_get)\b|"
                        r"(?:\bstd::|(?<!\w)::|(?<![\w:.>]))(time)\s*\(\s*(?:nullptr|NULL|0|&)")

# Library -> the folder that alone may include it, and only in its .cc files and private headers (_internal.h).
OWNED_LIBRARIES = [
    (re.compile(r"^rocksdb/"), "eventstore/log"),
    (re.compile(r"^zmq(_addon)?\.hpp$|^zmq\.h$"), "broker/bus"),
    (re.compile(r"^flatbuffers/|_generated\.h$"), "schemas"),
]
# They cost seconds in every translation unit that sees them.
HEAVY = re.compile(r"^(nlohmann/json\.hpp|toml\+\+/toml\.h(pp)?|CLI/.*|spdlog/.*|httplib\.h)$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Tree:
    """The files of a checkout, relative to its root, without what was built."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.files = []
        for folder, folders, names in os.walk(self.root):
            here = pathlib.Path(folder).relative_to(self.root)
            folders[:] = sorted(d for d in folders if d not in NOT_SOURCE and d != "__pycache__")
            self.files += [here / name for name in sorted(names) if name != ".git"]

    def read(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def lines(self, path):
        return self.read(path).splitlines()

    def code(self):
        return [f for f in self.files if f.suffix in CODE]


def layer_of(path):
    """The layer that owns `path`, or None where no rule holds (tests may include everything)."""
    text = path.as_posix()
    matches = [layer for layer in LAYERS if text.startswith(layer + "/")]
    return max(matches, key=len, default=None)


def is_text(tree, path):
    if path.parts[:2] == ("tests", "golden") or "corpus" in path.parts:
        return False
    if path.suffix in TEXT - {""}:
        return True
    return path.suffix == "" and path.name != "LICENSE" and b"\0" not in (tree.root / path).read_bytes()


def check_includes(tree):
    found = []
    for_cc_only = {path.as_posix() for path in tree.code() if is_for_cc_only(tree, path)}
    for path in tree.code():
        layer = layer_of(path)
        light = path.suffix == ".h" and path.as_posix() not in for_cc_only
        for number, line in enumerate(tree.lines(path), 1):
            match = INCLUDE.match(line)
            if not match or not layer:
                continue
            target = match.group(2)
            faults = include_faults(path, layer, match.group(1) == '"', target)
            if light and HEAVY.match(target):
                faults.append(f"<{target}> is too heavy for a header: keep it in the .cc files")
            if light and target in for_cc_only:
                faults.append(f'"{target}" is for .cc files only')
            found += [f"{path}:{number}: {why}" for why in faults]
    return found


def is_for_cc_only(tree, path):
    """A header that says so in its first line, or by its name: it may include what is heavy."""
    return path.suffix == ".h" and (
        path.name.endswith("_internal.h") or tree.read(path).startswith("// For .cc files only"))


def include_faults(path, layer, quoted, target):
    """What is wrong with `path`, of `layer`, including `target`."""
    for pattern, owner in OWNED_LIBRARIES:
        if pattern.search(target):
            if layer != owner:
                return [f"<{target}> belongs to {owner}/, use its headers"]
            public = path.suffix == ".h" and not path.name.endswith("_internal.h")
            return [f"<{target}> in a header: keep it in the .cc files"] if public else []
    if quoted:
        other = layer_of(pathlib.PurePosixPath(target))
        if other is None:
            return [f'"{target}" is not a path from the root of the tree']
        if other != layer and target.endswith("_internal.h"):
            return [f'"{target}" is for {other}/ alone']
        if other != layer and not {other, target} & set(LAYERS[layer]):
            return [f"{layer}/ may not include {other}/ (allowed: {', '.join(LAYERS[layer]) or 'nothing else'})"]
        return []
    if layer == "eventstore/model":
        if target in IMPURE:
            return [f"<{target}> is not pure: pass the value in as an argument"]
        if ("/" in target or target.endswith(".h")) and not MODEL_LIBRARIES.match(target):
            return [f"<{target}>: the model knows only the standard library, fmt and sodium's pure functions"]
    return []


def check_purity(tree):
    found = []
    for path in tree.code():
        if layer_of(path) != "eventstore/model":
            continue
        for number, line in enumerate(tree.lines(path), 1):
            call = IMPURE_CALLS.search(line)
            if call:
                found.append(f"{path}:{number}: {call.group(1)} is not pure: pass the value in as an argument")
    return found


def check_clocks(tree):
    found = []
    for path in tree.code():
        if path.parts[0] != "nodes":
            continue
        for number, line in enumerate(tree.lines(path), 1):
            clock = WALL_CLOCK.search(line)
            if clock:
                found.append(f"{path}:{number}: {clock.group(1) or clock.group(2)}: a node has no wall clock, "
                             "use CLOCK_BOOTTIME or the log's time")
    return found


def check_words(tree):
    found = []
    for path in tree.files:
        if is_text(tree, path):
            for number, line in enumerate(tree.lines(path), 1):
                word = BANNED_WORDS.search(line)
                if word:
                    found.append(f"{path}:{number}: {word.group(1)}: finish it, or open an issue")
    return found


def check_sizes(tree):
    found = []
    for path in tree.files:
        if path.suffix not in CODE | SCRIPTS | {".fbs"} and not is_script(tree, path):
            continue
        if path.parts[:2] == ("tests", "golden"):
            continue
        lines = tree.lines(path)
        if len(lines) > FILE_LINES_MAX:
            found.append(f"{path}:{len(lines)}: more than {FILE_LINES_MAX} lines: split the file")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_MAX:
                found.append(f"{path}:{number}: {len(line)} columns, at most {LINE_MAX}")
    return found


def is_script(tree, path):
    return path.suffix == "" and is_text(tree, path) and tree.read(path).startswith("#!")


def check_functions(tree):
    """Functions as clang-format lays them out: from a line in column 0 that ends in '{' to a '}' there."""
    not_function = re.compile(r"^(namespace|struct|class|enum|union|extern)\b|^[#}/]|=\s*\{$|^TEST|^RC_")
    found = []
    for path in tree.code():
        start = None
        for number, line in enumerate(tree.lines(path), 1):
            if start is None and line[:1].strip() and line.endswith("{") and not not_function.match(line):
                start = number
            elif start is not None and line.startswith("}"):
                if number - start + 1 > FUNCTION_LINES_MAX:
                    found.append(f"{path}:{start}: a function of {number - start + 1} lines, "
                                 f"at most {FUNCTION_LINES_MAX}")
                start = None
    return found


def check_layout(tree):
    found = []
    for name in sorted({f.parts[0] for f in tree.files}):
        if name not in TOP_LEVEL:
            found.append(f"{name}: the top level is fixed: put it into one of the folders")
    folders = {"tests", "ops"} | {f.parent.as_posix() for f in tree.code() if layer_of(f)}
    for folder in sorted(folders):
        if not (tree.root / folder / "README.md").exists():
            found.append(f"{folder}: has no README.md (purpose, API, invariants, tests, why)")
    kinds = {f.parts[1] for f in tree.files if f.parts[0] == "tests" and len(f.parts) > 2}
    readme = tree.root / "tests" / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    for kind in sorted(kinds):
        if f"`{kind}/`" not in text:
            found.append(f"tests/{kind}: the table in tests/README.md does not say what `{kind}/` is")
    return found


def check_schemas(tree, flatc):
    """Every released schema is still understood: the current one only adds to it."""
    found = []
    for released in tree.files:
        if released.parts[:3] != ("tests", "golden", "schemas") or released.suffix != ".fbs":
            continue
        current = pathlib.Path("schemas") / released.name
        if not (tree.root / current).exists():
            found.append(f"{current}: was released as {released} and is gone")
            continue
        run = subprocess.run(
            [flatc, "--conform", str(tree.root / released), "--conform-includes", str((tree.root / released).parent),
             "-I", str(tree.root / "schemas"), str(tree.root / current)], capture_output=True, text=True)
        if run.returncode != 0:
            said = (run.stdout + run.stderr).strip().splitlines()
            found.append(f"{current}: does not conform to {released}: {said[0] if said else 'flatc failed'}")
    return found


def violations(tree, flatc="flatc"):
    return (check_includes(tree) + check_purity(tree) + check_clocks(tree) + check_words(tree) + check_sizes(tree) +
            check_functions(tree) + check_layout(tree) + check_schemas(tree, flatc))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree")
    parser.add_argument("--flatc", default="flatc")
    arguments = parser.parse_args()
    tree = Tree(arguments.tree)
    found = violations(tree, arguments.flatc)
    for line in found:
        print(line)
    print(f"tidy: {len(tree.files)} files, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

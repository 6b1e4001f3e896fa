#!/usr/bin/env python3
"""Plants defects into a copy of the tree, one at a time, and shows that a test or the simulator catches each.

  defects.py                  all of them; exit code 1 when one is not caught
  defects.py --only WORD      those whose name has that word
  defects.py --check          only whether each still finds the code that it spoils (a second)
  defects.py --list           names

A defect is text that is replaced in one file. The text has to be there exactly once, so that a defect that the code
has outgrown is an error and not a gap. What catches it is tried in order: test programs first, then seeds.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = 300  # of a minute and a half each, at most
TIMEOUT = 900


@dataclass
class Defect:
    name: str
    file: str
    old: str
    new: str
    tests: tuple = ()  # (program, filter of its cases)
    seeds: int = SEEDS  # 0 = not looked for by the simulator


DEFECTS = [
    Defect("a router's file names are not synced", "nodes/files.cc",
           "  MESH_TRY(files.rename(temporary, path));\n  return files.sync_dir(parent_of(path));\n}\n\n"
           "Status link_atomic",
           "  return files.rename(temporary, path);\n}\n\nStatus link_atomic"),
    Defect("a reply before the append", "broker/controller.cc",
           "    (*staged)->to.push_back(to);\n  else\n",
           "    send(to, (*staged)->reply);\n  else\n"),
    Defect("a retry is not recognised", "broker/controller.cc",
           "  if (answer_retry(to, request->id)) return;\n", ""),
    Defect("what is staged is answered by a second decision", "broker/controller.cc",
           "  if (auto same = std::ranges::find(held_, id, &Held::request); same != held_.end()) {",
           "  if (auto same = held_.end(); same != held_.end()) {",
           tests=(("broker_test", "Controller.*"),), seeds=0),
    Defect("a commit without its configurations", "broker/controller.cc",
           "store(shown->blobs, \"storing the configurations\")", "store({}, \"storing the configurations\")"),
    Defect("a router acts on a head that is not proved", "nodes/agent.cc",
           "void Agent::act(int64_t now) {\n  if (!history_.settled()) return;\n", "void Agent::act(int64_t now) {\n",
           tests=(("nodes_test", "AgentTest.*"),)),
    Defect("entries are folded in the order that they come", "nodes/history.cc",
           "    if (header->sequence != expected) continue;\n", ""),
    Defect("the checkpoint is not stored before acting", "nodes/history.cc",
           "    if (unsaved_.checkpoint) MESH_TRY(store_.save_checkpoint(note_));\n", ""),
    Defect("an older checkpoint is accepted", "nodes/history.cc",
           "    if (known && *known != checkpoint.root) return contradiction(*known);\n    return Taken::nothing;\n",
           "    if (known && *known != checkpoint.root) return contradiction(*known);\n"
           "    note_ = note;\n    unsaved_.checkpoint = true;\n    (void)flush();\n    return Taken::nothing;\n"),
    Defect("a contradicting checkpoint is accepted", "nodes/history.cc",
           "    if (bound) return contradiction(Digest(*known));\n", "    (void)bound;\n",
           tests=(("nodes_test", "*"),), seeds=0),
    Defect("a replica is not cut after a torn tail", "nodes/replica/replica_store.cc",
           "  if (good != tail_bytes_) MESH_TRY(trim(good));\n", "",
           tests=(("nodes_test", "ReplicaStore.*"), ("sim_steps_test", "*"))),
    Defect("a small file is believed with a flipped bit", "nodes/replica/tail_records.cc",
           "  if (with_check(content) != text) return fail(Errc::corrupt, \"its check does not fit\");\n", "",
           tests=(("nodes_test", "ReplicaStore.*"),)),
    Defect("a router that cannot apply stays half way", "nodes/dataplane/reconciler.cc",
           "  if (previous == nullptr) return report;\n", "  return report;\n",
           # The next look at the router would repair it, as it does after a crash: so it is the reconciler's own test.
           tests=(("dataplane_test", "Reconcile.*"),), seeds=0),
    Defect("an outcome is sent once", "nodes/agent.cc",
           "  if (next_repeat_ <= now) {\n    send_outcomes(now);\n", "  if (next_repeat_ <= now) {\n",
           tests=(("nodes_test", "AgentTest.*"),)),
    Defect("revoked keys keep their sessions", "broker/controller.cc",
           "      output_.muted.push_back(key);\n", "      (void)key;\n",
           tests=(("broker_test", "Controller.*"),)),
    Defect("a confirmation counts after its time", "eventstore/model/decide_activation.cc",
           "  const PendingActivation& pending = **found;\n  MESH_TRY(check_in_time(on, pending));\n",
           "  const PendingActivation& pending = **found;\n",
           tests=(("sim_confirmed_test", "*"),)),
    Defect("a confirmation without all targets", "eventstore/model/decide_activation.cc",
           "  if (!missing.empty() && (!c.partial || confirmed.nodes.empty()))\n",
           "  if (!missing.empty() && confirmed.nodes.empty())\n",
           tests=(("sim_confirmed_test", "*"),)),
    Defect("a deadline is forgotten at a restart", "nodes/deployment_trial.cc",
           "  const auto kept = *store_.waiting();\n  // The crash came while the end was written down.\n",
           "  auto kept = *store_.waiting();\n  kept.deadline_ms = now + int64_t{kept.seconds} * 1000;\n",
           tests=(("sim_confirmed_test", "*"),)),
    Defect("what waits is applied before it is on disk", "nodes/deployment_trial.cc",
           "  if (ready) ready = store_.set_waiting(waiting);\n", "",
           tests=(("sim_confirmed_test", "*"),)),
    Defect("a reboot is no reason to go back", "nodes/deployment_trial.cc",
           "  if (kept.boot_id != options_.boot_id) {", "  if (kept.boot_id.empty()) {",
           tests=(("sim_confirmed_test", "*"),)),
    Defect("a late confirmation is followed", "nodes/deployment.cc",
           "  if (!diverged_) follow_active(node);\n", "  follow_active(node);\n",
           tests=(("nodes_test", "TrialTest.*"),)),
    Defect("an extension is not heard", "nodes/trial.cc",
           "  kept_.deadline_ms = now + int64_t{pending.seconds} * 1000;\n", "  (void)now;\n",
           tests=(("sim_confirmed_test", "*"),)),
    Defect("an expiry is never appended", "broker/controller_activations.cc",
           "  if (time >= pending.deadline || now.mono_ms >= countdown.ends_ms)\n"
           "    return ExpireActivation{pending.id};\n",
           "  (void)countdown;\n",
           tests=(("sim_confirmed_test", "*"),)),
    Defect("two activations wait for one router", "eventstore/model/decide_activation.cc",
           "  MESH_TRY(check_apart(on.state, started.rows));\n", "  (void)check_apart;\n",
           tests=(("sim_confirmed_test", "*"),)),
]

TESTS_OF_ALL = ("meshsim", "sim_confirmed_test", "sim_steps_test", "nodes_test", "broker_test", "dataplane_test")


def spoil(tree: pathlib.Path, defect: Defect) -> str:
    """The file with the defect. An error when the code is another by now."""
    path = tree / defect.file
    text = path.read_text()
    count = text.count(defect.old)
    if count != 1:
        raise SystemExit(f"defects: {defect.name}: {defect.file} has its text {count} times, not once")
    return text.replace(defect.old, defect.new)


def copy_tree(tree: pathlib.Path) -> None:
    names = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        source, target = ROOT / name, tree / name
        if not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.unlink(missing_ok=True)
            target.symlink_to(os.readlink(source))
            continue
        if not target.exists() or source.read_bytes() != target.read_bytes():
            shutil.copy2(source, target)


def build(tree: pathlib.Path, targets, jobs: int):
    """Empty, or the end of what the compiler says."""
    done = subprocess.run(["ninja", "-C", str(tree / "build/release"), f"-j{jobs}", *sorted(targets)],
                          capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout[-3000:]


def run(command) -> tuple[bool, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return False, "did not end"
    return done.returncode == 0, done.stdout + done.stderr


def catch(tree: pathlib.Path, defect: Defect, jobs: int):
    """What caught it, or nothing."""
    binaries = tree / "build/release/bin"
    for program, cases in defect.tests:
        holds, text = run([str(binaries / program), f"--gtest_filter={cases}", "--gtest_brief=1"])
        if not holds:
            failed = re.search(r"\[  FAILED  \] (\S+)", text)
            return f"{program}: {failed.group(1) if failed else 'it crashed'}"
    if defect.seeds:
        holds, text = run([str(binaries / "meshsim"), "--seeds", str(defect.seeds), "--jobs", str(jobs)])
        if not holds:
            failed = re.findall(r"seed (\d+) FAILED: ([^:\n]*)", text)
            seed, claim = min(failed, key=lambda each: int(each[0])) if failed else ("?", text[-200:])
            return f"meshsim, seed {seed}: {claim}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--tree", type=pathlib.Path, default=ROOT / "build/defects")
    args = parser.parse_args()
    wanted = [each for each in DEFECTS if args.only in each.name]
    if args.list:
        print("\n".join(each.name for each in wanted))
        return 0
    for each in wanted:
        spoil(ROOT, each)
    if args.check:
        print(f"{len(wanted)} defects find their code")
        return 0
    copy_tree(args.tree)
    subprocess.run(["cmake", "--preset", "release", "-S", str(args.tree)], cwd=args.tree, check=True,
                   stdout=subprocess.DEVNULL)
    missed = 0
    if trouble := build(args.tree, TESTS_OF_ALL, args.jobs):
        raise SystemExit("defects: the tree does not build as it is\n" + trouble)
    for each in wanted:
        path, began = args.tree / each.file, time.monotonic()
        whole = path.read_text()
        path.write_text(spoil(args.tree, each))
        try:
            trouble = build(args.tree, {program for program, _ in each.tests} | {"meshsim"}, args.jobs)
            caught = f"does not build:\n{trouble}" if trouble else catch(args.tree, each, args.jobs)
        finally:
            path.write_text(whole)
        missed += trouble != "" or caught is None
        print(f"| {each.name} | {caught or 'NOT CAUGHT'} |  ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(wanted)} defects, {missed} not caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

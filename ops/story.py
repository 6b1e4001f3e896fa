#!/usr/bin/python3
"""The main job of Meshlog from the first command to a verified history, every step checked.

Usage: story.py [--keep] [--dry-run] [--remove]
On three sites of the lab; where no lab is possible, with the dry-run data plane and without packets.
Exit 0 when every step held. --keep leaves it up, also after a failure.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import lab_mesh  # noqa: E402
import lab_net  # noqa: E402
from lab_mesh import DryMesh, wait_reach  # noqa: E402
from lab_net import LabError  # noqa: E402
from lab_reach import Pinging, unreachable  # noqa: E402

SITES = 3
GAP_MAX_MS = 1500
MOVED_MAX = 2  # packets under way when a route moves back: up to one was seen lost, now and then
KEEPALIVE = "17"
WATCH_SECONDS = 3  # how long pings are watched after a fault


def check(condition, otherwise):
    if not condition:
        raise LabError(otherwise)


def until(condition, seconds, what):
    """Waits for a state, asking often; returns what the condition returned and the seconds it took."""
    start = time.monotonic()
    while True:
        held = condition()
        if held:
            return held, time.monotonic() - start
        if time.monotonic() - start > seconds:
            raise LabError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def number(version):
    """Versions are numbers or "vN" in machine output; none is 0."""
    return int(str(version or 0).lstrip("v"))


class Story:
    def __init__(self, mesh, packets):
        self.mesh = mesh
        self.packets = packets
        self.measured = []
        self.skipped = []
        self.count = 0
        self.activated = None  # when, on the monotonic clock
        self.before = None     # the controller's head before it was killed

    # Telling.

    @contextlib.contextmanager
    def step(self, text):
        self.count += 1
        print(f"{self.count:>2}  {text}", flush=True)
        start = time.monotonic()
        yield
        print(f"      ok, {time.monotonic() - start:.1f} s", flush=True)

    def note(self, text):
        for line in str(text).rstrip().splitlines():
            print(f"      {line}", flush=True)

    def measure(self, what, value):
        self.measured.append((what, value))
        self.note(f"{what}: {value}")

    def no_packets(self, text):
        self.skipped.append(text)

    # Looking.

    def nodes(self):
        return self.mesh.cli_json("list", "nodes", "all")["items"]

    def all_nodes(self, predicate):
        items = self.nodes()
        return len(items) == SITES and all(predicate(item) for item in items)

    def head(self):
        return self.mesh.cli_json("controller", "status")

    def is_at_head(self, site):
        """The node's verified history is the controller's: same length, same Merkle root."""
        status, head = self.mesh.node_status(site), self.head()
        return (status["sequence"], status["root"]) == (head["sequence"], head["root"]) and status

    def device(self, a, b):
        """The interface by which router `a` sends to the LAN of `b`."""
        return json.loads(self.mesh.in_router(a, "ip", "-j", "route", "get", b.lan4))[0]["dev"]

    def direct_devices(self):
        """The interface of every router towards every other, as the controller names them."""
        found = {}
        for item in self.mesh.cli_json("list", "links")["items"]:
            found[item["a_name"], item["b_name"]] = item["a_interface"]
            found[item["b_name"], item["a_name"]] = item["b_interface"]
        return {(a, b): found[self.mesh.node_name(a), self.mesh.node_name(b)] for a, b in self.all_pairs()}

    @contextlib.contextmanager
    def pings(self, pairs):
        """IPv4 and IPv6 pings of the pairs while the block runs; the yielded list is filled afterwards."""
        results = []
        running = [Pinging(a, address) for a, b in pairs for address in (b.lan4, b.lan6)]
        time.sleep(0.5)
        try:
            yield results
        finally:
            results += [ping.stop() for ping in running]

    def all_pairs(self):
        return [(a, b) for a in self.mesh.sites for b in self.mesh.sites if a is not b]

    # The steps.

    def tell(self):
        self.controller_and_sites()
        self.join()
        self.commit_and_activate()
        self.reach()
        self.agent_dies()
        self.controller_dies()
        self.link_is_cut()
        self.node_reboots_alone()
        self.controller_returns()
        self.change_while_away()
        self.who_did_what()
        self.back_and_forward()
        self.verify()

    def controller_and_sites(self):
        mesh = self.mesh
        with self.step("a controller is made and started"):
            mesh.init_controller()
            mesh.start_controller()
            check(self.head()["sequence"] >= 1, "a new log has no first entry")
        with self.step("meshcli adds three sites with a node each"):
            mesh.cli("set", "global", "bfd_interval_ms", str(mesh.bfd_ms))
            for site in mesh.sites:
                mesh.add_site(site)
            names = [item["name"] for item in mesh.cli_json("list", "sites")["items"]]
            check(sorted(names) == [s.name for s in mesh.sites], f"list sites shows {names}")

    def join(self):
        mesh = self.mesh
        with self.step("the nodes join, each with a token of its own"):
            check(self.all_nodes(lambda item: not item["enrolled"]), "a node is enrolled before it joined")
            for site in mesh.sites:
                mesh.join(site)
                mesh.start_agent(site)
            until(lambda: self.all_nodes(lambda item: item["enrolled"]), 30, "all nodes enrolled")
            until(lambda: all(self.is_at_head(site) for site in mesh.sites), 30, "all nodes have the whole log")

    def commit_and_activate(self):
        mesh = self.mesh
        with self.step("commit: every node gets its version 1"):
            plan = mesh.cli("plan", "all").splitlines()
            self.note("\n".join(line for line in plan if not line.startswith(" ")))
            mesh.cli("commit", "all", "-m", "first light", "--yes")
            check(self.all_nodes(lambda item: number(item["version_latest"]) == 1), "a node has no version 1")
            check(self.all_nodes(lambda item: number(item["version_active"]) == 0), "commit alone activated something")
        with self.step("activate: every node compiles, checks and applies it"):
            self.activated = time.monotonic()
            mesh.cli("activate", "all", "--yes")
            until(lambda: self.all_nodes(lambda item: number(item["version_active"]) == 1), 60,
                  "version 1 active everywhere")
            for site in mesh.sites:
                active = mesh.node_status(site)["active"]
                check(number(active) == 1, f"{site.name} says that {active} is active")

    def reach(self):
        text = "every LAN host reaches every other, IPv4 and IPv6"
        if not self.packets:
            return self.no_packets(text)
        with self.step(text):
            wait_reach(self.mesh, self.mesh.sites)
            self.measure(f"from activate to all {2 * len(self.all_pairs())} pairs",
                         f"{time.monotonic() - self.activated:.1f} s")
            direct = self.direct_devices()
            until(lambda: all(self.device(a, b) == direct[a, b] for a, b in direct), 60, "all traffic on direct links")
        return None

    def agent_dies(self):
        text = "kill -9 of meshnode alone: WireGuard and BIRD go on"
        site = self.mesh.sites[0]
        if not self.packets:
            return self.no_packets(text)
        with self.step(text):
            with self.pings(self.all_pairs()) as results:
                self.mesh.kill_agent(site)
                time.sleep(WATCH_SECONDS / 2)
                self.mesh.start_agent(site)
                until(lambda: self.is_at_head(site), 30, f"meshnode of {site.name} is back")
                time.sleep(WATCH_SECONDS / 2)
            self.lost_at_most(0, "pings lost when meshnode was killed and restarted", results)
        return None

    def lost_at_most(self, limit, what, results):
        lost, sent = sum(r["lost"] for r in results), sum(r["sent"] for r in results)
        self.measure(what, f"{lost} of {sent}")
        check(sent > 0 and lost <= limit, f"{lost} of {sent} pings were lost")

    def controller_dies(self):
        mesh = self.mesh
        self.before = self.head()
        with self.step("kill -9 of the controller: the mesh does not notice"):
            with self.pings(self.all_pairs()) if self.packets else contextlib.nullcontext([]) as results:
                mesh.kill_controller()
                time.sleep(WATCH_SECONDS if self.packets else 0)
            if self.packets:
                self.lost_at_most(0, "pings lost when the controller was killed", results)
            done = mesh.try_cli("controller", "status", timeout=60)
            check(done.returncode == 8, f"meshcli without a controller exits with {done.returncode}, not 8")
            until(lambda: all(mesh.node_status(s)["controller"] == "unreachable" for s in mesh.sites), 60,
                  "every node says that the controller is unreachable")

    def link_is_cut(self):
        text = "a link is cut while the controller is dead: traffic takes the way round"
        if not self.packets:
            return self.no_packets(text)
        a, b, _ = self.mesh.sites
        with self.step(text):
            before = self.device(a, b)
            with self.pings([(a, b), (b, a)]) as results:
                lab_net.set_cut(a.wan4, b.wan4, True)
                time.sleep(WATCH_SECONDS)
            gap = max(r["gap_ms"] if r["gap_ms"] is not None else 10**6 for r in results)
            self.measure(f"re-route: longest silence (BFD {self.mesh.bfd_ms} ms x 3)", f"{gap} ms")
            check(gap < GAP_MAX_MS, f"{gap} ms without an answer, more than {GAP_MAX_MS}")
            detour = self.device(a, b)
            check(detour != before, f"traffic still leaves by {detour}")
            self.note(f"{a.name} to {b.name}: {before}, then {detour}")
            with self.pings([(a, b), (b, a)]) as results:
                lab_net.set_cut(a.wan4, b.wan4, False)
                _, took = until(lambda: self.device(a, b) == before, 60, f"traffic back on {before}")
                time.sleep(0.5)
            self.measure("healed: back on the direct link after", f"{took:.1f} s")
            self.lost_at_most(MOVED_MAX, "pings lost when it healed", results)
        return None

    def node_reboots_alone(self):
        mesh, site = self.mesh, self.mesh.sites[2]
        with self.step("a node loses power and boots while the controller is dead: it routes from its own disk"):
            mesh.kill_node(site)
            if self.packets:
                others = [s for s in mesh.sites if s is not site]
                check(len(unreachable(mesh.sites, 1)) == 2 * 2 * len(others),
                      "its LAN is reachable without it, or others are not")
            start = time.monotonic()
            mesh.start_node(site)
            if self.packets:
                wait_reach(mesh, mesh.sites)
                self.measure("booted node: all pairs again after", f"{time.monotonic() - start:.1f} s")
            status = until(lambda: self.quiet_status(site), 30, f"meshnode of {site.name} answers")[0]
            check(number(status["active"]) == 1, f"active is {status['active']}, not v1")
            check(status["controller"] == "unreachable", f"controller is {status['controller']}")

    def quiet_status(self, site):
        """The status of a node that may still be starting, or None."""
        try:
            return self.mesh.node_status(site)
        except LabError:
            return None

    def controller_returns(self):
        with self.step("the controller returns: nothing is lost, every node is connected again"):
            self.mesh.start_controller()
            after = self.head()
            check(after["sequence"] >= self.before["sequence"], f"{after['sequence']} entries, before {self.before}")
            _, took = until(lambda: self.all_nodes(lambda item: item["connected"]), 90, "all nodes connected")
            self.measure("controller back: all nodes connected after", f"{took:.1f} s")
            until(lambda: all(self.is_at_head(site) for site in self.mesh.sites), 30, "all nodes at the head")

    def change_while_away(self):
        mesh, site = self.mesh, self.mesh.sites[2]
        with self.step("a change is made while a node is down: it arrives once, when the node is back"):
            mesh.kill_node(site)
            until(lambda: self.all_nodes(lambda i: i["connected"] != (i["site"] == site.name)), 60,
                  f"the controller misses {site.name} alone")
            mesh.cli("set", "global", "wg_keepalive", KEEPALIVE)
            mesh.cli("commit", "all", "-m", "shorter keepalive", "--yes")
            mesh.cli("activate", "all", "--yes", ok=(0, 9, 10))
            missed = self.head()["sequence"]
            start = time.monotonic()
            mesh.start_node(site)
            until(lambda: (self.quiet_status(site) or {"sequence": 0})["sequence"] >= missed, 60,
                  f"{site.name} has entry {missed}")
            self.measure("catch-up: the missed entries are there after", f"{time.monotonic() - start:.2f} s")
            until(lambda: self.all_nodes(lambda i: number(i["version_active"]) == 2), 60, "version 2 active everywhere")
            status = until(lambda: self.is_at_head(site), 30, f"{site.name} is at the head")[0]
            self.note(f"{site.name}: {status['sequence']} entries, root {status['root'][:16]}..., as the controller")
            sets = [entry["sequence"] for entry in self.log() for event in entry["events"]
                    if event["type"] == "AttributeSet" and "wg_keepalive" in json.dumps(event)]
            check(len(sets) == 1, f"the change is in entries {sets}, not in one")
            for other in mesh.sites:
                self.wireguard_runs(other, 2)

    def wireguard_runs(self, site, version):
        """What WireGuard itself says: version 2 differs from 1 in the keepalive."""
        if not self.packets:
            return

        def runs():
            said = self.mesh.in_router(site, "wg", "show", "all", "persistent-keepalive").splitlines()
            return said and all((line.split()[-1] == KEEPALIVE) == (version == 2) for line in said)
        until(runs, 30, f"WireGuard of {site.name} runs v{version}")
        wait_reach(self.mesh, self.mesh.sites)

    def log(self):
        return [json.loads(line) for line in self.mesh.cli("log", "-o", "jsonl").splitlines()]

    def who_did_what(self):
        with self.step("meshcli log: who did what"):
            entries = sorted(self.log(), key=lambda entry: entry["sequence"])
            sequences = [entry["sequence"] for entry in entries]
            check(sequences == list(range(1, len(sequences) + 1)), f"the log has gaps: {sequences}")
            check(all(entry["principal"] for entry in entries), "an entry has no author")
            self.note("\n".join(self.mesh.cli("log").splitlines()[-6:]))

    def back_and_forward(self):
        mesh = self.mesh
        node = mesh.node_name(mesh.sites[0])
        with self.step("a node goes back to version 1, and forward again"):
            for version, word in [(1, "v1"), (2, "latest")]:
                mesh.cli("activate", "node", node, word, "--yes")
                until(lambda v=version: self.active_versions(node) == (v, v), 60, f"{node} and meshd say v{version}")
                self.wireguard_runs(mesh.sites[0], version)

    def active_versions(self, node):
        """What the node says, and what the controller knows."""
        known = [number(item["version_active"]) for item in self.nodes() if item["fullname"] == node]
        return number(self.mesh.node_status(self.mesh.sites[0])["active"]), known[0]

    def verify(self):
        mesh = self.mesh
        with self.step("meshcli verify: the whole history is proved"):
            start = time.monotonic()
            said = mesh.cli_json("verify")
            self.measure("verify: the whole history", f"{time.monotonic() - start:.2f} s")
            check(said["ok"] and said["first_bad"] is None and not said["problems"], f"verify says {said}")
            self.measure("entries in the log", said["entries"])
            until(lambda: all(self.is_at_head(site) for site in mesh.sites), 30, "every node has that root")

    def table(self):
        width = max(len(what) for what, _ in self.measured)
        print("\nMeasured")
        for what, value in self.measured:
            print(f"  {what:<{width}}  {value}")
        if self.skipped:
            print("\nNot shown on this machine, which can hold no lab")
            for text in self.skipped:
                print(f"  {text}")


def dry_mesh():
    return DryMesh({"dir": f"{lab_mesh.DEFAULT_DIR}-dry-{os.getuid()}", "sites": SITES, "bfd_ms": 300, "bare": False})


def make_mesh(dry_run):
    """The lab, or without one the same programs on loopback."""
    why = "asked for by --dry-run" if dry_run else lab_net.why_not_possible()
    if why is None:
        with lab_mesh.alone():
            return lab_mesh.build(SITES, lab_mesh.DEFAULT_DIR, 300), True
    print(f"no packets: {why}; the data plane is dry-run\n")
    mesh = dry_mesh()
    mesh.kill_everything()
    lab_mesh.prepare_dir(mesh.dir)
    return mesh, False


def remove(packets):
    """Removes what this run, or an earlier one with --keep, left."""
    if packets and os.geteuid() == 0:
        with lab_mesh.alone():
            lab_mesh.tear_down(lab_mesh.DEFAULT_DIR)
    if not packets or not lab_net.our_namespaces():
        mesh = dry_mesh()
        mesh.kill_everything()
        lab_mesh.clear_dir(mesh.dir)


def main():
    parser = argparse.ArgumentParser(prog="story.py", description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave everything up")
    parser.add_argument("--remove", action="store_true", help="only remove what an earlier --keep left")
    parser.add_argument("--dry-run", action="store_true", help="no packets, also where a lab is possible")
    arguments = parser.parse_args()
    if arguments.remove:
        remove(True)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception: what was built is removed
    mesh, packets, status = None, True, 1
    try:
        mesh, packets = make_mesh(arguments.dry_run)
        story = Story(mesh, packets)
        story.tell()
        story.table()
        status = 0
    except (LabError, KeyError, ValueError, OSError) as error:
        print(f"\nFAILED: {error if isinstance(error, LabError) else repr(error)}", file=sys.stderr)
        if mesh:
            show_logs(mesh)
    except KeyboardInterrupt:
        status = 130
    finally:
        if mesh and arguments.keep:
            print(f"\nleft up: build/release/bin/meshcli --context {mesh.context} status\n"
                  "remove it with ops/quickstart --remove")
        else:
            remove(packets)
    return status


def show_logs(mesh):
    for name in ["meshd", *(site.name for site in mesh.sites)]:
        tail = mesh.log_tail(name)
        if tail:
            print(f"--- {name}.log\n{tail}", file=sys.stderr, end="")


if __name__ == "__main__":
    sys.exit(main())

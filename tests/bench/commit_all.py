#!/usr/bin/python3
"""`tlm commit all` of a full mesh: the real meshd and the real tlm, with and without templates.

Usage: commit_all.py BIN_DIR [--nodes 100] [--repetitions 5] [--quick] [--table]
Method: three networks of one controller each, on loopback: without templates, with the built-in ones (routing_style
loopback) and with own ones at global. Each repetition goes through all of them: one node changed, all changed, nothing
changed, and the same two again right after a start of meshd, when nothing is remembered. The first is dropped.
Measured is `tlm commit all` from fork to exit; processor time and peak memory are the kernel's, of tlm, meshd, its
renderers and what they start, and belong to that commit alone. It is checked how many versions were made, and the log
is verified at the end. Prints JSON; exit 1 when a check fails. No time is judged.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TEMPLATES = HERE.parents[1] / "broker" / "render" / "templates"
NETWORKS = ("no templates", "built-in templates", "own templates")
CASES = ("one node", "all nodes", "nothing", "one node, meshd just started", "all nodes, meshd just started")
FIRST = 11  # the number of the first node
TICKS = os.sysconf("SC_CLK_TCK")
OWN = {
    "hosts.conf.jinja": "{% for id, peer in bgp_peers.items()|sort %}{{ peer.ip }} {{ peer.name }}\n{% endfor %}",
    "startup_loopback.jinja": "#!/bin/sh\nip link add loopback type dummy 2>/dev/null\nip link set loopback up\n"
                              "ip addr replace {{ loopback_ipv4 }} dev loopback\n"
                              "ip addr replace {{ loopback_ipv6 }} dev loopback\n",
}


def stat(pid):
    """Of a process: (its parent, seconds of processor time with what it started and waited for)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), sum(map(int, fields[11:15])) / TICKS


def peak(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def forget_peak(pid):
    try:
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pass  # without the right, the peak since its start is what there is


def children(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and stat(entry.name)[0] == pid:
                found.append(int(entry.name))
        except (OSError, ValueError):
            pass  # it has just ended
    return sorted(found)


class Network:
    bin = pathlib.Path()

    def __init__(self, mesh_class, kind, nodes):
        self.kind, self.nodes, self.value = kind, nodes, 100
        self.mesh = mesh_class(profile="towalink")
        self.mesh.start_controller()
        sites = {f"site{number}": {"attributes": {"lans": [f"10.{number // 256}.{number % 256}.0/24"]},
                                   "nodes": {"r1": {"attributes": {"endpoint": f"r{number}.example.net"}}}}
                 for number in range(1, nodes + 1)}
        common = {} if kind == NETWORKS[0] else {"routing_style": "loopback"}
        self.mesh.cli("apply", "-f", "-", "--yes", "-m", "the network",
                      stdin=json.dumps({"global": common, "sites": sites}).encode())
        if kind == NETWORKS[2]:
            folder = self.mesh.dir / "own"
            folder.mkdir()
            for file in TEMPLATES.iterdir():
                (folder / file.name).write_text("{# our own #}" + file.read_text())
            for name, text in OWN.items():
                (folder / name).write_text(text)
            self.mesh.cli("files", "push", folder, "--yes", "-m", "templates")

    def restart(self):
        self.mesh.controller.terminate()
        self.mesh.controller.wait()
        self.mesh.start_controller()

    def change(self, what):
        self.value = 100 + (self.value + 1) % 1000
        if what.startswith("one"):
            self.mesh.cli("set", "node", FIRST, f"wg_links.{FIRST + 1}.wg_peer_keepalive", self.value)
            return 1
        if what.startswith("all"):
            self.mesh.cli("set", "global", "wg_keepalive", self.value)
            return self.nodes
        return 0

    def commit(self, what, expected):
        """{figure: value}; raises when other than `expected` versions were made."""
        meshd = self.mesh.controller.pid
        before = children(meshd)
        used = stat(meshd)[1] + sum(stat(pid)[1] for pid in before)
        for pid in [meshd, *before]:
            forget_peak(pid)
        begin = time.monotonic()
        process = subprocess.Popen([Network.bin / "tlm", "--context", self.mesh.context, "commit", "all", "-m", what,
                                    "--yes"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode != 0:
            raise AssertionError(f"{self.kind}, {what}: exit {process.returncode}")
        if not said.startswith(f"all: {expected} version".encode()):
            raise AssertionError(f"{self.kind}, {what}: {said.decode()}, expected {expected} versions")
        after = children(meshd)
        figures = {"wall_ms": wall * 1e3,
                   "cpu_ms": (stat(meshd)[1] + sum(stat(pid)[1] for pid in after) - used + usage.ru_utime +
                              usage.ru_stime) * 1e3,
                   "meshd_peak_mib": peak(meshd) / 2**20,
                   "renderers_peak_mib": sum(map(peak, after)) / 2**20,
                   "renderers": len(after),
                   "tlm_peak_mib": usage.ru_maxrss / 2**10}
        return figures


def run(options, mesh_class, mesh_bin):
    networks, samples = [], {}
    Network.bin = mesh_bin
    can_render = subprocess.run(["/usr/bin/python3", "-c", "import jinja2"], stderr=subprocess.DEVNULL,
                                check=False).returncode == 0
    try:
        for kind in NETWORKS if can_render else NETWORKS[:1]:
            networks.append(Network(mesh_class, kind, options.nodes))
        load = [os.getloadavg()[0]]
        for network in networks:
            samples[network.kind, "the first commit"] = [network.commit("first", options.nodes)]
        for repetition in range(1 + options.repetitions):
            for case in CASES:
                for network in networks:
                    expected = network.change(case)
                    if case.endswith("started"):
                        network.restart()
                    figures = network.commit(case, expected)
                    if repetition > 0:
                        samples.setdefault((network.kind, case), []).append(figures)
            load.append(os.getloadavg()[0])
        for network in networks:
            if not network.mesh.json("verify")["ok"]:
                raise AssertionError(f"{network.kind}: the log does not verify")
    finally:
        for network in networks:
            network.mesh.__exit__()
    rows = []
    for (kind, case), all_figures in samples.items():
        row = {"templates": kind, "changed": case, "repetitions": len(all_figures)}
        for name in all_figures[0]:
            values = [figures[name] for figures in all_figures]
            row[name] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        rows.append(row)
    return {"kind": "CommitAll", "nodes": options.nodes, "durable": True, "encrypted": True, "signed": True,
            "can_render": can_render, "load": {"min": min(load), "max": max(load)}, "processors": os.cpu_count(),
            "rows": rows}


def print_table(document):
    print(f"{document['nodes']} nodes full mesh, {document['processors']} processors, load "
          f"{document['load']['min']:.1f} to {document['load']['max']:.1f}")
    print("| templates | changed | wall ms (spread) | cpu ms | meshd MiB | renderers MiB | tlm MiB |")
    print("|---|---|---|---|---|---|---|")
    for row in document["rows"]:
        wall = row["wall_ms"]
        peaks = [f"{row[name + '_peak_mib']['max']:.0f}" for name in ("meshd", "renderers", "tlm")]
        print(f"| {row['templates']} | {row['changed']} | {wall['median']:.0f} "
              f"({wall['min']:.0f} to {wall['max']:.0f}) | {row['cpu_ms']['median']:.0f} | {' | '.join(peaks)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="4 nodes, 1 repetition: shows that it works")
    parser.add_argument("--table", action="store_true", help="for people, instead of JSON")
    options = parser.parse_args()
    if options.quick:
        options.nodes, options.repetitions = 4, 1
    os.environ["MESH_BIN_DIR"] = str(options.bin.resolve())
    sys.path.insert(0, str(HERE.parent / "process"))
    from mesh import BIN, Mesh
    document = run(options, Mesh, BIN)
    if options.table:
        print_table(document)
    else:
        print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()

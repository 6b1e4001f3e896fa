"""What a soak looks at: is the mesh quiet, does it agree with itself, and did anything grow that should not."""

import contextlib
import json
import os
import time

import lab_net
from lab_net import CONTROLLER_NS, LabError
from lab_reach import unreachable
from lab_topology import reachable

PROGRAMS = ("meshd", "meshnode", "bird", "wireguard-go")
# What a program may have more than at its largest during the warm-up: KiB of resident memory. meshd: the memtables of
# RocksDB fill up; wireguard-go: Go collects when its heap has doubled.
RSS_MORE_KB = {"meshd": 48 << 10, "meshnode": 8 << 10, "bird": 4 << 10, "wireguard-go": 24 << 10}
FILES_MORE = {"meshd": 64, "meshnode": 8, "bird": 4, "wireguard-go": 4}  # open files; RocksDB opens its tables
DATA_MORE = {"controller": 64, "nodes": 6, "run": 2}  # files on disk; tables wait for a compaction
VERSIONS_MAX = 12  # directories below versions/: ten are kept, and the active and the former one if older


class World:
    """What the soak itself did and has not undone: what must work follows from it."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.links = {(a, b) for a, b, _ in mesh.graph.links}  # that the intent wants
        self.cut = set()          # of links: pairs of numbers, low first
        self.off = set()          # routers without power
        self.agents_down = set()  # routers whose meshnode is dead
        self.apart = set()        # routers cut off from the controller
        self.controller_up = True
        self.extra_lans = set()   # sites that announce 10.I.1.0/24 as well

    def sites_on(self):
        return [site for site in self.mesh.sites if site.number not in self.off]

    def alive_links(self):
        return {link for link in self.links - self.cut if not self.off & set(link)}

    def components(self):
        """The sites that must reach each other, as lists."""
        left = {site.number for site in self.sites_on()}
        while left:
            together = reachable(self.alive_links(), min(left)) & left
            left -= together
            yield [site for site in self.mesh.sites if site.number in together]

    def stays_connected_without(self, link):
        return len(reachable((self.links - self.cut) - {link}, 1)) == len(self.mesh.sites)


class Process:
    def __init__(self, pid, program, site, detail):
        self.pid, self.program, self.site, self.detail = pid, program, site, detail
        self.key = (program, site, detail)


def processes(mesh):
    """The programs of the lab that are alive."""
    where = {lab_net.namespace_id(f"{lab_net.NETNS_DIR}/{site.router_ns}"): site for site in mesh.sites}
    controller = lab_net.namespace_id(f"{lab_net.NETNS_DIR}/{CONTROLLER_NS}")
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        place = lab_net.namespace_id(f"/proc/{entry}/ns/net")
        if place is None or (place != controller and place not in where):
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/cmdline", encoding="utf-8", errors="replace") as file:
                argv = file.read().split("\0")
            program = os.path.basename(argv[0])
            site = where[place].number if place in where else 0
            found.append(Process(int(entry), program, site, argv[1] if program == "wireguard-go" else ""))
    return found


class Watch:
    """Polls until the mesh is as the World says that it must be; a bound that only a failure reaches."""

    def __init__(self, world):
        self.world = world
        self.mesh = world.mesh
        self.limit_s = 60 + 3 * len(self.mesh.sites)
        self.reach_s = 10  # the sessions are up: a pair that is silent for so long does not reach
        self.pairs_asked = 0
        self.head = 0  # the controller's newest entry when last seen

    def settle(self):
        """Returns when all is quiet and every check holds; else a LabError that says what does not."""
        deadline = time.monotonic() + self.limit_s
        while True:
            missing = self.not_quiet()
            if missing is None:
                break
            if time.monotonic() > deadline:
                raise LabError(f"not quiet within {self.limit_s} s: {missing}")
            time.sleep(0.1)
        self.check_reach()
        if self.world.controller_up:
            self.check_history()

    def not_quiet(self):
        """What is not yet as it must be; None when everything is."""
        world = self.world
        found = processes(self.mesh)
        head = self.mesh.cli_json("controller", "status") if world.controller_up else None
        listed = {item["site"]: item for item in self.listed()} if head else {}
        for site in world.sites_on():
            if site.number in world.agents_down:
                continue
            missing = self.node_missing(site, head, listed.get(site.name))
            if missing:
                return f"{site.name}: {missing}"
        if head:
            self.head = self.mesh.cli_json("controller", "status")["sequence"]
            if self.head != head["sequence"]:
                return f"the log moved from {head['sequence']} to {self.head}"
        return self.process_missing(found) or self.route_missing()

    def listed(self):
        return self.mesh.cli_json("list", "nodes", "all")["items"]

    def node_missing(self, site, head, listed):
        try:
            status = self.mesh.node_status(site)
        except LabError as error:
            return str(error)
        if not status.get("running", True) or not status.get("bird_running", True):
            return f"meshnode or bird not running: {status}"
        follows = head is not None and site.number not in self.world.apart
        if follows:
            for name in ("sequence", "root"):
                if status[name] != head[name]:
                    return f"{name} {status[name]}, the controller's {head[name]}"
            if status["controller"] != "connected" or status["state"] != "ok" or status.get("pending"):
                return ", ".join(f"{name} {status[name]}" for name in ("controller", "state", "pending", "problem"))
            if status["active"] != listed["version_active"] or listed["version_wanted"] != status["active"]:
                return f"active {status['active']}, the log says {listed['version_active']}"
        alive = self.world.alive_links()
        for link in self.links_of(site):
            state = next((one for one in status["links"] if one["peer"] == self.node_id(link, site)), None)
            if state is None:
                return f"no link to {link}"
            if link in alive and not (state["bgp_up"] and state["bfd_up"]):
                return f"link {link}: BGP or BFD is down: {state}"
        return None

    def links_of(self, site):
        return sorted(link for link in self.world.links if site.number in link)

    @staticmethod
    def node_id(link, site):
        """Ids are given from 11 upward in the order of the sites."""
        return 10 + (link[0] + link[1] - site.number)

    def process_missing(self, found):
        world = self.world
        wanted = {("meshd", 0, "")} if world.controller_up else set()
        for site in world.sites_on():
            wanted |= {("bird", site.number, ""), ("sleep", site.number, "")}
            if site.number not in world.agents_down:
                wanted.add(("meshnode", site.number, ""))
            for link in self.links_of(site):
                wanted.add(("wireguard-go", site.number, f"tlwg_{self.node_id(link, site)}"))
        there = sorted(process.key for process in found)
        if there == sorted(wanted):
            return None
        more = [key for key in there if key not in wanted or there.count(key) > 1]
        return f"processes: missing {sorted(wanted - set(there))}, too many {more}"

    def route_missing(self):
        """A LAN that was added is in every router that can reach it; one that was removed in none."""
        for part in self.world.components():
            for site in part:
                routes = json.loads(self.mesh.in_router(site, "ip", "-j", "route", "show", "proto", "bird"))
                there = {route["dst"] for route in routes}
                for other in self.mesh.sites:
                    wanted = other in part and other is not site and other.number in self.world.extra_lans
                    lan = f"10.{other.number}.1.0/24"
                    if (lan in there) != wanted:
                        return f"{site.name} {'lacks a' if wanted else 'still has a'} route to {lan}"
        return None

    def check_reach(self):
        for part in self.world.components():
            self.pairs_asked += 2 * len(part) * (len(part) - 1)
            failed = unreachable(part, self.reach_s)
            if failed:
                shown = ", ".join(f"{a} -> {b} (IPv{family})" for a, b, family in failed[:8])
                raise LabError(f"{len(failed)} pairs do not reach each other: {shown}")

    def check_history(self):
        done = self.mesh.try_cli("verify", "--nodes", "-o", "json")
        if done.returncode != 0:
            raise LabError(f"meshcli verify --nodes: exit {done.returncode}: {(done.stdout + done.stderr).strip()}")
        said = json.loads(done.stdout)
        following = len(self.mesh.sites) - len(self.world.off | self.world.agents_down | self.world.apart)
        if not said["ok"] or said["nodes_agree"] < following:
            raise LabError(f"meshcli verify --nodes: {done.stdout.strip()}")


class Growth:
    """The largest of everything that must not grow: during the warm-up, and now."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.baseline = {}
        self.largest = {}
        self.last = {}

    def measure(self):
        now = {}
        for process in processes(self.mesh):
            if process.program in PROGRAMS:
                for name, value in (("rss_kb", rss_kb(process.pid)), ("open_files", open_files(process.pid))):
                    key = f"{process.program} {name}"
                    now[key] = max(now.get(key, 0), value)
        now["controller files"] = len(files_below(self.mesh.data))
        below = [files_below(self.mesh.node_data(site)) for site in self.mesh.sites]
        now["nodes files"] = max(sum("/versions/" not in path for path in paths) for paths in below)
        now["versions kept"] = max(len({path.split("/versions/")[1].split("/")[0] for path in paths
                                        if "/versions/" in path}) for paths in below)
        now["run files"] = max(self.run_files(site) for site in self.mesh.sites)
        self.last = now
        for key, value in now.items():
            self.largest[key] = max(self.largest.get(key, 0), value)

    def run_files(self, site):
        holder = self.mesh.pid_of(f"{site.name}.holder", site.router_ns)
        return sum(len(files_below(f"/proc/{holder}/root{path}")) for path in lab_net.PRIVATE_DIRS) if holder else 0

    def warmed_up(self):
        self.baseline = dict(self.largest)

    def bound(self, key):
        what, name = key.split(" ", 1)
        if name == "kept":
            return VERSIONS_MAX
        more = {"rss_kb": RSS_MORE_KB, "open_files": FILES_MORE, "files": DATA_MORE}[name]
        return self.baseline[key] + more[what]

    def check(self):
        for key, value in self.last.items():
            if self.baseline and value > self.bound(key):
                raise LabError(f"{key} grew to {value}: {self.baseline[key]} in the warm-up, at most {self.bound(key)}")

    def report(self):
        return {key: {"baseline": self.baseline.get(key), "largest": self.largest[key], "last": self.last.get(key),
                      "bound": self.bound(key) if self.baseline else None} for key in sorted(self.largest)}


def rss_kb(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return 0


def open_files(pid):
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def files_below(folder):
    return [os.path.join(here, name) for here, _, names in os.walk(folder) for name in names]

"""The programs of the lab: one meshd and a meshnode for each site, driven through meshcli as a user would."""

import concurrent.futures
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import lab_net
from lab_net import CONTROLLER4, CONTROLLER_NS, LabError, Site, say
from lab_reach import unreachable
from lab_topology import Graph, check_fits, free_memory_mb

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
MARKER = ".meshlog-lab"
DEFAULT_DIR = "/var/tmp/meshlog-lab"
NODE = "gw"
LOCK_SECONDS = 600


def binary(name):
    path = os.path.join(os.environ.get("MESHLOG_BIN", os.path.join(ROOT, "build/release/bin")), name)
    if not os.access(path, os.X_OK):
        raise LabError(f"{path} is not built: run ops/build")
    return path


def prepare_dir(path):
    """An empty directory for a lab. Only what a lab made is ever removed from it."""
    clear_dir(path)
    if os.path.isdir(path) and os.listdir(path):
        raise LabError(f"{path} is not empty and not of a lab: choose another --dir")
    for folder in ("nodes", "logs", "pids"):
        os.makedirs(os.path.join(path, folder), mode=0o755)
    lab_net.write_text(os.path.join(path, MARKER), "made by ops/lab; ops/lab down removes it\n")


def clear_dir(path):
    if os.path.exists(os.path.join(path, MARKER)):
        shutil.rmtree(path)


@contextlib.contextmanager
def alone():
    """One command changes the lab at a time. The lock is on a directory that is always there."""
    folder = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    deadline = None
    try:
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if deadline is None:
                    deadline = time.monotonic() + LOCK_SECONDS
                    say("waiting for another ops/lab")
                if time.monotonic() > deadline:
                    raise LabError(f"another ops/lab is still at work after {LOCK_SECONDS} s") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(folder)


class Mesh:
    """A lab that exists: `dir` holds controller/, nodes/siteI/, logs/ and pids/."""

    dataplane = "linux"
    address, port = CONTROLLER4, 7400

    def __init__(self, state):
        self.dir = state["dir"]
        self.bfd_ms = state["bfd_ms"]
        self.bare = state["bare"]
        self.sites = [Site(i) for i in range(1, state["sites"] + 1)]
        record = state.get("topology")
        self.graph = Graph.of_record(record) if record else Graph.full_mesh(len(self.sites))
        self.data = os.path.join(self.dir, "controller")
        self.context = os.path.join(self.data, "admin.context")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def site(self, name):
        for site in self.sites:
            if site.name == name:
                return site
        raise LabError(f"there is no {name}: sites are site1 to site{len(self.sites)}", 64)

    @staticmethod
    def node_name(site):
        return f"{NODE}.{site.name}"

    def node_data(self, site):
        return self.path("nodes", site.name)

    def allow_file(self, site):
        """The router's own; what the machine permits to a meshnode of its own is not the lab's."""
        return self.path("nodes", f"{site.name}.allow.toml")

    def authorized_keys(self, site):
        return self.path("nodes", f"{site.name}.authorized_keys")

    # Programs.

    def cli(self, *words, timeout=120, ok=(0,)):
        """Runs meshcli from the host, as a user does; returns what it printed."""
        done = self.try_cli(*words, timeout=timeout)
        if done.returncode not in ok:
            raise LabError(f"meshcli {' '.join(words)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def try_cli(self, *words, timeout=120):
        try:
            return subprocess.run([binary("meshcli"), "--context", self.context, *words], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"meshcli {' '.join(words)}: no answer in {timeout} s") from None

    def cli_json(self, *words, timeout=120):
        return json.loads(self.cli(*words, "-o", "json", timeout=timeout))

    def node_status(self, site):
        return json.loads(self.in_router(site, binary("meshnode"), "status", "--data", self.node_data(site),
                                         "-o", "json"))

    def in_router(self, site, *argv):
        return lab_net.run(*self.enter_router(site), *argv).stdout

    def enter_router(self, site):
        holder = self.pid_of(f"{site.name}.holder", site.router_ns)
        if holder is None:
            raise LabError(f"{site.name} is powered off: ops/lab node {site.name} start")
        return ["nsenter", "--target", str(holder), "--mount", "--net", "--root", "--"]

    def enter_controller(self):
        return ["ip", "netns", "exec", CONTROLLER_NS]

    def spawn(self, name, argv):
        """Starts a program that outlives this one; its output goes to logs/NAME.log."""
        with open(self.path("logs", f"{name}.log"), "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                       start_new_session=True)
        lab_net.write_text(self.path("pids", name), process.pid)
        return process

    def pid_of(self, name, netns):
        """The recorded pid, if it still is a living process of that namespace."""
        try:
            pid = int(lab_net.read_text(self.path("pids", name)))
        except (FileNotFoundError, ValueError):
            return None
        return pid if self.is_ours(pid, netns) else None

    def is_ours(self, pid, netns):
        return lab_net.lives_in(pid, netns)

    def end(self, name, netns, signal_number, seconds=30):
        """Sends the signal and waits until the process is gone."""
        pid = self.pid_of(name, netns)
        if pid is None:
            return
        os.kill(pid, signal_number)
        deadline = time.monotonic() + seconds
        while not lab_net.has_ended(pid):
            lab_net.reap()
            if time.monotonic() > deadline:
                raise LabError(f"{name} (pid {pid}) does not end within {seconds} s")
            time.sleep(0.005)

    def log_tail(self, name, lines=15):
        with contextlib.suppress(FileNotFoundError):
            with open(self.path("logs", f"{name}.log"), encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        return ""

    # Controller.

    def init_controller(self):
        done = lab_net.run(binary("meshd"), "init", "--data", self.data,
                           "--listen", f"tcp://{self.address}:{self.port}",
                           "--enrol", f"tcp://{self.address}:{self.port + 1}")
        lab_net.write_text(self.path("logs", "init.log"), done.stderr)

    def start_controller(self):
        if self.pid_of("meshd", CONTROLLER_NS):
            raise LabError("the controller is already running")
        log = self.path("logs", "meshd.log")
        start = os.path.getsize(log) if os.path.exists(log) else 0
        process = self.spawn("meshd", [*self.enter_controller(), binary("meshd"), "run", "--data", self.data])
        deadline = time.monotonic() + 60
        while True:
            with open(log, encoding="utf-8", errors="replace") as file:
                file.seek(start)
                if any(line.split()[:1] == ["ready"] for line in file):
                    return
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"meshd did not become ready:\n{self.log_tail('meshd')}")
            time.sleep(0.01)

    def stop_controller(self):
        self.end("meshd", CONTROLLER_NS, signal.SIGTERM)

    def kill_controller(self):
        self.end("meshd", CONTROLLER_NS, signal.SIGKILL)

    # Nodes.

    def power_on(self, sites):
        """Private mounts for every router; a router that has them keeps them."""
        waiting = []
        for site in sites:
            if self.pid_of(f"{site.name}.holder", site.router_ns) is None:
                waiting.append((site, lab_net.start_holder(site, self.path("pids"))))
        for site, holder in waiting:
            lab_net.write_text(self.path("pids", f"{site.name}.holder"), lab_net.holder_ready(holder, site))

    def add_site(self, site):
        node = self.node_name(site)
        self.cli("add", "site", site.name)
        self.cli("add", "node", node)
        self.cli("set", "site", site.name, "lans", site.lans)
        self.cli("set", "node", node, "endpoint", site.wan4)
        if self.graph.name is not None:
            self.cli("set", "node", node, "groups", json.dumps(self.graph.groups(site.number)))

    def join(self, site):
        token = self.cli_json("token", "create", "--node", self.node_name(site))["token"]
        path = self.path("nodes", f"{site.name}.token")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(token + "\n")
        try:
            self.in_router(site, binary("meshnode"), "join", "--token-file", path, "--data", self.node_data(site))
        finally:
            os.unlink(path)

    def start_agent(self, site):
        if self.agent_pid(site):
            raise LabError(f"meshnode of {site.name} is already running")
        self.spawn(site.name, [*self.enter_router(site), binary("meshnode"), "run", "--data", self.node_data(site),
                               "--dataplane", self.dataplane, "--allow", self.allow_file(site),
                               "--authorized-keys", self.authorized_keys(site)])

    def agent_pid(self, site):
        return self.pid_of(site.name, site.router_ns)

    def start_node(self, site):
        self.power_on([site])
        if not self.bare:
            self.start_agent(site)

    def stop_node(self, site):
        """An orderly shutdown of the machine: meshnode first, then everything else."""
        self.end(site.name, site.router_ns, signal.SIGTERM)
        lab_net.power_off(site)

    def kill_node(self, site):
        """The plug is pulled: meshnode, WireGuard, BIRD and every interface at once."""
        lab_net.power_off(site)

    def reboot_node(self, site):
        """The machine resets: all of it dies at once, an empty /run, a new boot id; then meshnode is started, as
        systemd would, and nothing else."""
        self.kill_node(site)
        self.start_node(site)

    def kill_agent(self, site):
        self.end(site.name, site.router_ns, signal.SIGKILL)

    # The whole.

    def for_all_sites(self, step):
        """`step(site)` for every site, a few at a time; the first failure is raised."""
        with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
            for result in [pool.submit(step, site) for site in self.sites]:
                result.result()

    def describe(self):
        return {
            "dir": self.dir, "context": self.context,
            "controller": {"pid": self.pid_of("meshd", CONTROLLER_NS), "data": self.data, "netns": CONTROLLER_NS},
            "sites": [{"name": s.name, "node": self.node_name(s), "router_ns": s.router_ns, "lan_ns": s.lan_ns,
                       "lan4": s.lan4, "lan6": s.lan6, "wan4": s.wan4, "data": self.node_data(s),
                       "pid": self.agent_pid(s), "place": self.graph.places[s.number - 1]} for s in self.sites],
            "topology": self.graph.name,
            "links": [{"a": f"site{a}", "b": f"site{b}", "km": km} for a, b, km in self.graph.links]}


class DryMesh(Mesh):
    """The same programs on loopback with the dry-run data plane, where no lab is possible: no packets."""

    dataplane = "dry-run"
    address = "127.0.0.1"

    def __init__(self, state):
        super().__init__(state)
        self.port = free_ports()

    def is_ours(self, pid, netns):
        """A process whose command line names our directory, so that a recycled number is left alone."""
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                return self.dir in file.read()
        except OSError:
            return False

    def enter_controller(self):
        return []

    def enter_router(self, site):
        return []

    def power_on(self, sites):
        pass

    def stop_node(self, site):
        self.end(site.name, site.router_ns, signal.SIGTERM)

    def kill_node(self, site):
        self.kill_agent(site)

    def kill_everything(self):
        for site in self.sites:
            self.kill_agent(site)
        self.kill_controller()


def free_ports():
    """A port that is free together with its successor; the controller comes back on the same after a crash."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port


# The life of a lab.

def tear_down(directory):
    state = lab_net.read_state() or {}
    lab_net.remove_all(state)
    for path in {state.get("dir"), directory} - {None}:
        clear_dir(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(lab_net.STATE_FILE)


def build(sites, directory, bfd_ms, bare=False, graph=None):
    """A fresh network and an empty directory; returns the Mesh, in which nothing runs yet."""
    why = lab_net.why_not_possible()
    if why:
        raise LabError(f"not possible on this machine: {why}", lab_net.NOT_POSSIBLE)
    if not 1 <= sites <= lab_net.SITES_MAX:
        raise LabError(f"a lab has 1 to {lab_net.SITES_MAX} sites, not {sites}", 64)
    if not bare:
        check_fits(graph or Graph.full_mesh(sites), free_memory_mb())
    if lab_net.our_namespaces() or lab_net.read_state():
        say("removing the lab that was there")
        tear_down(None)
    prepare_dir(directory)
    state = {"dir": directory, "sites": sites, "bfd_ms": bfd_ms, "bare": bare, "sysctls": {},
             "topology": graph.record() if graph else None,
             "made": [path for path in lab_net.PRIVATE_DIRS if not os.path.isdir(path)]}
    lab_net.write_state(state)
    for path in state["made"]:
        os.mkdir(path, mode=0o755)
    mesh = Mesh(state)
    lab_net.raise_sysctls(state, sites, len(mesh.graph.links))
    lab_net.build(mesh.sites)
    mesh.power_on(mesh.sites)
    return mesh


def wait_reach(mesh, sites, seconds=None):
    """Returns when all reach all; else a LabError that names the pairs."""
    failed = unreachable(sites, seconds or 60 + 3 * len(mesh.sites))
    if failed:
        shown = ", ".join(f"{a} -> {b} (IPv{family})" for a, b, family in failed[:20])
        more = f" and {len(failed) - 20} more" if len(failed) > 20 else ""
        raise LabError(f"{len(failed)} pairs of LAN hosts do not reach each other: {shown}{more}")

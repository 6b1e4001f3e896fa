"""Network namespaces of the lab: a routed internet, a router and a LAN host for each site, the controller.

Layout (I = number of the site):
  mesh-inet        routes between everybody; a cut is a dropped pair of addresses in its forward chain
  mesh-siteI       the router: wan0 198.18.I.2/30, lan0 10.I.0.1/24 and fd00:I::1/64
  mesh-siteI-lan   a host behind it: lan0 10.I.0.10/24 and fd00:I::10/64, default route to the router
  mesh-controller  meshd: wan0 198.18.0.2/30
  (host)           meshlab0 198.18.255.2/30 with one route, to the controller, for meshcli
Everything is found again by the names of the namespaces, so that nothing has to be remembered to clean up.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid

SITES_MAX = 250
STATE_FILE = "/run/meshlog-lab.json"
NETNS_DIR = "/run/netns"
OURS = re.compile(r"^mesh-(inet|controller|site\d+|site\d+-lan)$")
HOST_LINK = "meshlab0"
PRIVATE_DIRS = ["/run/wireguard", "/run/meshnode"]
CLONE_NEWNET = 0x40000000
NOT_POSSIBLE = 77

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """A step failed; the message is for the user."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(*argv, feed=None, check=True, timeout=120):
    """Runs a program to its end and returns it; a failure is a LabError with what it said."""
    try:
        done = subprocess.run(argv, input=feed, stdin=None if feed else subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(argv[:6])}: no end within {timeout} s") from None
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv[:6])}: {(done.stderr or done.stdout).strip() or done.returncode}")
    return done


def ip_batch(lines, netns=None):
    where = ["-n", netns] if netns else []
    run("ip", *where, "-batch", "-", feed="\n".join(lines) + "\n")


@contextlib.contextmanager
def in_netns(name):
    """The calling thread is in the namespace inside the block; sockets made there stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"{NETNS_DIR}/{name}", os.O_RDONLY)
    try:
        if _libc.setns(there, CLONE_NEWNET) != 0:
            raise LabError(f"cannot enter {name}: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        if _libc.setns(home, CLONE_NEWNET) != 0:
            raise LabError("cannot return to the namespace of the host")
        os.close(there)
        os.close(home)


class Site:
    """Names and addresses of site `number`."""

    def __init__(self, number):
        self.number = number
        self.name = f"site{number}"
        self.router_ns = f"mesh-{self.name}"
        self.lan_ns = f"mesh-{self.name}-lan"
        self.wan4 = f"198.18.{number}.2"
        self.wan4_gateway = f"198.18.{number}.1"
        self.lan4 = f"10.{number}.0.10"
        self.lan6 = f"fd00:{number}::10"
        self.lans = f'["10.{number}.0.0/24", "fd00:{number}::/64"]'


CONTROLLER_NS = "mesh-controller"
CONTROLLER4 = "198.18.0.2"
HOST4 = "198.18.255.2"


# What is there.

def our_namespaces():
    names = os.listdir(NETNS_DIR) if os.path.isdir(NETNS_DIR) else []
    return sorted(name for name in names if OURS.match(name))


def namespace_id(path):
    try:
        status = os.stat(path)
        return (status.st_dev, status.st_ino)
    except OSError:
        return None


def processes_in(names):
    """The living processes in the named namespaces (a zombie is in none)."""
    wanted = {namespace_id(f"{NETNS_DIR}/{name}") for name in names} - {None}
    return [int(entry) for entry in os.listdir("/proc")
            if entry.isdigit() and namespace_id(f"/proc/{entry}/ns/net") in wanted]


def lives_in(pid, name):
    """True when `pid` is a living process of that namespace: a recycled number is not."""
    there = namespace_id(f"{NETNS_DIR}/{name}")
    return there is not None and namespace_id(f"/proc/{pid}/ns/net") == there


def has_ended(pid):
    """True when the process is gone, or a zombie without threads. A dying process leaves its namespaces and its
    command line before it lets go of its files, and with them of locks and interfaces: only then may another take
    its place."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state = file.read().rpartition(")")[2].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def kill_processes_in(names):
    """Kills until nobody is left: a process may fork while it is being looked at."""
    deadline = time.monotonic() + 10
    killed = set()
    while True:
        pids = processes_in(names)
        killed.update(pids)
        if not pids and all(has_ended(pid) for pid in killed):
            return
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(killed)} do not die")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.01)


def reap():
    """Collects children that were killed, when this process is their parent."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass


def why_not_possible():
    """None when this machine can hold a lab, else the reason."""
    if os.geteuid() != 0:
        return "needs root"
    try:
        probe = subprocess.run(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-ec",
             "mount -t tmpfs tmpfs /run; ip link add p0 type veth peer name p1;"
             "ip link add p2 type wireguard 2>&- || ip tuntap add p2 mode tun;"
             "nft add table inet probe"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        return f"{error.filename} is missing (ops/deps)"
    except subprocess.TimeoutExpired:
        return "making a network namespace does not end"
    if probe.returncode != 0:
        return (f"no network namespaces with veth, TUN (or kernel WireGuard) and nftables here: "
                f"{probe.stderr.strip() or 'unshare failed'}")
    return None


# State that outlives the command: only what cannot be found again by name.

def read_state():
    try:
        with open(STATE_FILE, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return None


def write_state(state):
    with open(STATE_FILE + ".new", "w", encoding="utf-8") as file:
        json.dump(state, file)
    os.replace(STATE_FILE + ".new", STATE_FILE)


def raise_sysctls(state, sites, links):
    """wireguard-go takes an inotify instance each, and every router has neighbours in one table of the host."""
    for path, wanted in [("/proc/sys/fs/inotify/max_user_instances", 1024 + 8 * links),
                         ("/proc/sys/net/ipv4/neigh/default/gc_thresh3", 1024 + 16 * sites),
                         ("/proc/sys/net/ipv6/neigh/default/gc_thresh3", 1024 + 16 * sites + 8 * links)]:
        if not os.path.exists(path):
            continue
        before = int(read_text(path))
        if before < wanted:
            state["sysctls"][path] = [before, wanted]
            write_state(state)
            write_text(path, wanted)


def restore_sysctls(state):
    for path, (before, ours) in state.get("sysctls", {}).items():
        if int(read_text(path)) == ours:
            write_text(path, before)


def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def write_text(path, value):
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(value))


# Building.

def build(sites):
    """All namespaces, links, addresses and routes. No mesh yet: LAN hosts reach only their own router."""
    names = ["mesh-inet", CONTROLLER_NS] + [ns for s in sites for ns in (s.router_ns, s.lan_ns)]
    ip_batch([f"netns add {name}" for name in names])
    veths = [f"link add {HOST_LINK} type veth peer name host netns mesh-inet",
             f"link add wan0 netns {CONTROLLER_NS} type veth peer name controller netns mesh-inet"]
    inet = ["link set lo up"] + up("host", "198.18.255.1/30") + up("controller", "198.18.0.1/30")
    for s in sites:
        veths.append(f"link add wan0 netns {s.router_ns} type veth peer name {s.name} netns mesh-inet")
        veths.append(f"link add lan0 netns {s.router_ns} type veth peer name lan0 netns {s.lan_ns}")
        inet += up(s.name, f"{s.wan4_gateway}/30")
    ip_batch(veths)
    ip_batch(inet, "mesh-inet")
    ip_batch(["link set lo up"] + up("wan0", f"{CONTROLLER4}/30") + ["route add default via 198.18.0.1"], CONTROLLER_NS)
    ip_batch(up(HOST_LINK, f"{HOST4}/30") + ["route add 198.18.0.0/30 via 198.18.255.1"])
    for s in sites:
        i = s.number
        ip_batch(["link set lo up"] + up("wan0", f"{s.wan4}/30") + [f"route add default via {s.wan4_gateway}"] +
                 up("lan0", f"10.{i}.0.1/24", f"fd00:{i}::1/64"), s.router_ns)
        ip_batch(["link set lo up"] + up("lan0", f"{s.lan4}/24", f"{s.lan6}/64") +
                 [f"route add default via 10.{i}.0.1", f"route add default via fd00:{i}::1"], s.lan_ns)
    for name in names:
        with in_netns(name):
            set_forwarding(name == "mesh-inet")
            for scope in ("all", "default"):
                write_text(f"/proc/sys/net/ipv4/conf/{scope}/rp_filter", 0)
    run("ip", "netns", "exec", "mesh-inet", "nft", "-f", "-", feed="""
        table inet lab {
          set cuts { type ipv4_addr . ipv4_addr; }
          chain forward { type filter hook forward priority 0; ip saddr . ip daddr @cuts drop; }
        }""")


def up(link, *addresses):
    return [f"link set {link} up"] + [f"addr add {a} dev {link}{' nodad' if ':' in a else ''}" for a in addresses]


def set_forwarding(on):
    """A router of the lab forwards nothing until the mesh tells it to, as a machine just installed."""
    write_text("/proc/sys/net/ipv4/ip_forward", int(on))
    write_text("/proc/sys/net/ipv6/conf/all/forwarding", int(on))


def start_holder(site, folder):
    """A process that keeps the router's private mounts: interface sockets have one path on every router. Its boot
    id is fresh, so that a killed and restarted router looks rebooted. Returns the process and a pipe that says
    "ready"."""
    boot_id = os.path.join(folder, f"{site.name}.boot_id")
    write_text(boot_id, f"{uuid.uuid4()}\n")
    mounts = "".join(f"mount -t tmpfs -o mode=755 meshlab {path} && " for path in PRIVATE_DIRS)
    return subprocess.Popen(
        ["ip", "netns", "exec", site.router_ns, "unshare", "--mount", "--propagation", "private", "sh", "-c",
         f"{mounts} mount --bind '{boot_id}' /proc/sys/kernel/random/boot_id && echo ready && "
         "exec sleep infinity >/dev/null 2>&1"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, cwd="/")


def holder_ready(holder, site):
    said = holder.stdout.readline().strip()
    holder.stdout.close()
    if said != "ready":
        raise LabError(f"private mounts of {site.name}: {said}")
    return holder.pid


def power_off(site):
    """The router loses power: every process of it, and what only the kernel remembered, is gone."""
    kill_processes_in([site.router_ns])
    for link in json.loads(run("ip", "-n", site.router_ns, "-j", "link").stdout):
        if link["ifname"] not in ("lo", "wan0", "lan0"):  # one of a killed process may vanish by itself meanwhile
            run("ip", "-n", site.router_ns, "link", "delete", link["ifname"], check=False)
    for family in ("-4", "-6"):
        run("ip", "-n", site.router_ns, family, "route", "flush", "proto", "bird", check=False)
        run("ip", "-n", site.router_ns, family, "addr", "flush", "dev", "lo", "scope", "global", check=False)
    run("ip", "netns", "exec", site.router_ns, "nft", "flush", "ruleset")
    with in_netns(site.router_ns):
        set_forwarding(False)


def set_cut(a, b, cut):
    """Drops, or lets pass again, what two addresses send to each other over the internet."""
    done = run("ip", "netns", "exec", "mesh-inet", "nft", "add" if cut else "delete", "element", "inet", "lab", "cuts",
               f"{{ {a} . {b}, {b} . {a} }}", check=False)
    if done.returncode != 0 and (cut or "No such file or directory" not in done.stderr):
        raise LabError(f"nft: {done.stderr.strip()}")


def remove_all(state):
    """Removes every namespace of a lab with its processes, and undoes what was changed on the host."""
    names = our_namespaces()
    kill_processes_in(names)
    run("ip", "link", "delete", HOST_LINK, check=False)
    if names:
        ip_batch([f"netns delete {name}" for name in names])
    restore_sysctls(state)
    for path in state.get("made", []):
        with contextlib.suppress(OSError):
            os.rmdir(path)

"""What the tests of the lab share: a sandbox, so that labs stand beside each other and beside that of a user, and a
base class that brings one lab up for all tests of a class and removes it.

main() runs the test in network, process and mount namespaces of its own with an empty /run: the fixed names of the lab
are free there, "the host" is the sandbox, and whatever a test that crashed or was killed left ends with it."""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../ops"))
from lab_mesh import Mesh  # noqa: E402
from lab_net import read_state, read_text, write_text  # noqa: E402
from lab_reach import Pinging, unreachable  # noqa: E402

LAB = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../ops/lab")
SANDBOX_DIR = "MESH_LAB_SANDBOX"  # in the environment: we are in the sandbox, and what we may write to
INSTANCES = "/proc/sys/fs/inotify/max_user_instances"  # wireguard-go takes one each
INSTANCES_WANTED = 8192
INSTANCES_BEFORE = "/run/meshlog-lab-tests"
ENTER = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
         "--mount-proc", "--propagation", "private", "--", "sh", "-ec",
         'mount -t tmpfs -o mode=755 tmpfs /run; ip link set lo up; exec "$@"', "sh"]
SETTLED_SECONDS = 60
SAME_SECONDS = 0.2  # two tellings of one instant


def lab(*words, code=0):
    done = subprocess.run([LAB, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        said = done.stdout + done.stderr
        raise AssertionError(f"ops/lab {' '.join(words)}: exit {done.returncode}, not {code}\n{said}")
    return done.stdout


def why_not():
    """None when this machine can hold a lab, else the reason."""
    possible = subprocess.run([LAB, "check"], capture_output=True, text=True)
    return possible.stderr.strip() if possible.returncode == 77 else None


def main(run=unittest.main):
    """The end of a test's file. Exit code 77 = skipped."""
    if SANDBOX_DIR in os.environ:
        run()
        return
    if why := why_not():
        print(why)
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="mesh-lab-test-") as directory, enough_inotify_instances():
        done = subprocess.run([*ENTER, sys.executable, *sys.argv], env=os.environ | {SANDBOX_DIR: directory})
    sys.exit(done.returncode)


@contextlib.contextmanager
def enough_inotify_instances():
    """The one limit that sandboxes share: raised by the first of them and put back by the last."""
    with one_at_a_time():
        users = os.open(INSTANCES_BEFORE, os.O_RDWR | os.O_CREAT, 0o644)
        before = int(read_text(INSTANCES))
        if alone_with(users) and before < INSTANCES_WANTED:
            write_text(INSTANCES_BEFORE, before)
            write_text(INSTANCES, INSTANCES_WANTED)
        fcntl.flock(users, fcntl.LOCK_SH)
    try:
        yield
    finally:
        with one_at_a_time():
            if alone_with(users):
                raised_from = read_text(INSTANCES_BEFORE)
                if raised_from and int(read_text(INSTANCES)) == INSTANCES_WANTED:
                    write_text(INSTANCES, raised_from)
                os.unlink(INSTANCES_BEFORE)
            os.close(users)


def alone_with(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


@contextlib.contextmanager
def one_at_a_time():
    folder = os.open(tempfile.gettempdir(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def clock_seconds(clock):
    """Of the day, of HH:MM:SS.mmm."""
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


class LabTest(unittest.TestCase):
    """One lab of SITES sites for all tests of the class, which run in the order of their names and leave it whole;
    with SITES = None a test brings up its own."""

    SITES = 3

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(lab, "down", "--dir", cls.directory())
        if cls.SITES is not None:
            cls.up("--sites", str(cls.SITES))

    @staticmethod
    def directory():
        return os.path.join(os.environ[SANDBOX_DIR], "lab")

    @classmethod
    def up(cls, *shape):
        up = subprocess.run([LAB, "up", *shape, "--dir", cls.directory()], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True, timeout=400)
        if up.returncode != 0 or up.stdout:
            raise AssertionError(f"ops/lab up {' '.join(shape)}: exit {up.returncode}, on stdout: {up.stdout!r}")
        cls.mesh = Mesh(read_state())

    def all_reach(self, seconds=SETTLED_SECONDS, sites=None):
        self.assertEqual(unreachable(sites or self.mesh.sites, seconds), [])

    def wait(self, what, condition, seconds=SETTLED_SECONDS, seen=str):
        """Until the condition holds; returns the seconds that took. `seen` says what is there instead."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                self.fail(f"{what}: not within {seconds} s: {seen()}")
            time.sleep(0.1)
        return time.monotonic() - began

    def wait_at_head(self):
        """Every node has what the controller has, and the same Merkle root."""
        def at_head():
            head = self.mesh.cli_json("controller", "status")
            return all((status["sequence"], status["root"]) == (head["sequence"], head["root"])
                       for status in map(self.mesh.node_status, self.mesh.sites))
        self.wait("all nodes at the controller's root", at_head)

    def wait_sessions(self):
        """BGP and BFD are up on every link; that all reach each other may be by other ways."""
        self.wait("all sessions are up", lambda: all(
            link["bgp_up"] and link["bfd_up"] for site in self.mesh.sites
            for link in self.mesh.node_status(site)["links"]))

    def birdc(self, site, *words):
        return self.mesh.in_router(site, "birdc", "-s", "/run/meshnode/bird/bird.ctl", "show", *words)

    def sessions(self, site):
        """{BGP protocol: (its state, since when)}"""
        rows = [line.split() for line in self.birdc(site, "protocols").splitlines()]
        return {row[0]: (row[5], row[4]) for row in rows if len(row) > 5 and row[1] == "BGP"}

    def assert_same_sessions(self, before, now):
        """Those of `before`, held all the while. BIRD counts from now, so that an instant moves by a millisecond."""
        for name, (state, since) in before.items():
            self.assertEqual((state, now[name][0]), ("Established", "Established"), name)
            self.assertLess(abs(clock_seconds(now[name][1]) - clock_seconds(since)), SAME_SECONDS, name)

    def ring(self):
        """Every site and the next."""
        sites = self.mesh.sites
        return list(zip(sites, sites[1:] + sites[:1]))

    @staticmethod
    def pings(pairs):
        """IPv4 and IPv6 pings of the pairs, already going."""
        going = [Pinging(a, address) for a, b in pairs for address in (b.lan4, b.lan6)]
        time.sleep(0.5)
        return going

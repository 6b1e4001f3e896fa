"""A mesh of the real programs on loopback, for process tests: dry-run data plane, port 0, a temporary directory.

Everything that is started is ended by its process object, also when a test fails.
"""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ.get("MESH_BIN_DIR") or sys.argv.pop(1))
DEADLINE_S = 60


class Mesh:
    def __init__(self, profile="default"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="meshlog-test-"))
        self.controller_dir = self.dir / "controller"
        self.processes = []
        self.controller = None
        self.nodes = {}
        out = self.program("meshd", "init", "--data", self.controller_dir, "--listen", "tcp://127.0.0.1:0",
                           "--enrol", "tcp://127.0.0.1:0", "--profile", profile, "-o", "json")
        self.recovery_key = json.loads(out.stdout)["recovery_key"]
        self.context = self.controller_dir / "admin.context"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        if os.environ.get("MESH_TEST_KEEP"):
            print("kept", self.dir)
        else:
            shutil.rmtree(self.dir)

    def program(self, name, *args, stdin=None, check=True):
        """Runs to its end. Returns the completed process; with `check`, a failure is an error with all it said."""
        done = subprocess.run([BIN / name, *map(str, args)], capture_output=True, input=stdin, timeout=DEADLINE_S)
        if check and done.returncode != 0:
            raise AssertionError(f"{name} {args}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
        return done

    def start(self, name, *args, log):
        with open(self.dir / (log + ".out"), "wb") as out, open(self.dir / (log + ".err"), "ab") as err:
            process = subprocess.Popen([BIN / name, *map(str, args)], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                       start_new_session=True)
        self.processes.append(process)
        return process

    @staticmethod
    @contextlib.contextmanager
    def directory():
        with tempfile.TemporaryDirectory(prefix="meshlog-test-") as name:
            yield pathlib.Path(name)

    def start_controller(self, *options):
        self.controller = self.start("meshd", "run", "--data", self.controller_dir, *options, log="meshd")
        ready = self.dir / "meshd.out"
        wait_until(lambda: ready.read_text().startswith("ready") or self.controller.poll() is not None,
                   "meshd is ready")
        if self.controller.poll() is not None:
            raise AssertionError("meshd ended: " + (self.dir / "meshd.err").read_text())

    def kill_controller(self):
        self.controller.kill()
        self.controller.wait()

    def cli(self, *args, check=True, context=None, stdin=None):
        return self.program("meshcli", "--context", context or self.context, *args, check=check, stdin=stdin)

    def json(self, *args):
        return json.loads(self.cli(*args, "-o", "json").stdout)

    def add_site(self, site, number):
        self.cli("add", "site", site)
        self.cli("add", "node", f"r1.{site}")
        self.cli("set", "site", site, "lans", f'["10.{number}.0.0/24"]')
        self.cli("set", "node", f"r1.{site}", "endpoint", f"192.0.2.{number}")

    def join(self, site):
        token = json.loads(self.cli("token", "create", "--node", f"r1.{site}", "-o", "json").stdout)["token"]
        self.program("meshnode", "join", "--token-file", "-", "--data", self.dir / site, stdin=token.encode())

    def start_node(self, site):
        self.nodes[site] = self.start("meshnode", "run", "--data", self.dir / site, "--dataplane", "dry-run", log=site)

    def stop_node(self, site):
        self.nodes[site].terminate()
        self.nodes[site].wait()

    def kill_node(self, site):
        self.nodes[site].kill()
        self.nodes[site].wait()

    def commit_change(self, keepalive):
        """A new version of all nodes, which is not active yet."""
        self.cli("set", "global", "wg_keepalive", keepalive)
        self.cli("commit", "all", "-m", f"keepalive {keepalive}")

    def states(self):
        """What the controller says of each node: {fullname: state}."""
        return {node["fullname"]: node["state"] for node in self.json("list", "nodes")["items"]}

    def node_status(self, site):
        done = self.program("meshnode", "status", "--data", self.dir / site, "-o", "json", check=False)
        return json.loads(done.stdout) if done.stdout else {}

    def sites(self, count):
        """`count` sites with a running, enrolled node each, at version 1."""
        names = [f"s{i}" for i in range(1, count + 1)]
        for number, site in enumerate(names, 1):
            self.add_site(site, number)
            self.join(site)
            self.start_node(site)
        self.cli("commit", "all", "-m", "first")
        self.cli("activate", "all", "--no-wait")
        for site in names:
            self.wait_synced(site, version=1)
        return names

    def wait_synced(self, site, version=None):
        def synced():
            head = self.json("controller", "status")
            status = self.node_status(site)
            return (status.get("root") == head["root"] and status["sequence"] == head["sequence"]
                    and (version is None or status["active"] == version))
        wait_until(synced, f"{site} is at the controller's root")


def wait_until(condition, what, seconds=DEADLINE_S):
    """Polls a condition; the deadline only ends a test that hangs."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.05)

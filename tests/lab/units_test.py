#!/usr/bin/python3
"""Claim: the units work as the README of ops says: a controller set up by its lines renders templates and has BIRD
check them in spite of all that meshd.service forbids; ops/bootstrap-node makes a machine a node, whose scripts and
services do what allow.toml permits, readable for others, also when the first version was refused; BIRD and wireguard-go
outlive meshnode however it ends; both services come back. Method: systemd itself boots in namespaces, on a
copy-on-write view of this machine; the lines are read from the README. Exit code 77 = skipped."""

import json
import os
import re
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
from systemd_box import ROOT, Box, NoBox  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "ops"))
from lab_mesh import binary  # noqa: E402
from lab_net import read_text  # noqa: E402

SECONDS = 60
NEEDED = ("wireguard-tools", "bird2", "iproute2", "ca-certificates")  # what bootstrap-node would fetch
TEMPLATE = "bird_site-template.conf.jinja"
ALLOW = """startup_scripts = true
ssh_keys = true
destinations = ["/etc/lan.d"]
commands = ["test -r {}/lan.conf", "touch /run/lan-was-reloaded"]
"""


def readme_lines():
    """What an administrator types to set up a controller, for this machine."""
    text = read_text(os.path.join(ROOT, "ops/README.md"))
    block = re.search(r"runs a controller as the user.*?```\n(.*?)```", text, re.S).group(1)
    return block.replace("control.example.net", "127.0.0.1")


class UnitsTest(unittest.TestCase):
    box = None

    def sh(self, script, code=0):
        return self.box.run("sh", "-ec", f"cd /run/sources; {script}", code=code)

    def cli(self, *words, code=0, feed=None):
        return self.box.run("meshcli", *words, code=code, feed=feed)

    def wait(self, what, condition):
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                journal = self.box.run("journalctl", "--no-pager", "-n", "30", code=None).stdout
                self.fail(f"{what}: not within {SECONDS} s\n{journal}")
            time.sleep(0.1)

    def pid_of(self, unit):
        return int(self.box.run("systemctl", "show", "--value", "-p", "MainPID", unit).stdout)

    def processes(self, name):
        return sorted(map(int, self.box.run("pidof", name, code=None).stdout.split()))

    def status(self):
        return json.loads(self.box.run("meshnode", "status", "--data", "/var/lib/meshnode", "-o", "json").stdout)

    def state(self, node):
        items = json.loads(self.cli("list", "nodes", "all", "-o", "json").stdout)["items"]
        return next(item for item in items if item["fullname"] == node)

    def filters(self, pid):
        """Of system calls."""
        return int(re.search(r"Seccomp_filters:\s+(\d+)", self.box.run("cat", f"/proc/{pid}/status").stdout).group(1))

    def test_1_a_controller_by_the_lines_of_the_readme(self):
        self.sh("install -m 755 /run/programs/meshd /run/programs/meshcli /usr/local/bin/")
        self.sh(readme_lines())
        self.wait("the controller answers", lambda: self.cli("controller", "status", code=None).returncode == 0)
        self.assertEqual(self.sh("systemd-analyze verify ops/systemd/meshd.service").stderr, "")
        self.assertEqual(self.sh("find /var/lib/meshd ! -user meshd").stdout, "")

    def test_2_templates_are_rendered_and_checked_behind_its_walls(self):
        self.cli("import", "towalink", "/run/sources/tests/data/towalink_lab")
        said = self.cli("commit", "all")
        self.assertIn("3 versions committed", said.stdout)
        self.assertNotIn("nothing checked", said.stdout + said.stderr)
        meshd = str(self.pid_of("meshd"))
        for worker in self.box.run("pgrep", "-P", meshd).stdout.split():
            self.assertRegex(self.box.run("cat", f"/proc/{worker}/limits").stdout, r"Max open files +0 +0 ")
            self.assertEqual(self.filters(worker), self.filters(meshd) + 1, "its own beside those of the unit")
        for text, why in [("{% include '/etc/hostname' %}", "no file /etc/hostname"),
                          ("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
                           "processor time"),
                          ("template bgp '{{ site_name }}' from common { hold tiem 3; }", "syntax error")]:
            self.cli("put", "file", "site", "site2", TEMPLATE, "-", feed=text)
            self.assertIn(why, self.cli("commit", "all", code=7).stderr)
        self.cli("discard", "all")

    def test_3_a_machine_becomes_a_node(self):
        self.sh("mkdir -p /etc/lan.d ~root/.ssh")
        fingerprint = json.loads(self.cli("controller", "connection", "-o", "json").stdout)["fingerprint"]
        self.sh(f"nohup sh ops/bootstrap-node -c 127.0.0.1 -f {fingerprint} -b /run/programs/meshnode "
                "> /run/bootstrap.log 2>&1 &")
        said = lambda: self.box.run("cat", "/run/bootstrap.log").stdout  # noqa: E731
        own = re.compile(r"this node's fingerprint is (\S+)")
        self.wait("the machine shows its fingerprint", lambda: own.search(said()))
        self.cli("attach", "node", "gw.site1", "--fingerprint", own.search(said()).group(1))
        self.assertEqual(self.box.run("systemctl", "is-enabled", "meshnode").stdout, "enabled\n")
        self.assertEqual(self.sh("systemd-analyze verify ops/systemd/meshnode.service").stderr, "")

        # Another node, so that there is a tunnel; nobody starts it.
        token = json.loads(self.cli("token", "create", "--node", "gw.site2", "-o", "json").stdout)["token"]
        self.box.run("meshnode", "join", "--token-file", "-", "--data", "/var/lib/other", feed=token + "\n")
        self.cli("put", "file", "global", "lan.conf.jinja", "-", feed="of {{ node_name }}\n")
        for name, value in [("files", "lan.conf"), ("destination", "/etc/lan.d"), ("check", "test -r {}/lan.conf"),
                            ("reload", "touch /run/lan-was-reloaded")]:
            self.cli("set", "global", f"service.lan.{name}", value)
        self.cli("put", "file", "site", "site1", "startup_here", "-",
                 feed="#!/bin/sh\nmkdir -p /run/mounted\nmount -t tmpfs tmpfs /run/mounted\ntouch /run/made\n")
        self.cli("commit", "all")
        refused = self.cli("activate", "node", "gw.site1", code=10)
        for line in ("startup_scripts = true", "ssh_keys = true", 'destinations = ["/etc/lan.d"]'):
            self.assertIn(line, refused.stdout + refused.stderr)
        self.box.run("sh", "-c", "cat > /etc/meshnode/allow.toml", feed=ALLOW)
        self.wait("it runs", lambda: self.state("gw.site1")["state"] == "ok")
        self.assertEqual(self.sh("stat -c %a /etc/lan.d/lan.conf /run/made ~root/.ssh/authorized_keys").stdout,
                         "644\n644\n600\n")
        self.sh("test -e /run/lan-was-reloaded; mountpoint -q /run/mounted; ip link show loopback")
        self.assertEqual(len(self.processes("bird")), 1)
        self.assertEqual(len(self.processes("wireguard-go")), 1)

    def test_4_what_routes_outlives_meshnode(self):
        routing = self.processes("bird"), self.processes("wireguard-go")
        for how in ("kill -9 $(systemctl show --value -p MainPID meshnode)", "systemctl restart meshnode"):
            before = self.pid_of("meshnode")
            self.sh(how)
            self.wait(f"meshnode is back after {how}", lambda: self.pid_of("meshnode") not in (0, before))
            self.wait("it routes", lambda: self.status()["running"] and self.status()["state"] == "ok")
            self.assertEqual((self.processes("bird"), self.processes("wireguard-go")), routing, how)
        self.box.run("systemctl", "stop", "meshnode")
        self.assertEqual((self.processes("bird"), self.processes("wireguard-go")), routing)
        self.sh("test -S /run/meshnode/bird/bird.ctl")
        before = self.pid_of("meshd")
        self.sh(f"kill -9 {before}")
        self.wait("the controller is back", lambda: self.cli("controller", "status", code=None).returncode == 0)
        self.assertNotIn(self.pid_of("meshd"), (0, before))


def missing_packages():
    known = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *NEEDED],
                           capture_output=True, text=True).stdout.splitlines()
    return [name for name in NEEDED if f"installed {name}" not in known]


if __name__ == "__main__":
    try:
        if missing := missing_packages():
            raise NoBox(f"not installed: {', '.join(missing)}")
        with Box(os.path.dirname(binary("meshd"))) as UnitsTest.box:
            unittest.main()
    except (NoBox, FileNotFoundError) as error:
        print(error)
        sys.exit(77)

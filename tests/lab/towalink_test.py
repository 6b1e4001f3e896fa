#!/usr/bin/python3
"""Claim: a Towalink network moves here and routes with its own templates: imported, its three routers asked without a
token and admitted by their fingerprints, committed and activated with the commands that the fingers know. A template
of one site gives a version to that site's node only; BIRD alone is told, over there alone, and nothing that stands
moves. A template without end, one that reads files and one with an error are refused with node, file and line, and
change nothing anywhere. A router whose disk is wiped comes back by `attach --replace` as the node that it was; its old
disk gets nothing, from the controller and from every peer.
Method: the tree tests/data/towalink_lab in a lab of three real routers; `tlm` as an operator uses it. That nothing
moved: index, counters and handshakes of the tunnels, pid of BIRD, since when it holds sessions, when it was configured
last, pings every 20 ms. The old disk runs in the place of the new one, at the same address. One lab for all tests, in
the order of their names. Exit code 77 = skipped."""

import hashlib
import json
import os
import re
import subprocess
import time
import unittest

from fixture import SAME_SECONDS, LabTest, clock_seconds, main, unreachable
from lab_mesh import binary
from lab_net import CONTROLLER4, read_text, write_text

TREE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../data/towalink_lab")
NAME = "bird_site-template.conf.jinja"
RENEWAL_S = 100  # WireGuard's own, every two minutes
INITIATION_BYTES = 148
WATCH_SECONDS = 2  # longer than BFD needs to end a session
NETWORK = "203.0.113.0/24"
ANNOUNCES = f"""# This site announces one network more.
template bgp '{{{{ site_name }}}}' from common {{
}}
protocol static here {{
  ipv4;
  route {NETWORK} unreachable;
}}
"""
WITHOUT_END = """# Ten thousand million rounds.
{% for a in range(100000) %}{% for b in range(100000) %}
{% endfor %}{% endfor %}
"""
SILENT_WITHOUT_END = WITHOUT_END.replace("}\n{%", "}{%")
# What it is, what is refused, in which line.
BAD = [
    ("it prints without end", WITHOUT_END, "makes more than 1048576 bytes", 2),
    ("it computes without end", SILENT_WITHOUT_END, "needs more than 5 s of processor time", 2),
    ("it includes a file", "{# secrets #}\n\n{% include '/etc/shadow' %}\n", "no file /etc/shadow", 3),
    ("it breaks out", "{{ site_name }}\n{{ cycler.__init__.__globals__.os.popen('id').read() }}\n",
     "is not for templates", 2),
    ("it is no template", "{{ site_name }}\n{% for peer in %}\n", "Expected an expression", 2),
    ("a variable is not there", "{{ site_name }}\n\n{{ bgp_peers.nobody.ip }}\n", "no attribute 'nobody'", 3),
    ("BIRD does not take it", "template bgp '{{ site_name }}' from common {\n  hold tiem 30;\n}\n",
     "syntax error", 2),
]


class TowalinkTest(LabTest):
    SITES = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.up("--bare", "--sites", "3")
        cls.mesh.init_controller()
        cls.mesh.start_controller()
        for site in cls.mesh.sites:
            write_text(cls.mesh.allow_file(site), "startup_scripts = true\nssh_keys = true\n")

    def tlm(self, *words, code=0, feed=None):
        done = subprocess.run([binary("tlm"), *words], env=os.environ | {"MESHCLI_CONTEXT": self.mesh.context},
                              input=feed, stdin=None if feed else subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120)
        self.assertEqual(done.returncode, code, f"tlm {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    # A machine becomes a node.

    def ask(self, site):
        """A machine with an empty disk asks; its fingerprint, and what asks."""
        log = self.mesh.path("logs", f"{site.name}.join.log")
        write_text(log, "")
        fingerprint = self.mesh.cli_json("controller", "connection")["fingerprint"]
        asking = self.mesh.spawn(f"{site.name}.join", [
            *self.mesh.enter_router(site), binary("meshnode"), "join", "--controller", CONTROLLER4,
            "--fingerprint", fingerprint, "--data", self.mesh.node_data(site)])
        own = re.compile(r"this node's fingerprint is (\S+)")
        self.wait(f"{site.name} shows its fingerprint", lambda: own.search(read_text(log)))
        return own.search(read_text(log)).group(1), asking

    def attach(self, site, *options):
        """From an empty disk to a router that follows the log, as seen by the operator."""
        fingerprint, asking = self.ask(site)
        attaching = subprocess.Popen([binary("tlm"), "--context", self.mesh.context, "attach", "node",
                                      self.mesh.node_name(site), "--fingerprint", fingerprint, *options],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     text=True)
        self.assertEqual(asking.wait(60), 0, self.mesh.log_tail(f"{site.name}.join"))
        self.mesh.start_agent(site)
        said, _ = attaching.communicate(timeout=60)
        self.assertEqual(attaching.returncode, 0, said)
        self.assertIn(f"{self.mesh.node_name(site)}: synced", said)
        return said

    # What is there.

    def bird(self, site):
        """Its process, when it was configured last, and the sessions that it holds."""
        configured = re.search(r"Last reconfiguration on \S+ (\S+)", self.birdc(site, "status")).group(1)
        return {"pid": self.mesh.in_router(site, "cat", "/run/meshnode/bird/bird.pid").strip(),
                "configured": configured, "sessions": self.sessions(site)}

    def tunnels(self, site):
        """{interface: what WireGuard and the kernel tell}"""
        out = {}
        for line in self.mesh.in_router(site, "wg", "show", "all", "dump").splitlines():
            fields = line.split("\t")
            if len(fields) == 5:
                index = json.loads(self.mesh.in_router(site, "ip", "-j", "link", "show", fields[0]))[0]["ifindex"]
                out[fields[0]] = {"index": index, "key": fields[2], "port": fields[3]}
            else:
                out[fields[0]] |= {"peer": fields[1], "handshake": int(fields[5]), "rx": int(fields[6]),
                                   "tx": int(fields[7])}
        return out

    def facts(self):
        return {site.name: {"bird": self.bird(site), "tunnels": self.tunnels(site)} for site in self.mesh.sites}

    def assert_bird_stood(self, before, now, configured=False):
        self.assertEqual(before["pid"], now["pid"])
        self.assert_same_sessions(before["sessions"], now["sessions"])
        apart = abs(clock_seconds(now["configured"]) - clock_seconds(before["configured"]))
        self.assertEqual(apart > SAME_SECONDS, configured, (before, now))

    def assert_stood(self, before, now):
        """The same tunnels all the while: nothing was made anew, no session began anew but by WireGuard's renewal."""
        self.assertEqual(before.keys(), now.keys())
        for interface, was in before.items():
            is_now = now[interface]
            for same in ("index", "key", "port", "peer"):
                self.assertEqual(is_now[same], was[same], interface)
            for grows in ("rx", "tx"):
                self.assertGreaterEqual(is_now[grows], was[grows], interface)
            renewed = is_now["handshake"] - was["handshake"]
            self.assertTrue(renewed == 0 or renewed >= RENEWAL_S, (interface, renewed))

    def versions(self, site):
        return [(item["version"], item["digest"]) for item in
                self.mesh.cli_json("list", "versions", self.mesh.node_name(site))["items"]]

    def everything(self):
        """Digests of what a commit could change: the log's head, its intent, versions there, and files on the nodes."""
        nodes = {site.name: (self.versions(site), tree_digest(os.path.join(self.mesh.node_data(site), "versions")))
                 for site in self.mesh.sites}
        _, intent = self.mesh.cli("export").split("\n", 1)  # the first line tells the entry
        return {"root": self.mesh.cli_json("controller", "status")["root"], "intent": intent, "nodes": nodes}

    # The story.

    def test_1_from_towalink_to_pings(self):
        self.tlm("import", "towalink", TREE, "-m", "from Towalink")
        for line in ("gw.site1  11  none", "gw.site2  12  none", "gw.site3  13  none"):
            self.assertIn(line, self.tlm("list", "nodes", "all"))
        self.mesh.for_all_sites(self.attach)
        self.assertIn("next: meshcli activate all", self.tlm("commit", "all"))
        self.assertIn("3 of 3 applied", self.tlm("activate", "all"))
        self.all_reach()
        self.wait_sessions()
        for site in self.mesh.sites:
            self.assertEqual(self.mesh.in_router(site, "cat", "/run/meshnode/bird.conf").count("BIRD of gw."), 1)
            self.assertIn("192.88.99.1" + str(site.number), self.mesh.in_router(site, "ip", "addr", "show", "loopback"))
            self.assertEqual(len(self.bird(site)["sessions"]), 2, "named as Towalink names them")
            self.assertIn(f"site{site.number % 3 + 1}_gw_1", self.birdc(site, "protocols"))
        self.assertIn("0 versions committed", self.tlm("commit", "all"))

    def test_2_a_template_of_one_site(self):
        one, two, three = self.mesh.sites
        before = self.facts()
        pings = self.pings(self.ring())
        self.put(two, ANNOUNCES)
        changed = self.tlm("list", "changed")
        self.assertIn("gw.site2  v2", changed)
        self.assertNotIn("gw.site1", changed)
        self.assertIn("gw.site2 -> v2  without interruption", self.tlm("commit", "all"))
        self.assertIn("1 of 1 applied", self.tlm("activate", "all"))
        for site in (one, three):
            self.wait("the others hear of it", lambda: NETWORK in self.mesh.in_router(site, "ip", "route"))
        time.sleep(WATCH_SECONDS)
        for ping in pings:
            seen = ping.stop()
            self.assertGreater(seen["sent"], 50)
            self.assertEqual(seen["lost"], 0, seen)
        now = self.facts()
        for site in self.mesh.sites:
            self.assertEqual([version for version, _ in self.versions(site)], [1, 2] if site is two else [1])
            self.assert_stood(before[site.name]["tunnels"], now[site.name]["tunnels"])
            self.assert_bird_stood(before[site.name]["bird"], now[site.name]["bird"], configured=site is two)

    def put(self, site, text):
        self.tlm("put", "file", "site", site.name, NAME, "-", feed=text)

    def test_3_bad_templates_are_refused_and_nothing_changes(self):
        site = self.mesh.sites[1]
        good, routing = self.everything(), self.facts()
        for what, text, why, line in BAD:
            with self.subTest(what):
                self.put(site, text)
                before = self.everything()
                said = self.tlm("commit", "all", code=1)
                self.assertIn(why, said)
                self.assertRegex(said, rf"node gw\.site2: bird_site-template\.conf(\.jinja)?:{line}\b")
                self.assertEqual(self.everything(), before)
        self.tlm("discard", "all")
        self.assertIn("No node configuration has changed", self.tlm("list", "changed"))
        self.assertEqual(self.everything() | {"root": good["root"]}, good)
        for name, now in self.facts().items():
            self.assert_bird_stood(routing[name]["bird"], now["bird"])
            self.assert_stood(routing[name]["tunnels"], now["tunnels"])

    def test_4_a_wiped_disk(self):
        one, two, three = self.mesh.sites
        before, nodes, links = self.facts(), self.nodes(), self.links()
        addresses = self.addresses(three)
        old = self.mesh.path("nodes", "old")
        self.mesh.kill_node(three)
        os.rename(self.mesh.node_data(three), old)
        self.mesh.power_on([three])
        refused = self.tlm("attach", "node", "gw.site3", "--fingerprint", ":".join(["0000"] * 8), code=1)
        self.assertIn("`attach node gw.site3 --replace` gives its place to other hardware", refused)
        self.assertIn("gw.site3: runs v1", self.attach(three, "--replace", "--yes"))
        self.all_reach()
        self.wait_sessions()
        self.assertEqual((self.nodes(), self.links()), (nodes, links))
        self.assertEqual(self.addresses(three), addresses)
        now = self.facts()
        for interface, was in before["site3"]["tunnels"].items():
            is_now = now["site3"]["tunnels"][interface]
            self.assertEqual((is_now["port"], is_now["peer"]), (was["port"], was["peer"]))
            self.assertNotEqual(is_now["key"], was["key"])
        for a, b in (("site1", "tlwg_12"), ("site2", "tlwg_11")):
            self.assert_stood({b: before[a]["tunnels"][b]}, {b: now[a]["tunnels"][b]})
        self.old_disk_gets_nothing(old)

    def old_disk_gets_nothing(self, old):
        """It runs where the new one ran, at the same address, and knows everything but the new keys."""
        one, two, three = self.mesh.sites
        self.mesh.kill_node(three)
        before = {site.name: self.tunnels(site)["tlwg_13"] for site in (one, two)}
        self.mesh.power_on([three])
        new = self.mesh.node_data(three) + ".new"
        os.rename(self.mesh.node_data(three), new)
        os.rename(old, self.mesh.node_data(three))
        self.mesh.start_agent(three)
        self.wait("the controller refuses it",
                  lambda: "refused our key" in self.mesh.node_status(three).get("controller_detail", ""))
        self.assertEqual(self.mesh.node_status(three)["active"], 1, "it runs what it had")
        self.wait("it knocked at each peer, more than once", lambda: all(
            tunnel["tx"] > INITIATION_BYTES for tunnel in self.tunnels(three).values()))
        for tunnel in self.tunnels(three).values():
            self.assertEqual((tunnel["handshake"], tunnel["rx"]), (0, 0), "nobody answered")
            for site in (one, two):
                self.assertNotIn(tunnel["key"], self.mesh.in_router(site, "wg", "show", "all", "dump"))
        for site in (one, two):
            now = self.tunnels(site)["tlwg_13"]
            self.assertEqual((now["handshake"], now["rx"]), (before[site.name]["handshake"], before[site.name]["rx"]))
        silent = {(a, b) for a, b, _ in unreachable(self.mesh.sites, 1)}
        self.assertEqual(silent, {(a.name, b.name) for a in self.mesh.sites for b in self.mesh.sites
                                  if a is not b and three in (a, b)})
        self.assertNotIn("Established", self.birdc(three, "protocols"))

        self.mesh.kill_node(three)
        os.rename(self.mesh.node_data(three), old)
        os.rename(new, self.mesh.node_data(three))
        self.mesh.power_on([three])
        self.mesh.start_agent(three)
        self.all_reach()

    def addresses(self, site):
        """Of its tunnels and loopbacks."""
        links = json.loads(self.mesh.in_router(site, "ip", "-j", "addr"))
        return {link["ifname"]: sorted((each["local"], each.get("address")) for each in link["addr_info"])
                for link in links if link["ifname"].startswith("tlwg_")}

    def nodes(self):
        return [(item["fullname"], item["id"]) for item in self.mesh.cli_json("list", "nodes", "all")["items"]]

    def links(self):
        return [[item[name] for name in ("a", "b", "a_interface", "b_interface")]
                for item in self.mesh.cli_json("list", "links")["items"]]




def tree_digest(directory):
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            digest.update(os.path.relpath(path, directory).encode() + b"\0")
            with open(path, "rb") as file:
                digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


if __name__ == "__main__":
    main(lambda: unittest.main(warnings="ignore"))  # of programs that outlive who started them

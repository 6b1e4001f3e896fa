#!/usr/bin/python3
"""Claim: five real sites keep every promise about packets: all LAN hosts reach each other over IPv4 and IPv6, also
without the controller, after a router's reboot without the controller, around a cut link within 1.5 s, and `kill -9`
of meshnode alone loses no ping. A revoked node is cut off by the others at once.
Method: `ops/lab up --sites 5` with the real programs, WireGuard and BIRD; faults through ops/lab; pings every 20 ms.
One lab for all tests: they leave it whole, and they run in the order of their names. Exit code 77 = skipped."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../../ops")]
from lab_mesh import Mesh  # noqa: E402
from lab_net import read_state  # noqa: E402
from lab_reach import Pinging, unreachable  # noqa: E402
from lab_test import LAB, lab, lab_in_use  # noqa: E402

SITES = 5
GAP_MAX_MS = 1500
MOVED_MAX = 2  # packets under way when a route moves back: up to one was seen lost, now and then
WATCH_SECONDS = 3  # pings are watched that long after a fault


class MeshTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = os.path.join(tempfile.mkdtemp(prefix="mesh-lab-test-"), "lab")
        up = subprocess.run([LAB, "up", "--sites", str(SITES), "--dir", cls.dir], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True, timeout=400)
        if up.returncode != 0 or up.stdout:
            cls.tearDownClass()
            raise AssertionError(f"ops/lab up: exit {up.returncode}, on stdout: {up.stdout!r}")
        cls.mesh = Mesh(read_state())

    @classmethod
    def tearDownClass(cls):
        lab("down", "--dir", cls.dir)
        os.rmdir(os.path.dirname(cls.dir))

    def all_reach(self, seconds=30):
        self.assertEqual(unreachable(self.mesh.sites, seconds), [])

    def watch(self, pairs, fault):
        """IPv4 and IPv6 pings of the pairs around `fault`; returns what each saw."""
        pings = [Pinging(a, address) for a, b in pairs for address in (b.lan4, b.lan6)]
        time.sleep(0.5)
        fault()
        time.sleep(WATCH_SECONDS)
        return [ping.stop() for ping in pings]

    def assert_lost_at_most(self, limit, results):
        self.assertTrue(all(r["sent"] > 50 for r in results), results)
        self.assertLessEqual(sum(r["lost"] for r in results), limit, results)

    def ring(self):
        sites = self.mesh.sites
        return list(zip(sites, sites[1:] + sites[:1]))

    def test_1_all_pairs_at_once(self):
        self.all_reach(seconds=2)
        info = json.loads(lab("info", "-o", "json"))
        self.assertEqual(len(info["sites"]), SITES)
        self.assertTrue(all(site["pid"] for site in info["sites"]) and info["controller"]["pid"])

    def test_1_packets_may_come_in_by_a_way_that_does_not_lead_back(self):
        """The way there and the way back differ in larger networks: a router takes a packet from any tunnel."""
        one, *others = self.mesh.sites
        for come in others:
            for source in others:
                self.mesh.in_router(one, "ip", "route", "get", one.lan4, "from", source.lan4,
                                    "iif", f"tlwg_{10 + come.number}")  # an error when the kernel would drop it

    def test_2_meshnode_dies_alone_and_no_ping_is_lost(self):
        def fault():
            lab("agent", "site2", "kill")
            time.sleep(WATCH_SECONDS / 2)
            lab("agent", "site2", "start")
        self.assert_lost_at_most(0, self.watch(self.ring(), fault))

    def test_3_a_cut_link_is_gone_round_and_healed(self):
        one, two = self.mesh.sites[:2]
        results = self.watch([(one, two), (two, one)], lambda: lab("cut", "site1", "site2"))
        for result in results:
            self.assertIsNotNone(result["gap_ms"])
            self.assertLess(result["gap_ms"], GAP_MAX_MS, results)
        print("longest silence after a cut:", [f"{r['gap_ms']} ms" for r in results])
        self.all_reach(seconds=2)
        self.assert_lost_at_most(MOVED_MAX, self.watch([(one, two), (two, one)], lambda: lab("heal", "site1", "site2")))

    def test_4_without_the_controller(self):
        self.assert_lost_at_most(0, self.watch(self.ring(), lambda: lab("controller", "kill")))
        self.all_reach(seconds=2)
        lab("node", "site3", "kill")
        others = [site for site in self.mesh.sites if site.name != "site3"]
        self.assertEqual(unreachable(others, 10), [])
        lab("node", "site3", "start")
        self.all_reach()
        status = self.mesh.node_status(self.mesh.site("site3"))
        self.assertEqual(status["controller"], "unreachable")
        lab("controller", "start")
        self.mesh.cli("set", "global", "wg_keepalive", "17")
        head = self.mesh.cli_json("controller", "status")
        deadline = time.monotonic() + 90
        while any(self.mesh.node_status(site)["sequence"] < head["sequence"] for site in self.mesh.sites):
            self.assertLess(time.monotonic(), deadline, "the nodes do not come back to the controller")
            time.sleep(0.05)

    def test_5_an_orderly_shutdown_and_boot(self):
        lab("node", "site4", "stop")
        lab("controller", "stop")
        lab("controller", "start")
        lab("node", "site4", "start")
        self.all_reach()

    def test_6_a_revoked_node_is_cut_off_by_the_others(self):
        doomed, *others = reversed(self.mesh.sites)
        self.mesh.cli("node", "revoke", self.mesh.node_name(doomed), "--yes")
        deadline = time.monotonic() + 30
        while any(len(self.tunnels(site)) != SITES - 2 for site in others):
            self.assertLess(time.monotonic(), deadline, "a router still has a tunnel to the revoked one")
            time.sleep(0.05)
        for other in others:
            self.assertEqual(len(unreachable([doomed, other], 0.3)), 4)
        self.assertEqual(unreachable(others, 10), [])

    def tunnels(self, site):
        return self.mesh.in_router(site, "wg", "show", "interfaces").split()


if __name__ == "__main__":
    possible = subprocess.run([LAB, "check"], capture_output=True, text=True)
    if possible.returncode == 77 or lab_in_use():
        print(possible.stderr.strip() or "a lab is in use: ops/lab down")
        sys.exit(77)
    unittest.main()

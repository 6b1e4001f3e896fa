#!/usr/bin/python3
"""Claim: five real sites keep every promise about packets: all LAN hosts reach each other over IPv4 and IPv6, also
without the controller, after a router's reboot without the controller, around a cut link within 1.5 s, and `kill -9`
of meshnode alone loses no ping. A revoked node is cut off by the others at once.
Method: `ops/lab up --sites 5` with the real programs, WireGuard and BIRD; faults through ops/lab; pings every 20 ms.
One lab for all tests: they leave it whole, and they run in the order of their names. Exit code 77 = skipped."""

import json
import time

from fixture import LabTest, lab, main, unreachable

GAP_MAX_MS = 1500
MOVED_MAX = 2  # packets under way when a route moves back: up to one was seen lost, now and then
WATCH_SECONDS = 3  # pings are watched that long after a fault


class MeshTest(LabTest):
    SITES = 5

    def watch(self, pairs, fault):
        """IPv4 and IPv6 pings of the pairs around `fault`; returns what each saw."""
        pings = self.pings(pairs)
        fault()
        time.sleep(WATCH_SECONDS)
        return [ping.stop() for ping in pings]

    def assert_lost_at_most(self, limit, results):
        self.assertTrue(all(r["sent"] > 50 for r in results), results)
        self.assertLessEqual(sum(r["lost"] for r in results), limit, results)

    def test_1_all_pairs_at_once(self):
        self.all_reach(seconds=2)
        info = json.loads(lab("info", "-o", "json"))
        self.assertEqual(len(info["sites"]), self.SITES)
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
        self.all_reach(10, [site for site in self.mesh.sites if site.name != "site3"])
        lab("node", "site3", "start")
        self.all_reach(30)
        status = self.mesh.node_status(self.mesh.site("site3"))
        self.assertEqual(status["controller"], "unreachable")
        lab("controller", "start")
        self.mesh.cli("set", "global", "wg_keepalive", "17")
        self.wait_at_head()

    def test_5_an_orderly_shutdown_and_boot(self):
        lab("node", "site4", "stop")
        lab("controller", "stop")
        lab("controller", "start")
        lab("node", "site4", "start")
        self.all_reach(30)

    def test_6_a_revoked_node_is_cut_off_by_the_others(self):
        doomed, *others = reversed(self.mesh.sites)
        self.mesh.cli("node", "revoke", self.mesh.node_name(doomed), "--yes")
        self.wait("no router has a tunnel to the revoked one",
                  lambda: all(len(self.tunnels(site)) == self.SITES - 2 for site in others), 30)
        silent = set(unreachable(self.mesh.sites, 0.3))
        for other in others:
            for a, b in ((doomed, other), (other, doomed)):
                self.assertLessEqual({(a.name, b.name, 4), (a.name, b.name, 6)}, silent)
        self.all_reach(10, others)

    def tunnels(self, site):
        return self.mesh.in_router(site, "wg", "show", "interfaces").split()


if __name__ == "__main__":
    main()

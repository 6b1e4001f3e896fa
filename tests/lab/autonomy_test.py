#!/usr/bin/python3
"""Claim: with the controller dead, two routers that lose everything but their disk, and one link cut, all sites reach
each other, from the nodes' own disks; when the controller is back every node catches up exactly, and no tunnel or
session between the routers that stayed up has bounced.
Method: `ops/lab up --sites 6` with the real programs, WireGuard and BIRD. Before and after: the index of each tunnel's
interface, its counters and its handshake as WireGuard tells them, and since when BIRD holds each session. A handshake
may only move by WireGuard's own renewal, which comes every two minutes. Exit code 77 = skipped."""

import json
import time

from fixture import LabTest, lab, main

REBOOTED = ("site2", "site5")
CUT = ("site1", "site3")
RENEWAL_S = 100


class Autonomy(LabTest):
    SITES = 6

    def number_of(self, site):
        """The node's: in the names of its peers' tunnels."""
        return self.mesh.node_status(site)["node"]

    def links_that_stay(self):
        """{(site, peer's number)}: both ends stay up, and nobody cuts them."""
        stay = [site for site in self.mesh.sites if site.name not in REBOOTED]
        return [(a, b, self.number_of(b)) for a in stay for b in stay
                if a is not b and {a.name, b.name} != set(CUT)]

    def facts(self):
        out = {}
        for site, other, number in self.links_that_stay():
            tunnel = f"tlwg_{number}"
            show = self.mesh.in_router(site, "wg", "show", tunnel, "dump").splitlines()[1].split("\t")
            index = json.loads(self.mesh.in_router(site, "ip", "-j", "link", "show", tunnel))[0]["ifindex"]
            bgp = {name: held for name, held in self.sessions(site).items() if name.startswith(f"peer_{number}")}
            self.assertTrue(bgp, f"{site.name} has no session with {other.name}")
            out[site.name, other.name] = {"index": index, "handshake": int(show[4]), "rx": int(show[5]),
                                          "tx": int(show[6]), "bgp": bgp}
        return out

    def test_sites_need_nobody(self):
        self.all_reach(30)
        self.wait_sessions()
        before = self.facts()
        routed = {site.name: self.mesh.node_status(site)["active"] for site in self.mesh.sites}
        lab("controller", "kill")
        began = time.monotonic()
        for name in REBOOTED:
            lab("node", name, "reboot")
        lab("cut", *CUT)
        self.all_reach(40)
        print(f"all pairs reach each other {time.monotonic() - began:.1f} s after the first reboot")
        for site in self.mesh.sites:
            status = self.mesh.node_status(site)
            self.assertEqual(status["controller"], "unreachable")
            self.assertEqual(status["active"], routed[site.name])

        lab("controller", "start")
        self.mesh.cli("add", "tag", "after", "head")
        self.wait_at_head()
        lab("heal", *CUT)
        self.all_reach(20)

        after = self.facts()
        for link, was in before.items():
            now = after[link]
            self.assertEqual(now["index"], was["index"], link)
            self.assert_same_sessions(was["bgp"], now["bgp"])
            self.assertGreaterEqual(now["rx"], was["rx"], link)
            self.assertGreaterEqual(now["tx"], was["tx"], link)
            renewed = now["handshake"] - was["handshake"]
            self.assertTrue(renewed == 0 or renewed >= RENEWAL_S, (link, renewed))


if __name__ == "__main__":
    main()

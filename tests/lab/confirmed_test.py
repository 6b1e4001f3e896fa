#!/usr/bin/python3
"""Claim: an operator cannot lock himself out. A change that cuts off the sites that it goes to, or the controller from
them, goes back by itself: after `--confirmed=20s` traffic is back within 25 s at every site, also when the controller
was killed a second after the activation; the log agrees in the end and tells it, and meshcli exits with 11.
Method: three real sites whose controller stands in a LAN of site1, reached by the others only through the mesh; wrong
endpoints, wrong ports and a LAN that is no longer announced; pings every 20 ms. In the first the operator sits behind
what he cuts. Exit code 77 = skipped."""

import json
import os
import re
import subprocess
import time
import unittest

from fixture import LabTest, Pinging, lab, main
from lab_mesh import binary
from lab_net import CONTROLLER4, run

CONFIRM_S = 20
BACK_MS = 25_000
CUT_MS = 15_000  # a shorter silence would say that nothing was cut
PATIENCE_S = 90
WENT_BACK = re.compile(r"went back to v\d+: (?:activation .* was )?not confirmed")  # by its clock, or the log's word
CONTROLLER_NET = "198.18.0.0/30"


class ConfirmedTest(LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.move_controller()

    @classmethod
    def move_controller(cls):
        """Into a LAN of site1, and away from the internet for the other routers."""
        run("ip", "link", "add", "ctl0", "netns", "mesh-site1", "type", "veth", "peer", "name", "lan1", "netns",
            "mesh-controller")
        run("ip", "-n", "mesh-site1", "addr", "add", "198.18.0.1/30", "dev", "ctl0")
        run("ip", "-n", "mesh-site1", "link", "set", "ctl0", "up")
        run("ip", "-n", "mesh-controller", "link", "set", "lan1", "up")
        for network in ("100.64.0.0/10", "10.0.0.0/8"):
            run("ip", "-n", "mesh-controller", "route", "add", network, "via", "198.18.0.1", "dev", "lan1", "onlink")
        # Site1's own agent too: the controller would answer the address of ctl0 by its other, older link.
        run("ip", "-n", "mesh-site1", "route", "add", f"{CONTROLLER4}/32", "dev", "ctl0", "src", "10.1.0.1")
        cls.set_lans(cls.lans(CONTROLLER_NET))
        cls.mesh.cli("commit", "all", "-m", "the controller's LAN")
        cls.mesh.cli("activate", "all")
        for site in ("site2", "site3"):
            lab("exec", "inet", "--", "nft", "add", "rule", "inet", "lab", "forward", "iifname", site, "ip", "daddr",
                CONTROLLER4, "drop")
        # A site's firewall lets WireGuard's usual ports through and no others: a router that listens elsewhere is cut
        # off for certain, while one whose endpoint is wrong may be found again by a peer that dials it in time.
        lab("exec", "inet", "--", "nft", "add", "rule", "inet", "lab", "forward", "udp", "sport", "!=", "51800-52100",
            "drop")
        cls.wait_ok()

    @classmethod
    def lans(cls, *more):
        return json.dumps(json.loads(cls.mesh.sites[0].lans) + list(more))

    @classmethod
    def set_lans(cls, lans):
        cls.mesh.cli("set", "site", "site1", "lans", lans)

    @classmethod
    def states(cls):
        return {node["fullname"]: node["state"] for node in cls.mesh.cli_json("list", "nodes")["items"]}

    @classmethod
    def wait_ok(cls):
        """Every router is connected, at the head and runs what the log wants."""
        deadline = time.monotonic() + PATIENCE_S
        while set(cls.states().values()) != {"ok"}:
            if time.monotonic() > deadline:
                for site in cls.mesh.sites:
                    print("".join(open(cls.mesh.path("logs", f"{site.name}.log")).readlines()[-25:]), flush=True)
                raise AssertionError(f"not well within {PATIENCE_S} s: {cls.states()}")
            time.sleep(0.1)

    def activate(self, site=None, target=("all",)):
        """Runs meshcli beside this, on the host or on a site's router."""
        enter = self.mesh.enter_router(site) if site else []
        return subprocess.Popen([*enter, binary("meshcli"), "--context", self.mesh.context, "activate", *target,
                                 f"--confirmed={CONFIRM_S}s"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def assert_rolled_back(self, process):
        said, errors = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 11, said + errors)
        self.assertIn("expired: nobody confirmed it in time, all nodes go back", errors)

    def assert_came_back(self, pings, cut=True):
        results = [ping.stop() for ping in pings]
        print("silence:", [r["gap_ms"] for r in results], "ms", flush=True)
        for result in results:
            self.assertIsNotNone(result["gap_ms"], "nothing came back")
            if cut:
                self.assertGreater(result["gap_ms"], CUT_MS, "it was not cut")
            self.assertLess(result["gap_ms"], BACK_MS)

    def assert_story(self, versions, targets=3):
        """The newest entries: who started it, what became of it, and what every target did."""
        self.wait_ok()
        self.wait(f"{targets} went back", lambda: len(WENT_BACK.findall(self.story())) == targets, PATIENCE_S,
                  self.story)
        story = self.story()
        print(story, flush=True)
        self.assertIn(f"goes back in {CONFIRM_S}s unless confirmed", story)
        self.assertIn("expired, nobody confirmed it in time: its nodes go back", story)
        self.assertEqual(self.versions(), versions)
        self.assertEqual(self.mesh.cli_json("status")["pending"], [])
        self.all_reach(10)

    def story(self):
        """The log from the newest activation on."""
        said = self.mesh.cli("log", "-n", "12")
        return said[max(said.rfind("\n", 0, said.rfind(" goes back in ")), 0):]

    def versions(self):
        return {n["fullname"]: n["version_active"] for n in self.mesh.cli_json("list", "nodes")["items"]}

    def wrong_endpoints(self, endpoint, message):
        for site in self.mesh.sites:
            self.mesh.cli("set", "node", self.mesh.node_name(site), "endpoint", endpoint(site))
        self.mesh.cli("commit", "all", "-m", message)

    def right_endpoints(self):
        for site in self.mesh.sites:
            self.mesh.cli("set", "node", self.mesh.node_name(site), "endpoint", site.wan4)
        self.mesh.cli("commit", "all", "-m", "as it was")

    @unittest.skipUnless(os.environ.get("MESH_LAB_LONG"), "half a minute more: MESH_LAB_LONG=1")
    def test_1_wrong_endpoints_from_behind_them(self):
        versions = self.versions()
        self.wrong_endpoints(lambda site: f"192.0.2.{site.number}", "wrong endpoints")
        pings = self.pings(self.ring())
        process = self.activate(self.mesh.site("site3"))
        self.assert_rolled_back(process)
        self.assert_came_back(pings, cut=False)
        self.assert_story(versions)
        self.right_endpoints()

    def test_2_wrong_ports_and_the_controller_dies(self):
        versions = self.versions()
        self.mesh.cli("set", "global", "wg_listenport_base", "40000")
        self.mesh.cli("commit", "all", "-m", "wrong ports")
        pings = self.pings(self.ring())
        began = time.monotonic()
        process = self.activate()
        time.sleep(max(0, began + 1 - time.monotonic()))
        lab("controller", "kill")
        while time.monotonic() < began + BACK_MS / 1000 + 1:
            time.sleep(0.1)
        self.assert_came_back(pings)
        lab("controller", "start")
        self.assert_rolled_back(process)
        self.assert_story(versions)
        self.mesh.cli("set", "global", "wg_listenport_base", "empty")
        self.mesh.cli("commit", "all", "-m", "as it was")

    def test_3_a_filter_drops_the_controllers_network(self):
        """What no LAN announces, no router lets in. Nothing else is cut, so a node may still tell that it applied it:
        then `activate` ends well, and the confirmation that the operator is asked for comes too late."""
        versions = self.versions()
        self.set_lans(self.lans())
        self.mesh.cli("commit", "all", "-m", "who needs that LAN", "--allow-loss")
        targets = sum(n["version_latest"] != n["version_wanted"] for n in self.mesh.cli_json("list", "nodes")["items"])
        lans = self.pings(self.ring())
        controller = [Pinging(site, CONTROLLER4) for site in self.mesh.sites[1:]]
        time.sleep(0.5)
        process = self.activate()
        said, errors = process.communicate(timeout=PATIENCE_S)
        self.assertIn(process.returncode, (0, 11), said + errors)
        self.wait_ok()
        late = self.mesh.try_cli("confirm")
        self.assertEqual(late.returncode, 11, late.stderr)
        self.assert_came_back(controller)
        for result in [ping.stop() for ping in lans]:
            self.assertEqual(result["lost"], 0, "traffic between the sites was not touched")
        self.assert_story(versions, targets)


if __name__ == "__main__":
    main()

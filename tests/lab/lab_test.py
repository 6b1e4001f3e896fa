#!/usr/bin/python3
"""Claim: the lab is a routed internet with sites behind it; a cut drops one pair and nothing else; a killed router
comes back as rebooted; and `ops/lab down` leaves nothing behind, whatever was killed before.
Method: `ops/lab up --bare` (no meshd or meshnode), static routes in place of the mesh, and a look at the host before
and after. The host is a sandbox (fixture.py); with --on-the-host it is the real one, for one of the tests. Exit code
77 = skipped: this machine can hold no lab, or (on the host) a lab is in use."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

from fixture import LAB, lab, main, why_not

ON_THE_HOST = "--on-the-host"
SYSCTLS = ["fs.inotify.max_user_instances", "net.ipv4.neigh.default.gc_thresh3", "net.ipv6.neigh.default.gc_thresh3"]


def lab_in_use():
    """True when somebody's lab has living processes: leftovers of a crash have none, or are ours to remove."""
    names = [n for n in netns() if n.startswith("mesh-site") or n == "mesh-controller"]
    return any(subprocess.run(["ip", "netns", "pids", n], capture_output=True, text=True).stdout for n in names)


def netns():
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    return [line.split()[0] for line in listed.splitlines()]


def host():
    """What a lab may change on the host."""
    said = subprocess.run(["sh", "-c", "ip -o link; ip -4 route; ip -6 route; ls /run; sysctl " + " ".join(SYSCTLS)],
                          capture_output=True, text=True)
    return said.stdout.splitlines() + [n for n in netns() if n.startswith("mesh-")]


class LabTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = os.path.join(tempfile.mkdtemp(prefix="mesh-lab-test-"), "lab")
        self.addCleanup(os.rmdir, os.path.dirname(self.dir))
        self.down()
        self.before = host()
        self.addCleanup(lab, "down", "--dir", self.dir)
        self.assertEqual(lab("up", "--bare", "--sites", "3", "--dir", self.dir), "")

    def down(self):
        """In a sandbox the usual directory is that of a user's lab outside."""
        lab("down", *([] if ON_THE_HOST in sys.argv else ["--dir", self.dir]))

    def connect_lans(self):
        """What the mesh would do, by hand: routes between the LANs over the internet."""
        for i in (1, 2, 3):
            lab("exec", "inet", "--", "sh", "-ec",
                f"ip route add 10.{i}.0.0/24 via 198.18.{i}.2; ip addr add fd99:{i}::1/64 dev site{i} nodad;"
                f"ip route add fd00:{i}::/64 via fd99:{i}::2")
            lab("exec", f"site{i}", "--", "sh", "-ec",
                f"ip addr add fd99:{i}::2/64 dev wan0 nodad; ip route add default via fd99:{i}::1;"
                "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")

    def reaches(self, site, address):
        ping = [LAB, "exec", site, "--", "ping", "-c1", "-W1", address]
        return subprocess.run(ping, capture_output=True, timeout=60).returncode == 0

    def test_info_names_every_site(self):
        info = json.loads(lab("info", "-o", "json"))
        self.assertEqual(info["dir"], self.dir)
        self.assertEqual(info["controller"]["pid"], None)
        self.assertEqual([s["name"] for s in info["sites"]], ["site1", "site2", "site3"])
        self.assertEqual(info["sites"][1], {
            "name": "site2", "node": "gw.site2", "router_ns": "mesh-site2", "lan_ns": "mesh-site2-lan",
            "lan4": "10.2.0.10", "lan6": "fd00:2::10", "wan4": "198.18.2.2", "data": f"{self.dir}/nodes/site2",
            "pid": None, "place": None})
        self.assertIsNone(info["topology"])
        self.assertEqual([(link["a"], link["b"]) for link in info["links"]],
                         [("site1", "site2"), ("site1", "site3"), ("site2", "site3")])

    def test_routers_reach_each_other_and_lans_do_not_before_the_mesh_is_up(self):
        self.assertTrue(self.reaches("site1", "198.18.3.2"))
        self.assertTrue(self.reaches("site1", "198.18.0.2"))
        lab("reach", "--seconds", "1", code=1)

    def test_reach_asks_all_pairs_in_both_families(self):
        self.connect_lans()
        lab("reach", "--seconds", "30")
        lab("exec", "inet", "--", "ip", "route", "del", "fd00:3::/64")
        lab("reach", "--seconds", "1", code=1)
        lab("reach", "site1", "site2", "--seconds", "30")

    def test_the_host_reaches_the_controller_and_nothing_else(self):
        self.assertEqual(subprocess.run(["ping", "-c1", "-W2", "198.18.0.2"], capture_output=True).returncode, 0)
        routes = subprocess.run(["ip", "route"], capture_output=True, text=True).stdout
        self.assertNotIn("198.18.1.", routes)

    def test_a_cut_drops_one_pair_both_ways_and_heal_undoes_it(self):
        for _ in range(2):  # both are idempotent
            lab("cut", "site1", "site2")
        self.assertFalse(self.reaches("site1", "198.18.2.2"))
        self.assertFalse(self.reaches("site2", "198.18.1.2"))
        self.assertTrue(self.reaches("site1", "198.18.3.2"))
        for _ in range(2):
            lab("heal", "site2", "site1")
        self.assertTrue(self.reaches("site1", "198.18.2.2"))
        lab("cut", "site1", "controller")
        self.assertFalse(self.reaches("site1", "198.18.0.2"))

    def test_sockets_of_routers_do_not_collide(self):
        lab("exec", "site1", "--", "touch", "/run/wireguard/x.sock", "/run/meshnode/x")
        self.assertEqual(lab("exec", "site2", "--", "ls", "/run/wireguard", "/run/meshnode").split(),
                         ["/run/meshnode:", "/run/wireguard:"])
        self.assertFalse(os.path.exists("/run/wireguard/x.sock"))

    def test_a_killed_router_comes_back_as_rebooted(self):
        boot_id = lab("exec", "site1", "--", "cat", "/proc/sys/kernel/random/boot_id")
        lab("exec", "site1", "--", "sh", "-ec",
            "ip tuntap add tlwg_x mode tun; ip addr add 100.64.0.1/32 dev lo; touch /run/meshnode/x;"
            "sysctl -qw net.ipv4.ip_forward=1; sleep 1000 >/dev/null 2>&1 &")
        lab("node", "site1", "kill")
        lab("exec", "site1", "--", "true", code=1)
        lab("node", "site1", "start")
        said = lab("exec", "site1", "--", "sh", "-c",
                   "ip -o link; ip addr show dev lo; ls /run/meshnode; cat /proc/sys/net/ipv4/ip_forward")
        self.assertNotIn("tlwg_x", said)
        self.assertNotIn("100.64.0.1", said)
        self.assertEqual(said.splitlines()[-1], "0")
        self.assertNotEqual(lab("exec", "site1", "--", "cat", "/proc/sys/kernel/random/boot_id"), boot_id)
        self.assertTrue(self.reaches("site1", "198.18.2.2"))

    def test_a_reboot_is_a_power_cut_and_a_boot_in_one(self):
        boot_id = lab("exec", "site1", "--", "cat", "/proc/sys/kernel/random/boot_id")
        lab("exec", "site1", "--", "sh", "-ec",
            "ip tuntap add tlwg_x mode tun; touch /run/meshnode/x /run/wireguard/x; sleep 1000 >/dev/null 2>&1 &")
        lab("node", "site1", "reboot")
        seen = lab("exec", "site1", "--", "sh", "-c", "ip -o link; ls /run/meshnode /run/wireguard")
        self.assertNotIn("tlwg_x", seen)
        self.assertEqual(seen.split()[-2:], ["/run/meshnode:", "/run/wireguard:"])
        other = lab("exec", "site1", "--", "sh", "-c", "unshare -m cat /proc/sys/kernel/random/boot_id")
        self.assertNotEqual(other, boot_id)
        self.assertEqual(other, lab("exec", "site1", "--", "cat", "/proc/sys/kernel/random/boot_id"))
        lab("node", "site1", "kill")
        lab("node", "site1", "reboot")  # of a machine without power: it boots
        self.assertTrue(self.reaches("site1", "198.18.2.2"))

    def test_down_leaves_the_host_as_it_was(self):
        self.down()
        self.assertEqual(host(), self.before)
        self.assertFalse(os.path.exists(self.dir))
        lab("info", code=1)

    def test_down_cleans_after_everything_was_killed(self):
        sleeper = subprocess.Popen([LAB, "host", "site1", "--", "sh", "-c", "echo here; exec sleep 1000"],
                                   stdout=subprocess.PIPE)
        sleeper.stdout.readline()
        for name in [n for n in netns() if n.startswith("mesh-")]:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout
            for pid in pids.split():
                os.kill(int(pid), signal.SIGKILL)
        self.down()
        sleeper.wait()
        sleeper.stdout.close()
        self.assertEqual(host(), self.before)

    def test_up_replaces_what_was_left(self):
        lab("up", "--bare", "--sites", "2", "--dir", self.dir)
        lab("up", "--bare", "--sites", "1", "--dir", self.dir)
        self.assertEqual(len(json.loads(lab("info", "-o", "json"))["sites"]), 1)

    def test_down_finds_namespaces_without_a_record(self):
        record = "/run/meshlog-lab.json"
        os.rename(record, record + ".away")
        lab("down", "--dir", self.dir)
        self.assertEqual([name for name in netns() if name.startswith("mesh-")], [])
        os.rename(record + ".away", record)
        self.down()  # with the record also what was changed on the host
        self.assertEqual(host(), self.before)

    def test_a_directory_of_somebody_else_is_not_touched(self):
        self.down()
        os.mkdir(self.dir)
        with open(os.path.join(self.dir, "mine"), "w", encoding="utf-8"):
            pass
        lab("up", "--bare", "--sites", "1", "--dir", self.dir, code=1)
        lab("down", "--dir", self.dir)
        os.unlink(os.path.join(self.dir, "mine"))
        os.rmdir(self.dir)

    def test_a_real_network_gives_the_sites_places_and_the_links(self):
        lab("up", "--bare", "--topology", "layer42", "--dir", self.dir)
        info = json.loads(lab("info", "-o", "json"))
        self.assertEqual(info["topology"], "layer42")
        self.assertEqual([s["place"] for s in info["sites"]], [
            "seattle", "san-francisco", "los-angeles", "chicago", "new-york-city", "washington-dc"])
        self.assertEqual([(link["a"], link["b"]) for link in info["links"]][:2],
                         [("site1", "site2"), ("site2", "site3")])
        self.assertIn("site6", lab("info"))

    def test_wrong_calls_are_usage_errors(self):
        lab("up", "--bare", "--topology", "atlantis", code=64)
        lab("up", "--bare", "--topology", "layer42", "--sites", "3", code=64)
        lab("cut", "site1", "site9", code=64)
        lab("node", "site1", "explode", code=64)
        lab("up", "--bare", "--sites", "0", code=64)
        lab("up", "--bare", "--sites", "251", code=64)
        lab("host", "site1", code=64)


if __name__ == "__main__":
    if ON_THE_HOST not in sys.argv:
        main()
    if why := why_not() or (lab_in_use() and "a lab is in use: ops/lab down"):
        print(why)
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "LabTest.test_down_leaves_the_host_as_it_was"])

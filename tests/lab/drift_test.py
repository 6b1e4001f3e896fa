#!/usr/bin/python3
"""Claim: what is edited by hand on a router is named by `meshcli drift` within 30 s and not touched, and with the
policy `heal` repaired within 30 s; a network that nobody touched shows no drift, also while BGP flaps and peers roam.
Method: `ops/lab up --sites 3` with the real programs, WireGuard and BIRD; wg(8) and ip(8) as an engineer uses them.
One lab for all tests: they run in the order of their names. Exit code 77 = skipped."""

from fixture import LabTest, lab, main

SEEN_SECONDS = 30


class DriftTest(LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.one, cls.two, cls.three = cls.mesh.sites
        cls.off = set()  # without power
        cls.name = cls.mesh.node_name(cls.one)

    def router(self, *argv):
        return self.mesh.in_router(self.one, *argv)

    def drift(self, everywhere=False):
        """Items of the first router, or of all."""
        nodes = self.mesh.cli_json("drift")["items"]
        return [item for node in nodes if everywhere or node["fullname"] == self.name for item in node["drift"]]

    def open_items(self):
        return [item for item in self.drift() if item["over_s"] is None]

    def seen(self, what, condition):
        print(f"{what}: {self.wait(what, condition, SEEN_SECONDS, self.drift):.1f} s", flush=True)

    def tunnel(self):
        """An interface of the first router, its peer's key, and a route over it."""
        interface = self.router("wg", "show", "interfaces").split()[0]
        key = self.router("wg", "show", interface, "peers").strip()
        routes = self.router("ip", "-4", "route", "show", "proto", "bird", "dev", interface).splitlines()
        return interface, key, routes[0].split()[0]

    def observed(self):
        """The digest of what each node saw on its router when it last looked; empty before it did."""
        return {site.name: self.mesh.node_status(site)["observed"] for site in self.mesh.sites if site not in self.off}

    def looked(self, change, sites=None):
        """Makes a change that shows on the routers of these sites, or of all, and waits until they looked since."""
        before = self.observed()
        change()

        def seen():
            now = self.observed()
            return all(now[site.name] not in ("", before.get(site.name)) for site in sites or self.mesh.sites)
        self.seen("looked at the router", seen)

    def plan_a_change(self, keepalive):
        self.mesh.cli("set", "global", "wg_keepalive", str(keepalive))
        self.mesh.cli("commit", "all", "--activate", "-m", f"keepalive {keepalive}")

    def power_off(self, site):
        lab("node", site.name, "kill")
        self.off.add(site)

    def boot_amid_a_change(self, site):
        lab("node", site.name, "start")
        self.off.discard(site)
        self.plan_a_change(17)
        self.all_reach()

    def test_1_nobody_touched_anything(self):
        """Nobody sees a drift in any look: at rest, with a link cut and healed again, with a router off and back."""
        ends = (self.one, self.two)
        self.wait_sessions()
        self.looked(lambda: self.plan_a_change(16))
        self.looked(lambda: lab("cut", "site1", "site2"), ends)
        self.looked(lambda: lab("heal", "site1", "site2"), ends)
        self.looked(lambda: self.power_off(self.three), ends)
        self.looked(lambda: self.boot_amid_a_change(self.three))
        self.wait_sessions()
        self.looked(lambda: self.plan_a_change(18))
        self.assertEqual(self.drift(everywhere=True), [])
        self.assertTrue(all(node["policy"] == "report" and node["observed"]
                            for node in self.mesh.cli_json("drift")["items"]))

    def test_2_edits_are_named_and_not_touched(self):
        interface, key, to = self.tunnel()
        self.router("wg", "set", interface, "peer", key, "remove")
        self.seen("a removed peer is named", lambda: any(
            (i["aspect"], i["name"], i["expected"], i["found"]) == ("peer", interface, key, "")
            for i in self.open_items()))
        self.assertEqual(self.router("wg", "show", interface, "peers"), "", "policy report")
        text = self.mesh.cli("drift", "node", self.name)
        self.assertIn(f"-{key}\n", text)
        self.assertEqual(self.mesh.try_cli("drift", "--detailed-exitcode").returncode, 2)
        self.plan_a_change(19)
        self.seen("a planned change repairs it", lambda: not self.open_items())
        self.all_reach()

    def test_3_a_route_that_bird_puts_back_was_seen(self):
        self.wait_sessions()
        interface, _, to = self.tunnel()
        self.router("ip", "route", "add", "10.254.0.0/24", "dev", interface)
        self.router("ip", "route", "del", to)
        self.seen("a removed route is named", lambda: any(
            i["aspect"] == "route" and i["name"] == to and not i["found"] for i in self.drift()))
        self.assertIn(f"-{to} via ", self.mesh.cli("drift", "node", self.name))
        self.seen("a foreign route is named", lambda: any(i["name"] == "10.254.0.0/24" for i in self.open_items()))
        self.router("ip", "route", "del", "10.254.0.0/24")
        self.seen("and over when it is undone", lambda: not self.open_items())

    def test_4_heal_repairs(self):
        self.mesh.cli("set", "global", "drift", "heal")
        self.mesh.cli("commit", "all", "--activate", "-m", "edits are set back")
        self.seen("the policy is there", lambda: all(node["policy"] == "heal"
                                                     for node in self.mesh.cli_json("drift")["items"]))
        interface, key, to = self.tunnel()
        self.router("wg", "set", interface, "peer", key, "remove")
        self.router("ip", "route", "del", to)
        self.router("ip", "route", "add", "10.254.0.0/24", "dev", interface)
        self.router("sysctl", "-qw", "net.ipv4.ip_forward=0")
        self.seen("everything is repaired", lambda: (
            self.router("wg", "show", interface, "peers").strip() == key
            and to in self.router("ip", "route", "show", "proto", "bird")
            and "10.254" not in self.router("ip", "route")
            and self.router("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"))
        self.seen("and told", lambda: not self.open_items() and {"peer", "sysctl"} <= {
            i["aspect"] for i in self.drift() if i["healed"] == "meshnode"})
        self.all_reach()


if __name__ == "__main__":
    main()

"""Claim: files that the controller renders reach a node by their digests, and what they are for is done only as the
file allow.toml on the box permits: refused with the line to add, done when it is there, kept over kills, taken back
with the version, gone with the node. Method: the real programs; the machine beside the dry-run router is a folder."""
import unittest

from mesh import Mesh, wait_until


class Services(unittest.TestCase):
    def start(self):
        self.mesh.nodes["s1"] = self.mesh.start("meshnode", "run", "--data", self.data, "--dataplane", "dry-run",
                                                "--allow", self.allow, log="s1")

    def activate(self, *more):
        self.mesh.cli("commit", "all")
        self.mesh.cli("activate", "all", "--no-wait")

    def refused_with_the_line(self):
        self.mesh.cli("put", "file", "global", "dns_mesh.conf", "-", stdin=b"server=192.0.2.53\n")
        self.mesh.cli("put", "file", "global", "startup_a.jinja", "-", stdin=b"#!/bin/sh\necho {{ node_name }}\n")
        for name, value in (("files", "dns_*.conf"), ("destination", "/etc/dnsmasq.d"), ("reload", "reload dns")):
            self.mesh.cli("set", "global", f"service.dns.{name}", value)
        self.activate()
        wait_until(lambda: "put into" in self.mesh.node_status("s1").get("problem", ""), "the refusal is told")
        problem = self.mesh.node_status("s1")["problem"]
        for line in ('destinations = ["/etc/dnsmasq.d"]', 'commands = ["reload dns"]', "startup_scripts = true"):
            self.assertIn(line, problem)
        self.assertFalse(self.placed.exists())

    def done_when_it_is_permitted(self):
        self.allow.write_text('destinations = ["/etc/dnsmasq.d"]\ncommands = ["reload dns"]\nstartup_scripts = true\n')
        self.mesh.wait_synced("s1", version=2)
        self.assertEqual(self.placed.read_bytes(), b"server=192.0.2.53\n")
        self.assertEqual((self.data / "versions/v2/startup_a").read_bytes(), b"#!/bin/sh\necho r1")
        status = self.mesh.node_status("s1")
        self.assertEqual([(each["name"], each["code"]) for each in status["scripts"]], [("startup_a", 0)])

    def kept_over_a_kill(self):
        self.mesh.kill_node("s1")
        self.placed.write_bytes(b"by hand")
        self.start()
        self.mesh.wait_synced("s1", version=2)
        self.assertEqual(self.placed.read_bytes(), b"server=192.0.2.53\n")

    def taken_back_with_the_version(self):
        self.mesh.cli("del", "file", "global", "dns_mesh.conf")
        self.activate()
        self.mesh.wait_synced("s1", version=3)
        self.assertFalse(self.placed.exists())
        self.mesh.cli("activate", "all", "v2", "--no-wait", check=False)
        self.mesh.cli("activate", "node", "r1.s1", "v2", "--no-wait", check=False)
        self.mesh.wait_synced("s1", version=2)
        self.assertTrue(self.placed.exists())

    def gone_with_the_node(self):
        self.mesh.stop_node("s1")
        self.mesh.program("meshnode", "leave", "--data", self.data, "--dataplane", "dry-run", "--allow", self.allow)
        self.assertEqual([each.name for each in self.data.iterdir()], [])

    def test_services(self):
        with Mesh() as self.mesh:
            self.mesh.start_controller()
            self.data, self.allow = self.mesh.dir / "s1", self.mesh.dir / "allow.toml"
            self.placed = self.data / "dry-services/etc/dnsmasq.d/dns_mesh.conf"
            self.mesh.add_site("s1", 1)
            self.mesh.join("s1")
            self.start()
            self.mesh.cli("commit", "all")
            self.mesh.cli("activate", "all", "--no-wait")
            self.mesh.wait_synced("s1", version=1)
            self.refused_with_the_line()
            self.done_when_it_is_permitted()
            self.kept_over_a_kill()
            self.taken_back_with_the_version()
            self.gone_with_the_node()


if __name__ == "__main__":
    unittest.main()

"""Claim: versions follow Towalink's rules: a node gets its next vN only when its content changed, counted for
each node; `list changed` names exactly those; a commit of a site or a node versions only what is in it and names the
neighbours that it leaves behind; `active` on the node points to the version that was activated, an earlier one too.
Method: two real nodes; digests, lists and links are read after each step."""
import os
import unittest

from mesh import Mesh


class Versions(unittest.TestCase):
    def versions(self, site):
        return [(item["version"], item["digest"]) for item in self.mesh.json("list", "versions", f"r1.{site}")["items"]]

    def numbers(self, site):
        return [version for version, _ in self.versions(site)]

    def changed(self):
        return [item["fullname"] for item in self.mesh.json("list", "changed")["items"]]

    def active(self, site):
        return os.path.basename(os.readlink(self.mesh.dir / site / "active"))

    def only_what_changed(self):
        self.assertEqual(self.changed(), [])
        self.assertIn(b"0 versions committed", self.mesh.cli("commit", "all").stdout)
        self.mesh.cli("set", "global", "remark", "nobody reads this")
        self.assertEqual(self.changed(), [])
        self.mesh.cli("commit", "all")
        self.assertEqual((self.numbers("s1"), self.numbers("s2")), ([1], [1]))

    def counted_for_each_node(self):
        self.mesh.cli("set", "node", "r1.s1", "wg_keepalive", "20")
        self.mesh.cli("set", "node", "r1.s2", "wg_keepalive", "20")
        self.assertEqual(self.changed(), ["r1.s1", "r1.s2"])
        self.mesh.cli("commit", "node", "11")
        self.assertEqual((self.numbers("s1"), self.numbers("s2")), ([1, 2], [1]))
        self.assertEqual(self.changed(), ["r1.s2"])
        self.mesh.cli("commit", "site", "s2")
        self.assertEqual(self.numbers("s2"), [1, 2])

    def back_is_a_new_version(self):
        self.mesh.cli("set", "node", "r1.s1", "wg_keepalive", "empty")
        self.mesh.cli("commit", "site", "s1")
        versions = self.versions("s1")
        self.assertEqual([number for number, _ in versions], [1, 2, 3])
        self.assertEqual(versions[0][1], versions[2][1])

    def neighbours(self):
        self.mesh.cli("set", "node", "r1.s1", "endpoint", "192.0.2.99")
        self.mesh.cli("set", "node", "r1.s1", "bfd_multiplier", "7")
        self.assertEqual(self.changed(), ["r1.s1", "r1.s2"])
        done = self.mesh.cli("commit", "site", "s1")
        self.assertIn("these neighbours would change too and stay as they are: r1.s2", done.stderr.decode())
        self.assertEqual((self.numbers("s1")[-1], self.numbers("s2")[-1]), (4, 2))
        self.assertEqual(self.changed(), ["r1.s2"])
        self.mesh.cli("set", "node", "r1.s1", "bfd_multiplier", "8")
        self.mesh.cli("commit", "node", "r1.s1", "--with-neighbours")
        self.assertEqual((self.numbers("s1")[-1], self.numbers("s2")[-1]), (5, 3))
        self.assertEqual(self.changed(), [])

    def activated(self):
        self.assertEqual((self.active("s1"), self.active("s2")), ("v1", "v1"))
        self.mesh.cli("activate", "all")
        self.assertEqual((self.active("s1"), self.active("s2")), ("v5", "v3"))
        self.mesh.cli("activate", "node", "r1.s1", "v2")
        self.assertEqual((self.active("s1"), self.active("s2")), ("v2", "v3"))
        self.mesh.cli("activate", "site", "s2", "1")
        self.assertEqual(self.active("s2"), "v1")
        # Who has no such version keeps what it has.
        done = self.mesh.cli("activate", "all", "4")
        self.assertIn(b"node r1.s2 has no version v4, its latest is v3: it stays as it is", done.stderr)
        self.assertEqual((self.active("s1"), self.active("s2")), ("v4", "v1"))
        refused = self.mesh.cli("activate", "all", "v9", check=False)
        self.assertEqual(refused.returncode, 5)
        self.assertIn(b"no node has a version v9", refused.stderr)
        self.mesh.cli("activate", "all", "current")
        self.assertEqual((self.active("s1"), self.active("s2")), ("v5", "v3"))

    def test_the_rules(self):
        with Mesh() as self.mesh:
            self.mesh.start_controller()
            self.mesh.sites(2)
            self.only_what_changed()
            self.counted_for_each_node()
            self.back_is_a_new_version()
            self.neighbours()
            self.activated()
            self.assertTrue(self.mesh.json("verify")["ok"])


if __name__ == "__main__":
    unittest.main()

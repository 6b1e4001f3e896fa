"""Claim: intent goes back and forth as a whole: a rollback shows what it will do and then does it, removed nodes come
back with their numbers and enrol again, the same versions are pinned as then, an export applied changes nothing, an
old one applied is the rollback, and all of it verifies. Method: the real programs; exports are kept outside and
compared."""
import json
import unittest

from mesh import Mesh


class Rollback(unittest.TestCase):
    def intent(self, mesh, *args):
        """Without the comment that says as of when."""
        lines = mesh.cli("export", *args).stdout.decode().splitlines(keepends=True)
        self.assertTrue(lines[0].startswith("# all as of #"), lines[0])
        return "".join(lines[1:])

    def head(self, mesh):
        return mesh.json("export")["sequence"]

    def digest(self, mesh, node):
        return mesh.json("list", "versions", node)["items"][-1]["digest"]

    def roll_back(self, mesh):
        mesh.cli("add", "node", "r2.s1")
        mesh.cli("set", "node", "r2.s1", "note", "spare")
        mesh.cli("commit", "all")
        mesh.cli("add", "tag", "before")
        self.before, digest = self.intent(mesh), self.digest(mesh, "r1.s1")
        mesh.cli("set", "global", "bfd_multiplier", "5")
        mesh.cli("del", "node", "r2.s1")
        mesh.cli("del", "node", "r1.s2", "--force")
        mesh.cli("rename", "site", "s1", "core")
        refused = mesh.cli("commit", "all", check=False)
        self.assertEqual(refused.returncode, 7)
        self.assertIn("1 pair of LANs would no longer reach each other: 10.1.0.0/24 and 10.2.0.0/24",
                      refused.stderr.decode())
        mesh.cli("commit", "all", "--allow-loss")
        self.assertNotEqual(self.digest(mesh, "r1.core"), digest)
        self.assertEqual(self.intent(mesh, "--at", "before"), self.before)

        head = self.head(mesh)
        dry = mesh.cli("rollback", "before", "--dry-run")
        for line in ("~ site core -> s1\n", "+ node r2.s1 (13)\n", "+ node r1.s2 (12)\n",
                     "    - bfd_multiplier = 5\n", "plan: "):
            self.assertIn(line, dry.stdout.decode())
        self.assertIn("meshcli token create --node r1.s2", dry.stderr.decode())
        self.assertEqual(self.head(mesh), head)
        done = mesh.json("rollback", "before", "-m", "as it was", "--yes")
        self.assertEqual(done["sequence"], head + 1)
        self.assertEqual([event["type"] for event in done["events"]][-1], "RolledBack")
        self.assertEqual(self.intent(mesh), self.before)
        mesh.cli("commit", "all")
        self.assertEqual(self.digest(mesh, "r1.s1"), digest)
        self.assertEqual(mesh.cli("plan", "--detailed-exitcode").returncode, 0)
        self.assertIn("nothing changed", mesh.cli("rollback", "before").stdout.decode())

    def join_again(self, mesh):
        token = mesh.json("token", "create", "--node", "r1.s2")["token"]
        mesh.program("meshnode", "join", "--token-file", "-", "--data", mesh.dir / "s2-again", stdin=token.encode())
        nodes = {node["fullname"]: node for node in mesh.json("list", "nodes")["items"]}
        self.assertEqual((nodes["r1.s2"]["id"], nodes["r1.s2"]["enrolled"]), (12, True))

    def roll_back_in_part(self, mesh):
        mesh.cli("set", "site", "s2", "note", "a")
        mesh.cli("set", "node", "r1.s1", "note", "b")
        mesh.cli("rollback", "before", "site", "s2")
        self.assertIn("note: b", self.intent(mesh))
        mesh.cli("rollback", "before", "node", "r1.s1")
        self.assertEqual(self.intent(mesh), self.before)

    def undo(self, mesh):
        mesh.cli("set", "global", "note", "x")
        mesh.cli("del", "node", "r2.s1")
        mesh.cli("undo")
        mesh.cli("undo")
        self.assertEqual(self.intent(mesh), self.before)
        refused = mesh.cli("undo", mesh.json("list", "versions", "r1.s1")["items"][-1]["sequence"], check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("a commit cannot be undone", refused.stderr.decode())

    def apply(self, mesh):
        file = mesh.dir / "net.yaml"
        file.write_bytes(mesh.cli("export").stdout)
        head = self.head(mesh)
        mesh.cli("apply", "-f", file, "--prune", "--detailed-exitcode")
        mesh.cli("apply", "-f", "-", "--detailed-exitcode", stdin=mesh.cli("export", "-o", "json").stdout)
        self.assertEqual(self.head(mesh), head)
        edited = file.read_text().replace("note: spare", "note: 7") + (
            "  s9:\n    nodes:\n      r1:\n        attributes: {endpoint: 192.0.2.9, lans: [10.9.0.0/24]}\n")
        file.write_text(edited)
        done = mesh.cli("apply", "-f", file, "--detailed-exitcode", "-m", "s9", check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("+ node r1.s9 (14)\n", done.stdout.decode())
        self.assertEqual(self.head(mesh), head + 1, "one entry")
        mesh.cli("commit", "all")
        done = mesh.cli("apply", "-f", "-", "--prune", "--yes", stdin=self.before.encode())
        self.assertEqual(self.intent(mesh), self.before)
        self.assertIn("nothing changed", mesh.cli("rollback", "before").stdout.decode())
        file.write_text("sites:\n  s1:\n    nods: {}\n")
        refused = mesh.cli("apply", "-f", file, check=False)
        self.assertEqual(refused.returncode, 7)
        self.assertIn("net.yaml:3: \"nods\" is not known here", refused.stderr.decode())

    def test_intent_goes_back_and_forth(self):
        with Mesh() as mesh:
            mesh.start_controller()
            mesh.sites(2)
            self.roll_back(mesh)
            self.join_again(mesh)
            self.roll_back_in_part(mesh)
            self.undo(mesh)
            self.apply(mesh)
            self.assertIn("rules 4", mesh.cli("controller", "rules").stdout.decode())
            mesh.wait_synced("s1")
            self.assertTrue(mesh.json("verify")["ok"])


if __name__ == "__main__":
    unittest.main()

"""Claim: a key without a right gets nothing, a revoked one nothing more, and what does not follow from a signed request
is refused by every node, which keeps routing and says why. Method: the real programs; the forged entry is written into
the controller's log, with a valid envelope and a valid checkpoint, by a program that holds the log's key."""
import json
import subprocess
import unittest

from mesh import BIN, Mesh, wait_until


class Trust(unittest.TestCase):
    def test_a_forged_entry_is_refused_by_the_node(self):
        with Mesh() as mesh:
            mesh.start_controller()
            site = mesh.sites(1)[0]
            mesh.cli("add", "node", f"r2.{site}")
            mesh.cli("token", "create", "--node", f"r2.{site}", "--expires", "1h")
            mesh.wait_synced(site)
            good = mesh.node_status(site)
            mesh.controller.terminate()
            self.assertEqual(mesh.controller.wait(), 0)
            # At the moment when the token has expired: the forged request rightly says so, its events something else.
            subprocess.run([BIN / "mesh_forge", mesh.controller_dir, "lie", "2"], check=True)
            mesh.start_controller()
            wait_until(lambda: mesh.node_status(site).get("problem"), "the node refuses")
            status = mesh.node_status(site)
            self.assertIn("do not follow", status["problem"])
            self.assertEqual(status["sequence"], good["sequence"])
            self.assertEqual(status["active"], good["active"])
            verdict = mesh.cli("verify", "-o", "json", check=False)
            self.assertEqual(verdict.returncode, 12)
            self.assertEqual(json.loads(verdict.stdout)["first_bad"], good["sequence"] + 1)
            offline = mesh.program("meshcli", "verify", "--from", mesh.controller_dir, "-o", "json", check=False)
            self.assertEqual(offline.returncode, 12)

    def test_a_revoked_node_gets_nothing_more_and_its_links_go(self):
        with Mesh() as mesh:
            mesh.start_controller()
            sites = mesh.sites(3)
            before = mesh.node_status("s3")["sequence"]
            mesh.cli("node", "revoke", "r1.s3", "--yes")
            for site in sites[:2]:
                mesh.wait_synced(site)
                peers = [link["peer"] for link in mesh.node_status(site)["links"]]
                self.assertNotIn(13, peers)
            mesh.cli("set", "global", "note", "secret")
            mesh.wait_synced("s1")
            self.assertLessEqual(mesh.node_status("s3")["sequence"], before + 1)

    def test_an_unknown_key_is_refused(self):
        with Mesh() as mesh, Mesh() as other:
            mesh.start_controller()
            foreign = other.context.read_text().splitlines()
            own = mesh.context.read_text().splitlines()
            mixed = mesh.dir / "mixed.context"
            keep = ("operator", "sign_seed", "box_secret")
            mixed.write_text("\n".join([line for line in own if not line.startswith(keep)] +
                                       [line for line in foreign if line.startswith(keep)]) + "\n")
            mixed.chmod(0o600)
            done = mesh.cli("list", "nodes", "all", context=mixed, check=False)
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertEqual(done.stdout, b"")

    def test_a_banned_operator_is_refused(self):
        with Mesh() as mesh:
            mesh.start_controller()
            whole = mesh.dir / "otto.context"
            mesh.program("meshcli", "operator", "keygen", "otto", "--out", whole)
            mesh.cli("operator", "add", "otto", "--role", "operator", "--key", f"{whole}.pub")
            with open(whole, "ab") as draft:
                draft.write(mesh.cli("controller", "connection").stdout)
            mesh.cli("add", "site", "ams", context=whole)
            mesh.cli("operator", "ban", "otto", "--yes")
            done = mesh.cli("add", "site", "lab", context=whole, check=False)
            self.assertEqual(done.returncode, 4, done.stderr)


if __name__ == "__main__":
    unittest.main()

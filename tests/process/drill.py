"""Claim: a backup that is made while 64 clients write holds everything that was acknowledged before it began;
restored elsewhere it is whole, only reads until an administrator starts an epoch, and then goes on; whoever saw more
is told. Method: the real programs; the clients note which entries were acknowledged to them; a node of the old
history stays up."""
import json
import re
import threading
import unittest

from mesh import Mesh, wait_until

CLIENTS = 64


class Writers:
    """Clients that add sites until they are stopped, and what was acknowledged to them."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.acknowledged = {}  # site: sequence
        self.refused = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def write(self, number):
        count = 0
        while not self.stopping.is_set():
            count += 1
            site = f"w{number}-{count}"
            done = self.mesh.cli("-q", "add", "site", site, check=False)
            told = re.search(rb"\(#(\d+)", done.stdout)
            if done.returncode == 0 and told:
                self.acknowledged[site] = int(told[1])
            else:
                self.refused.append(done.stderr.decode())

    def wait_for(self, more, what):
        target = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= target, what)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class Drill(unittest.TestCase):
    def test_backup_restore_and_a_new_epoch(self):
        with Mesh() as mesh:
            mesh.start_controller()
            node = mesh.sites(1)[0]
            file = mesh.dir / "mesh.backup"
            writers = Writers(mesh)
            try:
                writers.wait_for(CLIENTS, "the clients write")
                before = dict(writers.acknowledged)
                made = mesh.json("controller", "backup", file)
                writers.wait_for(CLIENTS, "the clients go on")
                self.assertFalse(mesh.json("controller", "optimise")["running"])
            finally:
                writers.stop()
            self.assertEqual(writers.refused, [])
            self.check_backup(mesh, file, made, before, writers.acknowledged)
            mesh.wait_synced(node)
            seen = mesh.node_status(node)["sequence"]
            kept = mesh.dir / "kept.note"
            kept.write_bytes(mesh.cli("checkpoint").stdout)
            self.restore(mesh, file, made)
            self.check_read_only(mesh, before)
            self.check_node_is_ahead(mesh, node, made["entries"], seen)
            self.check_new_epoch(mesh, made["entries"])
            self.check_node_of_the_old_history(mesh, node, made["entries"], seen - made["entries"], kept)

    def check_backup(self, mesh, file, made, before, acknowledged):
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertEqual(made["missing"], [])
        self.assertEqual(made["bytes"], file.stat().st_size)
        self.assertGreaterEqual(made["entries"], max(before.values()))
        self.assertLess(made["entries"], max(acknowledged.values()), "others wrote after it began")
        print(f"drill: {len(before)} entries acknowledged before the backup, {made['entries']} in it, "
              f"{len(acknowledged)} acknowledged in all, {made['bytes']} bytes")
        again = mesh.cli("controller", "backup", file, check=False)
        self.assertEqual(again.returncode, 6, "an existing file is not replaced")
        content = file.read_bytes()
        for name in ("log.key", "controller.key"):
            secret = (mesh.controller_dir / name).read_bytes().split()[-1]
            self.assertNotIn(secret, content)

    def restore(self, mesh, file, made):
        mesh.controller.terminate()
        self.assertEqual(mesh.controller.wait(), 0)
        restored = mesh.dir / "restored"
        damaged = mesh.dir / "damaged.backup"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        refused = mesh.program("meshcli", "controller", "restore", damaged, "--data", restored,
                               "--keys", mesh.controller_dir, check=False)
        self.assertEqual(refused.returncode, 12, refused.stderr)
        self.assertIn(b"record", refused.stderr)
        self.assertFalse(restored.exists(), "nothing half is left")
        done = json.loads(mesh.program("meshcli", "controller", "restore", file, "--data", restored,
                                       "--keys", mesh.controller_dir, "-o", "json").stdout)
        self.assertEqual((done["entries"], done["root"], done["missing"]), (made["entries"], made["root"], []))
        for path in (restored, file):
            verdict = json.loads(mesh.program("meshcli", "verify", "--from", path, "-o", "json").stdout)
            self.assertEqual((verdict["ok"], verdict["entries"], verdict["root"]),
                             (True, made["entries"], made["root"]))
        verdict = json.loads(mesh.program("meshcli", "verify", "--from", damaged, "-o", "json", check=False).stdout)
        self.assertFalse(verdict["ok"], verdict)
        again = mesh.program("meshd", "restore", file, "--data", restored, "--keys", mesh.controller_dir, check=False)
        self.assertEqual(again.returncode, 6, "an existing directory is not replaced")
        mesh.controller_dir = restored
        mesh.start_controller()

    def check_read_only(self, mesh, before):
        status = mesh.json("controller", "status")
        self.assertTrue(status["read_only"])
        self.assertIn("restored from a backup", status["problem"])
        present = {site["name"] for site in mesh.json("list", "sites")["items"]}
        self.assertLessEqual(set(before), present, "what was acknowledged before the backup is there")
        refused = mesh.cli("add", "site", "too-early", "-o", "json", check=False)
        self.assertEqual(refused.returncode, 8)
        error = json.loads(refused.stderr)["error"]
        self.assertEqual(error["code"], "unavailable")
        self.assertIn("restored from a backup", error["message"])
        self.assertIn("start-epoch", error["fix"])
        self.assertEqual(mesh.json("controller", "status")["sequence"], status["sequence"])

    def check_node_is_ahead(self, mesh, node, base, seen):
        def head():
            item = mesh.json("status", "node", f"r1.{node}")["items"][0]
            return item["head"] if item["connected"] else 0
        wait_until(lambda: head() == seen, "the node of the old history is connected")
        told = mesh.cli("controller", "start-epoch", "--dry-run").stderr.decode()
        self.assertIn(f"r1.{node} has seen #{seen}: {seen - base} entries that this log does not have", told)

    def check_new_epoch(self, mesh, base):
        started = mesh.cli("controller", "start-epoch", "--yes")
        self.assertIn(f"epoch 2 starts after #{base}".encode(), started.stdout)
        self.assertFalse(mesh.json("controller", "status")["read_only"])
        mesh.cli("add", "site", "after")
        mesh.cli("add", "node", "r1.after")
        items = mesh.json("list", "nodes", "after")["items"]
        self.assertGreaterEqual(items[0]["id"], 1000)
        self.assertRegex(mesh.cli("checkpoint").stdout.decode().splitlines()[0], r"^meshlog/[0-9a-f]{32}/2$")
        self.assertTrue(mesh.json("verify")["ok"])

    def check_node_of_the_old_history(self, mesh, node, base, lost, kept):
        """It follows the new epoch, keeps what it routes, and hands over every entry that the log lost."""
        mesh.wait_synced(node, version=1)
        self.assertEqual(mesh.node_status(node).get("problem"), "")
        def orphans():
            return mesh.json("controller", "orphans")["items"]
        wait_until(lambda: len(orphans()) == lost, "the lost entries are handed over")
        items = orphans()
        self.assertEqual([item["sequence"] for item in items], list(range(base + 1, base + lost + 1)))
        self.assertEqual({(item["epoch"], item["signature"]) for item in items}, {(1, "good")})
        text = mesh.cli("controller", "orphans").stdout.decode()
        print("drill: handed over:", text.splitlines()[1], f"... {lost} entries")
        wait_until(lambda: mesh.json("verify", "--nodes")["nodes_agree"] == 1, "the node has cosigned the new epoch")
        verdict = mesh.json("verify", "--nodes", "--against", kept)
        self.assertTrue(verdict["ok"], verdict)
        self.assertEqual(verdict["checkpoints"][0]["standing"], "given up")
        mesh.cli("commit", "all", "-m", "after the restore")
        mesh.cli("activate", "all", "--no-wait")
        wait_until(lambda: mesh.node_status(node)["active"] >= 1000, "what is activated now is followed")


if __name__ == "__main__":
    unittest.main()

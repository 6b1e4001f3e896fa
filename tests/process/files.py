"""Claim: files travel with signed requests over the real bus, come back byte by byte also as of then, survive a
restart, a backup and a restore, and a damaged or lost one is named; git gets the same commits on two machines, and
nothing secret. Method: the real programs; contents are compared here."""
import json
import os
import pathlib
import subprocess
import unittest

from mesh import Mesh


def content_of(size, seed):
    return bytes((i * 31 + seed + i // 251) % 256 for i in range(size))


class Files(unittest.TestCase):
    def get(self, mesh, *words):
        return mesh.cli("get", "file", *words).stdout

    def put_and_get(self, mesh):
        self.big = content_of(1024 * 1024, 1)
        mesh.cli("put", "file", "global", "big.bin", "-", stdin=self.big)
        mesh.cli("put", "file", "site", "s1", "extra.conf", "-", stdin=b"# of s1\n", )
        self.assertEqual(self.get(mesh, "global", "big.bin"), self.big)
        refused = mesh.cli("put", "file", "global", "big.bin", "-", stdin=self.big + b"x", check=False)
        self.assertNotEqual(refused.returncode, 0)
        listed = mesh.json("list", "files")
        self.assertEqual([(item["scope"], item["name"], item["bytes"], item["by"]) for item in listed["items"]],
                         [("global", "big.bin", 1024 * 1024, "admin"), ("site s1", "extra.conf", 8, "admin")])
        node = mesh.json("list", "files", "node", "r1.s1")["items"]
        self.assertEqual([item["scope"] for item in node], ["global", "site s1"])
        mesh.cli("add", "tag", "big")
        mesh.cli("put", "file", "global", "big.bin", "-", stdin=b"small now\n")
        self.assertEqual(self.get(mesh, "global", "big.bin", "--at", "big"), self.big)

    def many_in_one_entry(self, mesh):
        folder = mesh.dir / "net"
        mesh.cli("files", "pull", folder)
        for i in range(300):
            path = folder / ("site_s1" if i % 2 else "site_s1/node_r1") / f"f{i}.conf"
            path.write_bytes(content_of(20_000, i))
        before = mesh.json("list", "files")["sequence"]
        mesh.cli("files", "push", folder, "-m", "many")
        self.assertEqual(mesh.json("list", "files")["sequence"], before + 1)
        other = mesh.dir / "other"
        mesh.cli("files", "pull", other)
        for i in range(300):
            path = pathlib.Path("site_s1" if i % 2 else "site_s1/node_r1") / f"f{i}.conf"
            self.assertEqual((other / path).read_bytes(), content_of(20_000, i))
            (folder / path).unlink()
        mesh.cli("files", "push", folder, "--prune")
        self.assertEqual(len(mesh.json("list", "files")["items"]), 2)

    def viewers_read(self, mesh):
        mesh.program("meshcli", "operator", "keygen", "vera", "--out", mesh.dir / "vera.toml")
        mesh.cli("operator", "add", "vera", "--key", mesh.dir / "vera.toml.pub", "--role", "viewer")
        with open(mesh.dir / "vera.toml", "ab") as draft:
            draft.write(mesh.cli("controller", "connection").stdout)
        read = mesh.cli("get", "file", "global", "big.bin", context=mesh.dir / "vera.toml")
        self.assertEqual(read.stdout, b"small now\n")
        put = mesh.cli("put", "file", "global", "x", "-", stdin=b"x", context=mesh.dir / "vera.toml", check=False)
        self.assertEqual(put.returncode, 4, put.stderr)

    def history_in_git(self, mesh):
        def git(tree, *words):
            return mesh.cli("--tree", mesh.dir / tree, "git", *words).stdout.decode()
        mesh.cli("commit", "all", "-m", "first light")
        self.assertEqual(git("one", "log", "--format=%an %s"), "admin first light\n")
        self.assertEqual((mesh.dir / "one/site_s1/extra.conf").read_text(), "# of s1\n")
        mesh.cli("put", "file", "site", "s1", "extra.conf", "-", stdin=b"# second\n")
        mesh.cli("commit", "all")
        log = git("one", "log", "--format=%H %s %(trailers:key=Meshlog-Sequence,valueonly)")
        self.assertEqual(log, git("two", "log", "--format=%H %s %(trailers:key=Meshlog-Sequence,valueonly)"))
        self.assertEqual(git("one", "show", "HEAD^:site_s1/extra.conf"), "# of s1\n")
        everything = subprocess.run(["git", "-C", mesh.dir / "one", "log", "-p", "--all"], capture_output=True,
                                    check=True).stdout
        for secret in mesh.controller_dir.rglob("*.key"):
            self.assertNotIn(secret.read_bytes().strip(), everything)
        context = mesh.context.read_text()
        for line in context.splitlines():
            if line.startswith(("sign_seed", "box_secret")):
                self.assertNotIn(line.split('"')[1].encode(), everything)

    def survives(self, mesh):
        mesh.kill_controller()
        mesh.start_controller()
        self.assertEqual(self.get(mesh, "global", "big.bin", "--at", "big"), self.big)
        self.assertTrue(mesh.json("verify")["ok"])
        mesh.cli("controller", "optimise")
        backup = mesh.dir / "mesh.backup"
        mesh.cli("controller", "backup", backup)
        self.assertTrue(json.loads(mesh.program("meshcli", "verify", "--from", backup, "-o", "json").stdout)["ok"])
        mesh.kill_controller()
        keys = mesh.dir / "keys"
        keys.mkdir()
        for name in ("log.key", "controller.key", "meshd.toml"):
            os.rename(mesh.controller_dir / name, keys / name)
        restored = json.loads(mesh.program("meshcli", "controller", "restore", backup, "--data", mesh.dir / "again",
                                           "--keys", keys, "-o", "json").stdout)
        self.assertEqual(restored.get("missing", []), [])
        again = mesh.program("meshcli", "verify", "--from", mesh.dir / "again", "-o", "json")
        self.assertTrue(json.loads(again.stdout)["ok"])

    def test_files(self):
        with Mesh() as mesh:
            mesh.start_controller()
            mesh.add_site("s1", 1)
            self.put_and_get(mesh)
            self.many_in_one_entry(mesh)
            self.viewers_read(mesh)
            self.history_in_git(mesh)
            self.survives(mesh)


if __name__ == "__main__":
    unittest.main()

"""Claim: when the controller's disk is full, a change is refused with a clear error, reading goes on, nothing that was
acknowledged is lost, and writes go on by themselves when there is space. Method: a small file system of its own (root
only, else skipped), filled by another file until a change is refused."""
import json
import os
import subprocess
import sys
import unittest

from mesh import Mesh, wait_until

SIZE_MB = 96


class FullDisk(unittest.TestCase):
    def test_a_full_disk_refuses_and_comes_back(self):
        with Mesh() as mesh:
            disk = mesh.controller_dir / "log"
            saved = mesh.dir / "saved"
            disk.rename(saved)
            disk.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", disk], check=True)
            try:
                for file in saved.iterdir():
                    (disk / file.name).write_bytes(file.read_bytes())
                self.fill_and_free(mesh, disk)
            finally:
                if mesh.controller:
                    mesh.kill_controller()
                subprocess.run(["umount", disk], check=True)

    def fill_and_free(self, mesh, disk):
        mesh.start_controller()
        acknowledged = {}

        def change(number):
            # One request of many large values: RocksDB has reserved a write-ahead log of 17 MB.
            values = {f"k{i}": f"{number} " + "x" * 900 for i in range(120)}
            done = mesh.cli("set", "global", "note", json.dumps(values), "-o", "json", check=False)
            if done.returncode == 0:
                acknowledged[json.loads(done.stdout)["sequence"]] = number
            return done

        self.assertEqual(change(0).returncode, 0)
        ballast = disk / "ballast"
        with open(ballast, "wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                pass
        number = 1
        while (refused := change(number)).returncode == 0:
            number += 1
            self.assertLess(number, 1000, "the full disk was never met")
        self.assertIn(refused.returncode, (1, 8), refused.stderr)
        error = json.loads(refused.stderr.splitlines()[-1])["error"]
        self.assertIn("space", error["message"])
        self.assertEqual(mesh.json("list", "sites")["items"], [], "reading goes on")
        self.assertTrue(mesh.json("controller", "status")["read_only"])
        ballast.unlink()
        wait_until(lambda: change(number + 1).returncode == 0, "writes go on by themselves")
        verdict = mesh.json("verify")
        self.assertTrue(verdict["ok"], verdict)
        entries = {}
        for line in mesh.cli("log", "-o", "jsonl").stdout.decode().splitlines():
            entry = json.loads(line)
            entries[entry["sequence"]] = entry
        for sequence, value in acknowledged.items():
            self.assertTrue(entries[sequence]["events"][0]["value"].startswith(f"{value} "), sequence)
        print(f"refused after {len(acknowledged)} acknowledged changes; all of them are there")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("full disk: needs root to mount a small file system")
        sys.exit(77)
    unittest.main()

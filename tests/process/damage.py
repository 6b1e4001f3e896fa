"""Claim: a damaged log directory is refused by meshd with what is wrong, or served with every acknowledged change in
it; verify says the same; nothing crashes, and a lost end is no shorter history. Method: changes, kill -9, then one
flipped bit in each file of the directory in turn, and each file left out; meshd verify and meshd run on each.
MESH_SEED chooses the bits."""
import json
import os
import pathlib
import random
import shutil
import unittest

from mesh import Mesh

CHANGES = 12


class Damage(unittest.TestCase):
    def test_damage_is_told(self):
        seed = int(os.environ.get("MESH_SEED", "1"))
        print(f"seed {seed}")
        chance = random.Random(seed)
        with Mesh() as mesh:
            mesh.start_controller()
            self.values = {}
            for number in range(CHANGES):
                value = f"{number} " + "x" * 500
                done = mesh.cli("set", "global", "note", json.dumps(value), "-o", "json")
                self.values[json.loads(done.stdout)["sequence"]] = value
            mesh.kill_controller()
            self.log = mesh.controller_dir / "log"
            self.sound = mesh.dir / "sound"
            shutil.copytree(self.log, self.sound)
            served = refused = 0
            for name in sorted(file.name for file in self.sound.iterdir() if file.stat().st_size > 0):
                for damage in (self.flip, self.leave_out):
                    shutil.rmtree(self.log)
                    shutil.copytree(self.sound, self.log)
                    what = damage(self.log / name, chance)
                    with self.subTest(what):
                        if self.is_served(mesh, what):
                            served += 1
                            self.assertFalse(damage == self.leave_out and name.endswith(".log"), "the end was lost")
                        else:
                            refused += 1
            print(f"{refused} damaged directories refused, {served} served whole")
            self.assertGreater(refused, 0)

    @staticmethod
    def flip(path: pathlib.Path, chance):
        data = bytearray(path.read_bytes())
        # The front half: a write-ahead log ends in what was reserved for it.
        at, bit = chance.randrange((len(data) + 1) // 2), chance.randrange(8)
        data[at] ^= 1 << bit
        path.write_bytes(data)
        return f"{path.name} byte {at} bit {bit}"

    @staticmethod
    def leave_out(path: pathlib.Path, _):
        path.unlink()
        return f"{path.name} left out"

    def is_served(self, mesh, what):
        verified = mesh.program("meshd", "verify", "--data", mesh.controller_dir, "-o", "json", check=False)
        self.assertGreaterEqual(verified.returncode, 0, f"{what}: verify was ended by a signal")
        self.assertTrue(verified.stdout or verified.stderr, f"{what}: verify says nothing")
        try:
            mesh.start_controller()
        except AssertionError as ended:
            self.assertGreater(mesh.controller.returncode, 0, f"{what}: meshd was ended by a signal")
            self.assertIn("log", str(ended), what)
            return False
        try:
            entries = {}
            for line in mesh.cli("log", "-o", "jsonl").stdout.decode().splitlines():
                entry = json.loads(line)
                entries[entry["sequence"]] = entry
            for sequence, value in self.values.items():
                self.assertEqual(entries[sequence]["events"][0]["value"], value, f"{what}: entry {sequence}")
        finally:
            mesh.kill_controller()
        return True


if __name__ == "__main__":
    unittest.main()

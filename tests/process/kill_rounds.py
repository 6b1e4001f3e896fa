"""Claim: whatever instant meshd is killed at, no acknowledged change is lost, the history verifies, and every node ends
at the controller's root. Method: rounds of changes by a client while meshd gets kill -9 at a random moment and is
started again at once, so that the client's retries meet it; the acknowledged changes are kept outside and looked up in
the log. MESH_KILL_ROUNDS and MESH_SEED choose."""
import json
import os
import random
import threading
import unittest

from mesh import Mesh


class KillRounds(unittest.TestCase):
    @staticmethod
    def kill_and_start(mesh):
        mesh.kill_controller()
        mesh.start_controller()

    def test_acknowledged_changes_survive(self):
        rounds = int(os.environ.get("MESH_KILL_ROUNDS", "6"))
        seed = int(os.environ.get("MESH_SEED", "1"))
        print(f"rounds {rounds} seed {seed}")
        chance = random.Random(seed)
        acknowledged = {}
        with Mesh() as mesh:
            mesh.start_controller()
            sites = mesh.sites(2)
            for number in range(rounds):
                killer = threading.Timer(chance.uniform(0.0, 0.12), self.kill_and_start, [mesh])
                killer.start()
                for change in range(20):
                    value = f"{number}-{change}"
                    done = mesh.cli("set", "global", f"round_{number}", value, "-o", "json", check=False)
                    if done.returncode == 0:
                        acknowledged[json.loads(done.stdout)["sequence"]] = value
                    else:
                        self.assertIn(done.returncode, (8, 9), done.stderr)
                killer.join()
            entries = {}
            for line in mesh.cli("log", "-o", "jsonl").stdout.decode().splitlines():
                entry = json.loads(line)
                entries[entry["sequence"]] = entry
            self.assertEqual(sorted(entries), list(range(1, len(entries) + 1)), "a gap or a duplicate")
            for sequence, value in acknowledged.items():
                self.assertEqual(entries[sequence]["events"][0]["value"], value, f"entry {sequence}")
            verdict = mesh.json("verify")
            self.assertTrue(verdict["ok"], verdict)
            for site in sites:
                mesh.wait_synced(site)
            print(f"{rounds} rounds, {len(acknowledged)} acknowledged changes, {len(entries)} entries: none missing")


if __name__ == "__main__":
    unittest.main()

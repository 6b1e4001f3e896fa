"""Claim: an activation that waits is kept, taken back, extended or expires as the operator, the clock or the gates say,
whatever happens to the controller and to a node meanwhile; exit codes and the log tell it, and all of it verifies.
Method: the real programs with the dry-run data plane on short times; every step is a new version of two nodes."""
import json
import re
import time
import unittest

from mesh import Mesh, wait_until


class Confirmed(unittest.TestCase):
    def change(self, mesh):
        """A new version of all nodes."""
        self.value += 1
        mesh.commit_change(self.value)

    def activate(self, mesh, *options, code=0):
        """Returns the id and what was printed."""
        done = mesh.cli("activate", "all", *options, "-o", "json", check=False)
        self.assertEqual(done.returncode, code, done.stdout.decode() + done.stderr.decode())
        document = json.loads(done.stdout)
        started = [e for e in document["activate"]["events"] if e["type"] == "ActivationStarted"]
        return started[0]["activation"], document

    def fails(self, mesh, code, *words):
        done = mesh.cli(*words, check=False)
        self.assertEqual(done.returncode, code, (words, done.stdout.decode() + done.stderr.decode()))
        return done.stderr.decode()

    def activation(self, mesh, number):
        return next(item for item in mesh.json("list", "activations")["items"] if item["id"] == number)

    def wait_over(self, mesh, number, state):
        wait_until(lambda: self.activation(mesh, number)["state"] != "pending", f"activation {number} is over")
        self.assertEqual(self.activation(mesh, number)["state"], state)

    def wait_node(self, mesh, site, version):
        """Its own word: that version is active, and nothing is pending."""
        def there():
            status = mesh.node_status(site)
            return status.get("active") == version and not status.get("pending")
        wait_until(there, f"{site} runs v{version} for good")

    def story(self, mesh, number=40):
        return mesh.cli("log", "-n", str(number)).stdout.decode()

    def keep(self, mesh):
        self.change(mesh)
        number, document = self.activate(mesh, "--confirmed=60s")
        self.assertEqual(document["activation"]["state"], "pending")
        self.assertEqual(document["activation"]["applied"], 2)
        self.assertEqual({s: mesh.node_status(s)["active"] for s in self.sites}, {"s1": 1, "s2": 1})
        wait_until(lambda: set(mesh.states().values()) == {"pending"}, "both nodes say that they wait")
        told = mesh.json("status")["pending"][0]
        self.assertTrue(0 < told["confirm_left_s"] < told["left_s"] <= 60, told)
        self.assertIn("left to confirm", mesh.cli("status").stdout.decode())
        self.change(mesh)
        self.assertIn(f"meshcli confirm {number}", self.fails(mesh, 6, "activate", "all"))
        self.assertIn(f"these wait: {number}", self.fails(mesh, 5, "confirm", str(number + 7)))
        mesh.cli("extend", "2m")
        self.assertGreater(mesh.json("status")["pending"][0]["left_s"], 100)
        mesh.cli("confirm", str(number), "-m", "looks good")
        for site in self.sites:
            self.wait_node(mesh, site, 2)
        self.assertIn("nothing changed", mesh.cli("confirm", str(number)).stdout.decode())

    def take_back(self, mesh):
        number, _ = self.activate(mesh, "--confirmed")
        mesh.cli("cancel")
        self.wait_over(mesh, number, "cancelled")
        for site in self.sites:
            self.wait_node(mesh, site, 2)
        wait_until(lambda: self.activation(mesh, number)["failed"] == 2, "both report that they went back")
        self.fails(mesh, 11, "confirm", str(number))

    def expire(self, mesh):
        number, _ = self.activate(mesh, "--confirmed=6s", "--no-wait")
        self.wait_over(mesh, number, "expired")
        self.assertIn("expired", self.fails(mesh, 11, "confirm"))
        for site in self.sites:
            self.wait_node(mesh, site, 2)
        # By their own clocks, or by the log's word, whichever comes first.
        why = re.compile(r"went back to v2: (activation .* was )?not confirmed")
        wait_until(lambda: len(why.findall(self.story(mesh))) == 2, lambda: f"both say why:\n{self.story(mesh)}")
        story = self.story(mesh)
        self.assertIn("goes back in 6s unless confirmed", story)
        self.assertIn("expired, nobody confirmed it in time", story)
        wait_until(lambda: set(mesh.states().values()) == {"ok"}, "both are well")  # by their next status

    def expire_without_controller(self, mesh):
        number, _ = self.activate(mesh, "--confirmed=8s")
        mesh.kill_controller()
        for site in self.sites:
            self.wait_node(mesh, site, 2)
        mesh.start_controller()
        self.wait_over(mesh, number, "expired")
        wait_until(lambda: self.activation(mesh, number)["failed"] == 2, "their words of meanwhile arrive")

    def gates(self, mesh):
        number, document = self.activate(mesh, "--confirmed=40s", "--health", "controller,bgp", "--for", "2s")
        self.assertEqual(document["activation"]["state"], "confirmed")
        for site in self.sites:
            self.wait_node(mesh, site, 3)
        entry = mesh.json("log", "--type", "ActivationConfirmed", "-n", "1")["items"][0]
        self.assertEqual(entry["principal"], "controller")
        self.assertEqual([e["outcome"] for e in entry["commands"][0]["evidence"]], ["healthy", "healthy"])
        self.assertEqual(entry["events"][0]["activation"], number)

    def policy(self, mesh):
        mesh.cli("set", "site", "s1", "activation_confirm", "60")
        self.change(mesh)
        done = mesh.cli("activate", "all", "--no-wait")
        self.assertIn("activation_confirm", done.stderr.decode())
        self.assertEqual(len(mesh.json("status")["pending"]), 1)
        mesh.cli("cancel")
        mesh.cli("activate", "all", "--unconfirmed")
        self.assertEqual(mesh.json("status")["pending"], [])
        mesh.cli("set", "site", "s1", "activation_confirm", "empty")

    def a_node_never_hears(self, mesh):
        mesh.kill_node("s2")
        wait_until(lambda: mesh.states()["r1.s2"] == "unreachable", "the controller misses r1.s2")
        version = mesh.json("list", "versions", "r1.s1")["items"][-1]["version"]
        self.change(mesh)
        number, _ = self.activate(mesh, "--confirmed=60s")
        self.assertIn("--partial", self.fails(mesh, 6, "confirm"))
        left = mesh.cli("confirm", "--partial").stderr.decode()
        self.assertIn(f"left as it was: r1.s2, v{version}", left)
        mesh.start_node("s2")
        mesh.wait_synced("s2", version=version)
        self.wait_node(mesh, "s1", version + 1)
        self.assertEqual(self.activation(mesh, number)["items"][1]["confirmed"], False)

    def test_a_change_is_kept_only_when_it_is_confirmed(self):
        self.value = 20
        with Mesh() as mesh:
            mesh.start_controller()
            self.sites = mesh.sites(2)
            for step in (self.keep, self.take_back, self.expire, self.expire_without_controller, self.gates,
                         self.policy, self.a_node_never_hears):
                began = time.monotonic()
                step(mesh)
                print(f"{step.__name__} {time.monotonic() - began:.1f} s", flush=True)
            verdict = mesh.json("verify")
            self.assertTrue(verdict["ok"], verdict)


if __name__ == "__main__":
    unittest.main()

"""Claim: log, show entry, blame and bisect name the entries that made a network what it is. Method: the real programs
on a small history whose answers are known."""
import unittest

from mesh import Mesh


class Explain(unittest.TestCase):
    def test_a_small_history_explains_itself(self):
        with Mesh() as mesh:
            mesh.start_controller()
            mesh.add_site("ams", 1)
            mesh.add_site("lab", 2)
            first = mesh.json("commit", "all", "-m", "first light")["sequence"]
            mesh.cli("set", "global", "wg_keepalive", "20", "-m", "carrier drops idle flows")
            mesh.cli("set", "site", "lab", "lans", '["10.9.0.0/24"]', "-m", "renumbered")
            mesh.cli("commit", "all", "-m", "second", "--allow-loss")
            mesh.cli("set", "site", "lab", "lans", "empty", "-m", "gone by mistake")
            head = mesh.json("controller", "status")["sequence"]
            keepalive, lans, gone = first + 1, first + 2, first + 4

            def entries(*filters):
                return [item["sequence"] for item in mesh.json("log", *filters)["items"]]
            self.assertEqual(entries("--grep", "wg_keepalive"), [keepalive])
            self.assertEqual(entries("--type", "VersionsCommitted"), [first, first + 3])
            self.assertEqual(entries("--site", "lab", "-n", "2"), [first + 3, gone])
            self.assertEqual(entries("--since", "-1h", "-n", "1"), [head])
            self.assertEqual(entries("--until", "-1h"), [])
            line = mesh.cli("log", "-n", "1").stdout.decode()
            self.assertIn('site lab: lans removed, was ["10.9.0.0/24"]', line)

            entry = mesh.json("show", "entry", str(gone))
            self.assertEqual(entry["checked"]["signature"], True)
            self.assertEqual([(c["relation"], c["sequence"]) for c in entry["causes"]], [("replaces", lans)])
            self.assertIn("valid, checked here", mesh.cli("show", "entry", "1").stdout.decode())

            def blame(*words):
                return mesh.json("blame", *words)["items"]
            self.assertEqual([i["sequence"] for i in blame("node", "r1.lab", "wg_keepalive")], [keepalive])
            removed = blame("node", "r1.lab", "lans")[0]
            self.assertEqual((removed["sequence"], removed["message"]), (gone, "gone by mistake"))
            self.assertEqual(blame("node", "r1.lab", "lans", "--at", str(lans))[0]["sequence"], lans)
            lines = {i["text"]: i for i in blame("node", "r1.ams", "--file", "tlwg_12.conf")}
            self.assertEqual(lines["PersistentKeepalive = 20"]["sequence"], keepalive)
            self.assertEqual(lines["PersistentKeepalive = 20"]["message"], "carrier drops idle flows")
            for_people = mesh.cli("blame", "node", "r1.ams", "--file", "all").stdout.decode()
            self.assertIn("PersistentKeepalive = 20", for_people)

            found = mesh.cli("bisect", "--good", "v2", "--bad", "head", "--node", "r1.lab",
                             "--test", "reach ams 10.9.0.0/24", "-o", "name")
            self.assertEqual(found.stdout.decode(), f"{gone}\n")
            self.assertIn("bad", found.stderr.decode())
            wrong = mesh.cli("bisect", "--good", "2", "--bad", "head", "--test", "reach ams 10.9.0.0/24", check=False)
            self.assertEqual(wrong.returncode, 7, wrong.stderr)


if __name__ == "__main__":
    unittest.main()

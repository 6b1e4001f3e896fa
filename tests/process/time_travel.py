"""Claim: every instant of history reads as it read then, however it is named; a replay proves the controller's state
and gives back the very files that the nodes had. Method: the real programs; a history of some changes, commits and
activations, with what `show_all` said kept outside after each, then asked again for each of those instants."""
import json
import pathlib
import unittest

from mesh import Mesh


def files_of(directory):
    return {path.name: path.read_text() for path in pathlib.Path(directory).iterdir()}


class TimeTravel(unittest.TestCase):
    def remember(self, mesh):
        """What is shown now, by the entry that it says it is of."""
        document = mesh.json("show_all", "node", "r1.s1")
        table = mesh.cli("show_all", "node", "r1.s1", "-o", "wide").stdout
        sites = mesh.json("list", "sites")
        # A node's report may come between them.
        if mesh.json("show_all", "node", "r1.s1")["sequence"] != document["sequence"]:
            return self.remember(mesh)
        self.then[document["sequence"]] = (document, table, sites)
        return document["sequence"]

    def make_history(self, mesh):
        self.then = {}
        mesh.sites(2)
        points = {"start": self.remember(mesh)}
        mesh.cli("set", "global", "wg_keepalive", "15")
        mesh.cli("set", "node", "r1.s1", "wg_mtu", "1400")
        points["set"] = self.remember(mesh)
        mesh.cli("commit", "all", "-m", "second")
        points["committed"] = self.remember(mesh)
        mesh.cli("activate", "all")
        mesh.wait_synced("s1", version=2)
        points["second"] = self.remember(mesh)
        mesh.add_site("s3", 3)
        mesh.cli("rename", "site", "s2", "s2b")
        points["grown"] = self.remember(mesh)
        mesh.cli("set", "site", "s1", "lans", '["10.77.0.0/24"]')
        mesh.cli("commit", "all", "-m", "third", "--allow-loss")
        mesh.cli("activate", "node", "r1.s1")
        mesh.wait_synced("s1", version=3)
        mesh.cli("activate", "node", "r1.s1", "v1")
        mesh.wait_synced("s1", version=1)
        points["back"] = self.remember(mesh)
        for name, sequence in points.items():
            mesh.cli("add", "tag", f"at-{name}", sequence)
        return points

    def check_instants(self, mesh, points):
        entries = {item["sequence"]: item for item in mesh.json("log")["items"]}
        for name, sequence in points.items():
            document, table, sites = self.then[sequence]
            # Several entries can share a microsecond only in theory; the last one at a time counts.
            for text in (str(sequence), f"#{sequence}", f"at-{name}", entries[sequence]["time"]):
                shown = mesh.json("show_all", "node", "r1.s1", "--at", text)
                self.assertEqual(shown.pop("at"), sequence, text)
                self.assertEqual(shown, document, text)
                wide = mesh.cli("show_all", "node", "r1.s1", "-o", "wide", "--at", text)
                self.assertEqual(wide.stdout, table, text)
                self.assertIn(f"at #{sequence} (".encode(), wide.stderr)
                listed = mesh.json("list", "sites", "--at", text)
                listed.pop("at")
                self.assertEqual(listed["items"], sites["items"], text)
        versions = mesh.json("list", "versions", "r1.s1")["items"]
        for version in versions:
            shown = mesh.json("show_all", "node", "r1.s1", "--at", f"v{version['version']}")
            self.assertEqual(shown["sequence"], version["sequence"])
        head = mesh.json("controller", "status")["sequence"]
        self.assertEqual(mesh.json("list", "sites", "--at=-2")["sequence"], head - 2)

    def check_reading(self, mesh, points):
        at = ["--at", "at-set"]
        self.assertEqual([item["name"] for item in mesh.json("list", "sites", *at)["items"]], ["s1", "s2"])
        self.assertEqual(mesh.json("show", "global", *at)["attributes"]["wg_keepalive"]["value"], 15)
        self.assertEqual(len(mesh.json("list", "changes", *at)["items"]), 2)
        self.assertEqual([item["fullname"] for item in mesh.json("plan", *at)["nodes"]], ["r1.s1", "r1.s2"])
        self.assertEqual([item["fullname"] for item in mesh.json("plan", "site", "s2", *at)["nodes"]], ["r1.s2"])
        self.assertEqual(mesh.json("plan", "--at", "at-committed")["nodes"], [])
        self.assertEqual([item["version"] for item in mesh.json("list", "versions", "r1.s1", *at)["items"]], [1])
        self.assertEqual(len(mesh.json("list", "links", *at)["items"]), 1)
        self.assertEqual(mesh.json("list", "tags", *at)["items"], [])
        self.assertEqual(len(mesh.json("list", "tags")["items"]), len(points))
        status = mesh.json("status", *at)
        self.assertEqual([item["version_wanted"] for item in status["items"]], [1, 1])
        self.assertIsNone(status["items"][0]["state"], "what was seen is not kept")
        nodes = mesh.cli("list", "nodes", "s2", *at).stdout.decode()
        self.assertIn("r1.s2", nodes)
        self.assertEqual(mesh.cli("list", "nodes", "s2", check=False).returncode, 5, "renamed since")

    def check_refusals(self, mesh):
        for text, code in (("99999", 5), ("at-st", 5), ("1999-01-01", 5), ("2099-01-01", 5), ("-99999", 5),
                           ("12-x", 64), ("", 64)):
            done = mesh.cli("list", "sites", "--at", text, check=False)
            self.assertEqual(done.returncode, code, (text, done.stderr))
            self.assertEqual(done.stdout, b"")
        self.assertIn(b'did you mean "at-set"', mesh.cli("list", "sites", "--at", "at-sett", check=False).stderr)
        self.assertEqual(mesh.cli("set", "global", "x", "1", "--at", "3", check=False).returncode, 64)
        self.assertEqual(mesh.cli("show", "node", "r1.s1", "--at", "v9", check=False).returncode, 5)

    def check_diff(self, mesh):
        document = mesh.json("diff", "at-start", "at-set")
        changed = {(item["scope"], item["name"]): (item["before"], item["now"]) for item in document["attributes"]}
        self.assertEqual(changed, {("global", "wg_keepalive"): (None, 15), ("node r1.s1", "wg_mtu"): (None, 1400)})
        self.assertEqual([item["fullname"] for item in document["items"]], ["r1.s1", "r1.s2"])
        self.assertIn("MTU = 1400", document["items"][0]["text"])
        grown = mesh.json("diff", "at-second", "at-grown")
        self.assertTrue(grown["structure"])
        self.assertTrue(grown["links"]["added"])
        self.assertTrue(grown["reachability"]["gained"])
        same = mesh.cli("diff", "at-set", "at-set", "--detailed-exitcode")
        self.assertEqual(same.stdout, b"")
        self.assertEqual(mesh.cli("diff", "at-set", "at-start", "--detailed-exitcode", check=False).returncode, 2)
        text = mesh.cli("diff", "at-second", "at-grown").stdout.decode()
        for section in ("structure", "links", "reachability"):
            self.assertIn(section + "\n", text)

    def check_file(self, mesh):
        """An exported file stands for the instant that it was exported at."""
        file = mesh.dir / "then.yaml"
        file.write_bytes(mesh.cli("export", "--at", "at-second").stdout)
        self.assertEqual(mesh.cli("diff", file, "at-second", "--detailed-exitcode").stdout, b"")
        by_file, by_tag = mesh.json("diff", file, "at-grown"), mesh.json("diff", "at-second", "at-grown")
        for key in ("attributes", "links", "reachability"):
            self.assertEqual(by_file[key], by_tag[key], key)
        self.assertEqual(sorted(by_file["structure"]), sorted(by_tag["structure"]))
        for mine, theirs in zip(by_file["items"], by_tag["items"], strict=True):
            self.assertEqual(mine["text"].replace(str(file), "at-second"), theirs["text"])
            for key in ("fullname", "effect", "changes"):
                self.assertEqual(mine[key], theirs[key], key)

    def check_replay(self, mesh, points):
        head = mesh.json("replay")
        self.assertTrue(head["ok"] and head["equal"], head)
        for name, sequence in points.items():
            part = mesh.json("replay", "--until", f"at-{name}")
            self.assertTrue(part["ok"] and part["equal"], part)
            self.assertEqual(part["entries"], sequence)

    def check_files(self, mesh):
        """Each node keeps the files of its versions, without keys."""
        mesh.cli("replay", "--until", "at-second", "--to", mesh.dir / "then")
        mesh.cli("replay", "--to", mesh.dir / "head")
        compared = 0
        for where, node, versions in (("then", "r1.s1", ["v2"]), ("then", "r1.s2", ["v2"]),
                                      ("head", "r1.s1", ["v1", "v3"])):
            directory = mesh.dir / where / node
            self.assertEqual(sorted(path.name for path in directory.iterdir()), versions)
            for version in versions:
                kept = files_of(mesh.dir / node.split(".")[1] / "versions" / version)
                written = files_of(directory / version)
                self.assertIn("bird.conf", written)
                for name, text in written.items():
                    self.assertEqual(text, kept[name], f"{where} {node} {version} {name}")
                    compared += 1
        config = json.loads((mesh.dir / "head" / "r1.s2b" / "v3" / "config.json").read_text())
        self.assertEqual(config, mesh.json("show_all", "node", "r1.s2b")["effective"])
        self.assertEqual(mesh.cli("replay", "--to", mesh.dir / "then", check=False).returncode, 6)
        print(f"{len(self.then)} instants, {compared} files equal")

    def test_history_reads_as_it_was(self):
        with Mesh() as mesh:
            mesh.start_controller()
            points = self.make_history(mesh)
            self.check_instants(mesh, points)
            self.check_reading(mesh, points)
            self.check_refusals(mesh)
            self.check_replay(mesh, points)
            self.check_files(mesh)
            self.check_diff(mesh)
            self.check_file(mesh)


if __name__ == "__main__":
    unittest.main()

"""Claim: a Towalink network moves here in one signed entry that changes no address: numbers, attributes, files and
groups are there, keys are not; committed, every node's templates see the variables of Towalink's formulas and BIRD
takes what they give. What cannot be imported changes nothing. Method: the folder tests/data/towalink into a real
controller; a template of it prints its variables, which are compared with the formulas computed here."""
import ast
import ipaddress
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from mesh import Mesh

TREE = pathlib.Path(__file__).resolve().parents[1] / "data" / "towalink"
NODES = {11: ("berlin", "primary"), 12: ("berlin", "secondary"), 13: ("munich", "hub"), 15: ("paris", "edge"),
         20: ("paris", "branch")}
PEERS = {11: [12, 13], 12: [11, 13], 13: [11, 12, 15, 20], 15: [13, 20], 20: [13, 15]}
HOSTS = {11: "primary.berlin.example.net", 12: "secondary.berlin.example.net", 13: "198.51.100.13",
         15: "edge.paris.example.net", 20: "branch.paris.example.net"}
LOOPBACK4 = ipaddress.ip_network("10.255.0.0/24")
LOOPBACK6 = ipaddress.ip_network("fd3e:970c:e7ec:edb5::/64")
TRANSFER4 = ipaddress.ip_network("172.31.0.0/24")
TRANSFER6 = ipaddress.ip_network("fe80::/64")


def base(node):
    return 52000 if node == 15 else 51820


def expected(n):
    """The dictionary of a node by Towalink's formulas; keys of links are not compared."""
    site, name = NODES[n]
    contact = "berlin@example.net" if site == "berlin" else "noc@example.net"
    out = {
        "node_id": n, "node_name": name, "site_name": site, "node_fullname": f"{name}.{site}",
        "loopback_ipv4": f"{LOOPBACK4[n]}/32", "loopback_ipv6": f"{LOOPBACK6[n]}/128", "bgp_ipv4": str(LOOPBACK4[n]),
        "bgp_ipv6": str(LOOPBACK6[n]), "bgp_as": 65100 + n, "grains": {"id": "test"}, "contact": contact,
        "dns": {"search": "paris.example.net" if n == 15 else "example.net", "servers": ["192.0.2.53", "192.0.2.54"]},
        "uplink": {"berlin": "fibre", "munich": "both"}.get(site, "undefined"), "loopbacknet_ipv4": "removed",
        "wg_listenport_base": "removed", "bgp_as_base": "removed", "bgp_peers": {}, "wg_links": {},
    }
    for p in PEERS[n]:
        peer_site, peer_name = NODES[p]
        out["bgp_peers"][p] = {
            "as": 65100 + p, "name": f"{peer_site}_{peer_name}_{p}", "ip": str(LOOPBACK4[p]),
            "loopback_ipv4": f"{LOOPBACK4[p]}/24", "loopback_ipv6": f"{LOOPBACK6[p]}/64", "ifname_local": f"tlwg_{p}",
        }
        key = str(p) if (n, p) == (11, 13) else p  # preset: wg_links.13.wg_peer_keepalive
        out["wg_links"][key] = {
            "wg_ifname": f"tlwg_{p}", "wg_listenport": base(n) + p, "wg_peer_endpoint": f"{HOSTS[p]}:{base(p) + n}",
            "wg_addresses": [f"{TRANSFER6[n]}/64"], "wg_address_ipv4": f"{TRANSFER4[n]}/32",
            "wg_address_ipv6": f"{TRANSFER6[n]}/128", "wg_peer_address_ipv4": f"{TRANSFER4[p]}/32",
            "wg_peer_address_ipv6": f"{TRANSFER6[p]}/128",
            "wg_peer_allowedips": [f"{TRANSFER4[p]}/32", f"{TRANSFER6[p]}/128", "0.0.0.0/0", "0::0/0"],
            "wg_peer_keepalive": 20 if (n, p) == (11, 13) else 25,
        }
        if 12 in (n, p):
            out["wg_links"][key]["wg_mtu"] = 1380
    return out


class ImportTowalink(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.mesh.start_controller()
        cls.before = cls.mesh.json("controller", "status")["sequence"]
        cls.dry = cls.mesh.json("import", "towalink", TREE, "--dry-run")
        cls.after_dry = cls.mesh.json("controller", "status")["sequence"]
        cls.done = cls.mesh.json("import", "towalink", TREE, "-m", "from Towalink", "--ref", "MOVE-1")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.__exit__()

    def head(self):
        return self.mesh.json("controller", "status")["sequence"]

    def test_a_dry_run_says_the_same_and_changes_nothing(self):
        self.assertEqual(self.after_dry, self.before)
        self.assertTrue(self.dry["dry_run"])
        self.assertEqual(self.dry["report"], self.done["report"])
        # A file's blob begins with fresh random bytes each time, and so has another digest.
        plain = [[re.sub(r"sha256:\w+", "", line) for line in run["plan"]] for run in (self.dry, self.done)]
        self.assertEqual(*plain)

    def test_one_entry_has_it_all(self):
        self.assertEqual(self.done["sequence"], self.before + 1)
        self.assertEqual([self.done[key] for key in ("kind", "sites", "nodes", "files")], ["Import", 3, 5, 9])
        entry = json.loads(self.mesh.cli("log", "-o", "jsonl").stdout.splitlines()[self.before])
        self.assertEqual((entry["sequence"], entry["message"]), (self.before + 1, "from Towalink"))
        nodes = self.mesh.json("list", "nodes", "all")["items"]
        self.assertEqual({(n["id"], n["site"], n["name"]) for n in nodes}, {(n, *NODES[n]) for n in NODES})
        links = self.mesh.json("list", "links")["items"]
        self.assertEqual(sorted((link["a"], link["b"]) for link in links),
                         sorted((a, b) for a in PEERS for b in PEERS[a] if a < b))

    def test_the_report_is_complete_and_holds_no_key(self):
        said = [(note["topic"], note["where"], note["text"]) for note in self.done["report"]]
        for topic, where, text in [("set", "", "global routing_style = loopback"), ("set", "", "global uplinks = 0"),
                                   ("dropped", "config.toml:4", "controller_wg_public"),
                                   ("dropped", "generated/config.toml", "36 keys"),
                                   ("dropped", "site_munich/config.toml:2", "bgp_password"),
                                   ("differs", "generated/config.toml", "12-13"), ("check", "", "8 templates")]:
            self.assertTrue([s for s in said if s[:2] == (topic, where) and text in s[2]], (topic, where, text, said))
        printed = self.mesh.cli("log", "-o", "jsonl").stdout + self.mesh.cli("export").stdout
        self.assertNotIn(b"FAKE-", printed + json.dumps(self.done).encode())

    def refused(self, folder, code, *says):
        head = self.head()
        done = self.mesh.cli("import", "towalink", folder, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        for text in says:
            self.assertIn(text, done.stderr.decode())
        self.assertEqual(done.stdout, b"")
        self.assertEqual(self.head(), head)

    def test_a_second_time_and_a_folder_with_mistakes_change_nothing(self):
        self.refused(TREE, 6, "site_berlin: this log has a site berlin", "node_id 11 is used up in this log")
        self.refused(self.mesh.dir, 5, "holds no config.toml")
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "towalink"
            shutil.copytree(TREE, folder, symlinks=True)
            (folder / "site_paris" / "config.toml").write_text("groups = [\n= 1")
            self.refused(folder, 7, "site_paris/config.toml:2: it is not TOML")

    def rendered(self, node):
        files = {}
        for item in self.mesh.json("blame", "node", node, "--file", "all")["items"]:
            files.setdefault(item["file"], []).append(item["text"])
        return {name: "\n".join(lines) + "\n" for name, lines in files.items()}

    def check_variables(self, n, text):
        found = {}
        for line in text.splitlines():
            if line:
                name, value = line.split(" = ", 1)
                found[name] = ast.literal_eval(value)[0]
        for p, link in found["wg_links"].items():
            self.assertEqual(link.pop("wg_private"), f"MESHLOG-PRIVATE-KEY-{p}")
            self.assertEqual(link.pop("wg_peer_public"), f"MESHLOG-PUBLIC-KEY-{p}")
            self.assertEqual(link.pop("wg_peer_preshared"), f"MESHLOG-PSK-{p}")
        for peer in found["bgp_peers"].values():
            self.assertIsInstance(peer.pop("password"), str)
        self.assertEqual(found, expected(n))

    def test_what_is_committed_is_what_towalink_would_have_rendered(self):
        self.mesh.cli("commit", "all")
        self.assertEqual(self.mesh.json("list", "changed")["items"], [])
        for n in NODES:
            with self.subTest(node=n), tempfile.TemporaryDirectory() as name:
                files = self.rendered(n)
                self.check_variables(n, files["variables.conf"])
                self.assertEqual({f for f in files if f.startswith("tlwg_")}, {f"tlwg_{p}.conf" for p in PEERS[n]})
                self.assertIn(f"ip address add {LOOPBACK4[n]}/32 dev loopback", files["startup_loopback"])
                for file, text in files.items():
                    (pathlib.Path(name) / file).write_text(text)
                checked = subprocess.run(["bird", "-p", "-c", "bird.conf"], cwd=name, capture_output=True, text=True)
                self.assertEqual(checked.returncode, 0, checked.stderr)
                self.assertEqual("bgp_local_pref" in files["bird_site-template.conf"], n == 13)
                self.assertEqual("hold time 30" in files["bird_neighbors.conf"], n == 15)
        self.check_replay()

    def check_replay(self):
        """What was rendered comes out of a replay, also when something that only templates use is uncommitted."""
        with tempfile.TemporaryDirectory() as name:
            then = pathlib.Path(name) / "then"
            done = self.mesh.cli("replay", "--to", then)
            self.assertNotIn(b"not rendered", done.stderr)
            committed = {n: self.rendered(n) for n in NODES}
            for n, (site, node) in NODES.items():
                self.assertEqual([path.name for path in (then / f"{node}.{site}").iterdir()], ["v1"])
                for file, text in committed[n].items():
                    written = (then / f"{node}.{site}" / "v1" / file).read_text()
                    self.assertEqual(written.splitlines(), text.splitlines(), file)
            self.mesh.cli("set", "site", "munich", "contact", "someone@example.net")
            again = pathlib.Path(name) / "again"
            warned = self.mesh.cli("replay", "--to", again).stderr.decode()
            self.assertEqual(warned.count("what is not committed was not rendered"), 1, warned)
            self.assertEqual(sorted(path.name for path in (again / "hub.munich").iterdir()), ["v1", "working"])
            self.mesh.cli("discard", "all")
            effective = self.mesh.json("show_all", "node", 13)["effective"]
            self.assertIn("variables.conf", json.dumps(effective["files"]))
            bad = pathlib.Path(name) / "bad"
            bad.write_text("{{ 1 / 0 }}")
            good = self.mesh.json("log", "-n", 1)["items"][0]["sequence"]
            self.mesh.cli("put", "file", "node", 13, "bad.conf.jinja", bad)
            shown = self.mesh.json("show_all", "node", 13)
            self.assertIn("bad.conf.jinja:1", shown["problem"])
            self.assertIn("file:bad.conf.jinja", shown["attributes"])
            found = self.mesh.json("bisect", "--good", good, "--bad", "head", "--test", "compiles hub.munich")
            self.assertEqual(found["bad"], good + 1)
            self.mesh.cli("discard", "all")


if __name__ == "__main__":
    unittest.main()

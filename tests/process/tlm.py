"""Claim: every command of Towalink's reference works as `tlm` and as `meshcli`, with its exit code and answer, and
so do its mistakes. Method: the list below against a real controller, once under each name; the table "command | exit
code | first line" of both is kept in tests/golden/cli/tlm_reference.txt (MESH_GOLDEN_UPDATE=1 writes it anew)."""
import os
import pathlib
import re
import shlex
import subprocess
import unittest

from mesh import BIN, Mesh

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "cli" / "tlm_reference.txt"

REFERENCE = """
# nothing is there yet
-?
--help
list -?
list sites
list nodes all
list changed
show global
# sites and nodes, with every synonym
add site mysite1
create site mysite2
add site mysite3
add node primary.mysite1
create node secondary.mysite1
add node hub.mysite2
add node spare.mysite3
list sites
list nodes all
list nodes mysite1
-l debug list sites
--loglevel warning list sites
-l info list nodes mysite1
list sites -l error
# attributes at each level, by number and by name
set global wg_mtu 1412
set site mysite1 wg_listenport_base 52000
set node 11 node_hostname primary.example.net
set node primary.mysite1 note something
set node secondary.mysite1 node_hostname secondary.example.net
set node 13 node_hostname hub.example.net
set node 14 node_hostname spare.example.net
set node 12 wg_links.11.wg_peer_keepalive 20
set node hub.mysite2 groups '[ "hubs", "default" ]'
set node 14 groups "['default']"
set global numbers '[1, 2, 3]'
set global flags '[True, False]'
set global motd 'fair weather'
set global shaper 0.5
set global offset -5
set global enabled true
set global quoted '"5"'
set global object '{"a": 1}'
set global motd empty
set global motd empty
set global nothing ''
show global
query global
show site mysite1
query site mysite1
show node 11
show node primary.mysite1
query node secondary.mysite1
show_all site mysite1
show-all site mysite1
show_all node primary.mysite1
show-all node 12
show node 12 -o json
show global -o json
# versions
list changed
commit node primary.mysite1
-m 'first one' commit site mysite1
commit -m 'then all' all
commit all -m 'again'
commit site mysite2
commit node 13
list changed
set site mysite3 wg_keepalive 30
list changed
commit site mysite3 -m 'keepalive'
set node 14 wg_keepalive empty
commit node spare.mysite3 -m 'nothing'
set node 14 wg_keepalive 15
commit node 14
list versions 14
list versions primary.mysite1
activate all
activate all
activate site mysite3
activate site mysite3 v1
activate site mysite3 latest
activate node 14 v1
activate node 14 1
activate node 14 current
activate node spare.mysite3 V2
activate node spare.mysite3 latest
list nodes all -o json
# taking away, with every synonym
add node old.mysite3
delete node old.mysite3
add node old.mysite3
remove node 16
add node last.mysite3
del node last.mysite3
del site mysite3
del node 14
delete site mysite3
add site other
remove site other
# mistakes
list
list nonsense
frobnicate
add site
add site 42
add site mysite1
add site no.dots
add node lonely
add node 7.mysite1
add node r1.nowhere
list nodes nowhere
show site nowhere
show node 99
show_all global extra
query node nowhere.mysite1
set site mysite1 wg_mtu
set global wg_mtu many
set global wg_mtu 70000
set global list '["a"'
set global list '[a, b]'
set global list '[["a"]]'
set node 99 note x
set global bgp_password hunter2
commit
commit nothing
commit site nowhere
-m message list sites
commit all -m
-l loud list sites
activate
activate node 11 v99
activate node 11 x5
activate node 11 v
activate node 99
activate site mysite1 v99
del site mysite1
del node 99
remove site nowhere
"""

MASKS = [(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"), (r"[0-9a-f]{16,}", "DIGEST"),
         (r"tcp://127\.0\.0\.1:\d+", "ENDPOINT"), (r"\b\d+ ms\b", "N ms")]


def first_line(done):
    """Of what was printed; of a JSON document all of it, without what changes from run to run."""
    text = done.stdout.decode() or done.stderr.decode()
    if text.startswith("{"):
        return re.sub(r'"sequence":\s*\d+', '"sequence": N', re.sub(r"\s+", " ", text)).strip()
    lines = text.splitlines() or [""]
    if len(lines) > 1 and lines[0].startswith("debug:"):
        lines = [line for line in lines if not line.startswith("debug:")]
    return ("" if done.stdout else "! ") + lines[0].rstrip()


class Tlm(unittest.TestCase):
    maxDiff = None

    def table(self, program):
        rows = []
        with Mesh(profile="towalink") as mesh:
            mesh.start_controller()
            for line in REFERENCE.strip().splitlines():
                if line.startswith("#"):
                    rows.append(line)
                    continue
                done = subprocess.run([BIN / program, *shlex.split(line)], capture_output=True, timeout=60,
                                      stdin=subprocess.DEVNULL,
                                      env={"PATH": os.environ["PATH"], "MESHCLI_CONTEXT": str(mesh.context)})
                text = first_line(done)
                for pattern, word in MASKS:
                    text = re.sub(pattern, word, text)
                rows.append(f"{program} {line} | {done.returncode} | {text}")
            self.assertTrue(mesh.json("verify")["ok"])
        return "\n".join(rows) + "\n"

    def test_every_example_in_both_modes(self):
        self.assertEqual((BIN / "tlm").resolve(), (BIN / "meshcli").resolve())
        text = self.table("tlm") + "\n" + self.table("meshcli")
        if os.environ.get("MESH_GOLDEN_UPDATE"):
            GOLDEN.write_text(text)
        self.assertEqual(GOLDEN.read_text(), text)


if __name__ == "__main__":
    unittest.main()

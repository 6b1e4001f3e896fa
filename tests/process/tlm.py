"""Claim: every command of Towalink's reference works as `tlm` and as `meshcli`, with its exit code and answer, and so
do its mistakes; every command of the program is among them. Method: the list below against a real controller, once
under each name; the table "command | exit code | first line" of both is in tests/golden/cli/tlm_reference.txt
(MESH_GOLDEN_UPDATE=1 writes it anew). Ansible is a stand-in that tells its words, and the editor appends a line: this
is about the grammar and the exit codes; tests/lab has the real Ansible. A machine that asks to be admitted is meshnode.
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import unittest

from mesh import BIN, Mesh, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "cli" / "tlm_reference.txt"
TREE = ROOT / "tests" / "data" / "towalink"

REFERENCE = """
# nothing is there yet
-?
--help
list -?
list sites
list nodes all
list changed
show global
import towalink towalink --dry-run
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
show_all global
# files of the three levels
put file global bird_local.conf bird_local.conf
put file site mysite1 bird_local.conf note.conf
put file node 12 dhcp.conf -
put file node primary.mysite1 old.conf note.conf -m 'with a message'
list files
list files node 12
list files site mysite1 -o name
get file global bird_local.conf
get file site mysite1 bird_local.conf out.conf
get file node secondary.mysite1 dhcp.conf -o json
edit file global bird_local.conf
edit file node 12 bird_local.conf
get file node 12 bird_local.conf
del file node 11 old.conf
files pull net
files push net
files push towalink --dry-run
show variables primary.mysite1
show variables 12 -o json
import towalink towalink
get file global nowhere.conf
put file global ../x note.conf
put file global config.toml note.conf
put file global x.conf nowhere.conf
put file site nowhere x.conf note.conf
del file global nowhere.conf
set site mysite3 routing_style loopback
list files built-in
list files site mysite3
get file built-in bird_neighbors.conf.jinja
get file built-in nowhere.conf
put file built-in x.conf note.conf
edit file site mysite3 tlwg.conf.jinja
del file site mysite3 tlwg.conf.jinja
set site mysite3 routing_style empty
files pull
put file global
get file
edit file global
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
# a machine asks to be admitted
attach node 11 --fingerprint {other} --timeout 1s
attach node 11 --fingerprint {fingerprint} --no-wait
attach node primary.mysite1 --fingerprint {fingerprint} --no-wait
attach node 99 --fingerprint {fingerprint}
attach node nowhere.mysite1 --fingerprint {fingerprint}
attach node 11 --fingerprint 12
attach node
attach
node pending
list nodes mysite1 -o json
# Ansible
ansible all all -m ping
ansible site mysite1 all -a 'uptime -p'
ansible node 11 all -m setup
ansible node primary.mysite1 all --fails
ansible site mysite2 all -m ping
ansible node 12 all -m ping
ansible node 99 all -m ping
ansible site nowhere all -m ping
ansible all
ansible
ansible-playbook all play.yml
ansible_playbook all play.yml --check
ansible_playbook site mysite1 play.yml --limit 'a,b'
ansible-playbook node 11 play.yml -e 'a=b c'
ansible_playbook node 12 play.yml
ansible-playbook
inventory
inventory --list
inventory --host primary.mysite1
inventory --host 12
# Ansible, where it is not installed
ansible all all -m ping
ansible-playbook all play.yml
# git
git log --format=%s
git log -1 --format=%an
git rev-list --count HEAD
git status --short --branch
git show HEAD:site_mysite1/bird_local.conf
git show nowhere
git frobnicate
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
# the other commands: what is and what would be
help
help towalink
help commit
-? commit
list links
list links 12
list tokens
list operators
list tags
list activations
list changes
status
status node 12
status node 99
drift
drift node 11
wait node 12 --for version=v9 --timeout 1s
show entry 2
show entry 9999
log -n 3 -o name
log --node 12 --type SiteAdded
blame global
blame site mysite1 wg_listenport_base
blame node 11
plan
plan all
plan site mysite1
plan node 12
plan node 12 --detailed-exitcode
diff
diff committed working
diff v1 v2 node 12
simulate
simulate --n-1
simulate --fail node 13 --reach mysite1 mysite2
bisect --good 12 --bad head --test 'attribute site mysite1 wg_keepalive 25'
bisect --good 1 --bad head --test valid
export
export all -o json
export site mysite1
export node 12
apply -f net.yaml --dry-run
apply -f net.yaml
apply -f -
rename site mysite2 third
rename site third mysite2
rename node 12 backup
rename node backup.mysite1 secondary
discard node 12
discard site mysite1
discard all
undo --dry-run
rollback -1 --dry-run
add tag before-move
del tag before-move
add tag now
# activations that wait
set global wg_keepalive 11
commit all --activate --confirmed --no-wait
activate all --confirmed=30d
extend 30d
extend 8 15m
extend 15m
confirm
cancel 8
cancel 8
confirm 8
# trust and people
verify
verify --nodes
prove 2
prove consistency 2
checkpoint
checkpoint sign
replay
token create --node 12
token list
token revoke 1
token revoke 9
node approve 3f2a:91c0
node reject 3f2a:91c0
node recovery 12
node recovery 12 --recovery-out fleet.recovery
node recovery 12
node recovery 12 --none
recover
recover --recovery nowhere.recovery --once 12 --timeout 1s
node revoke 11
operator keygen bob --out bob.toml
operator add bob --key bob.toml.pub --role viewer
operator role bob operator
operator list
operator ban bob
whoami
# the controller
controller status
controller rules
controller rules --dry-run
controller connection
controller endpoints
controller endpoints --force
controller endpoints add tcp://203.0.113.9:7400 --dry-run
controller backup net.backup
controller restore net.backup
controller start-epoch
controller optimise
controller orphans
doctor
completion bash
version
"""

MASKS = [(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"), (r"([0-9a-f]{4}:){7}[0-9a-f]{4}", "FINGERPRINT"),
         (r"FINGERPRINT \(\S+\)", "FINGERPRINT (HOST)"), (r"sha256:[0-9a-f]{8}\b", "sha256:DIGEST"),
         (r"[0-9a-f]{16,}", "DIGEST"), (r"tcp://127\.0\.0\.1:\d+", "ENDPOINT"), (r"meshtoken1\S+", "TOKEN"),
         (r"\b\d+ ms\b", "N ms"), (r"in \d+\.\d s", "in N s"), (r"\d+(\.\d+)? [kM]?B\b", "N B"),
         (r"^((?:controller|version|meshcli|tlm) +)\d+\.\d+\.\d+", r"\1VERSION"), (r" {3,}", "  ")]

ANSIBLE = """#!/usr/bin/python3
import json, os, sys
with open(sys.argv[2]) as inventory:
    hosts = json.load(inventory)["all"]["hosts"]
print(os.path.basename(sys.argv[0]), sys.argv[1], "INVENTORY", *sys.argv[3:], "for", *sorted(hosts))
sys.exit(4 if "--fails" in sys.argv else 0)
"""


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def first_line(name, done):
    """Of what was printed, or of the error; of a JSON document all of it, without what changes from run to run."""
    text = done.stdout.decode() or done.stderr.decode()
    if text.startswith("{"):
        return re.sub(r'"sequence":\s*\d+', '"sequence": N', re.sub(r"\s+", " ", text)).strip()
    lines = [line for line in text.splitlines() if not line.startswith("debug:")] or [""]
    errors = [line for line in lines if line.startswith(name + ": ")]
    return ("" if done.stdout else "! ") + (errors or lines)[0].rstrip()


class Place:
    """Where the commands run: a controller, a folder with files, and programs that they start."""

    def __init__(self, mesh):
        self.mesh = mesh
        mesh.start_controller()
        self.work, tools, bare = (mesh.dir / name for name in ("work", "tools", "bare"))
        for folder in (self.work, tools, bare):
            folder.mkdir()
        for folder in (tools, bare):
            (folder / "git").symlink_to(shutil.which("git"))
        for name in ("ansible", "ansible-playbook"):
            program(tools / name, ANSIBLE)
        program(tools / "editor", '#!/bin/sh\necho "# edited" >> "$1"\n')
        shutil.copytree(TREE, self.work / "towalink")
        (self.work / "bird_local.conf").write_text("# bird of all\n")
        (self.work / "note.conf").write_text("# a note\n")
        (self.work / "net.yaml").write_text("global: {wg_keepalive: 20}\nsites: {mysite1: {nodes: {r9: {}}}}\n")
        with open(mesh.context, "a") as context:
            context.write(f'git_tree = "{mesh.dir / "history"}"\n')
        self.words = {"other": ":".join(["0000"] * 8)}
        self.environment = {"PATH": str(tools), "EDITOR": "editor", "HOME": str(self.work),
                            "MESHCLI_CONTEXT": str(mesh.context)}

    def section(self, title):
        """What has to be there before its commands."""
        if title == "a machine asks to be admitted":
            self.newcomer()
        tools = "bare" if title == "Ansible, where it is not installed" else "tools"
        self.environment["PATH"] = str(self.mesh.dir / tools)

    def newcomer(self):
        settings = (self.mesh.controller_dir / "meshd.toml").read_text()
        enrol = re.search(r"enrol = .tcp://([0-9.:]+)", settings).group(1)
        key = self.mesh.json("controller", "connection")["controller_key"]
        self.mesh.start("meshnode", "join", "--data", self.mesh.dir / "newcomer", "--controller", enrol,
                        "--controller-key", key, "--timeout", "120", log="newcomer")
        logs = [self.mesh.dir / ("newcomer" + end) for end in (".out", ".err")]
        own = r"this node's fingerprint is (\S+)"
        found = lambda: re.search(own, "".join(log.read_text() for log in logs))
        wait_until(found, "the newcomer's fingerprint")
        self.words["fingerprint"] = found().group(1)

    def run(self, name, line):
        words = [word.format_map(self.words) if word in ("{other}", "{fingerprint}") else word
                 for word in shlex.split(line)]
        return subprocess.run([BIN / name, *words], capture_output=True, timeout=60, cwd=self.work,
                              input=b"# from standard input\n" if words[-1] == "-" else b"", env=self.environment)


class Tlm(unittest.TestCase):
    maxDiff = None

    def table(self, name):
        rows = []
        with Mesh(profile="towalink") as mesh:
            place = Place(mesh)
            for line in REFERENCE.strip().splitlines():
                if line.startswith("#"):
                    place.section(line[2:])
                    rows.append(line)
                    continue
                done = place.run(name, line)
                text = first_line(name, done).replace(str(mesh.dir), "DIR")
                for pattern, word in MASKS:
                    text = re.sub(pattern, word, text)
                rows.append(f"{name} {line} | {done.returncode} | {text}")
            self.assertTrue(mesh.json("verify")["ok"])
        return "\n".join(rows) + "\n"

    def test_every_command_is_in_the_list(self):
        examples = [shlex.split(line) for line in REFERENCE.splitlines() if line and not line.startswith("#")]
        said = subprocess.run([BIN / "meshcli", "help"], capture_output=True, check=True).stdout.decode()
        said = said[:said.index("\nOptions")]
        commands = [line.split("  ")[0].split() for line in re.findall(r"^  (?=[a-z])(.*)$", said, re.MULTILINE)]
        self.assertGreater(len(commands), 100)
        for command in commands:
            words = [word for word in command if re.fullmatch(r"[a-z_-]+", word)]
            self.assertTrue(any(example[:len(words)] == words for example in examples), command)

    def test_every_example_in_both_modes(self):
        self.assertEqual((BIN / "tlm").resolve(), (BIN / "meshcli").resolve())
        text = self.table("tlm") + "\n" + self.table("meshcli")
        if os.environ.get("MESH_GOLDEN_UPDATE"):
            GOLDEN.write_text(text)
        self.assertEqual(GOLDEN.read_text(), text)


if __name__ == "__main__":
    unittest.main()

"""A machine that boots: systemd as the first process of namespaces of its own, on a copy-on-write view of this file
system that is gone afterwards. Only units that are put there exist, and what they need; no devices, no network."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../ops"))
from lab_net import read_text  # noqa: E402

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
SYSTEMD = "/lib/systemd/systemd"
TARGETS = ("sysinit", "basic", "shutdown", "network", "network-online", "multi-user", "box")
JOURNAL = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun")
BOOT_SECONDS = 30
END_SECONDS = 20

# $1: an empty directory; $2: the sources; $3: the programs. Everything that it mounts is in its own namespace.
BOOT = r"""
box=$1/root
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$box"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$box"
mount -t proc proc "$box/proc"
mount -t sysfs sysfs "$box/sys"
mount -t cgroup2 cgroup2 "$box/sys/fs/cgroup"
for at in run etc/systemd/system dev tmp var/tmp var/lib/private; do
  mkdir -p "$box/$at"; mount -t tmpfs -o mode=755 tmpfs "$box/$at"
done
chmod 1777 "$box/tmp" "$box/var/tmp"
mkdir "$box/dev/net" "$box/dev/shm" "$box/dev/pts"
for device in DEVICES; do touch "$box/dev/$device"; mount --bind "/dev/$device" "$box/dev/$device"; done
ln -s pts/ptmx "$box/dev/ptmx"
ln -s /proc/self/fd "$box/dev/fd"
mkdir "$box/run/sources" "$box/run/programs"
mount --bind "$2" "$box/run/sources"
mount --bind "$3" "$box/run/programs"
for unit in JOURNAL; do cp "/lib/systemd/system/$unit" "$box/etc/systemd/system/"; done
for target in TARGETS; do
  printf '[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n' > "$box/etc/systemd/system/$target.target"
done
echo "Wants=JOURNAL" >> "$box/etc/systemd/system/box.target"
rm -f "$box/etc/machine-id"
echo 00000000000000000000000000000001 > "$box/etc/machine-id"
ip link set lo up
exec chroot "$box" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=meshlog SYSTEMD_UNIT_PATH=/etc/systemd/system \
  SYSTEMD --system --unit=box.target --log-target=console --show-status=no
""".replace("DEVICES", " ".join(DEVICES)).replace("JOURNAL", " ".join(JOURNAL)).replace(
    "TARGETS", " ".join(TARGETS)).replace("SYSTEMD --", f"{SYSTEMD} --")


class NoBox(Exception):
    """Why this machine cannot hold one."""


def control_groups():
    """Where the unified hierarchy is mounted."""
    for line in read_text("/proc/mounts").splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return where
    raise NoBox("no cgroup2 is mounted here")


class Box:
    """`with Box(programs) as box`: booted; box.run(...) is a command in it, as root."""

    def __init__(self, programs):
        self.programs = programs
        self.group = None
        self.process = None

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            if os.geteuid() != 0:
                raise NoBox("needs root")
            if not os.access(SYSTEMD, os.X_OK):
                raise NoBox("systemd is not installed")
            self.group = os.path.join(control_groups(), f"meshlog-box-{os.getpid()}")
            try:
                os.mkdir(self.group)
            except OSError as error:
                raise NoBox(f"no control groups: {error}") from None
            undo.callback(self.remove_group)
            directory = undo.enter_context(tempfile.TemporaryDirectory(prefix="meshlog-box-"))
            self.boot(directory)
            undo.callback(self.power_off)
            self.wait_booted()
            self.undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self.undo.close()

    def boot(self, directory):
        enter = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup",
                 "--fork", "--kill-child", "--propagation", "private", "--", "sh", "-ec", BOOT, "sh", directory, ROOT,
                 self.programs]
        self.said = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', self.group, *enter], stdin=subprocess.DEVNULL,
            stdout=self.said, stderr=self.said, start_new_session=True)

    def wait_booted(self):
        deadline = time.monotonic() + BOOT_SECONDS
        while self.run("systemctl", "is-active", "--quiet", "box.target", code=None).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.said.seek(0)
                raise NoBox(f"systemd does not come up here: {self.said.read().strip() or 'no word of it'}")
            time.sleep(0.05)

    def first_process(self):
        """What `unshare` started; None before that."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            pid = self.process.pid
            return int(read_text(f"/proc/{pid}/task/{pid}/children").split()[0])
        return None

    def enter(self):
        return ["nsenter", "--target", str(self.first_process() or 0), "--mount", "--pid", "--net", "--uts", "--ipc",
                "--cgroup", "--root", "--wdns=/", "--", "env", "-i", "LC_ALL=C.UTF-8",
                "HOME=" + os.path.expanduser("~root"),
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]

    def run(self, *words, code=0, feed=None):
        done = subprocess.run([*self.enter(), *words], input=feed, stdin=None if feed else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{' '.join(words)}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
        return done

    def power_off(self):
        self.process.kill()
        self.process.wait()
        self.said.close()

    def remove_group(self):
        """The processes in it are dying; until they are gone it is busy."""
        deadline = time.monotonic() + END_SECONDS
        while os.path.isdir(self.group) and time.monotonic() < deadline:
            for folder, _, _ in os.walk(self.group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            time.sleep(0.02)

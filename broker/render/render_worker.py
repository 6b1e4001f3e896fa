"""Renders the templates of one node after another for meshd, which starts it and holds its only open descriptor.

Frames on standard input and output: four bytes of length (big endian), then JSON. First settings come in, and
{"ready"} or {"missing"} goes out. Then for each node {"variables", "sources"} comes in; {"file"} goes out before each
template, and at last {"files"} or {"error": {"file", "line", "message"}}.

What it reads is not trusted: before the first node it gives up files, network and privileges, and its memory and the
processor time of each node are limited. meshd ends it when it does not answer.
"""
import ctypes
import errno
import gc
import itertools
import json
import os
import random
import resource
import signal
import struct
import sys


class TimeUp(BaseException):
    """Not an Exception: nothing on the way may take it for an error of a template."""


def read_exactly(size):
    parts = []
    while size > 0:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame():
    return json.loads(read_exactly(struct.unpack(">I", read_exactly(4))[0]), object_pairs_hook=table)


def write_frame(message):
    body = json.dumps(message, ensure_ascii=False).encode()
    data = memoryview(struct.pack(">I", len(body)) + body)
    while data:
        data = data[os.write(1, data):]


def table(pairs):
    """Keys such as "#12" are integers."""
    return {int(key[1:]) if key.startswith("#") else key: value for key, value in pairs}


def make_environment(sources):
    import jinja2
    from jinja2 import exceptions, loaders, sandbox

    class Sources(loaders.BaseLoader):
        """As a FileSystemLoader of the directory in which they all lie."""

        def get_source(self, environment, template):
            parts = [part for part in template.split("/") if part and part != "."]
            name = "/".join(parts)
            if name not in sources:
                raise jinja2.TemplateNotFound(template)
            return sources[name], name, lambda: True

        def list_templates(self):
            return sorted(sources)

    class Grains(dict):
        """A global, so what one node does to it would be seen by the next."""

        def refuse(self, *_, **__):
            raise exceptions.SecurityError("grains cannot be changed")

        update = setdefault = pop = popitem = clear = __setitem__ = __delitem__ = __ior__ = refuse

    class Environment(sandbox.SandboxedEnvironment):
        # One step of these can take for ever, and no signal is handled within it.
        intercepted_binops = frozenset(["*", "**"])
        digits_max = 1 << 16

        def call_binop(self, context, operator, left, right):
            if isinstance(left, int) and isinstance(right, int):
                power = operator == "**" and left not in (-1, 0, 1)
                bits = abs(left).bit_length() * abs(right) if power else left.bit_length() + right.bit_length()
                if (operator == "*" or power) and bits > self.digits_max:
                    raise exceptions.SecurityError(f"{operator} makes too large a number")
            return super().call_binop(context, operator, left, right)

        def unsafe_undefined(self, obj, attribute):
            kind = type(obj).__name__
            raise exceptions.SecurityError(f"{attribute} of a value of type {kind} is not for templates")

        def handle_exception(self, source=None):
            raise  # as it is: line_of() reads its frames

    environment = Environment(loader=Sources())
    environment.globals["grains"] = Grains(id="test")
    return environment


class Environments:
    """Nodes with the same sources share what was compiled from them."""

    kept = 8

    def __init__(self):
        self.known = {}

    def of(self, sources):
        key = tuple(sorted(sources.items()))
        environment = self.known.pop(key, None) or make_environment(sources)
        for template in environment.cache.values():
            template._module = None  # what an import left behind belongs to the node before
        self.known[key] = environment
        while len(self.known) > self.kept:
            del self.known[next(iter(self.known))]
        return environment


def line_of(error, name):
    """The innermost file and line of a template that the error came through."""
    lineno = getattr(error, "lineno", None)
    if lineno is not None:
        return getattr(error, "name", None) or name, lineno
    where, trace = (name, 0), error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            where = (template.name or name, template.get_corresponding_lineno(trace.tb_lineno))
        trace = trace.tb_next
    return where


def message_of(error, settings):
    if isinstance(error, TimeUp):
        return f"it needs more than {settings['cpu_ms'] / 1000:g} s of processor time"
    if isinstance(error, MemoryError):
        return f"it needs more than {settings['memory'] >> 20} MiB of memory"
    if isinstance(error, RecursionError):
        return "it includes or calls itself without end"
    text = str(error).splitlines()
    kind = type(error).__name__
    if kind == "TemplateNotFound":
        return f"the node has no file {text[0] if text else repr('')}"
    return text[0] if text else kind


class TooMuch(Exception):
    pass


class Task:
    def __init__(self, task, environments, settings):
        self.sources = task["sources"]
        self.variables = task["variables"]
        self.environments = environments
        self.settings = settings
        self.files = {}
        self.room = settings["output"]
        self.name = ""

    def render(self, template, variables):
        """As Template.render, but it ends when it is too long."""
        room = min(self.settings["file"], self.room)
        running = template.root_render_func(template.new_context(variables))
        texts, size = [], 0
        while parts := list(itertools.islice(running, 512)):
            texts.append("".join(parts))
            size += len(texts[-1].encode())
            if size > room:
                self.too_much(template, variables, room)
        self.room -= size
        return "".join(texts)

    def too_much(self, template, variables, room):
        """Once more, part by part: the error is raised where the template is, so that it has a line."""
        error = TooMuch(f"it makes more than {room} bytes")
        running, size = template.generate(variables), 0
        for part in running:
            size += len(part.encode())
            if size > room:
                running.throw(error)
        raise error

    def template(self, environment, name):
        self.name = name
        write_frame({"file": name})
        return environment.get_template(name)

    def run(self):
        random.seed(0)  # the same variables and sources give the same files
        environment = self.environments.of(self.sources)
        per_link = "tlwg.conf.jinja"
        names = [name for name in sorted(self.sources) if name.endswith(".jinja") and name != ".jinja"]
        if per_link in names:
            names.remove(per_link)
            template = self.template(environment, per_link)
            for link in self.variables["wg_links"].values():
                self.files[link["wg_ifname"] + ".conf"] = self.render(template, link)
        for name in names:
            self.files[name[:-len(".jinja")]] = self.render(self.template(environment, name), self.variables)
        return self.files


def answer(task, environments, settings):
    """Whether the process is as good as new afterwards."""
    job = Task(task, environments, settings)
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, settings["cpu_ms"] / 1000, 0.1)
            files = job.run()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except (Exception, TimeUp) as error:
        signal.setitimer(signal.ITIMER_PROF, 0)
        file, line = line_of(error, job.name)
        worn = isinstance(error, (TimeUp, MemoryError, RecursionError))
        message = message_of(error, settings).encode(errors="replace").decode()
        error.__traceback__ = None
        write_frame({"error": {"file": file, "line": line, "message": message}, "worn": worn})
        return not worn
    write_frame({"files": files})
    return True


def warm_up(settings):
    """Everything that Python or Jinja2 loads late has to be there before files are given up."""
    import jinja2.constants
    import jinja2.debug
    import encodings.idna
    import traceback
    sources = {
        "a.jinja": "{% macro m(x) %}{{ x|upper }}{% endmacro %}"
                   "{% for k, v in d.items()|sort %}{{ m(k) }}{{ loop.index0 }}{% include 'b.jinja' %}{% endfor %}"
                   "{{ d|tojson }}{{ [1]|join(',')|e }}{{ lipsum(1) }}{{ 1.5|round }}"
                   "{{ 'x y'|urlize|wordwrap(3)|title|indent }}{{ d|pprint }}{{ '%s'|format(1) }}{{ d|xmlattr }}",
        "b.jinja": "{% set n = namespace(a=1) %}{{ [3, 1]|random }}{{ 'x' * 2 }}{% if u is defined %}{% endif %}",
        "c.jinja": "{{ u.x }}",
        "d.jinja": "{% if %}",
        "e.jinja": "{% import 'a.jinja' as a %}{{ a.m(1) }}{{ ''.__class__ }}{% extends 'f.jinja' %}",
    }
    environments = Environments()
    for name in sources:
        part = {key: text for key, text in sources.items() if key in (name, "b.jinja")}
        try:
            Task({"sources": part, "variables": {"d": {"k": "v"}, "wg_links": {}}}, environments,
                 settings).run()
        except Exception as error:
            line_of(error, name), message_of(error, settings), str(error)
            traceback.format_exception(error)


def limit(kind, value):
    try:
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        pass


def shut_in(settings):
    """Gives up everything but the two descriptors. Only the last step works everywhere; the others cost nothing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        libc.unshare(0x40000000 | 0x00020000 | 0x08000000 | 0x04000000)  # network, mounts, IPC, host name
        try:
            os.chroot("/var/empty" if os.path.isdir("/var/empty") else "/proc/self/fdinfo")
            os.chdir("/")
        except OSError:
            pass
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_NPROC, 0)
    limit(resource.RLIMIT_NOFILE, 0)
    limit(resource.RLIMIT_AS, settings["memory"])
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    return forbid_system_calls(libc)


# read write mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn mremap madvise exit futex clock_gettime
# exit_group setitimer getrandom sched_yield restart_syscall fstat lseek sigaltstack gettimeofday
ALLOWED = {
    "x86_64": (0xC000003E, (0, 1, 9, 10, 11, 12, 13, 14, 15, 25, 28, 60, 202, 228, 231, 38, 318, 24, 219, 5, 8, 131,
                            96)),
    "aarch64": (0xC00000B7, (63, 64, 222, 226, 215, 214, 134, 135, 139, 216, 233, 93, 98, 113, 94, 103, 278, 124, 128,
                             80, 62, 132, 169)),
}


def forbid_system_calls(libc):
    """What is not in the list fails with EPERM. False where the kernel or the machine does not offer it."""
    architecture, numbers = ALLOWED.get(os.uname().machine, (0, ()))
    if not numbers:
        return False
    refuse = (0x06, 0, 0, 0x00050000 | errno.EPERM)
    program = [(0x20, 0, 0, 4), (0x15, 1, 0, architecture), refuse, (0x20, 0, 0, 0)]
    for index, number in enumerate(numbers):
        program.append((0x15, len(numbers) - index, 0, number))
    program += [refuse, (0x06, 0, 0, 0x7FFF0000)]
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    filters = Program(len(program), ctypes.addressof(buffer))
    return libc.prctl(22, 2, ctypes.byref(filters), 0, 0) == 0


def time_up(*_):
    raise TimeUp()


def main():
    settings = read_frame()
    try:
        import jinja2
    except ImportError:
        write_frame({"missing": f"{sys.executable} has no jinja2"})
        return
    signal.signal(signal.SIGPROF, time_up)
    os_write = os.write
    os.write = lambda fd, data: len(data)  # the warm-up tells nobody
    warm_up(settings)
    os.write = os_write
    gc.freeze()  # what is there now stays: no collection needs to look at it
    confined = shut_in(settings)
    write_frame({"ready": jinja2.__version__, "confined": confined})
    environments = Environments()
    while answer(read_frame(), environments, settings):
        pass


main()

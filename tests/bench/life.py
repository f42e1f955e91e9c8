"""One supervisor with its processes, from its configuration to its end."""
import os
import random
import shutil
import signal
import sys
import tempfile
import time

import machine
import table
from machine import now

RESTART_SECONDS = 10


def all_seconds(n):
    """What starting, replacing or stopping n processes may take."""
    return 15 + n / 20


def say(text):
    """Progress: not part of the result."""
    print(text, file=sys.stderr)


def note(text):
    """What a reader of the result should know."""
    print(f'note: {text}')


class Failed(Exception):
    """A supervisor did not do what it should within its time."""


class Run:
    """One supervisor with its processes, from configuration to stop."""

    def __init__(self, setup, kind, n):
        base = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
        self.setup, self.n = setup, n
        self.directory = tempfile.mkdtemp(prefix='reeve-bench-', dir=base)
        self.stamps = machine.Stamps(self.path('fifo'))
        self.supervisor = kind(setup, n, self.directory, self.stamps.path)
        self.pids = []  # of the supervised
        self.root = self.root_fd = None
        self.cgroups = None
        self.null = os.open('/dev/null', os.O_RDWR | os.O_CLOEXEC)
        self.out = os.open(self.path('out'),
                           os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def path(self, name):
        return os.path.join(self.directory, name)

    def spawn(self, command, out, stdin=None, session=False):
        """Cheaper than subprocess: part of some of what is measured."""
        stdin = self.null if stdin is None else stdin
        actions = [(os.POSIX_SPAWN_DUP2, stdin, 0),
                   (os.POSIX_SPAWN_DUP2, out, 1),
                   (os.POSIX_SPAWN_DUP2, self.out, 2)]
        return os.posix_spawnp(command[0], command, os.environ,
                               file_actions=actions, setsid=session,
                               setsigdef=[signal.SIGPIPE])

    def run(self, command, out=None):
        """Runs a program to its end; returns the seconds it took."""
        begin = now()
        pid = self.spawn(command, self.null if out is None else out)
        os.waitpid(pid, 0)
        return now() - begin

    def last_words(self):
        os.lseek(self.out, 0, os.SEEK_SET)
        text = os.read(self.out, 1 << 20).decode(errors='replace')
        return '\n'.join(text.splitlines()[-5:])

    def start(self):
        self.supervisor.configure()
        time.sleep(self.supervisor.before_start)
        begin = now()
        self.root = self.spawn(self.supervisor.command(), self.out, session=True)
        self.root_fd = os.pidfd_open(self.root)
        stamps = self.collect()
        if len(stamps) < self.n:
            raise Failed(f'{len(stamps)} of {self.n} were started\n'
                         + self.last_words())
        self.pids = [pid for pid, _, _ in stamps]
        self.note_cgroups()
        return max(t for _, _, t in stamps) - begin

    def collect(self):
        """The stamps of all n, or fewer when it takes too long."""
        return self.stamps.collect(self.n, all_seconds(self.n),
                                   lambda: machine.has_ended(self.root_fd))

    def note_cgroups(self):
        """Where its leaves are, if they are not where we are."""
        leaf = machine.cgroup_of(self.pids[0])
        if leaf and leaf != machine.cgroup_of(os.getpid()):
            self.cgroups = os.path.dirname(leaf)

    def own_processes(self):
        """The supervisor's, without the supervised."""
        svc = self.setup.program('svc')
        return [p for p in [self.root, *machine.descendants(self.root)]
                if machine.program_of(p) != svc]

    def open(self, pid):
        try:
            return machine.open_process(pid, self.setup.program('svc'))
        except OSError as e:
            raise Failed(f'a process is gone: {e}\n' + self.last_words()) from e

    def restart_one(self):
        victim = self.pids.pop(random.randrange(len(self.pids)))
        fd = self.open(victim)
        begin = now()
        machine.kill(fd)
        stamp = self.stamps.next(RESTART_SECONDS)
        os.close(fd)
        if not stamp:
            raise Failed('no replacement came\n' + self.last_words())
        self.pids.append(stamp[0])
        return stamp[2] - begin

    def restarts(self):
        """Each after another pause, which no period of polling agrees with."""
        seconds = []
        for _ in range(self.setup.times(self.supervisor.samples)):
            time.sleep(random.uniform(0.02, 0.08))
            seconds.append(self.restart_one())
        return seconds

    def storm(self):
        fds = [self.open(pid) for pid in self.pids]
        begin = now()
        for fd in fds:
            machine.kill(fd)
        stamps = self.collect()
        for fd in fds:
            os.close(fd)
        if len(stamps) < self.n:
            raise Failed(f'{len(stamps)} of {self.n} came back\n'
                         + self.last_words())
        self.pids = [pid for pid, _, _ in stamps]
        return max(t for _, _, t in stamps) - begin

    def status(self):
        path = self.path('status')
        seconds = []
        for _ in range(self.setup.times(self.supervisor.status_runs)):
            out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            seconds.append(self.run(self.supervisor.status(), out))
            os.close(out)
        with open(path, errors='replace') as f:
            lines = sum(1 for _ in f)
        if lines < self.n:
            raise Failed(f'status shows {lines} lines for {self.n} processes\n'
                         + self.last_words())
        return table.median(seconds)

    def stop(self):
        own = self.own_processes()
        fds = [self.root_fd]
        for pid in (*self.pids, *own):
            try:
                fds.append(os.pidfd_open(pid))
            except ProcessLookupError:
                pass
        begin = now()
        self.supervisor.ask_to_stop(self.root_fd, self.run)
        end = machine.wait_ends(fds, begin + all_seconds(self.n))
        for fd in fds:
            os.close(fd)
        self.root_fd = None
        machine.reap()
        if end is None:
            raise Failed('not all processes ended')
        if self.cgroups and machine.remove_cgroup(self.cgroups):
            note(f'{self.supervisor.name} left {self.cgroups} behind')
        return end - begin

    def close(self):
        """Nothing of it stays, wherever it was left."""
        if self.root_fd is not None:
            os.close(self.root_fd)
        killed = machine.end_everything()
        if killed:
            note(f'{self.supervisor.name}: {killed} processes had to be killed')
        if self.cgroups:
            machine.remove_cgroup(self.cgroups)
        self.stamps.close()
        os.close(self.null)
        os.close(self.out)
        shutil.rmtree(self.directory, ignore_errors=True)

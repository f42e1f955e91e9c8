"""What the benchmarks need of the machine: clock, processes, memory, stamps.

Everything that is killed here is killed through a pidfd that was opened and
checked before. We are a subreaper: whatever a supervisor leaves behind becomes
our child, so that end_everything() finds it.
"""
import ctypes
import fcntl
import os
import resource
import select
import signal
import struct
import time

PR_SET_CHILD_SUBREAPER = 36
F_SETPIPE_SZ = 1031
FIFO_BYTES = 1 << 20
STAMP = struct.Struct('=IIQ')  # struct stamp of programs/stamp.h
KB = 1024


def now():
    """Seconds of CLOCK_MONOTONIC, the clock of the stamps."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e9


def become_subreaper():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def raise_nofile():
    """A pidfd for each process that is waited for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- processes ---------------------------------------------------------------

def parents():
    """{pid: parent's pid} of all processes."""
    found = {}
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open(f'/proc/{name}/stat', 'rb') as f:
                fields = f.read().rpartition(b')')[2].split()
        except OSError:
            continue
        found[int(name)] = int(fields[1])
    return found


def descendants(root):
    """pids of everything below root, without root."""
    children = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found, look = [], [root]
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return found


def program_of(pid):
    try:
        return os.readlink(f'/proc/{pid}/exe')
    except OSError:
        return ''


def open_process(pid, program):
    """A pidfd of the process, which is known to run this program."""
    fd = os.pidfd_open(pid)
    if program_of(pid) != program:
        os.close(fd)
        raise ProcessLookupError(f'{pid} does not run {program}')
    return fd


def kill(pidfd, signo=signal.SIGKILL):
    try:
        signal.pidfd_send_signal(pidfd, signo)
    except ProcessLookupError:
        pass


def has_ended(pidfd):
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def wait_ends(pidfds, deadline):
    """Waits for the end of all; returns when that was, None at the deadline.

    One after the other: the wait costs the processes that are being measured
    one wake-up, not one for each of them.
    """
    for fd in pidfds:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(max(0, deadline - now()) * 1e3):
            return None
    return now()


def reap():
    """Reaps what has ended among our children."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def end_everything(seconds=20):
    """Kills whatever runs below us. Returns how many had to be killed."""
    me, killed, deadline = os.getpid(), set(), now() + seconds
    while now() < deadline:
        reap()
        left = descendants(me)
        if not left:
            break
        fds = []
        for pid in left:
            try:
                fds.append((pid, os.pidfd_open(pid)))
            except OSError:
                continue
        still = set(descendants(me))  # its number was not given to another
        for pid, fd in fds:
            if pid in still:
                kill(fd)
                killed.add(pid)
            os.close(fd)
        time.sleep(0.01)
    return len(killed)


# --- what they cost ----------------------------------------------------------

def pss_bytes(pids):
    """Proportional set size of the processes together."""
    total = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/smaps_rollup') as f:
                total += sum(int(line.split()[1]) * KB
                             for line in f if line.startswith('Pss:'))
        except OSError:
            pass
    return total


def available_bytes():
    with open('/proc/meminfo') as f:
        return next((int(line.split()[1]) * KB for line in f
                     if line.startswith('MemAvailable:')), 0)


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/schedstat') as f:
                total += int(f.read().split()[0])
        except OSError:
            pass
    return total / 1e9


def context_switches(pids):
    total = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/status') as f:
                total += sum(int(line.split()[1])
                             for line in f if 'ctxt_switches' in line)
        except OSError:
            pass
    return total


# --- stamps ------------------------------------------------------------------

class Stamps:
    """The FIFO into which each new process writes (pid, id, time)."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        # Open for writing too: so it never is at its end.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.fcntl(self.fd, F_SETPIPE_SZ, FIFO_BYTES)
        except PermissionError:
            pass  # fewer fit; they are read while they come
        self.poll = select.poll()
        self.poll.register(self.fd, select.POLLIN)

    def close(self):
        os.close(self.fd)

    def drain(self):
        """All stamps that have come, as (pid, id, seconds)."""
        found = []
        while True:
            try:
                data = os.read(self.fd, STAMP.size * 4096)
            except BlockingIOError:
                return found
            found += [(pid, number, nsec / 1e9)
                      for pid, number, nsec in STAMP.iter_unpack(data)]

    def collect(self, n, seconds, is_hopeless=lambda: False):
        """n stamps, or fewer at the deadline or when there is no hope.

        Looks now and then instead of waking up for each: the processors belong
        to what is being measured, and a stamp says itself when it was.
        """
        found, deadline = [], now() + seconds
        while len(found) < n and now() < deadline and not is_hopeless():
            found += self.drain()
            if len(found) < n:
                time.sleep(0.005)
        return found

    def next(self, seconds):
        """One stamp, or None at the deadline."""
        if not self.poll.poll(seconds * 1e3):
            return None
        pid, number, nsec = STAMP.unpack(os.read(self.fd, STAMP.size))
        return pid, number, nsec / 1e9


# --- cgroups -----------------------------------------------------------------

def cgroup_mount():
    """Where cgroup v2 is, also beside v1, or None."""
    with open('/proc/self/mountinfo') as f:
        for line in f:
            fields = line.split()
            if fields[fields.index('-') + 1] == 'cgroup2':
                return fields[4]
    return None


def cgroup_of(pid):
    """The cgroup v2 directory of a process, or None."""
    mount = cgroup_mount()
    try:
        with open(f'/proc/{pid}/cgroup') as f:
            paths = [line[3:].rstrip('\n') for line in f
                     if line.startswith('0::')]
    except OSError:
        return None
    return mount + paths[0] if mount and paths else None


def remove_cgroup(path):
    """Removes a directory of leaves that nobody is in. True if there was one."""
    if not os.path.isdir(path):
        return False
    for directory, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            pass
    return True

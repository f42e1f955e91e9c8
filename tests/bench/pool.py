"""Pools: libreeve's, a bare one, and Python's two, in one run, on two workers.

Ours is programs/pool.c; bare is programs/pool_bare.c, the same rings and a fork
server without anything around them; Python's are pool_peers.py. They take turns,
round after round, and ratios are taken within a round: the machine may be busy,
but then it is for all.
"""
import os
import signal
import subprocess
import time

import machine
import table
from life import note, say
from process import PYTHON

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = ('multiprocessing', 'executor')
SECONDS = 60  # each run at most; what takes longer has no number
BURN_MSEC = (10, 1, 0.1)


class Goal:
    """At least or at most a number, and a share of what bare does."""

    def __init__(self, least=None, most=None, share=None, factor=None):
        self.least, self.most = least, most  # of the number
        self.share, self.factor = share, factor  # of the ratio: >=, <=

    def __str__(self):
        words = [(self.least, '>= {}'), (self.most, '<= {}'),
                 (self.share, '>= {}x bare'), (self.factor, '<= {}x bare')]
        return ', '.join(w.format(table.number(v)) for v, w in words
                         if v is not None)

    def verdict(self, value, ratio):
        bounds = [(self.least, value, 1), (self.most, value, -1),
                  (self.share, ratio, 1), (self.factor, ratio, -1)]
        bounds = [b for b in bounds if b[0] is not None]
        if not bounds or any(found is None for _, found, _ in bounds):
            return '-'
        missed = any(sign * found < sign * bound
                     for bound, found, sign in bounds)
        return 'MISSED' if missed else 'reached'


class Line:
    """One measure: what is run, and which of its numbers have which goal."""

    def __init__(self, what, kind, goals, n, quick=None, peers=0,
                 has_bare=True, needs=0, **options):
        self.what, self.kind, self.goals = what, kind, goals
        self.n, self.quick = n, quick or n // 4
        self.peers = peers  # items that Python is given; 0: it is not asked
        self.has_bare = has_bare
        self.needs = needs  # bytes of memory
        self.options = options

    def command(self, program, is_quick):
        options = [x for k, v in self.options.items()
                   for x in ([f'-{k}'] if v is True else [f'-{k}', str(v)])]
        n = self.quick if is_quick else self.n
        return [program, self.kind, '-n', str(n), *options]

    def peer_command(self, peer, is_quick):
        o = self.options
        n = max(2, self.peers // 4) if is_quick else self.peers
        return [PYTHON, '-B', os.path.join(HERE, 'pool_peers.py'), peer,
                self.kind, *map(str, (n, o.get('s', 8), o.get('c', 1),
                                      o.get('m', 0), o.get('i', 0)))]

    def key(self, name):
        return self.kind, tuple(self.options.items()), name


RATE = 'rate'
LINES = (
    Line('map, chunksize 1, 8 B, window 64: tasks/s', 'map',
         {RATE: Goal(least=15e6, share=0.4)}, 2000000, peers=100000, r=5),
    Line('  one in flight for each worker', 'map', {RATE: Goal(least=1e6)},
         200000, r=5, W=1),
    Line('map, default chunks: items/s', 'map', {RATE: Goal(least=100e6)},
         1000000, quick=1000000, peers=2000000, has_bare=False, r=9, c=0),
    Line('  chunks of 31,250', 'map', {RATE: Goal()}, 1000000, quick=1000000,
         r=9, c=31250),
    Line('imap_unordered: tasks/s', 'imap', {RATE: Goal(least=5e6)}, 1000000,
         peers=40000, has_bare=False, r=3),
    Line('  chunks of 64', 'imap', {RATE: Goal()}, 1000000, peers=400000,
         has_bare=False, r=3, c=64),
    Line('apply_async + get: tasks/s', 'async', {RATE: Goal(least=1.5e6)},
         200000, peers=40000, has_bare=False, r=3),
    Line('4 KiB there and back: tasks/s', 'map', {RATE: Goal(least=1e6)}, 2048,
         quick=2048, peers=20000, r=50, s=4096),
    Line('1 MiB there and back: tasks/s', 'map', {RATE: Goal(least=5000)}, 16,
         quick=16, peers=200, r=50, s=1 << 20),
    # Both copy three times: the owner in, the worker from there to its output,
    # the owner out; and touch two GiB of the pool's besides the owner's two.
    Line('1 GiB there and back: tasks/s', 'map', {RATE: Goal(share=0.6)}, 1,
         quick=1, needs=6 << 30, r=3, W=1, s=1 << 30),
    Line('  the first one, in new memory', 'map', {RATE: Goal(share=0.6)}, 1,
         quick=1, needs=6 << 30, f=True, W=1, s=1 << 30),
    Line('apply, hot: us', 'apply', {'p50': Goal(most=1), 'p99': Goal()},
         100000, peers=5000),
    Line('apply, after 1 ms idle: us', 'apply',
         {'p50': Goal(most=10), 'p99': Goal(most=100)}, 1000, peers=500,
         i=1000),
    Line('apply in a THREAD pool, hot: us', 'apply',
         {'p50': Goal(), 'p99': Goal()}, 20000, has_bare=False, t=True),
    Line('apply, spawn context, hot: us', 'apply',
         {'p50': Goal(), 'p99': Goal()}, 100000, has_bare=False, x=3),
    Line('maxtasksperchild=1: tasks/s', 'map', {RATE: Goal(share=0.7)}, 5000,
         peers=800, m=1),
    Line('  owner of 500 MB, forkserver', 'map', {RATE: Goal(share=0.7)}, 5000,
         m=1, x=2, b=500),
    Line('maxtasksperchild=10: tasks/s', 'map', {RATE: Goal(share=0.7)}, 50000,
         peers=8000, m=10),
    Line('  owner of 500 MB, forkserver', 'map', {RATE: Goal(share=0.7)},
         50000, m=10, x=2, b=500),
    Line('SIGKILL of a busy worker, us', 'kill',
         {'told': Goal(most=300), 'ready': Goal(factor=1.5)}, 200),
    Line('creation to first result, us', 'first',
         {'p50': Goal(most=1000), 'p99': Goal()}, 100, peers=20),
)
NAMES = {'told': 'its outcome is told', 'ready': 'replacement is ready'}


def numbers(command):
    """{name: number} of what the program says, or nothing."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        note(f'{" ".join(command[-6:])}: not done within {SECONDS} s')
        return {}
    if done.returncode:
        note(f'{" ".join(command)}: status {done.returncode}: '
             f'{done.stderr.strip()[-200:]}')
        return {}
    return {name: float(value) for name, value in
            (line.split() for line in done.stdout.splitlines())}


def measure(setup, line, results, i):
    if line.needs > machine.available_bytes():
        note(f'{line.what.strip()}: not enough memory')
        return
    programs = ['pool'] + (['pool_bare'] if line.has_bare else [])
    for program in programs if i % 2 == 0 else programs[::-1]:
        found = numbers(line.command(setup.program(program), setup.is_quick))
        results.add(program,
                    {line.key(k): v for k, v in found.items()}, i)
    for peer in PEERS if line.peers and i == 0 else ():
        if peer == 'executor' and line.options.get('m'):
            continue  # max_tasks_per_child=2 stops after some tasks: a hang
        found = numbers(line.peer_command(peer, setup.is_quick))
        results.add(peer, {line.key(k): v for k, v in found.items()}, i)


def cells(results, line, name, goal):
    key = line.key(name)
    ours, ratio = results.median('pool', key), \
        results.ratio('pool', 'pool_bare', key)
    what = line.what if name in (RATE, 'p50', 'told') else '  ' + name
    if name in NAMES:
        what = line.what + ': ' + NAMES[name]
    elif name == 'p50':
        what += ' p50'
    return [what, table.number(ours),
            table.number(results.median('pool_bare', key)),
            '-' if ratio is None else f'{ratio:.2f}', str(goal),
            goal.verdict(ours, ratio),
            *(table.number(results.median(peer, key)) for peer in PEERS)]


HEAD = ['', 'libreeve', 'bare', 'ratio', 'goal', 'verdict', *PEERS]


def goals(setup):
    """The lines with their goals, and what the CPU-bound tasks need."""
    results, lines = table.Results(), [*LINES, *burning(setup)]
    for i in range(setup.rounds):
        say(f'pool, round {i + 1} of {setup.rounds}, '
            f'load {os.getloadavg()[0]:.1f}')
        for line in lines:
            measure(setup, line, results, i)
    table.show(
        f'Pool: 2 workers, medians of {setup.rounds} rounds', [HEAD] + [
            cells(results, line, name, goal) for line in lines
            for name, goal in line.goals.items()], left=(0, 4, 5))


def burning(setup):
    """CPU-bound tasks; how long a turn of the loop takes is measured first."""
    found = numbers([setup.program('pool_bare'), 'map', '-n', '20', '-w', '1',
                     '-r', '3', '-l', '1000000'])
    if not found:
        return []
    loops = 1e6 * found[RATE] / 1e3  # in a millisecond
    return [Line(f'900 tasks of {msec:g} ms CPU: tasks/s', 'map',
                 {RATE: Goal(share=0.97)}, 900, quick=90 if msec > 5 else 900,
                 l=max(1, int(loops * msec)), r=1 if msec > 5 else 3)
            for msec in BURN_MSEC]


# --- doing nothing -------------------------------------------------------------

def with_idle_pool(setup, options, look):
    """look(pids of owner, keeper, workers) while a pool has nothing to do."""
    process = subprocess.Popen(
        [setup.program('pool'), 'idle', *options], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        time.sleep(0.5)
        return look([process.pid, *machine.descendants(process.pid)])
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        process.stdout.close()


def idle(setup):
    seconds = 2 if setup.is_quick else 10
    lines = [['', 'processes', 'context switches', 'CPU, ms', 'goal',
              'verdict']]

    def look(pids):
        before = machine.context_switches(pids), machine.cpu_seconds(pids)
        time.sleep(seconds)
        return (len(pids), machine.context_switches(pids) - before[0],
                (machine.cpu_seconds(pids) - before[1]) * 1e3)

    for what, options in (('CALLER', []), ('THREAD', ['-t'])):
        n, switches, cpu = with_idle_pool(setup, options, look)
        lines.append([what, str(n), str(switches), table.number(cpu), '0',
                      'MISSED' if switches or cpu else 'reached'])
    table.show(f'Pool: idle for {seconds} s, all processes', lines,
               left=(0, 4, 5))


# --- how cost grows --------------------------------------------------------------

def growth(setup, title, head, points):
    """points: (what, options of both programs)."""
    lines = [[head, 'libreeve/s', 'bare/s', 'ratio']]
    for what, options in points:
        results = table.Results()
        for i in range(2 if setup.is_quick else 3):
            for program in ('pool', 'pool_bare'):
                results.add(program, numbers(
                    [setup.program(program), 'map', *options]), i)
        ratio = results.ratio('pool', 'pool_bare', RATE)
        lines.append([what, table.number(results.median('pool', RATE)),
                      table.number(results.median('pool_bare', RATE)),
                      '-' if ratio is None else f'{ratio:.2f}'])
    table.show(title, lines)


def grow(setup):
    is_quick = setup.is_quick
    growth(setup, 'Pool: number of workers (map, chunksize 1, 8 B)', 'workers',
           [(str(w), ['-n', '200000', '-r', '3', '-w', str(w)])
            for w in ((1, 4, 64) if is_quick else (1, 2, 4, 8, 16, 32, 64))])
    growth(setup, 'Pool: number of tasks (map, chunksize 1, 8 B)', 'tasks',
           [(f'{10 ** k:,}', ['-n', str(10 ** k), '-r', '1' if k > 6 else '9'])
            for k in ((1, 3, 5) if is_quick else range(1, 8))])
    sizes = ((8, 1 << 15, 1 << 23) if is_quick
             else tuple(1 << k for k in (3, 6, 9, 12, 15, 18, 20, 23, 26)))
    growth(setup, 'Pool: size of payloads, there and back (map, chunksize 1)',
           'bytes',
           [(f'{s:,}', ['-n', str(max(4, min(100000, (1 << 24) // s))), '-s',
                        str(s), '-r', '3' if s > 1 << 20 else '9'])
            for s in sizes])


def memory(setup):
    few, many = 2, 34
    sizes = [with_idle_pool(setup, ['-w', str(n)], machine.pss_bytes)
             for n in (few, many)]
    queued = numbers([setup.program('pool'), 'queued', '-n', '200000'])
    print(f'\nPool: memory of a pool of {few} workers {sizes[0] / 1e6:.2f} MB '
          'PSS, owner and keeper included; of each more worker '
          f'{(sizes[1] - sizes[0]) / (many - few) / 1e3:,.0f} kB; of each task '
          f'that is queued {queued.get("bytes", 0):,.0f} bytes')


def pools(setup):
    goals(setup)
    idle(setup)
    grow(setup)
    memory(setup)

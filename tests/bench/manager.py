"""Operations per second on a Manager: libreeve's, redis-server's, and Python's.

redis-server is spoken to by hiredis over a Unix socket, and keeps nothing on disk:
it is what the documentation sends those to who share state between machines. All
but Python are programs/manager.c. Where a client sleeps until the answer comes, most
of the time is the kernel's, for waking up the other side: the ratios tell more than
the numbers, and more on a machine with nothing else to do.
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time

import table
from life import note, say
from process import PYTHON

PYTHON_CODE = '''
import multiprocessing, sys, time
context = multiprocessing.get_context("fork")
what, n, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
manager = context.Manager()
shared, lock = manager.dict(), manager.Lock()
def run_alone(n):
    for i in range(n // 2):
        shared[i % 1000] = i
        shared[i % 1000]
def run_lock(n):
    for i in range(n // 2):
        lock.acquire()
        lock.release()
def run(ready, go):
    len(shared)
    ready.release()
    go.wait()
    globals()["run_" + what](n // clients)
ready, go = context.Semaphore(0), context.Event()
all = [context.Process(target=run, args=(ready, go)) for _ in range(clients)]
for p in all: p.start()
for p in all: ready.acquire()
begin = time.monotonic()
go.set()
for p in all: p.join()
print(n / (time.monotonic() - begin))
'''
# what is said, what, clients, operations, Python's share of them, goal
LINES = (('one at a time', 'alone', 1, 200_000, 0.1, 60_000),
         ('many under way', 'pipelined', 1, 1_000_000, 0, 300_000),
         ('8 clients, each one at a time', 'alone', 8, 400_000, 0.1, None),
         ('a lock, acquire and release', 'lock', 1, 200_000, 0.05, None))
SECONDS = 120


class Redis:
    """A redis-server of our own, or none when there is no such program."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix='reeve-bench-')
        self.socket = os.path.join(self.directory, 'redis')
        self.process = None
        program = shutil.which('redis-server')
        if program:
            self.process = subprocess.Popen(
                [program, '--port', '0', '--unixsocket', self.socket,
                 '--save', '', '--appendonly', 'no', '--dir', self.directory],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while self.process and not os.path.exists(self.socket):
            if time.monotonic() > deadline:
                self.close()
            time.sleep(0.01)

    def close(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
        self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)


def rate(command, setup):
    """Operations per second, or nothing."""
    environment = dict(os.environ,
                       REEVE_LIBEXECDIR=os.path.dirname(setup.reeved))
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False,
                              timeout=SECONDS, env=environment)
    except (OSError, subprocess.TimeoutExpired) as e:
        note(f'{command[0]}: {e}')
        return {}
    if done.returncode:
        note(f'{command[0]}: status {done.returncode}')
        return {}
    return {'rate': float(done.stdout)}


def verdict(goal, reached):
    if goal is None or reached is None:
        return '-'
    return 'reached' if reached >= goal else 'MISSED'


def row(setup, redis, results, line):
    what, kind, clients, n, share, goal = line
    program = setup.program('manager')
    n = n // 4 if setup.is_quick else n
    key = f'{kind}-{clients}'
    for i in range(setup.rounds):
        say(f'manager, round {i + 1} of {setup.rounds}: {what}')
        found = {'libreeve': rate([program, 'reeve', kind, str(n),
                                   str(clients)], setup)}
        if redis.process:
            found['redis'] = rate([program, 'redis', kind, str(n),
                                   str(clients), redis.socket], setup)
        if share:
            found['Python'] = rate([PYTHON, '-c', PYTHON_CODE, kind,
                                    str(int(n * share)), str(clients)], setup)
        for who, result in found.items():
            results.add(who, {key: r for r in result.values()}, i)
    if clients > 1:  # no slower than one
        goal = results.median('libreeve', f'{kind}-1')
    reached = results.median('libreeve', key)
    ratios = [results.ratio('libreeve', who, key)
              for who in ('redis', 'Python')]
    ratios = ['-' if r is None else f'{r:.2f}' for r in ratios]
    return [what, table.number(reached),
            '-' if goal is None else f'>= {goal:,.0f}', verdict(goal, reached),
            table.number(results.median('redis', key)), ratios[0],
            table.number(results.median('Python', key)), ratios[1]]


def managers(setup):
    if not os.path.exists(setup.program('manager')):
        note('no programs/manager: libhiredis-dev is missing')
        return
    redis = Redis()
    try:
        results = table.Results()
        table.show(f'Manager, operations per second: medians of '
                   f'{setup.rounds} rounds',
                   [['', 'libreeve', 'goal', 'verdict', 'redis', 'ratio',
                     'Python', 'ratio']]
                   + [row(setup, redis, results, line) for line in LINES],
                   left=(0, 2, 3))
    finally:
        redis.close()

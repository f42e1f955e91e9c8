"""What programs/pool.c measures, of Python's two pools. Run by pool.py.

pool_peers.py multiprocessing|executor KIND N SIZE CHUNK TASKS IDLE_USEC

Prints "NAME NUMBER" lines as programs/pool.c does. Needs nothing but Python.
"""
import concurrent.futures
import multiprocessing
import os
import signal
import sys
import time

WORKERS = 2


def echo(x):
    return x


def hang(_):
    signal.pause()


class Pool:
    """multiprocessing.Pool."""

    def __init__(self, tasks):
        self.pool = multiprocessing.get_context('fork').Pool(
            WORKERS, maxtasksperchild=tasks or None)

    def map(self, inputs, chunk):
        return self.pool.map(echo, inputs, chunk or None)

    def imap(self, inputs, chunk):
        return self.pool.imap_unordered(echo, inputs, chunk)

    def apply(self, x):
        return self.pool.apply(echo, (x,))

    def submit(self, x):
        return self.pool.apply_async(echo, (x,)).get

    def end(self):
        self.pool.terminate()


class Executor:
    """concurrent.futures.ProcessPoolExecutor."""

    def __init__(self, tasks):
        name = 'spawn' if tasks else 'fork'  # it takes no other with a limit
        self.pool = concurrent.futures.ProcessPoolExecutor(
            WORKERS, mp_context=multiprocessing.get_context(name),
            max_tasks_per_child=tasks or None)

    def map(self, inputs, chunk):
        return list(self.pool.map(echo, inputs, chunksize=chunk or 1000))

    def imap(self, inputs, chunk):
        if chunk > 1:  # it has no other way than in order
            return self.pool.map(echo, inputs, chunksize=chunk)
        return map(lambda f: f.result(), concurrent.futures.as_completed(
            [self.pool.submit(echo, x) for x in inputs]))

    def apply(self, x):
        return self.pool.submit(echo, x).result()

    def submit(self, x):
        return self.pool.submit(echo, x).result

    def end(self):
        self.pool.shutdown()


def tell_times(seconds):
    seconds.sort()
    print('p50', seconds[len(seconds) // 2] * 1e6)
    print('p99', seconds[len(seconds) * 99 // 100] * 1e6)


def rate(pool, kind, inputs, chunk):
    pool.map(inputs[:64], 1)
    begin = time.monotonic()
    if kind == 'map':
        n = len(pool.map(inputs, chunk))
    elif kind == 'imap':
        n = sum(1 for _ in pool.imap(inputs, chunk or 1))
    else:
        n = len([get() for get in [pool.submit(x) for x in inputs]])
    print('rate', n / (time.monotonic() - begin))


def round_trips(pool, n, idle_usec):
    seconds = []
    pool.map([1] * 64, 1)
    for _ in range(n):
        time.sleep(idle_usec / 1e6)
        begin = time.monotonic()
        pool.apply(1)
        seconds.append(time.monotonic() - begin)
    tell_times(seconds)


def first_results(kind, n):
    seconds = []
    for _ in range(n):
        begin = time.monotonic()
        pool = kind(0)
        pool.apply(1)
        seconds.append(time.monotonic() - begin)
        pool.end()
    tell_times(seconds)


def main():
    kind = {'multiprocessing': Pool, 'executor': Executor}[sys.argv[1]]
    what = sys.argv[2]
    n, size, chunk, tasks, idle_usec = map(int, sys.argv[3:])
    if what == 'first':
        first_results(kind, n)
        return
    pool = kind(tasks)
    if what == 'apply':
        round_trips(pool, n, idle_usec)
    else:
        inputs = list(range(n)) if size <= 8 else [os.urandom(size)] * n
        rate(pool, what, inputs, chunk)
    sys.stdout.flush()
    pool.end()


if __name__ == '__main__':
    main()

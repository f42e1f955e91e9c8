"""How each supervisor is configured, started, asked and stopped.

Each runs n processes of programs/svc and writes its files below a directory of
its own. They are set up to restart at once, as often as it takes, and to keep
no log of what the processes say: so all do the same.
"""
import os
import shutil
import signal

from machine import kill


class Supervisor:
    name = ''
    needs = ()  # programs that must be installed
    before_start = 0  # seconds between its configuration and its start
    settle = 0.5  # seconds after which all is as in daily life
    max_rounds = 99
    samples = 25  # single kills, each of another process
    status_runs = 9

    def __init__(self, setup, n, directory, fifo):
        self.setup, self.n = setup, n
        self.directory, self.fifo = directory, fifo

    @classmethod
    def missing(cls, setup):
        """What is not there, or None."""
        lacking = [p for p in cls.needs if not shutil.which(p)]
        return ', '.join(lacking) or None

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)
        return self.path(name)

    def configure(self):
        pass

    def command(self):
        raise NotImplementedError

    def status(self):
        raise NotImplementedError

    def ask_to_stop(self, pidfd, run):
        """run(command) runs a program to its end."""
        kill(pidfd, signal.SIGTERM)


class Floor(Supervisor):
    name = 'floor'
    options = ('-c', 'reeve-bench-{pid}')

    def command(self):
        options = [o.format(pid=os.getpid()) for o in self.options]
        if not self.setup.has_cgroups:
            options = []
        return [self.setup.program('floor'), *options, str(self.n),
                self.setup.program('svc'), self.fifo, self.path('socket')]

    def status(self):
        return [self.setup.program('floor'), 'status', self.path('socket')]


class FloorWithoutCgroup(Floor):
    name = 'floor (no cgroup)'
    options = ()


class FloorVfork(Floor):
    name = 'vfork floor'

    def command(self):
        return [self.setup.program('floor'), '-v', str(self.n),
                self.setup.program('svc'), self.fifo, self.path('socket')]


class Reeve(Supervisor):
    name = 'reeve'
    cgroup = 'auto'
    logs = 'stdout_logfile=NONE\nstderr_logfile=NONE'

    @classmethod
    def missing(cls, setup):
        lacking = [p for p in (setup.reeved, setup.reeve)
                   if not os.access(p, os.X_OK)]
        return ', '.join(lacking) or None

    def configure(self):
        os.mkdir(self.path('log'))
        self.write('reeve.ini', f'''\
[reeve]
runtime_dir={self.path('run')}
log_dir={self.path('log')}
cgroup={self.cgroup}

[worker:w]
command={self.setup.program('svc')} {self.fifo} %(process_num)d
process_name=w%(process_num)d
numprocs={self.n}
autorestart=true
startsecs=0
restart_delay=0
{self.logs}
''')

    def command(self):
        return [self.setup.reeved, '-c', self.path('reeve.ini')]

    def status(self):
        return [self.setup.reeve, '-s', self.path('run/control.sock'),
                'status']


class ReeveWithoutCgroup(Reeve):
    name = 'reeve (cgroup=off)'
    cgroup = 'off'


class ReeveWithLogs(Reeve):
    name = 'reeve (logs)'
    logs = 'stdout_logfile=AUTO\nredirect_stderr=true'


class Directories(Supervisor):
    """Those that take a directory per service, with a program "run" in it.

    Both start a service that dies soon after its start only after a second:
    so they are given more than that before anything is killed.
    """
    settle = 2.0

    def configure(self):
        for i in range(self.n):
            service = self.path(f'services/{i}')
            os.makedirs(service)
            os.symlink(self.setup.program('svc'), service + '/run')
            os.symlink(self.fifo, service + '/fifo')

    def each(self, command):
        """A shell loop; these supervisors have no status of all."""
        return ['/bin/sh', '-c', command.format(self.path('services') + '/*')]


class Runit(Directories):
    name = 'runit'
    needs = ('runsvdir', 'sv')
    before_start = 1.2  # it waits for a directory younger than that

    def command(self):
        return ['runsvdir', self.path('services')]

    def status(self):
        return self.each('exec sv status {}')

    def ask_to_stop(self, pidfd, run):
        kill(pidfd, signal.SIGHUP)


class S6(Directories):
    name = 's6'
    needs = ('s6-svscan', 's6-svstat', 's6-svscanctl')
    samples = 3  # a second each
    status_runs = 3

    def command(self):
        return ['s6-svscan', '-c', str(self.n + 100), self.path('services')]

    def status(self):
        return self.each('for i in {}; do s6-svstat "$i"; done')

    def ask_to_stop(self, pidfd, run):
        run(['s6-svscanctl', '-t', self.path('services')])


class Supervisord(Supervisor):
    name = 'supervisord'
    needs = ('supervisord', 'supervisorctl')
    max_rounds = 1  # a minute each at 1,000
    samples = 5
    status_runs = 3

    def configure(self):
        self.write('supervisord.conf', f'''\
[supervisord]
nodaemon=true
{'user=root' if os.geteuid() == 0 else ''}
logfile={self.path('log')}
logfile_maxbytes=0
pidfile={self.path('pid')}
minfds={self.n + 1000}
[unix_http_server]
file={self.path('socket')}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{self.path('socket')}
[program:w]
command={self.setup.program('svc')} {self.fifo} %(process_num)d
process_name=w%(process_num)d
numprocs={self.n}
autorestart=true
startsecs=0
startretries=1000000
stdout_logfile=NONE
stderr_logfile=NONE
''')

    def command(self):
        return ['supervisord', '-c', self.path('supervisord.conf')]

    def status(self):
        return ['supervisorctl', '-c', self.path('supervisord.conf'),
                'status']


FLOORS = (Floor, FloorWithoutCgroup, FloorVfork)
PEERS = (Runit, S6, Supervisord)

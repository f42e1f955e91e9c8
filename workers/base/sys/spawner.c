/* See spawner.h.
 *
 * One request is one SEQPACKET message: struct request, then the groups, then
 * the strings (argv, envp, search path, directory), each with its NUL; its fds
 * are the report pipe, the cgroup if there is one, and those to be placed. The
 * answer is struct answer. Both sides are the same program, so the spawner
 * believes what it reads; lengths are asserted all the same.
 *
 * The answer brings no pidfd. A message with fds can be refused, with
 * ETOOMANYREFS, when processes of the same user have many fds on their way
 * through sockets, whoever's they are: a request that is refused is carried out
 * by the caller itself, but what was started must be told. The caller opens the
 * pidfd; until it reaps its child, the pid is nobody else's.
 */
#include "workers/base/sys/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/spawn_child.h"

#define SPAWNER_FD 3 /* its socket */
#define FDS_MAX	   (SPAWN_FDS_MAX + 2)

/* The spawner's buffer: a message, and behind it pointers to its strings. Each
 * page that it writes to is copied after each clone, so it keeps to few. */
#define BUFFER_BYTES ((SPAWNER_MESSAGE_MAX + 4) * (1 + sizeof(char *)))

enum has {
	HAS_PATH = 1 << 0,
	HAS_DIRECTORY = 1 << 1,
	HAS_CREDENTIALS = 1 << 2,
	HAS_NICE = 1 << 3,
	HAS_OOM = 1 << 4,
	HAS_CPUS = 1 << 5,
	HAS_CGROUP = 1 << 6,
	HAS_ENVP = 1 << 7,
	ENTER_LATE = 1 << 8,
	NEW_SESSION = 1 << 9,
	NO_NEW_PRIVS = 1 << 10,
};

struct request {
	uint32_t has; /* enum has */
	uint32_t n_argv, n_envp, n_fds, n_limits, n_groups;
	int32_t fd_to[SPAWN_FDS_MAX];
	struct spawn_limit limits[RLIM_NLIMITS];
	uid_t uid;
	gid_t gid;
	int umask, nice, oom_score_adj, parent_death_signal;
	cpu_set_t cpus;
};

struct answer {
	int32_t error; /* 0 or -errno */
	int32_t pid;
};

/* Room for the fds of a message, aligned. */
union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

/* ---- messages with fds ---------------------------------------------------- */

static ssize_t send_with_fds(int fd, const void *data, size_t len,
			     const int *fds, size_t n_fds)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	union control control = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *c;

		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = &control.align; /* CMSG_FIRSTHDR, which gcc takes for NULL */
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Returns the length, 0 at the end, or -errno; fds are the caller's. */
static ssize_t receive_with_fds(int fd, void *data, size_t size, int *fds,
				size_t *ret_n_fds)
{
	struct iovec iov = { data, size };
	union control control = { 0 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n;

	*ret_n_fds = 0;
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		*ret_n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), *ret_n_fds * sizeof(int));
	}
	return n;
}

/* ---- the spawner's side --------------------------------------------------- */

/* Libraries that were the caller's are of no use here, and each clone would
 * copy their mappings. Not libc and the loader, and not the sanitizers, which
 * our code calls. (MADV_DONTFORK costs more than it spares: the kernel copies
 * the whole tree of mappings and takes these out of the copy, one by one.) */
static bool is_dispensable(const char *path)
{
	const char *name = strrchr(path, '/');

	return name && strstr(name, ".so") && strncmp(name, "/libc.", 6) != 0 &&
	       strncmp(name, "/ld-", 4) != 0 && !strstr(name, "san.so");
}

static void drop_libraries(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[1024];

	while (f && fgets(line, sizeof(line), f)) {
		const char *path = strchr(line, '/');
		char *dash;
		uintptr_t start = strtoul(line, &dash, 16);

		if (path && *dash == '-' && is_dispensable(path))
			(void)munmap((void *)start,
				     strtoul(dash + 1, NULL, 16) - start);
	}
	if (f)
		fclose(f);
}

/* Strings of a message, one after the other. */
struct strings {
	char *next;
	const char *end;
};

static char *take_string(struct strings *s)
{
	char *text = s->next;

	reeve_assert(text < s->end);
	s->next += strlen(text) + 1;
	return text;
}

static char **take_vector(struct strings *s, size_t n, char **vector)
{
	for (size_t i = 0; i < n; i++)
		vector[i] = take_string(s);
	vector[n] = NULL;
	return vector;
}

/* What a spec points to, while it is used. */
struct unpacked {
	struct spawn_spec spec;
	struct spawn_credentials credentials;
	struct spawn_fd fds[SPAWN_FDS_MAX];
	sigset_t ignored; /* nothing: the spawner began with the defaults */
};

static void unpack(struct request *rq, size_t len, const int *fds,
		   struct unpacked *u)
{
	gid_t *groups = (gid_t *)(void *)(rq + 1);
	struct strings s = { (char *)(groups + rq->n_groups),
			     (const char *)rq + len };
	bool has_cgroup = rq->has & HAS_CGROUP;
	const int *placed = fds + 1 + has_cgroup;
	struct spawn_spec *spec = &u->spec;
	size_t end = (len + sizeof(char *)) & ~(sizeof(char *) - 1);
	char **words = (char **)(void *)((char *)rq + end);

	sigemptyset(&u->ignored);
	u->credentials = (struct spawn_credentials){ rq->uid, rq->gid, groups,
						     rq->n_groups };
	for (size_t i = 0; i < rq->n_fds; i++)
		u->fds[i] = (struct spawn_fd){ placed[i], rq->fd_to[i] };
	*spec = (struct spawn_spec){
		.argv = take_vector(&s, rq->n_argv, words),
		.fds = u->fds,
		.n_fds = rq->n_fds,
		.umask = rq->umask,
		.credentials =
			rq->has & HAS_CREDENTIALS ? &u->credentials : NULL,
		.limits = rq->limits,
		.n_limits = rq->n_limits,
		.nice = rq->has & HAS_NICE ? &rq->nice : NULL,
		.oom_score_adj = rq->has & HAS_OOM ? &rq->oom_score_adj : NULL,
		.cpus = rq->has & HAS_CPUS ? &rq->cpus : NULL,
		.cgroup_fd = has_cgroup ? fds[1] : -1,
		.enter_late = rq->has & ENTER_LATE,
		.new_session = rq->has & NEW_SESSION,
		.no_new_privs = rq->has & NO_NEW_PRIVS,
		.parent_death_signal = rq->parent_death_signal,
		.ignored = &u->ignored,
	};
	if (rq->has & HAS_ENVP)
		spec->envp =
			take_vector(&s, rq->n_envp, words + rq->n_argv + 1);
	if (rq->has & HAS_PATH)
		spec->search_path = take_string(&s);
	if (rq->has & HAS_DIRECTORY)
		spec->directory = take_string(&s);
}

/* Takes the fds. They are closed before the answer: whoever sees the new
 * process end has to find its report pipe at the end, too. */
static void serve(pid_t owner, char *message, size_t len, int *fds,
		  size_t n_fds)
{
	struct request *rq = (struct request *)(void *)message;
	struct spawn_child child = { .pidfd = -1 };
	struct unpacked u;
	struct answer answer;

	reeve_assert(len > sizeof(*rq) && n_fds > 0);
	unpack(rq, len, fds, &u);
	answer.error = spawn_start_sibling(&u.spec, owner, fds[0], &child);
	answer.pid = child.pid;
	for (size_t i = 0; i < n_fds; i++)
		fd_close(fds[i]);
	fd_close(child.pidfd);
	(void)send_with_fds(SPAWNER_FD, &answer, sizeof(answer), NULL, 0);
}

static int run_spawner(void *arg _unused_)
{
	char *message = malloc(BUFFER_BYTES);
	pid_t owner = getppid(); /* checked a moment ago, by our own start */
	int fds[FDS_MAX];
	size_t n_fds;
	ssize_t n;

	if (!message)
		return 1;
	drop_libraries();
	while ((n = receive_with_fds(SPAWNER_FD, message, SPAWNER_MESSAGE_MAX,
				     fds, &n_fds)) > 0) {
		message[n] = '\0';
		serve(owner, message, (size_t)n, fds, n_fds);
	}
	free(message);
	return n < 0;
}

/* ---- the caller's side ----------------------------------------------------- */

static int start_process(struct spawner *s)
{
	struct spawn_fd fds[] = { { -1, SPAWNER_FD } };
	const struct spawn_spec spec = {
		.umask = -1,
		.cgroup_fd = -1,
		.function = run_spawner,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.parent_death_signal = SIGKILL,
	};
	const struct timeval patience = { SPAWNER_WAIT_USEC / USEC_PER_SEC,
					  SPAWNER_WAIT_USEC % USEC_PER_SEC };
	struct spawn_child child;
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	fds[0].from = ends[1];
	r = spawn_start(&spec, &child);
	fd_close(ends[1]);
	if (r < 0) {
		fd_close(ends[0]);
		return r;
	}
	fd_close(child.report_fd);
	s->pid = child.pid;
	s->pidfd = child.pidfd;
	s->fd = ends[0];
	return 0;
}

int spawner_open(struct spawner *s)
{
	*s = SPAWNER_OFF;
	s->message = malloc(SPAWNER_MESSAGE_MAX);
	if (!s->message)
		return -ENOMEM;
	s->is_on = true;
	return start_process(s);
}

void spawner_reset(struct spawner *s)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };

	if (s->pid > 0) {
		(void)spawn_signal(s->pidfd, SIGKILL);
		(void)poll(&p, 1, SPAWNER_WAIT_USEC / 1000);
	}
	s->pidfd = fd_close(s->pidfd);
	s->fd = fd_close(s->fd);
	s->pid = 0;
}

void spawner_close(struct spawner *s)
{
	int code;
	bool core;
	int pidfd = s->pidfd;

	s->pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0); /* EBADF: -1, as it was */
	spawner_reset(s);
	if (pidfd >= 0)
		(void)spawn_wait(pidfd, false, &code, &core, NULL);
	fd_close(pidfd);
	free(s->message);
	*s = SPAWNER_OFF;
}

/* A message that grows; too much sets .len beyond the size. */
struct packed {
	char *data;
	size_t len;
};

static void put(struct packed *p, const void *data, size_t len)
{
	if (p->len <= SPAWNER_MESSAGE_MAX &&
	    len <= SPAWNER_MESSAGE_MAX - p->len)
		memcpy(p->data + p->len, data, len);
	else
		len = SPAWNER_MESSAGE_MAX + 1; /* and stays there */
	p->len += len;
}

static uint32_t put_vector(struct packed *p, char *const *vector)
{
	uint32_t n = 0;

	for (; vector && vector[n] && p->len <= SPAWNER_MESSAGE_MAX; n++)
		put(p, vector[n], strlen(vector[n]) + 1);
	return n;
}

static void pack_header(const struct spawn_spec *spec, struct request *rq)
{
	const struct spawn_credentials *c = spec->credentials;

	*rq = (struct request){
		.has = (spec->search_path ? HAS_PATH : 0) |
		       (spec->directory ? HAS_DIRECTORY : 0) |
		       (c ? HAS_CREDENTIALS : 0) | (spec->nice ? HAS_NICE : 0) |
		       (spec->oom_score_adj ? HAS_OOM : 0) |
		       (spec->cpus ? HAS_CPUS : 0) |
		       (spec->cgroup_fd >= 0 ? HAS_CGROUP : 0) |
		       (spec->envp ? HAS_ENVP : 0) |
		       (spec->enter_late ? ENTER_LATE : 0) |
		       (spec->new_session ? NEW_SESSION : 0) |
		       (spec->no_new_privs ? NO_NEW_PRIVS : 0),
		.n_fds = (uint32_t)spec->n_fds,
		.n_limits = (uint32_t)spec->n_limits,
		.n_groups = c ? (uint32_t)c->n_groups : 0,
		.uid = c ? c->uid : 0,
		.gid = c ? c->gid : 0,
		.umask = spec->umask,
		.nice = spec->nice ? *spec->nice : 0,
		.oom_score_adj = spec->oom_score_adj ? *spec->oom_score_adj : 0,
		.parent_death_signal = spec->parent_death_signal,
	};
	if (spec->cpus)
		rq->cpus = *spec->cpus;
	for (size_t i = 0; i < spec->n_fds; i++)
		rq->fd_to[i] = spec->fds[i].to;
	for (size_t i = 0; i < spec->n_limits; i++)
		rq->limits[i] = spec->limits[i];
}

/* The length of the message, or -EMSGSIZE. */
static ssize_t pack(struct spawner *s, const struct spawn_spec *spec)
{
	struct request *rq = (struct request *)(void *)s->message;
	struct packed p = { s->message, sizeof(*rq) };
	uint32_t n_argv, n_envp;

	if (spec->function || spec->n_limits > RLIM_NLIMITS)
		return -EMSGSIZE;
	pack_header(spec, rq);
	if (rq->n_groups > 0)
		put(&p, spec->credentials->groups,
		    rq->n_groups * sizeof(gid_t));
	n_argv = put_vector(&p, spec->argv);
	n_envp = put_vector(&p, spec->envp);
	if (spec->search_path)
		put(&p, spec->search_path, strlen(spec->search_path) + 1);
	if (spec->directory)
		put(&p, spec->directory, strlen(spec->directory) + 1);
	if (p.len > SPAWNER_MESSAGE_MAX)
		return -EMSGSIZE;
	rq->n_argv = n_argv;
	rq->n_envp = n_envp;
	return (ssize_t)p.len;
}

/* 0 with *ret_child, the -errno of the start, or -ECONNRESET. */
static int await_answer(struct spawner *s, struct spawn_child *ret_child)
{
	struct answer answer;
	ssize_t n;
	int pidfd;

	do
		n = recv(s->fd, &answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(answer))
		return -ECONNRESET;
	if (answer.error < 0)
		return answer.error;
	pidfd = pidfd_open(answer.pid, 0);
	if (pidfd < 0) /* no room in our table */
		return -ECONNRESET;
	ret_child->pid = answer.pid;
	ret_child->pidfd = pidfd;
	return 0;
}

static int ask(struct spawner *s, const struct spawn_spec *spec, size_t len,
	       struct spawn_child *ret_child)
{
	int fds[FDS_MAX], report[2], r;
	size_t n_fds = 0;

	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	fds[n_fds++] = report[1];
	if (spec->cgroup_fd >= 0)
		fds[n_fds++] = spec->cgroup_fd;
	for (size_t i = 0; i < spec->n_fds; i++)
		fds[n_fds++] = spec->fds[i].from;
	if (send_with_fds(s->fd, s->message, len, fds, n_fds) == (ssize_t)len)
		r = await_answer(s, ret_child);
	else /* it is gone; or what we ask for cannot be sent: no such fd */
		r = errno == EPIPE || errno == ECONNRESET ? -ECONNRESET
							  : -EINVAL;
	fd_close(report[1]);
	if (r < 0) {
		fd_close(report[0]);
		return r;
	}
	ret_child->report_fd = report[0];
	return 0;
}

int spawner_spawn(struct spawner *s, const struct spawn_spec *spec,
		  struct spawn_child *ret_child)
{
	struct spawn_child child = { .pidfd = -1 };
	ssize_t len;
	int r;

	if (!spawn_is_valid(spec))
		return -EINVAL;
	if (s->is_on && s->pid == 0 && start_process(s) < 0)
		return spawn_start(spec, ret_child);
	len = s->is_on ? pack(s, spec) : -EMSGSIZE;
	if (len < 0)
		return spawn_start(spec, ret_child);
	r = ask(s, spec, (size_t)len, &child);
	if (r == -ECONNRESET)
		spawner_reset(s);
	if (r == -ENOSYS || r == -EPERM || r == -EINVAL)
		return spawn_start(spec, ret_child); /* it says what is wrong */
	if (r == 0)
		*ret_child = child;
	return r;
}

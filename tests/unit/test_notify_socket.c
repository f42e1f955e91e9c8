#include "supervisor/daemon/notify_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/fd.h"

#define NOBODY	  65534
#define PATH_FITS 107 /* sun_path, less the NUL */

static struct notify_datagram dg; /* 4 KiB */

static int open_socket(void)
{
	int fd = notify_socket_open(unit_path("n"));

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* A socket that sends to it. */
static int open_sender(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s",
		 unit_path("n"));
	ck_assert_int_eq(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

START_TEST(test_open)
{
	struct stat st;
	int fd;

	umask(0077); /* makes no difference */
	fd = open_socket();
	ck_assert_int_eq(lstat(unit_path("n"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFSOCK | 0666);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert_int_eq(notify_socket_receive(fd, &dg), -EAGAIN);
	fd_close(fd);
	/* What an earlier one left is replaced; anything else is not. */
	fd = open_socket();
	fd_close(fd);
	ck_assert_int_eq(notify_socket_open(unit_file("file", "keep")),
			 -EEXIST);
	ck_assert_int_eq(symlink(unit_path("n"), unit_path("link")), 0);
	ck_assert_int_eq(notify_socket_open(unit_path("link")), -EEXIST);
	ck_assert_int_eq(notify_socket_open(unit_path("none/n")), -ENOENT);
	ck_assert_int_eq(notify_socket_open(""), -EINVAL);
}
END_TEST

START_TEST(test_path_length)
{
	char path[PATH_FITS + 2];
	size_t len = strlen(unit_tmpdir());
	int fd;

	ck_assert_uint_lt(len + 1, PATH_FITS);
	memset(path, 'n', sizeof(path) - 1);
	path[PATH_FITS + 1] = '\0';
	memcpy(path, unit_tmpdir(), len);
	path[len] = '/';
	ck_assert_int_eq(notify_socket_open(path), -ENAMETOOLONG);
	path[PATH_FITS] = '\0';
	fd = notify_socket_open(path);
	ck_assert_int_ge(fd, 0);
	fd_close(fd);
}
END_TEST

static void send_as_nobody(void *arg)
{
	static const char text[] = "READY=1\nSTATUS=hello";

	if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		_exit(2);
	printf("%d", (int)getpid());
	fflush(stdout);
	_exit(write(*(int *)arg, text, strlen(text)) > 0 ? 0 : 3);
}

/* Who sent it, as the kernel says; also when the sender is dead by then. */
START_TEST(test_sender)
{
	bool is_root = geteuid() == 0;
	struct notify_message m;
	int fd = open_socket(), sender = open_sender();
	char *pid;

	ck_assert_int_eq(unit_fork(send_as_nobody, &sender, &pid), 0);
	ck_assert_int_eq(notify_socket_receive(fd, &dg), 0);
	ck_assert_int_eq(dg.pid, atoi(pid));
	ck_assert_uint_eq(dg.uid, is_root ? NOBODY : geteuid());
	ck_assert_uint_eq(dg.gid, is_root ? NOBODY : getegid());
	ck_assert_uint_eq(dg.n_fds, 0);
	ck_assert_int_eq(notify_parse(dg.data, dg.len, &m), 0);
	ck_assert_uint_eq(m.fields, NOTIFY_READY | NOTIFY_STATUS);
	ck_assert_str_eq(m.status, "hello");
	ck_assert_int_eq(notify_socket_receive(fd, &dg), -EAGAIN);
	free(pid);
	fd_close(sender);
	fd_close(fd);
}
END_TEST

/* One's own pid only: the kernel refuses another, to all but root. */
static void forge_sender(void *arg)
{
	struct ucred who = { .pid = getppid(),
			     .uid = getuid(),
			     .gid = getgid() };
	char control[CMSG_SPACE(sizeof(who))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t) "READY=1", 7 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(who));
	if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		_exit(2);
	who.uid = getuid();
	who.gid = getgid();
	memcpy(CMSG_DATA(c), &who, sizeof(who));
	_exit(sendmsg(*(int *)arg, &m, 0) < 0 && errno == EPERM ? 0 : 1);
}

START_TEST(test_forged_sender)
{
	int fd = open_socket(), sender = open_sender();

	ck_assert_int_eq(unit_fork(forge_sender, &sender, NULL), 0);
	ck_assert_int_eq(notify_socket_receive(fd, &dg), -EAGAIN);
	fd_close(sender);
	fd_close(fd);
}
END_TEST

START_TEST(test_length)
{
	char data[NOTIFY_MESSAGE_MAX + 1];
	int fd = open_socket(), sender = open_sender();

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)('a' + i % 26);
	ck_assert_int_eq(send(sender, data, 0, 0), 0);
	ck_assert_int_eq(send(sender, data, NOTIFY_MESSAGE_MAX, 0),
			 NOTIFY_MESSAGE_MAX);
	ck_assert_int_eq(send(sender, data, NOTIFY_MESSAGE_MAX + 1, 0),
			 NOTIFY_MESSAGE_MAX + 1);
	ck_assert_int_eq(send(sender, "x", 1, 0), 1);
	ck_assert_int_eq(notify_socket_receive(fd, &dg), 0);
	ck_assert_uint_eq(dg.len, 0);
	ck_assert_int_eq(notify_socket_receive(fd, &dg), 0);
	ck_assert_uint_eq(dg.len, NOTIFY_MESSAGE_MAX);
	ck_assert_mem_eq(dg.data, data, NOTIFY_MESSAGE_MAX);
	ck_assert_int_eq(notify_socket_receive(fd, &dg), -EMSGSIZE);
	ck_assert_uint_eq(dg.len, NOTIFY_MESSAGE_MAX); /* untouched */
	ck_assert_int_eq(notify_socket_receive(fd, &dg), 0);
	ck_assert_uint_eq(dg.len, 1);
	ck_assert_int_eq(dg.pid, getpid());
	fd_close(sender);
	fd_close(fd);
}
END_TEST

/* Sends the write end of a new pipe n times; returns the read end. */
static int send_fds(int sender, size_t n, const char *data, size_t len)
{
	char control[CMSG_SPACE(253 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &ends[1], sizeof(int));
	ck_assert_int_eq(sendmsg(sender, &m, 0), (ssize_t)len);
	fd_close(ends[1]);
	return ends[0];
}

/* True when nobody holds the write end any more. */
static bool is_closed(int read_end)
{
	struct pollfd p = { .fd = read_end, .events = POLLIN };

	ck_assert_int_ge(poll(&p, 1, 0), 0);
	return p.revents & POLLHUP;
}

START_TEST(test_fds_are_closed)
{
	static const size_t counts[] = { 1, 2, 253 };
	static char huge[NOTIFY_MESSAGE_MAX + 1];
	int fd = open_socket(), sender = open_sender();
	int before = fd_count_open(), end;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		end = send_fds(sender, counts[i], "FDSTORE=1", 9);
		ck_assert(!is_closed(end));
		ck_assert_int_eq(notify_socket_receive(fd, &dg), 0);
		ck_assert_uint_eq(dg.n_fds, counts[i]);
		ck_assert_uint_eq(dg.len, 9);
		ck_assert_int_eq(dg.pid, getpid());
		ck_assert(is_closed(end));
		fd_close(end);
		ck_assert_int_eq(fd_count_open(), before);
		/* with a message that is refused, too */
		end = send_fds(sender, counts[i], huge, sizeof(huge));
		ck_assert_int_eq(notify_socket_receive(fd, &dg), -EMSGSIZE);
		ck_assert(is_closed(end));
		fd_close(end);
		ck_assert_int_eq(fd_count_open(), before);
	}
	fd_close(sender);
	fd_close(fd);
}
END_TEST

/* The message is heard although there is no room for what came along. */
START_TEST(test_fds_without_room)
{
	int fd = open_socket(), sender = open_sender();
	int end = send_fds(sender, 20, "READY=1", 7);
	struct rlimit before, tight;
	int r, next = dup(0);

	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = (rlim_t)next + 2;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
	r = notify_socket_receive(fd, &dg);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(dg.n_fds, 2);
	ck_assert_uint_eq(dg.len, 7);
	ck_assert_int_eq(dg.pid, getpid());
	ck_assert(is_closed(end));
	fd_close(end);
	fd_close(sender);
	fd_close(fd);
}
END_TEST

static void notify_and_wait(void *arg)
{
	if (setenv("NOTIFY_SOCKET", arg, 1) < 0 || sd_notify(0, "READY=1") <= 0)
		_exit(2);
	_exit(sd_notify_barrier(0, 10 * 1000 * 1000) > 0 ? 0 : 3);
}

static void barrier_peer(void *arg)
{
	int fd = *(int *)arg, n = 0;
	struct notify_message m;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 10 * 1000) != 1 ||
		    notify_socket_receive(fd, &dg) < 0 ||
		    notify_parse(dg.data, dg.len, &m) < 0)
			_exit(1);
		n++;
		if (m.fields & NOTIFY_BARRIER)
			_exit(n == 2 && dg.n_fds == 1 ? 0 : 2);
	}
}

struct barrier_test {
	int fd;
	const char *path;
};

/* Both sides in children of one: the receiver serves, the sender waits. */
static void run_barrier(void *arg)
{
	struct barrier_test *t = arg;
	pid_t pid = fork();
	int sent, status;

	if (pid == 0)
		barrier_peer(&t->fd);
	sent = unit_fork(notify_and_wait, (void *)(uintptr_t)t->path, NULL);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		_exit(10 + (status >> 8));
	_exit(sent);
}

START_TEST(test_barrier)
{
	struct barrier_test t = { open_socket(), unit_path("n") };

	ck_assert_int_eq(unit_fork(run_barrier, &t, NULL), 0);
	fd_close(t.fd);
}
END_TEST

START_TEST(test_broken_socket)
{
	int ends[2];

	ck_assert_int_eq(notify_socket_receive(-1, &dg), -EBADF);
	/* one that passes no credentials: nobody is heard */
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(send(ends[0], "READY=1", 7, 0), 7);
	ck_assert_int_eq(notify_socket_receive(ends[1], &dg), -EBADMSG);
	fd_close(ends[0]);
	fd_close(ends[1]);
}
END_TEST

UNIT_MAIN("notify_socket", test_open, test_path_length, test_sender,
	  test_forged_sender, test_length, test_fds_are_closed,
	  test_fds_without_room, test_barrier, test_broken_socket)

#include "workers/manager/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

#define SECOND UINT64_C(1000000)

START_TEST(test_what_is_an_address)
{
	static const char *const right[] = {
		"unix:/p",	   "unix:@a",
		"tcp:127.0.0.1:0", "tcp:localhost:65535",
		"tcp:[::1]:5000",  "tcp:[fe80::1%lo]:1",
	};
	static const char *const wrong[] = {
		"",
		"unix:",
		"unix:/",
		"unix:@",
		"unix:relative",
		"tcp:",
		"tcp:5000",
		"tcp::5000",
		"tcp:host:",
		"tcp:host:65536",
		"tcp:host:-1",
		"tcp:host: 1",
		"tcp:host:http",
		"tcp:::1:5000",
		"tcp:[]:5000",
		"tcp:[::1]",
		"tcp:[::1]x:5",
		"tcp:[[::1]]:5",
		"udp:host:1",
		"/p",
		"UNIX:/p",
	};

	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		ck_assert_msg(address_check(right[i]) == 0, "%s", right[i]);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		ck_assert_msg(address_check(wrong[i]) == -EINVAL, "%s",
			      wrong[i]);
	ck_assert_int_eq(address_check(NULL), -EINVAL);
}
END_TEST

/* Builds "PREFIXxxx...SUFFIX", n x. */
static const char *long_text(const char *prefix, size_t n, const char *suffix)
{
	static char text[2 * ADDRESS_TEXT_MAX];
	size_t len = strlen(prefix);

	memcpy(text, prefix, len);
	memset(text + len, 'x', n);
	(void)snprintf(text + len + n, sizeof(text) - len - n, "%s", suffix);
	return text;
}

START_TEST(test_limits_of_length)
{
	char text[ADDRESS_TEXT_MAX];
	int fd, other;

	ck_assert_int_eq(
		address_check(long_text("unix:/", ADDRESS_PATH_MAX - 1, "")),
		0);
	ck_assert_int_eq(
		address_check(long_text("unix:/", ADDRESS_PATH_MAX, "")),
		-EINVAL);
	ck_assert_int_eq(address_check(long_text("tcp:", 253, ":1")), 0);
	ck_assert_int_eq(address_check(long_text("tcp:", 254, ":1")), -EINVAL);
	ck_assert_int_eq(
		address_check(long_text("tcp:", ADDRESS_TEXT_MAX, ":1")),
		-EINVAL);
	/* the longest name is used whole */
	ck_assert_int_eq(
		address_listen(long_text("unix:@", 106, ""), &fd, text), 0);
	ck_assert_int_eq(address_connect(long_text("unix:@", 105, ""), SECOND,
					 &other),
			 -ECONNREFUSED);
	ck_assert_int_eq(address_connect(text, SECOND, &other), 0);
	fd_close(other);
	fd_close(fd);
}
END_TEST

static void check_socket(int fd)
{
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* A byte goes through. (Who only looked whether somebody listens hangs up.) */
static void check_connected(int listen_fd, const char *text)
{
	char c = 0;
	int client = -1, server = -1;

	ck_assert_int_eq(address_connect(text, 5 * SECOND, &client), 0);
	check_socket(client);
	ck_assert_int_eq(write(client, "x", 1), 1);
	do {
		fd_close(server);
		ck_assert(fd_wait_readable(listen_fd, 5000));
		server = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		ck_assert_int_ge(server, 0);
	} while (read(server, &c, 1) == 0);
	ck_assert_int_eq(c, 'x');
	fd_close(client);
	fd_close(server);
}

START_TEST(test_listen_and_connect)
{
	char path[ADDRESS_TEXT_MAX], name[ADDRESS_TEXT_MAX];
	const char *const addresses[] = { path, name, "tcp:127.0.0.1:0",
					  "tcp:localhost:0" };
	char text[ADDRESS_TEXT_MAX];

	(void)snprintf(path, sizeof(path), "unix:%s", unit_path("s"));
	(void)snprintf(name, sizeof(name), "unix:@reeve-test-%d", getpid());
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		int fd = -1;

		ck_assert_int_eq(address_listen(addresses[i], &fd, text), 0);
		check_socket(fd);
		ck_assert_int_eq(address_check(text), 0);
		check_connected(fd, text);
		address_unlink(text, fd);
		fd_close(fd);
	}
}
END_TEST

START_TEST(test_ipv6)
{
	char text[ADDRESS_TEXT_MAX];
	int fd = -1;
	int r = address_listen("tcp:[::1]:0", &fd, text);

	if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT) {
		puts("SKIP: no IPv6 here");
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_int_eq(strncmp(text, "tcp:[::1]:", 10), 0);
	ck_assert_str_ne(text, "tcp:[::1]:0");
	check_connected(fd, text);
	fd_close(fd);
}
END_TEST

START_TEST(test_tcp_is_tuned)
{
	char text[ADDRESS_TEXT_MAX];
	int fd = -1, client = -1, value = 0;
	socklen_t size = sizeof(value);

	ck_assert_int_eq(address_listen("tcp:127.0.0.1:0", &fd, text), 0);
	ck_assert_int_eq(address_connect(text, SECOND, &client), 0);
	ck_assert_int_eq(
		getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
	ck_assert_int_eq(value, 1);
	ck_assert_int_eq(
		getsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &value, &size), 0);
	ck_assert_int_eq(value, 1);
	ck_assert_int_eq(getsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT,
				    &value, &size),
			 0);
	ck_assert_int_eq(value, 120000);
	fd_close(client);
	fd_close(fd);
}
END_TEST

START_TEST(test_only_the_owner_may_open_the_path)
{
	char text[ADDRESS_TEXT_MAX], bound[ADDRESS_TEXT_MAX];
	struct stat st;
	int fd = -1;

	(void)snprintf(text, sizeof(text), "unix:%s", unit_path("s"));
	(void)umask(0);
	ck_assert_int_eq(address_listen(text, &fd, bound), 0);
	ck_assert_int_eq(stat(unit_path("s"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFSOCK | S_IRUSR | S_IWUSR);
	fd_close(fd);
}
END_TEST

START_TEST(test_a_stale_path_is_replaced)
{
	char text[ADDRESS_TEXT_MAX], bound[ADDRESS_TEXT_MAX];
	int fd = -1, second = -1;

	(void)snprintf(text, sizeof(text), "unix:%s", unit_path("s"));
	ck_assert_int_eq(address_listen(text, &fd, bound), 0);
	/* while somebody listens */
	ck_assert_int_eq(address_listen(text, &second, bound), -EADDRINUSE);
	check_connected(fd, text); /* that of the look */
	fd_close(fd);
	ck_assert_int_eq(access(unit_path("s"), F_OK), 0);
	ck_assert_int_eq(address_listen(text, &second, bound), 0);
	check_connected(second, text);
	fd_close(second);
}
END_TEST

START_TEST(test_what_is_no_socket_stays)
{
	char text[ADDRESS_TEXT_MAX], bound[ADDRESS_TEXT_MAX];
	int fd = -1;

	(void)snprintf(text, sizeof(text), "unix:%s", unit_file("f", "text"));
	ck_assert_int_eq(address_listen(text, &fd, bound), -EEXIST);
	ck_assert_int_eq(access(unit_path("f"), F_OK), 0);
	ck_assert_int_eq(fd, -1);
	(void)snprintf(text, sizeof(text), "unix:%s/s", unit_path("none"));
	ck_assert_int_eq(address_listen(text, &fd, bound), -ENOENT);
}
END_TEST

/* Of two who find a stale socket, one must not remove the other's fresh one: who
 * comes second waits for the lock, and then finds it in use. */
START_TEST(test_the_directory_is_locked)
{
	char text[ADDRESS_TEXT_MAX], bound[ADDRESS_TEXT_MAX];
	int fd = -1;
	int lock = open(unit_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)snprintf(text, sizeof(text), "unix:%s", unit_path("s"));
	ck_assert_int_eq(flock(lock, LOCK_EX), 0);
	ck_assert_int_eq(address_listen(text, &fd, bound), -EBUSY);
	ck_assert_int_lt(access(unit_path("s"), F_OK), 0);
	fd_close(lock);
	ck_assert_int_eq(address_listen(text, &fd, bound), 0);
	fd_close(fd);
}
END_TEST

static void start_in_a_row(const char *text, int *n)
{
	for (int i = 0; i < 50; i++) {
		char bound[ADDRESS_TEXT_MAX];
		int fd = -1, r = address_listen(text, &fd, bound);

		if (r < 0 && r != -EADDRINUSE)
			_exit(1);
		if (r < 0)
			continue;
		/* while we listen, the path is ours */
		int client = -1;

		if (address_connect(text, SECOND, &client) < 0)
			_exit(2);
		int server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (server < 0)
			_exit(3);
		fd_close(server);
		fd_close(client);
		fd_close(fd);
		++*n;
	}
}

#define IN_VAIN 4 /* the other one was always first */

static void race(void *arg)
{
	int n = 0;

	start_in_a_row(arg, &n);
	_exit(n > 0 ? 0 : IN_VAIN);
}

START_TEST(test_starters_race)
{
	char text[ADDRESS_TEXT_MAX];
	int pid, n = 0, status = 0;

	(void)snprintf(text, sizeof(text), "unix:%s", unit_path("s"));
	pid = fork();
	if (pid == 0)
		race(text);
	start_in_a_row(text, &n);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	if (n == 0 || WEXITSTATUS(status) != IN_VAIN)
		ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(test_unlink_removes_ours_only)
{
	char text[ADDRESS_TEXT_MAX], bound[ADDRESS_TEXT_MAX];
	int fd = -1, other = -1;

	(void)snprintf(text, sizeof(text), "unix:%s", unit_path("s"));
	ck_assert_int_eq(address_listen(text, &fd, bound), 0);
	address_unlink(bound, fd);
	ck_assert_int_lt(access(unit_path("s"), F_OK), 0);
	fd_close(fd);

	ck_assert_int_eq(address_listen(text, &fd, bound), 0);
	ck_assert_int_eq(unlink(unit_path("s")), 0);
	ck_assert_int_eq(address_listen(text, &other, bound), 0);
	address_unlink(bound, fd); /* the path is the other's now */
	check_connected(other, text);
	fd_close(fd);
	fd_close(other);

	/* no path: nothing, also when it is gone */
	address_unlink("tcp:127.0.0.1:1", -1);
	address_unlink("unix:@reeve-test-none", -1);
}
END_TEST

START_TEST(test_connect_fails)
{
	char text[ADDRESS_TEXT_MAX];
	int fd = -1, listener = -1;

	(void)snprintf(text, sizeof(text), "unix:%s", unit_path("none"));
	ck_assert_int_eq(address_connect(text, SECOND, &fd), -ENOENT);
	ck_assert_int_eq(address_connect("unix:@reeve-test-none", SECOND, &fd),
			 -ECONNREFUSED);
	ck_assert_int_eq(address_connect("nonsense", SECOND, &fd), -EINVAL);
	ck_assert_int_eq(address_listen("tcp:127.0.0.1:0", &listener, text), 0);
	fd_close(listener);
	ck_assert_int_eq(address_connect(text, 5 * SECOND, &fd), -ECONNREFUSED);
	ck_assert_int_eq(fd, -1);
}
END_TEST

/* A backlog that stays full is waited for, as long as there is time. */
START_TEST(test_a_full_backlog)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char text[ADDRESS_TEXT_MAX];
	int len = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1,
			   "reeve-test-full-%d", getpid());
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				     1 + (size_t)len);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fds[4] = { -1, -1, -1, -1 }, n = 0, r = 0;
	uint64_t begun;

	(void)snprintf(text, sizeof(text), "unix:@%s", a.sun_path + 1);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, size), 0);
	ck_assert_int_eq(listen(listener, 0), 0);
	begun = clock_monotonic_usec();
	while (n < 4 && r == 0) {
		r = address_connect(text, SECOND / 10, &fds[n]);
		n += r == 0;
	}
	ck_assert_int_eq(r, -ETIMEDOUT);
	ck_assert_int_eq(n, 1);
	ck_assert_uint_ge(clock_monotonic_usec() - begun, SECOND / 10);
	fd_close(fds[0]);
	fd_close(listener);
}
END_TEST

UNIT_MAIN("manager_address", test_what_is_an_address, test_limits_of_length,
	  test_listen_and_connect, test_ipv6, test_tcp_is_tuned,
	  test_only_the_owner_may_open_the_path, test_a_stale_path_is_replaced,
	  test_what_is_no_socket_stays, test_the_directory_is_locked,
	  test_starters_race, test_unlink_removes_ours_only, test_connect_fails,
	  test_a_full_backlog)

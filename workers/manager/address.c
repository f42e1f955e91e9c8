/* Addresses and sockets.
 *
 * Two starters of one path could take each other's fresh socket for a stale one,
 * and remove it: whoever looks at a path, and until he listens there, holds a lock
 * on its directory. The lock leaves nothing behind.
 *
 * A socket's mode is set before it is bound, so that no moment is there in which
 * others may connect, and no umask, which is the process's, is changed.
 */
#include "workers/manager/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

#define LOCK_TRIES    200
#define LOOK_MSEC     10 /* between two tries of what nobody tells us about */
#define HOST_MAX      253
#define PORT_TEXT_MAX 6 /* "65535" */

/* TCP: a peer that answers nothing for 30 + 9 * 10 s is gone. */
#define IDLE_SECONDS	 30
#define INTERVAL_SECONDS 10
#define PROBES		 9

_Static_assert(ADDRESS_PATH_MAX < sizeof(((struct sockaddr_un *)0)->sun_path),
	       "a path has its NUL");

/* What text says. */
struct place {
	bool is_tcp;
	struct sockaddr_un un; /* Unix */
	socklen_t un_size;
	char host[HOST_MAX + 1]; /* TCP */
	char port[PORT_TEXT_MAX];
};

static bool is_path(const struct place *p)
{
	return !p->is_tcp && p->un.sun_path[0] != '\0';
}

/* ---- text --------------------------------------------------------------------- */

/* An abstract name begins with a NUL, and ends where its size says. */
static int parse_unix(const char *text, struct place *p)
{
	size_t len = strlen(text);

	if (len > ADDRESS_PATH_MAX || len < 2 ||
	    (text[0] != '/' && text[0] != '@'))
		return -EINVAL;
	p->un.sun_family = AF_UNIX;
	memcpy(p->un.sun_path, text, len);
	p->un_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (text[0] == '@')
		p->un.sun_path[0] = '\0';
	else
		p->un_size++;
	return 0;
}

static int parse_tcp(const char *text, struct place *p)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool has_brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
	uint64_t port;

	if (has_brackets) {
		text++;
		len -= 2;
	}
	if (len == 0 || len > HOST_MAX ||
	    (!has_brackets && memchr(text, ':', len)) ||
	    memchr(text, '[', len) ||
	    parse_u64(colon + 1, 0, UINT16_MAX, &port) < 0)
		return -EINVAL;
	p->is_tcp = true;
	memcpy(p->host, text, len);
	(void)snprintf(p->port, sizeof(p->port), "%u", (unsigned)port);
	return 0;
}

static int parse(const char *text, struct place *ret)
{
	*ret = (struct place){ 0 };
	if (!text || strlen(text) >= ADDRESS_TEXT_MAX)
		return -EINVAL;
	if (str_has_prefix(text, "unix:"))
		return parse_unix(text + strlen("unix:"), ret);
	if (str_has_prefix(text, "tcp:"))
		return parse_tcp(text + strlen("tcp:"), ret);
	return -EINVAL;
}

int address_check(const char *text)
{
	struct place place;

	return parse(text, &place);
}

/* ---- any socket ------------------------------------------------------------------ */

static int new_socket(int family)
{
	int fd = fd_lift(
		socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	return fd < 0 ? -errno : fd;
}

void address_tune(int fd)
{
	const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, IDLE_SECONDS },
		{ IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL_SECONDS },
		{ IPPROTO_TCP, TCP_KEEPCNT, PROBES },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT,
		  (IDLE_SECONDS + INTERVAL_SECONDS * PROBES) * 1000 },
	};
	struct sockaddr_storage a = { 0 };
	socklen_t size = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &size) < 0 ||
	    a.ss_family == AF_UNIX)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name,
				 &options[i].value, sizeof(options[i].value));
}

/* The errno of getaddrinfo(3). */
static int lookup_error(int r)
{
	switch (r) {
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_AGAIN:
		return -EAGAIN;
	default:
		return -EADDRNOTAVAIL;
	}
}

static int look_up(const struct place *p, bool to_listen,
		   struct addrinfo **ret_list)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (to_listen ? AI_PASSIVE : 0),
	};
	int r = getaddrinfo(p->host, p->port, &hints, ret_list);

	return r == 0 ? 0 : lookup_error(r);
}

static void free_list(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

/* ---- listening -------------------------------------------------------------------- */

static int bind_and_listen(int fd, const void *address, socklen_t size)
{
	if (bind(fd, address, size) < 0 || listen(fd, ADDRESS_BACKLOG) < 0)
		return -errno;
	return 0;
}

static void sleep_a_look(void)
{
	(void)poll(NULL, 0, LOOK_MSEC);
}

/* Returns the fd of the path's directory, locked, or -errno. */
static int lock_directory(const struct place *p)
{
	char path[sizeof(p->un.sun_path)];
	_cleanup_(fd_closep) int fd = -1;

	(void)snprintf(path, sizeof(path), "%s", p->un.sun_path);
	strrchr(path, '/')[1] = '\0';
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (i == LOCK_TRIES)
			return -EBUSY;
		sleep_a_look();
	}
	return TAKE_FD(fd);
}

/* Removes a socket that nobody listens on. Returns 0, -EADDRINUSE, -EEXIST, or
 * -errno. */
static int remove_stale(const struct place *p)
{
	_cleanup_(fd_closep) int fd = new_socket(AF_UNIX);
	struct stat st;

	if (fd < 0)
		return fd;
	if (lstat(p->un.sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (connect(fd, (const struct sockaddr *)&p->un, p->un_size) == 0 ||
	    errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(p->un.sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int listen_path(const struct place *p, int fd)
{
	_cleanup_(fd_closep) int directory_fd = lock_directory(p);
	int r;

	if (directory_fd < 0)
		return directory_fd;
	if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
		return -errno;
	r = bind_and_listen(fd, &p->un, p->un_size);
	if (r != -EADDRINUSE)
		return r;
	r = remove_stale(p);
	return r < 0 ? r : bind_and_listen(fd, &p->un, p->un_size);
}

static int listen_unix(const struct place *p, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = new_socket(AF_UNIX);
	int r;

	if (fd < 0)
		return fd;
	r = is_path(p) ? listen_path(p, fd)
		       : bind_and_listen(fd, &p->un, p->un_size);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* "tcp:HOST:PORT" of what a socket is bound to. */
static int text_of(int fd, char ret_text[static ADDRESS_TEXT_MAX])
{
	struct sockaddr_storage a = { 0 };
	socklen_t size = sizeof(a);
	char host[HOST_MAX + 1], port[PORT_TEXT_MAX];
	bool is_v6;

	if (getsockname(fd, (struct sockaddr *)&a, &size) < 0)
		return -errno;
	if (getnameinfo((struct sockaddr *)&a, size, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EADDRNOTAVAIL;
	is_v6 = a.ss_family == AF_INET6;
	(void)snprintf(ret_text, ADDRESS_TEXT_MAX, "tcp:%s%s%s:%s",
		       is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
	return 0;
}

static int listen_one(const struct addrinfo *a, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = new_socket(a->ai_family);
	const int on = 1;
	int r;

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	r = bind_and_listen(fd, a->ai_addr, a->ai_addrlen);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int listen_tcp(const struct place *p, int *ret_fd)
{
	_cleanup_(free_list) struct addrinfo *list = NULL;
	int r = look_up(p, true, &list);

	if (r < 0)
		return r;
	r = -EADDRNOTAVAIL;
	for (const struct addrinfo *a = list; a && r < 0; a = a->ai_next)
		r = listen_one(a, ret_fd);
	return r;
}

int address_listen(const char *text, int *ret_fd,
		   char ret_text[static ADDRESS_TEXT_MAX])
{
	_cleanup_(fd_closep) int fd = -1;
	char bound[ADDRESS_TEXT_MAX];
	struct place place;
	int r = parse(text, &place);

	if (r < 0)
		return r;
	if (place.is_tcp)
		r = listen_tcp(&place, &fd);
	else
		r = listen_unix(&place, &fd);
	if (r < 0)
		return r;
	if (place.is_tcp)
		r = text_of(fd, bound);
	else
		(void)snprintf(bound, sizeof(bound), "%s", text);
	if (r < 0)
		return r;
	memcpy(ret_text, bound, sizeof(bound));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Nothing tells which file a socket is bound to. But when ours does not listen any
 * more, a path that still answers is somebody else's, and one that does not is
 * ours, or as stale as ours. */
void address_unlink(const char *text, int fd)
{
	_cleanup_(fd_closep) int directory_fd = -1;
	struct place place;

	if (parse(text, &place) < 0 || !is_path(&place))
		return;
	directory_fd = lock_directory(&place);
	(void)shutdown(fd, SHUT_RDWR);
	if (directory_fd >= 0)
		(void)remove_stale(&place);
}

/* ---- connecting ------------------------------------------------------------------- */

static int left_msec(uint64_t end_usec)
{
	uint64_t left = usec_sub(end_usec, clock_monotonic_usec());

	if (end_usec == USEC_INFINITY)
		return -1;
	return (int)MIN((left + USEC_PER_MSEC - 1) / USEC_PER_MSEC,
			(uint64_t)INT32_MAX);
}

/* A connect that is under way. */
static int finish_connect(int fd, uint64_t end_usec)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error = 0, n;
	socklen_t size = sizeof(error);

	do
		n = poll(&p, 1, left_msec(end_usec));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

static int connect_one(int family, const void *address, socklen_t size,
		       uint64_t end_usec, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = new_socket(family);
	int r = 0;

	if (fd < 0)
		return fd;
	while (connect(fd, address, size) < 0) {
		r = -errno;
		if (r == -EINPROGRESS || r == -EINTR) {
			r = finish_connect(fd, end_usec);
			break;
		}
		if (r != -EAGAIN) /* a full backlog, of a Unix socket */
			break;
		r = -ETIMEDOUT;
		if (left_msec(end_usec) == 0)
			break;
		sleep_a_look();
		r = 0;
	}
	if (r < 0)
		return r;
	address_tune(fd);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int address_connect(const char *text, uint64_t timeout_usec, int *ret_fd)
{
	_cleanup_(free_list) struct addrinfo *list = NULL;
	uint64_t end_usec = usec_add(clock_monotonic_usec(), timeout_usec);
	struct place place;
	int r = parse(text, &place);

	if (r < 0)
		return r;
	if (!place.is_tcp)
		return connect_one(AF_UNIX, &place.un, place.un_size, end_usec,
				   ret_fd);
	r = look_up(&place, false, &list);
	if (r < 0)
		return r;
	r = -EADDRNOTAVAIL;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		r = connect_one(a->ai_family, a->ai_addr, a->ai_addrlen,
				end_usec, ret_fd);
		if (r == 0)
			break;
	}
	return r;
}

/* A Manager's server in a process of its own, for tests that attack it; guest_rig.h
 * has the clients. What it uses is looked up in /proc. */
#pragma once

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/guest_rig.h"
#include "workers/manager/server/server.h"

#define KEY	 "the key"
#define MEBIBYTE ((size_t)1 << 20)

static struct {
	pid_t pid;
	char address[ADDRESS_TEXT_MAX];
	int n_fds; /* when it had no client */
} server;

/* What a loop's number means: by which kind of socket. */
enum { ATTACK_UNIX, ATTACK_TCP, ATTACK_KINDS };

static inline void serve(const struct server_config *config, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	_exit(server_run(config));
}

static inline int count_fds(void)
{
	char path[64];
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", server.pid);
	DIR *dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Forks it, with all signals blocked, and waits until it accepts. */
static inline void fork_server(struct server_config *config)
{
	struct server_report said;
	int report[2];
	sigset_t all, before;
	pid_t parent = getpid();

	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	config->report_fd = report[1];
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	server.pid = fork();
	if (server.pid == 0)
		serve(config, parent);
	sigprocmask(SIG_SETMASK, &before, NULL);
	ck_assert_int_gt(server.pid, 0);
	close(report[1]);
	ck_assert_int_eq(read(report[0], &said, sizeof(said)), sizeof(said));
	ck_assert_int_eq(said.error, 0);
	ck_assert_int_eq(read(report[0], &said, 1), 0); /* it has closed it */
	close(report[0]);
}

/* What config leaves open is small. */
static inline void start(int kind, struct server_config config)
{
	char wanted[64] = "tcp:127.0.0.1:0";

	if (kind == ATTACK_UNIX)
		(void)snprintf(wanted, sizeof(wanted), "unix:@reeve-test-%d",
			       getpid());
	ck_assert_int_eq(
		address_listen(wanted, &config.listen_fd, server.address), 0);
	config.authkey = KEY;
	config.authkey_size = strlen(KEY);
	config.lock_fd = -1;
	if (config.snapshot_interval_usec == 0)
		config.snapshot_interval_usec = 1000000;
	config.max_objects = 1000;
	config.max_bytes = 64 * MEBIBYTE;
	config.max_output_bytes = 20 * MEBIBYTE;
	if (config.max_clients == 0)
		config.max_clients = 100;
	fork_server(&config);
	close(config.listen_fd);
	server.n_fds = count_fds();
}

static inline void start_plain(int kind)
{
	start(kind, (struct server_config){ 0 });
}

/* Waits until it has given back all descriptors but those of so many clients. */
static inline void check_fds(int n_clients)
{
	uint64_t end = clock_monotonic_usec() + GUEST_DEADLINE_MSEC * 1000;
	int n;

	while ((n = count_fds()) != server.n_fds + n_clients &&
	       clock_monotonic_usec() < end)
		(void)poll(NULL, 0, 2);
	ck_assert_int_eq(n, server.n_fds + n_clients);
}

/* All clients are gone, and so it goes. */
static inline void stop(void)
{
	int status;

	check_fds(0);
	kill(server.pid, SIGTERM);
	ck_assert_int_eq(waitpid(server.pid, &status, 0), server.pid);
	ck_assert_int_eq(status, 0);
}

/* The most memory that it has had so far: the sum of what it has touched, and of
 * what it has asked for. */
static inline size_t memory_peak(void)
{
	static const char *const fields[] = { "VmHWM:", "VmPeak:" };
	char path[64], line[200];
	size_t kib = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", server.pid);
	FILE *f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			if (strncmp(line, fields[i], strlen(fields[i])) == 0)
				kib += strtoul(line + strlen(fields[i]), NULL,
					       10);
	(void)fclose(f);
	ck_assert_uint_gt(kib, 0);
	return kib * 1024;
}

/* A request without arguments; its status. */
static inline int call_plainly(struct guest *g, int64_t verb, int64_t handle)
{
	struct buf b = BUF_INIT(0);
	struct reader results;
	ssize_t begin = guest_begin(g, &b, (enum verb)verb, handle);

	return guest_call(g, &b, begin, &results);
}

/* DICT_SET of a value whose bytes stand there; its status. */
static inline int set_bytes(struct guest *g, int64_t dict, const void *value,
			    size_t size)
{
	struct buf b = BUF_INIT(0);
	struct reader results;
	ssize_t begin = guest_begin(g, &b, VERB_DICT_SET, dict);

	codec_put_string(&b, "key", 3);
	buf_append(&b, value, size);
	return guest_call(g, &b, begin, &results);
}

/* Since its peak was that, it has had no more than so many bytes beyond it. A
 * sanitizer keeps what was freed. */
#ifdef __SANITIZE_ADDRESS__
#define MEMORY_FACTOR 8
#else
#define MEMORY_FACTOR 1
#endif

static inline void check_memory(size_t before, size_t bytes)
{
	ck_assert_uint_lt(memory_peak(), before + 2 * bytes * MEMORY_FACTOR);
}

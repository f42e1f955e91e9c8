/* Operations per second on a Manager's dict or lock, and on redis-server's:
 *
 *	manager reeve|redis alone|pipelined|lock OPERATIONS CLIENTS [SOCKET]
 *
 * alone: set and get of a number in a dict (a hash), each waiting for the other
 * side; pipelined: set, many under way; lock: acquire and release (of redis: SET NX
 * and DEL, what locks there begin with), counted as two. Each client is a process,
 * and does its share. redis-server listens on SOCKET; ours is started here. Prints
 * operations per second, from the moment all are connected to the last one's end.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <reeve/manager.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"

#define CLIENTS_MAX 64
#define WINDOW	    1000 /* requests under way at redis; ours bounds itself */
#define KEYS	    1000

static reeve_manager *manager;
static const char *socket_path;

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "manager: %s\n", what);
	_exit(1);
}

static void must(bool is_right, const char *what)
{
	if (!is_right)
		die(what);
}

/* ---- ours ------------------------------------------------------------------- */

static reeve_proxy *open_proxy(enum reeve_object_kind kind, const char *name)
{
	reeve_proxy *p = NULL;

	must(reeve_proxy_open(manager, kind, name, NULL, &p) >= 0, "open");
	return p;
}

static void reeve_connect(int client)
{
	char name[32];

	/* a forked child's first call makes its connection */
	(void)snprintf(name, sizeof(name), "warm %d", client);
	reeve_proxy_free(open_proxy(REEVE_OBJECT_DICT, name));
}

static void reeve_alone(long n)
{
	reeve_proxy *dict = open_proxy(REEVE_OBJECT_DICT, "dict");
	struct reeve_any value;

	for (long i = 0; i < n; i += 2) {
		must(reeve_proxy_dict_set(dict, REEVE_ANY(i % KEYS),
					  REEVE_ANY(i)) == 0,
		     "set");
		must(reeve_proxy_dict_get(dict, REEVE_ANY(i % KEYS), &value) ==
			     0,
		     "get");
		reeve_any_free(&value);
	}
}

static void reeve_pipelined(long n)
{
	reeve_proxy *dict = open_proxy(REEVE_OBJECT_DICT, "dict");

	must(reeve_manager_begin(manager) == 0, "begin");
	for (long i = 0; i < n; i++)
		must(reeve_proxy_dict_set(dict, REEVE_ANY(i % KEYS),
					  REEVE_ANY(i)) == 0,
		     "set");
	must(reeve_manager_end(manager, NULL) == 0, "end");
}

static void reeve_lock(long n)
{
	reeve_proxy *lock = open_proxy(REEVE_OBJECT_LOCK, "lock");

	for (long i = 0; i < n; i += 2) {
		must(reeve_proxy_acquire(lock, REEVE_FOREVER) == 0, "acquire");
		must(reeve_proxy_release(lock) == 0, "release");
	}
}

/* ---- redis -------------------------------------------------------------------- */

static redisContext *redis;

static void redis_connect(int client)
{
	(void)client;
	redis = redisConnectUnix(socket_path);
	must(redis && !redis->err, "redisConnectUnix");
}

static void check_reply(redisReply *reply)
{
	must(reply && reply->type != REDIS_REPLY_ERROR, "redis: reply");
	freeReplyObject(reply);
}

static void redis_alone(long n)
{
	for (long i = 0; i < n; i += 2) {
		check_reply(
			redisCommand(redis, "HSET dict %ld %ld", i % KEYS, i));
		check_reply(redisCommand(redis, "HGET dict %ld", i % KEYS));
	}
}

static void redis_pipelined(long n)
{
	void *reply;

	for (long i = 0; i < n;) {
		long end = MIN(i + WINDOW, n), k = i;

		for (; k < end; k++)
			must(redisAppendCommand(redis, "HSET dict %ld %ld",
						k % KEYS, k) == REDIS_OK,
			     "redis: append");
		for (; i < end; i++) {
			must(redisGetReply(redis, &reply) == REDIS_OK,
			     "redis: reply");
			check_reply(reply);
		}
	}
}

static void redis_lock(long n)
{
	for (long i = 0; i < n; i += 2) {
		check_reply(redisCommand(redis, "SET lock me NX"));
		check_reply(redisCommand(redis, "DEL lock"));
	}
}

/* ---- clients --------------------------------------------------------------------- */

static const struct way {
	const char *who, *what;
	void (*connect)(int client);
	void (*run)(long n);
} ways[] = {
	{ "reeve", "alone", reeve_connect, reeve_alone },
	{ "reeve", "pipelined", reeve_connect, reeve_pipelined },
	{ "reeve", "lock", reeve_connect, reeve_lock },
	{ "redis", "alone", redis_connect, redis_alone },
	{ "redis", "pipelined", redis_connect, redis_pipelined },
	{ "redis", "lock", redis_connect, redis_lock },
};

static void be_client(const struct way *way, long n, int client, int ready_fd,
		      int go_fd)
{
	char c = 0;

	way->connect(client);
	must(write(ready_fd, &c, 1) == 1, "write");
	must(read(go_fd, &c, 1) == 0, "read"); /* until it is closed */
	way->run(n);
	_exit(0);
}

static double measure(const struct way *way, long n, int n_clients)
{
	int ready[2], go[2], status;
	uint64_t begin;
	char c;

	must(pipe(ready) == 0 && pipe(go) == 0, "pipe");
	for (int i = 0; i < n_clients; i++) {
		pid_t pid = fork();

		must(pid >= 0, "fork");
		if (pid == 0) {
			close(go[1]);
			be_client(way, n / n_clients, i, ready[1], go[0]);
		}
	}
	for (int i = 0; i < n_clients; i++)
		must(read(ready[0], &c, 1) == 1, "read");
	begin = clock_monotonic_usec();
	close(go[1]);
	for (int i = 0; i < n_clients; i++)
		must(wait(&status) > 0 && status == 0, "a client failed");
	n -= n % n_clients;
	return (double)n * 1e6 / (double)(clock_monotonic_usec() - begin);
}

int main(int argc, char **argv)
{
	long n = argc > 4 ? strtol(argv[3], NULL, 10) : 0;
	long n_clients = argc > 4 ? strtol(argv[4], NULL, 10) : 0;
	double rate;

	if (n < 2 || n_clients < 1 || n_clients > CLIENTS_MAX)
		die("reeve|redis alone|pipelined|lock N CLIENTS [SOCKET]");
	socket_path = argc > 5 ? argv[5] : "";
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		if (strcmp(argv[1], ways[i].who) != 0 ||
		    strcmp(argv[2], ways[i].what) != 0)
			continue;
		if (ways[i].connect == reeve_connect)
			must(reeve_manager_start(NULL, &manager) == 0, "start");
		rate = measure(&ways[i], n, (int)n_clients);
		reeve_manager_free(manager);
		printf("%.0f\n", rate);
		return 0;
	}
	die("no such way");
}

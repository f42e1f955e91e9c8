/* Programs that others wrote: nginx and redis-server from Debian, and a
 * configuration of supervisord's. Killed, they answer again; stopped, they
 * end as they like to; and there are never two of them. */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/actor.h"
#include "tests/lib/process.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

static const int flags_of[] = { 0, RIG_NO_CGROUP };
#define EACH_GUARANTEE (int)ARRAY_SIZE(flags_of)
#define HERE	       "%(here)s"
#define STORM	       20

static bool is_installed(const char *path, const char *package)
{
	if (access(path, X_OK) == 0)
		return true;
	printf("SKIP: %s is not installed (%s)\n", path, package);
	return false;
}

/* ---- asking a server ------------------------------------------------------- */

union address {
	struct sockaddr any;
	struct sockaddr_un local;
	struct sockaddr_in internet;
};

/* Sends the question and reads until the text is there, or no more comes.
 * False: it cannot be asked now, or says something else (redis: LOADING). */
static bool answers(const union address *address, const char *question,
		    const char *text)
{
	socklen_t size = address->any.sa_family == AF_UNIX
				 ? sizeof(address->local)
				 : sizeof(address->internet);
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = { .tv_usec = 300000 };
	char answer[4096] = "";
	size_t len = 0;
	ssize_t n = 1;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
				    sizeof(patience)),
			 0);
	if (connect(fd, &address->any, size) < 0 ||
	    send(fd, question, strlen(question), MSG_NOSIGNAL) < 0)
		n = 0;
	while (n > 0 && !strstr(answer, text) && len < sizeof(answer) - 1) {
		n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
		len += n > 0 ? (size_t)n : 0;
		answer[len] = '\0';
	}
	close(fd);
	return strstr(answer, text) != NULL;
}

static void wait_answer(const union address *address, const char *question,
			const char *text)
{
	uint64_t end = usec_add(clock_monotonic_usec(),
				RIG_DEADLINE_SEC * USEC_PER_SEC);

	while (!answers(address, question, text)) {
		ck_assert_msg(clock_monotonic_usec() < end, "no answer");
		(void)poll(NULL, 0, 2);
	}
}

static union address free_port(void)
{
	union address a = { .internet = {
				    .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			    } };
	socklen_t size = sizeof(a.internet);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, &a.any, size), 0);
	ck_assert_int_eq(getsockname(fd, &a.any, &size), 0);
	close(fd);
	return a;
}

/* ---- nginx ------------------------------------------------------------------- */

static const char nginx_conf[] =
	"daemon off;\nworker_processes 2;\npid %s/nginx.pid;\n"
	"error_log stderr notice;\nevents { worker_connections 64; }\n"
	"http {\naccess_log off;\nclient_body_temp_path %s/body;\n"
	"proxy_temp_path %s/proxy;\nfastcgi_temp_path %s/fastcgi;\n"
	"uwsgi_temp_path %s/uwsgi;\nscgi_temp_path %s/scgi;\n"
	"server { listen 127.0.0.1:%d; location / { return 200 'still here'; "
	"} }\n}\n";

static const char *write_nginx_conf(int port)
{
	const char *dir = unit_tmpdir();
	char *text = NULL;
	const char *path;

	ck_assert_int_gt(asprintf(&text, nginx_conf, dir, dir, dir, dir, dir,
				  dir, port),
			 0);
	path = unit_file("nginx.conf", text);
	free(text);
	return path;
}

#define GET "GET / HTTP/1.0\r\n\r\n"

START_TEST(test_nginx)
{
	static const char *const path = "/usr/sbin/nginx";
	union address web = free_port();
	struct rig *r;
	pid_t old;

	if (!is_installed(path, "nginx-light"))
		return;
	r = rig_start(flags_of[_i],
		      "[worker:web]\ncommand = %s -c %s -e stderr\n"
		      "stopsignal = QUIT\nstopwaitsecs = 60\n"
		      "restart_delay = 0\nstartsecs = 0.2\n",
		      path, write_nginx_conf(ntohs(web.internet.sin_port)));
	wait_answer(&web, GET, "still here");
	rig_wait(r, "web", "RUNNING");
	for (int i = 0; i < 3; i++) {
		/* its own workers would hold the port: they go with it */
		old = rig_pid(r, "web");
		ck_assert_int_eq(kill(old, SIGKILL), 0);
		(void)rig_wait_replaced(r, "web", old);
		wait_answer(&web, GET, "still here");
	}
	ck_assert_uint_eq(rig_row(r, "web").restarts, 3);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "signal", "HUP", "web", NULL),
			 0); /* nginx's own reload */
	wait_answer(&web, GET, "still here");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "web", NULL), 0);
	ck_assert_int_eq(rig_row(r, "web").exit_code, 0);
	ck_assert(!rig_log_has(r, "state=KILLING from=STOPPING"));
	ck_assert(!answers(&web, GET, "still here"));
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- redis --------------------------------------------------------------------- */

#define REDIS "/usr/bin/redis-server"
#define PING  "PING\r\n"

static struct rig *start_redis(int flags, union address *ret_address)
{
	*ret_address = (union address){ .local = { .sun_family = AF_UNIX } };
	snprintf(ret_address->local.sun_path,
		 sizeof(ret_address->local.sun_path), "%s/redis.sock",
		 unit_tmpdir());
	return rig_start(flags,
			 "[worker:redis]\ncommand = " REDIS
			 " --port 0 --unixsocket %s --dir %s --save '' "
			 "--appendonly yes --appendfsync always\n"
			 "restart_delay = 0\nstartsecs = 0\n"
			 "stopwaitsecs = 60\n",
			 ret_address->local.sun_path, unit_tmpdir());
}

START_TEST(test_redis)
{
	union address redis;
	struct rig *r;
	pid_t old;

	if (!is_installed(REDIS, "redis-server"))
		return;
	r = start_redis(flags_of[_i], &redis);
	wait_answer(&redis, "SET a 42\r\n", "+OK");
	old = rig_pid(r, "redis");
	ck_assert_int_eq(kill(old, SIGKILL), 0);
	(void)rig_wait_replaced(r, "redis", old);
	wait_answer(&redis, "GET a\r\n", "42");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "redis", NULL), 0);
	ck_assert_int_eq(rig_row(r, "redis").exit_code, 0);
	ck_assert(!rig_log_has(r, "state=KILLING from=STOPPING"));
	rig_wait_file(rig_path(r, "log/redis.out.log"), "bye bye");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Live processes of the program that serve this test. */
static int count_redis(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d))) {
		char path[300], line[1024];
		size_t len;
		FILE *f;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		f = fopen(path, "re");
		len = f ? fread(line, 1, sizeof(line), f) : 0;
		if (f)
			fclose(f);
		/* redis puts its socket's path into its title */
		if (memmem(line, len, "redis-server", 12) &&
		    memmem(line, len, unit_tmpdir(), strlen(unit_tmpdir())) &&
		    rig_is_alive((pid_t)atoi(e->d_name)))
			n++;
	}
	closedir(d);
	return n;
}

/* Never two, until there is one: a new process is not at once the program. */
static void wait_one_redis(void)
{
	uint64_t end = usec_add(clock_monotonic_usec(),
				RIG_DEADLINE_SEC * USEC_PER_SEC);
	int n;

	while ((n = count_redis()) != 1) {
		ck_assert_int_eq(n, 0);
		ck_assert_msg(clock_monotonic_usec() < end, "no redis is seen");
	}
}

START_TEST(test_never_two_of_redis)
{
	union address redis;
	struct rig *r;

	if (!is_installed(REDIS, "redis-server"))
		return;
	r = start_redis(flags_of[_i], &redis);
	wait_answer(&redis, PING, "+PONG");
	for (int i = 1; i <= STORM; i++) {
		wait_one_redis();
		ck_assert_int_eq(kill(rig_pid(r, "redis"), SIGKILL), 0);
		do
			ck_assert_int_le(count_redis(), 1);
		while (rig_row(r, "redis").restarts < (uint64_t)i ||
		       rig_row(r, "redis").pid == 0);
	}
	unit_count(STORM, "kills");
	wait_one_redis();
	wait_answer(&redis, PING, "+PONG");
	ck_assert_uint_eq(rig_row(r, "redis").restarts, STORM);
	ck_assert_int_eq(rig_stop(r), 0);
	ck_assert_int_eq(count_redis(), 0);
}
END_TEST

/* ---- a configuration of supervisord's --------------------------------------------- */

/* text with each `from` replaced by `to` (free it; takes text). */
static char *replace(char *text, const char *from, const char *to)
{
	char *at = strstr(text, from), *result = NULL;
	size_t done = 0, size = 0;
	FILE *f = open_memstream(&result, &size);

	ck_assert_ptr_nonnull(f);
	for (; at; at = strstr(text + done, from)) {
		fprintf(f, "%.*s%s", (int)(at - text - (long)done), text + done,
			to);
		done = (size_t)(at - text) + strlen(from);
	}
	fputs(text + done, f);
	fclose(f);
	free(text);
	return result;
}

/* The file as it is shipped, but for the places where it writes: the keys of
 * [supervisord] go to the rig's own [reeve], which says where. */
static char *adapt(const char *path)
{
	char *text = rig_read_file(path), *keys, *rest, *result;

	text = replace(text, "/tmp", unit_tmpdir());
	text = replace(text, "\nlogfile=/dev/null", "\n;");
	text = replace(text, "\nloglevel=info", "\n;"); /* the rig's is debug */
	keys = strstr(text, "[supervisord]\n");
	ck_assert_ptr_nonnull(keys);
	rest = strstr(keys, "\n[");
	ck_assert_ptr_nonnull(rest);
	*keys = *rest = '\0';
	keys += strlen("[supervisord]\n");
	ck_assert_int_gt(asprintf(&result, "%s\n%s\n%s", keys, text, rest + 1),
			 0);
	free(text);
	return result;
}

START_TEST(test_configuration_of_supervisord)
{
	char *text = adapt("conf/examples/supervisord.conf");
	struct rig *r = rig_start(flags_of[_i], "%s", text);

	free(text);
	rig_wait(r, "web:web_01", "RUNNING");
	rig_wait(r, "web:web_02", "RUNNING");
	rig_wait(r, "web:web_03", "RUNNING");
	rig_wait(r, "background:queue", "RUNNING");
	ck_assert_str_eq(rig_row(r, "background:cron").state, "STOPPED");
	rig_wait_file(unit_path("web_02.log"),
		      "serving example.org on port 8002\n");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "start", "background:cron", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "web:*", NULL), 0);
	ck_assert_int_eq(rig_row(r, "web:web_03").exit_code, -SIGQUIT);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "restart", "all", NULL), 0);
	ck_assert_uint_eq(rig_count(r, "RUNNING"), 5);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_LOOP_MAIN("real", EACH_GUARANTEE, test_nginx, test_redis,
	       test_never_two_of_redis, test_configuration_of_supervisord)

/* reeve-manager by itself, as systemd or a shell runs it. */
#include <sys/un.h>

#include "tests/unit/keeper_program_rig.h"

static pid_t pid;
static int output_fd; /* what it says */
static struct buf output;

#define S(text) ((char *)(uintptr_t)(text))

/* Runs it with these arguments behind the key's. */
static void run(const char *address, const char *more, const char *value)
{
	char *argv[] = { S("reeve-manager"),
			 S("--authkey-file"),
			 S(unit_path("key")),
			 S("--listen"),
			 S(address),
			 S(more),
			 S(value),
			 NULL };
	char program[PATH_MAX];
	int fds[2];

	(void)snprintf(program, sizeof(program), "%s", program_path());
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	output = BUF_INIT(65536);
	pid = fork();
	if (pid == 0) {
		(void)dup2(fds[1], STDERR_FILENO);
		execv(program, argv);
		_exit(98);
	}
	fd_close(fds[1]);
	output_fd = fds[0];
}

static void write_key(void)
{
	const char *path = unit_file("key", KEY "\n");

	ck_assert_int_eq(chmod(path, 0600), 0);
}

/* Waits until it has said word. */
static void wait_for(const char *word)
{
	char text[512];

	while (!strstr(buf_text(&output), word)) {
		ssize_t n;

		if (!fd_wait_readable(output_fd, GUEST_DEADLINE_MSEC))
			ck_abort_msg("no %s in %s", word, buf_text(&output));
		n = read(output_fd, text, sizeof(text));
		if (n <= 0)
			ck_abort_msg("no %s in %s", word, buf_text(&output));
		(void)buf_append(&output, text, (size_t)n);
	}
}

static int finish(void)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	fd_close(output_fd);
	buf_done(&output);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int stop(int signo)
{
	ck_assert_int_eq(kill(pid, signo), 0);
	return finish();
}

/* The address that it has said. */
static const char *address_said(void)
{
	static char address[ADDRESS_TEXT_MAX];
	const char *text;

	wait_for("listening on ");
	wait_for("\n");
	text = strstr(buf_text(&output), "listening on ") + 13;
	(void)snprintf(address, sizeof(address), "%.*s",
		       (int)strcspn(text, "\n"), text);
	return address;
}

START_TEST(test_tcp)
{
	struct guest g;

	write_key();
	run("tcp:127.0.0.1:0", NULL, NULL);
	(void)guest_enter(&g, address_said());
	ck_assert_int_eq(guest_ping(&g), 0);
	guest_close(&g);
	ck_assert_int_eq(stop(SIGTERM), 0);
}
END_TEST

START_TEST(test_path_and_snapshot)
{
	char address[ADDRESS_TEXT_MAX];
	struct guest g;
	int64_t v;

	write_key();
	(void)snprintf(address, sizeof(address), "unix:%s", unit_path("sock"));
	run(address, "--snapshot", unit_path("snap"));
	(void)guest_enter(&g, address_said());
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	ck_assert_int_eq(guest_add(&g, v, 3), 3);
	guest_close(&g);
	ck_assert_int_eq(stop(SIGINT), 0);
	ck_assert_int_lt(access(unit_path("sock"), F_OK), 0);

	run(address, "--snapshot", unit_path("snap"));
	ck_assert(guest_enter(&g, address_said()).is_restored);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	ck_assert_int_eq(guest_add(&g, v, 3), 6);
	/* in use */
	pid_t first = pid;
	int first_fd = output_fd;
	struct buf first_output = output;

	run(address, NULL, NULL);
	wait_for("Address already in use");
	ck_assert_int_eq(finish(), KEEPER_EXIT_FAILED);
	run("tcp:127.0.0.1:0", "--snapshot", unit_path("snap"));
	wait_for("belongs to another reeve-manager");
	ck_assert_int_eq(finish(), KEEPER_EXIT_FAILED);
	guest_close(&g);
	pid = first;
	output_fd = first_fd;
	output = first_output;
	ck_assert_int_eq(stop(SIGTERM), 0);
}
END_TEST

/* systemd is told when it is ready, and when it goes. */
START_TEST(test_notify)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char text[512];
	ssize_t n;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	write_key();
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", unit_path("note"));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	(void)setenv("NOTIFY_SOCKET", a.sun_path, 1);
	run(own_address(), NULL, NULL);
	(void)unsetenv("NOTIFY_SOCKET");
	ck_assert(fd_wait_readable(fd, GUEST_DEADLINE_MSEC));
	n = read(fd, text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_msg(strncmp(text, "READY=1\n", 8) == 0, "%s", text);
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert(fd_wait_readable(fd, GUEST_DEADLINE_MSEC));
	n = read(fd, text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_str_eq(text, "STOPPING=1");
	ck_assert_int_eq(finish(), 0);
	fd_close(fd);
}
END_TEST

/* Its deaths are told, and what killed it. */
START_TEST(test_a_death_is_said)
{
	struct hello hello;
	struct guest g;

	write_key();
	run(own_address(), "--restart-limit", "1/1h");
	hello = guest_enter(&g, address_said());
	ck_assert_int_eq(kill((pid_t)hello.pid, SIGKILL), 0);
	wait_for("was killed by SIGKILL; starting another");
	ck_assert(guest_is_ended(&g));
	guest_close(&g);
	hello = guest_enter(&g, own_address());
	ck_assert_int_eq(hello.generation, 1);
	ck_assert_int_eq(kill((pid_t)hello.pid, SIGKILL), 0);
	wait_for("too often");
	ck_assert(guest_is_ended(&g));
	guest_close(&g);
	ck_assert_int_eq(finish(), KEEPER_EXIT_FAILED);
}
END_TEST

START_TEST(test_no_start)
{
	ck_assert_int_eq(chmod(unit_file("key", KEY), 0644), 0);
	run(own_address(), NULL, NULL);
	wait_for("chmod 600");
	ck_assert_int_eq(finish(), KEEPER_EXIT_FAILED);
	ck_assert_int_eq(chmod(unit_path("key"), 0600), 0);
	run("unix:/nonexistent/s", NULL, NULL);
	wait_for("cannot listen on unix:/nonexistent/s: No such file");
	ck_assert_int_eq(finish(), KEEPER_EXIT_FAILED);
	run(own_address(), "--snapshot", "/nonexistent/s");
	wait_for("/nonexistent/s.lock: No such file");
	ck_assert_int_eq(finish(), KEEPER_EXIT_FAILED);
	(void)unit_file("snap", "no snapshot");
	run(own_address(), "--snapshot", unit_path("snap"));
	wait_for("move it away to begin empty");
	ck_assert_int_eq(finish(), KEEPER_EXIT_FAILED);
}
END_TEST

UNIT_MAIN("manager_alone", test_tcp, test_path_and_snapshot, test_notify,
	  test_a_death_is_said, test_no_start)

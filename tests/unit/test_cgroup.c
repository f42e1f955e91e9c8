/* Leaves: birth in them, looking at them, and that nothing survives their end.
 * Where this machine lets us have none, the tests say so and look only at what
 * is told then. */
#include "workers/base/sys/cgroup.h"

#include <poll.h>
#include <sys/stat.h>

#include "tests/unit/spawn_rig.h"
#include "tests/unit/tree_rig.h"

static struct cgroup_base base = { .fd = -1 };

/* Opens the base of this test; false, and it is said, when there is none. */
static bool open_base(void)
{
	const char *why = NULL;
	char name[64];
	int r;

	(void)snprintf(name, sizeof(name), "reeve-test-%d", (int)getpid());
	r = cgroup_base_open(name, &base, &why);
	if (r < 0) {
		ck_assert_ptr_nonnull(why);
		printf("SKIP: test_cgroup: no leaves: %s\n", why);
		(void)fflush(stdout);
	}
	return r == 0;
}

/* It has to be empty by now. */
static void close_base(void)
{
	char *path = strdup(base.path);
	struct stat st;

	cgroup_base_done(&base);
	ck_assert_int_eq(base.fd, -1);
	ck_assert_msg(stat(path, &st) < 0 && errno == ENOENT, "%s is left",
		      path);
	free(path);
}

static struct spawn_child start_in(int leaf_fd, int (*function)(void *))
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = function,
				   .new_session = true };

	spec.cgroup_fd = leaf_fd;
	return start_child(&spec);
}

static struct spawn_child start_program_in(int leaf_fd)
{
	static char path[] = "/bin/sleep", arg[] = "1000";
	static char *const argv[] = { path, arg, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv };

	spec.cgroup_fd = leaf_fd;
	spec.enter_late = base.enter_late;
	return start_child(&spec);
}

/* Waits until the leaf is (not) populated, by its events. */
static void wait_populated(int leaf_fd, int expected)
{
	int fd = cgroup_leaf_events_open(leaf_fd);
	struct pollfd p = { .fd = fd, .events = POLLPRI };
	char text[256];

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(read(fd, text, sizeof(text)), 0);
	while (cgroup_leaf_is_populated(leaf_fd) != expected) {
		ck_assert_int_eq(poll(&p, 1, DEADLINE_MSEC), 1);
		ck_assert_int_gt(pread(fd, text, sizeof(text), 0), 0);
	}
	fd_close(fd);
}

START_TEST(test_base)
{
	struct cgroup_base again;
	struct stat st;

	if (!open_base())
		return;
	ck_assert_int_eq(fcntl(base.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(stat(base.path, &st), 0);
	ck_assert_int_eq(base.group[0], '/');
	/* a second one, e.g. after a crash, finds it */
	ck_assert_int_eq(
		cgroup_base_open(strrchr(base.path, '/') + 1, &again, NULL), 0);
	ck_assert_str_eq(again.path, base.path);
	cgroup_base_done(&again);
	cgroup_base_done(&again); /* harmless */
	ck_assert_int_lt(stat(base.path, &st), 0);
	cgroup_base_done(&base);
}
END_TEST

START_TEST(test_names)
{
	char longest[CGROUP_NAME_MAX + 2];
	static const char *const bad[] = { "", ".", "..", "a/b", "/", "a\nb" };
	const char *why = NULL;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct cgroup_base none;

		ck_assert_int_eq(cgroup_base_open(bad[i], &none, &why),
				 -EINVAL);
		ck_assert_ptr_nonnull(why);
	}
	if (!open_base())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_int_eq(cgroup_leaf_new(&base, bad[i]), -EINVAL);
		ck_assert_int_eq(cgroup_leaf_remove(&base, bad[i]), -EINVAL);
	}
	memset(longest, 'n', sizeof(longest));
	longest[CGROUP_NAME_MAX + 1] = '\0';
	ck_assert_int_eq(cgroup_leaf_new(&base, longest), -EINVAL);
	longest[CGROUP_NAME_MAX] = '\0';
	fd = cgroup_leaf_new(&base, longest);
	ck_assert_int_ge(fd, 0);
	fd_close(fd);
	ck_assert_int_eq(cgroup_leaf_remove(&base, longest), 0);
	close_base();
}
END_TEST

START_TEST(test_life_of_a_leaf)
{
	struct spawn_child child;
	int fd, same;

	if (!open_base())
		return;
	fd = cgroup_leaf_new(&base, "web:0.1");
	same = cgroup_leaf_new(&base, "web:0.1");
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(same, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fd_close(same);
	ck_assert_int_eq(cgroup_leaf_is_populated(fd), 0);
	child = start_program_in(fd);
	ck_assert_int_eq(cgroup_leaf_is_populated(fd), 1);
	ck_assert_int_eq(cgroup_leaf_has_pid(&base, "web:0.1", child.pid), 1);
	ck_assert_int_eq(cgroup_leaf_has_pid(&base, "web:0", child.pid), 0);
	ck_assert_int_eq(cgroup_leaf_has_pid(&base, "web:0.1", getpid()), 0);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "web:0.1"), -EBUSY);
	ck_assert_int_eq(cgroup_leaf_signal(fd, 0), 1);
	ck_assert_int_eq(cgroup_leaf_kill(fd), 0);
	wait_populated(fd, 0); /* a zombie does not count */
	ck_assert_int_eq(take_exit(&child), -SIGKILL);
	ck_assert_int_eq(cgroup_leaf_has_pid(&base, "web:0.1", child.pid),
			 -ESRCH);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "web:0.1"), 0);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "web:0.1"), 0);
	ck_assert_int_lt(cgroup_leaf_is_populated(fd), 0);
	fd_close(fd);
	close_base();
}
END_TEST

START_TEST(test_signal_each_once)
{
	struct spawn_child child;
	int fd;

	share();
	if (!open_base())
		return;
	fd = cgroup_leaf_new(&base, "signalled");
	child = start_in(fd, start_a_family);
	wait_for_pids(FAMILY_SIZE);
	ck_assert_int_eq(cgroup_leaf_signal(fd, 0), FAMILY_SIZE);
	ck_assert_int_eq(cgroup_leaf_signal(fd, SIGTERM), FAMILY_SIZE);
	wait_populated(fd, 0);
	ck_assert_int_eq(take_exit(&child), -SIGTERM);
	check_nothing_lives();
	ck_assert_int_eq(cgroup_leaf_signal(fd, SIGTERM), 0);
	fd_close(fd);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "signalled"), 0);
	close_base();
}
END_TEST

/* More than are opened at once. */
START_TEST(test_signal_many)
{
	struct spawn_child child;
	int fd;

	share();
	if (!open_base())
		return;
	fd = cgroup_leaf_new(&base, "many");
	child = start_in(fd, start_a_bomb);
	wait_for_pids(BOMB_MAX);
	ck_assert_int_eq(cgroup_leaf_signal(fd, SIGTERM), BOMB_MAX + 1);
	ck_assert_int_eq(take_exit(&child), -SIGTERM);
	wait_populated(fd, 0);
	check_nothing_lives();
	fd_close(fd);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "many"), 0);
	close_base();
}
END_TEST

static const struct kill_case {
	int (*function)(void *arg);
	int n_started;
} kill_cases[] = {
	{ start_nothing, 1 },
	{ start_a_family, FAMILY_SIZE },
	{ start_a_bomb, 10 }, /* while it grows */
	{ start_a_bomb, BOMB_MAX },
};

START_TEST(test_kill)
{
	share();
	if (!open_base())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kill_cases); i++) {
		int fd = cgroup_leaf_new(&base, "killed");
		struct spawn_child child;

		memset(shared, 0, sizeof(*shared));
		child = start_in(fd, kill_cases[i].function);
		wait_for_pids(kill_cases[i].n_started);
		ck_assert_int_eq(cgroup_leaf_kill(fd), 0);
		ck_assert_int_eq(take_exit(&child), -SIGKILL);
		wait_populated(fd, 0);
		check_nothing_lives();
		fd_close(fd);
		ck_assert_int_eq(cgroup_leaf_remove(&base, "killed"), 0);
	}
	close_base();
}
END_TEST

/* A worker may have cgroups of its own below its leaf. */
START_TEST(test_what_is_below)
{
	struct spawn_child child;
	int fd, below, deeper;

	if (!open_base())
		return;
	fd = cgroup_leaf_new(&base, "nested");
	ck_assert_int_eq(mkdirat(fd, "a", 0755) | mkdirat(fd, "a/b", 0755) |
				 mkdirat(fd, "c", 0755),
			 0);
	below = openat(fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	deeper = openat(fd, "a/b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	child = start_program_in(deeper);
	ck_assert_int_eq(cgroup_leaf_has_pid(&base, "nested", child.pid), 1);
	ck_assert_int_eq(cgroup_leaf_is_populated(fd), 1);
	ck_assert_int_eq(cgroup_leaf_signal(fd, 0), 1);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "nested"), -EBUSY);
	ck_assert_int_eq(cgroup_leaf_kill(fd), 0);
	ck_assert_int_eq(take_exit(&child), -SIGKILL);
	wait_populated(fd, 0);
	fd_close(deeper);
	fd_close(below);
	fd_close(fd);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "nested"), 0);
	close_base();
}
END_TEST

static void remove_leaf(void *userdata, const char *name)
{
	(void)buf_puts(userdata, name);
	ck_assert_int_eq(cgroup_leaf_remove(&base, name), 0);
}

START_TEST(test_each_leaf)
{
	static const char *const names[] = { "x", "y.1", "z:0" };
	struct buf seen = BUF_INIT(64);

	if (!open_base())
		return;
	ck_assert_int_eq(cgroup_each_leaf(&base, remove_leaf, &seen), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		fd_close(cgroup_leaf_new(&base, names[i]));
	ck_assert_int_eq(cgroup_each_leaf(&base, remove_leaf, &seen), 3);
	ck_assert_uint_eq(seen.len, 1 + 3 + 3);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_ptr_nonnull(strstr(buf_text(&seen), names[i]));
	buf_done(&seen);
	close_base();
}
END_TEST

/* --- birth -------------------------------------------------------------------- */

static void report_group(const struct spawn_spec *spec)
{
	char cat[] = "/bin/cat", file[] = "/proc/self/cgroup";
	char *const argv[] = { cat, file, NULL };
	struct spawn_spec with_argv = *spec;
	char *output, expected[512];
	int code;

	with_argv.argv = argv;
	output = run_for_output(with_argv, &code);
	ck_assert_int_eq(code, 0);
	(void)snprintf(expected, sizeof(expected), "%s/born", base.group);
	ck_assert_str_eq(line_of(output, "0::"), expected);
	free(output);
}

START_TEST(test_born_or_moved)
{
	struct spawn_spec spec = { SPAWN_SPEC };

	if (!open_base())
		return;
	spec.cgroup_fd = cgroup_leaf_new(&base, "born");
	if (!base.enter_late)
		report_group(&spec);
	spec.enter_late = true;
	report_group(&spec);
	fd_close(spec.cgroup_fd);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "born"), 0);
	close_base();
}
END_TEST

START_TEST(test_leaf_that_is_gone)
{
	char path[] = "/bin/true", *const argv[] = { path, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv };
	struct spawn_failure failure = { 0 };
	struct spawn_child child;

	if (!open_base())
		return;
	spec.cgroup_fd = cgroup_leaf_new(&base, "gone");
	ck_assert_int_eq(cgroup_leaf_remove(&base, "gone"), 0);
	ck_assert_int_eq(spawn_start(&spec, &child), 0);
	ck_assert_int_eq(take_report(&child, &failure), 1);
	ck_assert_int_eq(failure.stage, SPAWN_STAGE_CGROUP);
	ck_assert_int_eq(take_exit(&child), SPAWN_EXIT_CODE);
	fd_close(spec.cgroup_fd);
	close_base();
}
END_TEST

/* In a cgroup that was killed once, on a kernel that holds it against those who
 * came later: the base says so, and children live. */
static void live_in_a_killed_cgroup(void *arg)
{
	struct cgroup_base inner;
	struct spawn_spec spec = { SPAWN_SPEC };
	char path[] = "/bin/true", *const argv[] = { path, NULL };
	struct spawn_child child;
	int outer = *(const int *)arg, code;

	if (fd_write_file(outer, "cgroup.kill", "1") < 0 ||
	    fd_write_file(outer, "cgroup.procs", "0") < 0)
		_exit(1);
	if (cgroup_base_open("inner", &inner, NULL) < 0)
		_exit(2);
	spec.argv = argv;
	spec.cgroup_fd = cgroup_leaf_new(&inner, "leaf");
	spec.enter_late = inner.enter_late;
	if (spawn_start(&spec, &child) < 0)
		_exit(3);
	code = take_exit(&child);
	if (code == 0 && inner.enter_late) { /* is it needed at all? */
		spec.enter_late = false;
		if (spawn_start(&spec, &child) < 0 ||
		    take_exit(&child) != -SIGKILL)
			code = 4;
	}
	fd_close(spec.cgroup_fd);
	(void)cgroup_leaf_remove(&inner, "leaf");
	printf("%s", inner.enter_late ? "late" : "at birth");
	cgroup_base_done(&inner);
	_exit(fflush(stdout) < 0 ? 5 : code);
}

START_TEST(test_in_a_cgroup_killed_before)
{
	char *output;
	int fd;

	if (!open_base())
		return;
	fd = cgroup_leaf_new(&base, "outer");
	ck_assert_int_eq(unit_fork(live_in_a_killed_cgroup, &fd, &output), 0);
	ck_assert(str_equal(output, "late") || str_equal(output, "at birth"));
	free(output);
	wait_populated(fd, 0);
	fd_close(fd);
	ck_assert_int_eq(cgroup_leaf_remove(&base, "outer"), 0);
	close_base();
}
END_TEST

/* --- where there is none -------------------------------------------------------- */

#define HAS_ONE 77

static void open_as_ordinary_user(_unused_ void *arg)
{
	const char *why = NULL;
	struct cgroup_base none = { .fd = -7 };
	int r;

	become_ordinary();
	r = cgroup_base_open("reeve-test-ordinary", &none, &why);
	if (r == 0) {
		cgroup_base_done(&none);
		_exit(HAS_ONE);
	}
	if (none.fd != -7 || !why)
		_exit(2);
	_exit(r == -EACCES || r == -ENOENT || r == -EPERM || r == -EROFS ? 0
									 : 3);
}

START_TEST(test_refused)
{
	struct cgroup_base none = { .fd = -1 };
	int code = unit_fork(open_as_ordinary_user, NULL, NULL);

	if (code == HAS_ONE && geteuid() != 0)
		puts("SKIP: test_cgroup: this user has a cgroup of its own");
	else
		ck_assert_int_eq(code, 0);
	cgroup_base_done(&none); /* harmless */
}
END_TEST

UNIT_MAIN("cgroup", test_base, test_names, test_life_of_a_leaf,
	  test_signal_each_once, test_signal_many, test_kill,
	  test_what_is_below, test_each_leaf, test_born_or_moved,
	  test_leaf_that_is_gone, test_in_a_cgroup_killed_before, test_refused)

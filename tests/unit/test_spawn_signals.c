/* Signals around a birth, and at the death of the parent. */
#include "workers/base/sys/spawn.h"

#include <sched.h>

#include "tests/unit/spawn_rig.h"

static int return_number(void *arg)
{
	return *(const int *)arg;
}

/* --- signals around the birth --------------------------------------------- */

static void on_signal(_unused_ int signo)
{
	ssize_t n _unused_ = write(STDOUT_FILENO, "handler ran\n", 12);
}

/* Everything that could be inherited, ignored, handled and blocked. */
static void dirty_signals(void)
{
	sigset_t all;

	for (int signo = 1; signo < _NSIG; signo++) {
		struct sigaction action = {
			.sa_handler = signo % 2 ? SIG_IGN : on_signal,
		};

		if (signo == SIGCHLD) /* or nobody could be waited for */
			continue;

		(void)sigaction(signo, &action, NULL);
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

/* Asks a program for its signals; they have to be clean, and ours as before. */
static void check_signals(const sigset_t *ignored)
{
	char *const argv[] = { (char[]){ "/bin/cat" },
			       (char[]){ "/proc/self/status" }, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv,
				   .ignored = ignored };
	static const char *const keys[] = { "SigPnd:", "ShdPnd:", "SigBlk:",
					    "SigIgn:", "SigCgt:" };
	struct sigaction action;
	sigset_t mask;
	int code;
	char *status = run_for_output(spec, &code);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!str_equal(line_of(status, keys[i]), "0000000000000000"))
			printf("%s %s\n", keys[i], line_of(status, keys[i]));
	free(status);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	sigaction(SIGUSR1, NULL, &action);
	if (code != 0 || sigismember(&mask, SIGUSR1) != 1 ||
	    action.sa_handler != on_signal)
		printf("code %d, or the parent's signals changed\n", code);
}

static void spawn_with_dirty_signals(_unused_ void *arg)
{
	sigset_t ignored;

	dirty_signals();
	spawn_ignored_signals(&ignored);
	if (sigismember(&ignored, SIGPIPE) != 1 ||
	    sigismember(&ignored, SIGUSR1) != 0)
		printf("ignored: wrong\n");
	check_signals(NULL);
	check_signals(&ignored);
	/* what the caller says it does not ignore is believed */
	sigemptyset(&ignored);
	check_signals(&ignored);
}

START_TEST(test_signals_are_clean)
{
	char *output;

	ck_assert_int_eq(unit_fork(spawn_with_dirty_signals, NULL, &output), 0);
	/* the one line is that of the last, which lied */
	ck_assert_msg(str_has_prefix(output, "SigIgn:"), "%s", output);
	ck_assert_ptr_eq(strchr(output, '\n') + 1, output + strlen(output));
	free(output);
}
END_TEST

static void spawn_without_clone3(_unused_ void *arg)
{
	sigset_t none;

	dirty_signals();
	sigemptyset(&none);
	refuse_syscall(SYS_clone3, -1, ENOSYS);
	check_signals(NULL);
	check_signals(&none); /* handlers were copied: not believed */
}

START_TEST(test_without_clone3)
{
	char *output;

	ck_assert_int_eq(unit_fork(spawn_without_clone3, NULL, &output), 0);
	/* ignored signals are reset all the same: has_handlers */
	ck_assert_str_eq(output, "");
	free(output);
}
END_TEST

static struct {
	pid_t parent;
	int n_in_parent, n_in_child;
} * handled;

static void count_handled(_unused_ int signo)
{
	bool is_parent = getpid() == handled->parent;

	__atomic_fetch_add(is_parent ? &handled->n_in_parent
				     : &handled->n_in_child,
			   1, __ATOMIC_SEQ_CST);
}

/* Signals our process group, children just born included, all the time. */
static _Noreturn void keep_signalling(void)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };

	(void)sigaction(SIGWINCH, &ignore, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		(void)kill(0, SIGWINCH);
}

static void spawn_under_signals(_unused_ void *arg)
{
	const struct sigaction action = { .sa_handler = count_handled,
					  .sa_flags = SA_RESTART };
	struct spawn_spec spec = { SPAWN_SPEC, .function = return_number,
				   .arg = &(int){ 0 } };
	struct spawn_child child;
	pid_t pid;

	handled = mmap(NULL, sizeof(*handled), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	handled->parent = getpid();
	(void)setpgid(0, 0);
	(void)sigaction(SIGWINCH, &action, NULL);
	pid = fork();
	if (pid == 0)
		keep_signalling();
	while (__atomic_load_n(&handled->n_in_parent, __ATOMIC_SEQ_CST) == 0)
		(void)sched_yield();
	for (int i = 0; i < 100; i++)
		if (spawn_start(&spec, &child) < 0 || take_exit(&child) != 0)
			_exit(1);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	_exit(handled->n_in_child == 0 ? 0 : 2);
}

START_TEST(test_no_handler_runs_in_a_child)
{
	ck_assert_int_eq(unit_fork(spawn_under_signals, NULL, NULL), 0);
}
END_TEST

/* --- the death of the parent ---------------------------------------------- */

static int pause_forever(_unused_ void *arg)
{
	for (;;)
		pause();
	return 0;
}

struct orphan_case {
	bool is_function;
	bool has_credentials;
	int out;
};

/* The middle one of three generations: starts one, says its pid, and waits to
 * be killed. */
static void start_and_wait(const struct orphan_case *c)
{
	const struct spawn_credentials ordinary = ordinary_credentials();
	struct spawn_spec spec = { SPAWN_SPEC, .parent_death_signal = SIGKILL,
				   .new_session = true };
	struct spawn_failure failure;
	struct spawn_child child;

	if (c->is_function)
		spec.function = pause_forever;
	else
		spec.argv = shell("exec sleep 1000");
	spec.credentials = c->has_credentials ? &ordinary : NULL;
	if (spawn_start(&spec, &child) < 0 ||
	    take_report(&child, &failure) != 0)
		_exit(1);
	(void)fd_write_all(c->out, &child.pid, sizeof(child.pid));
	pause_forever(NULL);
}

START_TEST(test_dies_with_its_parent)
{
	for (int i = 0; i < 4; i++) {
		struct orphan_case c = { .is_function = i & 1,
					 .has_credentials = i & 2 };
		pid_t middle, last = 0;
		siginfo_t info = { 0 };
		int pipe[2], pidfd;

		ck_assert_int_eq(pipe2(pipe, O_CLOEXEC), 0);
		c.out = pipe[1];
		middle = fork();
		if (middle == 0)
			start_and_wait(&c);
		fd_close(pipe[1]);
		ck_assert(is_readable(pipe[0]));
		ck_assert_int_eq(read(pipe[0], &last, sizeof(last)),
				 sizeof(last));
		fd_close(pipe[0]);
		pidfd = pidfd_open(last, 0);
		ck_assert_int_ge(pidfd, 0);
		ck_assert_int_eq(kill(middle, SIGKILL), 0);
		ck_assert_int_eq(waitpid(middle, NULL, 0), middle);
		ck_assert_msg(is_readable(pidfd), "case %d lives on", i);
		ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED),
				 0);
		ck_assert_int_eq(info.si_status, SIGKILL);
		fd_close(pidfd);
	}
}
END_TEST

UNIT_MAIN("spawn_signals", test_signals_are_clean, test_without_clone3,
	  test_no_handler_runs_in_a_child, test_dies_with_its_parent)

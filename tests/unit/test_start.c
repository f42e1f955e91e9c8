/* From settings to a process: what is handed to it, and what is said when there
 * can be none. */
#include "supervisor/daemon/start.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/daemon_rig.h"

#define QUIET                                                                  \
	"stdout_logfile = NONE\nredirect_stderr = true\nautostart = false\n"   \
	"startsecs = 0\n"

/* Variables that are ours, whatever the settings say. */
START_TEST(test_environment)
{
	static const char *const names[] = { TREE_MARK_NAME, "REEVE_WORKER",
					     "NOTIFY_SOCKET", "WATCHDOG_USEC",
					     "OWN" };
	const char *values[] = { NULL, "a", NULL, "5000000", "x y" };
	struct worker *a;
	char value[256];

	rig_up("[worker:a]\ncommand = /bin/sleep 1000\nwatchdog_sec = 5\n"
	       "environment = OWN=\"x y\"\n" QUIET);
	a = rig_worker("a");
	ck_assert(worker_tell(a, EVENT_START));
	rig_wait_state(a, STATE_RUNNING);
	values[0] = a->mark;
	values[2] = rig.runtime.notify_path;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ck_assert_int_eq(tree_environment(a->pid, names[i], value,
						  sizeof(value)),
				 0);
		ck_assert_str_eq(value, values[i]);
	}
	ck_assert_uint_eq(strlen(a->mark), TREE_MARK_LEN);
	ck_assert_ptr_eq(fleet_by_pid(&rig.fleet, a->pid), a);
	rig_stop(a);
	rig_settle();
	rig_down();
}
END_TEST

static const struct failure_case {
	const char *settings, *part; /* of the sentence */
} failures[] = {
	{ "command = /nonexistent/reeve\n", "/nonexistent/reeve" },
	{ "command = /etc/passwd\n", "/etc/passwd" },
	{ "command = /bin/true\ndirectory = /nonexistent/dir\n",
	  "/nonexistent/dir" },
};

/* It never became the program: a start that failed, with the reason. */
START_TEST(test_failures_have_words)
{
	char text[512];

	log_init("rig", LOG_FORMAT_PLAIN, LOG_LEVEL_CRITICAL);
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		struct worker *a;

		snprintf(text, sizeof(text),
			 "[worker:a]\n%sstartretries = 0\n" QUIET,
			 failures[i].settings);
		rig_up(text);
		log_init("rig", LOG_FORMAT_PLAIN, LOG_LEVEL_CRITICAL);
		a = rig_worker("a");
		ck_assert(worker_tell(a, EVENT_START));
		rig_wait_state(a, STATE_FATAL);
		ck_assert(a->life.exit.is_exec_failure);
		ck_assert_msg(strstr(a->error, failures[i].part), "%s",
			      a->error);
		rig_settle();
		rig_down();
	}
}
END_TEST

/* No process can be made: our trouble. It is not counted, and tried again. */
START_TEST(test_no_fds)
{
	struct rlimit before, tight;
	struct worker *a;
	int next;

	rig_up("[worker:a]\ncommand = /bin/sleep 1000\n" QUIET);
	log_init("rig", LOG_FORMAT_PLAIN, LOG_LEVEL_CRITICAL);
	a = rig_worker("a");
	next = dup(0);
	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = (rlim_t)next;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
	ck_assert(worker_tell(a, EVENT_START));
	rig_wait_state(a, STATE_BACKOFF);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_ptr_nonnull(strstr(a->error, strerror(EMFILE)));
	ck_assert_uint_eq(a->life.start_failures, 0);
	ck_assert_int_eq(a->pid, 0);
	rig_wait_state(a, STATE_RUNNING);
	rig_stop(a);
	rig_settle();
	rig_down();
}
END_TEST

UNIT_MAIN("start", test_environment, test_failures_have_words, test_no_fds)

/* What happens while a configuration is being read or applied: workers that are
 * slow to end, other reloads, clients that leave, a daemon that is stopping,
 * a helper that hangs; and many reloads in a row. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/daemon/reload.h"
#include "tests/lib/actor.h"
#include "tests/lib/background.h"
#include "tests/lib/process.h"
#include "tests/lib/reloading.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define WAITER	 "command = %s wait\nstartsecs = 0\n"
#define STUBBORN "command = %s ignore TERM print up wait\nstartsecs = 0\n"
#define CRASHER                                                                \
	"command = %s exit 1\nstartsecs = 0\nautorestart = true\n"             \
	"restart_delay = 0\n"
#define FAILER	 "command = %s segv\nstartretries = 1000\nrestart_delay = 0\n"
#define CHILDREN 64

static bool has_worker(struct rig *r, const char *name)
{
	return rig_reeve(r, NULL, NULL, "status", "-q", name, NULL) != 4;
}

/* ---- workers that are slow to end ----------------------------------------- */

START_TEST(test_removed_and_added_again)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\nstopwaitsecs = 1\n" STUBBORN
				  "[worker:b]\n" WAITER,
				  actor(), actor());
	pid_t a;

	rig_wait_file(rig_path(r, "log/a.out.log"), "up");
	a = rig_pid(r, "a");
	rig_write_config(r, "[worker:b]\n" WAITER, actor());
	free(rig_reload(r));
	ck_assert_str_eq(rig_row(r, "a").state, "STOPPING");
	/* while it is leaving it cannot be started */
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "a", NULL), 1);
	rig_write_config(r,
			 "[worker:a]\nstopwaitsecs = 1\n" STUBBORN
			 "[worker:b]\n" WAITER,
			 actor(), actor());
	free(rig_reload(r));
	ck_assert_int_eq(rig_pid(r, "a"), a); /* one at a time */
	rig_wait_replaced(r, "a", a);
	ck_assert(!rig_is_alive(a));
	ck_assert_uint_eq(rig_count(r, ""), 2);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Added again with another command: it is that one that runs at last. */
START_TEST(test_removed_and_added_differently)
{
	struct rig *r = rig_start(
		0, "[worker:a]\nstopwaitsecs = 0.5\n" STUBBORN, actor());

	rig_wait_file(rig_path(r, "log/a.out.log"), "up");
	rig_write_config(r, "[worker:b]\n" WAITER, actor());
	free(rig_reload(r));
	rig_write_config(r,
			 "[worker:a]\ncommand = %s print other wait\n"
			 "startsecs = 0\n",
			 actor());
	free(rig_reload(r));
	rig_wait_file(rig_path(r, "log/a.out.log"), "other");
	rig_wait(r, "a", "RUNNING");
	while (has_worker(r, "b"))
		;
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Changed, and changed back before the old process was gone: the last word
 * counts, whatever was to come next. */
START_TEST(test_changed_and_changed_back)
{
	static const char *const words[] = { "one", "two", "one", "two" };
	struct rig *r = rig_start(0,
				  "[worker:a]\nstopwaitsecs = 1\n"
				  "command = %s ignore TERM print one wait\n"
				  "startsecs = 0\n",
				  actor());
	char *before, *after;
	pid_t a;

	for (size_t n = 2; n <= 4; n++) {
		rig_wait(r, "a", "RUNNING");
		rig_wait_file(rig_path(r, "log/a.out.log"), words[0]);
		a = rig_pid(r, "a");
		before = rig_read_file(rig_path(r, "log/a.out.log"));
		for (size_t i = 1; i < n; i++) {
			rig_write_config(r,
					 "[worker:a]\nstopwaitsecs = 1\n"
					 "command = %s ignore TERM print "
					 "%s wait\nstartsecs = 0\n",
					 actor(), words[i]);
			free(rig_reload(r));
		}
		rig_wait_replaced(r, "a", a);
		after = NULL;
		do { /* until the new one has written its line */
			free(after);
			after = rig_read_file(rig_path(r, "log/a.out.log"));
		} while (strlen(after) <= strlen(before));
		ck_assert_ptr_nonnull(
			strstr(after + strlen(before), words[n - 1]));
		free(before);
		free(after);
		/* and the next round begins with "one" again */
		rig_write_config(r,
				 "[worker:a]\nstopwaitsecs = 0\n"
				 "command = %s ignore TERM print one wait\n"
				 "startsecs = 0\n",
				 actor());
		free(rig_reload(r));
		rig_wait(r, "a", "RUNNING");
		rig_write_config(r,
				 "[worker:a]\nstopwaitsecs = 1\n"
				 "command = %s ignore TERM print one wait\n"
				 "startsecs = 0\n",
				 actor());
		free(rig_reload(r));
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Crashing for ever all the while: workers come and go as they are told. */
START_TEST(test_while_workers_crash)
{
	struct rig *r = rig_start(0, "[worker:still]\n" WAITER, actor());
	pid_t still;

	rig_wait(r, "still", "RUNNING");
	still = rig_pid(r, "still");
	for (int i = 0; i < 10; i++) {
		rig_write_config(r,
				 "[worker:still]\n" WAITER
				 "[worker:crash%d]\n" CRASHER
				 "[worker:fail%d]\n" FAILER
				 "[worker:same]\nnice = %d\n" CRASHER,
				 actor(), i % 3, actor(), i % 2, actor(), i % 2,
				 actor());
		free(rig_reload(r));
		ck_assert_int_eq(rig_pid(r, "still"), still);
	}
	rig_write_config(r, "[worker:still]\n" WAITER, actor());
	free(rig_reload(r));
	while (rig_count(r, "") > 1)
		;
	ck_assert_int_eq(rig_pid(r, "still"), still);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- while the helper reads ------------------------------------------------ */

/* A reload whose helper is stopped in the middle. */
struct held {
	struct background client;
	pid_t helper;
};

/* 700,000 lines of comment, so that the helper can be caught. */
static void write_slow_config(struct rig *r, const char *ini)
{
	FILE *f = fopen(rig_path(r, "slow.ini"), "we");

	ck_assert_ptr_nonnull(f);
	for (int i = 0; i < 700000; i++)
		fputs("; slow\n", f);
	ck_assert_int_eq(fclose(f), 0);
	rig_write_config(r, "[include]\nfiles = slow.ini\n%s", ini);
}

static pid_t find_new_child(pid_t parent, const pid_t *known, size_t n_known)
{
	pid_t children[CHILDREN];
	size_t n = process_helpers(parent, children, CHILDREN);

	for (size_t i = 0; i < n; i++) {
		bool is_new = true;

		for (size_t k = 0; k < n_known; k++)
			is_new = is_new && children[i] != known[k];
		if (is_new)
			return children[i];
	}
	return 0;
}

/* Starts `reeve reload WORD` and stops its helper; again when that was too
 * fast to be caught. No worker may start meanwhile. */
static struct held hold(struct rig *r, const char *word)
{
	pid_t daemon = rig_daemon_pid(r), known[CHILDREN];
	size_t n = process_children(daemon, known, CHILDREN);
	struct held h;
	int code;

	for (;;) {
		h.client = background_start(r, "held", "reload", word, NULL);
		h.helper = 0;
		while (h.helper == 0 && !background_has_ended(&h.client, &code))
			h.helper = find_new_child(daemon, known, n);
		if (h.helper == 0)
			continue;
		kill(h.helper, SIGSTOP);
		while (process_state(h.helper) != 'T' &&
		       process_state(h.helper) != '\0')
			; /* a moment */
		if (process_state(h.helper) == 'T')
			return h;
		(void)background_wait(&h.client);
	}
}

static struct rig *start_waiter(pid_t *ret_pid)
{
	struct rig *r = rig_start(0, "[worker:a]\n" WAITER, actor());

	rig_wait(r, "a", "RUNNING");
	*ret_pid = rig_pid(r, "a");
	return r;
}

static const char *with_b(void)
{
	static char ini[1024];

	snprintf(ini, sizeof(ini), "[worker:a]\n" WAITER "[worker:b]\n" WAITER,
		 actor(), actor());
	return ini;
}

START_TEST(test_one_at_a_time)
{
	pid_t a;
	struct rig *r = start_waiter(&a);
	struct held h;
	char *problems;

	write_slow_config(r, with_b());
	h = hold(r, NULL);
	ck_assert_int_eq(rig_reeve(r, NULL, &problems, "reload", NULL), 1);
	ck_assert_ptr_nonnull(strstr(problems, "another reload is under way"));
	free(problems);
	ck_assert_uint_eq(rig_count(r, ""), 1); /* and others are served */
	ck_assert_int_eq(kill(h.helper, SIGCONT), 0);
	ck_assert_int_eq(background_wait(&h.client), 0);
	rig_wait(r, "b", "RUNNING");
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* A signal cannot be told to come again: it is remembered, also while another
 * client only looks. */
START_TEST(test_signal_is_not_lost)
{
	pid_t a;
	struct rig *r = start_waiter(&a);
	struct held h;

	write_slow_config(r, with_b());
	h = hold(r, "--dry-run");
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGHUP), 0);
	for (int i = 0; i < 10; i++) { /* it has been seen by then */
		ck_assert_uint_eq(rig_count(r, ""), 1);
		(void)poll(NULL, 0, 3);
	}
	ck_assert_int_eq(kill(h.helper, SIGCONT), 0);
	ck_assert_int_eq(background_wait(&h.client), 0);
	rig_wait_log(r, "reload: add worker=b");
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_client_that_leaves)
{
	pid_t a;
	struct rig *r = start_waiter(&a);
	struct held h;

	write_slow_config(r, with_b());
	h = hold(r, NULL);
	ck_assert_int_eq(kill(h.client.pid, SIGKILL), 0);
	ck_assert_int_eq(background_wait(&h.client), -SIGKILL);
	rig_wait(r, "a", "RUNNING"); /* the daemon has been round since */
	ck_assert_int_eq(kill(h.helper, SIGCONT), 0);
	rig_wait_log(r, "reload: add worker=b");
	rig_wait(r, "b", "RUNNING");
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* As when a file server or a directory service does not answer. */
START_TEST(test_helper_that_hangs)
{
	uint64_t start = clock_monotonic_usec();
	pid_t a;
	struct rig *r = start_waiter(&a);
	struct held h;
	char *problems;

	write_slow_config(r, with_b());
	h = hold(r, NULL);
	ck_assert_int_eq(background_wait(&h.client), 6);
	ck_assert_uint_ge(clock_monotonic_usec() - start, RELOAD_TIMEOUT_USEC);
	problems = rig_read_file(h.client.err);
	ck_assert_ptr_nonnull(strstr(problems, "takes too long"));
	free(problems);
	rig_wait_gone(h.helper);
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_uint_eq(rig_count(r, ""), 1);
	rig_write_config(r, "%s", with_b());
	free(rig_reload(r)); /* the next one is not in its way */
	rig_wait(r, "b", "RUNNING");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Nothing is known of the user's names then: nothing must change. */
START_TEST(test_helper_that_dies)
{
	pid_t a;
	struct rig *r = start_waiter(&a);
	struct held h;
	char *problems, ini[2048];

	snprintf(ini, sizeof(ini), "%suser = root\n", with_b());
	write_slow_config(r, ini);
	h = hold(r, NULL);
	ck_assert_int_eq(kill(h.helper, SIGKILL), 0);
	ck_assert_int_eq(background_wait(&h.client), 6);
	problems = rig_read_file(h.client.err);
	ck_assert_msg(strstr(problems, "reeve.ini:14: error"), "%s", problems);
	free(problems);
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_uint_eq(rig_count(r, ""), 1);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- while the daemon stops ------------------------------------------------ */

START_TEST(test_stop_during_reload)
{
	pid_t a;
	struct rig *r = start_waiter(&a);
	struct held h;
	char *problems;

	write_slow_config(r, with_b());
	h = hold(r, NULL);
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGTERM), 0);
	ck_assert_int_eq(background_wait(&h.client), 1);
	problems = rig_read_file(h.client.err);
	ck_assert_msg(strstr(problems, "reeved is stopping"), "%s", problems);
	free(problems);
	ck_assert_int_eq(rig_join(r), 0); /* and the helper is gone too */
}
END_TEST

START_TEST(test_reload_during_stop)
{
	struct rig *r = rig_start(
		0, "[worker:a]\nstopwaitsecs = 1.5\n" STUBBORN, actor());
	char *problems;

	rig_wait_file(rig_path(r, "log/a.out.log"), "up");
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGTERM), 0);
	rig_wait(r, "a", "STOPPING");
	rig_write_config(r, "%s", with_b());
	ck_assert_int_eq(rig_reeve(r, NULL, &problems, "reload", NULL), 1);
	ck_assert_ptr_nonnull(strstr(problems, "reeved is stopping"));
	free(problems);
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGHUP), 0);
	ck_assert_uint_eq(rig_count(r, ""), 1);
	ck_assert_int_eq(rig_join(r), 0);
}
END_TEST

/* ---- many ------------------------------------------------------------------ */

/* Back and forth between two configurations that differ in all that can. */
static void write_alternately(struct rig *r, int i)
{
	rig_write_config(r,
			 "[worker:same]\n" WAITER
			 "[worker:updated]\npriority = %d\n" WAITER
			 "[worker:restarted]\nenvironment = I=\"%d\"\n" WAITER
			 "[worker:come-and-go-%d]\n" WAITER
			 "[worker:many]\nnumprocs = %d\n" WAITER,
			 actor(), i % 2, actor(), i % 2, actor(), i % 2,
			 actor(), 2 + i % 2, actor());
}

static void wait_settled(struct rig *r, int i)
{
	while (rig_count(r, "") != (size_t)(6 + i % 2) ||
	       rig_count(r, "RUNNING") != (size_t)(6 + i % 2))
		;
}

/* The workers and the spawner; helpers are reaped a little after their end. */
static void wait_for_children(pid_t daemon, size_t n)
{
	pid_t children[CHILDREN];

	while (process_children(daemon, children, CHILDREN) != n)
		;
}

START_TEST(test_storm_leaks_nothing)
{
	enum { WARM_UP = 10, ROUNDS = 50 };
	pid_t daemon, same;
	size_t fds = 0;
	struct rig *r;
	long kb = 0;

	/* A sanitizer keeps what was freed for a while: here that would look
	 * like a leak. */
	ck_assert_int_eq(setenv("ASAN_OPTIONS",
				"quarantine_size_mb=0:"
				"thread_local_quarantine_size_kb=0",
				1),
			 0);
	r = rig_start(0, "[worker:same]\n" WAITER, actor());
	daemon = rig_daemon_pid(r);
	rig_wait(r, "same", "RUNNING");
	same = rig_pid(r, "same");
	for (int i = 0; i <= WARM_UP + ROUNDS; i++) {
		write_alternately(r, i);
		free(rig_reload(r));
		if (i == WARM_UP) {
			wait_settled(r, i);
			wait_for_children(daemon, 6 + 1);
			fds = process_count_fds(daemon);
			kb = process_anonymous_kb(daemon);
		}
	}
	wait_settled(r, WARM_UP + ROUNDS);
	wait_for_children(daemon, 6 + 1);
	ck_assert_int_eq(rig_pid(r, "same"), same);
	ck_assert_uint_le(process_count_fds(daemon), fds);
	ck_assert_int_le(process_anonymous_kb(daemon), kb + 256);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("reload_races", test_removed_and_added_again,
	  test_removed_and_added_differently, test_changed_and_changed_back,
	  test_while_workers_crash, test_one_at_a_time, test_signal_is_not_lost,
	  test_client_that_leaves, test_helper_that_hangs,
	  test_helper_that_dies, test_stop_during_reload,
	  test_reload_during_stop, test_storm_leaks_nothing)

/* Many hands at once: start, stop, restart, recycle, kill and reload the same
 * ten workers for some seconds, in an order that a seed decides. Whatever came
 * of each request, at the end the daemon does as it is told: stopped means that
 * nothing is alive, started means one process each, and nothing was leaked. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/actor.h"
#include "tests/lib/background.h"
#include "tests/lib/process.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define SEED	    20240229
#define HANDS	    4 /* one user may have 8 connections, some of them closing */
#define SECONDS	    4
#define ACTS_MIN    50
#define N_WORKERS   10
#define N_PROCESSES 12 /* two have a child */
#define LOOK_MSEC   3

/* Two configurations: odd ones differ in what needs a restart. */
static void write_workers(struct rig *r, uint64_t variant)
{
	rig_write_config(
		r,
		"environment = RIG=\"%s\"\n"
		"[worker:plain]\ncommand = %s wait\nstartsecs = 0\n"
		"[worker:set]\ncommand = %s wait\nnumprocs = 4\n"
		"startsecs = 0\nrecycle_max = 2\n"
		"[worker:stubborn]\ncommand = %s ignore TERM wait\n"
		"startsecs = 0\nstopwaitsecs = 0.05\nnumprocs = 2\n"
		"[worker:parent]\ncommand = %s daemon { setsid ignore TERM "
		"wait } wait\nstartsecs = 0\nnumprocs = 2\n"
		"stopwaitsecs = 0.05\nrestart_delay = 0.05\n"
		"environment = VARIANT=\"%d\"\n"
		"[worker:notify]\ncommand = %s pause 10 notify READY=1 wait\n"
		"type = notify\npriority = %d\n",
		rig_dir(r), actor(), actor(), actor(), actor(),
		(int)(variant % 2), actor(), (int)(variant % 2));
}

static size_t count_alive(struct rig *r)
{
	char mark[300];

	snprintf(mark, sizeof(mark), "RIG=%s", rig_dir(r));
	return process_count_marked(mark);
}

/* Until so many are alive: what was just started may still be forking. */
static void wait_alive(struct rig *r, size_t n)
{
	for (int i = 0; i < 1000 && count_alive(r) != n; i++)
		(void)poll(NULL, 0, LOOK_MSEC);
	ck_assert_uint_eq(count_alive(r), n);
}

static const char *const names[] = { "plain",	 "set:0",    "set:1",
				     "set:*",	 "stubborn", "stubborn:1",
				     "parent:0", "parent:*", "notify",
				     "s*",	 "all" };
static const char *const verbs[][2] = {
	{ "start", NULL },   { "start", "--no-wait" },	 { "stop", NULL },
	{ "stop", "--now" }, { "stop", "--no-wait" },	 { "restart", NULL },
	{ "restart", NULL }, { "restart", "--no-wait" }, { "recycle", NULL },
	{ "status", NULL },
};

static struct background act(struct rig *r, struct rng *rng, size_t hand)
{
	const char *name = names[rng_below(rng, ARRAY_SIZE(names))];
	const char *const *verb = verbs[rng_below(rng, ARRAY_SIZE(verbs))];
	char file[16];

	snprintf(file, sizeof(file), "hand%zu", hand);
	if (rng_below(rng, 8) == 0) {
		write_workers(r, rng_below(rng, 2));
		return background_start(r, file, "reload", NULL);
	}
	return background_start(r, file, verb[0], name, verb[1], NULL);
}

/* One dies by itself now and then. */
static bool kill_one(struct rig *r, struct rng *rng)
{
	static const char *const victims[] = { "plain", "set:2", "stubborn:0",
					       "parent:1", "notify" };
	const char *name = victims[rng_below(rng, ARRAY_SIZE(victims))];
	pid_t pid = rig_row(r, name).pid;

	return pid > 0 && kill(pid, SIGKILL) == 0;
}

static void hammer(struct rig *r)
{
	uint64_t end = usec_add(clock_monotonic_usec(), SECONDS * USEC_PER_SEC);
	struct rng rng = { .state = SEED };
	struct background hands[HANDS];
	size_t n_acts = 0, n_kills = 0;
	int code;

	for (size_t i = 0; i < HANDS; i++)
		hands[i] = act(r, &rng, i);
	/* a busy machine takes longer for as many */
	while (clock_monotonic_usec() < end || n_acts < ACTS_MIN) {
		for (size_t i = 0; i < HANDS; i++) {
			if (!background_has_ended(&hands[i], &code))
				continue;
			ck_assert_msg(code >= 0 && code < 7,
				      "reeve ended with %d", code);
			hands[i] = act(r, &rng, i);
			n_acts++;
		}
		if (rng_below(&rng, 20) == 0)
			n_kills += kill_one(r, &rng);
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	for (size_t i = 0; i < HANDS; i++) /* none of them hangs */
		(void)background_wait(&hands[i]);
	unit_count(n_acts, "acts");
	unit_count(n_kills, "kills");
}

static void check_hammered(int flags)
{
	struct rig *r = rig_start(flags, "\n");
	size_t fds;

	write_workers(r, 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reload", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "all", NULL), 0);
	wait_alive(r, N_PROCESSES);
	fds = process_count_fds(rig_daemon_pid(r));
	hammer(r);
	write_workers(r, 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reload", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "all", NULL), 0);
	ck_assert_uint_eq(rig_count(r, "STOPPED"), N_WORKERS);
	ck_assert_uint_eq(count_alive(r), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "all", NULL), 0);
	ck_assert_uint_eq(rig_count(r, "RUNNING"), N_WORKERS);
	wait_alive(r, N_PROCESSES);
	ck_assert_uint_eq(process_count_fds(rig_daemon_pid(r)), fds);
	ck_assert_int_eq(rig_stop(r), 0);
}

START_TEST(test_many_hands)
{
	check_hammered(0);
}
END_TEST

START_TEST(test_many_hands_without_cgroup)
{
	check_hammered(RIG_NO_CGROUP);
}
END_TEST

UNIT_MAIN("races", test_many_hands, test_many_hands_without_cgroup)

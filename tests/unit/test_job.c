/* Every job is answered: with what came of it, and not with what was before. */
#include "supervisor/daemon/job.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/daemon_rig.h"

#include "tests/unit/control_rig.h"

/* a: rests as it is told to; b: runs until it is stopped; c: fails. */
static const char ini[] =
	"[worker:a]\nautostart = false\ncommand = /bin/sleep 1000\n"
	"startsecs = 0\nstdout_logfile = NONE\nredirect_stderr = true\n"
	"[worker:c]\nautostart = false\ncommand = /nonexistent/reeve-test\n"
	"startretries = 0\nstdout_logfile = NONE\nredirect_stderr = true\n";

/* Up to four events that are told just before the request is served, when the
 * queue has been emptied. */
static struct worker *hooked;
static enum worker_event hooks[4];
static size_t n_hooks;

static int on_request(sd_bus_message *m _unused_, void *userdata _unused_,
		      sd_bus_error *error _unused_)
{
	for (size_t i = 0; i < n_hooks; i++)
		ck_assert(worker_tell(hooked, hooks[i]));
	n_hooks = 0;
	return 0;
}

static sd_bus *connect_hooked(void)
{
	sd_bus *bus = rig_connect();

	while (LIST_EMPTY(&rig.control.clients))
		(void)rig_run(100 * USEC_PER_MSEC);
	ck_assert_int_ge(
		sd_bus_add_filter(LIST_FIRST(&rig.control.clients)->bus, NULL,
				  on_request, NULL),
		0);
	return bus;
}

static void ask(sd_bus *bus, const char *member, const char *worker,
		uint32_t flags, struct rig_answer *ret_answer)
{
	sd_bus_message *m = rig_call(bus, member);

	ck_assert_int_ge(sd_bus_message_append(m, "asu", 1, worker, flags), 0);
	rig_send(bus, m, ret_answer);
}

static void ask_wait(sd_bus *bus, const char *worker, const char *state,
		     uint64_t usec, struct rig_answer *ret_answer)
{
	sd_bus_message *m = rig_call(bus, "Wait");

	ck_assert_int_ge(
		sd_bus_message_append(m, "asst", 1, worker, state, usec), 0);
	rig_send(bus, m, ret_answer);
}

#define NOTHING EVENT_COUNT

static const struct job_case {
	const char *worker;
	enum worker_state before; /* STOPPED or RUNNING */
	enum worker_event queued[2];
	const char *verb;
	uint32_t flags;
	const char *result;
	enum worker_state after;
} cases[] = {
#define X(worker, before, q0, q1, verb, flags, result, after)                  \
	{                                                                      \
		worker, STATE_##before, { q0, q1 }, verb, flags,               \
			RESULT_##result, STATE_##after                         \
	}
	X("a", STOPPED, NOTHING, NOTHING, "Start", 0, DONE, RUNNING),
	X("a", RUNNING, NOTHING, NOTHING, "Start", 0, ALREADY, RUNNING),
	X("a", STOPPED, NOTHING, NOTHING, "Stop", 0, ALREADY, STOPPED),
	X("a", RUNNING, NOTHING, NOTHING, "Stop", 0, DONE, STOPPED),
	X("a", RUNNING, NOTHING, NOTHING, "Restart", 0, DONE, RUNNING),
	X("a", STOPPED, NOTHING, NOTHING, "Restart", 0, DONE, RUNNING),
	X("a", RUNNING, NOTHING, NOTHING, "Recycle", 0, DONE, RUNNING),
	X("a", STOPPED, NOTHING, NOTHING, "Recycle", 0, FAILED, STOPPED),
	X("c", STOPPED, NOTHING, NOTHING, "Start", 0, FAILED, FATAL),
	X("a", STOPPED, NOTHING, NOTHING, "Start", VERB_NO_WAIT, ACCEPTED,
	  RUNNING),
	/* Something else is queued: what changes nothing is answered, too. */
	X("a", RUNNING, EVENT_READY, NOTHING, "Start", 0, DONE, RUNNING),
	X("a", STOPPED, EVENT_READY, NOTHING, "Stop", 0, DONE, STOPPED),
	/* and what went before is not taken for what was asked for */
	X("a", RUNNING, EVENT_STOP_NOW, NOTHING, "Start", 0, DONE, RUNNING),
	X("a", STOPPED, EVENT_START, NOTHING, "Stop", 0, DONE, STOPPED),
	X("a", STOPPED, EVENT_START, EVENT_STOP, "Restart", 0, DONE, RUNNING),
#undef X
};

static void check_case(sd_bus *bus, const struct job_case *c)
{
	struct worker *w = rig_worker(c->worker);
	struct rig_answer answer;

	if (c->before == STATE_RUNNING)
		ck_assert(worker_tell(w, EVENT_START));
	rig_wait_state(w, c->before);
	rig_settle();
	hooked = w;
	for (size_t i = 0; i < 2; i++)
		if (c->queued[i] != NOTHING)
			hooks[n_hooks++] = c->queued[i];
	ask(bus, c->verb, c->worker, c->flags, &answer);
	rig_wait_answer(&answer);
	ck_assert_str_eq(rig_result(&answer), c->result);
	rig_answer_done(&answer);
	rig_wait_state(w, c->after);
	ck_assert(LIST_EMPTY(&rig.control.jobs));
	ck_assert(LIST_EMPTY(&w->items));
	rig_stop(w);
}

START_TEST(test_each_verb_is_answered)
{
	sd_bus *bus;

	rig_up(ini);
	log_init("rig", LOG_FORMAT_PLAIN, LOG_LEVEL_CRITICAL);
	rig_listen();
	bus = connect_hooked();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_case(bus, &cases[i]);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

/* BACKOFF, then STOP and START at once: the STOPPED in between is not it. */
START_TEST(test_start_behind_a_stop)
{
	struct rig_answer answer;
	struct worker *a;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = connect_hooked();
	a = rig_worker("a");
	a->life.state = STATE_BACKOFF;
	a->life.deadline_usec = USEC_INFINITY;
	hooked = a;
	hooks[n_hooks++] = EVENT_STOP;
	ask(bus, "Start", "a", 0, &answer);
	rig_wait_answer(&answer);
	ck_assert_str_eq(rig_result(&answer), RESULT_DONE);
	rig_answer_done(&answer);
	rig_stop(a);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

START_TEST(test_wait)
{
	struct rig_answer there, later, never;
	struct worker *a;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	a = rig_worker("a");
	ask_wait(bus, "a", "STOPPED", USEC_PER_MINUTE, &there);
	ask_wait(bus, "a", "RUNNING", USEC_PER_MINUTE, &later);
	ask_wait(bus, "a", "FATAL", 1, &never);
	rig_wait_answer(&there);
	rig_wait_answer(&never);
	ck_assert_str_eq(rig_result(&there), RESULT_ALREADY);
	ck_assert_str_eq(rig_result(&never), RESULT_TIMEOUT);
	ck_assert_ptr_null(later.reply);
	ck_assert(worker_tell(a, EVENT_START));
	rig_wait_answer(&later);
	ck_assert_str_eq(rig_result(&later), RESULT_DONE);
	rig_answer_done(&there);
	rig_answer_done(&later);
	rig_answer_done(&never);
	rig_stop(a);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

/* Who still waits when reeved ends is told so. */
START_TEST(test_end)
{
	struct rig_answer answer;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	ask_wait(bus, "a", "RUNNING", USEC_PER_MINUTE, &answer);
	while (LIST_EMPTY(&rig.control.jobs))
		(void)rig_run(100 * USEC_PER_MSEC);
	rig_settle();
	control_done(&rig);
	ck_assert(LIST_EMPTY(&rig.control.jobs));
	ck_assert(LIST_EMPTY(&rig_worker("a")->items));
	rig_wait_answer(&answer);
	ck_assert_str_eq(rig_error(&answer), REEVE_ERROR_STOPPING);
	rig_answer_done(&answer);
	rig_disconnect(bus);
	rig_down();
}
END_TEST

/* No client takes all; and its jobs leave with it. */
START_TEST(test_bounds)
{
	struct rig_answer answers[JOBS_PER_CLIENT + 1];
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		ask_wait(bus, "a", "RUNNING", USEC_PER_MINUTE, &answers[i]);
	rig_wait_answer(&answers[JOBS_PER_CLIENT]);
	ck_assert_ptr_nonnull(rig_error(&answers[JOBS_PER_CLIENT]));
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		rig_answer_done(&answers[i]);
	rig_disconnect(bus);
	while (!LIST_EMPTY(&rig.control.clients))
		(void)rig_run(100 * USEC_PER_MSEC);
	ck_assert(LIST_EMPTY(&rig.control.jobs));
	ck_assert(LIST_EMPTY(&rig_worker("a")->items));
	control_done(&rig);
	rig_down();
}
END_TEST

UNIT_MAIN("job", test_each_verb_is_answered, test_start_behind_a_stop,
	  test_wait, test_end, test_bounds)

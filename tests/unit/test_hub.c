/* The loop's own fds and timers: order, batches, and what callbacks may do. */
#include "supervisor/daemon/hub.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define N_WATCHES 600 /* more than two batches */

static struct hub hub;
static char order[64];
static size_t n_order;
static struct watch watches[N_WATCHES];
static unsigned n_calls;

static void note(char c)
{
	if (n_order < sizeof(order) - 1)
		order[n_order++] = c;
	order[n_order] = '\0';
}

static void on_turn(void *userdata)
{
	note('t');
	(void)userdata;
}

static void setup(void)
{
	n_order = 0;
	n_calls = 0;
	ck_assert_int_eq(hub_init(&hub, on_turn, NULL), 0);
	ck_assert_int_eq(hub_reserve_timers(&hub, 16), 0);
}

static int make_event(unsigned value)
{
	int fd = eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void run_once(void)
{
	ck_assert_int_ge(sd_event_run(hub.event, 1000000), 0);
}

static void drop(struct watch *w)
{
	int fd = w->fd;

	hub_unwatch(&hub, w);
	close(fd);
}

static void on_urgent(struct watch *w, uint32_t revents _unused_)
{
	note('u');
	drop(w);
	hub_request_turn(&hub);
	hub_request_turn(&hub);
}

static void on_bulk(struct watch *w, uint32_t revents _unused_)
{
	note('b');
	drop(w);
}

static void on_time(struct timer *t _unused_, uint64_t now _unused_)
{
	note('m');
}

START_TEST(test_order_of_a_turn)
{
	struct watch urgent = { make_event(1), HUB_URGENT, on_urgent };
	struct watch bulk = { make_event(1), HUB_BULK, on_bulk };
	struct timer timer = { .on_time = on_time };

	setup();
	ck_assert_int_eq(hub_watch(&hub, &bulk, EPOLLIN), 0);
	ck_assert_int_eq(hub_watch(&hub, &urgent, EPOLLIN), 0);
	hub_arm(&hub, &timer, 1);
	for (int i = 0; i < 4; i++)
		run_once();
	/* two requests made one turn */
	ck_assert_str_eq(order, "umtb");
	hub_done(&hub);
}
END_TEST

/* Each callback takes its neighbour away: the batch must not call the dead. */
static void on_pair(struct watch *w, uint32_t revents _unused_)
{
	size_t i = (size_t)(w - watches);

	n_calls++;
	drop(w);
	if (watches[i ^ 1].fd >= 0)
		drop(&watches[i ^ 1]);
}

START_TEST(test_callbacks_may_unwatch_others)
{
	setup();
	for (size_t i = 0; i < N_WATCHES; i++) {
		watches[i] =
			(struct watch){ make_event(1), HUB_URGENT, on_pair };
		ck_assert_int_eq(hub_watch(&hub, &watches[i], EPOLLIN), 0);
	}
	while (n_calls < N_WATCHES / 2)
		run_once();
	for (size_t i = 0; i < N_WATCHES; i++)
		ck_assert_int_eq(watches[i].fd, -1);
	ck_assert_uint_eq(n_calls, N_WATCHES / 2);
	hub_done(&hub);
}
END_TEST

static struct timer timers[3];

static void on_first(struct timer *t _unused_, uint64_t now _unused_)
{
	note('1');
	hub_disarm(&hub, &timers[1]); /* due as well, and taken back */
	hub_arm(&hub, &timers[2], 2); /* due, and only now made */
}

static void on_second(struct timer *t _unused_, uint64_t now _unused_)
{
	note('2');
}

static void on_third(struct timer *t _unused_, uint64_t now _unused_)
{
	note('3');
}

START_TEST(test_timers)
{
	setup();
	timers[0] = (struct timer){ .on_time = on_first };
	timers[1] = (struct timer){ .on_time = on_second };
	timers[2] = (struct timer){ .on_time = on_third };
	hub_arm(&hub, &timers[1], 5);
	hub_arm(&hub, &timers[0], 4);
	run_once();
	ck_assert_str_eq(order, "13");
	/* never, and moved from far to now */
	hub_arm(&hub, &timers[0], USEC_INFINITY);
	hub_arm(&hub, &timers[1], clock_monotonic_usec() + USEC_PER_HOUR);
	hub_arm(&hub, &timers[1], clock_monotonic_usec() + 1000);
	run_once();
	ck_assert_str_eq(order, "132");
	ck_assert_ptr_null(heap_first(&hub.timers));
	hub_done(&hub);
}
END_TEST

START_TEST(test_watch_errors)
{
	struct watch file = { -1, HUB_URGENT, on_urgent };

	setup();
	file.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_lt(hub_watch(&hub, &file, EPOLLIN), 0);
	drop(&file);
	hub_unwatch(&hub, &file); /* idle: nothing */
	hub_done(&hub);
}
END_TEST

UNIT_MAIN("hub", test_order_of_a_turn, test_callbacks_may_unwatch_others,
	  test_timers, test_watch_errors)

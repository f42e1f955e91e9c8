/* The inbox: last words count, and nobody talks everybody else down. */
#include "supervisor/daemon/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/daemon_rig.h"

static const char ini[] = "[worker:a]\ntype = notify\nwatchdog_sec = 1h\n"
			  "command = /bin/true\nautorestart = false\n"
			  "[worker:b]\ntype = notify\n"
			  "command = /bin/true\nautorestart = false\n";

static bool say(const char *text, int flags)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s",
		 rig.runtime.notify_path);
	n = sendto(fd, text, strlen(text), flags, (struct sockaddr *)&to,
		   sizeof(to));
	close(fd);
	return n == (ssize_t)strlen(text);
}

/* ---- last words -------------------------------------------------------------- */

static void say_ready(void *arg _unused_)
{
	_exit(say("READY=1", 0) ? 0 : 1);
}

static void hand_over(void *arg)
{
	char text[64];
	pid_t heir = fork();

	if (heir == 0) {
		(void)prctl(PR_SET_PDEATHSIG, 0);
		for (;;)
			pause();
	}
	*(pid_t *)arg = heir;
	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d", (int)heir);
	_exit(say(text, 0) ? 0 : 1);
}

/* The death is acted on before the message came to its turn. */
START_TEST(test_ready_before_death)
{
	struct worker *a;

	rig_up(ini);
	a = rig_worker("a");
	rig_fork(a, say_ready, NULL);
	rig_wait_dead(a->pidfd.fd);
	reap_leader(a);
	ck_assert(worker_is_told(a, EVENT_READY));
	rig_settle();
	ck_assert_int_eq(a->life.state, STATE_EXITED);
	ck_assert_uint_ne(a->life.ready_usec, 0);
	rig_down();
}
END_TEST

START_TEST(test_main_pid_before_death)
{
	pid_t *heir = mmap(NULL, sizeof(*heir), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct worker *a;

	ck_assert_ptr_ne(heir, MAP_FAILED);
	rig_up(ini);
	a = rig_worker("a");
	rig_fork(a, hand_over, heir);
	rig_wait_dead(a->pidfd.fd);
	reap_leader(a);
	ck_assert_int_eq(a->pid, *heir);
	rig_wait_state(a, STATE_RUNNING);
	rig_stop(a);
	rig_settle();
	rig_down();
}
END_TEST

static void stay(void *arg _unused_)
{
	for (;;)
		pause();
}

/* A heartbeat that has come in time stands in the socket while the watchdog's
 * time is over; and so does READY when the start's is. */
START_TEST(test_timers_hear_first)
{
	struct worker *a;

	rig_up(ini);
	a = rig_worker("a");
	rig_fork(a, stay, NULL);
	fleet_pid_removed(&rig.fleet, a); /* the test speaks in its place */
	a->pid = getpid();
	fleet_pid_added(&rig.fleet, a);
	ck_assert(say("READY=1", 0));
	a->life.deadline_usec = 1;
	a->deadline.on_time(&a->deadline, 1);
	a->watchdog_usec = USEC_PER_HOUR;
	rig_wait_state(a, STATE_RUNNING);
	ck_assert(say("WATCHDOG=1", 0));
	hub_disarm(&rig.hub, &a->watchdog);
	rig.hub.n_looks++;
	a->watchdog.on_time(&a->watchdog, 1);
	ck_assert(!worker_is_told(a, EVENT_WATCHDOG));
	ck_assert(heap_contains(&a->watchdog.node));
	/* and without one */
	hub_disarm(&rig.hub, &a->watchdog);
	rig.hub.n_looks++;
	log_init("rig", LOG_FORMAT_PLAIN, LOG_LEVEL_CRITICAL);
	a->watchdog.on_time(&a->watchdog, 1);
	ck_assert(worker_is_told(a, EVENT_WATCHDOG));
	ck_assert_int_eq(pidfd_send_signal(a->pidfd.fd, SIGKILL, NULL, 0), 0);
	rig_wait_state(a, STATE_EXITED);
	rig_down();
}
END_TEST

/* ---- many words -------------------------------------------------------------- */

static int fill(void)
{
	int n = 0;

	while (n < 4 * INBOX_CATCH_UP_MAX && say("STATUS=x", MSG_DONTWAIT))
		n++;
	return n;
}

START_TEST(test_catch_up_is_bounded)
{
	int n;

	rig_up(ini);
	n = fill();
	ck_assert_int_ge(n, 1);
	ck_assert_uint_le(rig.inbox.queue_max, INBOX_CATCH_UP_MAX);
	rig.inbox.queue_max = MIN((unsigned)n, INBOX_CATCH_UP_MAX) - 1;
	rig.hub.n_looks++;
	inbox_catch_up(&rig);
	ck_assert_uint_eq(rig.inbox.n_refused, rig.inbox.queue_max);
	/* once per look */
	inbox_catch_up(&rig);
	ck_assert_uint_eq(rig.inbox.n_refused, rig.inbox.queue_max);
	rig.hub.n_looks++;
	inbox_catch_up(&rig);
	ck_assert_uint_gt(rig.inbox.n_refused, rig.inbox.queue_max);
	rig_down();
}
END_TEST

/* What the kernel takes fits into one catch-up. */
START_TEST(test_queue_fits)
{
	int n;

	rig_up(ini);
	n = fill();
	if (n <= INBOX_CATCH_UP_MAX)
		ck_assert_uint_ge(rig.inbox.queue_max, n);
	rig_down();
}
END_TEST

static int on_other(sd_event_source *source _unused_, int fd _unused_,
		    uint32_t revents _unused_, void *userdata)
{
	++*(int *)userdata;
	return 0;
}

/* A message is there at each look, and never more than a few: what is less
 * urgent gets its turn all the same. */
START_TEST(test_flood_leaves_turns)
{
	sd_event_source *source;
	int fd = eventfd(1, EFD_CLOEXEC), n_others = 0, n_looks = 0;

	rig_up(ini);
	ck_assert_int_ge(sd_event_add_io(rig.hub.event, &source, fd, EPOLLIN,
					 on_other, &n_others),
			 0);
	(void)sd_event_source_set_priority(source, HUB_PRIORITY_CONTROL);
	for (; n_others < 3 && n_looks < 20 * INBOX_URGENT_MAX; n_looks++) {
		ck_assert(say("STATUS=x", 0));
		(void)rig_run(0);
	}
	ck_assert_int_eq(n_others, 3);
	ck_assert_uint_ge(rig.inbox.n_refused, INBOX_URGENT_MAX);
	sd_event_source_disable_unref(source);
	/* the flood is over: urgent again */
	rig_settle();
	ck_assert_int_eq(rig.inbox.watch.fd, rig.inbox.fd);
	ck_assert_int_eq(rig.inbox.flood.fd, -1);
	close(fd);
	rig_down();
}
END_TEST

UNIT_MAIN("inbox", test_ready_before_death, test_main_pid_before_death,
	  test_timers_hear_first, test_catch_up_is_bounded, test_queue_fits,
	  test_flood_leaves_turns)

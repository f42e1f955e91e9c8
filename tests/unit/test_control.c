/* The control socket's bounds, and who may do what, with clients on the same
 * loop. What well-behaved clients get is tested with the real programs. */
#include "supervisor/daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "tests/unit/daemon_rig.h"

#include "tests/unit/control_rig.h"

#define STRANGER 12345

static const char ini[] = "[worker:a]\ncommand = /bin/true\n"
			  "autostart = false\nstdout_logfile = NONE\n"
			  "redirect_stderr = true\n";

/* ---- who may ----------------------------------------------------------------- */

static const struct may_case {
	uid_t uid;
	gid_t gid, control_gid;
	bool public_status;
	bool may[3]; /* READ, STEER, OWNER */
} may_cases[] = {
	{ 0, 0, (gid_t)-1, false, { true, true, true } },
	{ STRANGER, 5, (gid_t)-1, false, { false, false, false } },
	{ STRANGER, 5, (gid_t)-1, true, { true, false, false } },
	{ STRANGER, 5, 5, false, { true, true, false } },
	{ STRANGER, 5, 6, true, { true, false, false } },
	{ STRANGER, (gid_t)-1, (gid_t)-1, false, { false, false, false } },
};

START_TEST(test_who_may)
{
	rig_up(ini);
	for (size_t i = 0; i < ARRAY_SIZE(may_cases); i++) {
		const struct may_case *m = &may_cases[i];
		struct daemon_settings *ds = &rig.generation->settings->daemon;
		gid_t gid = m->gid;
		struct client c = { .daemon = &rig,
				    .uid = m->uid,
				    .groups = &gid,
				    .n_groups = 1 };

		ds->control_gid = m->control_gid;
		ds->public_status = m->public_status;
		for (int access = ACCESS_READ; access <= ACCESS_OWNER; access++)
			ck_assert_msg(control_may(&c,
						  (enum verb_access)access) ==
					      m->may[access],
				      "case %zu, access %d", i, access);
	}
	rig_down();
}
END_TEST

/* The door is in front of every verb and object. */
START_TEST(test_strangers_are_refused)
{
	struct rig_answer answer;
	sd_bus_message *m;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	while (LIST_EMPTY(&rig.control.clients))
		(void)rig_run(100 * USEC_PER_MSEC);
	LIST_FIRST(&rig.control.clients)->uid = STRANGER;
	LIST_FIRST(&rig.control.clients)->n_groups = 0;
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb *v = &verb_table[i];

		if (!v->member)
			continue;
		m = rig_call(bus, v->member);
		/* right arguments: refused for who asks, not for what */
		if (strcmp(v->in, "as") == 0)
			ck_assert_int_ge(sd_bus_message_append(m, "as", 0), 0);
		else if (strcmp(v->in, "asu") == 0)
			ck_assert_int_ge(
				sd_bus_message_append(m, "asu", 1, "a", 0), 0);
		else if (strcmp(v->in, "asi") == 0)
			ck_assert_int_ge(
				sd_bus_message_append(m, "asi", 1, "a", 9), 0);
		else if (strcmp(v->in, "asst") == 0)
			ck_assert_int_ge(sd_bus_message_append(m, "asst", 1,
							       "a", "STOPPED",
							       UINT64_C(1)),
					 0);
		else if (strcmp(v->in, "u") == 0)
			ck_assert_int_ge(sd_bus_message_append(m, "u", 0), 0);
		else if (strcmp(v->in, "ss") == 0)
			ck_assert_int_ge(sd_bus_message_append(m, "ss", "a",
							       "stdout"),
					 0);
		rig_send(bus, m, &answer);
		rig_wait_answer(&answer);
		ck_assert_str_eq(rig_error(&answer),
				 SD_BUS_ERROR_ACCESS_DENIED);
		rig_answer_done(&answer);
	}
	ck_assert_int_eq(rig.phase, PHASE_RUNNING);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

/* ---- bounds ------------------------------------------------------------------ */

static int connect_raw(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", unit_path("control"));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static bool is_hung_up(int fd)
{
	char c;

	return read(fd, &c, 1) == 0;
}

START_TEST(test_connections_per_user)
{
	int fds[CONTROL_PER_UID + 1];
	size_t n_open = 0;

	rig_up(ini);
	rig_listen();
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_raw();
	rig_settle();
	ck_assert_uint_eq(rig.control.n_clients, CONTROL_PER_UID);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		n_open += !is_hung_up(fds[i]);
	ck_assert_uint_eq(n_open, CONTROL_PER_UID);
	/* one goes, another may come */
	close(fds[0]);
	while (rig.control.n_clients == CONTROL_PER_UID)
		ck_assert(rig_run(RIG_WAIT_USEC));
	fds[0] = connect_raw();
	rig_settle();
	ck_assert_uint_eq(rig.control.n_clients, CONTROL_PER_UID);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	control_done(&rig);
	rig_down();
}
END_TEST

/* Who begins and does not finish is cut off when the time is over. */
START_TEST(test_unfinished_message)
{
	struct client *c;
	int fd;

	rig_up(ini);
	rig_listen();
	fd = connect_raw();
	while (LIST_EMPTY(&rig.control.clients))
		(void)rig_run(100 * USEC_PER_MSEC);
	c = LIST_FIRST(&rig.control.clients);
	ck_assert(heap_contains(&c->unfinished.node));
	ck_assert_uint_le(c->unfinished.node.key,
			  clock_monotonic_usec() + CONTROL_MESSAGE_USEC);
	hub_arm(&rig.hub, &c->unfinished, 1);
	rig_settle();
	ck_assert_uint_eq(rig.control.n_clients, 0);
	ck_assert(is_hung_up(fd));
	close(fd);
	control_done(&rig);
	rig_down();
}
END_TEST

/* No fd is left: the listener rests, and works again when one is. */
START_TEST(test_no_fds)
{
	struct rlimit before, tight;
	int fd, next;

	rig_up(ini);
	log_init("rig", LOG_FORMAT_PLAIN, LOG_LEVEL_CRITICAL);
	rig_listen();
	fd = connect_raw();
	next = dup(fd);
	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = (rlim_t)next;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
	rig_settle(); /* ends: it does not spin */
	ck_assert(rig.control.is_short);
	ck_assert(heap_contains(&rig.control.pause.node));
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	while (rig.control.n_clients == 0)
		ck_assert(rig_run(RIG_WAIT_USEC));
	ck_assert(!rig.control.is_short);
	close(fd);
	control_done(&rig);
	rig_down();
}
END_TEST

UNIT_MAIN("control", test_who_may, test_strangers_are_refused,
	  test_connections_per_user, test_unfinished_message, test_no_fds)

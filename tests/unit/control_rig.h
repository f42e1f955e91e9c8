/* What the tests of the control socket share: clients of the daemon in
 * daemon_rig.h, on the same loop. Included after it, once. */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include "supervisor/daemon/control.h"

/* What came back. */
struct rig_answer {
	sd_bus_slot *slot;
	sd_bus_message *reply; /* NULL: not yet */
};

_unused_ static void rig_listen(void)
{
	rig.control.listen_fd = -1;
	ck_assert_int_eq(control_init(&rig, unit_path("control")), 0);
}

/* A connection that has said Hello is not needed: peer to peer. */
_unused_ static sd_bus *rig_connect(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sd_bus *bus;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", unit_path("control"));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_fd(bus, fd, fd), 0);
	ck_assert_int_ge(sd_bus_negotiate_fds(bus, 1), 0);
	ck_assert_int_ge(sd_bus_start(bus), 0);
	ck_assert_int_ge(sd_bus_attach_event(bus, rig.hub.event,
					     HUB_PRIORITY_CONTROL),
			 0);
	return bus;
}

_unused_ static sd_bus *rig_disconnect(sd_bus *bus)
{
	sd_bus_detach_event(bus);
	return sd_bus_close_unref(bus);
}

static int rig_on_reply(sd_bus_message *m, void *userdata,
			sd_bus_error *error _unused_)
{
	struct rig_answer *answer = userdata;

	answer->reply = sd_bus_message_ref(m);
	return 0;
}

/* A new call of one of our verbs; append its arguments, then rig_send. */
_unused_ static sd_bus_message *rig_call(sd_bus *bus, const char *member)
{
	sd_bus_message *m;

	ck_assert_int_ge(sd_bus_message_new_method_call(
				 bus, &m, REEVE_BUS_NAME, REEVE_BUS_PATH,
				 REEVE_BUS_INTERFACE, member),
			 0);
	return m;
}

_unused_ static void rig_send(sd_bus *bus, sd_bus_message *m,
			      struct rig_answer *answer)
{
	*answer = (struct rig_answer){ 0 };
	ck_assert_int_ge(sd_bus_call_async(bus, &answer->slot, m, rig_on_reply,
					   answer, RIG_WAIT_USEC),
			 0);
	sd_bus_message_unref(m);
}

_unused_ static void rig_wait_answer(const struct rig_answer *answer)
{
	uint64_t end = clock_monotonic_usec() + RIG_WAIT_USEC;

	while (!answer->reply) {
		ck_assert(clock_monotonic_usec() < end);
		(void)rig_run(100 * USEC_PER_MSEC);
	}
}

_unused_ static void rig_answer_done(struct rig_answer *answer)
{
	sd_bus_slot_unref(answer->slot);
	sd_bus_message_unref(answer->reply);
	*answer = (struct rig_answer){ 0 };
}

/* The error's name, or NULL. */
_unused_ static const char *rig_error(const struct rig_answer *answer)
{
	const sd_bus_error *e = sd_bus_message_get_error(answer->reply);

	return e ? e->name : NULL;
}

/* The result of the only worker of an answer a(sss). */
_unused_ static const char *rig_result(const struct rig_answer *answer)
{
	const char *name, *result = NULL, *sentence;
	sd_bus_message *m = answer->reply;

	ck_assert_msg(!rig_error(answer), "%s", rig_error(answer));
	ck_assert_int_gt(sd_bus_message_rewind(m, 1), 0);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(sss)"), 0);
	ck_assert_int_gt(
		sd_bus_message_read(m, "(sss)", &name, &result, &sentence), 0);
	return result;
}

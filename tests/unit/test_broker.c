/* What tools ask of a bus before they talk to us, and how one becomes a
 * monitor. */
#include "supervisor/daemon/broker.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/daemon_rig.h"

#include "tests/unit/control_rig.h"

#define DBUS_NAME "org.freedesktop.DBus"
#define DBUS_PATH "/org/freedesktop/DBus"

static const char ini[] = "[worker:a]\ncommand = /bin/true\n"
			  "autostart = false\n";

static const struct broker_case {
	const char *member, *argument, *type;
} broker_cases[] = {
	{ "Hello", NULL, "s" },
	{ "AddMatch", "type='signal'", "" },
	{ "RemoveMatch", "type='signal'", "" },
	{ "ListNames", NULL, "as" },
	{ "ListActivatableNames", NULL, "as" },
	{ "GetNameOwner", REEVE_BUS_NAME, "s" },
	{ "NameHasOwner", REEVE_BUS_NAME, "b" },
};

START_TEST(test_broker)
{
	struct rig_answer answer;
	sd_bus_message *m;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	for (size_t i = 0; i < ARRAY_SIZE(broker_cases); i++) {
		const struct broker_case *c = &broker_cases[i];

		ck_assert_int_ge(sd_bus_message_new_method_call(
					 bus, &m, DBUS_NAME, DBUS_PATH,
					 DBUS_NAME, c->member),
				 0);
		if (c->argument)
			ck_assert_int_ge(
				sd_bus_message_append(m, "s", c->argument), 0);
		rig_send(bus, m, &answer);
		rig_wait_answer(&answer);
		ck_assert_msg(!rig_error(&answer), "%s", c->member);
		ck_assert_str_eq(sd_bus_message_get_signature(answer.reply, 1),
				 c->type);
		rig_answer_done(&answer);
	}
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

static int on_lost(sd_bus_message *m, void *userdata,
		   sd_bus_error *error _unused_)
{
	const char *name;

	ck_assert_int_gt(sd_bus_message_read(m, "s", &name), 0);
	ck_assert_str_eq(name, ":1.1");
	++*(int *)userdata;
	return 0;
}

/* The sign that busctl monitor waits for. */
START_TEST(test_monitor)
{
	struct rig_answer answer;
	sd_bus_message *m;
	int n_lost = 0;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	ck_assert_int_ge(sd_bus_match_signal(bus, NULL, NULL, DBUS_PATH,
					     DBUS_NAME, "NameLost", on_lost,
					     &n_lost),
			 0);
	ck_assert_int_ge(sd_bus_message_new_method_call(
				 bus, &m, DBUS_NAME, DBUS_PATH,
				 DBUS_NAME ".Monitoring", "BecomeMonitor"),
			 0);
	ck_assert_int_ge(sd_bus_message_append(m, "asu", 0, 0), 0);
	rig_send(bus, m, &answer);
	rig_wait_answer(&answer);
	ck_assert_ptr_null(rig_error(&answer));
	rig_settle();
	ck_assert_int_eq(n_lost, 1);
	ck_assert(LIST_FIRST(&rig.control.clients)->is_monitor);
	rig_answer_done(&answer);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

UNIT_MAIN("broker", test_broker, test_monitor)

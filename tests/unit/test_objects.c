/* Objects on the bus: each property says what the daemon has, and only names
 * of workers are objects. */
#include "supervisor/daemon/objects.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/daemon_rig.h"

#include "tests/unit/control_rig.h"

#define WORKER_INTERFACE REEVE_BUS_WORKER_INTERFACE

static const char ini[] = "[worker:a]\nnumprocs = 2\ncommand = /bin/true\n"
			  "autostart = false\nstdout_logfile = NONE\n"
			  "redirect_stderr = true\n[group:g]\nprograms = a\n";

static const struct property_case {
	const char *worker; /* NULL: the daemon */
	const char *name, *type, *text;
	int64_t number;
} properties[] = {
	{ NULL, "Version", "s", REEVE_VERSION, 0 },
	{ NULL, "State", "s", "running", 0 },
	{ NULL, "ConfigFile", "s", "t.ini", 0 },
	{ NULL, "Guarantee", "s", "ancestry", 0 },
	{ NULL, "Workers", "u", NULL, 2 },
	{ NULL, "Strays", "u", NULL, 4 },
	{ "a:1", "Name", "s", "g:a:1", 0 },
	{ "a:1", "Group", "s", "g", 0 },
	{ "a:1", "State", "s", "EXITED", 0 },
	{ "a:1", "Pid", "u", NULL, 0 },
	{ "a:1", "Restarts", "t", NULL, 5 },
	{ "a:1", "Recycles", "t", NULL, 6 },
	{ "a:1", "Tasks", "t", NULL, 7 },
	{ "a:1", "ExitCode", "i", NULL, -9 },
	{ "a:1", "StatusText", "s", "", 0 },
	{ "a:1", "Error", "s", "killed", 0 },
};

static struct worker *fill(void)
{
	struct worker *w = rig.fleet.workers[1];

	w->life.state = STATE_EXITED;
	w->life.restarts = 5;
	w->life.recycles = 6;
	w->tasks = 7;
	w->life.exit.code = -9;
	snprintf(w->error, sizeof(w->error), "killed");
	rig.reaper.n_strays = 4;
	return w;
}

static void get(sd_bus *bus, const char *path, const char *interface,
		const char *name, struct rig_answer *ret_answer)
{
	sd_bus_message *m;

	ck_assert_int_ge(sd_bus_message_new_method_call(
				 bus, &m, REEVE_BUS_NAME, path,
				 "org.freedesktop.DBus.Properties", "Get"),
			 0);
	ck_assert_int_ge(sd_bus_message_append(m, "ss", interface, name), 0);
	rig_send(bus, m, ret_answer);
	rig_wait_answer(ret_answer);
}

static int64_t read_number(sd_bus_message *m, char type)
{
	union {
		uint32_t u;
		int32_t i;
		uint64_t t;
	} v;

	ck_assert_int_gt(sd_bus_message_read_basic(m, type, &v), 0);
	return type == 'u' ? v.u : type == 'i' ? v.i : (int64_t)v.t;
}

static void check_property(sd_bus *bus, const struct worker *w,
			   const struct property_case *c)
{
	struct rig_answer answer;
	char *path = NULL;
	const char *text;

	if (c->worker)
		ck_assert_int_ge(sd_bus_path_encode(REEVE_BUS_WORKER_PATH,
						    w->name, &path),
				 0);
	get(bus, path ? path : REEVE_BUS_PATH,
	    path ? WORKER_INTERFACE : REEVE_BUS_INTERFACE, c->name, &answer);
	free(path);
	ck_assert_msg(!rig_error(&answer), "%s", c->name);
	ck_assert_int_gt(
		sd_bus_message_enter_container(answer.reply, 'v', c->type), 0);
	if (c->text) {
		ck_assert_int_gt(sd_bus_message_read(answer.reply, "s", &text),
				 0);
		ck_assert_str_eq(text, strcmp(c->name, "Name") == 0 ? w->name
								    : c->text);
	} else {
		ck_assert_int_eq(read_number(answer.reply, c->type[0]),
				 c->number);
	}
	rig_answer_done(&answer);
}

START_TEST(test_properties)
{
	const struct worker *w;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	rig_settle();
	w = fill();
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
		check_property(bus, w, &properties[i]);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

START_TEST(test_no_such_object)
{
	struct rig_answer answer;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	get(bus, REEVE_BUS_WORKER_PATH "/none", WORKER_INTERFACE, "State",
	    &answer);
	ck_assert_str_eq(rig_error(&answer), SD_BUS_ERROR_UNKNOWN_OBJECT);
	rig_answer_done(&answer);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

static int on_change(sd_bus_message *m, void *userdata,
		     sd_bus_error *error _unused_)
{
	const char *name, *from, *to;

	ck_assert_int_gt(sd_bus_message_read(m, "sss", &name, &from, &to), 0);
	ck_assert_str_eq(from, "STOPPED");
	ck_assert_str_eq(to, "STARTING");
	ck_assert_str_eq(name, rig.fleet.workers[1]->name);
	++*(int *)userdata;
	return 0;
}

START_TEST(test_change_is_told)
{
	struct worker *w;
	int n_told = 0;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	ck_assert_int_ge(sd_bus_match_signal(bus, NULL, NULL, REEVE_BUS_PATH,
					     REEVE_BUS_INTERFACE,
					     "StateChanged", on_change,
					     &n_told),
			 0);
	rig_settle();
	w = rig.fleet.workers[1];
	w->life.state = STATE_STARTING;
	control_state_changed(w, STATE_STOPPED);
	rig_settle();
	ck_assert_int_eq(n_told, 1);
	w->life.state = STATE_STOPPED;
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

UNIT_MAIN("objects", test_properties, test_no_such_object, test_change_is_told)

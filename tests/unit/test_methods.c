/* What a request must be, and what it gets when it is not. */
#include "supervisor/daemon/methods.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/daemon_rig.h"

#include "tests/unit/control_rig.h"

static const char ini[] = "[worker:a]\ncommand = /bin/true\n"
			  "autostart = false\nstdout_logfile = NONE\n"
			  "redirect_stderr = true\n"
			  "environment = SECRET=\"s3cret\"\n";

static const struct refusal {
	const char *member, *types, *pattern; /* NULL: none */
	const char *text;
	uint32_t number;
	enum daemon_phase phase;
	const char *error;
} refusals[] = {
	{ "List", "p", "none", NULL, 0, PHASE_RUNNING,
	  REEVE_ERROR_NO_SUCH_WORKER },
	{ "Start", "pu", "none", NULL, 0, PHASE_RUNNING,
	  REEVE_ERROR_NO_SUCH_WORKER },
	{ "Start", "pu", NULL, NULL, 0, PHASE_RUNNING, REEVE_ERROR_INVALID },
	{ "Start", "pu", "a", NULL, 0, PHASE_STOPPING, REEVE_ERROR_STOPPING },
	{ "Restart", "pu", "a", NULL, 0, PHASE_STOPPING, REEVE_ERROR_STOPPING },
	{ "Reload", "u", NULL, NULL, 0, PHASE_STOPPING, REEVE_ERROR_STOPPING },
	{ "Signal", "pi", "a", NULL, 0, PHASE_RUNNING, REEVE_ERROR_INVALID },
	{ "Signal", "pi", "a", NULL, 65, PHASE_RUNNING, REEVE_ERROR_INVALID },
	{ "Wait", "pst", "a", "ASLEEP", 0, PHASE_RUNNING, REEVE_ERROR_INVALID },
	{ "OpenLog", "ss", "none", "stdout", 0, PHASE_RUNNING,
	  REEVE_ERROR_NO_SUCH_WORKER },
	{ "OpenLog", "ss", "a", "stdout", 0, PHASE_RUNNING,
	  REEVE_ERROR_NOT_CAPTURED },
};

/* p: an array with the pattern. */
static void append(sd_bus_message *m, const struct refusal *c)
{
	bool is_first = true;
	int r = 0;

	for (const char *t = c->types; *t && r >= 0; t++) {
		if (*t == 'p')
			r = c->pattern ? sd_bus_message_append(m, "as", 1,
							       c->pattern)
				       : sd_bus_message_append(m, "as", 0);
		else if (*t == 's')
			r = sd_bus_message_append(m, "s",
						  is_first && c->types[1] == 's'
							  ? c->pattern
							  : c->text);
		else if (*t == 't')
			r = sd_bus_message_append(m, "t", UINT64_C(1));
		else if (*t == 'i')
			r = sd_bus_message_append(m, "i", (int32_t)c->number);
		else
			r = sd_bus_message_append(m, "u", c->number);
		is_first = false;
	}
	ck_assert_int_ge(r, 0);
}

START_TEST(test_refusals)
{
	struct rig_answer answer;
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *c = &refusals[i];
		sd_bus_message *m = rig_call(bus, c->member);

		append(m, c);
		rig.phase = c->phase;
		rig_send(bus, m, &answer);
		rig_wait_answer(&answer);
		ck_assert_msg(rig_error(&answer), "%zu was not refused", i);
		ck_assert_str_eq(rig_error(&answer), c->error);
		rig_answer_done(&answer);
	}
	ck_assert_int_eq(rig_worker("a")->life.state, STATE_STOPPED);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

/* A row of List in every field that a worker at rest has. */
START_TEST(test_list_row)
{
	const char *name, *group, *state, *status, *error;
	struct rig_answer answer;
	const uint64_t *numbers;
	sd_bus_message *m;
	sd_bus *bus;
	size_t size;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	rig_worker("a")->life.state = STATE_FATAL;
	rig_worker("a")->life.restarts = 3;
	rig_worker("a")->life.has_exit = true;
	rig_worker("a")->life.exit.code = -11;
	rig_worker("a")->life.exit.core = true;
	m = rig_call(bus, "List");
	ck_assert_int_ge(sd_bus_message_append(m, "as", 0), 0);
	rig_send(bus, m, &answer);
	rig_wait_answer(&answer);
	m = answer.reply;
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', VERB_LIST_ROW),
			 0);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'r', "sssatss"), 0);
	ck_assert_int_gt(sd_bus_message_read(m, "sss", &name, &group, &state),
			 0);
	ck_assert_int_gt(sd_bus_message_read_array(
				 m, 't', (const void **)&numbers, &size),
			 0);
	ck_assert_int_gt(sd_bus_message_read(m, "ss", &status, &error), 0);
	ck_assert_str_eq(name, "a");
	ck_assert_str_eq(group, "a");
	ck_assert_str_eq(state, "FATAL");
	ck_assert_uint_eq(size, LIST_NUMBER_COUNT * sizeof(uint64_t));
	ck_assert_uint_eq(numbers[LIST_PID], 0);
	ck_assert_uint_eq(numbers[LIST_RESTARTS], 3);
	ck_assert_int_eq((int64_t)numbers[LIST_EXIT_CODE], -11);
	ck_assert_uint_eq(numbers[LIST_FLAGS],
			  LIST_HAS_EXIT | LIST_CORE | LIST_FAULT);
	rig_answer_done(&answer);
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

/* Does the answer of Config say the secret? */
static bool says_secret(sd_bus *bus, uint32_t flags)
{
	const char *section, *key, *value, *origin;
	sd_bus_message *m = rig_call(bus, "Config");
	struct rig_answer answer;
	bool is_said = false;

	ck_assert_int_ge(sd_bus_message_append(m, "u", flags), 0);
	rig_send(bus, m, &answer);
	rig_wait_answer(&answer);
	ck_assert_ptr_null(rig_error(&answer));
	m = answer.reply;
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(ssss)"), 0);
	while (sd_bus_message_read(m, "(ssss)", &section, &key, &value,
				   &origin) > 0)
		is_said = is_said || strstr(value, "s3cret");
	rig_answer_done(&answer);
	return is_said;
}

START_TEST(test_secrets)
{
	sd_bus *bus;

	rig_up(ini);
	rig_listen();
	bus = rig_connect();
	ck_assert(!says_secret(bus, 0));
	ck_assert(says_secret(bus, VERB_SECRETS));
	rig_disconnect(bus);
	control_done(&rig);
	rig_down();
}
END_TEST

UNIT_MAIN("methods", test_refusals, test_list_row, test_secrets)

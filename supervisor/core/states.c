/* The words of states.h, by number. Pure. */
#include "supervisor/core/states.h"

#include <errno.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"

static const struct {
	const char *name, *text;
	int code;
} states[STATE_COUNT] = {
#define X(name_, code_, text_)                                                 \
	[STATE_##name_] = {                                                    \
		.name = #name_,                                                \
		.text = (text_),                                               \
		.code = (code_),                                               \
	},
	WORKER_STATES(X)
#undef X
};

static const char *const event_names[EVENT_COUNT] = {
#define X(name_, text_) [EVENT_##name_] = #name_,
	WORKER_EVENTS(X)
#undef X
};

const char *worker_state_name(enum worker_state s)
{
	reeve_assert(s < STATE_COUNT);
	return states[s].name;
}

const char *worker_state_text(enum worker_state s)
{
	reeve_assert(s < STATE_COUNT);
	return states[s].text;
}

int worker_state_code(enum worker_state s)
{
	reeve_assert(s < STATE_COUNT);
	return states[s].code;
}

int worker_state_from_name(const char *name, enum worker_state *ret_state)
{
	for (unsigned i = 0; i < STATE_COUNT; i++) {
		if (!str_equal_nocase(name, states[i].name))
			continue;
		*ret_state = (enum worker_state)i;
		return 0;
	}
	return -EINVAL;
}

const char *worker_event_name(enum worker_event e)
{
	reeve_assert(e < EVENT_COUNT);
	return event_names[e];
}

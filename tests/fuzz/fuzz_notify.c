/* Fuzzes the decoder of NOTIFY_SOCKET messages, and holds it to what its
 * header promises. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "supervisor/daemon/notify.h"
#include "workers/base/pure/macro.h"

#define FIELDS_ALL (2 * NOTIFY_MONOTONIC - 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct notify_message *m, size_t size)
{
	size_t status_len = strnlen(m->status, sizeof(m->status));

	reeve_assert((m->fields & ~(unsigned)FIELDS_ALL) == 0);
	reeve_assert(m->n_bad <= size);
	reeve_assert(status_len < sizeof(m->status) && status_len <= size);
	reeve_assert(status_len == 0 || m->fields & NOTIFY_STATUS);
	reeve_assert(!strchr(m->status, '\n'));
	reeve_assert(m->fields & NOTIFY_MAINPID ? m->mainpid >= 1
						: m->mainpid == 0);
	reeve_assert(m->fields & NOTIFY_ERRNO ? m->error >= 0 : m->error == 0);
	reeve_assert(m->tasks == 0 || m->fields & NOTIFY_TASKS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct notify_message m, again;
	int r;

	memset(&m, 0xa5, sizeof(m));
	r = notify_parse((const char *)data, size, &m);
	reeve_assert((r == -EMSGSIZE) == (size > NOTIFY_MESSAGE_MAX));
	if (r < 0) {
		reeve_assert(r == -EMSGSIZE || r == -EBADMSG);
		reeve_assert(m.fields == 0xa5a5a5a5);
		return 0;
	}
	check(&m, size);
	/* The same each time, and what is left over does not matter. */
	memset(&again, 0, sizeof(again));
	reeve_assert(notify_parse((const char *)data, size, &again) == 0);
	reeve_assert(again.fields == m.fields && again.n_bad == m.n_bad);
	reeve_assert(strcmp(again.status, m.status) == 0);
	return 0;
}

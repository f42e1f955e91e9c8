/* What a failed reeve_assert does: one line to stderr, then abort().
 *
 * May run anywhere, also between fork and exec and in a signal handler: no
 * allocation, no stdio, one write(2).
 */
#include "workers/base/pure/macro.h"

#include <string.h>
#include <unistd.h>

#define MESSAGE_MAX 512

struct message {
	char text[MESSAGE_MAX];
	size_t len;
};

static void message_add(struct message *m, const char *s)
{
	size_t n = MIN(strlen(s), sizeof(m->text) - m->len);

	memcpy(m->text + m->len, s, n);
	m->len += n;
}

static void message_add_number(struct message *m, int number)
{
	char digits[16];
	size_t i = sizeof(digits) - 1;
	unsigned rest = number > 0 ? (unsigned)number : 0;

	digits[i] = '\0';
	do
		digits[--i] = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	message_add(m, digits + i);
}

void reeve_assert_failed(const char *expr, const char *file, int line,
			 const char *func)
{
	struct message m = { .len = 0 };

	message_add(&m, file);
	message_add(&m, ":");
	message_add_number(&m, line);
	message_add(&m, ": ");
	message_add(&m, func);
	message_add(&m, ": assertion failed: ");
	message_add(&m, expr);
	m.len = MIN(m.len, sizeof(m.text) - 1);
	m.text[m.len++] = '\n';
	if (write(STDERR_FILENO, m.text, m.len) < 0) {
		/* There is nobody left to tell. */
	}
	abort();
}

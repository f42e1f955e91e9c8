/* The decoder of sd_notify(3) messages, with what reeve adds. Pure.
 *
 * A message is lines of NAME=VALUE. It comes from a worker, so it is input:
 * unknown names are ignored (others' extensions), values that are not of the
 * form are ignored and counted, and nothing is read beyond len. A name given
 * twice counts with its last good value; X_REEVE_TASKS adds up.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NOTIFY_MESSAGE_MAX 4096
#define NOTIFY_STATUS_MAX  256 /* bytes of STATUS= kept, the NUL included */

enum notify_field {
	NOTIFY_READY = 1 << 0,
	NOTIFY_RELOADING = 1 << 1,
	NOTIFY_STOPPING = 1 << 2,
	NOTIFY_STATUS = 1 << 3,		  /* .status */
	NOTIFY_WATCHDOG = 1 << 4,	  /* heartbeat */
	NOTIFY_WATCHDOG_TRIGGER = 1 << 5, /* asks to be treated as hung */
	NOTIFY_WATCHDOG_USEC = 1 << 6,	  /* .watchdog_usec */
	NOTIFY_EXTEND_TIMEOUT = 1 << 7,	  /* .extend_timeout_usec */
	NOTIFY_MAINPID = 1 << 8,	  /* .mainpid */
	NOTIFY_ERRNO = 1 << 9,		  /* .error */
	NOTIFY_FDSTORE = 1 << 10,	  /* not supported: fds are closed */
	NOTIFY_BARRIER = 1 << 11,	  /* closing its fd is the answer */
	NOTIFY_TASKS = 1 << 12,		  /* .tasks */
	NOTIFY_MONOTONIC = 1 << 13,	  /* .monotonic_usec */
};

struct notify_message {
	unsigned fields; /* enum notify_field: which of these were given */
	unsigned n_bad;	 /* lines with a known name and a bad value */
	uint64_t watchdog_usec; /* 0: none from now on */
	uint64_t extend_timeout_usec;
	uint64_t monotonic_usec;
	pid_t mainpid;	/* at least 1; whose it is remains to be checked */
	int error;	/* errno, 0 or positive */
	uint32_t tasks; /* done since the last message; sticks at the maximum */
	/* NUL-terminated; as sent but for its length (cut at a whole UTF-8
	 * character): escape it before showing. Empty: no status any more. */
	char status[NOTIFY_STATUS_MAX];
};

/* Decodes data. Returns 0; -EMSGSIZE (longer than NOTIFY_MESSAGE_MAX);
 * -EBADMSG (NUL within; at the end it is fine). */
int notify_parse(const char *data, size_t len,
		 struct notify_message *ret_message);

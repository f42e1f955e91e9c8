/* Queues, locks, semaphores, events, conditions, barriers: what each call sends. */
#include "workers/manager/client.h"

#include <errno.h>

/* For calls with a boolean as result: 1, 0 or -errno. */
static int ask(struct reeve_proxy *p, enum verb verb,
	       const struct reeve_any *arguments)
{
	struct result result = { .value = NULL };
	int r = proxy_call(p, verb, arguments, &result);

	return r < 0 ? r : result.boolean;
}

/* ---- queues ------------------------------------------------------------------------ */

int reeve_proxy_queue_put(struct reeve_proxy *p, struct reeve_any value,
			  uint64_t timeout_usec)
{
	const struct reeve_any arguments[] = { value,
					       proxy_timeout(timeout_usec) };

	return proxy_call(p, VERB_QUEUE_PUT, arguments, NULL);
}

int reeve_proxy_queue_get(struct reeve_proxy *p, uint64_t timeout_usec,
			  struct reeve_any *ret_value)
{
	const struct reeve_any arguments[] = { proxy_timeout(timeout_usec) };

	return proxy_call(p, VERB_QUEUE_GET, arguments,
			  &(struct result){ .value = ret_value });
}

int reeve_proxy_queue_is_full(struct reeve_proxy *p)
{
	return ask(p, VERB_QUEUE_IS_FULL, NULL);
}

int reeve_proxy_queue_task_done(struct reeve_proxy *p)
{
	return proxy_call(p, VERB_QUEUE_TASK_DONE, NULL, NULL);
}

int reeve_proxy_queue_join(struct reeve_proxy *p, uint64_t timeout_usec,
			   size_t *ret_lost)
{
	const struct reeve_any arguments[] = { proxy_timeout(timeout_usec) };
	struct result result = { .value = NULL };
	int r = proxy_call(p, VERB_QUEUE_JOIN, arguments, &result);

	if (r == 0 && ret_lost)
		*ret_lost = (size_t)result.integers[0];
	return r;
}

/* ---- locks, semaphores, conditions, events ---------------------------------------------- */

int reeve_proxy_acquire(struct reeve_proxy *p, uint64_t timeout_usec)
{
	const struct reeve_any arguments[] = { proxy_timeout(timeout_usec) };

	return ask(p, VERB_ACQUIRE, arguments);
}

int reeve_proxy_release(struct reeve_proxy *p)
{
	return proxy_call(p, VERB_RELEASE, NULL, NULL);
}

int reeve_proxy_wait(struct reeve_proxy *p, uint64_t timeout_usec)
{
	const struct reeve_any arguments[] = { proxy_timeout(timeout_usec) };

	return ask(p, VERB_WAIT, arguments);
}

int reeve_proxy_notify(struct reeve_proxy *p, int64_t n)
{
	const struct reeve_any arguments[] = { reeve_any_int(n) };

	return proxy_call(p, VERB_NOTIFY, arguments, NULL);
}

int reeve_proxy_event_set(struct reeve_proxy *p)
{
	return proxy_call(p, VERB_EVENT_SET, NULL, NULL);
}

int reeve_proxy_event_clear(struct reeve_proxy *p)
{
	return proxy_call(p, VERB_EVENT_CLEAR, NULL, NULL);
}

int reeve_proxy_event_is_set(struct reeve_proxy *p)
{
	return ask(p, VERB_EVENT_IS_SET, NULL);
}

/* ---- barriers ------------------------------------------------------------------------------ */

int reeve_proxy_barrier_wait(struct reeve_proxy *p, uint64_t timeout_usec)
{
	const struct reeve_any arguments[] = { proxy_timeout(timeout_usec) };
	struct result result = { .value = NULL };
	int r = proxy_call(p, VERB_BARRIER_WAIT, arguments, &result);

	return r < 0 ? r : (int)result.integers[0];
}

int reeve_proxy_barrier_reset(struct reeve_proxy *p)
{
	return proxy_call(p, VERB_BARRIER_RESET, NULL, NULL);
}

int reeve_proxy_barrier_abort(struct reeve_proxy *p)
{
	return proxy_call(p, VERB_BARRIER_ABORT, NULL, NULL);
}

int reeve_proxy_barrier_state(struct reeve_proxy *p, size_t *ret_parties,
			      size_t *ret_waiting, bool *ret_broken)
{
	struct result result = { .value = NULL };
	int r = proxy_call(p, VERB_BARRIER_STATE, NULL, &result);

	if (r < 0)
		return r;
	if (ret_parties)
		*ret_parties = (size_t)result.integers[0];
	if (ret_waiting)
		*ret_waiting = (size_t)result.integers[1];
	if (ret_broken)
		*ret_broken = result.boolean;
	return 0;
}

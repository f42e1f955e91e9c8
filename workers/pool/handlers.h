/* Handlers: functions in shared objects, "file.so:symbol", that the program of
 * the pool's owner does not have.
 *
 * Properties
 *   The keeper is then the program reeve-worker, executed anew, and each worker
 *   loads the objects for itself before it is ready: what goes wrong there, be it
 *   a constructor that crashes, is a start that failed, and costs nobody else
 *   anything. Slots name a handler by its place in the list.
 * Operation
 *   Owner: handlers_pack() checks the list and makes one text of it, which is
 *   handed to the keeper; handlers_token() is what stands for one in the calls
 *   that take functions. pool_new waits in handlers_await() until one worker is
 *   ready, so that a missing symbol is told there.
 *   Worker: handlers_main() loads, then is worker_main().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <reeve/pool.h>

#include "workers/pool/worker.h"

#define HANDLERS_MAX REEVE_HANDLERS_MAX

/* What a worker is to load: n texts, one after the other, each with its NUL. */
struct handlers {
	const char *text;
	size_t size, n;
	bool has_init; /* the last one is the initializer */
};

/* *ret_handlers.text is new memory. Returns 0; -EINVAL (one without a file or a
 * symbol, one twice, too many), -ENOMEM. */
int handlers_pack(const struct reeve_pool_spec *spec,
		  struct handlers *ret_handlers);

/* The place of a handler. Returns 0 or -ENOENT. */
int handlers_find(const struct handlers *h, const char *handler,
		  uint64_t *ret_index);

/* What stands for the handler at this place: never to be called. And back:
 * 0 or -EINVAL. */
reeve_task_fn *handlers_token(uint64_t index);
int handlers_index(const struct handlers *h, reeve_task_fn *token,
		   uint64_t *ret_index);

/* Until a worker is ready. Returns 0; -ELIBBAD, with a sentence in the spec's
 * error. */
int handlers_await(struct reeve_pool *pool);

/* As worker_main(). */
struct handlers_setup {
	struct handlers handlers;
	struct worker_setup setup;
};
int handlers_main(const struct keeper_seat *seat, int lifeline_fd, void *setup);

/* See handlers.h. The part of a worker runs in the host program reeve-worker,
 * which exports libreeve to what it loads: an object that was linked with
 * libreeve.so gets the host's functions, so that there is one library, not two
 * with a different idea of what stands behind a reply.
 */
#include "workers/pool/handlers.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/buf.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/pool/pool.h"

#define READY_LOOK_USEC UINT64_C(500)
/* The keeper ends who is not ready in time, and says what hung: wait for that. */
#define VERDICT_USEC (2 * USEC_PER_SEC)

/* Their addresses are the tokens. */
static const char tokens[HANDLERS_MAX];

/* ---- the list ------------------------------------------------------------------ */

/* Where the symbol begins, behind the last colon; NULL: there is none. */
static const char *find_symbol(const char *handler)
{
	const char *colon = strrchr(handler, ':');

	return colon && colon > handler && colon[1] ? colon + 1 : NULL;
}

static const char *next_text(const char *text)
{
	return text + strlen(text) + 1;
}

int handlers_find(const struct handlers *h, const char *handler,
		  uint64_t *ret_index)
{
	const char *text = h->text;

	for (size_t i = 0; i < h->n; i++, text = next_text(text))
		if (strcmp(text, handler) == 0) {
			*ret_index = i;
			return 0;
		}
	return -ENOENT;
}

static int add(struct buf *b, struct handlers *h, const char *handler)
{
	uint64_t index;

	h->text = buf_text(b);
	if (!find_symbol(handler) || h->n >= HANDLERS_MAX ||
	    handlers_find(h, handler, &index) == 0)
		return -EINVAL;
	h->n++;
	return buf_append(b, handler, strlen(handler) + 1);
}

int handlers_pack(const struct reeve_pool_spec *spec,
		  struct handlers *ret_handlers)
{
	_cleanup_(buf_done) struct buf b = BUF_INIT(0);
	struct handlers h = { 0 };
	int r = spec->handlers[0] ? 0 : -EINVAL;

	for (size_t i = 0; spec->handlers[i] && r == 0; i++)
		r = add(&b, &h, spec->handlers[i]);
	if (r == 0 && spec->handler_initializer) {
		r = add(&b, &h, spec->handler_initializer);
		h.has_init = true;
	}
	if (r < 0)
		return r;
	h.size = b.len;
	h.text = buf_take(&b);
	*ret_handlers = h;
	return h.text ? 0 : -ENOMEM;
}

/* ---- tokens -------------------------------------------------------------------- */

reeve_task_fn *handlers_token(uint64_t index)
{
	reeve_assert(index < HANDLERS_MAX);
	return (reeve_task_fn *)(uintptr_t)&tokens[index];
}

int handlers_index(const struct handlers *h, reeve_task_fn *token,
		   uint64_t *ret_index)
{
	uintptr_t index = (uintptr_t)token - (uintptr_t)tokens;

	if (index >= h->n - h->has_init)
		return -EINVAL;
	*ret_index = index;
	return 0;
}

int reeve_pool_handler(struct reeve_pool *pool, const char *handler,
		       reeve_task_fn **ret_task)
{
	uint64_t index;
	int r;

	if (!pool || !handler || !ret_task)
		return -EINVAL;
	if (pool->handlers.n == 0)
		return -ENOENT;
	r = handlers_find(&pool->handlers, handler, &index);
	if (r < 0 || index >= pool->handlers.n - pool->handlers.has_init)
		return -ENOENT;
	*ret_task = handlers_token(index);
	return 0;
}

/* ---- the first worker ------------------------------------------------------------ */

/* It does not say so, but on its channel. */
static bool is_one_ready(const struct reeve_pool *pool)
{
	for (unsigned i = 0; i < pool->n_seats; i++) {
		const struct port *p = &pool->ports[i];

		if (p->state == PORT_LIVE &&
		    atomic_load(&p->channel.memory->signs.phase) == PHASE_READY)
			return true;
	}
	return false;
}

static bool has_failed(const struct reeve_pool *pool)
{
	return pool->is_broken || pool->n_keepers_in_vain > 0 ||
	       atomic_load(&pool->board->n_start_failures) > 0;
}

static bool is_decided(const void *arg)
{
	return is_one_ready(arg) || has_failed(arg);
}

static void say_why(struct reeve_pool *pool)
{
	const struct reeve_pool_spec *s = &pool->spec;
	const char *text = pool->board->message;

	if (pool->is_broken)
		text = pool->why.message;
	else if (atomic_load(&pool->board->n_start_failures) == 0)
		text = "reeve-worker did not start, or was killed by what it "
		       "loaded: is it of this version?";
	if (s->error && s->error_size_bytes > 0)
		(void)snprintf(s->error, s->error_size_bytes, "%s", text);
}

int handlers_await(struct reeve_pool *pool)
{
	uint64_t end =
		usec_add(clock_monotonic_usec(),
			 usec_add(pool->spec.start_timeout_usec, VERDICT_USEC));
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	while (!is_decided(pool) && clock_monotonic_usec() < end)
		(void)pool_wait(pool, is_decided, pool, READY_LOOK_USEC);
	if (has_failed(pool) || !is_one_ready(pool)) {
		say_why(pool);
		r = -ELIBBAD;
	}
	pool_leave(pool);
	return r;
}

/* ---- in the worker ---------------------------------------------------------------- */

/* Variables are symbols, too. */
static bool is_variable(const void *address)
{
	void *found = NULL;
	const ElfW(Sym) * symbol;
	Dl_info info;
	unsigned type;

	if (!dladdr1(address, &info, &found, RTLD_DL_SYMENT) || !found ||
	    info.dli_saddr != address)
		return false;
	symbol = found;
	type = ELF64_ST_TYPE(symbol->st_info); /* as ELF32_ST_TYPE */
	return type == STT_OBJECT || type == STT_COMMON || type == STT_TLS;
}

/* The function of one handler; NULL: *ret_error says why not. */
static void *load(const char *handler, const char **ret_error)
{
	_cleanup_(free_pointer) char *file = strdup(handler);
	const char *symbol = find_symbol(handler);
	void *object, *function;

	*ret_error = "out of memory";
	if (!file || !symbol)
		return NULL;
	file[symbol - handler - 1] = '\0';
	object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	function = object ? dlsym(object, symbol) : NULL;
	if (!function) {
		*ret_error = dlerror() ?: "the symbol's value is 0";
	} else if (is_variable(function)) {
		*ret_error = "the symbol is a variable, not a function";
		function = NULL;
	}
	return function;
}

static int load_all(struct handlers_setup *hs, struct channel_signs *signs)
{
	const struct handlers *h = &hs->handlers;
	struct reeve_function *table = calloc(h->n + 1, sizeof(*table));
	const char *text = h->text, *error;

	hs->setup.table = table;
	for (size_t i = 0; i < h->n && table; i++, text = next_text(text)) {
		void *function = load(text, &error);

		if (!function) {
			(void)snprintf(signs->init_message,
				       sizeof(signs->init_message),
				       "handler %s: %s", text, error);
			return -ELIBBAD;
		}
		if (h->has_init && i == h->n - 1)
			hs->setup.initializer =
				(reeve_init_fn *)(uintptr_t)function;
		else
			table[hs->setup.n_table++].task =
				(reeve_task_fn *)(uintptr_t)function;
	}
	return table ? 0 : -ENOMEM;
}

int handlers_main(const struct keeper_seat *seat, int lifeline_fd, void *setup)
{
	struct channel_signs *signs = &seat->channel.memory->signs;
	struct handlers_setup *hs = setup;
	int r = load_all(hs, signs);

	if (r == 0)
		return worker_main(seat, lifeline_fd, &hs->setup);
	atomic_store(&signs->init_status, r);
	atomic_store(&signs->phase, PHASE_INIT_FAILED);
	return WORKER_EXIT_INIT;
}

/* Contexts. What an executed keeper or worker needs to know is written into a
 * memfd, whose number stands in its environment: a struct of numbers, then the
 * name and the initializer's argument. Both sides are the same program, so the
 * struct is as good as a format; that they are is checked by its size and by the
 * length of the table of functions.
 *
 * The table and its length are the library's only global state: they are set
 * once, at the start of main(), before there is a second thread.
 */
#include "workers/pool/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/pidfd.h"
#include "workers/base/sys/program.h"
#include "workers/pool/shares.h"

#define KEEPER_VARIABLE "REEVE_POOL_KEEPER"
#define WORKER_VARIABLE "REEVE_POOL_WORKER"
#define NO_FUNCTION	(~0U)

static const struct reeve_function *functions;
static size_t n_functions;
static bool is_set_up;

/* ---- the table ------------------------------------------------------------------ */

static int check_table(const struct reeve_function *table, size_t *ret_n)
{
	size_t n = 0;

	for (; table && table[n].name; n++) {
		if (!table[n].task == !table[n].init)
			return -EINVAL;
		for (size_t i = 0; i < n; i++)
			if (strcmp(table[i].name, table[n].name) == 0)
				return -EINVAL;
	}
	*ret_n = n;
	return 0;
}

int setup_find_task(reeve_task_fn *fn, uint64_t *ret_function)
{
	for (size_t i = 0; i < n_functions; i++)
		if (functions[i].task == fn) {
			*ret_function = i;
			return 0;
		}
	return -EINVAL;
}

static int find_init(reeve_init_fn *fn, unsigned *ret_index)
{
	*ret_index = NO_FUNCTION;
	for (unsigned i = 0; fn && i < n_functions; i++)
		if (functions[i].init == fn)
			*ret_index = i;
	return fn && *ret_index == NO_FUNCTION ? -EINVAL : 0;
}

/* ---- which context --------------------------------------------------------------- */

static bool has_threads(void)
{
	struct stat st;

	/* a directory for each thread, and . and .. */
	return stat("/proc/self/task", &st) == 0 && st.st_nlink > 3;
}

/* With a service thread a forked keeper could never be replaced. */
static enum reeve_context default_context(enum reeve_service service)
{
	bool is_preferred = service == REEVE_SERVICE_THREAD && is_set_up;

	return has_threads() || is_preferred ? REEVE_CONTEXT_FORKSERVER
					     : REEVE_CONTEXT_FORK;
}

/* Handlers are loaded by another program. */
static int choose_handlers(struct reeve_pool *pool)
{
	struct reeve_pool_spec *s = &pool->spec;
	char path[PATH_MAX];
	int r;

	if (s->initializer || (s->context != REEVE_CONTEXT_DEFAULT &&
			       s->context != REEVE_CONTEXT_FORKSERVER))
		return -EINVAL;
	r = handlers_pack(s, &pool->handlers);
	if (r == 0)
		r = program_find(s->worker_program, "reeve-worker", path);
	if (r < 0)
		return r;
	s->context = REEVE_CONTEXT_FORKSERVER;
	pool->program = strdup(path);
	return pool->program ? 0 : -ENOMEM;
}

int setup_choose_context(struct reeve_pool *pool)
{
	enum reeve_context context = pool->spec.context;
	unsigned index;

	if (pool->spec.handlers)
		return choose_handlers(pool);
	if (context == REEVE_CONTEXT_DEFAULT)
		context = default_context(pool->spec.service);
	if (context == REEVE_CONTEXT_FORK && has_threads())
		return -ENOTSUP;
	if (context != REEVE_CONTEXT_FORK) {
		if (!is_set_up)
			return -ENOTSUP;
		if (find_init(pool->setup.initializer, &index) < 0)
			return -EINVAL;
		pool->setup.table = functions;
		pool->setup.n_table = n_functions;
	}
	pool->spec.context = context;
	return 0;
}

/* ---- what is handed on by exec ------------------------------------------------------ */

struct handout {
	uint64_t size; /* of the struct; then n_seats * struct handout_seat,
			* n_shares * struct share */
	uint64_t n_functions;
	unsigned context, init, n_seats, n_shares;
	int owner_pidfd, keeper_fd, owner_fd, board_fd;
	uint64_t board_size;
	uint64_t maxtasksperchild, maxtasks_jitter;
	uint64_t max_rss_bytes, max_age_usec, max_age_jitter_usec;
	unsigned recycle_max, restart_limit;
	int soft_signal;
	uint64_t task_soft_timeout_usec;
	uint64_t task_timeout_usec, start_timeout_usec, restart_interval_usec;
	unsigned n_handlers, has_handler_init;
	uint64_t handlers_size;
	uint64_t argument_size; /* bytes, after these; then the name, then
				 * the handlers */
};

struct handout_seat {
	int channel_fd, bell_fd;
};

static int write_handout(const struct reeve_pool *pool,
			 const struct keeper_config *c)
{
	const struct worker_setup *s = &pool->setup;
	struct handout h = {
		.size = sizeof(h),
		.n_functions = pool->handlers.n > 0 ? 0 : n_functions,
		.n_handlers = (unsigned)pool->handlers.n,
		.has_handler_init = pool->handlers.has_init,
		.handlers_size = pool->handlers.size,
		.context = pool->spec.context,
		.n_seats = pool->n_seats,
		.n_shares = s->shares ? s->shares->n : 0,
		.owner_pidfd = c->owner_pidfd,
		.keeper_fd = c->keeper_fd,
		.owner_fd = c->owner_fd,
		.board_fd = pool->board_fd,
		.board_size = pool->board_size,
		.maxtasksperchild = c->maxtasksperchild,
		.maxtasks_jitter = c->maxtasks_jitter,
		.max_rss_bytes = c->max_rss_bytes,
		.max_age_usec = c->max_age_usec,
		.max_age_jitter_usec = c->max_age_jitter_usec,
		.recycle_max = c->recycle_max,
		.restart_limit = c->restart_limit,
		.task_timeout_usec = c->task_timeout_usec,
		.task_soft_timeout_usec = c->task_soft_timeout_usec,
		.soft_signal = c->soft_signal,
		.start_timeout_usec = c->start_timeout_usec,
		.restart_interval_usec = c->restart_interval_usec,
		.argument_size = s->argument_size,
	};
	_cleanup_(fd_closep) int fd = fd_lift(
		memfd_create("reeve-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	int r = fd < 0 ? -errno : find_init(s->initializer, &h.init);

	if (r == 0)
		r = fd_write_all(fd, &h, sizeof(h));
	for (unsigned i = 0; i < pool->n_seats && r == 0; i++) {
		struct handout_seat seat = { pool->seats[i].channel_fd,
					     pool->seats[i].bell_fd };

		r = fd_write_all(fd, &seat, sizeof(seat));
	}
	if (r == 0 && s->shares)
		r = fd_write_all(fd, s->shares->list,
				 s->shares->n * sizeof(struct share));
	if (r == 0 && s->argument_size > 0)
		r = fd_write_all(fd, s->argument, s->argument_size);
	if (r == 0)
		r = fd_write_all(fd, pool->name, strlen(pool->name) + 1);
	if (r == 0 && pool->handlers.n > 0)
		r = fd_write_all(fd, pool->handlers.text, pool->handlers.size);
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

/* What was read from it; .name and .argument point into text. */
struct received {
	const struct handout *head;
	const struct handout_seat *seats;
	const struct share *shares;
	const void *argument;
	const char *name;
	struct handlers handlers;
};

static int read_handout(int fd, struct received *ret)
{
	struct stat st;
	size_t size, need;
	char *p;

	if (fstat(fd, &st) < 0)
		return -errno;
	size = (size_t)st.st_size;
	p = size < sizeof(struct handout)
		    ? MAP_FAILED
		    : mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -EBADMSG;
	ret->head = (const struct handout *)(const void *)p;
	ret->seats = (const struct handout_seat *)(const void *)(ret->head + 1);
	need = sizeof(struct handout) +
	       ret->head->n_seats * sizeof(struct handout_seat) +
	       ret->head->n_shares * sizeof(struct share) +
	       ret->head->argument_size + ret->head->handlers_size;
	if (ret->head->size != sizeof(struct handout) ||
	    ret->head->n_functions != n_functions ||
	    ret->head->n_seats > BOARD_SEATS_MAX || need >= size ||
	    p[size - 1] != '\0')
		return -EBADMSG;
	ret->shares = (const struct share *)(const void *)(ret->seats +
							   ret->head->n_seats);
	ret->argument = ret->shares + ret->head->n_shares;
	ret->name = p + need - ret->head->handlers_size;
	ret->handlers = (struct handlers){
		.text = p + size - ret->head->handlers_size,
		.size = ret->head->handlers_size,
		.n = ret->head->n_handlers,
		.has_init = ret->head->has_handler_init,
	};
	return 0;
}

static int fill_setup(const struct received *rc, struct worker_setup *setup)
{
	reeve_assert(rc->head);
	*setup = (struct worker_setup){
		.initializer = rc->head->init < n_functions
				       ? functions[rc->head->init].init
				       : NULL,
		.argument = rc->argument,
		.argument_size = rc->head->argument_size,
		.table = functions,
		.n_table = n_functions,
	};
	return shares_receive(rc->shares, rc->head->n_shares, &setup->shares);
}

/* ---- executing ------------------------------------------------------------------------ */

/* A copy of the environment with VARIABLE=value in front. */
static char **with_variable(char *assignment)
{
	size_t n = 0, name = strcspn(assignment, "=") + 1, k = 0;
	char **env;

	while (environ && environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env)
		return NULL;
	env[k++] = assignment;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], assignment, name) != 0)
			env[k++] = environ[i];
	return env;
}

/* dup2 of an fd onto itself is how posix_spawn is told to keep it. */
static int keep_fds(posix_spawn_file_actions_t *actions,
		    const struct reeve_pool *pool,
		    const struct keeper_config *c, int handout_fd)
{
	const int fds[] = { c->owner_pidfd, c->keeper_fd, c->owner_fd,
			    pool->board_fd, handout_fd };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fds) && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(actions, fds[i], fds[i]);
	for (unsigned i = 0; r == 0; i++) {
		int fd = shares_fd(c->shares, i);

		if (fd < 0)
			break;
		r = posix_spawn_file_actions_adddup2(actions, fd, fd);
	}
	for (unsigned i = 0; i < pool->n_seats && r == 0; i++) {
		const struct keeper_seat *s = &pool->seats[i];

		r = posix_spawn_file_actions_adddup2(actions, s->channel_fd,
						     s->channel_fd);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(
				actions, s->bell_fd, s->bell_fd);
	}
	return -r;
}

static pid_t execute_keeper(const struct reeve_pool *pool,
			    const struct keeper_config *c)
{
	_cleanup_(fd_closep) int fd = write_handout(pool, c);
	_cleanup_(free_pointer) char **env = NULL;
	char variable[64], *argv[] = { pool->name, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;
	int r;

	if (fd < 0)
		return fd;
	(void)snprintf(variable, sizeof(variable), KEEPER_VARIABLE "=%d", fd);
	env = with_variable(variable);
	if (!env || posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	r = keep_fds(&actions, pool, c, fd);
	if (r == 0)
		r = -posix_spawn(&pid, pool->program ?: "/proc/self/exe",
				 &actions, NULL, argv, env);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r < 0 ? r : pid;
}

static pid_t fork_keeper(const struct keeper_config *c, size_t board_size,
			 int *ret_pidfd)
{
	struct keeper_config config = *c;
	pid_t pid;

	(void)fflush(NULL); /* or both would write what is buffered */
	(void)madvise(c->board, board_size, MADV_DOFORK);
	pid = pidfd_fork(ret_pidfd);
	if (pid == 0)
		keeper_main(&config);
	(void)madvise(c->board, board_size, MADV_DONTFORK);
	return pid;
}

pid_t setup_start_keeper(const struct reeve_pool *pool,
			 const struct keeper_config *config, int *ret_pidfd)
{
	pid_t pid;

	if (pool->spec.context == REEVE_CONTEXT_FORK)
		return has_threads() && pool->n_keepers > 0
			       ? -ENOTSUP
			       : fork_keeper(config, pool->board_size,
					     ret_pidfd);
	pid = execute_keeper(pool, config);
	if (pid < 0)
		return pid;
	/* Not reaped by anybody but us: it is still that process. */
	*ret_pidfd = fd_lift(pidfd_open(pid, 0));
	if (*ret_pidfd < 0)
		*ret_pidfd = -errno;
	return pid;
}

/* ---- being executed ---------------------------------------------------------------------- */

/* For the spawn context: fds that the keeper does not know of, and so leaves to
 * workers. All are CLOEXEC: but for its own they are gone once it executes. */
struct executor {
	int handout_fd;
	int *channel_fds; /* of each seat */
	const struct keeper_seat *seats;
	const struct shares *shares;
};

static int make_executor(struct executor *x, const struct keeper_config *c,
			 const struct received *rc, int handout_fd)
{
	x->handout_fd = handout_fd;
	x->seats = c->seats;
	x->shares = c->shares;
	x->channel_fds = calloc(rc->head->n_seats, sizeof(*x->channel_fds));
	if (!x->channel_fds)
		return -ENOMEM;
	for (unsigned i = 0; i < rc->head->n_seats; i++) {
		x->channel_fds[i] = fd_copy(c->seats[i].channel_fd);
		if (x->channel_fds[i] < 0)
			return x->channel_fds[i];
	}
	return 0;
}

/* A worker is this program once more. */
static int execute_worker(const struct keeper_seat *seat, int lifeline_fd,
			  void *arg)
{
	const struct executor *x = arg;
	const int fds[] = { x->handout_fd, x->channel_fds[seat - x->seats],
			    seat->bell_fd, lifeline_fd };
	char variable[96], *argv[] = { variable, NULL };
	char **env;
	int fd;

	(void)snprintf(variable, sizeof(variable),
		       WORKER_VARIABLE "=%d %d %d %d", fds[0], fds[1], fds[2],
		       fds[3]);
	env = with_variable(variable);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)fd_set_cloexec(fds[i], false);
	for (unsigned i = 0; (fd = shares_fd(x->shares, i)) >= 0; i++)
		(void)fd_set_cloexec(fd, false);
	if (env)
		(void)execve("/proc/self/exe", argv, env);
	return WORKER_EXIT_INIT;
}

static int map_all(const struct received *rc, struct keeper_config *c)
{
	const struct handout *h = rc->head;
	int r = 0;

	c->board = mmap(NULL, h->board_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			h->board_fd, 0);
	c->seats = calloc(h->n_seats, sizeof(*c->seats));
	if (c->board == MAP_FAILED || !c->seats)
		return -ENOMEM;
	for (unsigned i = 0; i < h->n_seats && r == 0; i++) {
		c->seats[i].channel_fd = rc->seats[i].channel_fd;
		c->seats[i].bell_fd = rc->seats[i].bell_fd;
		(void)fd_set_cloexec(rc->seats[i].channel_fd, true);
		(void)fd_set_cloexec(rc->seats[i].bell_fd, true);
		r = channel_map(&c->seats[i].channel, rc->seats[i].channel_fd);
	}
	return r;
}

static _Noreturn void serve_as_keeper(int handout_fd)
{
	static struct worker_setup setup;
	static struct handlers_setup handlers;
	static struct executor executor;
	struct keeper_config c = { .worker_main = worker_main, .arg = &setup };
	struct received rc = { 0 };
	const struct handout *h;

	if (read_handout(handout_fd, &rc) < 0)
		_exit(WORKER_EXIT_BROKEN);
	h = rc.head;
	if (fill_setup(&rc, &setup) < 0 || (h->context != REEVE_CONTEXT_SPAWN &&
					    shares_open(setup.shares) < 0))
		_exit(WORKER_EXIT_BROKEN);
	c.shares = setup.shares;
	c.name = rc.name;
	c.owner_pidfd = h->owner_pidfd;
	c.keeper_fd = h->keeper_fd;
	c.owner_fd = h->owner_fd;
	c.maxtasksperchild = h->maxtasksperchild;
	c.maxtasks_jitter = h->maxtasks_jitter;
	c.max_rss_bytes = h->max_rss_bytes;
	c.max_age_usec = h->max_age_usec;
	c.max_age_jitter_usec = h->max_age_jitter_usec;
	c.recycle_max = h->recycle_max;
	c.restart_limit = h->restart_limit;
	c.task_timeout_usec = h->task_timeout_usec;
	c.task_soft_timeout_usec = h->task_soft_timeout_usec;
	c.soft_signal = h->soft_signal;
	c.start_timeout_usec = h->start_timeout_usec;
	c.restart_interval_usec = h->restart_interval_usec;
	(void)fd_set_cloexec(h->owner_pidfd, true);
	(void)fd_set_cloexec(h->keeper_fd, true);
	(void)fd_set_cloexec(h->owner_fd, true);
	(void)fd_set_cloexec(h->board_fd, true);
	(void)fd_set_cloexec(handout_fd, true);
	if (map_all(&rc, &c) < 0)
		_exit(WORKER_EXIT_BROKEN);
	if (h->n_handlers > 0) {
		handlers = (struct handlers_setup){ rc.handlers, setup };
		c.worker_main = handlers_main;
		c.arg = &handlers;
	}
	if (h->context == REEVE_CONTEXT_SPAWN) {
		c.worker_main = execute_worker;
		c.arg = &executor;
		if (make_executor(&executor, &c, &rc, handout_fd) < 0)
			_exit(WORKER_EXIT_BROKEN);
	}
	keeper_main(&c);
}

static _Noreturn void serve_as_worker(const int fds[static 4])
{
	static struct worker_setup setup;
	struct keeper_seat seat = { .channel_fd = fds[1], .bell_fd = fds[2] };
	struct received rc = { 0 };
	int code;

	for (size_t i = 0; i < 4; i++)
		(void)fd_set_cloexec(fds[i], true);
	if (read_handout(fds[0], &rc) < 0 ||
	    channel_map(&seat.channel, seat.channel_fd) < 0 ||
	    fill_setup(&rc, &setup) < 0 || shares_open(setup.shares) < 0)
		_exit(WORKER_EXIT_BROKEN);
	fd_close(seat.channel_fd);
	shares_publish(setup.shares);
	code = worker_main(&seat, fds[3], &setup);
	(void)fflush(NULL);
	_exit(code);
}

/* Up to n numbers, divided by blanks. */
static bool parse_fds(const char *text, int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *end;
		long fd = strtol(text, &end, 10);

		if (end == text || fd < 0 || fd > INT32_MAX ||
		    (*end != (i + 1 < n ? ' ' : '\0')))
			return false;
		fds[i] = (int)fd;
		text = end + (*end == ' ');
	}
	return true;
}

int reeve_pool_setup(const struct reeve_function *table)
{
	const char *text;
	bool is_good;
	int fds[4], r;

	r = check_table(table, &n_functions);
	if (r < 0)
		return r;
	functions = table;
	is_set_up = true;
	/* Whoever was started as a pool's never goes on as the program itself,
	 * or it would make the same pool again, and so on. */
	text = getenv(WORKER_VARIABLE);
	if (text) {
		is_good = parse_fds(text, fds, 4);
		(void)unsetenv(WORKER_VARIABLE);
		(void)unsetenv(KEEPER_VARIABLE);
		if (is_good)
			serve_as_worker(fds);
		_exit(WORKER_EXIT_BROKEN);
	}
	text = getenv(KEEPER_VARIABLE);
	if (text) {
		is_good = parse_fds(text, fds, 1);
		(void)unsetenv(KEEPER_VARIABLE);
		if (is_good)
			serve_as_keeper(fds[0]);
		_exit(WORKER_EXIT_BROKEN);
	}
	return 0;
}

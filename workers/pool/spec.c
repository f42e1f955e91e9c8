/* What is asked for: of a pool, by its spec, and of one job, by its call. Zero means
 * the default everywhere.
 */
#include "workers/pool/spec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/process.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/pool/setup.h"
#include "workers/pool/shares.h"

#define DEFAULT_WINDOW		 64
#define DEFAULT_QUEUE_TASKS	 (1u << 20)
#define DEFAULT_QUEUE_BYTES	 ((size_t)1 << 30)
#define DEFAULT_SPIN_USEC	 50
#define DEFAULT_START_TIMEOUT	 (60 * USEC_PER_SEC)
#define DEFAULT_RESTART_LIMIT	 5
#define DEFAULT_RESTART_INTERVAL (10 * USEC_PER_SEC)

/* ---- a pool ---------------------------------------------------------------------- */

int pool_count_processes(int wanted, unsigned *ret_n)
{
	unsigned cpus;

	if (wanted < -1 || wanted > REEVE_PROCESSES_MAX)
		return -EINVAL;
	if (wanted > 0) {
		*ret_n = (unsigned)wanted;
		return 0;
	}
	cpus = reeve_cpu_count(); /* looks at some files */
	if (wanted == 0 || cpus == 1)
		*ret_n = MIN(cpus, (unsigned)REEVE_PROCESSES_MAX);
	else
		*ret_n = MIN(cpus - 1, (unsigned)REEVE_PROCESSES_MAX);
	return 0;
}

/* How many there are to be now, and at most. */
static int choose_sizes(struct reeve_pool *pool)
{
	int r = pool_count_processes(pool->spec.processes, &pool->n_processes);
	int most = pool->spec.processes_max;

	if (r < 0 || most < 0 || most > REEVE_PROCESSES_MAX)
		return -EINVAL;
	pool->n_processes_max = most ? (unsigned)most : pool->n_processes;
	return pool->n_processes_max < pool->n_processes ? -EINVAL : 0;
}

void spec_fill(struct reeve_pool_spec *s)
{
	s->name = s->name ? s->name : "pool";
	s->window = s->window ? s->window : DEFAULT_WINDOW;
	s->queue_tasks = s->queue_tasks ? s->queue_tasks : DEFAULT_QUEUE_TASKS;
	s->queue_bytes = s->queue_bytes ? s->queue_bytes : DEFAULT_QUEUE_BYTES;
	s->payload_max =
		s->payload_max ? s->payload_max : REEVE_PAYLOAD_DEFAULT;
	s->spin_usec = s->spin_usec ? s->spin_usec : DEFAULT_SPIN_USEC;
	s->start_timeout_usec = s->start_timeout_usec ? s->start_timeout_usec
						      : DEFAULT_START_TIMEOUT;
	s->restart_limit =
		s->restart_limit ? s->restart_limit : DEFAULT_RESTART_LIMIT;
	s->restart_interval_usec = s->restart_interval_usec
					   ? s->restart_interval_usec
					   : DEFAULT_RESTART_INTERVAL;
}

/* Two are glibc's own. */
static bool is_signal_for_tasks(int signo)
{
	return signo > 0 && signo <= SIGRTMAX && signo != SIGKILL &&
	       signo != SIGSTOP && (signo < __SIGRTMIN || signo >= SIGRTMIN);
}

static bool has_good_deadlines(const struct reeve_pool_spec *s)
{
	if (s->task_soft_timeout_usec == 0)
		return s->soft_signal == 0;
	return (s->task_timeout_usec == 0 ||
		s->task_soft_timeout_usec < s->task_timeout_usec) &&
	       (s->soft_signal == 0 || is_signal_for_tasks(s->soft_signal));
}

int spec_check(const struct reeve_pool_spec *s)
{
	if (s->window > CHANNEL_SLOTS_MAX ||
	    s->payload_max > REEVE_PAYLOAD_MAX ||
	    (s->initializer_size > 0 && !s->initializer_argument) ||
	    s->maxtasks_jitter > s->maxtasksperchild ||
	    s->max_crashes_per_task > REEVE_CRASHES_MAX ||
	    s->max_age_jitter_usec > s->max_age_usec ||
	    !has_good_deadlines(s) ||
	    (s->service != REEVE_SERVICE_CALLER &&
	     s->service != REEVE_SERVICE_THREAD) ||
	    (unsigned)s->context > REEVE_CONTEXT_SPAWN ||
	    (s->handler_initializer && !s->handlers))
		return -EINVAL;
	return 0;
}

int spec_take(struct reeve_pool *pool, const struct reeve_pool_spec *s)
{
	int r;

	pool->spec = *s;
	pool->name = strdup(s->name);
	if (!pool->name)
		return -ENOMEM;
	pool->spec.name = pool->name;
	if (s->initializer_size > 0) {
		pool->init_argument = malloc(s->initializer_size);
		if (!pool->init_argument)
			return -ENOMEM;
		memcpy(pool->init_argument, s->initializer_argument,
		       s->initializer_size);
	}
	pool->setup.initializer = s->initializer;
	pool->setup.argument = pool->init_argument;
	pool->setup.argument_size = s->initializer_size;
	r = choose_sizes(pool);
	return r < 0 ? r : shares_new(s->shared, &pool->setup.shares);
}

/* ---- a job ----------------------------------------------------------------------- */

int pool_prepare(const struct reeve_pool *pool, reeve_task_fn *fn,
		 const struct job_wishes *wishes, struct job *job)
{
	const struct reeve_pool_spec *s = &pool->spec;

	if (!fn || wishes->max_crashes > REEVE_CRASHES_MAX ||
	    wishes->priority < REEVE_PRIORITY_MIN ||
	    wishes->priority > REEVE_PRIORITY_MAX)
		return -EINVAL;
	job->level = (unsigned)(wishes->priority - REEVE_PRIORITY_MIN);
	job->fn = fn;
	job->function = (uint64_t)(uintptr_t)fn;
	job->max_crashes = wishes->max_crashes ?: s->max_crashes_per_task;
	job->retry_delay_usec = wishes->retry_delay_usec ?: s->retry_delay_usec;
	if (pool->handlers.n > 0)
		return handlers_index(&pool->handlers, fn, &job->function);
	return pool->setup.table ? setup_find_task(fn, &job->function) : 0;
}

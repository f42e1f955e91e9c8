/* See deaths.h. */
#include "workers/pool/deaths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/pool/channel.h"

const char *reeve_death_name(enum reeve_death_cause cause)
{
	static const char *const names[] = {
		[REEVE_DEATH_OWN] = "ended by itself",
		[REEVE_DEATH_UNREADY] = "ended before it was ready",
		[REEVE_DEATH_START_TIMEOUT] = "start timeout",
		[REEVE_DEATH_TASK_TIMEOUT] = "task timeout",
		[REEVE_DEATH_CANCELLED] = "cancelled",
		[REEVE_DEATH_BROKEN] = "broken",
		[REEVE_DEATH_CUT_OFF] = "cut off",
		[REEVE_DEATH_LEAVE_TIMEOUT] = "leave timeout",
		[REEVE_DEATH_KEEPER] = "keeper died",
		[REEVE_DEATH_STOPPED] = "stopped",
	};

	return (size_t)cause < ARRAY_SIZE(names) ? names[cause] : "unknown";
}

/* ---- one of them ---------------------------------------------------------------- */

static const char *cause_text(enum seat_cause cause)
{
	switch (cause) {
	case CAUSE_CUT_OFF:
		return ", after it had closed its descriptors or executed "
		       "another program";
	case CAUSE_TIMEOUT:
		return ", because the task's time was over";
	case CAUSE_START:
		return ", because it was not ready in time";
	case CAUSE_KILLED:
		return ", on request";
	case CAUSE_STOPPED:
		return ", because it had been stopped";
	case CAUSE_OWN:
	case CAUSE_LEFT:
		break;
	}
	return "";
}

static enum reeve_death_cause choose_cause(enum seat_cause cause,
					   uint32_t phase)
{
	switch (cause) {
	case CAUSE_OWN:
		return phase == PHASE_STARTING || phase == PHASE_INIT_FAILED
			       ? REEVE_DEATH_UNREADY
			       : REEVE_DEATH_OWN;
	case CAUSE_KILLED: /* or cancelled: the engine knows */
		return REEVE_DEATH_BROKEN;
	case CAUSE_TIMEOUT:
		return REEVE_DEATH_TASK_TIMEOUT;
	case CAUSE_START:
		return REEVE_DEATH_START_TIMEOUT;
	case CAUSE_CUT_OFF:
		return REEVE_DEATH_CUT_OFF;
	case CAUSE_STOPPED:
		return REEVE_DEATH_STOPPED;
	case CAUSE_LEFT:
		return REEVE_DEATH_LEAVE_TIMEOUT;
	}
	return REEVE_DEATH_OWN;
}

static void describe_exit(const struct seat *seat, struct reeve_exit *ret)
{
	int code = seat->exit_code;

	*ret = (struct reeve_exit){
		.state = code < 0 ? REEVE_EXIT_SIGNALED : REEVE_EXIT_EXITED,
		.code = code,
		.core = seat->core,
		.oom = (enum reeve_answer)seat->oom,
		.pid = atomic_load(&seat->pid),
		.rusage = seat->rusage,
	};
}

static void word_outcome(const struct seat *seat, struct reeve_outcome *o)
{
	int code = seat->exit_code;
	const char *why = cause_text((enum seat_cause)seat->cause);

	const char *doing = seat->post_mortem;

	if (code < 0)
		(void)snprintf(o->message, sizeof(o->message),
			       "worker %u (pid %d) was killed by SIG%s%s%s%s"
			       "%s%.*s",
			       o->seat, (int)o->pid, sigabbrev_np(-code) ?: "?",
			       seat->core ? " (core dumped)" : "",
			       seat->oom == OOM_YES ? " (out of memory)" : "",
			       why, *doing ? "; it was " : "",
			       postmortem_gist_len(doing), doing);
	else
		(void)snprintf(o->message, sizeof(o->message),
			       "worker %u (pid %d) exited with code %d%s",
			       o->seat, (int)o->pid, code, why);
}

/* ended_usec as the keeper saw it: perhaps long before anybody asks. */
static void date(struct reeve_death *death, const struct seat *seat,
		 uint64_t ended_usec)
{
	uint64_t ago = usec_sub(clock_monotonic_usec(), ended_usec);

	death->when_usec = usec_sub(clock_realtime_usec(), ago);
	death->uptime_usec =
		usec_sub(ended_usec, atomic_load(&seat->started_usec));
}

bool deaths_describe(const struct seat *seat, unsigned i, uint32_t phase,
		     struct engine_end *ret)
{
	enum seat_cause cause = (enum seat_cause)seat->cause;
	bool is_timeout = cause == CAUSE_TIMEOUT;

	*ret = (struct engine_end){
		.outcome = { .kind = is_timeout ? REEVE_TIMEOUT : REEVE_CRASHED,
			     .error = is_timeout ? -ETIMEDOUT : -EPIPE,
			     .seat = i,
			     .pid = atomic_load(&seat->pid) },
		.death = { .cause = choose_cause(cause, phase),
			   .seat = i,
			   .busy_usec = seat->busy_usec },
	};
	describe_exit(seat, &ret->outcome.exit);
	ret->death.exit = ret->outcome.exit;
	_Static_assert(sizeof(ret->death.post_mortem) ==
			       sizeof(seat->post_mortem),
		       "");
	memcpy(ret->death.post_mortem, seat->post_mortem,
	       sizeof(seat->post_mortem));
	ret->now_usec = clock_monotonic_usec();
	word_outcome(seat, &ret->outcome);
	date(&ret->death, seat, seat->ended_usec);
	return cause != CAUSE_LEFT || seat->exit_code != 0;
}

void deaths_describe_unseen(const struct seat *seat, unsigned i,
			    struct engine_end *ret)
{
	const struct reeve_exit unknown = {
		.state = REEVE_EXIT_UNKNOWN,
		.code = REEVE_CODE_UNKNOWN,
		.pid = atomic_load(&seat->pid),
	};

	*ret = (struct engine_end){
		.outcome = { .kind = REEVE_CRASHED,
			     .error = -EPIPE,
			     .seat = i,
			     .pid = unknown.pid,
			     .exit = unknown,
			     .message = "its worker ended together with the "
					"pool's keeper, which was killed" },
		.death = { .cause = REEVE_DEATH_KEEPER,
			   .seat = i,
			   .exit = unknown },
	};
	ret->now_usec = clock_monotonic_usec();
	date(&ret->death, seat, ret->now_usec);
}

/* ---- the last ones ---------------------------------------------------------------- */

void deaths_add(struct deaths *deaths, const struct reeve_death *death)
{
	deaths->last[deaths->n++ % REEVE_DEATHS_MAX] = *death;
}

size_t deaths_copy(const struct deaths *deaths, struct reeve_death *ret,
		   size_t n)
{
	size_t n_kept = (size_t)MIN(deaths->n, (uint64_t)REEVE_DEATHS_MAX);

	for (size_t i = 0; ret && i < MIN(n, n_kept); i++)
		ret[i] = deaths->last[(deaths->n - 1 - i) % REEVE_DEATHS_MAX];
	return n_kept;
}

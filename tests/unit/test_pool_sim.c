/* engine.h in a simulator: random schedules of an owner, workers and a keeper,
 * with deaths, deadlines, cancels, retries, priorities, resizes, recycles in place
 * and, in every third one, workers that scribble over what they share. After each
 * step the invariants of engine.h are checked; when nothing fails any more,
 * everything has to come to its end, and nobody may sleep while there is something
 * to do.
 *
 * The number of schedules run is printed. A failure says REEVE_SIM_SEED=n, which
 * set in the environment runs that schedule alone. REEVE_SOAK=n runs n million.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/pool_sim.h"
#include "tests/unit/pool_sim_holds.h"
#include "tests/unit/pool_sim_keeper.h"
#include "workers/pool/engine_room.h"

#define SCHEDULES      9000
#define SOAK_SCHEDULES 1000000
#define FAULTY_STEPS   1500   /* at most; then nothing fails any more */
#define QUIET_STEPS    400000 /* and so soon everything is over */
#define STUCK_STEPS    1000   /* without anybody doing anything */
#define LOOKS_MAX      3000   /* by the clock, when there are hostile ones */
#define LOOK_STEPS     2000   /* from one to the next, though somebody moves */

/* Channels are made once: mapping them is dearer than a schedule. */
static struct channel channels[SIM_PORTS];
static int fds[SIM_PORTS];
static uint64_t current_seed;

static uint64_t n_deaths, n_cuts, n_cancels, n_recycles, n_lies, n_steps,
	n_went, n_retries;
static uint64_t n_warned, n_warned_ends;

/* ---- what the engine asks for ------------------------------------------- */

static struct sim *sim_of(struct engine *e)
{
	return container_of(e, struct sim, engine);
}

static void on_wake(struct engine *e, unsigned port)
{
	struct channel_signs *signs = &e->ports[port].channel.memory->signs;

	(void)atomic_exchange(&signs->asleep, 0);
}

static void on_kill(struct engine *e, unsigned port)
{
	struct sim *s = sim_of(e);
	struct sim_seat *seat = &s->seats[port];

	SIM_HOLDS(s, s->ending != (int)port); /* it is dead already */
	seat->kill = e->ports[port].generation;
	if (seat->is_tainted)
		return;
	/* Nobody honest is killed but for a cancel, and then the right one. */
	SIM_HOLDS(s, seat->w.running);
	if (s->cancelling)
		SIM_HOLDS(s, seat->w.running == s->cancelling);
	SIM_HOLDS(s, seat->w.running->job.is_cancelled);
}

static void on_trim(struct engine *e, unsigned port)
{
	SIM_HOLDS(sim_of(e), port_load(&e->ports[port]) == 0);
	port_trimmed(&e->ports[port]);
}

static const struct engine_hooks hooks = { on_wake, on_kill, on_trim };

/* ---- the owner ---------------------------------------------------------- */

static void tell_end(struct sim *s, unsigned i)
{
	struct sim_seat *seat = &s->seats[i];
	struct engine_end end = {
		.outcome.kind = seat->cause == SIM_TIMEOUT ? REEVE_TIMEOUT
							   : REEVE_CRASHED,
		.now_usec = s->now_usec,
	};
	unsigned n_to_retry = items_to_retry(s, NULL);

	n_deaths += seat->cause != SIM_WENT;
	n_went += seat->cause == SIM_WENT;
	n_cuts += seat->cause == SIM_TIMEOUT;
	n_lies += seat->is_tainted;
	if (seat->victim && !seat->is_tainted && seat->cause != SIM_TIMEOUT &&
	    !seat->victim->job.is_cancelled)
		seat->victim->items[seat->victim_index].n_died++;
	if (seat->is_tainted)
		sim_taint(s, i); /* what came after the last stroke */
	s->ending = (int)i;
	s->n_blamed = 0;
	engine_port_ended(&s->engine, i, &end);
	s->ending = -1;
	check_victim(s, seat, n_to_retry);
	SIM_HOLDS(s, port_load(&s->ports[i]) == 0);
	seat->is_ended = seat->is_tainted = false;
	seat->is_offered = true;
}

static void look(struct sim *s)
{
	if (!s->is_changed)
		return;
	s->is_changed = false;
	for (unsigned i = 0; i < s->n_ports; i++) {
		struct sim_seat *seat = &s->seats[i];

		if (seat->is_ended)
			tell_end(s, i);
		else if (seat->is_live)
			engine_port_live(&s->engine, i, seat->generation, 1);
	}
	engine_resize(&s->engine, s->n_wanted);
	check_size(s);
}

/* As seats_resize(): now, or when the board is looked at the next time. */
static void resize(struct sim *s)
{
	s->n_wanted = sim_pick(s, 1, s->n_ports);
	look(s);
	engine_resize(&s->engine, s->n_wanted);
	check_size(s);
}

static void feed(struct sim *s)
{
	(void)engine_feed(&s->engine);
	check_levels(s);
}

static void work(struct sim *s)
{
	look(s);
	(void)engine_collect(&s->engine);
	engine_due(&s->engine, s->now_usec);
	feed(s);
}

static void submit(struct sim *s)
{
	if (s->n_submitted < s->n_jobs)
		engine_submit(&s->engine, &s->jobs[s->n_submitted++].job);
}

static void cancel(struct sim *s)
{
	struct sim_job *j = &s->jobs[rng_below(&s->dice, s->n_submitted)];

	if (s->n_submitted == 0 || j->n_over == j->n)
		return;
	n_cancels++;
	s->cancelling = j;
	(void)engine_cancel(&s->engine, &j->job);
	s->cancelling = NULL;
	SIM_HOLDS(s, !j->job.is_queued && items_in_redo(s, &j->job) == 0);
	SIM_HOLDS(s, items_to_retry(s, &j->job) == 0);
}

/* Asks to be woken; false: there is something to do. */
static bool lie_down(struct sim *s)
{
	uint32_t bell = sim_pick(s, 1, 4);

	s->is_rung = false;
	return engine_arm(&s->engine, bell) && !s->is_changed;
}

enum owner { OWNER_WORKS, OWNER_LIES_DOWN, OWNER_SLEEPS };

static enum owner owner_acts(struct sim *s)
{
	switch (rng_below(&s->dice, 8)) {
	case 0:
		submit(s);
		return OWNER_WORKS;
	case 1:
		if (sim_chance(s, 100))
			cancel(s);
		if (s->is_resized && sim_chance(s, 200))
			resize(s);
		return OWNER_WORKS;
	case 2:
		look(s);
		return OWNER_WORKS;
	case 3:
		(void)engine_collect(&s->engine);
		return OWNER_WORKS;
	case 4:
		feed(s);
		return OWNER_WORKS;
	default:
		work(s);
		return OWNER_LIES_DOWN;
	}
}

static enum owner owner_step(struct sim *s, enum owner at)
{
	switch (at) {
	case OWNER_WORKS:
		if (s->is_faulty)
			return owner_acts(s);
		while (s->n_submitted < s->n_jobs)
			submit(s);
		work(s);
		return OWNER_LIES_DOWN;
	case OWNER_LIES_DOWN:
		return lie_down(s) ? OWNER_SLEEPS : OWNER_WORKS;
	case OWNER_SLEEPS:
		if (s->is_rung || engine_next_due(&s->engine) <= s->now_usec ||
		    (s->is_faulty && sim_chance(s, 100))) {
			engine_disarm(&s->engine);
			work(s); /* as the pool does when it wakes up */
			return OWNER_WORKS;
		}
		s->is_progress = engine_next_due(&s->engine) != UINT64_MAX;
		return OWNER_SLEEPS;
	}
	return at;
}

/* ---- a schedule --------------------------------------------------------- */

static void begin(struct sim *s, uint64_t seed)
{
	*s = (struct sim){ .seed = seed, .dice = { seed }, .ending = -1 };
	s->is_hostile = seed % 3 == 0;
	s->is_faulty = true;
	s->is_resized = seed % 2 == 0;
	s->is_retrying = seed % 4 < 2;
	s->is_prioritized = seed % 8 < 4;
	s->n_ports = s->n_wanted = sim_pick(s, 1, SIM_PORTS);
	s->n_jobs = sim_pick(s, 1, SIM_JOBS);
	s->task_limit = sim_chance(s, 400) ? sim_pick(s, 1, 12) : 0;
	s->timeout_usec = sim_chance(s, 500) ? sim_pick(s, 50, 2000) : 0;
	if (sim_chance(s, 500))
		s->soft_timeout_usec =
			sim_pick(s, 20, s->timeout_usec ? 49 : 1000);
	for (unsigned i = 0; i < s->n_ports; i++) {
		memset(channels[i].memory, 0,
		       sizeof(struct channel_memory) +
			       SIM_SLOTS * sizeof(struct slot));
		ck_assert_int_eq(port_init(&s->ports[i], &channels[i], 0), 0);
		s->seats[i].is_offered = true;
	}
	ck_assert_int_eq(engine_init(&s->engine, s->ports, s->n_ports,
				     sim_pick(s, 1, SIM_SLOTS), &hooks),
			 0);
	if (s->task_limit)
		s->engine.max_items = s->task_limit;
	for (unsigned i = 0; i < s->n_jobs; i++)
		sim_new_job(s, &s->jobs[i], i);
}

static bool is_all_over(const struct sim *s)
{
	for (unsigned i = 0; i < s->n_jobs; i++)
		if (s->jobs[i].n_over < s->jobs[i].n)
			return false;
	return s->n_submitted == s->n_jobs && engine_is_idle(&s->engine);
}

/* Somebody, chosen by dice, does one thing. */
static enum owner step(struct sim *s, enum owner at)
{
	uint64_t who = rng_below(&s->dice, 8ULL * s->n_ports + 3);
	unsigned i = (unsigned)(who / 8);

	s->step++;
	s->now_usec += sim_pick(s, 1, 8);
	s->is_progress = true;
	if (who >= 8ULL * s->n_ports)
		at = owner_step(s, at);
	else if (who % 8 == 0)
		sim_keeper_step(s, i);
	else if (s->seats[i].is_live)
		sim_worker_step(s, i);
	else
		s->is_progress = false;
	check_step(s);
	return at;
}

/* As many live as are wanted, and nobody is to leave. */
static bool is_right_size(const struct sim *s)
{
	for (unsigned i = 0; i < s->n_ports; i++)
		if (s->ports[i].is_leaving)
			return false;
	return sim_count_live(s) == s->n_wanted;
}

/* For whoever has to find out why. */
static void show(const struct sim *s)
{
	for (unsigned i = 0; i < s->n_ports; i++) {
		const struct port *p = &s->ports[i];
		const struct sim_seat *seat = &s->seats[i];

		fprintf(stderr,
			"port %u: state %d, worker %u/%u live %d ended %d "
			"tainted %d step %d at %lu, asleep %u, slots %lu-%lu",
			i, p->state, p->generation, seat->generation,
			seat->is_live, seat->is_ended, seat->is_tainted,
			seat->w.step, (unsigned long)seat->w.position,
			p->channel.memory->signs.asleep, (unsigned long)p->head,
			(unsigned long)p->tail);
		for (uint64_t k = p->head; k != p->tail; k++)
			fprintf(stderr, " %lx",
				(unsigned long)channel_slot(&p->channel, k)
					->word);
		fprintf(stderr, "\n");
	}
	fprintf(stderr, "%zu to redo, levels %x wait\n", s->engine.n_redo,
		s->engine.levels_waiting);
}

/* Nobody moves, or only to ask in vain for room. The pool's look by the clock may
 * be needed where somebody has scribbled, and nowhere else. */
static void look_by_the_clock(struct sim *s)
{
	if (!s->is_hostile)
		show(s);
	SIM_HOLDS(s, s->is_hostile);
	(void)engine_collect(&s->engine);
	(void)engine_feed(&s->engine); /* as the pool does after its look */
	engine_check(&s->engine);
}

static void come_to_rest(struct sim *s, enum owner at)
{
	unsigned n_stuck = 0, n_looks = 0;
	uint64_t begun = s->step;

	s->is_faulty = false;
	if (s->n_submitted < s->n_jobs)
		at = OWNER_WORKS; /* a call of the user's */
	while (!is_all_over(s) || !is_right_size(s)) {
		at = step(s, at);
		n_stuck = s->is_progress ? 0 : n_stuck + 1;
		if (s->step - begun >= QUIET_STEPS || n_looks >= LOOKS_MAX) {
			show(s);
			SIM_HOLDS(s, is_all_over(s) && is_right_size(s));
		}
		if (n_stuck < STUCK_STEPS &&
		    !(s->is_hostile && s->step % LOOK_STEPS == 0))
			continue;
		look_by_the_clock(s);
		n_looks++;
		n_stuck = 0;
	}
}

/* What runs is not told before its worker is dead. */
static void refuse(struct sim *s, const struct reeve_outcome *why)
{
	engine_refuse(&s->engine, why);
	SIM_HOLDS(s, !engine_has_something(&s->engine));
	for (unsigned i = 0; i < s->n_ports; i++) {
		struct sim_seat *seat = &s->seats[i];
		const struct sim_job *running = seat->w.running;

		if (!seat->is_live)
			continue;
		if (running && !seat->is_tainted)
			SIM_HOLDS(s, running->items[seat->w.running_index]
						     .n_outcomes == 0);
		sim_death(s, i, SIM_KILL);
	}
	look(s);
}

static void give_up(struct sim *s, bool is_gentle)
{
	const struct reeve_outcome why = { .kind = REEVE_CANCELLED };

	s->is_giving_up = true;
	if (is_gentle)
		refuse(s, &why);
	for (unsigned i = 0; i < s->n_ports; i++)
		s->seats[i].is_live = false;
	if (!is_gentle)
		engine_give_up(&s->engine, &why);
	for (unsigned i = 0; i < s->n_submitted; i++)
		if (s->jobs[i].n_over < s->jobs[i].n)
			engine_submit(&s->engine, &s->jobs[i].job);
	while (s->n_submitted < s->n_jobs) {
		s->jobs[s->n_submitted].n = 0;
		s->jobs[s->n_submitted++].n_over = 0;
	}
}

static void check_end(struct sim *s)
{
	const struct engine *e = &s->engine;
	uint64_t n = 0;

	SIM_HOLDS(s, is_all_over(s));
	SIM_HOLDS(s, e->n_redo == 0 && e->levels_waiting == 0);
	for (unsigned k = 0; k < s->n_jobs; k++) {
		const struct sim_job *j = &s->jobs[k];

		n += j->n;
		for (uint64_t i = 0; i < j->n; i++) {
			const struct sim_item *item = &j->items[i];

			SIM_HOLDS(s, item->n_outcomes == 1);
			SIM_HOLDS(s, item->is_tainted ||
					     item->n_begun <= item->n_died + 1);
		}
	}
	SIM_HOLDS(s, n == e->n_done + e->n_failed + e->n_crashed +
				     e->n_timeout + e->n_cancelled);
}

static void end(struct sim *s)
{
	for (unsigned i = 0; i < s->n_ports; i++) {
		if (!s->is_giving_up)
			n_recycles += s->seats[i].generation;
		free(s->ports[i].pieces);
	}
	n_retries += s->engine.n_retries;
	engine_done(&s->engine);
	n_steps += s->step;
	n_warned += s->n_warned;
	n_warned_ends += s->n_warned_ends;
}

static void run_schedule(uint64_t seed)
{
	static struct sim s;
	enum owner at = OWNER_WORKS;
	uint64_t n;

	current_seed = seed;
	begin(&s, seed);
	n = rng_below(&s.dice, FAULTY_STEPS);
	while (s.step < n && !is_all_over(&s))
		at = step(&s, at);
	if (seed % 8 == 1)
		give_up(&s, seed % 16 == 1);
	else
		come_to_rest(&s, at);
	check_end(&s);
	end(&s);
}

/* ---- all of them -------------------------------------------------------- */

/* An assertion or a fault of the engine ends the process: say which seed. */
static void on_fatal(int signo)
{
	char text[] = "REEVE_SIM_SEED=00000000000000000000 ended it\n";
	uint64_t seed = current_seed;

	for (size_t i = 34; seed > 0; seed /= 10)
		text[i--] = (char)('0' + seed % 10);
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)raise(signo);
}

static void say_seed_when_fatal(void)
{
	struct sigaction sa = { .sa_handler = on_fatal,
				.sa_flags = (int)SA_RESETHAND | SA_NODEFER };

	(void)sigaction(SIGABRT, &sa, NULL);
	(void)sigaction(SIGSEGV, &sa, NULL);
	(void)sigaction(SIGTRAP, &sa, NULL);
	(void)sigaction(SIGILL, &sa, NULL);
}

static uint64_t number_from(const char *variable)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : 0;
}

START_TEST(test_schedules)
{
	uint64_t only = number_from("REEVE_SIM_SEED");
	uint64_t first = only ? only : 1, soak = number_from("REEVE_SOAK");
	uint64_t n = soak ? soak * SOAK_SCHEDULES : SCHEDULES;

	say_seed_when_fatal();
	for (unsigned i = 0; i < SIM_PORTS; i++) {
		fds[i] = channel_new(&channels[i], SIM_SLOTS,
				     CHANNEL_PAYLOAD_DEFAULT);
		ck_assert_int_ge(fds[i], 0);
	}
	n = only ? 1 : n;
	for (uint64_t seed = first; seed < first + n; seed++)
		run_schedule(seed);
	printf("%lu schedules, %lu steps: %lu workers, %lu deaths, %lu cut, "
	       "%lu scribblers, %lu cancels, %lu overdue, of which %lu ended, "
	       "%lu resized away, %lu run again\n",
	       (unsigned long)n, (unsigned long)n_steps,
	       (unsigned long)n_recycles, (unsigned long)n_deaths,
	       (unsigned long)n_cuts, (unsigned long)n_lies,
	       (unsigned long)n_cancels, (unsigned long)n_warned,
	       (unsigned long)n_warned_ends, (unsigned long)n_went,
	       (unsigned long)n_retries);
	for (unsigned i = 0; i < SIM_PORTS; i++) {
		channel_unmap(&channels[i]);
		close(fds[i]);
	}
}
END_TEST

UNIT_MAIN("pool_sim", test_schedules)

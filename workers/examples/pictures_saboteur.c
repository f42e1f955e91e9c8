/* The pictures again, drawn by a pool while a saboteur kills workers at random
 * with SIGKILL, SIGSEGV and exit(3):
 *
 *     pictures_saboteur DIRECTORY [N [MSEC]]
 *
 * draws N pictures (900) into DIRECTORY, with MSEC (250) between two kills on
 * average. Prints how far it is (a bar on a terminal), then each death: when it
 * was ordered, of whom, of what the worker died in the pool's words, and which
 * picture that cost; and the sums. Succeeds when all pictures are there.
 *
 * Shows: what to do about a crash. The pool tells exactly the task that was
 * running, and replaces the worker by itself; whether to run the task once more
 * only the program can know. Here it may: a picture drawn twice is the same
 * picture. See on_lost(). Also shows a program with a loop of its own, which
 * polls the pool's fd beside other things and calls reeve_pool_dispatch().
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <reeve/pool.h>

#include "random_walk.h"

#define N_PICTURES     900
#define N_PICTURES_MAX 100000
#define PAUSE_MSEC     250
#define PAUSE_MSEC_MAX 60000
#define N_DEATHS_MAX   400
#define N_WORKERS_MAX  64 /* the others are left in peace */
#define N_TRIES_MAX    100 /* a picture that always kills its worker is given up */
#define PATH_SIZE      256
#define BAR_WIDTH      40

struct studio;

struct picture {
	unsigned number;
	int n_tries;
	struct studio *studio;
};

struct death {
	double when; /* seconds since the start */
	unsigned seat;
	pid_t pid;
	const char *ordered;
	const struct picture *cost; /* NULL: it was between two pictures */
	int code;		    /* as the pool told it; cost is not NULL */
};

struct studio {
	const char *directory;
	struct reeve_pool *pool;
	struct picture *pictures;
	size_t n, n_done, n_given_up, n_again;
	struct death deaths[N_DEATHS_MAX];
	size_t n_deaths;
	double started, next_kill, pause;
	unsigned short dice[3];
	size_t shown; /* what of the progress is on the screen */
};

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- in the workers ------------------------------------------------------ */

static void on_order_to_exit(int signo)
{
	(void)signo;
	_exit(3);
}

/* Nobody can make another process call exit(3), unless it is prepared to. */
static int prepare_worker(void *argument, size_t size)
{
	const struct sigaction action = { .sa_handler = on_order_to_exit };
	const struct rlimit none = { 0, 0 };

	(void)argument, (void)size;
	if (sigaction(SIGUSR1, &action, NULL) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0) /* these are no bugs */
		return -errno;
	return 0;
}

static int draw(void *input, size_t size, struct reeve_reply *reply)
{
	unsigned number;
	const char *path = (const char *)input + sizeof(number);
	int r;

	(void)size;
	memcpy(&number, input, sizeof(number));
	r = walk_draw(number, path);
	if (r < 0)
		return reeve_reply_error(reply, r, "cannot write %s", path);
	return 0;
}

/* ---- pictures, and what becomes of them ----------------------------------- */

static void on_drawn(struct reeve_result *result, void *userdata);
static void on_lost(struct reeve_result *result, void *userdata);

/* Returns 0 or -errno. The input is copied, so it may go. */
static int submit(struct picture *picture)
{
	const struct reeve_apply_spec spec = {
		.callback = on_drawn,
		.error_callback = on_lost,
		.userdata = picture,
	};
	char input[sizeof(picture->number) + PATH_SIZE];
	int length;

	memcpy(input, &picture->number, sizeof(picture->number));
	length = snprintf(input + sizeof(picture->number), PATH_SIZE,
			  "%s/%05u.png", picture->studio->directory,
			  picture->number);
	if (length < 0 || length >= PATH_SIZE)
		return -ENAMETOOLONG;
	picture->n_tries++;
	return reeve_pool_apply_async(
		picture->studio->pool, draw, input,
		sizeof(picture->number) + (size_t)length + 1, &spec, NULL);
}

static void on_drawn(struct reeve_result *result, void *userdata)
{
	struct picture *picture = userdata;

	(void)result;
	picture->studio->n_done++;
}

/* What the pool says of a death belongs to the order with that pid. */
static void note_death(struct picture *picture,
		       const struct reeve_outcome *outcome)
{
	struct studio *s = picture->studio;

	for (size_t i = 0; i < s->n_deaths; i++)
		if (s->deaths[i].pid == outcome->pid) {
			s->deaths[i].cost = picture;
			s->deaths[i].code = outcome->exit.code;
			return;
		}
	fprintf(stderr, "worker %u, pid %d, died by itself: %d\n",
		outcome->seat, (int)outcome->pid, outcome->exit.code);
}

/* A crash says nothing against the picture: once more. A failure would be the
 * same again: it is told, and the picture is given up. */
static void on_lost(struct reeve_result *result, void *userdata)
{
	struct picture *picture = userdata;
	struct studio *s = picture->studio;
	struct reeve_outcome outcome;

	reeve_result_outcome(result, &outcome);
	if (outcome.kind == REEVE_CRASHED) {
		note_death(picture, &outcome);
		if (picture->n_tries < N_TRIES_MAX && submit(picture) == 0) {
			s->n_again++;
			return;
		}
	}
	fprintf(stderr, "picture %u %s: %s\n", picture->number,
		reeve_outcome_name(outcome.kind), outcome.message);
	s->n_given_up++;
}

/* ---- the saboteur ----------------------------------------------------------- */

static bool is_dead(const struct studio *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_deaths; i++)
		if (s->deaths[i].pid == pid)
			return true;
	return false;
}

/* Kills one worker in one way. (A pid that was looked up may be somebody else's
 * when it is used, in theory. A program that wants to be rid of a task takes
 * reeve_result_cancel(), which is exact.) */
static void sabotage(struct studio *s)
{
	static const struct {
		const char *name;
		int signo;
	} ways[] = { { "SIGKILL", SIGKILL },
		     { "SIGSEGV", SIGSEGV },
		     { "exit(3)", SIGUSR1 } };
	struct reeve_worker_stats workers[N_WORKERS_MAX];
	size_t n = reeve_pool_workers(s->pool, workers, N_WORKERS_MAX);
	size_t n_shown = n < N_WORKERS_MAX ? n : N_WORKERS_MAX;
	unsigned seat = (unsigned)(erand48(s->dice) * (double)n_shown);
	unsigned way = (unsigned)(erand48(s->dice) * 3);
	pid_t pid = n_shown > 0 ? workers[seat].pid : 0;

	s->next_kill = now() + s->pause * 2 * erand48(s->dice);
	if (pid <= 0 || !workers[seat].is_ready || is_dead(s, pid) ||
	    s->n_deaths == N_DEATHS_MAX || kill(pid, ways[way].signo) < 0)
		return;
	s->deaths[s->n_deaths++] = (struct death){
		.when = now() - s->started,
		.seat = seat,
		.pid = pid,
		.ordered = ways[way].name,
	};
}

/* ---- the loop ---------------------------------------------------------------- */

/* A bar that is redrawn where it stands; elsewhere than on a terminal a line for
 * each quarter. */
static void show_progress(struct studio *s)
{
	bool is_terminal = isatty(STDOUT_FILENO);
	size_t n_steps = is_terminal ? s->n : 4;
	size_t step = s->n_done * n_steps / s->n;
	int width = (int)(s->n_done * BAR_WIDTH / s->n);

	if (step == s->shown)
		return;
	s->shown = step;
	if (is_terminal)
		printf("\r[%.*s%*s] %zu of %zu, %zu killed ", width,
		       "########################################",
		       BAR_WIDTH - width, "", s->n_done, s->n, s->n_deaths);
	else
		printf("%6.2f s: %zu of %zu pictures, %zu workers killed\n",
		       now() - s->started, s->n_done, s->n, s->n_deaths);
	if (is_terminal && s->n_done == s->n)
		printf("\n");
	(void)fflush(stdout);
}

/* Returns 0 when each picture is drawn or given up, or -errno. */
static int draw_all(struct studio *s)
{
	struct pollfd fd = { .fd = reeve_pool_fd(s->pool), .events = POLLIN };
	int r = fd.fd < 0 ? fd.fd : 0;

	for (size_t i = 0; i < s->n && r == 0; i++)
		r = submit(&s->pictures[i]);
	while (r >= 0 && s->n_done + s->n_given_up < s->n) {
		double rest = s->next_kill - now();

		if (poll(&fd, 1, rest > 0 ? (int)(rest * 1000) + 1 : 0) < 0 &&
		    errno != EINTR)
			return -errno;
		r = reeve_pool_dispatch(s->pool); /* calls on_... */
		if (now() >= s->next_kill)
			sabotage(s);
		show_progress(s);
	}
	return r < 0 ? r : 0;
}

/* ---- the report --------------------------------------------------------------- */

static void report(const struct studio *s)
{
	size_t n_free = 0;

	for (size_t i = 0; i < s->n_deaths; i++) {
		const struct death *d = &s->deaths[i];

		printf("%7.3f s  worker %u, pid %d, %s: ", d->when, d->seat,
		       (int)d->pid, d->ordered);
		if (d->cost)
			printf("exit code %d, cost picture %u\n", d->code,
			       d->cost->number);
		else
			printf("cost nothing\n");
		n_free += !d->cost;
	}
	printf("%zu workers killed, %zu of them between two pictures\n",
	       s->n_deaths, n_free);
	printf("%zu pictures drawn again\n", s->n_again);
	printf("%zu of %zu pictures in %.2f s\n", s->n_done, s->n,
	       now() - s->started);
}

static int run(struct studio *s)
{
	const struct reeve_pool_spec spec = {
		.name = "pictures",
		.initializer = prepare_worker,
	};
	int r = reeve_pool_new(&spec, &s->pool);

	if (r < 0)
		return r;
	s->started = now();
	s->next_kill = s->started + s->pause;
	r = draw_all(s);
	if (r < 0)
		(void)reeve_pool_terminate(s->pool);
	(void)reeve_pool_close(s->pool);
	(void)reeve_pool_join(s->pool, REEVE_FOREVER);
	s->pool = reeve_pool_free(s->pool);
	report(s);
	return r;
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : N_PICTURES;
	unsigned long pause =
		argc > 3 ? strtoul(argv[3], NULL, 10) : PAUSE_MSEC;
	static struct studio s;
	int r = -ENOMEM;

	if (argc < 2 || argc > 4 || n < 1 || n > N_PICTURES_MAX || pause < 1 ||
	    pause > PAUSE_MSEC_MAX) {
		fprintf(stderr, "usage: %s DIRECTORY [N [MSEC]]\n", argv[0]);
		return 2;
	}
	s.directory = argv[1];
	s.n = n;
	s.pause = (double)pause / 1000;
	s.dice[0] = (unsigned short)getpid(); /* another each time */
	s.pictures = calloc(n, sizeof(*s.pictures));
	if (s.pictures) {
		for (unsigned i = 0; i < n; i++)
			s.pictures[i] =
				(struct picture){ .number = i, .studio = &s };
		r = run(&s);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
	free(s.pictures);
	return r == 0 && s.n_done == s.n ? 0 : 1;
}

/* A client of a Manager is killed while it holds something, waits for something, or
 * has sent half of a request: whoever waits for what it had, or behind it, goes on
 * within PROMISE_USEC, with what belongs to him, and is told what he must know.
 */
#include <pthread.h>

#include "tests/unit/manager_rig.h"
#include "workers/base/sys/fd.h"
#include "workers/manager/client.h"
#include "workers/manager/frame.h"

/* What is promised after a death, and how often a busy machine may break it. */
#define PROMISE_USEC   (100 * USEC_PER_MSEC)
#define PROMISE_TRIES  20
#define LONG_WAIT_MSEC (int)(LONG_WAIT / USEC_PER_MSEC)

/* All functions return 0 when it went as it should. First main does before; then the
 * client does its part, holds what it got or waits; then the survivor, in a thread,
 * does his, which takes until the client is dead, or until main has done after.
 * At last main looks. */
struct scene {
	const char *name;
	enum reeve_object_kind kind;
	size_t size;
	int (*before)(reeve_proxy *p);
	int (*client)(reeve_proxy *p);
	bool client_waits;
	int (*survivor)(reeve_proxy *p);
	int (*then)(reeve_proxy *p);
	int (*after)(reeve_proxy *p);
	bool at_once; /* after, whether the server has seen the death or not */
	int (*look)(reeve_proxy *p);
};

/* ---- parts ------------------------------------------------------------------------ */

static int acquire(reeve_proxy *p)
{
	return reeve_proxy_acquire(p, LONG_WAIT);
}

static int acquire_twice(reeve_proxy *p)
{
	int r = acquire(p);

	return r == 0 ? acquire(p) : r;
}

/* Its holder has died. */
static int acquire_from_the_dead(reeve_proxy *p)
{
	int r = acquire(p);

	return r == 1 ? 0 : -EBADMSG;
}

/* Perhaps it was the dead one's, for a moment. */
static int acquire_anyhow(reeve_proxy *p)
{
	int r = acquire(p);

	return r < 0 ? r : reeve_proxy_release(p);
}

/* The survivor has one, so there is one. */
static int count_units(reeve_proxy *p)
{
	int r = reeve_proxy_acquire(p, 0);

	if (r == 0 && reeve_proxy_acquire(p, 0) != -EAGAIN)
		return -EBADMSG;
	return r;
}

/* Nor more than there were, when all are given back. */
static int count_bounded_units(reeve_proxy *p)
{
	int r = count_units(p);

	for (int i = 0; i < 2 && r == 0; i++)
		r = reeve_proxy_release(p);
	return r == 0 && reeve_proxy_release(p) == -EOVERFLOW ? 0 : -EBADMSG;
}

static int put_two(reeve_proxy *p)
{
	int r = reeve_proxy_queue_put(p, REEVE_ANY(1), 0);

	return r == 0 ? reeve_proxy_queue_put(p, REEVE_ANY(2), 0) : r;
}

static int put_three(reeve_proxy *p)
{
	return reeve_proxy_queue_put(p, REEVE_ANY(3), LONG_WAIT);
}

static int put_four(reeve_proxy *p)
{
	return reeve_proxy_queue_put(p, REEVE_ANY(4), LONG_WAIT);
}

static int get(reeve_proxy *p, int64_t wanted)
{
	struct reeve_any item;
	int r = reeve_proxy_queue_get(p, LONG_WAIT, &item);

	if (r < 0)
		return r;
	return item.integer == wanted ? 0 : -EBADMSG;
}

static int get_two(reeve_proxy *p)
{
	int r = get(p, 1);

	return r == 0 ? get(p, 2) : r;
}

static int get_one(reeve_proxy *p)
{
	return get(p, 1);
}

static int get_three(reeve_proxy *p)
{
	return get(p, 3);
}

/* Without the three of who died. */
static int get_two_and_four(reeve_proxy *p)
{
	int r = get(p, 2);

	return r == 0 ? get(p, 4) : r;
}

static int join_lost_two(reeve_proxy *p)
{
	size_t n_lost = 0;
	int r = reeve_proxy_queue_join(p, LONG_WAIT, &n_lost);

	return r == 0 && n_lost != 2 ? -EBADMSG : r;
}

static int wait_held(reeve_proxy *p)
{
	int r = acquire(p);

	if (r >= 0)
		r = reeve_proxy_wait(p, LONG_WAIT);
	return r < 0 ? r : reeve_proxy_release(p);
}

static int notify_held(reeve_proxy *p)
{
	int r = acquire(p);

	return r < 0 ? r : reeve_proxy_notify(p, 1);
}

static int notify_one(reeve_proxy *p)
{
	int r = notify_held(p);

	return r < 0 ? r : reeve_proxy_release(p);
}

static int release(reeve_proxy *p)
{
	return reeve_proxy_release(p);
}

static int arrive(reeve_proxy *p)
{
	return reeve_proxy_barrier_wait(p, LONG_WAIT) == -EPIPE ? 0 : -EBADMSG;
}

static int is_broken(reeve_proxy *p)
{
	bool broken = false;
	int r = reeve_proxy_barrier_state(p, NULL, NULL, &broken);

	return r == 0 && !broken ? -EBADMSG : r;
}

/* Has the lock, and sends the half of a request that would release it. */
static int acquire_and_say_half(reeve_proxy *p)
{
	struct buf b = BUF_INIT(0);
	ssize_t begin = frame_begin(&b);
	int r = acquire(p);

	(void)codec_put_int(&b, ID_FIRST);
	(void)codec_put_int(&b, VERB_RELEASE);
	(void)codec_put_int(&b, p->handle);
	if (frame_end(&b, (size_t)begin, FRAME_MAX) < 0 || r != 0)
		return -EBADMSG;
	return write(p->manager->wire.fd, b.data, b.len - 1) ==
			       (ssize_t)b.len - 1
		       ? 0
		       : -errno;
}

static const struct scene scenes[] = {
	{ "lock", REEVE_OBJECT_LOCK, 0, .client = acquire,
	  .survivor = acquire_from_the_dead },
	{ "rlock", REEVE_OBJECT_RLOCK, 0, .client = acquire_twice,
	  .survivor = acquire_from_the_dead },
	{ "condition's lock", REEVE_OBJECT_CONDITION, 0,
	  .client = acquire_twice, .survivor = acquire_from_the_dead },
	{ "semaphore", REEVE_OBJECT_SEMAPHORE, 2, .client = acquire_twice,
	  .survivor = acquire, .look = count_units },
	{ "bounded semaphore", REEVE_OBJECT_BOUNDED_SEMAPHORE, 2,
	  .client = acquire_twice, .survivor = acquire,
	  .look = count_bounded_units },
	{ "items got", REEVE_OBJECT_QUEUE, 0, .before = put_two,
	  .client = get_two, .survivor = join_lost_two },
	{ "barrier", REEVE_OBJECT_BARRIER, 3, .client = arrive,
	  .client_waits = true, .survivor = arrive, .look = is_broken },
	{ "half a request", REEVE_OBJECT_LOCK, 0,
	  .client = acquire_and_say_half, .survivor = acquire_from_the_dead },
	/* it stood in line before the survivor */
	{ "waits for a lock", REEVE_OBJECT_LOCK, 0, .before = acquire,
	  .client = acquire, .client_waits = true, .survivor = acquire_anyhow,
	  .after = release },
	{ "waits for a lock, given", REEVE_OBJECT_LOCK, 0, .before = acquire,
	  .client = acquire, .client_waits = true, .survivor = acquire_anyhow,
	  .after = release, .at_once = true },
	{ "waits for a unit", REEVE_OBJECT_SEMAPHORE, 1, .before = acquire,
	  .client = acquire, .client_waits = true, .survivor = acquire_anyhow,
	  .after = release, .at_once = true },
	{ "waits for an item", REEVE_OBJECT_QUEUE, 0, .client = get_three,
	  .client_waits = true, .survivor = get_three, .after = put_three },
	{ "waits for room", REEVE_OBJECT_QUEUE, 2, .before = put_two,
	  .client = put_three, .client_waits = true, .survivor = put_four,
	  .after = get_one, .look = get_two_and_four },
	{ "waits for a notify", REEVE_OBJECT_CONDITION, 0, .client = wait_held,
	  .client_waits = true, .survivor = wait_held, .after = notify_one },
	{ "told, waits for the lock", REEVE_OBJECT_CONDITION, 0,
	  .client = wait_held, .client_waits = true, .survivor = wait_held,
	  .then = notify_held, .after = release },
};

/* ---- the client ---------------------------------------------------------------------- */

static struct {
	const struct scene *scene;
	reeve_manager *m; /* of main */
	char name[64];
	unsigned n_played;
	int fds[2];
} play;

static reeve_manager *connect_anew(void)
{
	reeve_manager *m = NULL;
	size_t size;
	const void *key = reeve_manager_authkey(play.m, &size);

	(void)reeve_manager_connect(reeve_manager_address(play.m), key, size,
				    LONG_WAIT, &m);
	return m;
}

static reeve_proxy *open_anew(reeve_manager *m)
{
	const struct reeve_object_spec spec = { .size = play.scene->size };
	reeve_proxy *p = NULL;

	(void)reeve_proxy_open(m, play.scene->kind, play.name, &spec, &p);
	return p;
}

static int be_a_client(void *arg _unused_)
{
	reeve_proxy *p = open_anew(connect_anew());

	if (play.scene->client(p) == 0 && write(play.fds[1], "x", 1) == 1)
		for (;;)
			(void)pause();
	return 1;
}

/* ---- the survivor ---------------------------------------------------------------------- */

struct survivor {
	pthread_t thread;
	reeve_manager *m;
	reeve_proxy *p;
	int result;
	uint64_t end_usec;
};

static void *survive(void *arg)
{
	struct survivor *s = arg;

	s->m = connect_anew();
	s->p = open_anew(s->m);
	s->result = play.scene->survivor(s->p);
	s->end_usec = clock_monotonic_usec();
	return NULL;
}

/* ---- main -------------------------------------------------------------------------------- */

static int64_t n_waiting(void)
{
	struct reeve_any stats;
	const struct reeve_any *n;
	int64_t result = -1;

	ck_assert_int_eq(reeve_manager_stats(play.m, &stats), 0);
	n = reeve_any_find(&stats, REEVE_ANY("waiting"));
	if (n)
		result = n->integer;
	reeve_any_free(&stats);
	return result;
}

static void until_waiting(int64_t wanted)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	while (n_waiting() != wanted)
		ck_assert_msg(clock_monotonic_usec() < end, "%s: %d wait",
			      play.scene->name, (int)n_waiting());
}

static void must(int r, const char *what)
{
	ck_assert_msg(r == 0, "%s: %s: %d", play.scene->name, what, r);
}

static reeve_process *start_client(void)
{
	const struct reeve_process_spec spec = { .function = be_a_client,
						 .keep_fds = true };
	reeve_process *client;

	ck_assert_int_eq(pipe2(play.fds, 0), 0);
	ck_assert_int_eq(reeve_process_start(&spec, &client), 0);
	if (play.scene->client_waits)
		until_waiting(1);
	else
		ck_assert(fd_wait_readable(play.fds[0], LONG_WAIT_MSEC));
	return client;
}

static void end_client(reeve_process *client)
{
	ck_assert_int_eq(reeve_process_join(client, LONG_WAIT), 0);
	reeve_process_free(client);
	(void)close(play.fds[0]);
	(void)close(play.fds[1]);
}

/* Returns how long it took the survivor to go on. */
static uint64_t play_once(const struct scene *scene, reeve_proxy *p)
{
	struct survivor s = { .result = -1 };
	reeve_process *client;
	uint64_t begun;

	must(scene->before ? scene->before(p) : 0, "before");
	client = start_client();
	ck_assert_int_eq(pthread_create(&s.thread, NULL, survive, &s), 0);
	until_waiting(1 + scene->client_waits);
	must(scene->then ? scene->then(p) : 0, "then");
	begun = clock_monotonic_usec();
	ck_assert_int_eq(reeve_process_kill(client), 0);
	if (scene->after && !scene->at_once)
		until_waiting(1);
	must(scene->after ? scene->after(p) : 0, "after");
	ck_assert_int_eq(pthread_join(s.thread, NULL), 0);
	must(s.result, "survivor");
	must(scene->look ? scene->look(p) : 0, "look");
	reeve_proxy_free(s.p);
	reeve_manager_free(s.m);
	end_client(client);
	return s.end_usec - begun;
}

static void play_scene(const struct scene *scene)
{
	uint64_t took = UINT64_MAX;

	play.scene = scene;
	for (int i = 0; i < PROMISE_TRIES && took > PROMISE_USEC; i++) {
		reeve_proxy *p;

		(void)snprintf(play.name, sizeof(play.name), "%s %u",
			       scene->name, play.n_played++);
		p = open_anew(play.m);
		took = play_once(scene, p);
		reeve_proxy_free(p);
	}
	ck_assert_msg(took <= PROMISE_USEC, "%s: took %d us", scene->name,
		      (int)took);
}

START_TEST(test_others_go_on)
{
	int rounds = getenv("REEVE_SOAK") ? 200 : 1;

	play.m = start_manager((struct reeve_manager_spec){ 0 });
	for (int i = 0; i < rounds; i++)
		for (size_t k = 0; k < ARRAY_SIZE(scenes); k++)
			play_scene(&scenes[k]);
	unit_count((unsigned long)rounds * ARRAY_SIZE(scenes), "kills");
	reeve_manager_free(play.m);
}
END_TEST

MANAGER_MAIN("manager_client_deaths", test_others_go_on)

/* How long an honest client of a Manager waits while others attack as fast as they
 * can. That it is served is asserted; how well, compared to before, is printed with
 * REEVE_SOAK set (the attackers run at the lowest priority, so that what is
 * measured is the server, not the lack of CPUs). */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/unit/attack_rig.h"

#define FEW  200
#define MANY 20000

/* Each attacks again and again, until it is killed. */
typedef void attack_fn(void);

static void attack_key(void)
{
	struct guest g;

	guest_connect(&g, server.address);
	(void)guest_greet(&g, "another key");
	(void)guest_is_ended(&g);
	guest_close(&g);
}

static void attack_garbage(void)
{
	static char garbage[20000];
	struct guest g;

	memset(garbage, 0xa5, sizeof(garbage));
	guest_connect(&g, server.address);
	(void)guest_send(&g, garbage, sizeof(garbage));
	(void)guest_is_ended(&g);
	guest_close(&g);
}

/* Leaves connections open: the server ends the oldest ones. */
static void attack_crowd(void)
{
	static struct guest crowd[500];
	static bool is_begun;
	static size_t next;

	if (!is_begun)
		for (size_t i = 0; i < ARRAY_SIZE(crowd); i++)
			guest_init(&crowd[i]);
	is_begun = true;
	guest_close(&crowd[next]);
	guest_connect(&crowd[next], server.address);
	next = (next + 1) % ARRAY_SIZE(crowd);
}

/* A client that the attacks of this process use. */
static struct guest *our_guest(void)
{
	static struct guest g = { .fd = -1 };

	if (g.fd < 0)
		guest_join(&g, server.address, KEY);
	return &g;
}

static void attack_deep(void)
{
	static unsigned char deep[MEBIBYTE];
	struct guest *g = our_guest();
	int64_t dict = guest_open(g, REEVE_OBJECT_DICT, "deep", 0);

	memset(deep, 0x81, sizeof(deep));
	(void)set_bytes(g, dict, deep, sizeof(deep));
	(void)call_plainly(g, VERB_CLOSE, dict);
}

/* As many requests as fit through the socket; their answers are not read. */
static void attack_flood(void)
{
	struct guest *g = our_guest();
	struct buf b = BUF_INIT(0);

	for (int i = 0; i < 1000; i++)
		guest_end(&b, guest_begin(g, &b, VERB_PING, 0));
	if (guest_send_buf(g, &b) < 0)
		guest_close(g); /* anew */
	buf_done(&b);
}

/* The same, but they are read. */
static void attack_pipeline(void)
{
	struct guest *g = our_guest();
	struct buf b = BUF_INIT(0);
	struct reader results;
	int64_t id;

	for (int i = 0; i < 1000; i++)
		guest_end(&b, guest_begin(g, &b, VERB_PING, 0));
	(void)guest_send_buf(g, &b);
	for (int i = 0; i < 1000; i++)
		(void)guest_answer(g, &id, &results);
	buf_done(&b);
}

static const struct {
	const char *name;
	attack_fn *attack;
} attacks[] = {
	{ "nothing", NULL },
	{ "wrong keys", attack_key },
	{ "garbage", attack_garbage },
	{ "a crowd", attack_crowd },
	{ "nesting", attack_deep },
	{ "a flood", attack_flood },
	{ "a pipeline", attack_pipeline },
};

/* How often, in memory that attackers share. */
static _Atomic unsigned long *n_attacks;

static void go_on_attacking(attack_fn *attack)
{
	const struct sched_param none = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sched_setscheduler(0, SCHED_OTHER, &none) < 0 || nice(19) < 0)
		_exit(1);
	for (;;) {
		attack();
		(*n_attacks)++;
	}
}

static pid_t fork_attacker(attack_fn *attack)
{
	int ready[2];
	char byte;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	*n_attacks = 0;
	pid_t pid = fork();
	if (pid == 0) {
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		go_on_attacking(attack);
	}
	ck_assert_int_gt(pid, 0);
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Pings n times; the time, in microseconds, that 99 of 100 took at most. */
static uint64_t measure(struct guest *g, size_t n, uint64_t *ret_median)
{
	uint64_t *usec = calloc(n, sizeof(*usec));

	ck_assert_ptr_nonnull(usec);
	for (size_t i = 0; i < n; i++) {
		uint64_t begun = clock_monotonic_usec();
		ck_assert_int_eq(guest_ping(g), 0);
		usec[i] = clock_monotonic_usec() - begun;
	}
	qsort(usec, n, sizeof(*usec), compare);
	uint64_t p99 = usec[n - 1 - n / 100];
	*ret_median = usec[n / 2];
	free(usec);
	return p99;
}

START_TEST(test_latency)
{
	bool is_soak = getenv("REEVE_SOAK") != NULL;
	struct guest honest;

	n_attacks = mmap(NULL, sizeof(*n_attacks), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(n_attacks, MAP_FAILED);
	start_plain(ATTACK_UNIX);
	guest_join(&honest, server.address, KEY);
	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		pid_t pid = 0;
		uint64_t median;

		if (attacks[i].attack)
			pid = fork_attacker(attacks[i].attack);
		uint64_t p99 = measure(&honest, is_soak ? MANY : FEW, &median);
		if (is_soak)
			fprintf(stderr,
				"%-10s median %3lu us, p99 %4lu us, %6lu "
				"attacks\n",
				attacks[i].name, (unsigned long)median,
				(unsigned long)p99, *n_attacks);
		if (pid == 0)
			continue;
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	}
	guest_close(&honest);
	stop();
}
END_TEST

UNIT_MAIN("latency", test_latency)

/* Progress of tasks: the last whole word of the item that runs, and of no other;
 * whatever a worker does to the memory in which it stands. */
#include "workers/pool/progress.h"

#include <pthread.h>

#include "tests/unit/pool_rig.h"
#include "workers/base/sys/fd.h"
#include "workers/pool/port.h"

/* ---- the board ------------------------------------------------------------------ */

/* One in which all that there is says k. */
static struct progress_note note_of(uint64_t k)
{
	struct progress_note n = {
		.position = k,
		.word = k,
		.progress = { .done = k, .total = k, .n_reports = k },
	};

	memset(n.progress.text, 'a' + (int)(k % 26), REEVE_PROGRESS_MAX - 1);
	return n;
}

static void check_note(const struct progress_note *n)
{
	struct progress_note wanted = note_of(n->position);

	ck_assert_int_eq(memcmp(n, &wanted, sizeof(wanted)), 0);
}

START_TEST(test_last_word_counts)
{
	static struct progress_board board;
	struct progress_note n;

	ck_assert(progress_read(&board, &n));
	ck_assert_uint_eq(n.progress.n_reports, 0);
	for (uint64_t k = 1; k < 10; k++) {
		n = note_of(k);
		progress_write(&board, &n);
		for (int i = 0; i < 2; i++) {
			ck_assert(progress_read(&board, &n));
			ck_assert_uint_eq(n.position, k);
			check_note(&n);
		}
	}
}
END_TEST

/* In the middle of a note: the one before is there. One that jumps out of the
 * middle, and comes back, is understood as before. */
START_TEST(test_killed_in_the_middle)
{
	static struct progress_board board;
	struct progress_note n = note_of(1), got;
	struct progress_record *next;

	for (uint64_t k = 1; k < 9; k++) {
		n = note_of(k);
		progress_write(&board, &n);
		next = &board.records[~board.latest & 1];
		next->sequence |= 1;
		next->words[k % PROGRESS_WORDS] = 4711;
		ck_assert(progress_read(&board, &got));
		ck_assert_uint_eq(got.position, k);
		check_note(&got);
	}
	board.records[board.latest].sequence |= 1; /* makes no sense */
	ck_assert(!progress_read(&board, &got));
	board.latest = UINT32_MAX; /* nor this; but it is somewhere */
	board.records[0].sequence = board.records[1].sequence = 2;
	memset(board.records[1].words, 0xff, sizeof(board.records[1].words));
	ck_assert(progress_read(&board, &got));
	ck_assert_uint_eq(strlen(got.progress.text), REEVE_PROGRESS_MAX - 1);
}
END_TEST

struct writer {
	struct progress_board board;
	_Atomic bool is_over;
	uint64_t n;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;

	while (!atomic_load(&w->is_over)) {
		struct progress_note n = note_of(++w->n);

		progress_write(&w->board, &n);
	}
	return NULL;
}

START_TEST(test_read_while_written)
{
	static struct writer w;
	uint64_t n_read = 0, last = 0;
	pthread_t thread;

	if (_i > 0)
		return;
	ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &w), 0);
	for (int i = 0; i < 100000 || last < 1000 || n_read < 1000; i++) {
		struct progress_note n;

		if (!progress_read(&w.board, &n) || n.position == 0)
			continue;
		check_note(&n);
		ck_assert_uint_ge(n.position, last); /* never back */
		last = n.position;
		n_read++;
	}
	atomic_store(&w.is_over, true);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	printf("%lu read, %lu written\n", (unsigned long)n_read,
	       (unsigned long)w.n);
}
END_TEST

/* ---- the port: whose is it? ------------------------------------------------------- */

START_TEST(test_whose)
{
	static const struct {
		enum slot_state state;
		uint64_t position;
		uint32_t tag, item; /* of the note; the slot runs 1: {2, 3} */
		uint64_t n_reports;
		bool is_its;
	} cases[] = {
		{ SLOT_RUNNING, 1, 2, 3, 1, true },
		{ SLOT_WARNED, 1, 2, 3, 1, true },
		{ SLOT_RUNNING, 0, 2, 3, 1, false },
		{ SLOT_RUNNING, 1, 1, 3, 1, false },
		{ SLOT_RUNNING, 1, 2, 2, 1, false },
		{ SLOT_RUNNING, 1, 2, 4, 1, false },
		{ SLOT_RUNNING, 1, 2, 3, 0, false },
		{ SLOT_DONE, 1, 2, 3, 1, false },
		{ SLOT_CANCELLING, 1, 2, 3, 1, false },
	};
	const struct piece piece = { .n_items = 9, .out_stride = 1 };
	struct channel channel;
	struct port port;
	int fd = channel_new(&channel, 4, CHANNEL_PAYLOAD_DEFAULT);

	ck_assert_int_eq(port_init(&port, &channel, 0), 0);
	port.pieces[1].tag = 1;
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(port_publish(&port, &piece, 0, NULL, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct progress_note n = {
			.position = cases[i].position,
			.word = slot_word(SLOT_FREE, cases[i].tag,
					  cases[i].item),
			.progress.n_reports = cases[i].n_reports,
		};
		uint64_t at;

		atomic_store(&channel_slot(&channel, 1)->word,
			     slot_word(cases[i].state, 2, 3));
		progress_write(&channel.memory->signs.progress, &n);
		ck_assert_int_eq(port_progress(&port, 1, &n), cases[i].is_its);
		ck_assert(!port_progress(&port, 0, &n));
		ck_assert_int_eq(port_find_running(&port, &at),
				 is_running_state(cases[i].state));
	}
	port_done(&port);
	close(fd);
}
END_TEST

/* ---- tasks ------------------------------------------------------------------------- */

#define LASTING 900 /* reports, in 0.3 s */

struct order {
	uint64_t name;
	uint32_t n, is_for_ever;
};

/* Says n times who it is. */
static int report(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	const struct order *o = input;
	char text[100];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	(void)snprintf(text, sizeof(text), "%lu", (unsigned long)o->name);
	for (uint32_t i = 1; i <= o->n; i++) {
		(void)reeve_task_progress(reply, o->name * 1000 + i,
					  o->name * 1000 + o->n, text);
		if (o->n == LASTING && i % 3 == 0)
			(void)poll(NULL, 0, 1);
	}
	if (o->name % 8 == 0) /* where all share a CPU, somebody has to look */
		(void)poll(NULL, 0, 1);
	while (o->is_for_ever)
		(void)pause();
	return reeve_reply_set(reply, &o->name, sizeof(o->name));
}

static void check_report(const struct reeve_progress *p, uint64_t name)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lu", (unsigned long)name);
	ck_assert_str_eq(p->text, text);
	ck_assert_uint_eq(p->done, name * 1000 + p->n_reports);
	ck_assert_uint_eq(p->total / 1000, name);
}

/* A text that is too long, and the answer when the soft deadline is over. */
static int report_until_overdue(void *input _unused_, size_t size _unused_,
				struct reeve_reply *reply)
{
	char text[3 * REEVE_PROGRESS_MAX];
	uint64_t n = 0;

	memset(text, 'y', sizeof(text)); /* and no NUL where it is cut */
	text[sizeof(text) - 1] = '\0';
	while (reeve_task_progress(reply, ++n, 0, text) == 0)
		(void)poll(NULL, 0, 1);
	(void)reeve_task_progress(reply, n, n, NULL);
	return wait_for_ever(NULL, 0, reply);
}

static struct reeve_result *submit(struct reeve_pool *pool,
				   const struct order *o)
{
	struct reeve_result *result;

	ck_assert_int_eq(reeve_pool_apply_async(pool, report, o, sizeof(*o),
						NULL, &result),
			 0);
	return result;
}

/* Until it has said so n times. */
static struct reeve_progress await(struct reeve_result *result, uint64_t n)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	struct reeve_progress p = { 0 };
	int r = 0;

	while ((r <= 0 || p.n_reports < n) && clock_monotonic_usec() < end) {
		r = reeve_result_progress(result, &p);
		ck_assert_int_ge(r, 0);
		if (p.n_reports < n)
			(void)reeve_result_wait(result, 1000);
	}
	ck_assert_int_eq(r, 1);
	return p;
}

START_TEST(test_a_task)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	struct reeve_result *first = submit(pool, &(struct order){ 7, 3, 1 });
	struct reeve_result *second = submit(pool, &(struct order){ 8, 2, 1 });
	struct reeve_progress p = await(first, 3);
	struct reeve_worker_stats worker;

	check_report(&p, 7);
	ck_assert_uint_eq(p.n_reports, 3);
	ck_assert_uint_eq(reeve_pool_workers(pool, &worker, 1), 1);
	ck_assert_int_eq(memcmp(&worker.progress, &p, sizeof(p)), 0);
	memset(&p, 0xa5, sizeof(p)); /* not begun: nothing is said of it */
	ck_assert_int_eq(reeve_result_progress(second, &p), 0);
	ck_assert_uint_eq(p.done, 0xa5a5a5a5a5a5a5a5);

	ck_assert_int_eq(reeve_result_cancel(first), 0);
	ck_assert_int_eq(reeve_result_wait(first, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_result_progress(first, &p), 0);
	p = await(second, 2);
	check_report(&p, 8);
	reeve_pool_terminate(pool);
	ck_assert_int_eq(reeve_result_progress(second, &p), 0);
	ck_assert_ptr_null(reeve_pool_free(pool));
	ck_assert_int_eq(reeve_result_progress(second, &p), 0);
	reeve_result_unref(first);
	reeve_result_unref(second);
}
END_TEST

START_TEST(test_long_text_and_overdue)
{
	struct reeve_pool *pool = new_pool(
		_i, (struct reeve_pool_spec){ .processes = 1,
					      .task_soft_timeout_usec =
						      30 * USEC_PER_MSEC });
	struct reeve_result *result;
	struct reeve_progress p;

	ck_assert_int_eq(reeve_pool_apply_async(pool, report_until_overdue,
						NULL, 0, NULL, &result),
			 0);
	p = await(result, 1);
	ck_assert_uint_eq(strspn(p.text, "y"),
			  p.text[0] ? REEVE_PROGRESS_MAX - 1 : 0);
	while (p.total == 0)
		p = await(result, p.n_reports);
	ck_assert_uint_eq(p.n_reports, p.done + 1);
	ck_assert_str_eq(p.text, "");
	ck_assert_int_eq(reeve_result_cancel(result), 0);
	reeve_result_unref(result);
	reeve_pool_free(pool);
}
END_TEST

/* Short tasks one after the other, on two workers, of which each says who it is:
 * whatever is told of one is its own. */
START_TEST(test_never_anothers)
{
	enum { AT_A_TIME = 16, ROUNDS = 60 };
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct reeve_result *results[AT_A_TIME];
	struct reeve_progress p;
	uint64_t n_told = 0;

	for (uint64_t round = 0; round < ROUNDS || n_told == 0; round++) {
		uint64_t first = round * AT_A_TIME + 1;

		for (uint64_t i = 0; i < AT_A_TIME; i++)
			results[i] = submit(pool, &(struct order){ first + i,
								   200, 0 });
		while (reeve_result_wait(results[AT_A_TIME - 1], 0) < 0)
			for (uint64_t i = 0; i < AT_A_TIME; i++) {
				if (reeve_result_progress(results[i], &p) != 1)
					continue;
				n_told++;
				check_report(&p, first + i);
			}
		for (uint64_t i = 0; i < AT_A_TIME; i++) {
			ck_assert_int_eq(
				reeve_result_wait(results[i], LONG_WAIT), 0);
			reeve_result_unref(results[i]);
		}
	}
	printf("%lu times told\n", (unsigned long)n_told);
	end_pool(pool);
}
END_TEST

/* Each item of a chunk begins anew. */
START_TEST(test_items_of_a_chunk)
{
	enum { N = 5 };
	struct order orders[N];
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	struct reeve_worker_stats worker = { 0 };
	struct reeve_result *result;
	struct reeve_progress p;

	for (uint64_t i = 0; i < N; i++)
		orders[i] =
			(struct order){ i + 1, (uint32_t)i + 1, i == N - 1 };
	ck_assert_int_eq(
		reeve_pool_map_async(pool, report,
				     &(struct reeve_map_spec){
					     .inputs = orders,
					     .input_size = sizeof(orders[0]),
					     .n_items = N,
					     .chunksize = N,
				     },
				     NULL, &result),
		0);
	while (worker.progress.n_reports < N && clock_monotonic_usec() < end) {
		(void)reeve_result_wait(result, 1000);
		(void)reeve_pool_workers(pool, &worker, 1); /* or none yet */
		if (worker.progress.n_reports > 0)
			check_report(&worker.progress,
				     worker.progress.done / 1000);
	}
	ck_assert_uint_eq(worker.progress.done, N * 1000 + N);
	ck_assert_int_eq(reeve_result_progress(result, &p), 0);
	reeve_result_unref(result);
	reeve_pool_free(pool);
}
END_TEST

/* ---- told without asking ----------------------------------------------------------- */

struct listener {
	uint64_t name, n_calls, n_reports, n_over;
	bool cancels;
};

static void on_progress(struct reeve_result *result,
			const struct reeve_progress *p, void *userdata)
{
	struct listener *l = userdata;

	check_report(p, l->name);
	ck_assert_uint_gt(p->n_reports, l->n_reports); /* something new */
	ck_assert_uint_eq(l->n_over, 0);
	l->n_reports = p->n_reports;
	l->n_calls++;
	if (l->cancels)
		ck_assert_int_eq(reeve_result_cancel(result), 0);
}

static void on_over(struct reeve_result *result _unused_, void *userdata)
{
	((struct listener *)userdata)->n_over++;
}

static struct reeve_result *submit_heard(struct reeve_pool *pool,
					 const struct order *o,
					 struct listener *l)
{
	const struct reeve_apply_spec spec = {
		.callback = on_over,
		.error_callback = on_over,
		.progress_callback = on_progress,
		.userdata = l,
	};
	struct reeve_result *result;

	*l = (struct listener){ .name = o->name, .cancels = o->is_for_ever };
	ck_assert_int_eq(reeve_pool_apply_async(pool, report, o, sizeof(*o),
						&spec, &result),
			 0);
	return result;
}

/* Many words, few calls; none after the task's end. */
START_TEST(test_callback)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 3 });
	uint64_t began = clock_monotonic_usec(), most;
	struct reeve_result *results[3];
	struct listener l[3];

	results[0] =
		submit_heard(pool, &(struct order){ 1, LASTING, 0 }, &l[0]);
	results[1] = submit_heard(pool, &(struct order){ 2, 5, 1 }, &l[1]);
	results[2] = submit_heard(pool, &(struct order){ 3, 4, 1 }, &l[2]);
	l[2].cancels = false;
	for (int i = 0; i < 3; i++) {
		int r = i < 2 ? reeve_result_wait(results[i], LONG_WAIT)
			      : reeve_result_cancel(results[i]);

		ck_assert_int_eq(r, 0);
	}
	most = (clock_monotonic_usec() - began) / (100 * USEC_PER_MSEC) + 2;
	end_pool(pool); /* all callbacks have run */
	ck_assert_uint_ge(l[0].n_calls, 1);
	ck_assert_uint_le(l[0].n_calls, most);
	ck_assert_uint_eq(l[1].n_calls, 1); /* it was cancelled in the call */
	ck_assert_uint_eq(l[1].n_reports, 5);
	ck_assert_uint_eq(l[2].n_calls, 1); /* it has fallen silent */
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(l[i].n_over, 1);
		reeve_result_unref(results[i]);
	}
}
END_TEST

static void free_pool(struct reeve_result *result _unused_,
		      const struct reeve_progress *p _unused_, void *userdata)
{
	struct reeve_pool **pool = userdata;

	*pool = reeve_pool_free(*pool);
}

START_TEST(test_callback_frees_pool)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	int n_fds = fd_count_open();
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	struct reeve_pool *volatile same = pool;
	const struct reeve_apply_spec spec = { .progress_callback = free_pool,
					       .userdata = &pool };
	const struct order order = { 1, 5, 1 };

	ck_assert_int_eq(reeve_pool_apply_async(pool, report, &order,
						sizeof(order), &spec, NULL),
			 0);
	while (pool_modes[_i].service == REEVE_SERVICE_CALLER && pool &&
	       clock_monotonic_usec() < end)
		(void)reeve_pool_dispatch(same);
	while (fd_count_open() != n_fds && clock_monotonic_usec() < end)
		(void)poll(NULL, 0, 1);
	ck_assert_int_eq(fd_count_open(), n_fds); /* nothing is left of it */
	ck_assert_ptr_null(pool);
}
END_TEST

/* In an event loop: the pool's fd is readable in time. */
START_TEST(test_callback_by_fd)
{
	struct pollfd p = { .events = POLLIN };
	struct reeve_result *result;
	struct reeve_pool *pool;
	struct listener l;

	if (pool_modes[_i].service == REEVE_SERVICE_THREAD)
		return;
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	p.fd = reeve_pool_fd(pool);
	result = submit_heard(pool, &(struct order){ 1, 5, 1 }, &l);
	while (l.n_over == 0) {
		ck_assert_int_eq(poll(&p, 1, (int)(LONG_WAIT / 1000)), 1);
		ck_assert_int_ge(reeve_pool_dispatch(pool), 0);
	}
	ck_assert_uint_eq(l.n_calls, 1);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* A million in a second is what it is made for; here in a hundredth part. */
static int report_often(void *input _unused_, size_t size _unused_,
			struct reeve_reply *reply)
{
	uint64_t begun = clock_monotonic_usec(), usec;

	for (uint64_t i = 0; i < 100000; i++)
		(void)reeve_task_progress(reply, i, 100000, "counting");
	usec = clock_monotonic_usec() - begun;
	return reeve_reply_set(reply, &usec, sizeof(usec));
}

START_TEST(test_cheap)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	uint64_t usec = 0, least = UINT64_MAX;
	size_t size = sizeof(usec);

	for (int i = 0; i < 5; i++) { /* others may have the CPU */
		ck_assert_int_eq(reeve_pool_apply(pool, report_often, NULL, 0,
						  &usec, &size, NULL),
				 0);
		least = usec < least ? usec : least;
	}
	printf("%.1f ns for each report\n", (double)least / 100.0);
	ck_assert_uint_lt(least, 100000);
	end_pool(pool);
}
END_TEST

static const struct reeve_function functions[] = {
	{ "report", report, NULL },
	{ "report_until_overdue", report_until_overdue, NULL },
	{ "report_often", report_often, NULL },
	{ "square", square, NULL },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		test_last_word_counts,
		test_killed_in_the_middle,
		test_read_while_written,
		test_whose,
		test_a_task,
		test_long_text_and_overdue,
		test_never_anothers,
		test_items_of_a_chunk,
		test_callback,
		test_callback_frees_pool,
		test_callback_by_fd,
		test_cheap,
	};

	if (reeve_pool_setup(functions) < 0)
		return 2;
	return unit_loop_main("pool_progress", ARRAY_SIZE(pool_modes), tests,
			      ARRAY_SIZE(tests), argc > 0 ? argv + 1 : argv);
}

/* imap and imap_unordered: arrays and generators, one by one and in chunks, and
 * outputs that are more than a worker has room for. */
#include "tests/unit/pool_rig.h"

#define ITEMS 1000

START_TEST(test_imap)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	static const struct {
		size_t chunk, window;
	} cases[] = { { 0, 0 },	 { 1, 1 },   { 1, 3 },	      { 1, 64 },
		      { 7, 64 }, { 64, 10 }, { 2 * ITEMS, 0 } };
	uint64_t in[ITEMS];

	for (uint64_t i = 0; i < ITEMS; i++)
		in[i] = i;
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		const struct reeve_imap_spec spec = {
			.inputs = in,
			.input_size = 8,
			.n_items = ITEMS,
			.chunksize = cases[k].chunk,
			.window = cases[k].window,
		};
		struct reeve_iterator *it;
		struct reeve_item item;
		uint64_t n = 0;

		ck_assert_int_eq(reeve_pool_imap(pool, square, &spec, &it), 0);
		while (reeve_iterator_next(it, LONG_WAIT, &item) == 1) {
			ck_assert_uint_eq(item.index, n);
			ck_assert_uint_eq(item.size, 8);
			ck_assert_int_eq(item.outcome->kind, REEVE_DONE);
			ck_assert_uint_eq(*(const uint64_t *)item.output,
					  n * n);
			n++;
		}
		ck_assert_uint_eq(n, ITEMS);
		ck_assert_int_eq(reeve_iterator_next(it, 0, &item), 0);
		reeve_iterator_free(it);
	}
	end_pool(pool);
}
END_TEST

/* The first is slow: unordered, the others overtake it. */
START_TEST(test_imap_unordered)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	uint64_t in[4] = { 300 * USEC_PER_MSEC, 1, 2, 3 };
	const struct reeve_imap_spec spec = { .inputs = in,
					      .input_size = 8,
					      .n_items = 4 };
	struct reeve_iterator *it;
	struct reeve_item item;
	unsigned seen = 0;

	ck_assert_int_eq(
		reeve_pool_imap_unordered(pool, sleep_usec, &spec, &it), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 1);
		ck_assert_uint_eq(*(const uint64_t *)item.output,
				  in[item.index]);
		seen |= 1u << item.index;
		ck_assert_int_eq(item.index == 0, i == 3);
	}
	ck_assert_uint_eq(seen, 15);
	ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 0);
	reeve_iterator_free(it);
	end_pool(pool);
}
END_TEST

/* An iteration over 1 to n by square_or_die(): every tenth is a death. */
static void iterate_with_deaths(struct reeve_pool *pool, uint64_t n,
				const struct reeve_imap_spec *spec)
{
	struct reeve_iterator *it;
	struct reeve_item item;
	uint64_t n_seen = 0;

	ck_assert_int_eq(
		reeve_pool_imap_unordered(pool, square_or_die, spec, &it), 0);
	while (reeve_iterator_next(it, LONG_WAIT, &item) == 1) {
		uint64_t x = item.index + 1;

		n_seen++;
		if (x % 10 == 0) {
			ck_assert_int_eq(item.outcome->kind, REEVE_CRASHED);
			ck_assert_int_eq(item.outcome->exit.code, -SIGKILL);
			continue;
		}
		ck_assert_int_eq(item.outcome->kind, REEVE_DONE);
		ck_assert_uint_eq(*(const uint64_t *)item.output, x * x);
	}
	ck_assert_uint_eq(n_seen, n);
	reeve_iterator_free(it);
}

static int count_up(void *userdata, const void **ret_input, size_t *ret_size)
{
	uint64_t *next = userdata;

	if (++*next > 25)
		return 0;
	*ret_input = next;
	*ret_size = sizeof(*next);
	return 1;
}

/* A death costs the one item, wherever in the chunk; the others, whose inputs are
 * put together anew, are run. */
START_TEST(test_imap_with_deaths)
{
	static const size_t chunks[] = { 1, 7, 100 };
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	uint64_t in[25];

	for (uint64_t i = 0; i < ARRAY_SIZE(in); i++)
		in[i] = i + 1;
	for (size_t k = 0; k < ARRAY_SIZE(chunks); k++) {
		struct reeve_imap_spec spec = { .chunksize = chunks[k],
						.inputs = in,
						.input_size = 8,
						.n_items = ARRAY_SIZE(in) };
		uint64_t next = 0;

		iterate_with_deaths(pool, ARRAY_SIZE(in), &spec);
		spec = (struct reeve_imap_spec){ .chunksize = chunks[k],
						 .generator = count_up,
						 .userdata = &next };
		iterate_with_deaths(pool, ARRAY_SIZE(in), &spec);
	}
	end_pool(pool);
}
END_TEST

/* More output than a worker can hold: its chunks end where room does. In one mode,
 * for it is much memory. */
START_TEST(test_imap_of_large_outputs)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	uint64_t in[6] = { 8,
			   REEVE_PAYLOAD_DEFAULT / 2,
			   REEVE_PAYLOAD_DEFAULT,
			   REEVE_PAYLOAD_DEFAULT,
			   REEVE_PAYLOAD_DEFAULT + 1,
			   8 };
	struct reeve_imap_spec spec = { .inputs = in,
					.input_size = 8,
					.n_items = ARRAY_SIZE(in),
					.chunksize = ARRAY_SIZE(in) };
	struct reeve_iterator *it;
	struct reeve_item item;

	if (_i > 0)
		spec.n_items = 1;
	ck_assert_int_eq(reeve_pool_imap(pool, inflate, &spec, &it), 0);
	for (size_t i = 0; i < spec.n_items; i++) {
		ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 1);
		if (in[i] > REEVE_PAYLOAD_DEFAULT) {
			ck_assert_int_eq(item.outcome->error, -EMSGSIZE);
			continue;
		}
		ck_assert_uint_eq(item.size, in[i]);
		ck_assert_int_eq(memcmp((const char *)item.output + in[i] - 8,
					&in[i], 8),
				 0);
	}
	reeve_iterator_free(it);
	end_pool(pool);
}
END_TEST

/* The fourth waits for room until the first is collected, and that is longer than
 * its deadline. In a CALLER pool, which collects in calls only, and in one mode. */
START_TEST(test_deadline_of_who_waits_for_room)
{
	const uint64_t timeout_usec = 200 * USEC_PER_MSEC;
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1,
						       .task_timeout_usec =
							       timeout_usec });
	const uint64_t size = REEVE_PAYLOAD_DEFAULT / 5 * 3;
	struct reeve_result *results[4];
	int n = _i == 0 ? 4 : 0;

	check_square(pool, 5); /* its worker is there */
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, inflate, &size,
							sizeof(size), NULL,
							&results[i]),
				 0);
	if (n > 0)
		(void)poll(NULL, 0, 3 * (int)(timeout_usec / USEC_PER_MSEC));
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(reeve_result_get(results[i], LONG_WAIT, NULL,
						  0, NULL),
				 0);
		reeve_result_unref(results[i]);
	}
	end_pool(pool);
}
END_TEST

static struct {
	_Atomic unsigned may_go, n_grown;
} * growth;

/* Its output grows: to 1 MiB, with which the first two wait until they may go on;
 * the third's to a few bytes, and then to all there may be. */
static int grow(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	uint64_t n = *(const uint64_t *)input;

	if (!reeve_reply_reserve(reply, n < 3 ? 1 << 20 : 100))
		return -EMSGSIZE;
	growth->n_grown++;
	while (n < 3 && growth->may_go < n)
		(void)poll(NULL, 0, 1);
	if (n < 3)
		return 0;
	return reeve_reply_reserve(reply, REEVE_PAYLOAD_DEFAULT) ? 0
								 : -EMSGSIZE;
}

static void wait_until_grown(unsigned n)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	while (growth->n_grown < n && clock_monotonic_usec() < end)
		(void)poll(NULL, 0, 1);
	ck_assert_uint_ge(growth->n_grown, n);
}

/* The few bytes find room at the arena's beginning, which the largest does not:
 * it must not wait for what lies between, which nobody has. */
START_TEST(test_output_that_grows)
{
	uint64_t in[3] = { 1, 2, 3 };
	const struct reeve_imap_spec spec = { .inputs = in,
					      .input_size = 8,
					      .n_items = 3 };
	struct reeve_pool *pool;
	struct reeve_iterator *it;
	struct reeve_item item;

	if (_i > 0) /* the owner has to look away: fork, and no thread */
		return;
	growth = mmap(NULL, sizeof(*growth), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(growth, MAP_FAILED);
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	check_square(pool, 3); /* its worker is there */
	ck_assert_int_eq(reeve_pool_imap(pool, grow, &spec, &it), 0);
	wait_until_grown(1);
	growth->may_go = 1;
	wait_until_grown(2);
	ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 1);
	growth->may_go = 2;
	wait_until_grown(3);
	for (int i = 1; i < 3; i++) {
		ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 1);
		ck_assert_uint_eq(item.size,
				  i == 1 ? 1 << 20 : REEVE_PAYLOAD_DEFAULT);
	}
	reeve_iterator_free(it);
	end_pool(pool);
	(void)munmap(growth, sizeof(*growth));
}
END_TEST

struct source {
	uint64_t next, end;
	int error;
	char text[100];
};

static int generate(void *userdata, const void **ret_input, size_t *ret_size)
{
	struct source *s = userdata;

	if (s->next == s->end)
		return s->error;
	memset(s->text, 'a' + (int)(s->next % 26), sizeof(s->text));
	*ret_input = s->text;
	*ret_size = s->next++ % (sizeof(s->text) + 1);
	return 1;
}

START_TEST(test_imap_of_generator)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	static const int errors[] = { 0, -ENODATA };
	static const size_t chunks[] = { 0, 1, 5, 16, 17 };

	for (size_t k = 0; k < ARRAY_SIZE(errors) * ARRAY_SIZE(chunks); k++) {
		int error = errors[k % ARRAY_SIZE(errors)];
		struct source source = { .end = ITEMS, .error = error };
		const struct reeve_imap_spec spec = {
			.generator = generate,
			.userdata = &source,
			.chunksize = chunks[k / ARRAY_SIZE(errors)],
			.window = 16,
		};
		struct reeve_iterator *it;
		struct reeve_item item;
		uint64_t n = 0;
		int r;

		ck_assert_int_eq(reeve_pool_imap(pool, echo, &spec, &it), 0);
		while ((r = reeve_iterator_next(it, LONG_WAIT, &item)) == 1) {
			ck_assert_uint_eq(item.size, n % 101);
			if (item.size > 0)
				ck_assert_int_eq(*(const char *)item.output,
						 'a' + (int)(n % 26));
			n++; /* never more than the window ahead */
			ck_assert_uint_le(source.next, n + 16);
		}
		ck_assert_int_eq(r, error);
		ck_assert_uint_eq(n, ITEMS);
		reeve_iterator_free(it);
	}
	end_pool(pool);
}
END_TEST

struct large_source {
	unsigned n;
	size_t size;
};

/* Every second one is large. */
static int generate_large(void *userdata, const void **ret_input,
			  size_t *ret_size)
{
	static const unsigned char large[REEVE_PAYLOAD_DEFAULT / 2];
	struct large_source *s = userdata;

	if (s->n == 5)
		return 0;
	*ret_input = large;
	*ret_size = s->n % 2 ? s->n : s->size;
	s->n++;
	return 1;
}

/* Inputs that do not fit into one hand-over are cut; none is lost or changes its
 * place. In one mode, as above. */
START_TEST(test_imap_of_large_inputs)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct large_source source = {
		.size = _i == 0 ? REEVE_PAYLOAD_DEFAULT / 2 : 100
	};
	const struct reeve_imap_spec spec = { .generator = generate_large,
					      .userdata = &source,
					      .chunksize = 5 };
	struct reeve_iterator *it;
	struct reeve_item item;

	ck_assert_int_eq(reeve_pool_imap(pool, tell_size, &spec, &it), 0);
	for (uint64_t i = 0; i < 5; i++) {
		ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 1);
		ck_assert_uint_eq(*(const uint64_t *)item.output,
				  i % 2 ? i : source.size);
	}
	ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 0);
	reeve_iterator_free(it);
	end_pool(pool);
}
END_TEST

/* An endless one that nobody reads to its end. */
START_TEST(test_imap_given_up)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct source source = { .end = UINT64_MAX };
	struct reeve_imap_spec spec = { .generator = generate,
					.userdata = &source };
	struct reeve_iterator *it;
	struct reeve_item item;

	for (int i = 0; i < 3; i++) {
		spec.chunksize = (size_t)i * 5;
		ck_assert_int_eq(reeve_pool_imap(pool, echo, &spec, &it), 0);
		for (int k = 0; k < i; k++)
			ck_assert_int_eq(
				reeve_iterator_next(it, LONG_WAIT, &item), 1);
		ck_assert_ptr_null(reeve_iterator_free(it));
	}
	end_pool(pool);
}
END_TEST

/* Nobody reads it before join: what fits into its window is done all the same;
 * what does not would wait for its reader, who waits. */
START_TEST(test_imap_unread)
{
	uint64_t in[8] = { 0, 1, 2, 3, 4, 5, 6, 7 }, n = 0;
	struct reeve_imap_spec spec = { .inputs = in, .input_size = 8 };
	struct reeve_iterator *none, *it;
	struct reeve_item item;
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });

	ck_assert_int_eq(reeve_pool_imap(pool, square, NULL, &it), -EINVAL);
	ck_assert_int_eq(reeve_pool_imap(pool, square, &spec, &none), 0);
	spec.n_items = 8;
	ck_assert_int_eq(reeve_pool_imap(pool, square, &spec, &it), 0);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	while (reeve_iterator_next(it, LONG_WAIT, &item) == 1)
		ck_assert_uint_eq(item.index, n++);
	ck_assert_uint_eq(n, 8);
	ck_assert_int_eq(reeve_iterator_next(none, 0, &item), 0);
	reeve_iterator_free(it);
	reeve_iterator_free(none);
	reeve_pool_free(pool);

	pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	spec.window = 2;
	ck_assert_int_eq(reeve_pool_imap(pool, square, &spec, &it), 0);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, 200 * USEC_PER_MSEC),
			 pool_modes[_i].service == REEVE_SERVICE_CALLER
				 ? -EDEADLK
				 : -ETIMEDOUT);
	reeve_iterator_free(it);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	reeve_pool_free(pool);
}
END_TEST

POOL_MAIN("pool_imap", test_imap, test_imap_unordered, test_imap_with_deaths,
	  test_imap_of_large_outputs, test_output_that_grows,
	  test_deadline_of_who_waits_for_room, test_imap_of_large_inputs,
	  test_imap_of_generator, test_imap_given_up, test_imap_unread)

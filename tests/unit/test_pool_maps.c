/* Many tasks in one call: map and map_async. */
#include "tests/unit/pool_rig.h"

/* ---- map ------------------------------------------------------------------------- */

#define ITEMS 1000

static void check_squares(const uint64_t *out, size_t n)
{
	for (uint64_t i = 0; i < n; i++)
		ck_assert_uint_eq(out[i], i * i);
}

START_TEST(test_map)
{
	static const size_t chunks[] = { 0, 1, 2, 7, ITEMS, 10 * ITEMS };
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	static uint64_t in[ITEMS], out[ITEMS];
	static size_t sizes[ITEMS];

	for (uint64_t i = 0; i < ITEMS; i++)
		in[i] = i;
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		const struct reeve_map_spec spec = {
			.inputs = in,
			.input_size = 8,
			.n_items = ITEMS,
			.outputs = out,
			.output_size = 8,
			.output_sizes = i % 2 ? sizes : NULL,
			.chunksize = chunks[i],
		};

		memset(out, 0xff, sizeof(out));
		ck_assert_int_eq(reeve_pool_map(pool, square, &spec), 0);
		check_squares(out, ITEMS);
	}
	ck_assert_uint_eq(sizes[ITEMS - 1], 8);
	end_pool(pool);
}
END_TEST

START_TEST(test_map_corners)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct reeve_outcome outcomes[4] = { 0 };
	struct reeve_map_spec spec = { .inputs = "abcd",
				       .input_size = 1,
				       .n_items = 4 };
	char out[8];

	ck_assert_int_eq(reeve_pool_map(pool, echo, &spec), 0); /* no outputs */
	spec.n_items = 0;
	ck_assert_int_eq(reeve_pool_map(pool, echo, &spec), 0);
	spec.n_items = 4;
	spec.inputs = NULL;
	ck_assert_int_eq(reeve_pool_map(pool, echo, &spec), -EINVAL);
	/* an output that is too large fails its item and no other */
	spec.inputs = "abcdefgh";
	spec.input_size = 2;
	spec.outputs = out;
	spec.output_size = 1;
	spec.outcomes = outcomes;
	for (spec.chunksize = 1; spec.chunksize < 5; spec.chunksize += 3) {
		ck_assert_int_eq(reeve_pool_map(pool, echo, &spec), 4);
		ck_assert_int_eq(outcomes[3].kind, REEVE_FAILED);
		ck_assert_int_eq(outcomes[3].error, -EMSGSIZE);
	}
	spec.input_size = REEVE_PAYLOAD_DEFAULT + 1;
	ck_assert_int_eq(reeve_pool_map(pool, echo, &spec), -EMSGSIZE);
	end_pool(pool);
}
END_TEST

/* A death costs the one item, also in the middle of a chunk. */
START_TEST(test_map_with_deaths)
{
	static const size_t chunks[] = { 1, 7, 0 };
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	enum { N = 50 };
	static uint64_t in[N], out[N];

	for (uint64_t i = 0; i < N; i++)
		in[i] = i + 1;
	for (size_t k = 0; k < ARRAY_SIZE(chunks); k++) {
		static struct reeve_outcome outcomes[N];
		const struct reeve_map_spec spec = {
			.inputs = in,
			.input_size = 8,
			.n_items = N,
			.outputs = out,
			.output_size = 8,
			.outcomes = outcomes,
			.chunksize = chunks[k],
		};

		memset(outcomes, 0, sizeof(outcomes));
		memset(out, 0, sizeof(out));
		ck_assert_int_eq(reeve_pool_map(pool, square_or_die, &spec), 5);
		for (size_t i = 0; i < N; i++) {
			bool is_dead = in[i] % 10 == 0;

			ck_assert_int_eq(outcomes[i].kind,
					 is_dead ? REEVE_CRASHED : REEVE_DONE);
			ck_assert_int_eq(outcomes[i].exit.code,
					 is_dead ? -SIGKILL : 0);
			ck_assert_uint_eq(out[i], is_dead ? 0 : in[i] * in[i]);
		}
	}
	end_pool(pool);
}
END_TEST

static void check_said(const struct reeve_outcome *o, int i)
{
	char text[REEVE_MESSAGE_MAX] = "";

	if (i % SAYS_COUNT == SAYS_TEXT)
		(void)snprintf(text, sizeof(text),
			       "item %d is not what it was said to be", i);
	else if (i % SAYS_COUNT == SAYS_SHORT_TEXT)
		(void)snprintf(text, sizeof(text), "no %d", i);
	else if (i % SAYS_COUNT == SAYS_NOTHING)
		(void)snprintf(text, sizeof(text), "the function returned %d",
			       -EIO);
	ck_assert_int_eq(o->kind, *text ? REEVE_FAILED : REEVE_DONE);
	ck_assert_int_eq(o->error, *text ? -EIO : 0);
	ck_assert_str_eq(o->message, text);
}

/* A failure has its text, however large chunks and outputs are; and nothing that
 * is none. */
START_TEST(test_map_texts)
{
	static const size_t chunks[] = { 1, 2, 7, 0 }, rooms[] = { 0, 8, 64 };
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	enum { N = 40 };
	static struct reeve_outcome outcomes[N];
	size_t sizes[N];
	uint64_t in[N];
	char out[N * 64];

	for (uint64_t i = 0; i < N; i++)
		in[i] = i;
	for (size_t k = 0; k < ARRAY_SIZE(chunks) * ARRAY_SIZE(rooms); k++) {
		size_t room = rooms[k % ARRAY_SIZE(rooms)];
		const struct reeve_map_spec spec = {
			.inputs = in,
			.input_size = 8,
			.n_items = N,
			.outputs = room ? out : NULL,
			.output_size = room,
			.output_sizes = sizes,
			.outcomes = outcomes,
			.chunksize = chunks[k / ARRAY_SIZE(rooms)],
		};

		memset(sizes, 0xff, sizeof(sizes));
		ck_assert_int_eq(reeve_pool_map(pool, say, &spec), N * 3 / 4);
		for (int i = 0; i < N; i++) {
			check_said(&outcomes[i], i);
			ck_assert_uint_eq(sizes[i], i % SAYS_COUNT ? 0 : 6);
		}
	}
	end_pool(pool);
}
END_TEST

/* Chunks are as large as they may be, with the room that they need besides. */
START_TEST(test_map_at_the_limit)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .payload_max = 4096 });
	static const uint64_t in[6] = { 0, 4, 8, 12, 16, 20 };
	static char out[6 * 2048];

	for (size_t room = 8; room <= 2048; room += room < 1700 ? 188 : 4)
		ck_assert_int_eq(
			reeve_pool_map(pool, say,
				       &(struct reeve_map_spec){
					       .inputs = in,
					       .input_size = sizeof(in[0]),
					       .n_items = ARRAY_SIZE(in),
					       .outputs = out,
					       .output_size = room,
					       .chunksize = SIZE_MAX }),
			0);
	end_pool(pool);
}
END_TEST

START_TEST(test_map_async)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct heard heard = { 0 };
	const struct reeve_apply_spec callbacks = { .callback = on_good,
						    .error_callback = on_bad,
						    .userdata = &heard };
	static uint64_t in[ITEMS], out[ITEMS];
	struct reeve_map_spec spec = { .inputs = in,
				       .input_size = 8,
				       .n_items = ITEMS,
				       .outputs = out,
				       .output_size = 8 };
	struct reeve_result *result;

	for (uint64_t i = 0; i < ITEMS; i++)
		in[i] = i;
	ck_assert_int_eq(reeve_pool_map_async(pool, square, &spec, &callbacks,
					      &result),
			 0);
	ck_assert_int_eq(reeve_result_get(result, LONG_WAIT, NULL, 0, NULL), 0);
	check_squares(out, ITEMS);
	reeve_result_unref(result);
	spec.n_items = 20; /* item 0, 10 die */
	ck_assert_int_eq(reeve_pool_map_async(pool, square_or_die, &spec,
					      &callbacks, &result),
			 0);
	ck_assert_int_eq(reeve_result_get(result, LONG_WAIT, NULL, 0, NULL),
			 -EPIPE);
	reeve_result_unref(result);
	spec.input_size = 0;
	ck_assert_int_eq(reeve_pool_map_async(pool, wait_for_ever, &spec,
					      &callbacks, &result),
			 0);
	ck_assert_int_eq(reeve_result_cancel(result), 0);
	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	reeve_result_unref(result);
	end_pool(pool);
	ck_assert_int_eq(heard.n_good, 1);
	ck_assert_int_eq(heard.n_bad, 2);
	ck_assert_int_eq(heard.kind, REEVE_CANCELLED);
}
END_TEST

POOL_MAIN("pool_maps", test_map, test_map_corners, test_map_with_deaths,
	  test_map_texts, test_map_at_the_limit, test_map_async)

/* port.h: what the owner does to a slot in each of its states, and what it makes
 * of anything else that it may find there. */
#include "workers/pool/port.h"

#include <errno.h>

#include "tests/unit/engine_rig.h"

#define SLOTS 4

static struct port port;
static int fd = -1;

static void begin(void)
{
	rig_port(&port, &fd, SLOTS);
}

static void end(void)
{
	port_done(&port);
	close(fd);
}

static int publish(uint32_t n_items, uint32_t item_size, uint32_t stride)
{
	static const unsigned char input[256] = "0123456789abcdefg";
	static struct job job;
	const struct piece piece = {
		.job = &job,
		.n_items = n_items ? n_items : 1,
		.item_size = item_size,
		.out_stride = stride,
		.is_single = n_items == 0,
	};

	return port_publish(&port, &piece, 42, input,
			    (size_t)piece.n_items * item_size);
}

static struct slot *slot_at(uint64_t i)
{
	return channel_slot(&port.channel, i);
}

static enum port_sight look(void)
{
	struct port_output output;

	return port_look(&port, &output);
}

static void finish_head(void)
{
	slot_at(port.head)->result.size = 0;
	rig_set(&port, port.head, SLOT_DONE, 1);
	ck_assert_int_eq(look(), SIGHT_DONE);
	port_advance(&port);
}

START_TEST(test_full_ring)
{
	begin();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < SLOTS; i++)
			ck_assert_int_eq(publish(0, 8, 0), 0);
		ck_assert_uint_eq(port_load(&port), SLOTS);
		ck_assert_int_eq(publish(0, 8, 0), -ENOBUFS);
		finish_head();
		ck_assert_int_eq(publish(0, 8, 0), 0);
		while (port_load(&port) > 0)
			finish_head();
		ck_assert_int_eq(look(), SIGHT_NOTHING);
	}
	end();
}
END_TEST

static void *big;

static int publish_big(uint32_t size)
{
	const struct piece piece = { .n_items = 1,
				     .item_size = size,
				     .is_single = true };

	return port_publish(&port, &piece, 0, big, size);
}

START_TEST(test_full_arena)
{
	begin();
	big = calloc(1, CHANNEL_PAYLOAD_DEFAULT);
	ck_assert_ptr_nonnull(big);
	ck_assert_int_eq(publish_big(CHANNEL_PAYLOAD_DEFAULT), 0);
	ck_assert_int_eq(publish_big(CHANNEL_PAYLOAD_DEFAULT), 0);
	ck_assert_int_eq(publish_big(CHANNEL_INLINE_SIZE + 1), -ENOBUFS);
	ck_assert_uint_eq(port_load(&port), 2);
	ck_assert_int_eq(publish_big(CHANNEL_INLINE_SIZE), 0); /* needs none */
	finish_head();
	ck_assert_int_eq(publish_big(CHANNEL_PAYLOAD_DEFAULT), 0);
	while (port_load(&port) > 0)
		finish_head();
	ck_assert(arena_is_empty(&port.in));
	free(big);
	end();
}
END_TEST

START_TEST(test_inline_boundary)
{
	static const char text[] = "0123456789abcdefg";

	begin();
	ck_assert_int_eq(publish(0, 0, 0), 0);
	ck_assert_int_eq(publish(0, CHANNEL_INLINE_SIZE, 0), 0);
	ck_assert(arena_is_empty(&port.in));
	ck_assert_int_eq(memcmp(slot_at(1)->result.data, text, 16), 0);
	ck_assert_int_eq(publish(0, CHANNEL_INLINE_SIZE + 1, 0), 0);
	ck_assert(!arena_is_empty(&port.in));
	ck_assert_int_eq(
		memcmp(port.channel.in + slot_at(2)->in_offset, text, 17), 0);
	ck_assert_int_eq(publish(3, 6, 8), 0); /* a chunk of 18 bytes */
	ck_assert_uint_eq(slot_at(3)->n_items, 3);
	ck_assert_uint_eq(slot_at(3)->in_offset, ARENA_ALIGNMENT);
	ck_assert_uint_eq(slot_at(3)->function, 42);
	end();
}
END_TEST

/* 2^24 uses later the tag is the same again; before, never twice in a row. */
START_TEST(test_tag_wraps)
{
	uint32_t before;

	begin();
	port_piece(&port, 0)->tag = 0xfffffe;
	ck_assert_int_eq(publish(0, 0, 0), 0);
	ck_assert_uint_eq(slot_word_tag(rig_word(&port, 0)), 0xffffff);
	finish_head();
	port_reset(&port);
	ck_assert_int_eq(publish(0, 0, 0), 0);
	ck_assert_uint_eq(rig_word(&port, 0), slot_word(SLOT_QUEUED, 0, 0));
	before = port_piece(&port, 0)->tag;
	ck_assert_int_eq(port_cancel(&port, 0), 1);
	rig_set(&port, 0, SLOT_SKIPPED, 0);
	ck_assert_int_eq(look(), SIGHT_SKIPPED);
	ck_assert_uint_eq(before, 0);
	end();
}
END_TEST

/* In each state, with the tag of now and of another use: what a take-back, a
 * cancel, a look and an autopsy say, and what is in the word afterwards. */
static const struct {
	unsigned state;
	uint32_t item;
	bool is_back;
	int cancelled;
	enum port_sight sight;
	enum slot_state autopsy, after_back, after_cancel;
} states[] = {
	{ SLOT_FREE, 0, false, 0, SIGHT_BROKEN, SLOT_FREE, SLOT_FREE,
	  SLOT_FREE },
	{ SLOT_QUEUED, 0, true, 1, SIGHT_NOTHING, SLOT_QUEUED, SLOT_FREE,
	  SLOT_WITHDRAWN },
	{ SLOT_RUNNING, 0, false, 2, SIGHT_NOTHING, SLOT_RUNNING, SLOT_RUNNING,
	  SLOT_CANCELLING },
	{ SLOT_RUNNING, 1, false, 2, SIGHT_NOTHING, SLOT_RUNNING, SLOT_RUNNING,
	  SLOT_CANCELLING },
	{ SLOT_WARNED, 1, false, 2, SIGHT_NOTHING, SLOT_WARNED, SLOT_WARNED,
	  SLOT_CANCELLING },
	{ SLOT_DONE, 1, false, 0, SIGHT_DONE, SLOT_DONE, SLOT_DONE, SLOT_DONE },
	{ SLOT_WITHDRAWN, 0, true, 0, SIGHT_NOTHING, SLOT_WITHDRAWN, SLOT_FREE,
	  SLOT_WITHDRAWN },
	{ SLOT_SKIPPED, 0, false, 0, SIGHT_SKIPPED, SLOT_SKIPPED, SLOT_SKIPPED,
	  SLOT_SKIPPED },
	{ SLOT_CANCELLING, 0, false, 0, SIGHT_NOTHING, SLOT_CANCELLING,
	  SLOT_CANCELLING, SLOT_CANCELLING },
	/* garbage */
	{ SLOT_STATE_COUNT, 0, false, 0, SIGHT_BROKEN, SLOT_STATE_COUNT,
	  SLOT_STATE_COUNT, SLOT_STATE_COUNT },
	{ 0xff, 0, false, 0, SIGHT_BROKEN, SLOT_STATE_COUNT, 0xff, 0xff },
	{ SLOT_RUNNING, 2, false, 2, SIGHT_NOTHING, SLOT_STATE_COUNT,
	  SLOT_RUNNING, SLOT_CANCELLING },
	{ SLOT_RUNNING, UINT32_MAX, false, 2, SIGHT_NOTHING, SLOT_STATE_COUNT,
	  SLOT_RUNNING, SLOT_CANCELLING },
};

static void set_up(size_t i, uint32_t tag_offset)
{
	port_reset(&port);
	ck_assert_int_eq(publish(0, 20, 0), 0);
	slot_at(0)->result.size = 0;
	atomic_store(&slot_at(0)->word,
		     slot_word((enum slot_state)states[i].state,
			       port_piece(&port, 0)->tag + tag_offset,
			       states[i].item));
}

START_TEST(test_states)
{
	struct piece piece;
	uint32_t item = 77;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		set_up(i, 0);
		ck_assert_int_eq(look(), states[i].sight);
		ck_assert_int_eq(port_autopsy(&port, 0, &item),
				 states[i].autopsy);
		ck_assert_uint_eq(item, states[i].item);
		ck_assert_int_eq(port_take_back(&port, &piece),
				 states[i].is_back);
		ck_assert_uint_eq(port_load(&port), !states[i].is_back);
		ck_assert_uint_eq(slot_word_state(rig_word(&port, 0)),
				  states[i].after_back);
		ck_assert(!states[i].is_back || arena_is_empty(&port.in));
		set_up(i, 0);
		ck_assert_int_eq(port_cancel(&port, 0), states[i].cancelled);
		ck_assert_uint_eq(slot_word_state(rig_word(&port, 0)),
				  states[i].after_cancel);
	}
	end();
}
END_TEST

/* With the tag of another use nothing is done to it, and nothing believed. */
START_TEST(test_other_tag)
{
	struct piece piece;
	uint32_t item;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		for (int offset = -1; offset <= 1; offset += 2) {
			uint64_t word;

			set_up(i, (uint32_t)offset);
			word = rig_word(&port, 0);
			ck_assert_int_eq(look(), SIGHT_BROKEN);
			ck_assert_int_eq(port_autopsy(&port, 0, &item),
					 SLOT_STATE_COUNT);
			ck_assert(!port_take_back(&port, &piece));
			ck_assert_int_eq(port_cancel(&port, 0), 0);
			ck_assert_uint_eq(rig_word(&port, 0), word);
			ck_assert_uint_eq(port_load(&port), 1);
		}
	end();
}
END_TEST

START_TEST(test_take_back_order)
{
	struct piece piece;
	uint64_t head;

	begin();
	ck_assert(!port_take_back(&port, &piece));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(publish(0, 100, 0), 0);
		port_piece(&port, (uint64_t)i)->index = (uint64_t)i;
	}
	rig_set(&port, 0, SLOT_RUNNING, 0);
	head = port_piece(&port, 0)->mark;
	ck_assert(port_take_back(&port, &piece));
	ck_assert_uint_eq(piece.index, 2);
	ck_assert(port_take_back(&port, &piece));
	ck_assert_uint_eq(piece.index, 1);
	ck_assert_uint_eq(port.in.head, head);
	ck_assert(!port_take_back(&port, &piece));
	/* The slot is used again, under another tag. */
	ck_assert_int_eq(publish(0, 100, 0), 0);
	ck_assert_uint_eq(port_piece(&port, 1)->tag, piece.tag + 1);
	end();
}
END_TEST

START_TEST(test_single_output)
{
	static const struct {
		uint32_t size, offset;
		enum port_sight sight;
	} cases[] = {
		{ 0, UINT32_MAX, SIGHT_DONE }, /* the offset is not looked at */
		{ CHANNEL_INLINE_SIZE, UINT32_MAX, SIGHT_DONE },
		{ CHANNEL_INLINE_SIZE + 1, 0, SIGHT_DONE },
		{ 17, (2 * CHANNEL_PAYLOAD_DEFAULT) - 17, SIGHT_DONE },
		{ 17, (2 * CHANNEL_PAYLOAD_DEFAULT) - 16, SIGHT_BROKEN },
		{ 17, (2 * CHANNEL_PAYLOAD_DEFAULT), SIGHT_BROKEN },
		{ 17, UINT32_MAX, SIGHT_BROKEN },
		{ CHANNEL_PAYLOAD_DEFAULT, CHANNEL_PAYLOAD_DEFAULT,
		  SIGHT_DONE },
		{ CHANNEL_PAYLOAD_DEFAULT, CHANNEL_PAYLOAD_DEFAULT + 1,
		  SIGHT_BROKEN },
		{ CHANNEL_PAYLOAD_DEFAULT + 1, 0, SIGHT_BROKEN },
		{ (2 * CHANNEL_PAYLOAD_DEFAULT) + 1, 0, SIGHT_BROKEN },
		{ UINT32_MAX, 1, SIGHT_BROKEN },
	};
	struct port_output output;

	begin();
	ck_assert_int_eq(publish(0, 0, 0), 0);
	rig_set(&port, 0, SLOT_DONE, 1);
	slot_at(0)->result.status = -7;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		slot_at(0)->result.size = cases[i].size;
		slot_at(0)->result.offset = cases[i].offset;
		slot_at(0)->result.flags =
			i % 2 ? ~0u : ~(uint32_t)SLOT_HAS_MESSAGE;
		ck_assert_int_eq(port_look(&port, &output), cases[i].sight);
		if (cases[i].sight != SIGHT_DONE)
			continue;
		ck_assert_uint_eq(output.size, cases[i].size);
		ck_assert_int_eq(output.status, -7);
		ck_assert_int_eq(output.has_message, i % 2);
		ck_assert_ptr_eq(output.data,
				 cases[i].size <= CHANNEL_INLINE_SIZE
					 ? slot_at(0)->result.data
					 : port.channel.out + cases[i].offset);
	}
	end();
}
END_TEST

/* Bounds of a chunk come from the piece, whatever the slot says. */
START_TEST(test_chunk_output)
{
	const uint32_t size = (uint32_t)chunk_output_size(3, 8);
	const struct {
		uint32_t offset;
		enum port_sight sight;
	} cases[] = {
		{ 0, SIGHT_DONE },
		{ 64, SIGHT_DONE },
		{ 32, SIGHT_BROKEN },
		{ (2 * CHANNEL_PAYLOAD_DEFAULT) - arena_round(size),
		  SIGHT_DONE },
		{ (2 * CHANNEL_PAYLOAD_DEFAULT), SIGHT_BROKEN },
		{ UINT32_MAX - 63, SIGHT_BROKEN },
	};
	struct port_output output;

	begin();
	ck_assert_int_eq(publish(3, 8, 8), 0);
	rig_set(&port, 0, SLOT_DONE, 3);
	slot_at(0)->n_items = slot_at(0)->out_stride = UINT32_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		slot_at(0)->result.offset = cases[i].offset;
		ck_assert_int_eq(port_look(&port, &output), cases[i].sight);
		if (cases[i].sight == SIGHT_DONE)
			ck_assert_ptr_eq(output.data, port.channel.out +
							      cases[i].offset +
							      24);
	}
	/* the text behind them: never more than there is room for */
	slot_at(0)->result = (struct slot_result){ .size = UINT32_MAX,
						   .status = 2,
						   .flags = UINT32_MAX };
	ck_assert_int_eq(port_look(&port, &output), SIGHT_DONE);
	ck_assert(output.has_message && output.status == 2);
	ck_assert_ptr_eq(output.text, port.channel.out + 24 + 3 * 8);
	ck_assert_uint_eq(output.size, CHANNEL_ERROR_MAX - 1);
	ck_assert_uint_eq(output.text + output.size + 1 - port.channel.out,
			  size);
	slot_at(0)->result.flags = 0;
	ck_assert_int_eq(port_look(&port, &output), SIGHT_DONE);
	ck_assert(!output.has_message);
	end();
}
END_TEST

/* A loose chunk of three makes sense if its results do, and says how many there
 * are; one result is the last of them. */
START_TEST(test_loose_output)
{
	static const struct {
		uint32_t n, at, size, offset;
		enum port_sight sight;
	} cases[] = {
		{ 3, 0, 0, UINT32_MAX, SIGHT_DONE },
		{ 1, 64, CHANNEL_INLINE_SIZE, UINT32_MAX, SIGHT_DONE },
		{ 2, 64, 17, (2 * CHANNEL_PAYLOAD_DEFAULT) - 17, SIGHT_DONE },
		{ 3, 64, CHANNEL_PAYLOAD_DEFAULT, CHANNEL_PAYLOAD_DEFAULT,
		  SIGHT_DONE },
		{ 3, 64, 17, (2 * CHANNEL_PAYLOAD_DEFAULT) - 16, SIGHT_BROKEN },
		{ 1, 64, CHANNEL_PAYLOAD_DEFAULT + 1, 0, SIGHT_BROKEN },
		{ 0, 64, 0, 0, SIGHT_BROKEN },
		{ 4, 64, 0, 0, SIGHT_BROKEN },
		{ 3, 32, 0, 0, SIGHT_BROKEN },
		{ 3, (2 * CHANNEL_PAYLOAD_DEFAULT) - 64, 0, 0, SIGHT_BROKEN },
		{ 3, (2 * CHANNEL_PAYLOAD_DEFAULT), 0, 0, SIGHT_BROKEN },
	};

	begin();
	ck_assert_int_eq(publish(3, 8, SLOT_LOOSE), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slot_result *results =
			(struct slot_result *)(void *)(port.channel.out + 64);
		struct port_output output, one;
		uint32_t n = cases[i].n;

		memset(port.channel.out, 0, 64 + 4 * sizeof(*results));
		results[n > 0 ? n - 1 : 0].size = cases[i].size;
		results[n > 0 ? n - 1 : 0].offset = cases[i].offset;
		slot_at(0)->result.offset = cases[i].at;
		rig_set(&port, 0, SLOT_DONE, n);
		ck_assert_int_eq(port_look(&port, &output), cases[i].sight);
		if (cases[i].sight != SIGHT_DONE)
			continue;
		ck_assert_uint_eq(output.n_items, n);
		ck_assert(port_output_of(&output, n - 1, &one));
		ck_assert_uint_eq(one.size, cases[i].at ? cases[i].size : 0);
		if (one.size > CHANNEL_INLINE_SIZE)
			ck_assert_ptr_eq(one.data,
					 port.channel.out + cases[i].offset);
		results[n - 1].size = UINT32_MAX; /* since it was looked at */
		if (cases[i].at)
			ck_assert(!port_output_of(&output, n - 1, &one));
	}
	end();
}
END_TEST

/* A chunk may end early, but not before its first item, nor after its last one. */
START_TEST(test_count_of_items)
{
	begin();
	ck_assert_int_eq(publish(3, 8, 8), 0);
	for (uint32_t n = 0; n < 5; n++) {
		struct port_output output = { 0 };

		rig_set(&port, 0, SLOT_DONE, n);
		ck_assert_int_eq(port_look(&port, &output),
				 n >= 1 && n <= 3 ? SIGHT_DONE : SIGHT_BROKEN);
		if (n >= 1 && n <= 3)
			ck_assert_uint_eq(output.n_items, n);
	}
	rig_set(&port, 0, SLOT_DONE, 3);
	port_advance(&port);
	ck_assert_int_eq(publish(0, 8, 0), 0);
	for (uint32_t n = 0; n < 3; n++) {
		rig_set(&port, 1, SLOT_DONE, n);
		ck_assert_int_eq(look(), n == 1 ? SIGHT_DONE : SIGHT_BROKEN);
	}
	end();
}
END_TEST

START_TEST(test_partial)
{
	struct port_output output;

	begin();
	ck_assert_int_eq(publish(3, 8, 8), 0);
	ck_assert_int_eq(publish(0, 8, 0), 0);
	slot_at(0)->result.offset = 64;
	rig_set(&port, 0, SLOT_RUNNING, 2);
	ck_assert(port_partial(&port, 0, 2, &output));
	ck_assert_ptr_eq(output.items, port.channel.out + 64);
	ck_assert(!port_partial(&port, 0, 0, &output)); /* none are there */
	ck_assert(!port_partial(&port, 1, 1, &output)); /* a single task */
	slot_at(0)->result.offset = 65;
	ck_assert(!port_partial(&port, 0, 2, &output));
	end();
}
END_TEST

/* What a worker wrote over is put right for the next one. */
START_TEST(test_reset)
{
	struct channel_memory *m;

	begin();
	m = port.channel.memory;
	for (int is_closing = 0; is_closing < 2; is_closing++) {
		if (is_closing)
			port_close(&port);
		ck_assert_uint_eq(m->orders.closing, is_closing);
		ck_assert_int_eq(publish(0, 100, 0), 0);
		m->n_slots = 0;
		m->orders.bell = m->orders.spin_usec = 99;
		m->orders.closing = !is_closing;
		m->orders.n_consumed = m->signs.position = 99;
		port_reset(&port);
		ck_assert_uint_eq(m->n_slots, SLOTS);
		ck_assert_uint_eq(m->orders.bell, 0);
		ck_assert_uint_eq(m->orders.spin_usec, 0);
		ck_assert_uint_eq(m->orders.closing, is_closing);
		ck_assert_uint_eq(m->orders.n_consumed, 0);
		ck_assert_uint_eq(m->signs.position, 0);
		ck_assert_uint_eq(rig_word(&port, 0), 0);
		ck_assert_uint_eq(port_load(&port), 0);
		ck_assert(arena_is_empty(&port.in));
	}
	end();
}
END_TEST

UNIT_MAIN("pool_port", test_full_ring, test_full_arena, test_inline_boundary,
	  test_tag_wraps, test_states, test_other_tag, test_take_back_order,
	  test_single_output, test_chunk_output, test_loose_output,
	  test_count_of_items, test_partial, test_reset)

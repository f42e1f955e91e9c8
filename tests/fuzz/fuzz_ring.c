/* Fuzzes the owner's reader of a channel: a worker may have written anything
 * anywhere into what it shares, at any moment.
 *
 * The input is a script of what owner and worker do by turns: one byte says what,
 * and bytes to be written follow. Whatever happens, the owner must stay within
 * bounds, and every item of every task must have exactly one outcome in the end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/script.h"
#include "workers/base/pure/macro.h"
#include "workers/pool/engine.h"

#define PORTS	  2
#define SLOTS	  4
#define TASKS	  48 /* items of all jobs of one input */
#define CHUNK	  5
#define STEPS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct task {
	struct job job;
	uint64_t n, next, n_over;
	uint32_t chunk, item_size, stride;
	unsigned char outcomes[CHUNK * 2];
};

struct fuzz {
	struct engine engine;
	struct port ports[PORTS];
	struct task tasks[TASKS];
	unsigned n_tasks;
	uint32_t n_ended[PORTS];
	uint64_t now_usec;
	unsigned char input[CHUNK * 64];
	volatile unsigned char sum; /* outputs are read to their last byte */
};

static struct fuzz fuzz;
static struct channel channels[PORTS];

/* ---- jobs --------------------------------------------------------------- */

static struct task *task_of(struct job *job)
{
	return container_of(job, struct task, job);
}

static void over(struct task *t, uint64_t index)
{
	reeve_assert(index < t->n && t->outcomes[index] == 0);
	t->outcomes[index]++;
	t->n_over++;
	reeve_assert(t->n_over < t->n || !t->job.is_queued);
}

static bool next(struct job *job, uint32_t max_items, struct piece *ret)
{
	struct task *t = task_of(job);
	uint64_t n = MIN(t->n - t->next, MIN(t->chunk, max_items));

	if (n == 0)
		return false;
	*ret = (struct piece){
		.index = t->next,
		.n_items = (uint32_t)n,
		.item_size = t->item_size,
		.out_stride = t->stride,
		.is_single = t->chunk == 1,
		.is_last = t->next + n == t->n,
	};
	t->next += n;
	return true;
}

static const void *input(struct job *job _unused_, const struct piece *piece,
			 size_t *ret_size)
{
	*ret_size = (size_t)piece->n_items * piece->item_size;
	return fuzz.input;
}

static void read_all(const unsigned char *data, size_t size)
{
	unsigned char sum = 0;

	for (size_t i = 0; i < size; i += 1 + size / 64)
		sum ^= data[i];
	if (size > 0)
		sum ^= data[size - 1];
	fuzz.sum = sum;
}

static uint32_t done(struct job *job, const struct piece *piece, uint32_t n,
		     const struct port_output *output,
		     const struct job_place *place)
{
	reeve_assert(n > 0 && n <= piece->n_items && place->seat < PORTS);
	reeve_assert(piece->is_single || piece->out_stride == SLOT_LOOSE ||
		     output->items);
	if (piece->out_stride == SLOT_LOOSE) {
		for (uint32_t i = 0; i < n; i++) {
			struct port_output one;

			reeve_assert(port_output_of(output, i, &one));
			read_all(one.data, one.size);
		}
	} else if (output->items) {
		read_all((const unsigned char *)output->items,
			 piece->n_items * sizeof(*output->items));
		read_all(output->data,
			 (size_t)piece->n_items * piece->out_stride);
		if (output->has_message)
			read_all(output->text, output->size);
	} else {
		reeve_assert(output->size <= CHANNEL_PAYLOAD_DEFAULT);
		read_all(output->data, output->size);
	}
	reeve_assert(!place->trail || piece->n_items == 1);
	free(place->trail);
	for (uint32_t i = 0; i < n; i++)
		over(task_of(job), piece->index + i);
	return n;
}

static void ended(struct job *job, uint64_t index,
		  const struct reeve_outcome *outcome, struct trail *trail)
{
	reeve_assert(outcome->n_crashes <= task_of(job)->job.max_crashes);
	free(trail);
	over(task_of(job), index);
}

static uint64_t abandon(struct job *job,
			const struct reeve_outcome *outcome _unused_)
{
	struct task *t = task_of(job);
	uint64_t n = t->n - t->next;

	while (t->next < t->n)
		over(t, t->next++);
	return n;
}

static uint64_t waiting(struct job *job _unused_)
{
	return 0;
}

static const struct job_type type = {
	next, input, done, ended, waiting, abandon
};

/* ---- what may happen ---------------------------------------------------- */

static void submit(struct script *s)
{
	uint8_t shape = script_take(s);
	struct task *t = &fuzz.tasks[fuzz.n_tasks];

	if (fuzz.n_tasks == TASKS)
		return;
	fuzz.n_tasks++;
	*t = (struct task){
		.job.type = &type,
		.job.max_crashes = 1 + shape % 3,
		.job.retry_delay_usec = shape % 2,
		.n = 1 + shape % (CHUNK * 2),
		.chunk = shape & 0x80 ? CHUNK : 1,
		.item_size = (shape >> 4 & 7) * 8,
		.stride = shape & 0x80 ? shape & 0x1f : 0,
	};
	if (t->stride == 0x1f)
		t->stride = SLOT_LOOSE;
	engine_submit(&fuzz.engine, &t->job);
}

/* The worker writes some bytes of the script, anywhere into header and slots. */
static void scribble(struct script *s, unsigned port)
{
	unsigned char *memory = (unsigned char *)channels[port].memory;
	size_t room =
		sizeof(struct channel_memory) + SLOTS * sizeof(struct slot);
	size_t at = ((size_t)script_take(s) << 8 | script_take(s)) % room,
	       n = script_take(s);

	for (; n > 0 && at < room && s->left > 0; n--)
		memory[at++] = script_take(s);
}

/* It changes a slot as an honest worker could, or with a lie of the right tag. */
static void set_word(struct script *s, unsigned port)
{
	struct slot *slot = channel_slot(&channels[port], script_take(s));
	uint8_t state = script_take(s), item = script_take(s);

	atomic_store(&slot->word, slot_word((enum slot_state)state,
					    slot_word_tag(slot->word), item));
}

/* Of a slot, or one of a loose chunk at the arena's beginning. */
static void set_output(struct script *s, unsigned port)
{
	uint8_t which = script_take(s);
	struct slot_result *result =
		which & 0x80
			? (struct slot_result *)(void *)channels[port].out +
				  which % CHUNK
			: &channel_slot(&channels[port], which)->result;
	static const uint32_t values[] = {
		0,
		CHANNEL_INLINE_SIZE,
		CHANNEL_INLINE_SIZE + 1,
		CHANNEL_PAYLOAD_DEFAULT,
		CHANNEL_PAYLOAD_DEFAULT + 1,
		(2 * CHANNEL_PAYLOAD_DEFAULT) - 64,
		(2 * CHANNEL_PAYLOAD_DEFAULT),
		UINT32_MAX - 63,
	};

	result->size = values[script_take(s) % ARRAY_SIZE(values)];
	result->offset = values[script_take(s) % ARRAY_SIZE(values)];
}

static void die(unsigned port)
{
	struct engine_end crashed = { .outcome.kind = REEVE_CRASHED,
				      .now_usec = fuzz.now_usec };

	engine_port_ended(&fuzz.engine, port, &crashed);
	engine_port_live(&fuzz.engine, port, ++fuzz.n_ended[port] + 1, 1);
}

static void cancel(struct script *s)
{
	uint8_t which = script_take(s);

	if (which < fuzz.n_tasks)
		(void)engine_cancel(&fuzz.engine, &fuzz.tasks[which].job);
}

static void step(struct script *s)
{
	uint8_t what = script_take(s);
	unsigned port = what >> 7;

	switch (what % 10) {
	case 0:
		submit(s);
		break;
	case 1:
		engine_due(&fuzz.engine, fuzz.now_usec++);
		(void)engine_feed(&fuzz.engine);
		break;
	case 2:
		(void)engine_collect(&fuzz.engine);
		break;
	case 3:
		die(port);
		break;
	case 4:
		scribble(s, port);
		break;
	case 5:
	case 6:
		set_word(s, port);
		break;
	case 7:
		set_output(s, port);
		break;
	case 8:
		cancel(s);
		break;
	case 9:
		engine_check(&fuzz.engine);
		(void)engine_arm(&fuzz.engine, what);
		engine_disarm(&fuzz.engine);
		break;
	}
}

/* ---- one input ---------------------------------------------------------- */

static void on_event(struct engine *e _unused_, unsigned port _unused_)
{
}

static const struct engine_hooks hooks = { on_event, on_event, on_event };

/* Channels are mapped once. What was spoilt in them, port_reset() mends. */
static void begin(void)
{
	for (unsigned i = 0; i < PORTS; i++) {
		if (!channels[i].memory) {
			int fd = channel_new(&channels[i], SLOTS,
					     CHANNEL_PAYLOAD_DEFAULT);

			reeve_assert(fd >= 0);
			close(fd);
		}
		reeve_assert(port_init(&fuzz.ports[i], &channels[i], 0) == 0);
		memset(channels[i].memory->slots, 0,
		       SLOTS * sizeof(struct slot));
		memset(channels[i].out, 0, CHUNK * sizeof(struct slot_result));
	}
	fuzz.n_tasks = 0;
	memset(fuzz.n_ended, 0, sizeof(fuzz.n_ended));
	reeve_assert(engine_init(&fuzz.engine, fuzz.ports, PORTS, SLOTS,
				 &hooks) == 0);
	for (unsigned i = 0; i < PORTS; i++)
		engine_port_live(&fuzz.engine, i, 1, 1);
}

static void end(void)
{
	const struct reeve_outcome why = { .kind = REEVE_CANCELLED };

	engine_give_up(&fuzz.engine, &why);
	reeve_assert(engine_is_idle(&fuzz.engine));
	for (unsigned i = 0; i < fuzz.n_tasks; i++)
		reeve_assert(fuzz.tasks[i].n_over == fuzz.tasks[i].n);
	engine_done(&fuzz.engine);
	for (unsigned i = 0; i < PORTS; i++)
		free(fuzz.ports[i].pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { data, size };

	begin();
	for (unsigned i = 0; i < STEPS_MAX && s.left > 0; i++)
		step(&s);
	end();
	return 0;
}

/* The owner's end of a channel. Every field that the worker could have written
 * is read once, and bounds come from the piece, which it cannot reach. */
#include "workers/pool/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"

int port_init(struct port *port, const struct channel *channel,
	      uint32_t spin_usec)
{
	*port = (struct port){ .channel = *channel, .spin_usec = spin_usec };
	port->pieces = calloc(channel->n_slots, sizeof(*port->pieces));
	if (!port->pieces)
		return -ENOMEM;
	port_reset(port);
	return 0;
}

void port_done(struct port *port)
{
	free(port->pieces);
	channel_unmap(&port->channel);
	*port = (struct port){ 0 };
}

void port_repeat(struct port *port)
{
	struct channel_memory *m = port->channel.memory;

	m->n_slots = port->channel.n_slots;
	m->orders.spin_usec = port->spin_usec;
	atomic_store(&m->orders.n_consumed, port->head);
	atomic_store(&m->orders.closing, port->is_closing || port->is_leaving);
	atomic_store(&m->orders.hurry, port->is_leaving || port->is_hurried);
}

void port_reset(struct port *port)
{
	struct channel_memory *m = port->channel.memory;
	uint32_t in_high = port->in.high; /* its memory is still there */

	for (uint32_t i = 0; i < port->channel.n_slots; i++)
		atomic_store_explicit(&m->slots[i].word, 0,
				      memory_order_relaxed);
	/* The worker could have written here too. */
	memset(&m->signs, 0, sizeof(m->signs));
	memset(&m->orders, 0, sizeof(m->orders));
	arena_reset(&port->in, port->channel.arena_size);
	port->in.high = in_high;
	port->head = port->tail = 0;
	port->is_leaving = port->was_leaving = port->is_hurried = false;
	port_repeat(port);
	port->state = PORT_RESET;
	port->n_items = 0;
	port->n_waited = port->n_lingered = 0;
}

void port_close(struct port *port)
{
	port->is_closing = true;
	atomic_store(&port->channel.memory->orders.closing, 1);
}

void port_set_leaving(struct port *port, bool is_leaving)
{
	port->is_leaving = is_leaving;
	port->was_leaving |= is_leaving;
	port->n_lingered = 0;
	atomic_store(&port->channel.memory->orders.closing,
		     port->is_closing || is_leaving);
	atomic_store(&port->channel.memory->orders.hurry,
		     is_leaving || port->is_hurried);
}

void port_set_hurried(struct port *port, bool is_hurried)
{
	if (port->is_hurried == is_hurried)
		return;
	port->is_hurried = is_hurried;
	atomic_store(&port->channel.memory->orders.hurry,
		     is_hurried || port->is_leaving);
}

uint64_t port_unbegun(const struct port *port)
{
	uint64_t i = port->head;

	while (i != port->tail &&
	       slot_word_state(atomic_load_explicit(
		       &channel_slot(&port->channel, i)->word,
		       memory_order_relaxed)) != SLOT_QUEUED)
		i++;
	return i;
}

/* ---- handing over ---------------------------------------------------------- */

int port_publish(struct port *port, const struct piece *piece,
		 uint64_t function, const void *input, size_t size)
{
	uint32_t offset = 0;
	struct slot *slot = channel_slot(&port->channel, port->tail);
	struct piece *own = port_piece(port, port->tail);
	uint32_t tag = own->tag + 1;

	if (port_load(port) >= port->channel.n_slots)
		return -ENOBUFS;
	*own = *piece;
	own->tag = tag & 0xffffff;
	own->mark_before = port->in.head;
	if (size > CHANNEL_INLINE_SIZE) {
		if (!arena_take(&port->in, (uint32_t)size, &offset))
			return -ENOBUFS;
		memcpy(port->channel.in + offset, input, size);
	} else if (size > 0) {
		memcpy(slot->result.data, input, size);
	}
	own->mark = port->in.head;
	slot->function = function;
	slot->n_items = piece->is_single ? 0 : piece->n_items;
	slot->item_size = piece->item_size;
	slot->in_offset = offset;
	slot->out_stride = piece->out_stride;
	atomic_store_explicit(&slot->word, slot_word(SLOT_QUEUED, own->tag, 0),
			      memory_order_release);
	port->tail++;
	return 0;
}

bool port_take_back(struct port *port, struct piece *ret_piece)
{
	struct piece *own = port_piece(port, port->tail - 1);
	struct slot *slot = channel_slot(&port->channel, port->tail - 1);
	uint64_t queued = slot_word(SLOT_QUEUED, own->tag, 0);
	uint64_t withdrawn = slot_word(SLOT_WITHDRAWN, own->tag, 0);
	uint64_t free_word = slot_word(SLOT_FREE, own->tag, 0);

	if (port_load(port) == 0 ||
	    (!atomic_compare_exchange_strong(&slot->word, &queued, free_word) &&
	     !atomic_compare_exchange_strong(&slot->word, &withdrawn,
					     free_word)))
		return false;
	port->tail--;
	arena_undo(&port->in, own->mark_before);
	*ret_piece = *own;
	return true;
}

void port_drop_cancelled(struct port *port)
{
	struct piece piece;

	while (port_load(port) > 0 && !port_piece(port, port->tail - 1)->job &&
	       port_take_back(port, &piece))
		;
}

int port_cancel(struct port *port, uint64_t i)
{
	const struct piece *own = port_piece(port, i);
	struct slot *slot = channel_slot(&port->channel, i);
	uint64_t word = slot_word(SLOT_QUEUED, own->tag, 0);

	if (atomic_compare_exchange_strong(
		    &slot->word, &word, slot_word(SLOT_WITHDRAWN, own->tag, 0)))
		return 1;
	/* Running: the item may move on while we look. */
	while (is_running_state(slot_word_state(word)) &&
	       slot_word_tag(word) == own->tag)
		if (atomic_compare_exchange_strong(
			    &slot->word, &word,
			    slot_word(SLOT_CANCELLING, own->tag,
				      slot_word_item(word))))
			return 2;
	return 0;
}

/* ---- what came back --------------------------------------------------------- */

static bool is_in_arena(const struct channel *c, uint32_t offset, size_t size)
{
	return size <= c->arena_size && offset <= c->arena_size - size;
}

/* For port_has_to_trim(). */
static void note_use(struct port *port, const unsigned char *end)
{
	port->out_high =
		MAX(port->out_high, (uint32_t)(end - port->channel.out));
}

/* One result, wherever it stands. */
static inline bool show_result(const struct channel *c,
			       const struct slot_result *result,
			       struct port_output *ret)
{
	uint32_t size = *(const volatile uint32_t *)&result->size;
	uint32_t offset = *(const volatile uint32_t *)&result->offset;

	ret->n_items = 1;
	ret->size = size;
	ret->status = *(const volatile int32_t *)&result->status;
	ret->has_message =
		*(const volatile uint32_t *)&result->flags & SLOT_HAS_MESSAGE;
	ret->items = NULL;
	ret->data = result->data;
	if (size <= CHANNEL_INLINE_SIZE)
		return true;
	ret->data = c->out + offset;
	return size <= c->payload_max && is_in_arena(c, offset, size);
}

static bool show_single(struct port *port, const struct slot *slot,
			struct port_output *ret)
{
	if (!show_result(&port->channel, &slot->result, ret))
		return false;
	if (ret->size > CHANNEL_INLINE_SIZE)
		note_use(port, ret->data + ret->size);
	return true;
}

bool port_output_of(const struct port_output *chunk, uint32_t i,
		    struct port_output *ret)
{
	return show_result(chunk->channel, &chunk->results[i], ret);
}

/* The chunk makes sense if each of its results does. */
static bool show_loose(struct port *port, struct port_output *ret)
{
	struct port_output output;

	ret->results = (const struct slot_result *)(const void *)ret->data;
	ret->channel = &port->channel;
	for (uint32_t i = 0; i < ret->n_items; i++) {
		if (!port_output_of(ret, i, &output))
			return false;
		if (output.size > CHANNEL_INLINE_SIZE)
			note_use(port, output.data + output.size);
	}
	return true;
}

/* Of which there may be one. */
static void show_text(const struct slot *slot, const struct piece *own,
		      struct port_output *ret)
{
	const struct slot_result *result = &slot->result;
	uint32_t size = *(const volatile uint32_t *)&result->size;

	ret->has_message =
		*(const volatile uint32_t *)&result->flags & SLOT_HAS_MESSAGE;
	ret->status = *(const volatile int32_t *)&result->status;
	ret->size = MIN(size, CHANNEL_ERROR_MAX - 1u);
	ret->text =
		ret->data + chunk_text_offset(own->n_items, own->out_stride);
}

/* Of the first n items. */
static bool show_chunk(struct port *port, const struct slot *slot,
		       const struct piece *own, uint32_t n,
		       struct port_output *ret)
{
	uint32_t offset = *(const volatile uint32_t *)&slot->result.offset;
	size_t size = chunk_output_size(own->n_items, own->out_stride);

	if (offset % ARENA_ALIGNMENT != 0 ||
	    !is_in_arena(&port->channel, offset, size))
		return false;
	*ret = (struct port_output){
		.n_items = n,
		.data = port->channel.out + offset,
	};
	note_use(port, ret->data + size);
	if (own->out_stride == SLOT_LOOSE)
		return show_loose(port, ret);
	show_text(slot, own, ret);
	ret->items = (const struct chunk_item *)(const void *)ret->data;
	ret->data = (const unsigned char *)(ret->items + own->n_items);
	return true;
}

/* A chunk may end before its last item. */
static bool show(struct port *port, uint64_t i, uint32_t n,
		 struct port_output *ret)
{
	const struct piece *own = port_piece(port, i);
	const struct slot *slot = channel_slot(&port->channel, i);

	if (n == 0 || n > own->n_items)
		return false;
	return own->is_single ? show_single(port, slot, ret)
			      : show_chunk(port, slot, own, n, ret);
}

enum port_sight port_look(struct port *port, struct port_output *ret)
{
	const struct piece *own = port_piece(port, port->head);
	uint64_t word;

	if (port->head == port->tail)
		return SIGHT_NOTHING;
	word = atomic_load_explicit(
		&channel_slot(&port->channel, port->head)->word,
		memory_order_acquire);
	if (slot_word_tag(word) != own->tag)
		return SIGHT_BROKEN;
	switch (slot_word_state(word)) {
	case SLOT_DONE:
		return show(port, port->head, slot_word_item(word), ret)
			       ? SIGHT_DONE
			       : SIGHT_BROKEN;
	case SLOT_SKIPPED:
		return SIGHT_SKIPPED;
	case SLOT_QUEUED:
	case SLOT_RUNNING:
	case SLOT_WARNED:
	case SLOT_WITHDRAWN:
	case SLOT_CANCELLING:
		return SIGHT_NOTHING;
	default:
		return SIGHT_BROKEN;
	}
}

void port_advance(struct port *port)
{
	arena_give_back(&port->in, port_piece(port, port->head)->mark);
	port->head++;
}

bool port_is_waiting(const struct port *port)
{
	const struct slot *slot = channel_slot(&port->channel, port->head);
	const struct channel_signs *signs = &port->channel.memory->signs;
	unsigned state = slot_word_state(atomic_load(&slot->word));

	if (port->state != PORT_LIVE || port_load(port) == 0 ||
	    port->head != port->waited_head)
		return false;
	return atomic_load(&signs->asleep) || state == SLOT_QUEUED ||
	       state == SLOT_WITHDRAWN;
}

/* ---- what is running --------------------------------------------------------- */

static bool is_running_at(const struct port *port, uint64_t i,
			  uint64_t *ret_word)
{
	uint64_t word = atomic_load(&channel_slot(&port->channel, i)->word);

	*ret_word = word;
	return is_running_state(slot_word_state(word)) &&
	       slot_word_tag(word) == port_piece(port, i)->tag;
}

bool port_find_running(const struct port *port, uint64_t *ret_i)
{
	uint64_t word;

	for (uint64_t i = port->head; i != port->tail; i++)
		if (is_running_at(port, i, &word)) {
			*ret_i = i;
			return true;
		}
	return false;
}

bool port_progress(const struct port *port, uint64_t i,
		   struct progress_note *ret)
{
	uint64_t word;

	return is_running_at(port, i, &word) &&
	       progress_read(&port->channel.memory->signs.progress, ret) &&
	       ret->progress.n_reports > 0 && ret->position == i &&
	       ret->word == slot_word(SLOT_FREE, slot_word_tag(word),
				      slot_word_item(word));
}

/* ---- after a death ---------------------------------------------------------- */

enum slot_state port_autopsy(const struct port *port, uint64_t i,
			     uint32_t *ret_item)
{
	const struct piece *own = port_piece(port, i);
	uint64_t word = atomic_load(&channel_slot(&port->channel, i)->word);
	uint32_t item = slot_word_item(word);

	*ret_item = item;
	if (slot_word_tag(word) != own->tag ||
	    slot_word_state(word) >= SLOT_STATE_COUNT || item > own->n_items)
		return SLOT_STATE_COUNT;
	return (enum slot_state)slot_word_state(word);
}

bool port_partial(struct port *port, uint64_t i, uint32_t n,
		  struct port_output *ret)
{
	const struct piece *own = port_piece(port, i);
	const struct slot *slot = channel_slot(&port->channel, i);

	return n > 0 && !own->is_single && show_chunk(port, slot, own, n, ret);
}

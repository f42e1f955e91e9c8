/* The owner's end of one worker's channel.
 *
 * Properties
 *   Holds what the owner knows of each slot in the owner's own memory (struct
 *   piece): who it is for, its tag, how much was put in and may come out. The
 *   shared words are only asked how far the worker is.
 * Operation
 *   Slots are published at the tail and collected at the head, in order; those
 *   at the tail that the worker has not claimed can be taken back.
 * Safety
 *   No system calls, no clock: it runs in a simulator as well.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "workers/pool/arena.h"
#include "workers/pool/channel.h"

struct job;
struct trail;

/* A run of items of a job, handed over together. */
struct piece {
	struct job *job;
	struct trail *trail; /* of one item alone, which has crashed before */
	uint64_t index;	     /* of its first item */
	uint32_t n_items;
	uint32_t item_size;  /* or SLOT_SIZED */
	uint32_t out_stride; /* or SLOT_LOOSE */
	bool is_single;	     /* one task with an output of any size */
	bool is_last;	     /* the job has no more to give, for good */
	uint8_t level;	     /* the engine's: how urgent */
	/* the port's: */
	uint32_t tag;
	uint64_t mark_before, mark; /* of the input arena */
};

enum port_state {
	PORT_RESET, /* no worker; may be offered */
	PORT_LIVE,
	PORT_DOOMED /* its worker is being killed: nothing more goes there */
};

struct port {
	struct channel channel;
	struct arena in;
	struct piece *pieces; /* of each slot */
	uint64_t head, tail;
	enum port_state state;
	bool is_closing;     /* its workers leave when nothing is queued */
	bool is_leaving;     /* this one does, not those after it */
	bool is_hurried;     /* its chunks end early */
	bool was_leaving;    /* it was told so, if only for a while */
	uint32_t generation; /* of its worker */
	uint32_t spin_usec;  /* as in channel_orders */
	pid_t pid;
	uint64_t n_items;  /* with an outcome, of this generation */
	uint32_t out_high; /* how far the output arena was ever used */
	/* What was seen running at the last look, and since when (0: nothing);
	 * see stats.c. */
	uint64_t looked_slot, looked_word, looked_usec;
	uint64_t waited_head; /* see engine_check() */
	bool was_prompt;
	unsigned n_waited, n_lingered;
};

/* What stands at the head. */
enum port_sight {
	SIGHT_NOTHING, /* empty, or the worker is not there yet */
	SIGHT_DONE,
	SIGHT_SKIPPED, /* was withdrawn, and the worker has passed it */
	SIGHT_BROKEN   /* makes no sense: the worker wrote where it must not */
};

/* Output of a finished piece, in shared memory: size and status of each item
 * are to be read once. */
struct port_output {
	uint32_t n_items; /* whose results are there */
	const unsigned char *data;
	uint32_t size; /* single: bytes of output */
	int32_t status;
	bool has_message;
	const struct chunk_item *items; /* chunks: of each item, and: */
	const unsigned char *text;	/* has_message: of item .status, so long
					 * as .size says */
	const struct slot_result *results; /* the same of loose chunks: see
					    * port_output_of() */
	const struct channel *channel;
};

/* Item i of a loose chunk, as if it were a single one. false: the worker says that
 * it lies where it cannot. */
bool port_output_of(const struct port_output *chunk, uint32_t i,
		    struct port_output *ret);

/* Takes channel over; its workers spin for so long. Returns 0 or -ENOMEM. */
int port_init(struct port *port, const struct channel *channel,
	      uint32_t spin_usec);
void port_done(struct port *port);

/* Says again what is the owner's to say: the worker may have written over it. */
void port_repeat(struct port *port);

/* Forgets everything, clears the slots and repeats: for the next worker. */
void port_reset(struct port *port);

/* The worker, and each that follows, leaves when nothing is queued. */
void port_close(struct port *port);

/* The worker, but none that follows, leaves when nothing is queued; or stays, if it
 * has not left yet. */
void port_set_leaving(struct port *port, bool is_leaving);

/* A chunk that runs ends with the item that does, for something more urgent. */
void port_set_hurried(struct port *port, bool is_hurried);

/* The first slot that the worker has not begun, as far as it can be seen; tail when
 * there is none. */
uint64_t port_unbegun(const struct port *port);

static inline uint32_t port_load(const struct port *port)
{
	return (uint32_t)(port->tail - port->head);
}

/* Has the worker enough for now? Large inputs go in two at a time: so they stay
 * where they were touched before, and in the cache. */
static inline bool port_is_full(const struct port *port, uint32_t window)
{
	return port_load(port) >= window ||
	       (port_load(port) >= 2 &&
		port->in.head - port->in.tail >= ARENA_SOFT_SIZE);
}

static inline struct piece *port_piece(const struct port *port, uint64_t i)
{
	return &port->pieces[i & (port->channel.n_slots - 1)];
}

/* Publishes piece with its inputs, which are size bytes. Returns 0, or -ENOBUFS:
 * no slot, or no room for the inputs now. The worker is not woken. */
int port_publish(struct port *port, const struct piece *piece,
		 uint64_t function, const void *input, size_t size);

/* Looks at the head; with SIGHT_DONE what came out is shown. Whether it was
 * cancelled, the caller knows: SIGHT_SKIPPED of anything else is a lie. */
enum port_sight port_look(struct port *port, struct port_output *ret);

/* Nothing is in the channel, and more of its arenas was used than is to be kept:
 * channel_trim() and port_trimmed() are in order. */
#define PORT_KEEP_SIZE (UINT32_C(16) << 20)

static inline bool port_has_to_trim(const struct port *port)
{
	return port->head == port->tail && (port->in.high > PORT_KEEP_SIZE ||
					    port->out_high > PORT_KEEP_SIZE);
}

static inline void port_trimmed(struct port *port)
{
	port->in.high = port->out_high = 0;
}

/* Goes on to the next slot, after SIGHT_DONE or SIGHT_SKIPPED. */
void port_advance(struct port *port);

/* It sleeps in front of something (a wake-up was lost, or its slots were written
 * over), or does not begin, or pass, what stands there. */
bool port_is_waiting(const struct port *port);

/* Takes the last published slot back, if it is not begun, nor skipped after a
 * cancel. */
bool port_take_back(struct port *port, struct piece *ret_piece);

/* Takes back what comes last and has no job any more, being cancelled: it is no
 * load. */
void port_drop_cancelled(struct port *port);

/* Cancels slot i: 1 when it was not begun (it is skipped by the worker and
 * collected as such), 2 when it was running and its worker has to be killed, 0
 * when it is too late. */
int port_cancel(struct port *port, uint64_t i);

/* The slot that is running, if one is. */
bool port_find_running(const struct port *port, uint64_t *ret_i);

/* What the item that runs in slot i has said of itself. false: nothing runs there,
 * or it has not said anything. */
bool port_progress(const struct port *port, uint64_t i,
		   struct progress_note *ret);

/* The worker is dead: how far slot i was, see enum slot_state; the item that was
 * running in *ret_item. SLOT_STATE_COUNT: the word makes no sense. */
enum slot_state port_autopsy(const struct port *port, uint64_t i,
			     uint32_t *ret_item);

/* Of a slot found RUNNING or CANCELLING with results of its first n items. */
bool port_partial(struct port *port, uint64_t i, uint32_t n,
		  struct port_output *ret);

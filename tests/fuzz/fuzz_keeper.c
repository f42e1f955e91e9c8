/* Fuzzes the keeper: workers may have written anything anywhere into their channels
 * and into what they share, and say anything on their lifelines; they die and leave
 * children as they like; and the owner's half of the board holds what it holds.
 *
 * The real keeper_main() runs here, on a board and channels that are blocks of
 * their own, so a sanitizer sees each byte beside them. Its processes are made up:
 * fork(), kill(), waitid() and the clock are those of keeper_world.h. Whenever it waits,
 * the input says what happens: one byte says what, others with what. Meanwhile:
 *   - nobody is signalled but workers that live and orphans that are there;
 *   - each worker that lives is on one seat, and there are no more than wanted;
 *   - it sleeps when there is nothing to do: it never turns on the spot;
 *   - told to end, it does, and then nobody lives.
 */
#include "tests/fuzz/keeper_world.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "tests/fuzz/script.h"
#include "workers/base/pure/usec.h"
#include "workers/pool/keeper_event.h"
#include "workers/shared/repair.h"

#define SLOTS	   4
#define TURNS_MAX  512 /* until the script is over */
#define LAST_TURNS 64  /* then: to bury everybody */
#define IDLE_MAX   32  /* turns in a row without a reason */
#define TEXT_SIZE  44  /* of the children: within a number */
#define UNREAD_MAX 200 /* bytes on a lifeline: some turns of the keeper's */
#define GRACE_MAX  (USEC_PER_SEC / 8)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fuzz {
	struct script script;
	unsigned n_turns, n_last, n_idle;
} fuzz;

/* Made once. */
static struct room {
	struct keeper_config config;
	struct board *board;
	struct keeper_seat seats[SEATS];
	struct worker *workers;
	char *children;
	char (*names)[KEEPER_COMM_SIZE];
	struct patient patient;
	void *memories[8]; /* of patients */
	int epoll_fd, owner_fd, keeper_fd, gone_fd, event_fd;
	bool keeps_lifelines;
} room;

static const struct repair_way *const ways[] = {
	&lock_repair,	 &semaphore_repair, &event_repair, &condition_repair,
	&barrier_repair, &array_repair,	    &queue_repair,
};

static uint8_t take(void)
{
	return script_take(&fuzz.script);
}

static void silence(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
}

/* ---- what happens ------------------------------------------------------------ */

static void scribble(void *memory, size_t room_bytes)
{
	unsigned char *bytes = memory;
	size_t at = ((size_t)take() << 8 | take()) % room_bytes, n = take();

	if (n == 0xff) { /* all of it */
		memset(bytes + at, take(), room_bytes - at);
		return;
	}
	for (; n > 0 && at < room_bytes && fuzz.script.left > 0; n--)
		bytes[at++] = take();
}

static struct channel *any_channel(void)
{
	return &room.seats[take() % SEATS].channel;
}

static void set_word(void)
{
	struct slot *slot = channel_slot(any_channel(), take());
	uint8_t state = take();

	atomic_store(&slot->word, slot_word((enum slot_state)(state & 15),
					    state >> 4, take()));
}

/* A worker that leaves in good order says so; others may. */
static void set_signs(void)
{
	struct channel_signs *signs = &any_channel()->memory->signs;

	atomic_store(&signs->phase, take() % (PHASE_BROKEN + 2));
	atomic_fetch_add(&signs->n_waits, take() & 1);
	signs->position += take();
}

static void use_lifeline(void)
{
	struct life *l = any_life(take());
	static const char bytes[80];
	uint8_t n = take();
	int n_unread = 0;

	if (!l || l->lifeline_fd < 0)
		return;
	(void)ioctl(l->lifeline_fd, FIONREAD, &n_unread);
	if (n == 0xff)
		l->lifeline_fd = fd_close(l->lifeline_fd);
	else if (n_unread < UNREAD_MAX)
		(void)!write(l->lifeline_fd, bytes, n % sizeof(bytes));
}

static void end_life(void)
{
	static const int codes[] = { CLD_EXITED, CLD_KILLED, CLD_DUMPED };
	struct life *l = any_life(take());
	uint8_t how = take(), n = take() % 8;

	if (!l)
		return;
	die(l, codes[how % 3], how & 0x80 ? SIGKILL : how >> 2 & 31);
	for (; l->is_worker && n > 0; n--)
		leave_orphan(take());
}

/* The owner's half of the board. */
static void set_board(void)
{
	struct board *b = room.board;
	struct seat *seat = &b->seats[take() % SEATS];
	uint8_t what = take(), value = take();

	switch (what % 8) {
	case 0:
	case 1:
		atomic_store(&b->target, value % (SEATS + 2));
		break;
	case 2:
	case 3:
		atomic_fetch_add(&seat->offered, 1);
		break;
	case 4:
		atomic_store(&seat->kill,
			     atomic_load(&seat->generation) + (value & 1));
		break;
	case 5:
		atomic_fetch_add(&b->progress, value);
		break;
	case 6:
		atomic_store(&b->order, value > 0xf0 ? value : ORDER_CLOSE);
		break;
	case 7:
		scribble(value & 1 ? (void *)b : seat, 64);
		break;
	}
	if (what & 0x80)
		ring(room.keeper_fd);
}

static void pass_time(void)
{
	world.now_usec += (uint64_t)take() << (take() % 16);
}

static void step(uint8_t what)
{
	struct channel *c = any_channel();

	switch (what % 10) {
	case 0:
		scribble(c->memory,
			 sizeof(*c->memory) + SLOTS * (sizeof(struct slot) +
						       sizeof(uint64_t)));
		break;
	case 1:
		set_word();
		break;
	case 2:
		set_signs();
		break;
	case 3:
		use_lifeline();
		break;
	case 4:
		end_life();
		break;
	case 5:
	case 6:
		set_board();
		break;
	case 7:
		if (room.patient.way)
			scribble(room.patient.memory, room.patient.way->size);
		break;
	case 8:
		pass_time();
		break;
	case 9:
		world.does_fork_fail = what & 0x40;
		if (what >= 0xf0)
			ring(room.gone_fd);
		break;
	}
}

/* ---- what always holds -------------------------------------------------------- */

static void check_seats(void)
{
	const struct keeper *k = world.keeper;

	for (size_t i = 0; i < SEATS; i++) {
		const struct life *l = find_life(k->workers[i].pid);

		if (k->workers[i].pid == 0)
			continue;
		reeve_assert(l && l->is_worker && !k->workers[i].is_dead);
		for (size_t j = 0; j < i; j++)
			reeve_assert(k->workers[j].pid != k->workers[i].pid);
	}
	reeve_assert(keeper_count_live(k) == count_workers());
	reeve_assert(memchr(k->board->message, '\0', BOARD_MESSAGE_MAX));
}

/* It comes back at once, though nothing has happened: once too often? A dead owner
 * wakes it until all is over. */
static void check_rest(const struct timespec *timeout, int n_events)
{
	bool is_at_once = n_events > 0 || (timeout && timeout->tv_sec == 0 &&
					   timeout->tv_nsec == 0);

	if (!is_at_once || world.has_news || world.keeper->is_owner_gone)
		fuzz.n_idle = 0;
	else
		reeve_assert(fuzz.n_idle++ < IDLE_MAX);
	world.has_news = false;
}

/* ---- how the keeper wakes up, and waits (-Wl,--wrap) -------------------------------- */

int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int max,
			const struct timespec *timeout, const sigset_t *mask);
int __wrap_keeper_setup(struct keeper *k, const struct keeper_config *config);

/* The script's turn, or after its end the order to end. */
static void turn(void)
{
	while (fuzz.script.left > 0 && fuzz.n_turns < TURNS_MAX) {
		uint8_t what = take();

		if (what % 11 == 10)
			break;
		world.has_news = true;
		step(what);
	}
	if (fuzz.script.left > 0 && fuzz.n_turns++ < TURNS_MAX)
		return;
	reeve_assert(fuzz.n_last++ < LAST_TURNS);
	atomic_store(&room.board->order, ORDER_TERMINATE);
	ring(room.keeper_fd);
}

int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int max,
			const struct timespec *timeout, const sigset_t *mask)
{
	uint64_t wait_usec = GRACE_MAX;
	int n;

	check_seats();
	turn();
	n = epoll_pwait(fd, events, max, 0, mask);
	check_rest(timeout, n);
	if (timeout && timeout->tv_sec == 0)
		wait_usec = MIN(wait_usec, (uint64_t)timeout->tv_nsec / 1000);
	world.now_usec += n > 0 ? 1 : wait_usec;
	return n;
}

int __wrap_keeper_setup(struct keeper *k, const struct keeper_config *config)
{
	*k = (struct keeper){
		.config = config,
		.board = config->board,
		.seats = config->seats,
		.workers = room.workers,
		.names = room.names,
		.n_seats = config->board->n_seats,
		.pid = getpid(),
		.now_usec = world.now_usec,
		.owner_pidfd = room.gone_fd,
		.keeper_fd = config->keeper_fd,
		.owner_fd = config->owner_fd,
		.epoll_fd = room.epoll_fd,
		.death_fd = world.death_fd,
		.children_fd = CHILDREN_FD,
		.children = room.children,
		.children_size = TEXT_SIZE,
		.first_fd = 64,
		.keeps_lifelines = room.keeps_lifelines,
		.oom.fd = -1,
		.failures = { .limit = config->restart_limit,
			      .interval_usec = config->restart_interval_usec },
		.patients = &room.patient,
		.n_patients = room.patient.way != NULL,
	};
	world.keeper = k;
	return 0;
}

/* ---- one input --------------------------------------------------------------- */

static void *block(void *old, size_t size)
{
	void *p = old;

	reeve_assert(p || posix_memalign(&p, 64, size) == 0);
	return memset(p, 0, size);
}

static int new_event(uint64_t event)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = event };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	reeve_assert(fd >= 0);
	if (event < EVENT_LIFELINE)
		reeve_assert(epoll_ctl(room.epoll_fd, EPOLL_CTL_ADD, fd, &e) ==
			     0);
	return fd;
}

static void furnish(void)
{
	room.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	reeve_assert(room.epoll_fd >= 0);
	room.gone_fd = new_event(EVENT_OWNER_GONE);
	room.keeper_fd = new_event(EVENT_RUNG);
	world.death_fd = new_event(EVENT_DEATH);
	room.owner_fd = new_event(EVENT_LIFELINE);
	room.event_fd = new_event(EVENT_LIFELINE);
}

static void configure(void)
{
	uint8_t how = take();

	room.keeps_lifelines = !(how & 128);
	room.config = (struct keeper_config){
		.name = "fuzz",
		.keeper_fd = room.keeper_fd,
		.owner_fd = room.owner_fd,
		.board = room.board,
		.seats = room.seats,
		.maxtasksperchild = how & 1 ? 3 : 0,
		.maxtasks_jitter = take(),
		.max_age_usec = how & 2 ? USEC_PER_SEC : 0,
		.max_age_jitter_usec = how & 2 ? USEC_PER_SEC / 10 : 0,
		.recycle_max = how >> 2 & 1,
		.task_timeout_usec = how & 8 ? USEC_PER_SEC / 10 : 0,
		.task_soft_timeout_usec = how & 16 ? USEC_PER_SEC / 20 : 0,
		.soft_signal = how & 32 ? SIGUSR1 : 0,
		.start_timeout_usec = how & 64 ? USEC_PER_SEC / 5 : 0,
		.restart_limit = 3,
		.restart_interval_usec = USEC_PER_SEC,
	};
}

static void begin(void)
{
	const int fds[] = { room.gone_fd, room.keeper_fd, world.death_fd,
			    room.owner_fd, room.event_fd };
	uint8_t kind = take() % (ARRAY_SIZE(ways) + 1);

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		silence(fds[i]);
	room.board = block(room.board,
			   sizeof(*room.board) + SEATS * sizeof(struct seat));
	room.board->n_seats = SEATS;
	atomic_store(&room.board->target, 2);
	for (size_t i = 0; i < SEATS; i++) {
		struct channel *c = &room.seats[i].channel;

		c->memory =
			block(c->memory, sizeof(*c->memory) +
						 SLOTS * (sizeof(struct slot) +
							  sizeof(uint64_t)));
		c->n_slots = SLOTS;
		atomic_store(&room.board->seats[i].offered, 1);
	}
	room.workers = block(room.workers, SEATS * sizeof(struct worker));
	for (size_t i = 0; i < SEATS; i++)
		room.workers[i].lifeline = LIFELINE_NONE;
	room.names = block(room.names, SEATS * KEEPER_COMM_SIZE);
	room.children = block(room.children, TEXT_SIZE);
	room.patient = (struct patient){ .event_fd = room.event_fd };
	if (kind < ARRAY_SIZE(ways)) {
		room.patient.way = ways[kind];
		room.patient.memory = room.memories[kind] =
			block(room.memories[kind], ways[kind]->size);
	}
}

static void end(void)
{
	for (unsigned i = 0; i < world.n_lives; i++)
		fd_close(world.lives[i].lifeline_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!room.board)
		furnish();
	fuzz = (struct fuzz){ .script = { data, size } };
	world = (struct world){ .now_usec = USEC_PER_SEC,
				.death_fd = world.death_fd };
	begin();
	configure();
	world.is_inside = true;
	if (sigsetjmp(world.out, 0) == 0)
		keeper_main(&room.config);
	world.is_inside = false;
	reeve_assert(world.code == 0);
	reeve_assert(atomic_load(&room.board->state) == KEEPER_DONE);
	reeve_assert(atomic_load(&room.board->n_live) == 0);
	for (unsigned i = 0; i < world.n_lives; i++)
		reeve_assert(world.lives[i].is_reaped);
	end();
	return 0;
}

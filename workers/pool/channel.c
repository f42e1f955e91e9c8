/* The memory of a channel; see channel.h for what happens in it.
 *
 * Owner, keeper and worker all map it through here, and all keep what they
 * check bounds against (n_slots, where the arenas lie) in their own struct.
 */
#include "workers/pool/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

#define PAGE_SIZE 4096u

static size_t head_size(uint32_t n_slots)
{
	size_t size = sizeof(struct channel_memory) +
		      n_slots * (sizeof(struct slot) + sizeof(uint64_t));

	return (size + PAGE_SIZE - 1) & ~(size_t)(PAGE_SIZE - 1);
}

static bool is_slot_count(uint32_t n)
{
	return n >= CHANNEL_SLOTS_MIN && n <= CHANNEL_SLOTS_MAX &&
	       (n & (n - 1)) == 0;
}

static bool is_limit(uint64_t payload_max)
{
	return payload_max > 0 && payload_max <= CHANNEL_PAYLOAD_MAX &&
	       payload_max % CHANNEL_PAYLOAD_UNIT == 0;
}

/* Two arenas of two payloads each. */
static size_t whole_size(uint32_t n_slots, uint32_t payload_max)
{
	return head_size(n_slots) + 4 * (size_t)payload_max;
}

static int map(struct channel *c, int fd, uint32_t n_slots,
	       uint32_t payload_max)
{
	size_t size = whole_size(n_slots, payload_max);
	unsigned char *p;

	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	/* A child of the owner must not keep a worker's memory alive. */
	(void)madvise(p, size, MADV_DONTFORK);
	(void)madvise(p, size, MADV_DONTDUMP);
	*c = (struct channel){
		.memory = (struct channel_memory *)(void *)p,
		.in = p + head_size(n_slots),
		.out = p + head_size(n_slots) + 2 * (size_t)payload_max,
		.size_bytes = size,
		.n_slots = n_slots,
		.payload_max = payload_max,
		.arena_size = 2 * payload_max,
	};
	return 0;
}

int channel_new(struct channel *ret_channel, uint32_t n_slots,
		uint32_t payload_max)
{
	size_t size = whole_size(n_slots, payload_max);
	_cleanup_(fd_closep) int fd = -1;
	struct channel c = { 0 };
	int r;

	if (!is_slot_count(n_slots) || !is_limit(payload_max))
		return -EINVAL;
	fd = fd_lift(
		memfd_create("reeve-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
		    0)
		return -errno;
	r = map(&c, fd, n_slots, payload_max);
	if (r < 0)
		return r;
	reeve_assert(c.memory);
	c.memory->n_slots = n_slots;
	*ret_channel = c;
	return TAKE_FD(fd);
}

int channel_map(struct channel *ret_channel, int fd)
{
	struct channel_memory head;
	uint64_t arenas;
	struct stat st;

	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    !is_slot_count(head.n_slots) || fstat(fd, &st) < 0 ||
	    (size_t)st.st_size < head_size(head.n_slots))
		return -EBADMSG;
	/* The size is sealed: what it leaves for the arenas says the limit. */
	arenas = (uint64_t)st.st_size - head_size(head.n_slots);
	if (arenas % 4 != 0 || !is_limit(arenas / 4))
		return -EBADMSG;
	return map(ret_channel, fd, head.n_slots, (uint32_t)(arenas / 4));
}

void channel_unmap(struct channel *channel)
{
	if (channel->memory)
		(void)munmap(channel->memory, channel->size_bytes);
	*channel = (struct channel){ 0 };
}

void channel_trim(struct channel *channel, size_t keep_bytes)
{
	unsigned char *arenas[] = { channel->in, channel->out };

	keep_bytes = (keep_bytes + PAGE_SIZE - 1) & ~(size_t)(PAGE_SIZE - 1);
	for (size_t i = 0;
	     i < ARRAY_SIZE(arenas) && keep_bytes < channel->arena_size; i++)
		(void)madvise(arenas[i] + keep_bytes,
			      channel->arena_size - keep_bytes, MADV_REMOVE);
}

/* writer FIFO TOTAL_BYTES WRITE_BYTES: writes lines to its stdout, flat out.
 *
 * Each write(2) carries WRITE_BYTES of lines of 100 bytes. A struct stamp goes
 * to the FIFO before the first write (ID 0) and after the last (ID 1); then it
 * ends with 0, or with 1 when it could not write.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/programs/stamp.h"
#include "workers/base/pure/parse.h"
#include "workers/base/sys/fd.h"

#define LINE_BYTES 100
#define WRITE_MAX  (1 << 20)

static int stamp(const char *fifo, uint32_t id)
{
	struct stamp s = { .pid = (uint32_t)getpid(), .id = id };
	struct timespec t;
	int fd, r;

	clock_gettime(CLOCK_MONOTONIC, &t);
	s.nsec =
		(uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
	fd = open(fifo, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, &s, sizeof(s));
	fd_close(fd);
	return r;
}

static int write_lines(uint64_t total_bytes, size_t write_bytes)
{
	static char block[WRITE_MAX];
	uint64_t done = 0;
	int r = 0;

	memset(block, '.', sizeof(block));
	for (size_t i = LINE_BYTES - 1; i < write_bytes; i += LINE_BYTES)
		block[i] = '\n';
	for (; done < total_bytes && r == 0; done += write_bytes)
		r = fd_write_all(STDOUT_FILENO, block, write_bytes);
	return r;
}

int main(int argc, char **argv)
{
	uint64_t total_bytes, write_bytes;

	if (argc != 4 || parse_size(argv[2], &total_bytes) < 0 ||
	    parse_u64(argv[3], LINE_BYTES, WRITE_MAX, &write_bytes) < 0) {
		fprintf(stderr, "writer FIFO TOTAL_BYTES WRITE_BYTES\n");
		return 2;
	}
	if (stamp(argv[1], 0) < 0 ||
	    write_lines(total_bytes, (size_t)write_bytes) < 0 ||
	    stamp(argv[1], 1) < 0)
		return 1;
	return 0;
}

/* reeve-manager: what it was told, then keeper_run().
 *
 * By itself it reads options, and listens. Started by libreeve it finds all that in
 * descriptors: see workers/manager/keeper.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"
#include "workers/manager/server/keeper.h"
#include "workers/manager/server/options.h"

/* ---- by itself ----------------------------------------------------------------------- */

static int run_alone(struct options *o)
{
	struct keeper_board board = { 0 };
	struct keeper_settings settings = {
		.order = &o->order,
		.listen_fd = -1,
		.owner_pidfd = -1,
		.bell_fd = -1,
		.board = &board,
	};
	char address[ADDRESS_TEXT_MAX];
	int r = options_read_authkey(o);

	if (r < 0)
		return KEEPER_EXIT_FAILED;
	r = address_listen(o->order.address, &settings.listen_fd, address);
	if (r < 0) {
		log_error("cannot listen on %s: %s", o->order.address,
			  strerror(-r));
		return KEEPER_EXIT_FAILED;
	}
	memcpy(o->order.address, address, sizeof(address));
	return keeper_run(&settings);
}

/* ---- by libreeve ----------------------------------------------------------------------- */

static bool is_sound(const struct keeper_order *order)
{
	return order->magic == KEEPER_MAGIC &&
	       order->version == KEEPER_VERSION &&
	       order->size == sizeof(*order) && order->authkey_size > 0 &&
	       order->authkey_size <= sizeof(order->authkey) &&
	       memchr(order->address, '\0', sizeof(order->address)) &&
	       memchr(order->snapshot, '\0', sizeof(order->snapshot)) &&
	       order->max_clients > 0;
}

/* Copied, then closed: the key is in one place. */
static int read_order(struct keeper_order *ret)
{
	ssize_t n = pread(KEEPER_FD_ORDER, ret, sizeof(*ret), 0);

	fd_close(KEEPER_FD_ORDER);
	return n == sizeof(*ret) && is_sound(ret) ? 0 : -EINVAL;
}

static struct keeper_board *map_board(void)
{
	struct stat st;
	void *board;

	if (fstat(KEEPER_FD_BOARD, &st) < 0 ||
	    st.st_size < (off_t)sizeof(struct keeper_board))
		return NULL;
	board = mmap(NULL, sizeof(struct keeper_board), PROT_READ | PROT_WRITE,
		     MAP_SHARED, KEEPER_FD_BOARD, 0);
	fd_close(KEEPER_FD_BOARD);
	return board == MAP_FAILED ? NULL : board;
}

static int run_inherited(struct options *o)
{
	struct keeper_settings settings = {
		.order = &o->order,
		.listen_fd = KEEPER_FD_LISTEN,
		.owner_pidfd = KEEPER_FD_OWNER,
		.bell_fd = KEEPER_FD_BELL,
	};

	for (int fd = KEEPER_FD_ORDER; fd < KEEPER_FD_END; fd++)
		if (fd_set_cloexec(fd, true) < 0)
			return KEEPER_EXIT_USAGE;
	settings.board = map_board();
	if (read_order(&o->order) < 0 || !settings.board)
		return KEEPER_EXIT_USAGE;
	/* the program tells its user what matters: only what it cannot know */
	log_set_level(LOG_LEVEL_ERROR);
	return keeper_run(&settings);
}

/* Else a socket would be one of them, and what is logged would go there. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < FD_OWN);
	fd_close(fd);
}

int main(int argc, char **argv)
{
	static struct options options;
	int code;

	open_standard_fds();
	log_init("reeve-manager", LOG_FORMAT_AUTO, LOG_LEVEL_INFO);
	code = options_take(argc, argv, &options);
	if (code >= 0)
		return code;
	return options.is_inherited ? run_inherited(&options)
				    : run_alone(&options);
}

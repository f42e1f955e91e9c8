/* reeve: shows and steers the workers of reeved. See cli.h. */
#include <fcntl.h>
#include <unistd.h>

#include "supervisor/cli/cli.h"

/* A closed standard fd would be given to the next thing that is opened: the
 * table would go to the daemon. What stands in fails to write, as it should. */
static void fill_standard_fds(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null",
				   fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	fill_standard_fds();
	return cli_run(argc, argv);
}

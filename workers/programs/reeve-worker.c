/* reeve-worker: the process that handlers of pools run in (<reeve/pool.h>).
 *
 * It is executed by libreeve as the keeper of a pool, and forks the workers, which
 * load the shared objects that the pool's owner has named. It has all of libreeve,
 * and exports it to them.
 */
#include <stdio.h>

#include <reeve/pool.h>

int main(void)
{
	if (reeve_pool_setup(NULL) < 0)
		return 1;
	fputs("reeve-worker " REEVE_VERSION
	      ": started by programs that use libreeve, for pools with "
	      "handlers;\n"
	      "see reeve_pool(3)\n",
	      stderr);
	return 2;
}

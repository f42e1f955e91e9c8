/* The objects that workers share are repaired when one of them is dead.
 *
 * Those who wait at them look for the dead themselves, every 50 ms; the keeper
 * knows at once. What it maps of an object workers can overwrite, and the guards
 * in it may be held by one that is stopped: repair.h copes with both.
 */
#include "workers/pool/keeper_room.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/pool/shares.h"
#include "workers/shared/repair.h"

int keeper_attend(struct keeper *k)
{
	const struct shares *s = k->config->shares;

	if (!s)
		return 0;
	k->patients = calloc(s->n, sizeof(*k->patients));
	if (!k->patients)
		return -ENOMEM;
	for (unsigned i = 0; i < s->n; i++) {
		const int *fds = s->list[i].fds;
		int r = repair_open(fds[0], fds[1],
				    &k->patients[k->n_patients]);

		if (r == 0)
			k->n_patients++;
		else if (r != -EBADMSG) /* a pipe needs nothing */
			return r;
	}
	keeper_repair(k); /* what the workers of a keeper that died had */
	return 0;
}

void keeper_repair(struct keeper *k)
{
	for (unsigned i = 0; i < k->n_patients; i++)
		repair(&k->patients[i]);
}

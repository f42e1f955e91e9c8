/* The mutex when it is not free. */
#include "workers/shared/mutex.h"

/* It is pending. */
int mutex_lock_slowly(const struct robust_self *self, struct mutex *m,
		      uint64_t end_usec)
{
	int r = robust_take_slowly(self, &m->word, end_usec);

	if (r >= 0)
		mutex_enter(self, m);
	robust_pend(self, NULL);
	return r;
}

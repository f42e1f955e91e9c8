/* Pidfds where the calls that make them are missing.
 *
 * Linux has pidfd_open(2) and pidfd_send_signal(2) since 5.3. Who runs a program
 * under valgrind has neither: Debian 12's does not know them, and answers ENOSYS.
 * There the kernel (6.5 or later) gives the same pidfds over a socket, and a signal
 * goes to the number that /proc says of the pidfd; that there is a moment between
 * the two is all that is lost. With the calls nothing of this is tried.
 */
#pragma once

#include <sys/types.h>

/* A pidfd of this process, or -errno. */
int pidfd_of_self(void);

/* fork(2), with a pidfd of the child. Returns 0 in the child, -errno when there is
 * none, or its pid: *ret_pidfd is then the pidfd or -errno, as not even that must
 * keep the caller from ending it. */
pid_t pidfd_fork(int *ret_pidfd);

/* Signals the process. Returns 0 or -errno (-ESRCH: gone). */
int pidfd_signal(int pidfd, int signo);

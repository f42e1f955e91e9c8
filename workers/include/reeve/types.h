/* What all headers of libreeve share: times, exits, visibility.
 *
 * Properties
 *   Functions return 0 or something positive on success and a negative errno
 *   value on failure; outputs come last, are called ret_..., and stay untouched
 *   on failure. Times are microseconds. Names of the library begin with reeve_
 *   or REEVE_; it exports nothing else.
 * Operation
 *   A process that ended is described by a struct reeve_exit, with the exit
 *   codes of Python's multiprocessing: 0, N > 0, and -N for death by signal N.
 * Safety
 *   Plain data. The structs that a caller fills (..._spec) mean "the default"
 *   by zero in each field, so { .field = value } with designated initialisers
 *   is complete, and goes on compiling when fields are added.
 */
#ifndef REEVE_TYPES_H
#define REEVE_TYPES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#ifdef __cplusplus
#define REEVE_DECLARATIONS_BEGIN extern "C" {
#define REEVE_DECLARATIONS_END	 }
#else
#define REEVE_DECLARATIONS_BEGIN
#define REEVE_DECLARATIONS_END
#endif

/* Everything that is not marked so is hidden in libreeve.so and libreeve.a. */
#define REEVE_PUBLIC __attribute__((visibility("default")))

/* As a timeout: wait as long as it takes. 0 asks without waiting. */
#define REEVE_FOREVER UINT64_MAX

/* code of a struct reeve_exit that says nothing. */
#define REEVE_CODE_UNKNOWN INT_MIN

enum reeve_exit_state {
	REEVE_EXIT_NONE,     /* it has not ended */
	REEVE_EXIT_UNKNOWN,  /* it ended, and somebody else took its status */
	REEVE_EXIT_EXITED,   /* by itself: code is 0 .. 255 */
	REEVE_EXIT_SIGNALED, /* by a signal: code is -1 .. -64 */
};

enum reeve_answer {
	REEVE_ANSWER_UNKNOWN,
	REEVE_ANSWER_NO,
	REEVE_ANSWER_YES,
};

/* How a process ended. */
struct reeve_exit {
	enum reeve_exit_state state;
	int code;	       /* 0, N, -signal, or REEVE_CODE_UNKNOWN */
	bool core;	       /* SIGNALED: a core was dumped */
	enum reeve_answer oom; /* the kernel killed it for want of memory */
	pid_t pid;	       /* what its pid was; for showing */
	struct rusage rusage;  /* of it and the children it waited for; zero
			       * when UNKNOWN */
};

#endif

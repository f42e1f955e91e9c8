/* The few macros that the whole tree shares.
 *
 * _cleanup_(f) runs f(&variable) at the end of the variable's scope; TAKE
 * hands a pointer on and TAKE_FD an fd, leaving the empty value behind.
 * reeve_assert stays on in release: it is for our own mistakes, never for
 * input, and its expression must have no side effects.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _unused_     __attribute__((unused))
/* What is seldom needed shall not cost the usual case its registers. */
#define _seldom_       __attribute__((noinline, cold))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _warn_unused_  __attribute__((warn_unused_result))

#define TAKE(ptr)                                                              \
	({                                                                     \
		__typeof__(ptr) *p_ = &(ptr);                                  \
		__typeof__(ptr) v_ = *p_;                                      \
		*p_ = NULL;                                                    \
		v_;                                                            \
	})

#define TAKE_FD(fd)                                                            \
	({                                                                     \
		int *p_ = &(fd);                                               \
		int v_ = *p_;                                                  \
		*p_ = -1;                                                      \
		v_;                                                            \
	})

/* For _cleanup_(free_pointer): frees what a char *, void *, ... points to. */
static inline void free_pointer(void *p)
{
	free(*(void **)p);
}

_Noreturn void reeve_assert_failed(const char *expr, const char *file, int line,
				   const char *func);

#define reeve_assert(expr)                                                     \
	((expr) ? (void)0                                                      \
		: reeve_assert_failed(#expr, __FILE__, __LINE__, __func__))
